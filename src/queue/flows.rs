//! The table of flows: made, found, removed.
//!
//! A removal takes these steps, none of which waits:
//! 1. the flow is closed (no push, no wake-up, no post) and unpublished;
//! 2. a grace period: nobody pushes any more, since each push stands in a read section;
//! 3. both directions are scheduled once, so that their workers drain them;
//! 4. when both are idle, and so drained, and every ticket and post is done, which stays so, one more grace period: a worker
//!    still looks at a direction after it has made it idle ([`Claim::idle`](super::Claim::idle));
//! 5. it is freed.

use super::{
    flow::{Dir, Flow, FlowId},
    linked::Linked,
    published::{Domain, Grace, Reader, Retired, Slots},
    ready::{Lists, PostSeat, WorkerSeat},
    sync::{Arc, Mutex, seeded},
};
use core::{fmt, mem, ptr::NonNull};
use std::sync::{Arc as StdArc, PoisonError, Weak};

/// All flows, found by number. Any thread with a [`Reader`] of its domain.
pub struct Flows<T: Linked + 'static, B: Send + Sync + 'static> {
    slots: Slots<Flow<T, B>>,
    lists: Arc<Lists<T, B>>,
    domain: StdArc<Domain>,
    /// What the owner had not freed when it was dropped.
    left: Mutex<Vec<Retired<Flow<T, B>>>>,
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Flows<T, B> {
    /// A table of up to `capacity` flows for `workers` workers (at least one) and the readers of `domain`.
    ///
    /// When the table, its seats and its owner are all dropped, every flow is freed that no claim and no ticket still
    /// holds, with all that is queued in it: at once, or when the last reader of the domain lets it go.
    #[expect(clippy::type_complexity, reason = "the ends of one table, each for one thread")]
    pub fn new(
        capacity: u32,
        workers: usize,
        domain: StdArc<Domain>,
    ) -> (Arc<Self>, Vec<WorkerSeat<T, B>>, PostSeat<T, B>, FlowsOwner<T, B>) {
        let flows = Arc::new(Self {
            slots: Slots::new(StdArc::clone(&domain), capacity as usize),
            lists: Arc::new(Lists::new(workers, StdArc::downgrade(&domain))),
            domain,
            left: Mutex::new(Vec::new()),
        });
        let seats = (0..flows.lists.workers()).map(|index| WorkerSeat::new(Arc::clone(&flows), index)).collect();
        let post = PostSeat::new(Arc::clone(&flows));
        let owner = FlowsOwner { flows: Arc::clone(&flows), unused: 0, free: Vec::new(), retiring: Vec::new() };
        (flows, seats, post, owner)
    }

    /// The flow with this number, if there is one that is not retired.
    ///
    /// # Panics
    /// If `reader` is of another domain.
    #[inline]
    pub fn get<'r>(&self, reader: &'r Reader, id: FlowId) -> Option<&'r Flow<T, B>> {
        self.slots.get(reader, id.0 as usize)
    }

    /// Asks the cache for the place of a flow in the table, for a [`Self::get`] that comes later.
    #[inline]
    pub fn prefetch(&self, id: FlowId) {
        self.slots.prefetch(id.0 as usize);
    }

    /// How many flows there can be, those on their way out included.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.lists.workers()
    }

    pub(super) fn lists(&self) -> &Lists<T, B> {
        &self.lists
    }

    fn left(&mut self) -> Vec<Retired<Flow<T, B>>> {
        mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Drop for Flows<T, B> {
    fn drop(&mut self) {
        self.lists.close();
        let mut flows = self.left();
        flows.extend((0..self.slots.len()).filter_map(|i| self.slots.take(i)));
        for flow in &flows {
            flow.get().close();
        }
        let teardown = Teardown {
            lists: Arc::clone(&self.lists),
            domain: StdArc::downgrade(&self.domain),
            flows: flows.into_iter().map(Retired::into_raw).collect(),
        };
        // INVARIANT: the grace period that starts here comes after all flows were closed and unpublished.
        free_later(StdArc::clone(&self.domain), Box::new(teardown));
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> fmt::Debug for Flows<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows").field("capacity", &self.slots.len()).finish_non_exhaustive()
    }
}

/// The right to make and remove flows. Control thread; there is one.
pub struct FlowsOwner<T: Linked + 'static, B: Send + Sync + 'static> {
    flows: Arc<Flows<T, B>>,
    /// Numbers from here on were never used.
    unused: u32,
    /// Numbers that are free again.
    free: Vec<u32>,
    retiring: Vec<Retiring<T, B>>,
}

/// A flow on its way out.
struct Retiring<T: Linked + 'static, B: Send + Sync + 'static> {
    flow: Retired<Flow<T, B>>,
    step: Step,
}

/// What a removal waits for.
#[derive(Clone, Copy)]
enum Step {
    /// That nobody pushes any more.
    Unpublished(Grace),
    /// That the workers have drained it.
    Draining,
    /// That nobody looks at it any more.
    Settled(Grace),
}

impl<T: Linked + 'static, B: Send + Sync + 'static> FlowsOwner<T, B> {
    /// The table.
    pub fn flows(&self) -> &Arc<Flows<T, B>> {
        &self.flows
    }

    /// Makes a flow around `body(its number)` and publishes it. `None` when the table is full. Allocates the flow.
    pub fn insert_with(&mut self, body: impl FnOnce(FlowId) -> B) -> Option<FlowId> {
        let reused = self.free.last().copied();
        let number = reused.or_else(|| {
            let unused = self.unused;
            ((unused as usize) < self.flows.slots.len()).then_some(unused)
        })?;
        let id = FlowId(number);
        let flow = Box::new(Flow::new(id, Arc::clone(&self.flows.lists), body(id)));
        self.flows.slots.insert(number as usize, flow).ok()?;
        if reused.is_some() {
            self.free.pop();
        } else {
            self.unused += 1;
        }
        Some(id)
    }

    /// Begins the removal of a flow; [`Self::poll`] goes on with it. `false` if there is none with this number.
    ///
    /// From here on it refuses packets. They are no longer delivered once [`Self::reachable`] no longer counts it.
    pub fn retire(&mut self, id: FlowId) -> bool {
        let Some(flow) = self.flows.slots.take(id.0 as usize) else {
            return false;
        };
        flow.get().close();
        let step = Step::Unpublished(self.flows.domain.start());
        self.retiring.push(Retiring { flow, step });
        true
    }

    /// Drives the removals on and frees what is ready for it; returns how many are left. Does not wait.
    pub fn poll(&mut self) -> usize {
        let Self { flows, free, retiring, .. } = self;
        let mut left = Vec::with_capacity(0);
        for mut item in retiring.drain(..) {
            item.step = item.step(&flows.domain);
            let settled = matches!(item.step, Step::Settled(grace) if flows.domain.passed(grace) || seeded("r2"));
            let id = item.flow.get().id();
            // The grace period of `Retired` began before that of `Settled`, so it is over as well.
            let kept = if settled { item.flow.try_free().err() } else { Some(item.flow) };
            match kept {
                Some(flow) => left.push(Retiring { flow, step: item.step }),
                None => free.push(id.0),
            }
        }
        *retiring = left;
        retiring.len()
    }

    /// The retired flows that wait for their first grace period, in order.
    #[cfg(all(test, not(loom)))]
    pub(super) fn unpublished(&self) -> Vec<FlowId> {
        let unpublished = |item: &&Retiring<T, B>| matches!(item.step, Step::Unpublished(_));
        let waiting = self.retiring.iter().filter(unpublished);
        waiting.map(|item| item.flow.get().id()).collect()
    }

    /// Whether a retired flow is not freed yet.
    #[cfg(all(test, not(loom)))]
    pub(super) fn is_retiring(&self, id: FlowId) -> bool {
        self.retiring.iter().any(|item| item.flow.get().id() == id)
    }

    /// How many retired flows may still be pushed to, or be seen by somebody as not retired.
    pub fn reachable(&self) -> usize {
        let unpublished = |item: &&Retiring<T, B>| matches!(item.step, Step::Unpublished(_));
        self.retiring.iter().filter(unpublished).count()
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Retiring<T, B> {
    /// The next step, if what this one waits for has come.
    fn step(&self, domain: &Domain) -> Step {
        let flow = self.flow.get();
        match self.step {
            Step::Unpublished(grace) if domain.passed(grace) || seeded("r1") => {
                // The owner is in no read section, but keeps the flow alive itself.
                let idle = Dir::ALL.into_iter().filter_map(|dir| flow.schedule(dir));
                idle.for_each(|scheduled| flow.make_ready(scheduled));
                Step::Draining
            }
            Step::Draining if flow.is_settled() => Step::Settled(domain.start()),
            step => step,
        }
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Drop for FlowsOwner<T, B> {
    fn drop(&mut self) {
        let mut left = self.flows.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.extend(self.retiring.drain(..).map(|item| item.flow));
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> fmt::Debug for FlowsOwner<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowsOwner").field("retiring", &self.retiring.len()).finish_non_exhaustive()
    }
}

/// The end of a table whose seats are gone.
///
/// # Invariants
/// The flows were closed and unpublished, and are owned by this value. It is dropped after a grace period since, or when no
/// reader is left.
struct Teardown<T: Linked + 'static, B: Send + Sync + 'static> {
    lists: Arc<Lists<T, B>>,
    /// Not owned: the domain itself may hold this value.
    domain: Weak<Domain>,
    flows: Vec<NonNull<Flow<T, B>>>,
}

// SAFETY: it owns flows, which are `Send`.
unsafe impl<T: Linked + 'static, B: Send + Sync + 'static> Send for Teardown<T, B> {}
// SAFETY: shared it gives access to nothing.
unsafe impl<T: Linked + 'static, B: Send + Sync + 'static> Sync for Teardown<T, B> {}

impl<T: Linked + 'static, B: Send + Sync + 'static> Drop for Teardown<T, B> {
    fn drop(&mut self) {
        if cfg!(loom) && std::thread::panicking() {
            // A model has failed, and would fail again in here.
            return;
        }
        // SAFETY: the seats held the table, whose end made this value, so nobody else pops.
        unsafe { self.lists.drain() };
        for flow in self.flows.drain(..) {
            // SAFETY: alive, as it is ours to free (invariant).
            if !unsafe { flow.as_ref() }.seize() {
                // A claim or a ticket is still held somewhere: the flow is left to it, for ever.
                continue;
            }
            // SAFETY: it came from a box (`Retired`), and no reader holds it: it was unpublished before the grace period.
            let flow = unsafe { Box::from_raw(flow.as_ptr()) };
            match self.domain.upgrade() {
                // A worker may still look at a direction that it has made idle.
                Some(domain) => free_later(domain, flow),
                None => drop(flow),
            }
        }
    }
}

/// Frees `value` after a grace period: at once, or by the domain.
fn free_later<V: Send + Sync + 'static>(domain: StdArc<Domain>, value: Box<V>) {
    let slots = Slots::new(domain, 1);
    let inserted = slots.insert(0, value);
    debug_assert!(inserted.is_ok(), "the one cell was empty");
    // The table's end retires the value.
}
