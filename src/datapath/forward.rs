//! forward: where an inner packet goes (DESIGN, The path of a packet): one of our own addresses, another peer, a neighbour, a route.

use super::crypto_worker::Turn;
use super::handoff::Handoff;
use super::{DropReason, Shared, Tx, fragment, hand_to_control, undeliverable};
use crate::frame::{Frame, Kind, Packet, PacketPool};
use crate::queue::{Dir, FlowId};
use crate::shared::Hop;
use crate::wire::{EtherType, InnerPacket, ethernet, ipv4, ipv6, tcp};
use std::net::IpAddr;

/// Sends inner packets on, and collects those for other peers.
pub(super) struct Forward<'r, A: PacketPool> {
    turn: &'r Turn<'r, A>,
    to_peers: Handoff<'r, A::Packet>,
    /// Bytes of inner packets that every tunnel takes as they are.
    fits: usize,
    /// The last destination that was looked up among the routes.
    last: Option<(IpAddr, Hop)>,
}

impl<'r, A: PacketPool> Forward<'r, A> {
    pub(super) fn new(turn: &'r Turn<'r, A>) -> Self {
        let to_peers = Handoff::new(Dir::Egress, turn.reader, &turn.shared.flows);
        Self { turn, to_peers, fits: fits_everywhere(turn.shared), last: None }
    }

    /// One inner packet (no Ethernet header) on its way; one of our own does not age here.
    pub(super) fn inner(&mut self, packet: A::Packet, tx: &mut Tx<A::Packet>) {
        let Ok(parsed) = InnerPacket::parse(packet.data()) else {
            return self.turn.counters.drop_packet(DropReason::BadInner, packet);
        };
        let to = parsed.destination;
        let peer = self.turn.shared.allowed.lookup(self.turn.reader, to);
        self.accepted(packet, to, peer, tx);
    }

    /// The same of one that was checked, and goes to `to`, an allowed IP of `peer` if that is not ours.
    #[inline]
    pub(super) fn accepted(&mut self, mut packet: A::Packet, to: IpAddr, peer: Option<u32>, tx: &mut Tx<A::Packet>) {
        let turn = self.turn;
        let hop = self.hop(to);
        if let Hop::Local { port, .. } = hop {
            return hand_to_control(packet, Kind::Local, port, turn);
        }
        let ours = packet.meta().kind == Kind::Route;
        if peer.is_none() && hop == Hop::None {
            return match to.is_multicast() {
                true => turn.counters.drop_packet(DropReason::Multicast, packet),
                // Nobody is told of what we said ourselves.
                false if ours => turn.counters.drop_packet(DropReason::NoRoute, packet),
                false => undeliverable(packet, DropReason::NoRoute, turn),
            };
        }
        if !ours && decrement_ttl(packet.data_mut()).is_none() {
            return undeliverable(packet, DropReason::TtlExpired, turn);
        }
        match peer {
            Some(peer) => self.send_to_peer(FlowId(peer), packet),
            None => self.send_to_wire(hop, packet, tx),
        }
    }

    /// An inner packet for a peer; its TTL was decremented. What does not fit into the tunnel is cut, or refused.
    pub(super) fn send_to_peer(&mut self, peer: FlowId, mut packet: A::Packet) {
        let meta = packet.meta_mut();
        let ours = meta.kind == Kind::Route;
        meta.kind = Kind::Data;
        meta.verdict = 0;
        // Most packets are small enough not to ask which tunnel it is: that is a cache line of the peer's.
        if packet.data().len() <= self.fits {
            return self.add(peer, packet);
        }
        let turn = self.turn;
        let flow = turn.shared.flows.get(turn.reader, peer);
        let Some(tunnel) = flow.and_then(|flow| turn.shared.tunnel(flow.tunnel)) else {
            return turn.counters.drop_packet(DropReason::PeerGone, packet);
        };
        if tunnel.mss_clamp {
            tcp::clamp_mss(packet.data_mut(), tunnel.mtu);
        }
        if packet.data().len() <= usize::from(tunnel.mtu) {
            self.add(peer, packet);
        } else {
            fragment::cut(packet, tunnel.mtu, ours, turn, |piece| self.add(peer, piece));
        }
    }

    #[inline]
    fn add(&mut self, peer: FlowId, packet: A::Packet) {
        if self.to_peers.is_full() {
            self.push();
        }
        self.to_peers.add(peer, packet);
    }

    #[inline]
    fn send_to_wire(&mut self, hop: Hop, packet: A::Packet, tx: &mut Tx<A::Packet>) {
        let turn = self.turn;
        let (Hop::Wire { port, .. } | Hop::Ask { port }) = hop else {
            return turn.counters.drop_packet(DropReason::NoRoute, packet);
        };
        let mtu = turn.shared.port(port).map_or(u16::MAX, |p| p.mtu);
        if packet.data().len() <= usize::from(mtu) {
            return send_by(hop, packet, turn, tx);
        }
        let ours = packet.meta().kind == Kind::Route;
        fragment::cut(packet, mtu, ours, turn, |piece| send_by(hop, piece, turn, tx));
    }

    /// Where `to` is. Packets to one address often follow each other.
    #[inline]
    fn hop(&mut self, to: IpAddr) -> Hop {
        if let Some((_, hop)) = self.last.filter(|(last, _)| *last == to) {
            return hop;
        }
        let hop = self.turn.shared.inner.hop(self.turn.reader, to);
        self.last = Some((to, hop));
        hop
    }

    /// Pushes what was collected for peers.
    pub(super) fn push(&mut self) {
        self.to_peers.push(self.turn.counters);
    }
}

/// How long an inner packet may be that no tunnel cuts or changes, whichever it goes into.
fn fits_everywhere<A: PacketPool>(shared: &Shared<A>) -> usize {
    let limits = shared.tunnels.iter().map(|tunnel| if tunnel.mss_clamp { 0 } else { usize::from(tunnel.mtu) });
    limits.min().unwrap_or(0)
}

/// Puts the Ethernet header in front of an IP packet that fits its port.
#[inline]
fn send_by<A: PacketPool>(hop: Hop, mut packet: A::Packet, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>) {
    let ether_type = ether_type(packet.data());
    let Some(front) = packet.prepend(ethernet::HEADER_LEN) else {
        return turn.counters.drop_packet(DropReason::NoRoom, packet);
    };
    match hop {
        Hop::Wire { port, macs } => {
            write_ethernet(front, &macs, ether_type);
            tx.push(port, packet, turn.counters);
        }
        Hop::Ask { port } => hand_to_control(packet, Kind::AskInner, port, turn),
        Hop::Local { .. } | Hop::None => turn.counters.drop_packet(DropReason::NoRoute, packet),
    }
}

/// One hop less to live: `None` when that was the last, or it is no IP packet.
pub(super) fn decrement_ttl(ip: &mut [u8]) -> Option<u8> {
    match ether_type(ip) {
        EtherType::IPV4 => ipv4::decrement_ttl(ip),
        _ => ipv6::decrement_hop_limit(ip),
    }
}

/// The EtherType of an IP packet.
pub(super) fn ether_type(ip: &[u8]) -> EtherType {
    match ip.first().map(|v| v >> 4) {
        Some(4) => EtherType::IPV4,
        _ => EtherType::IPV6,
    }
}

/// Writes an Ethernet header whose MAC addresses are at hand in one piece.
pub(super) fn write_ethernet(front: &mut [u8], macs: &[u8; 12], ether_type: EtherType) {
    if let Some((first, rest)) = front.split_first_chunk_mut::<12>()
        && let Some((last, _)) = rest.split_first_chunk_mut::<2>()
    {
        *first = *macs;
        *last = ether_type.0.to_be_bytes();
    }
}
