//! The queues: links inside the packets, lock-free, and every rule of who may touch what.
//!
//! | for | use |
//! |---|---|
//! | the packets of a peer | [`Flows`]: each [`Flow`] has a queue and tickets a [`Dir`] |
//! | what a burst has for many of them | [`Pushes`] |
//! | packets handed from core to core | [`inbox`] |
//! | what one thread gathers | [`Chain`] |
//! | what a core tells a watcher in passing | [`Records`] |
//! | tables and words that many cores read | [`Slots`], [`Published`], [`SeqLatch`] |
//!
//! This module is one of the three places that may hold `unsafe`.
#![allow(unsafe_code)]
#![cfg_attr(not(loom), expect(clippy::disallowed_types, reason = "the façade over atomics lies here"))]

mod boxed;
mod chain;
mod claim;
mod credit;
mod flow;
#[cfg(test)]
mod flow_models;
#[cfg(test)]
#[cfg(not(loom))]
mod flow_tests;
mod flows;
mod inbox;
#[cfg(test)]
mod inbox_tests;
mod intake;
mod line;
mod linked;
mod mpsc;
#[cfg(test)]
mod mpsc_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod oracle;
mod prefetch;
mod published;
mod pushes;
mod ready;
mod records;
mod seqlock;
#[cfg(test)]
#[cfg(not(loom))]
mod stress;
pub mod sync;
#[cfg(test)]
mod testing;
mod turn;
mod word;

pub use boxed::Boxed;
pub use chain::Chain;
pub use claim::{Claim, Popping, Ticket};
pub use flow::{Dir, Flow, FlowId, QUEUE_BOUND};
pub use flows::{Flows, FlowsOwner};
pub use inbox::{Receiver, Sender, inbox};
pub use linked::{ChainLink, Link, Linked};
pub use prefetch::{prefetch_read, prefetch_write};
pub use published::{Domain, Grace, Graveyard, Published, Reader, Retired, Slots};
pub use pushes::{Found, Pushes};
pub use ready::{PostSeat, WorkerSeat};
pub use records::Records;
pub use seqlock::SeqLatch;
