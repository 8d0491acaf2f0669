//! A heap element for the queues: what tests, loom, Miri and fuzzers queue where the gateway queues mbufs.

use super::{ChainLink, Link, Linked};
use core::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// An owned heap value with a [`Link`] in front of it.
pub struct Boxed<T>(Box<Node<T>>);

// The link comes first, so that its address is the node's. Two nodes share no cache line, as the private areas of mbufs do not.
#[repr(C, align(64))]
struct Node<T> {
    link: ChainLink,
    value: T,
}

impl<T> Boxed<T> {
    /// Moves `value` to the heap, beside an unlinked link.
    pub fn new(value: T) -> Self {
        Self(Box::new(Node { link: ChainLink::new(), value }))
    }

    /// Takes the value out and frees its place.
    pub fn into_inner(self) -> T {
        self.0.value
    }
}

// SAFETY: `into_link` leaks the box, so the node stays where it is, and nobody else has a pointer to it, until
// `from_link` boxes it again. `T: Send`, so both may run on different threads.
unsafe impl<T: Send> Linked for Boxed<T> {
    const KNOWS_AHEAD: bool = true;

    fn into_link(self) -> NonNull<Link> {
        // The pointer is derived from the whole node, never from `&mut link`, so it may reach the value again.
        NonNull::from(Box::leak(self.0)).cast()
    }

    unsafe fn from_link(link: NonNull<Link>) -> Self {
        let node = link.cast::<Node<T>>();
        // SAFETY: by contract `link` came from `into_link` of this type: a leaked box, whose first field (`repr(C)`) is
        // the link; and no other handle was made since, so the box has one owner again.
        Self(unsafe { Box::from_raw(node.as_ptr()) })
    }
}

impl<T> Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Boxed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.value, f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_round_trip_keeps_address_and_value() {
        let mut element = Boxed::new([1_u64, 2, 3]);
        let address = &raw const *element;
        element[1] = 7;
        let link = element.into_link();
        // SAFETY: `link` came from `into_link` just above, and this is the only handle made of it.
        let element = unsafe { Boxed::<[u64; 3]>::from_link(link) };
        assert_eq!(address, &raw const *element);
        assert_eq!(element.into_inner(), [1, 7, 3]);
    }

    #[test]
    fn the_value_is_dropped_once_and_on_another_thread_too() {
        let counted = Arc::new(());
        let element = Boxed::new(Arc::clone(&counted));
        let link = element.into_link();
        assert_eq!(Arc::strong_count(&counted), 2);
        // SAFETY: `link` came from `into_link` just above, and this is the only handle made of it.
        let element = unsafe { Boxed::<Arc<()>>::from_link(link) };
        std::thread::spawn(move || drop(element)).join().unwrap();
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
