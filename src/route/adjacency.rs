//! Neighbours as the data path sees them: an index, behind it a port and two MAC addresses.
//!
//! Everything that may change about an adjacency lies in one 64-bit word, so a reader always sees one state of it. Port and
//! own MAC address follow from the index alone. The index carries a generation: when a slot is given to another neighbour,
//! whoever still holds the old index (a header template, say) is told so instead of sending to the wrong host. So slots
//! need no grace period.

use crate::queue::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use std::collections::VecDeque;

/// Ports that adjacencies can be of; port numbers are below it.
pub const PORTS_MAX: u16 = 32;
/// Adjacencies a port, at most.
pub const PER_PORT_MAX: usize = 8192;

/// Bits of the slot number within its port.
const SLOT_BITS: u32 = PER_PORT_MAX.trailing_zeros();
/// Bits of the port number.
const PORT_BITS: u32 = PORTS_MAX.trailing_zeros();
/// Bits of the generation, above slot and port.
const GENERATION_BITS: u32 = 12;
/// Bits of an [`AdjacencyIndex`]; the rest are for the tag of a [`NextHop`](super::NextHop).
pub(super) const INDEX_BITS: u32 = SLOT_BITS + PORT_BITS + GENERATION_BITS;

const _: () = assert!(PER_PORT_MAX.is_power_of_two() && PORTS_MAX.is_power_of_two());
const _: () = assert!(INDEX_BITS == 30);

const MAC_BITS: u32 = 48;
const STATE_SHIFT: u32 = MAC_BITS;
const STATE_MASK: u64 = 0b11;
const UNRESOLVED: u64 = 1;
const RESOLVED: u64 = 2;
const GENERATION_SHIFT: u32 = 52;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// Names an adjacency of one generation: generation, port, slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdjacencyIndex(u32);

impl AdjacencyIndex {
    /// The index as kept in a packet's notes or a header template; below 2^30.
    pub fn to_raw(self) -> u32 {
        self.0
    }

    /// The index again. Any number is safe: one that names nothing is answered with [`NoHeader::Gone`].
    pub fn from_raw(raw: u32) -> Self {
        Self(raw & ((1 << INDEX_BITS) - 1))
    }

    /// The port that it is on.
    pub fn port(self) -> u16 {
        u16::try_from(self.0 >> SLOT_BITS & ((1 << PORT_BITS) - 1)).unwrap_or(0)
    }

    fn new(generation: u64, port: u16, slot: u32) -> Self {
        let generation = u32::try_from(generation & GENERATION_MASK).unwrap_or(0);
        Self((generation << PORT_BITS | u32::from(port)) << SLOT_BITS | slot)
    }

    fn generation(self) -> u64 {
        u64::from(self.0 >> (SLOT_BITS + PORT_BITS))
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// The neighbour's MAC address is not known (yet): the packet goes to the control thread, which resolves it.
    Unresolved {
        /// Where it lives.
        port: u16,
    },
    /// The index names this neighbour no more: look the address up again.
    Gone,
}

/// All adjacencies. Any thread reads it; [`AdjacencyWriter`] writes it.
#[derive(Debug)]
pub struct Adjacencies {
    ports: Box<[PortSlots]>,
}

#[derive(Debug)]
struct PortSlots {
    /// The port's own MAC address. data path: r, control: w
    own_mac: AtomicU64,
    slots: Box<[Slot]>,
}

#[derive(Debug, Default)]
struct Slot {
    /// MAC address, state, generation, from bit 0 up. data path: r, control: w
    word: AtomicU64,
    /// Whether a header was asked for since the control thread last looked. data path: sets, control: clears
    used: AtomicBool,
}

impl Adjacencies {
    /// Room for `ports` ports (at most [`PORTS_MAX`]) with `per_port` neighbours each (at most [`PER_PORT_MAX`]), and the
    /// one handle that may write.
    pub fn new(ports: u16, per_port: usize) -> (Arc<Self>, AdjacencyWriter) {
        let per_port = per_port.min(PER_PORT_MAX);
        let ports = (0..ports.min(PORTS_MAX))
            .map(|_| PortSlots { own_mac: AtomicU64::new(0), slots: (0..per_port).map(|_| Slot::default()).collect() });
        let adjacencies = Arc::new(Self { ports: ports.collect() });
        let free = adjacencies.ports.iter().map(|_| (0..).take(per_port).collect()).collect();
        (Arc::clone(&adjacencies), AdjacencyWriter { adjacencies, free })
    }

    /// The first 12 bytes of the Ethernet header (destination, source) and the port to send by. Any thread.
    ///
    /// # Errors
    /// [`NoHeader`] says what to do instead.
    #[inline]
    pub fn header(&self, index: AdjacencyIndex) -> Result<([u8; 12], u16), NoHeader> {
        let port = index.port();
        let slots = self.ports.get(usize::from(port)).ok_or(NoHeader::Gone)?;
        let slot = slots.slots.get(index.slot()).ok_or(NoHeader::Gone)?;
        // Acquire: meets the Release store in `AdjacencyWriter::store`; the own MAC address was written before it.
        let word = slot.word.load(Ordering::Acquire);
        if word >> GENERATION_SHIFT != index.generation() {
            return Err(NoHeader::Gone);
        }
        match word >> STATE_SHIFT & STATE_MASK {
            RESOLVED => {
                // Relaxed, both: a hint, stored only when it changes, so that the cores can share the cache line.
                if !slot.used.load(Ordering::Relaxed) {
                    slot.used.store(true, Ordering::Relaxed);
                }
                // Relaxed: the load above orders it; it is one word, written when the port was added.
                let own = slots.own_mac.load(Ordering::Relaxed);
                Ok((two_macs(word, own), port))
            }
            UNRESOLVED => Err(NoHeader::Unresolved { port }),
            _ => Err(NoHeader::Gone),
        }
    }
}

/// Both addresses, in the order of an Ethernet header.
#[inline]
fn two_macs(neighbour: u64, own: u64) -> [u8; 12] {
    let [_, _, d0, d1, d2, d3, d4, d5] = neighbour.to_be_bytes();
    let [_, _, s0, s1, s2, s3, s4, s5] = own.to_be_bytes();
    [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5]
}

fn mac_word([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The one handle that changes [`Adjacencies`]; the control thread's.
#[derive(Debug)]
pub struct AdjacencyWriter {
    adjacencies: Arc<Adjacencies>,
    /// Free slots of each port, the one that was free longest first, so that generations repeat as late as can be.
    free: Vec<VecDeque<u32>>,
}

impl AdjacencyWriter {
    /// Sets a port's own MAC address, before it has adjacencies. `false` if there is no room for such a port.
    pub fn set_port(&mut self, port: u16, mac: [u8; 6]) -> bool {
        let slots = self.adjacencies.ports.get(usize::from(port));
        // Relaxed: `store` publishes it with the first adjacency of the port.
        slots.map(|slots| slots.own_mac.store(mac_word(mac), Ordering::Relaxed)).is_some()
    }

    /// A new adjacency, unresolved; `None` when the port has no slot left.
    pub fn alloc(&mut self, port: u16) -> Option<AdjacencyIndex> {
        let slot = self.free.get_mut(usize::from(port))?.pop_front()?;
        let unborn = AdjacencyIndex::new(0, port, slot);
        // Relaxed: the writer reads its own store.
        let word = self.slot(unborn)?.word.load(Ordering::Relaxed);
        let index = AdjacencyIndex::new(word >> GENERATION_SHIFT, port, slot);
        self.store(index, UNRESOLVED, 0);
        self.take_used(index);
        Some(index)
    }

    /// Its MAC address is known; `false` if `index` is gone.
    pub fn resolve(&mut self, index: AdjacencyIndex, mac: [u8; 6]) -> bool {
        self.is_live(index) && self.store(index, RESOLVED, mac_word(mac))
    }

    /// Its MAC address is known no more; `false` if `index` is gone.
    pub fn unresolve(&mut self, index: AdjacencyIndex) -> bool {
        self.is_live(index) && self.store(index, UNRESOLVED, 0)
    }

    /// Ends this generation of it; from now on `index` is [`NoHeader::Gone`]. `false` if it was already.
    pub fn free(&mut self, index: AdjacencyIndex) -> bool {
        if !self.is_live(index) {
            return false;
        }
        let slot = index.0 & ((1 << SLOT_BITS) - 1);
        self.store(AdjacencyIndex::new(index.generation() + 1, index.port(), slot), 0, 0);
        if let Some(free) = self.free.get_mut(usize::from(index.port())) {
            free.push_back(slot);
        }
        true
    }

    /// Whether a header of it was asked for since this was last called, or since it was made.
    pub fn take_used(&mut self, index: AdjacencyIndex) -> bool {
        // Relaxed: a hint.
        let was_used = |slot: &Slot| slot.used.swap(false, Ordering::Relaxed);
        self.is_live(index) && self.slot(index).is_some_and(was_used)
    }

    /// The readers' side.
    pub fn adjacencies(&self) -> &Arc<Adjacencies> {
        &self.adjacencies
    }

    fn slot(&self, index: AdjacencyIndex) -> Option<&Slot> {
        let port = self.adjacencies.ports.get(usize::from(index.port()))?;
        port.slots.get(index.slot())
    }

    fn is_live(&self, index: AdjacencyIndex) -> bool {
        // Relaxed: the writer reads its own store.
        let word = |slot: &Slot| slot.word.load(Ordering::Relaxed);
        let word = self.slot(index).map_or(0, word);
        word >> GENERATION_SHIFT == index.generation() && word >> STATE_SHIFT & STATE_MASK != 0
    }

    fn store(&self, index: AdjacencyIndex, state: u64, mac: u64) -> bool {
        let word = index.generation() << GENERATION_SHIFT | state << STATE_SHIFT | mac;
        // Release: the port's own MAC address was stored before; meets the Acquire load in `header`.
        let store = |slot: &Slot| slot.word.store(word, Ordering::Release);
        self.slot(index).map(store).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Adjacencies, AdjacencyIndex, NoHeader, PER_PORT_MAX, PORTS_MAX};
    use std::collections::HashSet;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const A: [u8; 6] = [0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa];

    #[test]
    fn a_header_appears_with_the_mac_and_goes_with_it() {
        let (readers, mut writer) = Adjacencies::new(PORTS_MAX, PER_PORT_MAX);
        let port = PORTS_MAX - 1;
        assert!(writer.set_port(port, OWN));
        let index = writer.alloc(port).unwrap();
        assert_eq!(readers.header(index), Err(NoHeader::Unresolved { port }));
        assert!(writer.resolve(index, A));
        let expected = [0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 2, 0, 0, 0, 0, 1];
        assert!(!writer.take_used(index));
        assert_eq!(readers.header(index), Ok((expected, port)));
        assert!(writer.take_used(index) && !writer.take_used(index));
        assert!(writer.unresolve(index));
        assert_eq!(readers.header(index), Err(NoHeader::Unresolved { port }));
        assert!(writer.free(index) && !writer.free(index) && !writer.resolve(index, A));
        assert_eq!(readers.header(index), Err(NoHeader::Gone));
        assert_eq!(AdjacencyIndex::from_raw(index.to_raw()), index);
    }

    #[test]
    fn a_slot_of_another_generation_is_another_adjacency() {
        let (readers, mut writer) = Adjacencies::new(1, 1);
        writer.set_port(0, OWN);
        let mut seen = HashSet::new();
        for _ in 0..4096 {
            let index = writer.alloc(0).unwrap();
            assert_eq!(writer.alloc(0), None);
            assert!(writer.resolve(index, A) && seen.insert(index));
            assert!(seen.iter().filter(|old| readers.header(**old).is_ok()).eq([&index]));
            writer.free(index);
        }
        assert!(seen.contains(&writer.alloc(0).unwrap()), "generations end");
    }

    #[test]
    fn numbers_that_name_nothing_are_gone() {
        let (readers, mut writer) = Adjacencies::new(2, 3);
        assert!(!writer.set_port(2, OWN));
        assert_eq!(writer.alloc(2), None);
        for raw in [0, 1, 3, 1 << 13, 2 << 13, u32::MAX, 1 << 18, 31 << 13 | 8191] {
            assert_eq!(readers.header(AdjacencyIndex::from_raw(raw)), Err(NoHeader::Gone), "{raw:#x}");
        }
    }
}
