//! Everything that the threads share, made before any of them runs.

use super::plan::{Plan, to_u32};
use super::{Pool, Port, StartError};
use crate::config::{self, Config};
use crate::control::context::{Context, Request};
use crate::control::interface::{Interface, Writer};
use crate::frame::PacketPool;
use crate::peer::{IndexTable, Peer};
use crate::queue::{Domain, Flows, PostSeat, Receiver, Sender, WorkerSeat, inbox, sync::Arc};
use crate::route::{Adjacencies, AllowedIps, Fib, FibWriter, RouteError};
use crate::shared::{self, Budget, Clock, ListenPorts, Roles, Routes, Shared, Tunnel};
use crate::wire::MacAddr;
use std::sync::mpsc;

const _: () = assert!(config::MOST_INTERFACES == shared::MOST_INTERFACES);

type Mbuf = <Pool as PacketPool>::Packet;

/// Packets that an inbox (of an I/O core, a handshake thread, the control thread) holds, at most.
const INBOX: u32 = 4096;
/// Outer fragments that the control thread's inbox holds, at most.
const INBOX_FRAGMENTS: u32 = INBOX / 4;
/// Outer fragments that wait for others are at most this part of the pool.
const FRAGMENTS: u32 = 16;
/// Handshakes that wait to be started, a thread.
const REQUESTS: usize = 4096;
/// Readers that come and go: changes at the start and at the end.
const SPARE_READERS: usize = 48;
/// The same of one `wg` socket, whose threads dump and change: twice as many as they are.
const READERS_A_SOCKET: usize = 16;
/// Neighbours a port.
const NEIGHBOURS: usize = 4096;
/// Prefixes of a family that the routes take without growing.
const ROUTES: usize = 1024;

/// What lives as long as the gateway.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) domain: Arc<Domain>,
    pub(super) shared: Arc<Shared<Pool>>,
    pub(super) context: Arc<Context<Pool>>,
    pub(super) writer: Arc<Writer<Pool>>,
    /// In the order of the configuration, which is that of [`Shared::tunnels`].
    pub(super) interfaces: Vec<Arc<Interface<Pool>>>,
    /// The inbox of each I/O core.
    pub(super) io: Vec<Sender<Mbuf>>,
    /// Outer fragments that may wait for others.
    pub(super) fragments: usize,
}

/// What goes to one thread each.
#[derive(Debug)]
pub(super) struct Seats {
    pub(super) workers: Vec<WorkerSeat<Mbuf, Peer>>,
    pub(super) posts: PostSeat<Mbuf, Peer>,
    pub(super) io: Vec<Receiver<Mbuf>>,
    pub(super) control: Receiver<Mbuf>,
    pub(super) handshakes: Vec<(Receiver<Mbuf>, mpsc::Receiver<Request>)>,
    pub(super) inner: FibWriter,
    pub(super) outer: FibWriter,
}

impl Tables {
    pub(super) fn new(config: &Config, ports: &[Port], pool: &Pool, plan: &Plan) -> Result<(Self, Seats), StartError> {
        let handshake_threads = config.cores.handshake.len();
        let spare_readers = SPARE_READERS + READERS_A_SOCKET * config.interfaces.len();
        let domain = Domain::new(plan.cores.len() + handshake_threads + 1 + spare_readers);
        let max_peers = config.interfaces.iter().map(|interface| interface.max_peers).fold(0, u32::saturating_add);
        let places = Writer::<Pool>::places(max_peers);
        let (flows, workers, posts, owner) = Flows::new(places, plan.worker_count(), Arc::clone(&domain));
        let prefixes = max_peers as usize;
        let (allowed, allowed_writer) = AllowedIps::new(&domain, prefixes, prefixes);
        let (inner, inner_routes) = routes(config, ports, &domain, |roles| roles.inner)?;
        let (outer, outer_routes) = routes(config, ports, &domain, |roles| roles.outer)?;
        let (control_in, control) = inbox(INBOX);
        let (handshake_in, handshakes) = pairs(handshake_threads);
        let (request_in, requests): (Vec<_>, Vec<_>) =
            (0..handshake_threads).map(|_| mpsc::sync_channel(REQUESTS)).unzip();
        let (io_in, io) = pairs(plan.io);
        let tunnels: Vec<_> = (0..).zip(&config.interfaces).map(|(id, c)| tunnel(id, c)).collect();
        let shared = Arc::new(Shared {
            flows,
            index: IndexTable::new(Arc::clone(&domain), max_peers),
            allowed,
            inner: inner_routes,
            outer: outer_routes,
            ports: config.ports.iter().zip(ports).zip(0..).map(|((c, p), id)| port(c, p, id)).collect(),
            listen: ListenPorts::new(&tunnels),
            tunnels,
            clock: Clock::default(),
            staged: Budget::new(pool.size() / 8),
            fragments: Budget::new(INBOX_FRAGMENTS),
            pool: pool.clone(),
            control: control_in,
            handshakes: handshake_in,
        });
        let context = Arc::new(Context::new(Arc::clone(&shared), request_in));
        shared.clock.set_ms(context.environment.now_ms());
        let writer = Arc::new(Writer::new(Arc::clone(&domain), owner, allowed_writer));
        let interface = |(id, c): (u8, &config::Interface)| {
            Arc::new(Interface::new(Arc::clone(&context), Arc::clone(&writer), id, c.max_peers))
        };
        let interfaces = (0..).zip(&config.interfaces).map(interface).collect();
        let seats = Seats {
            workers,
            posts,
            io,
            control,
            handshakes: handshakes.into_iter().zip(requests).collect(),
            inner,
            outer,
        };
        let fragments = pool.size() as usize / FRAGMENTS as usize;
        Ok((Self { domain, shared, context, writer, interfaces, io: io_in, fragments }, seats))
    }
}

fn pairs(n: usize) -> (Vec<Sender<Mbuf>>, Vec<Receiver<Mbuf>>) {
    (0..n).map(|_| inbox(INBOX)).unzip()
}

fn roles(port: &config::Port) -> Roles {
    Roles { outer: port.role.is_outer(), inner: port.role.is_inner() }
}

fn tunnel(id: u8, config: &config::Interface) -> Tunnel {
    Tunnel::new(id, &config.name, &config.listen_ports, config.mtu, config.mss_clamp)
}

fn port(config: &config::Port, port: &Port, id: u16) -> shared::Port {
    shared::Port {
        id,
        name: config.name.clone(),
        roles: roles(config),
        mac: MacAddr(port.mac()),
        mtu: config.mtu,
        vlan: config.vlan,
        addresses: config.addresses.clone(),
    }
}

/// The routes of one side: the addresses and routes of all ports that belong to it.
fn routes(
    config: &Config,
    ports: &[Port],
    domain: &Arc<Domain>,
    belongs: impl Fn(Roles) -> bool,
) -> Result<(FibWriter, Routes), StartError> {
    let count = u16::try_from(to_u32(ports.len())).unwrap_or(u16::MAX);
    let (adjacencies, writer) = Adjacencies::new(count, NEIGHBOURS);
    let (fib, mut writer) = Fib::new(domain, ROUTES, ROUTES, writer);
    let side = || (0u16..).zip(config.ports.iter().zip(ports)).filter(|(_, (c, _))| belongs(roles(c)));
    for (id, (c, port)) in side() {
        let error = |error: RouteError| StartError::Route { port: c.name.clone(), error };
        writer.add_port(id, port.mac(), &c.addresses).map_err(error)?;
    }
    for (id, (c, _)) in side() {
        for route in &c.routes {
            let error = |error: RouteError| StartError::Route { port: c.name.clone(), error };
            writer.add_route(id, route.to, route.via).map_err(error)?;
        }
    }
    Ok((writer, Routes { fib, adjacencies }))
}
