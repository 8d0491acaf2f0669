//! errors: a packet that cannot go on, and whose sender is to hear of it. The control thread tells it; here is decided how many it
//! gets to see, so that a scan neither floods its queue nor costs this core more than a drop does.

use super::crypto_worker::Turn;
use super::{DropReason, tap_point};
use crate::frame::{Kind, Packet, PacketPool};
use std::cell::Cell;

/// Packets a millisecond and sort that a core hands over in the long run: 1,000 a second, Linux's `icmp_msgs_per_sec`.
const PER_MS: u64 = 1;
/// Packets at once, after rest: Linux's `icmp_msgs_burst`.
const BURST: u64 = 50;

/// What senders are told, by how much others need it.
#[derive(Clone, Copy)]
enum Sort {
    /// Nobody is there: what a scan earns.
    Unreachable,
    /// The TTL ran out: what a loop or a traceroute earns.
    Expired,
    /// Too big: without it a connection stands still, so no scan may use it up (RFC 1191, 6.5).
    TooBig,
}

/// How many packets one core may still hand over, a bucket a sort. That core alone uses it.
#[derive(Debug, Default)]
pub struct ErrorBudget([Cell<Bucket>; 3]);

/// Tokens, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tokens: u64,
    at_ms: u64,
}

impl ErrorBudget {
    /// Takes one token, if there is one.
    fn take(&self, reason: DropReason, now_ms: u64) -> bool {
        let sort = match reason {
            DropReason::TtlExpired => Sort::Expired,
            DropReason::TooBig => Sort::TooBig,
            _ => Sort::Unreachable,
        };
        let Some(cell) = self.0.get(sort as usize) else { return false };
        let Bucket { tokens, at_ms } = cell.get();
        // A clock that jumps back earns nothing.
        let earned = now_ms.saturating_sub(at_ms).saturating_mul(PER_MS);
        let tokens = tokens.saturating_add(earned).min(BURST);
        cell.set(Bucket { tokens: tokens.saturating_sub(1), at_ms: now_ms });
        tokens > 0
    }
}

/// Hands an IP packet (no Ethernet header) to the control thread, which tells its sender why it goes no further, and counts the drop.
/// Beyond the budget it is dropped here. Its [`Meta::port`](crate::frame::Meta::port) says which way it came.
pub(super) fn undeliverable<A: PacketPool>(mut packet: A::Packet, reason: DropReason, turn: &Turn<'_, A>) {
    if !turn.errors.take(reason, turn.now_ms) {
        return turn.counters.drop_packet(reason, packet);
    }
    tap_point::handed(&packet, turn);
    let meta = packet.meta_mut();
    meta.kind = Kind::Undeliverable;
    meta.verdict = reason.verdict();
    match turn.shared.control.send(packet) {
        Ok(()) => turn.counters.to_control.add(1),
        Err(packet) => turn.counters.drop_packet(reason, packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate_a_sort() {
        let budget = ErrorBudget::default();
        let taken = |reason, now_ms| (0..1000).take_while(|_| budget.take(reason, now_ms)).count() as u64;
        assert_eq!(taken(DropReason::NoPeer, 1_000_000), BURST);
        // What others used up is not missing here.
        assert_eq!(taken(DropReason::NoEndpoint, 1_000_000), 0);
        assert_eq!(taken(DropReason::TooBig, 1_000_000), BURST);
        assert_eq!(taken(DropReason::TtlExpired, 1_000_000), BURST);
        assert_eq!(taken(DropReason::NoPeer, 1_000_010), 10 * PER_MS);
        // The clock jumps back: nothing comes of it, then or later.
        assert_eq!(taken(DropReason::NoPeer, 10), 0);
        assert_eq!(taken(DropReason::NoPeer, 11), PER_MS);
        assert_eq!(taken(DropReason::NoPeer, u64::MAX), BURST);
    }
}
