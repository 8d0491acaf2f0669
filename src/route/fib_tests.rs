use super::{Fib, FibWriter, NextHop, RouteError};
use crate::queue::{Domain, Reader};
use crate::route::{Adjacencies, NoHeader};
use ipnet::IpNet;
use std::net::IpAddr;

const WAN: u16 = 0;
const LAN: u16 = 1;
const WAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

struct Lab {
    fib: Fib,
    writer: FibWriter,
    reader: Reader,
}

/// A WAN port with a gateway, and a LAN port.
fn lab() -> Lab {
    let domain = Domain::new(1);
    let (_, adjacencies) = Adjacencies::new(2, 4);
    let (fib, mut writer) = Fib::new(&domain, 16, 16, adjacencies);
    let wan = ["203.0.113.10/24", "2001:db8::10/64"].map(net);
    let lan = ["10.0.0.1/16", "2001:db8:1::1/64"].map(net);
    writer.add_port(WAN, WAN_MAC, &wan).unwrap();
    writer.add_port(LAN, LAN_MAC, &lan).unwrap();
    writer.add_route(WAN, net("0.0.0.0/0"), ip("203.0.113.1")).unwrap();
    writer.add_route(WAN, net("::/0"), ip("fe80::1")).unwrap();
    let reader = domain.register().unwrap();
    Lab { fib, writer, reader }
}

impl Lab {
    fn hop(&self, addr: &str) -> Option<NextHop> {
        let hop = self.fib.lookup(&self.reader, ip(addr));
        assert_eq!(self.writer.lookup(ip(addr)), hop);
        hop
    }

    /// The destination MAC address and port of packets to `addr`.
    fn header(&self, addr: &str) -> Result<([u8; 6], u16), NoHeader> {
        let Some(NextHop::Adjacency(index)) = self.hop(addr) else {
            panic!("no adjacency leads to {addr}");
        };
        let (macs, port) = self.writer.adjacencies().header(index)?;
        assert_eq!(macs[6..], if port == WAN { WAN_MAC } else { LAN_MAC });
        Ok((*macs.first_chunk().unwrap(), port))
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn ports_bring_their_addresses_and_subnets() {
    let lab = lab();
    let local = |port, address_index| Some(NextHop::Local { port, address_index });
    assert_eq!(lab.hop("203.0.113.10"), local(WAN, 0));
    assert_eq!(lab.hop("2001:db8:1::1"), local(LAN, 1));
    assert_eq!(lab.hop("10.0.200.1"), Some(NextHop::OnLink { port: LAN }));
    assert_eq!(lab.hop("2001:db8::99"), Some(NextHop::OnLink { port: WAN }));
    let never = [
        "10.0.0.0",
        "10.0.255.255",
        "255.255.255.255",
        "224.0.0.1",
        "239.9.9.9",
        "127.0.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::1",
        "ff02::1",
        "fe80::1",
    ];
    for addr in never {
        assert_eq!(lab.hop(addr), Some(NextHop::Unreachable), "{addr}");
    }
}

#[test]
fn a_point_to_point_subnet_has_no_broadcast_address() {
    let domain = Domain::new(1);
    let (_, adjacencies) = Adjacencies::new(2, 4);
    let (_, mut writer) = Fib::new(&domain, 0, 0, adjacencies);
    writer.add_port(WAN, WAN_MAC, &["192.0.2.0/31", "192.0.2.9/32"].map(net)).unwrap();
    assert_eq!(writer.lookup(ip("192.0.2.1")), Some(NextHop::OnLink { port: WAN }));
    assert_eq!(writer.lookup(ip("192.0.2.9")), Some(NextHop::Local { port: WAN, address_index: 1 }));
    assert_eq!(writer.lookup(ip("192.0.2.8")), None);
}

#[test]
fn a_gateway_is_one_adjacency_for_all_its_routes() {
    let mut lab = lab();
    let unresolved = Err(NoHeader::Unresolved { port: WAN });
    assert_eq!(lab.header("198.51.100.1"), unresolved);
    let index = lab.writer.add_route(WAN, net("192.0.2.0/24"), ip("203.0.113.1")).unwrap();
    assert_eq!(lab.writer.neighbour(index), Some((WAN, ip("203.0.113.1"))));
    assert_eq!(lab.header("203.0.113.1"), unresolved);
    assert_eq!(lab.writer.neighbour_resolved(WAN, ip("203.0.113.1"), HOST_MAC), Some(index));
    for addr in ["198.51.100.1", "192.0.2.1", "203.0.113.1"] {
        assert_eq!(lab.header(addr), Ok((HOST_MAC, WAN)));
    }
    assert!(lab.writer.take_used(WAN, ip("203.0.113.1")));
    assert!(!lab.writer.take_used(WAN, ip("203.0.113.1")));
    assert!(lab.writer.remove_neighbour(WAN, ip("203.0.113.1")));
    assert_eq!(lab.header("192.0.2.1"), unresolved);
    assert_eq!(lab.writer.adjacency(WAN, ip("203.0.113.1")), Some(index));
    // A gateway that is link-local has no host route, but an adjacency.
    assert!(lab.writer.neighbour_resolved(WAN, ip("fe80::1"), HOST_MAC).is_some());
    assert_eq!(lab.header("2001:db8:9::1"), Ok((HOST_MAC, WAN)));
    assert_eq!(lab.hop("fe80::1"), Some(NextHop::Unreachable));
}

#[test]
fn a_gateway_goes_with_its_last_route() {
    let mut lab = lab();
    let gateway = ip("203.0.113.1");
    let index = lab.writer.adjacency(WAN, gateway).unwrap();
    lab.writer.add_route(WAN, net("192.0.2.0/24"), gateway).unwrap();
    lab.writer.remove_route(net("0.0.0.0/0")).unwrap();
    assert_eq!(lab.hop("198.51.100.1"), None);
    assert_eq!(lab.writer.adjacency(WAN, gateway), Some(index));
    lab.writer.remove_route(net("192.0.2.0/24")).unwrap();
    assert_eq!((lab.hop("192.0.2.1"), lab.writer.neighbour(index)), (None, None));
    assert_eq!(lab.hop("203.0.113.1"), Some(NextHop::OnLink { port: WAN }));
    assert_eq!(lab.writer.adjacencies().header(index), Err(NoHeader::Gone));
    assert_eq!(lab.writer.remove_route(net("192.0.2.0/24")), Err(RouteError::NoRoute(net("192.0.2.0/24"))));
}

#[test]
fn a_resolved_neighbour_gets_a_host_route_while_it_lasts() {
    let mut lab = lab();
    for host in ["10.0.0.9", "2001:db8:1::9"] {
        let before = lab.fib.generation();
        let index = lab.writer.neighbour_resolved(LAN, ip(host), HOST_MAC).unwrap();
        assert!(lab.fib.generation() > before);
        assert_eq!(lab.header(host), Ok((HOST_MAC, LAN)));
        // The same host, another MAC address: the same adjacency.
        assert_eq!(lab.writer.neighbour_resolved(LAN, ip(host), WAN_MAC), Some(index));
        assert_eq!(lab.header(host), Ok((WAN_MAC, LAN)));
        assert!(lab.writer.remove_neighbour(LAN, ip(host)));
        assert_eq!(lab.hop(host), Some(NextHop::OnLink { port: LAN }));
        assert_eq!(lab.writer.adjacencies().header(index), Err(NoHeader::Gone));
        assert!(!lab.writer.remove_neighbour(LAN, ip(host)));
    }
}

#[test]
fn neighbours_that_are_not_on_the_link_are_refused() {
    let mut lab = lab();
    let refused = [
        (WAN, "10.0.0.9"),
        (LAN, "203.0.113.9"),
        (LAN, "10.0.0.1"),
        (LAN, "10.0.255.255"),
        (LAN, "192.0.2.1"),
        (LAN, "fe80::9"),
        (7, "10.0.0.9"),
    ];
    for (port, addr) in refused {
        assert_eq!(lab.writer.neighbour_resolved(port, ip(addr), HOST_MAC), None, "{addr}");
    }
    // Four slots a port, and each of them serves again.
    for round in 0..3 {
        for i in 0..4 {
            let host = IpAddr::from([10, 0, round, 10 + i]);
            assert!(lab.writer.neighbour_resolved(LAN, host, HOST_MAC).is_some());
        }
        assert_eq!(lab.writer.neighbour_resolved(LAN, ip("10.0.9.9"), HOST_MAC), None);
        for i in 0..4 {
            assert!(lab.writer.remove_neighbour(LAN, IpAddr::from([10, 0, round, 10 + i])));
        }
    }
}

#[test]
fn a_configured_route_hides_a_neighbour_until_it_goes() {
    let mut lab = lab();
    let host = ip("10.0.0.9");
    lab.writer.neighbour_resolved(LAN, host, HOST_MAC).unwrap();
    lab.writer.add_route(LAN, net("10.0.0.9/32"), ip("10.0.0.2")).unwrap();
    assert_eq!(lab.header("10.0.0.9"), Err(NoHeader::Unresolved { port: LAN }));
    lab.writer.neighbour_resolved(LAN, host, HOST_MAC);
    assert_eq!(lab.header("10.0.0.9"), Err(NoHeader::Unresolved { port: LAN }));
    lab.writer.remove_route(net("10.0.0.9/32")).unwrap();
    assert_eq!(lab.header("10.0.0.9"), Ok((HOST_MAC, LAN)));
    // And the other way round: the neighbour goes while the route is there.
    lab.writer.add_route(LAN, net("10.0.0.9/32"), ip("10.0.0.2")).unwrap();
    lab.writer.remove_neighbour(LAN, host);
    assert_eq!(lab.header("10.0.0.9"), Err(NoHeader::Unresolved { port: LAN }));
    lab.writer.remove_route(net("10.0.0.9/32")).unwrap();
    assert_eq!(lab.hop("10.0.0.9"), Some(NextHop::OnLink { port: LAN }));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut lab = lab();
    let gateway = ip("10.0.0.2");
    let before: Vec<_> = sorted(&lab.writer);
    let to = net("192.0.2.0/24");
    let families = RouteError::Families { to, via: ip("2001:db8::1") };
    let cases = [
        (7, to, gateway, RouteError::UnknownPort(7)),
        (LAN, to, ip("2001:db8::1"), families),
        (LAN, net("10.0.0.0/16"), gateway, RouteError::Taken(net("10.0.0.0/16"))),
        (LAN, net("10.0.0.1/32"), gateway, RouteError::Taken(net("10.0.0.1/32"))),
        (LAN, net("0.0.0.0/0"), gateway, RouteError::Taken(net("0.0.0.0/0"))),
    ];
    for (port, to, via, error) in cases {
        assert_eq!(lab.writer.add_route(port, to, via), Err(error));
    }
    let addresses = [net("192.0.2.1/24")];
    assert_eq!(lab.writer.add_port(LAN, LAN_MAC, &addresses), Err(RouteError::PortExists(LAN)));
    assert_eq!(lab.writer.add_port(2, LAN_MAC, &addresses), Err(RouteError::UnknownPort(2)));
    let taken = Err(RouteError::Taken(net("10.0.0.0/16")));
    assert_eq!(lab.writer.add_port(3, LAN_MAC, &[net("10.0.0.3/16")]), taken);
    assert_eq!(sorted(&lab.writer), before);
    for i in 3..7 {
        lab.writer.add_route(LAN, net(&format!("192.0.{i}.0/24")), ip(&format!("10.0.0.{i}"))).unwrap();
    }
    assert_eq!(lab.writer.add_route(LAN, to, gateway), Err(RouteError::Full(LAN)));
}

fn sorted(writer: &FibWriter) -> Vec<String> {
    let mut routes: Vec<_> = writer.routes().map(|route| format!("{route:?}")).collect();
    routes.sort();
    routes
}

#[test]
fn few_addresses_but_our_own_may_be_local() {
    let lab = lab();
    for addr in ["203.0.113.10", "2001:db8::10", "10.0.0.1", "2001:db8:1::1"] {
        let may = match ip(addr) {
            IpAddr::V4(addr) => lab.fib.may_be_local_v4(addr),
            IpAddr::V6(addr) => lab.fib.may_be_local_v6(addr),
        };
        assert!(may, "{addr}");
    }
    // Four bits of 512.
    let others = (0..4096_u32).filter(|i| {
        let (v4, v6) = ((0x0a80_0000 + i).into(), (0x2001_0db8_0002_u128 << 80 | u128::from(*i)).into());
        lab.fib.may_be_local_v4(v4) || lab.fib.may_be_local_v6(v6)
    });
    assert!(others.count() < 4096 / 16);
}
