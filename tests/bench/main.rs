//! `make figures`: what culvert can do, in numbers that are measured here and now. A table for people, `target/figures.json` for
//! programs: a flat map from name to number.
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

mod boringtun;

use handshakes::{Peers, triage};
use std::fmt::Write as _;
use std::time::Duration;

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

/// One number.
struct Figure {
    name: &'static str,
    value: f64,
    what: String,
}

/// Peers of the handshake figures.
const PEERS: u32 = 4000;
/// Handshakes of each, ours and boringtun's in turn.
const ROUNDS: u64 = 4;
/// How long the flood goes on.
const FLOOD: Duration = Duration::from_secs(5);

fn main() {
    let mut figures = Vec::new();
    let mut rig = dos::rig();
    let dos = dos::measure(&mut rig, 1000, FLOOD);
    handshakes(&mut figures, &mut rig);
    attack(&mut figures, dos);
    rig.finish();
    print(&figures);
    let map: serde_json::Map<_, _> = figures.iter().map(|f| (f.name.to_owned(), f.value.into())).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/figures.json");
    std::fs::write(path, format!("{:#}\n", serde_json::Value::from(map))).unwrap();
    println!("\nwritten to target/figures.json");
}

fn handshakes(figures: &mut Vec<Figure>, rig: &mut rig::Rig) {
    let peers = Peers::add(rig, 1000..1000 + PEERS);
    let first = peers.ask(rig, 2_000_000);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ours.push(peers.ask(rig, 2_000_000 + round));
        theirs.push(boringtun::answers_per_s(500));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let mut add = |name, value, what| figures.push(Figure { name, value, what });
    add(
        "handshake.responder_per_s_core",
        first,
        format!(
            "initiations of {PEERS} configured peers, the first of each, that the handshake thread of a whole gateway over net_ring \
             answers: mac1, open, the static product, response, session installed, sent; at most 256 wait"
        ),
    );
    add(
        "handshake.responder_again_per_s_core",
        ours,
        format!("the same peers' next initiations, median of {ROUNDS} rounds"),
    );
    add(
        "handshake.responder_vs_boringtun",
        ours / theirs,
        format!(
            "the line above over boringtun 0.7's {theirs:.0} a second (parse_handshake_anon and decapsulate, as its device does), in turn with it"
        ),
    );
    let sorted = triage(rig, Duration::from_secs(3));
    add(
        "handshake.triage_per_s_core",
        sorted,
        "initiations with a good mac1 and no cookie that the handshake thread, under load, is done with: mac1, cookie, reply sent \
         (to 100,000 a second at most)"
            .to_owned(),
    );
}

fn attack(figures: &mut Vec<Figure>, dos: dos::Dos) {
    let over = format!(
        "flood of initiations with a good mac1 from 10,000 spoofed sources, {} s at five times {:.0} a second, {:.0} % of it received; 4 \
         tunnels, 1,400 bytes inside, network to client, one data core; generator, handshakes and control on the other",
        FLOOD.as_secs(),
        dos.handshakes_per_s,
        dos.flooded * 100.0
    );
    let mut add = |name, value, what| figures.push(Figure { name, value, what });
    add(
        "dos.goodput_ratio",
        dos.goodput,
        format!(
            "packets delivered of those offered, half of what goes alone, in the best of up to three floods; {over}"
        ),
    );
    add("dos.alone_pps", dos.alone_pps, "what the tunnels carry alone, packets a second, in the same run".to_owned());
    let newcomer_ms = dos.newcomer.map_or(f64::INFINITY, |took| took.as_secs_f64() * 1000.0);
    add(
        "dos.newcomer_ms",
        newcomer_ms,
        format!(
            "first initiation to response of a client that comes during it, {} tries; with a cookie it tries at once",
            dos.tries
        ),
    );
    add("dos.memory_growth_kib", dos.growth_kib as f64, "resident memory, from its first second to its end".to_owned());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A line of the table is as long as a terminal is wide; what does not fit goes on below.
fn print(figures: &[Figure]) {
    let wide = figures.iter().map(|f| f.name.len()).max().unwrap_or(0);
    for Figure { name, value, what } in figures {
        let digits = if *value < 100.0 { 3 } else { 0 };
        let mut text = format!("{name:wide$}  {value:>12.digits$}  ");
        let (indent, mut at) = (text.len(), text.len());
        for word in what.split_whitespace() {
            if at + word.len() > 130 {
                write!(text, "\n{:indent$}", "").unwrap();
                at = indent;
            }
            write!(text, "{word} ").unwrap();
            at += word.len() + 1;
        }
        println!("{}", text.trim_end());
    }
}
