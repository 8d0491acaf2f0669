//! Longest-prefix match that all cores read without locks: one hash table keyed by (prefix, length), searched over the
//! lengths in use, longest first.
//!
//! Peers have few lengths (mostly /32 and /128), so most lookups touch one cache line. Slots hold the prefix itself: a hit
//! cannot be another prefix's (see `table.rs`). The writer changes slots in place; only growth makes a new table, which
//! goes through [`Published`], and the old one is freed after a grace period.
//!
//! One lookup is not one instant: it asks length after length. A prefix that is there, unchanged, from before the lookup
//! until after it is never missed, and every value found belonged, during the lookup, to a prefix that holds the address.

mod interleave;
mod key;
mod lengths;
mod table;
#[cfg(test)]
mod tests;

pub use key::Key;

use crate::queue::sync::Arc;
use crate::queue::{Domain, Published, Reader, Retired};
use lengths::LengthSet;
use std::hash::{BuildHasher, RandomState};
use table::{GROUP, Located, Table};

/// The readers' side of a table of prefixes with a 32-bit value each. Any thread that has a [`Reader`] of its domain.
#[derive(Debug)]
pub struct Lpm<K: Key> {
    lengths: LengthSet,
    table: Published<Table<K>>,
}

impl<K: Key> Lpm<K> {
    /// An empty table that takes `prefixes` prefixes without growing, and the one handle that may write it.
    pub fn new(domain: &Arc<Domain>, prefixes: usize) -> (Arc<Self>, LpmWriter<K>) {
        let seed = RandomState::new().hash_one(0);
        let table = Table::new(slots_for(prefixes), seed);
        let lpm =
            Arc::new(Self { lengths: LengthSet::default(), table: Published::new(Arc::clone(domain), table.clone()) });
        let writer = LpmWriter {
            lpm: Arc::clone(&lpm),
            table,
            seed,
            counts: vec![0; usize::from(K::BITS) + 1].into(),
            live: 0,
            retired: Vec::new(),
            growths: 0,
        };
        (lpm, writer)
    }

    /// The value of the longest prefix that holds `addr`. Wait-free.
    #[inline]
    pub fn lookup(&self, reader: &Reader, addr: K) -> Option<u32> {
        // The lengths come first: see `LengthSet::longest_first`.
        let lengths = self.lengths.longest_first();
        self.table.load(reader).lookup(lengths, addr)
    }

    /// [`Lpm::lookup`] for each address, into the value at its place; the cache misses of a burst run side by side.
    /// Addresses or values beyond the shorter of both slices are left alone.
    #[inline]
    pub fn lookup_burst(&self, reader: &Reader, addrs: &[K], values: &mut [Option<u32>]) {
        let lengths = self.lengths.longest_first();
        let table = self.table.load(reader);
        for (addrs, values) in addrs.chunks(GROUP).zip(values.chunks_mut(GROUP)) {
            table.lookup_group(lengths, addrs, values);
        }
    }

    /// The value of this very prefix; bits of `addr` beyond `len` are ignored.
    pub fn get_exact(&self, reader: &Reader, addr: K, len: u8) -> Option<u32> {
        if len > K::BITS {
            return None;
        }
        self.table.load(reader).get(addr, len)
    }
}

/// The one handle that changes an [`Lpm`]; the control thread's.
#[derive(Debug)]
pub struct LpmWriter<K: Key> {
    lpm: Arc<Lpm<K>>,
    /// The table that readers see.
    table: Table<K>,
    seed: u64,
    /// Prefixes of each length.
    counts: Box<[u32]>,
    /// Prefixes in all.
    live: usize,
    /// Outgrown tables that a reader may still hold.
    retired: Vec<Retired<Table<K>>>,
    /// How often the table grew.
    growths: u64,
}

impl<K: Key> LpmWriter<K> {
    /// Sets the value of a prefix (bits of `addr` beyond `len` are ignored), and returns the one that it had. A prefix that
    /// was there has a value, the old or the new, at every instant. O(1) amortised.
    ///
    /// # Panics
    /// If `len` is greater than [`Key::BITS`].
    pub fn insert(&mut self, addr: K, len: u8, value: u32) -> Option<u32> {
        assert!(len <= K::BITS, "a prefix of {len} bits");
        let key = addr.masked(len);
        self.collect();
        if let Located::Here(index, old) = self.table.locate(key, len) {
            self.table.set_value(index, value);
            return Some(old);
        }
        self.make_room();
        let Located::Free(index) = self.table.locate(key, len) else {
            unreachable!("a table at most 5/8 full has a free slot");
        };
        // The length comes last: whoever sees it finds the prefix.
        self.table.fill(index, key, len, value);
        self.lpm.lengths.insert(len);
        self.live += 1;
        self.counts[usize::from(len)] += 1;
        None
    }

    /// Removes a prefix (bits of `addr` beyond `len` are ignored), and returns its value. A reader that began before may
    /// still find it until a grace period is over. O(1) amortised.
    pub fn remove(&mut self, addr: K, len: u8) -> Option<u32> {
        if len > K::BITS {
            return None;
        }
        self.collect();
        let Located::Here(index, old) = self.table.locate(addr.masked(len), len) else {
            return None;
        };
        self.table.vacate(index);
        self.live -= 1;
        let count = &mut self.counts[usize::from(len)];
        *count -= 1;
        if *count == 0 {
            self.lpm.lengths.remove(len);
        }
        Some(old)
    }

    /// The value of this very prefix; bits of `addr` beyond `len` are ignored.
    pub fn get_exact(&self, addr: K, len: u8) -> Option<u32> {
        if len > K::BITS {
            return None;
        }
        self.table.get(addr, len)
    }

    /// The value of the longest prefix that holds `addr`.
    pub fn lookup(&self, addr: K) -> Option<u32> {
        self.table.lookup(self.lpm.lengths.longest_first(), addr)
    }

    /// All prefixes with their lengths and values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (K, u8, u32)> + '_ {
        self.table.iter()
    }

    /// Prefixes in all.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is no prefix.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Frees the outgrown tables that no reader can hold any more. Every change does this too.
    pub fn collect(&mut self) {
        if !self.retired.is_empty() {
            let retired = core::mem::take(&mut self.retired);
            self.retired = retired.into_iter().filter_map(|table| table.try_free().err()).collect();
        }
    }

    /// Makes a table twice as big when the next prefix would fill more than 5/8 of this one.
    fn make_room(&mut self) {
        let capacity = self.table.capacity();
        if (self.live + 1) * 8 <= capacity * 5 {
            return;
        }
        let bigger = self.table.rebuilt(capacity * 2, self.seed);
        self.growths += 1;
        self.retired.push(self.lpm.table.replace(Box::new(bigger.clone())));
        self.table = bigger;
    }

    /// Checks the table's invariants and every count. Returns how many slots a lookup of each prefix reads, in all.
    #[cfg(test)]
    fn check(&self) -> usize {
        let mut counts = vec![0_u32; self.counts.len()];
        for (key, len, value) in self.iter() {
            counts[usize::from(len)] += 1;
            let found = self.table.locate(key, len);
            assert!(matches!(found, Located::Here(_, at) if at == value), "its chain is cut");
            assert_eq!(key, key.masked(len));
        }
        assert_eq!(counts[..], self.counts[..]);
        let lens = (0..=K::BITS).rev().filter(|len| counts[usize::from(*len)] > 0);
        assert!(lens.eq(self.lpm.lengths.longest_first()), "the bitmap of lengths is wrong");
        assert_eq!(counts.iter().sum::<u32>() as usize, self.live);
        self.table.check()
    }
}

/// Slots for so many prefixes: at most 5/8 of them are in use.
fn slots_for(prefixes: usize) -> usize {
    prefixes.saturating_mul(8).div_ceil(5).saturating_add(1).max(16).next_power_of_two()
}
