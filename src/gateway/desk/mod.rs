//! Answers what comes over the control socket, one request after the other, on the socket's thread. It may lock and allocate; workers
//! never wait for it.

mod capture;
mod change;
mod events;
mod peers;
pub(crate) mod port_rows;
mod ports;
mod rates;
mod replay;
mod system;
mod trace;

use super::capture::Capture;
use super::plan::QueueRow;
use super::reload::Reloader;
use super::trace::Trace;
use super::{Report, logs};
use crate::aead::Backend;
use crate::api::Request;
use crate::config::Cores;
use crate::control::context::Context;
use crate::control::interface::Interface;
use crate::dpdk::{Eal, Pool, Port};
use crate::queue::{Domain, sync::Arc};
use crate::shared::Shared;
use peers::Wanted;
pub(super) use ports::Baselines;
pub(super) use rates::Rates;
use serde_json::{Value, json};
use std::os::fd::OwnedFd;

/// Who answers. It goes before the ports do.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) report: Arc<Report>,
    pub(super) ports: Arc<Vec<Port>>,
    pub(super) shared: Arc<Shared<Pool>>,
    pub(super) context: Arc<Context<Pool>>,
    pub(super) interfaces: Vec<Arc<Interface<Pool>>>,
    pub(super) domain: Arc<Domain>,
    pub(super) cores: Cores,
    pub(super) queues: Vec<QueueRow>,
    pub(super) backend: Backend,
    pub(super) eal: Eal,
    pub(super) baselines: Baselines,
    pub(super) reloader: Arc<Reloader>,
    pub(super) capture: Capture,
    pub(super) trace: Trace,
    pub(super) rates: Rates,
}

impl Desk {
    /// The answer, or why there is none; `file` was handed over with the request.
    pub(super) fn answer(&self, request: &Request, file: Option<OwnedFd>) -> Result<Value, String> {
        let report = &self.report;
        Ok(match request {
            Request::ShowReport => report.json(),
            Request::ShowAccount => json!({ "account": report.account_json() }),
            Request::ShowDrops { all } => json!({ "drops": report.drops(*all) }),
            Request::ShowCores => json!({ "cores": report.cores() }),
            Request::ShowCycles => json!({ "cycles": report.cycles() }),
            Request::ShowMempool => json!({ "pool": report.pool() }),
            Request::ShowMemory => self.memory(),
            Request::ShowCrypto => self.crypto(),
            Request::ShowEal => self.eal_json(),
            Request::ShowPortSummary { port } => self.port_summary(port)?,
            Request::ShowPortInfo { port } => self.port_info(port)?,
            Request::ShowPortStats { port } => self.port_stats(port)?,
            Request::ShowPortXstats { port } => self.port_xstats(port)?,
            Request::ClearPortStats { port } | Request::ClearPortXstats { port } => self.clear_port(port)?,
            Request::SetPromisc { port, on } => self.set_promisc(port, *on)?,
            Request::SetLink { port, up } => self.set_link(port, *up)?,
            Request::ShowConfigRxtx => self.config_rxtx(),
            Request::ShowConfigCores => self.config_cores(),
            Request::ShowConfigFwd => self.config_fwd(),
            Request::ShowFwdStats => self.fwd_stats()?,
            Request::ClearFwdStats => self.clear_fwd()?,
            Request::ShowInterface { interface } => self.interface_rows(interface.as_deref())?,
            Request::ShowPeers { sort, limit, matching, interface } => self.peers(&Wanted {
                sort: *sort,
                limit: *limit,
                matching: matching.as_deref(),
                interface: interface.as_deref(),
            })?,
            Request::ShowPeersSummary => self.peers_summary()?,
            Request::ShowPeer { peer, detail } => self.peer(peer, *detail)?,
            Request::ShowLookup { address } => self.lookup(address)?,
            Request::ShowHandshakes => self.handshakes()?,
            Request::ShowCookies => json!({ "cookies": report.cookies() }),
            Request::ShowReplay { limit } => self.replay(*limit)?,
            Request::PeerAdd { public_key, interface, settings } => {
                self.peer_add(public_key, interface.as_deref(), settings)?
            }
            Request::PeerSet { peer, interface, settings } => self.peer_set(peer, interface.as_deref(), settings)?,
            Request::PeerRemove { peer, interface } => self.peer_remove(peer, interface.as_deref())?,
            Request::ConfigDiff { file } => self.reloader.difference(file.as_deref())?,
            Request::PeersSave { file, interface, force } => {
                self.reloader.save(file.as_deref(), interface.as_deref(), *force)?
            }
            Request::Reload { keep } => self.reloader.reload(*keep)?,
            Request::CaptureStart { .. } => self.capture_start(request, file)?,
            Request::CaptureStop => self.capture.stop()?,
            Request::ShowCapture => self.capture.show(),
            Request::TraceAdd { packets, peer } => self.trace_add(*packets, peer.as_deref())?,
            Request::ShowTrace => self.show_trace(),
            Request::ClearTrace => self.clear_trace(),
            Request::ShowEvents { after, limit } => self.events(*after, *limit),
            Request::SetLog { level } => {
                logs::set(level)?;
                json!({ "log": level })
            }
            Request::SetRecordCoreCycles { on } => {
                report.record_core_cycles(*on);
                json!({ "record-core-cycles": if *on { "on" } else { "off" } })
            }
        })
    }
}
