//! The bound of an inbox: room is taken before linking, once a chain, and given back once a popped chunk.

use super::sync::{AtomicU32, Ordering::Relaxed};

/// The highest bound: it leaves room above for reservations that are about to be given back.
pub(super) const MAX_BOUND: u32 = 1 << 24;

/// How many elements are queued or about to be: at most the bound of them are ever granted.
///
/// All accesses are Relaxed: the count guards no memory. The elements travel by the queue's own edges, and the bound
/// follows from the order of modifications of this one word.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Credit {
    /// producers: add and sub, consumer: sub
    taken: AtomicU32,
}

impl Credit {
    pub(super) fn new() -> Self {
        Self { taken: AtomicU32::new(0) }
    }

    /// Takes room for up to `want` elements and returns for how many there is: one addition, and one subtraction if that
    /// was too much. Meanwhile other producers may be refused; nobody is ever over-admitted.
    #[inline]
    pub(super) fn reserve(&self, want: u32, bound: u32) -> u32 {
        let want = want.min(bound);
        if want == 0 {
            return 0;
        }
        let before = self.taken.fetch_add(want, Relaxed);
        let granted = want.min(bound.saturating_sub(before));
        self.give_back(want - granted);
        granted
    }

    /// Gives back the room of `n` elements.
    #[inline]
    pub(super) fn give_back(&self, n: u32) {
        if n > 0 {
            self.taken.fetch_sub(n, Relaxed);
        }
    }

    /// The elements queued, and those reserved just now.
    #[inline]
    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }
}
