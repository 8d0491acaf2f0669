//! What the control threads share among themselves.

pub use super::environment::Environment;
// For `crate::fwd`, which keeps time as the gateway does.
#[cfg(feature = "dpdk")]
pub(crate) use super::environment::boottime_ms;
use super::events::Events;
use super::key_log::KeyLog;
use super::record::{Directory, PeerRecord, PeerState};
use crate::frame::PacketPool;
use crate::noise::Identity;
use crate::queue::{Graveyard, Reader};
use crate::shared::{PeerFlow, Shared};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// A handshake that is to be started.
#[derive(Clone, Debug)]
pub struct Request {
    /// With whom.
    pub record: Arc<PeerRecord>,
    /// The initiation under way is to be sent again (T1).
    pub retry: bool,
}

/// Shared by the control threads of one gateway.
#[derive(Debug)]
pub struct Context<A: PacketPool> {
    /// Shared with the data path too.
    pub shared: Arc<Shared<A>>,
    /// All peers.
    pub directory: Directory,
    /// The key of each interface; `None`: no handshakes.
    identities: Vec<RwLock<Option<Arc<Identity>>>>,
    /// The handshake threads' requests.
    pub requests: Vec<SyncSender<Request>>,
    /// Clocks and randomness.
    pub environment: Environment,
    /// Where handshake threads write the keys of sessions; not set, as always but for debugging: nowhere.
    pub key_log: OnceLock<KeyLog>,
    /// What people may want to hear of.
    pub events: Arc<Events>,
}

impl<A: PacketPool> Context<A> {
    /// A context without peers or keys, in the kernel's environment.
    pub fn new(shared: Arc<Shared<A>>, requests: Vec<SyncSender<Request>>) -> Self {
        Self::within(Environment::default(), shared, requests)
    }

    /// The same in another environment. For tests and simulations.
    pub fn within(environment: Environment, shared: Arc<Shared<A>>, requests: Vec<SyncSender<Request>>) -> Self {
        let directory = Directory::new(shared.tunnels.len());
        let identities = shared.tunnels.iter().map(|_| RwLock::new(None)).collect();
        let (key_log, events) = (OnceLock::new(), Arc::default());
        Self { shared, directory, identities, requests, environment, key_log, events }
    }

    /// The key of an interface now.
    pub fn identity(&self, tunnel: u8) -> Option<Arc<Identity>> {
        self.identities.get(usize::from(tunnel))?.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `identity` is still that interface's. Asked under a record's lock: what is multiplied with it there is not stale, since a change of
    /// the key comes first and then resets every record.
    pub(super) fn is_identity(&self, tunnel: u8, identity: &Arc<Identity>) -> bool {
        self.identity(tunnel).is_some_and(|now| Arc::ptr_eq(&now, identity))
    }

    pub(super) fn set_identity(&self, tunnel: u8, identity: Option<Arc<Identity>>) {
        if let Some(place) = self.identities.get(usize::from(tunnel)) {
            *place.write().unwrap_or_else(PoisonError::into_inner) = identity;
        }
    }

    /// Has a handshake thread start a handshake. `false`: it is behind, and the caller asks again later.
    pub fn request(&self, record: &Arc<PeerRecord>, retry: bool) -> bool {
        let thread = record.flow.0 as usize % self.requests.len().max(1);
        let request = || Request { record: Arc::clone(record), retry };
        self.requests.get(thread).is_some_and(|queue| queue.try_send(request()).is_ok())
    }

    /// Frees those keypairs of a peer that its slots no longer name (or all, when they were cleared).
    pub(super) fn sweep(
        &self,
        state: &mut PeerState,
        flow: &PeerFlow<A::Packet>,
        reader: &Reader,
        graves: &mut Graveyard,
    ) {
        let index = &self.shared.index;
        state.keypairs.retain(|slot| {
            let lives = flow.keys.contains(*slot);
            if !lives && let Some(retired) = index.remove(reader, *slot) {
                graves.bury(retired);
            }
            lives
        });
    }

    /// Wipes all key material of a peer: handshake and keypairs (PROTOCOL A7, T4).
    pub(super) fn wipe(
        &self,
        state: &mut PeerState,
        flow: &PeerFlow<A::Packet>,
        reader: &Reader,
        graves: &mut Graveyard,
    ) {
        self.forget_handshake(state);
        flow.keys.clear();
        self.sweep(state, flow, reader, graves);
    }

    /// Forgets the initiation under way.
    pub(super) fn forget_handshake(&self, state: &mut PeerState) {
        state.handshake.clear();
        if let Some(index) = state.pending_index.take() {
            self.shared.index.cancel(index);
        }
    }
}
