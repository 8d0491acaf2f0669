//! The steps of traced packets, for `culvert trace`: a core marks packets as they come, and notes each stage that a marked one passes.
//!
//! A packet is known by where its notes lie, which stays the same for as long as it lives.

use super::DropReason;
use crate::frame::{Meta, Packet};
use crate::peer::Tally;
use crate::queue::{
    Records,
    sync::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::sync::OnceLock;

/// Packets that are traced at once, at most.
pub const MOST_TRACED: u32 = 1000;
/// Steps of a packet on one core, or a few more. What is beyond is lost, and counted.
const STEPS: usize = 10;
/// Words of a step.
const WORDS: usize = 4;
/// In the place of a peer: any.
const ANYBODY: u32 = u32::MAX;

/// Where a traced packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It came by a port, in a burst.
    Rx {
        /// Which port.
        port: u16,
        /// Which of the burst, 0 the first.
        place: u8,
        /// So many had the burst.
        burst: u8,
    },
    /// It goes to a peer's queue of what is to be opened.
    ToOpen {
        /// Whose.
        peer: u32,
    },
    /// It goes to a peer's queue of what is to be sealed.
    ToSeal {
        /// Whose.
        peer: u32,
    },
    /// It goes to a thread that shakes hands.
    ToHandshake,
    /// It goes to the control thread.
    ToControl,
    /// It waits in its peer for a session.
    Waits,
    /// A worker has taken it from its queue, in a chunk.
    Drain {
        /// Which of the chunk, 0 the first.
        place: u8,
        /// So many has the chunk.
        chunk: u8,
        /// It is to be sealed.
        seal: bool,
    },
    /// The cipher has been over it.
    Aead {
        /// Why it goes no further, if it does not.
        reason: Option<DropReason>,
        /// The message's counter.
        counter: u64,
    },
    /// Its turn in the order of its peer has come.
    Release,
    /// It is given to a port.
    Tx {
        /// Which.
        port: u16,
    },
    /// It goes no further.
    Drop {
        /// Why.
        reason: DropReason,
    },
}

impl Step {
    /// Whether no other comes after it.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Tx { .. } | Self::Drop { .. })
    }

    /// Its number, two small values and a large one.
    fn words(self) -> (u8, u8, u8, u64) {
        match self {
            Self::Rx { port, place, burst } => (0, place, burst, port.into()),
            Self::ToOpen { peer } => (1, 0, 0, peer.into()),
            Self::ToSeal { peer } => (2, 0, 0, peer.into()),
            Self::ToHandshake => (3, 0, 0, 0),
            Self::ToControl => (4, 0, 0, 0),
            Self::Waits => (5, 0, 0, 0),
            Self::Drain { place, chunk, seal } => (6, place, chunk, seal.into()),
            Self::Aead { reason, counter } => (7, reason.map_or(0, DropReason::verdict), 0, counter),
            Self::Release => (8, 0, 0, 0),
            Self::Tx { port } => (9, 0, 0, port.into()),
            Self::Drop { reason } => (10, reason.verdict(), 0, 0),
        }
    }

    fn from_words((number, a, b, value): (u8, u8, u8, u64)) -> Option<Self> {
        let (low, [first, second, ..]) = (u32::try_from(value).unwrap_or(u32::MAX), value.to_le_bytes());
        let port = u16::from_le_bytes([first, second]);
        Some(match number {
            0 => Self::Rx { port, place: a, burst: b },
            1 => Self::ToOpen { peer: low },
            2 => Self::ToSeal { peer: low },
            3 => Self::ToHandshake,
            4 => Self::ToControl,
            5 => Self::Waits,
            6 => Self::Drain { place: a, chunk: b, seal: value != 0 },
            7 => Self::Aead { reason: DropReason::from_verdict(a), counter: value },
            8 => Self::Release,
            9 => Self::Tx { port },
            10 => Self::Drop { reason: DropReason::from_verdict(a)? },
            _ => return None,
        })
    }
}

/// A step as its core noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// For whom: the number that [`Tracer::trace`] was given.
    pub run: u32,
    /// Tells packets apart that are on their way at the same time.
    pub packet: u64,
    /// When: ticks of the thread's clock.
    pub ticks: u64,
    /// What.
    pub step: Step,
}

/// One thread's. That thread alone calls what has no other word about it; that somebody traces, it learns from
/// [`Tap::is_on`](super::Tap::is_on).
#[derive(Debug)]
pub struct Tracer {
    clock: fn() -> u64,
    /// 0: nobody traces. watcher: w, owner: r
    run: AtomicU32,
    /// Packets that are still to be marked. watcher: w before `run`, owner: rw
    left: AtomicU32,
    /// watcher: w, owner: r
    peer: AtomicU32,
    /// When the last burst came. owner: rw
    came: Tally,
    /// Steps that found no room. owner: w, watcher: r
    lost: Tally,
    /// Made by the watcher. owner: pushes, watcher: pops
    records: OnceLock<Records>,
}

impl Tracer {
    pub(super) fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            run: AtomicU32::new(0),
            left: AtomicU32::new(0),
            peer: AtomicU32::new(ANYBODY),
            came: Tally::default(),
            lost: Tally::default(),
            records: OnceLock::new(),
        }
    }

    /// Marks the next `packets` packets (of this peer) that come, as `run`, which is not 0. The watcher, through [`super::Tap`].
    pub(super) fn trace(&self, run: u32, packets: u32, peer: Option<u32>) {
        let room = MOST_TRACED as usize * STEPS * (WORDS + 1);
        self.records.get_or_init(|| Records::new(room)).clear();
        // Relaxed: published by `run`.
        self.left.store(packets.min(MOST_TRACED), Relaxed);
        self.peer.store(peer.unwrap_or(ANYBODY), Relaxed);
        // Release: pairs with the Acquire of `mark` and `step`.
        self.run.store(run, Release);
    }

    /// Notes nothing any more. The watcher, through [`super::Tap`].
    pub(super) fn end(&self) {
        // Relaxed: a wish, no memory hangs on it.
        self.run.store(0, Relaxed);
    }

    /// Steps that were not noted for want of room, so far. Any thread.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// The oldest step that was noted. The watcher.
    pub fn next(&self) -> Option<Traced> {
        let records = self.records.get()?;
        // What nobody can read is passed over: it would be another version's.
        loop {
            let [what, ticks, packet, value] = records.pop::<WORDS>(&mut Vec::new())?;
            let [number, a, b, _, run @ ..] = what.to_le_bytes();
            if let Some(step) = Step::from_words((number, a, b, value)) {
                return Some(Traced { run: u32::from_le_bytes(run), packet, ticks, step });
            }
        }
    }

    /// A burst has come.
    #[cold]
    pub fn burst_came(&self) {
        self.came.set((self.clock)());
    }

    /// Marks a packet that has come at `place` of its burst and is known to be this peer's, if it is one of those that are wanted.
    #[cold]
    pub fn mark<P: Packet>(&self, packet: &mut P, rx: Step, peer: Option<u32>) {
        // Acquire: pairs with the Release of `trace`: what stands below is this run's.
        let run = self.run.load(Acquire);
        // Relaxed: this thread's own by now.
        let (left, only) = (self.left.load(Relaxed), self.peer.load(Relaxed));
        if run == 0 || left == 0 || only != ANYBODY && peer != Some(only) {
            return;
        }
        self.left.store(left - 1, Relaxed);
        packet.meta_mut().set_traced();
        self.push(run, packet.meta(), self.came.get(), rx);
    }

    /// Notes where a packet is, if it is marked.
    #[cold]
    pub fn step(&self, meta: &Meta, step: Step) {
        if meta.is_traced() {
            // Acquire: as above.
            self.push(self.run.load(Acquire), meta, (self.clock)(), step);
        }
    }

    fn push(&self, run: u32, meta: &Meta, ticks: u64, step: Step) {
        let (number, a, b, value) = step.words();
        let [r0, r1, r2, r3] = run.to_le_bytes();
        let what = u64::from_le_bytes([number, a, b, 0, r0, r1, r2, r3]);
        let packet = std::ptr::from_ref(meta).addr() as u64;
        if let Some(records) = self.records.get().filter(|_| run != 0)
            && !records.push(&[what, ticks, packet, value], &[])
        {
            self.lost.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PacketPool;
    use crate::frame::heap::HeapPool;

    const STEPS: [Step; 12] = [
        Step::Rx { port: 3, place: 31, burst: 32 },
        Step::ToOpen { peer: 500_000 },
        Step::ToSeal { peer: 0 },
        Step::ToHandshake,
        Step::ToControl,
        Step::Waits,
        Step::Drain { place: 1, chunk: 64, seal: true },
        Step::Aead { reason: Some(DropReason::AuthFailed), counter: u64::MAX },
        Step::Aead { reason: None, counter: 0 },
        Step::Release,
        Step::Tx { port: 15 },
        Step::Drop { reason: DropReason::Replay },
    ];

    #[test]
    fn steps_come_as_they_were_noted() {
        let (tracer, pool) = (Tracer::new(|| 9), HeapPool::new(2));
        let (mut packet, mut other) = (pool.alloc().unwrap(), pool.alloc().unwrap());
        tracer.mark(&mut packet, STEPS[0], None);
        assert!(!packet.meta().is_traced() && tracer.next().is_none(), "nobody traces");
        tracer.trace(7, 1, None);
        tracer.mark(&mut packet, STEPS[0], None);
        tracer.mark(&mut other, STEPS[0], None);
        assert!(packet.meta().is_traced() && !other.meta().is_traced(), "one was wanted");
        for step in &STEPS[1..] {
            tracer.step(packet.meta(), *step);
            tracer.step(other.meta(), *step);
        }
        let noted: Vec<Traced> = std::iter::from_fn(|| tracer.next()).collect();
        assert_eq!(noted.iter().map(|traced| traced.step).collect::<Vec<_>>(), STEPS);
        assert!(noted.iter().all(|traced| traced.run == 7 && traced.packet == noted[0].packet));
        tracer.end();
        tracer.step(packet.meta(), Step::Release);
        assert_eq!(tracer.next(), None);
    }

    #[test]
    fn only_one_peers_packets_if_that_is_wanted_and_what_finds_no_room_is_counted() {
        let (tracer, pool) = (Tracer::new(|| 9), HeapPool::new(1));
        let mut packet = pool.alloc().unwrap();
        tracer.trace(1, 5, Some(2));
        for peer in [None, Some(1), Some(2)] {
            tracer.mark(&mut packet, STEPS[0], peer);
            assert_eq!(packet.meta().is_traced(), peer == Some(2));
        }
        for _ in 0..100_000 {
            tracer.step(packet.meta(), Step::Release);
        }
        assert_eq!(std::iter::from_fn(|| tracer.next()).count() as u64 + tracer.lost(), 100_001);
        assert!(tracer.lost() > 0);
    }
}
