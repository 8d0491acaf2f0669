//! One cell, always full.

use super::{Domain, Reader, Retired};
use crate::queue::sync::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire},
};
use core::{fmt, marker::PhantomData, ptr, ptr::NonNull};
use std::sync::Arc;

/// One value that readers of one domain see; any thread may replace it. For tables and configurations that are swapped whole.
///
/// # Invariants
/// `value` came from `Box::into_raw` and is null only in `drop`; whoever takes a pointer out by a swap owns it.
pub struct Published<T: Send + Sync + 'static> {
    domain: Arc<Domain>,
    /// Readers: r. Writers: rw.
    value: AtomicPtr<T>,
    _owns: PhantomData<T>,
}

impl<T: Send + Sync + 'static> Published<T> {
    /// Publishes `value` to the readers of `domain`.
    pub fn new(domain: Arc<Domain>, value: T) -> Self {
        Self { domain, value: AtomicPtr::new(Box::into_raw(Box::new(value))), _owns: PhantomData }
    }

    /// The value. Data cores; one load. It stays alive for the read section, also if it is replaced, or the cell dropped,
    /// meanwhile.
    ///
    /// # Panics
    /// If `reader` belongs to another domain.
    #[inline]
    pub fn load<'r>(&self, reader: &'r Reader) -> &'r T {
        reader.assert_of(&self.domain);
        // Acquire: the value's construction happens before our use (Release in `replace`).
        let value = self.value.load(Acquire);
        // SAFETY: by the invariant a box's pointer, and not null, as we have `&self`. It is freed only after a grace
        // period of our domain that starts after it was replaced; `reader` is online and reports only when `'r` is over.
        unsafe { &*value }
    }

    /// Publishes `value` and returns the old one.
    pub fn replace(&self, value: Box<T>) -> Retired<T> {
        // Release: the value's construction happens before its use by readers and the next writer. Acquire: that of the
        // old value happens before its destruction.
        let old = self.value.swap(Box::into_raw(value), AcqRel);
        // SAFETY: not null by the invariant, as we have `&self`.
        let old = unsafe { NonNull::new_unchecked(old) };
        // SAFETY: the pointer of a box, which only we got from the swap, and this cell was its only place.
        unsafe { Retired::new(old, &self.domain) }
    }
}

impl<T: Send + Sync + 'static> Drop for Published<T> {
    /// Retires the value: a reader may still hold it.
    fn drop(&mut self) {
        // Acquire: the value's construction happens before its destruction.
        if let Some(old) = NonNull::new(self.value.swap(ptr::null_mut(), Acquire)) {
            // SAFETY: as in `replace`.
            drop(unsafe { Retired::new(old, &self.domain) });
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}
