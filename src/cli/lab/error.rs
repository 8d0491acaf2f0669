//! What went wrong in the lab, and where.

use std::fmt::Display;

/// Why something in the lab did not work: what was done, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct LabError {
    what: String,
    why: String,
}

/// What the lab's functions return.
pub type Result<T> = std::result::Result<T, LabError>;

impl LabError {
    /// `what` was done or looked at, `why` it is not as it should be.
    pub fn new(what: impl Display, why: impl Display) -> Self {
        Self { what: what.to_string(), why: why.to_string() }
    }
}

/// Names what failed.
pub(crate) trait What<T> {
    /// The error with `what` in front.
    fn what(self, what: impl Display) -> Result<T>;
}

impl<T, E: Display> What<T> for std::result::Result<T, E> {
    fn what(self, what: impl Display) -> Result<T> {
        self.map_err(|error| LabError::new(what, error))
    }
}

/// An error unless `good`.
pub fn ensure(good: bool, what: impl Display, why: impl Display) -> Result<()> {
    if good { Ok(()) } else { Err(LabError::new(what, why)) }
}
