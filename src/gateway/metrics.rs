//! The numbers for [`crate::metrics`]: read where they stand, by loads.

use super::sessions::is_connected;
use super::{Pool, Port, Report};
use crate::config::keys::to_base64;
use crate::control::context::Context;
use crate::metrics::{CoreTotals, DeviceTotals, InterfaceTotals, PeerSample, PeerSamples, PortTotals, Source, Totals};
use crate::peer::Tally;
use crate::queue::{Domain, FlowId, Reader, sync::Arc};
use crate::shared::{Counters, PeerFlow, Shared, Stage};
use std::time::Duration;

type Flow = PeerFlow<<Pool as crate::frame::PacketPool>::Packet>;

/// After so many flows the grace periods go on: a removal waits no longer for a scrape than for a packet.
const FLOWS_AT_ONCE: u32 = 1024;

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

    fn peers(&self, most: usize) -> PeerSamples {
        let mut peers = Vec::new();
        self.walk(|flow| {
            if let Some(sample) = self.sample(flow) {
                peers.push(sample);
            }
            peers.len() < most
        });
        let left_out = self.context.directory.len().saturating_sub(peers.len());
        PeerSamples { peers, left_out: left_out as u64 }
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
        let mut totals: Vec<_> = self
            .shared
            .tunnels
            .iter()
            .map(|tunnel| InterfaceTotals {
                name: tunnel.name.clone(),
                peers: self.context.directory.len_of(tunnel.id) as u64,
                connected: 0,
            })
            .collect();
        self.walk_with(|reader, flow| {
            if is_connected(&self.shared, reader, flow)
                && let Some(interface) = totals.get_mut(usize::from(flow.tunnel))
            {
                interface.connected += 1;
            }
            true
        });
        totals
    }

    fn sample(&self, flow: &Flow) -> Option<PeerSample> {
        let record = self.context.directory.by_flow(flow.id())?;
        let state = record.lock();
        Some(PeerSample {
            interface: self.shared.tunnel(record.tunnel)?.name.clone(),
            public_key: to_base64(&record.public_key).to_string(),
            allowed_ips: state.allowed_ips.iter().map(ToString::to_string).collect(),
            friendly_name: state.name.clone().unwrap_or_default(),
            sent_bytes: flow.bytes_sent(),
            received_bytes: flow.bytes_received(),
            latest_handshake: state.last_handshake.unwrap_or_default(),
        })
    }

    /// Shows `see` one peer's flow after the other until it says no. It takes no lock that anybody waits for.
    fn walk(&self, mut see: impl FnMut(&Flow) -> bool) {
        self.walk_with(|_, flow| see(flow));
    }

    fn walk_with(&self, mut see: impl FnMut(&Reader, &Flow) -> bool) {
        let Some(mut reader) = self.domain.register() else {
            // There are dozens of seats for those that come and go.
            return tracing::warn!("metrics: no seat left to look at the peers");
        };
        let flows = &self.shared.flows;
        for id in 0..u32::try_from(flows.capacity()).unwrap_or(u32::MAX) {
            if id % FLOWS_AT_ONCE == 0 {
                reader.quiescent();
            }
            if let Some(flow) = flows.get(&reader, FlowId(id))
                && !see(&reader, flow)
            {
                return;
            }
        }
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
