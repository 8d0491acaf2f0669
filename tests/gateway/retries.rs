//! T1: an initiation that nobody answers (PROTOCOL A7.1, A7.8, A4).

use crate::client::Client;
use crate::harness::{Gateway, HOST, allow, peer};
use crate::packets::tagged;
use crate::roles::{kinds, responder, send};
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};
use std::collections::HashSet;

/// A packet waits for the client's session; the first initiation is out.
fn waiting(client: &Client) -> Gateway {
    let mut gw = Gateway::new();
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(client) });
    send(&mut gw, client, 1);
    gw
}

/// PROTOCOL A7.8: a set on a peer whose packets wait counts the tries anew.
#[test]
fn a_set_counts_the_tries_anew() {
    let client = Client::new(1);
    let mut gw = waiting(&client);
    gw.pass_ms(80_000);
    let before = kinds(&mut gw).len();
    assert!((15..=16).contains(&before), "{before}");
    gw.change_peer(PeerChange { public_key: client.key(), ..PeerChange::default() });
    gw.pass_ms(90_000);
    assert_eq!(gw.dropped("no_answer"), 0);
    gw.pass_ms(30_000);
    assert_eq!((kinds(&mut gw).len(), gw.dropped("no_answer")), (19, 1));
    gw.finish();
}

/// PROTOCOL A4.2: each try has an index and an ephemeral key of its own, and a timestamp that is not older; the newest alone completes.
/// PROTOCOL A1.4: tries lie 5 s to 5.333 s apart, not all the same.
#[test]
fn every_try_is_an_initiation_of_its_own() {
    let mut client = Client::new(1);
    let mut gw = waiting(&client);
    let (mut sent, mut gaps) = (gw.datagrams(), Vec::new());
    let mut last = 0;
    for ms in (10..=60_000).step_by(10) {
        gw.pass_ms(10);
        let new = gw.datagrams();
        if !new.is_empty() {
            gaps.push(ms - last);
            last = ms;
        }
        sent.extend(new);
    }
    assert_eq!(sent.len(), gaps.len() + 1);
    assert!(gaps.iter().all(|gap| (5_000..=5_333 + 40).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().collect::<HashSet<_>>().len() > 2, "no jitter: {gaps:?}");
    let distinct = |from: usize, to: usize| sent.iter().map(|d| d.payload[from..to].to_vec()).collect::<HashSet<_>>();
    assert_eq!((distinct(4, 8).len(), distinct(8, 40).len()), (sent.len(), sent.len()));
    let newest = sent.pop().unwrap();
    gw.frames();
    for old in &sent {
        let late = client.respond(&old.payload).unwrap();
        gw.silent(&[client.frame(&late)], "handshake_refused");
    }
    client.sessions.clear();
    let response = client.respond(&newest.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).len(), 1);
    gw.finish();
}

/// PROTOCOL A7.1: a try leaves from our default address, not from the one that the silent peer once talked to.
/// PROTOCOL A8.9: the first one still leaves from there.
#[test]
fn t1_forgets_the_source_address() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    client.to = "192.0.2.2:51820".parse().unwrap();
    gw.add(&client);
    gw.connect(&mut client);
    gw.leap_ms(181_000);
    gw.frames();
    send(&mut gw, &client, 1);
    gw.pass_ms(6_000);
    let sources: Vec<_> = gw.datagrams().iter().map(|d| (d.kind(), d.from.ip().to_string())).collect();
    assert_eq!(sources, [(1, "192.0.2.2".to_owned()), (1, "192.0.2.1".to_owned())]);
    gw.finish();
}

/// PROTOCOL A7.3: so does the handshake that T3 begins.
#[test]
fn t3_forgets_the_source_address() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    client.to = "192.0.2.2:51820".parse().unwrap();
    gw.add(&client);
    gw.connect(&mut client);
    gw.frames();
    send(&mut gw, &client, 1);
    gw.pass_ms(15_500);
    let sources: Vec<_> = gw.datagrams().iter().map(|d| (d.kind(), d.from.ip().to_string())).collect();
    assert_eq!(sources, [(4, "192.0.2.2".to_owned()), (1, "192.0.2.1".to_owned())]);
    gw.finish();
}

/// PROTOCOL A4.1: a response counts as a handshake sent: no initiation of ours within 5 s of it. T1 is not lost for it.
#[test]
fn a_response_puts_our_own_initiation_off() {
    let mut client = Client::new(1);
    let mut gw = waiting(&client);
    assert_eq!(kinds(&mut gw), [1]);
    gw.pass_ms(3_000);
    // The client begins too; it never hears our answer.
    let initiation = client.initiation();
    gw.wan(&client.frame(&initiation));
    gw.settle();
    assert_eq!(kinds(&mut gw), [2]);
    gw.pass_ms(4_900);
    assert!(kinds(&mut gw).is_empty(), "within 5 s of the response");
    gw.pass_ms(3_000);
    assert_eq!(kinds(&mut gw), [1], "the packet still waits");
    gw.finish();
}

/// PROTOCOL A7.1: giving up ends T2 and lets T4 run: nothing is sent any more, and key material goes after 540 s.
#[test]
fn giving_up_is_the_end() {
    let (mut gw, client) = responder();
    gw.leap_ms(181_000);
    send(&mut gw, &client, 1);
    gw.pass_ms(110_000);
    assert_eq!(gw.dropped("no_answer"), 1);
    assert_eq!(kinds(&mut gw).len(), 20);
    gw.pass_ms(60_000);
    assert!(kinds(&mut gw).is_empty());
    assert!(gw.record(&client).lock().pending_index.is_none());
    gw.leap_ms(600_000);
    let flow = gw.record(&client).flow;
    assert!(gw.shared.flows.get(&gw.cores[0].reader, flow).unwrap().keys.is_empty());
    gw.finish();
}

/// PROTOCOL A5.8: a new private key ends the handshake under way, and the next one begins at once, with the new key.
#[test]
fn a_new_private_key_begins_anew_at_once() {
    let mut client = Client::new(1);
    let mut gw = waiting(&client);
    let old = gw.datagrams().remove(0);
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0xbb; 32])), ..ChangeSet::default() }).unwrap();
    gw.settle();
    let new = gw.datagrams();
    assert_eq!(new.iter().map(|d| d.kind()).collect::<Vec<_>>(), [1], "not put off by 5 s");
    let late = client.respond(&old.payload).unwrap();
    gw.silent(&[client.frame(&late)], "bad_mac1");
    // The client expects the old key: it does not take the new one's initiation for the old peer's.
    assert!(client.respond(&new[0].payload).is_none());
    gw.finish();
}

/// PROTOCOL A5.8: the same private key again changes nothing.
#[test]
fn the_same_private_key_again_changes_nothing() {
    let (mut gw, mut client) = responder();
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0xaa; 32])), ..ChangeSet::default() }).unwrap();
    gw.settle();
    send(&mut gw, &client, 1);
    let frame = client.data(&tagged(&client.inner(), HOST, 2, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!((kinds(&mut gw), gw.delivered().len()), (vec![4], 1));
    gw.finish();
}

/// PROTOCOL A10.5: a peer with our own key is passed over without a word, and others beside it are not.
#[test]
fn our_own_key_is_no_peer() {
    let mut gw = Gateway::new();
    let (mut own, mut client) = (Client::new(0xaa), Client::new(1));
    assert_eq!(own.key(), *crate::harness::server_identity().public_key());
    let allowed_ips = vec![allow("10.1.0.0/16")];
    let peers = vec![PeerChange { allowed_ips, ..peer(&own) }, peer(&client)];
    gw.apply(ChangeSet { peers, ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.interface.peers(), 1);
    let initiation = own.initiation();
    gw.silent(&[own.frame(&initiation)], "handshake_refused");
    gw.connect(&mut client);
    gw.frames();
    gw.finish();
}
