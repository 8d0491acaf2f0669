//! ChaCha20 (RFC 8439, section 2.3) for one packet: a row of the state a vector, a block a quarter of it, four blocks a set.
//!
//! This is the shortest way to few blocks; several sets fill the time in which one waits for itself.

use super::lanes::{SIGMA, transpose_quarters};
use super::vector::{Block, V, four_times, store};
use core::arch::x86_64::{
    _mm512_add_epi32, _mm512_rol_epi32, _mm512_set_epi32, _mm512_set4_epi32, _mm512_setzero_si512,
    _mm512_shuffle_epi32, _mm512_xor_si512,
};

/// Most blocks that one call makes.
pub(super) const MOST: usize = 24;

/// The blocks from `first` on, at least one for each of `out`, up to [`MOST`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn keystream(key: &[u8; 32], nonce: &[u8; 12], first: u32, blocks: usize, out: &mut [Block; MOST]) {
    match blocks {
        0..=4 => sets::<1>(key, nonce, first, out),
        5..=8 => sets::<2>(key, nonce, first, out),
        9..=12 => sets::<3>(key, nonce, first, out),
        13..=16 => sets::<4>(key, nonce, first, out),
        _ => sets::<6>(key, nonce, first, out),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
#[expect(clippy::cast_possible_wrap, reason = "words are bits here")]
fn sets<const N: usize>(key: &[u8; 32], nonce: &[u8; 12], first: u32, out: &mut [Block; MOST]) {
    let (halves, words) = (key.as_chunks::<16>().0, nonce.as_chunks::<4>().0);
    let word = |n: usize| i32::from_le_bytes(words[n]);
    let a = _mm512_set4_epi32(SIGMA[3], SIGMA[2], SIGMA[1], SIGMA[0]);
    let (b, c) = (four_times(&halves[0]), four_times(&halves[1]));
    let count = _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0);
    let four = _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4);
    let mut d = [_mm512_setzero_si512(); N];
    let mut next = _mm512_add_epi32(_mm512_set4_epi32(word(2), word(1), word(0), first as i32), count);
    for d in &mut d {
        *d = next;
        next = _mm512_add_epi32(next, four);
    }
    let (mut va, mut vb, mut vc, mut vd) = ([a; N], [b; N], [c; N], d);
    for _ in 0..10 {
        round(&mut va, &mut vb, &mut vc, &mut vd);
        turn::<N, 0b00_11_10_01, 0b10_01_00_11>(&mut vb, &mut vc, &mut vd);
        round(&mut va, &mut vb, &mut vc, &mut vd);
        turn::<N, 0b10_01_00_11, 0b00_11_10_01>(&mut vb, &mut vc, &mut vd);
    }
    for (n, four) in out.as_chunks_mut::<4>().0.iter_mut().take(N).enumerate() {
        let rows = [
            _mm512_add_epi32(va[n], a),
            _mm512_add_epi32(vb[n], b),
            _mm512_add_epi32(vc[n], c),
            _mm512_add_epi32(vd[n], d[n]),
        ];
        for (block, v) in four.iter_mut().zip(transpose_quarters(rows)) {
            store(&mut block.0, v);
        }
    }
}

/// Four quarter rounds, on the columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn round<const N: usize>(a: &mut [V; N], b: &mut [V; N], c: &mut [V; N], d: &mut [V; N]) {
    for n in 0..N {
        a[n] = _mm512_add_epi32(a[n], b[n]);
        d[n] = _mm512_rol_epi32::<16>(_mm512_xor_si512(d[n], a[n]));
    }
    for n in 0..N {
        c[n] = _mm512_add_epi32(c[n], d[n]);
        b[n] = _mm512_rol_epi32::<12>(_mm512_xor_si512(b[n], c[n]));
    }
    for n in 0..N {
        a[n] = _mm512_add_epi32(a[n], b[n]);
        d[n] = _mm512_rol_epi32::<8>(_mm512_xor_si512(d[n], a[n]));
    }
    for n in 0..N {
        c[n] = _mm512_add_epi32(c[n], d[n]);
        b[n] = _mm512_rol_epi32::<7>(_mm512_xor_si512(b[n], c[n]));
    }
}

/// Brings the diagonals into the columns, or back: row b by one word, c by two, d by three.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn<const N: usize, const B: i32, const D: i32>(b: &mut [V; N], c: &mut [V; N], d: &mut [V; N]) {
    for n in 0..N {
        b[n] = _mm512_shuffle_epi32::<B>(b[n]);
        c[n] = _mm512_shuffle_epi32::<0b01_00_11_10>(c[n]);
        d[n] = _mm512_shuffle_epi32::<D>(d[n]);
    }
}
