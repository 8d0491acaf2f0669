//! What was unpublished and waits for its grace period.

use super::{Domain, Grace};
use core::{fmt, mem, ptr, ptr::NonNull};
use std::sync::Arc;

/// Owns a value that was unpublished: no reader can find it any more, but some may still hold it.
///
/// Control threads: freeing runs the value's destructor. Dropped before its time, the value goes to the domain's list,
/// where the next [`Graveyard::sweep`](super::Graveyard::sweep) takes it from, or the domain's end.
///
/// # Invariants
/// `value` came from `Box::into_raw`, is no longer published, and was not given away; readers that still hold it are waited for
/// by `grace`, of `domain`. It is null only on the way from `try_take` to `drop`.
pub struct Retired<T: Send + Sync + 'static> {
    value: *mut T,
    grace: Grace,
    domain: Arc<Domain>,
}

// SAFETY: it owns a `T` that other threads may hold a `&T` of, like an `Arc<T>`: `T: Send + Sync` allows both to move.
unsafe impl<T: Send + Sync + 'static> Send for Retired<T> {}
// SAFETY: `&Retired<T>` gives no more than `&T`, and `T: Sync`.
unsafe impl<T: Send + Sync + 'static> Sync for Retired<T> {}

impl<T: Send + Sync + 'static> Retired<T> {
    /// Starts the grace period of `value`.
    ///
    /// # Safety
    /// `value` came from `Box::into_raw`, the caller took it from the only place where readers could find it, with readers of
    /// `domain` alone, before this call, and gives up the pointer.
    pub(super) unsafe fn new(value: NonNull<T>, domain: &Arc<Domain>) -> Self {
        // INVARIANT: the caller vouches for all but `grace`, which starts here, after the unpublishing.
        Self { value: value.as_ptr(), grace: domain.start(), domain: Arc::clone(domain) }
    }

    /// The value, still shared with readers.
    pub fn get(&self) -> &T {
        // SAFETY: by the invariant it is alive, and nobody has it exclusively before it is given away.
        unsafe { &*self.value }
    }

    /// What it waits for.
    pub fn grace(&self) -> Grace {
        self.grace
    }

    /// The value, or `self` again if its grace period is not over.
    pub fn try_take(mut self) -> Result<Box<T>, Self> {
        if !self.domain.passed(self.grace) {
            return Err(self);
        }
        let value = mem::replace(&mut self.value, ptr::null_mut());
        // SAFETY: by the invariant it is a box's pointer that only we own, and its grace period has passed: no reader holds it.
        Ok(unsafe { Box::from_raw(value) })
    }

    /// Frees the value, or returns `self` if its grace period is not over.
    pub fn try_free(self) -> Result<(), Self> {
        self.try_take().map(drop)
    }

    /// Gives up the pointer of the box, without waiting: the caller waits for the grace period, or leaks the value.
    pub(in crate::queue) fn into_raw(mut self) -> NonNull<T> {
        let value = mem::replace(&mut self.value, ptr::null_mut());
        // SAFETY: null only on the way from here or `try_take` to `drop` (invariant).
        unsafe { NonNull::new_unchecked(value) }
    }

    /// The same without its type; `None` if it was given away.
    pub(super) fn take_garbage(&mut self) -> Option<Garbage> {
        let value = NonNull::new(mem::replace(&mut self.value, ptr::null_mut()))?;
        Some(Garbage { value, grace: self.grace })
    }

    pub(super) fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }
}

impl<T: Send + Sync + 'static> Drop for Retired<T> {
    fn drop(&mut self) {
        let Some(garbage) = self.take_garbage() else {
            return;
        };
        if self.domain.passed(garbage.grace) {
            // SAFETY: just so.
            unsafe { garbage.free() };
        } else {
            self.domain.abandon(garbage);
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Retired<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retired").field("grace", &self.grace).finish_non_exhaustive()
    }
}

/// A [`Retired`] value of any type, and without its domain. A raw pointer, not a `Box`, since readers may still look at
/// the value. Leaks if dropped.
///
/// # Invariants
/// As of [`Retired`].
pub(super) struct Garbage {
    value: NonNull<dyn Send>,
    pub(super) grace: Grace,
}

// SAFETY: it owns the value and gives no access to it; it comes from a `Retired`, which is `Send` as well.
unsafe impl Send for Garbage {}

impl Garbage {
    /// Frees the value.
    ///
    /// # Safety
    /// `grace` has passed in the domain that it came from, or no reader of that domain is left.
    pub(super) unsafe fn free(self) {
        // SAFETY: by the invariant a box's pointer that only we own; the caller vouches that no reader holds it.
        drop(unsafe { Box::from_raw(self.value.as_ptr()) });
    }
}
