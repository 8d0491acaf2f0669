//! A list of elements that one thread owns: what is gathered before it is pushed, and what waits in a peer.

use super::{
    linked::{Link, Linked, ahead},
    sync::Ordering::Relaxed,
};
use core::{
    fmt,
    marker::PhantomData,
    mem,
    ptr::{self, NonNull},
};

/// A FIFO of owned elements, linked through themselves. Its owner alone touches it.
///
/// # Invariants
/// `parent` is null, or the element of the list that is to know the next one that comes ([`ChainLink`](super::ChainLink)).
pub struct Chain<T: Linked> {
    list: List<T>,
    parent: *mut Link,
    len: u32,
}

// SAFETY: the chain owns its elements, among them `parent`, and those are `Send` (a supertrait of `Linked`).
unsafe impl<T: Linked> Send for Chain<T> {}
// SAFETY: a shared chain only tells how many elements it has.
unsafe impl<T: Linked> Sync for Chain<T> {}

impl<T: Linked> Chain<T> {
    /// An empty chain.
    pub const fn new() -> Self {
        Self { list: List::new(), parent: ptr::null_mut(), len: 0 }
    }

    /// Appends `element`.
    #[inline]
    pub fn push_back(&mut self, element: T) {
        self.list.push_back(element);
        if T::KNOWS_AHEAD {
            self.note_ahead();
        }
        self.len += 1;
    }

    /// Tells the parent of the newest element about it.
    #[inline]
    fn note_ahead(&mut self) {
        if self.len < 2 {
            if self.len == 0 {
                self.parent = self.list.last;
            }
            return;
        }
        if let (Some(parent), Some(newest)) = (NonNull::new(self.parent), NonNull::new(self.list.last)) {
            let second = !self.len.is_multiple_of(2);
            // SAFETY: `parent` is an element of ours (invariant), and so its link came from `into_link`.
            unsafe { ahead::<T>(parent) }.note(parent, newest, second);
            if second {
                // Relaxed: the list is this thread's own.
                // SAFETY: as above; `parent` is not the last element, so the next one is ours as well.
                self.parent = unsafe { parent.as_ref() }.next.load(Relaxed);
            }
        }
    }

    /// Takes the oldest element.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        let element = self.list.pop_front()?;
        self.len -= 1;
        // It may have been the one that leaves. Without hints a chain is a chain as well.
        self.parent = ptr::null_mut();
        Some(element)
    }

    /// Keeps the oldest `len` elements, and returns the others.
    #[cold]
    pub(super) fn split_off(&mut self, len: u32) -> Self {
        let mut kept = Self::new();
        while kept.len < len
            && let Some(element) = self.pop_front()
        {
            kept.push_back(element);
        }
        mem::replace(self, kept)
    }

    /// Appends all elements of `newer`.
    #[cold]
    pub(super) fn append(&mut self, mut newer: Self) {
        while let Some(element) = newer.pop_front() {
            self.push_back(element);
        }
    }

    /// How many elements it holds.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The links of the first and the last element, which stay the chain's: whoever writes there makes a chain of them again, or lets it
    /// [`Self::leave`].
    pub(super) const fn ends(&mut self) -> Option<(NonNull<Link>, NonNull<Link>)> {
        match (NonNull::new(self.list.first), NonNull::new(self.list.last)) {
            (Some(first), Some(last)) => Some((first, last)),
            _ => None,
        }
    }

    /// Gives up the elements: the links of the first and the last one; the last one's `next` is null.
    pub(super) fn into_ends(mut self) -> Option<(NonNull<Link>, NonNull<Link>)> {
        let ends = self.ends();
        self.leave();
        ends
    }

    /// Gives up the elements, which are somebody else's now, however they are linked.
    pub(super) fn leave(self) {
        mem::forget(self);
    }
}

impl<T: Linked> Default for Chain<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked> fmt::Debug for Chain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A [`Chain`] without a count: two words.
///
/// # Invariants
/// Both ends are null, or `first` reaches `last` through `next`, every element on the way is owned by this list, and
/// the `next` of `last` is null.
pub(super) struct List<T: Linked> {
    first: *mut Link,
    last: *mut Link,
    owns: PhantomData<T>,
}

// SAFETY: the list owns its elements, and those are `Send` (a supertrait of `Linked`).
unsafe impl<T: Linked> Send for List<T> {}
// SAFETY: a shared list only tells whether it is empty.
unsafe impl<T: Linked> Sync for List<T> {}

impl<T: Linked> List<T> {
    pub(super) const fn new() -> Self {
        Self { first: ptr::null_mut(), last: ptr::null_mut(), owns: PhantomData }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    #[inline]
    pub(super) fn push_back(&mut self, element: T) {
        let link = element.into_link();
        // Relaxed: the list is this thread's own; whoever publishes it later orders these stores.
        // SAFETY: `into_link` gave the link, valid and ours.
        unsafe { link.as_ref() }.next.store(ptr::null_mut(), Relaxed);
        if T::KNOWS_AHEAD {
            // SAFETY: as above.
            unsafe { ahead::<T>(link) }.clear();
        }
        if self.first.is_null() {
            self.first = link.as_ptr();
        } else {
            // SAFETY: `last` is an element of ours (invariant), so its link is valid. Relaxed as above.
            unsafe { &*self.last }.next.store(link.as_ptr(), Relaxed);
        }
        self.last = link.as_ptr();
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = NonNull::new(self.first)?;
        // SAFETY: `first` is an element of ours (invariant), so its link is valid. Relaxed: only we write it.
        self.first = unsafe { first.as_ref() }.next.load(Relaxed);
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        // SAFETY: `push_back` took the link from `into_link`, and the list has just let go of it.
        Some(unsafe { T::from_link(first) })
    }
}

impl<T: Linked> Drop for List<T> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
