//! Elements for tests, which count the living, and, for loom, an allocator that convicts a use after the free.

use super::{
    linked::{ChainLink, Link, Linked},
    sync::UnsafeCell,
};
use core::ptr::NonNull;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

/// Makes items and counts those that live. Not part of what loom explores.
#[derive(Clone, Debug, Default)]
pub(super) struct Herd(Arc<AtomicUsize>);

impl Herd {
    /// Item `number` of `producer`.
    pub(super) fn item(&self, producer: u32, number: u32) -> Item {
        self.0.fetch_add(1, SeqCst);
        let node = Node { link: ChainLink::new(), value: UnsafeCell::new((producer, number)), herd: self.clone() };
        Item(NonNull::from(Box::leak(Box::new(node))))
    }

    /// How many items (and [`Member`]s) live.
    pub(super) fn living(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Something else whose life is counted.
    pub(super) fn member(&self) -> Member {
        self.0.fetch_add(1, SeqCst);
        Member(self.clone())
    }
}

#[derive(Debug)]
pub(super) struct Member(Herd);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// An owned element. Its value is plain memory: loom and Miri see whether the queue orders its accesses.
#[derive(Debug)]
pub(super) struct Item(NonNull<Node>);

/// The alignment is for [`quarantine`].
#[repr(C, align(32))]
struct Node {
    link: ChainLink,
    value: UnsafeCell<(u32, u32)>,
    herd: Herd,
}

// SAFETY: an `Item` owns its node, like a box.
unsafe impl Send for Item {}

impl Item {
    /// Its producer, and its number there.
    pub(super) fn value(&self) -> (u32, u32) {
        // SAFETY: the item owns its node.
        let node = unsafe { self.0.as_ref() };
        // SAFETY: as above.
        node.value.with(|value| unsafe { *value })
    }

    pub(super) fn set(&mut self, to: (u32, u32)) {
        // SAFETY: the item owns its node.
        let node = unsafe { self.0.as_ref() };
        // SAFETY: as above.
        node.value.with_mut(|value| unsafe { *value = to });
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if cfg!(loom) && std::thread::panicking() {
            // A model has failed, and would fail again in here.
            return;
        }
        self.set((u32::MAX, u32::MAX));
        // SAFETY: from `Herd::item`, owned by this item.
        let node = unsafe { Box::from_raw(self.0.as_ptr()) };
        node.herd.0.fetch_sub(1, SeqCst);
    }
}

// SAFETY: the link is a field of the node, which nobody touches but who holds the item or the pointer.
unsafe impl Linked for Item {
    const KNOWS_AHEAD: bool = true;

    fn into_link(self) -> NonNull<Link> {
        let node = self.0;
        core::mem::forget(self);
        // SAFETY: the node is alive, and the offset is that of its link.
        unsafe { node.byte_add(core::mem::offset_of!(Node, link)) }.cast()
    }

    unsafe fn from_link(link: NonNull<Link>) -> Self {
        // SAFETY: `link` came from `into_link`, so it lies at this offset in a node.
        Self(unsafe { link.byte_sub(core::mem::offset_of!(Node, link)) }.cast())
    }
}

/// What was freed is overwritten, and not allocated again soon: loom finds no object of its own in it, and panics.
#[cfg(loom)]
mod quarantine {
    use std::{
        alloc::{GlobalAlloc, Layout, System},
        collections::VecDeque,
        sync::{Mutex, PoisonError},
    };

    /// Items and flows are aligned so; loom's own memory is not.
    const ALIGN: usize = 32;
    /// Blocks kept back: far more than one execution frees.
    const BLOCKS: usize = 256;

    struct Quarantine;

    struct Block(*mut u8, Layout);

    // SAFETY: memory that nobody uses any more.
    unsafe impl Send for Block {}

    static FREED: Mutex<VecDeque<Block>> = Mutex::new(VecDeque::new());

    #[global_allocator]
    static ALLOCATOR: Quarantine = Quarantine;

    // SAFETY: it is `System`, but that some blocks are given back later.
    unsafe impl GlobalAlloc for Quarantine {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            if layout.align() < ALIGN || layout.size() < ALIGN {
                // SAFETY: the caller's promise.
                return unsafe { System.dealloc(block, layout) };
            }
            // SAFETY: the block has this size, and nobody uses it any more.
            unsafe { block.write_bytes(0xDE, layout.size()) };
            let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
            freed.push_back(Block(block, layout));
            if freed.len() > BLOCKS
                && let Some(Block(block, layout)) = freed.pop_front()
            {
                // SAFETY: the promise of the caller who gave us the block.
                unsafe { System.dealloc(block, layout) };
            }
        }
    }
}
