//! Fields of headers whose length is known: their places are checked when culvert is compiled.

/// The `N` bytes at `AT`.
#[inline(always)]
pub(super) fn field<const AT: usize, const N: usize, const LEN: usize>(header: &[u8; LEN]) -> &[u8; N] {
    const { assert!(AT + N <= LEN, "the field lies outside of the header") };
    match header.get(AT..).and_then(<[u8]>::first_chunk) {
        Some(field) => field,
        // Never taken, by the assertion above; the compiler drops it.
        None => const { &[0; N] },
    }
}

/// Writes the `N` bytes at `AT`.
#[inline(always)]
pub(super) fn set_field<const AT: usize, const N: usize, const LEN: usize>(header: &mut [u8; LEN], value: [u8; N]) {
    const { assert!(AT + N <= LEN, "the field lies outside of the header") };
    if let Some(field) = header.get_mut(AT..).and_then(<[u8]>::first_chunk_mut) {
        *field = value;
    }
}

/// The big-endian 16-bit word at `AT`.
#[inline(always)]
pub(super) fn be16<const AT: usize, const LEN: usize>(header: &[u8; LEN]) -> u16 {
    u16::from_be_bytes(*field::<AT, 2, LEN>(header))
}

/// The little-endian 32-bit word at `AT`.
#[inline(always)]
pub(super) fn le32<const AT: usize, const LEN: usize>(header: &[u8; LEN]) -> u32 {
    u32::from_le_bytes(*field::<AT, 4, LEN>(header))
}
