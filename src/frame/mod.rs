//! What code outside the fence sees of a packet.
//!
//! `Mbuf` (in [`crate::dpdk`]) is the packet of the gateway; [`heap`] is the one of tests, Miri and fuzzers.

pub mod fragments;
pub mod heap;
mod meta;

pub use meta::{Kind, Meta};

use crate::queue::Linked;
use arrayvec::ArrayVec;

/// Packets a burst, at most.
pub const BURST: usize = 32;

/// A burst of owned packets.
pub type Burst<P> = ArrayVec<P, BURST>;

/// A contiguous packet with room before and behind it.
pub trait Frame {
    /// The bytes of the (first segment of the) packet.
    fn data(&self) -> &[u8];
    /// The same, to write.
    fn data_mut(&mut self) -> &mut [u8];
    /// Bytes free before the data.
    fn headroom(&self) -> usize;
    /// Bytes free behind the data.
    fn tailroom(&self) -> usize;
    /// Grows the data at the front by `n` bytes and returns them (their content is stale); `None` without room, nothing changed.
    fn prepend(&mut self, n: usize) -> Option<&mut [u8]>;
    /// Grows the data at the end by `n` bytes and returns them (their content is stale); `None` without room, nothing changed.
    fn append(&mut self, n: usize) -> Option<&mut [u8]>;
    /// Cuts `n` bytes off the front; `None` if the data is shorter, nothing changed.
    fn trim_front(&mut self, n: usize) -> Option<()>;
    /// Shortens the data to `len` bytes; longer lengths change nothing.
    fn truncate(&mut self, len: usize);
    /// Whether it is one segment, direct, and this handle its only owner: what the data path takes without a copy.
    fn is_plain(&self) -> bool;
    /// All bytes over all segments.
    fn total_len(&self) -> usize;
}

/// An owned packet that the gateway can queue, with [`Meta`] beside its bytes.
pub trait Packet: Frame + Linked + std::fmt::Debug + 'static {
    /// What the stages noted.
    fn meta(&self) -> &Meta;
    /// The same, to write.
    fn meta_mut(&mut self) -> &mut Meta;
    /// Notes and bytes at once.
    fn parts_mut(&mut self) -> (&mut Meta, &mut [u8]);
    /// Asks the cache for the line that begins so many bytes in front of the data, to be written.
    fn prefetch_before(&self, bytes: usize) {
        let _ = bytes;
    }
    /// Gives a burst back to its pools in one go; `burst` is empty afterwards.
    fn free_burst<const N: usize>(burst: &mut ArrayVec<Self, N>) {
        burst.clear();
    }
}

/// One RX queue of a port, owned by one core.
pub trait RxBurst: Send {
    /// The packets it yields.
    type Packet: Packet;
    /// Fills the free places of `burst`; returns how many packets came.
    fn rx_burst(&mut self, burst: &mut Burst<Self::Packet>) -> usize;
    /// The same, for `most` packets at most, where the queue can tell how many it yields; others fill the burst.
    fn rx_burst_of(&mut self, burst: &mut Burst<Self::Packet>, most: usize) -> usize {
        let _ = most;
        self.rx_burst(burst)
    }
}

/// One TX queue of a port, owned by one core.
pub trait TxBurst: Send {
    /// The packets it takes.
    type Packet: Packet;
    /// Sends from the front of `burst` and leaves there, in order, exactly what was refused; returns how many were sent.
    fn tx_burst(&mut self, burst: &mut Burst<Self::Packet>) -> usize;
}

/// Where empty packets come from. A clone draws from the same pool.
pub trait PacketPool: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The packets it holds.
    type Packet: Packet;
    /// An empty packet with the pool's headroom and fresh [`Meta`], or `None` when the pool is empty.
    fn alloc(&self) -> Option<Self::Packet>;
    /// Whether `packet` came from this pool (or from another that [`PacketPool`]'s owner knows), so that its private area is ours.
    fn owns(&self, packet: &Self::Packet) -> bool;
    /// A plain copy of all segments of `packet` with the pool's headroom, the same [`Meta`], or `None`: no packet left, or too large.
    fn copy_of(&self, packet: &Self::Packet) -> Option<Self::Packet>;
}
