//! The real data path and control threads over heap packets: no DPDK, no kernel, and the clock in the test's hand.
//!
//! Each test ends with [`harness::Gateway::finish`], which checks the two laws: every packet is accounted for, and the pool is
//! full again.

#![expect(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod changes;
mod client;
mod crowd;
mod forge;
mod harness;
mod key_log;
mod packets;
mod ports;
mod roles;
mod running;
mod scenes;

mod allocations;
mod boottime;
mod bursts;
mod bytes;
mod clock;
mod control_socket;
mod cookies;
mod crafted;
mod differences;
mod errors;
mod events;
mod fairness;
mod floods;
mod fragments;
mod handover;
mod indexes;
mod inner_fragments;
mod interfaces;
mod keepalives;
mod keypairs;
mod lengths;
mod malformed;
mod mistakes;
mod mss;
mod neighbours;
mod order;
mod outer_header;
mod queues;
mod reload;
mod removal;
mod replay;
mod retries;
mod roaming;
mod sessions;
mod silent;
mod spoofing;
mod timers;
mod vlan;
mod wiped;
