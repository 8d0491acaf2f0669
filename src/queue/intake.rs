//! The queue of a direction: who waits, how many, whether a worker has been told, and whether anything may come any more, all in
//! **one word**. A push is one compare-exchange of it, a chunk that is popped another one.
//!
//! The word points to the newest element and counts what was pushed and not popped yet. Each chain is a ring: the last element's
//! `next`, which would be null, leads to the chain's first one; and its second word ([`Ahead`](super::linked::Ahead)), which has no later
//! elements to tell of, to the last element of the chain that was the newest before.
//!
//! ```text
//!   word ──► c2 ──next──► c0 ──► c1 ──► c2        pushed last: c0, c1, c2
//!             │before
//!             ▼
//!            b0 ──next──► b0                      before that: b0 alone
//!             │before
//!             ▼
//!   line.last a1      line.first a0 ──► a1        taken in by the consumer, and not popped yet
//! ```
//!
//! The one consumer, a claim's holder, keeps a line of elements that it has taken in but not popped. It loads the word, walks the
//! chains that are new from the newest to the oldest, ties them behind its line, looks at the oldest elements, and then says by one
//! compare-exchange that these are popped, and, if nothing is left, that the direction is idle. If that fails because more has come,
//! it takes in those chains only and tries again. Nothing leaves meanwhile, so others change the word at most [`QUEUE_BOUND`] times by
//! pushes and once by the close: it fails at most [`QUEUE_BOUND`] + 1 times.
//!
//! Why that is right:
//! * **Nothing is unseen.** All writers of the word are read-modify-writes, so each push (Release) heads a release sequence that
//!   reaches to whatever value the consumer loads (Acquire): it sees the elements of all pushes before, not of the last one only.
//! * **No wake-up is lost.** SCHEDULED is cleared by the exchange that finds nothing new, not before or after it. Whoever pushes after
//!   that finds it clear, and tells a worker.
//! * **The bound is exact.** Room is what the exchanged word says, so no more than that is ever admitted, and nothing is reserved
//!   that is not used.
//! * **A word that comes back (ABA) harms no producer:** all that it derives (the element before, the room) are functions of the word's
//!   value. It follows no pointer. (As with any Treiber stack, the pointer may have been loaded before that memory was
//!   freed and used again for the element that is meant now. Mbufs are never freed but with their pool.)
//! * **Nor the consumer:** what it has seen stays in the queue until its exchange has succeeded. So no such element can have been
//!   pushed again meanwhile, and the word that points to one that was seen says that nothing has come since.

use super::{
    chain::Chain,
    flow::QUEUE_BOUND,
    line::{Line, tie, untie},
    linked::{Link, Linked},
    sync::{
        AtomicPtr,
        Ordering::{self, AcqRel, Acquire, Relaxed, Release},
        UnsafeCell, seeded,
    },
    word::Word,
};
use arrayvec::ArrayVec;
use core::{marker::PhantomData, ptr, slice};

/// What became of a push.
pub(super) struct Pushed<T: Linked> {
    /// The newest elements, for which there was no room.
    pub(super) rest: Chain<T>,
    /// Whether it found the direction idle: the caller puts it on a ready list.
    pub(super) woke: bool,
}

/// The queue.
///
/// # Invariants
/// `line`, followed by the chains from the word's newest element back to the last one of `line` (or to null), holds all elements of the
/// queue, as many as the word counts. The word's pointer is null if and only if there are none.
#[repr(C)]
pub(super) struct Intake<T: Linked> {
    /// producers, claim, control: compare-exchange; anyone: r
    word: AtomicPtr<Link>,
    /// claim: r and w
    line: UnsafeCell<Line>,
    owns: PhantomData<T>,
}

// SAFETY: the queue owns its elements, and those are `Send` (a supertrait of `Linked`).
unsafe impl<T: Linked> Send for Intake<T> {}
// SAFETY: shared calls touch the word only, but for `pop`, whose contract makes its caller the one consumer.
unsafe impl<T: Linked> Sync for Intake<T> {}

impl<T: Linked> Intake<T> {
    pub(super) fn new() -> Self {
        const { assert!(T::KNOWS_AHEAD, "the last element of a chain holds two pointers") };
        Self { word: AtomicPtr::new(ptr::null_mut()), line: UnsafeCell::new(Line::EMPTY), owns: PhantomData }
    }

    /// Appends the oldest elements of a chain, as many as there is room for, by one exchange. Lock-free: it is tried again only when
    /// somebody else's exchange has succeeded, or, where CPUs have no such instruction but a pair of load and store, when that pair was
    /// disturbed.
    #[inline]
    pub(super) fn push(&self, mut chain: Chain<T>) -> Pushed<T> {
        let mut rest = Chain::new();
        // Relaxed, here and in a failed exchange: the word is compared; no pointer in it is followed.
        let mut word = Word(self.word.load(Relaxed));
        loop {
            let room = if word.is_closed() { 0 } else { QUEUE_BOUND.saturating_sub(word.count()) };
            if chain.len() > room {
                rest = split(&mut chain, room, rest);
            }
            let Some((first, last)) = chain.ends() else { return Pushed { rest, woke: false } };
            // SAFETY: the chain's own, whose links came from `into_link`.
            unsafe { tie::<T>(last, first, word.newest()) };
            let pushed = word.pushed(last, chain.len());
            // Release: the elements and their links, to the loads (Acquire) in `pop`. Acquire: if the direction was idle, the last claim's
            // writes, from the exchange (Release) in `settle`; they go on to the next claim by the ready list.
            let order = if seeded("w1") {
                Acquire
            } else if seeded("w2") {
                Release
            } else {
                AcqRel
            };
            match self.word.compare_exchange_weak(word.0, pushed.0, order, Relaxed) {
                Ok(_) => {
                    // They are the queue's now.
                    chain.leave();
                    return Pushed { rest, woke: !word.is_scheduled() };
                }
                Err(now) => {
                    // SAFETY: as above; nobody else has seen it.
                    unsafe { untie::<T>(last) };
                    word = Word(now);
                }
            }
        }
    }

    /// Lets `see` look at the oldest elements, as many as `out` has places for, as the newest of all of `out`, and then pops them into
    /// `out`. If nothing is left then, the direction becomes idle, unless the caller `keeps` it. Returns whether it is still
    /// scheduled; if not, the caller is no longer the consumer.
    ///
    /// Should `see` panic, nothing has been popped.
    ///
    /// # Safety
    /// The caller is the one consumer: calls never overlap, each happens before the next, and the direction is scheduled.
    #[inline]
    pub(super) unsafe fn pop<const N: usize>(
        &self,
        out: &mut ArrayVec<T, N>,
        keeps: bool,
        see: impl FnOnce(&[T]),
    ) -> bool {
        // Acquire: the elements of all pushes up to this value, and their links, from the exchanges (Release) in `push`.
        let word = Word(self.word.load(if seeded("w3") { Relaxed } else { Acquire }));
        // SAFETY: the one consumer.
        let mut line = unsafe { self.line() };
        if word.newest() != line.last() {
            // SAFETY: these are all of this queue's chains that `line` has not, and the load above has ordered them.
            line = unsafe { line.take_in::<T>(word.newest(), line.last()) };
            // Should `see` panic, they are not taken in twice.
            // SAFETY: the one consumer.
            unsafe { self.keep(line) };
        }
        let (room, filled) = (out.remaining_capacity(), out.len());
        let places = out.as_mut_ptr();
        // SAFETY: `filled` places are taken, so behind them there are `room` free ones.
        let free = unsafe { places.add(filled) };
        // SAFETY: of the line's elements, and there are `room` places.
        let (popped, left) = unsafe { line.copy(free, room) };
        // SAFETY: `filled` elements of `out`, and those that have just been copied behind them.
        see(unsafe { slice::from_raw_parts(places, filled + popped) });
        // SAFETY: the one consumer; `left` is what follows the elements that were copied.
        let scheduled = unsafe { self.settle(word, left, popped, keeps) };
        // They have left the queue.
        // SAFETY: so many are initialised, and nobody else has them.
        unsafe { out.set_len(filled + popped) };
        scheduled
    }

    /// Says that so many of the elements counted in `seen` are popped, and that `left` remain of them. Returns whether the direction is
    /// still scheduled.
    ///
    /// # Safety
    /// As of [`Self::pop`].
    #[inline]
    unsafe fn settle(&self, seen: Word, mut left: Line, popped: usize, keeps: bool) -> bool {
        let mut word = seen;
        loop {
            // Before the exchange: behind it this may be another worker's.
            // SAFETY: the one consumer.
            unsafe { self.keep(left) };
            let after = word.popped(popped, keeps);
            if after == word {
                return true;
            }
            if seeded("w4") {
                self.word.store(after.0, Release);
                return after.is_scheduled();
            }
            // Release: the claim's writes, `line` among them, to whoever schedules the direction next (Acquire). Acquire: what was written
            // before wake-ups that found it scheduled (`schedule`, Release).
            let order = if seeded("w5") { Acquire } else { AcqRel };
            // Acquire: as in `pop`, of what has come since.
            let failed = if seeded("w6") { Relaxed } else { Acquire };
            match self.word.compare_exchange(word.0, after.0, order, failed) {
                Ok(_) => return after.is_scheduled(),
                Err(now) => {
                    let now = Word(now);
                    // SAFETY: all that has come since `word` was loaded, ordered by the failed exchange.
                    left = unsafe { left.take_in::<T>(now.newest(), word.newest()) };
                    word = now;
                }
            }
        }
    }

    /// Makes an empty direction idle, for a claim that looks once more afterwards. `false`: it has elements, or `keeps` says of a
    /// retired flow that it is not done with.
    ///
    /// The one consumer alone calls it; if it returns `true`, it no longer is.
    #[inline]
    pub(super) fn idle(&self, keeps: bool) -> bool {
        let clear = |word: Word| (word.count() == 0 && !(word.is_closed() && keeps)).then(|| word.cleared());
        // Release and Acquire: as in `settle`.
        self.update(AcqRel, clear).is_some()
    }

    /// Sets SCHEDULED. Whether it was clear: then the caller puts the direction on a ready list.
    #[inline]
    pub(super) fn schedule(&self) -> bool {
        // Written also if it is set already. Release: what the caller wrote before, to the exchange (Acquire) that clears it. Acquire: as
        // in `push`.
        self.update(AcqRel, |word| Some(word.scheduled())).is_some_and(|before| !before.is_scheduled())
    }

    /// The same, but nothing happens to a direction that is closed.
    #[inline]
    pub(super) fn wake(&self) -> bool {
        if seeded("w7") && Word(self.word.load(Relaxed)).is_scheduled() {
            return false;
        }
        // As in `schedule`.
        let open = |word: Word| (!word.is_closed()).then(|| word.scheduled());
        self.update(AcqRel, open).is_some_and(|before| !before.is_scheduled())
    }

    /// Makes it idle, whatever is queued: for the end of the table, where nobody pops any more.
    pub(super) fn forget(&self) {
        // Release and Acquire: keep the chain of exchanges.
        self.update(AcqRel, |word| Some(word.cleared()));
    }

    /// Refuses everything from here on.
    pub(super) fn close(&self) {
        // Relaxed: it guards nothing; who has to have seen it is waited for by a grace period.
        self.update(Relaxed, |word| Some(word.closed()));
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // Relaxed: as in `close`.
        Word(self.word.load(Relaxed)).is_closed()
    }

    /// How many elements are queued.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        // Relaxed: a number.
        Word(self.word.load(Relaxed)).count()
    }

    /// Whether no worker has it, and it is on no ready list; then nothing is queued either.
    pub(super) fn is_idle(&self) -> bool {
        // Acquire: all that the last claim did, from the exchange (Release) that made it idle.
        !Word(self.word.load(Acquire)).is_scheduled()
    }

    /// Changes the word, and returns what it was; `None`: `change` wants no change.
    #[inline]
    fn update(&self, order: Ordering, change: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        // Relaxed: no pointer in it is followed.
        self.word.fetch_update(order, Relaxed, |word| change(Word(word)).map(|word| word.0)).ok().map(Word)
    }

    /// # Safety
    /// The caller is the one consumer.
    #[inline]
    unsafe fn line(&self) -> Line {
        self.line.with(|line| {
            // SAFETY: the one consumer alone touches it.
            unsafe { *line }
        })
    }

    /// # Safety
    /// The caller is the one consumer.
    #[inline]
    unsafe fn keep(&self, line: Line) {
        self.line.with_mut(|kept| {
            // SAFETY: the one consumer alone touches it.
            unsafe { *kept = line };
        });
    }
}

impl<T: Linked> Drop for Intake<T> {
    fn drop(&mut self) {
        if cfg!(loom) && std::thread::panicking() {
            // A model has failed, and would fail again in here.
            return;
        }
        let mut out = ArrayVec::<T, 16>::new();
        while self.len() > 0 {
            // SAFETY: `&mut self`: nobody else pushes or pops.
            unsafe { self.pop(&mut out, true, |_| ()) };
            out.clear();
        }
    }
}

/// Keeps the oldest `room` elements; the others go before what is refused already.
#[cold]
fn split<T: Linked>(chain: &mut Chain<T>, room: u32, refused: Chain<T>) -> Chain<T> {
    let mut rest = chain.split_off(room);
    rest.append(refused);
    rest
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
