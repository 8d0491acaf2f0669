//! What a packet costs when there are many peers, and each packet is another's.

use crate::figures::{Figures, median};
use crate::one_core::{BATCH, OneCore, Way, start};
use fastrand::Rng;

const COUNTS: [u32; 5] = [1, 1000, 10_000, 100_000, 500_000];
/// Rounds, each over every count.
const ROUNDS: usize = 31;
const SIZE: usize = 64;
const SEED: u64 = 0x6375_6c76_6572_7401;

pub fn measure(figures: &mut Figures) {
    let (eal, pool) = start(2 * COUNTS.len() as u32);
    let mut gateways = COUNTS.map(|count| OneCore::new(&eal, &pool, &format!("p{count}"), count, 0));
    // Each peer has sent before, so that the gateway knows its way.
    for (count, gateway) in COUNTS.into_iter().zip(&mut gateways) {
        let mut next = (0..count).cycle();
        for _ in 0..count.div_ceil(BATCH as u32) {
            gateway.batch(Way::Egress, SIZE, || next.next().unwrap());
        }
    }
    let mut rng = Rng::with_seed(SEED);
    let mut taken = COUNTS.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((count, gateway), taken) in COUNTS.into_iter().zip(&mut gateways).zip(&mut taken) {
            // What the gateways before have left in the caches goes out.
            gateway.batch(Way::Egress, SIZE, || rng.u32(..count));
            let took = gateway.batch(Way::Egress, SIZE, || rng.u32(..count));
            if round > 0 {
                taken.push(took.cycles as f64 / took.packets as f64);
            }
        }
    }
    let medians = taken.map(median);
    for (count, cycles) in COUNTS.into_iter().zip(medians) {
        figures.add(
            format!("peers.{count}.egress.{SIZE}.cycles"),
            cycles,
            "TSC cycles a packet, whole path of one core; as many peers with a session, each packet to one that is drawn",
        );
    }
    figures.add("peers.500000_vs_1000", medians[4] / medians[1], "the last of these lines over the second");
}
