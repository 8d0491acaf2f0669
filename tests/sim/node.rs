//! One gateway with its clocks, its randomness, and what its operator configured.

use crate::harness::{Gateway, HOST_MAC, LAN_MAC, LISTEN_PORT, Options, ROUTER_MAC, WAN_MAC, allow};
use crate::packets::{self, Datagram, addr};
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};
use culvert::noise::{HandshakeState, Identity, PeerStatic, Tai64N};
use culvert::queue::sync::Ordering;
use culvert::session::Keypair;
use fastrand::Rng;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The wall clocks show this at the beginning of time, ms.
const EPOCH: i64 = 1_800_000_000_000;

/// Where floods come from.
pub(crate) const STRANGERS: &str = "203.0.113.1";

/// What one gateway's operator says of one peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerConfig {
    pub(crate) number: usize,
    /// The peer's private key; the gateway is told the public one.
    pub(crate) key: [u8; 32],
    pub(crate) psk: [u8; 32],
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) persistent_keepalive: u16,
}

/// A gateway's clocks, as functions of the simulation's time.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    /// What boottime counts a second, ms: 1000 in a good one.
    pub(crate) ms_a_second: u64,
    /// How far the wall clock is off, ms.
    pub(crate) wall_offset: i64,
    /// What the wall clock shows if it stands still, ms.
    pub(crate) wall_stopped: Option<i64>,
}

impl Clocks {
    /// Boottime, ms.
    pub(crate) fn boottime(&self, now: u64) -> u64 {
        1_000_000 + now * self.ms_a_second / 1000
    }

    /// When boottime is `ms` or just beyond.
    fn when(&self, ms: u64) -> u64 {
        (ms.saturating_sub(1_000_000) * 1000).div_ceil(self.ms_a_second)
    }

    /// The wall clock, ms. (It runs true while it is off.)
    pub(crate) fn wall(&self, now: u64) -> i64 {
        self.wall_stopped.unwrap_or(EPOCH + now as i64 + self.wall_offset)
    }
}

/// A gateway.
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) key: [u8; 32],
    pub(crate) clocks: Clocks,
    pub(crate) peers: Vec<PeerConfig>,
    pub(crate) gateway: Gateway,
    /// The latest that its wall clock showed, ms: since its start, and before.
    shown: [i64; 2],
    random: Arc<Mutex<Rng>>,
}

/// What a gateway gave off when it was left to itself.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) datagrams: Vec<Datagram>,
    pub(crate) delivered: Vec<Vec<u8>>,
}

impl Node {
    pub(crate) fn new(number: usize, key: [u8; 32], clocks: Clocks, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(Rng::with_seed(seed)));
        let gateway = build(number, key, &clocks, 0, &random);
        Self { number, key, clocks, peers: Vec::new(), gateway, shown: [0; 2], random }
    }

    /// Its public key.
    pub(crate) fn public_key(key: &[u8; 32]) -> [u8; 32] {
        *Identity::new(key).public_key()
    }

    /// It stops, with all that a stop checks, and starts again with what it had configured: no sessions, no timestamps.
    pub(crate) fn restart(&mut self, now: u64) {
        let fresh = build(self.number, self.key, &self.clocks, now, &self.random);
        let mut old = std::mem::replace(&mut self.gateway, fresh);
        old.settle();
        old.frames();
        old.finish();
        self.forgets_what_it_sent();
        for peer in self.peers.clone() {
            self.tell(&peer);
        }
    }

    /// The operator adds a peer.
    pub(crate) fn add(&mut self, peer: PeerConfig) {
        self.tell(&peer);
        self.peers.push(peer);
    }

    /// The operator changes one thing of a peer: in what is told after a restart, and now.
    pub(crate) fn change(&mut self, number: usize, remember: impl FnOnce(&mut PeerConfig), change: PeerChange) {
        let peer = self.peers.iter_mut().find(|peer| peer.number == number).unwrap();
        remember(peer);
        let public_key = Self::public_key(&peer.key);
        self.gateway.change_peer(PeerChange { public_key, ..change });
    }

    /// The peer has another key: the one of before goes.
    pub(crate) fn replace_key(&mut self, number: usize, key: [u8; 32]) {
        self.change(number, |_| (), PeerChange { remove: true, ..PeerChange::default() });
        self.forgets_what_it_sent();
        let peer = self.peers.iter_mut().find(|peer| peer.number == number).unwrap();
        peer.key = key;
        let peer = peer.clone();
        self.tell(&peer);
    }

    fn tell(&mut self, peer: &PeerConfig) {
        let PeerConfig { number, key, psk, endpoint, persistent_keepalive } = peer;
        let nets = [allow(&format!("10.0.{number}.0/24")), allow(&format!("fd00:{number}::/64"))];
        self.gateway.change_peer(PeerChange {
            public_key: Self::public_key(key),
            preshared_key: Some(SecretKey::new(psk)),
            endpoint: *endpoint,
            persistent_keepalive: Some(*persistent_keepalive),
            allowed_ips: nets.to_vec(),
            ..PeerChange::default()
        });
    }

    /// It has another private key from now on.
    pub(crate) fn set_key(&mut self, key: [u8; 32]) {
        self.key = key;
        let private_key = Some(SecretKey::new(&key));
        self.gateway.apply(ChangeSet { private_key, ..ChangeSet::default() }).unwrap();
    }

    /// Boottime, ms.
    pub(crate) fn boottime(&self, now: u64) -> u64 {
        self.clocks.boottime(now)
    }

    fn forgets_what_it_sent(&mut self) {
        self.shown = [0, self.shown[0].max(self.shown[1])];
    }

    /// Whether its timestamps may be behind those that it has forgotten (a restart, a peer removed), and its peers remember.
    pub(crate) fn is_refused(&self, now: u64) -> bool {
        self.shown[1] + 2_000 > self.clocks.wall(now)
    }

    /// When it has to be looked at, if nothing comes before.
    pub(crate) fn next(&self) -> Option<u64> {
        self.gateway.service.next_due_ms().map(|ms| self.clocks.when(ms))
    }

    /// Its only peer's current session.
    pub(crate) fn with_current(&self, f: impl FnOnce(&Keypair)) {
        let (shared, reader) = (&self.gateway.shared, &self.gateway.cores[0].reader);
        let record = self.gateway.context.directory.all_of(0).remove(0);
        let slot = shared.flows.get(reader, record.flow).unwrap().keys.current().unwrap();
        f(shared.index.keypair(reader, slot).unwrap());
    }

    /// A datagram comes from the network.
    pub(crate) fn arrive(&mut self, source: SocketAddr, tos: u8, payload: &[u8]) {
        let local = SocketAddr::new(addr(if source.is_ipv4() { "192.0.2.1" } else { "2001:db8:1::1" }), LISTEN_PORT);
        self.gateway.wan(&packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(source, local, tos, payload)));
    }

    /// Initiations come that are good but for who sends them: from so many sources, whom nobody knows.
    pub(crate) fn flood(&mut self, sources: u16) {
        let (stranger, time) = (Identity::new(&[0x66; 32]), Tai64N::from_unix(Duration::from_secs(1_000_000)));
        let to = PeerStatic::new(&stranger, &Self::public_key(&self.key)).unwrap();
        let mut random = |bytes: &mut [u8]| bytes.fill(0x67);
        let message = HandshakeState::new().create_initiation(&stranger, &to, 1, time, 0, &mut random).unwrap();
        for source in 0..sources {
            self.arrive(SocketAddr::new(addr(STRANGERS), 1000 + source), 0, &message);
        }
    }

    /// The host behind it sends.
    pub(crate) fn host_sends(&mut self, packet: &[u8]) {
        self.gateway.lan_rx[0].push(self.gateway.packet(&packets::frame(LAN_MAC, HOST_MAC, packet)));
    }

    /// Its clocks are set to `now`, and what is due happens.
    pub(crate) fn tick(&mut self, now: u64) {
        self.shown[0] = self.shown[0].max(self.clocks.wall(now));
        set_clocks(&self.gateway, &self.clocks, now);
        self.gateway.service.turn();
    }

    /// It works until nothing is left to do.
    pub(crate) fn run(&mut self) -> Output {
        let mut quiet = 0;
        let mut steps = 0;
        while quiet < 2 {
            quiet = if self.gateway.step() { 0 } else { quiet + 1 };
            steps += 1;
            assert!(steps < 100_000, "it never comes to rest");
        }
        Output { datagrams: self.gateway.datagrams(), delivered: self.gateway.delivered() }
    }
}

fn set_clocks(gateway: &Gateway, clocks: &Clocks, now: u64) {
    let boottime = clocks.boottime(now);
    gateway.time.store(boottime, Ordering::Relaxed);
    gateway.wall.store(u64::try_from(clocks.wall(now)).unwrap_or(0).wrapping_sub(boottime), Ordering::Relaxed);
}

fn build(number: usize, key: [u8; 32], clocks: &Clocks, now: u64, random: &Arc<Mutex<Rng>>) -> Gateway {
    let random = Arc::clone(random);
    let options = Options { net: number as u8, max_peers: 8, ..Options::default() };
    let fill = move |bytes: &mut [u8]| random.lock().unwrap().fill(bytes);
    let mut gateway = Gateway::seeded(&options, key, Box::new(fill));
    set_clocks(&gateway, clocks, now);
    // The leap to the present, while nothing hangs on it.
    gateway.settle();
    gateway.frames();
    gateway
}
