//! A table of cells.

use super::{Domain, Reader, Retired};
use crate::queue::prefetch::prefetch_read;
use crate::queue::sync::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use core::{fmt, marker::PhantomData, ptr, ptr::NonNull};
use std::sync::Arc;

/// `n` cells, each empty or with a value that readers of one domain see; any thread may write.
///
/// An empty cell costs 8 bytes of address space; its page becomes resident when a cell on it is first filled or looked at.
///
/// # Invariants
/// A cell is null or came from `Box::into_raw`; whoever takes a pointer out by a swap owns it.
pub struct Slots<T: Send + Sync + 'static> {
    domain: Arc<Domain>,
    /// Readers: r. Writers: rw.
    cells: Box<[AtomicPtr<T>]>,
    _owns: PhantomData<T>,
}

impl<T: Send + Sync + 'static> Slots<T> {
    /// `n` empty cells for the readers of `domain`.
    pub fn new(domain: Arc<Domain>, n: usize) -> Self {
        Self { domain, cells: empty_cells(n), _owns: PhantomData }
    }

    /// How many cells there are, empty or not.
    #[expect(clippy::len_without_is_empty, reason = "it counts cells, not values; a table without cells is of no use")]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// The value in cell `i`; `None` if the cell is empty or there is none. Data cores; one load.
    ///
    /// It stays alive for the read section, also if it is taken out, or the table dropped, meanwhile.
    ///
    /// # Panics
    /// If `reader` belongs to another domain.
    #[inline]
    pub fn get<'r>(&self, reader: &'r Reader, i: usize) -> Option<&'r T> {
        reader.assert_of(&self.domain);
        // Acquire: the value's construction happens before our use (Release in `insert` and `replace`).
        let value = self.cells.get(i)?.load(Acquire);
        // SAFETY: null or, by the invariant, a box's pointer. It is freed only after a grace period of our domain that
        // starts after it was taken out; `reader` is online and reports only when `'r` is over.
        unsafe { value.as_ref() }
    }

    /// Asks the cache for cell `i`, for a [`Self::get`] that comes later.
    #[inline]
    pub fn prefetch(&self, i: usize) {
        prefetch_read(self.cells.as_ptr().wrapping_add(i));
    }

    /// Fills cell `i`; gives `value` back if the cell is full or there is none.
    pub fn insert(&self, i: usize, value: Box<T>) -> Result<(), Box<T>> {
        let Some(cell) = self.cells.get(i) else {
            return Err(value);
        };
        let value = Box::into_raw(value);
        // Release: the value's construction happens before its use by readers and takers (their Acquire).
        match cell.compare_exchange(ptr::null_mut(), value, Release, Relaxed) {
            Ok(_) => Ok(()),
            // SAFETY: the pointer is from the line above, and was not published.
            Err(_) => Err(unsafe { Box::from_raw(value) }),
        }
    }

    /// Empties cell `i` and returns what was in it.
    pub fn take(&self, i: usize) -> Option<Retired<T>> {
        // Acquire: the value's construction happens before its destruction. The edge that orders this store before
        // the readers' reports is made in `Domain::start`.
        let old = self.cells.get(i)?.swap(ptr::null_mut(), Acquire);
        self.retire(old)
    }

    /// Puts `value` into cell `i` and returns what was in it. Where there is no such cell, `value` is dropped.
    pub fn replace(&self, i: usize, value: Box<T>) -> Option<Retired<T>> {
        let cell = self.cells.get(i)?;
        // Release: as in `insert`. Acquire: as in `take`.
        let old = cell.swap(Box::into_raw(value), AcqRel);
        self.retire(old)
    }

    fn retire(&self, old: *mut T) -> Option<Retired<T>> {
        // SAFETY: by the invariant the pointer of a box, which only we got from the swap, and the cell was its only place.
        NonNull::new(old).map(|old| unsafe { Retired::new(old, &self.domain) })
    }
}

impl<T: Send + Sync + 'static> Drop for Slots<T> {
    /// Retires what is left: a reader may still hold some of it.
    fn drop(&mut self) {
        for i in 0..self.cells.len() {
            drop(self.take(i));
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Zeroed memory straight from the kernel, for large `n`, so that no page is touched.
#[cfg(not(loom))]
fn empty_cells<T>(n: usize) -> Box<[AtomicPtr<T>]> {
    // SAFETY: an `AtomicPtr` has the layout of a pointer, and a null pointer is all zeros.
    unsafe { Box::new_zeroed_slice(n).assume_init() }
}

#[cfg(loom)]
fn empty_cells<T>(n: usize) -> Box<[AtomicPtr<T>]> {
    (0..n).map(|_| AtomicPtr::new(ptr::null_mut())).collect()
}

#[cfg(all(test, target_os = "linux", not(loom), not(miri)))]
mod tests {
    use super::*;
    use std::{fs::File, os::unix::fs::FileExt};

    /// 2^21 empty cells are 16 MiB of addresses; filling one makes its page resident (which may be a huge one).
    #[test]
    fn empty_cells_are_not_resident() {
        const PAGE: usize = 4096;
        let Ok(pagemap) = File::open("/proc/self/pagemap") else {
            eprintln!("SKIPPED: there is no /proc/self/pagemap");
            return;
        };
        let slots = Slots::new(Domain::new(0), 1 << 21);
        slots.insert(1 << 20, Box::new(1_u64)).unwrap();
        // One word a page, of which bit 63 says "present" (proc_pid_pagemap(5)).
        let first = slots.cells.as_ptr().addr() / PAGE;
        let mut words = vec![0; size_of_val(&*slots.cells) / PAGE * 8];
        pagemap.read_exact_at(&mut words, first as u64 * 8).unwrap();
        let resident = words.chunks(8).filter(|word| word[7] & 0x80 != 0).count();
        assert!((1..=1024).contains(&resident), "{resident} of 4096 pages");
    }
}
