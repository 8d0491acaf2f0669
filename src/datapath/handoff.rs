//! handoff: a burst's packets, grouped by peer, pushed into the peers' queues as one chain each.

use super::{Counters, DropReason, PeerFlow, Shared};
use crate::frame::{BURST, Packet, PacketPool};
use crate::queue::{Chain, Dir, Reader};
use crate::shared::Stage;
use arrayvec::ArrayVec;

/// One group of a burst: the packets of one direction of one peer, oldest first.
struct Group<'r, P: Packet> {
    flow: &'r PeerFlow<P>,
    count: u32,
    first: usize,
    last: usize,
}

/// Collects one burst and pushes it. Lives no longer than the read section in which the flows were found.
pub(super) struct Handoff<'r, P: Packet> {
    dir: Dir,
    groups: ArrayVec<Group<'r, P>, BURST>,
    /// The packets in order of arrival, each with the place of the next one of its group.
    packets: ArrayVec<(Option<P>, usize), BURST>,
}

const NONE: usize = usize::MAX;

impl<'r, P: Packet> Handoff<'r, P> {
    pub(super) fn new(dir: Dir) -> Self {
        Self { dir, groups: ArrayVec::new(), packets: ArrayVec::new() }
    }

    /// Adds one packet of `flow`. Call [`Handoff::push`] when [`Handoff::is_full`].
    #[inline]
    pub(super) fn add(&mut self, flow: &'r PeerFlow<P>, packet: P) {
        let place = self.packets.len();
        self.packets.push((Some(packet), NONE));
        // Bursts come from few peers or mix them at random: look from the newest group back.
        match self.groups.iter_mut().rev().find(|g| std::ptr::eq(g.flow, flow)) {
            Some(group) => {
                if let Some(last) = self.packets.get_mut(group.last) {
                    last.1 = place;
                }
                group.last = place;
                group.count += 1;
            }
            None => self.groups.push(Group { flow, count: 1, first: place, last: place }),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.packets.is_full()
    }

    /// Pushes all groups: credit once, a chain of what fits, oldest first; the newest rest is dropped, its links untouched.
    pub(super) fn push<A: PacketPool<Packet = P>>(
        &mut self,
        reader: &'r Reader,
        shared: &Shared<A>,
        counters: &Counters,
    ) {
        if self.groups.is_empty() {
            return;
        }
        let before = counters.cycles.enter(Stage::Handoff);
        counters.cycles.did(Stage::Handoff, self.packets.len(), self.groups.len());
        for group in self.groups.drain(..) {
            let credits = group.flow.offer(reader, self.dir, group.count);
            let granted = credits.granted();
            let mut chain = Chain::new();
            let mut place = group.first;
            while let Some((packet, next)) = self.packets.get_mut(place) {
                place = *next;
                let Some(packet) = packet.take() else { continue };
                if chain.len() < granted {
                    chain.push_back(packet);
                } else {
                    let reason = if group.flow.is_retired() { DropReason::PeerGone } else { DropReason::QueueFull };
                    counters.drop_packet(reason, packet);
                }
            }
            credits.push(chain, &shared.flows);
        }
        self.packets.clear();
        counters.cycles.enter(before);
    }
}
