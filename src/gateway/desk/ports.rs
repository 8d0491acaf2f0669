//! What is told about ports. The counters are the device's own; a clear only moves where they are counted from here.

use super::Desk;
use super::port_rows::{self, Shown};
use crate::dpdk::{Port, PortError};
use crate::gateway::plan::{DESCRIPTORS, QueueRow};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where what is shown begins, and what was shown last.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Baselines(Mutex<Vec<Baseline>>);

#[derive(Clone, Debug, Default)]
struct Baseline {
    shown: Shown,
    forwarded: Forwarded,
}

/// What culvert's own cores counted of a port, and the device's losses.
#[derive(Clone, Copy, Debug, Default)]
struct Forwarded {
    rx: u64,
    rx_dropped: u64,
    tx: u64,
    /// What its full TX queues refused, too.
    tx_dropped: u64,
}

impl Desk {
    /// The ports of an argument: a number, a name, or `all`.
    pub(super) fn ports_of(&self, port: &str) -> Result<Vec<(usize, &Port)>, String> {
        let all = || self.ports.iter().enumerate();
        let found: Vec<_> = match port {
            "all" => all().collect(),
            _ => all().filter(|(id, p)| p.name() == port || port.parse() == Ok(*id)).collect(),
        };
        if found.is_empty() {
            let names: Vec<_> = all().map(|(id, p)| format!("{id} ({})", p.name())).collect();
            return Err(format!("there is no port {port:?}; there are: {}", names.join(", ")));
        }
        Ok(found)
    }

    /// A row a port.
    fn each_port(
        &self,
        port: &str,
        row: impl Fn(usize, &Port, &mut Baseline) -> Result<Value, PortError>,
    ) -> Result<Value, String> {
        let ports = self.ports_of(port)?;
        let mut baselines = self.baselines.lock(self.ports.len());
        let rows = ports.into_iter().filter_map(|(id, port)| Some(row(id, port, baselines.get_mut(id)?)));
        rows.collect::<Result<Vec<_>, _>>().map(Value::from).map_err(|error| error.to_string())
    }

    pub(super) fn port_summary(&self, port: &str) -> Result<Value, String> {
        let rows = self.each_port(port, |id, port, _| port_rows::summary(id, port))?;
        Ok(json!({ "ports": self.ports.len(), "port_summary": rows }))
    }

    pub(super) fn port_info(&self, port: &str) -> Result<Value, String> {
        let rows = self.each_port(port, |id, port, _| {
            let shared = self.shared.ports.get(id);
            let role = shared.map(|p| match (p.roles.outer, p.roles.inner) {
                (true, true) => "both",
                (true, false) => "outer",
                _ => "inner",
            });
            let addresses: Vec<String> = shared.iter().flat_map(|p| &p.addresses).map(ToString::to_string).collect();
            let mut row = port_rows::info(id, port)?;
            (row["role"], row["vlan"], row["addresses"]) =
                (json!(role), json!(shared.map(|p| p.vlan)), json!(addresses));
            Ok(row)
        })?;
        Ok(json!({ "port_info": rows }))
    }

    pub(super) fn port_stats(&self, port: &str) -> Result<Value, String> {
        let rows = self.each_port(port, |id, port, baseline| port_rows::stats(id, port, &mut baseline.shown))?;
        Ok(json!({ "port_stats": rows }))
    }

    pub(super) fn port_xstats(&self, port: &str) -> Result<Value, String> {
        let rows = self.each_port(port, |id, port, baseline| port_rows::extended(id, port, &baseline.shown))?;
        Ok(json!({ "port_xstats": rows }))
    }

    /// Both kinds: they are the same counters, seen twice.
    pub(super) fn clear_port(&self, port: &str) -> Result<Value, String> {
        let rows = self.each_port(port, |id, port, baseline| {
            baseline.shown = Shown::from_now(port)?;
            Ok(json!(id))
        })?;
        Ok(json!({ "cleared": rows }))
    }

    pub(super) fn set_promisc(&self, port: &str, on: bool) -> Result<Value, String> {
        let ports = self.ports_of(port)?;
        for (_, port) in &ports {
            port.set_promiscuous(on).map_err(|error| error.to_string())?;
        }
        let ids: Vec<usize> = ports.iter().map(|(id, _)| *id).collect();
        Ok(json!({ "promiscuous": if on { "on" } else { "off" }, "ports": ids }))
    }

    pub(super) fn set_link(&self, port: &str, up: bool) -> Result<Value, String> {
        let ports = self.ports_of(port)?;
        for (_, port) in &ports {
            port.set_link(up)
                .map_err(|error| format!("{error}. Not every driver can: unplug it, or close it at the switch"))?;
        }
        let ids: Vec<usize> = ports.iter().map(|(id, _)| *id).collect();
        Ok(json!({ "link": if up { "up" } else { "down" }, "ports": ids }))
    }

    pub(super) fn fwd_stats(&self) -> Result<Value, String> {
        let mut total = Forwarded::default();
        let mut rows = Vec::new();
        let mut baselines = self.baselines.lock(self.ports.len());
        for (id, port) in self.ports.iter().enumerate() {
            let Some(baseline) = baselines.get_mut(id) else { continue };
            let (now, from) = (self.forwarded(id, port)?, baseline.forwarded);
            let row = Forwarded {
                rx: now.rx.saturating_sub(from.rx),
                rx_dropped: now.rx_dropped.saturating_sub(from.rx_dropped),
                tx: now.tx.saturating_sub(from.tx),
                tx_dropped: now.tx_dropped.saturating_sub(from.tx_dropped),
            };
            total.rx += row.rx;
            total.rx_dropped += row.rx_dropped;
            total.tx += row.tx;
            total.tx_dropped += row.tx_dropped;
            let mut json = row.json();
            (json["port"], json["name"]) = (json!(id), json!(port.name()));
            rows.push(json);
        }
        Ok(json!({ "fwd_stats": rows, "fwd_total": total.json() }))
    }

    pub(super) fn clear_fwd(&self) -> Result<Value, String> {
        let mut baselines = self.baselines.lock(self.ports.len());
        for (id, port) in self.ports.iter().enumerate() {
            if let Some(baseline) = baselines.get_mut(id) {
                baseline.forwarded = self.forwarded(id, port)?;
            }
        }
        Ok(json!({ "cleared": "fwd" }))
    }

    fn forwarded(&self, id: usize, port: &Port) -> Result<Forwarded, String> {
        let device = port.stats().map_err(|error| error.to_string())?;
        let sums = self.report.port_sums(id);
        Ok(Forwarded {
            rx: sums.rx_packets,
            rx_dropped: device.imissed,
            tx: sums.tx_packets,
            tx_dropped: device.oerrors + sums.tx_full,
        })
    }

    pub(super) fn config_rxtx(&self) -> Value {
        let row = |(id, port): (usize, &Port)| {
            let (rx, tx) = port.queues();
            json!({
                "port": id, "name": port.name(), "rx_queues": rx, "tx_queues": tx,
                "rx_descriptors": DESCRIPTORS, "tx_descriptors": DESCRIPTORS,
            })
        };
        json!({ "rxtx": self.ports.iter().enumerate().map(row).collect::<Vec<_>>() })
    }

    pub(super) fn config_fwd(&self) -> Value {
        let row = |row: &QueueRow| json!({ "core": row.core, "rx": row.rx, "tx": row.tx });
        json!({ "fwd": self.queues.iter().map(row).collect::<Vec<_>>() })
    }
}

impl Baselines {
    fn lock(&self, ports: usize) -> MutexGuard<'_, Vec<Baseline>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.resize(ports, Baseline::default());
        all
    }
}

impl Forwarded {
    fn json(&self) -> Value {
        json!({
            "rx_packets": self.rx,
            "rx_dropped": self.rx_dropped,
            "tx_packets": self.tx,
            "tx_dropped": self.tx_dropped,
        })
    }
}
