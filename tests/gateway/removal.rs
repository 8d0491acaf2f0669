//! A peer goes while its packets are everywhere (TESTING A23).

use crate::client::Client;
use crate::harness::{Gate, Gateway, HOST, HOST_MAC, LAN_MAC, Options, Role, peer};
use crate::packets::{self, IcmpError, tag, tagged};
use crate::running::{Running, take};
use crate::scenes::{asking, connected};
use culvert::control::change::{ChangeSet, PeerChange};
use culvert::frame::heap::HeapWire;
use culvert::queue::{Dir, sync::Arc};

/// TESTING A23: queued both ways.
#[test]
fn what_is_queued_both_ways_is_dropped_as_peer_gone() {
    let (mut gw, mut client) = connected(&Options::workers(2));
    for n in 0..200 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
    }
    while gw.turn(0) > 0 {}
    gw.remove(&client);
    gw.settle();
    let (wan, lan) = gw.frames();
    assert_eq!((wan.len(), lan.len(), gw.dropped("peer_gone")), (0, 0, 400));
    assert_eq!(gw.writer.poll(), 0);
    gw.finish();
}

#[test]
fn what_is_staged_is_dropped_as_peer_gone() {
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    for n in 0..100 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    gw.settle();
    gw.frames();
    assert_eq!(gw.shared.staged.held(), 100);
    gw.remove(&client);
    gw.settle();
    assert_eq!((gw.dropped("peer_gone"), gw.shared.staged.held(), gw.writer.poll()), (100, 0, 0));
    gw.finish();
}

#[test]
fn what_is_not_yet_received_finds_nobody() {
    let (mut gw, mut client) = connected(&Options::default());
    let initiation = client.initiation();
    let frames = [client.data(&tagged(&client.inner(), HOST, 1, 96)), client.frame(&initiation)];
    gw.remove(&client);
    gw.silent(&frames[..1], "unknown_index");
    gw.silent(&frames[1..], "handshake_refused");
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert_eq!(gw.dropped("no_peer"), 1);
    gw.finish();
}

#[test]
fn a_handshake_under_way_ends_with_its_peer() {
    let (mut gw, mut client, initiation) = asking(1, 1);
    let response = client.respond(&initiation.payload).unwrap();
    gw.remove(&client);
    gw.settle();
    gw.silent(&[client.frame(&response)], "handshake_refused");
    // Its timers are gone too.
    gw.pass_ms(6000);
    assert!(gw.datagrams().is_empty());
    gw.finish();
}

#[test]
fn what_another_client_sends_to_a_peer_that_goes() {
    let (mut gw, one) = connected(&Options::workers(2));
    let mut two = Client::new(2);
    gw.add(&two);
    gw.connect(&mut two);
    gw.frames();
    for n in 0..100 {
        let frame = two.data(&tagged(&two.inner(), &one.inner(), n, 96));
        gw.wan(&frame);
    }
    while gw.turn(0) > 0 {}
    // One worker forwards them to the queue of the first client, the other stands still.
    gw.turn(2);
    gw.remove(&one);
    gw.settle();
    let gone = gw.dropped("peer_gone") + gw.dropped("no_route");
    // The second client hears of some that are lost.
    let sent = gw.datagrams().iter().filter(|d| d.to == one.at).count() as u64;
    assert_eq!(gone + sent, 100, "{:?}", gw.drops());
    gw.finish();
}

/// TESTING A23: in the cipher.
#[test]
fn a_sealed_chunk_whose_turn_has_not_come_is_dropped_as_peer_gone() {
    let gate = Gate::default();
    let (mut gw, _) = connected(&Options { gate: Some(gate.clone()), ..Options::workers(2) });
    // The home of the second flow is the second worker, which has the gate.
    let mut client = Client::new(2);
    gw.add(&client);
    gw.connect(&mut client);
    let flow = gw.record(&client).flow;
    assert_eq!(flow.0 % 2, 1);
    gw.frames();
    for n in 0..200 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    while gw.turn(0) > 0 {}
    let domain = Arc::clone(gw.cores[0].reader.domain());
    gate.set(true);
    let gw = Running::start(gw);
    let queued = || gw.shared.flows.get(&domain.register().unwrap(), flow).map(|f| f.queued(Dir::Egress));
    gw.wait("a chunk for each worker", || queued() == Some(200 - 2 * 64) && gate.is_reached());
    let remove = PeerChange { public_key: client.key(), remove: true, ..PeerChange::default() };
    let interface = Arc::clone(&gw.interface);
    let change = ChangeSet { peers: vec![remove], ..ChangeSet::default() };
    let removal = std::thread::spawn(move || interface.apply(change));
    gw.wait("the removal's begin", || queued().is_none());
    gate.set(false);
    removal.join().unwrap().unwrap();
    gw.wait("the rest", || gw.dropped("peer_gone") + gw.wan_tx.len() as u64 == 200);
    // The first chunk's turn had come; it was being sent.
    assert_eq!((gw.wan_tx.len(), gw.dropped("peer_gone")), (64, 136));
    gw.finish();
}

#[test]
fn a_peer_that_comes_back_begins_anew() {
    let (mut gw, mut client) = connected(&Options::default());
    for _ in 0..5 {
        gw.remove(&client);
        gw.add(&client);
        let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
        gw.silent(&[frame], "unknown_index");
        gw.connect(&mut client);
        let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
        gw.wan(&frame);
        gw.settle();
        assert_eq!(gw.delivered().len(), 1);
    }
    gw.finish();
}

/// What was delivered: all but what the host is told about its own packets.
fn data(wire: &HeapWire) -> Vec<Vec<u8>> {
    take(wire).into_iter().filter(|frame| IcmpError::of(&frame[14..]).is_none()).collect()
}

/// TESTING A23: nothing is delivered after `remove` returns.
#[test]
fn a_thousand_removals_under_traffic() {
    const ROUNDS: u32 = 1000;
    let cores = vec![Role::Io, Role::Io, Role::Worker, Role::Worker];
    let (gw, mut steady) = connected(&Options { cores, pool: 16_384, ..Options::default() });
    let gw = Running::start(gw);
    let mut client = Client::new(2);
    let mut seen = 0;
    for round in 0..ROUNDS {
        gw.change(peer(&client));
        gw.handshake(&mut client);
        for n in 0..20_u32 {
            let queue = n as usize % 2;
            let frame = client.data(&tagged(&client.inner(), HOST, round, 96));
            gw.send(&gw.wan_rx[queue], &frame);
            gw.send(&gw.lan_rx[queue], &packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), round, 96)));
            let frame = steady.data(&tagged(&steady.inner(), &client.inner(), round, 96));
            gw.send(&gw.wan_rx[1 - queue], &frame);
        }
        let before = data(&gw.lan_tx).len();
        gw.change(PeerChange { public_key: client.key(), remove: true, ..PeerChange::default() });
        // All that is delivered from now on is of later rounds.
        seen += before + data(&gw.lan_tx).len();
        let mut later = Vec::new();
        gw.wait("the queues", || {
            later.extend(data(&gw.lan_tx));
            gw.wan_rx.iter().chain(&gw.lan_rx).all(HeapWire::is_empty)
        });
        assert!(later.iter().all(|f| tag(&f[14..]) > round), "delivered after the removal");
        assert_eq!(later.len(), 0);
        if round % 100 == 0 {
            client.sessions.clear();
        }
    }
    assert!(seen > 0, "nothing was ever delivered");
    gw.finish();
}
