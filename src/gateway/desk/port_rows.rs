//! What is told about one port, whoever runs it. A clear only moves where its counters are counted from.

use crate::dpdk::{Port, PortError, PortStats};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Instant;

/// Where a port's shown counters begin, and what was shown last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    stats: PortStats,
    extended: HashMap<String, u64>,
    last: Option<(Instant, PortStats)>,
}

impl Shown {
    /// From what the device has counted so far.
    pub(crate) fn from_now(port: &Port) -> Result<Self, PortError> {
        Ok(Self { stats: port.stats()?, extended: port.extended_stats()?.into_iter().collect(), last: None })
    }
}

/// `show port summary`
pub(crate) fn summary(id: usize, port: &Port) -> Result<Value, PortError> {
    let (info, link) = (port.info(), port.link()?);
    Ok(json!({
        "port": id,
        "name": port.name(),
        "mac": mac(info.mac),
        "device": info.device,
        "driver": info.driver,
        "up": link.up,
        "speed_mbps": link.speed_mbps,
    }))
}

/// `show port info`
pub(crate) fn info(id: usize, port: &Port) -> Result<Value, PortError> {
    let (info, link) = (port.info(), port.link()?);
    let (rx_queues, tx_queues) = port.queues();
    Ok(json!({
        "port": id,
        "name": port.name(),
        "mac": mac(info.mac),
        "device": info.device,
        "driver": info.driver,
        "numa_node": info.socket,
        "up": link.up,
        "speed_mbps": link.speed_mbps,
        "full_duplex": link.full_duplex,
        "mtu": port.mtu()?,
        "promiscuous": port.is_promiscuous()?,
        "allmulticast": port.is_allmulticast()?,
        "rx_queues": rx_queues,
        "tx_queues": tx_queues,
        "max_rx_queues": info.max_rx_queues,
        "max_tx_queues": info.max_tx_queues,
    }))
}

/// `show port stats`: the speed is that since the last time.
pub(crate) fn stats(id: usize, port: &Port, shown: &mut Shown) -> Result<Value, PortError> {
    let now = less(&port.stats()?, &shown.stats);
    let rate = |of: fn(&PortStats) -> u64, unit: u64| -> u64 {
        let Some((at, before)) = &shown.last else { return 0 };
        // As testpmd: what went back since (a clear) counts for nothing.
        let grown = u128::from(of(&now).saturating_sub(of(before))) * u128::from(unit) * 1_000_000_000;
        let per_second = grown.checked_div(at.elapsed().as_nanos()).unwrap_or(0);
        u64::try_from(per_second).unwrap_or(u64::MAX)
    };
    let row = json!({
        "port": id,
        "name": port.name(),
        "rx_packets": now.ipackets,
        "rx_bytes": now.ibytes,
        "rx_missed": now.imissed,
        "rx_errors": now.ierrors,
        "rx_nombuf": now.rx_nombuf,
        "tx_packets": now.opackets,
        "tx_bytes": now.obytes,
        "tx_errors": now.oerrors,
        "rx_pps": rate(|s| s.ipackets, 1),
        "rx_bps": rate(|s| s.ibytes, 8),
        "tx_pps": rate(|s| s.opackets, 1),
        "tx_bps": rate(|s| s.obytes, 8),
    });
    shown.last = Some((Instant::now(), now));
    Ok(row)
}

/// `show port xstats`
pub(crate) fn extended(id: usize, port: &Port, shown: &Shown) -> Result<Value, PortError> {
    let counter = |(name, value): (String, u64)| {
        let value = value.saturating_sub(shown.extended.get(&name).copied().unwrap_or(0));
        json!({ "name": name, "value": value })
    };
    let counters: Vec<Value> = port.extended_stats()?.into_iter().map(counter).collect();
    Ok(json!({ "port": id, "name": port.name(), "counters": counters }))
}

/// What came since; a device that was reset behind our back counts from 0.
pub(crate) fn less(now: &PortStats, from: &PortStats) -> PortStats {
    PortStats {
        ipackets: now.ipackets.saturating_sub(from.ipackets),
        opackets: now.opackets.saturating_sub(from.opackets),
        ibytes: now.ibytes.saturating_sub(from.ibytes),
        obytes: now.obytes.saturating_sub(from.obytes),
        imissed: now.imissed.saturating_sub(from.imissed),
        ierrors: now.ierrors.saturating_sub(from.ierrors),
        oerrors: now.oerrors.saturating_sub(from.oerrors),
        rx_nombuf: now.rx_nombuf.saturating_sub(from.rx_nombuf),
    }
}

/// As testpmd writes it.
pub(crate) fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02X}")).join(":")
}
