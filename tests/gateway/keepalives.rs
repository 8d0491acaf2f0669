//! T2, T3 and T5 beyond their first beat (PROTOCOL A7).

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, peer};
use crate::packets::tagged;
use crate::roles::{initiator, keepalive, kinds, responder, send};
use culvert::control::change::{ChangeSet, PeerChange};
use std::collections::HashSet;
use std::net::SocketAddr;

fn receive(gw: &mut Gateway, client: &mut Client) {
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    gw.delivered();
}

/// PROTOCOL A7.2: one keepalive for all data of ten seconds, without jitter; what comes after it has one of its own.
#[test]
fn t2_answers_what_came_since_the_last_packet_sent() {
    let (mut gw, mut client) = responder();
    receive(&mut gw, &mut client);
    gw.pass_ms(5_000);
    receive(&mut gw, &mut client);
    gw.pass_ms(4_900);
    assert!(kinds(&mut gw).is_empty());
    gw.pass_ms(200);
    assert_eq!(kinds(&mut gw), [4]);
    gw.pass_ms(1_900);
    receive(&mut gw, &mut client);
    gw.pass_ms(9_900);
    assert!(kinds(&mut gw).is_empty());
    gw.pass_ms(200);
    assert_eq!(kinds(&mut gw), [4]);
    gw.pass_ms(30_000);
    assert!(kinds(&mut gw).is_empty());
    gw.finish();
}

/// PROTOCOL A7.2: T2 fires once. Where no session is left to send its keepalive under, it asks for one, and no more than the 20
/// initiations of one handshake come of it.
#[test]
fn t2_without_a_session_asks_for_one_once() {
    let (mut gw, mut client) = responder();
    gw.leap_ms(175_000);
    gw.frames();
    receive(&mut gw, &mut client);
    gw.pass_ms(115_000);
    let sent = kinds(&mut gw);
    assert!((1..=20).contains(&sent.len()) && sent.iter().all(|kind| *kind == 1), "{sent:?}");
    gw.pass_ms(60_000);
    assert!(kinds(&mut gw).is_empty(), "it never gives up");
    gw.finish();
}

/// PROTOCOL A7.6: keepalives that nobody answers start no handshake.
/// PROTOCOL A7.3: T3 is armed by data alone.
#[test]
fn keepalives_do_not_arm_t3() {
    let (mut gw, client) = responder();
    gw.change_peer(PeerChange { public_key: client.key(), persistent_keepalive: Some(5), ..PeerChange::default() });
    gw.pass_ms(60_000);
    let sent = kinds(&mut gw);
    assert!(sent.len() >= 11 && sent.iter().all(|kind| *kind == 4), "{sent:?}");
    gw.finish();
}

/// PROTOCOL A7.6: handshake messages are authenticated packets: one received stops T3, one sent stops T2.
#[test]
fn a_handshake_stops_t2_and_t3() {
    let (mut gw, mut client) = responder();
    send(&mut gw, &client, 1);
    gw.pass_ms(14_000);
    gw.frames();
    gw.handshake_of(&mut client);
    gw.pass_ms(5_000);
    assert!(kinds(&mut gw).is_empty(), "T3 went on");
    keepalive(&mut gw, &mut client);
    receive(&mut gw, &mut client);
    gw.pass_ms(9_000);
    gw.handshake_of(&mut client);
    gw.pass_ms(5_000);
    assert!(kinds(&mut gw).is_empty(), "T2 went on");
    gw.finish();
}

/// TESTING A27: a client that answers every keepalive with one gets no ping-pong.
/// PROTOCOL A7.6: keepalives are not answered.
#[test]
fn no_ping_pong() {
    for (mut gw, mut client) in [initiator(), responder()] {
        receive(&mut gw, &mut client);
        let mut sent = 0;
        for _ in 0..100 {
            gw.pass_ms(1_000);
            for _ in kinds(&mut gw) {
                sent += 1;
                keepalive(&mut gw, &mut client);
            }
        }
        assert_eq!(sent, 1, "T2's, and no other");
        gw.finish();
    }
}

/// PROTOCOL A7.5: T5 counts from anything authenticated that was received, too.
#[test]
fn t5_is_put_off_by_what_comes() {
    let (mut gw, mut client) = responder();
    gw.change_peer(PeerChange { public_key: client.key(), persistent_keepalive: Some(10), ..PeerChange::default() });
    gw.frames();
    for _ in 0..6 {
        gw.pass_ms(9_000);
        assert!(kinds(&mut gw).is_empty());
        keepalive(&mut gw, &mut client);
    }
    gw.pass_ms(10_200);
    assert_eq!(kinds(&mut gw), [4]);
    gw.change_peer(PeerChange { public_key: client.key(), persistent_keepalive: Some(0), ..PeerChange::default() });
    gw.pass_ms(30_000);
    assert!(kinds(&mut gw).is_empty(), "switched off");
    gw.finish();
}

/// PROTOCOL A7.7: six thousand peers with persistent keepalive come in one change. Their handshakes are spread by what the handshake
/// thread takes: the pool is never near its end, a client that is there loses nothing, and everyone gets an initiation.
#[test]
fn persistent_keepalives_of_all_peers_at_once() {
    const PEERS: u32 = 6_000;
    let mut gw = Gateway::with(&Options { max_peers: PEERS + 1, pool: 1024, ..Options::default() });
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    gw.frames();
    let peers = (0..PEERS).map(|n| {
        let mut public_key = [9; 32];
        public_key[..4].copy_from_slice(&n.to_le_bytes());
        let endpoint = SocketAddr::new(std::net::Ipv4Addr::from(0xc633_0000 + n).into(), 7);
        PeerChange { public_key, endpoint: Some(endpoint), persistent_keepalive: Some(25), ..PeerChange::default() }
    });
    gw.apply(ChangeSet { peers: peers.collect(), ..ChangeSet::default() }).unwrap();
    let (mut asked, mut passed, mut most, mut steps) = (HashSet::new(), 0, 0, 0);
    while asked.len() < PEERS as usize {
        gw.step();
        steps += 1;
        if steps % 16 == 0 {
            gw.time.fetch_add(1, culvert::queue::sync::Ordering::Relaxed);
            let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
            gw.wan(&frame);
            passed += 1;
        }
        most = most.max(gw.pool.outstanding() - gw.wan_tx.len() - gw.lan_tx.len());
        asked.extend(gw.datagrams().iter().filter(|d| d.kind() == 1).map(|d| d.to));
        passed -= gw.delivered().len();
        assert!(steps < 200_000, "{} of {PEERS}", asked.len());
    }
    assert!(most < 512, "{most} packets of the pool were out");
    gw.frames();
    gw.settle();
    passed -= gw.delivered().len();
    assert_eq!(passed, 0, "packets of the client that was there");
    gw.frames();
    gw.finish();
}

/// PROTOCOL A4.5: persistent keepalive without a private key asks for nothing, until there is one.
#[test]
fn persistent_keepalive_waits_for_the_private_key() {
    use culvert::control::change::SecretKey;
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0; 32])), ..ChangeSet::default() }).unwrap();
    gw.change_peer(PeerChange { endpoint: Some(client.at), persistent_keepalive: Some(25), ..peer(&client) });
    gw.pass_ms(60_000);
    assert!(kinds(&mut gw).is_empty());
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0xaa; 32])), ..ChangeSet::default() }).unwrap();
    gw.pass_ms(2_000);
    assert_eq!(kinds(&mut gw), [1]);
    gw.finish();
}
