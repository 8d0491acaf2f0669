//! The devices that people name for `culvert setup`: that they are there, that nobody is logged in by them, and that the two
//! are two.

use super::SetupError;
use crate::doctor::nic::{Login, Nic, below, interface_of_vdev};
use crate::doctor::system::System;

/// A device that somebody named.
#[derive(Debug)]
pub(super) struct Named {
    /// As the configuration names it.
    pub(super) device: String,
    ground: Ground,
}

/// What it takes of the machine.
#[derive(Debug)]
enum Ground {
    Nic(Nic),
    /// An interface of the kernel's.
    Interface(String),
    /// A virtual device that stands on nothing.
    Nothing,
}

impl Named {
    /// Whether it is that NIC, or stands on it.
    pub(super) fn is_on(&self, system: &System, nic: &Nic) -> bool {
        match &self.ground {
            Ground::Nic(own) => own.address == nic.address,
            Ground::Interface(interface) => below(system, interface).iter().any(|name| nic.interfaces.contains(name)),
            Ground::Nothing => false,
        }
    }

    /// Whether one of them takes what the other stands on. Two VLANs of one NIC are two.
    fn is_also(&self, system: &System, other: &Self) -> bool {
        match (&self.ground, &other.ground) {
            (Ground::Nic(nic), _) => other.is_on(system, nic),
            (_, Ground::Nic(nic)) => self.is_on(system, nic),
            (Ground::Interface(one), Ground::Interface(other)) => one == other,
            (Ground::Nothing, _) | (_, Ground::Nothing) => false,
        }
    }
}

/// The devices of the outer and the inner port, as far as they are named.
///
/// # Errors
/// One is not to be had, or they are the same.
pub(super) fn both(
    system: &System,
    logins: &[Login],
    [outer, inner]: [Option<&str>; 2],
) -> Result<[Option<Named>; 2], SetupError> {
    let find = |named: Option<&str>, number| named.map(|named| find(system, logins, named, number)).transpose();
    let found = [find(outer, 0)?, find(inner, 1)?];
    if let [Some(outer), Some(other)] = &found
        && outer.is_also(system, other)
    {
        let why = "the outer port is on that NIC or interface already. Name another one".to_owned();
        return Err(SetupError::Device { device: inner.unwrap_or_default().into(), why });
    }
    Ok(found)
}

/// One device. `number` tells vdevs apart.
fn find(system: &System, logins: &[Login], named: &str, number: u8) -> Result<Named, SetupError> {
    let refuse = |why: String| Err(SetupError::Device { device: named.into(), why });
    let carries =
        |login: &Login| format!("it carries {}, and must not be a gateway's port. Name another one", login.what);
    if let Some(nic) = Nic::read(system, named) {
        if !nic.is_for_networks() {
            return refuse("it is no network device. `culvert doctor` lists the NICs".into());
        }
        return match logins.iter().find(|login| login.is_on(&nic)) {
            Some(login) => refuse(carries(login)),
            None => Ok(Named { device: nic.address.clone(), ground: Ground::Nic(nic) }),
        };
    }
    let is_vdev = named.contains(',') || ["net_", "eth_", "virtio_user"].iter().any(|start| named.starts_with(start));
    if !is_vdev && named.contains(':') {
        return refuse("there is no device at that PCI address. `culvert doctor` lists the NICs".into());
    }
    let device = if is_vdev { named.to_owned() } else { format!("net_af_packet{number},iface={named}") };
    let Some(interface) = interface_of_vdev(&device) else {
        return Ok(Named { device, ground: Ground::Nothing });
    };
    // A name, and no path that leads elsewhere.
    if interface.contains('/') || !system.exists(format!("/sys/class/net/{interface}")) {
        return refuse("the kernel has no such interface. `ip -brief link` lists them".into());
    }
    match logins.iter().find(|login| login.is_by(interface)) {
        Some(login) => refuse(carries(login)),
        None => Ok(Named { ground: Ground::Interface(interface.into()), device }),
    }
}
