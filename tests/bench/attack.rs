//! What a core answers of handshakes, and what tunnels see of a flood of them.

use crate::figures::{Figures, median};
use crate::handshakes::{Peers, triage};
use crate::{boringtun, dos, rig};
use std::time::Duration;

/// Peers of the handshake figures.
const PEERS: u32 = 4000;
/// Handshakes of each, ours and boringtun's in turn.
const ROUNDS: u64 = 4;
/// How long the flood goes on.
const FLOOD: Duration = Duration::from_secs(5);

pub fn measure(figures: &mut Figures) {
    let mut rig = dos::rig();
    let dos = dos::measure(&mut rig, 1000, FLOOD);
    handshakes(figures, &mut rig);
    attack(figures, dos);
    rig.finish();
}

fn handshakes(figures: &mut Figures, rig: &mut rig::Rig) {
    let peers = Peers::add(rig, 1000..1000 + PEERS);
    let first = peers.ask(rig, 2_000_000);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ours.push(peers.ask(rig, 2_000_000 + round));
        theirs.push(boringtun::answers_per_s(500));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    figures.add(
        "handshake.responder_per_s_core",
        first,
        format!(
            "initiations of {PEERS} configured peers, the first of each, that the handshake thread of a whole gateway over net_ring \
             answers: mac1, open, the static product, response, session installed, sent; at most 256 wait"
        ),
    );
    figures.add(
        "handshake.responder_again_per_s_core",
        ours,
        format!("the same peers' next initiations, median of {ROUNDS} rounds"),
    );
    figures.add(
        "handshake.responder_vs_boringtun",
        ours / theirs,
        format!(
            "the line above over boringtun 0.7's {theirs:.0} a second (parse_handshake_anon and decapsulate, as its device does), in turn with it"
        ),
    );
    let sorted = triage(rig, Duration::from_secs(3));
    figures.add(
        "handshake.triage_per_s_core",
        sorted,
        "initiations with a good mac1 and no cookie that the handshake thread, under load, is done with: mac1, cookie, reply sent \
         (to 100,000 a second at most)",
    );
}

fn attack(figures: &mut Figures, dos: dos::Dos) {
    let over = format!(
        "flood of initiations with a good mac1 from 10,000 spoofed sources, {} s at five times {:.0} a second, {:.0} % of it received; 4 \
         tunnels, 1,400 bytes inside, network to client, one data core; generator, handshakes and control on the other",
        FLOOD.as_secs(),
        dos.handshakes_per_s,
        dos.flooded * 100.0
    );
    figures.add(
        "dos.goodput_ratio",
        dos.goodput,
        format!(
            "packets delivered of those offered, half of what goes alone, in the best of up to three floods; {over}"
        ),
    );
    figures.add("dos.alone_pps", dos.alone_pps, "what the tunnels carry alone, packets a second, in the same run");
    let newcomer_ms = dos.newcomer.map_or(f64::INFINITY, |took| took.as_secs_f64() * 1000.0);
    figures.add(
        "dos.newcomer_ms",
        newcomer_ms,
        format!(
            "first initiation to response of a client that comes during it, {} tries; with a cookie it tries at once",
            dos.tries
        ),
    );
    figures.add("dos.memory_growth_kib", dos.growth_kib as f64, "resident memory, from its first second to its end");
}
