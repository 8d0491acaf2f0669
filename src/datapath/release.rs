//! release: what happens in ticket order. Egress: counted, stamped, sent. Ingress: replay window, roaming, confirmation of a new
//! session, padding, source check (PROTOCOL A8, "in"), and on to the inner destination.

use super::crypto_worker::{Chunk, Turn, ask};
use super::{DropReason, Forward, PeerFlow, Tx, encap, tap_point};
use crate::frame::{BURST, Frame, Kind, Meta, Packet, PacketPool};
use crate::peer::wants;
use crate::queue::Dir;
use crate::session::Keypair;
use crate::shared::Point;
use crate::wire::{
    InnerPacket, ecn, tcp,
    wireguard::{self, DataHeader},
};
use arrayvec::ArrayVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sends a sealed chunk. The egress turn's holder.
pub(super) fn egress<A: PacketPool>(
    chunk: &mut Chunk<A::Packet>,
    flow: &PeerFlow<A::Packet>,
    turn: &Turn<'_, A>,
    tx: &mut Tx<A::Packet>,
) {
    let (mut sent, mut bytes, mut data) = (0u64, 0u64, false);
    let way_out = chunk.plan.way_out();
    let shown = turn.counters.tap.wants(Point::Sealed);
    for mut packet in chunk.packets.drain(..) {
        if let Some(reason) = DropReason::from_verdict(packet.meta().verdict) {
            turn.counters.drop_packet(reason, packet);
            continue;
        }
        chunk.plan.finish(packet.data_mut());
        if shown {
            tap_point::sealed(&packet, way_out, flow, turn);
        }
        sent += 1;
        data |= packet.meta().kind == Kind::Data;
        bytes += message_len(&packet);
        match way_out {
            encap::WayOut::Port(port) => tx.push(port, packet, turn.counters),
            encap::WayOut::Ask(port) => super::hand_to_control(packet, Kind::AskOuter, port, turn),
            encap::WayOut::Nowhere => turn.counters.drop_packet(DropReason::NoOuterRoute, packet),
        }
    }
    if sent > 0 {
        flow.sent.add(bytes);
        if flow.stamps.sent(turn.now_ms, data) {
            flow.post(turn.reader, &turn.shared.flows);
        }
    }
}

/// Bytes of the WireGuard message inside a packet with all its headers.
fn message_len<P: Packet>(packet: &P) -> u64 {
    let headers = usize::from(packet.meta().sealed_at) - DataHeader::LEN.min(usize::from(packet.meta().sealed_at));
    packet.data().len().saturating_sub(headers) as u64
}

/// What one chunk's packets tell about the peer, applied once at its end.
#[derive(Default)]
struct Seen {
    /// There was one that passed the window.
    any: bool,
    /// One of them was no keepalive.
    data: bool,
    /// The notes of the last of them that came to an address which is ours: where from, and to.
    last: Option<Meta>,
}

impl Seen {
    /// Notes one that passed the window, and whether what it came to is ours.
    #[inline]
    fn note(&mut self, meta: Meta, is_ours: bool) {
        self.any = true;
        if is_ours {
            self.last = Some(meta);
        }
    }
}

/// Opened packets that have passed all checks but those that need a lookup: many peers' are looked up side by side. It lives no longer
/// than a read section, and ends before their turns are passed on.
pub(super) struct Inbound<'t, 'r, A: PacketPool> {
    turn: &'r Turn<'r, A>,
    waiting: ArrayVec<Waiting<'t, A::Packet>, BURST>,
    /// Source and destination of each IPv4 packet among them, in order.
    v4: ArrayVec<u32, ASKED>,
    /// The same of IPv6.
    v6: ArrayVec<u128, ASKED>,
}

/// Addresses that are looked up at once.
const ASKED: usize = 2 * BURST;

/// One of them.
struct Waiting<'t, P: Packet> {
    packet: P,
    /// Whom it came from.
    flow: &'t PeerFlow<P>,
    ipv6: bool,
    /// Of the whole message, as the kernel counts them.
    bytes: u64,
}

impl<'t, 'r, A: PacketPool> Inbound<'t, 'r, A> {
    pub(super) fn new(turn: &'r Turn<'r, A>) -> Self {
        Self { turn, waiting: ArrayVec::new(), v4: ArrayVec::new(), v6: ArrayVec::new() }
    }

    /// Checks an opened chunk in order; its packets go on at the latest with [`Inbound::flush`]. The ingress turn's holder.
    pub(super) fn chunk(
        &mut self,
        chunk: &mut Chunk<A::Packet>,
        flow: &'t PeerFlow<A::Packet>,
        forward: &mut Forward<'r, A>,
        tx: &mut Tx<A::Packet>,
    ) {
        let turn = self.turn;
        let mut seen = Seen::default();
        let mut keypair: Option<&Keypair> = None;
        for mut packet in chunk.packets.drain(..) {
            let Meta { keypair_serial: serial, receiver, .. } = *packet.meta();
            if keypair.is_none_or(|k| k.serial() != serial) {
                keypair = turn.shared.index.lookup(turn.reader, receiver).filter(|k| k.serial() == serial);
            }
            let bytes = packet.data().len() as u64;
            match accept(&mut packet, flow, keypair, &mut seen, turn) {
                Ok(inner) => self.wait(packet, inner, bytes, flow),
                Err(reason) => {
                    if reason == DropReason::Keepalive {
                        flow.received.add(bytes);
                    }
                    turn.counters.drop_packet(reason, packet);
                }
            }
            if self.waiting.is_full() {
                self.flush(forward, tx);
            }
        }
        if let Some(last) = &seen.last
            && let Some(asked) = turn.shared.asked(last)
        {
            flow.roam(&last.source, last.source_port, asked);
        }
        if seen.any && flow.stamps.received(turn.now_ms, seen.data) {
            flow.post(turn.reader, &turn.shared.flows);
        }
    }

    #[inline]
    fn wait(&mut self, packet: A::Packet, inner: InnerPacket, bytes: u64, flow: &'t PeerFlow<A::Packet>) {
        let ipv6 = match (inner.source, inner.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.v4.extend([source.to_bits(), destination.to_bits()]);
                false
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.v6.extend([source.to_bits(), destination.to_bits()]);
                true
            }
            // No packet is of both families.
            _ => return self.turn.counters.drop_packet(DropReason::BadInner, packet),
        };
        self.waiting.push(Waiting { packet, flow, ipv6, bytes });
    }

    /// Checks the sources of those that wait, and sends them on.
    pub(super) fn flush(&mut self, forward: &mut Forward<'r, A>, tx: &mut Tx<A::Packet>) {
        let Self { turn, waiting, v4, v6 } = self;
        let Turn { shared, reader, .. } = **turn;
        tap_point::opened(waiting.iter().map(|waiting| (&waiting.packet, waiting.flow)), turn);
        let (mut owners_v4, mut owners_v6) = ([None; ASKED], [None; ASKED]);
        shared.allowed.v4.lookup_burst(reader, v4, &mut owners_v4);
        if !v6.is_empty() {
            shared.allowed.v6.lookup_burst(reader, v6, &mut owners_v6);
        }
        let mut each_v4 = v4.as_chunks().0.iter().zip(owners_v4.as_chunks().0);
        let mut each_v6 = v6.as_chunks().0.iter().zip(owners_v6.as_chunks().0);
        for waiting in waiting.drain(..) {
            let (to, owners) = match waiting.ipv6 {
                false => each_v4.next().map(|([_, to], owners)| (Ipv4Addr::from_bits(*to).into(), *owners)),
                true => each_v6.next().map(|([_, to], owners)| (Ipv6Addr::from_bits(*to).into(), *owners)),
            }
            // Each has its addresses there; without them it would be nobody's.
            .unwrap_or((IpAddr::V4(Ipv4Addr::UNSPECIFIED), [None; 2]));
            waiting.go_on(to, owners, turn, forward, tx);
        }
        v4.clear();
        v6.clear();
    }
}

impl<P: Packet> Waiting<'_, P> {
    /// The peers that own source and destination are known.
    #[inline]
    fn go_on<'r, A: PacketPool<Packet = P>>(
        self,
        to: IpAddr,
        [source, peer]: [Option<u32>; 2],
        turn: &'r Turn<'r, A>,
        forward: &mut Forward<'r, A>,
        tx: &mut Tx<P>,
    ) {
        let Turn { shared, counters, .. } = *turn;
        let Self { mut packet, flow, bytes, .. } = self;
        if source != Some(flow.id().0) {
            return counters.drop_packet(DropReason::AllowedIpsSource, packet);
        }
        flow.received.add(bytes);
        if let Some(tunnel) = shared.tunnel(flow.tunnel)
            && tunnel.mss_clamp
        {
            tcp::clamp_mss(packet.data_mut(), tunnel.mtu);
        }
        forward.accepted(packet, to, peer, tx);
    }
}

/// The checks of one opened packet, in the order of PROTOCOL A8, up to the lookup of its source. Afterwards it is the inner packet,
/// trimmed.
fn accept<A: PacketPool>(
    packet: &mut A::Packet,
    flow: &PeerFlow<A::Packet>,
    keypair: Option<&Keypair>,
    seen: &mut Seen,
    turn: &Turn<'_, A>,
) -> Result<InnerPacket, DropReason> {
    let meta = *packet.meta();
    if let Some(reason) = DropReason::from_verdict(meta.verdict) {
        return Err(reason);
    }
    // A session belongs to the interface of its peer: on another one's port nobody knows its index.
    if meta.tunnel != flow.tunnel {
        return Err(DropReason::UnknownIndex);
    }
    // The keypair can have died since the tag was checked; its window is gone with it.
    let keypair = keypair.ok_or(DropReason::SessionExpired)?;
    if !keypair.replay().accept(meta.counter) {
        return Err(DropReason::Replay);
    }
    seen.note(meta, turn.shared.asked(&meta).is_some());
    confirm(flow, keypair, turn);
    let current = flow.keys.current() == Some(turn.shared.index.slot(keypair.local_index()));
    if current && keypair.wants_rekey_on_receive(turn.now_ms) {
        ask(flow, wants::HANDSHAKE, turn);
    }
    packet.trim_front(DataHeader::LEN).ok_or(DropReason::BadInner)?;
    let plain = packet.data().len().saturating_sub(wireguard::TAG_LEN);
    packet.truncate(plain);
    if plain == 0 {
        return Err(DropReason::Keepalive);
    }
    seen.data = true;
    packet.meta_mut().port = Meta::TUNNEL;
    let inner = InnerPacket::parse(packet.data()).map_err(|_| DropReason::BadInner)?;
    packet.truncate(inner.total_len);
    ecn::decapsulate(meta.outer_tos, packet.data_mut());
    Ok(inner)
}

/// The first valid data under `next` makes it current: the responder's handshake is complete (PROTOCOL A5).
fn confirm<A: PacketPool>(flow: &PeerFlow<A::Packet>, keypair: &Keypair, turn: &Turn<'_, A>) {
    let slot = turn.shared.index.slot(keypair.local_index());
    if flow.keys.next() != Some(slot) {
        return agree(flow, keypair, slot, turn);
    }
    let Some(dropped) = flow.keys.confirm(slot) else { return };
    for old in dropped.into_iter().filter_map(|old| turn.shared.index.keypair(turn.reader, old)) {
        old.kill();
    }
    ask(flow, wants::CONFIRMED | wants::SWEEP, turn);
    flow.wake(turn.reader, Dir::Egress, &turn.shared.flows);
}

/// Both sides initiated at once, and each sends under the session of its own initiation. If that went on they would rekey at once for
/// ever, and each time lose what is on its way under a session that the other's handshake pushed out: so one makes way.
fn agree<A: PacketPool>(flow: &PeerFlow<A::Packet>, keypair: &Keypair, slot: u32, turn: &Turn<'_, A>) {
    let Some(current) = flow.keys.current().filter(|current| *current != slot) else { return };
    if turn.shared.index.keypair(turn.reader, current).is_some_and(|current| keypair.goes_before(current)) {
        flow.keys.swap(slot, current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_where_its_last_packet_to_an_address_of_ours_came_from() {
        let mut seen = Seen::default();
        for (source_port, is_ours) in [(1, false), (2, true), (3, true), (4, false)] {
            seen.note(Meta { source_port, ..Meta::default() }, is_ours);
            assert!(seen.any);
        }
        assert_eq!(seen.last.map(|meta| meta.source_port), Some(3));
    }
}
