//! The hash table below [`Lpm`](super::Lpm): open addressing, linear probing, one writer, any number of readers.
//!
//! A slot counts the prefixes whose chain passes it: those that hash to it or to a slot before it, and lie behind it. Where
//! that count is zero a chain ends. So a removed prefix leaves no tombstone: the table never silts up, and a slot is free for
//! any other prefix at once. (The idea is the overflow count of Folly's F14, "Open-sourcing F14", Facebook 2019, a slot
//! instead of a chunk.)
//!
//! # Invariants
//! * **Chain**: for a present prefix with home `h` in slot `s`, every slot from `h` up to `s` (around the end, `s` not
//!   included) counts it. It holds after every single store, so readers need not wait for the writer.
//! * **Version**: a head's version grows whenever the slot is vacated, and never comes back (40 bits).
//! * **Key**: a slot's key words are written only while its head says free.
//!
//! # Why a reader never meets a wrong prefix
//! [`Slot::read`] has loaded the head (Acquire), loads key and value, then, behind an Acquire fence, the head again, and takes
//! the value only if version and tag are the same. The Acquire load meets the Release store that filled the slot, so key and
//! value are at least as new as that fill. Suppose one of them came from a later fill: [`Slot::fill`] wrote it behind a
//! Release fence, and that fence stands behind the store that vacated the slot. Fence meets fence, so the second load of the
//! head sees the vacated head or a later one, and by **Version** differs from the first. Hence key and value are of one fill
//! (the value of that fill or a later one set in place for the same prefix), and the key is compared with the one asked for.
//!
//! # Why a present prefix is found
//! If the prefix was there before the lookup began and stays, its slot does not change, and by **Chain** no chain ends before
//! it. A slot that changes while it is read never held the prefix for that whole time, so to pass it by is right.

use super::interleave;
use super::key::Key;
use super::lengths::Lengths;
use crate::queue::prefetch_read;
use crate::queue::sync::{Arc, AtomicU32, AtomicU64, Ordering, fence};

/// The tag of a slot that holds no prefix.
const FREE: u64 = 0;
/// [`FREE`], or the length + 1.
const TAG: u64 = 0xff;
/// How many prefixes pass the slot; at its greatest value it stays there for ever.
const PASSES: u64 = 0xffff << 8;
const PASSES_ONE: u64 = 1 << 8;
const VERSION_ONE: u64 = 1 << 24;
/// Addresses that a burst lookup takes at once.
pub(super) const GROUP: usize = 32;

/// The tag of a prefix of `len` bits.
#[inline]
fn tag_of(len: u8) -> u64 {
    u64::from(len) + 1
}

/// One prefix, or the place of one. readers: r, `LpmWriter`: w
#[derive(Debug, Default)]
struct Slot<K: Key> {
    /// From bit 0 up: tag (8 bits), passes (16), version (40).
    head: AtomicU64,
    value: AtomicU32,
    key: K::Words,
    _align: K::Align,
}

const _: () = assert!(size_of::<Slot<u32>>() == 16 && align_of::<Slot<u32>>() == 16);
const _: () = assert!(size_of::<Slot<u128>>() == 32 && align_of::<Slot<u128>>() == 32);

impl<K: Key> Slot<K> {
    /// Reader: the value, if this slot holds the prefix `key`; `head`, loaded with Acquire, has its tag.
    #[inline]
    fn read(&self, head: u64, key: K) -> Option<u32> {
        interleave::point();
        let found = K::load(&self.key);
        interleave::point();
        // Acquire: meets the Release store of the value, so that what the value names is seen as it was before.
        let value = self.value.load(Ordering::Acquire);
        interleave::point();
        // Acquire fence: meets the Release fence in `fill`, see the head of this file.
        fence(Ordering::Acquire);
        // Relaxed: the fence above orders it behind the loads of key and value.
        let again = self.head.load(Ordering::Relaxed);
        (found == key && (again ^ head) & !PASSES == 0).then_some(value)
    }

    /// Writer: the head.
    fn head(&self) -> u64 {
        // Relaxed: the writer reads its own store.
        self.head.load(Ordering::Relaxed)
    }

    /// Writer: changes the head.
    fn set_head(&self, head: u64) {
        // Release: publishes the words of a filled slot, and what was stored before, such as the counts of the slots that
        // its prefix passes; meets the Acquire load in `Table::find`.
        self.head.store(head, Ordering::Release);
        interleave::point();
    }

    /// Writer: puts a prefix into a free slot.
    fn fill(&self, key: K, len: u8, value: u32) {
        let head = self.head();
        debug_assert_eq!(head & TAG, FREE, "a slot in use is filled");
        // Release fence: orders the store that vacated the slot before the words below; meets the Acquire fence in `read`.
        fence(Ordering::Release);
        key.store(&self.key);
        interleave::point();
        self.set_value(value);
        self.set_head(head | tag_of(len));
    }

    /// Writer: changes the value.
    fn set_value(&self, value: u32) {
        // Release: what the value names was written before; meets the Acquire load of the value in `read`.
        self.value.store(value, Ordering::Release);
        interleave::point();
    }

    /// Writer: the slot holds a prefix no more.
    fn vacate(&self) {
        self.set_head((self.head() & !TAG).wrapping_add(VERSION_ONE));
    }

    /// Writer: one more prefix passes.
    fn add_pass(&self) {
        let head = self.head();
        if head & PASSES != PASSES {
            self.set_head(head + PASSES_ONE);
        }
    }

    /// Writer: one prefix less passes.
    fn sub_pass(&self) {
        let head = self.head();
        debug_assert_ne!(head & PASSES, 0, "more prefixes went than came");
        if head & PASSES != PASSES && head & PASSES != 0 {
            self.set_head(head - PASSES_ONE);
        }
    }

    /// Writer: what it holds.
    fn entry(&self) -> Option<(K, u8, u32)> {
        let len = u8::try_from((self.head() & TAG).checked_sub(1)?).ok()?;
        // Relaxed: the writer reads its own store.
        Some((K::load(&self.key), len, self.value.load(Ordering::Relaxed)))
    }
}

/// One size of the table. A clone is a second handle of the same slots. readers: r, `LpmWriter`: w
#[derive(Clone)]
pub(super) struct Table<K: Key> {
    seed: u64,
    /// Slots - 1; slots are a power of two.
    mask: usize,
    slots: Arc<[Slot<K>]>,
}

/// Where the writer found a prefix.
pub(super) enum Located {
    /// Here, with this value.
    Here(usize, u32),
    /// Nowhere; this slot is the first free one from its home on.
    Free(usize),
    /// Nowhere, and no slot is free.
    Full,
}

impl<K: Key> Table<K> {
    /// An empty table of `slots` (rounded up to a power of two).
    pub(super) fn new(slots: usize, seed: u64) -> Self {
        let slots = slots.next_power_of_two();
        Self { seed, mask: slots - 1, slots: (0..slots).map(|_| Slot::default()).collect() }
    }

    /// Slots in all.
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Reader: the value of the longest prefix that holds `addr`.
    #[inline]
    pub(super) fn lookup(&self, mut lengths: Lengths, addr: K) -> Option<u32> {
        lengths.find_map(|len| {
            let key = addr.masked(len);
            self.find(key, len, self.home(key, len))
        })
    }

    /// Reader: [`Table::lookup`] for up to [`GROUP`] addresses; the cache misses of one length run side by side.
    #[inline]
    pub(super) fn lookup_group(&self, mut lengths: Lengths, addrs: &[K], values: &mut [Option<u32>]) {
        let mut homes = [0_usize; GROUP];
        let Some(longest) = lengths.next() else { return values.fill(None) };
        self.ask_ahead(&mut homes, addrs, longest);
        let mut open = false;
        for ((home, addr), value) in homes.iter().zip(addrs).zip(values.iter_mut()) {
            *value = self.find(addr.masked(longest), longest, *home);
            open |= value.is_none();
        }
        for len in lengths {
            if !open {
                return;
            }
            self.ask_ahead(&mut homes, addrs, len);
            open = false;
            for ((home, addr), value) in homes.iter().zip(addrs).zip(values.iter_mut()) {
                if value.is_none() {
                    *value = self.find(addr.masked(len), len, *home);
                    open |= value.is_none();
                }
            }
        }
    }

    /// Reader: the homes of all prefixes of this length, and asks the cache for them: also for what is found already, since a hint costs
    /// less than a branch that nobody can foresee.
    #[inline]
    fn ask_ahead(&self, homes: &mut [usize; GROUP], addrs: &[K], len: u8) {
        for (home, addr) in homes.iter_mut().zip(addrs) {
            *home = self.home(addr.masked(len), len);
            prefetch_read(self.slots.as_ptr().wrapping_add(*home));
        }
    }

    /// Reader: the value of this very prefix (`key` is masked). At most one walk around the table.
    #[inline]
    fn find(&self, key: K, len: u8, home: usize) -> Option<u32> {
        let tag = tag_of(len);
        for step in 0..=self.mask {
            let slot = self.slots.get(home.wrapping_add(step) & self.mask)?;
            // Acquire: meets the Release store in `Slot::set_head`.
            let head = slot.head.load(Ordering::Acquire);
            if head & TAG == tag
                && let Some(value) = slot.read(head, key)
            {
                return Some(value);
            }
            if head & PASSES == 0 {
                return None;
            }
        }
        None
    }

    /// Reader: the value of this very prefix, host bits ignored.
    pub(super) fn get(&self, key: K, len: u8) -> Option<u32> {
        let key = key.masked(len);
        self.find(key, len, self.home(key, len))
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask cuts it anyway")]
    fn home(&self, key: K, len: u8) -> usize {
        key.hash(len, self.seed) as usize & self.mask
    }

    /// Writer: where a prefix is, or where it would go (`key` is masked).
    pub(super) fn locate(&self, key: K, len: u8) -> Located {
        let (mut free, mut is_chain) = (None, true);
        for index in self.walk(self.home(key, len)) {
            let slot = &self.slots[index];
            match slot.entry() {
                None => free = free.or(Some(index)),
                Some((found, found_len, value)) if found == key && found_len == len => {
                    return Located::Here(index, value);
                }
                Some(_) => {}
            }
            is_chain &= slot.head() & PASSES != 0;
            if !is_chain && let Some(index) = free {
                return Located::Free(index);
            }
        }
        free.map_or(Located::Full, Located::Free)
    }

    /// Writer: puts a prefix into the slot that [`Table::locate`] called free. The counts come first, for **Chain**.
    pub(super) fn fill(&self, index: usize, key: K, len: u8, value: u32) {
        let passed = self.walk(self.home(key, len)).take_while(|at| *at != index);
        passed.for_each(|at| self.slots[at].add_pass());
        self.slots[index].fill(key, len, value);
    }

    /// Writer: changes the value of the prefix in a slot.
    pub(super) fn set_value(&self, index: usize, value: u32) {
        self.slots[index].set_value(value);
    }

    /// Writer: takes the prefix out of a slot. The counts come last, for **Chain**.
    pub(super) fn vacate(&self, index: usize) {
        let Some((key, len, _)) = self.slots[index].entry() else {
            return;
        };
        self.slots[index].vacate();
        let passed = self.walk(self.home(key, len)).take_while(|at| *at != index);
        passed.for_each(|at| self.slots[at].sub_pass());
    }

    /// All slots from `home` on, around the end.
    fn walk(&self, home: usize) -> impl Iterator<Item = usize> + use<K> {
        let mask = self.mask;
        (0..=mask).map(move |step| home.wrapping_add(step) & mask)
    }

    /// Writer: all prefixes, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, u8, u32)> + '_ {
        self.slots.iter().filter_map(Slot::entry)
    }

    /// Checks the counts, and returns how many slots a lookup of each prefix reads, in all.
    #[cfg(test)]
    pub(super) fn check(&self) -> usize {
        let mut passes = vec![0; self.slots.len()];
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some((key, len, _)) = slot.entry() {
                let passed = self.walk(self.home(key, len)).take_while(|at| *at != index);
                passed.for_each(|at| passes[at] += 1);
            }
        }
        for (slot, passes) in self.slots.iter().zip(&passes) {
            assert_eq!(slot.head() & PASSES, passes * PASSES_ONE, "a wrong count");
        }
        usize::try_from(passes.iter().sum::<u64>()).unwrap() + self.iter().count()
    }

    /// A table of `slots` with the same prefixes, not yet seen by any reader.
    pub(super) fn rebuilt(&self, slots: usize, seed: u64) -> Self {
        let new = Self::new(slots, seed);
        for (key, len, value) in self.iter() {
            if let Located::Free(index) = new.locate(key, len) {
                new.fill(index, key, len, value);
            }
        }
        new
    }
}

impl<K: Key> core::fmt::Debug for Table<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Table").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}
