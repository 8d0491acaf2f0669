//! Poly1305 of one packet after the other: the lanes are eight neighbouring blocks of one, with powers of r; the powers of
//! eight packets are made together.

use super::field::{Factor, Number, Products, StoredFactor, TOP};
use super::poly::{Eight, PACKETS, transpose_8};
use super::vector::{V, load, window};
use core::arch::x86_64::{
    _mm512_add_epi64, _mm512_cmpge_epi64_mask, _mm512_mask_or_epi64, _mm512_or_si512, _mm512_set_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

/// Scratch memory: powers of r.
#[derive(zeroize::Zeroize)]
pub(super) struct Powers([StoredFactor; 4]);

impl Powers {
    pub(super) const EMPTY: Self = Self([StoredFactor::ZERO; 4]);
}

/// The sums of the texts and their lengths, times r: chunks of 128 bytes, up to four of them with one carry.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
#[inline]
pub(super) fn sums(eight: &Eight<'_>, r: &Factor, powers: &mut Powers) -> Number {
    let r2 = Factor::new(r.number().times(r));
    let r4 = Factor::new(r2.number().times(&r2));
    let r3 = Factor::new(r2.number().times(r));
    let r8 = Factor::new(r4.number().times(&r4));
    r8.store(&mut powers.0[0]);
    if eight.lengths.0[0] > 256 {
        let r16 = Factor::new(r8.number().times(&r8));
        r16.store(&mut powers.0[1]);
        Factor::new(r16.number().times(&r8)).store(&mut powers.0[2]);
        Factor::new(r16.number().times(&r16)).store(&mut powers.0[3]);
    }
    let mut lanes = [[_mm512_setzero_si512(); PACKETS]; 3];
    for (n, text) in eight.texts.iter().take(eight.count).enumerate() {
        let sum = sums_of_one(text, powers, n);
        for (lanes, limb) in lanes.iter_mut().zip(sum.0) {
            lanes[n] = limb;
        }
    }
    // Lanes hold the blocks 0 4 1 5 2 6 3 7 of a chunk.
    let (low, middle, high) = (transpose_8(lanes[0]), transpose_8(lanes[1]), transpose_8(lanes[2]));
    let block = |n: usize| Number([low[n], middle[n], high[n]]);
    let four = |a, b, c, d| Products::zero().plus(a, &r3).plus(b, &r2).plus(c, r).carried().plus(d);
    let first = four(block(0), block(2), block(4), block(6));
    let second = four(block(1), block(3), block(5), block(7));
    let sum = first.times(&r4).plus(second);
    Products::zero().plus(eight.length_blocks(), r).plus(sum, &r2).carried()
}

/// For each lane `Σ block × (r⁸)ᵏ`, with the `packet`th r.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn sums_of_one(text: &[u8], powers: &Powers, packet: usize) -> Number {
    let chunks = text.len().div_ceil(128).max(1);
    // The first chunk may begin before the text.
    let at = text.len().next_multiple_of(16) as isize - 128 * chunks as isize;
    let Number([low, middle, high]) = blocks(window(text, at), window(text, at + 64));
    let places = _mm512_set_epi64(7 * 16, 3 * 16, 6 * 16, 2 * 16, 5 * 16, 16, 4 * 16, 0);
    let places = _mm512_add_epi64(places, _mm512_set1_epi64(at as i64));
    let inside = _mm512_cmpge_epi64_mask(places, _mm512_setzero_si512());
    let mut sum = Number([low, middle, _mm512_mask_or_epi64(high, inside, high, _mm512_set1_epi64(TOP))]);

    let mut rest = text.get((at + 128).unsigned_abs()..).unwrap_or_default();
    let left = chunks - 1;
    // In vectors once a packet: else each use would be a shuffle.
    let r = [powers.0[0].of(packet), powers.0[1].of(packet), powers.0[2].of(packet), powers.0[3].of(packet)];
    match left % 4 {
        1 => sum = step::<1>(sum, &mut rest, &r),
        2 => sum = step::<2>(sum, &mut rest, &r),
        3 => sum = step::<3>(sum, &mut rest, &r),
        _ => {}
    }
    for _ in 0..left / 4 {
        sum = step::<4>(sum, &mut rest, &r);
    }
    sum
}

/// `sum × (r⁸)ᴺ + block₀ × (r⁸)ᴺ⁻¹ + … + blockₙ₋₁`, with the powers from r⁸ on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn step<const N: usize>(sum: Number, rest: &mut &[u8], r: &[Factor; 4]) -> Number {
    // Two chains, since each addition waits for the one before.
    let (mut products, mut others) = (Products::zero(), Products::zero());
    let mut last = Number::zero();
    for n in 0..N {
        let (x, y);
        if let Some((chunk, behind)) = rest.split_first_chunk::<128>() {
            let (halves, _) = chunk.as_chunks::<64>();
            (x, y) = (load(&halves[0]), load(&halves[1]));
            *rest = behind;
        } else {
            (x, y) = (window(rest, 0), window(rest, 64));
        }
        let Number([low, middle, high]) = blocks(x, y);
        last = Number([low, middle, _mm512_or_si512(high, _mm512_set1_epi64(TOP))]);
        if n + 1 < N {
            products = products.plus(last, &r[N - 2 - n]);
            (products, others) = (others, products);
        }
    }
    let sum = products.plus(sum, &r[N - 1]);
    if N > 1 { sum.merged(others).carried().plus(last) } else { sum.carried().plus(last) }
}

/// Eight blocks, of which the first four are in the first vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn blocks(x: V, y: V) -> Number {
    Number::split(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y))
}
