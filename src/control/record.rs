//! What the control threads know of a peer, and where they find it.

use super::change::SecretKey;
use crate::noise::{HandshakeState, Identity, PeerStatic, Tai64N};
use crate::queue::FlowId;
use crate::session::limits::REKEY_TIMEOUT_MS;
use arrayvec::ArrayVec;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// One peer. Control threads only: the data path never sees it.
#[derive(Debug)]
pub struct PeerRecord {
    /// Its queues and data-path part.
    pub flow: FlowId,
    /// The interface that it belongs to.
    pub tunnel: u8,
    /// Its static public key.
    pub public_key: [u8; 32],
    state: Mutex<PeerState>,
}

/// What changes of a peer. One thread at a time, behind the record's lock.
#[derive(Debug)]
pub struct PeerState {
    /// Its key with ours, multiplied at the first handshake; reset when our key changes.
    pub statics: Option<PeerStatic>,
    /// The preshared key; all zero: none.
    pub preshared_key: SecretKey,
    /// The handshake under way.
    pub handshake: HandshakeState,
    /// The index given to the initiation under way.
    pub pending_index: Option<u32>,
    /// Places of this peer's keypairs in the index table that are not freed yet.
    pub keypairs: ArrayVec<u32, 8>,
    /// Greatest timestamp of an accepted initiation.
    pub last_timestamp: Option<Tai64N>,
    /// The timestamp of our last initiation: the next one is greater, whatever the wall clock does.
    pub last_timestamp_sent: Option<Tai64N>,
    /// When an initiation was last accepted, ms.
    pub last_consumed_ms: Option<u64>,
    /// When an initiation or a response was last sent, ms.
    pub last_handshake_sent_ms: Option<u64>,
    /// When a handshake was last complete, since the Unix epoch.
    pub last_handshake: Option<Duration>,
    /// The timers (PROTOCOL A7).
    pub timers: super::timers::PeerTimers,
    /// Seconds between persistent keepalives; 0: none.
    pub persistent_keepalive: u16,
    /// Its prefixes.
    pub allowed_ips: Vec<IpNet>,
    /// Its name for people.
    pub name: Option<String>,
    /// The endpoint that it was given last, wherever it has roamed to since. Boxed: most have none.
    pub configured_endpoint: Option<Box<SocketAddr>>,
    /// A peers file named it, or was written with it.
    pub listed: bool,
    /// Where people were last told that it is; `None`: not connected.
    pub told: Option<SocketAddr>,
    /// It was removed: whoever still holds the record leaves it alone.
    pub removed: bool,
}

impl PeerRecord {
    /// A record around its first state.
    pub fn new(flow: FlowId, tunnel: u8, public_key: [u8; 32], state: PeerState) -> Self {
        Self { flow, tunnel, public_key, state: Mutex::new(state) }
    }

    /// How logs call it: by its name, else by the first 8 letters of its public key as `wg` writes it. `state`: its own.
    pub fn label(&self, state: &PeerState) -> String {
        match (&state.name, self.public_key.first_chunk::<6>()) {
            (Some(name), _) => name.clone(),
            (None, Some(start)) => BASE64_STANDARD.encode(start),
            (None, None) => String::new(),
        }
    }

    /// Its state, for this thread alone.
    pub fn lock(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerState {
    /// Whether an initiation or a response went within the last 5 s: no initiation then (PROTOCOL A4).
    pub fn sent_handshake_recently(&self, now_ms: u64) -> bool {
        self.last_handshake_sent_ms.is_some_and(|sent| now_ms.abs_diff(sent) < REKEY_TIMEOUT_MS)
    }

    /// The peer's key with ours, multiplied at the first handshake: half a million peers are configured without a curve operation.
    /// `identity`: ours, as it is while this state is locked. `None` if the product is zero (PROTOCOL A3, 5).
    pub fn multiply(&mut self, identity: &Identity, public_key: &[u8; 32]) -> Option<()> {
        if self.statics.is_none() {
            self.statics = PeerStatic::new(identity, public_key).ok();
        }
        self.statics.is_some().then_some(())
    }
}

/// The state of a peer that was just configured.
impl Default for PeerState {
    fn default() -> Self {
        Self {
            statics: None,
            preshared_key: SecretKey::new(&[0; 32]),
            handshake: HandshakeState::default(),
            pending_index: None,
            keypairs: ArrayVec::new(),
            last_timestamp: None,
            last_timestamp_sent: None,
            last_consumed_ms: None,
            last_handshake_sent_ms: None,
            last_handshake: None,
            timers: super::timers::PeerTimers::default(),
            persistent_keepalive: 0,
            allowed_ips: Vec::new(),
            name: None,
            configured_endpoint: None,
            listed: false,
            told: None,
            removed: false,
        }
    }
}

/// All records, by interface and public key, and by flow. Two interfaces may have a peer of the same key each.
#[derive(Debug)]
pub struct Directory {
    inner: RwLock<Index>,
}

#[derive(Debug)]
struct Index {
    /// A place an interface.
    by_key: Vec<HashMap<[u8; 32], Arc<PeerRecord>>>,
    by_flow: HashMap<u32, Arc<PeerRecord>>,
}

impl Directory {
    /// An empty directory of so many interfaces.
    pub fn new(tunnels: usize) -> Self {
        let by_key = (0..tunnels).map(|_| HashMap::new()).collect();
        Self { inner: RwLock::new(Index { by_key, by_flow: HashMap::new() }) }
    }

    /// The peer of a public key on an interface.
    pub fn by_key(&self, tunnel: u8, key: &[u8; 32]) -> Option<Arc<PeerRecord>> {
        self.read().by_key.get(usize::from(tunnel))?.get(key).cloned()
    }

    /// The peer of a flow.
    pub fn by_flow(&self, flow: FlowId) -> Option<Arc<PeerRecord>> {
        self.read().by_flow.get(&flow.0).cloned()
    }

    /// All peers of an interface, in order of their flows: the order of a hash table would be another in each run.
    pub fn all_of(&self, tunnel: u8) -> Vec<Arc<PeerRecord>> {
        let index = self.read();
        let mut all: Vec<_> =
            index.by_key.get(usize::from(tunnel)).into_iter().flat_map(HashMap::values).cloned().collect();
        drop(index);
        all.sort_unstable_by_key(|record| record.flow.0);
        all
    }

    /// How many peers an interface has.
    pub fn len_of(&self, tunnel: u8) -> usize {
        self.read().by_key.get(usize::from(tunnel)).map_or(0, HashMap::len)
    }

    /// How many peers there are, of all interfaces.
    pub fn len(&self) -> usize {
        self.read().by_flow.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn insert(&self, record: Arc<PeerRecord>) {
        let mut index = self.write();
        if let Some(peers) = index.by_key.get_mut(usize::from(record.tunnel)) {
            peers.insert(record.public_key, Arc::clone(&record));
        }
        index.by_flow.insert(record.flow.0, record);
    }

    pub(super) fn remove(&self, record: &PeerRecord) {
        let mut index = self.write();
        if let Some(peers) = index.by_key.get_mut(usize::from(record.tunnel)) {
            peers.remove(&record.public_key);
        }
        index.by_flow.remove(&record.flow.0);
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
