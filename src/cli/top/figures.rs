//! From two looks at a gateway to what is shown of it. What an answer lacks is 0, or blank.

use serde_json::Value;
use std::cmp::Reverse;
use std::time::{Duration, Instant};

/// What was counted at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// The answer to `show report`.
    pub(super) report: Value,
    /// The answer to `show peers sort rate`.
    pub(super) peers: Value,
}

/// All that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) peers_in_all: u64,
    /// Mbufs, and how many of them are free.
    pub(super) pool: (u64, u64),
    pub(super) cores: Vec<Core>,
    pub(super) ports: Vec<Port>,
    /// Those with the most packets a second first.
    pub(super) drops: Vec<Drop>,
    pub(super) peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Core {
    pub(super) name: String,
    /// The part of its cycles that did work, while it counts them; else that of its turns.
    pub(super) busy: f64,
    pub(super) by_cycles: bool,
    pub(super) turns: f64,
}

/// By the second.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) rx_packets: f64,
    pub(super) rx_bits: u64,
    pub(super) tx_packets: f64,
    pub(super) tx_bits: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drop {
    pub(super) reason: String,
    /// By the second.
    pub(super) rate: f64,
    pub(super) packets: u64,
    pub(super) hint: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) endpoint: String,
    pub(super) rx_bps: u64,
    pub(super) tx_bps: u64,
}

/// Which peers stand first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Both,
    Receives,
    Sends,
}

impl Figures {
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let since = now.at.saturating_duration_since(before.at);
        let (old, new) = (&before.report, &now.report);
        let mut figures = Self {
            peers_in_all: number(&now.peers["count"], "peers"),
            pool: (number(&new["pool"], "size"), number(&new["pool"], "available")),
            cores: rows(&new["cores"]).map(|core| Core::between(core, old, new, since)).collect(),
            ports: rows(&new["ports"]).map(|port| Port::between(port, &old["ports"], since)).collect(),
            drops: drops(old, new, since),
            peers: rows(&now.peers["peers"]).map(Peer::of).collect(),
        };
        figures.drops.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.packets.cmp(&a.packets)));
        figures
    }

    /// Equals stay as they are.
    pub(super) fn sort(&mut self, order: Order) {
        self.peers.sort_by_key(|peer| {
            Reverse(match order {
                Order::Both => peer.rx_bps.saturating_add(peer.tx_bps),
                Order::Receives => peer.rx_bps,
                Order::Sends => peer.tx_bps,
            })
        });
    }
}

impl Core {
    fn between(core: &Value, old: &Value, new: &Value, since: Duration) -> Self {
        let name = text(core, "core");
        let grown = |key| grown(core, row(&old["cores"], "core", &name), key);
        // Of all stages, and of that which is none.
        let cycles = |report: &Value| {
            let of_core = rows(&report["cycles"]).filter(|stage| text(stage, "core") == name);
            of_core.fold((0, 0), |(work, idle), stage| match number(stage, "cycles") {
                cycles if text(stage, "stage") == "idle" => (work, idle + cycles),
                cycles => (work + cycles, idle),
            })
        };
        let ((work, idle), (work_before, idle_before)) = (cycles(new), cycles(old));
        let (work, idle) = (work.saturating_sub(work_before), idle.saturating_sub(idle_before));
        let by_cycles = work + idle > 0;
        let busy = if by_cycles { share(work, work + idle) } else { share(grown("busy"), grown("turns")) };
        Self { busy, by_cycles, turns: per_second(grown("turns"), since), name }
    }
}

impl Port {
    fn between(port: &Value, old: &Value, since: Duration) -> Self {
        let name = text(port, "port");
        let grown = |key| grown(port, row(old, "port", &name), key);
        let rate = |key| per_second(grown(key), since);
        Self {
            rx_packets: rate("rx_packets"),
            rx_bits: bits_per_second(grown("rx_bytes"), since),
            tx_packets: rate("tx_packets"),
            tx_bits: bits_per_second(grown("tx_bytes"), since),
            name,
        }
    }
}

/// Those of the data path and of the control threads together.
fn drops(old: &Value, new: &Value, since: Duration) -> Vec<Drop> {
    let mut all: Vec<Drop> = Vec::new();
    for side in ["drops", "control"] {
        for (reason, drop) in new[side].as_object().into_iter().flatten() {
            let packets = number(drop, "packets");
            let rate = per_second(packets.saturating_sub(number(&old[side][reason], "packets")), since);
            match all.iter_mut().find(|other| other.reason == *reason) {
                Some(other) => (other.rate, other.packets) = (other.rate + rate, other.packets + packets),
                None => all.push(Drop { reason: reason.clone(), rate, packets, hint: text(drop, "hint") }),
            }
        }
    }
    all
}

impl Peer {
    fn of(peer: &Value) -> Self {
        let name = text(peer, "name");
        Self {
            name: if name.is_empty() { text(peer, "public_key") } else { name },
            interface: text(peer, "interface"),
            endpoint: text(peer, "endpoint"),
            rx_bps: number(peer, "rx_bps"),
            tx_bps: number(peer, "tx_bps"),
        }
    }
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The row whose `key` is this.
fn row<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    rows(list).find(|row| row[key] == name).unwrap_or(&Value::Null)
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or(0)
}

/// As the terminal may have it: names come from files that others wrote.
fn text(row: &Value, key: &str) -> String {
    let text = row[key].as_str().unwrap_or_default();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn grown(new: &Value, old: &Value, key: &str) -> u64 {
    number(new, key).saturating_sub(number(old, key))
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn bits_per_second(bytes: u64, since: Duration) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000_000;
    u64::try_from(bits.checked_div(since.as_nanos()).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn per_second(count: u64, since: Duration) -> f64 {
    if since.is_zero() { 0.0 } else { count as f64 / since.as_secs_f64() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A gateway two seconds apart: one core counts its cycles, the other does not.
    pub(crate) fn two_looks() -> (Sample, Sample) {
        let report = |n: u64| {
            json!({
                "pool": { "size": 16_383, "available": 16_000 },
                "cores": [{ "core": "core-1", "turns": 1000 * n, "busy": 500 * n },
                          { "core": "core-2", "turns": 4000 * n, "busy": 1000 * n }],
                "cycles": [{ "core": "core-1", "stage": "rx", "cycles": 100 * n },
                           { "core": "core-1", "stage": "aead", "cycles": 800 * n },
                           { "core": "core-1", "stage": "idle", "cycles": 300 * n }],
                "ports": [{ "port": "wan", "rx_packets": 100 * n, "rx_bytes": 150_000 * n, "tx_packets": 10 * n, "tx_bytes": 1000 * n }],
                "drops": { "no_route": { "packets": 7, "hint": "a route" }, "replay": { "packets": n, "hint": "again" } },
                "control": { "no_route": { "packets": 2 * n, "hint": "a route" } },
            })
        };
        let peers = json!({ "count": { "peers": 3 }, "peers": [
            { "name": "laptop", "public_key": "AAAA", "interface": "wg0", "endpoint": "192.0.2.7:7", "rx_bps": 10, "tx_bps": 2_000_000 },
            { "name": null, "public_key": "BBBB", "interface": "wg0", "endpoint": null, "rx_bps": 1000, "tx_bps": 0 },
            { "name": "a\u{1b}[2J", "public_key": "CCCC", "interface": "wg1", "endpoint": null, "rx_bps": 0, "tx_bps": 0 },
        ]});
        let at = Instant::now();
        let sample = |at, n| Sample { at, report: report(n), peers: peers.clone() };
        (sample(at, 1), sample(at + Duration::from_secs(2), 3))
    }

    #[test]
    fn rates_are_what_grew_by_the_second() {
        let (before, now) = two_looks();
        let figures = Figures::between(&before, &now);
        assert_eq!((figures.peers_in_all, figures.pool), (3, (16_383, 16_000)));
        let core = |at: usize| (figures.cores[at].busy, figures.cores[at].by_cycles, figures.cores[at].turns);
        assert_eq!((core(0), core(1)), ((0.75, true, 1000.0), (0.25, false, 4000.0)));
        let Port { rx_packets, rx_bits, tx_packets, tx_bits, .. } = figures.ports[0];
        assert_eq!((rx_packets, rx_bits, tx_packets, tx_bits), (100.0, 1_200_000, 10.0, 8000));
        let drops: Vec<_> = figures.drops.iter().map(|drop| (drop.reason.as_str(), drop.rate, drop.packets)).collect();
        assert_eq!(drops, [("no_route", 2.0, 13), ("replay", 1.0, 3)]);
        // A gateway that began anew counts from 0, and not backwards.
        let anew = Figures::between(&now, &Sample { at: now.at + Duration::from_secs(1), ..before.clone() });
        assert_eq!((anew.ports[0].rx_packets, anew.cores[0].busy), (0.0, 0.0));
        assert_eq!(Figures::between(&now, &now).ports[0].rx_bits, 0);
        let nothing = Sample { at: now.at, report: json!([]), peers: json!(null) };
        assert_eq!(Figures::between(&now, &nothing), Figures::default());
    }

    #[test]
    fn the_fastest_peers_stand_first() {
        let (before, now) = two_looks();
        let mut figures = Figures::between(&before, &now);
        let names = |figures: &Figures| figures.peers.iter().map(|peer| peer.name.clone()).collect::<Vec<_>>();
        figures.sort(Order::Receives);
        assert_eq!(names(&figures), ["BBBB", "laptop", "a\u{fffd}[2J"]);
        figures.sort(Order::Both);
        assert_eq!(names(&figures), ["laptop", "BBBB", "a\u{fffd}[2J"]);
    }
}
