//! forward: where an inner packet goes (DESIGN, The path of a packet): one of our own addresses, another peer, a neighbour, a route.

use super::crypto_worker::Turn;
use super::handoff::Handoff;
use super::{DropReason, Tx, hand_to_control};
use crate::frame::{Frame, Kind, Packet, PacketPool};
use crate::queue::{Dir, FlowId};
use crate::shared::Hop;
use crate::wire::{EtherType, InnerPacket, ethernet, ipv4, ipv6};

/// Sends inner packets on, and collects those for other peers.
pub(super) struct Forward<'r, A: PacketPool> {
    turn: &'r Turn<'r, A>,
    to_peers: Handoff<'r, A::Packet>,
}

impl<'r, A: PacketPool> Forward<'r, A> {
    pub(super) fn new(turn: &'r Turn<'r, A>) -> Self {
        Self { turn, to_peers: Handoff::new(Dir::Egress) }
    }

    pub(super) fn turn(&self) -> &'r Turn<'r, A> {
        self.turn
    }

    /// One inner packet (no Ethernet header) on its way; one of our own does not age here.
    pub(super) fn inner(&mut self, mut packet: A::Packet, tx: &mut Tx<A::Packet>) {
        let turn = self.turn;
        let shared = turn.shared;
        let Ok(parsed) = InnerPacket::parse(packet.data()) else {
            return turn.counters.drop_packet(DropReason::BadInner, packet);
        };
        let to = parsed.destination;
        let hop = shared.inner.hop(turn.reader, to);
        if let Hop::Local { port, .. } = hop {
            return hand_to_control(packet, Kind::Local, port, turn);
        }
        let peer = shared.allowed.lookup(turn.reader, to);
        if peer.is_none() && hop == Hop::None {
            let reason = if to.is_multicast() { DropReason::Multicast } else { DropReason::NoRoute };
            return turn.counters.drop_packet(reason, packet);
        }
        let ours = packet.meta().kind == Kind::Route;
        if !ours && decrement_ttl(packet.data_mut()).is_none() {
            return turn.counters.drop_packet(DropReason::TtlExpired, packet);
        }
        match peer {
            Some(peer) => self.send_to_peer(FlowId(peer), packet),
            None => self.send_to_wire(hop, packet, tx),
        }
    }

    /// An inner packet for a peer; its TTL was decremented.
    pub(super) fn send_to_peer(&mut self, peer: FlowId, mut packet: A::Packet) {
        let turn = self.turn;
        let Some(flow) = turn.shared.flows.get(turn.reader, peer) else {
            return turn.counters.drop_packet(DropReason::PeerGone, packet);
        };
        let meta = packet.meta_mut();
        meta.kind = Kind::Data;
        meta.verdict = 0;
        if self.to_peers.is_full() {
            self.push();
        }
        self.to_peers.add(flow, packet);
    }

    fn send_to_wire(&mut self, hop: Hop, mut packet: A::Packet, tx: &mut Tx<A::Packet>) {
        let turn = self.turn;
        let ether_type = ether_type(packet.data());
        if let Hop::Wire { port, .. } | Hop::Ask { port } = hop
            && turn.shared.port(port).is_some_and(|p| packet.data().len() > usize::from(p.mtu))
        {
            return turn.counters.drop_packet(DropReason::TooBig, packet);
        }
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

    /// Pushes what was collected for peers.
    pub(super) fn push(&mut self) {
        self.to_peers.push(self.turn.reader, self.turn.shared, self.turn.counters);
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
