//! A stream: one RX queue, what is done with its packets, and the TX queue that they leave by. One thread owns it.

use super::verbose::Shown;
use crate::frame::{BURST, Burst, Packet, PacketPool, RxBurst, TxBurst};
use crate::peer::Tally;
use crate::queue::sync::{Arc, AtomicBool, Ordering::Relaxed};
use crate::wire::MacAddr;

/// The kinds of packets, queues and pool that a stream is made of.
pub(super) trait Ends: 'static {
    /// Its packets.
    type Packet: Packet;
    /// Where they come from.
    type Rx: RxBurst<Packet = Self::Packet>;
    /// Where they go.
    type Tx: TxBurst<Packet = Self::Packet>;
    /// Where new ones come from.
    type Pool: PacketPool<Packet = Self::Packet>;

    /// How many segments a packet has, and the hash that the NIC found for it.
    fn segments_and_hash(packet: &Self::Packet) -> (u16, Option<u32>);
}

/// From which queue to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) rx_port: u16,
    pub(super) rx_queue: u16,
    pub(super) tx_port: u16,
    pub(super) tx_queue: u16,
    /// The TX port's own address.
    pub(super) source: MacAddr,
    /// Whom it sends to (`--eth-peer`).
    pub(super) peer: MacAddr,
}

/// Counters, by one list: what counts, and a copy of it at one moment.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a stream counts. Its thread alone: w, anyone: r.
        #[derive(Debug, Default)]
        pub(super) struct Counts { $($(#[$doc])* pub(super) $name: Tally,)* }

        /// The counts at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct Counted { $($(#[$doc])* pub(super) $name: u64,)* }

        impl Counts {
            /// As they are now.
            pub(super) fn read(&self) -> Counted {
                Counted { $($name: self.$name.get(),)* }
            }
        }

        impl Counted {
            /// What came since `before`.
            pub(super) fn since(&self, before: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(before.$name),)* }
            }

            /// Both together.
            pub(super) fn plus(&self, other: &Self) -> Self {
                Self { $($name: self.$name + other.$name,)* }
            }
        }
    };
}

counters! {
    /// Packets that the RX queue gave.
    received,
    /// Packets that the mode made.
    made,
    /// Packets that end in the mode, as it means to.
    ended,
    /// Packets that the TX queue took.
    sent,
    /// Packets that it refused.
    tx_dropped,
    /// IP headers with a wrong checksum.
    bad_ip,
    /// TCP and UDP checksums that were wrong.
    bad_l4,
    /// Of `ended`: packets out of a tunnel that are what was put in.
    good,
    /// Of `ended`: sealed packets whose tag is wrong.
    bad_tag,
    /// Of `ended`: sealed packets that came before.
    replayed,
    /// Of `ended`: packets out of a tunnel that are something else.
    bad_inner,
    /// Of `ended`: what is no tunnel's.
    stray,
    /// Ticks of turns that had packets, while they are recorded.
    cycles,
}

/// What a mode works with.
pub(super) struct Queues<E: Ends> {
    pub(super) rx: E::Rx,
    pub(super) tx: E::Tx,
    pub(super) pool: E::Pool,
    pub(super) way: Way,
    pub(super) counts: Arc<Counts>,
    pub(super) shown: Arc<Shown>,
    /// What this turn works on; empty between turns.
    pub(super) burst: Burst<E::Packet>,
    /// Packets a burst, at most.
    pub(super) limit: usize,
}

impl<E: Ends> Queues<E> {
    pub(super) fn new(rx: E::Rx, tx: E::Tx, pool: E::Pool, way: Way, limit: usize) -> Self {
        let (counts, shown) = (Arc::default(), Arc::default());
        Self { rx, tx, pool, way, counts, shown, burst: Burst::new(), limit: limit.clamp(1, BURST) }
    }

    /// Fills the burst from the RX queue; returns how many packets came.
    #[inline]
    pub(super) fn receive(&mut self) -> usize {
        let count = self.rx.rx_burst_of(&mut self.burst, self.limit);
        self.counts.received.add(count as u64);
        self.shown.look::<E>(false, &self.burst);
        count
    }

    /// Fills the burst with empty packets, fewer when the pool runs dry; returns how many.
    #[inline]
    pub(super) fn make(&mut self) -> usize {
        let count = self.limit.min(self.burst.remaining_capacity());
        self.burst.extend((0..count).map_while(|_| self.pool.alloc()));
        self.counts.made.add(self.burst.len() as u64);
        self.burst.len()
    }

    /// Sends the burst; what the TX queue refuses is dropped. Returns how many it took.
    #[inline]
    pub(super) fn send(&mut self) -> usize {
        if self.burst.is_empty() {
            return 0;
        }
        self.shown.look::<E>(true, &self.burst);
        let sent = self.tx.tx_burst(&mut self.burst);
        self.counts.sent.add(sent as u64);
        self.refuse();
        sent
    }

    /// Drops the burst, which cannot be sent.
    #[inline]
    pub(super) fn refuse(&mut self) -> usize {
        self.counts.tx_dropped.add(self.burst.len() as u64);
        E::Packet::free_burst(&mut self.burst);
        0
    }

    /// The burst ends here, as the mode means it to.
    #[inline]
    pub(super) fn end(&mut self) {
        self.counts.ended.add(self.burst.len() as u64);
        E::Packet::free_burst(&mut self.burst);
    }

    /// Gives back what waits in the RX queue, `most` packets or so at most: before a start, and before a port closes.
    pub(super) fn flush(&mut self, most: usize) {
        for _ in 0..most.div_ceil(BURST) {
            if self.rx.rx_burst(&mut self.burst) == 0 {
                break;
            }
            E::Packet::free_burst(&mut self.burst);
        }
    }
}

/// What is done with packets. A turn is one burst each way, and leaves the queues' burst empty.
pub(super) trait Forward<E: Ends>: Send {
    /// One turn; returns how many packets it had.
    fn turn(&mut self, queues: &mut Queues<E>) -> usize;

    /// A turn after the stop, which takes what is still under way and makes nothing new; returns how many packets of its own came.
    fn drain(&mut self, queues: &mut Queues<E>) -> usize {
        let _ = queues;
        0
    }
}

/// One stream.
pub(super) struct Stream<E: Ends> {
    pub(super) queues: Queues<E>,
    pub(super) mode: Box<dyn Forward<E>>,
}

/// What the main thread tells those that forward.
pub(super) struct Orders {
    /// main: w, once. forwarding threads: r
    stop: AtomicBool,
    /// main: w. forwarding threads: r
    record: AtomicBool,
    /// Ticks, and how many there are a second.
    clock: fn() -> u64,
    hertz: u64,
}

impl Orders {
    pub(super) fn new(record: bool, clock: fn() -> u64, hertz: u64) -> Self {
        Self { stop: AtomicBool::new(false), record: AtomicBool::new(record), clock, hertz }
    }

    /// No more turns. Any thread.
    pub(super) fn stop(&self) {
        // Relaxed: nothing is handed over by it; the streams come back by a join.
        self.stop.store(true, Relaxed);
    }

    /// Whether cycles are counted from now on. Any thread.
    pub(super) fn record(&self, on: bool) {
        // Relaxed: a wish.
        self.record.store(on, Relaxed);
    }
}

/// Runs streams until the stop. `shares_core`: somebody else waits for this core, who is let in when there is nothing to do.
pub(super) fn run<E: Ends>(streams: &mut [Stream<E>], orders: &Orders, shares_core: bool) {
    // Relaxed, here and below: a flag, and a wish; no other memory hangs on them.
    while !orders.stop.load(Relaxed) {
        let record = orders.record.load(Relaxed);
        let mut packets = 0;
        for Stream { queues, mode } in &mut *streams {
            let began = if record { (orders.clock)() } else { 0 };
            let count = mode.turn(queues);
            if record && count > 0 {
                queues.counts.cycles.add((orders.clock)().wrapping_sub(began));
            }
            packets += count;
        }
        if packets == 0 && shares_core {
            std::thread::yield_now();
        }
    }
    let began = (orders.clock)();
    let mut last = began;
    loop {
        let now = (orders.clock)();
        if streams.iter_mut().map(|Stream { queues, mode }| mode.drain(queues)).sum::<usize>() > 0 {
            last = now;
        }
        // Until 20 ms are quiet; a second at most, should others send what looks like ours.
        if now.wrapping_sub(last) >= orders.hertz / 50 || now.wrapping_sub(began) >= orders.hertz {
            break;
        }
    }
}
