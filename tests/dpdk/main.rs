//! The fence around DPDK, against a real EAL without huge pages, NICs or root.
//!
//! There is one EAL a process, and each test starts its own: run these by `cargo nextest run --test dpdk`, which gives
//! each test a process. Under `cargo test` all but the first fail, on purpose, with `EalError::StartedBefore`.

#![expect(clippy::unwrap_used, reason = "tests")]

mod eal;
mod fragments;
mod kernel;
mod lcore;
mod mbuf;
mod pcap;
mod pool;
mod port;

use culvert::dpdk::{
    Device, Eal, EalError, EalOptions, HEADROOM, HugePages, LcoreError, Mbuf, MemoryWire, Pool, PoolError, PoolOptions,
    Port, PortError, PortFailure, PortOptions, PortQueues, RxQueue, TxQueue, register_thread,
};
use culvert::frame::{BURST, Burst, Frame, Meta, Packet, PacketPool, RxBurst, TxBurst};
use culvert::queue::Linked;

/// 128 MiB are enough for all that is done here.
fn eal() -> Eal {
    let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(128);
    Eal::init(&options).expect("an EAL of its own: see this file's head")
}

fn pool(eal: &Eal, name: &str, count: u32) -> Pool {
    Pool::create(eal, &PoolOptions::new(name, count)).unwrap()
}

fn device(text: &str) -> Device {
    text.parse().unwrap()
}

/// Opens and starts a port with one queue each way.
fn start(eal: &Eal, name: &str, device: &Device, pool: &Pool) -> (Port, RxQueue, TxQueue) {
    let mut port = Port::open(eal, name, device, 1, 1500).unwrap();
    let PortQueues { mut rx, mut tx } = port.configure(&PortOptions::new(pool.clone())).unwrap();
    (port, rx.remove(0), tx.remove(0))
}

/// A packet with these bytes.
fn packet(pool: &Pool, bytes: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().unwrap();
    mbuf.append(bytes.len()).unwrap().copy_from_slice(bytes);
    mbuf
}
