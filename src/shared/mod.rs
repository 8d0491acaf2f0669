//! What the data path and the control threads meet in: tables, ports, counters, and the list of drop reasons.
//!
//! The two sides never call each other; they share this, [`crate::peer`] and [`crate::route`], and hand packets over by queues.

mod counters;
mod cycles;
mod drop_reason;
mod shown;
mod tap;
mod topology;
mod trace;
mod tunnel;

pub use counters::{Account, Counters, MOST_PORTS};
pub use cycles::{CoreCycles, Spent, Stage};
pub use drop_reason::DropReason;
pub use tap::{Point, RING_BYTES, Seen, Tap, Watch};
pub use topology::{Budget, Clock, Hop, PeerFlow, Port, Roles, Routes, Shared};
pub use trace::{MOST_TRACED, Step, Traced, Tracer};
pub use tunnel::{ListenPorts, MOST_INTERFACES, Tunnel};
