#![expect(clippy::cast_possible_truncation, reason = "test values are small")]

mod bounds;
mod learning;
mod resolving;

use super::{Budget, Event, NeighbourPort, Neighbours, WaitError};
use crate::queue::sync::{Arc, AtomicUsize, Ordering};
use crate::wire::arp::{self, ArpPacket, Operation};
use crate::wire::ndp::{self, Advertisement, Ndp, Solicitation};
use crate::wire::{EtherType, EthernetFrame, Ipv6Packet, MacAddr, ethernet};
use std::net::{IpAddr, Ipv6Addr};

const PORT: u16 = 3;
const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
/// One host, and ourselves, by both families.
const HOSTS: [&str; 2] = ["10.0.0.9", "2001:db8::9"];
const OURS: [&str; 2] = ["10.0.0.1", "2001:db8::1"];
const OUR_LINK_LOCAL: &str = "fe80::ff:fe00:1";

/// Packets that may wait still.
#[derive(Clone)]
struct Room(Arc<AtomicUsize>);

impl Budget for Room {
    fn try_take(&self) -> bool {
        // Relaxed: one thread.
        let take = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn give_back(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One port, and a room for 100 packets that are numbers.
struct Lab {
    neighbours: Neighbours<u32>,
    room: Room,
    now_ms: u64,
    /// Neighbours that the data path uses.
    used: bool,
}

impl Lab {
    fn new() -> Self {
        Self::with(true)
    }

    fn with(is_proxy: bool) -> Self {
        let room = Room(Arc::new(AtomicUsize::new(100)));
        let mut neighbours = Neighbours::new(Box::new(room.clone()));
        let addresses = vec!["10.0.0.1/24".parse().unwrap(), "2001:db8::1/64".parse().unwrap()];
        neighbours.add_port(PORT, NeighbourPort { mac: OWN, addresses, is_proxy }, 1000);
        let mut lab = Self { neighbours, room, now_ms: 1000, used: false };
        lab.events();
        lab.wait(2000);
        lab
    }

    fn events(&mut self) -> Vec<Event<u32>> {
        self.neighbours.table.check();
        std::iter::from_fn(|| self.neighbours.poll()).collect()
    }

    fn wait(&mut self, ms: u64) -> Vec<Event<u32>> {
        self.now_ms += ms;
        let used = self.used;
        self.neighbours.tick(self.now_ms, &mut |_, _| used);
        self.events()
    }

    /// Gives it a frame; addresses that end in 7 are proxied.
    fn input(&mut self, frame: &[u8]) -> Vec<Event<u32>> {
        let is_proxied = |addr: IpAddr| match addr {
            IpAddr::V4(addr) => addr.octets()[3] == 7,
            IpAddr::V6(addr) => addr.octets()[15] == 7,
        };
        self.neighbours.input(PORT, frame, self.now_ms, &is_proxied);
        self.events()
    }

    fn enqueue(&mut self, addr: &str, packet: u32) -> Vec<Event<u32>> {
        self.neighbours.enqueue(PORT, ip(addr), packet, self.now_ms);
        self.events()
    }

    /// Makes a neighbour reachable.
    fn know(&mut self, addr: &str, mac: MacAddr) {
        self.neighbours.resolve(PORT, ip(addr), self.now_ms);
        let events = self.events();
        let answer = answer(sent(&events)[0], mac);
        assert_eq!(self.input(&answer), [resolved(addr, mac)]);
    }

    fn mac_of(&self, addr: &str) -> Option<MacAddr> {
        self.neighbours.table.state((PORT, ip(addr))).and_then(super::State::mac)
    }

    fn room_left(&self) -> usize {
        self.room.0.load(Ordering::Relaxed)
    }
}

fn ip(addr: &str) -> IpAddr {
    addr.parse().unwrap()
}

fn resolved(addr: &str, mac: MacAddr) -> Event<u32> {
    Event::Resolved { port: PORT, addr: ip(addr), mac }
}

fn removed(addr: &str) -> Event<u32> {
    Event::Removed { port: PORT, addr: ip(addr) }
}

fn deliver(addr: &str, mac: MacAddr, packet: u32) -> Event<u32> {
    Event::Deliver { port: PORT, addr: ip(addr), mac, packet }
}

fn dropped(addr: &str, reason: WaitError, packet: u32) -> Event<u32> {
    Event::Drop { port: PORT, addr: ip(addr), reason, packet }
}

/// The frames among the events; there is nothing else.
fn sent(events: &[Event<u32>]) -> Vec<&[u8]> {
    let frame = |event| match event {
        &Event::Send { port: PORT, ref frame } => &frame[..],
        other => panic!("{other:?} is no frame"),
    };
    events.iter().map(frame).collect()
}

/// What a frame says, and where it goes to.
#[derive(Debug, PartialEq)]
enum Said {
    Arp(ArpPacket),
    Solicitation(Solicitation),
    Advertisement(Advertisement),
}

fn said(frame: &[u8]) -> (MacAddr, Said) {
    assert!(frame.len() >= 60);
    let frame = EthernetFrame::new_checked(frame).unwrap();
    assert_eq!(frame.source(), OWN);
    let said = if frame.ether_type() == EtherType::ARP {
        Said::Arp(ArpPacket::new_checked(frame.payload()).unwrap())
    } else {
        match Ndp::new_checked(&Ipv6Packet::new_checked(frame.payload()).unwrap()).unwrap() {
            Ndp::Solicitation(message) => Said::Solicitation(message),
            Ndp::Advertisement(message) => Said::Advertisement(message),
        }
    };
    (frame.destination(), said)
}

/// Whom a frame asks for, and whether it asks that station alone.
fn asked(frame: &[u8]) -> (IpAddr, bool) {
    let (to, said) = said(frame);
    match said {
        Said::Arp(packet) if packet.operation == Operation::Request => {
            assert_eq!((packet.sender_mac, packet.sender_ip), (OWN, "10.0.0.1".parse().unwrap()));
            (packet.target_ip.into(), !to.is_broadcast())
        }
        Said::Solicitation(message) => {
            assert_eq!(message.source_mac, Some(OWN));
            assert_eq!(message.destination == message.target, !to.is_multicast());
            (message.target.into(), !to.is_multicast())
        }
        other => panic!("{other:?} asks nothing"),
    }
}

/// A station's answer to a question of ours.
fn answer(frame: &[u8], mac: MacAddr) -> Vec<u8> {
    match said(frame).1 {
        Said::Arp(request) => arp_frame(mac, OWN, &request.reply(mac)),
        Said::Solicitation(message) => na_frame(mac, OWN, &message.reply(mac, false, true)),
        Said::Advertisement(_) => panic!("an advertisement is no question"),
    }
}

/// A station's question for `target`.
fn question(mac: MacAddr, source: &str, target: &str) -> Vec<u8> {
    match (ip(source), ip(target)) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            arp_frame(mac, MacAddr::BROADCAST, &ArpPacket::request(mac, source, target))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => ns_frame(mac, &Solicitation::multicast(source, mac, target)),
        _ => panic!("families differ"),
    }
}

fn arp_frame(from: MacAddr, to: MacAddr, packet: &ArpPacket) -> Vec<u8> {
    let mut bytes = [0; arp::LEN];
    packet.write(&mut bytes);
    frame(from, to, EtherType::ARP, &bytes)
}

fn ns_frame(from: MacAddr, message: &Solicitation) -> Vec<u8> {
    let mut bytes = [0; ndp::LEN];
    let len = message.write(&mut bytes);
    frame(from, ndp::solicited_node_mac(message.target), EtherType::IPV6, &bytes[..len])
}

fn na_frame(from: MacAddr, to: MacAddr, message: &Advertisement) -> Vec<u8> {
    let mut bytes = [0; ndp::LEN];
    let len = message.write(&mut bytes);
    frame(from, to, EtherType::IPV6, &bytes[..len])
}

fn frame(from: MacAddr, to: MacAddr, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; ethernet::HEADER_LEN];
    ethernet::write_header(&mut header, to, from, kind);
    [&header, payload].concat()
}

/// An advertisement of `target` by `mac`.
fn advertisement(target: &str, mac: MacAddr) -> Advertisement {
    let target: Ipv6Addr = target.parse().unwrap();
    Advertisement {
        source: target,
        destination: OURS[1].parse().unwrap(),
        target,
        target_mac: Some(mac),
        is_router: false,
        is_solicited: true,
        is_override: true,
    }
}
