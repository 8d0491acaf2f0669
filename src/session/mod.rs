//! Sessions: what a pair of data keys may do, for how long, and which of a peer's keys is used for what.

mod keypair;
pub mod limits;
mod replay;
mod slots;
#[cfg(test)]
mod tests;

pub use keypair::Keypair;
pub use replay::{Refused, ReplayWindow, WORDS as REPLAY_WORDS};
pub use slots::{Dropped, KeySlots};
