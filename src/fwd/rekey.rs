//! The thread that renews the sessions of a `wireguard` run, beside those that forward.

use super::error::LabError;
use super::tunnel::{Renewer, Tunnels};
use crate::queue::sync::{Arc, AtomicBool, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// How often it looks: sessions live for minutes.
const TICK: Duration = Duration::from_millis(50);

/// It runs until this is dropped.
#[derive(Debug)]
pub(super) struct Rekeying {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rekeying {
    /// Looks after these tunnels by a clock of milliseconds, by which they were made too.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn start(tunnels: &Arc<Tunnels>, clock: fn() -> u64) -> Result<Self, LabError> {
        let mut renewer = Renewer::new(Arc::clone(tunnels))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            // Relaxed: only looked at.
            while !stopped.load(Relaxed) {
                if let Err(error) = renewer.look(clock()) {
                    tracing::error!("wireguard: a tunnel got no new session: {error}");
                }
                sleep(TICK);
            }
        };
        let thread = Builder::new().name("rekey".to_owned()).spawn(work);
        Ok(Self { stop, thread: Some(thread.map_err(|error| LabError::Thread(error.to_string()))?) })
    }
}

impl Drop for Rekeying {
    fn drop(&mut self) {
        // Relaxed: only looked at.
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
