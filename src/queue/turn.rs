//! Tickets: chunks of one direction are worked on by several cores and released in the order in which they were taken.

use super::sync::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    seeded,
};

/// The next ticket to take, and the one whose turn it is. Both wrap.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Turn {
    /// claim: r and w, control: r
    next: AtomicU32,
    /// holder of the turn: w, holders of tickets and control: r
    serving: AtomicU32,
}

impl Turn {
    pub(super) fn new(first: u32) -> Self {
        Self { next: AtomicU32::new(first), serving: AtomicU32::new(first) }
    }

    /// Takes the next ticket. The claim's holder alone calls it.
    #[inline]
    pub(super) fn take(&self) -> u32 {
        // Relaxed: the queue's word hands this one from claim to claim.
        let ticket = self.next.load(Relaxed);
        // Relaxed: any value seen is one that was served, so this errs on the safe side.
        let outstanding = ticket.wrapping_sub(self.serving.load(Relaxed));
        assert!(outstanding < u32::MAX / 2, "2^31 tickets of one direction are not outstanding");
        self.next.store(ticket.wrapping_add(1), Relaxed);
        ticket
    }

    #[inline]
    pub(super) fn is_turn(&self, ticket: u32) -> bool {
        // Acquire: all that earlier holders of the turn did, from their stores (Release) in `pass`.
        self.serving.load(Acquire) == ticket
    }

    /// Ends the turn of `ticket`. The holder of the turn alone calls it, once.
    #[inline]
    pub(super) fn pass(&self, ticket: u32) {
        // Release: what was done in this turn, to the loads (Acquire) in `is_turn` and `is_outstanding`.
        let release = if seeded("t1") { Relaxed } else { Release };
        self.serving.store(ticket.wrapping_add(1), release);
    }

    /// Whether a ticket is taken and not passed. Exact for the claim's holder and for whoever saw the direction idle.
    #[inline]
    pub(super) fn is_outstanding(&self) -> bool {
        // Acquire: as in `is_turn`. Relaxed: see `take`.
        self.serving.load(Acquire) != self.next.load(Relaxed)
    }
}
