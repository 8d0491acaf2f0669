//! The links of an [`Intake`](super::intake::Intake): chains that are rings, and the consumer's line of elements.

use super::{
    linked::{Ahead, Link, Linked, ahead},
    prefetch::prefetch_read,
    sync::Ordering::Relaxed,
};
use core::ptr::{self, NonNull};

/// Both ends of a list of elements; both null: there are none. The `next` of `last` means nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    first: *mut Link,
    last: *mut Link,
}

impl Line {
    pub(super) const EMPTY: Self = Self { first: ptr::null_mut(), last: ptr::null_mut() };

    /// Its last element; null: there is none.
    #[inline(always)]
    pub(super) fn last(self) -> *mut Link {
        self.last
    }

    /// Ties the chains from `newest` back to `seen` behind the line. `seen` is the line's last element, or has just been popped, and is
    /// not touched then.
    ///
    /// # Safety
    /// The caller is the one consumer, and has seen all these chains.
    #[inline]
    pub(super) unsafe fn take_in<T: Linked>(mut self, newest: *mut Link, seen: *mut Link) -> Self {
        // The first element of the chain that was looked at before.
        let mut later: *mut Link = ptr::null_mut();
        let mut at = newest;
        while at != seen
            && let Some(last) = NonNull::new(at)
        {
            // SAFETY: an element of the queue (the caller's promise), so its link is valid, and all of it is seen.
            let first = unsafe { last.as_ref() }.next.load(Relaxed);
            // SAFETY: as above.
            at = unsafe { second::<T>(last) }.before();
            if !later.is_null() {
                // SAFETY: as above.
                unsafe { go_on::<T>(last, later) };
            }
            later = first;
        }
        match NonNull::new(self.last) {
            _ if later.is_null() => return self,
            // SAFETY: an element of the line, so of the queue.
            Some(last) => unsafe { go_on::<T>(last, later) },
            None => self.first = later,
        }
        self.last = newest;
        self
    }

    /// Makes handles of the oldest elements of a line, `room` at most. Returns how many, and what follows them. From here on nothing
    /// of them may be touched but by these handles, or, if those are forgotten, by others.
    ///
    /// # Safety
    /// The caller is the one consumer, and there are `room` places at `to`.
    #[inline]
    pub(super) unsafe fn copy<T: Linked>(self, to: *mut T, room: usize) -> (usize, Self) {
        let mut left = self;
        let mut popped = 0;
        while popped < room
            && let Some(link) = NonNull::new(left.first)
        {
            if left.first == left.last {
                left = Self::EMPTY;
            } else {
                // SAFETY: an element of the line, and not the last one.
                left.first = unsafe { link.as_ref() }.next.load(Relaxed);
                prefetch_read(left.first.cast_const());
                // SAFETY: as above.
                unsafe { ahead::<T>(link) }.prefetch(link);
            }
            // SAFETY: there is room for it.
            let place = unsafe { to.add(popped) };
            // SAFETY: the link came from `into_link`, by the chain that was pushed, and no handle made of it since is in use.
            let element = unsafe { T::from_link(link) };
            // SAFETY: the caller's place.
            unsafe { place.write(element) };
            popped += 1;
        }
        (popped, left)
    }
}

/// The second word of an element that is the last of its chain.
///
/// # Safety
/// As of [`ahead`].
#[inline(always)]
unsafe fn second<'a, T: Linked>(last: NonNull<Link>) -> &'a Ahead {
    // SAFETY: the caller's promise; `Intake::new` takes no elements but such with a hint.
    unsafe { ahead::<T>(last) }
}

/// Makes a ring of a chain, behind the one whose last element is `before`.
///
/// # Safety
/// `last` is an element of the caller's, and `first` reaches it.
#[inline]
pub(super) unsafe fn tie<T: Linked>(last: NonNull<Link>, first: NonNull<Link>, before: *mut Link) {
    // Relaxed, as all accesses to links: the word's exchange publishes them.
    // SAFETY: the caller's element.
    unsafe { last.as_ref() }.next.store(first.as_ptr(), Relaxed);
    // SAFETY: as above.
    unsafe { second::<T>(last) }.set_before(before);
}

/// Makes a chain of a ring again, as its owner had it.
///
/// # Safety
/// As of [`tie`].
#[cold]
pub(super) unsafe fn untie<T: Linked>(last: NonNull<Link>) {
    // SAFETY: the caller's element.
    unsafe { last.as_ref() }.next.store(ptr::null_mut(), Relaxed);
    // SAFETY: as above.
    unsafe { second::<T>(last) }.clear();
}

/// Lets what was the last element of a chain lead to the first one of the next chain.
///
/// # Safety
/// The caller is the one consumer, and `last` is an element of the queue that it has seen.
#[inline]
unsafe fn go_on<T: Linked>(last: NonNull<Link>, later: *mut Link) {
    // SAFETY: the caller's promise.
    unsafe { last.as_ref() }.next.store(later, Relaxed);
    // It was a pointer, which is no hint.
    // SAFETY: as above.
    unsafe { second::<T>(last) }.clear();
}
