//! Which session is sent under, which are received under, and when a new one is asked for (PROTOCOL A5, A6).

use crate::client::Client;
use crate::harness::{Gateway, HOST, allow};
use crate::packets::{tag, tagged};
use crate::roles::{answer, delivered_under, initiator, keepalive, kinds, receivers, responder, send};
use culvert::control::change::{ChangeSet, PeerChange};
use culvert::queue::sync::Ordering;

/// Data that nobody answers makes the gateway begin a handshake (T3); it stands on the wire.
fn begin(gw: &mut Gateway, client: &Client) {
    send(gw, client, 1);
    gw.frames();
    gw.pass_ms(15_500);
}

/// A message of the number-th session finds no keypair.
fn is_gone(gw: &mut Gateway, client: &Client, number: usize) {
    let message = client.sessions[number].seal(1 << 20, &tagged(&client.inner(), HOST, 1, 96));
    gw.silent(&[client.frame(&message)], "unknown_index");
}

/// PROTOCOL A5.3: next := new and the old next is destroyed, previous is destroyed, current is sent under until next is confirmed.
/// PROTOCOL A5.1: three slots, and no more.
/// PROTOCOL A3.7: the new session waits as next.
#[test]
fn a_new_key_as_responder() {
    let (mut gw, mut client) = responder();
    gw.connect(&mut client);
    gw.frames();
    assert_eq!((delivered_under(&mut gw, &mut client, 0), delivered_under(&mut gw, &mut client, 1)), (1, 1));
    gw.handshake_of(&mut client);
    is_gone(&mut gw, &client, 0);
    assert_eq!(delivered_under(&mut gw, &mut client, 1), 1);
    send(&mut gw, &client, 1);
    assert_eq!(receivers(&mut gw), [client.sessions[1].secrets.local_index], "next is not sent under");
    gw.handshake_of(&mut client);
    is_gone(&mut gw, &client, 2);
    assert_eq!(delivered_under(&mut gw, &mut client, 1), 1);
    // The first data under next.
    assert_eq!(delivered_under(&mut gw, &mut client, 3), 1);
    send(&mut gw, &client, 1);
    assert_eq!(receivers(&mut gw), [client.sessions[3].secrets.local_index]);
    assert_eq!(delivered_under(&mut gw, &mut client, 1), 1, "it is previous now");
    assert_eq!(gw.record(&client).lock().keypairs.len(), 2);
    gw.finish();
}

/// PROTOCOL A5.2: current := new; previous := current, or an unconfirmed next, and current goes then.
#[test]
fn a_new_key_as_initiator() {
    let (mut gw, mut client) = initiator();
    begin(&mut gw, &client);
    answer(&mut gw, &mut client);
    assert_eq!(receivers(&mut gw), [client.sessions[1].secrets.local_index], "sent under, and so confirmed, at once");
    assert_eq!((delivered_under(&mut gw, &mut client, 0), delivered_under(&mut gw, &mut client, 1)), (1, 1));
    begin(&mut gw, &client);
    answer(&mut gw, &mut client);
    gw.frames();
    is_gone(&mut gw, &client, 0);
    assert_eq!((delivered_under(&mut gw, &mut client, 1), delivered_under(&mut gw, &mut client, 2)), (1, 1));
    // The client's own handshake (session 3) waits as next when the answer to ours comes (session 4).
    begin(&mut gw, &client);
    let ours = gw.datagrams();
    assert_eq!(ours.len(), 1);
    gw.handshake_of(&mut client);
    let response = client.respond(&ours[0].payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(receivers(&mut gw), [client.sessions[4].secrets.local_index]);
    is_gone(&mut gw, &client, 1);
    is_gone(&mut gw, &client, 2);
    assert_eq!((delivered_under(&mut gw, &mut client, 3), delivered_under(&mut gw, &mut client, 4)), (1, 1));
    gw.finish();
}

/// PROTOCOL A5.4: the first data under next completes the handshake, and what waited goes.
#[test]
fn the_first_data_under_next() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.handshake_of(&mut client);
    send(&mut gw, &client, 5);
    send(&mut gw, &client, 6);
    assert!(gw.datagrams().is_empty() && gw.record(&client).lock().last_handshake.is_none());
    // What does not authenticate confirms nothing.
    let mut bad = client.session().seal(0, &tagged(&client.inner(), HOST, 1, 96));
    *bad.last_mut().unwrap() ^= 1;
    gw.silent(&[client.frame(&bad)], "auth_failed");
    assert!(gw.record(&client).lock().last_handshake.is_none());
    assert_eq!(delivered_under(&mut gw, &mut client, 0), 1);
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [5, 6]);
    assert!(gw.record(&client).lock().last_handshake.is_some());
    gw.finish();
}

/// PROTOCOL A5.7: initiation, response and data of one session name it by one index a side.
#[test]
fn the_index_of_data_is_the_handshakes() {
    let (mut gw, mut client) = initiator();
    begin(&mut gw, &client);
    let initiation = gw.datagrams().remove(0).payload;
    let ours = u32::from_le_bytes(*initiation[4..].first_chunk().unwrap());
    let response = client.respond(&initiation).unwrap();
    assert_eq!(response[8..12], initiation[4..8]);
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(client.session().secrets.remote_index, ours);
    assert_eq!(receivers(&mut gw), [u32::from_le_bytes(*response[4..].first_chunk().unwrap())]);
    assert_eq!(delivered_under(&mut gw, &mut client, 1), 1, "data to the initiation's index");
    // The place that the initiation held is the keypair's: nothing is pending there.
    assert_eq!(gw.shared.index.pending(ours), None);
    gw.finish();
}

/// PROTOCOL A5.5: received below 180 s; what was found too old stays dead, whatever the clock does.
/// PROTOCOL A5.6: sent below 180 s.
/// PROTOCOL A1.6: 180 s either way.
#[test]
fn an_invalid_key_stays_invalid() {
    let (mut gw, mut client) = responder();
    // The handshake took its 20 ms.
    gw.leap_ms(179_950);
    assert_eq!(delivered_under(&mut gw, &mut client, 0), 1);
    send(&mut gw, &client, 1);
    assert_eq!(receivers(&mut gw).len(), 1);
    gw.leap_ms(100);
    assert_eq!((delivered_under(&mut gw, &mut client, 0), gw.dropped("session_expired")), (0, 1));
    gw.time.fetch_sub(100_000, Ordering::Relaxed);
    gw.settle();
    let message = client.session().seal(1000, &tagged(&client.inner(), HOST, 1, 96));
    gw.silent(&[client.frame(&message)], "unknown_index");
    send(&mut gw, &client, 1);
    assert!(receivers(&mut gw).is_empty(), "sent under a dead key");
    gw.finish();
}

/// PROTOCOL A6.1: by age the initiator alone asks, at 120 s, and only when it sends.
/// PROTOCOL A1.5: 120 s.
#[test]
fn rekeying_on_send() {
    let (mut gw, mut client) = initiator();
    gw.leap_ms(119_900);
    send(&mut gw, &client, 1);
    assert_eq!(kinds(&mut gw), [4]);
    gw.leap_ms(200);
    keepalive(&mut gw, &mut client);
    assert!(kinds(&mut gw).is_empty(), "nothing was sent");
    send(&mut gw, &client, 1);
    assert_eq!(kinds(&mut gw), [4, 1]);
    gw.finish();
    let (mut gw, client) = responder();
    gw.leap_ms(179_900);
    send(&mut gw, &client, 1);
    assert_eq!(kinds(&mut gw), [4], "a responder does not ask by age");
    gw.finish();
}

/// PROTOCOL A6.1: a change of a peer that sends nothing asks for no session, however old its session is.
#[test]
fn a_wake_up_without_packets_asks_for_no_session() {
    let (mut gw, client) = initiator();
    gw.leap_ms(150_000);
    gw.frames();
    let same =
        || PeerChange { public_key: client.key(), allowed_ips: vec![allow("10.1.0.1/32")], ..PeerChange::default() };
    gw.change_peer(same());
    gw.settle();
    assert!(kinds(&mut gw).is_empty());
    gw.apply(ChangeSet { replace_peers: true, peers: vec![same()], ..ChangeSet::default() }).unwrap();
    gw.settle();
    assert!(kinds(&mut gw).is_empty());
    gw.finish();
}

/// PROTOCOL A6.2: on receive the initiator asks at 165 s, once a key.
#[test]
fn rekeying_on_receive() {
    let (mut gw, mut client) = initiator();
    gw.leap_ms(164_900);
    keepalive(&mut gw, &mut client);
    assert!(kinds(&mut gw).is_empty());
    gw.leap_ms(150);
    keepalive(&mut gw, &mut client);
    assert_eq!(kinds(&mut gw), [1]);
    // Not again for this key when the 5 s are over, but by T1.
    gw.leap_ms(5_000);
    gw.frames();
    keepalive(&mut gw, &mut client);
    assert!(kinds(&mut gw).len() <= 1);
    gw.finish();
    let (mut gw, mut client) = responder();
    gw.leap_ms(179_900);
    keepalive(&mut gw, &mut client);
    assert!(kinds(&mut gw).is_empty(), "a responder does not ask by age");
    gw.finish();
}

/// PROTOCOL A6.1, A6.3: at the limit of a key what fits no more goes by name, a session is asked for, and what comes later waits.
/// TESTING A6: the sender at 2^64 - 8130 refuses to send.
/// PROTOCOL A1.1, A1.2: the numbers.
#[test]
fn the_last_nonces() {
    const LIMIT: u64 = u64::MAX - 8129;
    for (mut gw, mut client) in [initiator(), responder()] {
        gw.leap_ms(10_000);
        gw.frames();
        let slot = {
            let flow = gw.shared.flows.get(&gw.cores[0].reader, gw.record(&client).flow).unwrap();
            flow.keys.current().unwrap()
        };
        gw.shared.index.keypair(&gw.cores[0].reader, slot).unwrap().set_nonce_for_test(LIMIT - 2);
        send(&mut gw, &client, 1);
        send(&mut gw, &client, 2);
        let sent = gw.datagrams();
        assert_eq!(sent.iter().map(|d| d.kind()).collect::<Vec<_>>(), [4, 1, 4]);
        assert_eq!(crate::client::counter(&sent[2].payload), LIMIT - 1);
        send(&mut gw, &client, 3);
        assert!(kinds(&mut gw).is_empty(), "sent beyond the limit");
        let initiation = sent[1].payload.clone();
        let response = client.respond(&initiation).unwrap();
        gw.wan(&client.frame(&response));
        gw.settle();
        assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [3]);
        gw.finish();
    }
}
