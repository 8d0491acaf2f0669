//! release: what happens in ticket order. Egress: counted, stamped, sent. Ingress: replay window, roaming, confirmation of a new
//! session, padding, source check (PROTOCOL A8, "in"), and on to the inner destination.

use super::crypto_worker::{Chunk, Turn, ask};
use super::{DropReason, Forward, PeerFlow, Tx, encap};
use crate::frame::{Frame, Kind, Meta, Packet, PacketPool};
use crate::peer::wants;
use crate::queue::Dir;
use crate::session::Keypair;
use crate::wire::{
    InnerPacket, ecn, tcp,
    wireguard::{self, DataHeader},
};
use std::net::{IpAddr, SocketAddr};

/// Sends a sealed chunk. The egress turn's holder.
pub(super) fn egress<A: PacketPool>(
    chunk: &mut Chunk<A::Packet>,
    flow: &PeerFlow<A::Packet>,
    turn: &Turn<'_, A>,
    tx: &mut Tx<A::Packet>,
) {
    let (mut sent, mut bytes, mut data) = (0u64, 0u64, false);
    for mut packet in chunk.packets.drain(..) {
        if let Some(reason) = DropReason::from_verdict(packet.meta().verdict) {
            turn.counters.drop_packet(reason, packet);
            continue;
        }
        chunk.plan.finish(packet.data_mut());
        sent += 1;
        data |= packet.meta().kind == Kind::Data;
        bytes += message_len(&packet);
        match chunk.plan.way_out() {
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
    accepted: bool,
    data: bool,
    /// Of messages that passed all checks, as the kernel counts them.
    bytes: u64,
    /// Where the last of them came from, and to.
    from: Option<([u8; 16], u16, SocketAddr)>,
}

/// Checks an opened chunk in order and sends its packets on. The ingress turn's holder.
pub(super) fn ingress<'r, A: PacketPool>(
    chunk: &mut Chunk<A::Packet>,
    flow: &PeerFlow<A::Packet>,
    forward: &mut Forward<'r, A>,
    tx: &mut Tx<A::Packet>,
) {
    let turn = forward.turn();
    let mut seen = Seen::default();
    let mut keypair: Option<&Keypair> = None;
    for mut packet in chunk.packets.drain(..) {
        let serial = packet.meta().keypair_serial;
        if keypair.is_none_or(|k| k.serial() != serial) {
            keypair = turn.shared.index.lookup(turn.reader, packet.meta().receiver).filter(|k| k.serial() == serial);
        }
        match accept(&mut packet, flow, keypair, &mut seen, turn) {
            Ok(to) => forward.accepted(packet, to, tx),
            Err(reason) => turn.counters.drop_packet(reason, packet),
        }
    }
    if !seen.accepted {
        return;
    }
    flow.received.add(seen.bytes);
    if let Some((source, port, asked)) = &seen.from {
        flow.roam(source, *port, *asked);
    }
    if flow.stamps.received(turn.now_ms, seen.data) {
        flow.post(turn.reader, &turn.shared.flows);
    }
}

/// The checks of one opened packet, in the order of PROTOCOL A8. Afterwards it is the inner packet, trimmed; returns where it goes.
fn accept<A: PacketPool>(
    packet: &mut A::Packet,
    flow: &PeerFlow<A::Packet>,
    keypair: Option<&Keypair>,
    seen: &mut Seen,
    turn: &Turn<'_, A>,
) -> Result<IpAddr, DropReason> {
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
    seen.accepted = true;
    let message = packet.data().len() as u64;
    if let Some(asked) = turn.shared.asked(&meta) {
        seen.from = Some((meta.source, meta.source_port, asked));
    }
    confirm(flow, keypair, turn);
    let current = flow.keys.current() == Some(turn.shared.index.slot(keypair.local_index()));
    if current && keypair.wants_rekey_on_receive(turn.now_ms) {
        ask(flow, wants::HANDSHAKE, turn);
    }
    packet.trim_front(DataHeader::LEN).ok_or(DropReason::BadInner)?;
    let plain = packet.data().len().saturating_sub(wireguard::TAG_LEN);
    packet.truncate(plain);
    if plain == 0 {
        seen.bytes += message;
        return Err(DropReason::Keepalive);
    }
    seen.data = true;
    packet.meta_mut().port = Meta::TUNNEL;
    let inner = InnerPacket::parse(packet.data()).map_err(|_| DropReason::BadInner)?;
    packet.truncate(inner.total_len);
    ecn::decapsulate(meta.outer_tos, packet.data_mut());
    if turn.shared.allowed.lookup(turn.reader, inner.source) != Some(flow.id().0) {
        return Err(DropReason::AllowedIpsSource);
    }
    seen.bytes += message;
    if let Some(tunnel) = turn.shared.tunnel(flow.tunnel)
        && tunnel.mss_clamp
    {
        tcp::clamp_mss(packet.data_mut(), tunnel.mtu);
    }
    Ok(inner.destination)
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
