//! The ports of the gateway and where they lead.

use crate::harness::{HOST_MAC, LAN, LAN_MAC, ROUTER_MAC, WAN, WAN_MAC};
use crate::packets;
use culvert::queue::Domain;
use culvert::queue::sync::Arc;
use culvert::route::{Adjacencies, Fib, FibWriter};
use culvert::shared::{Port, Roles, Routes};

/// Those of the gateway before the inner network `net`.
pub(crate) fn ports(net: u8, vlans: [u16; 2]) -> Vec<Port> {
    let port = |id, name: &str, mac, outer, addresses: &[&str]| Port {
        id,
        name: name.to_owned(),
        roles: Roles { outer, inner: !outer },
        mac,
        mtu: 1500,
        vlan: vlans[usize::from(id)],
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
    };
    vec![
        port(WAN, "wan", WAN_MAC, true, &["192.0.2.1/24", "192.0.2.2/24", "2001:db8:1::1/64"]),
        port(LAN, "lan", LAN_MAC, false, &[&format!("10.0.{net}.1/24"), &format!("fd00:{net}::1/64")]),
    ]
}

fn routes(domain: &Arc<Domain>, port: &Port) -> (FibWriter, Routes) {
    let (adjacencies, writer) = Adjacencies::new(2, 64);
    let (fib, mut writer) = Fib::new(domain, 64, 64, writer);
    writer.add_port(port.id, port.mac.0, &port.addresses).unwrap();
    (writer, Routes { fib, adjacencies })
}

pub(crate) fn outer_routes(domain: &Arc<Domain>, port: &Port, resolved: bool) -> (FibWriter, Routes) {
    let (mut writer, routes) = routes(domain, port);
    for (to, via) in [("0.0.0.0/0", "192.0.2.254"), ("::/0", "2001:db8:1::fe")] {
        let via = packets::addr(via);
        writer.add_route(WAN, to.parse().unwrap(), via).unwrap();
        if resolved {
            writer.neighbour_resolved(WAN, via, ROUTER_MAC.0);
        }
    }
    (writer, routes)
}

/// The host of the inner network `net` is there.
pub(crate) fn inner_routes(domain: &Arc<Domain>, port: &Port, net: u8, resolved: bool) -> (FibWriter, Routes) {
    let (mut writer, routes) = routes(domain, port);
    for host in [format!("10.0.{net}.9"), format!("fd00:{net}::9")].iter().filter(|_| resolved) {
        writer.neighbour_resolved(LAN, packets::addr(host), HOST_MAC.0);
    }
    (writer, routes)
}
