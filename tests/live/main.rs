//! culvertd between real WireGuard clients (wireguard-go; others in `matrix`) and a real host, in network namespaces; root only. The
//! topology is drawn at the head of `src/cli/lab/mod.rs`.
//!
//! Each test makes namespaces of its own, but they measure loss on few cores: run them by `cargo nextest run --test
//! live`, one at a time (`.config/nextest.toml`). Each ends by [`bench::Bench::finish`], which checks the two laws:
//! every packet has left by a door, and every pool is full again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bench;
mod churn;
mod control;
mod crafted;
mod demo;
mod device;
mod doctor;
mod errors;
mod garbage;
mod interfaces;
#[path = "../../src/doctor/tests/json_schema.rs"]
mod json_schema;
mod keep;
mod key_log;
mod keys;
mod logs;
mod manager;
mod matrix;
mod memory;
mod mistakes;
mod order;
#[expect(dead_code, reason = "the gateway's tests need more of it")]
#[path = "../gateway/packets.rs"]
mod packets;
mod pass;
mod reference;
mod refusals;
mod reload;
mod restart;
mod roam;
mod service;
mod telemetry;
mod tools;
mod vlan;
