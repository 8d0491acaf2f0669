//! The one façade over atomics: std in the gateway, loom under `--cfg loom`.
//!
//! Only atomics, fences, cells, locks and threads pass through here; that is all that loom explores.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        },
    },
    thread,
};

#[cfg(not(loom))]
pub use std::{
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
        },
    },
    thread,
};

/// Whether the deliberate weakening `name` is asked for: never in the gateway.
#[cfg(not(loom))]
#[inline(always)]
pub const fn seeded(_name: &str) -> bool {
    false
}

/// Whether the deliberate weakening `name` is asked for by the environment variable `CULVERT_SEEDED_BUG`.
///
/// The models have to fail with each of them, which shows that they bite:
/// ```sh
/// CULVERT_SEEDED_BUG=p1 LOOM_MAX_PREEMPTIONS=2 RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
///     cargo test --release --no-default-features --lib queue::
/// ```
#[cfg(loom)]
pub fn seeded(name: &str) -> bool {
    static ASKED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ASKED.get_or_init(|| std::env::var("CULVERT_SEEDED_BUG").ok()).as_deref() == Some(name)
}

/// Runs one test body: every interleaving of it under loom, with two preemptions if `LOOM_MAX_PREEMPTIONS` does not say
/// otherwise, else a number of times (once under Miri, which has seeds of its own).
#[cfg(test)]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = model.preemption_bound.or(Some(2));
        let executions = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&executions);
        model.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            body();
        });
        println!("{executions:?} executions");
    }
    #[cfg(not(loom))]
    for _ in 0..if cfg!(miri) { 1 } else { 200 } {
        body();
    }
}

/// `std`'s cell with loom's closure interface.
#[cfg(not(loom))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Runs `f` on a pointer that may be read through.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Runs `f` on a pointer that may be written through.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
