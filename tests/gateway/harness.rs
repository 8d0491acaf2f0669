//! A gateway without DPDK: assembled as `culvert::gateway` does it, over heap packets, and stepped by the test.

use crate::client::Client;
use crate::packets::{self, Datagram};
use crate::ports::{inner_routes, outer_routes, ports};
use culvert::aead::Backend;
use culvert::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use culvert::control::context::{Context, Environment};
use culvert::control::handshake::HandshakeThread;
use culvert::control::interface::{ChangeError, Interface, Writer};
use culvert::control::output::Output;
use culvert::control::record::PeerRecord;
use culvert::control::service::{Service, ServiceParts};
use culvert::datapath::{Core, CryptoWorker, ErrorBudget, Idle, Io, RxPort, Tx, TxPath};
use culvert::frame::heap::{HeapFragments, HeapPacket, HeapPool, HeapWire};
use culvert::frame::{Burst, Frame, TxBurst};
use culvert::noise::{Identity, os_random};
use culvert::peer::{Endpoint, IndexTable};
use culvert::queue::sync::{Arc, AtomicU64, Mutex, Ordering};
use culvert::queue::{Domain, Flows, Sender, inbox};
use culvert::route::AllowedIps;
use culvert::shared::{Account, Budget, Clock, Counters, ListenPorts, Port, Shared, Tunnel};
use culvert::wire::MacAddr;
use std::sync::{Condvar, mpsc};
use std::time::Duration;

pub(crate) const LISTEN_PORT: u16 = 51820;
pub(crate) const WAN: u16 = 0;
pub(crate) const LAN: u16 = 1;
pub(crate) const WAN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const LAN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
/// The outer next hop: 192.0.2.254 and 2001:db8:1::fe.
pub(crate) const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
/// The inner host: 10.0.0.9 and fd00::9.
pub(crate) const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
pub(crate) const HOST: &str = "10.0.0.9";
pub(crate) const HOST6: &str = "fd00::9";

type Pool = HeapPool;
/// Fills a slice with random bytes.
pub(crate) type Random = Box<dyn Fn(&mut [u8]) + Send + Sync>;
type Shares = Arc<crossbeam_utils::CachePadded<Counters>>;

/// The gateway's key on its first interface.
pub(crate) fn server_identity() -> Identity {
    Identity::new(&server_key(0))
}

/// The gateway's private key on interface `tunnel`.
pub(crate) fn server_key(tunnel: u8) -> [u8; 32] {
    [0xaa + tunnel; 32]
}

/// What a core does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Io,
    Worker,
    Both,
    /// A worker without TX queues: the first core sends for it.
    WorkerByIo,
}

/// How the gateway is built.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) cores: Vec<Role>,
    pub(crate) pool: usize,
    /// Of each interface.
    pub(crate) max_peers: u32,
    pub(crate) mtu: u16,
    /// Of all interfaces but the first.
    pub(crate) other_mtu: u16,
    /// The listen ports of each interface: wg0, wg1, …
    pub(crate) listen_ports: Vec<Vec<u16>>,
    /// Of all interfaces.
    pub(crate) mss_clamp: bool,
    /// The next hops are known.
    pub(crate) resolved: bool,
    /// Which inner network it has: the host is 10.0.net.9 and fd00:net::9.
    pub(crate) net: u8,
    /// The last core's way to the outer port has this gate.
    pub(crate) gate: Option<Gate>,
    /// The ports' VLANs.
    pub(crate) vlans: [u16; 2],
}

/// While it is shut, who sends through it stands still.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<Passage>, Condvar)>);

#[derive(Debug, Default)]
struct Passage {
    shut: bool,
    /// How many stand before it.
    waiting: u32,
}

impl Gate {
    pub(crate) fn set(&self, shut: bool) {
        self.0.0.lock().unwrap().shut = shut;
        self.0.1.notify_all();
    }

    /// Whether somebody stands before it.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.0.lock().unwrap().waiting > 0
    }

    fn pass(&self) {
        let mut passage = self.0.0.lock().unwrap();
        passage.waiting += 1;
        self.0.1.wait_while(passage, |passage| passage.shut).unwrap().waiting -= 1;
    }
}

/// A TX queue behind a gate.
struct Gated(Gate, HeapWire);

impl TxBurst for Gated {
    type Packet = HeapPacket;

    fn tx_burst(&mut self, burst: &mut Burst<HeapPacket>) -> usize {
        self.0.pass();
        self.1.tx_burst(burst)
    }
}

impl Default for Options {
    fn default() -> Self {
        let (cores, listen_ports) = (vec![Role::Both], vec![vec![LISTEN_PORT]]);
        let (pool, max_peers, mtu, other_mtu) = (8192, 64, 1420, 1420);
        Self {
            cores,
            pool,
            max_peers,
            mtu,
            other_mtu,
            mss_clamp: false,
            listen_ports,
            resolved: true,
            net: 0,
            gate: None,
            vlans: [0; 2],
        }
    }
}

impl Options {
    /// One I/O core and so many workers.
    pub(crate) fn workers(workers: usize) -> Self {
        let cores = std::iter::once(Role::Io).chain(std::iter::repeat_n(Role::Worker, workers)).collect();
        Self { cores, ..Self::default() }
    }
}

/// The gateway with its wires.
pub(crate) struct Gateway {
    pub(crate) pool: Pool,
    pub(crate) shared: Arc<Shared<Pool>>,
    pub(crate) context: Arc<Context<Pool>>,
    /// The first one.
    pub(crate) interface: Arc<Interface<Pool>>,
    /// All of them.
    pub(crate) interfaces: Vec<Arc<Interface<Pool>>>,
    pub(crate) writer: Arc<Writer<Pool>>,
    pub(crate) cores: Vec<Core<Pool>>,
    pub(crate) handshake: HandshakeThread<Pool>,
    pub(crate) service: Service<Pool>,
    /// One a core that polls.
    pub(crate) wan_rx: Vec<HeapWire>,
    pub(crate) lan_rx: Vec<HeapWire>,
    pub(crate) wan_tx: HeapWire,
    pub(crate) lan_tx: HeapWire,
    pub(crate) time: Arc<AtomicU64>,
    /// What the wall clock shows beyond `time`, ms.
    pub(crate) wall: Arc<AtomicU64>,
    pub(crate) data: Vec<Shares>,
    pub(crate) control: Vec<Shares>,
    pub(crate) guard: Guard,
}

/// Sees to it that a test ends with `finish()`.
#[derive(Default)]
pub(crate) struct Guard {
    pub(crate) finished: bool,
}

/// Clocks in the test's hand, and `random`.
fn environment(time: &Arc<AtomicU64>, wall: &Arc<AtomicU64>, random: Random) -> Environment {
    let [now, clock, beyond] = [time, time, wall].map(Arc::clone);
    let ms = |clock: &AtomicU64| clock.load(Ordering::Relaxed);
    let wall_clock = move || Duration::from_millis(ms(&clock).wrapping_add(ms(&beyond)));
    Environment::new(move || ms(&now), wall_clock, random)
}

/// What the cores are built of.
struct Parts {
    wan_tx: HeapWire,
    lan_tx: HeapWire,
    io: Vec<Sender<HeapPacket>>,
}

impl Parts {
    fn tx(&self, role: Role, gate: Option<&Gate>, ports: &[Port]) -> Tx<HeapPacket> {
        let path = |wire: &HeapWire, gate: Option<&Gate>| match (role, gate) {
            (Role::WorkerByIo, _) => TxPath::Core(self.io[0].clone()),
            (_, Some(gate)) => TxPath::Queue(Box::new(Gated(gate.clone(), wire.clone()))),
            (_, None) => TxPath::Queue(Box::new(wire.clone())),
        };
        Tx::new(vec![path(&self.wan_tx, gate), path(&self.lan_tx, None)], ports)
    }
}

impl Gateway {
    /// One core that does all, no peers.
    pub(crate) fn new() -> Self {
        Self::with(&Options::default())
    }

    /// A gateway with its keys and no peers; its announcements are taken off the wires.
    pub(crate) fn with(options: &Options) -> Self {
        Self::seeded(options, server_key(0), Box::new(os_random))
    }

    /// The same with a key of the first interface and a randomness of the caller's.
    pub(crate) fn seeded(options: &Options, private_key: [u8; 32], random: Random) -> Self {
        let mut gateway = Self::assemble(options, random);
        for tunnel in (0..).take(gateway.interfaces.len()) {
            let private_key = Some(SecretKey::new(&if tunnel == 0 { private_key } else { server_key(tunnel) }));
            gateway.apply_to(tunnel, ChangeSet { private_key, ..ChangeSet::default() }).unwrap();
        }
        gateway.settle();
        gateway.frames();
        gateway
    }

    fn assemble(options: &Options, random: Random) -> Self {
        let pool = HeapPool::new(options.pool);
        let is_worker = |role: &&Role| **role != Role::Io;
        let workers = options.cores.iter().filter(is_worker).count();
        let polls = options.cores.iter().filter(|r| matches!(r, Role::Io | Role::Both)).count();
        let domain = Domain::new(options.cores.len() + 16);
        let tunnel = |(id, ports): (u8, &Vec<u16>)| {
            let mtu = if id == 0 { options.mtu } else { options.other_mtu };
            Tunnel::new(id, &format!("wg{id}"), ports, mtu, options.mss_clamp)
        };
        let tunnels: Vec<_> = (0..).zip(&options.listen_ports).map(tunnel).collect();
        let max_peers = options.max_peers * u32::try_from(tunnels.len()).unwrap();
        let places = Writer::<Pool>::places(max_peers);
        let (flows, seats, posts, owner) = Flows::new(places, workers, Arc::clone(&domain));
        let (allowed, allowed_writer) = AllowedIps::new(&domain, 256, 256);
        let ports = ports(options.net, options.vlans);
        let (outer_writer, outer) = outer_routes(&domain, &ports[0], options.resolved);
        let (inner_writer, inner) = inner_routes(&domain, &ports[1], options.net, options.resolved);
        let (control_in, control_inbox) = inbox(4096);
        let (handshake_in, handshake_inbox) = inbox(4096);
        let (request_in, requests) = mpsc::sync_channel(4096);
        let (io, io_inboxes): (Vec<_>, Vec<_>) = (0..polls).map(|_| inbox(4096)).unzip();
        let shared = Arc::new(Shared {
            flows,
            index: IndexTable::new(Arc::clone(&domain), max_peers),
            allowed,
            inner,
            outer,
            ports,
            listen: ListenPorts::new(&tunnels),
            tunnels,
            clock: Clock::default(),
            staged: Budget::new(u32::try_from(options.pool / 8).unwrap()),
            fragments: Budget::new(1024),
            pool: pool.clone(),
            control: control_in,
            handshakes: vec![handshake_in],
        });
        let (time, wall) = (Arc::new(AtomicU64::new(1_000_000)), Arc::new(AtomicU64::new(1_800_000_000_000)));
        let environment = environment(&time, &wall, random);
        let context = Arc::new(Context::within(environment, Arc::clone(&shared), vec![request_in]));
        let writer = Arc::new(Writer::new(Arc::clone(&domain), owner, allowed_writer));
        let interface = |id| Interface::new(Arc::clone(&context), Arc::clone(&writer), id, options.max_peers);
        let interfaces: Vec<_> = (0..).take(shared.tunnels.len()).map(interface).map(Arc::new).collect();
        let output = Output::new(vec![io[0].clone(), io[0].clone()]);
        let control = vec![Counters::new("control"), Counters::new("handshake")];
        let handshake = HandshakeThread::new(
            Arc::clone(&context),
            output.clone(),
            Arc::clone(&control[1]),
            domain.register().unwrap(),
            handshake_inbox,
            requests,
        );
        let service = Service::new(ServiceParts {
            context: Arc::clone(&context),
            writer: Arc::clone(&writer),
            output,
            counters: Arc::clone(&control[0]),
            reader: domain.register().unwrap(),
            inbox: control_inbox,
            posts,
            fragments: Box::new(HeapFragments::new(2048)),
            inner: inner_writer,
            outer: outer_writer,
        });
        let parts = Parts { wan_tx: HeapWire::default(), lan_tx: HeapWire::default(), io };
        let (mut wan_rx, mut lan_rx, mut data, mut cores) = (vec![], vec![], vec![], vec![]);
        let (mut io_inboxes, mut seats) = (io_inboxes.into_iter(), seats.into_iter());
        for (number, role) in options.cores.iter().enumerate() {
            let counters = Counters::new(&format!("core-{number}"));
            data.push(Arc::clone(&counters));
            let io = matches!(role, Role::Io | Role::Both).then(|| {
                let wires = [HeapWire::default(), HeapWire::default()];
                wan_rx.push(wires[0].clone());
                lan_rx.push(wires[1].clone());
                let rx = (0..).zip(wires).map(|(port, wire)| RxPort { port, queue: Box::new(wire) });
                Io::new(rx.collect(), io_inboxes.next().unwrap())
            });
            let worker =
                is_worker(&role).then(|| CryptoWorker::new(seats.next().unwrap(), workers, Backend::Portable.cipher()));
            cores.push(Core {
                shared: Arc::clone(&shared),
                counters,
                reader: domain.register().unwrap(),
                tx: {
                    let gate = options.gate.as_ref().filter(|_| number + 1 == options.cores.len());
                    parts.tx(*role, gate, &shared.ports)
                },
                io,
                worker,
                errors: ErrorBudget::default(),
                idle: Idle::Adaptive,
            });
        }
        let Parts { wan_tx, lan_tx, .. } = parts;
        let guard = Guard::default();
        Self {
            pool,
            shared,
            context,
            interface: Arc::clone(&interfaces[0]),
            interfaces,
            writer,
            cores,
            handshake,
            service,
            wan_rx,
            lan_rx,
            wan_tx,
            lan_tx,
            time,
            wall,
            data,
            control,
            guard,
        }
    }

    // Steps.

    /// One turn of one core. Returns how many packets it moved.
    pub(crate) fn turn(&mut self, core: usize) -> usize {
        let core = &mut self.cores[core];
        let moved = core.turn(true);
        core.reader.quiescent();
        moved
    }

    /// One turn of everything. Returns whether there was work.
    pub(crate) fn step(&mut self) -> bool {
        let moved: usize = (0..self.cores.len()).map(|core| self.turn(core)).sum();
        let handshake = self.handshake.turn();
        self.service.turn() || handshake || moved > 0
    }

    /// Until nothing moves.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..100_000 {
            quiet = if self.step() { 0 } else { quiet + 1 };
            if quiet == 4 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Time passes, in steps of 10 ms at most where something may fire meanwhile.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.time.fetch_add(10, Ordering::Relaxed);
            self.service.turn();
            self.step();
        }
        self.time.fetch_add(ms % 10, Ordering::Relaxed);
        self.settle();
    }

    /// Time leaps.
    pub(crate) fn leap_ms(&mut self, ms: u64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
        self.settle();
    }

    // Changes.

    /// Applies a change of the first interface while all others stand still at a quiescent point.
    pub(crate) fn apply(&mut self, change: ChangeSet) -> Result<(), ChangeError> {
        self.apply_to(0, change)
    }

    /// The same of any interface.
    pub(crate) fn apply_to(&mut self, tunnel: u8, change: ChangeSet) -> Result<(), ChangeError> {
        let Self { interfaces, cores, handshake, service, .. } = self;
        let interface = &interfaces[usize::from(tunnel)];
        let mut change = Some(change);
        let mut result = None;
        let mut apply = || result = change.take().map(|change| interface.apply(change));
        handshake.offline(|| service.offline(|| offline(cores, &mut apply)));
        result.unwrap()
    }

    /// Applies one peer's change.
    pub(crate) fn change_peer(&mut self, peer: PeerChange) {
        self.apply(ChangeSet { peers: vec![peer], ..ChangeSet::default() }).unwrap();
    }

    /// Adds a client to its interface, without endpoint, with its two inner addresses.
    pub(crate) fn add(&mut self, client: &Client) {
        self.apply_to(client.tunnel, ChangeSet { peers: vec![peer(client)], ..ChangeSet::default() }).unwrap();
    }

    /// Removes it.
    pub(crate) fn remove(&mut self, client: &Client) {
        self.change_peer(PeerChange { public_key: client.key(), remove: true, ..PeerChange::default() });
    }

    /// What the control threads know of it.
    pub(crate) fn record(&self, client: &Client) -> Arc<PeerRecord> {
        self.context.directory.by_key(client.tunnel, &client.key()).unwrap()
    }

    /// Where it is said to be.
    pub(crate) fn endpoint(&mut self, client: &Client) -> Option<Endpoint> {
        let flow = self.record(client).flow;
        self.shared.flows.get(&self.cores[0].reader, flow).unwrap().endpoint()
    }

    // Wires.

    /// A packet of the pool with these bytes.
    pub(crate) fn packet(&self, bytes: &[u8]) -> HeapPacket {
        self.pool.alloc_with(bytes).unwrap()
    }

    /// A frame comes by the outer port.
    pub(crate) fn wan(&mut self, frame: &[u8]) {
        self.wan_rx[0].push(self.packet(frame));
    }

    /// An IP packet of the inner host comes by the inner port.
    pub(crate) fn lan(&mut self, packet: &[u8]) {
        self.lan_rx[0].push(self.packet(&packets::frame(LAN_MAC, HOST_MAC, packet)));
    }

    /// All frames that went out: by the outer port, by the inner one.
    pub(crate) fn frames(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        (take(&self.wan_tx), take(&self.lan_tx))
    }

    /// The outer datagrams that went out; all went to the router.
    pub(crate) fn datagrams(&mut self) -> Vec<Datagram> {
        let frames = take(&self.wan_tx);
        frames
            .iter()
            .filter(|f| f[..12] == [ROUTER_MAC.0, WAN_MAC.0].concat())
            .filter_map(|f| Datagram::of(f))
            .collect()
    }

    /// The IP packets that went to the inner host.
    pub(crate) fn delivered(&mut self) -> Vec<Vec<u8>> {
        let frames = take(&self.lan_tx);
        let to_host = |f: &&Vec<u8>| f[..12] == [HOST_MAC.0, LAN_MAC.0].concat();
        frames.iter().filter(to_host).map(|f| f[14..].to_vec()).collect()
    }

    // Counts.

    pub(crate) fn account(&self) -> Account {
        Account::sum(self.data.iter().map(|c| &***c), self.control.iter().map(|c| &***c))
    }

    /// How many were dropped for the reason of this name.
    pub(crate) fn dropped(&self, name: &str) -> u64 {
        assert!(culvert::shared::DropReason::ALL.iter().any(|r| r.name() == name), "{name}");
        self.drops().iter().filter(|(r, _)| *r == name).map(|(_, n)| n).sum()
    }

    /// All drops so far, by name.
    pub(crate) fn drops(&self) -> Vec<(&'static str, u64)> {
        let account = self.account();
        account.drops.iter().chain(&account.control_drops).map(|(r, n)| (r.name(), *n)).collect()
    }

    /// Lets `frames` come by the outer port; nothing goes out by any port, and each is dropped once, for this reason.
    pub(crate) fn silent(&mut self, frames: &[Vec<u8>], reason: &str) {
        let before = self.drops();
        for frame in frames {
            self.wan(frame);
        }
        self.settle();
        let (wan, lan) = self.frames();
        assert!(wan.is_empty() && lan.is_empty(), "{reason}: not silent: {wan:x?} {lan:x?}");
        let was = |name: &str| before.iter().filter(|(r, _)| *r == name).map(|(_, n)| n).sum::<u64>();
        let new: Vec<_> = self.drops().into_iter().map(|(r, n)| (r, n - was(r))).filter(|(_, n)| *n > 0).collect();
        assert_eq!(new, [(reason, frames.len() as u64)]);
    }

    // Sessions.

    /// The client's handshake, and its confirmation by a keepalive.
    pub(crate) fn connect(&mut self, client: &mut Client) {
        self.handshake_of(client);
        let keepalive = client.data(&[]);
        self.wan(&keepalive);
        self.settle();
    }

    /// The client's handshake: it has the response, but has sent nothing under the new session.
    pub(crate) fn handshake_of(&mut self, client: &mut Client) {
        let initiation = client.initiation();
        self.wan(&client.frame(&initiation));
        self.settle();
        let response = self.datagrams().into_iter().find(|d| d.kind() == 2 && d.to == client.at).unwrap();
        assert!(client.take_response(&response.payload));
        // The next one is not too soon.
        self.leap_ms(20);
    }

    /// What went out to this client, opened; anything else than data fails.
    pub(crate) fn received_by(&mut self, client: &Client) -> Vec<Vec<u8>> {
        let mine: Vec<_> = self.datagrams().into_iter().filter(|d| d.to == client.at).collect();
        mine.iter().map(|d| client.open(&d.payload).expect("data that opens")).collect()
    }

    /// The end: all peers go, everything comes to rest, and the two laws of TESTING hold.
    pub(crate) fn finish(mut self) {
        self.drain();
        let pool = self.pool.clone();
        self.guard.finished = true;
        drop(self);
        assert_eq!(pool.outstanding(), 0, "packets leaked");
    }

    /// All peers go; the accounts close.
    pub(crate) fn drain(&mut self) {
        self.settle();
        for tunnel in (0..).take(self.interfaces.len()) {
            self.apply_to(tunnel, ChangeSet { replace_peers: true, ..ChangeSet::default() }).unwrap();
        }
        for _ in 0..100 {
            self.settle();
            self.service.flush();
        }
        assert_eq!(self.writer.poll(), 0, "flows are not freed");
        assert!(self.cores.iter().all(Core::is_idle));
        let account = self.account();
        assert_eq!((account.queued(), account.control_queued()), (0, 0), "{account:?}");
        assert_eq!(self.shared.staged.held(), 0, "the budget of staged packets");
        assert_eq!(self.shared.fragments.held(), 0, "the budget of fragments");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test ends with finish()");
    }
}

/// A peer with a client's two addresses, without endpoint.
pub(crate) fn peer(client: &Client) -> PeerChange {
    let allowed_ips = vec![allow(&format!("{}/32", client.inner())), allow(&format!("{}/128", client.inner6()))];
    PeerChange { public_key: client.key(), allowed_ips, ..PeerChange::default() }
}

/// A prefix that comes.
pub(crate) fn allow(prefix: &str) -> AllowedIpChange {
    AllowedIpChange { prefix: prefix.parse().unwrap(), remove: false }
}

/// Runs `f` while these cores hold nothing.
pub(crate) fn offline(cores: &mut [Core<Pool>], f: &mut dyn FnMut()) {
    match cores.split_first_mut() {
        Some((core, others)) => core.reader.offline(|| offline(others, f)),
        None => f(),
    }
}

fn take(wire: &HeapWire) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| wire.pop()).map(|packet| packet.data().to_vec()).collect()
}
