//! What happens in a run, drawn from its seed before it begins. Each seed has its own share of troubles: a run with all of them at
//! once finds less than one in which a few meet often.

use crate::network::Weather;
use fastrand::Rng;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The host behind `from` sends to the one behind `to`; `spoofed`: as if it were behind somebody else.
    Data { from: usize, to: usize, ipv6: bool, len: usize, spoofed: bool },
    /// The link changes, in this direction.
    Weather { from: usize, to: usize, weather: Weather },
    /// It loses all but its configuration.
    Restart(usize),
    /// It has another address and port.
    Move(usize),
    /// `at`'s operator gives the address of `of` anew, in this family.
    Endpoint { at: usize, of: usize, ipv6: bool },
    /// `at`'s operator sets the preshared key with `of`.
    Psk { at: usize, of: usize, psk: [u8; 32] },
    /// It has another private key.
    OwnKey { node: usize, key: [u8; 32] },
    /// `at`'s operator hears of `of`'s present key.
    PeerKey { at: usize, of: usize },
    /// The wall clock is off by this, ms, from now on.
    Wall { node: usize, offset: i64 },
    /// The wall clock stands still, or goes on.
    Stop { node: usize, stopped: bool },
    /// `at` keeps the way to `of` open.
    Persistent { at: usize, of: usize, seconds: u16 },
    /// A datagram of before is sent again.
    Replay,
    /// More initiations at once, from as many sources, than it takes to be under load.
    Flood(usize),
}

/// A run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How many gateways: each is every other's peer.
    pub(crate) nodes: usize,
    /// The one that moves. The others stay where they are, or nobody would find anybody.
    pub(crate) roamer: usize,
    /// Whether the others were told where it is at first.
    pub(crate) roamer_is_known: bool,
    /// What the clocks count a second.
    pub(crate) ms_a_second: Vec<u64>,
    /// When the troubles end, ms.
    pub(crate) storm: u64,
    pub(crate) acts: Vec<(u64, Act)>,
    /// The links when all is well.
    pub(crate) fair: Weather,
}

/// A day, ms.
const DAY: i64 = 86_400_000;

impl Plan {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let nodes = if rng.u8(..8) == 0 { 3 } else { 2 };
        let drift = rng.bool();
        let ms_a_second = (0..nodes).map(|_| if drift { rng.u64(990..=1010) } else { 1000 }).collect();
        let fair = Weather { delay: rng.u64(1..150), jitter: rng.u64(..30), ..Weather::default() };
        let storm = 1000 * if rng.u8(..4) == 0 { rng.u64(200..600) } else { rng.u64(30..240) };
        let roamer_is_known = rng.bool();
        let roamer = rng.usize(..nodes);
        let mut plan = Self { nodes, roamer, roamer_is_known, ms_a_second, storm, acts: Vec::new(), fair };
        plan.draw(rng);
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    fn draw(&mut self, rng: &mut Rng) {
        for (from, to) in pairs(self.nodes) {
            self.traffic(from, to, rng);
            self.weather(from, to, rng);
        }
        let (nodes, roamer) = (self.nodes, self.roamer);
        self.some(3, 4, rng, |rng| Act::Restart(rng.usize(..nodes)));
        self.some(3, 5, rng, |_| Act::Move(roamer));
        self.some(4, 3, rng, |rng| {
            let (at, of) = pair(nodes, rng);
            Act::Endpoint { at, of, ipv6: rng.bool() }
        });
        self.some(3, 40, rng, |_| Act::Replay);
        self.some(4, 2, rng, |rng| {
            let (at, of) = pair(nodes, rng);
            Act::Persistent { at, of, seconds: rng.u16(1..40) }
        });
        self.some(3, 4, rng, |rng| {
            let offset = if rng.bool() { rng.i64(-DAY..DAY) } else { rng.i64(-5000..5000) };
            Act::Wall { node: rng.usize(..nodes), offset }
        });
        self.some(4, 4, rng, |rng| Act::Stop { node: rng.usize(..nodes), stopped: rng.bool() });
        self.keys(rng);
        self.floods(rng);
    }

    /// Floods often enough that a gateway is under load for some seconds.
    fn floods(&mut self, rng: &mut Rng) {
        if rng.u8(..10) > 0 {
            return;
        }
        let (node, start, gap) = (rng.usize(..self.nodes), rng.u64(..self.storm), rng.u64(300..1_500));
        for number in 0..rng.u64(1..8) {
            let at = start + number * gap;
            if at < self.storm {
                self.acts.push((at, Act::Flood(node)));
            }
        }
    }

    /// In one seed of `rarity`, up to `most` of these.
    fn some(&mut self, rarity: u8, most: usize, rng: &mut Rng, mut act: impl FnMut(&mut Rng) -> Act) {
        if rng.u8(..rarity) > 0 {
            return;
        }
        for _ in 0..rng.usize(1..=most) {
            let at = rng.u64(..self.storm);
            self.acts.push((at, act(rng)));
        }
    }

    /// Silence, single packets and bursts by turns.
    fn traffic(&mut self, from: usize, to: usize, rng: &mut Rng) {
        let spoofs = rng.u8(..3) == 0;
        let mut at = rng.u64(..2000);
        while at < self.storm {
            let (length, gap) = match rng.u8(..5) {
                0 | 1 => (rng.u64(3_000..120_000), u64::MAX),
                2 | 3 => (rng.u64(5_000..60_000), rng.u64(1_000..15_000)),
                _ => (rng.u64(200..3_000), rng.u64(20..300)),
            };
            let end = at + length;
            while gap < u64::MAX && at < end.min(self.storm) {
                let (ipv6, len) = (rng.bool(), rng.usize(64..=1420));
                let spoofed = spoofs && rng.u8(..10) == 0;
                self.acts.push((at, Act::Data { from, to, ipv6, len, spoofed }));
                at += rng.u64(1..=2 * gap);
            }
            at = at.max(end);
        }
    }

    fn weather(&mut self, from: usize, to: usize, rng: &mut Rng) {
        let mut at = 0;
        let mut weather = Weather { delay: self.fair.delay, ..Weather::default() };
        let trouble = |permille: u64, rng: &mut Rng| if rng.bool() { rng.u64(..permille) } else { 0 };
        weather.jitter = trouble(2000, rng);
        weather.loss = trouble(300, rng);
        weather.double = trouble(200, rng);
        weather.damage = trouble(50, rng);
        while at < self.storm {
            self.acts.push((at, Act::Weather { from, to, weather }));
            at += rng.u64(5_000..120_000);
            // Now and then nothing comes through for a while.
            if rng.u8(..3) == 0 {
                let cut = Weather { loss: 1000, ..weather };
                self.acts.push((at, Act::Weather { from, to, weather: cut }));
                at += if rng.u8(..4) == 0 { rng.u64(90_000..250_000) } else { rng.u64(1_000..40_000) };
            }
        }
        self.acts.retain(|(at, _)| *at < self.storm);
    }

    /// Keys change: one side first, the other some time after.
    fn keys(&mut self, rng: &mut Rng) {
        let (at, of) = pair(self.nodes, rng);
        let mut key = || {
            let mut key = [0; 32];
            rng.fill(&mut key);
            key
        };
        let (psk, private) = (key(), key());
        let times = [rng.u64(..self.storm), rng.u64(..self.storm)];
        if rng.u8(..4) == 0 {
            self.acts.push((times[0], Act::Psk { at, of, psk }));
            self.acts.push((times[1], Act::Psk { at: of, of: at, psk }));
        }
        if rng.u8(..5) == 0 {
            let changed = rng.u64(..self.storm);
            self.acts.push((changed, Act::OwnKey { node: at, key: private }));
            for other in (0..self.nodes).filter(|other| *other != at) {
                self.acts.push((rng.u64(changed..=self.storm), Act::PeerKey { at: other, of: at }));
            }
        }
    }
}

/// All ordered pairs of different nodes.
pub(crate) fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..nodes).flat_map(move |a| (0..nodes).map(move |b| (a, b))).filter(|(a, b)| a != b)
}

fn pair(nodes: usize, rng: &mut Rng) -> (usize, usize) {
    let at = rng.usize(..nodes);
    (at, (at + rng.usize(1..nodes)) % nodes)
}
