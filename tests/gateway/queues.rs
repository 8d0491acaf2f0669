//! Bounds: queues, staging, the budget; and packets that are not as they should be.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options, Role, peer};
use crate::packets::{self, tag, tagged};
use crate::scenes::connected;
use culvert::control::change::PeerChange;
use culvert::frame::heap::{HeapPacket, HeapPool};
use culvert::frame::{Frame, Kind, Meta, Packet, PacketPool};

fn tags(packets: &[Vec<u8>]) -> Vec<u32> {
    packets.iter().map(|p| tag(p)).collect()
}

/// PROTOCOL A1.13: 1,024 packets.
#[test]
fn a_queue_holds_1024_packets_and_the_newest_are_dropped() {
    let (mut gw, mut client) = connected(&Options::workers(1));
    for n in 0..1030 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
    }
    // The worker stands still.
    while gw.turn(0) > 0 {}
    assert_eq!(gw.dropped("queue_full"), 12);
    gw.settle();
    assert_eq!(tags(&gw.delivered()), (0..1024).collect::<Vec<_>>());
    assert_eq!(tags(&gw.received_by(&client)), (0..1024).collect::<Vec<_>>());
    gw.finish();
}

#[test]
fn one_full_queue_leaves_the_other_peers_alone() {
    let (mut gw, _) = connected(&Options::workers(1));
    let mut other = Client::new(2);
    gw.add(&other);
    gw.connect(&mut other);
    for n in 0..1100 {
        gw.lan(&tagged(HOST, "10.1.0.1", n, 96));
        if n % 10 == 0 {
            gw.lan(&tagged(HOST, &other.inner(), n / 10, 96));
        }
    }
    while gw.turn(0) > 0 {}
    gw.settle();
    assert_eq!(gw.dropped("queue_full"), 1100 - 1024);
    assert_eq!(tags(&gw.received_by(&other)), (0..110).collect::<Vec<_>>());
    gw.finish();
}

/// PROTOCOL A1.12: 128 packets, the oldest goes.
#[test]
fn at_most_128_packets_wait_for_a_session_and_the_oldest_make_room() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    for n in 0..150 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    gw.settle();
    assert_eq!((gw.dropped("stage_overflow"), gw.shared.staged.held()), (22, 128));
    let initiation = gw.datagrams().remove(0);
    let response = client.respond(&initiation.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(tags(&gw.received_by(&client)), (22..150).collect::<Vec<_>>());
    gw.finish();
}

#[test]
fn all_that_waits_is_an_eighth_of_the_pool_at_most() {
    let mut gw = Gateway::with(&Options { pool: 1024, ..Options::default() });
    let clients: Vec<Client> = (1..=3).map(Client::new).collect();
    for client in &clients {
        gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(client) });
    }
    for n in 0..60 {
        for client in &clients {
            gw.lan(&tagged(HOST, &client.inner(), n, 96));
        }
    }
    gw.settle();
    assert_eq!((gw.shared.staged.held(), gw.dropped("stage_full")), (128, 180 - 128));
    gw.frames();
    gw.finish();
}

/// PROTOCOL A8.1: no endpoint is an error at once.
#[test]
fn a_peer_that_cannot_be_reached_stages_nothing() {
    // PROTOCOL A8: no endpoint is an error at once; else a scan over peers that never came would starve the others.
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.change_peer(PeerChange { persistent_keepalive: Some(1), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert_eq!((gw.shared.staged.held(), gw.dropped("no_endpoint")), (0, 1));
    gw.pass_ms(20_000);
    assert_eq!(gw.shared.staged.held(), 0);
    assert!(gw.datagrams().is_empty());
    gw.finish();
}

#[test]
fn keepalives_do_not_pile_up_for_a_peer_that_does_not_answer() {
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.change_peer(PeerChange { persistent_keepalive: Some(1), endpoint: Some(client.at), ..peer(&client) });
    gw.pass_ms(60_000);
    assert!(gw.shared.staged.held() <= 1, "{}", gw.shared.staged.held());
    assert!(gw.datagrams().iter().all(|d| d.kind() == 1));
    gw.finish();
}

#[test]
fn a_worker_without_tx_queues_sends_by_an_io_core() {
    let (mut gw, mut client) = connected(&Options { cores: vec![Role::Io, Role::WorkerByIo], ..Options::default() });
    for n in 0..100 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    let frame = client.data(&packets::echo(&client.inner(), "10.0.0.1"));
    gw.settle();
    assert_eq!(tags(&gw.delivered()), (0..100).collect::<Vec<_>>());
    assert_eq!(tags(&gw.received_by(&client)), (0..100).collect::<Vec<_>>());
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.received_by(&client).len(), 1);
    gw.finish();
}

#[test]
fn an_io_core_sends_as_much_for_others_as_it_receives() {
    let cores = vec![Role::Io, Role::WorkerByIo];
    let (mut gw, mut client) = connected(&Options { cores, pool: 32_768, ..Options::default() });
    for n in 0..9000 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    gw.settle();
    assert_eq!((gw.dropped("tx_full"), gw.delivered().len(), gw.received_by(&client).len()), (0, 9000, 9000));
    gw.finish();
}

#[test]
fn a_full_tx_ring_drops_by_name() {
    let (mut gw, mut client) = connected(&Options::default());
    gw.lan_tx.set_bound(3);
    for n in 0..10 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
    }
    gw.settle();
    assert_eq!((tags(&gw.delivered()), gw.dropped("tx_full")), (vec![0, 1, 2], 7));
    gw.finish();
}

/// A pool's packet that pretends.
fn pretend(gw: &Gateway, bytes: &[u8], change: impl FnOnce(&mut HeapPacket)) -> HeapPacket {
    let mut packet = gw.pool.alloc().unwrap();
    change(&mut packet);
    packet.append(bytes.len()).unwrap().copy_from_slice(bytes);
    packet
}

/// TESTING A20, and mbufs that are shared or of another pool.
#[test]
fn packets_without_room_or_with_owners_or_from_elsewhere_are_copied() {
    let (mut gw, client) = connected(&Options::default());
    let frame = |n| packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), n, 1000));
    let packets = [
        HeapPacket::from_bytes(&frame(0)),
        pretend(&gw, &frame(1), |p| p.set_headroom(0).unwrap()),
        pretend(&gw, &frame(2), |p| p.set_headroom(67).unwrap()),
        pretend(&gw, &frame(3), |p| p.set_headroom(128 + 2048 - 1014).unwrap()),
        pretend(&gw, &frame(4), |p| p.set_headroom(128 + 2048 - 1014 - 31).unwrap()),
        pretend(&gw, &frame(5), |p| p.set_shared(true)),
    ];
    for packet in packets {
        gw.lan_rx[0].push(packet);
    }
    gw.settle();
    assert_eq!(tags(&gw.received_by(&client)), [0, 1, 2, 3, 4, 5]);
    gw.finish();
}

/// TESTING A19; over real mbufs in `tests/ring/full.rs`.
/// Mistake: oversized datagram kills the receive task.
#[test]
fn chained_packets_are_copied_whole_or_dropped_by_name() {
    let (mut gw, client) = connected(&Options::default());
    // 100 bytes more than the first segment holds: its IP length says so.
    let mut whole = tagged(HOST, &client.inner(), 1, 600);
    whole.truncate(500);
    let frame = packets::frame(LAN_MAC, HOST_MAC, &whole);
    let mut packet = gw.packet(&frame);
    packet.set_chained_len(100);
    gw.lan_rx[0].push(packet);
    gw.settle();
    let received = gw.received_by(&client);
    assert_eq!((received.len(), received[0].len()), (1, 608));
    // More than a packet holds.
    let mut packet = gw.packet(&frame);
    packet.set_chained_len(9000);
    gw.lan_rx[0].push(packet);
    gw.settle();
    assert_eq!(gw.dropped("not_plain"), 1);
    gw.finish();
}

#[test]
fn an_empty_pool_drops_foreign_packets_by_name() {
    let (mut gw, client) = connected(&Options { pool: 64, ..Options::default() });
    let hoard: Vec<_> = std::iter::from_fn(|| gw.pool.alloc()).collect();
    let foreign = HeapPool::new(1);
    let frame = packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), 1, 96));
    gw.lan_rx[0].push(foreign.alloc_with(&frame).unwrap());
    gw.settle();
    assert_eq!((gw.dropped("foreign_mbuf"), foreign.outstanding()), (1, 0));
    drop(hoard);
    gw.finish();
}

#[test]
fn notes_of_a_packets_former_life_mean_nothing() {
    let (mut gw, mut client) = connected(&Options::default());
    let inner = packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), 1, 96));
    let outer = client.data(&tagged(&client.inner(), HOST, 2, 96));
    let stale = Meta {
        source: [9; 16],
        counter: 1 << 40,
        receiver: 77,
        keypair_serial: 78,
        source_port: 79,
        local_address: 1,
        local_port: 80,
        tunnel: 5,
        sealed_at: 81,
        port: 7,
        nic: 0,
        kind: Kind::Data,
        verdict: 5,
        outer_tos: 3,
    };
    let with = |gw: &Gateway, bytes: &[u8]| {
        let mut packet = gw.packet(bytes);
        *packet.meta_mut() = stale;
        packet
    };
    gw.lan_rx[0].push(with(&gw, &inner));
    gw.wan_rx[0].push(with(&gw, &outer));
    gw.settle();
    assert_eq!((tags(&gw.delivered()), tags(&gw.received_by(&client))), (vec![2], vec![1]));
    assert_eq!(gw.endpoint(&client).unwrap().local, Some("192.0.2.1:51820".parse().unwrap()));
    gw.finish();
}
