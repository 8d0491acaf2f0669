//! A gateway whose one core this thread drives: the real stages over real mbufs, between two memory ports.
//!
//! Its loop is that of a core which polls and works: a burst of 32 at most from each port, and then whatever is queued for the
//! worker. The rings are filled before (outside of the measurement), so it finds full bursts, as under load.

use crate::harness::LISTEN_PORT;
use crate::rig::{HOST, HOST_MAC};
use crate::{harness, packets};
use culvert::aead::{Backend, Job, Key};
use culvert::datapath::{Core, CryptoWorker, ErrorBudget, Idle, Io, RxPort, Tx, TxPath};
use culvert::dpdk::{self, Eal, FarEnd, Mbuf, MemoryWire, Pool, PoolOptions, Port, PortOptions};
use culvert::frame::{BURST, Burst, Frame, Packet, RxBurst, TxBurst};
use culvert::noise::SessionSecrets;
use culvert::peer::{Endpoint, IndexTable, Peer};
use culvert::queue::sync::Arc;
use culvert::queue::{Domain, FlowId, Flows, FlowsOwner, PostSeat, Receiver, inbox};
use culvert::route::{Adjacencies, AllowedIps, AllowedIpsWriter, Fib, FibWriter};
use culvert::session::Keypair;
use culvert::shared::{
    self, Account, Budget, Clock, Counters, ListenPorts, Roles, Routes, Shared, Spent, Stage, Tunnel,
};
use culvert::wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Packets in a ring when the core begins to turn: what is measured in one go.
pub const BATCH: usize = 1024;

/// Milliseconds since a start that nobody saw.
pub const NOW_MS: u64 = 1_000_000;

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Egress,
    Ingress,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// What peers of both ends and the bare ciphers share: the key of a peer's number, both ways.
pub fn key(number: u32) -> [u8; 32] {
    let mut key = [0x6b; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    key
}

/// The gateway and all around it.
pub struct OneCore {
    core: Core<Pool>,
    wan: FarEnd,
    lan: FarEnd,
    pool: Pool,
    peers: Vec<FarPeer>,
    sealer: culvert::aead::Cipher,
    _ports: [Port; 2],
    _wires: [MemoryWire; 2],
    _keep: Keep,
}

/// What nobody turns, but has to live.
pub type Keep = (FlowsOwner<Mbuf, Peer>, AllowedIpsWriter, [FibWriter; 2], PostSeat<Mbuf, Peer>, Vec<Receiver<Mbuf>>);

/// A peer as its far end knows it.
pub struct FarPeer {
    pub inner: Ipv4Addr,
    at: SocketAddr,
    /// The gateway's index of its session.
    index: u32,
    key: Key,
    /// The next counter to send to the gateway.
    counter: u64,
}

/// What a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// TSC ticks of all turns.
    pub cycles: u64,
    pub packets: u64,
}

/// An EAL on the last core, with huge pages if there are enough, and a pool of mbufs.
pub fn start(ports: u32) -> (Eal, Pool) {
    let core = *culvert::config::Machine::read().cores.last().unwrap();
    let options = dpdk::EalOptions::new().main_core(core).memory_mib(64 + 4 * ports);
    let eal = Eal::init(&options).expect("an EAL of its own: see main.rs");
    let pool = Pool::create(&eal, &PoolOptions::new("mbufs", 8191)).unwrap();
    (eal, pool)
}

/// The endpoint of a peer: behind IPv6 it hears datagrams with a checksum, behind IPv4 without.
fn endpoint(number: u32, ipv6: bool) -> SocketAddr {
    let address: IpAddr = match ipv6 {
        true => Ipv6Addr::from_bits(0x2001_0db8_0002 << 80 | u128::from(number)).into(),
        false => Ipv4Addr::from_bits(0xc612_0000 + number).into(),
    };
    SocketAddr::new(address, 4000)
}

/// Where the gateway is asked.
fn ours(ipv6: bool) -> SocketAddr {
    SocketAddr::new(packets::addr(if ipv6 { "2001:db8:1::1" } else { "192.0.2.1" }), LISTEN_PORT)
}

fn port(id: u16, name: &str, port: &Port, addresses: &[&str]) -> shared::Port {
    shared::Port {
        id,
        name: name.to_owned(),
        roles: Roles { outer: id == 0, inner: id == 1 },
        mac: MacAddr(port.mac()),
        mtu: 1500,
        vlan: 0,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
    }
}

/// One side's routes over `port`, whose next hops are known.
pub fn routes(domain: &Arc<Domain>, port: &shared::Port, neighbours: &[(&str, MacAddr)]) -> (FibWriter, Routes) {
    let (adjacencies, writer) = Adjacencies::new(2, 64);
    let (fib, mut writer) = Fib::new(domain, 64, 64, writer);
    writer.add_port(port.id, port.mac.0, &port.addresses).unwrap();
    for (address, mac) in neighbours {
        let address = packets::addr(address);
        if port.roles.outer {
            let all = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            writer.add_route(port.id, all.parse().unwrap(), address).unwrap();
        }
        writer.neighbour_resolved(port.id, address, mac.0);
    }
    (writer, Routes { fib, adjacencies })
}

/// A wire and the port on it.
fn wire(eal: &Eal, pool: &Pool, name: &str) -> (MemoryWire, FarEnd, Port, dpdk::PortQueues) {
    let (wire, mut ends) = MemoryWire::create(eal, name, 1, 2 * BATCH as u32).unwrap();
    let mut port = Port::open(eal, name, wire.device(), 1, 1500).unwrap();
    let queues = port.configure(&PortOptions::new(pool.clone())).unwrap();
    (wire, ends.remove(0), port, queues)
}

impl OneCore {
    /// With peers 0 to `v4` behind IPv4, and `v6` more behind IPv6; each has a session, installed as a handshake thread does it.
    pub fn new(eal: &Eal, pool: &Pool, name: &str, v4: u32, v6: u32) -> Self {
        let (wan_wire, wan, wan_port, mut wan_queues) = wire(eal, pool, &format!("{name}_wan"));
        let (lan_wire, lan, lan_port, mut lan_queues) = wire(eal, pool, &format!("{name}_lan"));
        let peers = v4 + v6;
        let domain = Domain::new(2);
        let (flows, mut seats, posts, mut owner) = Flows::new(peers + 64, 1, Arc::clone(&domain));
        let (allowed, mut allowed_writer) = AllowedIps::new(&domain, peers as usize, 0);
        let ports = vec![
            port(0, "wan", &wan_port, &["192.0.2.1/24", "2001:db8:1::1/64"]),
            port(1, "lan", &lan_port, &["10.0.0.1/24"]),
        ];
        let router = harness::ROUTER_MAC;
        let (outer_writer, outer) = routes(&domain, &ports[0], &[("192.0.2.254", router), ("2001:db8:1::fe", router)]);
        let (inner_writer, inner) = routes(&domain, &ports[1], &[(HOST, HOST_MAC)]);
        let (control, control_inbox) = inbox(4096);
        let (handshakes, handshake_inbox) = inbox(4096);
        let (_, io_inbox) = inbox(4096);
        let tunnels = vec![Tunnel::new(0, "wg0", &[LISTEN_PORT], 1420, false)];
        let shared = Arc::new(Shared {
            flows,
            index: IndexTable::new(Arc::clone(&domain), peers),
            allowed,
            inner,
            outer,
            ports,
            listen: ListenPorts::new(&tunnels),
            tunnels,
            clock: Clock::default(),
            staged: Budget::new(1024),
            fragments: Budget::new(1024),
            pool: pool.clone(),
            control,
            handshakes: vec![handshakes],
        });
        shared.clock.set_ms(NOW_MS);
        let queue = |queues: &mut dpdk::PortQueues| (queues.rx.remove(0), queues.tx.remove(0));
        let ((wan_rx, wan_tx), (lan_rx, lan_tx)) = (queue(&mut wan_queues), queue(&mut lan_queues));
        let rx = vec![RxPort { port: 0, queue: Box::new(wan_rx) }, RxPort { port: 1, queue: Box::new(lan_rx) }];
        let tx = Tx::new(vec![TxPath::Queue(Box::new(wan_tx)), TxPath::Queue(Box::new(lan_tx))], &shared.ports);
        let backend = Backend::choose("auto").unwrap();
        let reader = domain.register().unwrap();
        let peers = (0..peers).map(|n| add(&shared, &reader, &mut owner, &mut allowed_writer, n, n >= v4)).collect();
        let core = Core {
            shared,
            counters: Counters::timed("core", dpdk::tsc),
            reader,
            tx,
            io: Some(Io::new(rx, io_inbox)),
            worker: Some(CryptoWorker::new(seats.remove(0), 1, backend.cipher())),
            errors: ErrorBudget::default(),
            idle: Idle::Busy,
        };
        let keep = (owner, allowed_writer, [outer_writer, inner_writer], posts, vec![control_inbox, handshake_inbox]);
        Self {
            core,
            wan,
            lan,
            pool: pool.clone(),
            peers,
            sealer: backend.cipher(),
            _ports: [wan_port, lan_port],
            _wires: [wan_wire, lan_wire],
            _keep: keep,
        }
    }

    /// A batch of inner packets of `size` bytes, one a peer that `peers` names, through the core.
    pub fn batch(&mut self, way: Way, size: usize, mut peers: impl FnMut() -> u32) -> Took {
        for _ in 0..BATCH / BURST {
            let mut burst = Burst::new();
            assert_eq!(self.pool.alloc_burst(&mut burst, BURST), BURST);
            for mbuf in &mut burst {
                let frame = match way {
                    Way::Egress => self.plain(peers(), size),
                    Way::Ingress => self.sealed(peers(), size),
                };
                mbuf.append(frame.len()).unwrap().copy_from_slice(&frame);
            }
            let near = if way == Way::Egress { &mut self.lan.tx } else { &mut self.wan.tx };
            assert_eq!(near.tx_burst(&mut burst), BURST);
        }
        let before = dpdk::tsc();
        loop {
            let moved = self.core.turn(true);
            self.core.reader.quiescent();
            if moved == 0 {
                break;
            }
        }
        let cycles = dpdk::tsc() - before;
        let far = if way == Way::Egress { &mut self.wan.rx } else { &mut self.lan.rx };
        let mut packets = 0;
        loop {
            let mut burst = Burst::new();
            packets += far.rx_burst(&mut burst) as u64;
            if burst.is_empty() {
                break;
            }
            Mbuf::free_burst(&mut burst);
        }
        assert_eq!(packets, BATCH as u64, "{:?}", Account::sum([&**self.core.counters].into_iter(), [].into_iter()));
        Took { cycles, packets }
    }

    /// The same, by stage.
    pub fn recorded(&mut self, way: Way, size: usize, peers: impl FnMut() -> u32) -> [Spent; 7] {
        let spent = |core: &Core<Pool>| Stage::ALL.map(|stage| core.counters.cycles.spent(stage));
        let before = spent(&self.core);
        self.core.counters.cycles.record(true);
        self.batch(way, size, peers);
        self.core.counters.cycles.record(false);
        let after = spent(&self.core);
        std::array::from_fn(|i| Spent {
            cycles: after[i].cycles - before[i].cycles,
            packets: after[i].packets - before[i].packets,
            units: after[i].units - before[i].units,
        })
    }

    /// From the host to the peer.
    fn plain(&self, peer: u32, size: usize) -> Vec<u8> {
        let to = SocketAddr::new(self.peers[peer as usize].inner.into(), 2);
        let packet = packets::udp(SocketAddr::new(packets::addr(HOST), 1), to, 0, &vec![0x5a; size - 28]);
        packets::frame(MacAddr::ZERO, HOST_MAC, &packet)
    }

    /// From the peer to the host.
    fn sealed(&mut self, peer: u32, size: usize) -> Vec<u8> {
        let peer = &mut self.peers[peer as usize];
        let from = SocketAddr::new(peer.inner.into(), 2);
        let inner = packets::udp(from, SocketAddr::new(packets::addr(HOST), 1), 0, &vec![0x5a; size - 28]);
        let mut buffer = inner;
        buffer.resize(size.next_multiple_of(16).min(1420) + 16, 0);
        let mut jobs = [Job::new(&peer.key, peer.counter, &mut buffer)];
        self.sealer.seal(&mut jobs);
        assert!(jobs[0].ok);
        let header = [&[4, 0, 0, 0], &peer.index.to_le_bytes()[..], &peer.counter.to_le_bytes()].concat();
        peer.counter += 1;
        let is_v6 = peer.at.is_ipv6();
        let mut packet = packets::udp(peer.at, ours(is_v6), 0, &[header, buffer].concat());
        if !is_v6 {
            // No checksum, as kernels and culvert send it.
            packet[26..28].fill(0);
        }
        packets::frame(MacAddr::ZERO, harness::ROUTER_MAC, &packet)
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        assert!(self.core.is_idle() || std::thread::panicking());
    }
}

/// A peer with a session that both sides have agreed on.
pub fn add(
    shared: &Shared<Pool>,
    reader: &culvert::queue::Reader,
    flows: &mut FlowsOwner<Mbuf, Peer>,
    allowed: &mut AllowedIpsWriter,
    number: u32,
    ipv6: bool,
) -> FarPeer {
    let inner = Ipv4Addr::from_bits(0x0a40_0000 + number);
    let at = endpoint(number, ipv6);
    let known = Endpoint { remote: at, local: Some(ours(ipv6)) };
    let id = flows.insert_with(|_| Peer::new(0, Some(known))).unwrap();
    assert_eq!(allowed.insert(ipnet::Ipv4Net::from(inner).into(), id.0), None);
    let index = shared.index.reserve(reader, id, || fastrand::u32(..)).unwrap();
    let (send, receive) = (Key::new(key(number)), Key::new(key(number)));
    let secrets = SessionSecrets { send, receive, local_index: index, remote_index: number, initiator: true };
    let keypair = Keypair::new(secrets, number, id.0, NOW_MS);
    let slot = shared.index.install(Box::new(keypair)).unwrap();
    shared.flows.get(reader, FlowId(id.0)).unwrap().keys.install_initiator(slot);
    FarPeer { inner, at, index, key: Key::new(key(number)), counter: 0 }
}
