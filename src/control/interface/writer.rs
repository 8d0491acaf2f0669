//! What all interfaces change: one table of flows, one of allowed-ips, and one thread at a time.

use crate::frame::PacketPool;
use crate::peer::Peer;
use crate::queue::{Domain, FlowsOwner, Graveyard, Reader, sync::Arc as QueueArc};
use crate::route::AllowedIpsWriter;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The handles by which the interfaces of one gateway make and remove peers. UAPI threads, the main thread and the control thread share it.
#[derive(Debug)]
pub struct Writer<A: PacketPool> {
    domain: QueueArc<Domain>,
    handles: Mutex<Handles<A>>,
}

/// The handles that only one thread at a time may use.
#[derive(Debug)]
pub(super) struct Handles<A: PacketPool> {
    pub(super) flows: FlowsOwner<A::Packet, Peer>,
    pub(super) allowed: AllowedIpsWriter,
    pub(super) graves: Graveyard,
    /// What the change under way took from whom.
    pub(super) moved: Vec<super::Moved>,
}

impl<A: PacketPool> Writer<A> {
    /// The one writer over these tables. `domain`: the one that their readers register with.
    pub fn new(domain: QueueArc<Domain>, flows: FlowsOwner<A::Packet, Peer>, allowed: AllowedIpsWriter) -> Self {
        let graves = Graveyard::new(QueueArc::clone(&domain));
        Self { domain, handles: Mutex::new(Handles { flows, allowed, graves, moved: Vec::new() }) }
    }

    /// How many places the table of flows has to have for so many peers of all interfaces: a whole new set of them may come while the old
    /// one goes.
    pub fn places(max_peers: u32) -> u32 {
        max_peers.saturating_mul(2).saturating_add(64)
    }

    /// Drives removals on and frees what nobody can hold any more. The control thread, every few milliseconds; it never waits.
    /// Returns how many peers are still being removed; while another thread changes something that is not known, and taken for one.
    pub fn poll(&self) -> usize {
        let Ok(mut handles) = self.handles.try_lock() else { return 1 };
        handles.graves.sweep();
        handles.flows.poll()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Handles<A>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self) -> Option<Reader> {
        self.domain.register()
    }

    /// Waits until whoever reads the tables now is done.
    pub(super) fn synchronize(&self) {
        self.domain.synchronize();
    }
}
