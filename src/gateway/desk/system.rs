//! What is told about cores, memory, cipher and EAL.

use super::Desk;
use crate::aead::{Backend, CpuFeatures};
use crate::config::Idle;
use crate::gateway::proc::memory_bytes;
use serde_json::{Value, json};

/// What the kernel says of this process.
const STATUS: &str = "/proc/self/status";

impl Desk {
    pub(super) fn config_cores(&self) -> Value {
        let cores = &self.cores;
        let forwarding: Vec<usize> = self.queues.iter().map(|row| row.core).collect();
        json!({
            "forwarding": forwarding,
            "io": cores.io,
            "workers": cores.workers,
            "handshake": cores.handshake,
            "control": cores.control,
            "idle": match cores.idle { Idle::Busy => "busy", Idle::Adaptive => "adaptive" },
        })
    }

    pub(super) fn memory(&self) -> Value {
        let pool = self.report.pool_handle();
        let huge = self.eal.has_huge_pages();
        json!({ "memory": {
            "huge_pages": huge,
            "pool_bytes": crate::dpdk::pool_bytes(pool.size(), pool.data_room(), huge),
            "resident_bytes": memory_bytes(STATUS, "VmRSS"),
            "resident_peak_bytes": memory_bytes(STATUS, "VmHWM"),
            "locked_bytes": memory_bytes(STATUS, "VmLck"),
        }})
    }

    pub(super) fn crypto(&self) -> Value {
        let cpu = CpuFeatures::detect();
        let row = |backend: Backend| {
            json!({
                "backend": backend.name(),
                "in_use": backend == self.backend,
                "runs_here": backend.lack_on(cpu).is_none(),
                "lacks": backend.lack_on(cpu).map(|lack| lack.to_string()),
            })
        };
        json!({ "crypto": Backend::ALL.map(row) })
    }

    pub(super) fn eal_json(&self) -> Value {
        json!({ "eal": { "version": self.eal.version(), "huge_pages": self.eal.has_huge_pages(), "arguments": self.eal.args() } })
    }
}
