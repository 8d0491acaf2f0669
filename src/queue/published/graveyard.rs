//! Frees the retired in batches.

use super::{Domain, Retired, retired::Garbage};
use core::fmt;
use std::{collections::VecDeque, sync::Arc};

/// Values that wait for their grace periods. Owned by one control thread, which sweeps now and then.
///
/// What is left when it is dropped goes to the domain's list.
pub struct Graveyard {
    domain: Arc<Domain>,
    /// In the order of their grace periods.
    buried: VecDeque<Garbage>,
}

impl Graveyard {
    /// An empty one for values of `domain`.
    pub fn new(domain: Arc<Domain>) -> Self {
        Self { domain, buried: VecDeque::new() }
    }

    /// Takes a value to free it later. One of another domain goes to the list of that domain. May allocate.
    pub fn bury<T: Send + Sync + 'static>(&mut self, mut retired: Retired<T>) {
        if !Arc::ptr_eq(retired.domain(), &self.domain) {
            return;
        }
        if let Some(garbage) = retired.take_garbage() {
            self.insert(garbage);
        }
    }

    /// Frees the values whose grace period has passed, those abandoned in the domain too; returns how many are left. Never
    /// waits; runs the values' destructors.
    pub fn sweep(&mut self) -> usize {
        // Taken out first: the destructors below may abandon more.
        let abandoned = core::mem::take(&mut *self.domain.abandoned());
        for garbage in abandoned {
            self.insert(garbage);
        }
        if self.buried.is_empty() {
            return 0;
        }
        let passed = self.domain.poll();
        while let Some(garbage) = self.buried.pop_front_if(|garbage| garbage.grace <= passed) {
            // SAFETY: all values here come from `self.domain`, whose `poll` says that this one's grace period has passed.
            unsafe { garbage.free() };
        }
        self.buried.len()
    }

    /// Keeps the order. Nearly always at the end.
    fn insert(&mut self, garbage: Garbage) {
        let at = self.buried.partition_point(|other| other.grace <= garbage.grace);
        self.buried.insert(at, garbage);
    }
}

impl Drop for Graveyard {
    fn drop(&mut self) {
        self.domain.abandoned().extend(self.buried.drain(..));
    }
}

impl fmt::Debug for Graveyard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graveyard").field("buried", &self.buried.len()).finish_non_exhaustive()
    }
}
