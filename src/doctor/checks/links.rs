//! Where the configured ports stand: nodes, links, the kernel's addresses; and the NIC that people log in by.

use super::{Check, Finding, Login, Mend, Nic, Place, Subject, each_or, name_of, nic};
use crate::config::list_of;

pub(super) static NICS: Check = Check {
    id: "nics",
    looks_at: "the NICs of this machine, and whether one is left for a gateway",
    why: "on bare metal each port is a NIC of its own, beside the one that people log in by",
    run: nics,
};

pub(super) static PORT_NUMA: Check = Check {
    id: "port-numa",
    looks_at: "the NUMA node of each configured port, against those of the data cores and of packet memory",
    why: "a packet that crosses nodes costs the link between them on every touch",
    run: port_numa,
};

pub(super) static PORT_LINK: Check = Check {
    id: "port-link",
    looks_at: "whether each configured port has a link, as far as the kernel sees it",
    why: "without a link nothing comes or goes, whatever else is well",
    run: port_link,
};

pub(super) static PORT_ADDRESSES: Check = Check {
    id: "port-addresses",
    looks_at: "whether the kernel has addresses of its own on the interfaces that configured ports stand on",
    why: "then the kernel answers on them as well as culvert: ARP, resets of connections, \"port unreachable\"",
    run: port_addresses,
};

pub(super) static LOGIN: Check = Check {
    id: "login",
    looks_at: "which NIC carries the login session and the default route, and that no configured port is on it",
    why: "a NIC that is given to vfio-pci leaves the kernel: the session would end, and nobody could take it back",
    run: login,
};

fn nics(subject: &Subject<'_>) -> Vec<Finding> {
    let nics = Nic::all(subject.system);
    let is_login = |nic: &Nic| subject.logins.iter().any(|login| login.is_on(nic));
    let describe = |nic: &Nic| {
        let driver = nic.driver.as_deref().unwrap_or("no driver");
        let what = if is_login(nic) { ", carries the login session" } else { "" };
        Finding::ok(format!("{} with {driver}{what}", nic.shown())).about(&nic.address)
    };
    let mut findings: Vec<Finding> = nics.iter().map(describe).collect();
    if nics.iter().all(is_login) && !subject.is_all_virtual() {
        let mend = "Put NICs in that DPDK has drivers for (or, to try things out, use net_af_packet on interfaces of the kernel's)";
        findings.push(Finding::warning("there is no NIC for a gateway").mend(Mend::advice(mend)));
    } else if nics.is_empty() {
        findings.push(Finding::not_applicable("there is none, and no configured port wants one"));
    }
    findings
}

fn port_numa(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    if system.nodes().len() < 2 {
        return vec![Finding::not_applicable("this machine has one node")];
    }
    let finding = |(port, nic): (&crate::config::Port, &Nic)| {
        let Some(node) = nic.node else {
            return Finding::not_applicable("the firmware does not say which node it is on").about(name_of(port));
        };
        let cores = subject.data_cores();
        let far: Vec<usize> = cores.into_iter().filter(|core| system.node_of_core(*core) != node).collect();
        let memory = subject.config.map_or(node, |config| system.node_of_core(config.cores.control));
        let mut faults = Vec::new();
        if !far.is_empty() {
            faults.push(format!("data cores {} are on others", list_of(&far)));
        }
        if memory != node {
            faults.push(format!("packet memory is on node {memory}, that of [cores] control"));
        }
        let finding = match faults.is_empty() {
            true => Finding::ok(format!("node {node}, as its cores and packet memory")),
            false => {
                let near = system.text(format!("/sys/devices/system/node/node{node}/cpulist")).unwrap_or_default();
                Finding::warning(format!("it is on node {node}; {}", faults.join("; "))).mend(Mend::advice(format!(
                    "Name cores of node {node} in [cores]: {near}; or put the NIC into a slot of the other node"
                )))
            }
        };
        finding.about(name_of(port))
    };
    each_or(subject.nics().map(finding), "no configured port is a NIC's")
}

fn port_link(subject: &Subject<'_>) -> Vec<Finding> {
    let link = |interface: &str| {
        // Of an interface that is down there is no carrier to be read.
        match subject.system.text(format!("/sys/class/net/{interface}/carrier")).as_deref() {
            Some("1") => Finding::ok(format!("{interface} has a link")),
            Some(_) => Finding::warning(format!("{interface} is up, and has no link"))
                .mend(Mend::advice("Plug its cable in, or switch its other end on")),
            None => Finding::warning(format!("{interface} is down"))
                .mend(Mend::command(format!("ip link set {interface} up"))),
        }
    };
    let finding = |(port, place): &(&crate::config::Port, Place)| {
        let interface = place.interface(subject.system)?;
        Some(link(interface).about(name_of(port)))
    };
    each_or(subject.ports.iter().filter_map(finding), "the kernel sees no configured port's link")
}

fn port_addresses(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |(port, place): &(&crate::config::Port, Place)| {
        let interface = place.interface(subject.system)?;
        let finding = match nic::kernel_has_addresses(subject.system, interface) {
            false => Finding::ok(format!("the kernel has none on {interface}")),
            true => {
                let login = subject.login_by(interface);
                Finding::warning(format!("the kernel has addresses on {interface}")).mend(match login.is_some() {
                    true => Mend::advice(format!("Name another device: {interface} carries the login session")),
                    false => Mend::command(format!("ip address flush dev {interface}")),
                })
            }
        };
        Some(finding.about(name_of(port)))
    };
    each_or(subject.ports.iter().filter_map(finding), "the kernel sees no configured port")
}

fn login(subject: &Subject<'_>) -> Vec<Finding> {
    let nics = Nic::all(subject.system);
    let finding = |login: &Login| {
        let Login { interface, what, .. } = login;
        let nic = nics.iter().find(|nic| login.is_on(nic)).map(|nic| format!(" ({})", nic.address)).unwrap_or_default();
        let on = |place: &Place| match place {
            Place::Nic(nic) => login.is_on(nic),
            Place::Virtual { interface, .. } => interface.as_deref().is_some_and(|interface| login.is_by(interface)),
            Place::Nowhere => false,
        };
        let finding = match subject.ports.iter().find(|(_, place)| on(place)) {
            Some((port, Place::Nic(nic))) => {
                Finding::fail(format!("{what} is by {interface}, the NIC of port {}", port.name)).mend(Mend::advice(
                    format!("Take another NIC than {}; or log in by another way, and remove that route", nic.address),
                ))
            }
            // The kernel keeps it, so the session lives; but it answers there beside culvert.
            Some((port, _)) => {
                Finding::warning(format!("{what} is by {interface}, on which port {} stands", port.name)).mend(
                    Mend::advice(format!("Name another interface than {interface}; its packets are people's as well")),
                )
            }
            None => {
                Finding::ok(format!("{what} is by {interface}{nic}, no configured port's: never bind it to vfio-pci"))
            }
        };
        finding.about(interface)
    };
    each_or(subject.logins.iter().map(finding), "there is no SSH session and no default route")
}
