//! One peer's packets, drained by one worker and by two: the real stages of the data path over real mbufs.
//!
//! An I/O core fills the peer's queue to its bound. Then one worker, or two on two cores, pop chunks, seal them and release them in the
//! order of their tickets; what they send is counted and given back to the pool, as a NIC's driver does it.

use crate::figures::{Figures, median};
use crate::one_core::{self, Keep, NOW_MS};
use crate::rig::{HOST, HOST_MAC};
use crate::{harness, packets};
use culvert::aead::Backend;
use culvert::datapath::{Core, CryptoWorker, ErrorBudget, Idle, Io, RxPort, Tx, TxPath};
use culvert::dpdk::{self, Mbuf, Pool};
use culvert::frame::{BURST, Burst, Frame, Packet, RxBurst, TxBurst};
use culvert::peer::{IndexTable, Peer};
use culvert::queue::sync::{
    Arc, AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    spin_loop,
};
use culvert::queue::{Domain, Flows, QUEUE_BOUND, WorkerSeat, inbox};
use culvert::route::AllowedIps;
use culvert::shared::{self, Budget, Clock, Counters, ListenPorts, Roles, Shared, Tunnel};
use culvert::wire::MacAddr;
use std::net::SocketAddr;
use std::time::Instant;

/// How often the queue is filled, for one worker and for two in turn.
const REFILLS: usize = 1100;
/// Inner bytes.
const SIZE: usize = 1420;
/// Bytes.
const CACHES: usize = 8 << 20;
/// Packets of a full queue.
const FULL: u64 = QUEUE_BOUND as u64;
/// A core of this benchmark.
type TheCore = Core<Pool>;

pub fn measure(figures: &mut Figures) {
    let cores = culvert::config::Machine::read().cores;
    let (eal, pool) = one_core::start(1);
    let second = cores[0];
    if second == *cores.last().unwrap() {
        eprintln!("!!! workers: left out, there is one core only");
        return;
    }
    let [(mut one, mut ones), (mut two, twos)] = [1, 2].map(|workers| Gateway::new(&pool, workers));
    let mut alone = ones.remove(0);
    let [mut here, there] = <[_; 2]>::try_from(twos).unwrap();
    let stop = AtomicBool::new(false);
    let mut took = [const { Vec::new() }; 2];
    std::thread::scope(|scope| {
        let (sent, target, stop) = (Arc::clone(&two.sent), Arc::clone(&two.target), &stop);
        let eal = &eal;
        scope.spawn(move || {
            assert!(core_affinity::set_for_current(core_affinity::CoreId { id: second }));
            let _registered = dpdk::register_thread(eal).unwrap();
            let mut there = there;
            // Acquire, here and below: pairs with the Release of the target: the queue is full.
            while !stop.load(Acquire) {
                if sent.load(Relaxed) < target.load(Acquire) {
                    turn(&mut there);
                } else {
                    spin_loop();
                }
            }
        });
        for refill in 0..=REFILLS {
            let times = [one.run(&mut alone), two.run(&mut here)];
            if refill > 0 {
                took.iter_mut().zip(times).for_each(|(took, time)| took.push(time));
            }
        }
        stop.store(true, Release);
    });
    let [one, two] = took.map(median);
    for (workers, seconds) in [(1, one), (2, two)] {
        figures.add(
            format!("workers.{workers}.one_peer.ns"),
            seconds * 1e9 / FULL as f64,
            format!(
                "a packet of {SIZE} bytes, to one peer: from the first pop of its full queue ({FULL} packets) to the last release; median of \
                 {REFILLS} fillings, with 1 and 2 workers in turn"
            ),
        );
    }
    figures.add(
        "workers.1_vs_2.one_peer.speedup",
        one / two,
        format!(
            "the first of these lines over the second; each worker on a core of its own, order kept by tickets; {}",
            Backend::choose("auto").unwrap().name()
        ),
    );
}

/// A turn of a core's loop.
fn turn(core: &mut TheCore) {
    core.turn(true);
    core.reader.quiescent();
}

/// A gateway with one peer. An I/O core fills the peer's queue; its workers are handed out.
struct Gateway {
    io: TheCore,
    /// Packets that the I/O core has yet to receive.
    feed: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    /// More than a core's own caches hold.
    other: Vec<u64>,
    /// How many are sent when the queue is drained.
    target: Arc<AtomicU64>,
    _keep: Keep,
}

impl Gateway {
    fn new(pool: &Pool, workers: usize) -> (Self, Vec<TheCore>) {
        let domain = Domain::new(workers + 1);
        let (flows, seats, posts, mut owner) = Flows::new(64, workers, Arc::clone(&domain));
        let (allowed, mut allowed_writer) = AllowedIps::new(&domain, 1, 0);
        let port = |id: u16, name: &str, address: &str| shared::Port {
            id,
            name: name.to_owned(),
            roles: Roles { outer: id == 0, inner: id == 1 },
            mac: MacAddr::ZERO,
            mtu: 1500,
            vlan: 0,
            addresses: vec![address.parse().unwrap()],
        };
        let ports = vec![port(0, "wan", "192.0.2.1/24"), port(1, "lan", "10.0.0.1/24")];
        let (outer_writer, outer) = one_core::routes(&domain, &ports[0], &[("192.0.2.254", harness::ROUTER_MAC)]);
        let (inner_writer, inner) = one_core::routes(&domain, &ports[1], &[(HOST, HOST_MAC)]);
        let (control, control_inbox) = inbox(4096);
        let (handshakes, handshake_inbox) = inbox(4096);
        let tunnels = vec![Tunnel::new(0, "wg0", &[harness::LISTEN_PORT], 1420, false)];
        let shared = Arc::new(Shared {
            flows,
            index: IndexTable::new(Arc::clone(&domain), 1),
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
        let reader = domain.register().unwrap();
        let peer = one_core::add(&shared, &reader, &mut owner, &mut allowed_writer, 0, false);
        let to = SocketAddr::new(peer.inner.into(), 2);
        let packet = packets::udp(SocketAddr::new(packets::addr(HOST), 1), to, 0, &[0x5a; SIZE - 28]);
        let feed = Arc::new(AtomicU64::new(0));
        let source = Feed {
            left: Arc::clone(&feed),
            frame: packets::frame(MacAddr::ZERO, HOST_MAC, &packet),
            pool: pool.clone(),
        };
        let sent = Arc::new(AtomicU64::new(0));
        let core = |reader, io, seat: Option<WorkerSeat<Mbuf, Peer>>| {
            let path = || TxPath::Queue(Box::new(Sink(Arc::clone(&sent))));
            let cipher = Backend::choose("auto").unwrap().cipher();
            Core {
                shared: Arc::clone(&shared),
                counters: Counters::timed("core", dpdk::tsc),
                reader,
                tx: Tx::new(vec![path(), path()], &shared.ports),
                io,
                worker: seat.map(|seat| CryptoWorker::new(seat, workers, cipher)),
                errors: ErrorBudget::default(),
                idle: Idle::Busy,
            }
        };
        let (_, io_inbox) = inbox(4096);
        let io = Io::new(vec![RxPort { port: 1, queue: Box::new(source) }], io_inbox);
        let io = core(reader, Some(io), None);
        let workers = seats.into_iter().map(|seat| core(domain.register().unwrap(), None, Some(seat))).collect();
        let _keep = (owner, allowed_writer, [outer_writer, inner_writer], posts, vec![control_inbox, handshake_inbox]);
        let (target, other) = (Arc::new(AtomicU64::new(0)), vec![1; CACHES / size_of::<u64>()]);
        (Self { io, feed, sent, other, target, _keep }, workers)
    }

    /// Fills the queue, and has `worker` and whoever else waits for it drain it. Seconds from the first pop to the last release.
    fn run(&mut self, worker: &mut TheCore) -> f64 {
        self.feed.store(FULL, Relaxed);
        while self.feed.load(Relaxed) > 0 {
            turn(&mut self.io);
        }
        // What was just written goes where the NIC would have put it: into the cache that all cores share, as far from one worker as from
        // the other.
        std::hint::black_box(self.other.iter().step_by(8).sum::<u64>());
        let target = self.target.load(Relaxed) + FULL;
        let began = Instant::now();
        // Release: the full queue, to the other worker.
        self.target.store(target, Release);
        while self.sent.load(Relaxed) < target {
            turn(worker);
        }
        began.elapsed().as_secs_f64()
    }
}

/// The inner port: so many packets to the peer.
struct Feed {
    left: Arc<AtomicU64>,
    frame: Vec<u8>,
    pool: Pool,
}

impl RxBurst for Feed {
    type Packet = Mbuf;

    fn rx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let left = self.left.load(Relaxed);
        let came = self.pool.alloc_burst(burst, BURST.min(left as usize));
        for mbuf in burst {
            mbuf.append(self.frame.len()).unwrap().copy_from_slice(&self.frame);
        }
        self.left.store(left - came as u64, Relaxed);
        came
    }
}

/// A port that has sent everything at once.
struct Sink(Arc<AtomicU64>);

impl TxBurst for Sink {
    type Packet = Mbuf;

    fn tx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let count = burst.len();
        Mbuf::free_burst(burst);
        self.0.fetch_add(count as u64, Relaxed);
        count
    }
}
