//! How fast peers are: what they had when it was asked last, kept while somebody goes on asking (`top`).

use crate::control::record::PeerRecord;
use crate::dpdk::Mbuf;
use crate::shared::PeerFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who asks sooner gets the same once more: over less time they would say nothing.
const LEAST: Duration = Duration::from_millis(500);
/// What nobody asked for as long is let go of, and begins anew.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// 56 bytes a peer, while it is asked for.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Rates(Mutex<Kept>);

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// When somebody asked last.
    seen: Option<Instant>,
    /// By flow.
    peers: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Of the public key: another peer may have the place by now.
    tag: u64,
    /// When it had these bytes: not all are looked at each time.
    at: Option<Instant>,
    rx: u64,
    tx: u64,
    rate: Rate,
}

/// Bits a second, of the bytes that `rx_bytes` and `tx_bytes` count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) rx_bps: u64,
    pub(super) tx_bps: u64,
}

/// One walk over the peers.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    kept: MutexGuard<'a, Kept>,
    now: Instant,
}

impl Rates {
    /// Begins a walk at `now`; all others wait for its end.
    pub(super) fn walk(&self, now: Instant) -> Walk<'_> {
        let mut kept = self.lock();
        kept.forget(now);
        kept.seen = Some(now);
        Walk { kept, now }
    }

    /// Lets go of what nobody asks for any more.
    pub(in crate::gateway) fn forget(&self, now: Instant) {
        self.lock().forget(now);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, now: Instant) {
        if self.seen.is_some_and(|at| now.saturating_duration_since(at) > FORGOTTEN) {
            *self = Self::default();
        }
    }
}

impl Walk<'_> {
    /// How fast a peer was since it was looked at last; 0 the first time.
    pub(super) fn rate(&mut self, record: &PeerRecord, flow: &PeerFlow<Mbuf>) -> Rate {
        self.note(record.flow.0, tag(&record.public_key), flow.bytes_received(), flow.bytes_sent())
    }

    fn note(&mut self, flow: u32, tag: u64, rx: u64, tx: u64) -> Rate {
        let place = flow as usize;
        if self.kept.peers.len() <= place {
            self.kept.peers.resize(place + 1, Seen::default());
        }
        let Some(seen) = self.kept.peers.get_mut(place) else { return Rate::default() };
        let at = Some(self.now);
        let over = seen.at.filter(|_| seen.tag == tag).map(|before| self.now.saturating_duration_since(before));
        if over.is_none() {
            *seen = Seen { tag, at, rx, tx, rate: Rate::default() };
        } else if let Some(over) = over.filter(|over| *over >= LEAST) {
            let bps = |now: u64, before: u64| {
                let bits = u128::from(now.saturating_sub(before)) * 8 * 1_000_000_000;
                u64::try_from(bits.checked_div(over.as_nanos()).unwrap_or(0)).unwrap_or(u64::MAX)
            };
            let rate = Rate { rx_bps: bps(rx, seen.rx), tx_bps: bps(tx, seen.tx) };
            *seen = Seen { tag, at, rx, tx, rate };
        }
        seen.rate
    }
}

impl Rate {
    pub(super) fn sum(self) -> u64 {
        self.rx_bps.saturating_add(self.tx_bps)
    }
}

/// Of a key, which is as good as random; never that of an empty place.
fn tag(key: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_since_the_last_walk() {
        let rates = Rates::default();
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let rate = |rx_bps, tx_bps| Rate { rx_bps, tx_bps };
        assert_eq!(rates.walk(at(0)).note(3, 7, 1000, 0), rate(0, 0), "nobody knows yet");
        assert_eq!(rates.walk(at(2000)).note(3, 7, 3000, 500), rate(8000, 2000));
        assert_eq!(rates.walk(at(2100)).note(3, 7, 9000, 500), rate(8000, 2000), "too soon");
        assert_eq!(rates.walk(at(3000)).note(3, 7, 4000, 500), rate(8000, 0), "since the last full walk");
        assert_eq!(rates.walk(at(4000)).note(3, 9, 90_000, 0), rate(0, 0), "another peer");
        assert_eq!(rates.walk(at(5000)).note(3, 9, 0, 0), rate(0, 0), "it counts anew");
        rates.walk(at(5000)).note(4, 8, 0, 0);
        rates.walk(at(7000)).note(3, 9, 0, 0);
        assert_eq!(rates.walk(at(9000)).note(4, 8, 2000, 0), rate(4000, 0), "it was not looked at for two walks");
        rates.forget(at(40_000));
        assert!(rates.lock().peers.is_empty());
        assert_eq!(rates.walk(at(40_001)).note(3, 9, 5000, 0), rate(0, 0), "anew");
    }
}
