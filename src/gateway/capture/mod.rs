//! `culvert capture`: what the threads show of their packets ([`crate::shared::Tap`]) goes to a file, by a thread of its own: it may wait for
//! the disk, nobody else does.
//!
//! Who asks makes the file and hands it over with the request. So it lies where, and belongs to whom, the asker may; no path is opened here.

mod file;

use super::report::SharedCounters;
use crate::queue::sync::{Arc, AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::shared::{Seen, Watch};
use file::PacketFile;
pub(super) use file::{Places, TickClock};
use serde_json::{Value, json};
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How often the rings are emptied: a core fills one in some milliseconds.
const TICK: Duration = Duration::from_millis(1);
/// How long a stop waits for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is to be captured.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) watch: Watch,
    /// What it is called, for people.
    pub(super) what: String,
    /// The file's name, for people.
    pub(super) file: String,
    /// Packets, at most.
    pub(super) limit: u32,
    /// Bytes of each, at most.
    pub(super) snap: u32,
}

/// The one capture of a gateway: it runs, is over, or there was none yet.
#[derive(Debug, Default)]
pub(super) struct Capture(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    count: u32,
    last: Option<Run>,
}

#[derive(Debug)]
struct Run {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

/// What a run tells.
#[derive(Debug)]
struct State {
    wanted: Wanted,
    stop: AtomicBool,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    /// How it ended, once it has.
    end: Mutex<Option<Result<&'static str, String>>>,
}

impl Capture {
    /// Begins to write what the owners of `counters` show. Control socket's thread.
    ///
    /// # Errors
    /// One runs already, or the file is none.
    pub(super) fn start(
        &self,
        wanted: Wanted,
        file: File,
        places: &Places,
        clock: TickClock,
        counters: Vec<SharedCounters>,
        core: usize,
    ) -> Result<Value, String> {
        let mut runs = lock(&self.0);
        if runs.last.as_ref().is_some_and(Run::runs) {
            return Err("a capture runs already: see `show capture`, end it by `capture stop`".to_owned());
        }
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", wanted.file);
        let file = PacketFile::begin(file, places, wanted.snap, clock).map_err(|error| failed(&error))?;
        runs.count = runs.count.wrapping_add(1);
        let number = runs.count;
        let zero = || AtomicU64::new(0);
        let (packets, bytes, lost, end) = (zero(), zero(), zero(), Mutex::default());
        let state = Arc::new(State { wanted, stop: AtomicBool::new(false), packets, bytes, lost, end });
        let before: u64 = counters.iter().map(|counters| counters.tap.lost()).sum();
        // Before the thread runs, so that whoever was answered is shown all that comes.
        counters.iter().for_each(|counters| counters.tap.watch(number, &state.wanted.watch));
        let writer = Writer { number, counters, before, file, state: Arc::clone(&state) };
        let thread = Builder::new().name("capture".into()).spawn(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: core });
            writer.run();
        });
        let thread = thread.map_err(|error| format!("no thread for the capture: {error}"))?;
        runs.last = Some(Run { state, thread });
        drop(runs);
        Ok(self.show())
    }

    /// Ends it, and waits a little for what is still to be written.
    ///
    /// # Errors
    /// None runs.
    pub(super) fn stop(&self) -> Result<Value, String> {
        let runs = lock(&self.0);
        let run = runs.last.as_ref().filter(|run| run.runs()).ok_or("no capture runs")?;
        run.stop();
        drop(runs);
        Ok(self.show())
    }

    /// How it stands.
    pub(super) fn show(&self) -> Value {
        let runs = lock(&self.0);
        let Some(state) = runs.last.as_ref().map(|run| &run.state) else {
            return json!({ "capture": { "state": "none" } });
        };
        let (words, error) = match &*lock(&state.end) {
            None => ("running", None),
            Some(Ok(words)) => (*words, None),
            Some(Err(error)) => ("failed", Some(error.clone())),
        };
        let Wanted { what, file, limit, snap, .. } = &state.wanted;
        // Relaxed: figures for people.
        let of = |figure: &AtomicU64| figure.load(Relaxed);
        json!({ "capture": {
            "state": words, "what": what, "file": file, "packets": of(&state.packets), "bytes": of(&state.bytes),
            "lost": of(&state.lost), "limit": limit, "snap": snap, "error": error,
        }})
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(run) = lock(&self.0).last.take() {
            run.stop();
        }
    }
}

impl Run {
    fn runs(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Has it end. A disk that hangs keeps its thread, and nobody else.
    fn stop(&self) {
        // Relaxed: the thread only looks at the flag.
        self.state.stop.store(true, Relaxed);
        let until = Instant::now() + PATIENCE;
        while self.runs() && Instant::now() < until {
            sleep(TICK);
        }
    }
}

/// The thread that writes.
struct Writer {
    number: u32,
    counters: Vec<SharedCounters>,
    /// What was lost before.
    before: u64,
    file: PacketFile,
    state: Arc<State>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        let end = loop {
            // Relaxed: as above. Looked at before the rings are emptied: what was shown until then is written.
            let stopped = self.state.stop.load(Relaxed);
            if stopped {
                self.unwatch();
            }
            match self.write(&mut batch) {
                Err(error) => break Err(error.to_string()),
                Ok(()) if self.is_full() => break Ok("done"),
                Ok(()) if stopped => break Ok("stopped"),
                Ok(()) => sleep(TICK),
            }
        };
        self.unwatch();
        match &end {
            Ok(_) => tracing::info!("capture: {} packets in {}", self.packets(), self.state.wanted.file),
            Err(error) => tracing::warn!("capture: {}: {error}", self.state.wanted.file),
        }
        *lock(&self.state.end) = Some(end);
    }

    fn unwatch(&self) {
        self.counters.iter().for_each(|counters| counters.tap.unwatch());
    }

    fn packets(&self) -> u64 {
        // Relaxed: this thread's own.
        self.state.packets.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.packets() >= u64::from(self.state.wanted.limit)
    }

    /// Writes what all have shown meanwhile, in the order of time.
    fn write(&mut self, batch: &mut Vec<(Seen, Vec<u8>)>) -> Result<(), file::WriteError> {
        let mut bytes = Vec::new();
        for counters in &self.counters {
            // No more than were there at once: whoever shows faster than this takes is not followed for ever.
            let most = batch.len() + MOST;
            while batch.len() < most
                && let Some(seen) = counters.tap.next(&mut bytes)
            {
                // A former run's can come late.
                if seen.run == self.number {
                    batch.push((seen, std::mem::take(&mut bytes)));
                }
            }
        }
        batch.sort_by_key(|(seen, _)| seen.ticks);
        for (seen, bytes) in batch.drain(..) {
            if self.is_full() {
                break;
            }
            self.file.write(&seen, &bytes)?;
            self.state.packets.fetch_add(1, Relaxed);
            self.state.bytes.fetch_add(bytes.len() as u64, Relaxed);
        }
        let lost: u64 = self.counters.iter().map(|counters| counters.tap.lost()).sum();
        self.state.lost.store(lost - self.before, Relaxed);
        self.file.flush()
    }
}

/// Packets that are taken of one thread at a time.
const MOST: usize = 32_768;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
