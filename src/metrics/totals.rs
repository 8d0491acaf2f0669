//! The aggregates: as many series at a million peers as at one.

use super::Page;
use super::source::{CoreTotals, DeviceTotals, PortTotals, Source, Totals};
use crate::shared::DropReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;

/// Reads all aggregates at each scrape.
#[derive(Debug)]
pub(super) struct Aggregates(pub(super) Arc<dyn Source>);

impl Collector for Aggregates {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (totals, mut page) = (self.0.totals(), Page(encoder));
        about(&mut page, &totals)?;
        ports(&mut page, &totals.ports)?;
        devices(&mut page, &totals.ports)?;
        packets(&mut page, &totals)?;
        drops(&mut page, &totals)?;
        sessions(&mut page, &totals)?;
        cores(&mut page, &totals.cores)
    }
}

fn about(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    let Totals { version, dpdk, backend, .. } = totals;
    page.gauges("culvert_build_info", "What runs: culvert, DPDK, and the cipher backend.", |samples| {
        samples.add(&[("version", version), ("dpdk", dpdk), ("backend", backend)], 1)
    })?;
    page.gauges("culvert_start_time_seconds", "When the gateway started, Unix time.", |samples| {
        samples.add(&[], totals.started.as_secs())
    })
}

/// What is counted of a `T`: name, help, value.
type Count<T> = (&'static str, &'static str, fn(&T) -> u64);

fn ports(page: &mut Page<'_>, ports: &[PortTotals]) -> fmt::Result {
    const COUNTS: [Count<PortTotals>; 5] = [
        ("culvert_port_rx_packets", "Packets that culvert took from the port.", |p| p.rx_packets),
        ("culvert_port_rx_bytes", "Bytes of the packets that culvert took from the port.", |p| p.rx_bytes),
        ("culvert_port_tx_packets", "Packets that the port took from culvert.", |p| p.tx_packets),
        ("culvert_port_tx_bytes", "Bytes of the packets that the port took from culvert.", |p| p.tx_bytes),
        (
            "culvert_port_tx_full",
            "Packets that the port's full TX queues refused, and that are among the drops.",
            |p| p.tx_full,
        ),
    ];
    for (name, help, value) in COUNTS {
        page.counters(name, help, |samples| {
            ports.iter().try_for_each(|port| samples.add(&[("port", &port.name)], value(port)))
        })?;
    }
    Ok(())
}

fn devices(page: &mut Page<'_>, ports: &[PortTotals]) -> fmt::Result {
    const COUNTS: [Count<DeviceTotals>; 4] = [
        ("culvert_port_rx_missed", "Packets that the device dropped because nobody fetched them in time.", |d| {
            d.rx_missed
        }),
        ("culvert_port_rx_errors", "Packets that the device received with errors.", |d| d.rx_errors),
        ("culvert_port_rx_nombuf", "Times that the device found no mbuf for a packet.", |d| d.rx_nombuf),
        ("culvert_port_tx_errors", "Packets that the device could not send.", |d| d.tx_errors),
    ];
    for (name, help, value) in COUNTS {
        page.counters(name, help, |samples| {
            let with_device = ports.iter().filter_map(|port| Some((&port.name, port.device?)));
            with_device.into_iter().try_for_each(|(port, device)| samples.add(&[("port", port)], value(&device)))
        })?;
    }
    Ok(())
}

fn packets(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    let account = &totals.account;
    // Counters of many threads are not read at one instant: a packet in between may count as less than none.
    let waiting = |sum: i128| u64::try_from(sum).unwrap_or(0);
    let counters = [
        ("culvert_generated_packets", "Packets that culvert made, or handed back to the data path.", account.generated),
        ("culvert_control_packets", "Packets that were handed to control threads.", account.to_control),
    ];
    for (name, help, value) in counters {
        page.counters(name, help, |samples| samples.add(&[], value))?;
    }
    let gauges = [
        ("culvert_queued_packets", "Packets inside the data path now.", waiting(account.queued())),
        (
            "culvert_control_queued_packets",
            "Packets that wait for control threads now.",
            waiting(account.control_queued()),
        ),
        ("culvert_staged_packets", "Packets that wait for a session or a next hop now.", totals.staged),
        ("culvert_mempool_mbufs", "Mbufs of the packet pool.", totals.pool_size),
        (
            "culvert_mempool_mbufs_in_use",
            "Mbufs that are out of the packet pool now.",
            totals.pool_size.saturating_sub(totals.pool_available),
        ),
    ];
    gauges.into_iter().try_for_each(|(name, help, value)| page.gauges(name, help, |samples| samples.add(&[], value)))
}

fn drops(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    let help = "Packets that went no further, by reason (culvert show drops says what mends each).";
    let sides = [("data", &totals.account.drops), ("control", &totals.account.control_drops)];
    page.counters("culvert_drops", help, |samples| {
        for reason in DropReason::ALL {
            for (side, drops) in sides {
                let packets = drops.iter().filter(|(r, _)| r == reason).map(|(_, packets)| packets).sum();
                samples.add(&[("reason", reason.name()), ("where", side)], packets)?;
            }
        }
        Ok(())
    })
}

fn sessions(page: &mut Page<'_>, totals: &Totals) -> fmt::Result {
    page.counters("culvert_handshake_initiations_sent", "Handshake initiations that culvert sent.", |samples| {
        samples.add(&[], totals.initiations)
    })?;
    page.counters("culvert_handshakes", "Handshakes that made a session, by who asked for it.", |samples| {
        samples.add(&[("role", "initiator")], totals.sessions_initiated)?;
        samples.add(&[("role", "responder")], totals.sessions_answered)
    })?;
    let help = "Diffie-Hellman calculations of the handshake threads.";
    page.counters("culvert_curve_operations", help, |samples| samples.add(&[], totals.curve_operations))?;
    page.gauges("wireguard_peers", "Peers of the interface.", |samples| {
        totals.interfaces.iter().try_for_each(|i| samples.add(&[("interface", &i.name)], i.peers))
    })?;
    let connected: Vec<_> = totals.interfaces.iter().filter_map(|i| Some((i.name.as_str(), i.connected?))).collect();
    if connected.len() < totals.interfaces.len() {
        return Ok(());
    }
    page.gauges("wireguard_peers_connected", "Peers with a session that can be sent under.", |samples| {
        connected.iter().try_for_each(|(name, connected)| samples.add(&[("interface", name)], *connected))
    })
}

fn cores(page: &mut Page<'_>, cores: &[CoreTotals]) -> fmt::Result {
    const COUNTS: [Count<CoreTotals>; 2] = [
        ("culvert_core_turns", "Turns of the data core's loop.", |c| c.turns),
        ("culvert_core_busy_turns", "Turns of the data core's loop that found work.", |c| c.turns_busy),
    ];
    for (name, help, value) in COUNTS {
        page.counters(name, help, |samples| {
            cores.iter().try_for_each(|core| samples.add(&[("core", &core.name)], value(core)))
        })?;
    }
    let help = "Whether the data core's cycles are counted now (culvert set record-core-cycles).";
    page.gauges("culvert_core_cycles_recording", help, |samples| {
        cores.iter().try_for_each(|core| samples.add(&[("core", &core.name)], u64::from(core.recording)))
    })?;
    page.counters("culvert_core_cycles", "Cycles of the data core by stage, while they were counted.", |samples| {
        for core in cores {
            for (stage, spent) in &core.stages {
                samples.add(&[("core", &core.name), ("stage", stage.name())], spent.cycles)?;
            }
            samples.add(&[("core", &core.name), ("stage", "idle")], core.idle_cycles)?;
        }
        Ok(())
    })?;
    page.counters("culvert_core_packets", "Packets that a stage worked on, while cycles were counted.", |samples| {
        for core in cores {
            for (stage, spent) in &core.stages {
                samples.add(&[("core", &core.name), ("stage", stage.name())], spent.packets)?;
            }
        }
        Ok(())
    })
}
