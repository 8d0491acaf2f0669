//! Numbers modulo p = 2¹³⁰ − 5, eight at once: limbs of 44, 44 and 42 bits for the 52-bit multiplier (AVX-512 IFMA).
//!
//! A limb may be a little longer, but never longer than 52 bits where it is multiplied: the multiplier cuts there.

use super::vector::{Quads, V, store_quads};
use core::arch::asm;
use core::arch::x86_64::{
    _mm512_add_epi64, _mm512_and_si512, _mm512_madd52lo_epu64, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_shrdi_epi64, _mm512_slli_epi64, _mm512_srli_epi64,
};

const MASK_44: i64 = (1 << 44) - 1;
const MASK_42: i64 = (1 << 42) - 1;
/// 2¹²⁸, which stands before each block, in the highest limb.
pub(super) const TOP: i64 = 1 << 40;

/// Eight numbers: limbs by value.
#[derive(Clone, Copy)]
pub(super) struct Number(pub(super) [V; 3]);

/// Eight factors, with what their higher limbs come to when a product wraps around.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    limbs: [V; 3],
    /// 20 × limbs 1 and 2: 2¹³² = 20 modulo p.
    wrapped: [V; 2],
}

/// A sum of products, not carried: halves of three limbs.
pub(super) struct Products {
    low: [V; 3],
    high: [V; 3],
}

impl Number {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn zero() -> Self {
        Self([_mm512_setzero_si512(); 3])
    }

    /// From the low and the high 64 bits of eight numbers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn split(low: V, high: V) -> Self {
        let mask = _mm512_set1_epi64(MASK_44);
        Self([
            _mm512_and_si512(low, mask),
            _mm512_and_si512(_mm512_shrdi_epi64::<44>(low, high), mask),
            _mm512_srli_epi64::<24>(high),
        ])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn plus(self, other: Self) -> Self {
        Self([
            _mm512_add_epi64(self.0[0], other.0[0]),
            _mm512_add_epi64(self.0[1], other.0[1]),
            _mm512_add_epi64(self.0[2], other.0[2]),
        ])
    }

    /// Limbs of up to 52 bits times a factor. The answer's limbs: below 2⁴⁴, 2⁴⁴ + 2¹⁶ and 2⁴².
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn times(self, factor: &Factor) -> Self {
        Products::zero().plus(self, factor).carried()
    }
}

impl Factor {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn new(number: Number) -> Self {
        // Not by shifts, which compilers turn into the slow 64-bit multiplication.
        let (zero, twenty) = (_mm512_setzero_si512(), _mm512_set1_epi64(20));
        let wrapped =
            [_mm512_madd52lo_epu64(zero, number.0[1], twenty), _mm512_madd52lo_epu64(zero, number.0[2], twenty)];
        Self { limbs: number.0, wrapped }
    }

    /// As the number that it is.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn number(&self) -> Number {
        Number(self.limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn store(&self, out: &mut StoredFactor) {
        for (quads, v) in out.0.iter_mut().zip(self.limbs.into_iter().chain(self.wrapped)) {
            store_quads(quads, v);
        }
    }
}

/// Eight factors in memory.
#[derive(Clone, Copy, zeroize::Zeroize)]
pub(super) struct StoredFactor([Quads; 5]);

impl StoredFactor {
    pub(super) const ZERO: Self = Self([Quads([0; 8]); 5]);

    /// The factor of one of the eight, for all lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    #[expect(clippy::cast_possible_wrap, reason = "limbs have 49 bits at most")]
    pub(super) fn of(&self, lane: usize) -> Factor {
        let limb = |n: usize| _mm512_set1_epi64(self.0[n].0[lane & 7] as i64);
        Factor { limbs: [limb(0), limb(1), limb(2)], wrapped: [limb(3), limb(4)] }
    }
}

impl Products {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn zero() -> Self {
        Self { low: [_mm512_setzero_si512(); 3], high: [_mm512_setzero_si512(); 3] }
    }

    /// Adds `number × factor`: limbs of up to 52 bits, and up to five such products before `carried`.
    ///
    /// In assembly for the order: all six sums in turn, because an addition waits four cycles for the one before. Compilers put
    /// those of one sum behind each other.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn plus(self, Number([a, b, c]): Number, factor: &Factor) -> Self {
        let Self { low: [mut low_0, mut low_1, mut low_2], high: [mut high_0, mut high_1, mut high_2] } = self;
        let ([r0, r1, r2], [s1, s2]) = (factor.limbs, factor.wrapped);
        // SAFETY: works on the named registers only: no memory, no stack, no flags. AVX-512 IFMA is enabled here.
        unsafe {
            asm!(
                "vpmadd52luq {l0}, {b}, {s2}", "vpmadd52huq {h0}, {b}, {s2}",
                "vpmadd52luq {l1}, {b}, {r0}", "vpmadd52huq {h1}, {b}, {r0}",
                "vpmadd52luq {l2}, {b}, {r1}", "vpmadd52huq {h2}, {b}, {r1}",
                "vpmadd52luq {l0}, {c}, {s1}", "vpmadd52huq {h0}, {c}, {s1}",
                "vpmadd52luq {l1}, {c}, {s2}", "vpmadd52huq {h1}, {c}, {s2}",
                "vpmadd52luq {l2}, {c}, {r0}", "vpmadd52huq {h2}, {c}, {r0}",
                "vpmadd52luq {l0}, {a}, {r0}", "vpmadd52huq {h0}, {a}, {r0}",
                "vpmadd52luq {l1}, {a}, {r1}", "vpmadd52huq {h1}, {a}, {r1}",
                "vpmadd52luq {l2}, {a}, {r2}", "vpmadd52huq {h2}, {a}, {r2}",
                l0 = inout(zmm_reg) low_0, h0 = inout(zmm_reg) high_0,
                l1 = inout(zmm_reg) low_1, h1 = inout(zmm_reg) high_1,
                l2 = inout(zmm_reg) low_2, h2 = inout(zmm_reg) high_2,
                a = in(zmm_reg) a, b = in(zmm_reg) b, c = in(zmm_reg) c,
                r0 = in(zmm_reg) r0, r1 = in(zmm_reg) r1, r2 = in(zmm_reg) r2,
                s1 = in(zmm_reg) s1, s2 = in(zmm_reg) s2,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        Self { low: [low_0, low_1, low_2], high: [high_0, high_1, high_2] }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn merged(self, other: Self) -> Self {
        let (a, b) = (Number(self.low).plus(Number(other.low)), Number(self.high).plus(Number(other.high)));
        Self { low: a.0, high: b.0 }
    }

    /// The sum, its limbs below 2⁴⁴, 2⁴⁴ + 2¹⁶ and 2⁴².
    ///
    /// Five products of three terms each keep all 64-bit sums below 2⁵⁸: halves below 2⁵² × 15, high ones (a limb below 2⁴⁶
    /// times one below 2⁴⁹) below 2⁴⁷, shifted by 10 at most.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn carried(self) -> Number {
        let (mask_44, mask_42) = (_mm512_set1_epi64(MASK_44), _mm512_set1_epi64(MASK_42));
        let [low, middle, top] = self.low;
        // A high half counts 2⁵²: eight bits more than the next limb does, ten more than what wraps around.
        let middle = _mm512_add_epi64(middle, _mm512_slli_epi64::<8>(self.high[0]));
        let middle = _mm512_add_epi64(middle, _mm512_srli_epi64::<44>(low));
        let top = _mm512_add_epi64(top, _mm512_slli_epi64::<8>(self.high[1]));
        let top = _mm512_add_epi64(top, _mm512_srli_epi64::<44>(middle));
        let over = _mm512_add_epi64(_mm512_slli_epi64::<10>(self.high[2]), _mm512_srli_epi64::<42>(top));
        let low = _mm512_add_epi64(_mm512_and_si512(low, mask_44), over);
        let low = _mm512_add_epi64(low, _mm512_slli_epi64::<2>(over));
        let middle = _mm512_add_epi64(_mm512_and_si512(middle, mask_44), _mm512_srli_epi64::<44>(low));
        Number([_mm512_and_si512(low, mask_44), middle, _mm512_and_si512(top, mask_42)])
    }
}

impl Number {
    /// The lowest and the highest 64 of the 128 bits that a tag takes, of limbs as `carried` leaves them: reduced fully
    /// modulo p, without branches.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn reduced(self) -> [V; 2] {
        use core::arch::x86_64::{_mm512_cmpge_epu64_mask, _mm512_mask_mov_epi64};
        let (mask_44, mask_42) = (_mm512_set1_epi64(MASK_44), _mm512_set1_epi64(MASK_42));
        let [low, middle, top] = self.0;
        let top = _mm512_add_epi64(top, _mm512_srli_epi64::<44>(middle));
        let middle = _mm512_and_si512(middle, mask_44);
        let over = _mm512_srli_epi64::<42>(top);
        let top = _mm512_and_si512(top, mask_42);
        let low = _mm512_madd52lo_epu64(low, over, _mm512_set1_epi64(5));
        let middle = _mm512_add_epi64(middle, _mm512_srli_epi64::<44>(low));
        let low = _mm512_and_si512(low, mask_44);
        // h + 5 ≥ 2¹³⁰ says h ≥ p; then h − p is h + 5 − 2¹³⁰.
        let low_5 = _mm512_add_epi64(low, _mm512_set1_epi64(5));
        let middle_5 = _mm512_add_epi64(middle, _mm512_srli_epi64::<44>(low_5));
        let top_5 = _mm512_add_epi64(top, _mm512_srli_epi64::<44>(middle_5));
        let wraps = _mm512_cmpge_epu64_mask(top_5, _mm512_set1_epi64(1 << 42));
        let low = _mm512_mask_mov_epi64(low, wraps, _mm512_and_si512(low_5, mask_44));
        let middle = _mm512_mask_mov_epi64(middle, wraps, _mm512_and_si512(middle_5, mask_44));
        let top = _mm512_mask_mov_epi64(top, wraps, top_5);
        // A middle limb of just 2⁴⁴ is carried by the addition: the low limb is below 2⁴⁴, and what the shift pushes out of
        // 64 bits the second sum holds.
        [
            _mm512_add_epi64(low, _mm512_slli_epi64::<44>(middle)),
            _mm512_add_epi64(_mm512_srli_epi64::<20>(middle), _mm512_slli_epi64::<24>(top)),
        ]
    }
}
