//! Where the cycles of a packet go: stage by stage, beside the bare `seal` of ring and boringtun's calls.

use crate::boringtun::Tunnels;
use crate::figures::{Figures, median};
use crate::one_core::{BATCH, OneCore, Way, key, start};
use culvert::dpdk;
use culvert::shared::{Spent, Stage};
use fastrand::Rng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// Peers that packets are drawn from.
const PEERS: u32 = 1024;
/// Rounds, each over everything.
const ROUNDS: usize = 15;
/// Bytes of the inner packets.
const SIZES: [usize; 3] = [64, 576, 1420];
const SEED: u64 = 0x6375_6c76_6572_7400;

/// How peers follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mix {
    /// Each packet's is drawn.
    Uniform,
    /// Eight in a row.
    Bursty,
    /// As [`Mix::Uniform`], behind IPv6, whose datagrams need a UDP checksum.
    UdpSum,
}

impl Mix {
    const ALL: [Self; 3] = [Self::Uniform, Self::Bursty, Self::UdpSum];

    fn name(self) -> &'static str {
        match self {
            Self::Uniform => "",
            Self::Bursty => "bursty.",
            Self::UdpSum => "udp_sum.",
        }
    }

    /// Whose packet is next.
    fn draw(self, mut rng: Rng) -> impl FnMut() -> u32 {
        let (mut count, mut peer) = (0, 0);
        let again = if self == Self::Bursty { 8 } else { 1 };
        move || {
            if count % again == 0 {
                peer = rng.u32(..PEERS);
            }
            count += 1;
            peer + if self == Self::UdpSum { PEERS } else { 0 }
        }
    }
}

/// All rounds of one kind of traffic.
struct Series {
    way: Way,
    size: usize,
    mix: Mix,
    totals: Vec<f64>,
    stages: Vec<[Spent; 7]>,
}

/// All rounds of the others at one size, cycles a packet.
#[derive(Default)]
struct Others {
    ring: Vec<f64>,
    boringtun: [Vec<f64>; 2],
}

pub fn measure(figures: &mut Figures) {
    let (eal, pool) = start(4);
    let mut gateway = OneCore::new(&eal, &pool, "path", PEERS, PEERS);
    let mut ring = Ring::new();
    let mut tunnels = Tunnels::new(PEERS);
    let mut series: Vec<Series> = Vec::new();
    for way in [Way::Egress, Way::Ingress] {
        for size in SIZES {
            series.extend(Mix::ALL.map(|mix| Series { way, size, mix, totals: Vec::new(), stages: Vec::new() }));
        }
    }
    let mut others: [Others; SIZES.len()] = Default::default();
    let mut rng = Rng::with_seed(SEED);
    // The first round warms up.
    for round in 0..=ROUNDS {
        for Series { way, size, mix, totals, stages } in &mut series {
            // Under load the peers are in the caches from the packets before, and not what was measured in between.
            for _ in 0..4 {
                gateway.batch(*way, *size, mix.draw(rng.fork()));
            }
            let took = gateway.batch(*way, *size, mix.draw(rng.fork()));
            let spent = gateway.recorded(*way, *size, mix.draw(rng.fork()));
            if round > 0 {
                totals.push(took.cycles as f64 / took.packets as f64);
                stages.push(spent);
            }
        }
        for (size, others) in SIZES.into_iter().zip(&mut others) {
            let mut draw = || Mix::Uniform.draw(rng.fork());
            ring.seal(size, draw());
            let (sealed, ways) = (ring.seal(size, draw()), [Way::Egress, Way::Ingress]);
            let tunnelled = ways.map(|way| {
                tunnels.pass(way == Way::Egress, size, BATCH, draw());
                tunnels.pass(way == Way::Egress, size, BATCH, draw())
            });
            if round > 0 {
                others.ring.push(sealed);
                others.boringtun.iter_mut().zip(tunnelled).for_each(|(all, one)| all.push(one));
            }
        }
    }
    let pages = if eal.has_huge_pages() { "huge pages" } else { "ordinary pages" };
    for (size, others) in SIZES.into_iter().zip(&others) {
        figures.add(
            format!("path.ring_seal.{size}.cycles"),
            median(others.ring.clone()),
            "ring's bare seal_in_place_separate_tag, as many peers' keys, nothing else",
        );
    }
    for series in &series {
        let others = &others[SIZES.iter().position(|size| *size == series.size).unwrap()];
        report(figures, series, others, pages);
    }
}

fn report(figures: &mut Figures, series: &Series, others: &Others, pages: &str) {
    let Series { way, size, mix, totals, stages } = series;
    let name = format!("path.{}.{size}.{}", way.name(), mix.name());
    let total = median(totals.clone());
    let of =
        |stage: Stage, f: fn(&Spent) -> f64| median(stages.iter().map(|spent| f(&spent[stage as usize])).collect());
    for stage in Stage::ALL {
        let cycles = of(stage, |spent| spent.cycles as f64 / BATCH as f64);
        figures.add(format!("{name}cycles.{}", stage.name()), cycles, "a packet, as `record-core-cycles` counts");
    }
    let per_unit = |spent: &Spent| spent.packets as f64 / spent.units as f64;
    figures.add(
        format!("{name}cycles.total"),
        total,
        format!("TSC cycles a packet, recording off: one thread, polls of 32, {pages}; net_ring hands over pointers, and the far end frees"),
    );
    figures.add(format!("{name}chain"), of(Stage::Handoff, per_unit), "packets a chain");
    figures.add(format!("{name}batch"), of(Stage::Aead, per_unit), "packets a batch of the cipher");
    let aead = of(Stage::Aead, |spent| spent.cycles as f64 / BATCH as f64);
    figures.add(format!("{name}non_aead.cycles"), total - aead, "the total but for the cipher");
    figures.add(format!("{name}vs_ring_seal"), total / median(others.ring.clone()), "the total over ring's bare seal");
    let theirs = others.boringtun[usize::from(*way == Way::Ingress)].clone();
    figures.add(
        format!("{name}vs_boringtun"),
        total / median(theirs),
        "the total over boringtun's encapsulate (ingress: decapsulate) of the same packets, without I/O and lookup",
    );
}

/// ring's keys, one a peer, and a batch of buffers.
struct Ring {
    keys: Vec<LessSafeKey>,
    buffers: Vec<Vec<u8>>,
    counter: u64,
}

impl Ring {
    fn new() -> Self {
        let of = |number| LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key(number)).unwrap());
        Self { keys: (0..PEERS).map(of).collect(), buffers: vec![vec![0x5a; 2048]; BATCH], counter: 0 }
    }

    /// Cycles a packet.
    fn seal(&mut self, size: usize, mut peers: impl FnMut() -> u32) -> f64 {
        let peers: Vec<u32> = (0..BATCH).map(|_| peers()).collect();
        let before = dpdk::tsc();
        for (buffer, peer) in self.buffers.iter_mut().zip(peers) {
            self.counter += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&self.counter.to_le_bytes());
            let (text, rest) = buffer.split_at_mut(size);
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self.keys[peer as usize].seal_in_place_separate_tag(nonce, Aad::empty(), text).unwrap();
            rest[..16].copy_from_slice(tag.as_ref());
        }
        (dpdk::tsc() - before) as f64 / BATCH as f64
    }
}
