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
    count: u32,
    first: u8,
    last: u8,
}

/// Places of the groups' table: twice as many as there can be groups.
const PLACES: usize = 2 * BURST;
/// No packet.
const NONE: u8 = u8::MAX;
const _: () = assert!(BURST < NONE as usize && PLACES.is_power_of_two());

/// Collects one burst and pushes it. Lives no longer than a read section.
pub(super) struct Handoff<'r, P: Packet> {
    dir: Dir,
    pushes: Pushes<'r, P, Peer>,
    groups: ArrayVec<Group<'r, P>, BURST>,
    /// By the low bits of a peer's number and on from there: the place of its group + 1; 0: free.
    places: [u8; PLACES],
    /// In order of arrival.
    packets: Packets<P>,
}

impl<'r, P: Packet> Handoff<'r, P> {
    pub(super) fn new(dir: Dir, reader: &'r Reader, flows: &'r Flows<P, Peer>) -> Self {
        let pushes = Pushes::new(reader, flows);
        Self { dir, pushes, groups: ArrayVec::new(), places: [0; PLACES], packets: ArrayVec::new() }
    }

    /// Adds one packet of `peer`, whose place [`Flows::prefetch`] has asked for. Call [`Handoff::push`] when [`Handoff::is_full`].
    #[inline]
    pub(super) fn add(&mut self, peer: FlowId, packet: P) {
        let place = number(self.packets.len());
        self.packets.push((Some(packet), NONE));
        for step in 0..PLACES {
            let Some(entry) = self.places.get_mut((peer.0 as usize).wrapping_add(step) % PLACES) else { return };
            let Some(at) = entry.checked_sub(1) else {
                // Found here, so that what the push writes is on its way while the rest of the burst is looked at.
                let flow = self.pushes.find(peer, self.dir);
                self.groups.push(Group { peer, flow, count: 1, first: place, last: place });
                *entry = number(self.groups.len());
                return;
            };
            if let Some(group) = self.groups.get_mut(usize::from(at)).filter(|group| group.peer == peer) {
                if let Some(last) = self.packets.get_mut(usize::from(group.last)) {
                    last.1 = place;
                }
                group.last = place;
                group.count += 1;
                return;
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.packets.is_full()
    }

    /// Pushes all groups, and wakes their workers. What has no peer any more is dropped.
    pub(super) fn push(&mut self, counters: &Counters) {
        if self.groups.is_empty() {
            return;
        }
        let before = counters.cycles.enter(Stage::Handoff);
        counters.cycles.did(Stage::Handoff, self.packets.len(), self.groups.len());
        let Self { dir, pushes, groups, places, packets } = self;
        for group in groups.drain(..) {
            let (left, reason) = match &group.flow {
                Some(flow) => push_group(pushes, *dir, packets, &group, flow),
                None => (group.first, DropReason::PeerGone),
            };
            if left != NONE {
                drop_from(packets, left, reason, counters);
            }
        }
        pushes.wake();
        packets.clear();
        *places = [0; PLACES];
        counters.cycles.enter(before);
    }
}

/// The packets of a burst, each with the place of the next one of its group.
type Packets<P> = ArrayVec<(Option<P>, u8), BURST>;

/// Credit once, a chain of what fits, oldest first; returns the place of the newest rest, its links untouched, and why it goes.
#[inline]
fn push_group<'r, P: Packet>(
    pushes: &mut Pushes<'r, P, Peer>,
    dir: Dir,
    packets: &mut Packets<P>,
    group: &Group<'r, P>,
    flow: &Found<'r, P, Peer>,
) -> (u8, DropReason) {
    let mut place = group.first;
    pushes.push(flow, dir, group.count, |granted| {
        let mut chain = Chain::new();
        while chain.len() < granted
            && let Some(packet) = take(packets, &mut place)
        {
            chain.push_back(packet);
        }
        chain
    });
    let retired = place != NONE && flow.flow().is_retired();
    (place, if retired { DropReason::PeerGone } else { DropReason::QueueFull })
}

/// Drops a group's packets from this one on.
#[cold]
fn drop_from<P: Packet>(packets: &mut Packets<P>, mut place: u8, reason: DropReason, counters: &Counters) {
    while let Some(packet) = take(packets, &mut place) {
        counters.drop_packet(reason, packet);
    }
}

/// Takes the packet at `place`, and goes on to the next of its group.
#[inline]
fn take<P: Packet>(packets: &mut Packets<P>, place: &mut u8) -> Option<P> {
    let (packet, next) = packets.get_mut(usize::from(*place))?;
    *place = *next;
    packet.take()
}

/// A place or a count within a burst.
#[inline]
fn number(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(NONE)
}
