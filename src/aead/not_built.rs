//! What stands for a backend whose code is not in this build.

use super::Job;
use core::convert::Infallible;

/// Cannot be made.
pub(super) struct NotBuilt(Infallible);

impl NotBuilt {
    /// `None`.
    pub(super) fn new() -> Option<Box<Self>> {
        None
    }

    /// Cannot be called.
    pub(super) fn seal(&mut self, _jobs: &mut [Job<'_>]) {
        match self.0 {}
    }

    /// Cannot be called.
    pub(super) fn open(&mut self, _jobs: &mut [Job<'_>]) {
        match self.0 {}
    }
}
