//! What people are told of peers that come, move and go (`control::events`).

use crate::client::Client;
use crate::harness::{Gateway, peer};
use crate::packets::tagged;
use crate::roles::{answer, keepalive, responder, send};
use culvert::control::change::PeerChange;
use culvert::control::events::{Silence, What};

/// What happened since number `after`.
fn since(gw: &Gateway, after: u64) -> Vec<What> {
    gw.context.events.after(after, 100).events.into_iter().map(|event| event.what).collect()
}

/// A peer that asked for its session comes once however often it rekeys, moves when its packets come from elsewhere, and is gone when its
/// session is.
#[test]
fn a_peer_comes_moves_and_goes() {
    let (mut gw, mut client) = responder();
    let [What::Connected { peer, endpoint }] = &since(&gw, 0)[..] else { panic!("{:?}", since(&gw, 0)) };
    assert_eq!((peer.public_key, peer.tunnel, *endpoint), (client.key(), 0, client.at));
    gw.pass_ms(120_000);
    gw.handshake_of(&mut client);
    keepalive(&mut gw, &mut client);
    assert_eq!(since(&gw, 1), [], "the same again");
    let from = client.at;
    client.at = "203.0.113.9:1".parse().unwrap();
    let frame = client.data(&tagged(&client.inner(), crate::harness::HOST, 1, 96));
    gw.wan(&frame);
    // It is seen when the peer's timers are looked at.
    gw.pass_ms(11_000);
    let [What::Roamed { from: was, to, .. }] = since(&gw, 1)[..] else { panic!("{:?}", since(&gw, 1)) };
    assert_eq!((was, to), (from, client.at));
    gw.pass_ms(541_000);
    let [What::Silent { silence, .. }] = since(&gw, 2)[..] else { panic!("{:?}", since(&gw, 2)) };
    assert_eq!(silence, Silence::Idle);
    gw.handshake_of(&mut client);
    keepalive(&mut gw, &mut client);
    assert!(matches!(since(&gw, 3)[..], [What::Connected { .. }]));
    gw.finish();
}

/// Whom we call tells as much, and is gone when it answers no more; one that never came is no news.
#[test]
fn a_peer_that_answers_comes_and_one_that_never_came_is_not_missed() {
    let mut client = Client::new(1);
    let mut gw = Gateway::new();
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    send(&mut gw, &client, 1);
    gw.pass_ms(120_000);
    assert_eq!((since(&gw, 0), gw.dropped("no_answer")), (vec![], 1));
    gw.datagrams();
    send(&mut gw, &client, 2);
    answer(&mut gw, &mut client);
    assert!(matches!(since(&gw, 0)[..], [What::Connected { .. }]), "{:?}", since(&gw, 0));
    send(&mut gw, &client, 3);
    gw.pass_ms(130_000);
    let [What::Silent { silence, .. }] = since(&gw, 1)[..] else { panic!("{:?}", since(&gw, 1)) };
    assert_eq!(silence, Silence::NoAnswer);
    gw.finish();
}
