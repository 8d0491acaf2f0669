//! What it costs to hand a packet from one core to another by its peer's queue, and what a queue of the kernel's shape and a ring a
//! peer cost for the same packets in the same run.

mod bytes;
mod drive;
mod shapes;

use crate::figures::{Figures, median};
use drive::{Cores, Cost, Form, drive};
use shapes::{Consume, Way};

/// Rounds of each, in turn.
const ROUNDS: usize = 11;
/// Packets a round.
const PACKETS: usize = 64 * 3000;
/// Packets that there are.
const STOCK: u32 = 4096;
const CHAINS: [usize; 3] = [1, 8, 32];

/// What a round of all three costs.
struct Round {
    ours: Cost,
    kernel: Cost,
    ring: Cost,
}

pub fn measure(figures: &mut Figures) {
    bytes::measure(figures);
    let cores = Cores::new();
    let mut ours = shapes::ours(STOCK);
    let mut kernel = shapes::kernel(STOCK);
    let mut rings = shapes::rings(STOCK);
    for (form, suffix, how) in [
        (Form::TwoCores, "", "producer and consumer on two cores"),
        (Form::OneCore, ".one_core", "both on one core, a burst each in turn, all in its caches"),
        (Form::Contended, ".contended", "both cores push, the second pops as well"),
    ] {
        let mut partial = 0.0;
        for chain in CHAINS {
            let before = ours.consumer.partial();
            let mut round = || Round {
                ours: drive(&mut ours, form, chain, PACKETS, cores),
                kernel: drive(&mut kernel, form, chain, PACKETS, cores),
                ring: drive(&mut rings, form, chain, PACKETS, cores),
            };
            round();
            let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
            partial = share(before, &ours);
            report(figures, &rounds, chain, suffix, how);
        }
        figures.add(
            format!("queue.partial_add_share{suffix}"),
            partial,
            format!(
                "visits of a peer that was announced and had nothing to take yet, since a producer was not done, of all: {how}, chains of 32; \
                 counted"
            ),
        );
    }
}

/// Partial adds met since, a visit.
fn share<I, O: Consume>(before: (u64, u64), way: &Way<I, O>) -> f64 {
    let (visits, partial) = way.consumer.partial();
    (partial - before.1) as f64 / (visits - before.0) as f64
}

fn report(figures: &mut Figures, rounds: &[Round], chain: usize, suffix: &str, how: &str) {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    figures.add(
        format!("queue.push.chain{chain}.ns{suffix}"),
        of(|r| r.ours.push),
        format!("a packet, of {} peers in turn: looked up, linked, exchanged, ready list; {how}", shapes::PEERS),
    );
    figures.add(
        format!("queue.pop.chain{chain}.ns{suffix}"),
        of(|r| r.ours.pop),
        "a packet: ready list, claim, pop with ticket and back to idle, the turn, and the first look at what the producer noted beside \
         the link",
    );
    if chain != 32 {
        return;
    }
    for (name, what, push, pop) in [
        (
            "kernel_shape",
            "an exchange, a bounded count and a link store a packet; waking is left out",
            (|r| r.kernel.push) as fn(&Round) -> f64,
            (|r| r.kernel.pop) as fn(&Round) -> f64,
        ),
        (
            "ring",
            "1,024 slots, the steps of rte_ring for several producers and one consumer; waking is left out",
            |r| r.ring.push,
            |r| r.ring.pop,
        ),
    ] {
        figures.add(format!("queue.{name}.push.chain32.ns{suffix}"), of(push), format!("the same packets: {what}"));
        figures.add(
            format!("queue.{name}.pop.chain32.ns{suffix}"),
            of(pop),
            "and taken out, with the look at what was noted",
        );
    }
    let against = "(push + pop) of chains of 32, ours over theirs, median of the rounds' ratios";
    figures.add(
        format!("queue.vs_kernel_shape{suffix}"),
        of(|r| r.ours.both() / r.kernel.both()),
        format!("{against}; {how}"),
    );
    figures.add(format!("queue.vs_ring{suffix}"), of(|r| r.ours.both() / r.ring.both()), format!("{against}; {how}"));
}
