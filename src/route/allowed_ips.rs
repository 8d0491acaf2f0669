//! Allowed IPs: which peer owns an address, over both families.

use super::lpm::{Lpm, LpmWriter};
use crate::queue::sync::Arc;
use crate::queue::{Domain, Reader};
use ipnet::IpNet;
use std::net::IpAddr;

/// The readers' side. Families do not mix: an IPv4 address that is written as IPv6 (`::ffff:a.b.c.d`) is looked up as IPv6.
#[derive(Clone, Debug)]
pub struct AllowedIps {
    /// IPv4, addresses in host order.
    pub v4: Arc<Lpm<u32>>,
    /// IPv6, addresses in host order.
    pub v6: Arc<Lpm<u128>>,
}

impl AllowedIps {
    /// Empty tables that take so many prefixes of each family without growing, and the one handle that may write them.
    pub fn new(domain: &Arc<Domain>, v4: usize, v6: usize) -> (Self, AllowedIpsWriter) {
        let (v4, v4_writer) = Lpm::new(domain, v4);
        let (v6, v6_writer) = Lpm::new(domain, v6);
        (Self { v4, v6 }, AllowedIpsWriter { v4: v4_writer, v6: v6_writer })
    }

    /// The peer that owns the longest prefix that holds `addr`. Wait-free.
    #[inline]
    pub fn lookup(&self, reader: &Reader, addr: IpAddr) -> Option<u32> {
        match addr {
            IpAddr::V4(addr) => self.v4.lookup(reader, addr.to_bits()),
            IpAddr::V6(addr) => self.v6.lookup(reader, addr.to_bits()),
        }
    }
}

/// The one handle that changes [`AllowedIps`]; the control thread's. It keeps no list of a peer's prefixes.
#[derive(Debug)]
pub struct AllowedIpsWriter {
    v4: LpmWriter<u32>,
    v6: LpmWriter<u128>,
}

impl AllowedIpsWriter {
    /// Gives a prefix (host bits ignored) to `peer`, and returns who owned it before.
    /// A prefix that moves has an owner, the old or the new, at every instant.
    pub fn insert(&mut self, prefix: IpNet, peer: u32) -> Option<u32> {
        match prefix {
            IpNet::V4(net) => self.v4.insert(net.addr().to_bits(), net.prefix_len(), peer),
            IpNet::V6(net) => self.v6.insert(net.addr().to_bits(), net.prefix_len(), peer),
        }
    }

    /// Takes a prefix (host bits ignored) from `peer`; `false`, and nothing changed, if it is not that peer's.
    pub fn remove(&mut self, prefix: IpNet, peer: u32) -> bool {
        if self.owner(prefix) != Some(peer) {
            return false;
        }
        match prefix {
            IpNet::V4(net) => self.v4.remove(net.addr().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.remove(net.addr().to_bits(), net.prefix_len()),
        }
        .is_some()
    }

    /// Who owns this very prefix (host bits ignored).
    pub fn owner(&self, prefix: IpNet) -> Option<u32> {
        match prefix {
            IpNet::V4(net) => self.v4.get_exact(net.addr().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.get_exact(net.addr().to_bits(), net.prefix_len()),
        }
    }

    /// The peer that owns the longest prefix that holds `addr`, for the control thread.
    pub fn lookup(&self, addr: IpAddr) -> Option<u32> {
        match addr {
            IpAddr::V4(addr) => self.v4.lookup(addr.to_bits()),
            IpAddr::V6(addr) => self.v6.lookup(addr.to_bits()),
        }
    }

    /// Prefixes in all.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether no peer owns anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[path = "allowed_ips_tests.rs"]
mod table_tests;

#[cfg(test)]
mod tests {
    use super::{AllowedIps, Domain, IpNet};
    use std::net::IpAddr;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_has_one_owner_and_moves() {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let (readers, mut writer) = AllowedIps::new(&domain, 4, 4);
        for (prefix, addr) in [("10.0.0.0/8", "10.1.2.3"), ("2001:db8::/32", "2001:db8::1")] {
            assert_eq!(writer.insert(net(prefix), 1), None);
            assert_eq!(writer.insert(net(prefix), 2), Some(1));
            assert_eq!(readers.lookup(&reader, ip(addr)), Some(2));
            assert!(!writer.remove(net(prefix), 1), "it is another's");
            assert_eq!(writer.lookup(ip(addr)), Some(2));
            assert!(writer.remove(net(prefix), 2) && !writer.remove(net(prefix), 2));
            assert_eq!(readers.lookup(&reader, ip(addr)), None);
        }
        assert!(writer.is_empty());
    }

    /// PROTOCOL A8.1: the longest prefix wins.
    #[test]
    fn the_longest_prefix_wins_and_host_bits_do_not_matter() {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let (readers, mut writer) = AllowedIps::new(&domain, 4, 4);
        for (prefix, peer) in [("0.0.0.0/0", 1), ("10.0.0.99/24", 2), ("10.0.0.7/32", 3), ("::/0", 4)] {
            writer.insert(net(prefix), peer);
        }
        let owner = |addr: &str| readers.lookup(&reader, ip(addr));
        assert_eq!(owner("10.0.0.7"), Some(3));
        assert_eq!(owner("10.0.0.8"), Some(2));
        assert_eq!(owner("192.0.2.1"), Some(1));
        assert_eq!(owner("2001:db8::1"), Some(4));
        assert_eq!(writer.owner(net("10.0.0.1/24")), Some(2));
        assert_eq!((writer.owner(net("10.0.0.0/25")), writer.len()), (None, 4));
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_no_ipv4_address() {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let (readers, mut writer) = AllowedIps::new(&domain, 4, 4);
        writer.insert(net("0.0.0.0/0"), 1);
        writer.insert(net("10.0.0.7/32"), 2);
        assert_eq!(readers.lookup(&reader, ip("::ffff:10.0.0.7")), None);
        writer.insert(net("::ffff:0:0/96"), 3);
        assert_eq!(readers.lookup(&reader, ip("::ffff:10.0.0.7")), Some(3));
        assert_eq!(readers.lookup(&reader, ip("10.0.0.7")), Some(2));
    }
}
