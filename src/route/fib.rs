//! Routes: from an address to a [`NextHop`], over both families.

use super::adjacency::{Adjacencies, AdjacencyIndex, AdjacencyWriter};
use super::lpm::{Lpm, LpmWriter};
use super::next_hop::NextHop;
use crate::queue::sync::{Arc, AtomicU64, Ordering};
use crate::queue::{Domain, Reader};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The readers' side of the routes. Any thread that has a [`Reader`] of its domain.
#[derive(Clone, Debug)]
pub struct Fib {
    v4: Arc<Lpm<u32>>,
    v6: Arc<Lpm<u128>>,
    generation: Arc<AtomicU64>,
    locals: Arc<LocalFilter>,
}

impl Fib {
    /// Empty tables that take so many prefixes of each family without growing, and the one handle that may write them.
    pub fn new(domain: &Arc<Domain>, v4: usize, v6: usize, adjacencies: AdjacencyWriter) -> (Self, FibWriter) {
        let (v4, v4_writer) = Lpm::new(domain, v4);
        let (v6, v6_writer) = Lpm::new(domain, v6);
        let generation = Arc::new(AtomicU64::new(0));
        let locals = Arc::new(LocalFilter::default());
        let writer = FibWriter {
            v4: v4_writer,
            v6: v6_writer,
            adjacencies,
            generation: Arc::clone(&generation),
            locals: Arc::clone(&locals),
            ports: HashMap::new(),
            routes: HashMap::new(),
            neighbours: HashMap::new(),
            names: HashMap::new(),
        };
        (Self { v4, v6, generation, locals }, writer)
    }

    /// Where packets to `addr` go; `None` without a route. Wait-free.
    #[inline]
    pub fn lookup(&self, reader: &Reader, addr: IpAddr) -> Option<NextHop> {
        match addr {
            IpAddr::V4(addr) => self.lookup_v4(reader, addr),
            IpAddr::V6(addr) => self.lookup_v6(reader, addr),
        }
    }

    /// [`Fib::lookup`] of IPv4. Addresses that are no single host's are [`NextHop::Unreachable`] whatever the routes say.
    #[inline]
    pub fn lookup_v4(&self, reader: &Reader, addr: Ipv4Addr) -> Option<NextHop> {
        if is_never_routed_v4(addr) {
            return Some(NextHop::Unreachable);
        }
        self.v4.lookup(reader, addr.to_bits()).map(NextHop::unpack)
    }

    /// [`Fib::lookup`] of IPv6. Addresses that are no single host's, or only a link's, are [`NextHop::Unreachable`].
    #[inline]
    pub fn lookup_v6(&self, reader: &Reader, addr: Ipv6Addr) -> Option<NextHop> {
        if is_never_routed_v6(addr) {
            return Some(NextHop::Unreachable);
        }
        self.v6.lookup(reader, addr.to_bits()).map(NextHop::unpack)
    }

    /// `false`: the address is not [`NextHop::Local`]. `true`: it may be, and [`Fib::lookup_v4`] knows. One load.
    #[inline]
    pub fn may_be_local_v4(&self, addr: Ipv4Addr) -> bool {
        self.locals.may_hold(addr.to_bits().into())
    }

    /// The same of IPv6.
    #[inline]
    pub fn may_be_local_v6(&self, addr: Ipv6Addr) -> bool {
        self.locals.may_hold(addr.to_bits())
    }

    /// Grows with every change of a route. Whoever keeps a next hop (a header template) keeps the number that it read
    /// *before* the lookup, and looks up again when the number is another.
    #[inline]
    pub fn generation(&self) -> u64 {
        // Acquire: meets the Release add in `FibWriter::set` and `unset`, so that a lookup after it sees the change.
        self.generation.load(Ordering::Acquire)
    }
}

/// Which addresses may be our own: a bit of 512 each (a Bloom filter of one hash), so that what passes through costs no lookup to know
/// that it is not for us. Bits never go, as ports never do. readers: r, `FibWriter`: w
#[derive(Debug, Default)]
struct LocalFilter([AtomicU64; 8]);

impl LocalFilter {
    #[inline]
    fn may_hold(&self, addr: u128) -> bool {
        let (word, bit) = Self::place(addr);
        // Relaxed: a bit is set before its prefix is; who does not see it yet could have looked that prefix up as early.
        self.0.get(word).is_none_or(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn insert(&self, addr: u128) {
        let (word, bit) = Self::place(addr);
        if let Some(word) = self.0.get(word) {
            // Relaxed: as above.
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Word and bit of an address: the high bits of a product (Knuth 6.4, multiplicative hashing).
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves are folded, and of the product 9 bits are left")]
    fn place(addr: u128) -> (usize, u64) {
        let hash = ((addr >> 64) as u64 ^ addr as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
        (hash as usize >> 6, 1 << (hash & 63))
    }
}

/// 0.0.0.0/8, loopback, multicast and the limited broadcast.
#[inline]
fn is_never_routed_v4(addr: Ipv4Addr) -> bool {
    let [first, ..] = addr.octets();
    first == 0 || first == 127 || first & 0xf0 == 0xe0 || addr.is_broadcast()
}

/// Unspecified, loopback, multicast and link-local.
#[inline]
fn is_never_routed_v6(addr: Ipv6Addr) -> bool {
    addr.is_multicast() || addr.is_unicast_link_local() || addr.is_unspecified() || addr.is_loopback()
}

/// Why a route is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such port was added, or its number is too great.
    #[error("port {0} is unknown")]
    UnknownPort(u16),
    /// The port was added before.
    #[error("port {0} exists already")]
    PortExists(u16),
    /// Destination and gateway are of different families.
    #[error("{to} cannot go via {via}: the address families differ")]
    Families {
        /// The destination.
        to: IpNet,
        /// The gateway.
        via: IpAddr,
    },
    /// The prefix is taken by another route, or is one of our own.
    #[error("{0} is routed already")]
    Taken(IpNet),
    /// There is no such route.
    #[error("there is no route to {0}")]
    NoRoute(IpNet),
    /// All adjacencies of the port are in use.
    #[error("port {0} has no room for another neighbour")]
    Full(u16),
}

#[derive(Debug)]
struct Neighbour {
    index: AdjacencyIndex,
    /// Routes that go via it; it stays while there are any.
    routes: usize,
    resolved: bool,
}

/// The one handle that changes a [`Fib`] and its [`Adjacencies`]; the control thread's.
#[derive(Debug)]
pub struct FibWriter {
    v4: LpmWriter<u32>,
    v6: LpmWriter<u128>,
    adjacencies: AdjacencyWriter,
    generation: Arc<AtomicU64>,
    locals: Arc<LocalFilter>,
    /// Addresses of each port, as configured.
    ports: HashMap<u16, Vec<IpNet>>,
    /// Configured routes, and the neighbour that each goes via.
    routes: HashMap<IpNet, (u16, IpAddr)>,
    neighbours: HashMap<(u16, IpAddr), Neighbour>,
    /// Whose each live adjacency is.
    names: HashMap<AdjacencyIndex, (u16, IpAddr)>,
}

impl FibWriter {
    /// Adds a port: its own addresses become [`NextHop::Local`], their subnets [`NextHop::OnLink`], and network and
    /// broadcast addresses of IPv4 subnets [`NextHop::Unreachable`].
    ///
    /// # Errors
    /// [`RouteError::PortExists`], [`RouteError::UnknownPort`] for a number that is too great, [`RouteError::Taken`] if
    /// an address or subnet is another port's. Nothing changed then.
    pub fn add_port(&mut self, port: u16, mac: [u8; 6], addresses: &[IpNet]) -> Result<(), RouteError> {
        if self.ports.contains_key(&port) {
            return Err(RouteError::PortExists(port));
        }
        let taken = |prefix: &IpNet| self.exact(*prefix).is_some();
        let prefixes = addresses.iter().flat_map(|net| [net.trunc(), IpNet::from(net.addr())]);
        if let Some(prefix) = prefixes.into_iter().find(taken) {
            return Err(RouteError::Taken(prefix));
        }
        if !self.adjacencies.set_port(port, mac) {
            return Err(RouteError::UnknownPort(port));
        }
        for net in addresses.iter().filter(|net| net.prefix_len() < net.max_prefix_len()) {
            self.set(net.trunc(), NextHop::OnLink { port });
            if let IpNet::V4(net) = net
                && net.prefix_len() <= 30
            {
                self.set(IpAddr::V4(net.network()).into(), NextHop::Unreachable);
                self.set(IpAddr::V4(net.broadcast()).into(), NextHop::Unreachable);
            }
        }
        for (address_index, net) in (0..).zip(addresses) {
            self.locals.insert(match net.addr() {
                IpAddr::V4(addr) => addr.to_bits().into(),
                IpAddr::V6(addr) => addr.to_bits(),
            });
            self.set(net.addr().into(), NextHop::Local { port, address_index });
        }
        self.ports.insert(port, addresses.to_vec());
        Ok(())
    }

    /// Routes `to` (host bits ignored) to the gateway `via` on `port`. Returns the gateway's adjacency, which is resolved
    /// when [`FibWriter::neighbour_resolved`] names it.
    ///
    /// # Errors
    /// See [`RouteError`]; nothing changed then.
    pub fn add_route(&mut self, port: u16, to: IpNet, via: IpAddr) -> Result<AdjacencyIndex, RouteError> {
        let to = to.trunc();
        if !self.ports.contains_key(&port) {
            return Err(RouteError::UnknownPort(port));
        }
        if to.addr().is_ipv4() != via.is_ipv4() {
            return Err(RouteError::Families { to, via });
        }
        let is_ours =
            matches!(self.exact(to), Some(NextHop::Local { .. } | NextHop::OnLink { .. } | NextHop::Unreachable));
        if is_ours || self.routes.contains_key(&to) {
            return Err(RouteError::Taken(to));
        }
        let index = self.hold(port, via).ok_or(RouteError::Full(port))?;
        if let Some(gateway) = self.neighbours.get_mut(&(port, via)) {
            gateway.routes += 1;
        }
        self.routes.insert(to, (port, via));
        self.set(to, NextHop::Adjacency(index));
        self.refresh_host(port, via);
        Ok(index)
    }

    /// Removes a route that [`FibWriter::add_route`] added.
    ///
    /// # Errors
    /// [`RouteError::NoRoute`].
    pub fn remove_route(&mut self, to: IpNet) -> Result<(), RouteError> {
        let to = to.trunc();
        let (port, via) = self.routes.remove(&to).ok_or(RouteError::NoRoute(to))?;
        self.unset(to);
        if let Some(gateway) = self.neighbours.get_mut(&(port, via)) {
            gateway.routes -= 1;
        }
        self.release(port, via);
        // A neighbour that the route had hidden comes to light again.
        if to.prefix_len() == to.max_prefix_len() {
            for port in self.ports.keys().copied().collect::<Vec<_>>() {
                self.refresh_host(port, to.addr());
            }
        }
        Ok(())
    }

    /// The MAC address of a neighbour is known (or another than before): its adjacency is made, if it has none, and a host
    /// route leads to it. `None` if it is not on this port's link (and no gateway), or the port has no room.
    pub fn neighbour_resolved(&mut self, port: u16, addr: IpAddr, mac: [u8; 6]) -> Option<AdjacencyIndex> {
        if !self.neighbours.contains_key(&(port, addr)) && !self.is_on_link(port, addr) {
            return None;
        }
        let index = self.hold(port, addr)?;
        self.adjacencies.resolve(index, mac);
        if let Some(neighbour) = self.neighbours.get_mut(&(port, addr)) {
            neighbour.resolved = true;
        }
        self.refresh_host(port, addr);
        Some(index)
    }

    /// A neighbour's MAC address is known no more: a gateway's adjacency becomes unresolved, any other goes with its host
    /// route. `false` if there was none.
    pub fn remove_neighbour(&mut self, port: u16, addr: IpAddr) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&(port, addr)) else {
            return false;
        };
        let was_resolved = core::mem::take(&mut neighbour.resolved);
        let index = neighbour.index;
        self.adjacencies.unresolve(index);
        self.release(port, addr);
        was_resolved
    }

    /// The adjacency of a neighbour.
    pub fn adjacency(&self, port: u16, addr: IpAddr) -> Option<AdjacencyIndex> {
        self.neighbours.get(&(port, addr)).map(|neighbour| neighbour.index)
    }

    /// Whom an adjacency leads to: what the control thread must ask for when a packet met an unresolved one.
    pub fn neighbour(&self, index: AdjacencyIndex) -> Option<(u16, IpAddr)> {
        self.names.get(&index).copied()
    }

    /// Whether a neighbour was sent to since this was last called: then it is worth asking whether it is still there.
    pub fn take_used(&mut self, port: u16, addr: IpAddr) -> bool {
        let index = self.adjacency(port, addr);
        index.is_some_and(|index| self.adjacencies.take_used(index))
    }

    /// Where packets to `addr` go, for the control thread.
    pub fn lookup(&self, addr: IpAddr) -> Option<NextHop> {
        let word = match addr {
            IpAddr::V4(addr) if is_never_routed_v4(addr) => return Some(NextHop::Unreachable),
            IpAddr::V6(addr) if is_never_routed_v6(addr) => return Some(NextHop::Unreachable),
            IpAddr::V4(addr) => self.v4.lookup(addr.to_bits()),
            IpAddr::V6(addr) => self.v6.lookup(addr.to_bits()),
        };
        word.map(NextHop::unpack)
    }

    /// All routes, host routes of neighbours too, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, NextHop)> + '_ {
        let v4 = self
            .v4
            .iter()
            .map(|(addr, len, word)| (IpNet::new_assert(Ipv4Addr::from_bits(addr).into(), len), NextHop::unpack(word)));
        let v6 = self
            .v6
            .iter()
            .map(|(addr, len, word)| (IpNet::new_assert(Ipv6Addr::from_bits(addr).into(), len), NextHop::unpack(word)));
        v4.chain(v6)
    }

    /// The readers' side of the adjacencies.
    pub fn adjacencies(&self) -> &Arc<Adjacencies> {
        self.adjacencies.adjacencies()
    }

    /// Whether routes lead to `addr` on this port's link itself, not by another gateway.
    fn is_on_link(&self, port: u16, addr: IpAddr) -> bool {
        match self.lookup(addr) {
            Some(NextHop::OnLink { port: on }) => on == port,
            Some(NextHop::Adjacency(index)) => self.neighbour(index) == Some((port, addr)),
            _ => false,
        }
    }

    /// The adjacency of a neighbour, made if there is none.
    fn hold(&mut self, port: u16, addr: IpAddr) -> Option<AdjacencyIndex> {
        if let Some(neighbour) = self.neighbours.get(&(port, addr)) {
            return Some(neighbour.index);
        }
        let index = self.adjacencies.alloc(port)?;
        self.neighbours.insert((port, addr), Neighbour { index, routes: 0, resolved: false });
        self.names.insert(index, (port, addr));
        Some(index)
    }

    /// Ends a neighbour that no route needs and that is not resolved.
    fn release(&mut self, port: u16, addr: IpAddr) {
        let Some(neighbour) = self.neighbours.get(&(port, addr)) else {
            return;
        };
        if neighbour.routes > 0 || neighbour.resolved {
            return;
        }
        let index = neighbour.index;
        if self.exact(addr.into()) == Some(NextHop::Adjacency(index)) {
            self.unset(addr.into());
        }
        self.neighbours.remove(&(port, addr));
        self.names.remove(&index);
        self.adjacencies.free(index);
    }

    /// Installs the host route of a neighbour, unless something else holds that prefix.
    fn refresh_host(&mut self, port: u16, addr: IpAddr) {
        let Some(index) = self.adjacency(port, addr) else {
            return;
        };
        if self.exact(addr.into()).is_none() && self.is_on_link(port, addr) {
            self.set(addr.into(), NextHop::Adjacency(index));
        }
    }

    fn exact(&self, prefix: IpNet) -> Option<NextHop> {
        let word = match prefix {
            IpNet::V4(net) => self.v4.get_exact(net.addr().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.get_exact(net.addr().to_bits(), net.prefix_len()),
        };
        word.map(NextHop::unpack)
    }

    fn set(&mut self, prefix: IpNet, hop: NextHop) {
        match prefix {
            IpNet::V4(net) => self.v4.insert(net.addr().to_bits(), net.prefix_len(), hop.pack()),
            IpNet::V6(net) => self.v6.insert(net.addr().to_bits(), net.prefix_len(), hop.pack()),
        };
        // Release: whoever reads the new number finds the route; meets the Acquire load in `Fib::generation`.
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn unset(&mut self, prefix: IpNet) {
        match prefix {
            IpNet::V4(net) => self.v4.remove(net.addr().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.remove(net.addr().to_bits(), net.prefix_len()),
        };
        // Release: as in `set`.
        self.generation.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
#[path = "fib_tests.rs"]
mod tests;
