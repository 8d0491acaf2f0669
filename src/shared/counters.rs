//! What each thread counts: one writer a counter, so a count is a load and a store.

use super::{CoreCycles, DropReason, Tap};
use crate::frame::Packet;
use crate::peer::Tally;
use arrayvec::ArrayVec;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// Ports a gateway may have.
pub const MOST_PORTS: usize = 16;

/// The counters of one thread. That thread alone writes them; anyone may read.
#[derive(Debug)]
pub struct Counters {
    /// The thread's name.
    pub name: String,
    /// Packets taken from each port's RX queues.
    pub rx: [Tally; MOST_PORTS],
    /// Bytes of these.
    pub rx_bytes: [Tally; MOST_PORTS],
    /// Packets put into each port's TX queues.
    pub tx: [Tally; MOST_PORTS],
    /// Bytes of these.
    pub tx_bytes: [Tally; MOST_PORTS],
    /// Packets that each port's full TX queues refused: each port's share of [`DropReason::TxFull`].
    pub tx_full: [Tally; MOST_PORTS],
    /// Packets handed to the control threads.
    pub to_control: Tally,
    /// Packets that culvert made, or that a control thread handed (back) to the data path.
    pub generated: Tally,
    /// Packets a control thread took from its queue.
    pub control_received: Tally,
    /// Packets a control thread took and handed back to the data path (an echo reply, a packet whose next hop was found).
    pub control_returned: Tally,
    /// Diffie-Hellman calculations of a handshake thread: what a flood is after.
    pub curve_operations: Tally,
    /// Messages that came with a good cookie of ours.
    pub cookies_returned: Tally,
    /// 1 while a handshake thread is under load.
    pub under_load: Tally,
    /// Handshake initiations that a handshake thread sent.
    pub initiations: Tally,
    /// Sessions that came of these.
    pub sessions_initiated: Tally,
    /// Sessions that peers asked for, and a handshake thread answered.
    pub sessions_answered: Tally,
    /// Loop turns that found work.
    pub turns_busy: Tally,
    /// All loop turns, of control threads too: one that counts none hangs.
    pub turns: Tally,
    /// Where a data core's cycles go.
    pub cycles: CoreCycles,
    /// What it shows of its packets to those who watch.
    pub tap: Tap,
    drops: [Tally; DropReason::COUNT],
}

impl Counters {
    /// All zero; there is no clock.
    pub fn new(name: &str) -> Arc<CachePadded<Self>> {
        Self::timed(name, || 0)
    }

    /// The same with a clock for [`Self::cycles`] and [`Self::tap`].
    pub fn timed(name: &str, clock: fn() -> u64) -> Arc<CachePadded<Self>> {
        Arc::new(CachePadded::new(Self {
            name: name.to_owned(),
            rx: Default::default(),
            rx_bytes: Default::default(),
            tx: Default::default(),
            tx_bytes: Default::default(),
            tx_full: Default::default(),
            to_control: Tally::default(),
            generated: Tally::default(),
            control_received: Tally::default(),
            control_returned: Tally::default(),
            curve_operations: Tally::default(),
            cookies_returned: Tally::default(),
            under_load: Tally::default(),
            initiations: Tally::default(),
            sessions_initiated: Tally::default(),
            sessions_answered: Tally::default(),
            turns_busy: Tally::default(),
            turns: Tally::default(),
            cycles: CoreCycles::new(clock),
            tap: Tap::new(clock),
            drops: std::array::from_fn(|_| Tally::default()),
        }))
    }

    /// Drops one packet. The owning thread only.
    pub fn drop_packet<P: Packet>(&self, reason: DropReason, mut packet: P) {
        self.count_drop(reason, 1);
        if self.tap.is_on() {
            self.tap.dropped(reason, &mut packet);
        }
        drop(packet);
    }

    /// Drops a burst. The owning thread only.
    pub fn drop_burst<P: Packet, const N: usize>(&self, reason: DropReason, burst: &mut ArrayVec<P, N>) {
        self.count_drop(reason, burst.len() as u64);
        if self.tap.is_on() {
            burst.iter_mut().for_each(|packet| self.tap.dropped(reason, packet));
        }
        P::free_burst(burst);
    }

    /// Drops what is left of a burst that a port's TX queue refused. The owning thread only.
    pub fn refused<P: Packet, const N: usize>(&self, port: u16, burst: &mut ArrayVec<P, N>) {
        if let (Some(tally), false) = (self.tx_full.get(usize::from(port)), burst.is_empty()) {
            tally.add(burst.len() as u64);
        }
        self.drop_burst(DropReason::TxFull, burst);
    }

    /// Counts drops of packets that are freed elsewhere. The owning thread only.
    pub fn count_drop(&self, reason: DropReason, packets: u64) {
        if let Some(tally) = self.drops.get(reason as usize) {
            tally.add(packets);
        }
    }

    /// How many went for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).map_or(0, Tally::get)
    }

    /// Notes a burst from a port. The owning thread only.
    pub fn received(&self, port: u16, packets: usize, bytes: u64) {
        if let (Some(p), Some(b)) = (self.rx.get(usize::from(port)), self.rx_bytes.get(usize::from(port))) {
            p.add(packets as u64);
            b.add(bytes);
        }
    }

    /// Notes packets that a port took. The owning thread only.
    pub fn sent(&self, port: u16, packets: usize, bytes: u64) {
        if let (Some(p), Some(b)) = (self.tx.get(usize::from(port)), self.tx_bytes.get(usize::from(port))) {
            p.add(packets as u64);
            b.add(bytes);
        }
    }
}

/// The sums over all threads, and the law that they keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Packets taken from ports.
    pub rx: u64,
    /// Packets that culvert made or handed back to the data path.
    pub generated: u64,
    /// Packets that ports took.
    pub tx: u64,
    /// Packets handed to the control threads.
    pub to_control: u64,
    /// Packets the control threads took.
    pub control_received: u64,
    /// Of these, handed back.
    pub control_returned: u64,
    /// Drops by reason on data cores.
    pub drops: Vec<(DropReason, u64)>,
    /// Drops by reason on control threads.
    pub control_drops: Vec<(DropReason, u64)>,
}

impl Account {
    /// Adds up. `data` are the counters of data cores, `control` those of control threads.
    pub fn sum<'a>(
        data: impl Iterator<Item = &'a Counters> + Clone,
        control: impl Iterator<Item = &'a Counters> + Clone,
    ) -> Self {
        let all = data.clone().chain(control.clone());
        let total = |f: fn(&Counters) -> u64| all.clone().map(f).sum();
        let ports = |t: &[Tally]| t.iter().map(Tally::get).sum::<u64>();
        Self {
            rx: all.clone().map(|c| ports(&c.rx)).sum(),
            tx: all.clone().map(|c| ports(&c.tx)).sum(),
            generated: total(|c| c.generated.get()),
            to_control: total(|c| c.to_control.get()),
            control_received: total(|c| c.control_received.get()),
            control_returned: total(|c| c.control_returned.get()),
            drops: reasons(data),
            control_drops: reasons(control),
        }
    }

    /// Drops on data cores.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().map(|(_, n)| n).sum()
    }

    /// Drops (and deliveries) on control threads.
    pub fn control_dropped(&self) -> u64 {
        self.control_drops.iter().map(|(_, n)| n).sum()
    }

    /// Packets of the data path that are neither sent, dropped nor handed to control: queued somewhere. Zero after a drain.
    /// Law 1 of TESTING: `rx + generated = tx + Σ drops + to_control + queued`.
    pub fn queued(&self) -> i128 {
        i128::from(self.rx) + i128::from(self.generated)
            - i128::from(self.tx)
            - i128::from(self.dropped())
            - i128::from(self.to_control)
    }

    /// The same for the control threads: zero after a drain.
    pub fn control_queued(&self) -> i128 {
        i128::from(self.to_control) - i128::from(self.control_dropped()) - i128::from(self.control_returned)
    }
}

fn reasons<'a>(counters: impl Iterator<Item = &'a Counters> + Clone) -> Vec<(DropReason, u64)> {
    DropReason::ALL
        .iter()
        .map(|r| (*r, counters.clone().map(|c| c.dropped(*r)).sum()))
        .filter(|(_, n)| *n > 0)
        .collect()
}
