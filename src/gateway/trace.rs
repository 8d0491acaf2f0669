//! `culvert trace`: puts together what each core has noted of the packets that are traced ([`crate::shared::Tracer`]).

use super::one_peer::OnePeer;
use super::report::SharedCounters;
use crate::dpdk::tsc;
use crate::queue::sync::Arc;
use crate::shared::{Step, Traced};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How often the cores' notes are gathered.
const TICK: Duration = Duration::from_millis(10);
/// How long packets are waited for after the last of them has come: one may wait for a session.
const LINGER: Duration = Duration::from_secs(5);

/// The trace of a gateway.
#[derive(Debug, Default)]
pub(super) struct Trace {
    run: Arc<Mutex<Run>>,
    gatherer: Mutex<Option<JoinHandle<()>>>,
}

/// One step of a packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Cycles since the packet came.
    pub(super) cycles: u64,
    /// The thread, by its place among the counters.
    pub(super) thread: usize,
    pub(super) step: Step,
    /// How the peer of the step was called, if it has one that was there.
    pub(super) peer: Option<String>,
}

/// How the peer of a flow is called now; `None`: there is none. It must keep nothing alive.
#[derive(Default)]
pub(super) struct Names(Option<Box<dyn Fn(u32) -> Option<String> + Send>>);

impl Names {
    pub(super) fn by(name: impl Fn(u32) -> Option<String> + Send + 'static) -> Self {
        Self(Some(Box::new(name)))
    }

    /// Of the peer that a step is about.
    fn of(&self, step: Step) -> Option<String> {
        let (Step::ToOpen { peer } | Step::ToSeal { peer }) = step else { return None };
        self.0.as_ref()?(peer)
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

/// What is known of the traced packets.
#[derive(Debug, Default)]
pub(super) struct Run {
    number: u32,
    on: bool,
    wanted: u32,
    /// The one whose packets they are, if that was asked for.
    peer: Option<OnePeer>,
    /// It ended because he is gone.
    gone: bool,
    names: Names,
    counters: Vec<SharedCounters>,
    /// What was lost before.
    before: u64,
    /// Noted so late that others of that time may still come.
    held: Vec<(usize, Traced, Option<String>)>,
    /// When each came, and its way.
    ways: Vec<(u64, Vec<Row>)>,
    /// The ways of packets that are under way.
    open: HashMap<u64, usize>,
    /// When the last of those that are wanted had come.
    since: Option<Instant>,
}

impl Trace {
    /// Follows the next `packets` packets (of this peer) that come; what was traced before is forgotten. `hz`: cycles a second.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn add(
        &self,
        packets: u32,
        peer: Option<OnePeer>,
        names: Names,
        counters: Vec<SharedCounters>,
        hz: u64,
    ) -> Result<(), String> {
        self.clear();
        let mut run = lock(&self.run);
        let number = run.number.wrapping_add(1).max(1);
        let (before, flow) = (lost(&counters), peer.as_ref().map(OnePeer::flow));
        counters.iter().for_each(|counters| counters.tap.trace(number, packets, flow));
        *run = Run { number, on: true, wanted: packets, peer, names, counters, before, ..Run::default() };
        drop(run);
        let shared = Arc::clone(&self.run);
        let gather = move || {
            while lock(&shared).gather(hz) {
                sleep(TICK);
            }
        };
        let thread = Builder::new().name("trace".into()).spawn(gather);
        match thread {
            Ok(thread) => *lock(&self.gatherer) = Some(thread),
            Err(error) => {
                lock(&self.run).end();
                return Err(format!("no thread for the trace: {error}"));
            }
        }
        Ok(())
    }

    /// Ends it, and forgets what was traced.
    pub(super) fn clear(&self) {
        let mut run = lock(&self.run);
        run.end();
        let number = run.number;
        *run = Run { number, ..Run::default() };
        drop(run);
        if let Some(thread) = lock(&self.gatherer).take() {
            let _panicked = thread.join();
        }
    }

    /// What is known now.
    pub(super) fn look(&self) -> MutexGuard<'_, Run> {
        lock(&self.run)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Run {
    /// `none`, `running`, `done`, or why it ended before.
    pub(super) fn state(&self) -> &'static str {
        match (self.on, self.wanted) {
            (true, _) => "running",
            (false, 0) => "none",
            _ if self.gone => OnePeer::GONE,
            _ => "done",
        }
    }

    /// Packets that are to be traced.
    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Packets whose end is known.
    pub(super) fn complete(&self) -> usize {
        self.ways.len() - self.open.len()
    }

    /// Steps that were lost for want of room.
    pub(super) fn lost(&self) -> u64 {
        lost(&self.counters) - self.before
    }

    /// Each packet's way, in the order in which they came.
    pub(super) fn ways(&self) -> impl Iterator<Item = &[Row]> {
        self.ways.iter().map(|(_, rows)| rows.as_slice())
    }

    /// The name of a row's thread.
    pub(super) fn thread(&self, row: &Row) -> &str {
        self.counters.get(row.thread).map_or("?", |counters| counters.name.as_str())
    }

    fn end(&mut self) {
        self.on = false;
        self.counters.iter().for_each(|counters| counters.tap.trace_no_more());
    }

    /// Takes what was noted meanwhile. Whether it goes on.
    fn gather(&mut self, hz: u64) -> bool {
        if !self.on {
            return false;
        }
        // What another core noted a little earlier may come a little later.
        let until = tsc().saturating_sub(hz / 1000);
        let known = self.held.len();
        for (thread, counters) in self.counters.iter().enumerate() {
            let steps = std::iter::from_fn(|| counters.tap.tracer.next()).filter(|traced| traced.run == self.number);
            // Named at once: later the flow may be another's.
            self.held.extend(steps.map(|traced| (thread, traced, self.names.of(traced.step))));
        }
        // Looked at after the notes were taken: those of before he went are his, later ones may be another's.
        if self.peer.as_ref().is_some_and(OnePeer::is_gone) {
            self.held.truncate(known);
            self.take_until(u64::MAX);
            self.gone = true;
            self.end();
            return false;
        }
        self.take_until(until);
        let all_came = self.ways.len() >= self.wanted as usize;
        let since = all_came.then(|| *self.since.get_or_insert_with(Instant::now));
        if since.is_some_and(|since| self.open.is_empty() && self.held.is_empty() || since.elapsed() > LINGER) {
            self.end();
        }
        self.on
    }

    fn take_until(&mut self, until: u64) {
        self.held.sort_by_key(|(_, traced, _)| traced.ticks);
        let ready = self.held.partition_point(|(_, traced, _)| traced.ticks < until);
        for (thread, traced, peer) in self.held.drain(..ready).collect::<Vec<_>>() {
            self.take(thread, traced, peer);
        }
    }

    fn take(&mut self, thread: usize, Traced { packet, ticks, step, .. }: Traced, peer: Option<String>) {
        if let Step::Rx { .. } = step {
            // Each core marks as many as are wanted: the first of all count.
            if self.ways.len() >= self.wanted as usize {
                self.open.remove(&packet);
                return;
            }
            self.open.insert(packet, self.ways.len());
            self.ways.push((ticks, Vec::new()));
        }
        let Some((came, rows)) = self.open.get(&packet).and_then(|at| self.ways.get_mut(*at)) else { return };
        rows.push(Row { cycles: ticks.saturating_sub(*came), thread, step, peer });
        if step.is_last() {
            self.open.remove(&packet);
        }
    }
}

fn lost(counters: &[SharedCounters]) -> u64 {
    counters.iter().map(|counters| counters.tap.tracer.lost()).sum()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::heap::HeapPool;
    use crate::frame::{Packet, PacketPool};
    use crate::shared::{Counters, DropReason};

    /// Notes of two cores, in the order in which they are gathered; an mbuf comes twice, and one packet more than is wanted.
    #[test]
    fn ways_are_put_together_in_the_order_of_time() {
        let mut run = Run { wanted: 3, ..Run::default() };
        let came = |place| Step::Rx { port: 0, place, burst: 9 };
        let drop = Step::Drop { reason: DropReason::Replay };
        for (thread, packet, ticks, step) in [
            (0, 1, 100, came(0)),
            (0, 2, 100, came(1)),
            (0, 1, 110, Step::ToOpen { peer: 4 }),
            (0, 2, 111, drop),
            (0, 2, 200, came(0)),
            (0, 3, 300, came(0)),
            (1, 1, 150, Step::Tx { port: 1 }),
            (1, 1, 140, Step::Release),
            (1, 3, 350, drop),
            (1, 9, 350, drop),
        ] {
            run.held.push((thread, Traced { run: 1, packet, ticks, step }, None));
        }
        run.take_until(140);
        assert_eq!((run.ways.len(), run.complete()), (2, 1));
        run.take_until(1000);
        let row = |cycles, thread, step| Row { cycles, thread, step, peer: None };
        let ways: Vec<&[Row]> = run.ways().collect();
        let first = [
            row(0, 0, came(0)),
            row(10, 0, Step::ToOpen { peer: 4 }),
            row(40, 1, Step::Release),
            row(50, 1, Step::Tx { port: 1 }),
        ];
        assert_eq!(ways, [&first[..], &[row(0, 0, came(1)), row(11, 0, drop)], &[row(0, 0, came(0))]]);
        assert_eq!((run.complete(), run.held.len()), (2, 0));
    }

    /// A flow's number is given on once its peer is gone: who looks later is told of the one whose packet it was.
    #[test]
    fn peers_are_named_as_they_were_called_when_the_packet_came() {
        let counters = Counters::new("core-1");
        let called = Arc::new(Mutex::new(Some("laptop".to_owned())));
        let now = Arc::clone(&called);
        let names = Names::by(move |flow| lock(&now).clone().filter(|_| flow == 4));
        let mut run =
            Run { number: 1, on: true, wanted: 9, names, counters: vec![Arc::clone(&counters)], ..Run::default() };
        counters.tap.trace(1, 9, None);
        let pool = HeapPool::new(3);
        let mut packets = Vec::new();
        let mut comes = |peer| {
            let mut packet = pool.alloc().unwrap();
            counters.tap.tracer.burst_came();
            counters.tap.tracer.mark(&mut packet, Step::Rx { port: 0, place: 0, burst: 1 }, Some(peer));
            counters.tap.tracer.step(packet.meta(), Step::ToOpen { peer });
            packets.push(packet);
        };
        comes(4);
        run.gather(1000);
        *lock(&called) = Some("somebody else".to_owned());
        comes(4);
        comes(5);
        run.gather(1000);
        run.take_until(u64::MAX);
        let named: Vec<_> = run.ways().map(|way| way[1].peer.as_deref()).collect();
        assert_eq!(named, [Some("laptop"), Some("somebody else"), None]);
    }
}
