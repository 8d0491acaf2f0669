//! What a lab answers: the same requests as a gateway, as far as there are ports and forwarding in them.

use super::error::LabError;
use super::lab::{Lab, LabPort, Share, refuse};
use super::options;
use super::stream::Way;
use super::verbose::{self, Printer};
use crate::api::{LabRequest, PortAction, Request};
use crate::dpdk::{PortError, tsc_hz};
use crate::gateway::port_rows::{self, Shown};
use crate::queue::sync::Arc;
use serde_json::{Value, json};
use std::sync::PoisonError;

impl Lab {
    /// The answer, or why there is none. Main thread.
    ///
    /// # Errors
    /// Words for people.
    pub fn answer(&mut self, request: &Request) -> Result<Value, String> {
        self.answered(request).map_err(|error| error.to_string())
    }

    /// Does what is ordered.
    ///
    /// # Errors
    /// Words for people.
    pub fn order(&mut self, request: &LabRequest) -> Result<Value, String> {
        self.ordered(request).map_err(|error| error.to_string())
    }

    /// What is wrong with what the `wireguard` runs brought back that were stopped, if anything is.
    pub fn complaint(&self) -> Option<String> {
        self.complaint.clone()
    }

    /// The number, NUMA node and MAC address of each port.
    pub fn ports(&self) -> impl Iterator<Item = (u16, u32, String)> {
        let port =
            |lab: &LabPort| (lab.port.id().0, lab.port.info().socket.unwrap_or(0), port_rows::mac(lab.port.mac()));
        self.ports.iter().map(port)
    }

    fn answered(&mut self, request: &Request) -> Result<Value, LabError> {
        match request {
            Request::ShowFwdStats => self.fwd_stats(),
            Request::ClearFwdStats => {
                self.statistics.clear();
                self.base_ports()?;
                Ok(json!({ "cleared": "fwd" }))
            }
            Request::ShowConfigRxtx => Ok(json!({ "rxtx": self.rxtx(), "settings": self.settings() })),
            Request::ShowConfigCores => {
                let cores: Vec<u32> = self.shares().iter().map(|(lcore, _)| lcore.id.0).collect();
                Ok(json!({ "forwarding": cores }))
            }
            Request::ShowConfigFwd => Ok(json!({ "started": self.forwarding() })),
            Request::SetRecordCoreCycles { on } => {
                self.record(*on);
                Ok(json!({ "record-core-cycles": if *on { "on" } else { "off" } }))
            }
            _ => self.port_answer(request),
        }
    }

    fn ordered(&mut self, request: &LabRequest) -> Result<Value, LabError> {
        Ok(match request {
            LabRequest::Start { bursts_first } => {
                self.start(*bursts_first)?;
                json!({ "started": self.forwarding(), "rxtx": self.rxtx(), "settings": self.settings() })
            }
            LabRequest::Stop => {
                self.stop()?;
                json!({ "stopped": self.fwd_stats()? })
            }
            LabRequest::Port { action, port } => return self.port_do(*action, port),
            LabRequest::SetVerbose { level } => {
                let was = self.set_verbose(*level)?;
                json!({ "set": { "verbose": level, "was": was } })
            }
            LabRequest::PortAttach { device } => {
                let attached = self.attach(device)?;
                json!({ "attached": attached, "ports": self.ports.len() })
            }
            _ => {
                self.must_rest()?;
                json!({ "set": self.set(request).map_err(LabError::Refused)? })
            }
        })
    }

    /// A setting of the next run.
    fn set(&mut self, request: &LabRequest) -> Result<Value, String> {
        Ok(match request {
            LabRequest::SetFwd { mode } => {
                self.options.mode = options::mode(mode)?;
                json!({ "mode": mode })
            }
            LabRequest::SetBurst { packets } => {
                self.options.burst = options::burst(&packets.to_string())?;
                json!({ "burst": packets })
            }
            LabRequest::SetTxpkts { bytes } => {
                self.options.packet_len = options::packet_len(&bytes.to_string())?;
                json!({ "txpkts": bytes })
            }
            LabRequest::SetNbcore { cores } => {
                self.set_cores(usize::try_from(*cores).unwrap_or(usize::MAX))?;
                json!({ "nbcore": cores })
            }
            LabRequest::SetCorelist { cores } => {
                let was = self.options.cores;
                json!({ "corelist": self.set_core_list(cores)?, "was": was })
            }
            LabRequest::SetEthPeer { port, mac } => {
                let peer = options::peer(&format!("{port},{mac}"))?;
                self.options.peers.push(peer);
                json!({ "peer": { "port": port, "mac": port_rows::mac(peer.1.0) } })
            }
            _ => Value::Null,
        })
    }

    /// Which packets are shown from now on; returns what was so far.
    fn set_verbose(&mut self, level: u32) -> Result<u8, LabError> {
        let Some(level) = u8::try_from(level).ok().filter(|level| *level <= verbose::MOST) else {
            return refuse("set verbose takes 1, packets received, 2, packets sent, 3, both, or 0, none");
        };
        if level > 0 && self.printer.is_none() {
            let printer = Printer::start(Arc::clone(&self.viewer), Arc::clone(&self.print));
            self.printer = Some(printer.map_err(|error| LabError::Thread(error.to_string()))?);
        }
        self.viewer.set(level);
        Ok(std::mem::replace(&mut self.options.verbose, level))
    }

    /// Has what packets are shown printed so, instead of on the standard output: a prompt must not be torn.
    pub fn print_by(&mut self, print: Box<dyn FnMut(String) + Send>) {
        *self.print.lock().unwrap_or_else(PoisonError::into_inner) = print;
    }

    fn port_answer(&mut self, request: &Request) -> Result<Value, LabError> {
        Ok(match request {
            Request::ShowPortSummary { port } => {
                let rows = self.each(port, |id, lab| port_rows::summary(id, &lab.port))?;
                json!({ "ports": self.ports.len(), "port_summary": rows })
            }
            Request::ShowPortInfo { port } => {
                json!({ "port_info": self.each(port, |id, lab| port_rows::info(id, &lab.port))? })
            }
            Request::ShowPortStats { port } => {
                json!({ "port_stats": self.each(port, |id, lab| port_rows::stats(id, &lab.port, &mut lab.shown))? })
            }
            Request::ShowPortXstats { port } => {
                json!({ "port_xstats": self.each(port, |id, lab| port_rows::extended(id, &lab.port, &lab.shown))? })
            }
            Request::ClearPortStats { port } | Request::ClearPortXstats { port } => {
                let cleared = self.each(port, |id, lab| {
                    lab.shown = Shown::from_now(&lab.port)?;
                    Ok(json!(id))
                })?;
                json!({ "cleared": cleared })
            }
            Request::SetPromisc { port, on } => {
                let ports = self.each(port, |id, lab| lab.port.set_promiscuous(*on).map(|()| json!(id)))?;
                json!({ "promiscuous": if *on { "on" } else { "off" }, "ports": ports })
            }
            Request::SetLink { port, up } => {
                let ports = self.each(port, |id, lab| lab.port.set_link(*up).map(|()| json!(id)))?;
                json!({ "link": if *up { "up" } else { "down" }, "ports": ports })
            }
            Request::ShowMempool => {
                let pool = self.pool();
                json!({ "pool": {
                    "name": pool.name(), "size": pool.size(), "available": pool.available(), "data_room": pool.data_room(),
                } })
            }
            _ => {
                return refuse(
                    "this asks a gateway, and `culvert pmd` has none: only ports and forwarding (`help ports`, `help pmd`)",
                );
            }
        })
    }

    /// The places of the ports of an argument: a number, a name, or `all`.
    fn ports_of(&self, port: &str) -> Result<Vec<usize>, LabError> {
        let is_it = |lab: &LabPort| lab.port.name() == port || port.parse() == Ok(lab.port.id().0);
        let all = self.ports.iter().enumerate().filter(|(_, lab)| port == "all" || is_it(lab));
        let found: Vec<usize> = all.map(|(at, _)| at).collect();
        if found.is_empty() && port != "all" {
            let there: Vec<String> =
                self.ports.iter().map(|lab| format!("{} ({})", lab.port.id(), lab.port.name())).collect();
            return refuse(&format!("there is no port {port:?}; there are: {}", there.join(", ")));
        }
        Ok(found)
    }

    fn each(
        &mut self,
        port: &str,
        row: impl Fn(usize, &mut LabPort) -> Result<Value, PortError>,
    ) -> Result<Vec<Value>, LabError> {
        let places = self.ports_of(port)?;
        let all = self.ports.iter_mut().enumerate().filter(|(at, _)| places.contains(at));
        let rows = all.map(|(_, lab)| row(usize::from(lab.port.id().0), lab));
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn port_do(&mut self, action: PortAction, port: &str) -> Result<Value, LabError> {
        let places = self.ports_of(port)?;
        let ids: Vec<u16> = places.iter().filter_map(|at| Some(self.ports.get(*at)?.port.id().0)).collect();
        // From behind, since a port that closes leaves the list.
        for at in places.into_iter().rev() {
            match action {
                PortAction::Start => self.start_port(at)?,
                PortAction::Stop => self.stop_port(at)?,
                PortAction::Reset => self.stop_port(at).and_then(|()| self.start_port(at))?,
                PortAction::Close | PortAction::Detach => self.close_port(at)?,
            }
        }
        Ok(json!({ "action": action, "ports": ids }))
    }

    fn fwd_stats(&self) -> Result<Value, LabError> {
        let mhz = self.options.record.then(|| tsc_hz(self.eal()) / 1_000_000);
        let used = self.used();
        Ok(self.statistics.json(used.iter().filter_map(|at| self.ports.get(*at)), mhz)?)
    }

    fn forwarding(&self) -> Value {
        let socket = |port: u16| {
            let lab = self.ports.iter().find(|lab| lab.port.id().0 == port);
            lab.and_then(|lab| lab.port.info().socket).unwrap_or(0)
        };
        let stream = |way: &Way| {
            json!({
                "rx_port": way.rx_port, "rx_queue": way.rx_queue, "rx_socket": socket(way.rx_port),
                "tx_port": way.tx_port, "tx_queue": way.tx_queue, "tx_socket": socket(way.tx_port),
                "peer": port_rows::mac(way.peer.0),
            })
        };
        let core = |(lcore, ways): &Share<'_>| json!({ "core": lcore.id.0, "socket": lcore.socket, "streams": ways.iter().map(stream).collect::<Vec<_>>() });
        let cores: Vec<Value> = self.shares().iter().map(core).collect();
        json!({ "mode": self.options.mode.name(), "ports": self.used().len(), "cores": cores })
    }

    fn rxtx(&self) -> Value {
        let used = self.used();
        let ports = used.iter().filter_map(|at| self.ports.get(*at));
        let row = |lab: &LabPort| {
            let (rx, tx) = lab.port.queues();
            json!({
                "port": lab.port.id().0, "name": lab.port.name(), "rx_queues": rx, "tx_queues": tx,
                "rx_descriptors": self.options.rx_desc, "tx_descriptors": self.options.tx_desc,
            })
        };
        ports.map(row).collect()
    }

    fn settings(&self) -> Value {
        let options = &self.options;
        json!({
            "mode": options.mode.name(), "burst": options.burst, "cores": self.shares().len(),
            "ports": self.used().len(), "txpkts": options.mode.makes_packets().then_some(options.packet_len),
        })
    }
}
