//! The NICs on the PCI bus, the kernel's interfaces on them, and which of these carries the login session.

use super::system::System;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DEVICES: &str = "/sys/bus/pci/devices";
const INTERFACES: &str = "/sys/class/net";
/// Mellanox and NVIDIA, whose DPDK drivers work through the kernel's.
const MELLANOX: u16 = 0x15b3;

/// A device on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nic {
    /// `0000:3b:00.0`
    pub(super) address: String,
    pub(super) vendor: u16,
    pub(super) device: u16,
    /// Class and subclass: 0x0200 is Ethernet.
    pub(super) class: u16,
    /// The driver that holds it.
    pub(super) driver: Option<String>,
    pub(super) group: Option<String>,
    /// The NUMA node; `None` where the firmware names none.
    pub(super) node: Option<usize>,
    /// The kernel's interfaces on it.
    pub(super) interfaces: Vec<String>,
}

impl Nic {
    /// One device, if it is there.
    pub(super) fn read(system: &System, address: &str) -> Option<Self> {
        let at = |file: &str| format!("{DEVICES}/{address}/{file}");
        let hex = |file: &str| u32::from_str_radix(system.text(at(file))?.strip_prefix("0x")?, 16).ok();
        let short = |value: u32| u16::try_from(value).ok();
        let on_it = |interface: &String| {
            let real = system.real(format!("{INTERFACES}/{interface}"));
            real.is_some_and(|real| real.components().any(|part| part.as_os_str() == address))
        };
        Some(Self {
            address: address.into(),
            vendor: short(hex("vendor")?)?,
            device: short(hex("device")?)?,
            class: short(hex("class")? >> 8)?,
            driver: system.link(at("driver")),
            group: system.link(at("iommu_group")),
            node: system.number(at("numa_node")),
            interfaces: system.names(INTERFACES).into_iter().filter(on_it).collect(),
        })
    }

    /// All network devices.
    pub(super) fn all(system: &System) -> Vec<Self> {
        let devices = system.names(DEVICES);
        let devices = devices.iter().filter_map(|address| Self::read(system, address));
        devices.filter(Self::is_for_networks).collect()
    }

    /// Whether it is a network device at all.
    pub(super) fn is_for_networks(&self) -> bool {
        self.class >> 8 == 0x02
    }

    /// How people find it: `0000:3b:00.0 (8086:1572, eth1)`.
    pub(super) fn shown(&self) -> String {
        let Self { address, vendor, device, interfaces, .. } = self;
        let interfaces: String = interfaces.iter().map(|name| format!(", {name}")).collect();
        format!("{address} ({vendor:04x}:{device:04x}{interfaces})")
    }

    /// Whether it stays with the kernel's driver while DPDK uses it.
    pub(super) fn stays_with_kernel(&self) -> bool {
        self.vendor == MELLANOX
    }

    /// The kernel's driver that DPDK's works through, of a NIC that stays with it.
    pub(super) fn kernel_driver(&self) -> &'static str {
        // ConnectX-3 and before; ConnectX-4, the first of mlx5, is 0x1013.
        if self.device < 0x1013 { "mlx4_core" } else { "mlx5_core" }
    }

    /// Whether a driver holds it by which programs reach it.
    pub(super) fn is_given_to_programs(&self) -> bool {
        matches!(self.driver.as_deref(), Some("vfio-pci" | "igb_uio" | "uio_pci_generic"))
    }
}

/// An interface of the kernel that people hang on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// What the route goes by.
    pub(super) interface: String,
    /// What is below it, itself included: of a bridge, bond or VLAN the NICs.
    pub(super) below: Vec<String>,
    /// `the SSH session from 198.51.100.7`, `the default route`
    pub(super) what: String,
}

impl Login {
    /// The interface of the SSH session and those of the default routes.
    pub(super) fn all(system: &System) -> Vec<Self> {
        let routes = Route::all(system);
        let mut all: Vec<Self> = Vec::new();
        let mut add = |route: Option<&Route>, what: String| {
            if let Some(Route { interface, .. }) = route
                && !all.iter().any(|login| login.interface == *interface)
            {
                all.push(Self { interface: interface.clone(), below: below(system, interface), what });
            }
        };
        let client = system.ssh_connection();
        let client = client.as_deref().and_then(|value| value.split(['%', ' ']).next()?.parse().ok());
        if let Some(client) = client {
            let matching = routes.iter().filter(|route| route.leads_to(client));
            add(matching.max_by_key(|route| route.len), format!("the SSH session from {client}"));
        }
        for route in routes.iter().filter(|route| route.len == 0) {
            add(Some(route), "the default route".into());
        }
        all
    }

    /// Whether it goes by this interface of the kernel's.
    pub(super) fn is_by(&self, interface: &str) -> bool {
        self.below.iter().any(|below| below == interface)
    }

    /// Whether it hangs on this NIC.
    pub(super) fn is_on(&self, nic: &Nic) -> bool {
        self.below.iter().any(|interface| nic.interfaces.contains(interface))
    }
}

/// The kernel's interface that a virtual device stands on: `net_af_packet0,iface=eth1`.
pub(super) fn interface_of_vdev(text: &str) -> Option<&str> {
    text.split(',').skip(1).find_map(|argument| argument.strip_prefix("iface="))
}

/// Whether vfio made up this IOMMU group, because there is no IOMMU (`enable_unsafe_noiommu_mode`).
pub(super) fn is_without_iommu(system: &System, group: &str) -> bool {
    system.text(format!("/sys/kernel/iommu_groups/{group}/name")).as_deref() == Some("vfio-noiommu")
}

/// An interface and all that it is made of.
pub(super) fn below(system: &System, interface: &str) -> Vec<String> {
    let mut found = vec![interface.to_owned()];
    let mut next = 0;
    while let Some(upper) = found.get(next).cloned() {
        let lower = system.names(format!("{INTERFACES}/{upper}"));
        for name in lower.iter().filter_map(|name| name.strip_prefix("lower_")) {
            if !found.iter().any(|known| known == name) {
                found.push(name.into());
            }
        }
        next += 1;
    }
    found
}

/// A route of the kernel's.
#[derive(Clone, Debug)]
pub(super) struct Route {
    to: IpAddr,
    len: u8,
    pub(super) interface: String,
}

impl Route {
    pub(super) fn all(system: &System) -> Vec<Self> {
        let lines = |file: &str, parse: fn(&str) -> Option<Self>| -> Vec<Self> {
            system.text(file).unwrap_or_default().lines().filter_map(parse).collect()
        };
        let mut routes = lines("/proc/net/route", Self::v4);
        routes.extend(lines("/proc/net/ipv6_route", Self::v6));
        routes.retain(|route| route.interface != "lo");
        routes
    }

    /// `eth0 00000000 010200C0 0003 0 0 0 00000000 …`: words of memory as numbers.
    fn v4(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let word = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
        let mask = word(7)?;
        Some(Self {
            to: Ipv4Addr::from(word(1)?.to_ne_bytes()).into(),
            len: u8::try_from(mask.count_ones()).ok()?,
            interface: (*fields.first()?).into(),
        })
    }

    /// `20010db8… 40 … eth0`: address, length, and the interface last.
    fn v6(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some(Self {
            to: Ipv6Addr::from(u128::from_str_radix(fields.first()?, 16).ok()?).into(),
            len: u8::from_str_radix(fields.get(1)?, 16).ok()?,
            interface: (*fields.get(9)?).into(),
        })
    }

    fn leads_to(&self, address: IpAddr) -> bool {
        ipnet::IpNet::new(self.to, self.len).is_ok_and(|net| net.contains(&address))
    }
}

/// Whether the kernel has addresses of its own on an interface, IPv6's link-local ones aside.
pub(super) fn kernel_has_addresses(system: &System, interface: &str) -> bool {
    let v6 = system.text("/proc/net/if_inet6").unwrap_or_default();
    // `20010db8… 02 40 00 80 eth0`: address, index, length, scope (20: link), flags, name.
    let v6 = v6
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|fields| fields.get(5) == Some(&interface) && fields.get(3) != Some(&"20"));
    let v4 = |route: &Route| route.interface == interface && route.to.is_ipv4();
    v6 || Route::all(system).iter().any(v4)
}
