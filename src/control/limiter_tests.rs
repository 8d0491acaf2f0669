//! The limiter against a naive one, and the expectations of the kernel's self-test (its numbers, PROTOCOL A1).

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

const HANDSHAKES: Rate = Rate { per_second: 20, burst: 5 };

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

/// All share one set.
#[derive(Clone, Copy, Debug, Default)]
struct Same;

impl BuildHasher for Same {
    type Hasher = Constant;

    fn build_hasher(&self) -> Constant {
        Constant
    }
}

struct Constant;

impl Hasher for Constant {
    fn finish(&self) -> u64 {
        7
    }

    fn write(&mut self, _: &[u8]) {}
}

/// PROTOCOL A1.22: 20 a second, 5 at once.
#[test]
fn five_at_once_and_twenty_a_second() {
    // What passes at which wait in ms before it, from a bucket that is full.
    let steps = [
        (0, true),
        (0, true),
        (0, true),
        (0, true),
        (0, true),
        (0, false),
        // 50 ms earn one.
        (50, true),
        (0, false),
        (100, true),
        (0, true),
        (0, false),
        // Less than the cost: it adds up.
        (49, false),
        (1, true),
        (25, false),
        (25, true),
        // Long rest fills it, and no more than that.
        (1_000_000, true),
        (0, true),
        (0, true),
        (0, true),
        (0, true),
        (0, false),
    ];
    for source in ["10.9.8.7", "2001:db8::1", "fe80::1", "0.0.0.0", "::", "::ffff:192.0.2.1"] {
        let mut limiter = Limiter::new(HANDSHAKES, 64);
        let mut now_ms = 77;
        for (number, (wait_ms, expected)) in steps.into_iter().enumerate() {
            now_ms += wait_ms;
            assert_eq!(limiter.allow(source.parse().unwrap(), now_ms), expected, "{source}, step {number}");
        }
    }
}

#[test]
fn twenty_a_second_in_the_long_run() {
    let mut limiter = Limiter::new(HANDSHAKES, 64);
    let allowed = (0..100_000).filter(|now_ms| limiter.allow(v4(1), *now_ms)).count();
    assert!((2000..=2005).contains(&allowed), "{allowed}");
}

#[test]
fn an_address_and_a_64_bit_prefix_are_one_source_each() {
    let mut limiter = Limiter::new(Rate { per_second: 20, burst: 1 }, 64);
    let mut allow = |source: &str| limiter.allow(source.parse().unwrap(), 0);
    assert!(allow("192.0.2.1") && allow("192.0.2.2") && allow("192.0.2.129"));
    assert!(!allow("192.0.2.1") && !allow("::ffff:192.0.2.2"));
    assert!(allow("2001:db8:0:1::1"));
    assert!(!allow("2001:db8:0:1:ffff:ffff:ffff:ffff") && !allow("2001:db8:0:1:8000::"));
    assert!(allow("2001:db8:0:2::1") && allow("2001:db8:0:3::1"));
    // No IPv6 prefix is an IPv4 address.
    assert!(allow("0:0:c000:201::1") && allow("::c000:201"));
}

#[test]
fn a_clock_that_jumps_back_earns_nothing_and_locks_nobody_out() {
    let mut limiter = Limiter::new(HANDSHAKES, 64);
    for _ in 0..5 {
        assert!(limiter.allow(v4(1), 1_000_000));
    }
    assert!(!limiter.allow(v4(1), 5) && !limiter.allow(v4(1), 54));
    assert!(limiter.allow(v4(1), 55));
}

/// PROTOCOL A1.23: the table has a bound.
/// TESTING A16: constant memory for a million.
#[test]
fn a_million_sources_take_no_more_memory_and_refuse_nobody() {
    const CAPACITY: usize = 65_536;
    let mut limiter = Limiter::new(HANDSHAKES, CAPACITY);
    let (at, capacity) = (limiter.sets.as_ptr(), limiter.capacity());
    assert_eq!(capacity, CAPACITY);
    for number in 0..1_000_000 {
        assert!(limiter.allow(v4(number), u64::from(number / 1000)), "{number}");
        // Somebody who comes all the time is not forgotten, so stays limited.
        if number % 1000 == 0 {
            assert_eq!(limiter.allow(v4(u32::MAX), 0), number / 1000 < 5, "{number}");
        }
    }
    assert_eq!((limiter.sets.as_ptr(), limiter.capacity()), (at, capacity));
    let len = limiter.len();
    assert!(len <= CAPACITY && len > CAPACITY * 9 / 10, "{len}");
}

#[test]
fn a_bucket_of_another_rate() {
    let rate = Rate { per_second: 3, burst: 2 };
    let mut bucket = Bucket::full(rate, 0);
    let allowed: Vec<_> = (0..=1000).filter(|now_ms| bucket.allow(rate, *now_ms)).collect();
    assert_eq!(allowed, [0, 1, 334, 667, 1000]);
    // Nonsense is one a second.
    let none = Rate { per_second: 0, burst: 0 };
    let mut bucket = Bucket::full(none, 0);
    assert!(bucket.allow(none, 0) && !bucket.allow(none, 999) && bucket.allow(none, 1000));
}

/// What the table should do, the slow way: buckets in f64, sets by hand.
struct Oracle {
    rate: Rate,
    sets: HashMap<u64, Vec<(IpAddr, f64, u64)>>,
    count: u64,
}

impl Oracle {
    fn allow(&mut self, source: IpAddr, set: u64, now_ms: u64) -> bool {
        let cost = 1e6 / f64::from(self.rate.per_second);
        let most = cost * f64::from(self.rate.burst);
        let set = self.sets.entry(set % self.count).or_default();
        let (_, tokens, last_ms) = match set.iter().position(|(s, ..)| *s == source) {
            Some(at) => set.remove(at),
            None => (source, most, now_ms),
        };
        let tokens = (tokens + (now_ms - last_ms) as f64 * 1e3).min(most);
        let allowed = tokens >= cost;
        set.insert(0, (source, tokens - if allowed { cost } else { 0.0 }, now_ms));
        set.truncate(WAYS);
        allowed
    }
}

/// A hash that the oracle can compute too.
#[derive(Clone, Copy, Debug, Default)]
struct Known;

impl BuildHasher for Known {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

fn source() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..40_u32).prop_map(v4),
        // The interface identifier is left out of the oracle's key.
        (0..40_u64).prop_map(|site| Ipv6Addr::from_bits(u128::from(site | 0x2001_0db8 << 32) << 64).into()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_oracle_does(
        per_second in prop_oneof![Just(1_u32), Just(20), Just(100), Just(1000)],
        burst in 1..10_u32,
        capacity in prop_oneof![Just(8_usize), Just(16), Just(64)],
        events in prop::collection::vec((source(), 0..400_u64), 1..400),
    ) {
        let rate = Rate { per_second, burst };
        let mut limiter = Limiter::with_hasher(rate, capacity, Known);
        let mut oracle = Oracle { rate, sets: HashMap::new(), count: (capacity / WAYS) as u64 };
        let mut now_ms = 0;
        for (source, wait_ms) in events {
            now_ms += wait_ms;
            let set = Known.hash_one(Key::of(source));
            prop_assert_eq!(limiter.allow(source, now_ms), oracle.allow(source, set, now_ms));
        }
        prop_assert!(limiter.len() <= limiter.capacity());
    }

    /// Eight sources of one set are all remembered; the ninth takes the place of who was idle the longest.
    #[test]
    fn the_longest_idle_is_forgotten(order in prop::collection::vec(0..9_u32, 1..200)) {
        let mut limiter = Limiter::with_hasher(Rate { per_second: 1, burst: 1 }, WAYS, Same);
        let mut remembered: Vec<u32> = Vec::new();
        for number in order {
            let known = remembered.contains(&number);
            prop_assert_eq!(limiter.allow(v4(number), 0), !known);
            remembered.retain(|n| *n != number);
            remembered.insert(0, number);
            remembered.truncate(WAYS);
        }
    }
}
