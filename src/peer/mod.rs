//! What the data path and the control threads share of a peer.
//!
//! A [`Peer`] is the body of a [`crate::queue::Flow`]; its queues and their schedule state stand in the flow itself.

mod endpoint;
mod headers;
mod index;
mod stamps;

pub use endpoint::{Endpoint, map as map_address, unmap as unmap_address};
pub use headers::{HeaderCache, MOST_HEADERS, OuterHeaders, Stamp};
pub use index::{IndexTable, Pending};
pub use stamps::{LOOK_WITHIN_MS, Stamps, wants};

use crate::queue::{
    SeqLatch,
    sync::{AtomicBool, AtomicU64, Ordering},
};
use crate::session::KeySlots;
use std::net::SocketAddr;

/// One peer, as the data path sees it: words that cores read and write without locks.
///
/// | field | writer |
/// |---|---|
/// | `keys` | handshake threads, the ingress turn's holder (confirming `next`), control: compare-exchange |
/// | `endpoint` | the ingress turn's holder, handshake threads, control: a latch entered by compare-exchange |
/// | `headers` | the egress claim's holder: Relaxed stores |
/// | `stamps` | the turns' holders: Relaxed stores; `wants` bits by anyone |
/// | `sent`, `received` | the egress and the ingress turn's holder: Relaxed load and store |
#[derive(Debug)]
pub struct Peer {
    /// The interface that it belongs to. Constant.
    pub tunnel: u8,
    /// Which keypairs are next, current and previous.
    pub keys: KeySlots,
    /// When what happened, for the timer thread.
    pub stamps: Stamps,
    /// Nobody answered twenty initiations: what is staged goes. control: w, egress owner: taken
    pub give_up: AtomicBool,
    /// Bytes of data messages sent. egress turn: w
    pub sent: Tally,
    /// Bytes of data messages received and accepted. ingress turn: w
    pub received: Tally,
    /// Bytes of handshake messages, both ways: control threads add here, so that the data path never needs a read-modify-write.
    pub handshake_sent: AtomicU64,
    /// The same, received.
    pub handshake_received: AtomicU64,
    /// The outer headers of the last chunk. egress claim: rw
    pub headers: HeaderCache,
    endpoint: SeqLatch<{ endpoint::WORDS }>,
}

impl Peer {
    /// A peer of interface `tunnel`, without session; `endpoint` may be known.
    pub fn new(tunnel: u8, endpoint: Option<Endpoint>) -> Self {
        Self {
            tunnel,
            keys: KeySlots::new(),
            stamps: Stamps::default(),
            give_up: AtomicBool::new(false),
            sent: Tally::default(),
            received: Tally::default(),
            handshake_sent: AtomicU64::new(0),
            handshake_received: AtomicU64::new(0),
            headers: HeaderCache::default(),
            endpoint: SeqLatch::new(Endpoint::pack(endpoint.as_ref())),
        }
    }

    /// Where the peer is, if known. Any thread; never waits.
    pub fn endpoint(&self) -> Option<Endpoint> {
        Endpoint::unpack(&self.endpoint.read())
    }

    /// The same with the stamp of that endpoint.
    pub fn stamped_endpoint(&self) -> (Option<Endpoint>, u64) {
        let (words, stamp) = self.endpoint.read_stamped();
        (Endpoint::unpack(&words), stamp)
    }

    /// Another number whenever the endpoint is (or may be) another. Any thread.
    #[inline]
    pub fn endpoint_stamp(&self) -> u64 {
        self.endpoint.stamp()
    }

    /// A message came from this source, as classify notes it, to this address and port of ours: if the peer has moved, it is noted. Data
    /// path: a writer that loses against another skips.
    #[inline]
    pub fn roam(&self, source: &[u8; 16], source_port: u16, local: SocketAddr) {
        let words = Endpoint::pack_seen(source, source_port, local);
        if self.endpoint.read() != words {
            self.endpoint.try_write(&words);
        }
    }

    /// Sets the endpoint for certain. Control threads only: it may wait for another writer.
    pub fn set_endpoint(&self, endpoint: Option<&Endpoint>) {
        self.endpoint.write(&Endpoint::pack(endpoint));
    }

    /// All bytes sent to the peer, handshakes included. Any thread.
    pub fn bytes_sent(&self) -> u64 {
        // Relaxed: figures for people, no other memory hangs on them.
        self.sent.get().wrapping_add(self.handshake_sent.load(Ordering::Relaxed))
    }

    /// All bytes received from the peer, handshakes included. Any thread.
    pub fn bytes_received(&self) -> u64 {
        // Relaxed: as above.
        self.received.get().wrapping_add(self.handshake_received.load(Ordering::Relaxed))
    }
}

/// A counter with one writer at a time: a load and a store, never a read-modify-write.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds. Only the holder of the turn (or the core that owns the counter) may call it.
    #[inline]
    pub fn add(&self, n: u64) {
        // Relaxed both: the one writer is ordered against the next by the turn; readers want only the figure.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Begins anew at `n`. The one writer.
    #[inline]
    pub fn set(&self, n: u64) {
        // Relaxed: as above.
        self.0.store(n, Ordering::Relaxed);
    }

    /// The sum so far. Any thread.
    pub fn get(&self) -> u64 {
        // Relaxed: a figure.
        self.0.load(Ordering::Relaxed)
    }
}
