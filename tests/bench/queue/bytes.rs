//! What the queues of a peer take of memory.

use super::shapes::{Notes, Ring};
use crate::figures::Figures;
use culvert::dpdk::Mbuf;
use culvert::peer::Peer;
use culvert::queue::{Boxed, Domain, Flow, Flows};

/// Flows that are made to see what they take.
const FLOWS: u32 = 200_000;
/// As large as a peer, and nothing in it.
type Body = [u64; size_of::<Peer>() / 8];

pub fn measure(figures: &mut Figures) {
    let queues = Flow::<Mbuf, Peer>::QUEUES_BYTES;
    figures.add(
        "queue.bytes_per_peer",
        queues as f64,
        format!(
            "both directions, by size_of: queue, tickets, ready link, and the list of what waits for a session; \
             they lie in the peer itself (Flow: {} bytes, of which the peer has {})",
            size_of::<Flow<Mbuf, Peer>>(),
            size_of::<Peer>()
        ),
    );
    // Both are kept until the end: what is given back is not gone from resident memory.
    let start = resident();
    let bodies: Vec<_> = (0..FLOWS).map(|_| Box::new([1_u64; size_of::<Body>() / 8])).collect();
    let without = resident();
    let (flows, _, _, mut owner) = Flows::<Boxed<Notes>, Body>::new(FLOWS, 1, Domain::new(1));
    (0..FLOWS).for_each(|_| assert!(owner.insert_with(|_| [1; size_of::<Body>() / 8]).is_some()));
    let with = resident();
    let a_flow = |from: u64, to: u64| (to as f64 - from as f64) / f64::from(FLOWS);
    let allocated = a_flow(without, with) - a_flow(start, without);
    drop((bodies, flows, owner));
    figures.add(
        "queue.bytes_per_peer.allocated",
        allocated,
        format!(
            "resident memory of {FLOWS} flows over that of as many bodies of a peer's size alone: also the timer thread's link, the number, \
             the table, and what the allocator adds to a flow that begins on a cache line"
        ),
    );
    figures.add(
        "queue.bytes_per_peer.ring",
        2.0 * Ring::BYTES as f64,
        "two rings of 1,024 slots of 8 bytes, both ends on cache lines of their own (the kernel's two ring buffers took 18,688 before \
         Linux 8b5553ace8, and 1,856 of allocation after it, both by its description)",
    );
}

/// Bytes of memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
}
