//! Loads and stores between byte slices and 512-bit vectors: safe, because slices carry their bounds.

use core::arch::x86_64::{
    __m128i, __m512i, _bzhi_u64, _mm_loadu_si128, _mm_storeu_si128, _mm256_loadu_si256, _mm512_broadcast_i32x4,
    _mm512_castsi256_si512, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_expand_epi64,
    _mm512_maskz_loadu_epi8, _mm512_storeu_si512, _mm512_xor_si512,
};

/// A 512-bit vector: 16 words of 32 bits, or 8 of 64.
pub(super) type V = __m512i;

/// 16 words, one a lane, where vectors wait in memory.
#[derive(Clone, Copy, zeroize::Zeroize)]
#[repr(C, align(64))]
pub(super) struct Words(pub(super) [u32; 16]);

/// 8 words of 64 bits, one a lane.
#[derive(Clone, Copy, zeroize::Zeroize)]
#[repr(C, align(64))]
pub(super) struct Quads(pub(super) [u64; 8]);

/// A block of the key stream.
#[derive(Clone, Copy, zeroize::Zeroize)]
#[repr(C, align(64))]
pub(super) struct Block(pub(super) [u8; 64]);

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_words(words: &Words) -> V {
    // SAFETY: 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512((&raw const words.0).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_words(words: &mut Words, v: V) {
    // SAFETY: 64 writable bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512((&raw mut words.0).cast(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_quads(quads: &Quads) -> V {
    // SAFETY: 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512((&raw const quads.0).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_quads(quads: &mut Quads, v: V) {
    // SAFETY: 64 writable bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512((&raw mut quads.0).cast(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(bytes: &[u8; 64]) -> V {
    // SAFETY: 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(bytes: &mut [u8; 64], v: V) {
    // SAFETY: 64 writable bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), v) }
}

/// Four times the same 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn four_times(bytes: &[u8; 16]) -> V {
    // SAFETY: 16 readable bytes; the load asks for no alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Two times 32 bytes, the first in the low half.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_halves(low: &[u8; 32], high: &[u8; 32]) -> V {
    // SAFETY: 32 readable bytes; the load asks for no alignment.
    let low = unsafe { _mm256_loadu_si256(low.as_ptr().cast()) };
    // SAFETY: the same.
    let high = unsafe { _mm256_loadu_si256(high.as_ptr().cast()) };
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_16(bytes: &mut [u8; 16], v: __m128i) {
    // SAFETY: 16 writable bytes; the store asks for no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), v) }
}

/// The mask of the first `len` bytes; all from 64 on.
#[inline]
#[target_feature(enable = "bmi2")]
#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
fn first(len: usize) -> u64 {
    _bzhi_u64(u64::MAX, len.min(64) as u32)
}

/// Up to 64 bytes; zeros behind.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
pub(super) fn load_part(bytes: &[u8]) -> V {
    let (mask, bytes) = (first(bytes.len()), bytes.as_ptr().cast());
    // SAFETY: the mask holds no byte behind the slice, and what it leaves out is not read.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes) }
}

/// The first bytes of `v`, as many as the slice has, at most 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
pub(super) fn store_part(bytes: &mut [u8], v: V) {
    let (mask, bytes) = (first(bytes.len()), bytes.as_mut_ptr().cast());
    // SAFETY: the mask holds no byte behind the slice, and what it leaves out is not written.
    unsafe { _mm512_mask_storeu_epi8(bytes, mask, v) }
}

/// The 64 bytes from `at` on, which may lie before the text (`at` is then a multiple of 16) or reach behind it; what is
/// outside is zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
#[expect(clippy::cast_possible_truncation, reason = "the low eight bits are meant")]
pub(super) fn window(text: &[u8], at: isize) -> V {
    if let Ok(at) = usize::try_from(at) {
        return load_part(text.get(at..).unwrap_or_default());
    }
    let before = at.unsigned_abs().min(64);
    let seen = text.get(..64 - before).unwrap_or(text);
    // One bit for 8 bytes.
    _mm512_maskz_expand_epi64((0xff_u64 << (before / 8)) as u8, load_part(seen))
}

/// `text ^= stream`, as far as the text goes, at most 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,bmi2")]
pub(super) fn xor(text: &mut [u8], stream: V) {
    if let Some(text) = text.first_chunk_mut::<64>() {
        store(text, _mm512_xor_si512(load(text), stream));
    } else {
        store_part(text, _mm512_xor_si512(load_part(text), stream));
    }
}
