//! The peers as they are now, to be written down.

use super::Interface;
use crate::control::change::{AllowedIpChange, PeerChange};
use crate::frame::PacketPool;
use crate::queue::FlowId;
use std::net::SocketAddr;

/// Peers between two quiescent points of a long walk, so that grace periods end.
const STRETCH: usize = 256;

/// All peers of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In the order of their flows, as a change that would make them. Endpoints are those of now, but for such as no file can name.
    pub peers: Vec<PeerChange>,
    /// A place a peer: which it was, and the endpoint that it had been given last.
    given: Vec<(FlowId, Option<SocketAddr>)>,
}

impl<A: PacketPool> Interface<A> {
    /// All peers. `None`: too many threads read the tables at once. Control threads; no peer is changed meanwhile, and each record is
    /// locked for a moment.
    pub fn snapshot(&self) -> Option<Snapshot> {
        // A prefix that moves stands at one peer. First, as who changes has it: it waits for readers.
        let _nobody_changes = self.writer.lock();
        let mut reader = self.writer.register()?;
        let records = self.context.directory.all_of(self.tunnel);
        let mut peers = Vec::with_capacity(records.len());
        let mut given = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            if at % STRETCH == 0 {
                reader.quiescent();
            }
            let Some(flow) = self.context.shared.flows.get(&reader, record.flow) else { continue };
            let state = record.lock();
            if state.removed {
                continue;
            }
            given.push((record.flow, state.configured_endpoint.as_deref().copied()));
            let endpoint = flow.endpoint().map(|endpoint| endpoint.remote);
            peers.push(PeerChange {
                public_key: record.public_key,
                preshared_key: Some(state.preshared_key.clone()),
                endpoint: endpoint.filter(|at| !matches!(at, SocketAddr::V6(v6) if v6.scope_id() != 0)),
                persistent_keepalive: Some(state.persistent_keepalive),
                replace_allowed_ips: true,
                allowed_ips: state.allowed_ips.iter().map(|p| AllowedIpChange { prefix: *p, remove: false }).collect(),
                name: state.name.clone(),
                ..PeerChange::default()
            });
        }
        Some(Snapshot { peers, given })
    }

    /// These peers stand in the peers file now, with these endpoints; what was given another one since differs from the file.
    pub fn note_saved(&self, saved: &Snapshot) {
        let _nobody_changes = self.writer.lock();
        for (peer, (flow, given)) in saved.peers.iter().zip(&saved.given) {
            if let Some(record) = self.context.directory.by_key(self.tunnel, &peer.public_key) {
                let mut state = record.lock();
                state.listed = true;
                if record.flow == *flow
                    && state.configured_endpoint.as_deref() == given.as_ref()
                    && *given != peer.endpoint
                {
                    state.configured_endpoint = peer.endpoint.map(Box::new);
                }
            }
        }
    }
}
