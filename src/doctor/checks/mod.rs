//! The checks, in the order in which they are told.

mod cores;
mod cpu;
mod files;
mod iommu;
mod kernel;
mod links;
mod memory;
mod ports;
mod program;

pub(super) use memory::free_huge_mib;

use super::Configuration;
use super::finding::{Check, Finding, Mend};
use super::fix::Fix;
use super::nic::{self, Login, Nic};
use super::pmd;
use super::system::{self, System};
use crate::config::{Config, Device, HugePages, Port};

/// All of them.
pub(super) static CHECKS: &[&Check] = &[
    &program::CONFIGURATION,
    &program::DPDK_VERSION,
    &cpu::CIPHER,
    &cpu::TSC,
    &cpu::CLOCK_SOURCE,
    &memory::HUGE_PAGES,
    &memory::MEMORY,
    &memory::TRANSPARENT_HUGE_PAGES,
    &memory::MEMLOCK,
    &iommu::IOMMU,
    &iommu::VFIO,
    &links::NICS,
    &ports::PORT_DEVICE,
    &ports::PORT_DRIVER,
    &ports::PORT_GROUP,
    &ports::PORT_RIGHTS,
    &links::PORT_NUMA,
    &links::PORT_LINK,
    &links::PORT_ADDRESSES,
    &links::LOGIN,
    &cores::ISOLATION,
    &cores::GOVERNOR,
    &cores::SIBLINGS,
    &cores::IRQBALANCE,
    &cores::CGROUP,
    &files::CONTROL_SOCKET,
    &files::WG_SOCKETS,
    &files::KEY_FILE,
    &files::PEERS_FILE,
    &kernel::LISTEN_PORT,
    &kernel::KERNEL_WIREGUARD,
];

/// What the checks look at.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    system: &'a System,
    configuration: &'a Configuration,
    config: Option<&'a Config>,
    /// The configured ports; NICs as they are now.
    ports: Vec<(&'a Port, Place)>,
    logins: Vec<Login>,
    /// Whether a gateway of this configuration runs, and so has taken what it needs.
    gateway_runs: bool,
}

/// Where a port's device is.
#[derive(Debug)]
enum Place {
    /// A NIC that is there.
    Nic(Nic),
    /// A PCI address where nothing is.
    Nowhere,
    /// A virtual device: its name, and the kernel's interface that it stands on.
    Virtual { name: String, interface: Option<String> },
}

impl Place {
    /// The interface that the kernel has there, if it has one.
    fn interface(&self, system: &System) -> Option<&str> {
        match self {
            Self::Nic(nic) => nic.interfaces.first().map(String::as_str),
            Self::Virtual { interface, .. } => {
                interface.as_deref().filter(|name| system.exists(format!("/sys/class/net/{name}")))
            }
            Self::Nowhere => None,
        }
    }
}

impl<'a> Subject<'a> {
    pub(super) fn new(system: &'a System, configuration: &'a Configuration) -> Self {
        let config = configuration.config();
        let place = |port: &'a Port| match &port.device {
            Device::Pci(address) => Nic::read(system, address).map_or(Place::Nowhere, Place::Nic),
            Device::Vdev(text) => {
                let name = text.split(',').next().unwrap_or(text);
                Place::Virtual { name: name.into(), interface: nic::interface_of_vdev(text).map(str::to_owned) }
            }
        };
        let ports = config.into_iter().flat_map(|config| &config.ports).map(|port| (port, place(port)));
        let ports = ports.collect();
        let gateway_runs = config.is_some_and(|config| system.answers(&config.control.socket));
        Self { system, configuration, config, ports, logins: Login::all(system), gateway_runs }
    }

    /// The ports on NICs.
    fn nics(&self) -> impl Iterator<Item = (&'a Port, &Nic)> {
        self.ports.iter().filter_map(|(port, place)| match place {
            Place::Nic(nic) => Some((*port, nic)),
            Place::Nowhere | Place::Virtual { .. } => None,
        })
    }

    /// Whether a configured port is reached by vfio-pci, as all NICs but some are.
    fn wants_vfio(&self) -> bool {
        let wants = |place: &Place| match place {
            Place::Nic(nic) => !nic.stays_with_kernel(),
            Place::Nowhere => true,
            Place::Virtual { .. } => false,
        };
        self.ports.iter().any(|(_, place)| wants(place))
    }

    /// Whether there is a configuration and none of its ports is on PCI: then nothing of bare metal is wanted.
    fn is_all_virtual(&self) -> bool {
        self.config.is_some() && !self.ports.iter().any(|(_, place)| !matches!(place, Place::Virtual { .. }))
    }

    /// The cores that move packets, ascending.
    fn data_cores(&self) -> Vec<usize> {
        let lists = self.config.map(|config| config.cores.io.iter().chain(&config.cores.workers));
        let mut cores: Vec<usize> = lists.into_iter().flatten().copied().collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }

    /// Whether nothing here needs vfio-pci: all ports are virtual, or stay with the kernel's drivers.
    fn is_without_vfio(&self) -> bool {
        self.is_all_virtual() || (self.config.is_some() && !self.wants_vfio())
    }

    /// Whether packets will lie in huge pages, by the configuration and what is free.
    fn is_in_huge_pages(&self) -> bool {
        match self.config.map(|config| config.memory.huge_pages) {
            Some(HugePages::Required) => true,
            Some(HugePages::Auto) => {
                let free = self.system.nodes().into_iter().map(|node| free_huge_mib(self.system, node)).sum::<u64>();
                self.need_mib(true).is_some_and(|need| free >= need)
            }
            Some(HugePages::None) | None => false,
        }
    }

    /// The login that goes by this interface of the kernel's, or by what it is made of.
    fn login_by(&self, interface: &str) -> Option<&Login> {
        self.logins.iter().find(|login| login.is_by(interface))
    }

    /// MiB that the configuration needs, in huge pages or without.
    fn need_mib(&self, huge: bool) -> Option<u64> {
        Some((self.system.dpdk.as_ref()?.need_mib)(self.config?, huge))
    }
}

/// How a port is called in findings.
fn name_of(port: &Port) -> String {
    format!("port {}", port.name)
}

/// One finding for checks that need a configuration and have none.
fn without_configuration() -> Vec<Finding> {
    vec![Finding::not_applicable("there is no configuration to go by")]
}

/// The findings about ports, or one that says why there are none.
fn each_or(findings: impl Iterator<Item = Finding>, none: &str) -> Vec<Finding> {
    let findings: Vec<Finding> = findings.collect();
    if findings.is_empty() { vec![Finding::not_applicable(none)] } else { findings }
}
