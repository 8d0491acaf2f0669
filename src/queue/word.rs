//! The word of a queue: a pointer to the newest element, and, in the bits that no address uses, a count and two marks.

use super::{flow::QUEUE_BOUND, linked::Link};
use core::ptr::{self, NonNull};

/// Bits of an address. The kernels of x86-64 and AArch64 give no process more than these unless it asks for it by an address.
const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
/// One element, in the count.
const ONE: usize = 1 << ADDRESS_BITS;
const COUNT: usize = 0x7ff << ADDRESS_BITS;
/// The direction is on exactly one ready list, or has exactly one claim. Else it is idle, and nothing is queued.
const SCHEDULED: usize = 1 << 62;
/// Nothing may come any more.
const CLOSED: usize = 1 << 63;

const _: () = assert!(usize::BITS == 64 && QUEUE_BOUND as usize * ONE <= COUNT);
const _: () = assert!(ADDRESS | COUNT | SCHEDULED | CLOSED == usize::MAX - (0b111 << 59));
const _: () = assert!(COUNT & SCHEDULED == 0);

/// A value of the word. Never followed as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) *mut Link);

impl Word {
    /// The newest element; null: there is none.
    #[inline(always)]
    pub(super) fn newest(self) -> *mut Link {
        self.0.map_addr(|word| word & ADDRESS)
    }

    /// How many elements were pushed and are not popped.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "11 bits")]
    pub(super) fn count(self) -> u32 {
        ((self.0.addr() & COUNT) >> ADDRESS_BITS) as u32
    }

    #[inline(always)]
    pub(super) fn is_scheduled(self) -> bool {
        self.0.addr() & SCHEDULED != 0
    }

    #[inline(always)]
    pub(super) fn is_closed(self) -> bool {
        self.0.addr() & CLOSED != 0
    }

    /// After a push of so many elements, for which there is room.
    ///
    /// # Panics
    /// If an element lies beyond the addresses that a process has.
    #[inline(always)]
    pub(super) fn pushed(self, newest: NonNull<Link>, count: u32) -> Self {
        // Without this a pointer could be mixed up with the count: it keeps the queue sound.
        assert!(newest.addr().get() <= ADDRESS, "an address has 48 bits");
        let tags = (self.0.addr() & !ADDRESS) + count as usize * ONE;
        Self(newest.as_ptr().map_addr(|address| address | tags | SCHEDULED))
    }

    /// After so many elements were popped. With nothing left the direction is idle, unless the claim's holder `keeps` it.
    #[inline(always)]
    pub(super) fn popped(self, count: usize, keeps: bool) -> Self {
        let word = self.0.map_addr(|word| word - count * ONE);
        if word.addr() & COUNT != 0 {
            return Self(word);
        }
        let gone = if keeps { ADDRESS } else { ADDRESS | SCHEDULED };
        Self(ptr::without_provenance_mut(word.addr() & !gone))
    }

    #[inline(always)]
    pub(super) fn scheduled(self) -> Self {
        Self(self.0.map_addr(|word| word | SCHEDULED))
    }

    #[inline(always)]
    pub(super) fn cleared(self) -> Self {
        Self(self.0.map_addr(|word| word & !SCHEDULED))
    }

    pub(super) fn closed(self) -> Self {
        Self(self.0.map_addr(|word| word | CLOSED))
    }
}
