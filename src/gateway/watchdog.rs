//! Feeds systemd's watchdog while all threads that move packets go on. One thread looks at the turns that they count anyway: an idle loop turns too,
//! so a thread that counts none hangs. What it costs them is nothing.

use super::report::SharedCounters;
use std::fmt::Write as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How often it looks within the time that systemd waits.
const LOOKS: u32 = 4;

/// The thread that feeds. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Looks at the threads that count these several times within `period`, on the core `core`. `tell` hears each time whether all went on since
    /// it last heard so, and else what hangs. Main thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        period: Duration,
        core: usize,
        threads: Vec<SharedCounters>,
        mut tell: impl FnMut(Result<(), &str>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let mut pulse = Pulse::new(threads);
        let thread = Builder::new().name("watchdog".into()).spawn(move || {
            let _anywhere = core_affinity::set_for_current(core_affinity::CoreId { id: core });
            let mut hangs = false;
            while stopped.recv_timeout(period / LOOKS) == Err(RecvTimeoutError::Timeout) {
                match pulse.look() {
                    None => {
                        if std::mem::take(&mut hangs) {
                            tracing::warn!("all threads turn again");
                        }
                        tell(Ok(()));
                    }
                    Some(what) => {
                        if !std::mem::replace(&mut hangs, true) {
                            tracing::error!("{what}: the watchdog is not fed until it turns");
                        }
                        tell(Err(&what));
                    }
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Whether all threads turn.
#[derive(Debug)]
struct Pulse {
    threads: Vec<SharedCounters>,
    /// The turns of each when all had gone on.
    turns: Vec<u64>,
    since: Instant,
}

impl Pulse {
    fn new(threads: Vec<SharedCounters>) -> Self {
        let turns = turns(&threads);
        Self { threads, turns, since: Instant::now() }
    }

    /// `None`: all have turned since that was so before. Else who has not, and for how long that is known.
    fn look(&mut self) -> Option<String> {
        let now = turns(&self.threads);
        let mut stuck = String::new();
        for ((thread, before), now) in self.threads.iter().zip(&self.turns).zip(&now) {
            if before == now {
                let _infallible = write!(stuck, "{}{}", if stuck.is_empty() { "" } else { ", " }, thread.name);
            }
        }
        if stuck.is_empty() {
            (self.turns, self.since) = (now, Instant::now());
            return None;
        }
        Some(format!("{stuck}: no turn for {:.1} s", self.since.elapsed().as_secs_f64()))
    }
}

fn turns(threads: &[SharedCounters]) -> Vec<u64> {
    threads.iter().map(|thread| thread.turns.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Counters;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Three threads that count.
    fn threads() -> Vec<SharedCounters> {
        ["core-1", "core-2", "control"].map(Counters::new).to_vec()
    }

    #[test]
    fn feeding_ends_while_a_core_hangs_and_goes_on_after() {
        let threads = threads();
        let (told, heard) = channel();
        let (hangs, ends) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (hangs, ends) = (&hangs, &ends);
            for (at, thread) in threads.iter().enumerate() {
                scope.spawn(move || {
                    while !ends.load(Ordering::Relaxed) {
                        if at != 1 || !hangs.load(Ordering::Relaxed) {
                            thread.turns.add(1);
                        }
                        std::thread::sleep(Duration::from_micros(100));
                    }
                });
            }
            let tell = move |alive: Result<(), &str>| told.send(alive.map_err(str::to_owned)).unwrap_or(());
            let watchdog = Watchdog::start(Duration::from_millis(400), 0, threads.clone(), tell).unwrap();
            let until = |fed: bool| {
                let next = || heard.recv_timeout(Duration::from_secs(30)).expect("it tells no more");
                std::iter::repeat_with(next).take(1000).find(|alive| alive.is_ok() == fed).unwrap()
            };
            until(true).unwrap();
            hangs.store(true, Ordering::Relaxed);
            let what = until(false).unwrap_err();
            assert!(what.starts_with("core-2: no turn for "), "{what}");
            // However often it looks.
            assert!(heard.iter().take(3).all(|alive| alive.is_err()));
            hangs.store(false, Ordering::Relaxed);
            until(true).unwrap();
            drop(watchdog);
            ends.store(true, Ordering::Relaxed);
            // It ends, since nobody is left to tell.
            assert!(heard.iter().all(|alive| alive.is_ok()));
        });
    }

    #[test]
    fn one_thread_without_a_turn_is_enough() {
        let threads = threads();
        let mut pulse = Pulse::new(threads.clone());
        for stuck in 0..threads.len() {
            let others = threads.iter().enumerate().filter(|(at, _)| *at != stuck);
            others.for_each(|(_, thread)| thread.turns.add(1));
            let what = pulse.look().unwrap();
            assert!(what.starts_with(&format!("{}: no turn for ", threads[stuck].name)), "{what}");
            // It comes back: all have turned since the last time that all had.
            threads[stuck].turns.add(1);
            assert_eq!(pulse.look(), None);
        }
        let what = pulse.look().unwrap();
        assert!(what.starts_with("core-1, core-2, control: no turn"), "{what}");
    }

    #[test]
    fn a_counter_that_begins_anew_has_moved() {
        let threads = threads();
        threads.iter().for_each(|thread| thread.turns.set(u64::MAX));
        let mut pulse = Pulse::new(threads.clone());
        threads.iter().for_each(|thread| thread.turns.add(1));
        assert_eq!(pulse.look(), None);
    }
}
