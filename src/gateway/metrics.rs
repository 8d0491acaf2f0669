//! The numbers for [`crate::metrics`]: read where they stand, by loads.

use super::sessions::is_connected;
use super::{Pool, Port, Report};
use crate::config::keys::to_base64;
use crate::control::context::Context;
use crate::metrics::{CoreTotals, DeviceTotals, InterfaceTotals, PeerSample, PeerSamples, PortTotals, Source, Totals};
use crate::peer::Tally;
use crate::queue::{Domain, FlowId, Reader, sync::Arc};
use crate::shared::{Counters, PeerFlow, Shared, Stage, Tunnel};
use std::time::Duration;

type Flow = PeerFlow<<Pool as crate::frame::PacketPool>::Packet>;

/// After so many flows the grace periods go on: a removal waits no longer for a scrape than for a few bursts.
const FLOWS_AT_ONCE: u32 = 1024;
/// The same, where of each flow a sample with its labels is made (3 KiB of text at most).
const SAMPLES_AT_ONCE: u32 = 16;

/// What the metrics thread reads.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) report: Arc<Report>,
    pub(super) shared: Arc<Shared<Pool>>,
    pub(super) context: Arc<Context<Pool>>,
    pub(super) domain: Arc<Domain>,
    pub(super) ports: Arc<Vec<Port>>,
    /// The cipher backend.
    pub(super) backend: &'static str,
    /// DPDK's version.
    pub(super) dpdk: String,
    /// Since the Unix epoch.
    pub(super) started: Duration,
}

impl Source for Numbers {
    fn totals(&self) -> Totals {
        let (data, control) = self.report.counters();
        let handshakes = |of: fn(&Counters) -> &Tally| control.iter().map(|c| of(c).get()).sum();
        let pool = &self.shared.pool;
        Totals {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            dpdk: self.dpdk.clone(),
            backend: self.backend.to_owned(),
            started: self.started,
            account: self.report.account(),
            staged: u64::try_from(self.shared.staged.held()).unwrap_or(0),
            ports: self.ports(),
            cores: data.iter().map(|core| totals_of(core)).collect(),
            interfaces: self.interfaces(),
            initiations: handshakes(|c| &c.initiations),
            sessions_initiated: handshakes(|c| &c.sessions_initiated),
            sessions_answered: handshakes(|c| &c.sessions_answered),
            curve_operations: handshakes(|c| &c.curve_operations),
            pool_size: u64::from(pool.size()),
            pool_available: u64::from(pool.available()),
        }
    }

    fn peers(&self, most: usize) -> Option<PeerSamples> {
        let mut peers = Vec::new();
        let seen = self.walk(SAMPLES_AT_ONCE, |_, flow| {
            peers.extend(self.sample(flow));
            peers.len() < most
        });
        let left_out = self.context.directory.len().saturating_sub(peers.len());
        seen.then_some(PeerSamples { peers, left_out: left_out as u64 })
    }
}

impl Numbers {
    fn ports(&self) -> Vec<PortTotals> {
        let port = |(id, port): (usize, &Port)| {
            let sums = self.report.port_sums(id);
            PortTotals {
                name: port.name().to_owned(),
                rx_packets: sums.rx_packets,
                rx_bytes: sums.rx_bytes,
                tx_packets: sums.tx_packets,
                tx_bytes: sums.tx_bytes,
                tx_full: sums.tx_full,
                device: port.stats().ok().map(|stats| DeviceTotals {
                    rx_missed: stats.imissed,
                    rx_errors: stats.ierrors,
                    rx_nombuf: stats.rx_nombuf,
                    tx_errors: stats.oerrors,
                }),
            }
        };
        self.ports.iter().enumerate().map(port).collect()
    }

    fn interfaces(&self) -> Vec<InterfaceTotals> {
        let connected = self.connected();
        let tunnels = self.shared.tunnels.iter().enumerate();
        let interface = |(id, tunnel): (usize, &Tunnel)| InterfaceTotals {
            name: tunnel.name.clone(),
            peers: self.context.directory.len_of(tunnel.id) as u64,
            connected: connected.as_ref().and_then(|connected| connected.get(id).copied()),
        };
        tunnels.map(interface).collect()
    }

    /// How many peers of each interface have a session that can be sent under; `None`: nobody may look.
    fn connected(&self) -> Option<Vec<u64>> {
        let mut connected = vec![0; self.shared.tunnels.len()];
        let seen = self.walk(FLOWS_AT_ONCE, |reader, flow| {
            if is_connected(&self.shared, reader, flow)
                && let Some(connected) = connected.get_mut(usize::from(flow.tunnel))
            {
                *connected += 1;
            }
            true
        });
        seen.then_some(connected)
    }

    /// The lock of the peer's record is held for no longer than its bounded labels take to be written.
    fn sample(&self, flow: &Flow) -> Option<PeerSample> {
        let record = self.context.directory.by_flow(flow.id())?;
        let state = record.lock();
        Some(PeerSample {
            interface: self.shared.tunnel(record.tunnel)?.name.clone(),
            public_key: to_base64(&record.public_key).to_string(),
            allowed_ips: PeerSample::allowed_ips_of(&state.allowed_ips),
            friendly_name: state.name.clone().unwrap_or_default(),
            sent_bytes: flow.bytes_sent(),
            received_bytes: flow.bytes_received(),
            latest_handshake: state.last_handshake.unwrap_or_default(),
        })
    }

    /// Shows `see` one peer's flow after the other until it says no, and reports every `at_once` flows. Returns whether it
    /// could look: removals wait for whoever does, so there is a seat for it or none.
    fn walk(&self, at_once: u32, mut see: impl FnMut(&Reader, &Flow) -> bool) -> bool {
        let Some(mut reader) = self.domain.register() else {
            // There are dozens of seats for those that come and go.
            tracing::warn!("metrics: no seat left to look at the peers");
            return false;
        };
        let flows = &self.shared.flows;
        for id in 0..u32::try_from(flows.capacity()).unwrap_or(u32::MAX) {
            if id % at_once == 0 {
                reader.quiescent();
            }
            if let Some(flow) = flows.get(&reader, FlowId(id))
                && !see(&reader, flow)
            {
                break;
            }
        }
        true
    }
}

fn totals_of(core: &Counters) -> CoreTotals {
    CoreTotals {
        name: core.name.clone(),
        turns: core.turns.get(),
        turns_busy: core.turns_busy.get(),
        recording: core.cycles.is_on(),
        stages: Stage::ALL.map(|stage| (stage, core.cycles.spent(stage))).to_vec(),
        idle_cycles: core.cycles.idle(),
    }
}
