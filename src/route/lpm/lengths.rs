//! Which prefix lengths are in use.

use crate::queue::sync::{AtomicU64, Ordering};

/// 129 lengths of IPv6.
const WORDS: usize = 3;

/// A bit a length: set after the first prefix of that length came, cleared after the last went. readers: r, writer: w
#[derive(Debug, Default)]
pub(super) struct LengthSet([AtomicU64; WORDS]);

impl LengthSet {
    /// Any thread: the lengths in use, longest first.
    ///
    /// A length that is in use throughout has its bit set throughout, so the words need not be read at one instant.
    #[inline]
    pub(super) fn longest_first(&self) -> Lengths {
        let Self([a, b, c]) = self;
        // Acquire: meets the Release stores in `insert` and `remove`, so that whoever sees the length then also loads the
        // table that has the prefix, and finds it there.
        Lengths([a, b, c].map(|word| word.load(Ordering::Acquire)))
    }

    /// Writer: a prefix of this length exists from now on. Lengths beyond 191 are ignored.
    pub(super) fn insert(&self, len: u8) {
        if let Some(word) = self.0.get(usize::from(len / 64)) {
            // Relaxed load: the writer reads its own store. Release: meets the Acquire loads in `longest_first`.
            word.store(word.load(Ordering::Relaxed) | 1 << (len % 64), Ordering::Release);
        }
    }

    /// Writer: no prefix of this length exists any more.
    pub(super) fn remove(&self, len: u8) {
        if let Some(word) = self.0.get(usize::from(len / 64)) {
            // As in `insert`.
            word.store(word.load(Ordering::Relaxed) & !(1 << (len % 64)), Ordering::Release);
        }
    }
}

/// The lengths that were in use at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths([u64; WORDS]);

impl Iterator for Lengths {
    type Item = u8;

    /// The longest that is left.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let Self([low, middle, high]) = self;
        for (base, word) in [(128_u8, high), (64, middle), (0, low)] {
            if let Some(bit) = word.checked_ilog2() {
                *word ^= 1 << bit;
                return u8::try_from(bit).ok().map(|bit| base + bit);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::LengthSet;

    #[test]
    fn lengths_come_longest_first_and_go_one_by_one() {
        let set = LengthSet::default();
        for len in [32, 0, 128, 63, 64, 127, 33] {
            set.insert(len);
        }
        assert!(set.longest_first().eq([128, 127, 64, 63, 33, 32, 0]));
        for len in [64, 0, 128, 1] {
            set.remove(len);
        }
        assert!(set.longest_first().eq([127, 63, 33, 32]));
    }
}
