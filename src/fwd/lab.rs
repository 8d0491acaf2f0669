//! The lab: ports, a pool, and threads that forward between a start and a stop. All of it is the main thread's.

use super::error::LabError;
use super::options::LabOptions;
use super::rekey::Rekeying;
use super::statistics::Statistics;
use super::stream::{Ends, Orders, Queues, Stream, Way, run};
use super::tunnel::Tunnels;
use super::txonly::TxOnly;
use super::verbose::{Print, Printer, Viewer, to_stdout};
use super::{Mode, stream::Forward, wireguard};
use crate::dpdk::{
    Device, Eal, Lcore, Mbuf, Pool, PoolOptions, Port, PortOptions, PortQueues, PortStats, RxQueue, TxQueue, lcores,
    probed_devices, register_thread, tsc, tsc_hz,
};
use crate::gateway::boottime_ms;
use crate::gateway::port_rows::Shown;
use crate::queue::sync::Arc;
use crate::wire::MacAddr;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle};

/// MTU of the ports, as testpmd's.
const MTU: u16 = 1500;
/// The smallest pool that is made without being asked for.
const FEWEST_MBUFS: u32 = 8191;
/// Bursts of made packets that come first, at most: more than rings hold, and over at once.
const MOST_BURSTS_FIRST: u32 = 10_000;
/// Packets that a flush takes from an RX queue, at most: more than a ring holds; some drivers never run dry.
const FLUSH: usize = 65_536;

/// What a stream of a lab is made of.
pub(super) struct Nic;

impl Ends for Nic {
    type Packet = Mbuf;
    type Rx = RxQueue;
    type Tx = TxQueue;
    type Pool = Pool;

    fn segments_and_hash(packet: &Mbuf) -> (u16, Option<u32>) {
        (packet.segment_count(), packet.rss_hash())
    }
}

/// Ports that forward without a gateway.
pub struct Lab {
    running: Option<Running>,
    pub(super) ports: Vec<LabPort>,
    pub(super) statistics: Statistics,
    /// What was wrong with the first of all runs so far with which something was.
    pub(super) complaint: Option<String>,
    pub(super) options: LabOptions,
    /// Those that may forward: all but the main one, which does only where it is alone.
    pub(super) lcores: Vec<Lcore>,
    pub(super) viewer: Arc<Viewer>,
    pub(super) print: Arc<Mutex<Print>>,
    /// Once something was to be shown.
    pub(super) printer: Option<Printer>,
    pool: Pool,
    eal: Eal,
}

/// One port.
pub(super) struct LabPort {
    /// While it is started, those that no thread has.
    queues: Option<PortQueues>,
    pub(super) port: Port,
    pub(super) shown: Shown,
    /// Where its forward statistics begin.
    pub(super) base: PortStats,
}

struct Running {
    orders: Arc<Orders>,
    threads: Vec<JoinHandle<Vec<Stream<Nic>>>>,
    /// Of the mode `wireguard`.
    _rekeying: Option<Rekeying>,
}

/// Who does what in a run: an lcore, and its streams.
pub(super) type Share<'a> = (&'a Lcore, Vec<Way>);

impl Lab {
    /// Starts DPDK with these arguments, and all ports that it finds. Main thread, once a process.
    ///
    /// # Errors
    /// [`LabError`].
    pub fn open(eal_arguments: Vec<String>, options: LabOptions) -> Result<Self, LabError> {
        let eal = Eal::init_with(eal_arguments)?;
        let all = lcores(&eal);
        let others: Vec<Lcore> = all.iter().filter(|lcore| !lcore.is_main).cloned().collect();
        let lcores = if others.is_empty() { all } else { others };
        let mut ports = Vec::new();
        for device in probed_devices(&eal) {
            ports.push(open_port(&eal, &device, &options)?);
        }
        let pool = Pool::create(&eal, &pool_options(&ports, lcores.len(), &options))?;
        let statistics = Statistics::default();
        let viewer = Arc::new(Viewer::new(pool.name()));
        let print: Print = Box::new(|text| to_stdout(&text));
        let mut lab = Self {
            running: None,
            ports,
            statistics,
            complaint: None,
            options,
            lcores,
            viewer,
            print: Arc::new(Mutex::new(print)),
            printer: None,
            pool,
            eal,
        };
        lab.set_cores(lab.options.cores).map_err(LabError::Refused)?;
        for at in 0..lab.ports.len() {
            lab.start_port(at)?;
        }
        Ok(lab)
    }

    /// The EAL's arguments.
    pub(super) fn eal(&self) -> &Eal {
        &self.eal
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether packets are being forwarded.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Refuses while packets are being forwarded.
    pub(super) fn must_rest(&self) -> Result<(), LabError> {
        if self.is_running() { refuse("packets are being forwarded; `stop` first") } else { Ok(()) }
    }

    /// The places of the ports that forward (`--portmask`).
    pub(super) fn used(&self) -> Vec<usize> {
        let mask = self.options.ports;
        let is_used = |port: &LabPort| mask == 0 || mask.checked_shr(port.port.id().0.into()).unwrap_or(0) & 1 == 1;
        self.ports.iter().enumerate().filter(|(_, port)| is_used(port)).map(|(at, _)| at).collect()
    }

    /// From where to where, stream by stream.
    fn ways(&self) -> Vec<Way> {
        let used = self.used();
        let queues = self.options.rx_queues.min(self.options.tx_queues);
        let way = |(at, port): (usize, &usize), queue| {
            let rx = self.ports.get(*port)?.port.id().0;
            let tx = &self.ports.get(*used.get(self.options.topology.tx_of(at, used.len()))?)?.port;
            let (tx_port, source) = (tx.id().0, MacAddr(tx.mac()));
            Some(Way { rx_port: rx, rx_queue: queue, tx_port, tx_queue: queue, source, peer: self.peer(tx_port) })
        };
        let all = (0..queues).flat_map(|queue| used.iter().enumerate().filter_map(move |place| way(place, queue)));
        all.collect()
    }

    fn peer(&self, port: u16) -> MacAddr {
        let given = self.options.peers.iter().rev().find(|(of, _)| *of == port);
        given.map_or_else(|| MacAddr([2, 0, 0, 0, 0, port.to_le_bytes()[0]]), |(_, mac)| *mac)
    }

    /// Which core has which streams: as even as it goes, the last ones having one more, as in testpmd.
    pub(super) fn shares(&self) -> Vec<Share<'_>> {
        let mut ways = self.ways();
        let cores = self.options.cores.min(ways.len());
        let mut shares: Vec<Share<'_>> = Vec::new();
        for (at, lcore) in self.forwarders().into_iter().take(cores).enumerate().rev() {
            let behind = ways.len().div_ceil(at + 1);
            shares.push((lcore, ways.split_off(ways.len().saturating_sub(behind))));
        }
        shares.reverse();
        shares
    }

    /// Begins to forward, with so many bursts of made packets first.
    pub(super) fn start(&mut self, bursts_first: u32) -> Result<(), LabError> {
        self.must_rest()?;
        if self.used().is_empty() {
            return refuse(
                "there is no port to forward by: name one before the -- (-a 0000:3b:00.0, --vdev=net_null0), or `port attach` it",
            );
        }
        for at in self.used() {
            if let Some(port) = self.ports.get(at).filter(|port| port.queues.is_none()) {
                let id = port.port.id();
                return refuse(&format!("port {id} is stopped; `port start {id}` first"));
            }
        }
        self.must_fit(bursts_first)?;
        let shares: Vec<(Lcore, Vec<Way>)> =
            self.shares().into_iter().map(|(lcore, ways)| (lcore.clone(), ways)).collect();
        let count = shares.iter().map(|(_, ways)| ways.len()).sum();
        let tunnels = if self.options.mode == Mode::Wireguard { count } else { 0 };
        let tunnels = Arc::new(Tunnels::new(tunnels, boottime_ms())?);
        let mut at = 0;
        let mut streams = Vec::new();
        for (lcore, ways) in shares {
            let mut share = Vec::new();
            for way in ways {
                share.push(self.stream(at, way, &tunnels)?);
                at += 1;
            }
            streams.push((lcore, share));
        }
        self.begin_statistics(streams.iter().flat_map(|(_, share)| share), &tunnels)?;
        if !self.options.mode.makes_packets() {
            for stream in streams.iter_mut().flat_map(|(_, share)| share) {
                let mut first = TxOnly::new(&stream.queues.way, self.options.packet_len);
                for _ in 0..bursts_first {
                    Forward::<Nic>::turn(&mut first, &mut stream.queues);
                }
            }
        }
        let rekeying = if tunnels.len() > 0 { Some(Rekeying::start(&tunnels, boottime_ms)?) } else { None };
        self.spawn(streams, rekeying)
    }

    /// Refuses packets that are too long for the ports, and more of them than there is time for.
    fn must_fit(&self, bursts_first: u32) -> Result<(), LabError> {
        let (len, longest) = (self.options.packet_len, wireguard::longest(usize::from(MTU)));
        if self.options.mode == Mode::Wireguard && len > longest {
            return refuse(&format!(
                "frames of {len} bytes are too long for the ports' MTU of {MTU} once they are sealed; `set txpkts {longest}` or less"
            ));
        }
        if bursts_first > MOST_BURSTS_FIRST {
            return refuse(&format!("start tx_first {bursts_first}: {MOST_BURSTS_FIRST} bursts at most"));
        }
        Ok(())
    }

    /// Takes the queues of a way out of their ports.
    fn stream(&mut self, at: usize, way: Way, tunnels: &Arc<Tunnels>) -> Result<Stream<Nic>, LabError> {
        let gone = || LabError::Refused(format!("port {} has no such queue; `port reset all` first", way.rx_port));
        let rx = self.queues_of(way.rx_port).and_then(|queues| {
            let at = queues.rx.iter().position(|queue| queue.id().0 == way.rx_queue)?;
            Some(queues.rx.swap_remove(at))
        });
        let rx = rx.ok_or_else(gone)?;
        let tx = self.queues_of(way.tx_port).and_then(|queues| {
            let at = queues.tx.iter().position(|queue| queue.id().0 == way.tx_queue)?;
            Some(queues.tx.swap_remove(at))
        });
        let tx = tx.ok_or_else(gone)?;
        let mut queues = Queues::<Nic>::new(rx, tx, self.pool.clone(), way, self.options.burst);
        // What came before the start is nobody's.
        if self.options.flush {
            queues.flush(usize::from(self.options.rx_desc));
        }
        Ok(Stream { queues, mode: self.options.mode.forward(at, &way, self.options.packet_len, tunnels)? })
    }

    fn queues_of(&mut self, port: u16) -> Option<&mut PortQueues> {
        self.ports.iter_mut().find(|lab| lab.port.id().0 == port)?.queues.as_mut()
    }

    fn begin_statistics<'s>(
        &mut self,
        streams: impl Iterator<Item = &'s Stream<Nic>> + Clone,
        tunnels: &Tunnels,
    ) -> Result<(), LabError> {
        let counts = streams.clone().map(|stream| (stream.queues.way, Arc::clone(&stream.queues.counts)));
        let statistics = Statistics::new(self.options.mode, counts.collect());
        self.statistics = statistics.with_handshakes(Arc::clone(tunnels.handshakes()));
        let shown = streams.map(|stream| (stream.queues.way, Arc::clone(&stream.queues.shown)));
        self.viewer.watch(shown, self.options.verbose);
        self.base_ports()
    }

    /// The forward statistics of ports begin now.
    pub(super) fn base_ports(&mut self) -> Result<(), LabError> {
        for lab in &mut self.ports {
            lab.base = lab.port.stats()?;
        }
        Ok(())
    }

    fn spawn(&mut self, shares: Vec<(Lcore, Vec<Stream<Nic>>)>, rekeying: Option<Rekeying>) -> Result<(), LabError> {
        let orders = Arc::new(Orders::new(self.options.record, tsc, tsc_hz(&self.eal)));
        self.running = Some(Running { orders: Arc::clone(&orders), threads: Vec::new(), _rekeying: rekeying });
        for (lcore, streams) in shares {
            let (orders, eal) = (Arc::clone(&orders), self.eal.clone());
            let name = format!("forward-{}", lcore.id);
            let thread = Builder::new().name(name).spawn(move || forward(&lcore, &eal, streams, &orders));
            match (thread, &mut self.running) {
                (Ok(thread), Some(running)) => running.threads.push(thread),
                (Err(error), _) => {
                    self.stop()?;
                    return Err(LabError::Thread(error.to_string()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends it, and takes the queues back. Nothing is being forwarded afterwards, whatever went wrong.
    pub(super) fn stop(&mut self) -> Result<(), LabError> {
        let Some(running) = self.running.take() else { return refuse("no packets are being forwarded; `start` first") };
        running.orders.stop();
        let mut died = false;
        for thread in running.threads {
            let Ok(streams) = thread.join() else {
                died = true;
                continue;
            };
            for Queues { rx, tx, way, .. } in streams.into_iter().map(|stream| stream.queues) {
                if let Some(queues) = self.queues_of(way.rx_port) {
                    queues.rx.push(rx);
                }
                if let Some(queues) = self.queues_of(way.tx_port) {
                    queues.tx.push(tx);
                }
            }
        }
        to_stdout(&self.viewer.take_all());
        self.complaint = self.complaint.take().or_else(|| self.statistics.complaint());
        if died { Err(LabError::Thread("it panicked; report this".to_owned())) } else { Ok(()) }
    }

    /// Whether cycles are counted.
    pub(super) fn record(&mut self, on: bool) {
        self.options.record = on;
        if let Some(running) = &self.running {
            running.orders.record(on);
        }
    }

    /// Sets a stopped port up and starts it; one that runs is left alone.
    pub(super) fn start_port(&mut self, at: usize) -> Result<(), LabError> {
        let Some(lab) = self.ports.get_mut(at).filter(|lab| lab.queues.is_none()) else { return Ok(()) };
        let (options, pool) = (&self.options, self.pool.clone());
        lab.queues = Some(lab.port.configure(&PortOptions {
            rx_queues: options.rx_queues,
            tx_queues: options.tx_queues,
            rx_desc: options.rx_desc,
            tx_desc: options.tx_desc,
            mtu: MTU,
            tagged: false,
            rss: options.rss,
            pool,
        })?);
        match lab.port.set_promiscuous(true) {
            Err(error) if !error.is_unsupported() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Stops a port, and gives back what waits in its queues.
    pub(super) fn stop_port(&mut self, at: usize) -> Result<(), LabError> {
        self.must_rest()?;
        let Some(lab) = self.ports.get_mut(at) else { return Ok(()) };
        if let Some(queues) = lab.queues.take() {
            for mut queue in queues.rx {
                queue.discard(u32::try_from(FLUSH).unwrap_or(u32::MAX));
            }
        }
        Ok(lab.port.stop()?)
    }

    /// Closes a port that is stopped; a virtual device is gone with it.
    pub(super) fn close_port(&mut self, at: usize) -> Result<(), LabError> {
        match self.ports.get(at) {
            Some(lab) if lab.queues.is_some() => {
                let id = lab.port.id();
                refuse(&format!("port {id} is not stopped; `port stop {id}` first"))
            }
            Some(_) => {
                self.ports.remove(at);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Attaches a device and starts its port; returns the port's number.
    pub(super) fn attach(&mut self, device: &str) -> Result<u16, LabError> {
        self.must_rest()?;
        let lab = open_port(&self.eal, &device.parse()?, &self.options)?;
        let id = lab.port.id().0;
        let at = self.ports.iter().position(|other| other.port.id().0 > id).unwrap_or(self.ports.len());
        self.ports.insert(at, lab);
        self.start_port(at)?;
        Ok(id)
    }

    /// Stops and closes all, and counts the pool: every mbuf is back.
    ///
    /// # Errors
    /// [`LabError`]; what can be closed is closed all the same.
    pub fn close(mut self) -> Result<(), LabError> {
        let mut result = if self.is_running() { self.stop() } else { Ok(()) };
        for at in 0..self.ports.len() {
            result = self.stop_port(at).and(result);
        }
        self.ports.clear();
        self.printer = None;
        self.statistics = Statistics::default();
        result?;
        match self.pool.size().saturating_sub(self.pool.available()) {
            0 => Ok(()),
            missing => refuse(&format!("{missing} of {} mbufs did not come back; report this", self.pool.size())),
        }
    }
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab")
            .field("options", &self.options)
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

pub(super) fn refuse<T>(why: &str) -> Result<T, LabError> {
    Err(LabError::Refused(why.to_owned()))
}

fn open_port(eal: &Eal, device: &Device, options: &LabOptions) -> Result<LabPort, LabError> {
    let name = device.to_string();
    let name = name.split(',').next().unwrap_or_default();
    let port = Port::open(eal, name, device, options.rx_queues, MTU)?;
    Ok(LabPort { queues: None, port, shown: Shown::default(), base: PortStats::default() })
}

/// A pool for all that ports, caches and bursts can hold at once.
fn pool_options(ports: &[LabPort], cores: usize, options: &LabOptions) -> PoolOptions {
    let rings = u32::from(options.rx_queues) * u32::from(options.rx_desc)
        + u32::from(options.tx_queues) * u32::from(options.tx_desc);
    let ports_u32 = u32::try_from(ports.len().max(1)).unwrap_or(u32::MAX);
    // A cache may hold half as much again.
    let caches = u32::try_from(cores + 1).unwrap_or(u32::MAX).saturating_mul(options.cache * 3 / 2 + 64);
    let wanted = ports_u32.saturating_mul(rings).saturating_add(caches).max(FEWEST_MBUFS);
    let room = ports.iter().map(|lab| lab.port.info().data_room_for(MTU)).max();
    let mut pool = PoolOptions::new("mb_pool_0", options.mbufs.unwrap_or(wanted));
    pool.data_room = options.data_room.or(room).unwrap_or(pool.data_room);
    pool.cache = options.cache;
    pool
}

/// A forwarding thread: on its lcore's cores, known to DPDK, until the stop.
fn forward(lcore: &Lcore, eal: &Eal, mut streams: Vec<Stream<Nic>>, orders: &Orders) -> Vec<Stream<Nic>> {
    let mut set = CpuSet::new();
    lcore.cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!("a forwarding thread cannot be put on the cores {:?}: {error}", lcore.cpus);
    }
    let registered = register_thread(eal);
    if let Err(error) = &registered {
        tracing::warn!("a forwarding thread has no mempool cache: {error}");
    }
    run(&mut streams, orders, lcore.is_main);
    streams
}
