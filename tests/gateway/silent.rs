//! What is answered by nothing at all (TESTING A1 to A4, A14): no byte on any wire, one named drop each, no state changed.

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, ROUTER_MAC, WAN_MAC, peer};
use crate::packets::{self, tag, tagged};
use crate::scenes::connected;
use culvert::control::change::{PeerChange, SecretKey};
use std::net::SocketAddr;

/// Nothing of the session moved: the endpoint, and the counters 1.. are all still good.
fn untouched(gw: &mut Gateway, client: &mut Client) {
    assert_eq!(gw.endpoint(client).unwrap().remote, client.at);
    let frame = client.data(&tagged(&client.inner(), HOST, 77, 96));
    gw.wan(&frame);
    gw.lan(&tagged(HOST, &client.inner(), 78, 96));
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), [77]);
    assert_eq!(gw.received_by(client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [78]);
}

/// A stranger's frame to the listen port.
fn forged(payload: &[u8]) -> Vec<u8> {
    let at: SocketAddr = "203.0.113.66:6666".parse().unwrap();
    let to = Client::new(1).to;
    packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(at, to, 0, payload))
}

/// TESTING A3: lengths.
/// Mistake: handshake lengths not checked.
#[test]
fn every_length_of_every_type_that_is_no_message() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut frames = Vec::new();
    for length in 0..2000 {
        for kind in [1, 2, 3, 4] {
            let good = matches!((kind, length), (1, 148) | (2, 92) | (3, 64)) || (kind == 4 && length >= 32);
            if good || length > 1472 + 480 {
                continue;
            }
            let mut payload = vec![0; length];
            payload.first_mut().into_iter().for_each(|first| *first = kind);
            frames.push(forged(&payload));
        }
        for some in std::mem::take(&mut frames).chunks(1000) {
            gw.silent(some, "bad_message");
        }
    }
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A3: other types, reserved bytes.
/// PROTOCOL A2.1: the type is a word of 32 bits.
#[test]
fn every_other_type_and_every_reserved_byte() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut frames = Vec::new();
    for length in [4, 32, 64, 92, 148, 1000] {
        for kind in (0..=255_u8).filter(|kind| !(1..=4).contains(kind)) {
            let mut payload = vec![0; length];
            payload[0] = kind;
            frames.push(forged(&payload));
        }
    }
    // Messages that are good but for a reserved byte.
    let initiation = client.initiation();
    let data = client.session().seal(40, &tagged(&client.inner(), HOST, 1, 96));
    for message in [initiation, data] {
        for (at, bit) in (1..4).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut message = message.clone();
            message[at] ^= 1 << bit;
            frames.push(client.frame(&message));
        }
    }
    for some in frames.chunks(1000) {
        gw.silent(some, "bad_message");
    }
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A4: an unknown index.
#[test]
fn every_length_of_data_to_an_unknown_index() {
    let (mut gw, mut client) = connected(&Options::default());
    let index = client.session().secrets.remote_index ^ 0x8000_0000;
    let frames: Vec<_> = (32..1950)
        .map(|length| {
            let mut payload = vec![0; length];
            payload[0] = 4;
            payload[4..8].copy_from_slice(&index.to_le_bytes());
            forged(&payload)
        })
        .collect();
    for some in frames.chunks(1000) {
        gw.silent(some, "unknown_index");
    }
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A4: a tag that is wrong at any byte.
/// PROTOCOL A8.5: a counter counts only when it is authentic.
/// Mistake: endpoint moved by a packet that failed authentication.
#[test]
fn data_whose_tag_is_wrong_at_any_byte_moves_neither_window_nor_endpoint() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.session().seal(1, &tagged(&client.inner(), HOST, 1, 96));
    let flips: Vec<_> = (16..good.len())
        .map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            forged(&bad)
        })
        .collect();
    gw.silent(&flips, "auth_failed");
    // A counter far ahead that is not authenticated does not move the window.
    let mut ahead = good.clone();
    ahead[8..16].copy_from_slice(&1_000_000_u64.to_le_bytes());
    gw.silent(&[forged(&ahead)], "auth_failed");
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A4: cut at any length.
/// PROTOCOL A2.1: data has 32 bytes at least.
/// Mistake: data length not checked before subtracting the tag.
#[test]
fn data_that_is_cut_at_any_length() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.session().seal(1, &tagged(&client.inner(), HOST, 1, 96));
    let cut = |lengths: std::ops::Range<usize>| lengths.map(|len| forged(&good[..len])).collect::<Vec<_>>();
    gw.silent(&cut(0..32), "bad_message");
    gw.silent(&cut(32..good.len()), "auth_failed");
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A18: a frame that is cut.
/// PROTOCOL A2.4: IP headers are checked.
#[test]
fn a_frame_that_is_cut_at_any_length() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.session().seal(1, &tagged(&client.inner(), HOST, 1, 96));
    let frame = client.frame(&good);
    for len in 0..frame.len() {
        let reason = if len < 14 + 20 { "runt" } else { "bad_ip_header" };
        gw.silent(&[frame[..len].to_vec()], reason);
    }
    // What stands behind the packet is the link's padding.
    gw.wan(&[&frame[..], &[0; 30]].concat());
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    client.sessions[0].next = 2;
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A1: replayed, older, of the same time.
#[test]
fn an_initiation_replayed_or_with_an_older_timestamp() {
    let (mut gw, mut client) = connected(&Options::default());
    let first = client.initiation_at(2_000_000);
    gw.wan(&client.frame(&first));
    gw.settle();
    let response = gw.datagrams().remove(0);
    assert!(client.take_response(&response.payload));
    gw.leap_ms(1000);
    gw.frames();
    let older = client.initiation_at(1_999_999);
    let same = client.initiation_at(2_000_000);
    for message in [first, older, same] {
        gw.silent(&[forged(&message)], "handshake_refused");
    }
    // The session of before all this, and the new one, are as they were.
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// PROTOCOL A3.6: 20 ms.
/// PROTOCOL A1.7: 20 ms.
#[test]
fn initiations_within_20_ms() {
    let (mut gw, mut client) = connected(&Options::default());
    let (one, two, three) = (client.initiation(), client.initiation(), client.initiation());
    gw.wan(&client.frame(&one));
    gw.settle();
    assert_eq!(gw.datagrams().len(), 1);
    gw.leap_ms(19);
    gw.silent(&[client.frame(&two)], "handshake_refused");
    gw.leap_ms(1);
    gw.wan(&client.frame(&three));
    gw.settle();
    assert_eq!(gw.datagrams().len(), 1);
    gw.finish();
}

/// TESTING A2: bad mac1.
/// PROTOCOL A3.1: mac1 first.
/// PROTOCOL A2.3: nothing that is not authentic is answered.
#[test]
fn a_bad_mac1_at_any_byte_and_a_message_for_another_key() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.initiation();
    let flips: Vec<_> = (4..132)
        .map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            forged(&bad)
        })
        .collect();
    gw.silent(&flips, "bad_mac1");
    let mut response = vec![0; 92];
    response[0] = 2;
    gw.silent(&[forged(&response)], "bad_mac1");
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A2: an unknown static key.
/// PROTOCOL A3.5: an unknown static key.
#[test]
fn an_unknown_peer_and_a_cookie_reply_that_nobody_asked_for() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut stranger = Client::new(2);
    let initiation = stranger.initiation();
    gw.silent(&[stranger.frame(&initiation)], "handshake_refused");
    let mut cookie = vec![0; 64];
    cookie[0] = 3;
    gw.silent(&[forged(&cookie)], "handshake_refused");
    untouched(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A14: forged responses.
#[test]
fn a_forged_response_leaves_the_pending_handshake_alone() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    client.psk = [3; 32];
    let preshared_key = Some(SecretKey::new(&[3; 32]));
    gw.change_peer(PeerChange { endpoint: Some(client.at), preshared_key, ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0).payload;
    // The right peer with a wrong PSK; the right response with each part of it spoilt behind a good mac1 is noise's test.
    client.psk = [4; 32];
    let wrong = client.respond(&initiation).unwrap();
    gw.silent(&[client.frame(&wrong)], "handshake_refused");
    client.sessions.clear();
    client.psk = [3; 32];
    let right = client.respond(&initiation).unwrap();
    for at in 4..76 {
        let mut bad = right.clone();
        bad[at] ^= 1;
        gw.silent(&[forged(&bad)], "bad_mac1");
    }
    gw.wan(&client.frame(&right));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [1]);
    gw.silent(&[client.frame(&right)], "handshake_refused");
    gw.finish();
}

/// TESTING A18: UDP length, checksums, VLAN tags.
#[test]
fn outer_packets_that_are_no_datagrams_for_us() {
    let (mut gw, mut client) = connected(&Options::default());
    let data = client.session().seal(1, &tagged(&client.inner(), HOST, 1, 96));
    let good = client.frame(&data);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    gw.silent(&[with(0, &[2, 9, 9, 9, 9, 9])], "not_our_mac");
    gw.silent(&[with(12, &[0x81, 0x00, 0x00, 0x05, 0x08, 0x00])], "vlan");
    gw.silent(&[with(12, &[0x88, 0xcc])], "ether_type");
    gw.silent(&[with(14 + 10, &[0, 0])], "bad_ip_checksum");
    gw.silent(&[with(14 + 20 + 4, &[0xff, 0xff]), with(14 + 20 + 4, &[0, 7])], "bad_udp");
    gw.silent(&[with(14 + 20 + 6, &[1, 1])], "bad_udp_checksum");
    let elsewhere =
        |to: &str| packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(client.at, to.parse().unwrap(), 0, &data));
    gw.silent(&[elsewhere("192.0.2.1:51821"), elsewhere("192.0.2.99:51820")], "not_for_us");
    gw.silent(&[elsewhere("224.0.0.5:51820")], "multicast");
    untouched_after_checksum_zero(&mut gw, &mut client, &good);
    gw.finish();
}

/// Over IPv4 a datagram may go without a checksum.
fn untouched_after_checksum_zero(gw: &mut Gateway, client: &mut Client, good: &[u8]) {
    let mut frame = good.to_vec();
    frame[14 + 20 + 6..14 + 20 + 8].fill(0);
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    client.sessions[0].next = 2;
    untouched(gw, client);
}
