//! Poly1305 (RFC 8439, section 2.5) of eight packets at once, as the AEAD of section 2.8 uses it without associated data:
//! the text, padded with zeros to 16 bytes, and a block with its length.
//!
//! Two ways. *Across*: a lane is a packet; best for short packets of like length. *Inside*: the lanes are eight neighbouring
//! blocks of one packet, with powers of r; the powers of eight packets are made together. Both work on chunks that are
//! counted from the end of the text, so the first chunk may begin before it: blocks of zeros there, without their 2¹²⁸,
//! leave a sum of zero as it is.

use super::field::{Factor, Number, Products, StoredFactor, TOP};
use super::vector::{Quads, V, load, load_halves, load_quads, store_16, window};
use core::arch::x86_64::{
    _mm512_add_epi64, _mm512_and_si512, _mm512_castsi512_si128, _mm512_cmpge_epi64_mask, _mm512_cmplt_epu64_mask,
    _mm512_extracti64x2_epi64, _mm512_mask_add_epi64, _mm512_mask_or_epi64, _mm512_or_si512, _mm512_set_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi64,
};

/// Packets at once.
pub(super) const PACKETS: usize = 8;

/// Scratch memory: powers of r.
#[derive(zeroize::Zeroize)]
pub(super) struct Powers([StoredFactor; 4]);

impl Powers {
    pub(super) const EMPTY: Self = Self([StoredFactor::ZERO; 4]);
}

/// r and s of eight packets.
struct Keys {
    r: Factor,
    s: [V; 2],
}

/// How eight packets share the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Across,
    Inside,
}

/// The shorter way for up to eight texts, the longest first.
pub(super) fn way(texts: &[&[u8]]) -> Way {
    let chunks = |text: Option<&&[u8]>| text.map_or(0, |text| text.len().div_ceil(64));
    let (most, least) = (chunks(texts.first()), chunks(texts.get(PACKETS - 1)));
    // In TSC cycles, as measured.
    let across = 300 + least * 200 + (most - least) * 330;
    let inside = texts.iter().fold(700, |sum, text| sum + 25 + chunks(Some(text)).div_ceil(2) * 28);
    if across <= inside { Way::Across } else { Way::Inside }
}

/// The tags of up to eight texts, the longest first; `keys` are the first 32 bytes of their blocks 0. Tags of what is not
/// there mean nothing.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn tags(texts: &[&[u8]], keys: &[&[u8; 32]; PACKETS], way: Way, powers: &mut Powers) -> [[u8; 16]; PACKETS] {
    let mut eight: [&[u8]; PACKETS] = [&[]; PACKETS];
    for (text, slot) in texts.iter().zip(&mut eight) {
        *slot = text;
    }
    let keys = load_keys(keys);
    let sum = match way {
        Way::Across => sums_across(&eight, &keys),
        Way::Inside => sums_inside(texts, &eight, &keys, powers),
    };
    finish(sum, &keys)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn load_keys(keys: &[&[u8; 32]; PACKETS]) -> Keys {
    let rows = [
        load_halves(keys[0], keys[2]),
        load_halves(keys[1], keys[3]),
        load_halves(keys[4], keys[6]),
        load_halves(keys[5], keys[7]),
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

/// What stands in the length block, with its 2¹²⁸.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn length_blocks(texts: &[&[u8]; PACKETS]) -> Number {
    let lengths = load_quads(&Quads(texts.map(|text| text.len() as u64)));
    Number([_mm512_setzero_si512(), _mm512_slli_epi64::<20>(lengths), _mm512_set1_epi64(TOP)])
}

/// Adds s and brings the tags into rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn finish(sum: Number, keys: &Keys) -> [[u8; 16]; PACKETS] {
    let [low, high] = sum.reduced();
    let low = _mm512_add_epi64(low, keys.s[0]);
    let carry = _mm512_cmplt_epu64_mask(low, keys.s[0]);
    let high = _mm512_add_epi64(high, keys.s[1]);
    let high = _mm512_mask_add_epi64(high, carry, high, _mm512_set1_epi64(1));
    let (even, odd) = (_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    let mut tags = [[0; 16]; PACKETS];
    store_16(&mut tags[0], _mm512_castsi512_si128(even));
    store_16(&mut tags[1], _mm512_castsi512_si128(odd));
    store_16(&mut tags[2], _mm512_extracti64x2_epi64::<1>(even));
    store_16(&mut tags[3], _mm512_extracti64x2_epi64::<1>(odd));
    store_16(&mut tags[4], _mm512_extracti64x2_epi64::<2>(even));
    store_16(&mut tags[5], _mm512_extracti64x2_epi64::<2>(odd));
    store_16(&mut tags[6], _mm512_extracti64x2_epi64::<3>(even));
    store_16(&mut tags[7], _mm512_extracti64x2_epi64::<3>(odd));
    tags
}

/// Length up to the end of the last block.
fn padded(text: &[u8]) -> usize {
    text.len().next_multiple_of(16)
}

/// Where the chunk begins behind which `later` more bytes of the padded text stand.
#[expect(clippy::cast_possible_wrap, reason = "no slice is longer than isize::MAX")]
fn start(text: &[u8], later: usize) -> isize {
    padded(text) as isize - later as isize
}

/// From eight vectors to eight: vector `n` of the answer has quad word `n` of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn transpose_8(x: [V; 8]) -> [V; 8] {
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

/// A lane a packet, chunks of four blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn sums_across(texts: &[&[u8]; PACKETS], keys: &Keys) -> Number {
    let r = &keys.r;
    let (mut longest, mut shortest, mut ragged) = (0, usize::MAX, 0);
    for text in texts {
        longest = longest.max(text.len());
        shortest = shortest.min(padded(text));
        ragged |= text.len() % 16;
    }
    let chunks = longest.div_ceil(64);
    // The last `full` chunks are inside all texts; but a text that ends inside a block needs zeros behind it.
    let full = shortest / 64;
    let mut sum = Number::zero();
    if chunks == 1 {
        for block in chunk(texts, 0, full == 1 && ragged == 0) {
            sum = sum.plus(block).times(r);
        }
    } else if chunks > 1 {
        let r2 = Factor::new(r.number().times(r));
        let r3 = Factor::new(r2.number().times(r));
        let r4 = Factor::new(r2.number().times(&r2));
        for later in (0..chunks).rev() {
            let [a, b, c, d] = chunk(texts, later, later < full && (later > 0 || ragged == 0));
            // Two chains, since each addition waits for the one before.
            let odd = Products::zero().plus(b, &r3).plus(d, r);
            sum = Products::zero().plus(c, &r2).plus(sum.plus(a), &r4).merged(odd).carried();
        }
    }
    sum.plus(length_blocks(texts)).times(r)
}

/// Four blocks of each text, `later` chunks before its end.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn chunk(texts: &[&[u8]; PACKETS], later: usize, full: bool) -> [Number; 4] {
    let top = _mm512_set1_epi64(TOP);
    let mut rows = [_mm512_setzero_si512(); 8];
    if full {
        for (row, text) in rows.iter_mut().zip(texts) {
            let at = padded(text) - 64 * (later + 1);
            let Some(behind) = text.get(at..) else { continue };
            if let Some(bytes) = behind.first_chunk() {
                *row = load(bytes);
            }
        }
        let q = transpose_8(rows);
        return [0, 2, 4, 6].map(|n| {
            let Number([low, middle, high]) = Number::split(q[n], q[n + 1]);
            Number([low, middle, _mm512_or_si512(high, top)])
        });
    }
    let mut starts = Quads([0; 8]);
    for ((row, start_bits), text) in rows.iter_mut().zip(&mut starts.0).zip(texts) {
        let at = start(text, 64 * (later + 1));
        *row = window(text, at);
        *start_bits = at.cast_unsigned() as u64;
    }
    let (q, starts) = (transpose_8(rows), load_quads(&starts));
    [0, 2, 4, 6].map(|n: usize| {
        let Number([low, middle, high]) = Number::split(q[n], q[n + 1]);
        let inside = _mm512_cmpge_epi64_mask(starts, _mm512_set1_epi64(-8 * n as i64));
        Number([low, middle, _mm512_mask_or_epi64(high, inside, high, top)])
    })
}

/// Eight blocks of one packet in the lanes, chunks of 128 bytes, up to four of them with one carry.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn sums_inside(texts: &[&[u8]], eight: &[&[u8]; PACKETS], keys: &Keys, powers: &mut Powers) -> Number {
    let r = &keys.r;
    let r2 = Factor::new(r.number().times(r));
    let r4 = Factor::new(r2.number().times(&r2));
    let r3 = Factor::new(r2.number().times(r));
    let r8 = Factor::new(r4.number().times(&r4));
    r8.store(&mut powers.0[0]);
    if eight[0].len() > 256 {
        let r16 = Factor::new(r8.number().times(&r8));
        r16.store(&mut powers.0[1]);
        Factor::new(r16.number().times(&r8)).store(&mut powers.0[2]);
        Factor::new(r16.number().times(&r16)).store(&mut powers.0[3]);
    }
    let mut lanes = [[_mm512_setzero_si512(); PACKETS]; 3];
    for (n, text) in texts.iter().take(PACKETS).enumerate() {
        let sum = sums_of_one(text, powers, n);
        for (lanes, limb) in lanes.iter_mut().zip(sum.0) {
            lanes[n] = limb;
        }
    }
    // Lanes hold the blocks 0 4 1 5 2 6 3 7 of a chunk.
    let [low, middle, high] = lanes.map(|limb| transpose_8(limb));
    let block = |n: usize| Number([low[n], middle[n], high[n]]);
    let four = |a, b, c, d| Products::zero().plus(a, &r3).plus(b, &r2).plus(c, r).carried().plus(d);
    let first = four(block(0), block(2), block(4), block(6));
    let second = four(block(1), block(3), block(5), block(7));
    let sum = first.times(&r4).plus(second);
    Products::zero().plus(length_blocks(eight), r).plus(sum, &r2).carried()
}

/// For each lane `Σ block × (r⁸)ᵏ`, with the `packet`th r.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn sums_of_one(text: &[u8], powers: &Powers, packet: usize) -> Number {
    let chunks = text.len().div_ceil(128).max(1);
    // The first chunk may begin before the text.
    let at = start(text, 128 * chunks);
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
