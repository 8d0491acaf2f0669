//! One timing wheel for all peers: O(1) to arm, no scan over peers. Entries are hints; who fires re-reads the peer's stamps.

use crate::queue::FlowId;

/// Width of a tick, ms: T1 to T3 are met within 100 ms.
const TICK_MS: u64 = 16;
/// Ticks around: entries further away (about a minute) are put in again when they come by.
const TICKS: usize = 4096;

/// The wheel. One thread.
#[derive(Debug)]
pub struct Wheel {
    ticks: Vec<Vec<(FlowId, u64)>>,
    /// The tick that was last served.
    served: u64,
}

impl Wheel {
    /// An empty wheel that begins at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self { ticks: vec![Vec::new(); TICKS], served: now_ms / TICK_MS }
    }

    /// Fires `flow` once `at_ms` is reached, never before.
    pub fn arm(&mut self, flow: FlowId, at_ms: u64) {
        let tick = at_ms.div_ceil(TICK_MS).clamp(self.served + 1, self.served + TICKS as u64 - 1);
        let place = usize::try_from(tick % TICKS as u64).unwrap_or(0);
        if let Some(entries) = self.ticks.get_mut(place) {
            entries.push((flow, at_ms));
        }
    }

    /// When the next entry is looked at, which may be before its time. Goes over all ticks: for simulations, which leap there.
    pub fn next_ms(&self) -> Option<u64> {
        let ticks = self.served + 1..self.served + TICKS as u64;
        let is_used = |tick: &u64| {
            let place = usize::try_from(tick % TICKS as u64).unwrap_or(0);
            self.ticks.get(place).is_some_and(|entries| !entries.is_empty())
        };
        ticks.into_iter().find(is_used).map(|tick| tick * TICK_MS)
    }

    /// Moves on to `now_ms` and calls `fire` for each entry whose time has come. A clock that jumps back fires nothing.
    pub fn advance(&mut self, now_ms: u64, mut fire: impl FnMut(FlowId)) {
        let now = now_ms / TICK_MS;
        // A clock that leapt ahead fires everything once, not once a lap.
        let from = self.served.max(now.saturating_sub(TICKS as u64));
        for tick in from + 1..=now {
            self.served = tick;
            let place = usize::try_from(tick % TICKS as u64).unwrap_or(0);
            let entries = self.ticks.get_mut(place).map(std::mem::take).unwrap_or_default();
            for (flow, at_ms) in entries {
                if at_ms <= now_ms { fire(flow) } else { self.arm(flow, at_ms) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Oracle: a list of deadlines. Everything fires once, not early, and at most a tick late.
        #[test]
        fn fires_like_a_list(
            ops in proptest::collection::vec((0u64..200_000, 0u64..3000), 1..200),
            start in 0u64..1_000_000,
        ) {
            let (mut wheel, mut now) = (Wheel::new(start), start);
            let mut waiting: Vec<(u32, u64)> = Vec::new();
            for (id, (delay, step)) in (0u32..).zip(ops) {
                wheel.arm(FlowId(id), now + delay);
                waiting.push((id, now + delay));
                let first = waiting.iter().map(|w| w.1).min().unwrap_or(u64::MAX);
                prop_assert!(wheel.next_ms().is_some_and(|next| next < first.max(now) + 2 * TICK_MS));
                now += step;
                wheel.advance(now, |flow| {
                    let i = waiting.iter().position(|w| w.0 == flow.0).expect("fired twice");
                    let (_, at) = waiting.swap_remove(i);
                    assert!(at <= now, "early");
                });
                prop_assert!(waiting.iter().all(|w| w.1 + 2 * TICK_MS > now), "late: {waiting:?} at {now}");
            }
        }
    }

    #[test]
    fn leaps_fire_everything_and_jumps_back_nothing() {
        let mut wheel = Wheel::new(1000);
        wheel.arm(FlowId(1), 5000);
        wheel.arm(FlowId(2), 500_000);
        let mut fired = Vec::new();
        wheel.advance(10, |f| fired.push(f.0));
        assert!(fired.is_empty());
        wheel.advance(100_000_000, |f| fired.push(f.0));
        fired.sort_unstable();
        assert_eq!(fired, [1, 2]);
    }
}
