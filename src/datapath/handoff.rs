//! handoff: a burst's packets, grouped by peer, pushed into the peers' queues as one chain each.

use super::{Counters, DropReason};
use crate::frame::{BURST, Packet};
use crate::peer::Peer;
use crate::queue::{Chain, Dir, FlowId, Flows, Found, Pushes, Reader};
use crate::shared::Stage;
use arrayvec::ArrayVec;

/// One group of a burst: the packets of one direction of one peer, oldest first.
struct Group<'r, P: Packet> {
    peer: FlowId,
    /// `None`: there is no such peer any more.
    flow: Option<Found<'r, P, Peer>>,
    chain: Chain<P>,
}

/// Places of the groups' table: so many more than there can be groups that few have to go on from a taken one, which no branch predictor
/// foresees.
const PLACES: usize = 8 * BURST;
const _: () = assert!(BURST < u8::MAX as usize && PLACES.is_power_of_two());

/// Collects one burst and pushes it. Lives no longer than a read section.
pub(super) struct Handoff<'r, P: Packet> {
    dir: Dir,
    pushes: Pushes<'r, P, Peer>,
    /// In order of arrival of their first packets.
    groups: ArrayVec<Group<'r, P>, BURST>,
    /// By the low bits of a peer's number and on from there: the place of its group + 1; 0: free.
    places: [u8; PLACES],
    /// In all groups.
    packets: usize,
}

impl<'r, P: Packet> Handoff<'r, P> {
    pub(super) fn new(dir: Dir, reader: &'r Reader, flows: &'r Flows<P, Peer>) -> Self {
        let pushes = Pushes::new(reader, flows);
        Self { dir, pushes, groups: ArrayVec::new(), places: [0; PLACES], packets: 0 }
    }

    /// Adds one packet of `peer`, whose place [`Flows::prefetch`] has asked for. Call [`Handoff::push`] when [`Handoff::is_full`].
    #[inline]
    pub(super) fn add(&mut self, peer: FlowId, packet: P) {
        self.packets += 1;
        for step in 0..PLACES {
            let Some(entry) = self.places.get_mut((peer.0 as usize).wrapping_add(step) % PLACES) else { return };
            let Some(at) = entry.checked_sub(1) else {
                // Found here, so that what the push writes is on its way while the rest of the burst is looked at.
                let flow = self.pushes.find(peer, self.dir);
                let mut chain = Chain::new();
                chain.push_back(packet);
                self.groups.push(Group { peer, flow, chain });
                *entry = u8::try_from(self.groups.len()).unwrap_or(u8::MAX);
                return;
            };
            if let Some(group) = self.groups.get_mut(usize::from(at)).filter(|group| group.peer == peer) {
                return group.chain.push_back(packet);
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.packets == BURST
    }

    /// Pushes all groups, and wakes their workers. What has no peer any more, or no room, is dropped.
    pub(super) fn push(&mut self, counters: &Counters) {
        if self.groups.is_empty() {
            return;
        }
        let before = counters.cycles.enter(Stage::Handoff);
        counters.cycles.did(Stage::Handoff, self.packets, self.groups.len());
        let Self { dir, pushes, groups, places, packets } = self;
        for Group { flow, chain, .. } in groups.drain(..) {
            let Some(flow) = flow else {
                drop_all(chain, DropReason::PeerGone, counters);
                continue;
            };
            let rest = pushes.push(&flow, *dir, chain);
            if !rest.is_empty() {
                let retired = flow.flow().is_retired();
                drop_all(rest, if retired { DropReason::PeerGone } else { DropReason::QueueFull }, counters);
            }
        }
        pushes.wake();
        *packets = 0;
        *places = [0; PLACES];
        counters.cycles.enter(before);
    }
}

#[cold]
fn drop_all<P: Packet>(mut chain: Chain<P>, reason: DropReason, counters: &Counters) {
    while let Some(packet) = chain.pop_front() {
        counters.drop_packet(reason, packet);
    }
}
