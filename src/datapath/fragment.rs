//! fragment: a packet that is larger than what it goes into is cut, if its sender allows that (RFC 1812, 5.2.6); else the sender is told.

use super::crypto_worker::Turn;
use super::{DropReason, undeliverable};
use crate::frame::{Frame, Packet, PacketPool};
use crate::wire::fragment::{CutError, Fragment, Fragments};

/// Cuts an IP packet into pieces of `mtu` bytes at most and hands them to `send`, in order. The last piece is the packet itself; the
/// others come from the pool, and when that is dry the rest of the packet is dropped. `ours`: who made it needs not be told.
pub(super) fn cut<A: PacketPool>(
    mut packet: A::Packet,
    mtu: u16,
    ours: bool,
    turn: &Turn<'_, A>,
    mut send: impl FnMut(A::Packet),
) {
    let pieces = match Fragments::new(packet.data(), mtu) {
        Ok(pieces) => pieces,
        Err(CutError::Beyond) => return turn.counters.drop_packet(DropReason::BadInner, packet),
        Err(_) if ours => return turn.counters.drop_packet(DropReason::TooBig, packet),
        Err(_) => return undeliverable(packet, DropReason::TooBig, turn),
    };
    for piece in pieces {
        if piece.is_last {
            return match become_last(&mut packet, &piece) {
                Some(()) => send(packet),
                None => turn.counters.drop_packet(DropReason::NoRoom, packet),
            };
        }
        let Some(made) = turn.shared.pool.alloc() else { break };
        turn.counters.generated.add(1);
        match filled(made, &packet, &piece) {
            Ok(made) => send(made),
            Err(made) => turn.counters.drop_packet(DropReason::NoRoom, made),
        }
    }
    turn.counters.drop_packet(DropReason::PoolEmpty, packet);
}

/// A fresh packet with a piece of another; it comes back as it was if it has no room.
fn filled<P: Packet>(mut made: P, packet: &P, piece: &Fragment) -> Result<P, P> {
    let Some(payload) = packet.data().get(piece.payload.clone()) else { return Err(made) };
    let header = piece.header();
    match made.append(header.len() + payload.len()).and_then(|room| room.split_at_mut_checked(header.len())) {
        Some((front, behind)) => {
            front.copy_from_slice(header);
            behind.copy_from_slice(payload);
        }
        None => return Err(made),
    }
    *made.meta_mut() = *packet.meta();
    Ok(made)
}

/// Cuts all but the last piece off; its header goes where the bytes of the piece before were.
fn become_last<P: Packet>(packet: &mut P, piece: &Fragment) -> Option<()> {
    packet.truncate(piece.payload.end);
    packet.trim_front(piece.payload.start.checked_sub(piece.header().len())?)?;
    packet.data_mut().get_mut(..piece.header().len())?.copy_from_slice(piece.header());
    Some(())
}
