//! Devices, addresses and routes.

use super::super::error::quoted;
use super::super::types::{Device, Route};
use super::{Fault, Leaf, text_of};
use ::config::{Value, ValueKind};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

impl Leaf for Device {
    fn due() -> String {
        "a PCI address or a vdev".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let due = &Self::due();
        let text = text_of(value, due)?;
        if is_pci(text) {
            return Ok(Self::Pci(text.to_ascii_lowercase()));
        }
        if is_pci(&format!("0000:{text}")) {
            return Err(Fault::is_not(value, "a PCI address in full").mend(format!("Write device = \"0000:{text}\"")));
        }
        let known = ["net_", "eth_", "virtio_user"];
        let plain = text.chars().all(|c| c.is_ascii_graphic());
        if plain && known.iter().any(|start| text.starts_with(start)) {
            return Ok(Self::Vdev(text.into()));
        }
        Err(Fault::is_not(value, due)
            .mend("Write a PCI address such as \"0000:3b:00.0\" or a vdev such as \"net_af_packet0,iface=eth1\""))
    }
}

/// `dddd:bb:dd.f`, hexadecimal; domains may have up to eight digits.
fn is_pci(text: &str) -> bool {
    let hex = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut parts = text.split([':', '.']);
    hex(parts.next(), 4..=8)
        && hex(parts.next(), 2..=2)
        && hex(parts.next(), 2..=2)
        && parts.next().is_some_and(|f| matches!(f.as_bytes(), [b'0'..=b'7']))
        && parts.next().is_none()
        && text.matches(':').count() == 2
        && text.rfind(':') < text.find('.')
}

/// One of our own addresses, with its subnet's length.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Address(pub(in super::super) IpNet);

impl Leaf for Address {
    fn due() -> String {
        "an address with its subnet's length".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let due = &Self::due();
        let text = text_of(value, due)?;
        let Ok(net) = text.parse::<IpNet>() else {
            let fault = Fault::is_not(value, due);
            return Err(match text.parse() {
                Ok(IpAddr::V4(ip)) => fault.mend(format!("Write \"{ip}/24\", or what its subnet is")),
                Ok(IpAddr::V6(ip)) => fault.mend(format!("Write \"{ip}/64\", or what its subnet is")),
                Err(_) => fault,
            });
        };
        let ip = net.addr();
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
            return Err(Fault::bad(format!("{ip} cannot be a port's address"))
                .mend("Give the address that this machine has there"));
        }
        let room = net.max_prefix_len() - net.prefix_len() > 1;
        if room && (ip == net.network() || (ip.is_ipv4() && ip == net.broadcast())) {
            return Err(Fault::bad(format!("{net} names a whole subnet, not an address in it"))
                .mend("Give the address that this machine has there"));
        }
        Ok(Self(net))
    }
}

impl Leaf for Route {
    fn due() -> String {
        "a route with to and via".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let ValueKind::Table(table) = &value.kind else {
            return Err(Fault::is_not(value, Self::due()));
        };
        if let Some(key) = table.keys().find(|key| !["to", "via"].contains(&key.as_str())) {
            return Err(Fault::bad(format!("{} is not a key of a route", quoted(key))));
        }
        let part = |key: &str| {
            let part = table.get(key);
            part.ok_or_else(|| Fault::bad(format!("a route without {key}")))
        };
        let (to, via) = (part("to")?, part("via")?);
        let Ok(net) = text_of(to, "a prefix")?.parse::<IpNet>() else {
            return Err(Fault::is_not(to, "a prefix"));
        };
        if net != net.trunc() {
            return Err(
                Fault::bad(format!("{net} has bits set behind its length")).mend(format!("Write \"{}\"", net.trunc()))
            );
        }
        let Ok(ip) = text_of(via, "a router's address")?.parse::<IpAddr>() else {
            return Err(Fault::is_not(via, "a router's address"));
        };
        if ip.is_ipv4() != net.addr().is_ipv4() {
            let what = format!("{net} and its router {ip} are not of the same family");
            return Err(Fault::bad(what).mend("Give both as IPv4 or both as IPv6"));
        }
        Ok(Self { to: net, via: ip })
    }
}

/// Where something listens, if anywhere.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Listen(pub(in super::super) Option<SocketAddr>);

impl Leaf for Listen {
    fn due() -> String {
        "an address and a port".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let due = &Self::due();
        match text_of(value, due)? {
            "" => Ok(Self(None)),
            text => text.parse().map(|at| Self(Some(at))).map_err(|_| Fault::is_not(value, due)),
        }
    }
}
