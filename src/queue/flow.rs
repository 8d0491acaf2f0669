//! A flow: the two directions of a peer, each with its queue, its schedule state and its tickets, and the peer itself.
//!
//! A direction is *idle* or *scheduled*. Who turns it from idle to scheduled puts it on a worker's ready list; the worker
//! that pops it there holds its [`Claim`](super::Claim), and alone pops its queue, until the claim is given on.

use super::{
    chain::{Chain, List},
    credit::{Credit, MAX_BOUND},
    flows::Flows,
    linked::{Link, Linked},
    mpsc::Mpsc,
    published::Reader,
    ready::{Lists, Posted, Scheduled},
    sync::{
        Arc, AtomicBool, AtomicU8, AtomicU16,
        Ordering::{AcqRel, Acquire},
        UnsafeCell, seeded,
    },
    turn::Turn,
};
use core::{fmt, ops::Deref, ptr::NonNull};

/// Elements that one direction of a flow queues, at most.
pub const QUEUE_BOUND: u32 = 1_024;
const _: () = assert!(QUEUE_BOUND <= MAX_BOUND);

/// The state of a direction that no worker has, and that is on no ready list.
pub(super) const IDLE: u8 = 0;
/// The state of a direction that is on exactly one ready list, or has exactly one claim.
pub(super) const SCHEDULED: u8 = 1;

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
    /// producers: push, claim: pop, control: asks whether it is drained
    pub(super) queue: Mpsc<T>,
    /// producers: reserve, claim: give back, control: close
    pub(super) credit: Credit,
    /// producers, claim and control: swap
    pub(super) state: AtomicU8,
    /// Which of the two it is, so that its link leads to its flow. Constant.
    pub(super) which: Dir,
    /// How many elements are staged; the count stops at its highest value. claim: r and w, others: r
    pub(super) staged_len: AtomicU16,
    /// claim: takes tickets, their holders: pass them
    pub(super) turn: Turn,
    /// In a ready list. Who turned the state to scheduled, and then who holds the claim: w
    pub(super) ready: Link,
    /// What waits for a session. claim: r and w
    pub(super) staged: UnsafeCell<List<T>>,
}

impl<T: Linked> Direction<T> {
    fn new(which: Dir) -> Self {
        const { assert!(cfg!(loom) || size_of::<Self>() == 64) };
        Self {
            queue: Mpsc::new(),
            credit: Credit::new(),
            state: AtomicU8::new(IDLE),
            which,
            staged_len: AtomicU16::new(0),
            turn: Turn::new(0),
            ready: Link::new(),
            staged: UnsafeCell::new(List::new()),
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
        self.direction(Dir::Egress).credit.is_closed()
    }

    /// How many elements are queued in `dir`, about; the staged ones are not among them.
    pub fn queued(&self, dir: Dir) -> u32 {
        self.direction(dir).credit.taken().min(QUEUE_BOUND)
    }

    /// Takes room for up to `want` elements in `dir`. There may be less, and none in a flow that is retired.
    ///
    /// Any thread with a reader of the flow's domain.
    #[inline]
    pub fn offer<'r>(&'r self, reader: &'r Reader, dir: Dir, want: u32) -> Credits<'r, T, B> {
        let granted = self.direction(dir).credit.reserve(want, QUEUE_BOUND);
        Credits { flow: self, reader, dir, granted }
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

    /// Turns `dir` to scheduled. Who found it idle puts it on a list, by [`Self::make_ready`]. The caller is in a read
    /// section, or otherwise keeps the flow from being freed.
    #[inline]
    #[must_use]
    pub(super) fn schedule(&self, dir: Dir) -> Option<Scheduled<T, B>> {
        // Release: what was pushed before, to the worker's swap (Acquire) in `Claim::idle` if that comes after ours.
        // Acquire: from that swap (Release) if it came before: the last claim's writes, which the ready list hands on.
        let idle = self.direction(dir).state.swap(SCHEDULED, AcqRel) == IDLE;
        // INVARIANT: who turned it from idle to scheduled knows that it is on no list, and has no claim.
        idle.then(|| Scheduled::new(NonNull::from(self), dir))
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
            direction.credit.close();
        }
    }

    /// Whether no claim, no ticket and no list holds it, and nothing is queued.
    ///
    /// Once true this stays true, if it is asked for a flow that was closed and after a grace period since: no producer can
    /// push, wake or post any more, and [`Claim::idle`](super::Claim::idle) takes the direction back only if it is not drained.
    /// (It also lets it become idle only when its consumer stands at the stub, so the head alone tells that.)
    pub(super) fn is_settled(&self) -> bool {
        // Acquire: all that the last claim did (its swap) happens before the free.
        self.directions.iter().all(|direction| direction.state.load(Acquire) == IDLE && direction.queue.is_drained())
            && self.is_released()
    }

    /// Takes both directions, as if for two claims; `false` if a claim, a ticket or a list has a part of the flow, which is
    /// then never to be freed. For the end of the table, where nobody drains the queues.
    pub(super) fn seize(&self) -> bool {
        // Acquire: as in `is_settled`. After it nobody takes the direction back in `Claim::idle`.
        let idle = |direction: &Direction<T>| direction.state.swap(SCHEDULED, AcqRel) == IDLE;
        self.directions.iter().all(idle) && self.is_released()
    }

    /// Whether every ticket is passed, and no post is pending. Asked when both directions are idle.
    fn is_released(&self) -> bool {
        let outstanding = self.directions.iter().any(|direction| direction.turn.is_outstanding());
        // Acquire: all that the post seat did before its swap happens before the free.
        !outstanding && !self.posted.load(Acquire)
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Flow<T, B> {
    /// Schedules `dir` without a push, so that its worker looks at it once more. Nothing happens to a flow that is retired.
    ///
    /// Any thread with a reader of the flow's domain.
    ///
    /// # Panics
    /// If `reader`, `flows` and the flow do not belong together.
    pub fn wake(&self, reader: &Reader, dir: Dir, flows: &Flows<T, B>) {
        // A read section that began after the flow was closed sees it; the owner waits for the earlier ones.
        if !self.direction(dir).credit.is_closed() {
            self.lists.check(reader, flows);
            if let Some(scheduled) = self.schedule(dir) {
                self.make_ready(scheduled);
            }
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

/// Room for elements in one direction of a flow. What is not used goes back when it is dropped.
pub struct Credits<'r, T: Linked, B> {
    flow: &'r Flow<T, B>,
    reader: &'r Reader,
    dir: Dir,
    granted: u32,
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Credits<'_, T, B> {
    /// For how many elements there is room.
    #[inline]
    pub fn granted(&self) -> u32 {
        self.granted
    }

    /// Pushes `chain`, which has at most [`Self::granted`] elements, and sees to it that a worker comes. Never waits.
    ///
    /// Of a longer chain the newest elements are dropped.
    ///
    /// # Panics
    /// If the reader, `flows` and the flow do not belong together, and the direction was idle.
    #[inline]
    pub fn push(self, chain: Chain<T>, flows: &Flows<T, B>) {
        let (flow, reader) = (self.flow, self.reader);
        if let Some(scheduled) = self.link(chain) {
            // Checked only here: a push to what is scheduled already touches no list and no more lines of the flow. Should
            // this panic, the direction stays scheduled for ever, so the flow is not freed.
            flow.lists.check(reader, flows);
            flow.make_ready(scheduled);
        }
    }

    /// The same, but the caller puts the direction on a ready list if this turned it to scheduled.
    #[inline]
    #[must_use]
    pub(super) fn link(mut self, chain: Chain<T>) -> Option<Scheduled<T, B>> {
        debug_assert!(chain.len() <= self.granted, "a chain fits its credit");
        let chain = if chain.len() > self.granted { cut(chain, self.granted) } else { chain };
        if chain.is_empty() {
            return None;
        }
        self.granted -= chain.len();
        if seeded("b1") {
            let scheduled = self.flow.schedule(self.dir);
            self.flow.direction(self.dir).queue.push(chain);
            return scheduled;
        }
        // Linked fully first, scheduled then: so each complete push is followed by a run of the worker.
        self.flow.direction(self.dir).queue.push(chain);
        self.flow.schedule(self.dir)
    }
}

impl<T: Linked, B> Drop for Credits<'_, T, B> {
    fn drop(&mut self) {
        self.flow.direction(self.dir).credit.give_back(self.granted);
    }
}

impl<T: Linked, B> fmt::Debug for Credits<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credits").field("dir", &self.dir).field("granted", &self.granted).finish_non_exhaustive()
    }
}

/// The oldest `len` elements; the others are dropped.
#[cold]
fn cut<T: Linked>(mut chain: Chain<T>, len: u32) -> Chain<T> {
    let mut kept = Chain::new();
    while kept.len() < len
        && let Some(element) = chain.pop_front()
    {
        kept.push_back(element);
    }
    kept
}
