//! `set verbose`: the packets that streams show, a line each as testpmd has them. A stream leaves a few words of each in a ring of its own,
//! from which another thread prints; what finds no room there is counted, and forwarding waits for nobody.

use super::stream::{Ends, Way};
use crate::frame::{BURST, Frame};
use crate::gateway::port_rows::mac;
use crate::peer::Tally;
use crate::queue::Records;
use crate::queue::sync::{Arc, AtomicBool, AtomicU8, Ordering::Relaxed};
use crate::wire::ethernet;
use arrayvec::ArrayVec;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// The greatest level: what is received (1) and what is sent (2).
pub(super) const MOST: u8 = 3;
/// Words of a stream's ring: some 600 whole bursts.
const ROOM: usize = 1 << 16;
/// Bytes that are noted of a packet: its Ethernet header, its length, its segments, and its hash behind whether it has one.
const NOTE: usize = ethernet::HEADER_LEN + 4 + 2 + 1 + 4;
/// Bursts a stream that are printed at a time, at most.
const MOST_BURSTS: usize = 256;
/// How often somebody looks whether there is something to print.
const TICK: Duration = Duration::from_millis(5);

/// What a stream shows of its packets.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// A bit each: what is received, what is sent. main: w, stream's thread: r
    level: AtomicU8,
    /// Made by the main thread before the level is set. stream's thread: pushes, whoever has the [`Viewer`]'s lock: pops
    records: OnceLock<Records>,
    /// Packets that found no room. stream's thread: w, anyone: r
    lost: Tally,
}

impl Shown {
    /// From the next burst on. Main thread.
    fn set(&self, level: u8) {
        if level > 0 {
            self.records.get_or_init(|| Records::new(ROOM));
        }
        // Relaxed: a wish; the ring is published by its lock.
        self.level.store(level, Relaxed);
    }

    /// Shows a burst before it is worked on, or before it is sent, if that is wanted. The stream's thread.
    #[inline]
    pub(super) fn look<E: Ends>(&self, sent: bool, burst: &[E::Packet]) {
        // Relaxed: as above.
        if self.level.load(Relaxed) & (1 << u8::from(sent)) != 0 && !burst.is_empty() {
            self.push::<E>(sent, burst);
        }
    }

    #[cold]
    fn push<E: Ends>(&self, sent: bool, burst: &[E::Packet]) {
        let Some(records) = self.records.get() else { return };
        let mut notes = ArrayVec::<[u8; NOTE], BURST>::new();
        for packet in burst.iter().take(BURST) {
            let (segments, hash) = E::segments_and_hash(packet);
            let mut note = [0; NOTE];
            // What is shorter than a header is shown as far as it goes, in front of zeros.
            let (header, rest) = note.split_at_mut(ethernet::HEADER_LEN);
            header.iter_mut().zip(packet.data()).for_each(|(to, from)| *to = *from);
            let len = u32::try_from(packet.total_len()).unwrap_or(u32::MAX).to_be_bytes();
            let (is_hashed, hash) = ([u8::from(hash.is_some())], hash.unwrap_or(0).to_be_bytes());
            let numbers = len.into_iter().chain(segments.to_be_bytes()).chain(is_hashed).chain(hash);
            rest.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
            notes.push(note);
        }
        if !records.push(&[u64::from(sent)], notes.as_flattened()) {
            self.lost.add(notes.len() as u64);
        }
    }
}

/// All streams of a run, for whoever prints what they show.
#[derive(Debug, Default)]
pub(super) struct Viewer {
    streams: Mutex<Vec<Watched>>,
    /// Of the packets, for people.
    pool: String,
}

#[derive(Debug)]
struct Watched {
    way: Way,
    shown: Arc<Shown>,
    /// How many of the lost were told of.
    told: u64,
}

impl Viewer {
    pub(super) fn new(pool: &str) -> Self {
        Self { streams: Mutex::default(), pool: pool.to_owned() }
    }

    /// These streams show their packets from now on, at this level. Main thread, before they run.
    pub(super) fn watch(&self, streams: impl Iterator<Item = (Way, Arc<Shown>)>, level: u8) {
        let watched = |(way, shown): (Way, Arc<Shown>)| {
            shown.set(level);
            Watched { way, shown, told: 0 }
        };
        *self.lock() = streams.map(watched).collect();
    }

    /// What is shown from now on. Main thread.
    pub(super) fn set(&self, level: u8) {
        self.lock().iter().for_each(|watched| watched.shown.set(level));
    }

    /// What was shown meanwhile, as text; a bounded piece of it. Any thread but those that forward.
    pub(super) fn take(&self) -> String {
        let mut text = String::new();
        let mut bytes = Vec::new();
        for Watched { way, shown, told } in &mut *self.lock() {
            let Some(records) = shown.records.get() else { continue };
            for _ in 0..MOST_BURSTS {
                let Some([sent]) = records.pop(&mut bytes) else { break };
                burst(&mut text, way, sent != 0, &bytes, &self.pool);
            }
            let lost = shown.lost.get();
            if lost > *told {
                let packets = lost - *told;
                let (port, queue) = (way.rx_port, way.rx_queue);
                let _ = writeln!(text, "port {port}/queue {queue}: {packets} packets more than could be shown");
                *told = lost;
            }
        }
        text
    }

    /// All of it, if nothing more is shown meanwhile.
    pub(super) fn take_all(&self) -> String {
        let pieces = std::iter::repeat_with(|| self.take()).take_while(|piece| !piece.is_empty());
        pieces.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// testpmd's lines of a burst, without those that tell of offloads.
fn burst(text: &mut String, way: &Way, sent: bool, notes: &[u8], pool: &str) {
    let (port, queue, verb, noun) = match sent {
        false => (way.rx_port, way.rx_queue, "received", "Receive"),
        true => (way.tx_port, way.tx_queue, "sent", "Send"),
    };
    let _ = writeln!(text, "port {port}/queue {queue}: {verb} {} packets", notes.len() / NOTE);
    for note in notes.as_chunks::<NOTE>().0 {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1, rest @ ..] = *note;
        let [l0, l1, l2, l3, n0, n1, hashed, hash @ ..] = rest;
        let (dst, src) = (mac([d0, d1, d2, d3, d4, d5]), mac([s0, s1, s2, s3, s4, s5]));
        let (kind, len) = (u16::from_be_bytes([t0, t1]), u32::from_be_bytes([l0, l1, l2, l3]));
        let segments = u16::from_be_bytes([n0, n1]);
        let _ = write!(
            text,
            "  src={src} - dst={dst} - pool={pool} - type=0x{kind:04x} - length={len} - nb_segs={segments}"
        );
        if hashed != 0 {
            let _ = write!(text, " - RSS hash=0x{:x} - RSS queue=0x{queue:x}", u32::from_be_bytes(hash));
        }
        let _ = writeln!(text, " - {noun} queue=0x{queue:x}");
    }
}

/// Whoever takes text to where people see it.
pub(super) type Print = Box<dyn FnMut(String) + Send>;

/// The thread that prints, from its making until it is dropped.
#[derive(Debug)]
pub(super) struct Printer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Printer {
    /// # Errors
    /// No thread.
    pub(super) fn start(viewer: Arc<Viewer>, print: Arc<Mutex<Print>>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            // Relaxed: only looked at.
            while !stopped.load(Relaxed) {
                let text = viewer.take();
                if text.is_empty() {
                    sleep(TICK);
                } else {
                    print.lock().unwrap_or_else(PoisonError::into_inner)(text);
                }
            }
        };
        Ok(Self { stop, thread: Some(Builder::new().name("verbose".to_owned()).spawn(work)?) })
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        // Relaxed: only looked at.
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Writes to the standard output; who reads no more has had enough.
pub(super) fn to_stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
