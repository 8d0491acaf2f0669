//! What may block, log and allocate: handshakes, timers, neighbours, the `wg` socket.

pub mod change;
pub mod context;
mod environment;
mod errors;
pub mod events;
mod fragments;
pub mod handover;
pub mod handshake;
pub mod interface;
pub mod key_log;
pub mod limiter;
pub mod load;
pub mod neighbour;
pub mod output;
pub mod record;
pub mod service;
pub mod timers;
mod triage;
pub mod uapi;
pub mod wheel;
