//! One RX queue of a port.

use super::Pool;
use super::mbuf::Mbuf;
use super::mbuf_priv::{HEADROOM, PRIVATE_SIZE};
use super::port::PortInner;
use crate::frame::{BURST, Burst, Meta, Packet, RxBurst};
use crate::queue::{prefetch_read, prefetch_write};
use core::ptr::{self, NonNull};
use dpdk_sys::rte_mbuf;
use std::fmt;
use std::sync::Arc;

#[expect(clippy::cast_possible_truncation, reason = "it is 32")]
const BURST_U32: u32 = BURST as u32;

/// The number of an RX queue in its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RxQueueId(pub u16);

impl fmt::Display for RxQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One RX queue, owned by one core; the port stays open while it lives.
///
/// # Invariants
/// The only handle of this queue, and the port is started.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<PortInner>,
    id: RxQueueId,
    /// Of a port that hands on pointers which others put into it (net_ring), so that their pools have to be looked at: its own pool, whose
    /// mbufs are known by their first cache line.
    own_pool: Option<Pool>,
    foreign: u64,
}

impl RxQueue {
    pub(super) fn new(port: Arc<PortInner>, id: RxQueueId, own_pool: Option<Pool>) -> Self {
        Self { port, id, own_pool, foreign: 0 }
    }

    /// Its number.
    pub fn id(&self) -> RxQueueId {
        self.id
    }

    /// Gives back what is waiting, `most` packets or so at most.
    pub(crate) fn discard(&mut self, most: u32) {
        let mut burst = Burst::new();
        for _ in 0..most.div_ceil(BURST_U32) {
            if self.rx_burst(&mut burst) == 0 {
                break;
            }
            Mbuf::free_burst(&mut burst);
        }
    }

    /// Packets given back unread because their mbuf came from a pool without our private area (drop reason
    /// `foreign_mbuf`): only of ports that pass pointers.
    pub fn foreign_dropped(&self) -> u64 {
        self.foreign
    }
}

impl RxBurst for RxQueue {
    type Packet = Mbuf;

    /// `rte_eth_rx_burst`, once. Every packet gets fresh notes: its port, and what the NIC found of its checksums.
    #[inline]
    fn rx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        self.rx_burst_of(burst, BURST)
    }

    #[inline]
    fn rx_burst_of(&mut self, burst: &mut Burst<Mbuf>, most: usize) -> usize {
        let mut mbufs = [ptr::null_mut::<rte_mbuf>(); BURST];
        let room = u16::try_from(burst.remaining_capacity().min(most)).unwrap_or(0);
        let port = self.port.id().0;
        // SAFETY: the port is started and this the only handle of the queue (invariants), borrowed mutably; `mbufs` has
        // room for `room` pointers, as a burst has no more places.
        let received = unsafe { dpdk_sys::rte_eth_rx_burst(port, self.id.0, mbufs.as_mut_ptr(), room) };
        let before = burst.len();
        mbufs.iter().take(usize::from(received)).for_each(|mbuf| prefetch(*mbuf));
        for mbuf in mbufs.iter().take(usize::from(received)).filter_map(|&mbuf| NonNull::new(mbuf)) {
            if let Some(own) = &self.own_pool
                // SAFETY: a live mbuf: the port gave it to us.
                && unsafe { (*mbuf.as_ptr()).pool } != own.as_ptr()
                && free_if_foreign(mbuf)
            {
                self.foreign += 1;
                continue;
            }
            // SAFETY: the driver gave it to us, alone; it came from the queue's pool, or else has our private area.
            burst.push(unsafe { receive(mbuf, port) });
        }
        burst.len() - before
    }
}

/// Takes over an mbuf that a port or a ring gave us.
///
/// # Safety
/// The mbuf fulfils [`Mbuf`]'s invariants, apart from the private area's content.
#[inline(always)]
pub(super) unsafe fn receive(mbuf: NonNull<rte_mbuf>, port: u16) -> Mbuf {
    // SAFETY: a live mbuf, the caller's.
    let flags = unsafe { (*mbuf.as_ptr()).ol_flags };
    // SAFETY: as above.
    let tci = unsafe { (*mbuf.as_ptr()).vlan_tci };
    let meta = Meta { port, nic: checksum_of(flags) << Meta::CHECKSUM_SHIFT | vlan_of(flags, tci), ..Meta::default() };
    // SAFETY: the caller's.
    unsafe { Mbuf::from_received(mbuf, meta) }
}

/// Asks for what this and the next stage touch: the mbuf's first line, the private area, and the packet's headers, where those lie in
/// a packet that has just come.
#[inline(always)]
fn prefetch(mbuf: *const rte_mbuf) {
    let private = mbuf.wrapping_add(1);
    prefetch_read(mbuf);
    prefetch_write(private);
    prefetch_read(private.wrapping_byte_add(usize::from(PRIVATE_SIZE) + HEADROOM));
}

/// Gives back an mbuf whose pool has not our private area; returns whether it was one.
fn free_if_foreign(mbuf: NonNull<rte_mbuf>) -> bool {
    // SAFETY: a live mbuf: a port gave it to us.
    let foreign = unsafe { (*mbuf.as_ptr()).priv_size } != PRIVATE_SIZE;
    if foreign {
        // SAFETY: it is ours alone, and forgotten after this.
        unsafe { dpdk_sys::rte_pktmbuf_free(mbuf.as_ptr()) };
    }
    foreign
}

/// For [`Meta::nic`]: culvert asks no driver to take tags off, but some do.
#[inline(always)]
fn vlan_of(ol_flags: u64, tci: u16) -> u16 {
    if ol_flags & dpdk_sys::DPDK_MBUF_F_RX_VLAN_STRIPPED == 0 { 0 } else { Meta::VLAN_STRIPPED | tci & 0x0fff }
}

/// [`Meta::checksum`]: 1 when IP and L4 are good, 2 when one of them is bad, 0 when the NIC did not look at both.
#[inline(always)]
fn checksum_of(ol_flags: u64) -> u16 {
    let ip = ol_flags & dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_MASK;
    let l4 = ol_flags & dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_MASK;
    if ip == dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_BAD || l4 == dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_BAD {
        2
    } else {
        u16::from(ip == dpdk_sys::DPDK_MBUF_F_RX_IP_CKSUM_GOOD && l4 == dpdk_sys::DPDK_MBUF_F_RX_L4_CKSUM_GOOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dpdk_sys::{
        DPDK_MBUF_F_RX_IP_CKSUM_BAD as IP_BAD, DPDK_MBUF_F_RX_IP_CKSUM_GOOD as IP_GOOD,
        DPDK_MBUF_F_RX_L4_CKSUM_BAD as L4_BAD, DPDK_MBUF_F_RX_L4_CKSUM_GOOD as L4_GOOD,
    };

    #[test]
    fn checksum_flags() {
        for (flags, expected) in [
            (0, 0),
            (IP_GOOD, 0),
            (L4_GOOD, 0),
            (IP_GOOD | L4_GOOD, 1),
            (IP_BAD, 2),
            (IP_GOOD | L4_BAD, 2),
            (IP_BAD | L4_GOOD, 2),
            // Good and bad at once means "not there, but the sender vouches for it": not looked at.
            (IP_GOOD | IP_BAD | L4_GOOD, 0),
            (IP_GOOD | L4_GOOD | L4_BAD, 0),
        ] {
            assert_eq!(checksum_of(flags), expected, "{flags:#x}");
        }
    }

    #[test]
    fn tags_that_the_driver_took_off() {
        let stripped = dpdk_sys::DPDK_MBUF_F_RX_VLAN_STRIPPED;
        assert_eq!(vlan_of(IP_GOOD, 7), 0);
        assert_eq!(vlan_of(stripped | IP_GOOD, 0xe007), 0x1007);
        assert_eq!(vlan_of(stripped, 0xe000), 0x1000);
    }

    /// The one test here that starts an EAL, since it needs a pool that the safe side cannot make.
    #[test]
    fn mbufs_without_our_private_area_are_given_back_unread() {
        use crate::dpdk::{Eal, EalOptions, HugePages, MemoryWire, Pool, PoolOptions, Port, PortOptions};
        use crate::frame::{Frame, PacketPool, TxBurst};

        let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(64);
        let eal = Eal::init(&options).unwrap();
        let pool = Pool::create(&eal, &PoolOptions::new("ours", 15)).unwrap();
        let (wire, mut far) = MemoryWire::create(&eal, "w", 1, 16).unwrap();
        let mut port = Port::open(&eal, "w", wire.device(), 1, 1500).unwrap();
        let mut queues = port.configure(&PortOptions::new(pool.clone())).unwrap();

        // SAFETY: the EAL runs, the name is a C string.
        let foreign = unsafe { dpdk_sys::rte_pktmbuf_pool_create(c"foreign".as_ptr(), 7, 0, 0, 2176, -1) };
        let mut burst = Burst::new();
        for n in 0..4_u8 {
            burst.push(pool.alloc().unwrap());
            burst[0].append(1).unwrap()[0] = n;
            assert_eq!(far[0].tx.tx_burst(&mut burst), 1);
            // SAFETY: just made.
            let mbuf = unsafe { dpdk_sys::rte_pktmbuf_alloc(foreign) };
            assert!(far[0].tx.inject_raw(mbuf));
        }
        // SAFETY: as above.
        let available = || unsafe { dpdk_sys::rte_mempool_avail_count(foreign) };
        assert_eq!(available(), 3);
        assert_eq!(queues.rx[0].rx_burst(&mut burst), 4);
        assert_eq!(queues.rx[0].foreign_dropped(), 4);
        assert_eq!(available(), 7);
        let ours: Vec<u8> = burst.iter().map(|mbuf| mbuf.data()[0]).collect();
        assert_eq!(ours, [0, 1, 2, 3]);
    }
}
