//! `culvert capture`: what the threads show of their packets ([`crate::shared::Tap`]) goes to a file, by a thread of its own: it may wait for
//! the disk, nobody else does.
//!
//! Who asks makes the file and hands it over with the request. So it lies where, and belongs to whom, the asker may; no path is opened here.

mod file;

use super::one_peer::OnePeer;
use super::report::SharedCounters;
use crate::queue::sync::{Arc, AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::shared::{RING_BYTES, Seen, Watch};
use file::PacketFile;
pub(super) use file::{Places, TickClock};
use serde_json::{Value, json};
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

/// How often the rings are emptied: a core fills one in some milliseconds.
const TICK: Duration = Duration::from_millis(1);
/// How long a stop waits for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is to be captured.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) watch: Watch,
    /// Whose packets `watch` looks at, if it is one peer's: without him the capture ends.
    pub(super) peer: Option<OnePeer>,
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
    last: Option<Arc<State>>,
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
    /// Begins to write what the owners of `counters` show. Control socket's thread, which does not wait for the disk: how the file took it,
    /// [`Self::show`] tells.
    ///
    /// # Errors
    /// One runs already, or there is no thread.
    pub(super) fn start(
        &self,
        wanted: Wanted,
        file: File,
        places: Places,
        clock: TickClock,
        counters: Vec<SharedCounters>,
        core: usize,
    ) -> Result<Value, String> {
        let mut runs = lock(&self.0);
        if runs.last.as_ref().is_some_and(|state| state.runs()) {
            return Err("a capture runs already: see `show capture`, end it by `capture stop`".to_owned());
        }
        runs.count = runs.count.wrapping_add(1);
        let number = runs.count;
        let zero = || AtomicU64::new(0);
        let (packets, bytes, lost, end) = (zero(), zero(), zero(), Mutex::default());
        let state = Arc::new(State { wanted, stop: AtomicBool::new(false), packets, bytes, lost, end });
        let before: u64 = counters.iter().map(|counters| counters.tap.lost()).sum();
        // Before the thread runs, so that whoever was answered is shown all that comes.
        counters.iter().for_each(|counters| counters.tap.watch(number, &state.wanted.watch));
        let writer = Writer { number, counters, before, state: Arc::clone(&state), end: None };
        let thread = Builder::new().name("capture".into()).spawn(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: core });
            writer.run(file, places, clock);
        });
        thread.map_err(|error| format!("no thread for the capture: {error}"))?;
        runs.last = Some(state);
        drop(runs);
        Ok(self.show())
    }

    /// Ends it, and waits a little for what is still to be written. A thread that may wait.
    ///
    /// # Errors
    /// None runs.
    pub(super) fn stop(&self) -> Result<Value, String> {
        // Others may look meanwhile.
        let state = lock(&self.0).last.clone().filter(|state| state.runs()).ok_or("no capture runs")?;
        state.stop();
        Ok(self.show())
    }

    /// How it stands.
    pub(super) fn show(&self) -> Value {
        let runs = lock(&self.0);
        let Some(state) = &runs.last else {
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
        if let Some(state) = lock(&self.0).last.take() {
            state.stop();
        }
    }
}

impl State {
    fn runs(&self) -> bool {
        lock(&self.end).is_none()
    }

    /// Has it end. A disk that hangs keeps its thread, and nobody else.
    fn stop(&self) {
        // Relaxed: the thread only looks at the flag.
        self.stop.store(true, Relaxed);
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
    state: Arc<State>,
    /// What [`State::end`] becomes when this goes; `None`: it panicked, or there was no thread.
    end: Option<Result<&'static str, String>>,
}

impl Writer {
    fn run(mut self, file: File, places: Places, clock: TickClock) {
        let end = self.follow(file, places, clock).map_err(|error| error.to_string());
        let wanted = &self.state.wanted;
        // The file's name is the asker's: it is quoted.
        match &end {
            Ok(_) => tracing::info!("capture: {} packets in {:?}", self.packets(), wanted.file),
            Err(error) => tracing::warn!("capture: {:?}: {error}", wanted.file),
        }
        self.end = Some(end);
    }

    fn follow(&self, file: File, places: Places, clock: TickClock) -> Result<&'static str, file::WriteError> {
        let mut file = PacketFile::begin(file, places, self.state.wanted.snap, clock)?;
        let mut batch = Vec::new();
        loop {
            // Relaxed: as above. Looked at before the rings are emptied: what was shown until then is written.
            let stopped = self.state.stop.load(Relaxed);
            if stopped {
                self.unwatch();
            }
            self.take(&mut batch);
            // Looked at after the rings are emptied: what was shown before he went is his, later it may be another's.
            if self.state.wanted.peer.as_ref().is_some_and(OnePeer::is_gone) {
                return Ok(OnePeer::GONE);
            }
            self.write(&mut batch, &mut file)?;
            if self.is_full() {
                return Ok("done");
            }
            if stopped {
                return Ok("stopped");
            }
            sleep(TICK);
        }
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

    /// Takes what all have shown meanwhile.
    fn take(&self, batch: &mut Vec<(Seen, Vec<u8>)>) {
        let mut bytes = Vec::new();
        for counters in &self.counters {
            // No more than finds room at once: whoever shows faster than this takes is not followed for ever.
            let mut room = RING_BYTES;
            while room > 0
                && let Some(seen) = counters.tap.next(&mut bytes)
            {
                room = room.saturating_sub(seen.room(bytes.len()));
                // A former run's can come late.
                if seen.run == self.number {
                    batch.push((seen, std::mem::take(&mut bytes)));
                }
            }
        }
    }

    /// Writes what was taken, in the order of time.
    fn write(&self, batch: &mut Vec<(Seen, Vec<u8>)>, file: &mut PacketFile) -> Result<(), file::WriteError> {
        batch.sort_by_key(|(seen, _)| seen.ticks);
        for (seen, bytes) in batch.drain(..) {
            if self.is_full() {
                break;
            }
            file.write(&seen, &bytes)?;
            self.state.packets.fetch_add(1, Relaxed);
            self.state.bytes.fetch_add(bytes.len() as u64, Relaxed);
        }
        let lost: u64 = self.counters.iter().map(|counters| counters.tap.lost()).sum();
        self.state.lost.store(lost - self.before, Relaxed);
        file.flush()
    }
}

impl Drop for Writer {
    /// However it ends, nothing is shown any more. The end is told last: another may begin then.
    fn drop(&mut self) {
        self.unwatch();
        let end = self.end.take().unwrap_or_else(|| Err("its thread ended before its time".to_owned()));
        *lock(&self.state.end) = Some(end);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
