//! Handshakes, sessions, and data both ways.

use crate::client::{Client, counter};
use crate::harness::{Gateway, HOST, HOST6, Options, allow, peer, server_identity};
use crate::packets::{heads, tag, tagged, whole};
use crate::scenes::asking;
use culvert::control::change::{PeerChange, SecretKey};

/// The padding of PROTOCOL A8.
fn padded(len: usize, mtu: usize) -> usize {
    len.next_multiple_of(16).min(mtu)
}

fn data_goes_both_ways(mut client: Client) {
    let mut gw = Gateway::new();
    gw.add(&client);
    gw.connect(&mut client);
    assert_eq!(gw.endpoint(&client).unwrap().remote, client.at);
    for (inner, host) in [(client.inner(), HOST), (client.inner6(), HOST6)] {
        for len in [52, 64, 100, 1299, 1419, 1420] {
            let out = tagged(&inner, host, 1, len);
            let frame = client.data(&out);
            gw.wan(&frame);
            let back = tagged(host, &inner, 2, len);
            gw.lan(&back);
            gw.settle();
            let delivered = gw.delivered();
            assert_eq!(delivered.len(), 1);
            assert_eq!(heads(&delivered[0]), (heads(&out).0, heads(&out).1, 63));
            assert_eq!(delivered[0].len(), len, "padding is gone");
            assert_eq!(tag(&delivered[0]), 1);
            let received = gw.received_by(&client);
            assert_eq!((received.len(), received[0].len()), (1, padded(len, 1420)));
            assert_eq!((heads(&received[0]).2, tag(&received[0])), (63, 2));
            assert!(received[0][len..].iter().all(|b| *b == 0), "padding is zero");
        }
    }
    gw.finish();
}

/// PROTOCOL A8.3: padding is zero, and is gone when it is delivered.
/// Mistake: padding missing.
#[test]
fn data_goes_both_ways_over_ipv4() {
    data_goes_both_ways(Client::new(1));
}

/// Mistake: received padding not trimmed to the inner length.
#[test]
fn data_goes_both_ways_over_ipv6() {
    data_goes_both_ways(Client::v6(1));
}

/// PROTOCOL A8.2: clamped to the MTU.
#[test]
fn padding_stops_at_the_mtu_and_what_is_larger_is_dropped() {
    let mut gw = Gateway::with(&Options { mtu: 1299, ..Options::default() });
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    for len in [1296, 1297, 1299] {
        gw.lan(&tagged(HOST, &client.inner(), 1, len));
        gw.settle();
        let received = gw.received_by(&client);
        assert_eq!(received[0].len(), padded(len, 1299));
    }
    // What may be cut is: `fragments`.
    gw.lan(&whole(tagged(HOST, &client.inner(), 1, 1300)));
    gw.settle();
    assert_eq!((gw.received_by(&client).len(), gw.dropped("too_big")), (0, 1));
    gw.finish();
}

#[test]
fn a_peer_may_leave_padding_out() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    let message = client.session().seal(9, &tagged(&client.inner(), HOST, 1, 101));
    gw.wan(&client.frame(&message));
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    gw.finish();
}

/// PROTOCOL A5.4: the first data under next confirms.
#[test]
fn the_responders_session_is_used_only_after_it_is_confirmed() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.handshake_of(&mut client);
    gw.lan(&tagged(HOST, &client.inner(), 1, 100));
    gw.settle();
    // No confirmation, no data: the packet waits.
    assert!(gw.received_by(&client).is_empty());
    assert!(gw.record(&client).lock().last_handshake.is_none());
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.settle();
    let received = gw.received_by(&client);
    assert_eq!(received.iter().map(|p| tag(p)).collect::<Vec<_>>(), [1]);
    assert!(gw.record(&client).lock().last_handshake.is_some());
    assert_eq!(gw.dropped("keepalive"), 1);
    gw.finish();
}

/// PROTOCOL A6.3: packets and no key.
/// PROTOCOL A8.3: counters in order.
#[test]
fn an_inner_packet_starts_a_handshake_and_what_was_staged_follows_in_order() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    for n in 0..100 {
        gw.lan(&tagged(HOST, &client.inner(), n, 100));
    }
    gw.settle();
    let sent = gw.datagrams();
    assert_eq!((sent.len(), sent[0].kind(), sent[0].payload.len()), (1, 1, 148));
    assert_eq!((sent[0].to, sent[0].tos), (client.at, 0x88));
    let response = client.respond(&sent[0].payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    let received = gw.datagrams();
    let opened: Vec<_> = received.iter().map(|d| client.open(&d.payload).unwrap()).collect();
    assert_eq!(opened.iter().map(|p| tag(p)).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    assert_eq!(received.iter().map(|d| counter(&d.payload)).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    // Data confirmed the session: no keepalive is needed.
    assert_eq!(gw.dropped("keepalive_elided"), 1);
    assert!(gw.record(&client).lock().last_handshake.is_some());
    gw.finish();
}

/// PROTOCOL A4.3: confirmed at once, by a keepalive if nothing waits.
#[test]
fn an_initiators_session_without_data_is_confirmed_by_a_keepalive() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    let persistent_keepalive = Some(25);
    gw.change_peer(PeerChange { endpoint: Some(client.at), persistent_keepalive, ..peer(&client) });
    gw.settle();
    let sent = gw.datagrams();
    assert_eq!((sent.len(), sent[0].kind()), (1, 1));
    let response = client.respond(&sent[0].payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    let received = gw.received_by(&client);
    assert_eq!(received, [Vec::<u8>::new()], "one keepalive, not two");
    gw.finish();
}

/// TESTING A17: both initiate.
#[test]
fn two_that_initiate_at_once_both_come_through() {
    let (mut gw, mut client, theirs) = asking(1, 1);
    let initiation = client.initiation();
    gw.wan(&client.frame(&initiation));
    gw.settle();
    let response = client.respond(&theirs.payload).unwrap();
    assert!(client.take_response(&gw.datagrams()[0].payload));
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [1]);
    for number in 0..2 {
        let message = client.sessions[number].seal(0, &tagged(&client.inner(), HOST, 7, 96));
        gw.wan(&client.frame(&message));
        gw.settle();
        assert_eq!(gw.delivered().len(), 1, "session {number}");
    }
    gw.finish();
}

#[test]
fn of_two_sessions_that_were_made_at_once_both_sides_use_that_of_the_greater_key() {
    // Found by the simulator: each side went on with its own, so both rekeyed at once for ever, and lost packets each time.
    for (number, is_clients) in [(1, true), (7, false)] {
        let mut gw = Gateway::new();
        let mut client = Client::new(number);
        assert_eq!(client.key() > *server_identity().public_key(), is_clients);
        gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
        gw.lan(&tagged(HOST, &client.inner(), 1, 100));
        gw.settle();
        let theirs = gw.datagrams().remove(0);
        let initiation = client.initiation();
        gw.wan(&client.frame(&initiation));
        gw.settle();
        let response = client.respond(&theirs.payload).unwrap();
        assert!(client.take_response(&gw.datagrams()[0].payload));
        gw.wan(&client.frame(&response));
        gw.settle();
        gw.frames();
        // The first is by the gateway's initiation, the second by the client's, and the client uses both.
        let indexes = [0, 1].map(|session: usize| client.sessions[session].secrets.local_index);
        for counter in 0..3 {
            for session in 0..2 {
                let message = client.sessions[session].seal(counter, &tagged(&client.inner(), HOST, 7, 96));
                gw.wan(&client.frame(&message));
                gw.settle();
            }
            gw.lan(&tagged(HOST, &client.inner(), 2, 100));
            gw.settle();
            let index = u32::from_le_bytes(*gw.datagrams()[0].payload[4..].first_chunk().unwrap());
            assert_eq!(index, indexes[usize::from(is_clients)]);
        }
        assert_eq!(gw.delivered().len(), 6);
        gw.finish();
    }
}

/// PROTOCOL A10.4: preshared_key, from the next handshake on.
/// Mistake: PSK change that does not reach the next handshake.
#[test]
fn a_preshared_key_counts_from_the_next_handshake_on() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    client.psk = [7; 32];
    let preshared_key = Some(SecretKey::new(&client.psk));
    gw.change_peer(PeerChange { preshared_key, ..PeerChange { public_key: client.key(), ..PeerChange::default() } });
    // The session goes on.
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    gw.connect(&mut client);
    let frame = client.data(&tagged(&client.inner(), HOST, 2, 96));
    gw.wan(&frame);
    gw.lan(&tagged(HOST, &client.inner(), 3, 96));
    gw.settle();
    assert_eq!((gw.delivered().len(), gw.received_by(&client).len()), (1, 1));
    // Without it the gateway's response does not verify any more.
    client.psk = [0; 32];
    let initiation = client.initiation();
    gw.wan(&client.frame(&initiation));
    gw.settle();
    let sessions = client.sessions.len();
    let response = gw.datagrams().remove(0).payload;
    client.take_response(&response);
    assert_eq!(client.sessions.len(), sessions);
    gw.finish();
}

/// PROTOCOL A5.3: previous is destroyed.
#[test]
fn a_new_session_replaces_the_old_one_which_still_opens() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    gw.connect(&mut client);
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    let sent = gw.datagrams();
    let index = |d: &[u8]| u32::from_le_bytes(*d[4..].first_chunk().unwrap());
    assert_eq!(index(&sent[0].payload), client.session().secrets.local_index, "the newest is sent under");
    for number in 0..2 {
        let message = client.sessions[number].seal(50, &tagged(&client.inner(), HOST, 7, 96));
        gw.wan(&client.frame(&message));
        gw.settle();
        assert_eq!(gw.delivered().len(), 1, "session {number}");
    }
    // The third handshake ends the first session (PROTOCOL A5).
    gw.handshake_of(&mut client);
    let message = client.sessions[0].seal(51, &tagged(&client.inner(), HOST, 7, 96));
    gw.silent(&[client.frame(&message)], "unknown_index");
    gw.finish();
}

/// PROTOCOL A1.6: 180 s.
#[test]
fn a_session_ends_after_180_s() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    gw.leap_ms(179_000);
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    gw.frames();
    gw.leap_ms(1_000);
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!((gw.delivered().len(), gw.dropped("session_expired")), (0, 1));
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert!(gw.datagrams().iter().all(|d| d.kind() == 1), "nothing but an initiation");
    gw.finish();
}

/// PROTOCOL A1.5: 120 s.
#[test]
fn an_initiator_rekeys_after_120_s_when_it_sends() {
    let (mut gw, mut client, initiation) = asking(1, 0);
    let response = client.respond(&initiation.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.leap_ms(119_000);
    gw.frames();
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert_eq!(gw.datagrams().iter().map(|d| d.kind()).collect::<Vec<_>>(), [4]);
    gw.leap_ms(1_000);
    gw.lan(&tagged(HOST, &client.inner(), 2, 96));
    gw.settle();
    assert_eq!(gw.datagrams().iter().map(|d| d.kind()).collect::<Vec<_>>(), [4, 1]);
    gw.finish();
}

#[test]
fn a_byte_count_is_what_the_kernel_counts() {
    // PROTOCOL A8, stats: 10 pings of 84 bytes, padded to 96, +32; and the handshake.
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { allowed_ips: vec![allow("10.1.0.1/32")], ..peer(&client) });
    gw.connect(&mut client);
    for n in 0..10 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 84));
        gw.wan(&frame);
        gw.lan(&tagged(HOST, &client.inner(), n, 84));
    }
    gw.settle();
    let flow = gw.record(&client).flow;
    let flow = gw.shared.flows.get(&gw.cores[0].reader, flow).unwrap();
    assert_eq!(flow.bytes_received(), 148 + 32 + 10 * 128);
    assert_eq!(flow.bytes_sent(), 92 + 10 * 128);
    gw.frames();
    gw.finish();
}
