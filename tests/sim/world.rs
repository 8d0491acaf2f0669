//! The run itself: virtual time that leaps from event to event.

use crate::network::{Flight, Network, Weather};
use crate::node::{Clocks, Node, Output, PeerConfig, STRANGERS};
use crate::packets::{addr, heads, tagged};
use crate::plan::{Act, Plan, pairs};
use crate::watch::{Sent, Watch};
use culvert::control::change::{PeerChange, SecretKey};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// Initiations of a flood: more than may wait (512), by what is served until the last is there.
const FLOOD: u16 = 640;

/// Something at a time.
#[derive(Debug)]
enum Event {
    Arrival(Flight),
    Act(Act),
}

pub(crate) struct World {
    /// The simulation's time, ms: the true one.
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) watch: Watch,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    /// When each gateway has to be looked at.
    due: Vec<Option<u64>>,
    rng: Rng,
    trace: DefaultHasher,
    /// Tells what happens.
    loud: bool,
}

impl World {
    /// Gateways that know each other, and links of that weather.
    pub(crate) fn new(plan: &Plan, mut rng: Rng, loud: bool) -> Self {
        let mut key = || {
            let mut key = [0; 32];
            rng.fill(&mut key);
            key
        };
        let keys: Vec<_> = (0..plan.nodes).map(|_| key()).collect();
        let psks: Vec<_> = (0..plan.nodes).map(|_| key()).collect();
        let network = Network::new(plan.nodes);
        let node = |(number, key): (usize, &[u8; 32])| {
            let clocks = Clocks { ms_a_second: plan.ms_a_second[number], wall_offset: 0, wall_stopped: None };
            Node::new(number, *key, clocks, rng.u64(..))
        };
        let nodes: Vec<_> = keys.iter().enumerate().map(node).collect();
        let mut world = Self {
            now: 0,
            due: vec![None; nodes.len()],
            nodes,
            network,
            watch: Watch::default(),
            events: BTreeMap::new(),
            next_event: 0,
            rng,
            trace: DefaultHasher::new(),
            loud,
        };
        for (at, of) in pairs(plan.nodes) {
            let known = of != plan.roamer || plan.roamer_is_known;
            let endpoint = known.then(|| world.network.place(of, false));
            let psk = if (at + of) % 2 == 1 { psks[at.min(of)] } else { [0; 32] };
            let peer = PeerConfig { number: of, key: keys[of], psk, endpoint, persistent_keepalive: 0 };
            world.nodes[at].add(peer);
            world.network.set(at, of, plan.fair);
        }
        world
    }

    /// Lets `act` happen then.
    pub(crate) fn at(&mut self, time: u64, act: Act) {
        self.event(time, Event::Act(act));
    }

    fn event(&mut self, time: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((time, self.next_event), event);
    }

    /// Goes on until then.
    pub(crate) fn run_until(&mut self, end: u64) {
        loop {
            let event = self.events.first_key_value().map(|((time, _), _)| *time);
            let due = self.due.iter().copied().flatten().min();
            let Some(next) = event.into_iter().chain(due).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            for node in 0..self.nodes.len() {
                if self.due[node].is_some_and(|due| due <= self.now) {
                    self.touch(node, None, |_| ());
                }
            }
            if event == Some(next)
                && let Some((_, event)) = self.events.pop_first()
            {
                match event {
                    Event::Arrival(flight) => self.arrive(flight),
                    Event::Act(act) => self.act(&act),
                }
            }
        }
        self.now = end;
        for node in 0..self.nodes.len() {
            self.touch(node, None, |_| ());
        }
    }

    /// A gateway's time goes on to the present, something is done to it, and it works until it rests.
    fn touch(&mut self, number: usize, cause: Option<&Flight>, what: impl FnOnce(&mut Node)) {
        let node = &mut self.nodes[number];
        node.tick(self.now);
        what(node);
        let Output { datagrams, delivered } = node.run();
        self.due[number] = node.next().map(|due| due.max(self.now + 1));
        let clock = node.boottime(self.now);
        for packet in delivered {
            (self.now, number, &packet).hash(&mut self.trace);
            if is_error(&packet) {
                continue;
            }
            let from = self.watch.delivers(number, &packet, cause, self.now, clock);
            assert_eq!(
                self.endpoint(number, from),
                cause.map(|flight| flight.source),
                "it sends to where data came from"
            );
        }
        for datagram in datagrams {
            if datagram.to.ip() == addr(STRANGERS) {
                self.watch.answers_a_stranger(number, &datagram.payload);
                continue;
            }
            let to = self.network.owner(datagram.to);
            self.tell(|| format!("{number} -> {to} ({}): {}", datagram.to, describe(&datagram.payload)));
            (self.now, number, datagram.to, &datagram.payload).hash(&mut self.trace);
            self.watch.sends(number, to, &datagram.payload, clock);
            for (delay, flight) in self.network.send(number, datagram, &mut self.rng) {
                self.event(self.now + delay, Event::Arrival(flight));
            }
        }
        self.watch.rests(number, clock);
        for record in self.nodes[number].gateway.context.directory.all_of(0) {
            let keypairs = record.lock().keypairs.len();
            assert!(keypairs <= 3, "{number} has {keypairs} keypairs of one peer");
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let Some(node) = self.network.is_at(flight.to) else { return };
        self.tell(|| format!("{node} <- {} ({}): {}", flight.maker, flight.source, describe(&flight.payload)));
        let clock = self.nodes[node].boottime(self.now);
        self.watch.arrives(node, &flight, clock);
        self.touch(node, Some(&flight), |node| node.arrive(flight.source, flight.tos, &flight.payload));
    }

    /// Does it now.
    pub(crate) fn act(&mut self, act: &Act) {
        self.tell(|| format!("{act:?}"));
        match *act {
            Act::Data { from, to, ipv6, len, spoofed } => self.send(from, to, ipv6, len, spoofed),
            Act::Weather { from, to, weather } => self.network.set(from, to, weather),
            Act::Restart(node) => self.restart(node),
            Act::Move(node) => self.network.move_away(node),
            Act::Endpoint { at, of, ipv6 } => {
                let endpoint = Some(self.network.place(of, ipv6));
                let change = PeerChange { endpoint, ..PeerChange::default() };
                self.change(at, of, |peer| peer.endpoint = endpoint, change);
            }
            Act::Psk { at, of, psk } => {
                let preshared_key = Some(SecretKey::new(&psk));
                let change = PeerChange { preshared_key, ..PeerChange::default() };
                self.change(at, of, |peer| peer.psk = psk, change);
            }
            Act::Persistent { at, of, seconds } => {
                let clock = self.nodes[at].boottime(self.now);
                self.watch.persists(at, of, clock, seconds > 0);
                let change = PeerChange { persistent_keepalive: Some(seconds), ..PeerChange::default() };
                self.change(at, of, |peer| peer.persistent_keepalive = seconds, change);
            }
            Act::OwnKey { node, key } => {
                self.begins_anew(node);
                self.touch(node, None, |node| node.set_key(key));
            }
            Act::PeerKey { at, of } => self.peer_key(at, of),
            Act::Flood(node) => {
                let clock = self.nodes[node].boottime(self.now);
                self.watch.flooded(node, FLOOD, clock);
                self.touch(node, None, |node| node.flood(FLOOD));
            }
            Act::Wall { node, offset } => self.nodes[node].clocks.wall_offset = offset,
            Act::Stop { node, stopped } => {
                let clocks = &mut self.nodes[node].clocks;
                clocks.wall_stopped = None;
                clocks.wall_stopped = stopped.then(|| clocks.wall(self.now));
            }
            Act::Replay => {
                for (delay, flight) in self.network.replay(&mut self.rng) {
                    self.event(self.now + delay, Event::Arrival(flight));
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, ipv6: bool, len: usize, spoofed: bool) {
        let host = |net: usize| if ipv6 { format!("fd00:{net:x}::9") } else { format!("10.0.{net}.9") };
        // In the name of one whom the receiver knows as its own, or as somebody else's.
        let source = if spoofed { host((from + 1) % self.nodes.len().max(3)) } else { host(from) };
        let tag = u32::try_from(self.watch.sent.len()).unwrap();
        let packet = tagged(&source, &host(to), tag, len);
        let sent = Sent { from, to, packet: packet.clone(), at: self.now, spoofed, delivered: None };
        self.watch.sent.push(sent);
        let clock = self.nodes[from].boottime(self.now);
        self.watch.reason(from, to, clock);
        self.touch(from, None, |node| node.host_sends(&packet));
    }

    pub(crate) fn restart(&mut self, node: usize) {
        self.watch.restarts(node);
        self.begins_anew(node);
        let now = self.now;
        self.touch(node, None, |node| node.restart(now));
    }

    fn begins_anew(&mut self, node: usize) {
        let clock = self.nodes[node].boottime(self.now);
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.watch.begins_anew(node, peer, clock);
        }
    }

    /// `at`'s operator changes what it says of `of`.
    fn change(&mut self, at: usize, of: usize, remember: impl FnOnce(&mut PeerConfig), change: PeerChange) {
        let clock = self.nodes[at].boottime(self.now);
        self.watch.reason(at, of, clock);
        self.touch(at, None, |node| node.change(of, remember, change));
    }

    fn peer_key(&mut self, at: usize, of: usize) {
        let clock = self.nodes[at].boottime(self.now);
        self.watch.begins_anew(at, of, clock);
        self.watch.forgets_answers(at);
        let key = self.nodes[of].key;
        self.touch(at, None, |node| node.replace_key(of, key));
    }

    /// Whether `at` sends to where `of` is.
    pub(crate) fn knows(&self, at: usize, of: usize) -> bool {
        self.endpoint(at, of).is_some_and(|endpoint| self.network.is_at(endpoint) == Some(of))
    }

    /// Where `at` sends to for `of`.
    fn endpoint(&self, at: usize, of: usize) -> Option<SocketAddr> {
        let node = &self.nodes[at];
        let known = node.peers.iter().find(|peer| peer.number == of)?;
        let record = node.gateway.context.directory.by_key(0, &Node::public_key(&known.key))?;
        let flow = node.gateway.shared.flows.get(&node.gateway.cores[0].reader, record.flow)?;
        flow.endpoint().map(|endpoint| endpoint.remote)
    }

    /// The weather is the same everywhere from now on.
    pub(crate) fn clear_up(&mut self, weather: Weather) {
        for (from, to) in pairs(self.nodes.len()) {
            self.network.set(from, to, weather);
        }
    }

    /// What a run comes to: the same for the same seed.
    pub(crate) fn hash(&self) -> u64 {
        self.trace.finish()
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.loud {
            eprintln!("{:>9.3} {}", self.now as f64 / 1000.0, what());
        }
    }
}

/// Whether a gateway tells a host by ICMP what became of a packet. (Hosts here send UDP alone.)
fn is_error(packet: &[u8]) -> bool {
    let (protocol, icmp) = if packet[0] >> 4 == 4 { (packet[9], 1) } else { (packet[6], 58) };
    if protocol != icmp {
        return false;
    }
    let from = heads(packet).0.to_string();
    assert!(from.ends_with(".1") || from.ends_with("::1"), "an error in the name of {from}");
    true
}

fn describe(payload: &[u8]) -> String {
    let word = |at: usize| payload.get(at..at + 4).map_or(0, |w| u32::from_le_bytes(w.try_into().unwrap()));
    match payload[0] {
        1 => format!("initiation of {:08x}", word(4)),
        2 => format!("response of {:08x} to {:08x}", word(4), word(8)),
        3 => format!("cookie reply to {:08x}", word(4)),
        4 if payload.len() == 32 => format!("keepalive {} for {:08x}", word(8), word(4)),
        4 => format!("data {} for {:08x}, {} bytes", word(8), word(4), payload.len()),
        other => format!("type {other}, {} bytes", payload.len()),
    }
}
