//! Ports: from the device in the configuration to queues that run.

use super::memory_wire::WireRings;
use super::port_info::{Link, PortInfo};
use super::{Device, Eal, Errno, Pool, PortStats, RxQueue, RxQueueId, TxQueue, TxQueueId};
use super::{attach, eal_log, port_setup, port_stats};
use crate::queue::sync::{AtomicU32, Ordering};
use core::ffi::c_int;
use core::mem::MaybeUninit;
use dpdk_sys::{rte_eth_link, rte_eth_stats};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of a port, as DPDK counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something about a port failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port {port:?} ({device}): {failure}")]
pub struct PortError {
    /// The port's name in the configuration.
    pub port: String,
    /// Its device.
    pub device: String,
    /// What failed.
    pub failure: PortFailure,
}

/// What can fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortFailure {
    /// No driver took the device.
    #[error("DPDK cannot attach the device: {errno}. {mend}{}", said(log))]
    Attach {
        /// Why.
        errno: Errno,
        /// What to look at.
        mend: &'static str,
        /// What DPDK logged.
        log: Vec<String>,
    },
    /// The device was probed and no port came of it.
    #[error("the device was probed, but no driver made a port of it. {mend}")]
    NoPort {
        /// What to look at.
        mend: &'static str,
    },
    /// Another port of the configuration has it.
    #[error("the device is another port's already; name each device once")]
    Taken,
    /// The name of a memory wire.
    #[error("a wire's name has 1 to 16 letters, digits or _")]
    Name,
    /// Queue handles are still out.
    #[error("its queues are still in use: drop the queue handles first")]
    InUse,
    /// The device has fewer queues.
    #[error("{wanted} {what} queues are wanted, the device has {max}; lower the port's `queues`")]
    Queues {
        /// Which.
        what: &'static str,
        /// Asked for.
        wanted: u16,
        /// There are.
        max: u16,
    },
    /// The device does not take the MTU.
    #[error("MTU {wanted} is out of the device's range of {min} to {max}")]
    Mtu {
        /// Asked for.
        wanted: u16,
        /// Smallest.
        min: u16,
        /// Largest.
        max: u16,
    },
    /// The pool's mbufs are too small for the driver.
    #[error("the mbufs of pool {pool:?} have a data room of {has} bytes, the device wants {wants}")]
    DataRoom {
        /// The pool.
        pool: String,
        /// It has, headroom included.
        has: u16,
        /// It should have.
        wants: u32,
    },
    /// A call of DPDK's failed.
    #[error("{step}: {errno}{}", said(log))]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        errno: Errno,
        /// What DPDK logged.
        log: Vec<String>,
    },
}

impl PortError {
    /// Whether the driver just has no such operation.
    pub fn is_unsupported(&self) -> bool {
        matches!(&self.failure, PortFailure::Step { errno: Errno::ENOTSUP, .. })
    }
}

/// How a port is to run.
#[derive(Clone, Debug)]
pub struct PortOptions {
    /// RX queues.
    pub rx_queues: u16,
    /// TX queues.
    pub tx_queues: u16,
    /// Descriptors of each RX queue; brought into the driver's limits.
    pub rx_desc: u16,
    /// Descriptors of each TX queue; brought into the driver's limits.
    pub tx_desc: u16,
    /// The largest IP packet, in bytes.
    pub mtu: u16,
    /// Whether frames have a VLAN tag, which is none of the MTU: NICs are told to take so much more.
    pub tagged: bool,
    /// Whether received flows are spread over the RX queues; without effect on one queue.
    pub rss: bool,
    /// Where received packets go.
    pub pool: Pool,
}

impl PortOptions {
    /// One queue each way, 1,024 descriptors, MTU 1,500, RSS.
    pub fn new(pool: Pool) -> Self {
        Self { rx_queues: 1, tx_queues: 1, rx_desc: 1024, tx_desc: 1024, mtu: 1500, tagged: false, rss: true, pool }
    }
}

/// The queues of a started port, by number. Each goes to the core that polls it.
#[derive(Debug)]
pub struct PortQueues {
    /// RX queues.
    pub rx: Vec<RxQueue>,
    /// TX queues.
    pub tx: Vec<TxQueue>,
}

/// An open port, for the control side. It is stopped and closed when this and all its queues are gone.
#[derive(Debug)]
pub struct Port {
    inner: Arc<PortInner>,
    info: PortInfo,
    /// RX and TX queues that it runs with.
    queues: (u16, u16),
}

/// # Invariants
/// `id` is an open port of DPDK's with no other `PortInner` (it stands in `EalState::ports`).
#[derive(Debug)]
pub(super) struct PortInner {
    id: PortId,
    name: String,
    device: Device,
    started: bool,
    /// Every pool that the RX queues were ever set up with: the driver knows them until the port is closed.
    pools: Vec<Pool>,
    /// ethdev's control calls are not to run at once on one port.
    control: Mutex<()>,
    /// The rings below a memory wire's port, freed after it closed.
    _wire: Option<Arc<WireRings>>,
    eal: Eal,
}

impl PortInner {
    #[inline(always)]
    pub(super) fn id(&self) -> PortId {
        self.id
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn error(&self, failure: PortFailure) -> PortError {
        PortError { port: self.name.clone(), device: self.device.to_string(), failure }
    }

    /// Runs one of DPDK's control calls, and turns its return code into an error that names it.
    pub(super) fn step(&self, step: &'static str, call: impl FnOnce(u16) -> c_int) -> Result<c_int, PortError> {
        let _one_at_a_time = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = eal_log::mark();
        let result = Errno::check(call(self.id.0));
        result.map_err(|errno| self.error(PortFailure::Step { step, errno, log: eal_log::since(mark) }))
    }

    fn stop(&mut self) -> Result<(), PortError> {
        if self.started {
            // SAFETY: the port is open, and `&mut self` shows that no queue handle is left to poll it.
            self.step("rte_eth_dev_stop", |port| unsafe { dpdk_sys::rte_eth_dev_stop(port) })?;
            self.started = false;
        }
        Ok(())
    }
}

impl Drop for PortInner {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!("{error}");
        }
        // Locked until the number is free again, so that nobody opens half a port.
        let mut state = self.eal.state();
        attach::close(self.id.0, self.device.is_vdev());
        state.ports.remove(&self.id.0);
    }
}

impl Port {
    /// Opens the port that runs on `device`: takes the one that the EAL made of it, or attaches it now (`rte_dev_probe`).
    /// `name` is for messages. `queues` and `mtu` say what will be asked of it, for virtual devices that must know before
    /// (AF_PACKET's rings).
    ///
    /// # Errors
    /// [`PortFailure::Attach`], [`PortFailure::NoPort`], [`PortFailure::Taken`].
    pub fn open(eal: &Eal, name: &str, device: &Device, queues: u16, mtu: u16) -> Result<Self, PortError> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);

        let error = |failure| PortError { port: name.to_owned(), device: device.to_string(), failure };
        // One opener at a time: nobody else may take the port between its attachment and our entry.
        let mut state = eal.state();
        let (device, id) = match attach::port_by_name(device) {
            Some(id) => (device.clone(), id),
            None => {
                // Relaxed: only that numbers differ matters.
                let device = device.unique(SERIAL.fetch_add(1, Ordering::Relaxed)).with_defaults(queues, mtu);
                attach::probe(&device).map_err(error)?;
                let id = attach::port_by_name(&device)
                    .ok_or_else(|| error(PortFailure::NoPort { mend: attach::mend(&device) }))?;
                (device, id)
            }
        };
        if state.ports.contains(&id) {
            return Err(error(PortFailure::Taken));
        }
        let wire = match state.wires.get(&device.name()) {
            // Its last handle is going, and takes the port along.
            Some(wire) => Some(wire.upgrade().ok_or_else(|| error(PortFailure::Taken))?),
            None => None,
        };
        state.ports.insert(id);
        drop(state);
        let inner = PortInner {
            id: PortId(id),
            name: name.to_owned(),
            device: device.clone(),
            started: false,
            pools: Vec::new(),
            control: Mutex::new(()),
            _wire: wire,
            eal: eal.clone(),
        };
        let info = PortInfo::read(id, &device)
            .map_err(|errno| inner.error(PortFailure::Step { step: "rte_eth_dev_info_get", errno, log: Vec::new() }))?;
        Ok(Self { inner: Arc::new(inner), info, queues: (0, 0) })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// DPDK's number.
    pub fn id(&self) -> PortId {
        self.inner.id
    }

    /// The device, with all the arguments that it was attached with.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// What it can do.
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// How many RX and TX queues it was last configured with.
    pub fn queues(&self) -> (u16, u16) {
        self.queues
    }

    /// The MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.info.mac
    }

    /// Sets the port up and starts it. A port that ran is stopped before.
    ///
    /// # Errors
    /// [`PortFailure::InUse`] while queue handles of an earlier call live; [`PortFailure::Queues`],
    /// [`PortFailure::DataRoom`], [`PortFailure::Mtu`] (of NICs: virtual devices only warn), [`PortFailure::Step`].
    pub fn configure(&mut self, options: &PortOptions) -> Result<PortQueues, PortError> {
        let info = &self.info;
        let in_use = PortError {
            port: self.inner.name.clone(),
            device: self.inner.device.to_string(),
            failure: PortFailure::InUse,
        };
        let inner = Arc::get_mut(&mut self.inner).ok_or(in_use)?;
        inner.stop()?;
        port_setup::check(info, options).map_err(|failure| inner.error(failure))?;
        inner.pools.push(options.pool.clone());
        port_setup::set_up(inner, info, options)?;
        // SAFETY: the port is configured and its queues are set up.
        inner.step("rte_eth_dev_start", |port| unsafe { dpdk_sys::rte_eth_dev_start(port) })?;
        inner.started = true;
        self.queues = (options.rx_queues, options.tx_queues);

        // INVARIANT: no handle of an earlier call is left, as `get_mut` found, and the port is started.
        let (rx, tx) = (0..options.rx_queues, 0..options.tx_queues);
        // Only then others' mbufs can come.
        let own_pool = || info.passes_pointers.then(|| options.pool.clone());
        let mut queues = PortQueues {
            rx: rx.map(|id| RxQueue::new(Arc::clone(&self.inner), RxQueueId(id), own_pool())).collect(),
            tx: tx.map(|id| TxQueue::new(Arc::clone(&self.inner), TxQueueId(id))).collect(),
        };
        if let Some(frames) = self.inner.device.stale_frames() {
            queues.rx.iter_mut().for_each(|queue| queue.discard(frames));
        }
        Ok(queues)
    }

    /// Stops the port; it can be configured again.
    ///
    /// # Errors
    /// [`PortFailure::InUse`] while queue handles live; [`PortFailure::Step`].
    pub fn stop(&mut self) -> Result<(), PortError> {
        match Arc::get_mut(&mut self.inner) {
            Some(inner) => inner.stop(),
            None => Err(self.inner.error(PortFailure::InUse)),
        }
    }

    /// The counters (`rte_eth_stats_get`).
    ///
    /// # Errors
    /// [`PortFailure::Step`].
    pub fn stats(&self) -> Result<PortStats, PortError> {
        let mut stats = MaybeUninit::<rte_eth_stats>::zeroed();
        let place = stats.as_mut_ptr();
        // SAFETY: the port is open; `place` has room for the answer.
        self.inner.step("rte_eth_stats_get", |port| unsafe { dpdk_sys::rte_eth_stats_get(port, place) })?;
        // SAFETY: numbers, zeroed and then filled in.
        Ok(PortStats::from(&unsafe { stats.assume_init() }))
    }

    /// Sets the counters to 0.
    ///
    /// # Errors
    /// [`PortFailure::Step`]: not every driver can.
    pub fn clear_stats(&self) -> Result<(), PortError> {
        // SAFETY: the port is open.
        self.inner.step("rte_eth_stats_reset", |port| unsafe { dpdk_sys::rte_eth_stats_reset(port) }).map(drop)
    }

    /// The driver's own counters by name (`rte_eth_xstats_get`).
    ///
    /// # Errors
    /// [`PortFailure::Step`].
    pub fn extended_stats(&self) -> Result<Vec<(String, u64)>, PortError> {
        port_stats::extended(&self.inner)
    }

    /// The state of the link, as the driver last heard (`rte_eth_link_get_nowait`).
    ///
    /// # Errors
    /// [`PortFailure::Step`].
    pub fn link(&self) -> Result<Link, PortError> {
        let mut link = MaybeUninit::<rte_eth_link>::zeroed();
        let place = link.as_mut_ptr();
        // SAFETY: the port is open; `place` has room for the answer.
        self.inner.step("rte_eth_link_get_nowait", |port| unsafe { dpdk_sys::rte_eth_link_get_nowait(port, place) })?;
        // SAFETY: numbers, zeroed and then filled in.
        Ok(Link::from(&unsafe { link.assume_init() }))
    }

    /// Whether the link is up; false too when the driver cannot tell.
    pub fn link_up(&self) -> bool {
        self.link().is_ok_and(|link| link.up)
    }

    /// Takes the link up or down.
    ///
    /// # Errors
    /// [`PortFailure::Step`]: not every driver can.
    pub fn set_link(&self, up: bool) -> Result<(), PortError> {
        let call = |port| {
            if up {
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_dev_set_link_up(port) }
            } else {
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_dev_set_link_down(port) }
            }
        };
        self.inner.step("rte_eth_dev_set_link", call).map(drop)
    }

    /// Whether packets for other MAC addresses are received too.
    ///
    /// # Errors
    /// [`PortFailure::Step`]: not every driver can.
    pub fn set_promiscuous(&self, on: bool) -> Result<(), PortError> {
        let call = |port| {
            if on {
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_promiscuous_enable(port) }
            } else {
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_promiscuous_disable(port) }
            }
        };
        self.inner.step("rte_eth_promiscuous", call).map(drop)
    }

    /// Whether packets for other MAC addresses are received too (`rte_eth_promiscuous_get`).
    ///
    /// # Errors
    /// [`PortFailure::Step`].
    pub fn is_promiscuous(&self) -> Result<bool, PortError> {
        // SAFETY: the port is open.
        let state =
            self.inner.step("rte_eth_promiscuous_get", |port| unsafe { dpdk_sys::rte_eth_promiscuous_get(port) });
        state.map(|state| state == 1)
    }

    /// Whether all multicast is received (`rte_eth_allmulticast_get`).
    ///
    /// # Errors
    /// [`PortFailure::Step`].
    pub fn is_allmulticast(&self) -> Result<bool, PortError> {
        // SAFETY: the port is open.
        let state =
            self.inner.step("rte_eth_allmulticast_get", |port| unsafe { dpdk_sys::rte_eth_allmulticast_get(port) });
        state.map(|state| state == 1)
    }

    /// Whether multicast is received that nobody joined (NDP's solicited-node groups need it on NICs that filter).
    ///
    /// # Errors
    /// [`PortFailure::Step`]: not every driver can.
    pub fn set_allmulticast(&self, on: bool) -> Result<(), PortError> {
        let call = |port| {
            if on {
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_allmulticast_enable(port) }
            } else {
                // SAFETY: the port is open.
                unsafe { dpdk_sys::rte_eth_allmulticast_disable(port) }
            }
        };
        self.inner.step("rte_eth_allmulticast", call).map(drop)
    }

    /// The MTU in force.
    ///
    /// # Errors
    /// [`PortFailure::Step`].
    pub fn mtu(&self) -> Result<u16, PortError> {
        let mut mtu = 0;
        let place = &raw mut mtu;
        // SAFETY: the port is open; `place` has room for the answer.
        self.inner.step("rte_eth_dev_get_mtu", |port| unsafe { dpdk_sys::rte_eth_dev_get_mtu(port, place) })?;
        Ok(mtu)
    }
}

/// DPDK's lines for the end of a message, if it said something.
fn said(log: &[String]) -> String {
    if log.is_empty() { String::new() } else { format!("; DPDK said:\n  {}", log.join("\n  ")) }
}
