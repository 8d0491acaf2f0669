//! A few words that are read together, while others replace them.

use super::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence, seeded, spin_loop, thread,
};
use core::array;

/// No writer; both copies are equal, and readers use copy 0.
const IDLE: u64 = 0;
/// A writer fills copy 0; readers use copy 1.
const FILLING_0: u64 = 1;
/// It fills copy 1; readers use copy 0. The count goes on to the next multiple of [`PHASES`].
const FILLING_1: u64 = 2;
const PHASES: u64 = 4;

/// `N` words under a sequence latch: a seqlock with two copies, so that a reader never waits for a preempted writer
/// (the kernel's `seqcount_latch_t`), and with writers that enter by compare-exchange.
///
/// All words are atomics: no read is a data race, only ever torn, and then thrown away. 8 + 16 `N` bytes, of which readers ask the first
/// 8 + 8 `N` while nobody writes.
///
/// # Invariants
/// `phase` only grows. Who moved it from idle to [`FILLING_0`] is the one writer until it is idle again; the copy that readers use in a
/// phase is not written in that phase, and holds one value.
#[derive(Debug)]
#[repr(C)]
pub struct SeqLatch<const N: usize> {
    /// Readers: r. The writer: rw.
    phase: AtomicU64,
    /// Readers: r. The writer: w.
    copies: [[AtomicU64; N]; 2],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<SeqLatch<3>>() == 8 + 16 * 3, "no padding");

impl<const N: usize> SeqLatch<N> {
    /// A latch that holds `words`.
    pub fn new(words: [u64; N]) -> Self {
        Self { phase: AtomicU64::new(IDLE), copies: [words.map(AtomicU64::new), words.map(AtomicU64::new)] }
    }

    /// The words of one write. Any thread; lock-free: it tries again only if a writer has gone on meanwhile.
    #[inline]
    pub fn read(&self) -> [u64; N] {
        self.read_stamped().0
    }

    /// What [`Self::read_stamped`] would give beside the words now. Any thread; one load.
    #[inline]
    pub fn stamp(&self) -> u64 {
        // Acquire: as the first load in `read_stamped`.
        self.phase.load(Acquire)
    }

    /// The words of one write, and a number that belongs to no other words: while [`Self::stamp`] is the same, so are they.
    #[inline]
    pub fn read_stamped(&self) -> ([u64; N], u64) {
        loop {
            // Acquire: pairs with the Release stores of the phases in `try_write`: the copy that this phase names is complete.
            // Entering is no Release, but a read-modify-write, and so it stands in the release sequence of the last one.
            let phase = self.phase.load(Acquire);
            let words = array::from_fn(|i| self.current(phase)[i].load(Relaxed));
            // Seeded s1: a copy that was overwritten meanwhile is taken as it is.
            if seeded("s1") {
                return (words, phase);
            }
            // Acquire fence: if a load above met a word of a later write, it pairs with that writer's Release fence, and the
            // load below sees the phase that the writer had entered before.
            fence(Acquire);
            // Relaxed: ordered by the fence.
            if self.phase.load(Relaxed) == phase {
                return (words, phase);
            }
            spin_loop();
        }
    }

    /// Writes `words`, unless another thread is writing: then returns false at once, nothing changed. Any thread; never waits.
    #[inline]
    pub fn try_write(&self, words: &[u64; N]) -> bool {
        // Relaxed: only a guess, for the compare-exchange to check.
        let phase = self.phase.load(Relaxed);
        // Acquire: the last writer's stores (Release of its idle) happen before ours, so they cannot come out on top.
        let entered =
            phase % PHASES == IDLE && self.phase.compare_exchange(phase, phase + FILLING_0, Acquire, Relaxed).is_ok();
        if entered {
            self.fill(0, words);
            // Release: copy 0 is complete for readers that see this phase (their first Acquire).
            self.phase.store(phase + FILLING_1, Release);
            self.fill(1, words);
            // Release: copy 1 is complete for readers of the next write's first phase, and for the next writer.
            self.phase.store(phase + PHASES, Release);
        }
        entered
    }

    /// Writes `words`, after other writers. Control threads only: it spins, then yields, while another writes.
    pub fn write(&self, words: &[u64; N]) {
        let mut turns = 0_u32;
        while !self.try_write(words) {
            turns = turns.saturating_add(1);
            if turns < 64 && !cfg!(loom) {
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }

    /// The copy that readers use in `phase`.
    #[inline]
    fn current(&self, phase: u64) -> &[AtomicU64; N] {
        let [copy_0, copy_1] = &self.copies;
        if phase % PHASES == FILLING_0 { copy_1 } else { copy_0 }
    }

    #[inline]
    fn fill(&self, copy: usize, words: &[u64; N]) {
        // Release fence: the phase that the caller has entered is seen by whoever meets a word stored below (the
        // Acquire fence in `read`). Seeded s2: without it.
        if !seeded("s2") {
            fence(Release);
        }
        for (word, &new) in self.copies[copy].iter().zip(words) {
            // Relaxed: ordered by the fence above and the caller's Release store of the next phase.
            word.store(new, Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "seqlock_tests.rs"]
mod tests;
