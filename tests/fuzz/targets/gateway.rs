//! The whole gateway over heap packets, with one connected client. An input is a row of events, each a kind, a length
//! and bytes: frames, packets with right checksums, messages sealed by the client, time. Whatever comes, no packet is
//! lost or kept, nothing is sent to anyone but the client, and nothing of another source comes out of its tunnel.

use super::{Input, edit};
use crate::client::Client;
use crate::harness::{Gateway, HOST_MAC, LAN_MAC, ROUTER_MAC, WAN_MAC};
use crate::packets::{addr, frame};
use culvert::wire::checksum::Sum;
use culvert::wire::{EtherType, EthernetFrame, InnerPacket, UdpDatagram, protocol};
use std::cell::RefCell;
use std::net::IpAddr;

/// Events of one input, and inputs of one gateway, at most.
const EVENTS: usize = 16;
const INPUTS: usize = 256;
/// What a packet of the pool has room for, less the headers around it.
const ROOM: usize = 1900;

thread_local! {
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

struct Rig {
    gateway: Gateway,
    client: Client,
    inputs: usize,
}

pub(crate) fn run(data: &[u8]) {
    RIG.with_borrow_mut(|place| {
        let mut rig = place.take().unwrap_or_else(Rig::new);
        rig.inputs += 1;
        let mut input = Input(data);
        for _ in 0..EVENTS {
            if input.is_empty() {
                break;
            }
            rig.event(&mut input);
        }
        rig.check();
        if rig.inputs < INPUTS {
            *place = Some(rig);
        } else {
            // All packets are accounted for, and the pool is full again.
            rig.gateway.finish();
        }
    });
}

impl Rig {
    fn new() -> Self {
        let (mut gateway, mut client) = (Gateway::new(), Client::new(1));
        // The thread may end before the last of the inputs.
        gateway.guard.finished = true;
        gateway.add(&client);
        gateway.connect(&mut client);
        Self { gateway, client, inputs: 0 }
    }

    fn event(&mut self, input: &mut Input<'_>) {
        let (kind, len) = (input.byte(), usize::from(input.u16()).min(ROOM));
        let bytes = input.take(len);
        let gateway = &mut self.gateway;
        match kind % 8 {
            0 => gateway.wan(bytes),
            1 => gateway.lan_rx[0].push(gateway.packet(bytes)),
            2 => gateway.wan(&frame(WAN_MAC, ROUTER_MAC, &with_checksums(bytes))),
            3 => gateway.lan_rx[0].push(gateway.packet(&frame(LAN_MAC, HOST_MAC, &with_checksums(bytes)))),
            4 => gateway.wan(&self.client.frame(bytes)),
            5 => {
                let sealed = self.client.data(bytes);
                gateway.wan(&sealed);
            }
            6 => {
                // A changed message under the session.
                let mut sealed = self.client.data(b"");
                edit(&mut sealed, &mut Input(bytes));
                gateway.wan(&sealed);
            }
            _ => {
                let mut initiation = self.client.initiation();
                edit(&mut initiation, &mut Input(bytes));
                gateway.wan(&self.client.frame(&initiation));
                gateway.leap_ms(len as u64);
            }
        }
        gateway.settle();
        self.take();
    }

    /// What came out.
    fn take(&mut self) {
        for datagram in self.gateway.datagrams() {
            assert_eq!(datagram.to, self.client.at, "nobody else ever proved anything");
            if datagram.kind() == 2 {
                self.client.take_response(&datagram.payload);
            }
        }
        let ours = [addr(&self.client.inner()), addr(&self.client.inner6())];
        for frame in self.gateway.frames().1 {
            let frame = EthernetFrame::new_checked(&frame).unwrap();
            assert_eq!(frame.source(), LAN_MAC);
            if frame.ether_type() == EtherType::ARP {
                continue;
            }
            let inner = InnerPacket::parse(frame.payload()).unwrap();
            assert_eq!(inner.total_len, frame.payload().len());
            // The last is its link-local one, for neighbour discovery.
            let gateways = ["10.0.0.1", "fd00::1", "fe80::ff:fe00:2"].map(addr).contains(&inner.source);
            assert!(ours.contains(&inner.source) || gateways, "{} came out of the tunnel", inner.source);
        }
        self.client.sessions.drain(..self.client.sessions.len().saturating_sub(3));
    }

    /// What is not queued anywhere is back in the pool.
    fn check(&self) {
        let account = self.gateway.account();
        let inside = account.queued() + account.control_queued();
        assert_eq!(i128::try_from(self.gateway.pool.outstanding()).unwrap(), inside, "{account:?}");
    }
}

/// An IP packet whose lengths and checksums are made right, as far as its bytes allow.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut packet = bytes.to_vec();
    let len = u16::try_from(packet.len()).unwrap();
    let header = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            let header = usize::from(packet[0] & 15) * 4;
            packet[2..4].copy_from_slice(&len.to_be_bytes());
            packet[10..12].fill(0);
            let sum = Sum::new().bytes(&packet[..header.clamp(20, bytes.len())]).checksum();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        Some(6) if packet.len() >= 40 => {
            packet[4..6].copy_from_slice(&(len - 40).to_be_bytes());
            40
        }
        _ => return packet,
    };
    let Ok(inner) = InnerPacket::parse(&packet) else { return packet };
    let (kind, at) = if inner.source.is_ipv4() { (packet[9], 6) } else { (packet[6], 6) };
    if kind == protocol::UDP && packet.len() >= header + 8 {
        let udp_len = len - u16::try_from(header).unwrap();
        packet[header + 4..header + 6].copy_from_slice(&udp_len.to_be_bytes());
        packet[header + at..header + at + 2].fill(0);
        let sum = sum_of(&inner, kind, &packet[header..]);
        packet[header + at..header + at + 2].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        debug_assert!(UdpDatagram::new_checked(&packet[header..]).is_ok());
    } else if matches!(kind, protocol::ICMP | protocol::ICMPV6) && packet.len() >= header + 4 {
        packet[header + 2..header + 4].fill(0);
        let sum = sum_of(&inner, kind, &packet[header..]);
        packet[header + 2..header + 4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn sum_of(inner: &InnerPacket, kind: u8, payload: &[u8]) -> u16 {
    let len = payload.len();
    let sum = match (inner.source, inner.destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) if kind == protocol::UDP => {
            Sum::new().pseudo_v4(s, d, kind, u16::try_from(len).unwrap())
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => Sum::new().pseudo_v6(s, d, kind, u32::try_from(len).unwrap()),
        _ => Sum::new(),
    };
    sum.bytes(payload).checksum()
}
