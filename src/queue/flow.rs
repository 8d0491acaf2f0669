//! A flow: the two directions of a peer, each with its queue and its tickets, and the peer itself.
//!
//! A direction is *idle* or *scheduled*. Who turns it from idle to scheduled, by a push or without, puts it on a worker's ready list;
//! the worker that pops it there holds its [`Claim`](super::Claim), and alone pops its queue, until the claim is given on. An idle
//! direction has nothing queued.

use super::{
    chain::{Chain, List},
    flows::Flows,
    intake::{Intake, Pushed},
    linked::{Link, Linked},
    published::Reader,
    ready::{Lists, Posted, Scheduled},
    sync::{
        Arc, AtomicBool, AtomicU16,
        Ordering::{AcqRel, Acquire},
        UnsafeCell,
    },
    turn::Turn,
};
use core::{fmt, ops::Deref, ptr::NonNull};

/// Elements that one direction of a flow queues, at most.
pub const QUEUE_BOUND: u32 = 1_024;

/// A direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dir {
    /// Into the tunnel.
    Egress = 0,
    /// Out of the tunnel.
    Ingress = 1,
}

impl Dir {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];
}

/// The place of a flow in its table. It is used again after the flow was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);

/// What one direction needs, in one cache line.
#[repr(C)]
#[cfg_attr(not(loom), repr(align(64)))]
pub(super) struct Direction<T: Linked> {
    /// producers: push, claim: pop, control: close and ask
    pub(super) intake: Intake<T>,
    /// claim: takes tickets, their holders: pass them
    pub(super) turn: Turn,
    /// In a ready list. Who turned the direction to scheduled, and then who holds the claim: w
    pub(super) ready: Link,
    /// What waits for a session. claim: r and w
    pub(super) staged: UnsafeCell<List<T>>,
    /// Which of the two it is, so that its link leads to its flow. Constant.
    pub(super) which: Dir,
    /// How many elements are staged; the count stops at its highest value. claim: r and w, others: r
    pub(super) staged_len: AtomicU16,
}

impl<T: Linked> Direction<T> {
    fn new(which: Dir) -> Self {
        const { assert!(cfg!(loom) || size_of::<Self>() == 64) };
        Self {
            intake: Intake::new(),
            turn: Turn::new(0),
            ready: Link::new(),
            staged: UnsafeCell::new(List::new()),
            which,
            staged_len: AtomicU16::new(0),
        }
    }
}

/// The queues of one peer and the peer itself, `B`. Made and freed by [`FlowsOwner`](super::FlowsOwner).
///
/// # Invariants
/// It is freed only when nobody can reach it: unpublished and retired, both directions idle and drained, every
/// ticket passed, not posted, and grace periods before and after this was seen.
#[repr(C, align(64))]
pub struct Flow<T: Linked, B> {
    pub(super) directions: [Direction<T>; 2],
    /// In the timer thread's list. Who set `posted`, and then the post seat: w
    pub(super) post: Link,
    /// Whether it is on the timer thread's list. producers and holders of tickets: swap, post seat: swap, control: r
    pub(super) posted: AtomicBool,
    /// Constant.
    pub(super) id: FlowId,
    /// Constant.
    pub(super) lists: Arc<Lists<T, B>>,
    /// Read by every use and written by the free: loom sees whether these are ordered.
    #[cfg(loom)]
    life: UnsafeCell<()>,
    body: B,
}

// SAFETY: it owns elements, which are `Send` (a supertrait of `Linked`), and a body, which is asked to be.
unsafe impl<T: Linked, B: Send + Sync> Send for Flow<T, B> {}
// SAFETY: shared it gives out `&B`, atomics, and, to the one claim of a direction alone, the cells in there.
unsafe impl<T: Linked, B: Send + Sync> Sync for Flow<T, B> {}

impl<T: Linked, B> Flow<T, B> {
    /// Bytes of both directions: all that a peer's queues need.
    pub const QUEUES_BYTES: usize = size_of::<[Direction<T>; 2]>();

    pub(super) fn new(id: FlowId, lists: Arc<Lists<T, B>>, body: B) -> Self {
        Self {
            directions: Dir::ALL.map(Direction::new),
            post: Link::new(),
            posted: AtomicBool::new(false),
            id,
            lists,
            #[cfg(loom)]
            life: UnsafeCell::new(()),
            body,
        }
    }

    /// Its place in the table.
    pub fn id(&self) -> FlowId {
        self.id
    }

    /// Whether its removal has begun: nothing that is still queued may be delivered.
    pub fn is_retired(&self) -> bool {
        self.direction(Dir::Egress).intake.is_closed()
    }

    /// How many elements are queued in `dir`; the staged ones are not among them.
    pub fn queued(&self, dir: Dir) -> u32 {
        self.direction(dir).intake.len()
    }

    /// Notes, for loom, that the flow is alive here.
    #[inline(always)]
    pub(super) fn touch(&self) {
        #[cfg(loom)]
        self.life.with(|_| ());
    }

    #[inline]
    pub(super) fn direction(&self, dir: Dir) -> &Direction<T> {
        self.touch();
        let [egress, ingress] = &self.directions;
        match dir {
            Dir::Egress => egress,
            Dir::Ingress => ingress,
        }
    }

    /// Appends to `dir` what there is room for, and turns it to scheduled. The caller is in a read section.
    #[inline]
    pub(super) fn append(&self, dir: Dir, chain: Chain<T>) -> (Chain<T>, Option<Scheduled<T, B>>) {
        let Pushed { rest, woke } = self.direction(dir).intake.push(chain);
        // INVARIANT: who turned it from idle to scheduled knows that it is on no list, and has no claim.
        (rest, woke.then(|| Scheduled::new(NonNull::from(self), dir)))
    }

    /// Turns `dir` to scheduled. Who found it idle puts it on a list, by [`Self::make_ready`]. The caller keeps the flow from being
    /// freed.
    #[must_use]
    pub(super) fn schedule(&self, dir: Dir) -> Option<Scheduled<T, B>> {
        let woke = self.direction(dir).intake.schedule();
        // INVARIANT: as in `append`.
        woke.then(|| Scheduled::new(NonNull::from(self), dir))
    }

    /// Puts a direction of this flow on the ready list of its home worker. The caller keeps the flow from being freed even
    /// while others take it off there.
    #[inline]
    pub(super) fn make_ready(&self, scheduled: Scheduled<T, B>) {
        self.lists.make_ready(scheduled, self.id.0 as usize);
        self.touch();
    }

    /// Refuses everything from here on.
    pub(super) fn close(&self) {
        for direction in &self.directions {
            direction.intake.close();
        }
    }

    /// Whether no claim, no ticket and no list holds it, and nothing is queued.
    ///
    /// Once true this stays true, if it is asked for a flow that was closed and after a grace period since: no producer can
    /// push, wake or post any more, and [`Claim::idle`](super::Claim::idle) takes back no direction that is closed.
    pub(super) fn is_settled(&self) -> bool {
        self.directions.iter().all(|direction| direction.intake.is_idle()) && self.is_released()
    }

    /// Takes both directions, as if for two claims; `false` if a claim, a ticket or a list has a part of the flow, which is
    /// then never to be freed. For the end of the table, where nobody drains the queues.
    pub(super) fn seize(&self) -> bool {
        self.directions.iter().all(|direction| direction.intake.schedule()) && self.is_released()
    }

    /// Whether every ticket is passed, and no post is pending. Asked when both directions are idle.
    fn is_released(&self) -> bool {
        let outstanding = self.directions.iter().any(|direction| direction.turn.is_outstanding());
        // Acquire: all that the post seat did before its swap happens before the free.
        !outstanding && !self.posted.load(Acquire)
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Flow<T, B> {
    /// Pushes to `dir` as many elements of `chain` as there is room for, oldest first, and sees to it that a worker comes. Returns the
    /// others: all of them in a flow that is retired. Never waits.
    ///
    /// Any thread with a reader of the flow's domain. For many flows at once see [`Pushes`](super::Pushes).
    ///
    /// # Panics
    /// If the reader, `flows` and the flow do not belong together, and the direction was idle.
    #[must_use = "what did not fit is to be counted"]
    pub fn push(&self, reader: &Reader, dir: Dir, chain: Chain<T>, flows: &Flows<T, B>) -> Chain<T> {
        let (rest, scheduled) = self.append(dir, chain);
        if let Some(scheduled) = scheduled {
            // Should this panic, the direction stays scheduled for ever, so the flow is not freed.
            self.lists.check(reader, flows);
            self.make_ready(scheduled);
        }
        rest
    }

    /// Schedules `dir` without a push, so that its worker looks at it once more. Nothing happens to a flow that is retired.
    ///
    /// Any thread with a reader of the flow's domain.
    ///
    /// # Panics
    /// If `reader`, `flows` and the flow do not belong together.
    pub fn wake(&self, reader: &Reader, dir: Dir, flows: &Flows<T, B>) {
        self.lists.check(reader, flows);
        if self.direction(dir).intake.wake() {
            // INVARIANT: as in `append`.
            self.make_ready(Scheduled::new(NonNull::from(self), dir));
        }
    }

    /// Puts the flow on the timer thread's list, once until it is popped there. Nothing happens to a flow that is retired.
    ///
    /// Any thread with a reader of the flow's domain.
    ///
    /// # Panics
    /// If `reader`, `flows` and the flow do not belong together.
    pub fn post(&self, reader: &Reader, flows: &Flows<T, B>) {
        if self.is_retired() {
            return;
        }
        self.lists.check(reader, flows);
        // Release: the stamps written before, to the swap (Acquire) in `PostSeat::next`. Acquire: that the link has been
        // popped, from the same swap (Release).
        if !self.posted.swap(true, AcqRel) {
            self.lists.posted.push_one(Posted::new(NonNull::from(self)));
        }
        self.touch();
    }
}

impl<T: Linked, B> Deref for Flow<T, B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.touch();
        &self.body
    }
}

#[cfg(loom)]
impl<T: Linked, B> Drop for Flow<T, B> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.life.with_mut(|_| ());
        }
    }
}

impl<T: Linked, B> fmt::Debug for Flow<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("id", &self.id).finish_non_exhaustive()
    }
}
