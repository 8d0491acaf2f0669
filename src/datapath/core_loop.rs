//! The loop of one pinned core: I/O stage, worker stage, or both (run to completion: the same code in one loop).

use super::crypto_worker::Turn;
use super::{Counters, CryptoWorker, ErrorBudget, Io, Shared, Tx};
use crate::frame::PacketPool;
use crate::noise::wipe_stack;
use crate::queue::{
    Reader,
    sync::{Arc, AtomicU8, Ordering},
};
use crossbeam_utils::CachePadded;
use std::time::{Duration, Instant};

/// What a core does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Polls for ever.
    Busy,
    /// After 100 µs without work it sleeps 50 µs at a time (DESIGN, Threads: the one exception to "never calls the kernel").
    Adaptive,
}

/// Without work for this long, an adaptive core begins to sleep.
const PATIENCE: Duration = Duration::from_micros(100);
/// How long it sleeps at a time.
const NAP: Duration = Duration::from_micros(50);
/// Turns without work between two looks at the time.
const LOOK_EVERY: u32 = 64;

/// How far the gateway is on its way down; the cores read it, the main thread sets it.
#[derive(Debug, Default)]
pub struct Stop(AtomicU8);

impl Stop {
    const RUN: u8 = 0;
    const DRAIN: u8 = 1;
    const EXIT: u8 = 2;

    /// No more packets are received; what is inside is worked off.
    pub fn drain(&self) {
        // Release: pairs with the Acquire load of the loops; whatever was set up for the drain is visible to them.
        self.0.store(Self::DRAIN, Ordering::Release);
    }

    /// The loops end.
    pub fn exit(&self) {
        // Release: as above.
        self.0.store(Self::EXIT, Ordering::Release);
    }

    fn phase(&self) -> u8 {
        // Acquire: pairs with the stores above.
        self.0.load(Ordering::Acquire)
    }

    /// Whether the gateway still receives.
    pub fn is_running(&self) -> bool {
        self.phase() == Self::RUN
    }

    /// Whether the loops are to end.
    pub fn is_exit(&self) -> bool {
        self.phase() == Self::EXIT
    }
}

/// One data core: its stages and all that it owns.
#[derive(Debug)]
pub struct Core<A: PacketPool> {
    /// Shared with all.
    pub shared: Arc<Shared<A>>,
    /// This core's counters.
    pub counters: Arc<CachePadded<Counters>>,
    /// Its seat in the grace-period count.
    pub reader: Reader,
    /// Its way to the ports.
    pub tx: Tx<A::Packet>,
    /// The I/O stage, if it has that role.
    pub io: Option<Io<A>>,
    /// The worker stage, if it has that role.
    pub worker: Option<CryptoWorker<A>>,
    /// How many senders it may have told that their packets go no further.
    pub errors: ErrorBudget,
    /// What it does without work.
    pub idle: Idle,
}

impl<A: PacketPool> Core<A> {
    /// Runs until `stop` says exit. On the core's own pinned thread.
    pub fn run(mut self, stop: &Stop) {
        let mut quiet_since: Option<Instant> = None;
        let mut quiet_turns = 0u32;
        while !stop.is_exit() {
            let worked = self.turn(stop.is_running());
            self.reader.quiescent();
            self.counters.turns.add(1);
            if worked > 0 {
                self.counters.turns_busy.add(1);
                quiet_since = None;
                quiet_turns = 0;
                continue;
            }
            std::hint::spin_loop();
            quiet_turns = quiet_turns.wrapping_add(1);
            if quiet_turns == LOOK_EVERY {
                // Ciphers leave keys on the stack. Under load the next packet's keys lie over them; here they would stay.
                wipe_stack();
            }
            if self.idle == Idle::Adaptive && quiet_turns.is_multiple_of(LOOK_EVERY) {
                let since = *quiet_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= PATIENCE {
                    self.nap();
                }
            }
        }
    }

    /// One turn of the loop: receive and hand off, then cipher and release, then send. Returns how many packets it moved.
    /// Public for harnesses that drive a core themselves. Never inlined: what it leaves on the stack lies below its caller's wiping.
    #[inline(never)]
    pub fn turn(&mut self, receive: bool) -> usize {
        self.counters.cycles.begin_turn();
        let turn = Turn {
            shared: &*self.shared,
            reader: &self.reader,
            counters: &self.counters,
            errors: &self.errors,
            now_ms: self.shared.clock.now_ms(),
        };
        let mut packets = 0;
        if let Some(io) = &mut self.io {
            packets += io.poll(&turn, &mut self.tx, receive);
        }
        if let Some(worker) = &mut self.worker {
            packets += worker.poll(&turn, &mut self.tx);
        }
        self.tx.flush(&self.counters);
        self.counters.cycles.end_turn(packets > 0);
        packets
    }

    /// Whether the core holds no packet back for its turn.
    pub fn is_idle(&self) -> bool {
        self.worker.as_ref().is_none_or(CryptoWorker::is_idle)
    }

    /// Sleeps a little, out of the grace-period count (nobody waits for a sleeping core).
    fn nap(&mut self) {
        self.reader.offline(|| std::thread::sleep(NAP));
    }
}
