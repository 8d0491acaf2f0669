//! The fence around DPDK and the cipher library that comes with it: safe wrappers, and the only place that names `dpdk_sys`.
//!
//! What owns what: a [`Port`]'s queues hold the port, the port holds its [`Pool`], and all of them hold the [`Eal`].
//! So things close in the right order whichever handle goes last, and nothing of DPDK is unmapped while a packet of
//! it is still out. An [`Mbuf`] counts for nobody (that would cost a shared counter a packet): a pool that is dropped
//! while some of its mbufs are out is kept until the EAL ends, and if they are out even then the EAL is not cleaned up.
//!
//! This module is one of the three places that may hold `unsafe`.
#![allow(unsafe_code)]

mod attach;
mod device;
mod eal;
mod eal_log;
mod eal_options;
mod errno;
mod fragments;
mod heap;
#[cfg(target_arch = "x86_64")]
mod ipsec_mb;
mod lcore;
mod mbuf;
mod mbuf_priv;
mod memory_wire;
mod mempool;
mod port;
mod port_info;
mod port_setup;
mod port_stats;
mod runtime_folder;
mod rx_queue;
mod telemetry;
mod tsc;
mod tx_queue;
mod version;

pub use attach::probed_devices;
pub use device::{Device, DeviceError, PciAddress};
pub use eal::{Eal, EalError};
pub use eal_options::{EalOptions, HugePages, free_huge_pages_mib};
pub use errno::Errno;
pub use fragments::{FragmentTable, FragmentTableError};
pub use heap::HugePageHeap;
#[cfg(target_arch = "x86_64")]
pub use ipsec_mb::{CIPHER_BURST, CipherDirection, CipherLibrary, CipherMessage};
pub use lcore::{Lcore, LcoreError, LcoreGuard, LcoreId, lcores, register_thread};
pub use mbuf::Mbuf;
pub use mbuf_priv::{HEADROOM, PRIVATE_SIZE};
pub use memory_wire::{FarEnd, FarRx, FarTx, MemoryWire};
pub use mempool::{Pool, PoolError, PoolOptions, pool_bytes};
pub use port::{Port, PortError, PortFailure, PortId, PortOptions, PortQueues};
pub use port_info::{Link, PortInfo};
pub use port_stats::PortStats;
pub use rx_queue::{RxQueue, RxQueueId};
pub use telemetry::{Telemetry, TelemetryAnswer, TelemetryValue};
pub use tsc::{tsc, tsc_hz};
pub use tx_queue::{TxQueue, TxQueueId};
pub use version::{driver_folder, version, versions};
