//! One TX queue of a port.

use super::mbuf::Mbuf;
use super::port::PortInner;
use crate::frame::{Burst, TxBurst};
use dpdk_sys::rte_mbuf;
use std::fmt;
use std::sync::Arc;

/// The number of a TX queue in its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxQueueId(pub u16);

impl fmt::Display for TxQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One TX queue, owned by one core; the port stays open while it lives.
///
/// # Invariants
/// The only handle of this queue, and the port is started.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<PortInner>,
    id: TxQueueId,
}

impl TxQueue {
    pub(super) fn new(port: Arc<PortInner>, id: TxQueueId) -> Self {
        Self { port, id }
    }

    /// Its number.
    pub fn id(&self) -> TxQueueId {
        self.id
    }
}

impl TxBurst for TxQueue {
    type Packet = Mbuf;

    /// `rte_eth_tx_burst`, once.
    #[inline]
    fn tx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let port = self.port.id().0;
        // SAFETY: the port is started and this the only handle of the queue (invariants), borrowed mutably; the caller of
        // the closure passes mbufs that we own.
        hand_over(burst, |mbufs, count| unsafe { dpdk_sys::rte_eth_tx_burst(port, self.id.0, mbufs, count) })
    }
}

/// Hands a burst to `take`, which says how many from the front it took over; the others move to the front.
#[inline(always)]
pub(super) fn hand_over(burst: &mut Burst<Mbuf>, take: impl FnOnce(*mut *mut rte_mbuf, u16) -> u16) -> usize {
    let count = burst.len();
    // An `Mbuf` is a pointer.
    let mbufs = burst.as_mut_ptr().cast::<*mut rte_mbuf>();
    let taken = usize::from(take(mbufs, u16::try_from(count).unwrap_or(0))).min(count);
    let left = count - taken;
    // SAFETY: shortens it; what stands in the places is moved next, or belongs to the driver.
    unsafe { burst.set_len(0) };
    // SAFETY: `taken` is within the burst.
    let refused = unsafe { mbufs.add(taken) };
    // SAFETY: `left` pointers from there are within the burst; source and target may overlap.
    unsafe { core::ptr::copy(refused, mbufs, left) };
    // SAFETY: the first `left` places hold the mbufs that were refused, each once; the taken ones are not reachable.
    unsafe { burst.set_len(left) };
    taken
}
