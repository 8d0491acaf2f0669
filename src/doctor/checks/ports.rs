//! The devices of the configured ports.

use super::{Check, Finding, Mend, Nic, Place, Subject, each_or, name_of, nic, pmd};
use std::os::unix::fs::MetadataExt;

pub(super) static PORT_DEVICE: Check = Check {
    id: "port-device",
    looks_at: "whether each configured port's device is there, and which driver of the kernel's holds it",
    why: "DPDK takes a NIC that vfio-pci holds (Mellanox's stay with the kernel's driver), and passes others over in silence",
    run: port_device,
};

pub(super) static PORT_DRIVER: Check = Check {
    id: "port-driver",
    looks_at: "whether DPDK's driver for each configured port is installed",
    why: "DPDK loads its drivers when it starts; without one it passes the device over in silence",
    run: port_driver,
};

pub(super) static PORT_GROUP: Check = Check {
    id: "port-group",
    looks_at: "the other devices in each configured port's IOMMU group",
    why: "an IOMMU group goes to programs whole: vfio refuses it while the kernel drives one of its devices",
    run: port_group,
};

pub(super) static PORT_RIGHTS: Check = Check {
    id: "port-rights",
    looks_at: "who may open each configured port's /dev/vfio/GROUP",
    why: "culvertd runs as the user culvert where that user exists, and opens the NIC there",
    run: port_rights,
};

fn port_device(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |(port, place): &(&crate::config::Port, Place)| {
        let finding = match place {
            Place::Nowhere => Finding::fail("there is no device at that PCI address").mend(lists_nics()),
            Place::Nic(nic) if !nic.is_for_networks() => {
                Finding::fail(format!("{} is no network device", nic.shown())).mend(lists_nics())
            }
            Place::Nic(nic) => nic_driver(subject, nic),
            Place::Virtual { name, interface: None } => Finding::ok(format!("{name}, a virtual device")),
            Place::Virtual { interface: Some(interface), .. } => {
                match subject.system.exists(format!("/sys/class/net/{interface}")) {
                    true => Finding::ok(format!("the kernel's interface {interface} is there")),
                    false => Finding::fail(format!("the kernel has no interface {interface}"))
                        .mend(Mend::command("ip -brief link   (lists them)")),
                }
            }
        };
        finding.about(name_of(port))
    };
    each_or(subject.ports.iter().map(finding), "no port is configured")
}

fn lists_nics() -> Mend {
    Mend::command("dpdk-devbind.py --status-dev net   (lists the NICs with their addresses)")
}

fn nic_driver(subject: &Subject<'_>, nic: &Nic) -> Finding {
    let (shown, address) = (nic.shown(), &nic.address);
    let driver = nic.driver.as_deref().unwrap_or("no driver");
    let is_login = subject.logins.iter().any(|login| login.is_on(nic));
    let bind = |driver: &str| match is_login {
        true => Mend::advice("Name another NIC: this one carries the login session, and must never be bound"),
        false => Mend::command(format!("driverctl set-override {address} {driver}")),
    };
    match (nic.stays_with_kernel(), nic.is_given_to_programs()) {
        (true, false) if nic.driver.is_some() => Finding::ok(format!("{shown} is with {driver}, and stays there")),
        (true, _) => {
            let wanted = nic.kernel_driver();
            Finding::fail(format!("{shown} is with {driver}, but DPDK wants it with the kernel's {wanted}"))
                .mend(Mend::command(format!("driverctl unset-override {address}")))
        }
        (false, true) => Finding::ok(format!("{shown} is with {driver}")),
        (false, false) => {
            Finding::fail(format!("{shown} is with {driver}, where DPDK wants vfio-pci")).mend(bind("vfio-pci"))
        }
    }
}

fn port_driver(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(dpdk) = &subject.system.dpdk else {
        return vec![Finding::not_applicable("this culvert was built without DPDK")];
    };
    let folder = subject.system.at(&dpdk.drivers);
    let finding = |(port, place): &(&crate::config::Port, Place)| {
        let finding = match place {
            Place::Nowhere => return None,
            Place::Nic(nic) => match pmd::Driver::find(&folder, nic) {
                Some(driver) if driver.is_bifurcated() && nic.is_given_to_programs() => {
                    let held = nic.driver.as_deref().unwrap_or_default();
                    Finding::fail(format!("{} does not work with {held}, but with the kernel's driver", driver.name))
                        .mend(Mend::command(format!("driverctl unset-override {}", nic.address)))
                }
                Some(driver) => Finding::ok(driver.name),
                None => Finding::fail(format!("no installed driver is for {}", nic.shown()))
                    .mend(install(pmd::library_for(nic), &folder)),
            },
            Place::Virtual { name, .. } => {
                let library = pmd::library_of_vdev(name);
                match folder.join(&library).exists() {
                    true => Finding::ok(library),
                    false => {
                        Finding::fail(format!("{library} is not installed")).mend(install(Some(&library), &folder))
                    }
                }
            }
        };
        Some(finding.about(name_of(port)))
    };
    each_or(subject.ports.iter().filter_map(finding), "no configured port is there")
}

fn install(library: Option<&str>, folder: &std::path::Path) -> Mend {
    match library {
        Some(library) => Mend::command(format!("apt install {}", pmd::package_of(library, folder))),
        None => Mend::command("apt install librte-meta-net   (all of DPDK's drivers)"),
    }
}

fn port_group(subject: &Subject<'_>) -> Vec<Finding> {
    let finding = |(port, nic): (&crate::config::Port, &Nic)| {
        if nic.stays_with_kernel() {
            return None;
        }
        let finding = match &nic.group {
            None => Finding::not_applicable("it is in no IOMMU group"),
            Some(group) => group_of(subject, nic, group),
        };
        Some(finding.about(name_of(port)))
    };
    each_or(subject.nics().filter_map(finding), "no configured port is reached by vfio-pci")
}

fn group_of(subject: &Subject<'_>, nic: &Nic, group: &str) -> Finding {
    let system = subject.system;
    let members = system.names(format!("/sys/kernel/iommu_groups/{group}/devices"));
    let others = members.iter().filter(|member| **member != nic.address).filter_map(|member| Nic::read(system, member));
    // Bridges may stay (the kernel's pcieport does no transfers of its own), and what nobody drives.
    let held =
        others.filter(|other| other.class >> 8 != 0x06 && other.driver.is_some() && !other.is_given_to_programs());
    let held: Vec<Nic> = held.collect();
    if held.is_empty() {
        return Finding::ok(format!("group {group}, {} devices, none with another driver", members.len()));
    }
    let shown = |other: &Nic| format!("{} with {}", other.shown(), other.driver.as_deref().unwrap_or("none"));
    let list = held.iter().map(shown).collect::<Vec<_>>().join(", ");
    let mut finding = Finding::fail(format!("group {group} holds {list}"));
    for other in &held {
        let carries = subject.logins.iter().any(|login| login.is_on(other));
        finding = finding.mend(match carries {
            true => Mend::advice(format!("Move the NIC to another slot: {} carries the login session", other.address)),
            false => Mend::command(format!("driverctl set-override {} vfio-pci", other.address)),
        });
    }
    finding
}

fn port_rights(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    let groups = system.text("/etc/group").unwrap_or_default();
    let of_culvert =
        groups.lines().find_map(|line| line.strip_prefix("culvert:")?.split(':').nth(1)?.parse::<u32>().ok());
    let Some(of_culvert) = of_culvert else {
        return vec![Finding::not_applicable("there is no group culvert: culvertd runs as root here")];
    };
    let finding = |(port, nic): (&crate::config::Port, &Nic)| {
        let group = nic.group.as_ref().filter(|_| nic.driver.as_deref() == Some("vfio-pci"))?;
        let path = match nic::is_without_iommu(system, group) {
            true => format!("/dev/vfio/noiommu-{group}"),
            false => format!("/dev/vfio/{group}"),
        };
        let finding = match system.metadata(&path) {
            Ok(metadata) if metadata.gid() == of_culvert && metadata.mode() & 0o060 == 0o060 => {
                Finding::ok(format!("the group culvert may use {path}"))
            }
            Ok(metadata) => {
                Finding::warning(format!("the group culvert may not use {path} (mode {:04o})", metadata.mode() & 0o777))
                    .mend(Mend::command(format!("chgrp culvert {path} && chmod 660 {path}")))
                    .mend(Mend::line(
                        "/etc/udev/rules.d/60-culvert.rules",
                        "SUBSYSTEM==\"vfio\", OWNER=\"root\", GROUP=\"culvert\", MODE=\"0660\"",
                    ))
            }
            Err(_) => Finding::fail(format!("{path} is not there")).mend(Mend::command("modprobe vfio-pci")),
        };
        Some(finding.about(name_of(port)))
    };
    each_or(subject.nics().filter_map(finding), "vfio-pci holds no configured port")
}
