//! The timers T1 to T5 of one peer (PROTOCOL A7), as a function of its stamps and the time: no I/O, nothing shared.

use crate::peer::{LOOK_WITHIN_MS, Stamps};
use crate::session::limits::{
    KEEPALIVE_TIMEOUT_MS, MAX_TIMER_HANDSHAKES, REKEY_TIMEOUT_JITTER_MAX_MS, REKEY_TIMEOUT_MS, ZERO_KEYS_AFTER_MS,
};

/// What one peer's timers remember between two looks at its stamps. Times are milliseconds of CLOCK_BOOTTIME.
#[derive(Debug, Default)]
pub struct PeerTimers {
    /// T1: when the initiation under way is sent again.
    retransmit_ms: Option<u64>,
    /// How often it was sent again.
    attempts: u64,
    /// T3: the stamp that it runs from, and when it fires (15 s and a jitter that is drawn once).
    new_handshake: Option<(u64, u64)>,
    /// T4: when all key material is wiped.
    zero_ms: Option<u64>,
    /// T2, T5: before this no further keepalive is asked for.
    keepalive_again_ms: Option<u64>,
    /// The deadline that the wheel holds for this peer.
    armed_ms: Option<u64>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Start a handshake (`Some(true)`: send the one under way again).
    pub initiate: Option<bool>,
    /// Send a keepalive.
    pub keepalive: bool,
    /// Nobody answers: staged packets go.
    pub give_up: bool,
    /// Wipe all key material.
    pub wipe: bool,
    /// When to look again.
    pub next_ms: Option<u64>,
}

impl PeerTimers {
    /// An initiation was sent: T1 runs. `jitter` yields up to 333 ms (PROTOCOL A1).
    pub fn initiation_sent(&mut self, now_ms: u64, retry: bool, jitter: impl FnOnce(u64) -> u64) {
        self.attempts = if retry { self.attempts + 1 } else { 0 };
        self.retransmit_ms = Some(now_ms + REKEY_TIMEOUT_MS + jitter(REKEY_TIMEOUT_JITTER_MAX_MS));
    }

    /// A handshake was asked for that is no retry: the tries count anew (PROTOCOL A7).
    pub fn asked(&mut self) {
        self.attempts = 0;
    }

    /// A handshake could not be started now (too soon after another, or its thread is behind): it is tried again in a second. Returns when.
    pub fn postponed(&mut self, now_ms: u64) -> u64 {
        let at = now_ms + POSTPONED_MS;
        self.retransmit_ms = Some(at);
        at
    }

    /// A session was derived: T4 runs anew.
    pub fn session_derived(&mut self, now_ms: u64) {
        self.zero_ms = Some(now_ms + ZERO_KEYS_AFTER_MS);
    }

    /// When all key material is wiped (T4), for a copy that goes on.
    pub fn wiped_at_ms(&self) -> Option<u64> {
        self.zero_ms
    }

    /// Goes on with what [`Self::wiped_at_ms`] gave. All other timers follow from stamps.
    pub fn resume(&mut self, wiped_at_ms: Option<u64>) {
        self.zero_ms = wiped_at_ms;
    }

    /// A handshake is complete: T1 stops.
    pub fn handshake_complete(&mut self) {
        self.retransmit_ms = None;
        self.attempts = 0;
    }

    /// Looks at the stamps: what fires is returned and noted, and when to look again.
    pub fn look(
        &mut self,
        stamps: &Stamps,
        persistent_keepalive_s: u16,
        now_ms: u64,
        mut jitter: impl FnMut(u64) -> u64,
    ) -> Due {
        let mut due = Due::default();
        self.retransmit(now_ms, &mut due);
        self.unanswered(stamps, now_ms, &mut due, &mut jitter);
        if self.zero_ms.is_some_and(|at| at <= now_ms) {
            self.zero_ms = None;
            due.wipe = true;
        }
        let passive = stamps.unanswered_received().map(|since| since + KEEPALIVE_TIMEOUT_MS);
        // The first one is due at once.
        let persistent = (persistent_keepalive_s > 0).then(|| match stamps.last_any() {
            0 => 0,
            last => last + u64::from(persistent_keepalive_s) * 1000,
        });
        let keepalive =
            [passive, persistent].into_iter().flatten().min().map(|at| self.keepalive(at, now_ms, &mut due));
        let others = [self.retransmit_ms, self.new_handshake.map(|(_, at)| at), self.zero_ms, watch(stamps, now_ms)];
        due.next_ms = keepalive.into_iter().chain(others.into_iter().flatten()).min();
        due
    }

    /// Has the wheel wake this peer at `next_ms`, unless it will sooner: one entry a peer, as a rule.
    pub fn arm(&mut self, next_ms: Option<u64>, now_ms: u64, arm: impl FnOnce(u64)) {
        if self.armed_ms.is_some_and(|at| at <= now_ms) {
            self.armed_ms = None;
        }
        if let Some(next) = next_ms
            && self.armed_ms.is_none_or(|at| next < at)
        {
            self.armed_ms = Some(next);
            arm(next);
        }
    }

    /// T2 and T5: a keepalive was due at `at_ms`, or will be. A worker sends and stamps it; if it cannot, it is asked for again,
    /// but not at once: a worker that asks for a handshake instead has this peer looked at again right away.
    fn keepalive(&mut self, at_ms: u64, now_ms: u64, due: &mut Due) -> u64 {
        let again_ms = now_ms + KEEPALIVE_RETRY_MS;
        // The lesser of the two: for a clock that jumped back.
        let at_ms = self.keepalive_again_ms.map_or(at_ms, |again| at_ms.max(again.min(again_ms)));
        if at_ms > now_ms {
            return at_ms;
        }
        self.keepalive_again_ms = Some(again_ms);
        due.keepalive = true;
        again_ms
    }

    /// T1.
    fn retransmit(&mut self, now_ms: u64, due: &mut Due) {
        if self.retransmit_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        self.retransmit_ms = None;
        if self.attempts > MAX_TIMER_HANDSHAKES {
            self.attempts = 0;
            due.give_up = true;
            self.zero_ms.get_or_insert(now_ms + ZERO_KEYS_AFTER_MS);
        } else {
            due.initiate = Some(true);
        }
    }

    /// T3.
    fn unanswered(&mut self, stamps: &Stamps, now_ms: u64, due: &mut Due, jitter: &mut impl FnMut(u64) -> u64) {
        let Some(since) = stamps.unanswered_sent() else {
            self.new_handshake = None;
            return;
        };
        let after = KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS;
        let at = match self.new_handshake {
            Some((stamp, at)) if stamp == since => at,
            // Asked for the first time, or answered and asked anew since the last look.
            _ => since + after + jitter(REKEY_TIMEOUT_JITTER_MAX_MS),
        };
        self.new_handshake = Some((since, at));
        if at <= now_ms {
            self.new_handshake = None;
            stamps.forget_unanswered_sent();
            due.initiate.get_or_insert(false);
        }
    }
}

/// Keeps a peer with open stamps watched, and looks away from one without; when to look next for that.
fn watch(stamps: &Stamps, now_ms: u64) -> Option<u64> {
    let open = stamps.unanswered_sent().is_some() || stamps.unanswered_received().is_some();
    if open {
        stamps.watch(true);
        return Some(now_ms + LOOK_WITHIN_MS);
    }
    stamps.is_watched().then(|| {
        stamps.watch(false);
        now_ms + LOOK_AGAIN_MS
    })
}

/// How long after looking away the stamps are looked at once more: far longer than a store takes to be seen.
const LOOK_AGAIN_MS: u64 = 1000;
/// How soon a handshake that the handshake threads had no room for is tried again.
const POSTPONED_MS: u64 = 1000;
/// How soon a keepalive that is due, but was not seen to be sent, is tried again.
const KEEPALIVE_RETRY_MS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: u64) -> u64 {
        0
    }

    /// PROTOCOL A7.1: 20 sends; giving up lets T4 run.
    #[test]
    fn t1_sends_twenty_times_and_gives_up() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        let (mut now, mut sent) = (1000, 1);
        timers.initiation_sent(now, false, none);
        loop {
            let due = timers.look(&stamps, 0, now, none);
            if due.give_up {
                assert_eq!(due.initiate, None);
                break;
            }
            if let Some(retry) = due.initiate {
                assert!(retry);
                sent += 1;
                timers.initiation_sent(now, retry, none);
            } else {
                now = due.next_ms.unwrap();
            }
        }
        assert_eq!((sent, now), (20, 1000 + 20 * 5000));
        let due = timers.look(&stamps, 0, now, none);
        assert_eq!(due.next_ms, Some(now + 540_000));
        assert!(timers.look(&stamps, 0, now + 540_000, none).wipe);
    }

    #[test]
    fn t2_answers_data_after_ten_seconds() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        stamps.received(5000, true);
        let due = timers.look(&stamps, 0, 5000, none);
        assert_eq!((due.keepalive, due.next_ms), (false, Some(15_000)));
        assert!(timers.look(&stamps, 0, 15_000, none).keepalive);
        stamps.sent(15_000, false);
        // It looks away, once more a second later, and then no more.
        assert_eq!(timers.look(&stamps, 0, 15_000, none).next_ms, Some(16_000));
        assert_eq!(timers.look(&stamps, 0, 16_000, none), Due::default());
        assert!(stamps.received(17_000, true), "to be posted again");
    }

    /// PROTOCOL A1.4: up to 333 ms more.
    #[test]
    fn t3_starts_one_handshake_for_unanswered_data() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        stamps.sent(1000, true);
        assert_eq!(timers.look(&stamps, 0, 1000, |most| most).next_ms, Some(11_000), "a T2 may arise meanwhile");
        assert_eq!(timers.look(&stamps, 0, 11_000, none).next_ms, Some(1000 + 15_000 + 333));
        assert_eq!(timers.look(&stamps, 0, 16_332, none).initiate, None);
        assert_eq!(timers.look(&stamps, 0, 16_333, none).initiate, Some(false));
        assert_eq!(timers.look(&stamps, 0, 16_334, none).initiate, None);
        // An answer in between moves the deadline.
        stamps.sent(20_000, true);
        timers.look(&stamps, 0, 20_000, none);
        stamps.received(21_000, false);
        stamps.sent(30_000, true);
        assert_eq!(timers.look(&stamps, 0, 36_000, none).initiate, None);
        assert_eq!(timers.look(&stamps, 0, 36_000, none).next_ms, Some(45_000));
        assert_eq!(timers.look(&stamps, 0, 45_000, none).initiate, Some(false));
    }

    /// PROTOCOL A7.5: from anything authenticated.
    #[test]
    fn t5_counts_from_anything_authenticated() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        stamps.sent(1000, true);
        stamps.received(1500, false);
        // The peer is watched for what was unanswered; it looks away first.
        assert_eq!(timers.look(&stamps, 25, 2000, none).next_ms, Some(3000));
        let due = timers.look(&stamps, 25, 3000, none);
        assert_eq!((due.keepalive, due.next_ms), (false, Some(26_500)));
        assert!(timers.look(&stamps, 25, 26_500, none).keepalive);
    }

    #[test]
    fn a_keepalive_that_cannot_be_sent_is_asked_for_once_a_second() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        for second in [30_000, 31_000, 32_000] {
            assert!(timers.look(&stamps, 25, second, none).keepalive);
            for _ in 0..3 {
                let due = timers.look(&stamps, 25, second + 999, none);
                assert_eq!((due.keepalive, due.next_ms), (false, Some(second + 1000)));
            }
        }
    }

    #[test]
    fn a_keepalive_that_is_nearly_due_is_not_put_off() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        stamps.received(5000, true);
        assert_eq!(timers.look(&stamps, 0, 14_990, none).next_ms, Some(15_000));
    }

    #[test]
    fn a_clock_that_jumps_back_fires_nothing() {
        let (mut timers, stamps) = (PeerTimers::default(), Stamps::default());
        stamps.received(100_000, true);
        timers.initiation_sent(100_000, false, none);
        let due = timers.look(&stamps, 25, 5, none);
        assert_eq!((due.initiate, due.keepalive, due.wipe), (None, false, false));
    }
}
