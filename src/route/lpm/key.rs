//! What a prefix is made of: IPv4 as `u32`, IPv6 as `u128`, both in host order.

use crate::queue::sync::{AtomicU32, AtomicU64, Ordering};
use core::fmt::Debug;

/// An address that prefixes are made of. Implemented for `u32` (IPv4) and `u128` (IPv6) only.
pub trait Key: Copy + Eq + Debug + Default + Send + Sync + sealed::Sealed + 'static {
    /// Bits of an address; also the greatest prefix length.
    const BITS: u8;
    /// The words that a slot keeps the address in.
    type Words: Debug + Default + Send + Sync;
    /// A field of no size that keeps a slot from lying across two cache lines.
    type Align: Copy + Debug + Default + Send + Sync;

    /// The first `len` bits; the others are cleared. A greater `len` than [`Key::BITS`] clears none.
    fn masked(self, len: u8) -> Self;

    /// A hash of the prefix, seeded, so that nobody who chooses addresses can choose the slot.
    fn hash(self, len: u8, seed: u64) -> u64;

    /// Reads the words, one after the other: the slot's version says whether they belong together.
    fn load(words: &Self::Words) -> Self;

    /// Writes the words, one after the other, under the same rule.
    fn store(self, words: &Self::Words);
}

/// An IPv4 slot is 16 bytes: four a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
pub struct Align16;

/// An IPv6 slot is 32 bytes: two a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub struct Align32;

impl Key for u32 {
    const BITS: u8 = 32;
    type Words = AtomicU32;
    type Align = Align16;

    #[inline]
    fn masked(self, len: u8) -> Self {
        self & !Self::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    #[inline]
    fn hash(self, len: u8, seed: u64) -> u64 {
        fold(u64::from(self) << 8 | u64::from(len), seed)
    }

    #[inline]
    fn load(words: &AtomicU32) -> Self {
        // Relaxed: `Slot::read` orders it by the slot's head.
        words.load(Ordering::Relaxed)
    }

    #[inline]
    fn store(self, words: &AtomicU32) {
        // Relaxed: `Slot::fill` orders it by the slot's head.
        words.store(self, Ordering::Relaxed);
    }
}

impl Key for u128 {
    const BITS: u8 = 128;
    type Words = [AtomicU64; 2];
    type Align = Align32;

    #[inline]
    fn masked(self, len: u8) -> Self {
        self & !Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
    }

    #[inline]
    fn hash(self, len: u8, seed: u64) -> u64 {
        let [high, low] = halves(self);
        fold(fold(high, seed) ^ low, seed ^ u64::from(len))
    }

    #[inline]
    fn load(words: &[AtomicU64; 2]) -> Self {
        let [high, low] = words;
        // Relaxed, both: `Slot::read` orders them by the slot's head.
        Self::from(high.load(Ordering::Relaxed)) << 64 | Self::from(low.load(Ordering::Relaxed))
    }

    #[inline]
    fn store(self, words: &[AtomicU64; 2]) {
        let [high, low] = halves(self);
        // Relaxed, both: `Slot::fill` orders them by the slot's head.
        words[0].store(high, Ordering::Relaxed);
        words[1].store(low, Ordering::Relaxed);
    }
}

/// The two words of an IPv6 address, the network's half first.
#[inline]
fn halves(key: u128) -> [u64; 2] {
    [key >> 64, key & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0))
}

/// Multiplies by an odd constant and folds the product's halves together, twice: every input bit reaches every output bit.
#[inline]
fn fold(word: u64, seed: u64) -> u64 {
    let once = folded_product(word ^ seed, 0x9e37_79b9_7f4a_7c15);
    folded_product(once ^ seed.rotate_left(32), 0xd1b5_4a32_d192_ed03)
}

#[inline]
fn folded_product(a: u64, b: u64) -> u64 {
    let [high, low] = halves(u128::from(a) * u128::from(b));
    high ^ low
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u128 {}
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn masks_keep_the_first_bits() {
        assert_eq!(0xffff_ffff_u32.masked(0), 0);
        assert_eq!(0xffff_ffff_u32.masked(9), 0xff80_0000);
        assert_eq!(0x0a0b_0c0d_u32.masked(32), 0x0a0b_0c0d);
        assert_eq!(0x0a0b_0c0d_u32.masked(40), 0x0a0b_0c0d);
        assert_eq!(u128::MAX.masked(0), 0);
        assert_eq!(u128::MAX.masked(64), u128::MAX << 64);
        assert_eq!(u128::MAX.masked(128), u128::MAX);
        assert_eq!(u128::MAX.masked(255), u128::MAX);
    }

    #[test]
    fn neighbouring_prefixes_spread() {
        // 4,096 consecutive /32 and /128 over 4,096 buckets: a random function leaves about 1/e of them empty.
        for bucket_of in [
            (|i| u32::hash(0x0a00_0000 + i, 32, 7) % 4096) as fn(u32) -> u64,
            |i| u128::hash(u128::from(i) << 64, 128, 7) % 4096,
            |i| u128::hash(u128::from(i), 128, 7) % 4096,
        ] {
            let used: std::collections::HashSet<u64> = (0..4096).map(bucket_of).collect();
            assert!((2300..2900).contains(&used.len()), "{} of 4096", used.len());
        }
    }
}
