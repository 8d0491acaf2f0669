//! Receiver index → keypair, by direct indexing: the low bits of the index are the place in the table, all 32 are compared.
//!
//! Indices are uniformly random (PROTOCOL, "Mistakes": an LFSR leaks the number of peers), so the table is kept at most half full.

use crate::queue::{Domain, FlowId, Reader, Retired, Slots, sync::Arc};
use crate::session::Keypair;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Largest table: [`crate::session::KeySlots`] names places by 21 bits.
const MOST_SLOTS: usize = 1 << 21;
/// Places a peer may hold at once: next, current, previous and a handshake under way.
const PLACES_A_PEER: usize = 4;

/// Whose handshake an index was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// All 32 bits.
    pub index: u32,
    /// The peer.
    pub flow: FlowId,
}

/// The table. Data cores look up; handshake and control threads reserve, install and remove.
#[derive(Debug)]
pub struct IndexTable {
    keypairs: Slots<Keypair>,
    mask: u32,
    /// Handshakes under way, by place. Control threads only.
    pending: Mutex<HashMap<u32, Pending>>,
}

impl IndexTable {
    /// A table for `max_peers` peers (524,288 at most), a random index of which is free at the second try on average.
    pub fn new(domain: Arc<Domain>, max_peers: u32) -> Self {
        let slots = (max_peers as usize * PLACES_A_PEER).next_power_of_two().clamp(1 << 10, MOST_SLOTS);
        let mask = u32::try_from(slots - 1).unwrap_or(u32::MAX);
        Self { keypairs: Slots::new(domain, slots), mask, pending: Mutex::new(HashMap::new()) }
    }

    /// The place of an index.
    pub fn slot(&self, index: u32) -> u32 {
        index & self.mask
    }

    /// The live keypair that `index` names. Any core, in a read section.
    #[inline]
    pub fn lookup<'r>(&self, reader: &'r Reader, index: u32) -> Option<&'r Keypair> {
        self.keypair(reader, self.slot(index)).filter(|k| k.local_index() == index)
    }

    /// Asks the cache for the place of an index, or one of [`crate::session::KeySlots`], for [`IndexTable::prefetch_keypair`] or a lookup
    /// that comes later.
    #[inline]
    pub fn prefetch(&self, index: u32) {
        self.keypairs.prefetch(self.slot(index) as usize);
    }

    /// Has `prefetch` ask the cache for what is needed of the keypair in the place of an index, for a lookup that comes later. Any core,
    /// in a read section.
    #[inline]
    pub fn prefetch_keypair(&self, reader: &Reader, index: u32, prefetch: impl FnOnce(&Keypair)) {
        if let Some(keypair) = self.keypairs.get(reader, self.slot(index) as usize) {
            prefetch(keypair);
        }
    }

    /// The peers of the live keypairs that these indices name, each at its index's place in `peers`: [`IndexTable::lookup`] for a burst
    /// whose places were asked for by [`IndexTable::prefetch`]; the keypairs' cache misses run side by side. Indices or places beyond the
    /// shorter of both are left alone. Any core, in a read section.
    #[inline]
    pub fn lookup_burst(&self, reader: &Reader, indices: &[u32], peers: &mut [Option<u32>]) {
        for index in indices {
            self.prefetch_keypair(reader, *index, Keypair::prefetch_to_look_at);
        }
        for (index, peer) in indices.iter().zip(peers) {
            *peer = self.lookup(reader, *index).map(Keypair::flow);
        }
    }

    /// The live keypair at a place of [`crate::session::KeySlots`]. Any core, in a read section.
    #[inline]
    pub fn keypair<'r>(&self, reader: &'r Reader, slot: u32) -> Option<&'r Keypair> {
        self.keypairs.get(reader, slot as usize).filter(|k| !k.is_dead())
    }

    /// Gives a handshake of `flow` an index that nobody holds; `random` yields uniformly random words.
    /// `None` only if the table is all but full. Control threads.
    pub fn reserve(&self, reader: &Reader, flow: FlowId, mut random: impl FnMut() -> u32) -> Option<u32> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..256 {
            let index = random();
            let slot = self.slot(index);
            // Place 0 means "none" in the packed slots.
            if slot != 0 && !pending.contains_key(&slot) && self.keypairs.get(reader, slot as usize).is_none() {
                pending.insert(slot, Pending { index, flow });
                return Some(index);
            }
        }
        None
    }

    /// How many handshakes under way have an index. Control threads.
    pub fn reserved(&self) -> usize {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many places have a keypair, dead or alive. Goes over the whole table: for tests.
    pub fn occupied(&self, reader: &Reader) -> usize {
        (0..=self.mask).filter(|slot| self.keypairs.get(reader, *slot as usize).is_some()).count()
    }

    /// Whose handshake `index` was given to. Control threads.
    pub fn pending(&self, index: u32) -> Option<FlowId> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.get(&self.slot(index)).filter(|p| p.index == index).map(|p| p.flow)
    }

    /// Gives a reserved index back: the handshake was given up or replaced. Control threads.
    pub fn cancel(&self, index: u32) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.get(&self.slot(index)).is_some_and(|p| p.index == index) {
            pending.remove(&self.slot(index));
        }
    }

    /// Puts the keypair in the place of its reserved index and returns that place. Control threads.
    pub fn install(&self, keypair: Box<Keypair>) -> Option<u32> {
        let (index, slot) = (keypair.local_index(), self.slot(keypair.local_index()));
        let installed = self.keypairs.insert(slot as usize, keypair).is_ok();
        self.cancel(index);
        installed.then_some(slot)
    }

    /// Puts a keypair of another process in the place of its index and returns that place; `None`: somebody has it. Control threads.
    pub fn resume(&self, keypair: Box<Keypair>) -> Option<u32> {
        let slot = self.slot(keypair.local_index());
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // Place 0 means "none" in the packed slots.
        let is_free = slot != 0 && !pending.contains_key(&slot);
        (is_free && self.keypairs.insert(slot as usize, keypair).is_ok()).then_some(slot)
    }

    /// The keypair at a place, if it was killed. A grace period after that nobody else uses it: what it says then is its last word.
    /// Control threads.
    pub fn killed<'r>(&self, reader: &'r Reader, slot: u32) -> Option<&'r Keypair> {
        self.keypairs.get(reader, slot as usize).filter(|k| k.is_dead())
    }

    /// Takes the keypair out of its place: it stops matching at once, and is zeroed and freed after a grace period. Control threads.
    pub fn remove(&self, reader: &Reader, slot: u32) -> Option<Retired<Keypair>> {
        self.keypairs.get(reader, slot as usize)?.kill();
        self.keypairs.take(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::Key;
    use crate::noise::SessionSecrets;

    #[test]
    fn a_burst_finds_what_each_index_finds_alone() {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let table = IndexTable::new(Arc::clone(&domain), 64);
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            state
        };
        let mut indices = Vec::new();
        for flow in 0..50 {
            let local_index = table.reserve(&reader, FlowId(flow), &mut random).unwrap();
            let key = || Key::new([7; 32]);
            let secrets = SessionSecrets { send: key(), receive: key(), local_index, remote_index: 1, initiator: true };
            table.install(Box::new(Keypair::new(secrets, flow, flow, 1)));
            // Of the same place, another index.
            indices.extend([local_index, local_index ^ 0x8000_0000, random()]);
            if flow % 7 == 3 {
                table.keypair(&reader, table.slot(local_index)).unwrap().kill();
            }
        }
        for burst in indices.chunks(32) {
            let mut peers = [Some(u32::MAX); 32];
            table.lookup_burst(&reader, burst, &mut peers);
            let alone = |index: &u32| table.lookup(&reader, *index).map(Keypair::flow);
            assert!(burst.iter().map(alone).eq(peers.iter().copied().take(burst.len())));
            assert!(peers.iter().skip(burst.len()).all(|peer| *peer == Some(u32::MAX)));
        }
        let found = indices.iter().filter(|index| table.lookup(&reader, **index).is_some());
        assert_eq!(found.count(), 50 - 7);
    }
}
