//! The grace periods: who reads, who waits.

use super::retired::Garbage;
use crate::queue::sync::{
    AtomicU64, Mutex, MutexGuard,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence, seeded, thread,
};
use core::{cell::Cell, fmt, marker::PhantomData};
use crossbeam_utils::CachePadded;
use std::sync::PoisonError;
// loom's `Arc` cannot be a method's receiver. The count of a domain is no part of the algorithm: models join their threads
// before the domain goes.
use std::sync::Arc;

/// A seat that nobody has.
const FREE: u64 = 0;
/// A seat whose reader sleeps: it holds nothing.
const OFFLINE: u64 = 1;
/// The first epoch. Epochs only grow, by one a grace period; 64 bits do not run out.
const FIRST: u64 = 2;

#[cfg(not(loom))]
const _: () = assert!(size_of::<CachePadded<AtomicU64>>() >= 64, "two readers share no cache line");

/// A set of readers, and the grace periods that wait for them.
///
/// # Invariants
/// * `epoch` only grows. A token `t` is the value that [`Domain::start`] raised it to; what was unpublished before that
///   `start` is met by no load of a reader that saw `epoch >= t`.
/// * A seat holds [`FREE`], [`OFFLINE`], or an epoch that its reader saw while it held nothing.
/// * Every token up to `done` has passed.
pub struct Domain {
    /// The newest token. Reader: r (once a loop). Who unpublishes: rw.
    epoch: CachePadded<AtomicU64>,
    /// Tokens up to it have passed. Who unpublishes: rw.
    done: CachePadded<AtomicU64>,
    /// Each on its own cache lines. Its reader: w. Who unpublishes: r.
    seats: Box<[CachePadded<AtomicU64>]>,
    /// Retired values that were dropped before their time. Control threads: rw.
    abandoned: Mutex<Vec<Garbage>>,
}

/// A grace period of one [`Domain`], as [`Domain::start`] gave it. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(u64);

impl Domain {
    /// A domain for `max_readers` readers at once. Allocates one padded word a reader.
    pub fn new(max_readers: usize) -> Arc<Self> {
        Arc::new(Self {
            epoch: CachePadded::new(AtomicU64::new(FIRST)),
            done: CachePadded::new(AtomicU64::new(FIRST)),
            seats: (0..max_readers).map(|_| CachePadded::new(AtomicU64::new(FREE))).collect(),
            abandoned: Mutex::new(Vec::new()),
        })
    }

    /// A reader, online from now on; `None` if all seats are taken. Any thread, at start-up; the reader may then move to
    /// its thread. Grace periods wait for it from here on, so it should soon begin to report.
    pub fn register(self: &Arc<Self>) -> Option<Reader> {
        let now = self.now();
        // Acquire and Release: keep the chain from the last owner's reads through his release of the seat to
        // whoever reads our epoch in `poll`.
        let seat = self.seats.iter().position(|seat| seat.compare_exchange(FREE, now, AcqRel, Relaxed).is_ok())?;
        announced();
        Some(Reader { domain: Arc::clone(self), seat, reported: now, _not_sync: PhantomData })
    }

    /// Starts a grace period for everything that the caller unpublished before. Any thread; does not wait.
    pub fn start(&self) -> Grace {
        // The writer's half of the store-load edge: the caller's unpublishing store, this fence, later loads of the seats.
        // Other end: the fence in `announced`. Of the two fences one is first: either that reader's loads see the
        // value gone, or our loads see its seat online.
        // Seeded p5: without it.
        if !seeded("p5") {
            fence(SeqCst);
        }
        // Release: the unpublishing happens before what a reader loads after it saw this epoch (Acquire in `now`).
        // Acquire: tokens form one chain, so whoever sees a later one has seen what was unpublished before each.
        Grace(self.epoch.fetch_add(1, AcqRel) + 1)
    }

    /// Whether `grace` is over: every reader that was online at its start has reported or gone offline since. Any thread;
    /// never waits. `grace` must come from this domain, else the answer means nothing.
    pub fn passed(&self, grace: Grace) -> bool {
        // Acquire: pairs with the Release of `poll` on another thread, which had seen the readers' reports; so their reads
        // happen before what the caller does now.
        // Seeded p3: without it.
        let order = if seeded("p3") { Relaxed } else { Acquire };
        self.done.load(order) >= grace.0 || self.poll() >= grace
    }

    /// Starts a grace period and waits for its end, yielding first and sleeping then. Control threads only, and never while
    /// a [`Reader`] of the calling thread is online: it would wait for itself.
    pub fn synchronize(&self) {
        let grace = self.start();
        let mut turns = 0_u32;
        while !self.passed(grace) {
            turns = turns.saturating_add(1);
            relax(turns);
        }
    }

    /// Scans the seats; all tokens up to the returned one have passed.
    pub(super) fn poll(&self) -> Grace {
        // Acquire: pairs with the Release in `start` of every token up to this one; so their fences happen before the scan
        // below, which is what the proof in `start` wants. A token that comes during the scan is not judged.
        let newest = self.epoch.load(Acquire);
        // Seeded p2: one reader is not waited for.
        let skipped = usize::from(seeded("p2"));
        let oldest = self
            .seats
            .iter()
            .skip(skipped)
            // Acquire: pairs with the Release of the reader's report, or of its going offline or away, so that its
            // reads happen before the free.
            .map(|seat| seat.load(Acquire))
            .filter(|&seat| seat > OFFLINE)
            .fold(newest, u64::min);
        // Release: hands the reports seen above to `passed` on other threads. Acquire: takes over theirs, if they saw more.
        Grace(self.done.fetch_max(oldest, AcqRel).max(oldest))
    }

    /// Takes over what could not be freed yet.
    pub(super) fn abandon(&self, garbage: Garbage) {
        self.abandoned().push(garbage);
    }

    /// What was abandoned, to look at or take over. Values must not be dropped under the lock: their destructors may
    /// abandon more.
    pub(super) fn abandoned(&self) -> MutexGuard<'_, Vec<Garbage>> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        // Acquire: pairs with the Release in `start`: who reports this epoch meets nothing that was unpublished before it.
        self.epoch.load(Acquire)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let left = core::mem::take(&mut *self.abandoned());
        for garbage in left {
            // SAFETY: each `Reader`, and so each read section, holds an `Arc` of the domain; this is the last one,
            // so no reader is left.
            unsafe { garbage.free() };
        }
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("readers", &self.seats.len()).finish_non_exhaustive()
    }
}

/// One thread's seat in a [`Domain`].
///
/// A shared borrow is a read section: what [`Slots::get`](super::Slots::get) and [`Published::load`](super::Published::load)
/// return lives no longer than it. Moves between threads, but serves one at a time.
///
/// A reader that is leaked stays online: from then on no grace period passes, which is safe, but frees nothing.
///
/// ```compile_fail,E0502
/// # use culvert::queue::{Domain, Published};
/// let domain = Domain::new(1);
/// let cell = Published::new(domain.clone(), 1);
/// let mut reader = domain.register().unwrap();
/// let value = cell.load(&reader);
/// reader.quiescent();
/// assert_eq!(*value, 1); // it may be gone
/// ```
pub struct Reader {
    domain: Arc<Domain>,
    seat: usize,
    /// What the seat holds while online.
    reported: u64,
    _not_sync: PhantomData<Cell<()>>,
}

impl Reader {
    /// Reports that the caller holds nothing it read. Data cores: once a loop. One load of a shared line, and a store to the
    /// core's own line if a grace period was started since.
    #[inline]
    pub fn quiescent(&mut self) {
        let now = self.domain.now();
        if now != self.reported {
            self.reported = now;
            // Release: the reads so far happen before the free (Acquire in `poll`). No store-load edge is needed here: the
            // Acquire in `now` saw what was unpublished before that epoch, and later epochs wait for the next report.
            // Seeded p4: without it.
            let order = if seeded("p4") { Relaxed } else { Release };
            self.word().store(now, order);
        }
    }

    /// Runs `f` offline: grace periods do not wait for this reader meanwhile, and nothing can be read with it. Around a
    /// sleep (`rte_rcu_qsbr_thread_offline` and `_online`). The reader is online again afterwards, also if `f` panics.
    pub fn offline<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // A closure and no guard: a guard that is leaked would leave a reader that can read while nobody waits for it.
        let _awake = Asleep::new(self);
        f()
    }

    /// The domain whose values can be read.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// Panics unless `domain` waits for this reader.
    #[inline]
    pub(super) fn assert_of(&self, domain: &Arc<Domain>) {
        assert!(Arc::ptr_eq(&self.domain, domain), "a reader reads its own domain");
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        &self.domain.seats[self.seat]
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Release: the reads so far happen before the free (Acquire in `poll`), and before the next owner's life in this
        // seat (Acquire in `register`).
        self.word().store(FREE, Release);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("seat", &self.seat).finish_non_exhaustive()
    }
}

/// A reader while it is offline.
struct Asleep<'a>(&'a mut Reader);

impl<'a> Asleep<'a> {
    fn new(reader: &'a mut Reader) -> Self {
        // Release: the reads so far happen before the free (Acquire in `poll`).
        reader.word().store(OFFLINE, Release);
        Self(reader)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        let now = self.0.domain.now();
        self.0.reported = now;
        // Release: `poll` may see this store in place of the one in `new`, whose edge it then has to carry.
        self.0.word().store(now, Release);
        announced();
    }
}

/// The reader's half of the store-load edge: between the store that brings its seat online and its first load of a published
/// pointer. Other end: the fence in [`Domain::start`], between the store that unpublishes and the loads of the seats.
///
/// Without it the processor may take the pointer first and show the seat later: the writer unpublishes in between,
/// finds the seat offline, and frees what the reader holds.
fn announced() {
    // Seeded p1: that edge is missing.
    if !seeded("p1") {
        fence(SeqCst);
    }
}

/// Waits a little, longer after the first `turns`. Control threads.
fn relax(turns: u32) {
    #[cfg(not(loom))]
    if turns > 16 {
        return thread::sleep(core::time::Duration::from_micros(50));
    }
    let _ = turns;
    thread::yield_now();
}
