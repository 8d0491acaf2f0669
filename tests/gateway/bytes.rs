//! `transfer` as `wg` shows it (PROTOCOL A8.6, A3.8).

use crate::client::Client;
use crate::harness::{Gateway, HOST, peer};
use crate::packets::tagged;
use crate::roles::{answer, keepalive, send};
use culvert::control::change::PeerChange;

/// Received and sent.
fn transfer(gw: &Gateway, client: &Client) -> (u64, u64) {
    let flow = gw.shared.flows.get(&gw.cores[0].reader, gw.record(client).flow).unwrap();
    (flow.bytes_received(), flow.bytes_sent())
}

/// Ten pings of 84 bytes, and their answers.
fn ten_pings(gw: &mut Gateway, client: &mut Client) {
    for n in 0..10 {
        gw.lan(&tagged(HOST, &client.inner(), n, 84));
        let frame = client.data(&tagged(&client.inner(), HOST, n, 84));
        gw.wan(&frame);
    }
    gw.settle();
    gw.frames();
}

/// PROTOCOL A8.6: after ten pings the side that answered has sent 1,372 bytes, the other 1,428, or 1,460 with a confirming keepalive.
/// PROTOCOL A3.8: the handshake's bytes are in it.
#[test]
fn ten_pings_are_what_the_kernel_counts() {
    for confirms in [false, true] {
        let mut gw = Gateway::new();
        let mut client = Client::new(1);
        gw.add(&client);
        gw.handshake_of(&mut client);
        if confirms {
            keepalive(&mut gw, &mut client);
        }
        ten_pings(&mut gw, &mut client);
        assert_eq!(transfer(&gw, &client), (if confirms { 1460 } else { 1428 }, 1372));
        gw.finish();

        let mut gw = Gateway::new();
        let mut client = Client::new(1);
        // Persistent keepalive brings the session without a packet, so that there is a keepalive to confirm it.
        let persistent_keepalive = confirms.then_some(3600);
        gw.change_peer(PeerChange { endpoint: Some(client.at), persistent_keepalive, ..peer(&client) });
        if !confirms {
            gw.lan(&tagged(HOST, &client.inner(), 0, 84));
        }
        gw.settle();
        answer(&mut gw, &mut client);
        gw.frames();
        if confirms {
            ten_pings(&mut gw, &mut client);
        } else {
            // The first of the ten confirmed.
            for n in 1..10 {
                gw.lan(&tagged(HOST, &client.inner(), n, 84));
            }
            for n in 0..10 {
                let frame = client.data(&tagged(&client.inner(), HOST, n, 84));
                gw.wan(&frame);
            }
            gw.settle();
            gw.frames();
        }
        assert_eq!(transfer(&gw, &client), (1372, if confirms { 1460 } else { 1428 }));
        gw.finish();
    }
}

/// PROTOCOL A8.6: what is not accepted is not counted: replayed, forged, no IP packet, another's source.
#[test]
fn what_is_dropped_is_not_counted() {
    let (mut gw, client) = crate::roles::responder();
    let good = client.session().seal(10, &tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&client.frame(&good));
    gw.settle();
    gw.frames();
    let before = transfer(&gw, &client);
    assert_eq!(before.0, 148 + 32 + 128);
    let mut forged = client.session().seal(11, &tagged(&client.inner(), HOST, 1, 96));
    *forged.last_mut().unwrap() ^= 1;
    gw.silent(&[client.frame(&good)], "replay");
    gw.silent(&[client.frame(&forged)], "auth_failed");
    let spoofed = client.session().seal(12, &tagged("10.9.9.9", HOST, 1, 96));
    gw.silent(&[client.frame(&spoofed)], "allowedips_src");
    let nonsense = client.session().seal(13, &[0; 96]);
    gw.silent(&[client.frame(&nonsense)], "bad_inner");
    assert_eq!(transfer(&gw, &client), before);
    // A keepalive is counted.
    let keepalive = client.session().seal(14, &[]);
    gw.silent(&[client.frame(&keepalive)], "keepalive");
    assert_eq!(transfer(&gw, &client), (before.0 + 32, before.1));
    send(&mut gw, &client, 1);
    assert_eq!(transfer(&gw, &client), (before.0 + 32, before.1 + 128));
    gw.frames();
    gw.finish();
}
