//! What is told about interfaces and peers. Each peer's record is locked for a moment; nothing of the data path waits.

use super::Desk;
use super::rates::Rate;
use crate::api::PeerSort;
use crate::config::keys::to_base64;
use crate::control::record::{PeerRecord, PeerState};
use crate::dpdk::Mbuf;
use crate::gateway::sessions::is_connected;
use crate::queue::sync::Arc;
use crate::queue::{Dir, FlowId, Reader};
use crate::shared::{DropReason, Hop, PeerFlow};
use ipnet::IpNet;
use regex::Regex;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Peers shown without a `limit`.
const LIMIT: u32 = 20;
/// And at most.
const MOST: u32 = 10_000;
/// Records between two quiescent points of a long walk, so that grace periods end.
pub(super) const STRETCH: usize = 256;
/// Characters of a key's beginning that name a peer.
const KEY_BEGINNING: usize = 4;

/// What of the peers is wanted.
pub(super) struct Wanted<'a> {
    pub(super) sort: PeerSort,
    pub(super) limit: Option<u32>,
    pub(super) matching: Option<&'a str>,
    pub(super) interface: Option<&'a str>,
}

impl Desk {
    pub(super) fn reader(&self) -> Result<Reader, String> {
        self.domain.register().ok_or_else(|| "too many look at once; ask again".to_owned())
    }

    /// A peer's part of the data path. `None`: it is being removed, or gone, and another may have its place.
    pub(super) fn flow_of<'r>(&'r self, reader: &'r Reader, record: &Arc<PeerRecord>) -> Option<&'r PeerFlow<Mbuf>> {
        let flow = self.shared.flows.get(reader, record.flow)?;
        // Looked at after the flow: a place is given on only after its record has left the directory.
        self.context.directory.by_flow(record.flow).is_some_and(|now| Arc::ptr_eq(&now, record)).then_some(flow)
    }

    /// The interfaces of this name, or all.
    pub(super) fn tunnels(&self, name: Option<&str>) -> Result<Vec<&crate::shared::Tunnel>, String> {
        let all = &self.shared.tunnels;
        let found: Vec<_> = all.iter().filter(|tunnel| name.is_none_or(|name| tunnel.name == name)).collect();
        if found.is_empty() {
            let names: Vec<_> = all.iter().map(|tunnel| tunnel.name.as_str()).collect();
            return Err(format!(
                "there is no interface {:?}; there are: {}",
                name.unwrap_or_default(),
                names.join(", ")
            ));
        }
        Ok(found)
    }

    pub(super) fn interface_rows(&self, name: Option<&str>) -> Result<Value, String> {
        let row = |tunnel: &&crate::shared::Tunnel| {
            let interface = self.interfaces.get(usize::from(tunnel.id));
            json!({
                "interface": tunnel.name,
                "public_key": self.context.identity(tunnel.id).map(|identity| to_base64(identity.public_key())),
                "listen_ports": tunnel.listen_ports(),
                "mtu": tunnel.mtu,
                "mss_clamp": tunnel.mss_clamp,
                "peers": self.context.directory.len_of(tunnel.id),
                "max_peers": interface.map(|interface| interface.max_peers()),
            })
        };
        Ok(json!({ "interfaces": self.tunnels(name)?.iter().map(row).collect::<Vec<_>>() }))
    }

    pub(super) fn peers(&self, wanted: &Wanted<'_>) -> Result<Value, String> {
        let limit = wanted.limit.unwrap_or(LIMIT);
        if limit > MOST {
            return Err(format!("limit is {MOST} at most; wg show INTERFACE dump gives all"));
        }
        let matching = wanted.matching.map(Regex::new).transpose().map_err(|error| error.to_string())?;
        let mut reader = self.reader()?;
        let tunnels = self.tunnels(wanted.interface)?;
        let mut rates = (wanted.sort == PeerSort::Rate).then(|| self.rates.walk(Instant::now()));
        let mut found = Vec::new();
        let mut all = 0;
        for tunnel in tunnels {
            for (at, record) in self.context.directory.all_of(tunnel.id).into_iter().enumerate() {
                if at % STRETCH == 0 {
                    reader.quiescent();
                }
                all += 1;
                let Some(flow) = self.flow_of(&reader, &record) else { continue };
                let rate = rates.as_mut().map(|rates| rates.rate(&record, flow));
                let key = sort_key(flow, &record, wanted.sort, rate);
                if matching.as_ref().is_none_or(|regex| matches(flow, &record, regex)) {
                    found.push((key, record.flow.0, record, rate));
                }
            }
        }
        let matching = found.len();
        // Equals in the order in which they came.
        found.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        found.truncate(limit as usize);
        let row = |(_, _, record, rate): &(_, _, _, Option<Rate>)| {
            let mut row = self.peer_row(&reader, record)?;
            row["rx_bps"] = json!(rate.map(|rate| rate.rx_bps));
            row["tx_bps"] = json!(rate.map(|rate| rate.tx_bps));
            Some(row)
        };
        let rows: Vec<Value> = found.iter().filter_map(row).collect();
        Ok(json!({ "count": { "shown": rows.len(), "matching": matching, "peers": all }, "peers": rows }))
    }

    fn peer_row(&self, reader: &Reader, record: &Arc<PeerRecord>) -> Option<Value> {
        let flow = self.flow_of(reader, record)?;
        let state = record.lock();
        let endpoint = flow.endpoint();
        Some(json!({
            "interface": self.shared.tunnel(record.tunnel).map(|tunnel| &tunnel.name),
            "name": state.name,
            "public_key": to_base64(&record.public_key),
            "endpoint": endpoint.map(|e| e.remote.to_string()),
            "last_handshake_ms": self.since(&state).map(millis),
            "rx_bytes": flow.bytes_received(),
            "tx_bytes": flow.bytes_sent(),
            "allowed_ips": state.allowed_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))
    }

    fn since(&self, state: &PeerState) -> Option<Duration> {
        Some(self.context.environment.wall_clock().saturating_sub(state.last_handshake?))
    }

    pub(super) fn peers_summary(&self) -> Result<Value, String> {
        let mut reader = self.reader()?;
        let mut rows = Vec::new();
        let mut totals = [0_usize; 5];
        for tunnel in &self.shared.tunnels {
            // All, connected, silent, never, without endpoint.
            let mut counts = [0_usize; 5];
            for (at, record) in self.context.directory.all_of(tunnel.id).into_iter().enumerate() {
                if at % STRETCH == 0 {
                    reader.quiescent();
                }
                let Some(flow) = self.flow_of(&reader, &record) else { continue };
                let came = record.lock().last_handshake.is_some();
                let connected = is_connected(&self.shared, &reader, flow);
                let is = [true, connected, came && !connected, !came && !connected, flow.endpoint().is_none()];
                counts.iter_mut().zip(is).for_each(|(count, is)| *count += usize::from(is));
            }
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
            let mut row = summary(counts);
            row["interface"] = json!(tunnel.name);
            rows.push(row);
        }
        Ok(json!({ "summary": rows, "total": summary(totals) }))
    }

    pub(super) fn peer(&self, asked: &str, detail: bool) -> Result<Value, String> {
        let record = self.find(asked)?;
        let reader = self.reader()?;
        let gone = || format!("{asked} was removed just now");
        let mut row = self.peer_row(&reader, &record).ok_or_else(gone)?;
        let flow = self.flow_of(&reader, &record).ok_or_else(gone)?;
        let connected = is_connected(&self.shared, &reader, flow);
        let state = record.lock();
        let words = match (connected, state.pending_index.is_some(), state.last_handshake.is_some()) {
            (true, ..) => "connected",
            (_, true, _) => "shaking hands: it has not answered yet",
            (_, _, true) => "idle: its last session is over",
            _ => "never connected",
        };
        let keepalive = match state.persistent_keepalive {
            0 => "off".to_owned(),
            seconds => seconds.to_string(),
        };
        row["preshared_key"] = json!(!state.preshared_key.is_zero());
        row["local"] = json!(flow.endpoint().and_then(|e| e.local).map(|local| local.to_string()));
        row["persistent_keepalive"] = json!(keepalive);
        row["state"] = json!(words);
        if !detail {
            return Ok(json!({ "peer": row }));
        }
        let now_ms = self.shared.clock.now_ms();
        let ago = |at: Option<u64>| at.filter(|at| *at > 0).map(|at| now_ms.saturating_sub(at));
        Ok(json!({
            "peer": row,
            "detail": {
                "handshake_pending": state.pending_index.is_some(),
                "last_sent_handshake_ms": ago(state.last_handshake_sent_ms),
                "last_taken_initiation_ms": ago(state.last_consumed_ms),
                "last_received_ms": ago(Some(flow.stamps.last_received())),
                "unanswered_ms": ago(flow.stamps.unanswered_sent()),
                "queued_out": flow.queued(Dir::Egress),
                "queued_in": flow.queued(Dir::Ingress),
            },
            "sessions": self.sessions(&reader, flow, now_ms),
            "findings": self.findings(&state, flow.endpoint().is_some(), connected),
        }))
    }

    /// A row a keypair of a peer, without anything secret.
    fn sessions(&self, reader: &Reader, flow: &PeerFlow<Mbuf>, now_ms: u64) -> Vec<Value> {
        let slots = [("next", flow.keys.next()), ("current", flow.keys.current()), ("previous", flow.keys.previous())];
        let session = |(slot, index): (&str, Option<u32>)| {
            let keypair = self.shared.index.keypair(reader, index?)?;
            Some(json!({
                "slot": slot,
                "local_index": format!("{:08x}", keypair.local_index()),
                "remote_index": format!("{:08x}", keypair.remote_index()),
                "initiator": keypair.initiator(),
                "age_ms": now_ms.saturating_sub(keypair.created_ms()),
                "sent": keypair.nonce(),
            }))
        };
        slots.into_iter().filter_map(session).collect()
    }

    /// What a peer that does not work should be looked at for.
    fn findings(&self, state: &PeerState, endpoint: bool, connected: bool) -> Vec<Value> {
        let mut all: Vec<String> = Vec::new();
        if !endpoint {
            all.push("its endpoint is not known: it has to talk first, or be given one".to_owned());
        }
        if state.allowed_ips.is_empty() {
            all.push("it has no allowed ips: nothing is sent to it, and nothing of it is let in".to_owned());
        }
        if !connected && endpoint && state.last_handshake.is_none() && state.last_handshake_sent_ms.is_some() {
            all.push("it never answered: is its UDP port open, and does it know our public key?".to_owned());
        }
        if !connected && state.last_consumed_ms.is_none() {
            let bad = self.report.dropped(DropReason::BadMac1);
            if bad > 0 {
                all.push(format!(
                    "{bad} handshake messages (of whomever) were not made for our public key: is it the right one at the client?"
                ));
            }
            let refused = self.report.dropped(DropReason::HandshakeRefused);
            if refused > 0 {
                all.push(format!(
                    "{refused} handshake messages (of whomever) did not verify: is its public key, and the preshared key, the same on both sides?"
                ));
            }
        }
        all.into_iter().map(|finding| json!({ "finding": finding })).collect()
    }

    /// The one peer that is meant.
    pub(super) fn find(&self, asked: &str) -> Result<Arc<PeerRecord>, String> {
        if let Ok(address) = asked.parse::<IpAddr>() {
            let reader = self.reader()?;
            let flow = self.shared.allowed.lookup(&reader, address);
            let record = flow.and_then(|flow| self.context.directory.by_flow(FlowId(flow)));
            return record.ok_or_else(|| format!("no peer's allowed ips hold {address}"));
        }
        let mut named = Vec::new();
        for tunnel in &self.shared.tunnels {
            for record in self.context.directory.all_of(tunnel.id) {
                let is_named = record.lock().name.as_deref() == Some(asked);
                if is_named || asked.len() >= KEY_BEGINNING && to_base64(&record.public_key).starts_with(asked) {
                    named.push(record);
                }
            }
        }
        match &named[..] {
            [one] => Ok(Arc::clone(one)),
            [] => Err(format!("no peer has the key or the name {asked:?}; show peers match RE searches")),
            [_, _, ..] => {
                let some: Vec<String> = named.iter().take(4).map(|record| to_base64(&record.public_key)).collect();
                let more = if named.len() > some.len() { ", …" } else { "" };
                Err(format!("{} peers are meant by {asked:?}: {}{more}", named.len(), some.join(", ")))
            }
        }
    }

    pub(super) fn lookup(&self, text: &str) -> Result<Value, String> {
        let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
        let reader = self.reader()?;
        // In the data path's order: our own addresses, peers, and for what comes out of a tunnel the inner routes.
        let hop = self.shared.inner.hop(&reader, address);
        let flow = self.shared.allowed.lookup(&reader, address).filter(|_| !matches!(hop, Hop::Local { .. }));
        let record = flow.and_then(|flow| self.context.directory.by_flow(FlowId(flow)));
        let mut row = json!({
            "address": address.to_string(),
            "goes": if record.is_some() { "into a tunnel".to_owned() } else { self.way(hop) },
            "peer": null,
            "public_key": null,
            "interface": null,
            "prefix": null,
        });
        if let Some(record) = record {
            let state = record.lock();
            let holds = state.allowed_ips.iter().filter(|prefix| prefix.contains(&address));
            row["peer"] = json!(state.name.clone().unwrap_or_else(|| "(no name)".to_owned()));
            row["public_key"] = json!(to_base64(&record.public_key));
            row["interface"] = json!(self.shared.tunnel(record.tunnel).map(|tunnel| &tunnel.name));
            row["prefix"] = json!(holds.max_by_key(|prefix| prefix.prefix_len()).map(IpNet::to_string));
        }
        Ok(json!({ "lookup": row }))
    }

    /// Where a packet goes that is for no peer.
    fn way(&self, hop: Hop) -> String {
        let port = |id: u16| self.shared.port(id).map_or("?", |port| port.name.as_str());
        let from_a_port = "from a port nowhere (no_peer)";
        match hop {
            Hop::Local { port: id, .. } => format!("to culvert itself: its address on port {}", port(id)),
            Hop::Wire { port: id, macs } => {
                let [a, b, c, d, e, f, ..] = macs;
                let mac = crate::wire::MacAddr([a, b, c, d, e, f]);
                format!("out of a tunnel to port {}, next hop {mac}; {from_a_port}", port(id))
            }
            Hop::Ask { port: id } => {
                format!("out of a tunnel to port {}, whose neighbour is asked for then; {from_a_port}", port(id))
            }
            Hop::None => format!("out of a tunnel nowhere (no_route); {from_a_port}"),
        }
    }

    pub(super) fn handshakes(&self) -> Result<Value, String> {
        let reader = self.reader()?;
        let dropped = |reason| self.report.dropped(reason);
        Ok(json!({ "handshakes": {
            "pending": self.shared.index.reserved(),
            "sessions": self.shared.index.occupied(&reader),
            "curve_operations": self.report.curve_operations(),
            "refused": dropped(DropReason::HandshakeRefused),
            "bad_mac1": dropped(DropReason::BadMac1),
            "cookies": dropped(DropReason::CookieSent),
            "under_load": dropped(DropReason::UnderLoad),
            "rate_limited": dropped(DropReason::RateLimited),
            "queue_full": dropped(DropReason::HandshakeFull),
        }}))
    }
}

fn summary([peers, connected, silent, never, without_endpoint]: [usize; 5]) -> Value {
    json!({
        "peers": peers,
        "connected": connected,
        "silent": silent,
        "never": never,
        "without_endpoint": without_endpoint,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a peer is sorted by, the first first.
fn sort_key(
    flow: &PeerFlow<Mbuf>,
    record: &PeerRecord,
    sort: PeerSort,
    rate: Option<Rate>,
) -> (Reverse<u128>, Option<String>) {
    let number = |n: u128| (Reverse(n), None);
    match sort {
        PeerSort::Rx => number(flow.bytes_received().into()),
        PeerSort::Tx => number(flow.bytes_sent().into()),
        PeerSort::Rate => number(rate.map_or(0, Rate::sum).into()),
        PeerSort::Handshake => number(record.lock().last_handshake.map_or(0, |at| at.as_nanos())),
        PeerSort::Name => {
            let name = record.lock().name.clone();
            // Those without a name come last.
            (Reverse(u128::from(name.is_some())), name)
        }
    }
}

fn matches(flow: &PeerFlow<Mbuf>, record: &PeerRecord, regex: &Regex) -> bool {
    let state = record.lock();
    state.name.as_deref().is_some_and(|name| regex.is_match(name))
        || regex.is_match(&to_base64(&record.public_key))
        || flow.endpoint().is_some_and(|endpoint| regex.is_match(&endpoint.remote.to_string()))
        || state.allowed_ips.iter().any(|prefix| regex.is_match(&prefix.to_string()))
}
