//! Handshake messages that are right but for one thing, behind a good mac1 (TESTING A2, A14).

use crate::client::Client;
use crate::forge::{cookie_reply, low_order_points, mac1, mac2, mac2_of, with_mac1};
use crate::harness::{Gateway, HOST, ROUTER_MAC, WAN_MAC, peer, server_identity};
use crate::packets::{self, tag, tagged};
use culvert::control::change::{PeerChange, SecretKey};
use std::net::SocketAddr;

/// A stranger's frame to the listen port.
fn forged(payload: &[u8]) -> Vec<u8> {
    let at: SocketAddr = "203.0.113.66:6666".parse().unwrap();
    packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(at, Client::new(1).to, 0, payload))
}

/// A gateway whose initiation to the client is under way, one packet waits, and that initiation.
fn initiating(client: &Client) -> (Gateway, Vec<u8>) {
    let mut gw = Gateway::new();
    let preshared_key = Some(SecretKey::new(&client.psk));
    gw.change_peer(PeerChange { endpoint: Some(client.at), preshared_key, ..peer(client) });
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0).payload;
    (gw, initiation)
}

fn index(message: &[u8]) -> u32 {
    u32::from_le_bytes(*message[4..].first_chunk().unwrap())
}

/// TESTING A2: an ephemeral key of low order is answered by nothing, all seven of them, behind a good mac1.
/// PROTOCOL A3.5: a product of zero.
#[test]
fn an_initiation_with_an_ephemeral_of_low_order() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let good = client.initiation();
    let frames = low_order_points().map(|point| {
        let mut message = good.clone();
        message[8..40].copy_from_slice(&point);
        client.frame(&with_mac1(message, server_identity().public_key()))
    });
    gw.silent(&frames, "handshake_refused");
    assert!(gw.record(&client).lock().last_timestamp.is_none());
    gw.wan(&client.frame(&good));
    gw.settle();
    assert_eq!(gw.datagrams().len(), 1, "the right one is answered");
    gw.finish();
}

/// TESTING A2: a peer whose own static key is of low order has no handshake, whoever begins.
#[test]
fn a_static_key_of_low_order() {
    let mut gw = Gateway::new();
    for point in low_order_points() {
        let endpoint = Some("198.51.100.1:4000".parse().unwrap());
        let allowed_ips = peer(&Client::new(1)).allowed_ips;
        gw.change_peer(PeerChange { public_key: point, endpoint, allowed_ips, ..PeerChange::default() });
        gw.lan(&tagged(HOST, "10.1.0.1", 1, 96));
        gw.settle();
        assert!(gw.datagrams().is_empty());
        gw.change_peer(PeerChange { public_key: point, remove: true, ..PeerChange::default() });
    }
    gw.finish();
}

/// TESTING A2: each byte of an initiation behind mac1's cover is tied to the handshake; mac1 alone opens nothing.
/// PROTOCOL A3.6: the timestamp is stored only after all checks.
#[test]
fn an_initiation_that_is_spoilt_behind_a_good_mac1() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let good = client.initiation();
    let frames: Vec<_> = (8..116)
        .map(|at| {
            let mut message = good.clone();
            message[at] ^= 1;
            forged(&with_mac1(message, server_identity().public_key()))
        })
        .collect();
    gw.silent(&frames, "handshake_refused");
    let record = gw.record(&client);
    assert!(record.lock().last_timestamp.is_none() && record.lock().last_consumed_ms.is_none());
    assert_eq!(gw.endpoint(&client), None);
    gw.wan(&client.frame(&good));
    gw.settle();
    assert_eq!(gw.datagrams().len(), 1, "the right one is answered");
    gw.finish();
}

/// TESTING A14: responses with a wrong index, key or tag behind a good mac1 race the right one, which completes.
#[test]
fn spoofed_responses_race_the_real_one() {
    let mut client = Client::new(1);
    client.psk = [3; 32];
    let (mut gw, initiation) = initiating(&client);
    let right = client.respond(&initiation).unwrap();
    let spoilt = |at: usize| {
        let mut message = right.clone();
        message[at] ^= 1;
        forged(&with_mac1(message, server_identity().public_key()))
    };
    // The sender index (4 to 8) is the peer's own choice: no one but the tag of its data vouches for it.
    let mut frames: Vec<_> = (8..60).map(spoilt).collect();
    for point in low_order_points() {
        let mut message = right.clone();
        message[12..44].copy_from_slice(&point);
        frames.push(forged(&with_mac1(message, server_identity().public_key())));
    }
    gw.silent(&frames, "handshake_refused");
    assert_eq!(gw.endpoint(&client).unwrap().remote, client.at);
    gw.wan(&client.frame(&right));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [1]);
    gw.silent(&[client.frame(&right)], "handshake_refused");
    gw.finish();
}

/// PROTOCOL A4.4: a cookie reply resends nothing and moves nothing, is taken once, and gives the next initiations a mac2.
/// PROTOCOL A1.16: for 115 s.
/// TESTING A10: the endpoint does not follow a valid cookie reply.
#[test]
fn a_cookie_reply_to_our_initiation() {
    let client = Client::new(1);
    let (mut gw, initiation) = initiating(&client);
    assert_eq!(mac2(&initiation), [0; 16]);
    let cookie = [0xc0; 16];
    let reply = |receiver, mac1: &[u8; 16]| cookie_reply(&client.key(), receiver, mac1, &cookie);
    let unasked =
        [reply(index(&initiation), &[1; 16]), reply(index(&initiation) ^ 1, &mac1(&initiation))].map(|r| forged(&r));
    gw.silent(&unasked, "handshake_refused");
    let good = forged(&reply(index(&initiation), &mac1(&initiation)));
    gw.silent(std::slice::from_ref(&good), "control_done");
    assert_eq!(gw.endpoint(&client).unwrap().remote, client.at, "a cookie reply moved the endpoint");
    gw.silent(&[good], "handshake_refused");
    // T1 sends the next ones.
    gw.pass_ms(115_100);
    let next = gw.datagrams();
    assert_eq!(next.len(), 19);
    assert!(next.iter().all(|d| mac2(&d.payload) == mac2_of(&cookie, &d.payload)));
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.pass_ms(6_000);
    let late = gw.datagrams().pop().unwrap();
    assert_eq!((late.kind(), mac2(&late.payload)), (1, [0; 16]));
    gw.finish();
}

/// PROTOCOL A4.4: a cookie reply to a response of ours is taken too.
#[test]
fn a_cookie_reply_to_our_response() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let initiation = client.initiation();
    gw.wan(&client.frame(&initiation));
    gw.settle();
    let response = gw.datagrams().remove(0).payload;
    assert_eq!(mac2(&response), [0; 16]);
    let cookie = [0xc1; 16];
    let reply = cookie_reply(&client.key(), index(&response), &mac1(&response), &cookie);
    gw.silent(&[forged(&reply)], "control_done");
    assert_eq!(gw.endpoint(&client).unwrap().remote, client.at);
    gw.leap_ms(1000);
    let initiation = client.initiation();
    gw.wan(&client.frame(&initiation));
    gw.settle();
    let response = gw.datagrams().remove(0).payload;
    assert_eq!(mac2(&response), mac2_of(&cookie, &response));
    gw.finish();
}
