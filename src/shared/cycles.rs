//! Where a data core's cycles go: counted a stage, when asked (`record-core-cycles`, as DPDK's testpmd has it).

use crate::peer::Tally;
use crate::queue::sync::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// What a data core does with packets, in their order. Each of its cycles belongs to one of these, or found no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Polls RX queues and its inbox, and makes each packet a plain one. Its units are bursts.
    Rx,
    /// Reads headers and finds the peer. Its units are bursts.
    Classify,
    /// Pushes what belongs to one peer as one chain. Its units are chains.
    Handoff,
    /// Pops chunks; nonces, padding and outer headers; jobs for the cipher. Its units are chunks.
    Drain,
    /// Seals and opens. Its units are batches.
    Aead,
    /// What is done in order: replay windows, source checks, routes, stamps. Its units are chunks.
    Release,
    /// Hands bursts to ports and to other cores. Its units are bursts.
    Tx,
}

impl Stage {
    /// All, in the order of packets.
    pub const ALL: [Self; 7] =
        [Self::Rx, Self::Classify, Self::Handoff, Self::Drain, Self::Aead, Self::Release, Self::Tx];

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Classify => "classify",
            Self::Handoff => "handoff",
            Self::Drain => "drain",
            Self::Aead => "aead",
            Self::Release => "release",
            Self::Tx => "tx",
        }
    }
}

/// What a stage took so far, while it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Ticks of the clock: of the TSC, in the gateway.
    pub cycles: u64,
    /// Packets that it worked on.
    pub packets: u64,
    /// In so many units: see [`Stage`].
    pub units: u64,
}

/// One data core's record. Its owner alone calls what has no word about it; anyone may read.
///
/// While it is off each call costs a load and a branch, and there are a few a burst. All atomics are Relaxed: figures for
/// people, and a wish; no other memory hangs on them.
#[derive(Debug)]
pub struct CoreCycles {
    clock: fn() -> u64,
    /// control: w, owner: r
    wanted: AtomicBool,
    /// This turn is recorded. owner: rw
    recording: AtomicBool,
    /// What the owner is at now. owner: rw
    stage: AtomicU8,
    /// Since when. owner: rw
    since: Tally,
    /// Of this turn. owner: rw
    turn: [Tally; Stage::ALL.len()],
    cycles: [Tally; Stage::ALL.len()],
    packets: [Tally; Stage::ALL.len()],
    units: [Tally; Stage::ALL.len()],
    idle: Tally,
}

impl CoreCycles {
    /// A record by `clock`; off.
    pub fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            wanted: AtomicBool::new(false),
            recording: AtomicBool::new(false),
            stage: AtomicU8::new(Stage::Rx as u8),
            since: Tally::default(),
            turn: Default::default(),
            cycles: Default::default(),
            packets: Default::default(),
            units: Default::default(),
            idle: Tally::default(),
        }
    }

    /// Records from the owner's next turn on, or no longer; what was counted stays. Any thread.
    pub fn record(&self, on: bool) {
        self.wanted.store(on, Relaxed);
    }

    /// Whether it was asked for. Any thread.
    pub fn is_on(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// What a stage took in turns that found work. Any thread.
    pub fn spent(&self, stage: Stage) -> Spent {
        let of = |tallies: &[Tally; Stage::ALL.len()]| tallies.get(stage as usize).map_or(0, Tally::get);
        Spent { cycles: of(&self.cycles), packets: of(&self.packets), units: of(&self.units) }
    }

    /// What turns without work took. Any thread.
    pub fn idle(&self) -> u64 {
        self.idle.get()
    }

    /// A turn begins, with [`Stage::Rx`].
    #[inline]
    pub fn begin_turn(&self) {
        let wanted = self.is_on();
        if wanted != self.recording.load(Relaxed) {
            self.recording.store(wanted, Relaxed);
        }
        if wanted {
            self.stage.store(Stage::Rx as u8, Relaxed);
            self.since.set((self.clock)());
        }
    }

    /// From here on it is `stage`; returns what it was, so that a part of another stage in the midst of it can end.
    #[inline]
    pub fn enter(&self, stage: Stage) -> Stage {
        if self.recording.load(Relaxed) { self.switch(stage) } else { stage }
    }

    /// `stage` worked on so many packets in so many units.
    #[inline]
    pub fn did(&self, stage: Stage, packets: usize, units: usize) {
        if self.recording.load(Relaxed)
            && let (Some(p), Some(u)) = (self.packets.get(stage as usize), self.units.get(stage as usize))
        {
            p.add(packets as u64);
            u.add(units as u64);
        }
    }

    /// The turn ends; did it find work?
    #[inline]
    pub fn end_turn(&self, worked: bool) {
        if self.recording.load(Relaxed) {
            self.fold(worked);
        }
    }

    #[cold]
    fn switch(&self, stage: Stage) -> Stage {
        let now = (self.clock)();
        let before = self.stage.load(Relaxed);
        if let Some(turn) = self.turn.get(usize::from(before)) {
            turn.add(now.wrapping_sub(self.since.get()));
        }
        self.since.set(now);
        self.stage.store(stage as u8, Relaxed);
        Stage::ALL.get(usize::from(before)).copied().unwrap_or(stage)
    }

    #[cold]
    fn fold(&self, worked: bool) {
        self.switch(Stage::Rx);
        for (turn, sum) in self.turn.iter().zip(&self.cycles) {
            if worked { sum } else { &self.idle }.add(turn.get());
            turn.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

    /// Each look at it takes a tick; `pass` lets more go by.
    fn clock() -> u64 {
        pass(1);
        NOW.get()
    }

    fn pass(ticks: u64) {
        NOW.set(NOW.get() + ticks);
    }

    fn cycles(record: &CoreCycles) -> [u64; 7] {
        Stage::ALL.map(|stage| record.spent(stage).cycles)
    }

    #[test]
    fn every_tick_of_a_turn_belongs_to_one_stage() {
        let record = CoreCycles::new(clock);
        record.record(true);
        record.begin_turn();
        pass(9);
        record.enter(Stage::Release);
        pass(19);
        let before = record.enter(Stage::Tx);
        pass(99);
        assert_eq!(record.enter(before), Stage::Tx);
        pass(29);
        record.did(Stage::Tx, 32, 1);
        record.did(Stage::Tx, 8, 1);
        record.end_turn(true);
        assert_eq!(cycles(&record), [10, 0, 0, 0, 0, 50, 100]);
        assert_eq!(record.spent(Stage::Tx), Spent { cycles: 100, packets: 40, units: 2 });
    }

    #[test]
    fn turns_without_work_are_idle() {
        let record = CoreCycles::new(clock);
        record.record(true);
        for worked in [false, true] {
            record.begin_turn();
            pass(9);
            record.enter(Stage::Drain);
            pass(9);
            record.end_turn(worked);
        }
        assert_eq!((record.idle(), cycles(&record)), (20, [10, 0, 0, 10, 0, 0, 0]));
    }

    #[test]
    fn off_it_looks_at_no_clock_and_keeps_what_it_has() {
        let record = CoreCycles::new(clock);
        let turn = || {
            record.begin_turn();
            // A wish counts from the next turn on: this one has no beginning.
            record.record(!record.is_on());
            record.enter(Stage::Aead);
            record.did(Stage::Aead, 1, 1);
            record.end_turn(true);
        };
        turn();
        assert_eq!((NOW.get(), record.spent(Stage::Aead)), (0, Spent::default()));
        turn();
        assert_eq!((NOW.get(), record.spent(Stage::Aead)), (3, Spent { cycles: 1, packets: 1, units: 1 }));
        record.record(false);
        turn();
        assert_eq!((NOW.get(), record.spent(Stage::Aead).packets), (3, 1));
    }
}
