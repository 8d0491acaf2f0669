#![doc = include_str!("ARCHITECTURE.md")]

// Who uses whom, downwards. Under `--cfg loom` only the queues are built.
pub mod queue;

#[cfg(not(loom))]
pub mod wire;

#[cfg(not(loom))]
pub mod frame;

#[cfg(all(not(loom), feature = "dpdk"))]
pub mod dpdk;

#[cfg(not(loom))]
pub mod aead;

#[cfg(not(loom))]
pub mod noise;

#[cfg(not(loom))]
pub mod session;

#[cfg(not(loom))]
pub mod route;

#[cfg(not(loom))]
pub mod peer;

#[cfg(not(loom))]
pub mod shared;

#[cfg(not(loom))]
pub mod datapath;

#[cfg(not(loom))]
pub mod control;

#[cfg(not(loom))]
pub mod config;

#[cfg(not(loom))]
pub mod api;

#[cfg(all(not(loom), feature = "dpdk"))]
pub mod fwd;

#[cfg(not(loom))]
pub mod cli;

#[cfg(not(loom))]
pub mod metrics;

#[cfg(all(not(loom), feature = "dpdk"))]
pub mod gateway;

#[cfg(not(loom))]
pub mod doctor;
