//! Dmitry Vyukov's intrusive MPSC node queue (1024cores.net, "Intrusive MPSC node-based queue").
//!
//! Any number of producers, one consumer at a time. A producer exchanges the head and then stores one link, whatever
//! the length of its chain; it never waits. Between its two steps the queue is cut in two: the consumer sees what lies
//! before the cut, and reports [`Pop::HalfDone`] there instead of waiting for the link.
//!
//! Where Vyukov writes the address of the stub, this queue writes the mark [`STUB`], so that it may be moved.

use super::{
    chain::Chain,
    linked::{Link, Linked, ahead},
    prefetch::prefetch_read,
    sync::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        UnsafeCell, seeded,
    },
};
use core::{
    fmt,
    marker::PhantomData,
    ptr::{self, NonNull},
};

/// Stands for the queue's own stub in `head`, `tail` and `next`. It is odd, so no link has this address.
pub(super) const STUB: *mut Link = ptr::without_provenance_mut(1);

/// What [`Mpsc::pop`] found.
#[derive(Debug)]
pub(super) enum Pop<T> {
    /// The oldest element.
    Item(T),
    /// Nothing is queued.
    Empty,
    /// A producer stands between its exchange and its link store; what it and later ones pushed is not visible yet.
    HalfDone,
}

/// Takes cache lines of its own: pushes and pops that come one by one do not take the ends from each other.
#[derive(Debug)]
#[repr(align(128))]
struct Apart;

/// The queue.
///
/// # Invariants
/// `tail` reaches `head` through `next`, but for the links that producers are about to store. Every element on the way
/// is owned by the queue; the stub is at most once among them, and it alone is there when the queue is drained.
#[repr(C)]
pub(super) struct Mpsc<T: Linked> {
    /// The newest element. producers: exchange, consumer: exchange (the stub) and r, control: r
    head: AtomicPtr<Link>,
    apart: [Apart; 0],
    /// The oldest element. consumer: r and w
    tail: UnsafeCell<*mut Link>,
    stub: Link,
    owns: PhantomData<T>,
}

// SAFETY: the queue owns its elements, and those are `Send` (a supertrait of `Linked`).
unsafe impl<T: Linked> Send for Mpsc<T> {}
// SAFETY: shared calls touch atomics only, but for `pop`, whose contract makes its caller the one consumer.
unsafe impl<T: Linked> Sync for Mpsc<T> {}

impl<T: Linked> Mpsc<T> {
    pub(super) fn new() -> Self {
        Self {
            head: AtomicPtr::new(STUB),
            apart: [],
            tail: UnsafeCell::new(STUB),
            stub: Link::new(),
            owns: PhantomData,
        }
    }

    /// Appends a whole chain by one exchange and one link store. Never waits.
    #[inline]
    pub(super) fn push(&self, chain: Chain<T>) {
        if let Some((first, last)) = chain.into_ends() {
            let before = self.exchange(last.as_ptr());
            // SAFETY: `exchange` has just returned `before`; `first` reaches the exchanged link (invariant of the chain).
            unsafe { self.store_link(before, first.as_ptr()) };
        }
    }

    /// Appends one element.
    #[inline]
    pub(super) fn push_one(&self, element: T) {
        let link = element.into_link();
        // Relaxed: the exchange below publishes it.
        // SAFETY: `into_link` gave the link, valid and ours.
        unsafe { link.as_ref() }.next.store(ptr::null_mut(), Relaxed);
        if T::KNOWS_AHEAD {
            // SAFETY: as above.
            unsafe { ahead::<T>(link) }.clear();
        }
        let before = self.exchange(link.as_ptr());
        // SAFETY: `exchange` has just returned `before` for this very link.
        unsafe { self.store_link(before, link.as_ptr()) };
    }

    /// First half of a push: from here on the queue's order is settled. Returns the link to store into.
    #[inline]
    pub(super) fn exchange(&self, last: *mut Link) -> *mut Link {
        // Release: the null in `last.next` is ordered before the next producer's store into it. Acquire: the other end
        // of that edge, towards the producer of the link that we return.
        self.head.swap(last, if seeded("a3") { Relaxed } else { AcqRel })
    }

    /// Second half of a push.
    ///
    /// # Safety
    /// `before` came from [`Self::exchange`] and was not used since; `first` reaches the link given there.
    #[inline]
    pub(super) unsafe fn store_link(&self, before: *mut Link, first: *mut Link) {
        let before = self.at(before);
        // Release: the elements of the chain and their links, to the load (Acquire) in `pop`.
        // SAFETY: the consumer cannot pass `before` until this store, so its element is still in the queue; nothing of
        // it is touched afterwards.
        unsafe { (*before).next.store(first, if seeded("a1") { Relaxed } else { Release }) };
    }

    /// Takes the oldest element. Never waits.
    ///
    /// # Safety
    /// The caller is the one consumer: calls never overlap, and each happens before the next.
    #[inline]
    pub(super) unsafe fn pop(&self) -> Pop<T> {
        let mut tail = self.tail.with(|tail| {
            // SAFETY: the one consumer alone touches `tail`.
            unsafe { *tail }
        });
        let mut next = self.next_of(tail);
        if tail == STUB && !seeded("c0") {
            if next.is_null() {
                return if self.is_drained() { Pop::Empty } else { Pop::HalfDone };
            }
            tail = next;
            self.set_tail(tail);
            next = self.next_of(tail);
        }
        if next.is_null() {
            // `tail` may be the last element: to let it go the stub has to stand behind it.
            // Relaxed: compared only.
            if tail != self.head.load(Relaxed) && !seeded("c1") {
                return Pop::HalfDone;
            }
            if seeded("c3") {
                self.head.store(STUB, Release);
                self.stub.next.store(ptr::null_mut(), Relaxed);
                next = STUB;
            } else {
                self.push_stub();
                next = self.next_of(tail);
                if next.is_null() {
                    return Pop::HalfDone;
                }
            }
        }
        self.set_tail(next);
        if next != STUB {
            // The next pop waits for it, and what the caller does with this element need not.
            prefetch_read(next.cast_const());
        }
        if cfg!(any(debug_assertions, loom)) {
            assert!(tail != STUB, "the stub is never handed out");
        }
        if T::KNOWS_AHEAD
            && let Some(link) = NonNull::new(tail)
        {
            // SAFETY: `tail` is an element (the stub was skipped), so `into_link` gave its link, and it is ours since the load of
            // its `next`, or of the link that led to it.
            unsafe { ahead::<T>(link) }.prefetch(link);
        }
        match NonNull::new(tail) {
            // SAFETY: `tail` is an element (the stub was skipped), so `into_link` gave its link; with `tail` moved on,
            // and its `next` stored, neither we nor a producer touch it again.
            Some(link) => Pop::Item(unsafe { T::from_link(link) }),
            None => Pop::Empty,
        }
    }

    /// Whether the newest element is the stub. Anyone may ask; it reads the head only.
    ///
    /// That is not to say that nothing is queued: when a producer comes while the consumer puts the stub back, the stub is the newest
    /// element, and those before it are still queued.
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        // Relaxed: a comparison, of which nobody but the consumer draws conclusions.
        self.head.load(Relaxed) == STUB
    }

    /// Puts the stub behind the last element. The consumer alone calls it, and only while the stub is not in the queue.
    pub(super) fn push_stub(&self) {
        if !seeded("c2") {
            // Relaxed: the exchange publishes it.
            self.stub.next.store(ptr::null_mut(), Relaxed);
        }
        let before = self.exchange(STUB);
        // SAFETY: `exchange` has just returned `before` for the stub.
        unsafe { self.store_link(before, STUB) };
    }

    pub(super) fn set_tail(&self, link: *mut Link) {
        self.tail.with_mut(|tail| {
            // SAFETY: called by `pop` alone, so by the one consumer, who alone touches `tail`.
            unsafe { *tail = link };
        });
    }

    /// The `next` of a link that the consumer holds.
    pub(super) fn next_of(&self, link: *mut Link) -> *mut Link {
        let link = self.at(link);
        // Acquire: the element behind `next`, from its producer's store (Release).
        // SAFETY: the consumer's `tail` is the stub or an element that only the consumer can let go.
        unsafe { (*link).next.load(if seeded("a2") { Relaxed } else { Acquire }) }
    }

    /// Where a link lies.
    #[inline(always)]
    fn at(&self, link: *mut Link) -> *const Link {
        if link == STUB { &raw const self.stub } else { link }
    }
}

impl<T: Linked> Drop for Mpsc<T> {
    fn drop(&mut self) {
        if cfg!(loom) && std::thread::panicking() {
            // A model has failed, and would fail again in here.
            return;
        }
        loop {
            // SAFETY: `&mut self`: nobody else pushes or pops.
            if !matches!(unsafe { self.pop() }, Pop::Item(_)) {
                break;
            }
        }
    }
}

impl<T: Linked> fmt::Debug for Mpsc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpsc").field("drained", &self.is_drained()).finish_non_exhaustive()
    }
}
