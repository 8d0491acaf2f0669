//! Poly1305 with a packet a lane: chunks of four blocks, and `G` groups of eight packets side by side, because one alone
//! waits for its own results.

use super::field::{Factor, Number, Products, TOP};
use super::poly::{Eight, PACKETS, transpose_8};
use super::vector::{Quads, V, load, load_quads, store_quads, window};
use core::arch::x86_64::{
    _mm512_add_epi64, _mm512_and_si512, _mm512_cmpge_epi64_mask, _mm512_maskz_mov_epi64, _mm512_or_si512,
    _mm512_reduce_max_epu64, _mm512_reduce_min_epu64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_sub_epi64,
    _mm512_test_epi64_mask,
};

/// Bytes a chunk.
const CHUNK: usize = 64;

/// Where the chunks of `G` groups lie: as many of each text, counted from its end, so that the first may begin before it.
struct Chunks<'a, const G: usize> {
    groups: [&'a Eight<'a>; G],
    /// How many there are.
    count: usize,
    /// Those from `whole` on, but before `tail`, lie inside of all texts.
    whole: usize,
    tail: usize,
    /// Of the texts, up to the ends of the last blocks.
    padded: [Quads; G],
}

impl<'a, const G: usize> Chunks<'a, G> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    #[expect(clippy::cast_possible_truncation, reason = "lengths of slices")]
    fn new(groups: [&'a Eight<'a>; G]) -> Self {
        let mut padded = [Quads([0; PACKETS]); G];
        let (mut longest, mut shortest, mut ragged) = (0, u64::MAX, 0);
        for (eight, padded) in groups.iter().zip(&mut padded) {
            let lengths = load_quads(eight.lengths);
            store_quads(padded, round_up(lengths));
            longest = longest.max(_mm512_reduce_max_epu64(lengths));
            shortest = shortest.min(_mm512_reduce_min_epu64(lengths));
            ragged |= _mm512_test_epi64_mask(lengths, _mm512_set1_epi64(15));
        }
        let count = (longest as usize).div_ceil(CHUNK);
        let inside = (shortest as usize).next_multiple_of(16) / CHUNK;
        // A text that ends inside of a block needs zeros behind it.
        Self { groups, count, whole: count - inside.min(count), tail: count - usize::from(ragged != 0), padded }
    }

    /// The four blocks of chunk `n` of each text of a group. `ONE` tells the callers apart: what has one caller is put in line.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "lengths of slices")]
    fn blocks<const ONE: bool>(&self, group: usize, n: usize) -> [Number; 4] {
        let top = _mm512_set1_epi64(TOP);
        let mut tops = [top; 4];
        let mut rows = [_mm512_setzero_si512(); PACKETS];
        let (texts, padded) = (self.groups[group].texts, &self.padded[group]);
        let from_end = CHUNK * (self.count - n);
        if (self.whole..self.tail).contains(&n) {
            for ((row, text), padded) in rows.iter_mut().zip(texts).zip(&padded.0) {
                let Some(behind) = text.get((*padded as usize).wrapping_sub(from_end)..) else { continue };
                if let Some(chunk) = behind.first_chunk() {
                    *row = load(chunk);
                }
            }
        } else {
            for ((row, text), padded) in rows.iter_mut().zip(texts).zip(&padded.0) {
                *row = window(text, *padded as isize - from_end as isize);
            }
            // Blocks before the text count nothing.
            let starts = _mm512_sub_epi64(load_quads(padded), _mm512_set1_epi64(from_end as i64));
            for (n, top) in tops.iter_mut().enumerate() {
                let inside = _mm512_cmpge_epi64_mask(starts, _mm512_set1_epi64(-16 * n as i64));
                *top = _mm512_maskz_mov_epi64(inside, *top);
            }
        }
        let q = transpose_8(rows);
        let mut blocks = [Number::zero(); 4];
        for (n, block) in blocks.iter_mut().enumerate() {
            let Number([low, middle, high]) = Number::split(q[2 * n], q[2 * n + 1]);
            *block = Number([low, middle, _mm512_or_si512(high, tops[n])]);
        }
        blocks
    }
}

/// Lengths up to the ends of the last blocks.
#[inline]
#[target_feature(enable = "avx512f")]
fn round_up(lengths: V) -> V {
    _mm512_and_si512(_mm512_add_epi64(lengths, _mm512_set1_epi64(15)), _mm512_set1_epi64(-16))
}

/// The sums of the texts and their lengths, times r.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn sums<const G: usize>(groups: [&Eight<'_>; G], r: &[Factor; G]) -> [Number; G] {
    let chunks = Chunks::new(groups);
    let mut r2 = *r;
    for (r2, r) in r2.iter_mut().zip(r) {
        *r2 = Factor::new(r.number().times(r));
    }
    let mut sums = if chunks.count <= 1 { of_one(&chunks, r, &r2) } else { of_many(&chunks, r, &r2) };
    for (g, sum) in sums.iter_mut().enumerate() {
        *sum = Products::zero().plus(groups[g].length_blocks(), &r[g]).plus(*sum, &r2[g]).carried();
    }
    sums
}

/// Of texts of up to 64 bytes, before the length: each step multiplies by r², for the sake of short chains.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn of_one<const G: usize>(chunks: &Chunks<'_, G>, r: &[Factor; G], r2: &[Factor; G]) -> [Number; G] {
    let mut sums = [Number::zero(); G];
    if chunks.count == 0 {
        return sums;
    }
    let mut rest = [[Number::zero(); 2]; G];
    for g in 0..G {
        let [a, b, c, d] = chunks.blocks::<true>(g, 0);
        sums[g] = a.times(&r[g]).plus(b);
        rest[g] = [c, d];
    }
    for g in 0..G {
        let [c, d] = rest[g];
        sums[g] = Products::zero().plus(c, &r[g]).plus(sums[g], &r2[g]).carried().plus(d);
    }
    sums
}

/// Of longer texts, before the length.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn of_many<const G: usize>(chunks: &Chunks<'_, G>, r: &[Factor; G], r2: &[Factor; G]) -> [Number; G] {
    let (mut r3, mut r4) = (*r2, *r2);
    for g in 0..G {
        r3[g] = Factor::new(r2[g].number().times(&r[g]));
        r4[g] = Factor::new(r2[g].number().times(&r2[g]));
    }
    let mut sums = [Number::zero(); G];
    for n in 0..chunks.count {
        for (g, sum) in sums.iter_mut().enumerate() {
            let [a, b, c, d] = chunks.blocks::<false>(g, n);
            // Two chains, since each addition waits for the one before; what waits for the chunk before comes last.
            let others = Products::zero().plus(a, &r3[g]).plus(c, &r[g]);
            *sum = Products::zero().plus(b, &r2[g]).plus(*sum, &r4[g]).merged(others).carried().plus(d);
        }
    }
    sums
}
