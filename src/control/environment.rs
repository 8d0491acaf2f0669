//! What the control threads take from the world beside packets: two clocks and chance. A gateway takes them from the kernel;
//! a simulation gives its own, and then a run depends on nothing else.

use crate::noise::os_random;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Fills a slice with random bytes.
type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// The clocks and the randomness of one gateway. Any control thread may ask at any time.
pub struct Environment {
    boottime_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    wall_clock: Box<dyn Fn() -> Duration + Send + Sync>,
    random: Box<Random>,
}

impl Environment {
    /// An environment of the caller's: milliseconds of any beginning, the time since the Unix epoch, and what fills a slice
    /// with random bytes. For tests and simulations: keys are made of these bytes.
    pub fn new(
        boottime_ms: impl Fn() -> u64 + Send + Sync + 'static,
        wall_clock: impl Fn() -> Duration + Send + Sync + 'static,
        random: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self { boottime_ms: Box::new(boottime_ms), wall_clock: Box::new(wall_clock), random: Box::new(random) }
    }

    /// The kernel's clocks and random bytes, the time but for `now_ms`.
    pub fn with_time(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::new(now_ms, system_wall_clock, os_random)
    }

    /// For the timers, ms: CLOCK_BOOTTIME, which counts suspend and never jumps.
    pub fn now_ms(&self) -> u64 {
        (self.boottime_ms)()
    }

    /// The wall clock, which may jump: for TAI64N and for people only.
    pub fn wall_clock(&self) -> Duration {
        (self.wall_clock)()
    }

    /// Fills the slice with random bytes from a cryptographic source.
    ///
    /// # Panics
    /// If the kernel gives none: no key may be made then.
    pub fn random(&self, bytes: &mut [u8]) {
        (self.random)(bytes);
    }

    /// A random number below `bound` (0 for 0), for jitter.
    pub fn jitter(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.random(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }

    /// A random receiver index.
    pub fn random_index(&self) -> u32 {
        let mut bytes = [0; 4];
        self.random(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// The kernel's.
impl Default for Environment {
    fn default() -> Self {
        Self::with_time(boottime_ms)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

/// Milliseconds of CLOCK_BOOTTIME: it counts suspend, and never jumps.
pub(crate) fn boottime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanos / 1_000_000
}

fn system_wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
