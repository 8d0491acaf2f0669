//! Hints to the cache: the lines that a burst will need are asked for before they are needed, so that their misses run side by side.
//!
//! A hint never faults and changes nothing but the cache, so any address may be given. Elsewhere than on x86-64, and under Miri,
//! there are none.

/// Asks for the line at `place`, to be read.
#[inline(always)]
pub fn prefetch_read<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
    // SAFETY: PREFETCHT0 takes any address, loads nothing that the program sees, and never faults; SSE is part of x86-64.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(loom))))]
    let _ = place;
}

/// Asks for the line at `place`, to be written: other cores lose it.
#[inline(always)]
pub fn prefetch_write<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
    // SAFETY: PREFETCHW takes any address, loads nothing that the program sees, and never faults; processors that do not know it
    // take it for a NOP (Intel SDM, "PREFETCHW"). It writes neither memory nor flags nor stack.
    unsafe {
        core::arch::asm!("prefetchw byte ptr [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(loom))))]
    let _ = place;
}
