//! A wire made of memory: a port whose other end is in this process.
//!
//! Tests and benchmarks put packets in at the far end and take out what the gateway sent, over net_ring: no NIC, no
//! system call, and the port is an ordinary one to the gateway.
//! ```text
//! FarTx ─ ring ─▶ RxQueue          (one pair of rings a queue, each with one writer and one reader)
//! FarRx ◀─ ring ─ TxQueue
//! ```

use super::mbuf::Mbuf;
use super::tx_queue::hand_over;
use super::{Device, Eal, Errno, PortError, PortFailure, attach, eal_log, rx_queue};
use crate::frame::{BURST, Burst, RxBurst, TxBurst};
use core::ffi::{c_uint, c_void};
use core::ptr::{self, NonNull};
use dpdk_sys::{rte_mbuf, rte_ring};
use std::ffi::CString;
use std::sync::Arc;

/// Queues of net_ring, at most.
const MAX_QUEUES: u16 = {
    assert!(dpdk_sys::RTE_PMD_RING_MAX_RX_RINGS == 16 && dpdk_sys::RTE_PMD_RING_MAX_TX_RINGS == 16);
    16
};

/// Bytes of a wire's name, at most: `net_ring_` and the longest of our ring names have to fit into a ring's.
const LONGEST_NAME: usize = 16;

/// A port in memory and its far end. The port is opened like any other, by [`MemoryWire::device`], once; when it is
/// closed, the wire is dead. The rings last as long as any end.
#[derive(Debug)]
pub struct MemoryWire {
    rings: Arc<WireRings>,
    device: Device,
}

/// The far end of one queue.
#[derive(Debug)]
pub struct FarEnd {
    /// Yields what the port's TX queue of the same number sent.
    pub rx: FarRx,
    /// What it takes, the port's RX queue of the same number receives.
    pub tx: FarTx,
}

/// The receiving half of a far end.
///
/// # Invariants
/// The one reader of its ring.
#[derive(Debug)]
pub struct FarRx {
    ring: Ring,
    port: u16,
    _wire: Arc<WireRings>,
}

/// The sending half of a far end.
///
/// # Invariants
/// The one writer of its ring.
#[derive(Debug)]
pub struct FarTx {
    ring: Ring,
    _wire: Arc<WireRings>,
}

/// # Invariants
/// A ring of mbufs made by [`MemoryWire::create`], which the `WireRings` beside it keeps alive.
#[derive(Clone, Copy, Debug)]
struct Ring(NonNull<rte_ring>);

// SAFETY: rings are made to be used from several threads; one reader and one writer is seen to by the far ends' and
// the queues' invariants.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

/// The rings and the port on them. The open port and the far ends hold it.
#[derive(Debug)]
pub(super) struct WireRings {
    to_port: Vec<Ring>,
    from_port: Vec<Ring>,
    name: String,
    /// Until it is made: none.
    port: Option<u16>,
    eal: Eal,
}

impl MemoryWire {
    /// Makes a wire of `queues` queues (16 at most) whose rings hold `ring_size - 1` packets each (a power of two, or
    /// else rounded up to one), and its far ends in queue order. `name` has 1 to 16 letters, digits or `_`.
    ///
    /// # Errors
    /// [`PortError`]: a name that is taken or wrong, too many queues, no memory.
    pub fn create(eal: &Eal, name: &str, queues: u16, ring_size: u32) -> Result<(Self, Vec<FarEnd>), PortError> {
        let device = Device::Vdev { name: format!("net_ring_{name}"), args: String::new() };
        let error = |failure| PortError { port: name.to_owned(), device: device.to_string(), failure };
        let named = (1..=LONGEST_NAME).contains(&name.len());
        if !named || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(error(PortFailure::Name));
        }
        if !(1..=MAX_QUEUES).contains(&queues) {
            return Err(error(PortFailure::Queues { what: "RX and TX", wanted: queues, max: MAX_QUEUES }));
        }
        let mark = eal_log::mark();
        let refused = |step| move |errno| PortFailure::Step { step, errno, log: eal_log::since(mark) };
        // From here on its drop gives back what was made.
        let mut rings =
            WireRings { to_port: Vec::new(), from_port: Vec::new(), name: device.name(), port: None, eal: eal.clone() };
        for queue in 0..queues {
            let made = Ring::create(&format!("{name}_in{queue}"), ring_size);
            rings.to_port.push(made.map_err(refused("rte_ring_create")).map_err(error)?);
            let made = Ring::create(&format!("{name}_out{queue}"), ring_size);
            rings.from_port.push(made.map_err(refused("rte_ring_create")).map_err(error)?);
        }
        // Locked until it is listed: a port that is opened by name has to find its rings.
        let mut state = eal.state();
        let port = rings.make_port(name).map_err(refused("rte_eth_from_rings")).map_err(error)?;
        rings.port = Some(port);

        let rings = Arc::new(rings);
        state.wires.insert(device.name(), Arc::downgrade(&rings));
        drop(state);
        let ends = rings.to_port.iter().zip(&rings.from_port).map(|(&to_port, &from_port)| FarEnd {
            // INVARIANT: the far ends are made here, once.
            rx: FarRx { ring: from_port, port, _wire: Arc::clone(&rings) },
            tx: FarTx { ring: to_port, _wire: Arc::clone(&rings) },
        });
        let ends = ends.collect();
        Ok((Self { rings, device }, ends))
    }

    /// The device to open the port by; its text works in a configuration.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Packets in the rings at this moment, both ways and over all queues.
    pub fn in_flight(&self) -> usize {
        self.rings.all().map(|ring| ring.count()).sum()
    }
}

impl RxBurst for FarRx {
    type Packet = Mbuf;

    /// One dequeue; the packets' notes are fresh, as from a port.
    fn rx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let mut mbufs = [ptr::null_mut::<rte_mbuf>(); BURST];
        let room = burst.remaining_capacity();
        let received = self.ring.dequeue(&mut mbufs, room);
        let fresh = mbufs.iter().take(received).filter_map(|&mbuf| NonNull::new(mbuf));
        // SAFETY: only packets that were `Mbuf`s get into the rings: by `FarTx`, or by a `TxQueue` through net_ring.
        burst.extend(fresh.map(|mbuf| unsafe { rx_queue::receive(mbuf, self.port) }));
        received
    }
}

impl TxBurst for FarTx {
    type Packet = Mbuf;

    /// One enqueue.
    fn tx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        hand_over(burst, |mbufs, count| self.ring.enqueue(mbufs, count))
    }
}

#[cfg(test)]
impl FarTx {
    /// Puts any mbuf in, as a stranger to our pools would.
    pub(super) fn inject_raw(&mut self, mbuf: *mut rte_mbuf) -> bool {
        let mut mbuf = mbuf;
        self.ring.enqueue(&raw mut mbuf, 1) == 1
    }
}

impl Ring {
    /// One writer, one reader.
    fn create(name: &str, size: u32) -> Result<Self, Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let size = size.max(2).checked_next_power_of_two().ok_or(Errno::EINVAL)?;
        let flags = dpdk_sys::RING_F_SP_ENQ | dpdk_sys::RING_F_SC_DEQ;
        // SAFETY: the EAL runs (the caller has it); a C string, which DPDK copies.
        let ring = unsafe { dpdk_sys::rte_ring_create(name.as_ptr(), size, dpdk_sys::SOCKET_ID_ANY, flags) };
        // INVARIANT: just made; the caller keeps it in a `WireRings`.
        NonNull::new(ring).map(Self).ok_or_else(Errno::last)
    }

    fn count(self) -> usize {
        // SAFETY: alive (invariant); reads two indices.
        unsafe { dpdk_sys::rte_ring_count(self.0.as_ptr()) as usize }
    }

    /// Fills the first `room` places of `mbufs`; returns how many. Only for the reader.
    fn dequeue(self, mbufs: &mut [*mut rte_mbuf; BURST], room: usize) -> usize {
        let room = c_uint::try_from(room.min(BURST)).unwrap_or(0);
        let table = mbufs.as_mut_ptr().cast::<*mut c_void>();
        // SAFETY: alive (invariant); `table` has room for `room` pointers; the caller is the one reader.
        let received = unsafe { dpdk_sys::rte_ring_dequeue_burst(self.0.as_ptr(), table, room, ptr::null_mut()) };
        received as usize
    }

    /// Only for the writer.
    fn enqueue(self, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
        let table = mbufs.cast::<*mut c_void>().cast_const();
        let count = c_uint::from(count);
        // SAFETY: alive (invariant); `table` holds `count` pointers; the caller is the one writer.
        let sent = unsafe { dpdk_sys::rte_ring_enqueue_burst(self.0.as_ptr(), table, count, ptr::null_mut()) };
        u16::try_from(sent).unwrap_or(u16::MAX)
    }
}

impl WireRings {
    fn all(&self) -> impl Iterator<Item = Ring> {
        self.to_port.iter().chain(&self.from_port).copied()
    }

    /// `rte_eth_from_rings`: the port's number.
    fn make_port(&self, name: &str) -> Result<u16, Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let pointers = |rings: &[Ring]| rings.iter().map(|ring| ring.0.as_ptr()).collect::<Vec<_>>();
        let (to_port, from_port) = (pointers(&self.to_port), pointers(&self.from_port));
        let queues = c_uint::try_from(to_port.len()).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the EAL runs; two lists of `queues` live rings, which stay until the port is closed (`drop`); DPDK
        // copies the lists and the name.
        let port = unsafe {
            dpdk_sys::rte_eth_from_rings(name.as_ptr(), to_port.as_ptr(), queues, from_port.as_ptr(), queues, 0)
        };
        Errno::check_last(port).and_then(|port| u16::try_from(port).map_err(|_| Errno::EINVAL))
    }
}

impl Drop for WireRings {
    fn drop(&mut self) {
        // Locked until all is gone, so that nobody makes the like of it meanwhile.
        let mut state = self.eal.state();
        let device = Device::Vdev { name: self.name.clone(), args: String::new() };
        // An open port holds `self`, so the port is closed by now, or was never opened, or never made.
        if let Some(port) = self.port
            && attach::port_by_name(&device) == Some(port)
        {
            attach::close(port, true);
        }
        state.wires.remove(&self.name);
        for ring in self.all() {
            loop {
                let mut mbufs = [ptr::null_mut::<rte_mbuf>(); BURST];
                let count = ring.dequeue(&mut mbufs, BURST);
                if count == 0 {
                    break;
                }
                let count = c_uint::try_from(count).unwrap_or(0);
                // SAFETY: `count` mbufs that stood in the ring and belong to nobody else.
                unsafe { dpdk_sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr(), count) };
            }
            // SAFETY: neither port nor far end is left, and this is the last that knows the ring.
            unsafe { dpdk_sys::rte_ring_free(ring.0.as_ptr()) };
        }
    }
}
