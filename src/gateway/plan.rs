//! Who polls what: cores, queues and memory, from the configuration and what the ports can do.

use super::StartError;
use super::proc::memory_bytes;
use crate::config::{Config, HugePages};
use crate::dpdk::{
    Device, Eal, EalOptions, Pool, PoolOptions, Port, PortOptions, RxQueue, TxQueue, free_huge_pages_mib, pool_bytes,
};
use crate::shared::MOST_PORTS;

/// Mbufs that each thread's cache may hold.
const CACHE: u32 = 256;
/// Descriptors of a queue.
pub(super) const DESCRIPTORS: u16 = 1024;
/// Mbufs for what is queued, staged and under way inside, beside rings and caches.
const INSIDE: u32 = 16_384;
/// MiB for everything but the pool: rings, ports, DPDK itself.
const OVERHEAD_MIB: u64 = 64;

/// What is known before the EAL runs.
#[derive(Debug)]
pub(super) struct Plan {
    /// The devices, in order of the ports.
    devices: Vec<Device>,
    /// All data cores: the I/O cores first, in their order, then the other workers.
    pub(super) cores: Vec<usize>,
    /// How many of `cores` are I/O cores.
    pub(super) io: usize,
    /// The worker number of each of `cores`, if it has that role.
    pub(super) workers: Vec<Option<usize>>,
}

/// What each data core polls and sends by.
#[derive(Debug, Default)]
pub(super) struct CoreQueues {
    /// RX queues with their port's id.
    pub(super) rx: Vec<(u16, RxQueue)>,
    /// Each port's way out.
    pub(super) tx: Vec<WayOut>,
}

/// How a data core reaches a port.
#[derive(Debug)]
pub(super) enum WayOut {
    /// Its own TX queue.
    Own(TxQueue),
    /// Its own TX queue, by which others send too; and this core's number.
    Shared(TxQueue, usize),
    /// The TX queue of this I/O core.
    Of(usize),
}

/// All queues, by data core.
#[derive(Debug)]
pub(super) struct Layout {
    /// In order of [`Plan::cores`].
    pub(super) cores: Vec<CoreQueues>,
    /// Each port's I/O core for what control threads send.
    pub(super) port_owner: Vec<usize>,
}

impl Plan {
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        if config.ports.len() > MOST_PORTS {
            return Err(StartError::TooManyPorts(config.ports.len()));
        }
        let devices = config.ports.iter().map(|port| {
            let (crate::config::Device::Pci(text) | crate::config::Device::Vdev(text)) = &port.device;
            text.parse().map_err(|error| StartError::Device { port: port.name.clone(), error })
        });
        let cores = data_cores(config);
        let io = config.cores.io.len();
        let workers = cores.iter().map(|core| config.cores.workers.iter().position(|w| w == core)).collect();
        Ok(Self { devices: devices.collect::<Result<_, _>>()?, cores, io, workers })
    }

    /// How many workers there are.
    pub(super) fn worker_count(&self) -> usize {
        self.workers.iter().flatten().count()
    }

    /// # Errors
    /// The machine has not the memory: DPDK would take what it can get, and the kernel would end somebody for it.
    pub(super) fn eal_options(&self, config: &Config) -> Result<EalOptions, StartError> {
        let pages = match config.memory.huge_pages {
            HugePages::Auto => crate::dpdk::HugePages::Auto,
            HugePages::Required => crate::dpdk::HugePages::Required,
            HugePages::None => crate::dpdk::HugePages::None,
        };
        let free_huge_mib = free_huge_pages_mib();
        let huge = config.memory.huge_pages != HugePages::None && free_huge_mib > 0;
        let mib = u32::try_from(memory_mib(config, huge)).unwrap_or(u32::MAX);
        let available_mib = available_mib().unwrap_or(u64::MAX);
        if u64::from(mib) > available_mib && (!huge || u64::from(mib) > free_huge_mib) {
            return Err(StartError::Memory { mib, available_mib });
        }
        let options = EalOptions::new()
            .huge_pages(pages)
            .memory_mib(mib)
            .main_core(config.cores.control)
            .telemetry(true)
            .file_prefix(format!("culvert-{}", std::process::id()))
            .extra_args(config.memory.extra_eal_args.iter().cloned());
        Ok(self.devices.iter().fold(options, EalOptions::allow_device))
    }

    pub(super) fn open_ports(&self, config: &Config, eal: &Eal) -> Result<Vec<Port>, StartError> {
        let open = |(port, device): (&crate::config::Port, &Device)| {
            super::systemd::starting(&format!("starts port {}", port.name));
            let queues = to_u16(port.queues.or_else(|| to_u32(self.io)));
            Port::open(eal, &port.name, device, queues, port.mtu)
        };
        let ports = config.ports.iter().zip(&self.devices).map(open);
        Ok(ports.collect::<Result<_, _>>()?)
    }

    pub(super) fn pool_options(&self, config: &Config, ports: &[Port]) -> PoolOptions {
        let rooms = ports.iter().zip(&config.ports).map(|(port, c)| port.info().data_room_for(c.mtu));
        let options = PoolOptions::new("culvert", mbufs(config));
        PoolOptions { data_room: rooms.max().unwrap_or(options.data_room), cache: CACHE, ..options }
    }

    /// Starts the ports and deals their queues out.
    pub(super) fn configure(&self, config: &Config, ports: &mut [Port], pool: &Pool) -> Result<Layout, StartError> {
        let mut layout =
            Layout { cores: self.cores.iter().map(|_| CoreQueues::default()).collect(), port_owner: Vec::new() };
        for ((id, port), c) in (0u16..).zip(ports).zip(&config.ports) {
            let info = port.info();
            let wanted = to_u16(c.queues.or_else(|| to_u32(self.io)));
            // The kernel spreads an AF_PACKET port's packets over all its sockets: all are polled, or packets are lost.
            let rx_queues = if info.driver == "net_af_packet" { info.max_rx_queues } else { wanted };
            let tx_queues = to_u16(to_u32(self.cores.len())).min(info.max_tx_queues.max(1));
            let queues = port.configure(&PortOptions {
                rx_queues: rx_queues.clamp(1, info.max_rx_queues.max(1)),
                tx_queues,
                rx_desc: DESCRIPTORS,
                tx_desc: DESCRIPTORS,
                mtu: c.mtu,
                tagged: c.vlan != 0,
                rss: true,
                pool: pool.clone(),
            })?;
            // Neighbours ask for IPv6 addresses by multicast, which NICs filter.
            if c.addresses.iter().any(|address| address.addr().is_ipv6())
                && let Err(error) = port.set_allmulticast(true)
                && !error.is_unsupported()
            {
                tracing::warn!(port = c.name, "{error}; IPv6 neighbours may not find port {}", c.name);
            }
            layout.deal(id, queues.rx, queues.tx, self.io);
        }
        Ok(layout)
    }
}

/// What a data core polls and sends by: `wan/0` is queue 0 of port `wan`.
#[derive(Clone, Debug)]
pub(super) struct QueueRow {
    pub(super) core: usize,
    pub(super) rx: Vec<String>,
    pub(super) tx: Vec<String>,
}

impl std::fmt::Display for QueueRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rx = if self.rx.is_empty() { "none".to_owned() } else { self.rx.join(" ") };
        write!(f, "core {}: rx {rx}, tx {}", self.core, self.tx.join(" "))
    }
}

impl Layout {
    /// What each data core polls and sends by.
    pub(super) fn rows(&self, plan: &Plan, config: &Config) -> Vec<QueueRow> {
        let name = |port: usize| config.ports.get(port).map_or("?", |p| p.name.as_str());
        let line = |(core, queues): (&usize, &CoreQueues)| {
            let rx = queues.rx.iter().map(|(port, queue)| format!("{}/{}", name(usize::from(*port)), queue.id().0));
            let tx = queues.tx.iter().enumerate().map(|(port, way)| match way {
                WayOut::Own(queue) | WayOut::Shared(queue, _) => format!("{}/{}", name(port), queue.id().0),
                WayOut::Of(owner) => {
                    format!("{} by core {}", name(port), plan.cores.get(*owner).copied().unwrap_or(0))
                }
            });
            QueueRow { core: *core, rx: rx.collect(), tx: tx.collect() }
        };
        plan.cores.iter().zip(&self.cores).map(line).collect()
    }

    /// Deals one port's queues: RX queues round robin over the I/O cores, a TX queue to each core while there are any.
    fn deal(&mut self, port: u16, rx: Vec<RxQueue>, tx: Vec<TxQueue>, io: usize) {
        for (queue, rx) in rx.into_iter().enumerate() {
            if let Some(core) = self.cores.get_mut((queue + usize::from(port)) % io) {
                core.rx.push((port, rx));
            }
        }
        let owner = owner(port, tx.len(), io);
        let ways = ways(owner, tx.len(), self.cores.len());
        let mut queues = tx.into_iter();
        for (core, way) in self.cores.iter_mut().zip(ways) {
            // Every core takes one while there are any: a queue belongs to the core of its number.
            core.tx.push(match (way, queues.next()) {
                (Way::Own, Some(queue)) => WayOut::Own(queue),
                (Way::Shared, Some(queue)) => WayOut::Shared(queue, owner),
                _ => WayOut::Of(owner),
            });
        }
        self.port_owner.push(owner);
    }
}

/// How a data core sends by a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By a TX queue that nobody else uses.
    Own,
    /// By its own TX queue, which all others use too.
    Shared,
    /// By the port's owner.
    Owners,
}

/// Each data core's way out by a port that has so many TX queues. Where they are not enough for all, all send by the one owner's: the
/// chunks of a peer are released on any core, and would overtake each other on two ways.
fn ways(owner: usize, queues: usize, cores: usize) -> Vec<Way> {
    let way = |core: usize| match core {
        _ if queues >= cores => Way::Own,
        _ if core == owner => Way::Shared,
        _ => Way::Owners,
    };
    (0..cores).map(way).collect()
}

/// The core that sends by `port` for those that have no TX queue there. The I/O cores come first, so it is one of them.
fn owner(port: u16, queues: usize, io: usize) -> usize {
    usize::from(port) % queues.min(io).max(1)
}

/// All data cores: the I/O cores first, in their order, then the other workers.
fn data_cores(config: &Config) -> Vec<usize> {
    let workers = config.cores.workers.iter().filter(|core| !config.cores.io.contains(core));
    config.cores.io.iter().chain(workers).copied().collect()
}

/// Mbufs of the pool: what is configured, else what rings and caches can hold, and room for what is inside.
fn mbufs(config: &Config) -> u32 {
    config.memory.mbufs.or_else(|| {
        let (io, cores) = (config.cores.io.len(), data_cores(config).len());
        let queues: u32 = config.ports.iter().map(|p| p.queues.or_else(|| to_u32(io))).sum();
        let tx_queues = to_u32(cores * config.ports.len());
        let threads = to_u32(cores + config.cores.handshake.len() + 2);
        let rings = (queues + tx_queues) * u32::from(DESCRIPTORS);
        // 2^n - 1 wastes no memory.
        (rings + threads * CACHE * 3 / 2 + INSIDE).next_power_of_two() - 1
    })
}

/// MiB of DPDK's memory that a gateway of this configuration takes, in huge pages or in ordinary ones. Control thread;
/// no EAL is needed.
pub fn memory_mib(config: &Config, huge: bool) -> u64 {
    // The ports are not open yet: the largest MTU tells how large the mbufs will be, a step more for the drivers' sake.
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(1500);
    let room = (u32::from(mtu) + 1024).next_multiple_of(2048) + 128;
    let room = u16::try_from(room).unwrap_or(u16::MAX);
    let pool_mib = pool_bytes(mbufs(config), room, huge) >> 20;
    // A tenth more: allocations are contiguous, memory is not.
    pool_mib + pool_mib / 10 + OVERHEAD_MIB
}

/// MiB of ordinary memory that this machine can still give; `None` where the kernel does not say.
fn available_mib() -> Option<u64> {
    memory_bytes("/proc/meminfo", "MemAvailable").map(|bytes| bytes >> 20)
}

pub(super) fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn to_u16(n: u32) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_queue_for_each_core_each_sends_by_its_own() {
        for (queues, cores) in [(1, 1), (2, 2), (4, 3)] {
            assert_eq!(ways(0, queues, cores), vec![Way::Own; cores]);
        }
    }

    #[test]
    fn with_fewer_queues_than_cores_all_packets_of_a_port_take_one_way() {
        for (port, queues, cores, io) in [(0, 1, 2, 1), (0, 1, 4, 2), (1, 2, 4, 2), (3, 3, 8, 4), (5, 2, 3, 1)] {
            let owner = owner(port, queues, io);
            assert!(owner < queues.min(io), "an I/O core with a queue");
            let ways = ways(owner, queues, cores);
            assert_eq!(ways.len(), cores);
            for (core, way) in ways.into_iter().enumerate() {
                assert_eq!(way, if core == owner { Way::Shared } else { Way::Owners }, "{port} {queues} {cores}");
            }
        }
        // Ports have different owners, where there are several.
        assert_eq!([0, 1, 2, 3].map(|port| owner(port, 4, 2)), [0, 1, 0, 1]);
        assert_eq!(owner(7, 0, 1), 0, "a port without TX queues has none to choose from");
    }
}
