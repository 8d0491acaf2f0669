//! The ready lists of the workers and the list of the timer thread. Their links lie in the flows, so they are never full.

use super::{
    chain::Chain,
    claim::Claim,
    flow::{Dir, Direction, Flow, FlowId},
    flows::Flows,
    linked::{Link, Linked},
    mpsc::{Mpsc, Pop},
    published::{Domain, Reader},
    sync::{Arc, Mutex, Ordering::AcqRel},
};
use core::{fmt, mem::offset_of, ptr::NonNull};
use crossbeam_utils::CachePadded;
use std::sync::{PoisonError, Weak};

/// One worker's list, on cache lines of its own.
type ReadyList<T, B> = CachePadded<Mpsc<Scheduled<T, B>>>;

/// The lists, shared by all flows of a table. They outlive each of the flows.
pub(super) struct Lists<T: Linked, B> {
    /// Not owned: flows that wait in the domain to be freed hold the lists.
    domain: Weak<Domain>,
    /// One a worker. Who holds a direction's schedule: push, the worker's seat: pop.
    ready: Box<[ReadyList<T, B>]>,
    /// Who set a flow's `posted`: push, the post seat: pop.
    pub(super) posted: CachePadded<Mpsc<Posted<T, B>>>,
    /// Whether the seats are gone, so that no claim may come back by [`Self::save`].
    closed: Mutex<bool>,
}

impl<T: Linked, B> Lists<T, B> {
    pub(super) fn new(workers: usize, domain: Weak<Domain>) -> Self {
        Self {
            domain,
            ready: (0..workers.max(1)).map(|_| CachePadded::new(Mpsc::new())).collect(),
            posted: CachePadded::new(Mpsc::new()),
            closed: Mutex::new(false),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.ready.len()
    }

    /// Puts a direction on the ready list of `worker` (modulo their number).
    #[inline]
    pub(super) fn make_ready(&self, scheduled: Scheduled<T, B>, worker: usize) {
        if let Some(list) = self.ready.get(worker % self.ready.len()) {
            list.push_one(scheduled);
        }
    }

    /// The home worker of a flow.
    #[inline]
    pub(super) fn home(&self, id: FlowId) -> usize {
        // Most gateways have few workers, and a division is not cheap.
        if self.ready.len() == 1 { 0 } else { id.0 as usize % self.ready.len() }
    }

    /// Puts directions of flows of this table on the ready list of `worker`, by one exchange.
    #[inline]
    pub(super) fn make_all_ready(&self, scheduled: Chain<Scheduled<T, B>>, worker: usize) {
        if let Some(list) = self.ready.get(worker) {
            list.push(scheduled);
        }
    }

    /// Takes the oldest direction of a ready list.
    ///
    /// # Safety
    /// As of [`Mpsc::pop`]: one caller at a time for each `worker`.
    pub(super) unsafe fn pop_ready(&self, worker: usize) -> Option<Scheduled<T, B>> {
        // SAFETY: the caller's promise.
        match unsafe { self.ready.get(worker)?.pop() } {
            Pop::Item(scheduled) => Some(scheduled),
            Pop::Empty | Pop::HalfDone => None,
        }
    }

    /// Takes the oldest posted flow.
    ///
    /// # Safety
    /// As of [`Mpsc::pop`]: one caller at a time.
    pub(super) unsafe fn pop_posted(&self) -> Option<Posted<T, B>> {
        // SAFETY: the caller's promise.
        match unsafe { self.posted.pop() } {
            Pop::Item(posted) => Some(posted),
            Pop::Empty | Pop::HalfDone => None,
        }
    }

    /// Panics unless `reader` is one that the flows' owner waits for.
    #[inline]
    pub(super) fn check_reader(&self, reader: &Reader) {
        assert!(
            core::ptr::eq(self.domain.as_ptr(), std::sync::Arc::as_ptr(reader.domain())),
            "a flow is used with a reader of its domain"
        );
    }

    /// Makes a direction ready again whose claim was dropped; if the seats are gone, it stays scheduled for ever, and its
    /// flow is not freed.
    #[cold]
    pub(super) fn save(&self, scheduled: Scheduled<T, B>, worker: usize) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*closed {
            self.make_ready(scheduled, worker);
        }
    }

    /// Empties all lists: what was on them is idle, or not posted, afterwards.
    ///
    /// # Safety
    /// The seats are gone, and only one thread calls this.
    pub(super) unsafe fn drain(&self) {
        for worker in 0..self.ready.len() {
            // SAFETY: the caller's promise.
            while let Some(scheduled) = unsafe { self.pop_ready(worker) } {
                scheduled.forget();
            }
        }
        // SAFETY: the caller's promise.
        while let Some(posted) = unsafe { self.pop_posted() } {
            posted.clear();
        }
    }

    /// Forbids [`Self::save`].
    pub(super) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Lists<T, B> {
    /// Panics unless these are the lists of `flows`, and `reader` is one that its owner waits for.
    ///
    /// It makes two things sure: what is put on these lists is popped with the same lists' seats, and a read section keeps the
    /// owner from freeing the flow.
    #[inline]
    pub(super) fn check(&self, reader: &Reader, flows: &Flows<T, B>) {
        assert!(core::ptr::eq(self, flows.lists()), "a flow is used with its own table");
        self.check_reader(reader);
    }
}

/// A direction that is scheduled: the right to put it on one list, or to make one claim of it.
///
/// # Invariants
/// The flow is alive, the direction is scheduled, and there is no other value of this type, nor a claim, of it.
pub(super) struct Scheduled<T: Linked, B> {
    pub(super) flow: NonNull<Flow<T, B>>,
    pub(super) dir: Dir,
}

// SAFETY: it leads to a flow, which `Linked` elements and a `Send + Sync` body make `Send` and `Sync`.
unsafe impl<T: Linked, B> Send for Scheduled<T, B> {}

impl<T: Linked, B> Scheduled<T, B> {
    pub(super) const fn new(flow: NonNull<Flow<T, B>>, dir: Dir) -> Self {
        Self { flow, dir }
    }

    /// Makes the direction idle, whatever is queued.
    fn forget(self) {
        // SAFETY: the flow is alive (invariant).
        unsafe { self.flow.as_ref() }.direction(self.dir).intake.forget();
    }
}

// SAFETY: the link is that of the direction, and the invariant of `Scheduled` leaves it to the list alone; the
// flow is not freed while the direction is scheduled.
unsafe impl<T: Linked, B> Linked for Scheduled<T, B> {
    #[inline]
    fn into_link(self) -> NonNull<Link> {
        let offset = offset_of!(Flow<T, B>, directions)
            + size_of::<Direction<T>>() * self.dir as usize
            + offset_of!(Direction<T>, ready);
        // SAFETY: the flow is alive (invariant), and the offset is that of a field in it.
        unsafe { self.flow.byte_add(offset) }.cast()
    }

    #[inline]
    unsafe fn from_link(link: NonNull<Link>) -> Self {
        // SAFETY: `link` came from `into_link`, so it is the field `ready` of a direction, and led by a pointer to the whole
        // flow.
        let direction = unsafe { link.byte_sub(offset_of!(Direction<T>, ready)) }.cast::<Direction<T>>();
        // SAFETY: the flow is alive (invariant), and the field is constant.
        let dir = unsafe { (*direction.as_ptr()).which };
        let offset = offset_of!(Flow<T, B>, directions) + size_of::<Direction<T>>() * dir as usize;
        // SAFETY: the direction `which` lies at this offset in its flow.
        let flow = unsafe { direction.byte_sub(offset) }.cast();
        // INVARIANT: handed through the list by the value that went into it.
        Self { flow, dir }
    }
}

/// A flow whose `posted` is set: the right to put it on the timer thread's list, or to clear the flag.
///
/// # Invariants
/// The flow is alive, its `posted` is set, and there is no other value of this type of it.
pub(super) struct Posted<T: Linked, B> {
    flow: NonNull<Flow<T, B>>,
}

// SAFETY: as of `Scheduled`.
unsafe impl<T: Linked, B> Send for Posted<T, B> {}

impl<T: Linked, B> Posted<T, B> {
    pub(super) const fn new(flow: NonNull<Flow<T, B>>) -> Self {
        Self { flow }
    }

    /// Clears the flag. Afterwards the flow is alive only if the caller's read section keeps it so.
    pub(super) fn clear(self) -> NonNull<Flow<T, B>> {
        // Acquire: the stamps that were written before the flow was posted (Release in `Flow::post`). Release: that the
        // link is free again, to the next poster; and that we are done, to the owner's load in `Flow::is_settled`.
        // SAFETY: the flow is alive while its `posted` is set (invariant).
        unsafe { (*self.flow.as_ptr()).posted.swap(false, AcqRel) };
        self.flow
    }
}

// SAFETY: the link is the flow's `post`, which the invariant leaves to the list alone; the flow is not freed
// while it is posted.
unsafe impl<T: Linked, B> Linked for Posted<T, B> {
    #[inline]
    fn into_link(self) -> NonNull<Link> {
        // SAFETY: the flow is alive (invariant), and the offset is that of a field in it.
        unsafe { self.flow.byte_add(offset_of!(Flow<T, B>, post)) }.cast()
    }

    #[inline]
    unsafe fn from_link(link: NonNull<Link>) -> Self {
        // SAFETY: `link` came from `into_link`, so it is the field `post` of a flow, and led by a pointer to the whole of it.
        let flow = unsafe { link.byte_sub(offset_of!(Flow<T, B>, post)) }.cast();
        // INVARIANT: handed through the list by the value that went into it.
        Self { flow }
    }
}

/// One worker's end of its ready list. There is one a worker.
pub struct WorkerSeat<T: Linked + 'static, B: Send + Sync + 'static> {
    flows: Arc<Flows<T, B>>,
    index: usize,
}

impl<T: Linked + 'static, B: Send + Sync + 'static> WorkerSeat<T, B> {
    pub(super) fn new(flows: Arc<Flows<T, B>>, index: usize) -> Self {
        Self { flows, index }
    }

    /// Which worker it is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The flows it serves.
    pub fn flows(&self) -> &Arc<Flows<T, B>> {
        &self.flows
    }

    /// Takes the oldest direction of the ready list. `None`: there is none, or a push is half done and comes with a later call.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator ends, a ready list does not")]
    pub fn next(&mut self) -> Option<Claim<T, B>> {
        // SAFETY: there is one seat with this index, borrowed exclusively; the table's end pops too, but after all seats.
        let scheduled = unsafe { self.flows.lists().pop_ready(self.index) };
        scheduled.map(Claim::new)
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> fmt::Debug for WorkerSeat<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSeat").field("index", &self.index).finish_non_exhaustive()
    }
}

/// The timer thread's end of the list of posted flows. There is one.
pub struct PostSeat<T: Linked + 'static, B: Send + Sync + 'static> {
    flows: Arc<Flows<T, B>>,
}

impl<T: Linked + 'static, B: Send + Sync + 'static> PostSeat<T, B> {
    pub(super) fn new(flows: Arc<Flows<T, B>>) -> Self {
        Self { flows }
    }

    /// Takes the oldest posted flow and clears its flag: what was written before it was posted is seen, and whatever is
    /// written from here on posts it again. `None`: there is none, or a post is half done and comes with a later call.
    ///
    /// # Panics
    /// If `reader` is of another domain.
    pub fn next<'r>(&mut self, reader: &'r Reader) -> Option<&'r Flow<T, B>> {
        self.flows.lists().check_reader(reader);
        // SAFETY: there is one post seat, borrowed exclusively; the table's end pops too, but after all seats.
        let posted = unsafe { self.flows.lists().pop_posted() }?;
        // SAFETY: `reader` has been in its section since before the flag was cleared, and is one that the owner waits for
        // between seeing the flag cleared and freeing the flow.
        Some(unsafe { posted.clear().as_ref() })
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> fmt::Debug for PostSeat<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostSeat").finish_non_exhaustive()
    }
}
