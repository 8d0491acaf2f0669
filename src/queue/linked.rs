//! What it takes to stand in a queue: a link inside the element, and an owning handle.

use super::{
    prefetch::prefetch_read,
    sync::{AtomicPtr, Ordering::Relaxed},
};
use core::ptr::{self, NonNull};

/// The link of an intrusive list. It lies inside the element and is written only while a queue owns the element.
#[derive(Debug)]
#[repr(transparent)]
pub struct Link {
    pub(super) next: AtomicPtr<Self>,
}

impl Link {
    /// An unlinked link.
    pub fn new() -> Self {
        Self { next: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// A link that also tells where the elements behind the next one are, so that a core that takes a whole chain over from another
/// need not wait for each element's cache line before it can ask for the following one's.
///
/// The elements of a [`Chain`](super::Chain) form a tree for that: the n-th, from 0, knows the (2n + 2)-th and the (2n + 3)-th. In
/// the order of the queue each is asked for long before its turn, and a chain of n costs about log2(n) transfers from core to
/// core one after the other, instead of n.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ChainLink {
    link: Link,
    ahead: Ahead,
}

impl ChainLink {
    /// An unlinked link.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Where two later elements are, as distances from this one's link, in units of [`Ahead::UNIT`]; 0: not known. Only ever a hint: it
/// may be wrong, and nothing is read or written there.
///
/// The last element of a chain knows none. While it stands in an [`Intake`](super::intake::Intake) this is a pointer there, to the last
/// element of the chain before.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Ahead(AtomicPtr<Link>);

impl Default for Ahead {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl Ahead {
    /// A cache line, bytes: links of elements lie on their own.
    const UNIT: usize = 64;

    /// Knows nothing.
    #[inline]
    pub(super) fn clear(&self) {
        // Relaxed, here and below: the element's owner alone writes it, and the queue hands it over; and it guards nothing.
        self.0.store(ptr::null_mut(), Relaxed);
    }

    /// Notes the last element of the chain before, instead of a hint.
    #[inline]
    pub(super) fn set_before(&self, before: *mut Link) {
        self.0.store(before, Relaxed);
    }

    /// What [`Self::set_before`] has noted.
    #[inline]
    pub(super) fn before(&self) -> *mut Link {
        self.0.load(Relaxed)
    }

    /// Notes where `later` is: it is the first, or the `second`, that `this`, whose hint it is, is to know.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "what is too far is a wrong hint")]
    pub(super) fn note(&self, this: NonNull<Link>, later: NonNull<Link>, second: bool) {
        let distance = later.addr().get().wrapping_sub(this.addr().get()) / Self::UNIT;
        let distance = distance as u32 as usize;
        let known = self.0.load(Relaxed).addr();
        let known = if second { known | distance << 32 } else { distance };
        self.0.store(ptr::without_provenance_mut(known), Relaxed);
    }

    /// Asks for the cache lines of both.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "halves")]
    pub(super) fn prefetch(&self, this: NonNull<Link>) {
        let known = self.0.load(Relaxed).addr();
        for distance in [known as u32, (known >> 32) as u32] {
            if distance != 0 {
                let distance = (distance.cast_signed() as isize).cast_unsigned();
                let later = this.addr().get().wrapping_add(distance.wrapping_mul(Self::UNIT));
                prefetch_read(ptr::without_provenance::<Link>(later));
            }
        }
    }
}

/// An owning handle of an element that carries a [`Link`].
///
/// # Safety
/// `into_link` gives up the handle and returns the address of the element's link, which stays valid, at the same
/// address and untouched by anyone else, until `from_link` makes the one handle again. Both may run on different threads.
/// If [`Self::KNOWS_AHEAD`], that link is the one in a [`ChainLink`], and the pointer may reach all of that.
pub unsafe trait Linked: Sized + Send {
    /// Whether the elements' links are [`ChainLink`]s.
    const KNOWS_AHEAD: bool = false;

    /// Gives up the handle; the element now belongs to whoever holds the pointer.
    fn into_link(self) -> NonNull<Link>;

    /// Makes the handle again.
    ///
    /// # Safety
    /// `link` came from `into_link` of this type, and of the handles that were made of it since none is used or dropped any more.
    unsafe fn from_link(link: NonNull<Link>) -> Self;
}

/// The hint of an element.
///
/// # Safety
/// `link` came from `into_link` of `T`, no handle was made of it since, and [`Linked::KNOWS_AHEAD`] says that there is one.
#[inline(always)]
pub(super) unsafe fn ahead<'a, T: Linked>(link: NonNull<Link>) -> &'a Ahead {
    debug_assert!(T::KNOWS_AHEAD);
    // SAFETY: by contract the link is the first field (`repr(C)`) of a live `ChainLink`, all of which the pointer may reach.
    unsafe { &link.cast::<ChainLink>().as_ref().ahead }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::queue::{Boxed, Chain};

    /// The distances that an element's link holds.
    fn known(link: NonNull<Link>) -> [usize; 2] {
        // SAFETY: the chain below owns the element, whose link this is.
        let word = unsafe { ahead::<Boxed<u32>>(link) }.0.load(Relaxed).addr();
        [word & u32::MAX as usize, word >> 32].map(|half| {
            let distance = u32::try_from(half).unwrap().cast_signed() as isize;
            if distance == 0 { 0 } else { link.addr().get().wrapping_add_signed(distance * Ahead::UNIT as isize) }
        })
    }

    /// The links of a chain of elements, in order, and what each knows; the elements are taken out again.
    fn chain_of(count: u32, pops: u32) -> Vec<(usize, [usize; 2])> {
        let mut chain = Chain::new();
        (0..count).for_each(|n| {
            chain.push_back(Boxed::new(n));
            if n < pops {
                assert_eq!(chain.pop_front().unwrap().into_inner(), n);
            }
        });
        let (first, _) = chain.into_ends().unwrap();
        let (mut next, mut links) = (Some(first), Vec::new());
        while let Some(link) = next {
            links.push((link.addr().get(), known(link)));
            // SAFETY: an element of the chain; it is read before its handle is made.
            next = NonNull::new(unsafe { link.as_ref() }.next.load(Relaxed));
            // SAFETY: from `into_link`, by the chain.
            drop(unsafe { Boxed::<u32>::from_link(link) });
        }
        links
    }

    #[test]
    fn each_element_of_a_chain_knows_two_later_ones() {
        for count in [1, 2, 3, 4, 31, 32, 33] {
            let links = chain_of(count, 0);
            for (n, (_, known)) in links.iter().enumerate() {
                let later = [2 * n + 2, 2 * n + 3].map(|later| links.get(later).map_or(0, |(link, _)| *link));
                assert_eq!(*known, later, "{n} of {count}");
            }
        }
    }

    #[test]
    fn what_was_taken_out_is_not_told_of_what_comes() {
        let links = chain_of(12, 2);
        assert_eq!(links.len(), 10);
        let inside: Vec<_> = links.iter().map(|(link, _)| *link).chain([0]).collect();
        assert!(links.iter().all(|(_, known)| known.iter().all(|later| inside.contains(later))), "{links:x?}");
    }
}
