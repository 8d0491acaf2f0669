//! What it takes to stand in a queue: a link inside the element, and an owning handle.

use super::sync::AtomicPtr;
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

/// An owning handle of an element that carries a [`Link`].
///
/// # Safety
/// `into_link` gives up the handle and returns the address of the element's link, which stays valid, at the same
/// address and untouched by anyone else, until `from_link` makes the one handle again. Both may run on different threads.
pub unsafe trait Linked: Sized + Send {
    /// Gives up the handle; the element now belongs to whoever holds the pointer.
    fn into_link(self) -> NonNull<Link>;

    /// Makes the handle again.
    ///
    /// # Safety
    /// `link` came from `into_link` of this type, and no other handle was made of it since.
    unsafe fn from_link(link: NonNull<Link>) -> Self;
}
