//! Poly1305 (RFC 8439, section 2.5) of eight packets at once, as the AEAD of section 2.8 uses it without associated data:
//! the text, padded with zeros to 16 bytes, and a block with its length.
//!
//! Two ways. [`across`]: a lane is a packet; best for packets of like length. [`inside`]: the lanes are eight neighbouring
//! blocks of one packet. Both work on chunks that are counted from the end of the text, so the first chunk may begin before
//! it: blocks of zeros there, without their 2¹²⁸, leave a sum of zero as it is.

use super::field::{Factor, Number, TOP};
use super::vector::{Quads, V, load_halves, load_quads, store_16};
use super::{across, inside};
use core::arch::x86_64::{
    _mm512_add_epi64, _mm512_and_si512, _mm512_castsi512_si128, _mm512_cmplt_epu64_mask, _mm512_extracti64x2_epi64,
    _mm512_mask_add_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shuffle_i64x2, _mm512_slli_epi64,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};
pub(super) use inside::Powers;

/// Packets at once.
pub(super) const PACKETS: usize = 8;

/// r and s of eight packets.
struct Keys {
    r: Factor,
    s: [V; 2],
}

/// The texts of up to eight packets; those that are not there are empty.
pub(super) struct Eight<'a> {
    pub(super) count: usize,
    pub(super) texts: &'a [&'a mut [u8]; PACKETS],
    /// Of the texts, in bytes.
    pub(super) lengths: &'a Quads,
}

impl Eight<'_> {
    /// Chunks of 64 bytes of one text.
    #[inline]
    fn chunks(&self, n: usize) -> u64 {
        self.lengths.0[n % PACKETS].div_ceil(64)
    }

    /// What stands in the length blocks, with its 2¹²⁸.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn length_blocks(&self) -> Number {
        let lengths = _mm512_slli_epi64::<20>(load_quads(self.lengths));
        Number([_mm512_setzero_si512(), lengths, _mm512_set1_epi64(TOP)])
    }
}

/// How eight packets share the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Across,
    Inside,
}

/// The shorter way for texts of which the first is the longest and the last the shortest.
#[inline]
pub(super) fn way(eight: &Eight<'_>) -> Way {
    let (most, least) = (eight.chunks(0), eight.chunks(PACKETS - 1));
    if most <= 1 {
        return Way::Across;
    }
    // What they cost beside each other, as measured.
    let across = 300 + least * 150 + (most - least) * 330;
    let inside = (0..eight.count).fold(700, |sum, n| sum + 25 + eight.chunks(n).div_ceil(2) * 28);
    if across <= inside { Way::Across } else { Way::Inside }
}

/// Whether two groups, the longest text first, are best worked on together.
#[inline]
pub(super) fn alike([first, second]: &[Eight<'_>; 2]) -> bool {
    second.count > 0 && first.chunks(0) == second.chunks(second.count - 1) && way(first) == Way::Across
}

/// The tags of up to eight texts; `keys` are the first 32 bytes of their blocks 0. Tags of what is not there mean nothing.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn tags(
    eight: &Eight<'_>,
    keys: &[[u8; 32]; PACKETS],
    way: Way,
    powers: &mut Powers,
) -> [[u8; 16]; PACKETS] {
    let Keys { r, s } = load_keys(keys);
    let sum = match way {
        Way::Across => {
            let [sum] = across::sums([eight], &[r]);
            sum
        }
        Way::Inside => inside::sums(eight, &r, powers),
    };
    let mut tags = [[0; 16]; PACKETS];
    finish(sum, s, &mut tags);
    tags
}

/// The same of two groups.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn tags_of_two(
    [first, second]: &[Eight<'_>; 2],
    keys: [&[[u8; 32]; PACKETS]; 2],
) -> [[[u8; 16]; PACKETS]; 2] {
    let (a, b) = (load_keys(keys[0]), load_keys(keys[1]));
    let sums = across::sums([first, second], &[a.r, b.r]);
    let mut tags = [[[0; 16]; PACKETS]; 2];
    finish(sums[0], a.s, &mut tags[0]);
    finish(sums[1], b.s, &mut tags[1]);
    tags
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn load_keys(keys: &[[u8; 32]; PACKETS]) -> Keys {
    let rows = [
        load_halves(&keys[0], &keys[2]),
        load_halves(&keys[1], &keys[3]),
        load_halves(&keys[4], &keys[6]),
        load_halves(&keys[5], &keys[7]),
    ];
    let low = [_mm512_unpacklo_epi64(rows[0], rows[1]), _mm512_unpacklo_epi64(rows[2], rows[3])];
    let high = [_mm512_unpackhi_epi64(rows[0], rows[1]), _mm512_unpackhi_epi64(rows[2], rows[3])];
    let r_low = _mm512_shuffle_i64x2::<0x88>(low[0], low[1]);
    let r_high = _mm512_shuffle_i64x2::<0x88>(high[0], high[1]);
    let s = [_mm512_shuffle_i64x2::<0xdd>(low[0], low[1]), _mm512_shuffle_i64x2::<0xdd>(high[0], high[1])];
    let r = Number::split(
        _mm512_and_si512(r_low, _mm512_set1_epi64(0x0fff_fffc_0fff_ffff)),
        _mm512_and_si512(r_high, _mm512_set1_epi64(0x0fff_fffc_0fff_fffc)),
    );
    Keys { r: Factor::new(r), s }
}

/// Adds s and brings the tags into rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn finish(sum: Number, s: [V; 2], tags: &mut [[u8; 16]; PACKETS]) {
    let [low, high] = sum.reduced();
    let low = _mm512_add_epi64(low, s[0]);
    let carry = _mm512_cmplt_epu64_mask(low, s[0]);
    let high = _mm512_add_epi64(high, s[1]);
    let high = _mm512_mask_add_epi64(high, carry, high, _mm512_set1_epi64(1));
    let (even, odd) = (_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    store_16(&mut tags[0], _mm512_castsi512_si128(even));
    store_16(&mut tags[1], _mm512_castsi512_si128(odd));
    store_16(&mut tags[2], _mm512_extracti64x2_epi64::<1>(even));
    store_16(&mut tags[3], _mm512_extracti64x2_epi64::<1>(odd));
    store_16(&mut tags[4], _mm512_extracti64x2_epi64::<2>(even));
    store_16(&mut tags[5], _mm512_extracti64x2_epi64::<2>(odd));
    store_16(&mut tags[6], _mm512_extracti64x2_epi64::<3>(even));
    store_16(&mut tags[7], _mm512_extracti64x2_epi64::<3>(odd));
}

/// From eight vectors to eight: vector `n` of the answer has quad word `n` of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn transpose_8(x: [V; 8]) -> [V; 8] {
    let mut out = x;
    for odd in 0..2 {
        let mut pairs = [x[0]; 4];
        for (n, pair) in pairs.iter_mut().enumerate() {
            let (a, b) = (x[2 * n], x[2 * n + 1]);
            *pair = if odd == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) };
        }
        let [a, b, c, d] = pairs;
        let (ab_even, ab_odd) = (_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xdd>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_i64x2::<0x88>(c, d), _mm512_shuffle_i64x2::<0xdd>(c, d));
        out[odd] = _mm512_shuffle_i64x2::<0x88>(ab_even, cd_even);
        out[2 + odd] = _mm512_shuffle_i64x2::<0x88>(ab_odd, cd_odd);
        out[4 + odd] = _mm512_shuffle_i64x2::<0xdd>(ab_even, cd_even);
        out[6 + odd] = _mm512_shuffle_i64x2::<0xdd>(ab_odd, cd_odd);
    }
    out
}
