//! The packet of tests, Miri and fuzzers: bytes on the heap, from a pool that counts what it lent.
//!
//! It obeys the contract of [`Packet`] as an mbuf does: a fixed room, headroom, an owner; but it allocates and its wire
//! locks, so nothing of it belongs on the gateway's packet path.

#[path = "heap_fragments.rs"]
mod fragments;

pub use fragments::HeapFragments;

use super::{Burst, Frame, Meta, Packet, PacketPool, RxBurst, TxBurst};
use crate::queue::{
    Boxed,
    sync::{Arc, AtomicUsize, Ordering},
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bytes before the data of a fresh packet, as DPDK's `RTE_PKTMBUF_HEADROOM`.
pub const HEADROOM: usize = 128;

/// Bytes for data behind the headroom of a fresh packet, as DPDK's `RTE_MBUF_DEFAULT_DATAROOM`.
pub const DATA_ROOM: usize = 2048;

/// What fresh storage holds: not zero, so that code that relies on zeroed bytes is found out.
const STALE: u8 = 0xa5;

/// A queueable packet on the heap.
pub type HeapPacket = Boxed<HeapBuf>;

/// The storage and the notes of a [`HeapPacket`].
pub struct HeapBuf {
    storage: Vec<u8>,
    start: usize,
    end: usize,
    meta: Meta,
    /// Bytes that further segments would hold.
    chained_len: usize,
    /// Whether somebody else would hold the same bytes.
    shared: bool,
    lender: Option<Lender>,
}

impl HeapBuf {
    /// Empty data behind `headroom` bytes, `data_room` bytes for it.
    fn new(headroom: usize, data_room: usize, lender: Option<Lender>) -> Self {
        Self {
            storage: vec![STALE; headroom + data_room],
            start: headroom,
            end: headroom,
            meta: Meta::default(),
            chained_len: 0,
            shared: false,
            lender,
        }
    }

    /// Pretends that further segments hold `len` bytes more (0: none do).
    pub fn set_chained_len(&mut self, len: usize) {
        self.chained_len = len;
    }

    /// Pretends that the bytes are indirect, or have a second owner.
    pub fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }

    /// Sets the headroom of a packet that holds no data yet; `None` if its storage is smaller, nothing changed.
    pub fn set_headroom(&mut self, headroom: usize) -> Option<()> {
        (self.start == self.end && headroom <= self.storage.len()).then(|| {
            self.start = headroom;
            self.end = headroom;
        })
    }
}

impl fmt::Debug for HeapBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapBuf")
            .field("headroom", &self.start)
            .field("len", &(self.end - self.start))
            .field("tailroom", &(self.storage.len() - self.end))
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl HeapPacket {
    /// A packet of no pool that holds `bytes`, with [`HEADROOM`] before and as much room behind as fills [`DATA_ROOM`].
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut buf = HeapBuf::new(HEADROOM, DATA_ROOM.max(bytes.len()), None);
        fill(&mut buf, bytes);
        Self::new(buf)
    }
}

fn fill(buf: &mut HeapBuf, bytes: &[u8]) {
    buf.end = buf.start + bytes.len();
    buf.storage[buf.start..buf.end].copy_from_slice(bytes);
}

// `start <= end <= storage.len()` always holds.
impl Frame for HeapPacket {
    fn data(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.parts_mut().1
    }

    fn headroom(&self) -> usize {
        self.start
    }

    fn tailroom(&self) -> usize {
        self.storage.len() - self.end
    }

    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        self.data_mut().get_mut(..n)
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let old_len = self.data().len();
        self.end += n;
        self.data_mut().get_mut(old_len..)
    }

    fn trim_front(&mut self, n: usize) -> Option<()> {
        (n <= self.data().len()).then(|| self.start += n)
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    fn is_plain(&self) -> bool {
        self.chained_len == 0 && !self.shared
    }

    fn total_len(&self) -> usize {
        self.data().len() + self.chained_len
    }
}

impl Packet for HeapPacket {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn parts_mut(&mut self) -> (&mut Meta, &mut [u8]) {
        let HeapBuf { storage, start, end, meta, .. } = &mut **self;
        (meta, &mut storage[*start..*end])
    }
}

/// A pool of at most so many packets. Clones draw on the same count; packets go back by being dropped.
#[derive(Clone, Debug)]
pub struct HeapPool(Arc<PoolState>);

#[derive(Debug)]
struct PoolState {
    capacity: usize,
    outstanding: AtomicUsize,
    headroom: usize,
    data_room: usize,
}

impl HeapPool {
    /// A pool of `capacity` packets with [`HEADROOM`] and [`DATA_ROOM`].
    pub fn new(capacity: usize) -> Self {
        Self::with_room(capacity, HEADROOM, DATA_ROOM)
    }

    /// A pool of `capacity` packets with `headroom` bytes before and `data_room` bytes for their data.
    pub fn with_room(capacity: usize, headroom: usize, data_room: usize) -> Self {
        let outstanding = AtomicUsize::new(0);
        Self(Arc::new(PoolState { capacity, outstanding, headroom, data_room }))
    }

    /// A packet that holds `bytes`, or `None` when the pool is empty or they do not fit.
    pub fn alloc_with(&self, bytes: &[u8]) -> Option<HeapPacket> {
        if bytes.len() > self.0.data_room {
            return None;
        }
        let mut packet = self.alloc()?;
        fill(&mut packet, bytes);
        Some(packet)
    }

    /// How many packets the pool has, in or out.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// How many packets are out: zero at the end of a run that leaks nothing.
    pub fn outstanding(&self) -> usize {
        // Acquire: pairs with the Release in `Lender::drop`, so that who reads zero also sees what the last user did.
        self.0.outstanding.load(Ordering::Acquire)
    }

    /// How many packets are left.
    pub fn available(&self) -> usize {
        self.0.capacity - self.outstanding()
    }
}

impl PacketPool for HeapPool {
    type Packet = HeapPacket;

    fn alloc(&self) -> Option<HeapPacket> {
        let PoolState { capacity, outstanding, headroom, data_room } = &*self.0;
        // Relaxed on both: the count is all that is exchanged; the storage is fresh from the allocator.
        outstanding.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < *capacity).then_some(n + 1)).ok()?;
        let lender = Lender(Arc::clone(&self.0));
        Some(Boxed::new(HeapBuf::new(*headroom, *data_room, Some(lender))))
    }

    fn owns(&self, packet: &HeapPacket) -> bool {
        packet.lender.as_ref().is_some_and(|lender| Arc::ptr_eq(&lender.0, &self.0))
    }

    fn copy_of(&self, packet: &HeapPacket) -> Option<HeapPacket> {
        // What further segments would hold is stale bytes, as many.
        let mut copy = self.alloc_with(packet.data())?;
        copy.append(packet.chained_len)?;
        *copy.meta_mut() = *packet.meta();
        Some(copy)
    }
}

/// One packet's place in its pool; dropping it gives the place back.
struct Lender(Arc<PoolState>);

impl Drop for Lender {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `HeapPool::outstanding`.
        self.0.outstanding.fetch_sub(1, Ordering::Release);
    }
}

/// A wire in memory: what is sent into it is received from it, in order. Clones are ends of the same wire.
#[derive(Clone, Debug)]
pub struct HeapWire(Arc<Mutex<WireState>>);

#[derive(Debug)]
struct WireState {
    packets: VecDeque<HeapPacket>,
    bound: usize,
}

impl Default for HeapWire {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl HeapWire {
    /// An empty wire that holds at most `bound` packets.
    pub fn new(bound: usize) -> Self {
        Self(Arc::new(Mutex::new(WireState { packets: VecDeque::new(), bound })))
    }

    /// Holds at most `bound` packets from now on; what is in stays in.
    pub fn set_bound(&self, bound: usize) {
        self.lock().bound = bound;
    }

    /// Puts a packet in, whatever the bound.
    pub fn push(&self, packet: HeapPacket) {
        self.lock().packets.push_back(packet);
    }

    /// Takes the oldest packet out.
    pub fn pop(&self) -> Option<HeapPacket> {
        self.lock().packets.pop_front()
    }

    /// How many packets are in.
    pub fn len(&self) -> usize {
        self.lock().packets.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.lock().packets.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, WireState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RxBurst for HeapWire {
    type Packet = HeapPacket;

    fn rx_burst(&mut self, burst: &mut Burst<HeapPacket>) -> usize {
        let mut wire = self.lock();
        let n = burst.remaining_capacity().min(wire.packets.len());
        burst.extend(wire.packets.drain(..n));
        n
    }
}

impl TxBurst for HeapWire {
    type Packet = HeapPacket;

    fn tx_burst(&mut self, burst: &mut Burst<HeapPacket>) -> usize {
        let mut wire = self.lock();
        let n = burst.len().min(wire.bound.saturating_sub(wire.packets.len()));
        wire.packets.extend(burst.drain(..n));
        n
    }
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
