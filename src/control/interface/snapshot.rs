//! The peers as they are now, to be written down.

use super::Interface;
use crate::control::change::{AllowedIpChange, PeerChange};
use crate::frame::PacketPool;

/// Peers between two quiescent points of a long walk, so that grace periods end.
const STRETCH: usize = 256;

impl<A: PacketPool> Interface<A> {
    /// All peers, in the order of their flows, as a change that would make them. Endpoints are those of now, but for such as no file can name.
    /// `None`: too many threads read the tables at once. Control threads; each record is locked for a moment.
    pub fn snapshot(&self) -> Option<Vec<PeerChange>> {
        let mut reader = self.writer.register()?;
        let records = self.context.directory.all_of(self.tunnel);
        let mut peers = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            if at % STRETCH == 0 {
                reader.quiescent();
            }
            let Some(flow) = self.context.shared.flows.get(&reader, record.flow) else { continue };
            let state = record.lock();
            if state.removed {
                continue;
            }
            let endpoint = flow.endpoint().map(|endpoint| endpoint.remote);
            peers.push(PeerChange {
                public_key: record.public_key,
                preshared_key: Some(state.preshared_key.clone()),
                endpoint: endpoint.filter(|at| !matches!(at, std::net::SocketAddr::V6(v6) if v6.scope_id() != 0)),
                persistent_keepalive: Some(state.persistent_keepalive),
                replace_allowed_ips: true,
                allowed_ips: state.allowed_ips.iter().map(|p| AllowedIpChange { prefix: *p, remove: false }).collect(),
                name: state.name.clone(),
                ..PeerChange::default()
            });
        }
        Some(peers)
    }

    /// These peers stand in the peers file now, with these endpoints.
    pub fn note_saved(&self, peers: &[PeerChange]) {
        for peer in peers {
            if let Some(record) = self.context.directory.by_key(self.tunnel, &peer.public_key) {
                let mut state = record.lock();
                state.listed = true;
                state.configured_endpoint = peer.endpoint.map(Box::new);
            }
        }
    }
}
