//! What the handshake thread of a real gateway can do, by the CPU time that it takes itself.

use crate::crowd;
use crate::crowd::Crowd;
use crate::far::Seen;
use crate::harness::server_identity;
use crate::rig::{Rig, hex, uapi};
use culvert::noise::{HandshakeState, Identity, PeerStatic, Tai64N, os_random};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Initiations under way at once: less than makes the thread ask for cookies, and enough that it never rests.
const UNDER_WAY: u64 = 256;
/// Nothing here takes that long: longer is a hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes before the message in a frame of the wan port.
const HEADERS: usize = 14 + 20 + 8;

/// Configured peers that do nothing but ask for sessions.
pub struct Peers(Vec<(u32, Identity, PeerStatic)>);

impl Peers {
    /// Those of these numbers, in one change by the `wg` socket.
    pub fn add(rig: &Rig, numbers: std::ops::Range<u32>) -> Self {
        let server = server_identity();
        let peer = |number: u32| {
            let mut key = [0x5a; 32];
            // The lowest three bits of the first byte do not count in a private key.
            key[4..8].copy_from_slice(&number.to_le_bytes());
            let identity = Identity::new(&key);
            let to_server = PeerStatic::new(&identity, server.public_key()).unwrap();
            (number, identity, to_server)
        };
        let peers: Vec<_> = numbers.map(peer).collect();
        let mut lines = String::new();
        for (number, identity, _) in &peers {
            let inner = Ipv4Addr::from_bits(0x0a80_0000 + number);
            writeln!(lines, "public_key={}\nallowed_ip={inner}/32", hex(identity.public_key())).unwrap();
        }
        uapi(rig.folder.path(), &lines);
        Self(peers)
    }

    /// A frame with an initiation of each, of this time.
    fn initiations(&self, seconds: u64) -> Vec<Vec<u8>> {
        let time = Tai64N::from_unix(Duration::from_secs(seconds));
        let frame = |(number, identity, server): &(u32, Identity, PeerStatic)| {
            let at = SocketAddr::new(Ipv4Addr::from_bits(0x0c00_0000 + number).into(), 4000);
            let mut state = HandshakeState::new();
            let message = state.create_initiation(identity, server, *number, time, 0, &mut os_random).unwrap();
            crowd::frame(at, &message)
        };
        self.0.iter().map(frame).collect()
    }

    /// Lets each ask once, when the thread is no longer under the load of what came before. Returns its answers per second of its CPU
    /// time.
    pub fn ask(&self, rig: &mut Rig, seconds: u64) -> f64 {
        std::thread::sleep(Duration::from_millis(2 * culvert::control::load::AFTERMATH_MS));
        let mut frames = self.initiations(seconds).into_iter();
        let (count, before, began) = (self.0.len() as u64, cpu_time("handshake-0"), Instant::now());
        let (mut sent, mut answered) = (0, 0);
        while answered < count {
            assert!(began.elapsed() < PATIENCE, "{answered} of {count} answered: {:?}", rig.account());
            let room = (UNDER_WAY - (sent - answered)).min(count - sent);
            // What a full ring leaves in the far end's hands is sent with the next burst.
            rig.wan.offer(0, &mut frames.by_ref().take(room as usize));
            sent = count - frames.len() as u64;
            rig.drain(|_, _, seen| answered += u64::from(kind(&seen) == Some(2)));
            std::thread::yield_now();
        }
        count as f64 / (cpu_time("handshake-0") - before).as_secs_f64()
    }
}

/// The messages that the handshake thread, under load, sorts per second of its CPU time; each asks for a
/// cookie, and as many get one as are given out a second.
pub fn triage(rig: &mut Rig, duration: Duration) -> f64 {
    let flood = flood(10_000);
    let mut frames = flood.iter().cycle().cloned();
    let (began, mut from) = (Instant::now(), None);
    while began.elapsed() < duration {
        rig.wan.offer(0, &mut frames);
        rig.drain(|_, _, _| ());
        // Counted from when it is under load.
        let asked = sorted(rig);
        if from.is_none() && asked > 10_000 {
            from = Some((asked, cpu_time("handshake-0")));
        }
    }
    let (asked, cpu) = from.expect("under load");
    let (asked, cpu) = (sorted(rig) - asked, cpu_time("handshake-0") - cpu);
    rig.settle(|_, _, _| ());
    asked as f64 / cpu.as_secs_f64()
}

/// Messages that were asked for a cookie, or would have been if there were more to give out a second.
fn sorted(rig: &Rig) -> u64 {
    rig.dropped("cookie_sent") + rig.dropped("under_load")
}

/// Initiations with a good mac1 and nothing behind it, from so many spoofed sources.
pub fn flood(sources: u32) -> Vec<Vec<u8>> {
    let mut crowd = Crowd::new();
    (0..sources).map(|number| crowd.spoof(number)).collect()
}

/// The type of a WireGuard message that came out by the wan port.
pub fn kind(seen: &Seen<'_>) -> Option<u8> {
    match seen {
        Seen::Frame(frame) => frame.get(HEADERS).copied(),
        Seen::Empty => None,
    }
}

/// CPU time of the thread of this name in this process; Linux counts it exactly, and shows it in hundredths of a second.
pub fn cpu_time(name: &str) -> Duration {
    let is_it =
        |task: &std::path::Path| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let task = tasks.map(|task| task.unwrap().path()).find(|task| is_it(task)).expect("the thread runs");
    let stat = std::fs::read_to_string(task.join("stat")).unwrap();
    // The name, in parentheses, is the second field; utime and stime are the 14th and the 15th.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|field| field.parse::<u64>().unwrap() * 10).sum())
}
