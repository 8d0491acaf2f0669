//! A flood of initiations at five times what the handshake thread can do (TESTING A11): what tunnels and newcomers see of it.

use crate::client::Client;
use crate::far::Seen;
use crate::handshakes::{Peers, flood, kind};
use crate::packets::{Datagram, tagged};
use crate::rig::{HOST, Options, Rig, cores, lan_frame};
use std::time::{Duration, Instant};

/// Spoofed sources.
const SOURCES: u32 = 10_000;
/// The flood, in units of what the handshake thread can do.
const TIMES: f64 = 5.0;
/// Inner bytes.
const SIZE: usize = 1400;
/// Established tunnels.
const TUNNELS: u8 = 4;
/// What the generator gives at once, at most, before it looks at the clock again.
const BURST: u64 = 256;
/// When the newcomer comes, and when memory is read first.
const WARM: Duration = Duration::from_secs(1);
/// How long the newcomer waits for an answer. With a cookie it tries again at once; the kernel's client waits 5 s with both.
const AGAIN: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Dos {
    /// Initiations of configured peers that the handshake thread answers per second of its CPU time.
    pub handshakes_per_s: f64,
    /// Packets a second that the tunnels carry alone.
    pub alone_pps: f64,
    /// Packets that came through in the flood, of those offered.
    pub goodput: f64,
    /// Initiations of the flood that the gateway's ring took, of those offered.
    pub flooded: f64,
    /// How long the newcomer's handshake took, from its first initiation; `None`: it got none.
    pub newcomer: Option<Duration>,
    /// The newcomer's initiations.
    pub tries: u32,
    /// By how much memory grew after the flood's first second, KiB.
    pub growth_kib: i64,
}

/// A rig whose data path has one core, and control, handshakes and this thread the other.
pub fn rig() -> Rig {
    let rig = Rig::new(&Options { queues: 1, apart: true, max_peers: 8192, ..Options::default() });
    core_affinity::set_for_current(core_affinity::CoreId { id: cores()[1] });
    // This thread is the network: it waits for no handshake. Its rings hold less than what comes in one slice of another thread's time.
    let _needs_root = rustix::process::setpriority_process(None, -15);
    rig
}

/// Floods at most. What others do on this machine only takes away from what comes through: the best counts.
const FLOODS: u8 = 3;
/// What has to come through; a flood in which it does is the last.
pub const GOODPUT: f64 = 0.9;

/// Measures it: `peers` configured ones for the handshake thread's speed, a flood of so long.
pub fn measure(rig: &mut Rig, peers: u32, duration: Duration) -> Dos {
    let mut tunnels: Vec<_> = (1..=TUNNELS).map(Client::new).collect();
    for client in &mut tunnels {
        rig.add(client);
        rig.connect(client, 0);
    }
    let newcomers: Vec<_> = (200..200 + FLOODS).map(Client::new).collect();
    newcomers.iter().for_each(|newcomer| rig.add(newcomer));
    let peers = Peers::add(rig, 0..peers);
    let handshakes_per_s = peers.ask(rig, 1_000_000);
    let alone_pps = alone(rig, &tunnels);
    let mut best: Option<Dos> = None;
    for newcomer in newcomers {
        let mut run = Run::new(rig, &tunnels, newcomer);
        run.go(alone_pps / 2.0, handshakes_per_s * TIMES, duration);
        let dos = Dos {
            handshakes_per_s,
            alone_pps,
            goodput: run.delivered as f64 / run.offered,
            flooded: run.flooded as f64 / run.flood_offered,
            newcomer: run.done,
            tries: run.tries,
            growth_kib: run.growth_kib,
        };
        if best.is_none_or(|best| dos.goodput > best.goodput) {
            best = Some(dos);
        }
        if dos.goodput >= GOODPUT {
            break;
        }
    }
    best.expect("a flood")
}

/// Plain packets of the inner host to the tunnels, in turn.
fn plain(tunnels: &[Client]) -> Vec<Vec<u8>> {
    let packet = |tag: u32| lan_frame(&tagged(HOST, &tunnels[tag as usize % tunnels.len()].inner(), tag, SIZE));
    (0..64).map(packet).collect()
}

/// How many packets a second come out when there are always more.
fn alone(rig: &mut Rig, tunnels: &[Client]) -> f64 {
    let packets = plain(tunnels);
    let mut frames = packets.iter().cycle().cloned();
    let mut best = 0.0_f64;
    // The first second warms up.
    for _ in 0..3 {
        let (began, mut delivered) = (Instant::now(), 0_u64);
        while began.elapsed() < Duration::from_secs(1) {
            rig.lan.offer(0, &mut frames);
            rig.drain(|_, _, seen| delivered += u64::from(kind(&seen) == Some(4)));
        }
        best = best.max(delivered as f64 / began.elapsed().as_secs_f64());
    }
    rig.settle(|_, _, _| ());
    best
}

/// One flood.
struct Run<'a> {
    rig: &'a mut Rig,
    packets: Vec<Vec<u8>>,
    newcomer: Client,
    /// By the clock: what the generator could not make in time counts too.
    offered: f64,
    delivered: u64,
    flood_offered: f64,
    flooded: u64,
    tries: u32,
    /// The newcomer's first and its last initiation.
    asked: Option<(Instant, Instant)>,
    done: Option<Duration>,
    growth_kib: i64,
}

impl<'a> Run<'a> {
    fn new(rig: &'a mut Rig, tunnels: &[Client], newcomer: Client) -> Self {
        let packets = plain(tunnels);
        let (asked, done) = (None, None);
        let (offered, delivered, flood_offered, flooded) = (0.0, 0, 0.0, 0);
        Self {
            rig,
            packets,
            newcomer,
            offered,
            delivered,
            flood_offered,
            flooded,
            tries: 0,
            asked,
            done,
            growth_kib: 0,
        }
    }

    fn go(&mut self, data_pps: f64, flood_pps: f64, duration: Duration) {
        let flood = flood(SOURCES);
        let packets = std::mem::take(&mut self.packets);
        let (mut spoofs, mut data) = (flood.iter().cycle().cloned(), packets.iter().cycle().cloned());
        let (began, mut warm_kib, before) = (Instant::now(), None, self.rig.wan.injected);
        let (mut data_given, mut spoofs_given) = (0, 0);
        while began.elapsed() < duration {
            let now = began.elapsed().as_secs_f64();
            let data_due = ((data_pps * now) as u64 - data_given).min(BURST);
            let spoofs_due = ((flood_pps * now) as u64 - spoofs_given).min(BURST);
            (data_given, spoofs_given) = (data_given + data_due, spoofs_given + spoofs_due);
            give(&mut self.rig.lan, &mut data, data_due);
            give(&mut self.rig.wan, &mut spoofs, spoofs_due);
            if began.elapsed() > WARM {
                warm_kib.get_or_insert_with(resident_kib);
                self.newcomer_tries();
            }
            self.drain();
            if data_due + spoofs_due == 0 {
                std::thread::yield_now();
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        (self.offered, self.flood_offered) = (data_pps * seconds, flood_pps * seconds);
        self.flooded = self.rig.wan.injected - before - u64::from(self.tries);
        self.growth_kib = resident_kib() - warm_kib.unwrap_or_else(resident_kib);
        let mut delivered = 0;
        self.rig.settle(|_, _, seen| delivered += u64::from(kind(&seen) == Some(4)));
        self.delivered += delivered;
    }

    /// Its first initiation; and another one while nothing comes.
    fn newcomer_tries(&mut self) {
        let now = Instant::now();
        if self.done.is_some() || self.asked.is_some_and(|(_, last)| now - last < AGAIN) {
            return;
        }
        self.asked = Some((self.asked.map_or(now, |(first, _)| first), now));
        self.tries_again();
    }

    fn tries_again(&mut self) {
        self.tries += 1;
        let initiation = self.newcomer.initiation();
        let frame = self.newcomer.frame(&initiation);
        give(&mut self.rig.wan, &mut [frame].into_iter(), 1);
    }

    fn drain(&mut self) {
        let at = self.newcomer.at;
        let (mut delivered, mut for_it) = (0, Vec::new());
        self.rig.drain(|_, _, seen| match (kind(&seen), &seen) {
            (Some(4), _) => delivered += 1,
            (Some(2 | 3), Seen::Frame(frame)) => for_it.extend(Datagram::of(frame).filter(|d| d.to == at)),
            _ => {}
        });
        self.delivered += delivered;
        for datagram in for_it {
            if datagram.kind() == 2 && self.newcomer.take_response(&datagram.payload) {
                self.done = self.asked.map(|(first, _)| first.elapsed());
            } else if datagram.kind() == 3 && self.newcomer.take_cookie(&datagram.payload) {
                self.tries_again();
            }
        }
    }
}

/// Puts `count` frames into the port's ring; it waits for nobody: what does not fit waits in the far end's hands.
fn give(far: &mut crate::far::Far, frames: &mut dyn Iterator<Item = Vec<u8>>, count: u64) {
    let mut frames = frames.take(count as usize);
    while !far.offer(0, &mut frames) {
        let (left, _) = frames.size_hint();
        if left == 0 {
            break;
        }
        std::thread::yield_now();
    }
}

/// This process's resident memory.
fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// TESTING A11, with all threads and in real time. Ratios only.
#[test]
fn tunnels_and_newcomers_in_a_flood_at_five_times_the_handshake_threads_speed() {
    let mut rig = rig();
    let dos = measure(&mut rig, 400, Duration::from_secs(4));
    println!("{dos:?}, {:?}", rig.account());
    let sorted = crate::handshakes::triage(&mut rig, Duration::from_secs(1));
    rig.finish();
    assert!(dos.alone_pps > 0.0 && dos.flooded > 0.5, "no flood: {dos:?}");
    assert!(dos.goodput >= GOODPUT, "{dos:?}");
    // The flood goes on for three seconds after it came.
    assert!(dos.newcomer.is_some() && dos.tries <= 2, "{dos:?}");
    assert!(dos.growth_kib < 4096, "{dos:?}");
    assert!(sorted > dos.handshakes_per_s * 2.0 * TIMES, "{sorted} a second sorted, {dos:?}");
}
