//! What one thread pushes to many flows in one read section: looked up side by side, and their workers woken together.

use super::{
    chain::Chain,
    flow::{Dir, Flow, FlowId},
    flows::Flows,
    linked::Linked,
    prefetch::prefetch_write,
    published::Reader,
    ready::Scheduled,
};
use arrayvec::ArrayVec;
use core::fmt;

/// Workers whose wake-ups are gathered at once; with more of them some lists are pushed to more often.
const WORKERS: usize = 8;

/// Pushes of one burst. First [`Flows::prefetch`] each flow, then [`Self::find`] it, then [`Self::push`]: each of the three waits for
/// the cache misses of the one before, so a burst's run side by side.
///
/// A push costs one atomic operation. The directions that were idle are put on their workers' ready lists by [`Self::wake`] (or at the
/// drop), with one exchange a worker.
pub struct Pushes<'r, T: Linked + 'static, B: Send + Sync + 'static> {
    flows: &'r Flows<T, B>,
    reader: &'r Reader,
    /// Directions that were turned from idle to scheduled, a chain a worker. INVARIANT: of flows of this table.
    woken: ArrayVec<(usize, Chain<Scheduled<T, B>>), WORKERS>,
}

/// A flow that a [`Pushes`] found.
///
/// # Invariants
/// Found in the table `flows` by a reader of its domain whose read section lasts for `'r`.
pub struct Found<'r, T: Linked + 'static, B: Send + Sync + 'static> {
    flow: &'r Flow<T, B>,
    flows: &'r Flows<T, B>,
    id: FlowId,
}

impl<'r, T: Linked + 'static, B: Send + Sync + 'static> Pushes<'r, T, B> {
    /// None yet.
    ///
    /// # Panics
    /// If `reader` is of another domain.
    #[inline]
    pub fn new(reader: &'r Reader, flows: &'r Flows<T, B>) -> Self {
        flows.lists().check_reader(reader);
        Self { flows, reader, woken: ArrayVec::new() }
    }

    /// The flow with this number, if there is one that is not retired; asks for what a push to `dir` writes.
    #[inline]
    pub fn find(&self, id: FlowId, dir: Dir) -> Option<Found<'r, T, B>> {
        let flow = self.flows.get(self.reader, id)?;
        prefetch_write(core::ptr::from_ref(flow.direction(dir)));
        // INVARIANT: just found there, by a reader that `new` has checked.
        Some(Found { flow, flows: self.flows, id })
    }

    /// Pushes to `dir` as many elements of `chain` as there is room for, oldest first, and returns the others: all of them in a flow
    /// that is retired. Never waits.
    ///
    /// # Panics
    /// If `to` was found in another table.
    #[inline]
    #[must_use = "what did not fit is to be counted"]
    pub fn push(&mut self, to: &Found<'r, T, B>, dir: Dir, chain: Chain<T>) -> Chain<T> {
        assert!(core::ptr::eq(to.flows, self.flows), "a flow is used with its own table");
        let (rest, scheduled) = to.flow.append(dir, chain);
        if let Some(scheduled) = scheduled {
            self.gather(scheduled, self.flows.lists().home(to.id));
        }
        rest
    }

    /// Puts what was idle on the ready lists.
    #[inline]
    pub fn wake(&mut self) {
        for (worker, chain) in self.woken.drain(..) {
            self.flows.lists().make_all_ready(chain, worker);
        }
    }

    #[inline]
    fn gather(&mut self, scheduled: Scheduled<T, B>, worker: usize) {
        if let Some((_, chain)) = self.woken.iter_mut().find(|(of, _)| *of == worker) {
            return chain.push_back(scheduled);
        }
        if self.woken.is_full() {
            self.wake();
        }
        let mut chain = Chain::new();
        chain.push_back(scheduled);
        self.woken.push((worker, chain));
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Drop for Pushes<'_, T, B> {
    #[inline]
    fn drop(&mut self) {
        self.wake();
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> fmt::Debug for Pushes<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let woken: u32 = self.woken.iter().map(|(_, chain)| chain.len()).sum();
        f.debug_struct("Pushes").field("woken", &woken).finish_non_exhaustive()
    }
}

impl<'r, T: Linked + 'static, B: Send + Sync + 'static> Found<'r, T, B> {
    /// The flow.
    #[inline]
    pub fn flow(&self) -> &'r Flow<T, B> {
        self.flow
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> fmt::Debug for Found<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
#[path = "pushes_tests.rs"]
mod tests;
