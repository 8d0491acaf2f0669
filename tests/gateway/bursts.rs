//! A burst is classified as each of its packets alone would be, whatever it holds.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, HOST6, LAN, LAN_MAC, ROUTER_MAC, WAN, WAN_MAC};
use crate::packets::{self, Ip, tagged};
use culvert::datapath::{Way, classify, classify_burst};
use culvert::frame::heap::{HeapPacket, HeapWire};
use culvert::frame::{BURST, Frame, Meta, Packet};
use culvert::shared::{Port, Roles};
use culvert::wire::{ipv4, protocol};
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use std::cell::RefCell;
use std::net::SocketAddr;

/// Every way that a packet of an inner or an outer port can take, once, and frames of neighbours.
fn frames(clients: &mut [Client]) -> Vec<Vec<u8>> {
    let ttl = |ttl, protocol, to: &str, payload: &[u8]| {
        packets::ip(packets::addr(HOST), packets::addr(to), Ip { tos: 3, ttl, protocol }, payload)
    };
    let (one, two) = (clients[0].inner(), clients[1].inner());
    let mut inner = vec![
        tagged(HOST, &one, 1, 64),
        tagged(HOST, &two, 2, 1400),
        tagged(HOST6, &clients[0].inner6(), 3, 96),
        tagged(HOST, "10.99.0.9", 4, 64),
        tagged(HOST6, "fd99::1", 4, 64),
        tagged(HOST, "10.0.0.1", 5, 64),
        tagged(HOST6, "fd00::1", 5, 64),
        packets::echo(HOST, "10.0.0.1"),
        packets::echo(HOST6, "fd00::1"),
        packets::echo(HOST, &one),
        packets::echo(HOST6, &clients[1].inner6()),
        ttl(1, protocol::UDP, &one, &[7; 20]),
        ttl(0, protocol::TCP, &two, &[7; 20]),
        // Neighbour discovery in a packet of the wrong family, and what is none.
        ttl(9, protocol::ICMPV6, &one, &[135; 20]),
        ttl(9, protocol::ICMPV6, &one, &[1; 20]),
        packets::with_flags(tagged(HOST, &one, 6, 64), 0x2010),
    ];
    inner.push([&tagged(HOST, &two, 7, 64)[..], &[0; 9]].concat());
    let mut frames: Vec<_> = inner.iter().map(|packet| packets::frame(LAN_MAC, HOST_MAC, packet)).collect();
    let data: Vec<_> = clients.iter_mut().map(|client| client.data(&tagged(&client.inner(), HOST, 9, 64))).collect();
    let (from, to) = (clients[0].at, clients[0].to);
    let udp = |to: SocketAddr, payload: &[u8]| packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(from, to, 2, payload));
    let message = data[0][42..].to_vec();
    let mut unknown = message.clone();
    unknown[4] ^= 0x55;
    frames.extend(data);
    frames.extend([
        udp(to, &unknown),
        udp(to, &message[..33]),
        udp(to, &message[..20]),
        udp(SocketAddr::new(packets::addr("192.0.2.2"), to.port()), &message),
        udp(SocketAddr::new(packets::addr("192.0.2.9"), to.port()), &message),
        udp(SocketAddr::new(to.ip(), 9), &message),
    ]);
    for client in clients {
        let initiation = client.initiation();
        frames.push(client.frame(&initiation));
    }
    frames
}

/// What becomes of one of the frames: which one, what is said in it, how much of it is left, and what a NIC says.
#[derive(Clone, Debug)]
struct Change {
    frame: usize,
    bytes: Vec<(usize, u8)>,
    len: Option<usize>,
    /// The IPv4 header's checksum is made right again, and the UDP checksum goes.
    mend: bool,
    checksum: u8,
}

fn changes() -> impl Strategy<Value = Change> {
    let byte = (0_usize..80, prop_oneof![any::<u8>(), 0_u8..3]);
    let bytes = prop_oneof![3 => prop::collection::vec(byte.clone(), 0..1), 2 => prop::collection::vec(byte, 1..4)];
    (any::<usize>(), bytes, prop::option::weighted(0.1, 0_usize..90), any::<bool>(), 0_u8..3)
        .prop_map(|(frame, bytes, len, mend, checksum)| Change { frame, bytes, len, mend, checksum })
}

fn changed(frames: &[Vec<u8>], change: &Change) -> Vec<u8> {
    let mut frame = frames[change.frame % frames.len()].clone();
    for (at, byte) in &change.bytes {
        if let Some(place) = frame.get_mut(*at) {
            *place = *byte;
        }
    }
    frame.truncate(change.len.unwrap_or(frame.len()));
    if change.mend && frame.get(14).is_some_and(|first| first >> 4 == 4) {
        if frame.len() > 42 && frame[23] == protocol::UDP {
            frame[40..42].fill(0);
        }
        ipv4::write_checksum(&mut frame[14..]);
    }
    frame
}

struct Scene {
    gw: Gateway,
    frames: Vec<Vec<u8>>,
    ports: Vec<Port>,
}

thread_local! {
    static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

fn scene() -> Scene {
    let mut gw = Gateway::new();
    let mut clients = [Client::new(1), Client::v6(2)];
    for client in &mut clients {
        gw.add(client);
        gw.connect(client);
    }
    // It lives as long as the thread, and is never taken down.
    gw.guard.finished = true;
    let roles = |roles: Roles, port: u16| Port { roles, ..gw.shared.ports[usize::from(port)].clone() };
    let both = Roles { outer: true, inner: true };
    let mut ports = gw.shared.ports.clone();
    ports.extend([roles(both, WAN), roles(both, LAN), roles(Roles { outer: false, inner: false }, LAN)]);
    // Frames of both ports come to each: their addresses are the same to them.
    let mut frames = frames(&mut clients);
    let other = |frame: &Vec<u8>| {
        let mac = if frame[..6] == WAN_MAC.0 { LAN_MAC } else { WAN_MAC };
        [&mac.0, &frame[6..]].concat()
    };
    frames.extend(frames.iter().map(other).collect::<Vec<_>>());
    Scene { gw, frames, ports }
}

fn check(port: usize, changes: &[Change]) {
    SCENE.with_borrow_mut(|scene_cell| {
        let Scene { gw, frames, ports } = scene_cell.get_or_insert_with(scene);
        let packet = |change: &Change| {
            let mut packet = gw.packet(&changed(frames, change));
            packet.meta_mut().nic = u16::from(change.checksum) << Meta::CHECKSUM_SHIFT;
            packet
        };
        let port = &ports[port % ports.len()];
        let reader = &gw.cores[0].reader;
        let mut together: Vec<HeapPacket> = changes.iter().map(packet).collect();
        let mut ways = arrayvec::ArrayVec::new();
        classify_burst(&mut together, port, &gw.shared, reader, &mut ways);
        assert_eq!(ways.len(), changes.len());
        for ((change, together), way) in changes.iter().zip(&together).zip(ways) {
            let mut alone = packet(change);
            let expected = classify(&mut alone, port, &gw.shared, reader);
            assert_eq!(way, expected, "{change:?} by {port:?}");
            if !matches!(way, Way::Drop(_)) {
                let seen = |packet: &HeapPacket| -> (Meta, Vec<u8>) { (*packet.meta(), packet.data().to_vec()) };
                assert_eq!(seen(together), seen(&alone), "{change:?} by {port:?}");
            }
        }
    });
}

proptest! {
    #[test]
    fn a_burst_goes_the_ways_of_its_packets(port in any::<usize>(), changes in prop::collection::vec(changes(), 0..=BURST)) {
        check(port, &changes);
    }
}

/// The generated bursts mean something only while all ways are among them.
#[test]
fn every_way_is_taken() {
    let ways = (0..5).flat_map(|port| {
        SCENE.with_borrow_mut(|cell| {
            let Scene { gw, frames, ports } = cell.get_or_insert_with(scene);
            let ways = frames.iter().map(|frame| {
                let way = classify(&mut gw.packet(frame), &ports[port], &gw.shared, &gw.cores[0].reader);
                format!("{way:?}").split('(').next().unwrap().to_owned()
            });
            ways.collect::<Vec<_>>()
        })
    });
    let ways: std::collections::BTreeSet<_> = ways.collect();
    for way in ["Ingress", "Egress", "Handshake", "Control", "Undeliverable", "Drop"] {
        assert!(ways.contains(way), "{way} is not among {ways:?}");
    }
}

/// A queue alone has two full bursts a turn; where two queues bring a worker's batch together, each has one.
#[test]
fn a_full_burst_is_followed_by_another_where_few_came() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    (0..100).for_each(|n| gw.lan(&tagged(HOST, &client.inner(), n, 64)));
    let left = |wires: &[HeapWire]| wires.iter().map(HeapWire::len).sum::<usize>();
    gw.turn(0);
    assert_eq!(left(&gw.lan_rx), 100 - 2 * BURST);
    for n in 0..100 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 64));
        gw.wan(&frame);
    }
    gw.turn(0);
    assert_eq!((left(&gw.wan_rx), left(&gw.lan_rx)), (100 - BURST, 100 - 3 * BURST));
    gw.settle();
    gw.finish();
}
