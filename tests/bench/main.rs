//! `make figures`: what culvert can do, in numbers that are measured here and now. A table for people, `target/figures.json` for
//! programs: a flat map from name to number. `make figures ONLY="handshake"` measures these groups and leaves the others' numbers.
//!
//! A group is a process of its own: DPDK starts once in each, and none finds the caches and the pool of another.
//!
//! Rates "a core" are per second of CPU time of the thread that does the work: what else the machine does is left out, but not the
//! caches that it takes. Nothing here passes or fails; the tests do.

#![expect(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "as in tests")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates and bytes that are made up")]

#[path = "../gateway/client.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod client;
#[path = "../gateway/crowd.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod crowd;
#[path = "../ring/dos.rs"]
mod dos;
#[path = "../ring/far.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod far;
#[path = "../ring/handshakes.rs"]
mod handshakes;
#[path = "../gateway/packets.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod packets;
#[path = "../ring/rig.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod rig;

mod aead;
mod attack;
mod boringtun;
mod end_to_end;
mod figures;
mod latency;
mod one_core;
mod path;
mod peers;
mod queue;
mod workers;

use figures::Figures;
use std::process::{Command, ExitCode};

/// What the shared modules ask of their surroundings.
mod harness {
    use culvert::noise::Identity;
    use culvert::wire::MacAddr;

    pub const LISTEN_PORT: u16 = 51820;
    /// net_ring has no address of its own.
    pub const WAN_MAC: MacAddr = MacAddr::ZERO;
    pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
    pub const SERVER_KEY: [u8; 32] = [0xaa; 32];

    pub fn server_identity() -> Identity {
        Identity::new(&SERVER_KEY)
    }
}

/// The groups, in the order of the table.
const GROUPS: &[(&str, Measure)] = &[
    ("aead", aead::measure),
    ("queue", queue::measure),
    ("path", path::measure),
    ("peers", peers::measure),
    ("workers", workers::measure),
    ("latency.busy", latency::busy),
    ("latency.adaptive", latency::adaptive),
    ("handshake", attack::measure),
    ("end_to_end", end_to_end::measure),
];

type Measure = fn(&mut Figures);

/// As culvertd has it.
#[global_allocator]
static HEAP: culvert::dpdk::HugePageHeap = culvert::dpdk::HugePageHeap::new();

/// With the name of one group: measures it. With several, or none for all: a process for each.
fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|name| GROUPS.iter().all(|(group, _)| group != name)) {
        let names: Vec<_> = GROUPS.iter().map(|&(group, _)| group).collect();
        eprintln!("figures: there is no group {unknown}; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    if let [only] = &asked[..] {
        let (_, measure) = GROUPS.iter().find(|(group, _)| group == only).unwrap();
        let mut figures = Figures::default();
        measure(&mut figures);
        figures.print();
        figures.write();
        return ExitCode::SUCCESS;
    }
    println!("{}", figures::machine());
    if asked.is_empty() {
        Figures::forget();
    }
    let mut failed = false;
    for (group, _) in GROUPS.iter().filter(|(group, _)| asked.is_empty() || asked.iter().any(|name| name == group)) {
        println!("\n== {group}");
        let status = Command::new(std::env::current_exe().unwrap()).arg(group).status().unwrap();
        if !status.success() {
            eprintln!("figures: {group} failed: {status}");
            failed = true;
        }
    }
    println!("\nwritten to target/figures.json");
    ExitCode::from(u8::from(failed))
}
