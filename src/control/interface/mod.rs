//! The WireGuard interfaces: what `wg` and the peers files change, and what `wg` is shown. One writer at a time.

mod check;
mod device;
mod difference;
mod snapshot;
mod writer;

pub use check::{ChangeError, MOST_MOVED, Moved};
pub use device::WgDevice;
pub use difference::{Becomes, Difference, PeerDifference};
pub use snapshot::Snapshot;
pub use writer::Writer;

use super::change::{ChangeSet, PeerChange, SecretKey};
use super::context::Context;
use super::record::{PeerRecord, PeerState};
use crate::frame::PacketPool;
use crate::noise::Identity;
use crate::peer::{Endpoint, Peer};
use crate::queue::{Dir, Reader};
use crate::session::Keypair;
use crate::shared::PeerFlow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use writer::Handles;

/// One interface: its key, its port and its peers, over tables that all interfaces share. UAPI threads and the main thread share it.
#[derive(Debug)]
pub struct Interface<A: PacketPool> {
    context: Arc<Context<A>>,
    writer: Arc<Writer<A>>,
    tunnel: u8,
    max_peers: u32,
    /// Locked after the writer, where both are.
    settings: Mutex<Settings>,
}

/// What is its own, and of no use to the data path.
#[derive(Debug, Default)]
struct Settings {
    private_key: Option<SecretKey>,
    fwmark: u32,
}

impl<A: PacketPool> Interface<A> {
    /// Interface `tunnel` of [`crate::shared::Shared::tunnels`], without peers or key.
    pub fn new(context: Arc<Context<A>>, writer: Arc<Writer<A>>, tunnel: u8, max_peers: u32) -> Self {
        Self { context, writer, tunnel, max_peers, settings: Mutex::default() }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        self.context.shared.tunnel(self.tunnel).map_or("?", |tunnel| &tunnel.name)
    }

    /// Its number: its place in [`crate::shared::Shared::tunnels`].
    pub fn tunnel(&self) -> u8 {
        self.tunnel
    }

    /// Does all of `change`, or nothing. When it returns, no packet of a removed peer is delivered any more. May block.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn apply(&self, change: ChangeSet) -> Result<(), ChangeError> {
        self.apply_telling(change).map(drop)
    }

    /// The same, and tells which prefixes it took from whom: [`MOST_MOVED`] at most.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn apply_telling(&self, change: ChangeSet) -> Result<Vec<Moved>, ChangeError> {
        Self::apply_together(vec![(self, change)]).map_err(|(_, error)| error)
    }

    /// As [`Interface::apply`]; `done` is called after each peer.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn apply_counting(&self, change: ChangeSet, done: &mut dyn FnMut()) -> Result<(), ChangeError> {
        Self::apply_each(vec![(self, change)], done).map(drop).map_err(|(_, error)| error)
    }

    /// Does all changes of several interfaces of one gateway, or nothing, as [`Interface::apply_telling`]. May block.
    ///
    /// # Errors
    /// [`ChangeError`] and the place of the change that is refused; nothing has changed then.
    pub fn apply_together(changes: Vec<(&Self, ChangeSet)>) -> Result<Vec<Moved>, (usize, ChangeError)> {
        Self::apply_each(changes, &mut || {})
    }

    fn apply_each(
        changes: Vec<(&Self, ChangeSet)>,
        done: &mut dyn FnMut(),
    ) -> Result<Vec<Moved>, (usize, ChangeError)> {
        let Some(writer) = changes.first().map(|(interface, _)| Arc::clone(&interface.writer)) else {
            return Ok(Vec::new());
        };
        let mut handles = writer.lock();
        let named = Self::check_together(&mut handles, &changes)?;
        let mut reader = writer.register().ok_or((0, ChangeError::Busy))?;
        let mut removed = false;
        for ((interface, change), named) in changes.into_iter().zip(named) {
            removed |= interface.perform(&mut handles, &mut reader, change, &named, done);
        }
        drop(reader);
        if removed {
            // Whoever pushed for a removed peer is done with it after this.
            writer.synchronize();
            handles.flows.poll();
        }
        Ok(std::mem::take(&mut handles.moved))
    }

    /// A change that was checked. Returns whether a peer was removed.
    fn perform(
        &self,
        handles: &mut Handles<A>,
        reader: &mut Reader,
        change: ChangeSet,
        named: &HashSet<[u8; 32]>,
        done: &mut dyn FnMut(),
    ) -> bool {
        let mut removed = false;
        if let Some(key) = change.private_key {
            removed |= self.set_private_key(handles, reader, key);
        }
        // 0 asks for any port: the present one is as good, and clients know it.
        if let Some(port) = change.listen_port.filter(|port| *port != 0) {
            self.set_listen_port(reader, port);
        }
        if let Some(mark) = change.fwmark {
            self.settings().fwmark = mark;
        }
        if change.replace_peers {
            for record in self.context.directory.all_of(self.tunnel) {
                if !named.contains(&record.public_key) {
                    self.remove(handles, reader, &record);
                    removed = true;
                }
                reader.quiescent();
            }
        }
        for peer in change.peers {
            removed |= self.change_peer(handles, reader, peer, change.replace_peers);
            reader.quiescent();
            done();
        }
        removed
    }

    /// Removes every peer of it: the gateway ends.
    pub fn clear(&self) {
        let everything = ChangeSet { replace_peers: true, ..ChangeSet::default() };
        let _cannot_fail_without_peers = self.apply(everything);
    }

    /// How many peers there may be.
    pub fn max_peers(&self) -> u32 {
        self.max_peers
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.context.directory.len_of(self.tunnel)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The primary port; the other configured ones stay. Peers that talked to a port that is no longer ours are answered from the new
    /// one, from whatever address is nearest (PROTOCOL A8, roaming).
    fn set_listen_port(&self, reader: &mut Reader, port: u16) {
        let shared = &self.context.shared;
        let Some(tunnel) = shared.tunnel(self.tunnel) else { return };
        // Refused: not after `check`, since all changes of ports pass this writer.
        let Ok(Some(gone)) = shared.listen.move_primary(tunnel, port) else { return };
        for record in self.context.directory.all_of(self.tunnel) {
            if let Some(flow) = shared.flows.get(reader, record.flow)
                && let Some(endpoint) = flow.endpoint().filter(|e| e.local.is_some_and(|local| local.port() == gone))
            {
                flow.set_endpoint(Some(&Endpoint::configured(endpoint.remote)));
            }
            reader.quiescent();
        }
    }

    /// A new identity (PROTOCOL A5, last line): the peer with our own key goes, products are made anew, sessions seal no more.
    /// Returns whether that peer was there.
    fn set_private_key(&self, handles: &mut Handles<A>, reader: &mut Reader, key: SecretKey) -> bool {
        if self.settings().private_key.as_ref().is_some_and(|old| old.same(&key)) {
            return false;
        }
        let mut removed = false;
        // First ours, then each record's product with it: see `Context::is_identity`.
        let identity = (!key.is_zero()).then(|| Arc::new(Identity::new(key.bytes())));
        self.settings().private_key = identity.is_some().then_some(key);
        self.context.set_identity(self.tunnel, identity.clone());
        for record in self.context.directory.all_of(self.tunnel) {
            if identity.as_ref().is_some_and(|i| *i.public_key() == record.public_key) {
                self.remove(handles, reader, &record);
                removed = true;
                continue;
            }
            let mut state = record.lock();
            state.statics = None;
            state.last_handshake_sent_ms = None;
            self.context.forget_handshake(&mut state);
            if let Some(flow) = self.context.shared.flows.get(reader, record.flow) {
                self.stop_sending(flow, reader);
                // What waits for a session asks for one again, now that there may be a key for it (PROTOCOL A4).
                flow.wake(reader, Dir::Egress, &self.context.shared.flows);
            }
            drop(state);
            reader.quiescent();
        }
        removed
    }

    /// One peer. Returns whether it was removed.
    fn change_peer(&self, handles: &mut Handles<A>, reader: &Reader, change: PeerChange, replaced: bool) -> bool {
        let identity = self.context.identity(self.tunnel);
        if identity.as_ref().is_some_and(|i| *i.public_key() == change.public_key) {
            return false;
        }
        let record = self.context.directory.by_key(self.tunnel, &change.public_key);
        let (record, fresh) = match record {
            Some(record) if change.remove => {
                self.remove(handles, reader, &record);
                return true;
            }
            Some(record) => (record, false),
            None if change.remove || change.update_only => return false,
            None => match self.create(handles, &change) {
                Some(record) => (record, true),
                None => return false,
            },
        };
        let Some(flow) = self.context.shared.flows.get(reader, record.flow) else { return false };
        // A peer that a whole new set names again keeps its sessions and where it is; all else starts anew.
        let anew = replaced && !fresh;
        self.update(&record, flow, &change, anew);
        self.change_allowed_ips(handles, &record, &change);
        if anew || change.replace_allowed_ips {
            self.keep_allowed_ips(handles, &record, &change);
        }
        flow.wake(reader, Dir::Egress, &self.context.shared.flows);
        flow.post(reader, &self.context.shared.flows);
        false
    }

    /// Sessions of the old key still open what comes, and seal nothing more (PROTOCOL A5).
    fn stop_sending(&self, flow: &PeerFlow<A::Packet>, reader: &Reader) {
        let slots = [flow.keys.next(), flow.keys.current()];
        let keypairs = slots.into_iter().flatten().filter_map(|slot| self.context.shared.index.keypair(reader, slot));
        keypairs.for_each(Keypair::stop_sending);
    }

    fn create(&self, handles: &mut Handles<A>, change: &PeerChange) -> Option<Arc<PeerRecord>> {
        let endpoint = change.endpoint.map(Endpoint::configured);
        let flow = handles.flows.insert_with(|_| Peer::new(self.tunnel, endpoint))?;
        let record = Arc::new(PeerRecord::new(flow, self.tunnel, change.public_key, PeerState::default()));
        self.context.directory.insert(Arc::clone(&record));
        Some(record)
    }

    fn update(&self, record: &PeerRecord, flow: &PeerFlow<A::Packet>, change: &PeerChange, anew: bool) {
        let mut state = record.lock();
        if let Some(psk) = &change.preshared_key {
            state.preshared_key = psk.clone();
        } else if anew {
            state.preshared_key = SecretKey::new(&[0; 32]);
        }
        if let Some(seconds) = change.persistent_keepalive {
            state.persistent_keepalive = seconds;
        } else if anew {
            state.persistent_keepalive = 0;
        }
        if let Some(name) = &change.name {
            state.name = (!name.is_empty()).then(|| name.clone());
        }
        state.listed |= change.in_file;
        if let Some(remote) = change.endpoint {
            state.configured_endpoint = Some(Box::new(remote));
            flow.set_endpoint(Some(&Endpoint::configured(remote)));
        }
    }

    fn change_allowed_ips(&self, handles: &mut Handles<A>, record: &PeerRecord, change: &PeerChange) {
        for allowed in &change.allowed_ips {
            if allowed.remove {
                if handles.allowed.remove(allowed.prefix, record.flow.0) {
                    record.lock().allowed_ips.retain(|p| *p != allowed.prefix);
                }
                continue;
            }
            let owner = handles.allowed.insert(allowed.prefix, record.flow.0);
            if owner == Some(record.flow.0) {
                continue;
            }
            // The later wins, as in the kernel.
            if let Some(old) = owner.and_then(|o| self.context.directory.by_flow(crate::queue::FlowId(o))) {
                old.lock().allowed_ips.retain(|p| *p != allowed.prefix);
                if handles.moved.len() < MOST_MOVED {
                    handles.moved.push(Moved { prefix: allowed.prefix, from: old.public_key });
                }
            }
            record.lock().allowed_ips.push(allowed.prefix);
        }
    }

    /// Drops those prefixes that the change does not name, and lists the others in its order. It comes last, so that they never
    /// stop matching.
    fn keep_allowed_ips(&self, handles: &mut Handles<A>, record: &PeerRecord, change: &PeerChange) {
        let mut state = record.lock();
        let mut held: HashSet<_> = std::mem::take(&mut state.allowed_ips).into_iter().collect();
        let named = change.allowed_ips.iter().filter(|a| !a.remove).map(|a| a.prefix);
        state.allowed_ips = named.filter(|prefix| held.remove(prefix)).collect();
        for prefix in held {
            handles.allowed.remove(prefix, record.flow.0);
        }
    }

    fn drop_allowed_ips(&self, handles: &mut Handles<A>, record: &PeerRecord) {
        for prefix in std::mem::take(&mut record.lock().allowed_ips) {
            handles.allowed.remove(prefix, record.flow.0);
        }
    }

    /// DESIGN, Removal of a peer: unpublished here; the flow's owner drains and frees it.
    fn remove(&self, handles: &mut Handles<A>, reader: &Reader, record: &PeerRecord) {
        self.drop_allowed_ips(handles, record);
        self.context.directory.remove(record);
        let mut state = record.lock();
        state.removed = true;
        if let Some(flow) = self.context.shared.flows.get(reader, record.flow) {
            self.context.wipe(&mut state, flow, reader, &mut handles.graves);
        }
        state.preshared_key = SecretKey::new(&[0; 32]);
        state.statics = None;
        handles.flows.retire(record.flow);
    }
}
