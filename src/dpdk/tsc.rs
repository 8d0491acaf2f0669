//! The clock that costs next to nothing to read.

use super::Eal;

/// Ticks of the CPU's time stamp counter since some time before the start (`rte_rdtsc`). Any thread.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: reads a register.
    unsafe { dpdk_sys::rte_rdtsc() }
}

/// Ticks a second (`rte_get_tsc_hz`).
pub fn tsc_hz(_eal: &Eal) -> u64 {
    // SAFETY: the EAL, which has measured it, runs.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}
