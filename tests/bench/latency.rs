//! How long a packet is inside a gateway that runs: from the ring of one port to the ring of another.

use crate::client::Client;
use crate::figures::{Figures, median};
use crate::handshakes::kind;
use crate::packets::tagged;
use crate::rig::{HOST, Options, Rig, cores, lan_frame};
use culvert::frame::{Frame, PacketPool};
use std::time::{Duration, Instant};

/// Inner bytes.
const SIZE: usize = 1400;
/// Rounds of each load, in turn.
const ROUNDS: usize = 9;
/// How long a round sends.
const ROUND: Duration = Duration::from_millis(400);
/// How long it waits for what is under way at most; then packets were lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// Packets that are sent at once, at most, when the generator was late.
const LATE: usize = 8;

/// Where the cores never sleep.
pub fn busy(figures: &mut Figures) {
    measure(figures, "busy");
}

/// Where they sleep 50 µs at a time when nothing has come for 100 µs.
pub fn adaptive(figures: &mut Figures) {
    measure(figures, "adaptive");
}

fn measure(figures: &mut Figures, idle: &'static str) {
    let mut rig = Rig::new(&Options { queues: 1, apart: true, idle, ..Options::default() });
    assert!(core_affinity::set_for_current(core_affinity::CoreId { id: cores()[1] }));
    // This thread is the network, and the clock: control and handshakes, on the same core, wait for it.
    let _needs_root = rustix::process::setpriority_process(None, -15);
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let frame = lan_frame(&tagged(HOST, &client.inner(), 0, SIZE));
    let most = median((0..ROUNDS).map(|_| capacity(&mut rig, &frame)).collect());
    let loads = [(0.1, ""), (0.9, "load90.")];
    let mut rounds = [const { Vec::new() }; 2];
    let mut lost = [0; 2];
    for _ in 0..ROUNDS {
        for (((load, _), rounds), lost) in loads.into_iter().zip(&mut rounds).zip(&mut lost) {
            match round(&mut rig, &frame, most * load) {
                Some(latencies) => rounds.push(latencies),
                None => *lost += 1,
            }
        }
    }
    rig.finish();
    for (((load, name), rounds), lost) in loads.into_iter().zip(rounds).zip(lost) {
        report(figures, &format!("latency.{idle}.{name}"), &rounds, lost, most, load);
    }
}

fn report(figures: &mut Figures, name: &str, rounds: &[Vec<u64>], lost: usize, most: f64, load: f64) {
    let packets: usize = rounds.iter().map(Vec::len).sum();
    let what = format!(
        "µs from the inner port's ring to the outer one's, one peer, {SIZE} bytes inside, {:.0} packets a second, {:.0} % of what goes \
         through; the data path alone on one core, the generator with control and handshakes on the other, whose slices are in the tail; \
         {packets} packets, median of {} rounds{}",
        most * load,
        load * 100.0,
        rounds.len(),
        if lost > 0 { format!(", {lost} more lost packets and do not count") } else { String::new() },
    );
    for (share, quantile) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p999")] {
        if rounds.is_empty() {
            eprintln!("!!! {name}{quantile}_us: left out, every round lost packets");
            continue;
        }
        let of_round = |latencies: &Vec<u64>| latencies[(latencies.len() as f64 * share) as usize] as f64 / 1000.0;
        figures.add(format!("{name}{quantile}_us"), median(rounds.iter().map(of_round).collect()), what.as_str());
    }
}

/// Packets a second that come out when there are always more.
fn capacity(rig: &mut Rig, frame: &[u8]) -> f64 {
    let mut frames = std::iter::repeat_with(|| frame.to_vec());
    let (began, mut delivered) = (Instant::now(), 0_u64);
    while began.elapsed() < ROUND {
        rig.lan.offer(0, &mut frames);
        rig.drain(|_, _, seen| delivered += u64::from(kind(&seen) == Some(4)));
    }
    let rate = delivered as f64 / began.elapsed().as_secs_f64();
    rig.settle(|_, _, _| ());
    rate
}

/// Sends at this rate; nanoseconds of each packet, sorted. One peer's packets keep their order, so the n-th that comes is the n-th that
/// was sent. `None`: some were lost.
fn round(rig: &mut Rig, frame: &[u8], rate: f64) -> Option<Vec<u64>> {
    let count = (rate * ROUND.as_secs_f64()) as usize;
    let mut sent = Vec::with_capacity(count);
    let mut latencies = Vec::with_capacity(count);
    let began = Instant::now();
    while latencies.len() < count {
        let since = began.elapsed();
        if since > ROUND + PATIENCE {
            rig.settle(|_, _, _| ());
            return None;
        }
        let due = ((since.as_secs_f64() * rate) as usize + 1).min(count).saturating_sub(sent.len()).min(LATE);
        for _ in 0..due {
            let Some(mut mbuf) = rig.pool.alloc() else { break };
            mbuf.append(frame.len()).unwrap().copy_from_slice(frame);
            sent.push(Instant::now());
            rig.lan.inject(0, mbuf);
        }
        rig.drain(|_, _, seen| {
            if kind(&seen) == Some(4)
                && let Some(at) = sent.get(latencies.len())
            {
                latencies.push(at.elapsed().as_nanos() as u64);
            }
        });
    }
    rig.settle(|_, _, _| ());
    latencies.sort_unstable();
    Some(latencies)
}
