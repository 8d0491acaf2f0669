//! tap_point: where people watch packets ([`crate::shared::Tap`]) and follow some of them. Each stage comes by once a burst, chunk or batch: a load and a branch while
//! nobody watches.

use super::crypto_worker::{Chunk, Turn};
use super::encap::WayOut;
use super::{Counters, DropReason, PeerFlow, Port, Way};
use crate::frame::{Frame, Meta, Packet, PacketPool};
use crate::queue::Dir;
use crate::shared::{Point, Step};
use crate::wire::wireguard::Message;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, UdpDatagram, protocol};

/// A burst that came by `port`.
#[inline]
pub(super) fn received<A: PacketPool>(burst: &[A::Packet], port: &Port, turn: &Turn<'_, A>) {
    let tap = &turn.counters.tap;
    if tap.is_on() {
        tap.tracer.burst_came();
    }
    if tap.wants(Point::Received) {
        for packet in burst {
            // Only who wants one peer's has to know whose it is.
            let peer = tap.only_peer().and_then(|_| peer_of(packet.data(), turn));
            tap.copy(Point::Received, port.id, peer, packet);
        }
    }
}

/// A burst whose ways are known: those to trace are marked.
#[inline]
pub(super) fn classified<A: PacketPool>(burst: &mut [A::Packet], ways: &[Way], port: &Port, turn: &Turn<'_, A>) {
    let tap = &turn.counters.tap;
    if tap.is_on() {
        let len = u8::try_from(burst.len()).unwrap_or(u8::MAX);
        for ((packet, way), place) in burst.iter_mut().zip(ways).zip(0..) {
            let (peer, step) = match *way {
                Way::Ingress(peer) => (Some(peer.0), Some(Step::ToOpen { peer: peer.0 })),
                Way::Egress(peer) => (Some(peer.0), Some(Step::ToSeal { peer: peer.0 })),
                Way::Handshake(_) => (None, Some(Step::ToHandshake)),
                // They are noted where they go.
                Way::Control | Way::Fragment | Way::Undeliverable(_) | Way::Drop(_) => (None, None),
            };
            tap.tracer.mark(packet, Step::Rx { port: port.id, place, burst: len }, peer);
            step.into_iter().for_each(|step| tap.tracer.step(packet.meta(), step));
        }
    }
}

/// A packet that goes to the control thread, if that has room.
#[inline]
pub(super) fn handed<A: PacketPool>(packet: &A::Packet, turn: &Turn<'_, A>) {
    note(packet, Step::ToControl, turn);
}

/// A packet that is to wait for a session.
#[inline]
pub(super) fn waits<A: PacketPool>(packet: &A::Packet, turn: &Turn<'_, A>) {
    note(packet, Step::Waits, turn);
}

/// Packets whose turn has come.
#[inline]
pub(super) fn released<A: PacketPool>(packets: &[A::Packet], turn: &Turn<'_, A>) {
    if turn.counters.tap.is_on() {
        packets.iter().for_each(|packet| note(packet, Step::Release, turn));
    }
}

#[inline]
fn note<A: PacketPool>(packet: &A::Packet, step: Step, turn: &Turn<'_, A>) {
    let tap = &turn.counters.tap;
    if tap.is_on() {
        tap.tracer.step(packet.meta(), step);
    }
}

/// Chunks that a worker has popped.
#[inline]
pub(super) fn drained<'c, A: PacketPool>(
    chunks: impl Iterator<Item = &'c mut Chunk<A::Packet>>,
    dir: Dir,
    turn: &Turn<'_, A>,
) {
    let tap = &turn.counters.tap;
    if tap.is_on() {
        for chunk in chunks {
            let len = u8::try_from(chunk.packets.len()).unwrap_or(u8::MAX);
            for (packet, place) in chunk.packets.iter().zip(0..) {
                tap.tracer.step(packet.meta(), Step::Drain { place, chunk: len, seal: dir == Dir::Egress });
            }
            if dir == Dir::Egress {
                to_seal(chunk, turn);
            }
        }
    }
}

/// Chunks that the cipher has been over.
#[inline]
pub(super) fn ciphered<'c, A: PacketPool>(chunks: impl Iterator<Item = &'c mut Chunk<A::Packet>>, turn: &Turn<'_, A>) {
    let tap = &turn.counters.tap;
    if tap.is_on() {
        for packet in chunks.flat_map(|chunk| &chunk.packets) {
            let Meta { verdict, counter, .. } = *packet.meta();
            tap.tracer.step(packet.meta(), Step::Aead { reason: DropReason::from_verdict(verdict), counter });
        }
    }
}

/// Packets that are to be sealed.
fn to_seal<A: PacketPool>(chunk: &Chunk<A::Packet>, turn: &Turn<'_, A>) {
    let tap = &turn.counters.tap;
    if let Some(flow) = chunk.ticket.as_ref().filter(|_| tap.wants(Point::ToSeal)) {
        // A keepalive has nothing inside.
        for packet in chunk.packets.iter().filter(|packet| !packet.data().is_empty()) {
            tap.copy(Point::ToSeal, flow.tunnel.into(), Some(flow.id().0), packet);
        }
    }
}

/// A sealed packet with all its headers. The caller has asked whether it is wanted.
#[cold]
pub(super) fn sealed<A: PacketPool>(
    packet: &A::Packet,
    way_out: WayOut,
    flow: &PeerFlow<A::Packet>,
    turn: &Turn<'_, A>,
) {
    if let WayOut::Port(port) | WayOut::Ask(port) = way_out {
        turn.counters.tap.copy(Point::Sealed, port, Some(flow.id().0), packet);
    }
}

/// Packets that came out of the tunnels of these peers.
#[inline]
pub(super) fn opened<'p, A: PacketPool>(
    packets: impl Iterator<Item = (&'p A::Packet, &'p PeerFlow<A::Packet>)>,
    turn: &Turn<'_, A>,
) {
    let tap = &turn.counters.tap;
    if tap.wants(Point::Opened) {
        packets.for_each(|(packet, flow)| tap.copy(Point::Opened, flow.tunnel.into(), Some(flow.id().0), packet));
    }
}

/// A burst that is given to a port. What the port refuses to the end is dropped.
#[inline]
pub(super) fn sent<P: Packet>(burst: &[P], port: u16, counters: &Counters) {
    if counters.tap.is_on() {
        for packet in burst {
            counters.tap.tracer.step(packet.meta(), Step::Tx { port });
            counters.tap.copy(Point::Sent, port, None, packet);
        }
    }
}

/// Whose session a frame's data message names.
fn peer_of<A: PacketPool>(frame: &[u8], turn: &Turn<'_, A>) -> Option<u32> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let udp = match frame.ether_type() {
        EtherType::IPV4 => {
            let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
            (ip.protocol() == protocol::UDP && !ip.is_fragment()).then(|| ip.payload())?
        }
        EtherType::IPV6 => {
            let ip = Ipv6Packet::new_checked(frame.payload()).ok()?;
            (ip.next_header() == protocol::UDP).then(|| ip.payload())?
        }
        _ => return None,
    };
    match Message::parse(UdpDatagram::new_checked(udp).ok()?.payload()).ok()? {
        Message::Data(data) => Some(turn.shared.index.lookup(turn.reader, data.receiver())?.flow()),
        _ => None,
    }
}
