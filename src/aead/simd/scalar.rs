//! Poly1305 (RFC 8439, section 2.5) of one short message in 64-bit registers: no powers of r to make, so it is the fastest
//! up to a few hundred bytes.

/// h in 64-bit limbs; `high` stays below 2³.
struct Sum {
    low: u64,
    middle: u64,
    high: u64,
}

/// The tag of `text` without associated data, padded, and its length (RFC 8439, section 2.8).
pub(super) fn tag(key: &[u8; 32], text: &[u8]) -> [u8; 16] {
    let (r, s) = (half(key, 0) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff, half(key, 1));
    let r = [low(r), high(r)];
    let mut sum = Sum { low: 0, middle: 0, high: 0 };
    let (blocks, rest) = text.as_chunks::<16>();
    for block in blocks {
        sum = step(sum, r, u128::from_le_bytes(*block));
    }
    if !rest.is_empty() {
        let mut block = [0; 16];
        block[..rest.len()].copy_from_slice(rest);
        sum = step(sum, r, u128::from_le_bytes(block));
    }
    sum = step(sum, r, (text.len() as u128) << 64);
    finish(sum, s)
}

/// (h + block + 2¹²⁸) × r, partly reduced modulo 2¹³⁰ − 5.
#[inline(always)]
fn step(sum: Sum, r: [u64; 2], block: u128) -> Sum {
    // r[1] is a multiple of four, so s × 2¹²⁸ = r[1] × 5/4 × 2¹²⁸ is what r[1] × 2¹³⁰ / 4 comes to.
    let s = r[1] + (r[1] >> 2);
    let (h0, carry) = sum.low.overflowing_add(low(block));
    let (h1, carry_a) = sum.middle.overflowing_add(high(block));
    let (h1, carry_b) = h1.overflowing_add(u64::from(carry));
    let h2 = sum.high + 1 + u64::from(carry_a) + u64::from(carry_b);

    // Nothing overflows: r < 2⁶⁰, s < 2⁶¹, h2 < 2⁴.
    let d0 = wide(h0, r[0]) + wide(h1, s);
    let d1 = wide(h0, r[1]) + wide(h1, r[0]) + u128::from(h2 * s) + u128::from(high(d0));
    let d2 = h2 * r[0] + high(d1);

    let (low, carry) = low(d0).overflowing_add((d2 & !3) + (d2 >> 2));
    let (middle, carry) = self::low(d1).overflowing_add(u64::from(carry));
    Sum { low, middle, high: (d2 & 3) + u64::from(carry) }
}

/// (h mod 2¹³⁰ − 5) + s, modulo 2¹²⁸.
fn finish(sum: Sum, s: u128) -> [u8; 16] {
    let h = u128::from(sum.low) | u128::from(sum.middle) << 64;
    let (less, carry) = h.overflowing_add(5);
    // h + 5 ≥ 2¹³⁰ says that h ≥ p; then h − p = h + 5 − 2¹³⁰. Without branches: h is secret.
    let over = (sum.high + u64::from(carry)) >> 2;
    let mask = 0_u128.wrapping_sub(u128::from(over));
    ((less & mask) | (h & !mask)).wrapping_add(s).to_le_bytes()
}

#[inline(always)]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn low(x: u128) -> u64 {
    x as u64
}

#[inline(always)]
fn high(x: u128) -> u64 {
    (x >> 64) as u64
}

fn half(key: &[u8; 32], n: usize) -> u128 {
    u128::from_le_bytes(key.as_chunks::<16>().0[n])
}
