//! The I/O stage of a core: polls its RX queues, classifies, hands off; sends for threads that own no TX queue.

use super::classify::Way;
use super::classify_burst::classify_burst;
use super::crypto_worker::Turn;
use super::handoff::Handoff;
use super::{DropReason, Forward, Port, RxPort, Tx, places::Places, rx, tap_point, undeliverable};
use crate::frame::{BURST, Burst, Kind, Packet, PacketPool};
use crate::queue::{Dir, Receiver};
use crate::shared::Stage;
use arrayvec::ArrayVec;

/// Bursts that one turn takes from the inbox: more than the cores that send by it can release in a turn of theirs.
const INBOX_BURSTS: usize = 16;

/// Packets that are enough for a worker's turn: a batch of the cipher, with which its costs a turn are small.
const ENOUGH: usize = 2 * BURST;

/// What one core polls.
#[derive(Debug)]
pub struct Io<A: PacketPool> {
    /// RX queues that it owns.
    rx: Vec<RxPort<A::Packet>>,
    /// What other threads want sent or forwarded by this core.
    inbox: Receiver<A::Packet>,
}

impl<A: PacketPool> Io<A> {
    /// The stage over its queues.
    pub fn new(rx: Vec<RxPort<A::Packet>>, inbox: Receiver<A::Packet>) -> Self {
        Self { rx, inbox }
    }

    /// One turn over all queues; `receive` is false while the gateway drains. Returns how many packets came.
    pub(super) fn poll(&mut self, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>, receive: bool) -> usize {
        let mut packets = self.serve_inbox(turn, tx);
        if receive {
            packets += self.receive(turn);
        }
        packets
    }

    /// A burst of each queue; where these are few, full ones are followed by another, so that the worker of this core has more to do in
    /// its turn. Returns how many packets came.
    fn receive(&mut self, turn: &Turn<'_, A>) -> usize {
        let (mut packets, mut full) = (0, Places(0));
        for (place, rx) in self.rx.iter_mut().enumerate() {
            let came = receive_burst(rx, turn);
            packets += came;
            if came == BURST {
                full.insert(place);
            }
        }
        if packets < ENOUGH {
            packets += full.of(&mut self.rx).map(|rx| receive_burst(rx, turn)).sum::<usize>();
        }
        packets
    }

    fn serve_inbox(&mut self, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>) -> usize {
        if self.inbox.is_empty() {
            return 0;
        }
        let mut packets = 0;
        let mut forward = Forward::new(turn);
        for _ in 0..INBOX_BURSTS {
            let mut burst: Burst<A::Packet> = Burst::new();
            let came = self.inbox.recv_burst(&mut burst);
            packets += came;
            for packet in burst {
                match packet.meta().kind {
                    Kind::Route => forward.inner(packet, tx),
                    Kind::Gathered => gathered(packet, turn),
                    _ => tx.transmit(packet.meta().port, packet, turn.counters),
                }
            }
            if came < BURST {
                break;
            }
        }
        forward.push();
        packets
    }
}

/// Takes a burst from a queue, and hands every packet on; returns how many came.
fn receive_burst<A: PacketPool>(rx: &mut RxPort<A::Packet>, turn: &Turn<'_, A>) -> usize {
    let Some(port) = turn.shared.port(rx.port) else { return 0 };
    let cycles = &turn.counters.cycles;
    cycles.enter(Stage::Rx);
    let mut burst = Burst::new();
    rx::receive(rx, port, &mut burst, &turn.shared.pool, turn.counters);
    let came = burst.len();
    if came > 0 {
        cycles.did(Stage::Rx, came, 1);
        tap_point::received(&burst, port, turn);
        dispatch(&mut burst, port, turn);
    }
    came
}

/// Classifies a burst and hands every packet on.
fn dispatch<A: PacketPool>(burst: &mut Burst<A::Packet>, port: &Port, turn: &Turn<'_, A>) {
    let shared = turn.shared;
    turn.counters.cycles.enter(Stage::Classify);
    turn.counters.cycles.did(Stage::Classify, burst.len(), 1);
    let mut ways = ArrayVec::new();
    classify_burst(burst, port, shared, turn.reader, &mut ways);
    tap_point::classified(burst, &ways, port, turn);
    let mut ingress = Handoff::new(Dir::Ingress, turn.reader, &shared.flows);
    let mut forward = Forward::new(turn);
    for (packet, way) in burst.drain(..).zip(ways) {
        match way {
            Way::Ingress(peer) => ingress.add(peer, packet),
            Way::Egress(peer) => forward.send_to_peer(peer, packet),
            Way::Handshake(thread) => hand_to_handshakes(packet, thread, turn),
            Way::Control => super::hand_to_control(packet, Kind::Data, port.id, turn),
            Way::Fragment => hand_over_fragment(packet, port.id, turn),
            Way::Undeliverable(reason) => undeliverable(packet, reason, turn),
            Way::Drop(reason) => turn.counters.drop_packet(reason, packet),
        }
    }
    ingress.push(turn.counters);
    forward.push();
}

/// A datagram that the control thread made of fragments: classified as if it had come whole.
#[cold]
fn gathered<A: PacketPool>(packet: A::Packet, turn: &Turn<'_, A>) {
    match turn.shared.port(packet.meta().port) {
        Some(port) => dispatch(&mut [packet].into_iter().collect(), port, turn),
        None => turn.counters.drop_packet(DropReason::NotForUs, packet),
    }
}

/// A fragment, within the fragments' share of the control thread's queue.
#[cold]
fn hand_over_fragment<A: PacketPool>(packet: A::Packet, port: u16, turn: &Turn<'_, A>) {
    if !turn.shared.fragments.take() {
        turn.counters.drop_packet(DropReason::FragmentBound, packet);
    } else if !super::offer_to_control(packet, Kind::Fragment, port, turn) {
        turn.shared.fragments.give_back(1);
    }
}

fn hand_to_handshakes<A: PacketPool>(packet: A::Packet, thread: usize, turn: &Turn<'_, A>) {
    let refused = match turn.shared.handshakes.get(thread) {
        Some(queue) => queue.send(packet).err(),
        None => Some(packet),
    };
    match refused {
        Some(packet) => turn.counters.drop_packet(DropReason::HandshakeFull, packet),
        None => turn.counters.to_control.add(1),
    }
}
