//! The real data path and control threads over heap packets: no DPDK, no kernel, and the clock in the test's hand.
//!
//! Each test ends with [`harness::Gateway::finish`], which checks the two laws: every packet is accounted for, and the pool is
//! full again.

#![expect(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod changes;
mod client;
mod crowd;
mod harness;
mod packets;
mod ports;
mod roles;
mod running;

mod bytes;
mod clock;
mod cookies;
mod floods;
mod fragments;
mod interfaces;
mod keepalives;
mod keypairs;
mod malformed;
mod neighbours;
mod order;
mod queues;
mod removal;
mod replay;
mod retries;
mod sessions;
mod silent;
mod spoofing;
mod timers;
mod vlan;
