//! Ports forwarded without a gateway, by testpmd's modes and a WireGuard one: `culvert pmd`, to bring a NIC up and to prove it.
//!
//! ```text
//! Lab (main thread: ports, settings, answers) ── start ──▶ a thread a core: its streams, turn after turn
//!                                             ◀── stop ─── the streams, with their queues
//! ```
//!
//! A [`stream`] is one RX queue and the TX queue that its packets leave by; a mode, one a file, is what happens in between. Every packet
//! ends in a TX ring, where its mode wants it to end, or as a counted drop.

mod cores;
mod csum;
mod desk;
mod error;
mod flowgen;
mod icmpecho;
mod io;
mod lab;
mod mac;
mod mode;
mod options;
mod packet;
mod rekey;
mod rxonly;
mod statistics;
mod stream;
#[cfg(test)]
mod tests;
mod tunnel;
mod txonly;
mod verbose;
mod wireguard;

pub use error::LabError;
pub use lab::Lab;
pub use mode::Mode;
pub use options::{LabOptions, OPTIONS, OptionError};
