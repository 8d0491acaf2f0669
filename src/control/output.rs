//! How control threads send: whole frames by way of an I/O core, keepalives by way of the peer's own queue.

use crate::frame::{Frame, Kind, Packet, PacketPool};
use crate::peer::Endpoint;
use crate::queue::{Chain, Dir, FlowId, Reader, Sender};
use crate::shared::{Counters, DropReason, Hop, PeerFlow, Point, Shared};
use crate::wire::{EtherType, Ipv4Header, Ipv6Header, MacAddr, UdpHeader, ethernet, ipv4, protocol, udp};
use std::net::IpAddr;

/// TTL of what we send ourselves (RFC 1700's default).
const TTL: u8 = 64;
/// [`ipv4::HEADER_LEN`] as the length field counts.
const IPV4_HEADER_LEN: u16 = 20;
const _: () = assert!(IPV4_HEADER_LEN as usize == ipv4::HEADER_LEN);
/// DSCP of initiations and responses: AF41 (PROTOCOL A1, HANDSHAKE_DSCP).
pub const HANDSHAKE_TOS: u8 = 0x88;

/// The ways out that control threads share. Clone it for each thread.
#[derive(Debug)]
pub struct Output<A: PacketPool> {
    /// Each port's I/O core, in order of port ids.
    ports: Vec<Sender<A::Packet>>,
}

/// One control thread's hands while it works: all that sending needs.
#[derive(Debug)]
pub struct Hands<'r, A: PacketPool> {
    /// Shared with the data path.
    pub shared: &'r Shared<A>,
    /// This thread's seat in the grace-period count.
    pub reader: &'r Reader,
    /// This thread's counters.
    pub counters: &'r Counters,
    /// The ways out.
    pub output: &'r Output<A>,
}

// By hand: a derived one would ask for packets that can be cloned.
impl<A: PacketPool> Clone for Output<A> {
    fn clone(&self) -> Self {
        Self { ports: self.ports.clone() }
    }
}

impl<A: PacketPool> Output<A> {
    /// `ports`: the inbox of each port's I/O core, in order of port ids.
    pub fn new(ports: Vec<Sender<A::Packet>>) -> Self {
        Self { ports }
    }
}

impl<A: PacketPool> Hands<'_, A> {
    /// Sends one UDP payload of interface `tunnel`, to this peer if it is known, from our end of `endpoint` to the other. What cannot go is
    /// counted and dropped.
    pub fn send_udp(&self, (tunnel, peer): (u8, Option<FlowId>), endpoint: &Endpoint, tos: u8, payload: &[u8]) {
        let Some(mut packet) = self.shared.pool.alloc() else { return };
        let hop = self.datagram(&mut packet, (tunnel, endpoint), tos, payload);
        if let (Some(Hop::Wire { port, .. } | Hop::Ask { port }), Some(peer)) = (hop, peer)
            && self.counters.tap.wants(Point::Sealed)
        {
            self.counters.tap.copy(Point::Sealed, port, Some(peer.0), &packet);
        }
        match hop {
            Some(Hop::Wire { port, .. }) => self.transmit(port, packet),
            Some(Hop::Ask { port }) => self.ask(port, Kind::AskOuter, packet),
            _ => self.lost(DropReason::NoOuterRoute, packet),
        }
    }

    /// Sends a whole frame by `port`.
    pub fn send_frame(&self, port: u16, frame: &[u8]) {
        let Some(mut packet) = self.shared.pool.alloc() else { return };
        match packet.append(frame.len()) {
            Some(room) => {
                room.copy_from_slice(frame);
                self.transmit(port, packet);
            }
            None => self.lost(DropReason::NoRoom, packet),
        }
    }

    /// Sends an IP packet of ours to where inner packets to its destination go: a peer, or the inner side. `port` is one that it may
    /// leave by.
    pub fn route_own(&self, port: u16, ip: &[u8]) {
        let Some(mut packet) = self.shared.pool.alloc() else { return };
        match packet.append(ip.len()) {
            Some(room) => {
                room.copy_from_slice(ip);
                self.hand_over(port, Kind::Route, packet);
            }
            None => self.lost(DropReason::NoRoom, packet),
        }
    }

    /// Sends an IP packet of ours by a hop of the inner side.
    pub fn send_inner(&self, hop: Hop, ip: &[u8]) {
        let Some(mut packet) = self.shared.pool.alloc() else { return };
        let macs = if let Hop::Wire { macs, .. } = hop { macs } else { [0; 12] };
        let filled = packet.append(ethernet::HEADER_LEN + ip.len()).and_then(|room| {
            let (header, body) = room.split_first_chunk_mut()?;
            write_ethernet(header, macs, ether_type(ip));
            body.copy_from_slice(ip);
            Some(())
        });
        match hop {
            _ if filled.is_none() => self.lost(DropReason::NoRoom, packet),
            Hop::Wire { port, .. } => self.transmit(port, packet),
            Hop::Ask { port } => self.ask(port, Kind::AskInner, packet),
            Hop::Local { .. } | Hop::None => self.lost(DropReason::NoRoute, packet),
        }
    }

    /// Puts an empty packet into the peer's egress queue: a worker seals it, as a keepalive.
    pub fn send_keepalive(&self, flow: &PeerFlow<A::Packet>, kind: Kind) {
        let Some(mut packet) = self.shared.pool.alloc() else { return };
        packet.meta_mut().kind = kind;
        let mut chain = Chain::new();
        chain.push_back(packet);
        // In a full queue something else goes in its place.
        if flow.push(self.reader, Dir::Egress, chain, &self.shared.flows).is_empty() {
            self.counters.generated.add(1);
        }
    }

    /// A packet that came from the data path goes back to it: to the wire of `port` as it is.
    pub fn give_back(&self, port: u16, packet: A::Packet) {
        self.return_to(port, Kind::Transmit, packet);
    }

    /// A packet that came from the data path goes back to it, as an inner packet of ours (no Ethernet header).
    pub fn route(&self, port: u16, packet: A::Packet) {
        self.return_to(port, Kind::Route, packet);
    }

    fn return_to(&self, port: u16, kind: Kind, packet: A::Packet) {
        match self.to_core(port, kind, packet) {
            Ok(()) => self.counters.control_returned.add(1),
            Err(packet) => self.counters.refused(port, &mut arrayvec::ArrayVec::from([packet])),
        }
    }

    /// A whole frame that was made of fragments goes to the data path, as if `port` had received it.
    pub fn receive(&self, port: u16, packet: A::Packet) {
        self.hand_over(port, Kind::Gathered, packet);
    }

    /// A packet of our own to the wire of `port`.
    fn transmit(&self, port: u16, packet: A::Packet) {
        self.hand_over(port, Kind::Transmit, packet);
    }

    fn hand_over(&self, port: u16, kind: Kind, packet: A::Packet) {
        if let Err(packet) = self.to_core(port, kind, packet) {
            self.counters.generated.add(1);
            self.counters.to_control.add(1);
            self.counters.refused(port, &mut arrayvec::ArrayVec::from([packet]));
        }
    }

    /// Hands a packet to the I/O core of `port`, which counts it from there; it comes back if that is behind.
    fn to_core(&self, port: u16, kind: Kind, mut packet: A::Packet) -> Result<(), A::Packet> {
        packet.meta_mut().kind = kind;
        packet.meta_mut().port = port;
        match self.output.ports.get(usize::from(port)) {
            Some(core) => core.send(packet)?,
            None => return Err(packet),
        }
        self.counters.generated.add(1);
        Ok(())
    }

    /// A packet of our own to the thread that resolves next hops.
    fn ask(&self, port: u16, kind: Kind, mut packet: A::Packet) {
        packet.meta_mut().kind = kind;
        packet.meta_mut().port = port;
        match self.shared.control.send(packet) {
            Ok(()) => {
                self.counters.generated.add(1);
                self.counters.to_control.add(1);
            }
            Err(packet) => self.lost(DropReason::ControlFull, packet),
        }
    }

    /// A packet of our own that goes nowhere: made, handed to control, dropped there.
    fn lost(&self, reason: DropReason, packet: A::Packet) {
        self.counters.generated.add(1);
        self.counters.to_control.add(1);
        self.counters.drop_packet(reason, packet);
    }

    /// Builds the datagram in `packet` and says where it goes.
    fn datagram(
        &self,
        packet: &mut A::Packet,
        (tunnel, endpoint): (u8, &Endpoint),
        tos: u8,
        payload: &[u8],
    ) -> Option<Hop> {
        let to = endpoint.remote.ip();
        let hop = self.shared.outer.hop(self.reader, to);
        let (Hop::Wire { port, .. } | Hop::Ask { port }) = hop else { return Some(hop) };
        let from = self.shared.source(tunnel, endpoint, port)?;
        packet.append(payload.len())?.copy_from_slice(payload);
        let header = UdpHeader::new(from.port(), endpoint.remote.port(), payload)?;
        let length = udp::HEADER_LEN + payload.len();
        let length = u16::try_from(length).ok()?;
        let ether_type = match (from.ip(), to) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header.with_checksum_v4(source, destination, payload).write(front(packet)?);
                let ip = Ipv4Header {
                    tos,
                    total_len: length.checked_add(IPV4_HEADER_LEN)?,
                    identification: 0,
                    dont_fragment: false,
                    ttl: TTL,
                    protocol: protocol::UDP,
                    source,
                    destination,
                };
                ip.write(front(packet)?);
                EtherType::IPV4
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.with_checksum_v6(source, destination, payload).write(front(packet)?);
                let ip = Ipv6Header {
                    traffic_class: tos,
                    flow_label: 0,
                    payload_len: length,
                    next_header: protocol::UDP,
                    hop_limit: TTL,
                    source,
                    destination,
                };
                ip.write(front(packet)?);
                EtherType::IPV6
            }
            _ => return None,
        };
        // Until the next hop is resolved the MAC addresses are zero.
        let macs = if let Hop::Wire { macs, .. } = hop { macs } else { [0; 12] };
        write_ethernet(front(packet)?, macs, ether_type);
        Some(hop)
    }
}

/// Writes an Ethernet header whose MAC addresses are in one piece, as next hops have them.
fn write_ethernet(header: &mut [u8; ethernet::HEADER_LEN], macs: [u8; 12], ether_type: EtherType) {
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = macs;
    let (destination, source) = (MacAddr([d0, d1, d2, d3, d4, d5]), MacAddr([s0, s1, s2, s3, s4, s5]));
    ethernet::write_header(header, destination, source, ether_type);
}

/// The EtherType of an IP packet.
pub(super) fn ether_type(ip: &[u8]) -> EtherType {
    match ip.first().map(|v| v >> 4) {
        Some(4) => EtherType::IPV4,
        _ => EtherType::IPV6,
    }
}

/// `N` more bytes in front.
fn front<P: Packet, const N: usize>(packet: &mut P) -> Option<&mut [u8; N]> {
    packet.prepend(N)?.first_chunk_mut()
}
