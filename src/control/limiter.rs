//! How often one source may do something: a token bucket an IPv4 address or IPv6 /64, in a table of fixed size.
//!
//! Whom the table has forgotten starts with a full bucket. The table forgets, in each set of eight, who was idle the longest: so a
//! crowd of sources costs others nothing (the kernel's table refuses everybody new when it is full). Memory is taken once.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Sources that share a set of the table.
const WAYS: usize = 8;
const MICROS: u32 = 1_000_000;

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events a second, in the long run; 1 at least.
    pub per_second: u32,
    /// Events at once, after rest; 1 at least. `burst / per_second` is an hour at most.
    pub burst: u32,
}

impl Rate {
    /// What an event costs, in microseconds of waiting: 50 ms at 20 a second.
    const fn cost_us(self) -> u32 {
        MICROS / if self.per_second == 0 { 1 } else { self.per_second }
    }

    /// The most that can be saved up.
    const fn most_us(self) -> u32 {
        self.cost_us().saturating_mul(if self.burst == 0 { 1 } else { self.burst })
    }
}

/// One token bucket. Its tokens are microseconds: waiting earns them, events cost them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// Of the last event, allowed or not.
    last_ms: u64,
    tokens_us: u32,
}

impl Bucket {
    /// A full one.
    pub fn full(rate: Rate, now_ms: u64) -> Self {
        Self { last_ms: now_ms, tokens_us: rate.most_us() }
    }

    /// Whether one more event is allowed now; it is taken then. A clock that jumps back earns nothing.
    pub fn allow(&mut self, rate: Rate, now_ms: u64) -> bool {
        let earned_us = now_ms.saturating_sub(self.last_ms).saturating_mul(1000);
        let earned_us = u32::try_from(earned_us).unwrap_or(u32::MAX);
        self.tokens_us = self.tokens_us.saturating_add(earned_us).min(rate.most_us());
        self.last_ms = now_ms;
        let left = self.tokens_us.checked_sub(rate.cost_us());
        self.tokens_us = left.unwrap_or(self.tokens_us);
        left.is_some()
    }
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Key {
    /// A place that was never used.
    #[default]
    Nobody,
    /// All 32 bits.
    V4(u32),
    /// The first 64 bits: an end site has them all.
    V6(u64),
}

impl Key {
    fn of(source: IpAddr) -> Self {
        match source.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Buckets of one set, the last used first.
type Set = [(Key, Bucket); WAYS];

/// The table. One thread's own; nothing is allocated after [`Limiter::new`].
#[derive(Debug)]
pub struct Limiter<H = RandomState> {
    rate: Rate,
    sets: Box<[Set]>,
    /// Keyed: nobody outside can choose sources that share a set.
    hasher: H,
}

impl Limiter {
    /// A table for `capacity` sources at once, rounded up to a power of two.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self::with_hasher(rate, capacity, RandomState::new())
    }
}

impl<H: BuildHasher> Limiter<H> {
    /// The same with a hash function of the caller's, for tests and simulations.
    pub fn with_hasher(rate: Rate, capacity: usize, hasher: H) -> Self {
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        Self { rate, sets: vec![Set::default(); sets].into_boxed_slice(), hasher }
    }

    /// Whether `source` may once more, now: a v4-mapped address counts as IPv4's. The event is taken if so.
    pub fn allow(&mut self, source: IpAddr, now_ms: u64) -> bool {
        let (key, rate) = (Key::of(source), self.rate);
        let mask = self.sets.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
        let place = self.hasher.hash_one(key) as usize & mask;
        let Some(set) = self.sets.get_mut(place) else { return false };
        let found = set.iter().position(|(k, _)| *k == key);
        // To the front; whoever is last, idle for the longest, is forgotten for a newcomer.
        set[..=found.unwrap_or(WAYS - 1)].rotate_right(1);
        let [(first, bucket), ..] = set;
        if found.is_none() {
            (*first, *bucket) = (key, Bucket::full(rate, now_ms));
        }
        bucket.allow(rate, now_ms)
    }

    /// How many sources it can remember.
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// How many it remembers now; it counts them.
    pub fn len(&self) -> usize {
        self.sets.iter().flatten().filter(|(key, _)| *key != Key::Nobody).count()
    }

    /// Whether nobody was ever asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
