//! The timestamp of an initiation.

use core::time::Duration;

/// TAI64N label: seconds since 1970 plus 2^62 + 10 as 64 bits, nanoseconds as 32 bits, both big-endian, so that the
/// order of the bytes is the order of the times. The default, all zero, is before every real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tai64N([u8; 12]);

/// Label of the second 0 of Unix time, ten leap seconds before it included.
const UNIX_EPOCH: u64 = (1 << 62) + 10;

/// Nanoseconds are rounded down to a multiple of this (about 16.8 ms), so that the clock leaks less. It is below the
/// 20 ms that initiations keep apart.
const GRANULARITY_NS: u32 = 1 << 24;

const NANOSECONDS_A_SECOND: u32 = 1_000_000_000;

const _: () = assert!((GRANULARITY_NS as u64) < crate::session::limits::INITIATION_SPACING_MS * 1_000_000);

impl Tai64N {
    /// The label of a wall-clock time, given as the time since 1970-01-01 00:00 UTC. Any value is taken; seconds beyond
    /// the label's range saturate.
    pub fn from_unix(since_epoch: Duration) -> Self {
        let seconds = UNIX_EPOCH.saturating_add(since_epoch.as_secs());
        Self::new(seconds, since_epoch.subsec_nanos() & !(GRANULARITY_NS - 1))
    }

    fn new(seconds: u64, nanoseconds: u32) -> Self {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&nanoseconds.to_be_bytes());
        Self(bytes)
    }

    /// This time, or the next one after `last` if it is not later: what goes to a peer only ever grows, though the wall clock was set
    /// back, stands still, or ticks too slowly. (Linux sends what the clock says, and is refused until it has caught up.)
    pub fn later_than(self, last: Option<Self>) -> Self {
        last.map_or(self, |last| self.max(last.next()))
    }

    /// The least label that is later, in the steps of [`Self::from_unix`].
    fn next(self) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, nanoseconds @ ..] = self.0;
        let seconds = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let nanoseconds = u32::from_be_bytes(nanoseconds).saturating_add(GRANULARITY_NS);
        if nanoseconds < NANOSECONDS_A_SECOND {
            Self::new(seconds, nanoseconds)
        } else {
            Self::new(seconds.saturating_add(1), 0)
        }
    }

    /// Twelve bytes as they came from a peer; nothing about them is checked, only their order counts.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// As they go on the wire.
    pub fn bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_or_stands_still_yields_later_times_all_the_same() {
        let noon = Tai64N::from_unix(Duration::from_secs(1_700_000_000));
        let mut last = noon;
        for clock in [1_700_000_000, 1_699_913_600, 0, 1_699_913_600] {
            let next = Tai64N::from_unix(Duration::from_secs(clock)).later_than(Some(last));
            assert!(next > last);
            last = next;
        }
        // Four steps of 2^24 ns, and no more: the clock is the truth again as soon as it has caught up.
        assert_eq!(last, Tai64N::from_unix(Duration::new(1_700_000_000, 4 << 24)));
        let later = Tai64N::from_unix(Duration::from_secs(1_700_000_001));
        assert_eq!(later.later_than(Some(last)), later);
        assert_eq!(later.later_than(None), later);
    }

    #[test]
    fn the_next_time_is_the_next_that_a_clock_can_show() {
        let mut stepped = Tai64N::from_unix(Duration::from_secs(7));
        for step in 1..=120_u64 {
            stepped = stepped.next();
            // 60 steps a second: the last one is the shorter.
            let (seconds, steps) = (7 + step / 60, step % 60);
            assert_eq!(stepped, Tai64N::from_unix(Duration::new(seconds, u32::try_from(steps << 24).unwrap())));
        }
    }
}
