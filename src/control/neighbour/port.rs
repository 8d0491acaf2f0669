//! Our side of a link: which addresses are ours, and which can be neighbours'.

use crate::wire::MacAddr;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// A port that has neighbours.
#[derive(Clone, Debug)]
pub struct NeighbourPort {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Our addresses with their subnets. The link-local address that follows from `mac` (RFC 4291 A) is ours besides.
    pub addresses: Vec<IpNet>,
    /// Whether it answers for proxied addresses too: inner ports do.
    pub is_proxy: bool,
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) config: NeighbourPort,
    link_local: Ipv6Addr,
    pub(super) announce_again_ms: Option<u64>,
    pub(super) defended_ms: Option<u64>,
}

impl Port {
    pub(super) fn new(config: NeighbourPort) -> Self {
        let link_local = link_local(config.mac);
        Self { config, link_local, announce_again_ms: None, defended_ms: None }
    }

    pub(super) fn is_ours(&self, addr: IpAddr) -> bool {
        addr == IpAddr::V6(self.link_local) || self.config.addresses.iter().any(|net| net.addr() == addr)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let link_local = IpAddr::V6(self.link_local);
        self.config.addresses.iter().map(IpNet::addr).chain([link_local])
    }

    /// Whether `addr` can be a neighbour's: in a subnet of ours or link-local, one host's, and not ours.
    pub(super) fn is_neighbour(&self, addr: IpAddr) -> bool {
        let is_host_of = |net: &IpNet| {
            let is_special = matches!(net, IpNet::V4(v4) if v4.prefix_len() <= 30
                && (addr == v4.network() || addr == v4.broadcast()));
            net.contains(&addr) && !is_special
        };
        let is_link_local = matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_on_link = is_link_local || self.config.addresses.iter().any(is_host_of);
        is_on_link && !addr.is_multicast() && !addr.is_unspecified() && !self.is_ours(addr)
    }

    /// Which of our addresses asks for `target`: one of its subnet, else any of its family.
    pub(super) fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        let is_family = |net: &&IpNet| net.addr().is_ipv4() == target.is_ipv4();
        let nets = || self.config.addresses.iter().filter(is_family);
        let link_local = target.is_ipv6().then_some(IpAddr::V6(self.link_local));
        if matches!(target, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            return link_local;
        }
        let of_subnet = nets().find(|net| net.contains(&target));
        of_subnet.or_else(|| nets().next()).map(IpNet::addr).or(link_local)
    }
}

/// The link-local address of a station (RFC 4291 2.5.6 and appendix A).
fn link_local(MacAddr([a, b, c, d, e, f]): MacAddr) -> Ipv6Addr {
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
