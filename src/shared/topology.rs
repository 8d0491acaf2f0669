//! What all cores of a gateway share, and who is who on it.

use super::tunnel::{ListenPorts, Tunnel};
use crate::frame::{Meta, PacketPool};
use crate::peer::{Endpoint, IndexTable, Peer};
use crate::queue::{
    Flows, Reader, Sender,
    sync::{Arc, AtomicI64, AtomicU64, Ordering},
};
use crate::route::{Adjacencies, AllowedIps, Fib, NextHop, NoHeader};
use crate::wire::MacAddr;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Which packets a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Tunnel packets.
    pub outer: bool,
    /// The packets inside.
    pub inner: bool,
}

/// One port, as the data path sees it. Constant once the gateway runs.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its number, which counters and [`crate::frame::Meta`] use.
    pub id: u16,
    /// Its name in the configuration.
    pub name: String,
    /// What it carries.
    pub roles: Roles,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// The 802.1Q VLAN that all its frames belong to; 0: they are untagged.
    pub vlan: u16,
    /// Our addresses on it, with their prefixes.
    pub addresses: Vec<IpNet>,
}

impl Port {
    /// Our address on this port to talk to `to` from: one whose prefix holds it, else the first of its family.
    pub fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        let of_family = |net: &&IpNet| net.addr().is_ipv4() == to.is_ipv4();
        let near = self.addresses.iter().filter(of_family).find(|net| net.contains(&to));
        near.or_else(|| self.addresses.iter().find(of_family)).map(IpNet::addr)
    }
}

/// Where a packet to some address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// It is one of our own addresses.
    Local {
        /// The port that it was given to.
        port: u16,
        /// Which of the port's addresses.
        address: u16,
    },
    /// Out by `port`, to these MAC addresses (destination, source).
    Wire {
        /// Where.
        port: u16,
        /// The first 12 bytes of the Ethernet header.
        macs: [u8; 12],
    },
    /// Out by `port`, but the next hop's MAC address is not known: the control thread must ask.
    Ask {
        /// Where.
        port: u16,
    },
    /// Nowhere.
    None,
}

/// One side's routes (inner or outer) with the Ethernet headers of its next hops.
#[derive(Debug)]
pub struct Routes {
    /// Destination → next hop.
    pub fib: Fib,
    /// Next hops' Ethernet headers.
    pub adjacencies: Arc<Adjacencies>,
}

impl Routes {
    /// Where a packet to `to` goes. Any core, in a read section.
    #[inline]
    pub fn hop(&self, reader: &Reader, to: IpAddr) -> Hop {
        self.resolve(self.fib.lookup(reader, to))
    }

    /// Where a packet with this next hop goes. Any core, in the read section of its lookup.
    #[inline]
    pub fn resolve(&self, next: Option<NextHop>) -> Hop {
        match next {
            Some(NextHop::Local { port, address_index }) => Hop::Local { port, address: address_index },
            Some(NextHop::Adjacency(index)) => match self.adjacencies.header(index) {
                Ok((macs, port)) => Hop::Wire { port, macs },
                Err(NoHeader::Unresolved { port }) => Hop::Ask { port },
                Err(NoHeader::Gone) => Hop::Ask { port: index.port() },
            },
            Some(NextHop::OnLink { port }) => Hop::Ask { port },
            Some(NextHop::Unreachable) | None => Hop::None,
        }
    }
}

/// Milliseconds of CLOCK_BOOTTIME, published for the data path by a control thread at least every 10 ms.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// The time, at most 10 ms old. Any core.
    pub fn now_ms(&self) -> u64 {
        // Relaxed: the number stands for itself.
        self.0.load(Ordering::Relaxed)
    }

    /// Publishes the time. One control thread.
    pub fn set_ms(&self, now_ms: u64) {
        // Relaxed: as above.
        self.0.store(now_ms, Ordering::Relaxed);
    }
}

/// How many packets may wait for a session or a neighbour, all peers together (DESIGN, The path of a packet).
#[derive(Debug)]
pub struct Budget {
    held: AtomicI64,
    bound: i64,
}

impl Budget {
    /// At most `bound` packets.
    pub fn new(bound: u32) -> Self {
        Self { held: AtomicI64::new(0), bound: i64::from(bound) }
    }

    /// Takes a place for one packet, if there is one. Any thread; staged packets are off the fast path.
    pub fn take(&self) -> bool {
        // Relaxed, here and below: a bound on a sum, no memory hangs on it. A flood that finds it full writes nothing.
        if self.held() >= self.bound {
            return false;
        }
        if self.held.fetch_add(1, Ordering::Relaxed) < self.bound {
            return true;
        }
        self.give_back(1);
        false
    }

    /// Gives places back. Any thread.
    pub fn give_back(&self, packets: u32) {
        // Relaxed: as above.
        self.held.fetch_sub(i64::from(packets), Ordering::Relaxed);
    }

    /// How many are held now.
    pub fn held(&self) -> i64 {
        // Relaxed: as above.
        self.held.load(Ordering::Relaxed)
    }
}

/// Everything that the cores of one gateway share. Tables are read without locks in read sections and written by control threads.
#[derive(Debug)]
pub struct Shared<A: PacketPool> {
    /// Peers with their queues.
    pub flows: Arc<Flows<A::Packet, Peer>>,
    /// Receiver index → keypair.
    pub index: IndexTable,
    /// Inner address → peer.
    pub allowed: AllowedIps,
    /// Where inner packets go.
    pub inner: Routes,
    /// Where tunnel packets go.
    pub outer: Routes,
    /// All ports; a port's id is its place.
    pub ports: Vec<Port>,
    /// The interfaces, [`super::MOST_INTERFACES`] at most; an interface's id is its place.
    pub tunnels: Vec<Tunnel>,
    /// Which of them listens on a UDP port.
    pub listen: ListenPorts,
    /// The time.
    pub clock: Clock,
    /// The bound on waiting packets.
    pub staged: Budget,
    /// The bound on fragments in the queue of [`Shared::control`]: a flood of them leaves room for all else.
    pub fragments: Budget,
    /// Where empty packets come from.
    pub pool: A,
    /// The queue of the thread that answers ARP, NDP and ICMP and resolves next hops.
    pub control: Sender<A::Packet>,
    /// The queues of the handshake threads.
    pub handshakes: Vec<Sender<A::Packet>>,
}

impl<A: PacketPool> Shared<A> {
    /// The port of an id.
    #[inline]
    pub fn port(&self, id: u16) -> Option<&Port> {
        self.ports.get(usize::from(id))
    }

    /// The interface of an id.
    #[inline]
    pub fn tunnel(&self, id: u8) -> Option<&Tunnel> {
        self.tunnels.get(usize::from(id))
    }

    /// Where a message came from, and which address and port of ours it was sent to, as classify noted it.
    pub fn endpoint(&self, meta: &Meta) -> Option<Endpoint> {
        Some(Endpoint::seen(meta.source, meta.source_port, self.asked(meta)?))
    }

    /// Which address and port of ours a message was sent to, as classify noted it.
    #[inline]
    pub fn asked(&self, meta: &Meta) -> Option<SocketAddr> {
        let local = self.port(meta.port)?.addresses.get(usize::from(meta.local_address))?;
        Some(SocketAddr::new(local.addr(), meta.local_port))
    }

    /// Grows whenever [`Self::source`] or the outer routes may say something else than before. Any core.
    #[inline]
    pub fn outer_generation(&self) -> u64 {
        // Both only grow, so their sum is another as soon as one of them is.
        self.outer.fib.generation().wrapping_add(self.listen.generation())
    }

    /// Our end of what goes to a peer of interface `tunnel` by `port`: the address and the UDP port that the peer talked to, while they
    /// are ours (PROTOCOL A8, roaming), else the nearest address and the interface's primary port.
    pub fn source(&self, tunnel: u8, endpoint: &Endpoint, port: u16) -> Option<SocketAddr> {
        let to = endpoint.remote.ip();
        let asked = endpoint.local.filter(|local| self.listen.tunnel_of(local.port()) == Some(tunnel));
        let usable = |address: &IpAddr| !address.is_unspecified() && address.is_ipv4() == to.is_ipv4();
        let address = asked.map(|local| local.ip()).filter(usable).or_else(|| self.port(port)?.source_for(to))?;
        let udp = match asked {
            Some(local) => local.port(),
            None => self.tunnel(tunnel)?.listen_port(),
        };
        Some(SocketAddr::new(address, udp))
    }

    /// Whether `address` is ours on `port`, or on another port of the same side.
    pub fn is_ours(&self, port: u16, address: IpAddr) -> bool {
        let Some(roles) = self.port(port).map(|p| p.roles) else { return false };
        let side = |p: &&Port| p.roles.inner && roles.inner || p.roles.outer && roles.outer;
        self.ports.iter().filter(side).any(|p| p.addresses.iter().any(|net| net.addr() == address))
    }
}

/// The flow type of a gateway whose packets are `P`.
pub type PeerFlow<P> = crate::queue::Flow<P, Peer>;
