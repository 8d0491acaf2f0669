//! Values that data cores read without locks while control threads replace them.
//!
//! Reclamation by quiescent states, our own equivalent of DPDK's `rte_rcu_qsbr` (programmer's guide, "RCU Library"): each data
//! core registers a [`Reader`] and reports once a loop, with [`Reader::quiescent`], that it holds nothing any more. Who
//! unpublishes a value starts a grace period; once every reader that was online has reported, or gone offline, no one can
//! hold the value and it may be freed. Readers never allocate, free, lock or wait.
//!
//! | type | what |
//! |---|---|
//! | [`Domain`] | the readers and the grace periods |
//! | [`Reader`] | one core's seat; `&Reader` is a read section |
//! | [`Slots`] | a table of cells, each empty or full |
//! | [`Published`] | one cell, always full |
//! | [`Retired`] | the owner of what was unpublished |
//! | [`Graveyard`] | frees the retired, a batch a sweep |
//!
//! The borrow checker holds the rule up: what a reader finds is borrowed from `&Reader`, and [`Reader::quiescent`] and
//! [`Reader::offline`] want `&mut Reader`.

mod cell;
mod domain;
mod graveyard;
#[cfg(test)]
mod models;
mod retired;
mod slots;
#[cfg(all(test, not(loom)))]
mod tests;

pub use cell::Published;
pub use domain::{Domain, Grace, Reader};
pub use graveyard::Graveyard;
pub use retired::Retired;
pub use slots::Slots;
