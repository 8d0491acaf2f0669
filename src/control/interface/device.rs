//! An interface behind its `wg` socket.

use super::{ChangeError, Interface};
use crate::control::change::ChangeSet;
use crate::control::record::PeerRecord;
use crate::control::uapi::{Device, DeviceView, Errno, PeerCursor, PeerView};
use crate::frame::PacketPool;
use crate::shared::Tunnel;
use std::sync::Arc;

/// The interface behind its `wg` socket.
#[derive(Debug)]
pub struct WgDevice<A: PacketPool>(pub Arc<Interface<A>>);

impl<A: PacketPool> Device for WgDevice<A> {
    fn set(&self, change: ChangeSet) -> Result<(), Errno> {
        self.0.apply(change).map_err(|e| {
            tracing::warn!(interface = self.0.name(), "{}: change by the wg socket refused: {e}", self.0.name());
            match e {
                ChangeError::TooManyPeers { .. } => Errno::NOSPC,
                ChangeError::PortTaken { .. } => Errno::ADDRINUSE,
                ChangeError::PrefixTaken { .. } => Errno::EXIST,
                ChangeError::Busy => Errno::AGAIN,
            }
        })
    }

    fn get(&self) -> Result<(DeviceView, Box<dyn PeerCursor>), Errno> {
        let writer = self.0.writer.lock();
        let settings = self.0.settings();
        let view = DeviceView {
            private_key: settings.private_key.clone(),
            listen_port: self.0.context.shared.tunnel(self.0.tunnel).map_or(0, Tunnel::listen_port),
            fwmark: settings.fwmark,
        };
        let records = self.0.context.directory.all_of(self.0.tunnel);
        drop((settings, writer));
        let walk = Walk { interface: Arc::clone(&self.0), records: records.into_iter() };
        Ok((view, Box::new(walk)))
    }

    fn max_peers(&self) -> u32 {
        self.0.max_peers
    }
}

/// A walk over the peers that there were at its start; those removed meanwhile are left out.
struct Walk<A: PacketPool> {
    interface: Arc<Interface<A>>,
    records: std::vec::IntoIter<Arc<PeerRecord>>,
}

impl<A: PacketPool> PeerCursor for Walk<A> {
    fn next(&mut self, peer: &mut PeerView) -> bool {
        let Some(reader) = self.interface.writer.register() else { return false };
        for record in self.records.by_ref() {
            let Some(flow) = self.interface.context.shared.flows.get(&reader, record.flow) else { continue };
            let state = record.lock();
            if state.removed {
                continue;
            }
            peer.public_key = record.public_key;
            peer.preshared_key = (!state.preshared_key.is_zero()).then(|| state.preshared_key.clone());
            peer.endpoint = flow.endpoint().map(|e| e.remote);
            peer.persistent_keepalive = state.persistent_keepalive;
            peer.rx_bytes = flow.bytes_received();
            peer.tx_bytes = flow.bytes_sent();
            peer.last_handshake = state.last_handshake;
            peer.allowed_ips.clone_from(&state.allowed_ips);
            return true;
        }
        false
    }
}
