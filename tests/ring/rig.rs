//! A gateway between two memory wires, and what drives it.

use crate::client::Client;
use crate::far::{Far, Seen};
use crate::harness::{ROUTER_MAC, SERVER_KEY};
use crate::packets::{self, Datagram, tag, tagged};
use culvert::config::{self, Config, Machine};
use culvert::dpdk::{Eal, EalOptions, HugePages, Pool, PoolOptions};
use culvert::gateway::{Gateway, Report};
use culvert::shared::Account;
use culvert::wire::MacAddr;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const HOST: &str = "10.0.0.9";
pub const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
/// Nothing here takes that long: longer is a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a rig is built.
#[derive(Clone, Debug)]
pub struct Options {
    /// Queues of each wire, both ways.
    pub queues: u16,
    /// Places of each ring.
    pub ring: u32,
    /// The gateway's pool.
    pub mbufs: u32,
    /// The ports' VLANs.
    pub vlans: [u16; 2],
    /// Peers that there may be.
    pub max_peers: u32,
    /// The data path has the first core alone; control and handshakes have the other.
    pub apart: bool,
    /// What its data cores do without work.
    pub idle: &'static str,
    /// What its peers file says.
    pub peers: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: 2,
            ring: 1024,
            mbufs: 16_383,
            max_peers: 256,
            apart: false,
            idle: "adaptive",
            vlans: [0; 2],
            peers: String::new(),
        }
    }
}

/// The gateway and all around it.
pub struct Rig {
    pub wan: Far,
    pub lan: Far,
    pub gateway: Option<Gateway>,
    pub folder: TempDir,
    pub pool: Pool,
    _eal: Eal,
}

/// Frames for one RX queue of the gateway.
pub struct Source<'a> {
    pub outer: bool,
    pub queue: usize,
    pub frames: Box<dyn Iterator<Item = Vec<u8>> + 'a>,
}

/// An EAL with memory for two pools.
pub fn eal() -> Eal {
    let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(256);
    Eal::init(&options).expect("an EAL of its own: see main.rs")
}

/// Two cores, or the one that there is twice.
pub fn cores() -> [usize; 2] {
    let cores = Machine::read().cores;
    [cores[0], cores[cores.len() - 1]]
}

/// A configuration of these ports, in a folder with a key.
pub fn configuration(folder: &Path, options: &Options, ports: &str) -> Config {
    let Options { mbufs, max_peers, apart, idle, peers, .. } = options;
    std::fs::write(folder.join("wg0.conf"), peers).unwrap();
    let key = folder.join("wg0.key");
    std::fs::write(&key, format!("{}\n", config::keys::to_base64(&SERVER_KEY))).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let [first, second] = cores();
    let control = if *apart { second } else { first };
    let data = if first == second || *apart { format!("[{first}]") } else { format!("[{first}, {second}]") };
    let at = folder.display();
    let text = format!(
        r#"
[cores]
control = {control}
io = {data}
workers = {data}
handshake = [{second}]
idle = "{idle}"
[memory]
huge_pages = "none"
mbufs = {mbufs}
{ports}
[[interface]]
name = "wg0"
private_key_file = "wg0.key"
peers_file = "wg0.conf"
max_peers = {max_peers}
[control]
socket = "{at}/culvert.sock"
uapi_dir = "{at}/wireguard"
[metrics]
listen = "127.0.0.1:0"
per_peer_max = 2
"#
    );
    let machine = Machine { cores: vec![first, second] };
    // A reload reads it again.
    std::fs::write(folder.join("culvert.toml"), &text).unwrap();
    let config = config::from_text(&text, &folder.join("culvert.toml"), std::iter::empty(), &machine).unwrap();
    config.check(&machine).unwrap();
    config
}

/// The `[[port]]`s of the two wires.
pub fn ports(wan: &str, lan: &str, queues: u16) -> String {
    format!(
        r#"
[[port]]
name = "wan"
device = "{wan}"
role = "outer"
queues = {queues}
addresses = ["192.0.2.1/24"]
routes = [{{ to = "0.0.0.0/0", via = "192.0.2.254" }}]
[[port]]
name = "lan"
device = "{lan}"
role = "inner"
queues = {queues}
addresses = ["10.0.0.1/24"]
"#
    )
}

impl Rig {
    pub fn new(options: &Options) -> Self {
        Self::new_on(eal(), options)
    }

    /// The same on an EAL with options of its own.
    pub fn new_on(eal: Eal, options: &Options) -> Self {
        let pool = Pool::create(&eal, &PoolOptions::new("far", 8191)).unwrap();
        let mut wan = Far::new(&eal, &pool, "wan", options.queues, options.ring, ROUTER_MAC);
        let mut lan = Far::new(&eal, &pool, "lan", options.queues, options.ring, HOST_MAC);
        let folder = tempfile::tempdir().unwrap();
        let ports = ports(&wan.wire.device().to_string(), &lan.wire.device().to_string(), options.queues);
        let [outer, inner] = options.vlans;
        (wan.vlan, lan.vlan) = (outer, inner);
        let ports = ports.replace("\"outer\"", &format!("\"outer\"\nvlan = {outer}"));
        let ports = ports.replace("\"inner\"", &format!("\"inner\"\nvlan = {inner}"));
        let config = configuration(folder.path(), options, &ports);
        let gateway = Gateway::start_on(&eal, &config).unwrap();
        Self { wan, lan, gateway: Some(gateway), folder, pool, _eal: eal }
    }

    pub fn report(&self) -> Arc<Report> {
        Arc::clone(self.gateway.as_ref().unwrap().report())
    }

    pub fn account(&self) -> Account {
        self.report().account()
    }

    /// How many were dropped for the reason of this name.
    pub fn dropped(&self, name: &str) -> u64 {
        dropped(&self.account(), name)
    }

    /// Adds the client as a peer, without endpoint.
    pub fn add(&self, client: &Client) {
        uapi(self.folder.path(), &add(client));
    }

    /// Takes everything out on both sides.
    pub fn drain(&mut self, mut see: impl FnMut(bool, usize, Seen<'_>)) {
        self.wan.drain(|queue, seen| see(true, queue, seen));
        self.lan.drain(|queue, seen| see(false, queue, seen));
    }

    /// Injects all of `sources` as fast as the rings take them, until the gateway has come to rest.
    pub fn blast(&mut self, sources: Vec<Source<'_>>, mut see: impl FnMut(bool, usize, Seen<'_>)) {
        self.blast_while(sources, || true, &mut see);
        self.settle(see);
    }

    /// The same while `go` says so, and without the rest.
    pub fn blast_while(
        &mut self,
        mut sources: Vec<Source<'_>>,
        go: impl Fn() -> bool,
        mut see: impl FnMut(bool, usize, Seen<'_>),
    ) {
        let began = Instant::now();
        while go() && !sources.is_empty() {
            assert!(began.elapsed() < PATIENCE, "it hangs: {:?}", self.account());
            sources.retain_mut(|source| {
                let far = if source.outer { &mut self.wan } else { &mut self.lan };
                !far.offer(source.queue, &mut source.frames)
            });
            self.drain(&mut see);
        }
    }

    /// Sends packets to and from a connected client while `act` runs in a thread of its own: each arrives once, and in order. Returns how
    /// many were sent each way.
    pub fn traffic_during(&mut self, client: &mut Client, act: impl FnOnce() + Send) -> u32 {
        let (mut sent, mut arrived) = (0_u32, [Vec::new(), Vec::new()]);
        std::thread::scope(|scope| {
            let actor = scope.spawn(act);
            while !actor.is_finished() {
                let numbers = sent..sent + 32;
                sent += 32;
                let (from, to) = (client.inner(), client.inner());
                let inward: Vec<_> = numbers.clone().map(|n| client.data(&tagged(&from, HOST, n, 96))).collect();
                let outward = numbers.map(move |n| lan_frame(&tagged(HOST, &to, n, 96)));
                self.blast(vec![Source::outer(0, inward), Source::inner(0, outward)], |outer, _, seen| {
                    let Seen::Frame(frame) = seen else { return };
                    match outer {
                        true => arrived[0].extend(client.open(&frame[42..]).filter(|p| !p.is_empty()).map(|p| tag(&p))),
                        false if frame[..6] == HOST_MAC.0 => arrived[1].push(tag(&frame[14..])),
                        false => {}
                    }
                });
            }
            actor.join().unwrap();
        });
        let all: Vec<_> = (0..sent).collect();
        assert!(arrived.iter().all(|way| *way == all), "{} and {} of {sent}", arrived[0].len(), arrived[1].len());
        sent
    }

    /// Waits until nothing is under way any more.
    pub fn settle(&mut self, mut see: impl FnMut(bool, usize, Seen<'_>)) {
        let began = Instant::now();
        let mut quiet = 0;
        while quiet < 3 {
            let account = self.account();
            assert!(began.elapsed() < PATIENCE, "it never comes to rest: {account:?}");
            let empty = account.queued() == 0 && account.control_queued() == 0;
            // By our own counts as well: a packet between a ring and its counter is nowhere else to be seen.
            let counted = account.rx == self.wan.injected + self.lan.injected
                && account.tx == self.wan.collected + self.lan.collected;
            let still = empty && counted && self.wan.is_still() && self.lan.is_still();
            quiet = if still { quiet + 1 } else { 0 };
            for far in [&mut self.wan, &mut self.lan] {
                (0..far.queues()).for_each(|queue| {
                    far.offer(queue, &mut std::iter::empty());
                });
            }
            self.drain(&mut see);
            if still {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The client's handshake over RX queue `queue`, confirmed; and a packet to [`HOST`], so that it is resolved.
    pub fn connect(&mut self, client: &mut Client, queue: usize) {
        let initiation = client.initiation();
        let frame = client.frame(&initiation);
        let mut response = None;
        self.blast(vec![Source::outer(queue, [frame])], |outer, _, seen| {
            if let (true, Seen::Frame(frame)) = (outer, seen)
                && let Some(datagram) = Datagram::of(frame)
                && datagram.to == client.at
                && datagram.kind() == 2
            {
                response = Some(datagram.payload);
            }
        });
        assert!(client.take_response(&response.expect("a response")));
        let first = client.data(&packets::tagged(&client.inner(), HOST, 0, 64));
        let mut arrived = 0;
        self.blast(vec![Source::outer(queue, [first])], |outer, _, seen| {
            arrived += u64::from(!outer && matches!(seen, Seen::Frame(frame) if frame[..6] == HOST_MAC.0));
        });
        assert_eq!(arrived, 1, "{:?}", self.account());
    }

    /// The end: the gateway stops, and the two laws of TESTING hold by the far ends' own counts.
    pub fn finish(mut self) -> Account {
        self.settle(|_, _, _| ());
        let gateway = self.gateway.take().unwrap();
        let report = Arc::clone(gateway.report());
        let stopped = AtomicBool::new(false);
        let good = std::thread::scope(|scope| {
            // What it says in farewell has to be taken out, or the pool would not be full.
            scope.spawn(|| {
                // Relaxed: it guards no memory, the scope's join does.
                while !stopped.load(Ordering::Relaxed) {
                    self.drain(|_, _, _| ());
                    std::thread::yield_now();
                }
            });
            let good = gateway.stop();
            stopped.store(true, Ordering::Relaxed);
            good
        });
        let account = report.account();
        assert!(good, "{account:?}, {}", report.json());
        assert_laws(&report);
        self.drain(|_, _, _| ());
        let Self { wan, lan, folder, pool, .. } = self;
        let left: u64 = (wan.wire.in_flight() + lan.wire.in_flight()) as u64;
        assert_eq!(account.rx, wan.injected + lan.injected - left, "received: {account:?}");
        assert_eq!(account.tx, wan.collected + lan.collected, "sent: {account:?}");
        assert_no_sockets(folder.path());
        drop((wan, lan));
        assert_eq!(pool.available(), pool.size(), "the far ends' own mbufs are all back");
        account
    }
}

impl<'a> Source<'a> {
    pub fn outer(queue: usize, frames: impl IntoIterator<Item = Vec<u8>, IntoIter: 'a>) -> Self {
        Self { outer: true, queue, frames: Box::new(frames.into_iter()) }
    }

    pub fn inner(queue: usize, frames: impl IntoIterator<Item = Vec<u8>, IntoIter: 'a>) -> Self {
        Self { outer: false, queue, frames: Box::new(frames.into_iter()) }
    }
}

/// Both laws, and a full pool, of a gateway that has stopped.
pub fn assert_laws(report: &Report) {
    let account = report.account();
    assert_eq!(account.rx + account.generated, account.tx + account.dropped() + account.to_control, "{account:?}");
    assert_eq!(account.to_control, account.control_dropped() + account.control_returned, "{account:?}");
    let json = report.json();
    assert_eq!(json["pool"]["available"], json["pool"]["size"], "{json}");
    assert_eq!(json["account"]["staged"], 0, "{json}");
}

/// The gateway's sockets are gone.
pub fn assert_no_sockets(folder: &Path) {
    assert!(!folder.join("culvert.sock").exists());
    assert!(!folder.join("wireguard/wg0.sock").exists());
}

pub fn dropped(account: &Account, name: &str) -> u64 {
    assert!(culvert::shared::DropReason::ALL.iter().any(|r| r.name() == name), "{name}");
    let drops = account.drops.iter().chain(&account.control_drops);
    drops.filter(|(reason, _)| reason.name() == name).map(|(_, packets)| packets).sum()
}

/// An inner packet as a frame for the lan port.
pub fn lan_frame(packet: &[u8]) -> Vec<u8> {
    packets::frame(MacAddr::ZERO, HOST_MAC, packet)
}

/// The lines that make a peer of the client.
pub fn add(client: &Client) -> String {
    format!("public_key={}\nreplace_allowed_ips=true\nallowed_ip={}/32\n", hex(&client.key()), client.inner())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One `set` over the `wg` socket; it must be taken.
pub fn uapi(folder: &Path, lines: &str) {
    let mut stream = UnixStream::connect(folder.join("wireguard/wg0.sock")).unwrap();
    stream.write_all(format!("set=1\n{lines}\n").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "errno=0\n\n");
}
