//! What stands in the outer header, and what it does to the inner one (PROTOCOL A8).

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST6, Options, ROUTER_MAC, WAN_MAC, peer};
use crate::packets::{self, Ip, addr, tagged};
use crate::roles::send;
use crate::scenes::connected_as;
use culvert::control::change::{ChangeSet, PeerChange};

/// The DSCP of the inner packets: EF.
const DSCP: u8 = 0xb8;

fn tos(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] } else { packet[0] << 4 | packet[1] >> 4 }
}

fn inner(from: &str, to: &str, tos: u8) -> Vec<u8> {
    packets::ip(addr(from), addr(to), Ip { tos, ttl: 64, protocol: 17 }, &[0; 40])
}

/// PROTOCOL A8.7: all pairs of marks, both families outside and inside: outer DSCP is 0 and no bar, the inner one stays; CE comes in
/// where the inner knows ECN, ECT(1) comes onto ECT(0), nothing is dropped; out goes the inner mark, but ECT(0) for CE.
#[test]
fn marks_in_both_directions() {
    // Rows: outer; columns: inner 00, 01, 10, 11.
    let comes_in = [[0, 1, 2, 3], [0, 1, 1, 3], [0, 1, 2, 3], [0, 3, 3, 3]];
    let goes_out = [0, 1, 2, 2];
    for client in [Client::new(1), Client::v6(1)] {
        let (mut gw, client) = connected_as(&Options::default(), client);
        let mut counter = 10;
        for (ours, host) in [(client.inner(), HOST), (client.inner6(), HOST6)] {
            for (outer, row) in (0..).zip(comes_in) {
                for (mark, after) in (0..).zip(row) {
                    counter += 1;
                    let message = client.session().seal(counter, &inner(&ours, host, DSCP | mark));
                    let packet = packets::udp(client.at, client.to, 0x20 | outer, &message);
                    gw.wan(&packets::frame(WAN_MAC, ROUTER_MAC, &packet));
                    gw.settle();
                    let delivered = gw.delivered();
                    assert_eq!(delivered.len(), 1, "dropped for a mark");
                    assert_eq!(tos(&delivered[0]), DSCP | after, "outer {outer} inner {mark}");
                    packets::heads(&delivered[0]);
                }
            }
            for (mark, outer) in (0..).zip(goes_out) {
                gw.lan(&inner(host, &ours, DSCP | mark));
                gw.settle();
                let sent = gw.datagrams();
                assert_eq!((sent.len(), sent[0].tos), (1, outer), "inner {mark}");
                assert_eq!(tos(&client.open(&sent[0].payload).unwrap()), DSCP | mark);
            }
        }
        gw.finish();
    }
}

/// PROTOCOL A1.20: AF41 on initiation and response, both families; 0 on data.
#[test]
fn handshakes_have_a_dscp_of_their_own() {
    for mut client in [Client::new(1), Client::v6(1)] {
        let mut gw = Gateway::new();
        gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
        send(&mut gw, &client, 1);
        let initiation = gw.datagrams().remove(0);
        assert_eq!((initiation.kind(), initiation.tos), (1, 0x88));
        let response = client.respond(&initiation.payload).unwrap();
        gw.wan(&client.frame(&response));
        gw.settle();
        assert_eq!(gw.datagrams().iter().map(|d| (d.kind(), d.tos)).collect::<Vec<_>>(), [(4, 0)]);
        let initiation = client.initiation();
        gw.wan(&client.frame(&initiation));
        gw.settle();
        assert_eq!(gw.datagrams().iter().map(|d| (d.kind(), d.tos)).collect::<Vec<_>>(), [(2, 0x88)]);
        gw.finish();
    }
}

/// PROTOCOL A8.8: DF is not set, the TTL is the default, IPv6 has its UDP checksum; over IPv4 data goes without (ARCHITECTURE).
#[test]
fn fields_of_the_outer_header() {
    let (mut gw, client) = connected_as(&Options::default(), Client::new(1));
    let mut identifications = Vec::new();
    for n in 0..3 {
        send(&mut gw, &client, n);
        let (wan, _) = gw.frames();
        let ip = &wan[0][14..];
        assert_eq!((ip[0], ip[6], ip[7], ip[8]), (0x45, 0, 0, 64), "version, flags and offset, TTL");
        assert_eq!(ip[26..28], [0, 0]);
        identifications.push([ip[4], ip[5]]);
    }
    identifications.dedup();
    assert_eq!(identifications.len(), 3, "fragments of two packets would mix");
    gw.finish();
    let (mut gw, client) = connected_as(&Options::default(), Client::v6(1));
    send(&mut gw, &client, 1);
    let (wan, _) = gw.frames();
    let ip = &wan[0][14..];
    assert_eq!((ip[0] >> 4, ip[6], ip[7]), (6, 17, 64));
    assert_ne!(ip[46..48], [0, 0]);
    gw.finish();
}

/// PROTOCOL A8.10: what Poly1305 vouches for is not summed again: a wrong inner UDP checksum passes as it is.
#[test]
fn inner_checksums_are_not_looked_at() {
    let (mut gw, mut client) = connected_as(&Options::default(), Client::new(1));
    let mut packet = tagged(&client.inner(), HOST, 1, 96);
    packet[26] ^= 0xff;
    let sum = packet[26..28].to_vec();
    let frame = client.data(&packet);
    gw.wan(&frame);
    gw.settle();
    let delivered = gw.delivered();
    assert_eq!((delivered.len(), &delivered[0][26..28]), (1, &sum[..]));
    gw.finish();
}

/// The headers that a peer's last packets had are used again only while they are true: its endpoint may move by data or by configuration,
/// and so may our port.
#[test]
fn headers_that_are_kept_change_with_what_they_were_made_of() {
    for client in [Client::new(1), Client::v6(1)] {
        let (mut gw, mut client) = connected_as(&Options::default(), client);
        let ends = |gw: &mut Gateway, client: &Client| {
            // The second time they are there already.
            let both = [1, 2].map(|tag| {
                gw.lan(&tagged(HOST, &client.inner(), tag, 96));
                gw.settle();
                let sent = gw.datagrams();
                assert_eq!(sent.len(), 1);
                assert_eq!(packets::tag(&client.open(&sent[0].payload).unwrap()), tag);
                (sent[0].from, sent[0].to)
            });
            assert_eq!(both[0], both[1]);
            both[0]
        };
        assert_eq!(ends(&mut gw, &client), (client.to, client.at));
        client.at.set_port(4001);
        let moved = client.data(&tagged(&client.inner(), HOST, 3, 96));
        gw.wan(&moved);
        gw.settle();
        assert_eq!(ends(&mut gw, &client), (client.to, client.at), "it has moved");
        client.at.set_port(4002);
        gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
        assert_eq!(ends(&mut gw, &client), (client.to, client.at), "it was moved");
        client.to.set_port(51821);
        gw.apply(ChangeSet { listen_port: Some(51821), ..ChangeSet::default() }).unwrap();
        assert_eq!(ends(&mut gw, &client), (client.to, client.at), "we have moved");
        gw.frames();
        gw.finish();
    }
}
