//! Which of a peer's keypairs is `next`, `current` and `previous`.

use crate::queue::sync::{AtomicU64, Ordering};
use arrayvec::ArrayVec;

/// Keypairs that a transition pushed out: their table slots. Whoever made the transition has them retired.
pub type Dropped = ArrayVec<u32, 3>;

/// Bits of a table slot's number.
const SLOT_BITS: u32 = 21;

/// Three numbers of slots in the keypair table, in one word that moves by compare-exchange.
///
/// * `next`: made by a peer's initiation, not yet used by the peer; only for receiving.
/// * `current`: for sending, and for receiving.
/// * `previous`: for receiving what was under way.
///
/// # Invariants
/// A number stands in at most one place. The new word depends on nothing but the old word, so a word that went away and
/// came back between load and exchange does no harm. A slot is not used again while a reader may hold its number.
#[derive(Debug, Default)]
pub struct KeySlots(AtomicU64);

/// The word, taken apart; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slots {
    next: u32,
    current: u32,
    previous: u32,
}

impl KeySlots {
    /// The greatest slot number that fits; 0 means none, so a table's slot 0 is never used.
    pub const MAX_SLOT: u32 = (1 << SLOT_BITS) - 1;

    /// No keypair.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The keypair to send under. Any thread.
    #[inline]
    pub fn current(&self) -> Option<u32> {
        some(self.load().current)
    }

    /// The keypair that waits for its first message. Any thread.
    #[inline]
    pub fn next(&self) -> Option<u32> {
        some(self.load().next)
    }

    /// The keypair before the current one. Any thread.
    #[inline]
    pub fn previous(&self) -> Option<u32> {
        some(self.load().previous)
    }

    /// Whether `slot` is one of the three. Any thread.
    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        let Slots { next, current, previous } = self.load();
        slot != 0 && [next, current, previous].contains(&slot)
    }

    /// Whether there is none. Any thread.
    pub fn is_empty(&self) -> bool {
        self.load() == Slots::default()
    }

    /// Our initiation was answered: `new` is sent under at once. An unconfirmed `next` becomes `previous` and pushes
    /// `current` out; else `current` becomes `previous`. Handshake thread.
    ///
    /// # Panics
    /// If `new` is 0 or above [`Self::MAX_SLOT`].
    pub fn install_initiator(&self, new: u32) -> Dropped {
        assert!(new != 0 && new <= Self::MAX_SLOT, "not a keypair slot: {new}");
        self.change(|old| {
            let previous = if old.next != 0 { old.next } else { old.current };
            Some(Slots { next: 0, current: new, previous })
        })
        .unwrap_or_default()
    }

    /// We answered an initiation: `new` waits as `next` for its first message; an older `next` and `previous` go. What
    /// is `current` is still sent under. Handshake thread.
    ///
    /// # Panics
    /// If `new` is 0 or above [`Self::MAX_SLOT`].
    pub fn install_responder(&self, new: u32) -> Dropped {
        assert!(new != 0 && new <= Self::MAX_SLOT, "not a keypair slot: {new}");
        self.change(|old| Some(Slots { next: new, previous: 0, ..old })).unwrap_or_default()
    }

    /// The first message under `next` was authenticated: it becomes `current`, and `current` `previous`; an older
    /// `previous` is dropped. `None`, and nothing changed, if `next` is not (or no longer) the one named. The holder
    /// of the ingress turn.
    pub fn confirm(&self, next: u32) -> Option<Dropped> {
        self.change(|old| {
            (next != 0 && old.next == next).then_some(Slots { next: 0, current: next, previous: old.current })
        })
    }

    /// `previous` and `current` change places, if they are still the two named. The holder of the ingress turn.
    pub fn swap(&self, previous: u32, current: u32) -> bool {
        self.change(|old| {
            let are_there = previous != 0 && current != 0 && old.previous == previous && old.current == current;
            are_there.then_some(Slots { current: previous, previous: current, ..old })
        })
        .is_some()
    }

    /// Names the keypairs that another process had as next, current and previous, 0 for none. `false`, and nothing changed, if there is one
    /// already. Control thread.
    ///
    /// # Panics
    /// If one is above [`Self::MAX_SLOT`].
    pub fn resume(&self, [next, current, previous]: [u32; 3]) -> bool {
        assert!([next, current, previous].iter().all(|slot| *slot <= Self::MAX_SLOT), "not keypair slots");
        self.change(|old| (old == Slots::default()).then_some(Slots { next, current, previous })).is_some()
    }

    /// Takes `slot` out, wherever it stands; whether it stood there. Control or handshake thread.
    pub fn forget(&self, slot: u32) -> bool {
        let without = |place: u32| if place == slot { 0 } else { place };
        self.change(|old| {
            let new = Slots { next: without(old.next), current: without(old.current), previous: without(old.previous) };
            (new != old).then_some(new)
        })
        .is_some()
    }

    /// Takes all out. Control or handshake thread.
    pub fn clear(&self) -> Dropped {
        self.change(|_| Some(Slots::default())).unwrap_or_default()
    }

    /// Replaces the word by what `transition` makes of it, and returns what is in the old and not in the new one.
    fn change(&self, transition: impl Fn(Slots) -> Option<Slots>) -> Option<Dropped> {
        // Acquire: pairs with the Release of the exchange that wrote the word, so that who drops a keypair sees it made.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let old = Slots::unpack(word);
            let new = transition(old)?;
            // AcqRel: Release makes the new keypair, written to its table slot before, visible to whoever loads its
            // number with Acquire (`load`); Acquire, and on failure, as above.
            match self.0.compare_exchange_weak(word, new.pack(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let kept = [new.next, new.current, new.previous];
                    let gone = [old.next, old.current, old.previous];
                    return Some(gone.into_iter().filter(|&slot| slot != 0 && !kept.contains(&slot)).collect());
                }
                Err(seen) => word = seen,
            }
        }
    }

    #[inline]
    fn load(&self) -> Slots {
        // Acquire: pairs with the Release in `change`; the keypair in the slot is complete.
        Slots::unpack(self.0.load(Ordering::Acquire))
    }
}

impl Slots {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to 21 bits")]
    fn unpack(word: u64) -> Self {
        let place = |number: u32| (word >> (number * SLOT_BITS)) as u32 & KeySlots::MAX_SLOT;
        Self { next: place(0), current: place(1), previous: place(2) }
    }

    #[inline]
    fn pack(self) -> u64 {
        u64::from(self.next) | u64::from(self.current) << SLOT_BITS | u64::from(self.previous) << (2 * SLOT_BITS)
    }
}

#[inline]
fn some(slot: u32) -> Option<u32> {
    (slot != 0).then_some(slot)
}
