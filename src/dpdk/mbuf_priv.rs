//! The private area of every mbuf of ours: the queues' link and the stages' notes, one cache line.

use crate::frame::Meta;
use crate::queue::ChainLink;
use dpdk_sys::rte_mbuf;

/// Bytes of the private area: the same in all pools that culvert makes.
pub const PRIVATE_SIZE: u16 = 64;

/// Bytes before the data of a fresh mbuf.
pub const HEADROOM: usize = dpdk_sys::RTE_PKTMBUF_HEADROOM as usize;

/// What lies right behind the `rte_mbuf`.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct MbufPriv {
    /// Written only while a queue owns the mbuf.
    pub(super) link: ChainLink,
    /// Written by the mbuf's owner.
    pub(super) meta: Meta,
}

// One cache line; `link` comes first, so that its address is the area's; nothing of `Meta` is cut off.
const _: () = assert!(size_of::<MbufPriv>() == PRIVATE_SIZE as usize);
const _: () = assert!(core::mem::offset_of!(MbufPriv, link) == 0);
// The area starts at `mbuf + 1` and is aligned as mbufs are.
const _: () = assert!(size_of::<rte_mbuf>() == 128);
const _: () = assert!(size_of::<rte_mbuf>().is_multiple_of(align_of::<MbufPriv>()));
