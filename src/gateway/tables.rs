//! Everything that the threads share, made before any of them runs.

use super::plan::{Plan, to_u32};
use super::{Pool, Port, StartError};
use crate::config::{Config, Interface as InterfaceConfig};
use crate::control::context::{Context, Request};
use crate::control::interface::Interface;
use crate::frame::PacketPool;
use crate::peer::{IndexTable, Peer};
use crate::queue::{Domain, Flows, PostSeat, Receiver, Sender, WorkerSeat, inbox, sync::Arc};
use crate::route::{Adjacencies, AllowedIps, Fib, FibWriter, RouteError};
use crate::shared::{self, Budget, Clock, Roles, Routes, Shared, Tunnel};
use crate::wire::MacAddr;
use std::sync::mpsc;

type Mbuf = <Pool as PacketPool>::Packet;

/// Packets that an inbox (of an I/O core, a handshake thread, the control thread) holds, at most.
const INBOX: u32 = 4096;
/// Handshakes that wait to be started, a thread.
const REQUESTS: usize = 4096;
/// Readers that come and go: `wg` dumps and changes.
const SPARE_READERS: usize = 64;
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
    pub(super) interface: Arc<Interface<Pool>>,
    /// The inbox of each I/O core.
    pub(super) io: Vec<Sender<Mbuf>>,
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
    pub(super) fn new(
        config: &Config,
        interface: &InterfaceConfig,
        ports: &[Port],
        pool: &Pool,
        plan: &Plan,
    ) -> Result<(Self, Seats), StartError> {
        let handshake_threads = config.cores.handshake.len();
        let domain = Domain::new(plan.cores.len() + handshake_threads + 1 + SPARE_READERS);
        let places = Interface::<Pool>::places(interface.max_peers);
        let (flows, workers, posts, owner) = Flows::new(places, plan.worker_count(), Arc::clone(&domain));
        let prefixes = interface.max_peers as usize;
        let (allowed, allowed_writer) = AllowedIps::new(&domain, prefixes, prefixes);
        let (inner, inner_routes) = routes(config, ports, &domain, |roles| roles.inner)?;
        let (outer, outer_routes) = routes(config, ports, &domain, |roles| roles.outer)?;
        let (control_in, control) = inbox(INBOX);
        let (handshake_in, handshakes) = pairs(handshake_threads);
        let (request_in, requests): (Vec<_>, Vec<_>) =
            (0..handshake_threads).map(|_| mpsc::sync_channel(REQUESTS)).unzip();
        let (io_in, io) = pairs(plan.io);
        let listen_port = interface.listen_ports.first().copied().unwrap_or(0);
        let shared = Arc::new(Shared {
            flows,
            index: IndexTable::new(Arc::clone(&domain), interface.max_peers),
            allowed,
            inner: inner_routes,
            outer: outer_routes,
            ports: config.ports.iter().zip(ports).zip(0..).map(|((c, p), id)| port(c, p, id)).collect(),
            tunnel: Tunnel::new(listen_port, interface.mtu),
            clock: Clock::default(),
            staged: Budget::new(pool.size() / 8),
            pool: pool.clone(),
            control: control_in,
            handshakes: handshake_in,
        });
        let context = Arc::new(Context::new(Arc::clone(&shared), request_in));
        shared.clock.set_ms(context.environment.now_ms());
        let interface =
            Interface::new(Arc::clone(&context), Arc::clone(&domain), owner, allowed_writer, interface.max_peers);
        let seats = Seats {
            workers,
            posts,
            io,
            control,
            handshakes: handshakes.into_iter().zip(requests).collect(),
            inner,
            outer,
        };
        Ok((Self { domain, shared, context, interface: Arc::new(interface), io: io_in }, seats))
    }
}

fn pairs(n: usize) -> (Vec<Sender<Mbuf>>, Vec<Receiver<Mbuf>>) {
    (0..n).map(|_| inbox(INBOX)).unzip()
}

fn roles(port: &crate::config::Port) -> Roles {
    Roles { outer: port.role.is_outer(), inner: port.role.is_inner() }
}

fn port(config: &crate::config::Port, port: &Port, id: u16) -> shared::Port {
    shared::Port {
        id,
        name: config.name.clone(),
        roles: roles(config),
        mac: MacAddr(port.mac()),
        mtu: config.mtu,
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
