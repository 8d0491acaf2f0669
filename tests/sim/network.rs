//! The network between the gateways: who is where, and what becomes of a datagram on its way.

use crate::packets::Datagram;
use fastrand::Rng;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What a link does to datagrams, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// Every datagram takes so long, ms.
    pub(crate) delay: u64,
    /// And up to so much more: beyond the gap between two datagrams it reorders them.
    pub(crate) jitter: u64,
    /// Of 1000, so many are lost.
    pub(crate) loss: u64,
    /// Of 1000, so many come twice.
    pub(crate) double: u64,
    /// Of 1000, so many come with one bit wrong.
    pub(crate) damage: u64,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// The gateway that made it, whoever sends it now.
    pub(crate) maker: usize,
    pub(crate) source: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) tos: u8,
    pub(crate) payload: Vec<u8>,
    /// Its bytes are as they were made.
    pub(crate) intact: bool,
}

/// Each gateway is behind a NAT, whose outside changes when it moves. An address is never given to another.
pub(crate) struct Network {
    links: HashMap<(usize, usize), Weather>,
    /// Who was ever at an address.
    owners: HashMap<SocketAddr, usize>,
    /// Where each gateway is now: its IPv4 and its IPv6 outside.
    places: Vec<[SocketAddr; 2]>,
    fresh: u16,
    /// What was sent lately, for those who send it again.
    seen: Vec<Flight>,
}

/// So many datagrams are remembered.
const MEMORY: usize = 48;

impl Network {
    pub(crate) fn new(nodes: usize) -> Self {
        let mut network =
            Self { links: HashMap::new(), owners: HashMap::new(), places: Vec::new(), fresh: 4000, seen: Vec::new() };
        for node in 0..nodes {
            let place = network.outside(node);
            network.places.push(place);
        }
        network
    }

    /// An address that nobody had yet, as IPv4 and as IPv6.
    fn outside(&mut self, owner: usize) -> [SocketAddr; 2] {
        self.fresh += 1;
        let ips: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8:2::7".parse().unwrap()];
        let place = ips.map(|ip| SocketAddr::new(ip, self.fresh));
        self.owners.extend(place.map(|at| (at, owner)));
        place
    }

    /// Where a gateway is now.
    pub(crate) fn place(&self, node: usize, ipv6: bool) -> SocketAddr {
        self.places[node][usize::from(ipv6)]
    }

    /// It gets another address and port.
    pub(crate) fn move_away(&mut self, node: usize) {
        self.places[node] = self.outside(node);
    }

    /// Whose address this is, or was.
    pub(crate) fn owner(&self, at: SocketAddr) -> usize {
        self.owners[&at]
    }

    /// Who gets what is sent there.
    pub(crate) fn is_at(&self, at: SocketAddr) -> Option<usize> {
        self.places.iter().position(|place| place.contains(&at))
    }

    pub(crate) fn set(&mut self, from: usize, to: usize, weather: Weather) {
        self.links.insert((from, to), weather);
    }

    /// A gateway sends: each copy that comes, and after how long.
    pub(crate) fn send(&mut self, from: usize, datagram: Datagram, rng: &mut Rng) -> Vec<(u64, Flight)> {
        let Datagram { to, tos, payload, .. } = datagram;
        let source = self.place(from, to.is_ipv6());
        let flight = Flight { maker: from, source, to, tos, payload, intact: true };
        if self.seen.len() == MEMORY {
            self.seen.swap_remove(rng.usize(..MEMORY));
        }
        self.seen.push(flight.clone());
        self.fly(flight, rng)
    }

    /// Someone sends again what was seen before: from where it came, or as their own.
    pub(crate) fn replay(&mut self, rng: &mut Rng) -> Vec<(u64, Flight)> {
        let Some(mut flight) = rng.choice(&self.seen).cloned() else { return Vec::new() };
        if rng.bool() {
            let place = self.outside(flight.maker);
            flight.source = place[usize::from(flight.to.is_ipv6())];
        }
        self.fly(flight, rng)
    }

    fn fly(&self, flight: Flight, rng: &mut Rng) -> Vec<(u64, Flight)> {
        let Some(node) = self.is_at(flight.to) else { return Vec::new() };
        let Some(weather) = self.links.get(&(flight.maker, node)) else { return Vec::new() };
        let mut hits = |permille| rng.u64(..1000) < permille;
        let (lost, doubled, damaged) = (hits(weather.loss), hits(weather.double), hits(weather.damage));
        let mut copies = vec![flight; if lost { 0 } else { 1 + usize::from(doubled) }];
        if damaged && let Some(copy) = copies.first_mut() {
            damage(copy, rng);
        }
        copies.into_iter().map(|copy| (weather.delay + rng.u64(..=weather.jitter), copy)).collect()
    }
}

/// One bit turns over.
fn damage(flight: &mut Flight, rng: &mut Rng) {
    let at = rng.usize(..flight.payload.len());
    flight.payload[at] ^= 1 << rng.u8(..8);
    // Who is not under load does not look at mac2.
    flight.intact = matches!(flight.payload[0], 1 | 2) && at >= flight.payload.len() - 16;
}
