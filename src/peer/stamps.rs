//! When what happened to a peer: written by the data path, read by the timer thread when it wakes.
//!
//! The data path never touches a timer. It stamps, and posts the peer once when a deadline arises (DESIGN, Timers).
//! All times are milliseconds of CLOCK_BOOTTIME; 0 means "none".

use crate::queue::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Bits of what the data path asks of the control threads.
pub mod wants {
    /// A handshake is needed: packets wait, or the session grows old.
    pub const HANDSHAKE: u32 = 1;
    /// A keypair fell out of the slots and can be freed.
    pub const SWEEP: u32 = 2;
    /// The responder's new keypair was confirmed: the handshake is complete.
    pub const CONFIRMED: u32 = 4;
}

/// The stamps of one peer.
#[derive(Debug, Default)]
pub struct Stamps {
    /// Any authenticated packet sent (data, keepalive, handshake).
    last_sent: AtomicU64,
    /// Any authenticated packet received.
    last_received: AtomicU64,
    /// The first data sent since anything authenticated was received: T3 runs from it.
    unanswered_sent: AtomicU64,
    /// The first data received since anything authenticated was sent: T2 runs from it.
    unanswered_received: AtomicU64,
    /// The timer thread looks at this peer within [`LOOK_WITHIN_MS`] anyway: nothing needs to be posted.
    watched: AtomicBool,
    wants: AtomicU32,
}

/// A watched peer's stamps are looked at no later than this after a stamp arose: the shortest deadline that can arise (T2).
pub const LOOK_WITHIN_MS: u64 = 10_000;

// Relaxed throughout but for `wants`: each word stands for itself, and the timer thread re-reads it at every deadline.
// A post to its list (Release) and its pop (Acquire) make the stamp that caused the post visible.
impl Stamps {
    /// Something authenticated was sent; `data` unless it is a keepalive or a handshake message.
    /// Returns whether a deadline arose, so that the peer is to be posted.
    pub fn sent(&self, now_ms: u64, data: bool) -> bool {
        self.last_sent.store(now_ms, Ordering::Relaxed);
        self.unanswered_received.store(0, Ordering::Relaxed);
        if data && self.unanswered_sent.load(Ordering::Relaxed) == 0 {
            self.unanswered_sent.store(now_ms.max(1), Ordering::Relaxed);
            return self.arises();
        }
        false
    }

    /// Something authenticated was received; `data` unless it is a keepalive or a handshake message.
    /// Returns whether a deadline arose, so that the peer is to be posted.
    pub fn received(&self, now_ms: u64, data: bool) -> bool {
        self.last_received.store(now_ms, Ordering::Relaxed);
        self.unanswered_sent.store(0, Ordering::Relaxed);
        if !data {
            return false;
        }
        if self.unanswered_received.load(Ordering::Relaxed) == 0 {
            self.unanswered_received.store(now_ms.max(1), Ordering::Relaxed);
            return self.arises();
        }
        false
    }

    /// A deadline arose: whether the peer must be posted for it.
    fn arises(&self) -> bool {
        // Relaxed load first: a busy peer is watched all the time. AcqRel swap: of two directions, one posts.
        !self.watched.load(Ordering::Relaxed) && !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Whether the timer thread looks at the peer anyway. The timer thread.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Looks from now on, or looks away. Who looks away looks once more a while later: a stamp that was on its way then
    /// (stored, but not yet to be seen) may have found the peer still watched. The timer thread.
    pub fn watch(&self, watched: bool) {
        // AcqRel by swap: pairs with `arises`; the stamps stored before a post are seen after it.
        self.watched.swap(watched, Ordering::AcqRel);
    }

    /// When anything authenticated was last sent or received, whichever is later.
    pub fn last_any(&self) -> u64 {
        self.last_sent.load(Ordering::Relaxed).max(self.last_received())
    }

    /// When anything authenticated was last received.
    pub fn last_received(&self) -> u64 {
        self.last_received.load(Ordering::Relaxed)
    }

    /// Since when data that we sent has had no answer of any kind.
    pub fn unanswered_sent(&self) -> Option<u64> {
        some(self.unanswered_sent.load(Ordering::Relaxed))
    }

    /// Since when data that came has had no answer of any kind.
    pub fn unanswered_received(&self) -> Option<u64> {
        some(self.unanswered_received.load(Ordering::Relaxed))
    }

    /// All stamps, for a copy that goes on. Control threads; a snapshot.
    pub fn times(&self) -> [u64; 4] {
        let stamps = [&self.last_sent, &self.last_received, &self.unanswered_sent, &self.unanswered_received];
        stamps.map(|stamp| stamp.load(Ordering::Relaxed))
    }

    /// Goes on with the stamps that [`Self::times`] gave; who calls posts the peer. Control threads, before the data path has the peer.
    pub fn resume(&self, times: [u64; 4]) {
        let stamps = [&self.last_sent, &self.last_received, &self.unanswered_sent, &self.unanswered_received];
        stamps.into_iter().zip(times).for_each(|(stamp, time)| stamp.store(time, Ordering::Relaxed));
    }

    /// Forgets that data had no answer, so that T3 can arise anew after a handshake was started for it.
    pub fn forget_unanswered_sent(&self) {
        self.unanswered_sent.store(0, Ordering::Relaxed);
    }

    /// Asks for something of [`wants`]. Returns whether it was not asked already, so that the peer is to be posted.
    pub fn want(&self, bits: u32) -> bool {
        // Relaxed load first: asking again is the common case and costs no locked instruction.
        if self.wants.load(Ordering::Relaxed) & bits == bits {
            return false;
        }
        // AcqRel: pairs with `take_wants`; who asks after the taking posts again.
        self.wants.fetch_or(bits, Ordering::AcqRel) & bits != bits
    }

    /// Takes all that was asked. Control threads.
    pub fn take_wants(&self) -> u32 {
        // AcqRel: pairs with `want`.
        self.wants.swap(0, Ordering::AcqRel)
    }
}

fn some(stamp: u64) -> Option<u64> {
    (stamp != 0).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_posted_once_while_watched() {
        let s = Stamps::default();
        assert!(s.sent(10, true));
        assert!(!s.sent(20, true));
        assert_eq!(s.unanswered_sent(), Some(10));
        assert!(!s.received(30, false));
        assert_eq!(s.unanswered_sent(), None);
        assert!(!s.sent(40, true), "watched");
        s.watch(false);
        assert!(s.received(50, true));
        assert!(!s.received(51, true));
        assert_eq!(s.unanswered_received(), Some(50));
        assert!(!s.sent(60, false));
        assert_eq!(s.unanswered_received(), None);
        assert_eq!(s.last_any(), 60);
    }

    #[test]
    fn a_keepalive_arms_nothing() {
        let s = Stamps::default();
        assert!(!s.sent(10, false) && !s.received(11, false));
        assert_eq!((s.unanswered_sent(), s.unanswered_received()), (None, None));
    }

    #[test]
    fn what_was_asked_is_posted_once_and_taken_once() {
        let s = Stamps::default();
        assert!(s.want(wants::HANDSHAKE));
        assert!(!s.want(wants::HANDSHAKE));
        assert!(s.want(wants::SWEEP));
        assert_eq!(s.take_wants(), wants::HANDSHAKE | wants::SWEEP);
        assert_eq!(s.take_wants(), 0);
        assert!(s.want(wants::HANDSHAKE));
    }
}
