//! What the data path and the control threads share of a peer.
//!
//! A [`Peer`] is the body of a [`crate::queue::Flow`]; its queues, each with whether it is scheduled, stand in the flow itself.

mod endpoint;
mod headers;
mod index;
mod stamps;

pub use endpoint::{Endpoint, map as map_address, unmap as unmap_address};
pub use headers::{HeaderCache, MOST_HEADERS, OuterWay, Stamp};
pub use index::{IndexTable, Pending};
pub use stamps::{LOOK_WITHIN_MS, Stamps, wants};

use crate::queue::{
    SeqLatch, prefetch_read, prefetch_write,
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
///
/// The fields stand in the order of the cache lines of a flow, whose own last fields take 24 bytes of the first: both directions ask that
/// one and the second, ingress the third, egress the fourth, and for IPv6's headers the fifth.
#[derive(Debug)]
#[repr(C)]
pub struct Peer {
    /// When what happened, for the timer thread.
    pub stamps: Stamps,
    /// Which keypairs are next, current and previous.
    pub keys: KeySlots,
    /// The interface that it belongs to. Constant.
    pub tunnel: u8,
    /// Nobody answered twenty initiations: what is staged goes. control: w, egress owner: taken
    pub give_up: AtomicBool,
    endpoint: SeqLatch<{ endpoint::WORDS }>,
    /// Bytes of data messages received and accepted. ingress turn: w
    pub received: Tally,
    /// Bytes of handshake messages, both ways: control threads add here, so that the data path never needs a read-modify-write.
    pub handshake_sent: AtomicU64,
    /// The same, received.
    pub handshake_received: AtomicU64,
    /// Bytes of data messages sent. egress turn: w
    pub sent: Tally,
    /// The outer headers of the last chunk. egress claim: rw
    pub headers: HeaderCache,
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::{offset_of, size_of};
    const LINE: usize = 64;
    // What of the first line the flow leaves.
    const FIRST: usize = LINE - 24;
    assert!(offset_of!(Peer, keys) == FIRST, "the stamps fill the first line");
    // The phase and the copy that readers ask.
    let end_of_copy_0 = offset_of!(Peer, endpoint) + size_of::<u64>() * (1 + endpoint::WORDS);
    assert!(end_of_copy_0 == FIRST + LINE && offset_of!(Peer, sent) == FIRST + 2 * LINE);
    assert!(offset_of!(Peer, headers) + HeaderCache::ASKED_V4 == FIRST + 3 * LINE, "but for IPv6's headers");
};

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

    /// Asks the cache for what sending asks of the peer, for a chunk that is sent later.
    #[inline]
    pub fn prefetch_to_send(&self) {
        prefetch_write(&raw const self.stamps);
        prefetch_read(&raw const self.keys);
        prefetch_write(&raw const self.sent);
    }

    /// The same of receiving.
    #[inline]
    pub fn prefetch_to_receive(&self) {
        prefetch_write(&raw const self.stamps);
        prefetch_read(&raw const self.keys);
        prefetch_write(&raw const self.received);
    }

    /// Bytes sent and received, then those of handshake messages likewise, for a copy that goes on. Any thread; a snapshot.
    pub fn byte_counts(&self) -> [u64; 4] {
        // Relaxed: figures for people.
        let [sent, received] = [&self.handshake_sent, &self.handshake_received].map(|c| c.load(Ordering::Relaxed));
        [self.sent.get(), self.received.get(), sent, received]
    }

    /// Goes on with what [`Self::byte_counts`] gave. Control threads, before the data path has the peer.
    pub fn resume_counts(&self, [sent, received, handshake_sent, handshake_received]: [u64; 4]) {
        self.sent.set(sent);
        self.received.set(received);
        // Relaxed: as above.
        self.handshake_sent.store(handshake_sent, Ordering::Relaxed);
        self.handshake_received.store(handshake_received, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Boxed, Domain, Flows};

    /// What the order of the fields counts on.
    #[test]
    fn a_peer_begins_24_bytes_into_a_cache_line() {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let (flows, _seats, _posts, mut owner) = Flows::<Boxed<u32>, Peer>::new(1, 1, domain);
        let id = owner.insert_with(|_| Peer::new(0, None)).unwrap();
        let peer: &Peer = flows.get(&reader, id).unwrap();
        assert_eq!(std::ptr::from_ref(peer).addr() % 64, 24);
    }
}
