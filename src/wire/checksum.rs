//! The Internet checksum (RFC 1071), pseudo headers, and its incremental update (RFC 1624).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A running one's complement sum of big-endian 16-bit words.
///
/// ```
/// use culvert::wire::checksum::Sum;
/// assert_eq!(Sum::new().bytes(&[0x00, 0x01, 0xf2, 0x03]).bytes(&[0xf4, 0xf5, 0xf6, 0xf7]).checksum(), 0x220d);
/// ```
// The words are added in the machine's byte order, 32 bits at a time (RFC 1071 2: order and width do not matter until the fold). What
// is added is below 2^33, so that a packet's sum stays far below 2^64.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    #[inline]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds `bytes`. An odd last byte counts as if a zero followed, so only the last part may have an odd length.
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks::<32>();
        // In this form the compiler takes vectors.
        let mut lanes = [0_u64; 4];
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
                let word = u64::from_ne_bytes(*word);
                *lane += (word & u64::from(u32::MAX)) + (word >> 32);
            }
        }
        let (words, rest) = rest.as_chunks();
        let (pairs, rest) = rest.as_chunks();
        let words: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let pairs: u64 = pairs.iter().map(|pair| u64::from(u16::from_ne_bytes(*pair))).sum();
        let last = rest.first().map_or(0, |last| u64::from(u16::from_ne_bytes([*last, 0])));
        Self(self.0 + lanes.iter().sum::<u64>() + words + pairs + last)
    }

    /// Adds one word.
    #[inline]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word.to_be() as u64)
    }

    /// Adds the pseudo header of an IPv4 upper layer (RFC 768): `len` bytes of header and data.
    #[inline]
    pub fn pseudo_v4(self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> Self {
        self.bytes(&source.octets()).bytes(&destination.octets()).word(protocol.into()).word(len)
    }

    /// Adds the pseudo header of an IPv6 upper layer (RFC 8200 8.1): `len` bytes of header and data.
    #[inline]
    pub fn pseudo_v6(self, source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, len: u32) -> Self {
        self.bytes(&source.octets()).bytes(&destination.octets()).bytes(&len.to_be_bytes()).word(next_header.into())
    }

    /// The sum in 16 bits: what a NIC that completes the checksum wants in the field. Data that holds its own right
    /// checksum folds to `0xffff`.
    #[inline]
    pub const fn fold(self) -> u16 {
        u16::from_be(fold(self.0))
    }

    /// The checksum: the complement of the sum.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Whether the data, its checksum among it, is intact.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The checksum after one 16-bit word of the data went from `old` to `new` (RFC 1624 3, equation 3).
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// Folds with end-around carry: only zero folds to zero.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "what is left is below 2^16")]
const fn fold(sum: u64) -> u16 {
    // 64 bits become 33, 18, 17 and 16, without a branch that would be foreseen wrongly.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn known_vectors() {
        // RFC 1071 3: the sum is ddf2.
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::new().bytes(&data).fold(), 0xddf2);
        assert_eq!(Sum::new().bytes(&[]).checksum(), 0xffff);
        assert_eq!(Sum::new().bytes(&[0xab]).fold(), 0xab00);
        assert_eq!(Sum::new().bytes(&[0xff; 6]).fold(), 0xffff);
    }

    #[test]
    fn update_meets_rfc_1624_section_4() {
        // The case that equation 4 of RFC 1141 gets wrong.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    proptest! {
        #[test]
        fn equals_the_naive_sum(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::new().bytes(&bytes).checksum(), naive(&bytes));
        }

        #[test]
        fn parts_add_up(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..100_usize) {
            let (a, b) = bytes.split_at((at * 2).min(bytes.len() & !1));
            prop_assert_eq!(Sum::new().bytes(a).bytes(b).checksum(), naive(&bytes));
        }

        #[test]
        fn update_equals_a_new_sum(
            mut words in prop::collection::vec(any::<u16>(), 1..40),
            at in any::<prop::sample::Index>(),
            new in any::<u16>(),
        ) {
            let sum = |words: &[u16]| words.iter().fold(Sum::new(), |s, w| s.word(*w));
            // A header is never all zero: word 0 stands for its constant part.
            words.insert(0, 0x4500);
            let at = 1 + at.index(words.len() - 1);
            let before = sum(&words).checksum();
            let old = std::mem::replace(&mut words[at], new);
            prop_assert_eq!(update(before, old, new), sum(&words).checksum());
        }

        #[test]
        fn data_with_its_checksum_is_valid(mut bytes in prop::collection::vec(any::<u8>(), 2..200)) {
            bytes[..2].fill(0);
            let checksum = Sum::new().bytes(&bytes).checksum();
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(Sum::new().bytes(&bytes).is_valid());
            let wrong = checksum ^ 0x0100;
            bytes[..2].copy_from_slice(&wrong.to_be_bytes());
            prop_assert!(!Sum::new().bytes(&bytes).is_valid());
        }

        #[test]
        fn pseudo_headers_are_their_bytes(s4: [u8; 4], d4: [u8; 4], s6: [u8; 16], d6: [u8; 16], len: u16) {
            let l = len.to_be_bytes();
            let mut v4 = Vec::from(s4);
            v4.extend(d4);
            v4.extend([0, 17, l[0], l[1]]);
            let sum = Sum::new().pseudo_v4(s4.into(), d4.into(), 17, len);
            prop_assert_eq!(sum.checksum(), naive(&v4));

            let mut v6 = Vec::from(s6);
            v6.extend(d6);
            v6.extend([0, 0, l[0], l[1], 0, 0, 0, 58]);
            let sum = Sum::new().pseudo_v6(s6.into(), d6.into(), 58, len.into());
            prop_assert_eq!(sum.checksum(), naive(&v6));
        }
    }
}
