//! tx: what the other stages send, a burst a port at a time.

use super::{Counters, DropReason, Port, tap_point, vlan};
use crate::frame::{BURST, Burst, Frame, Kind, Packet, TxBurst};
use crate::queue::Sender;
use crate::shared::Stage;

/// How often a full TX ring is tried before its packets are dropped.
const TRIES: usize = 8;

/// How a core reaches a port's wire.
pub enum TxPath<P: Packet> {
    /// A TX queue that it owns.
    Queue(Box<dyn TxBurst<Packet = P>>),
    /// The queue of the core that owns one.
    Core(Sender<P>),
    /// A TX queue that it owns, and its own inbox, by which others send too. What the core itself sends takes that way as well:
    /// else it would overtake what a worker before it in a peer's order has put there.
    Shared(Box<dyn TxBurst<Packet = P>>, Sender<P>),
}

impl<P: Packet> std::fmt::Debug for TxPath<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queue(_) => "TxPath::Queue",
            Self::Core(_) => "TxPath::Core",
            Self::Shared(..) => "TxPath::Shared",
        })
    }
}

/// One port's TX buffer of one core.
#[derive(Debug)]
struct TxPort<P: Packet> {
    path: TxPath<P>,
    /// The tag that every frame gets; 0: none.
    vlan: u16,
    burst: Burst<P>,
    /// Of a shared queue: what came by the inbox and goes out now.
    due: Burst<P>,
}

/// All ports' TX buffers of one core; the place in the list is the port's id.
#[derive(Debug)]
pub struct Tx<P: Packet> {
    ports: Vec<TxPort<P>>,
}

impl<P: Packet> Tx<P> {
    /// One path a port, in order of port ids.
    pub fn new(paths: Vec<TxPath<P>>, ports: &[Port]) -> Self {
        let port = |(path, port): (_, &Port)| TxPort { path, vlan: port.vlan, burst: Burst::new(), due: Burst::new() };
        Self { ports: paths.into_iter().zip(ports).map(port).collect() }
    }

    /// Buffers one packet for `port`; a full buffer is sent.
    #[inline]
    pub fn push(&mut self, port: u16, mut packet: P, counters: &Counters) {
        let Some(tx) = self.ports.get_mut(usize::from(port)) else {
            return counters.drop_packet(DropReason::TxFull, packet);
        };
        if let TxPath::Core(_) | TxPath::Shared(..) = tx.path {
            // What stands there is the port that it came in by.
            let meta = packet.meta_mut();
            meta.kind = Kind::Transmit;
            meta.port = port;
        }
        tx.burst.push(packet);
        if tx.burst.is_full() {
            tx.flush(port, counters);
        }
    }

    /// The same for what came by this core's inbox: of a shared queue it goes straight to the queue.
    pub(super) fn transmit(&mut self, port: u16, packet: P, counters: &Counters) {
        match self.ports.get_mut(usize::from(port)) {
            Some(tx) if matches!(tx.path, TxPath::Shared(..)) => {
                tx.due.push(packet);
                if tx.due.is_full() {
                    tx.flush_due(port, counters);
                }
            }
            _ => self.push(port, packet, counters),
        }
    }

    /// Sends all that is buffered.
    pub fn flush(&mut self, counters: &Counters) {
        for (port, tx) in (0u16..).zip(&mut self.ports) {
            if !tx.burst.is_empty() {
                tx.flush(port, counters);
            }
            if !tx.due.is_empty() {
                tx.flush_due(port, counters);
            }
        }
    }
}

impl<P: Packet> TxPort<P> {
    /// Sends the buffer; what is refused to the end is dropped, so the buffer is empty afterwards.
    fn flush(&mut self, port: u16, counters: &Counters) {
        let before = counters.cycles.enter(Stage::Tx);
        counters.cycles.did(Stage::Tx, self.burst.len(), 1);
        match &mut self.path {
            TxPath::Queue(queue) => send_all(queue.as_mut(), (port, self.vlan), &mut self.burst, counters),
            // The owner counts them as sent when they are.
            TxPath::Core(owner) | TxPath::Shared(_, owner) => {
                owner.send_burst(&mut self.burst);
                counters.refused(port, &mut self.burst);
            }
        }
        counters.cycles.enter(before);
    }

    /// The same for `due`.
    fn flush_due(&mut self, port: u16, counters: &Counters) {
        let before = counters.cycles.enter(Stage::Tx);
        if let TxPath::Queue(queue) | TxPath::Shared(queue, _) = &mut self.path {
            send_all(queue.as_mut(), (port, self.vlan), &mut self.due, counters);
        }
        counters.cycles.enter(before);
    }
}

/// Sends `burst` by a port with its VLAN; what is refused to the end is dropped.
fn send_all<P: Packet>(
    queue: &mut dyn TxBurst<Packet = P>,
    (port, vlan): (u16, u16),
    burst: &mut Burst<P>,
    counters: &Counters,
) {
    tap_point::sent(burst, port, counters);
    if vlan != 0 {
        vlan::put_in(burst, vlan, counters);
    }
    for _ in 0..TRIES {
        send(queue, port, burst, counters);
        if burst.is_empty() {
            return;
        }
        std::hint::spin_loop();
    }
    counters.refused(port, burst);
}

/// Sends from the front of `burst` and counts what went.
fn send<P: Packet>(queue: &mut dyn TxBurst<Packet = P>, port: u16, burst: &mut Burst<P>, counters: &Counters) {
    // Lengths are read before: a sent packet is the port's.
    let lengths: arrayvec::ArrayVec<usize, BURST> = burst.iter().map(Frame::total_len).collect();
    let sent = queue.tx_burst(burst);
    let bytes = lengths.iter().take(sent).map(|l| *l as u64).sum();
    counters.sent(port, sent, bytes);
}
