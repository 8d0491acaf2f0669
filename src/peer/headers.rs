//! The outer headers of a peer's packets, kept from chunk to chunk.

use crate::queue::sync::{AtomicU64, Ordering::Relaxed};
use core::mem::offset_of;

/// Words of the bytes: an IPv6 header and a UDP header.
const WORDS: usize = 6;
/// Words that hold an IPv4 header and a UDP header.
const WORDS_V4: usize = 4;
/// The longest IP and UDP headers.
pub const MOST_HEADERS: usize = 8 * WORDS;

/// What headers were made of. Both only grow, so headers are good while neither has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of the endpoint: [`super::Peer::endpoint_stamp`].
    pub endpoint: u64,
    /// Of routes and listen ports.
    pub routes: u64,
}

/// Which headers they are, and the adjacency that they leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterWay {
    /// Whether it is IPv6.
    pub ipv6: bool,
    /// The adjacency: the index alone, since MAC addresses change (and are read anew for each chunk).
    pub adjacency: u32,
}

/// The last headers of one peer.
///
/// All its atomics are Relaxed: the holder of the egress claim alone reads and writes them, and the queue's word hands them from one
/// to the next. They are atomic only so that this needs no unsafe cell.
#[derive(Debug, Default)]
#[repr(C)]
pub struct HeaderCache {
    /// [`Stamp::endpoint`].
    endpoint: AtomicU64,
    /// [`Stamp::routes`].
    routes: AtomicU64,
    /// The adjacency, and above it one of the marks below.
    way: AtomicU64,
    bytes: [AtomicU64; WORDS],
}

/// In [`HeaderCache::way`]: there are headers.
const FILLED: u64 = 1 << 32;
/// They are IPv6's.
const IPV6: u64 = 1 << 33;

impl HeaderCache {
    /// Bytes from its start that are asked while the headers are IPv4's.
    pub(super) const ASKED_V4: usize = offset_of!(Self, bytes) + size_of::<u64>() * WORDS_V4;

    /// Copies the headers, IP and UDP of an empty datagram one behind the other (of IPv4 the first 28 bytes), to `headers`, if they were
    /// made of what `now` says. The egress claim's holder.
    #[inline]
    pub fn copy_to(&self, now: Stamp, headers: &mut [u8; MOST_HEADERS]) -> Option<OuterWay> {
        let way = self.way.load(Relaxed);
        let stamp = Stamp { endpoint: self.endpoint.load(Relaxed), routes: self.routes.load(Relaxed) };
        if way & FILLED == 0 || stamp != now {
            return None;
        }
        let ipv6 = way & IPV6 != 0;
        // Straight to where they stay: what is written word by word and read at once by greater pieces costs a core dearly.
        let copy = |(place, word): (&mut [u8; 8], &AtomicU64)| *place = word.load(Relaxed).to_ne_bytes();
        let (places, (v4, rest)) = (headers.as_chunks_mut().0, self.bytes.split_at(WORDS_V4));
        places.iter_mut().zip(v4).for_each(copy);
        if ipv6 {
            // These are on another cache line.
            places.iter_mut().skip(WORDS_V4).zip(rest).for_each(copy);
        }
        Some(OuterWay { ipv6, adjacency: u32::try_from(way & u64::from(u32::MAX)).ok()? })
    }

    /// Keeps headers that were made of what `now` said. The egress claim's holder.
    pub fn put(&self, now: Stamp, way: OuterWay, headers: &[u8; MOST_HEADERS]) {
        self.endpoint.store(now.endpoint, Relaxed);
        self.routes.store(now.routes, Relaxed);
        let family = if way.ipv6 { IPV6 } else { 0 };
        self.way.store(u64::from(way.adjacency) | FILLED | family, Relaxed);
        for (word, bytes) in self.bytes.iter().zip(headers.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_good_for_what_they_were_made_of() {
        let cache = HeaderCache::default();
        let now = Stamp { endpoint: 0, routes: 0 };
        let get = |now| {
            let mut headers = [0; MOST_HEADERS];
            cache.copy_to(now, &mut headers).map(|way| (way, headers))
        };
        assert_eq!(get(now), None, "there are none yet");
        for ipv6 in [true, false] {
            let mut headers = [u8::from(ipv6); MOST_HEADERS];
            headers[MOST_HEADERS - 1] = 7;
            headers[8] = 9;
            let way = OuterWay { ipv6, adjacency: u32::MAX - 1 };
            cache.put(now, way, &headers);
            let (kept, copied) = get(now).unwrap();
            let len = if ipv6 { MOST_HEADERS } else { 28 };
            assert_eq!((kept, &copied[..len]), (way, &headers[..len]));
            assert_eq!(get(Stamp { endpoint: 4, ..now }), None);
            assert_eq!(get(Stamp { routes: 1, ..now }), None);
        }
    }
}
