//! An interface in memory with the semantics of a real one, for the tests of the socket.

use super::device::{Device, DeviceView, Errno, PeerCursor, PeerView};
use crate::control::change::{ChangeSet, PeerChange};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

type Key = [u8; 32];

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) device: DeviceView,
    pub(super) peers: BTreeMap<Key, PeerView>,
    /// Which peer has a prefix: one at most.
    owners: BTreeMap<IpNet, Key>,
    /// Successful `set`s.
    pub(super) changes: usize,
}

pub(super) struct TestDevice {
    state: Mutex<State>,
    max_peers: u32,
}

impl TestDevice {
    pub(super) fn new(max_peers: u32) -> Self {
        Self { state: Mutex::default(), max_peers }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn apply(&mut self, change: ChangeSet, max_peers: u32) -> Result<(), Errno> {
        if change.listen_port == Some(1) {
            return Err(Errno::ADDRINUSE);
        }
        if let Some(key) = change.private_key {
            self.device.private_key = Some(key).filter(|key| !key.is_zero());
        }
        self.device.listen_port = change.listen_port.unwrap_or(self.device.listen_port);
        self.device.fwmark = change.fwmark.unwrap_or(self.device.fwmark);
        if change.replace_peers {
            self.peers.clear();
            self.owners.clear();
        }
        for peer in change.peers {
            self.apply_peer(peer);
        }
        if self.peers.len() > max_peers as usize {
            return Err(Errno::NOSPC);
        }
        self.changes += 1;
        Ok(())
    }

    fn apply_peer(&mut self, change: PeerChange) {
        let key = change.public_key;
        if change.remove {
            self.peers.remove(&key);
            self.owners.retain(|_, owner| *owner != key);
            return;
        }
        if change.update_only && !self.peers.contains_key(&key) {
            return;
        }
        let peer = self.peers.entry(key).or_insert_with(|| PeerView { public_key: key, ..PeerView::default() });
        if let Some(preshared_key) = change.preshared_key {
            peer.preshared_key = Some(preshared_key).filter(|key| !key.is_zero());
        }
        peer.endpoint = change.endpoint.or(peer.endpoint);
        peer.persistent_keepalive = change.persistent_keepalive.unwrap_or(peer.persistent_keepalive);
        if change.replace_allowed_ips {
            self.owners.retain(|_, owner| *owner != key);
        }
        for allowed in change.allowed_ips {
            if !allowed.remove {
                self.owners.insert(allowed.prefix, key);
            } else if self.owners.get(&allowed.prefix) == Some(&key) {
                self.owners.remove(&allowed.prefix);
            }
        }
    }
}

impl Device for TestDevice {
    fn set(&self, change: ChangeSet) -> Result<(), Errno> {
        let mut state = self.state();
        let mut next = state.clone();
        next.apply(change, self.max_peers)?;
        *state = next;
        Ok(())
    }

    fn get(&self) -> Result<(DeviceView, Box<dyn PeerCursor>), Errno> {
        struct Cursor(std::vec::IntoIter<PeerView>);
        impl PeerCursor for Cursor {
            fn next(&mut self, peer: &mut PeerView) -> bool {
                self.0.next().map(|next| *peer = next).is_some()
            }
        }
        let state = self.state();
        let mut peers = state.peers.clone();
        for (prefix, owner) in &state.owners {
            peers.get_mut(owner).unwrap().allowed_ips.push(*prefix);
        }
        let peers: Vec<PeerView> = peers.into_values().collect();
        Ok((state.device.clone(), Box::new(Cursor(peers.into_iter()))))
    }

    fn max_peers(&self) -> u32 {
        self.max_peers
    }
}
