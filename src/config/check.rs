//! What only shows between sections, and against the machine.

use super::error::{ConfigError, Place, Warning};
use super::types::{Config, Device, Idle, Interface, MOST_INTERFACES, MOST_PEERS, Machine, Port, Role, list_of};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// What WireGuard adds to an inner packet at most: IPv6, UDP, message header, tag.
const OVERHEAD: u16 = 40 + 8 + 16 + 16;
/// The least MTU of IPv6 (RFC 8200, section 5).
const IPV6_MTU: u16 = 1_280;
/// The bytes of a Unix socket's name.
const SOCKET_NAME: usize = 107;

type Checked = Result<(), ConfigError>;

impl Config {
    /// Holds the configuration against the machine and its sections against each other. `machine` is what
    /// [`Machine::read`] said before `rte_eal_init`.
    ///
    /// # Errors
    /// The first thing that this version does not start with.
    pub fn check(&self, machine: &Machine) -> Result<Vec<Warning>, ConfigError> {
        let mut warnings = Vec::new();
        self.check_cores(machine)?;
        self.check_roles()?;
        self.check_names()?;
        for (index, port) in self.ports.iter().enumerate() {
            let earlier = self.ports.get(..index).unwrap_or_default();
            self.check_port(port)?;
            for other in earlier {
                self.check_pair(port, other)?;
            }
        }
        self.check_interfaces()?;
        for interface in &self.interfaces {
            self.check_socket(interface)?;
            self.warn_of_mtu(interface, &mut warnings);
        }
        self.warn_of_shared_cores(&mut warnings);
        Ok(warnings)
    }

    fn refuse(&self, path: &str, subject: &str, what: String, mend: &str) -> ConfigError {
        ConfigError::new(self.places.of(path), subject, what, mend)
    }

    fn check_cores(&self, machine: &Machine) -> Checked {
        let cores = &self.cores;
        let control = [cores.control];
        for (key, list) in [
            ("control", control.as_slice()),
            ("io", &cores.io),
            ("workers", &cores.workers),
            ("handshake", &cores.handshake),
        ] {
            let absent = |core: &&usize| !machine.cores.contains(core);
            let Some(first) = list.iter().position(|core| absent(&core)) else {
                continue;
            };
            let missing: Vec<usize> = list.iter().filter(absent).copied().collect();
            let what = format!(
                "{} {} not exist; this machine has {}",
                numbered(&missing),
                if missing.len() == 1 { "does" } else { "do" },
                match machine.cores.as_slice() {
                    [one] => format!("only core {one}"),
                    cores => numbered(cores),
                }
            );
            let mend = match machine.cores.as_slice() {
                [one] => format!("Name core {one}"),
                _ => "Name cores out of those".into(),
            };
            let subject = format!("[cores] {key}");
            return Err(self.refuse(&format!("cores.{key}[{first}]"), &subject, what, &mend));
        }
        Ok(())
    }

    fn check_roles(&self) -> Checked {
        let whole = |what: &str, mend: &str| Err(self.refuse("", "", what.into(), mend));
        if self.ports.is_empty() {
            return whole("there is no [[port]]", "Add one with name, device and role");
        }
        if self.interfaces.is_empty() {
            return whole("there is no [[interface]]", "Add one with name and private_key_file");
        }
        if !self.ports.iter().any(|port| port.role.is_outer()) {
            return whole(
                "no [[port]] has the role outer",
                "Write role = \"outer\" at the port that tunnels come in by, or \"both\"",
            );
        }
        if !self.ports.iter().any(|port| port.role.is_inner()) {
            return whole(
                "no [[port]] has the role inner",
                "Write role = \"inner\" at the port of the plain packets, or \"both\"",
            );
        }
        Ok(())
    }

    /// Ports and interfaces are called by their names in the same commands.
    fn check_names(&self) -> Checked {
        for interface in &self.interfaces {
            let name = &interface.name;
            if self.ports.iter().any(|port| port.name == *name) {
                return Err(self.refuse(
                    &format!("interface.{name}.name"),
                    "[[interface]] name",
                    format!("{name} is a port's name already"),
                    "Rename one of them",
                ));
            }
        }
        Ok(())
    }

    fn check_port(&self, port: &Port) -> Checked {
        let name = &port.name;
        let path = format!("port.{name}");
        let subject = |key: &str| format!("[[port]] {name} {key}");
        if name == "all" || name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.refuse(
                &format!("{path}.name"),
                "[[port]] name",
                format!("commands take {name} for {}", if name == "all" { "all ports" } else { "a port's number" }),
                "Give the port a name of letters, as wan",
            ));
        }
        if port.addresses.is_empty() && port.role != Role::Inner {
            return Err(self.refuse(
                &path,
                &format!("[[port]] {name}"),
                "a port for tunnels needs an address".into(),
                "Add a line such as addresses = [\"203.0.113.10/24\"]",
            ));
        }
        for (index, address) in port.addresses.iter().enumerate() {
            let mut earlier = port.addresses.iter().take(index);
            if earlier.any(|earlier| earlier.addr() == address.addr()) {
                return Err(self.refuse(
                    &format!("{path}.addresses[{index}]"),
                    &subject("addresses"),
                    format!("{} stands in the list twice", address.addr()),
                    "Name it once",
                ));
            }
        }
        let is_ipv6 = |address: &IpNet| address.addr().is_ipv6();
        if port.mtu < IPV6_MTU && port.addresses.iter().any(is_ipv6) {
            return Err(self.refuse(
                &format!("{path}.mtu"),
                &subject("mtu"),
                format!("{} is too small for IPv6, which the port has an address of", port.mtu),
                "Write at least mtu = 1280, or take its IPv6 addresses out",
            ));
        }
        for (index, route) in port.routes.iter().enumerate() {
            let what = if port.addresses.iter().any(|own| own.addr() == route.via) {
                format!("{} is this port's own address", route.via)
            } else if !on_link(port, route.via) {
                format!("the router {} is in no subnet of this port", route.via)
            } else if port.routes.iter().take(index).any(|earlier| earlier.to == route.to) {
                format!("{} has a route already", route.to)
            } else {
                continue;
            };
            let mend = match what.ends_with("already") {
                true => "Keep one of the two",
                false => "Name a router that the port reaches directly",
            };
            let path = format!("{path}.routes[{index}]");
            return Err(self.refuse(&path, &subject("routes"), what, mend));
        }
        Ok(())
    }

    fn check_pair(&self, port: &Port, other: &Port) -> Checked {
        let name = &port.name;
        if device_of(port) == device_of(other) {
            return Err(self.refuse(
                &format!("port.{name}.device"),
                &format!("[[port]] {name} device"),
                format!("{} is port {}'s already", device_of(port), other.name),
                "Give each port a device of its own",
            ));
        }
        for (index, address) in port.addresses.iter().enumerate() {
            let refuse = |what: String, mend: &str| {
                let path = format!("port.{name}.addresses[{index}]");
                Err(self.refuse(&path, &format!("[[port]] {name} addresses"), what, mend))
            };
            for taken in &other.addresses {
                if taken.addr() == address.addr() {
                    let what = format!("{} is port {}'s already", address.addr(), other.name);
                    return refuse(what, "Give each port addresses of its own");
                }
                if taken.trunc() == address.trunc() && !is_link_local(address.addr()) {
                    let what = format!("the subnet {} is on port {} already", address.trunc(), other.name);
                    return refuse(what, "Give each port subnets of its own");
                }
            }
        }
        for (index, route) in port.routes.iter().enumerate() {
            if other.routes.iter().any(|taken| taken.to == route.to) {
                return Err(self.refuse(
                    &format!("port.{name}.routes[{index}]"),
                    &format!("[[port]] {name} routes"),
                    format!("{} has a route over port {} already", route.to, other.name),
                    "Keep one of the two",
                ));
            }
        }
        Ok(())
    }

    /// What interfaces share: the UDP ports, and the memory for peers.
    fn check_interfaces(&self) -> Checked {
        if let Some(beyond) = self.interfaces.get(MOST_INTERFACES) {
            return Err(self.refuse(
                &format!("interface.{}", beyond.name),
                &format!("[[interface]] {}", beyond.name),
                format!("{} interfaces, but {MOST_INTERFACES} are the most", self.interfaces.len()),
                "Leave some out",
            ));
        }
        let (mut peers, mut holders) = (0, HashMap::new());
        for interface in &self.interfaces {
            let name = &interface.name;
            for (index, port) in interface.listen_ports.iter().enumerate() {
                if let Some(holder) = holders.insert(*port, name) {
                    return Err(self.refuse(
                        &format!("interface.{name}.listen_ports[{index}]"),
                        &format!("[[interface]] {name} listen_ports"),
                        format!("{port} is interface {holder}'s already"),
                        "Give each interface ports of its own",
                    ));
                }
            }
            peers += u64::from(interface.max_peers);
            if peers > u64::from(MOST_PEERS) {
                return Err(self.refuse(
                    &format!("interface.{name}.max_peers"),
                    &format!("[[interface]] {name} max_peers"),
                    format!(
                        "{peers} peers with the interfaces before it, but {MOST_PEERS} are the most of all together"
                    ),
                    "Lower one of them",
                ));
            }
        }
        Ok(())
    }

    fn check_socket(&self, interface: &Interface) -> Checked {
        let socket = self.control.uapi_dir.join(format!("{}.sock", interface.name));
        if socket.as_os_str().len() > SOCKET_NAME {
            return Err(self.refuse(
                "control.uapi_dir",
                "[control] uapi_dir",
                format!("{} is too long for a socket's name", socket.display()),
                "Take a shorter folder",
            ));
        }
        if socket == self.control.socket {
            return Err(self.refuse(
                "control.socket",
                "[control] socket",
                format!("{} is the wg socket of {}", socket.display(), interface.name),
                "Take another path",
            ));
        }
        Ok(())
    }

    fn warn_of_mtu(&self, interface: &Interface, warnings: &mut Vec<Warning>) {
        let name = &interface.name;
        let path = format!("interface.{name}.mtu");
        let subject = format!("[[interface]] {name} mtu");
        let mut warn = |what: String, mend: String| {
            let place: Place = self.places.of(&path);
            warnings.push(Warning::new(place, subject.clone(), what, mend));
        };
        let outer = self.ports.iter().filter(|port| port.role.is_outer());
        let tight = outer.min_by_key(|port| port.mtu);
        if let Some(port) = tight.filter(|port| interface.mtu.saturating_add(OVERHEAD) > port.mtu) {
            warn(
                format!(
                    "packets of {} bytes and WireGuard's {OVERHEAD} do not fit the {} of port {}",
                    interface.mtu, port.mtu, port.name
                ),
                match port.mtu.checked_sub(OVERHEAD).filter(|mtu| *mtu >= 68) {
                    Some(mtu) => format!("Write mtu = {mtu}, or raise the port's"),
                    None => "Raise the port's MTU".into(),
                },
            );
        }
        if interface.mtu < IPV6_MTU {
            warn(
                format!("{} is too small for IPv6 inside the tunnel", interface.mtu),
                "Write at least mtu = 1280 if IPv6 is to pass".into(),
            );
        }
    }

    /// Data cores that never sleep leave nothing to the threads beside them.
    fn warn_of_shared_cores(&self, warnings: &mut Vec<Warning>) {
        let cores = &self.cores;
        if cores.idle != Idle::Busy {
            return;
        }
        let data = |core: &usize| cores.io.contains(core) || cores.workers.contains(core);
        for (key, core) in std::iter::once(("control", cores.control))
            .chain(cores.handshake.iter().map(|core| ("handshake", *core)))
            .filter(|(_, core)| data(core))
        {
            warnings.push(Warning::new(
                self.places.of(&format!("cores.{key}")),
                format!("[cores] {key}"),
                format!("core {core} polls packets without a pause (idle = \"busy\") as well"),
                "Name another core, or write idle = \"adaptive\"",
            ));
        }
    }
}

/// `core 7`, `cores 0-3,6`.
fn numbered(cores: &[usize]) -> String {
    format!("{} {}", if cores.len() == 1 { "core" } else { "cores" }, list_of(cores))
}

/// What two ports cannot share: the PCI address, or the vdev without its arguments. A vdev without a number is given one
/// when it is opened, so there only the same arguments make it the same.
fn device_of(port: &Port) -> &str {
    match &port.device {
        Device::Pci(address) => address,
        Device::Vdev(text) => {
            let name = text.split(',').next().unwrap_or(text);
            if name.ends_with(|last: char| last.is_ascii_digit()) { name } else { text }
        }
    }
}

fn on_link(port: &Port, ip: IpAddr) -> bool {
    is_link_local(ip) || port.addresses.iter().any(|own| own.contains(&ip))
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
