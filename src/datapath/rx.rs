//! rx: takes bursts from RX queues and makes every packet one that the later stages may touch.

use super::{Counters, DropReason, Port, vlan};
use crate::frame::{Burst, Frame, Packet, PacketPool, RxBurst};

/// Room that the longest outer headers need in front: 14 + 40 + 8 + 16, and a VLAN tag.
const HEADROOM: usize = 82;
/// Room that padding and the tag need behind.
const TAILROOM: usize = 32;

/// One RX queue of a port.
pub struct RxPort<P: Packet> {
    /// The port's id.
    pub port: u16,
    /// The queue, owned by this core.
    pub queue: Box<dyn RxBurst<Packet = P>>,
}

impl<P: Packet> std::fmt::Debug for RxPort<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RxPort").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Receives one burst from the queue of `port`. What the data path cannot take as it is (chained, shared, foreign, no room) is copied,
/// or dropped by name; a VLAN's port keeps what is its own.
pub(super) fn receive<A: PacketPool>(
    rx: &mut RxPort<A::Packet>,
    port: &Port,
    burst: &mut Burst<A::Packet>,
    pool: &A,
    counters: &Counters,
) {
    if rx.queue.rx_burst(burst) == 0 {
        return;
    }
    // Each packet is looked at once. What a driver took off counts as a tag, too.
    let (mut bytes, mut stripped, mut all_fit) = (0, 0, true);
    for packet in burst.iter() {
        bytes += packet.total_len() as u64;
        stripped |= packet.meta().vlan();
        all_fit &= fits(packet, pool);
    }
    counters.received(rx.port, burst.len(), bytes);
    if !all_fit {
        make_fit(burst, pool, counters);
    }
    if port.vlan | stripped != 0 {
        vlan::take_off(burst, port.vlan, counters);
    }
}

/// Copies what does not fit.
#[cold]
fn make_fit<A: PacketPool>(burst: &mut Burst<A::Packet>, pool: &A, counters: &Counters) {
    let mut kept: Burst<A::Packet> = Burst::new();
    for packet in burst.drain(..) {
        if fits(&packet, pool) {
            kept.push(packet);
            continue;
        }
        match pool.copy_of(&packet) {
            Some(copy) => {
                kept.push(copy);
                drop(packet);
            }
            None => {
                let reason = if pool.owns(&packet) { DropReason::NotPlain } else { DropReason::ForeignMbuf };
                counters.drop_packet(reason, packet);
            }
        }
    }
    *burst = kept;
}

#[inline]
fn fits<A: PacketPool>(packet: &A::Packet, pool: &A) -> bool {
    pool.owns(packet) && packet.is_plain() && packet.headroom() + 14 >= HEADROOM && packet.tailroom() >= TAILROOM
}
