//! Hand-over from many cores to one: a bounded queue without locks that never allocates.

use super::{
    chain::Chain,
    credit::{Credit, MAX_BOUND},
    linked::Linked,
    mpsc::{Mpsc, Pop},
    sync::Arc,
};
use arrayvec::ArrayVec;
use core::fmt;
use crossbeam_utils::CachePadded;

/// Makes a queue of at most `bound` elements (at most 2^24). What is left is dropped with the last owner.
pub fn inbox<T: Linked>(bound: u32) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        queue: CachePadded::new(Mpsc::new()),
        credit: CachePadded::new(Credit::new()),
        bound: bound.min(MAX_BOUND),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

struct Shared<T: Linked> {
    queue: CachePadded<Mpsc<T>>,
    credit: CachePadded<Credit>,
    bound: u32,
}

/// The end that any thread may push to.
pub struct Sender<T: Linked> {
    shared: Arc<Shared<T>>,
}

impl<T: Linked> Sender<T> {
    /// Pushes `element`, or gives it back when the inbox is full. Never waits.
    #[inline]
    pub fn send(&self, element: T) -> Result<(), T> {
        if self.shared.credit.reserve(1, self.shared.bound) == 0 {
            return Err(element);
        }
        self.shared.queue.push_one(element);
        Ok(())
    }

    /// Pushes from the front of `burst`, as one chain, what fits, and returns how many that were. The refused newest
    /// stay in `burst`, in order, their links untouched. Never waits.
    #[inline]
    pub fn send_burst<const N: usize>(&self, burst: &mut ArrayVec<T, N>) -> usize {
        let want = u32::try_from(burst.len()).unwrap_or(u32::MAX);
        let granted = self.shared.credit.reserve(want, self.shared.bound) as usize;
        let mut chain = Chain::new();
        for element in burst.drain(..granted) {
            chain.push_back(element);
        }
        self.shared.queue.push(chain);
        granted
    }

    /// How many elements wait, about: others push and pop meanwhile.
    pub fn len(&self) -> usize {
        self.shared.credit.taken().min(self.shared.bound) as usize
    }

    /// Whether nothing waits, about.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Linked> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Linked> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The end that one thread pops from.
pub struct Receiver<T: Linked> {
    shared: Arc<Shared<T>>,
}

impl<T: Linked> Receiver<T> {
    /// Takes the oldest element. `None`: nothing waits, or a push is half done and comes with a later call.
    #[inline]
    pub fn recv(&mut self) -> Option<T> {
        let element = self.pop()?;
        self.shared.credit.give_back(1);
        Some(element)
    }

    /// Fills the free places of `burst`, oldest first, and returns how many came.
    #[inline]
    pub fn recv_burst<const N: usize>(&mut self, burst: &mut ArrayVec<T, N>) -> usize {
        let before = burst.len();
        while !burst.is_full() {
            match self.pop() {
                Some(element) => burst.push(element),
                None => break,
            }
        }
        let came = burst.len() - before;
        self.shared.credit.give_back(u32::try_from(came).unwrap_or(u32::MAX));
        came
    }

    /// How many elements wait, about: others push meanwhile.
    pub fn len(&self) -> usize {
        self.shared.credit.taken().min(self.shared.bound) as usize
    }

    /// Whether nothing waits, about.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pop(&mut self) -> Option<T> {
        // SAFETY: there is one `Receiver`, borrowed exclusively; `Sync` or `Send` moves order its calls.
        match unsafe { self.shared.queue.pop() } {
            Pop::Item(element) => Some(element),
            Pop::Empty | Pop::HalfDone => None,
        }
    }
}

impl<T: Linked> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.shared.credit.taken();
        f.debug_struct("Receiver").field("len", &len).finish_non_exhaustive()
    }
}
