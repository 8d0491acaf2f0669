//! The WireGuard interface: what `wg` and the peers file change, and what `wg` is shown. One writer at a time.

use super::change::{ChangeSet, PeerChange, SecretKey};
use super::context::Context;
use super::record::{PeerRecord, PeerState};
use super::uapi::{Device, DeviceView, Errno, PeerCursor, PeerView};
use crate::frame::PacketPool;
use crate::noise::Identity;
use crate::peer::{Endpoint, Peer};
use crate::queue::{Dir, Domain, FlowsOwner, Graveyard, Reader, sync::Arc as QueueArc};
use crate::route::AllowedIpsWriter;
use crate::session::Keypair;
use crate::shared::PeerFlow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One interface. UAPI threads, the main thread and the control thread share it.
#[derive(Debug)]
pub struct Interface<A: PacketPool> {
    context: Arc<Context<A>>,
    domain: QueueArc<Domain>,
    max_peers: u32,
    writer: Mutex<Writer<A>>,
}

/// The handles that only one thread at a time may use.
#[derive(Debug)]
struct Writer<A: PacketPool> {
    flows: FlowsOwner<A::Packet, Peer>,
    allowed: AllowedIpsWriter,
    graves: Graveyard,
    private_key: Option<SecretKey>,
    fwmark: u32,
}

/// Why a change was refused; nothing of it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// More peers than the configuration allows.
    #[error("{wanted} peers, but max_peers is {max_peers}: raise it in the configuration")]
    TooManyPeers {
        /// How many there would be.
        wanted: usize,
        /// How many there may be.
        max_peers: u32,
    },
    /// Too many threads read the tables at once, or too many peers are still on their way out.
    #[error("too many changes at once: try again")]
    Busy,
}

impl<A: PacketPool> Interface<A> {
    /// An interface without peers or key.
    pub fn new(
        context: Arc<Context<A>>,
        domain: QueueArc<Domain>,
        flows: FlowsOwner<A::Packet, Peer>,
        allowed: AllowedIpsWriter,
        max_peers: u32,
    ) -> Self {
        let graves = Graveyard::new(QueueArc::clone(&domain));
        let writer = Writer { flows, allowed, graves, private_key: None, fwmark: 0 };
        Self { context, domain, max_peers, writer: Mutex::new(writer) }
    }

    /// How many places the table of flows has to have for `max_peers`: a whole new set of peers may come while the old one goes.
    pub fn places(max_peers: u32) -> u32 {
        max_peers.saturating_mul(2).saturating_add(64)
    }

    /// Does all of `change`, or nothing. When it returns, no packet of a removed peer is delivered any more. May block.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn apply(&self, change: ChangeSet) -> Result<(), ChangeError> {
        let mut writer = self.lock();
        let named = self.check(&mut writer, &change)?;
        let mut reader = self.domain.register().ok_or(ChangeError::Busy)?;
        let mut removed = false;
        if let Some(key) = change.private_key {
            removed |= self.set_private_key(&mut writer, &mut reader, key);
        }
        // 0 asks for any port: the present one is as good, and clients know it.
        if let Some(port) = change.listen_port.filter(|port| *port != 0) {
            self.context.shared.tunnel.set_listen_port(port);
        }
        if let Some(mark) = change.fwmark {
            writer.fwmark = mark;
        }
        if change.replace_peers {
            for record in self.context.directory.all() {
                if !named.contains(&record.public_key) {
                    self.remove(&mut writer, &reader, &record);
                    removed = true;
                }
                reader.quiescent();
            }
        }
        for peer in change.peers {
            removed |= self.change_peer(&mut writer, &reader, peer, change.replace_peers);
            reader.quiescent();
        }
        drop(reader);
        if removed {
            // Whoever pushed for a removed peer is done with it after this.
            self.domain.synchronize();
            writer.flows.poll();
        }
        Ok(())
    }

    /// Drives removals on and frees what nobody can hold any more. The control thread, every few milliseconds; it never waits.
    /// Returns how many peers are still being removed; while another thread changes something that is not known, and taken for one.
    pub fn poll(&self) -> usize {
        let Ok(mut writer) = self.writer.try_lock() else { return 1 };
        writer.graves.sweep();
        writer.flows.poll()
    }

    /// Removes every peer: the gateway ends.
    pub fn clear(&self) {
        let everything = ChangeSet { replace_peers: true, ..ChangeSet::default() };
        let _cannot_fail_without_peers = self.apply(everything);
    }

    /// How many peers there are.
    pub fn peers(&self) -> usize {
        self.context.directory.len()
    }

    fn lock(&self) -> MutexGuard<'_, Writer<A>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room: for the peers that there would be, and for the flows to be made beside those that are on their way out.
    /// Returns the keys that a whole new set names.
    fn check(&self, writer: &mut Writer<A>, change: &ChangeSet) -> Result<HashSet<[u8; 32]>, ChangeError> {
        let directory = &self.context.directory;
        let named = named(change);
        let stays = |key: &[u8; 32]| (!change.replace_peers || named.contains(key)) && directory.by_key(key).is_some();
        let mut peers = match change.replace_peers {
            true => named.iter().filter(|key| stays(key)).count(),
            false => directory.len(),
        };
        let (mut fresh, mut now) = (0, HashMap::with_capacity(change.peers.len()));
        for peer in &change.peers {
            let exists = now.entry(peer.public_key).or_insert_with_key(stays);
            if *exists && peer.remove {
                peers -= 1;
                *exists = false;
            } else if !*exists && !peer.remove && !peer.update_only {
                (peers, fresh) = (peers + 1, fresh + 1);
                *exists = true;
            }
        }
        if peers > self.max_peers as usize {
            return Err(ChangeError::TooManyPeers { wanted: peers, max_peers: self.max_peers });
        }
        let occupied = directory.len() + writer.flows.poll();
        if fresh + occupied > Self::places(self.max_peers) as usize {
            return Err(ChangeError::Busy);
        }
        Ok(named)
    }

    /// A new identity (PROTOCOL A5, last line): the peer with our own key goes, products are made anew, sessions seal no more.
    /// Returns whether that peer was there.
    fn set_private_key(&self, writer: &mut Writer<A>, reader: &mut Reader, key: SecretKey) -> bool {
        let same = writer.private_key.as_ref().is_some_and(|old| {
            use subtle::ConstantTimeEq;
            old.bytes().ct_eq(key.bytes()).into()
        });
        if same {
            return false;
        }
        let mut removed = false;
        // First ours, then each record's product with it: see `Context::is_identity`.
        let identity = (!key.is_zero()).then(|| Arc::new(Identity::new(key.bytes())));
        writer.private_key = identity.is_some().then_some(key);
        self.context.set_identity(identity.clone());
        for record in self.context.directory.all() {
            if identity.as_ref().is_some_and(|i| *i.public_key() == record.public_key) {
                self.remove(writer, reader, &record);
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
    fn change_peer(&self, writer: &mut Writer<A>, reader: &Reader, change: PeerChange, replaced: bool) -> bool {
        let identity = self.context.identity();
        if identity.as_ref().is_some_and(|i| *i.public_key() == change.public_key) {
            return false;
        }
        let record = self.context.directory.by_key(&change.public_key);
        let (record, fresh) = match record {
            Some(record) if change.remove => {
                self.remove(writer, reader, &record);
                return true;
            }
            Some(record) => (record, false),
            None if change.remove || change.update_only => return false,
            None => match self.create(writer, &change) {
                Some(record) => (record, true),
                None => return false,
            },
        };
        let Some(flow) = self.context.shared.flows.get(reader, record.flow) else { return false };
        // A peer that a whole new set names again keeps its sessions and where it is; all else starts anew.
        let anew = replaced && !fresh;
        self.update(&record, flow, &change, anew);
        self.change_allowed_ips(writer, &record, &change);
        if anew || change.replace_allowed_ips {
            self.keep_allowed_ips(writer, &record, &change);
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

    fn create(&self, writer: &mut Writer<A>, change: &PeerChange) -> Option<Arc<PeerRecord>> {
        let endpoint = change.endpoint.map(Endpoint::configured);
        let flow = writer.flows.insert_with(|_| Peer::new(endpoint))?;
        let record = Arc::new(PeerRecord::new(flow, change.public_key, PeerState::default()));
        self.context.directory.insert(Arc::clone(&record));
        Some(record)
    }

    fn update(&self, record: &PeerRecord, flow: &PeerFlow<A::Packet>, change: &PeerChange, anew: bool) {
        let mut state = record.lock();
        if let Some(psk) = &change.preshared_key {
            state.preshared_key = psk.clone();
        } else if anew {
            state.preshared_key = SecretKey::new([0; 32]);
        }
        if let Some(seconds) = change.persistent_keepalive {
            state.persistent_keepalive = seconds;
        } else if anew {
            state.persistent_keepalive = 0;
        }
        if change.name.is_some() {
            state.name.clone_from(&change.name);
        }
        if let Some(remote) = change.endpoint {
            flow.set_endpoint(Some(&Endpoint::configured(remote)));
        }
    }

    fn change_allowed_ips(&self, writer: &mut Writer<A>, record: &PeerRecord, change: &PeerChange) {
        for allowed in &change.allowed_ips {
            if allowed.remove {
                if writer.allowed.remove(allowed.prefix, record.flow.0) {
                    record.lock().allowed_ips.retain(|p| *p != allowed.prefix);
                }
                continue;
            }
            let owner = writer.allowed.insert(allowed.prefix, record.flow.0);
            if owner == Some(record.flow.0) {
                continue;
            }
            // The later wins, as in the kernel.
            if let Some(old) = owner.and_then(|o| self.context.directory.by_flow(crate::queue::FlowId(o))) {
                old.lock().allowed_ips.retain(|p| *p != allowed.prefix);
            }
            record.lock().allowed_ips.push(allowed.prefix);
        }
    }

    /// Drops those prefixes that the change does not name, and lists the others in its order. It comes last, so that they never
    /// stop matching.
    fn keep_allowed_ips(&self, writer: &mut Writer<A>, record: &PeerRecord, change: &PeerChange) {
        let mut state = record.lock();
        let mut held: HashSet<_> = std::mem::take(&mut state.allowed_ips).into_iter().collect();
        let named = change.allowed_ips.iter().filter(|a| !a.remove).map(|a| a.prefix);
        state.allowed_ips = named.filter(|prefix| held.remove(prefix)).collect();
        for prefix in held {
            writer.allowed.remove(prefix, record.flow.0);
        }
    }

    fn drop_allowed_ips(&self, writer: &mut Writer<A>, record: &PeerRecord) {
        for prefix in std::mem::take(&mut record.lock().allowed_ips) {
            writer.allowed.remove(prefix, record.flow.0);
        }
    }

    /// DESIGN, Removal of a peer: unpublished here; the flow's owner drains and frees it.
    fn remove(&self, writer: &mut Writer<A>, reader: &Reader, record: &PeerRecord) {
        self.drop_allowed_ips(writer, record);
        self.context.directory.remove(record);
        let mut state = record.lock();
        state.removed = true;
        if let Some(flow) = self.context.shared.flows.get(reader, record.flow) {
            self.context.wipe(&mut state, flow, reader, &mut writer.graves);
        }
        state.preshared_key = SecretKey::new([0; 32]);
        state.statics = None;
        writer.flows.retire(record.flow);
    }
}

/// The keys that a change names to be there in the end.
fn named(change: &ChangeSet) -> HashSet<[u8; 32]> {
    let mut named = HashSet::with_capacity(change.peers.len());
    for peer in &change.peers {
        if peer.remove {
            named.remove(&peer.public_key);
        } else if !peer.update_only {
            named.insert(peer.public_key);
        }
    }
    named
}

/// The interface behind its `wg` socket.
#[derive(Debug)]
pub struct WgDevice<A: PacketPool>(pub Arc<Interface<A>>);

impl<A: PacketPool> Device for WgDevice<A> {
    fn set(&self, change: ChangeSet) -> Result<(), Errno> {
        self.0.apply(change).map_err(|e| {
            tracing::warn!("change by the wg socket refused: {e}");
            match e {
                ChangeError::TooManyPeers { .. } => Errno::NOSPC,
                ChangeError::Busy => Errno::AGAIN,
            }
        })
    }

    fn get(&self) -> Result<(DeviceView, Box<dyn PeerCursor>), Errno> {
        let writer = self.0.lock();
        let view = DeviceView {
            private_key: writer.private_key.clone(),
            listen_port: self.0.context.shared.tunnel.listen_port(),
            fwmark: writer.fwmark,
        };
        let records = self.0.context.directory.all();
        drop(writer);
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
        let Some(reader) = self.interface.domain.register() else { return false };
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
