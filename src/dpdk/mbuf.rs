//! The packet of the gateway: an owned mbuf.
//!
//! Layout of an mbuf of ours, in one piece of memory (`rte_pktmbuf_pool_create` with a private size):
//! ```text
//! rte_mbuf (128 B) | MbufPriv: link, Meta (64 B) | headroom (128 B) | data … | tailroom
//!                                                ^ buf_addr         ^ buf_addr + data_off
//! ```
//! All arithmetic on one packet is done here; DPDK is called to take and to give back, by the burst where it can be.

use super::Pool;
use super::mbuf_priv::MbufPriv;
use crate::frame::{Frame, Meta, Packet, PacketPool};
use crate::queue::sync::{AtomicU16, Ordering};
use crate::queue::{ChainLink, Link, Linked, prefetch_write};
use arrayvec::ArrayVec;
use core::mem;
use core::ptr::NonNull;
use dpdk_sys::{rte_mbuf, rte_mempool};
use std::fmt;

/// An owned packet: one mbuf, or a chain of them (a multi-segment packet). Given back to its pool when dropped.
///
/// # Invariants
/// Points to an mbuf of a pool made by [`Pool::create`], so that the private area lies behind it, initialised. This handle is the
/// only owner of it and of the segments chained to it, and of the bytes from `data_off` for `data_len` of each. For each
/// segment `data_off + data_len <= buf_len`, and all `buf_len` bytes are readable memory.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: an owning handle of memory that belongs to no thread; giving back is possible from any thread.
unsafe impl Send for Mbuf {}
// SAFETY: through a shared handle it is only read.
unsafe impl Sync for Mbuf {}

impl Mbuf {
    /// Takes over an mbuf and gives it fresh notes.
    ///
    /// # Safety
    /// The mbuf fulfils this type's invariants, apart from the private area's content.
    #[inline(always)]
    pub(super) unsafe fn from_fresh(mbuf: NonNull<rte_mbuf>) -> Self {
        // SAFETY: the caller's.
        unsafe { Self::from_received(mbuf, Meta::default()) }
    }

    /// The same, with given notes.
    ///
    /// # Safety
    /// As [`Mbuf::from_fresh`].
    #[inline(always)]
    pub(super) unsafe fn from_received(mbuf: NonNull<rte_mbuf>, meta: Meta) -> Self {
        let packet = Self(mbuf);
        // SAFETY: the private area is there, aligned, and ours; nothing in it needs dropping.
        unsafe { packet.private().write(MbufPriv { link: ChainLink::new(), meta }) };
        packet
    }

    /// Appends the segments of `tail` behind ours (`rte_pktmbuf_chain`).
    ///
    /// # Errors
    /// Both again, unchanged, if the chain would get too long.
    pub fn chain(self, tail: Self) -> Result<Self, (Self, Self)> {
        // SAFETY: two packets, both owned.
        let result = unsafe { dpdk_sys::rte_pktmbuf_chain(self.as_ptr(), tail.as_ptr()) };
        if result != 0 {
            return Err((self, tail));
        }
        // It belongs to the chain now.
        mem::forget(tail);
        Ok(self)
    }

    /// The bytes of each segment, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mut next = Some(self.0);
        core::iter::from_fn(move || {
            let segment = next?;
            next = NonNull::new(Fields(segment).next());
            Some(Fields(segment).data())
        })
    }

    /// How many segments.
    pub fn segment_count(&self) -> u16 {
        self.fields().nb_segs()
    }

    /// The hash by which the NIC chose the packet's queue, where it told it.
    pub fn rss_hash(&self) -> Option<u32> {
        let is_there = self.fields().ol_flags() & dpdk_sys::DPDK_MBUF_F_RX_RSS_HASH != 0;
        // SAFETY: a live mbuf of ours, which is only read.
        is_there.then(|| unsafe { dpdk_sys::dpdk_mbuf_rss_hash(self.as_ptr()) })
    }

    /// Copies all segments and the notes into one mbuf of `pool`: how a packet that is not plain, or has too little room
    /// around it, becomes one that the data path takes. `None` when the pool is empty or the packet does not fit.
    pub fn copy_into(&self, pool: &Pool) -> Option<Self> {
        let room = usize::from(pool.data_room()).checked_sub(super::HEADROOM)?;
        if self.total_len() > room {
            return None;
        }
        let mut copy = pool.alloc()?;
        for segment in self.segments() {
            copy.append(segment.len())?.copy_from_slice(segment);
        }
        *copy.meta_mut() = *self.meta();
        Some(copy)
    }

    /// Gives the packet up to a library of DPDK's that wants to know the lengths of its headers.
    pub(super) fn into_library(self, ethernet_len: u8, ip_len: u16) -> NonNull<rte_mbuf> {
        let mbuf = self.0;
        // SAFETY: a live mbuf of ours.
        unsafe { dpdk_sys::dpdk_mbuf_set_header_lengths(mbuf.as_ptr(), ethernet_len, ip_len) };
        mem::forget(self);
        mbuf
    }

    /// Takes back what went out by [`Mbuf::into_library`], its notes as they were; segments may be chained to it.
    ///
    /// # Safety
    /// The library has let go of it, and the mbuf fulfils this type's invariants.
    pub(super) unsafe fn from_library(mbuf: NonNull<rte_mbuf>) -> Self {
        Self(mbuf)
    }

    /// For DPDK's calls.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut rte_mbuf {
        self.0.as_ptr()
    }

    /// The pool that it goes back to.
    pub(super) fn pool(&self) -> *mut rte_mempool {
        self.fields().pool()
    }

    #[inline(always)]
    fn fields(&self) -> Fields {
        Fields(self.0)
    }

    #[inline(always)]
    fn private(&self) -> *mut MbufPriv {
        self.0.as_ptr().wrapping_add(1).cast::<MbufPriv>()
    }

    /// Whether the buffer is the mbuf's own. Else the bytes around the data may be another packet's.
    #[inline(always)]
    fn is_direct(&self) -> bool {
        self.fields().ol_flags() & (dpdk_sys::DPDK_MBUF_F_INDIRECT | dpdk_sys::DPDK_MBUF_F_EXTERNAL) == 0
    }
}

impl Frame for Mbuf {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        self.fields().data()
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        let fields = self.fields();
        // SAFETY: these bytes are in the buffer and owned by `self` (invariants), which is borrowed for as long.
        unsafe { core::slice::from_raw_parts_mut(fields.data_ptr(), usize::from(fields.data_len())) }
    }

    #[inline(always)]
    fn headroom(&self) -> usize {
        if self.is_direct() { usize::from(self.fields().data_off()) } else { 0 }
    }

    #[inline(always)]
    fn tailroom(&self) -> usize {
        let fields = self.fields();
        if fields.nb_segs() != 1 || !self.is_direct() {
            return 0;
        }
        let end = usize::from(fields.data_off()) + usize::from(fields.data_len());
        usize::from(fields.buf_len()).saturating_sub(end)
    }

    #[inline(always)]
    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.headroom() {
            return None;
        }
        let grown = u16::try_from(n).ok()?;
        self.fields().move_start(self.fields().data_off().checked_sub(grown)?)?;
        self.data_mut().get_mut(..n)
    }

    #[inline(always)]
    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let old_len = self.fields().data_len();
        self.fields().set_len(old_len.checked_add(u16::try_from(n).ok()?)?);
        self.data_mut().get_mut(usize::from(old_len)..)
    }

    #[inline(always)]
    fn trim_front(&mut self, n: usize) -> Option<()> {
        let cut = u16::try_from(n).ok()?;
        if cut > self.fields().data_len() {
            return None;
        }
        self.fields().move_start(self.fields().data_off().checked_add(cut)?)
    }

    #[inline(always)]
    fn truncate(&mut self, len: usize) {
        if let Ok(len) = u16::try_from(len)
            && len < self.fields().data_len()
        {
            self.fields().set_len(len);
        }
    }

    #[inline(always)]
    fn is_plain(&self) -> bool {
        let fields = self.fields();
        fields.nb_segs() == 1 && fields.refcnt() == 1 && self.is_direct()
    }

    #[inline(always)]
    fn total_len(&self) -> usize {
        self.fields().pkt_len() as usize
    }
}

impl Packet for Mbuf {
    #[inline(always)]
    fn meta(&self) -> &Meta {
        // SAFETY: the private area is initialised and owned by `self` (invariants).
        unsafe { &(*self.private()).meta }
    }

    #[inline(always)]
    fn meta_mut(&mut self) -> &mut Meta {
        // SAFETY: as in `meta`; `self` is borrowed mutably.
        unsafe { &mut (*self.private()).meta }
    }

    #[inline(always)]
    fn parts_mut(&mut self) -> (&mut Meta, &mut [u8]) {
        let fields = self.fields();
        // SAFETY: as in `meta_mut`; the notes and the bytes do not overlap.
        let meta = unsafe { &mut (*self.private()).meta };
        // SAFETY: as in `data_mut`.
        let data = unsafe { core::slice::from_raw_parts_mut(fields.data_ptr(), usize::from(fields.data_len())) };
        (meta, data)
    }

    #[inline(always)]
    fn prefetch_before(&self, bytes: usize) {
        prefetch_write(self.fields().data_ptr().wrapping_sub(bytes));
    }

    /// `rte_pktmbuf_free_bulk`: one call, grouped by pool.
    fn free_burst<const N: usize>(burst: &mut ArrayVec<Self, N>) {
        let count = u32::try_from(burst.len()).unwrap_or(u32::MAX);
        let mbufs = burst.as_mut_ptr().cast::<*mut rte_mbuf>();
        // SAFETY: shortens it; the mbufs are given back in the next step instead of being dropped.
        unsafe { burst.set_len(0) };
        // SAFETY: `mbufs` are `count` handles (an `Mbuf` is a pointer), each the only owner of its packet.
        unsafe { dpdk_sys::rte_pktmbuf_free_bulk(mbufs, count) };
    }
}

// SAFETY: the link lies in the private area of the mbuf, at the same address until the mbuf is given back, and only
// `Mbuf` knows the way to it. A queue that has the link owns the mbuf, whose handle was given up. It is the first field of a
// `ChainLink` (`repr(C)`), and the pointer may reach the whole mbuf.
unsafe impl Linked for Mbuf {
    const KNOWS_AHEAD: bool = true;

    #[inline(always)]
    fn into_link(self) -> NonNull<Link> {
        // SAFETY: the private area lies inside the mbuf's memory, so its address is not null.
        let link = unsafe { NonNull::new_unchecked(self.private().cast::<Link>()) };
        mem::forget(self);
        link
    }

    #[inline(always)]
    unsafe fn from_link(link: NonNull<Link>) -> Self {
        // SAFETY: it came from `into_link` (the caller's promise), so the mbuf lies right before the private area.
        Self(unsafe { link.cast::<rte_mbuf>().sub(1) })
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: the only owner, and gone after this.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.as_ptr()) };
    }
}

impl fmt::Debug for Mbuf {
    /// Sizes only: the bytes may be somebody's plaintext.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("data_len", &self.fields().data_len())
            .field("total_len", &self.total_len())
            .field("segments", &self.segment_count())
            .field("headroom", &self.headroom())
            .finish_non_exhaustive()
    }
}

/// The fields of an `rte_mbuf` that we read and write, each by name in one place: later DPDKs move some into unions.
///
/// # Invariants
/// Points to an mbuf, or a segment of one, that fulfils [`Mbuf`]'s invariants and is borrowed from its owner.
#[derive(Clone, Copy)]
struct Fields(NonNull<rte_mbuf>);

impl Fields {
    #[inline(always)]
    fn data_off(self) -> u16 {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).data_off }
    }

    #[inline(always)]
    fn data_len(self) -> u16 {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).data_len }
    }

    #[inline(always)]
    fn buf_len(self) -> u16 {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).buf_len }
    }

    #[inline(always)]
    fn pkt_len(self) -> u32 {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).pkt_len }
    }

    #[inline(always)]
    fn nb_segs(self) -> u16 {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).nb_segs }
    }

    #[inline(always)]
    fn ol_flags(self) -> u64 {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).ol_flags }
    }

    #[inline(always)]
    fn next(self) -> *mut rte_mbuf {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).next }
    }

    #[inline(always)]
    fn pool(self) -> *mut rte_mempool {
        // SAFETY: a live mbuf (invariant).
        unsafe { (*self.0.as_ptr()).pool }
    }

    /// A count that a driver may lower on another core: hence atomic.
    #[inline(always)]
    fn refcnt(self) -> u16 {
        // SAFETY: a live mbuf (invariant).
        let count = unsafe { &raw mut (*self.0.as_ptr()).refcnt };
        // SAFETY: aligned, alive, and written by others only with atomics (`rte_mbuf_refcnt_update`).
        let count = unsafe { AtomicU16::from_ptr(count) };
        // Relaxed: nothing is read that depends on others' release of the packet; a 1 means that there are no others.
        count.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn data_ptr(self) -> *mut u8 {
        // SAFETY: a live mbuf (invariant).
        let buffer = unsafe { (*self.0.as_ptr()).buf_addr };
        buffer.cast::<u8>().wrapping_add(usize::from(self.data_off()))
    }

    #[inline(always)]
    fn data<'a>(self) -> &'a [u8] {
        // SAFETY: in the buffer and owned (invariants of `Mbuf`); the callers bind 'a to their borrow of it.
        unsafe { core::slice::from_raw_parts(self.data_ptr(), usize::from(self.data_len())) }
    }

    /// Lets the data start elsewhere and end where it did. The caller keeps it within the buffer.
    #[inline(always)]
    fn move_start(self, data_off: u16) -> Option<()> {
        let len = self.data_off().checked_add(self.data_len())?.checked_sub(data_off)?;
        self.set_len(len);
        // SAFETY: a live mbuf, borrowed mutably by the callers.
        unsafe { (*self.0.as_ptr()).data_off = data_off };
        Some(())
    }

    /// Sets the length of the data of this segment, and corrects the packet's. The caller keeps it within the buffer.
    #[inline(always)]
    fn set_len(self, data_len: u16) {
        let others = self.pkt_len().wrapping_sub(u32::from(self.data_len()));
        // SAFETY: a live mbuf, borrowed mutably by the callers.
        unsafe { (*self.0.as_ptr()).data_len = data_len };
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).pkt_len = others.wrapping_add(u32::from(data_len)) };
    }
}
