//! What a worker does with a direction: it claims it, looks at a chunk, takes a ticket, pops the chunk and gives the claim on, and ends
//! its turn when the chunk was released.

use super::{
    chain::List,
    flow::{Dir, Direction, Flow},
    flows::Flows,
    linked::Linked,
    published::Reader,
    ready::Scheduled,
    sync::Ordering::Relaxed,
};
use arrayvec::ArrayVec;
use core::{fmt, mem, ops::Deref, ptr::NonNull};

/// A direction that is scheduled to its holder, who alone pops its queue. Give it on by [`Claim::serve`], [`Claim::again`] or
/// [`Claim::idle`].
///
/// Dropped otherwise it goes back to the home worker's ready list.
pub struct Claim<T: Linked, B> {
    /// INVARIANT: as of `Scheduled`; it is on no list.
    at: Scheduled<T, B>,
}

// SAFETY: the claim is the one access to the plain fields of a direction, of `Send` elements; the flow is `Sync`.
unsafe impl<T: Linked, B: Send + Sync> Send for Claim<T, B> {}
// SAFETY: a shared claim gives `&Flow` and reads of atomics.
unsafe impl<T: Linked, B: Send + Sync> Sync for Claim<T, B> {}

impl<T: Linked, B> Claim<T, B> {
    pub(super) const fn new(at: Scheduled<T, B>) -> Self {
        Self { at }
    }

    /// Which direction it is.
    #[inline]
    pub fn dir(&self) -> Dir {
        self.at.dir
    }

    /// Whether the flow's removal has begun: what is queued and staged is to be drained and must not be delivered.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.direction().intake.is_closed()
    }

    /// Fills the free places of `out` from the queue, oldest first, and gives the claim up if nothing is left, queued or staged: then
    /// the direction is idle, and the next push schedules it. Else the claim comes back, to be given on by [`Self::again`].
    ///
    /// Between, while the direction is still this claim's, `see` looks at all of `out` as it is going to be: it takes what orders
    /// these elements among those of the direction. All of this costs one atomic operation. Should `see` panic, nothing was popped.
    #[inline]
    pub fn serve<const N: usize>(
        mut self,
        out: &mut ArrayVec<T, N>,
        see: impl FnOnce(Popping<'_, T, B>, &[T]),
    ) -> Option<Self> {
        let keeps = self.staged_len() > 0;
        let intake = &raw const self.direction().intake;
        // SAFETY: the flow is alive while this is the claim (invariant). After that nothing of it is touched, and all of this part is cells.
        let intake = unsafe { &*intake };
        let see = |elements: &[T]| see(Popping { claim: &mut self }, elements);
        // SAFETY: the claim is the only one of this direction; the ready lists and the exchanges of the word order it after the claims
        // before.
        let scheduled = unsafe { intake.pop(out, keeps, see) };
        if scheduled {
            return Some(self);
        }
        mem::forget(self);
        None
    }

    /// Fills the free places of `out` from the queue, oldest first, and keeps the claim.
    #[inline]
    pub fn pop_into<const N: usize>(&mut self, out: &mut ArrayVec<T, N>) {
        // SAFETY: the claim, borrowed exclusively, is the only one of this direction, ordered after those before as in `serve`.
        unsafe { self.direction().intake.pop(out, true, |_| ()) };
    }

    /// Appends `element` to what waits in the flow. It counts for nothing in the queue: the caller bounds it by [`Self::staged_len`].
    pub fn stage(&mut self, element: T) {
        self.with_staged(|staged| staged.push_back(element));
        let len = &self.direction().staged_len;
        // Relaxed: the claim's holder alone writes it.
        len.store(len.load(Relaxed).saturating_add(1), Relaxed);
    }

    /// Takes the oldest element that waits.
    pub fn unstage(&mut self) -> Option<T> {
        let element = self.with_staged(List::pop_front);
        let len = &self.direction().staged_len;
        // Relaxed: as in `stage`.
        let left = if element.is_some() { len.load(Relaxed).saturating_sub(1) } else { 0 };
        len.store(left, Relaxed);
        element
    }

    /// How many elements wait (2^16 - 1 stands for that many or more).
    #[inline]
    pub fn staged_len(&self) -> u32 {
        // Relaxed: as in `stage`.
        u32::from(self.direction().staged_len.load(Relaxed))
    }

    /// Whether a chunk that was popped before is not released yet.
    #[inline]
    pub fn tickets_outstanding(&self) -> bool {
        self.direction().turn.is_outstanding()
    }

    /// Takes the next ticket: the chunk that was popped is released after those that were popped before, and before those
    /// that are popped later.
    #[inline]
    pub fn take_ticket(&mut self) -> Ticket<T, B> {
        Ticket { flow: self.at.flow, dir: self.at.dir, number: self.direction().turn.take() }
    }

    /// Gives the claim up as [`Self::serve`] does, also while something is staged, and then looks again: if `recheck` says that there is
    /// work, the claim is back, unless somebody else has scheduled the direction.
    ///
    /// It comes back at once while elements are queued that were not popped, and, in a retired flow, while something is staged;
    /// `recheck` is not asked in a retired flow.
    ///
    /// # Panics
    /// If `reader` is of another domain.
    pub fn idle(self, reader: &Reader, recheck: impl FnOnce(&Flow<T, B>) -> bool) -> Option<Self> {
        self.lists.check_reader(reader);
        if !self.direction().intake.idle(self.staged_len() > 0) {
            return Some(self);
        }
        let at = self.into_scheduled();
        // From here on nothing but atomics is touched: another worker may hold the direction already.
        // SAFETY: alive up to the exchange by the claim, and after it by the read section: the owner frees a flow that it
        // saw idle only after a grace period, and `reader` is one that it waits for (checked above).
        let flow = unsafe { at.flow.as_ref() };
        let intake = &flow.direction(at.dir).intake;
        let ours = !intake.is_closed() && recheck(flow) && intake.wake();
        // INVARIANT: we turned it from idle to scheduled, so it is on no list, and has no other claim. (`then`, not
        // `then_some`: a claim that is not ours must not even be made.)
        ours.then(|| Self { at })
    }

    fn with_staged<R>(&mut self, f: impl FnOnce(&mut List<T>) -> R) -> R {
        self.direction().staged.with_mut(|staged| {
            // SAFETY: the claim, borrowed exclusively, is the only one of this direction, and nobody else touches the cell.
            f(unsafe { &mut *staged })
        })
    }

    #[inline]
    fn direction(&self) -> &Direction<T> {
        self.flow().direction(self.at.dir)
    }

    #[inline]
    fn flow(&self) -> &Flow<T, B> {
        // SAFETY: alive, as the direction is scheduled (invariant).
        unsafe { self.at.flow.as_ref() }
    }

    #[inline]
    fn into_scheduled(self) -> Scheduled<T, B> {
        let at = Scheduled::new(self.at.flow, self.at.dir);
        mem::forget(self);
        at
    }
}

impl<T: Linked + 'static, B: Send + Sync + 'static> Claim<T, B> {
    /// Gives the claim to `worker` (modulo their number): the direction stays scheduled, on that worker's ready list.
    ///
    /// # Panics
    /// If `flows` is not the flow's table.
    #[inline]
    pub fn again(self, flows: &Flows<T, B>, worker: usize) {
        assert!(core::ptr::eq(&raw const *self.lists, flows.lists()), "a flow is used with its own table");
        flows.lists().make_ready(self.into_scheduled(), worker);
    }
}

/// A claim while its elements are about to be popped ([`Claim::serve`]). It cannot be given on.
pub struct Popping<'c, T: Linked, B> {
    claim: &'c mut Claim<T, B>,
}

impl<T: Linked, B> Popping<'_, T, B> {
    /// As [`Claim::take_ticket`].
    #[inline]
    pub fn take_ticket(&mut self) -> Ticket<T, B> {
        self.claim.take_ticket()
    }
}

impl<T: Linked, B> Deref for Popping<'_, T, B> {
    type Target = Flow<T, B>;

    fn deref(&self) -> &Flow<T, B> {
        self.claim.flow()
    }
}

impl<T: Linked, B> fmt::Debug for Popping<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Popping").field(&self.claim).finish()
    }
}

impl<T: Linked, B> Deref for Claim<T, B> {
    type Target = Flow<T, B>;

    fn deref(&self) -> &Flow<T, B> {
        self.flow()
    }
}

impl<T: Linked, B> Drop for Claim<T, B> {
    fn drop(&mut self) {
        let home = self.id().0 as usize;
        self.lists.save(Scheduled::new(self.at.flow, self.at.dir), home);
        debug_assert!(std::thread::panicking(), "a claim is given on, not dropped");
    }
}

impl<T: Linked, B> fmt::Debug for Claim<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("id", &self.id()).field("dir", &self.at.dir).finish_non_exhaustive()
    }
}

/// A place in the order in which the chunks of a direction are released. It keeps the flow alive.
///
/// Pass it (or drop it) when its turn has come and the chunk is released; until then later chunks wait, and the flow is not
/// freed. One that goes before its turn is never passed: the direction stands still for ever then.
pub struct Ticket<T: Linked, B> {
    /// INVARIANT: alive while a ticket is outstanding, which this one is.
    flow: NonNull<Flow<T, B>>,
    dir: Dir,
    number: u32,
}

// SAFETY: it gives `&Flow`, which is `Sync`.
unsafe impl<T: Linked, B: Send + Sync> Send for Ticket<T, B> {}
// SAFETY: as above.
unsafe impl<T: Linked, B: Send + Sync> Sync for Ticket<T, B> {}

impl<T: Linked, B> Ticket<T, B> {
    /// The direction it was taken in.
    #[inline]
    pub fn dir(&self) -> Dir {
        self.dir
    }

    /// Whether the flow's removal has begun: nothing of the chunk may be delivered any more.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.direction().intake.is_closed()
    }

    /// Whether all earlier tickets were passed; what their holders did is seen then.
    #[inline]
    pub fn is_turn(&self) -> bool {
        self.direction().turn.is_turn(self.number)
    }

    /// Ends the turn; only after [`Self::is_turn`] said so.
    #[inline]
    pub fn pass(self) {
        drop(self);
    }

    #[inline]
    fn direction(&self) -> &Direction<T> {
        // SAFETY: alive (invariant).
        unsafe { self.flow.as_ref() }.direction(self.dir)
    }
}

impl<T: Linked, B> Deref for Ticket<T, B> {
    type Target = Flow<T, B>;

    fn deref(&self) -> &Flow<T, B> {
        // SAFETY: alive (invariant).
        unsafe { self.flow.as_ref() }
    }
}

impl<T: Linked, B> Drop for Ticket<T, B> {
    fn drop(&mut self) {
        if !self.is_turn() {
            debug_assert!(std::thread::panicking(), "a ticket is passed in its turn");
            return;
        }
        let turn = &raw const self.direction().turn;
        // From the store in there on the flow may be freed, so nothing of it is borrowed but the atomics of the turn.
        // SAFETY: the flow is alive until that store (invariant).
        unsafe { (*turn).pass(self.number) };
    }
}

impl<T: Linked, B> fmt::Debug for Ticket<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("dir", &self.dir).field("number", &self.number).finish_non_exhaustive()
    }
}
