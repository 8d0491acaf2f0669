//! Gathering over heap packets, by the rules of librte_ip_frag.

use super::{Frame, HeapPacket};
use crate::frame::fragments::{Fragment, Gather, Gathered, GivenUp, MOST_DATAGRAMS, MOST_FRAGMENTS, PATIENCE_MS};
use arrayvec::ArrayVec;

/// Bytes of an untagged Ethernet header.
const ETHERNET: usize = 14;

/// Holds at most so many fragments; what it takes, it takes at the start, as the library's table does.
#[derive(Debug)]
pub struct HeapFragments {
    capacity: usize,
    /// Oldest first.
    datagrams: Vec<Datagram>,
}

#[derive(Debug)]
struct Datagram {
    since_ms: u64,
    parts: Parts,
}

/// One more than there may be.
type Parts = ArrayVec<(Fragment, HeapPacket), { MOST_FRAGMENTS + 1 }>;

impl HeapFragments {
    /// Room for `capacity` fragments.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, datagrams: Vec::with_capacity(MOST_DATAGRAMS as usize) }
    }

    fn held(&self) -> usize {
        self.datagrams.iter().map(|d| d.parts.len()).sum()
    }
}

impl Gather for HeapFragments {
    type Packet = HeapPacket;

    fn add(&mut self, frame: HeapPacket, fragment: &Fragment, now_ms: u64) -> Gathered<HeapPacket> {
        let timeout = self.expire(now_ms);
        let lost = |overlap, bound| Gathered { whole: None, given_up: GivenUp { timeout, overlap, bound } };
        let key = |f: &Fragment| (f.is_ipv6, f.addresses, f.identification);
        let place = self.datagrams.iter().position(|d| key(&d.parts[0].0) == key(fragment));
        let is_full = place.is_none() && self.datagrams.len() >= MOST_DATAGRAMS as usize;
        if is_full || self.held() >= self.capacity {
            return lost(0, 1);
        }
        let place = place.unwrap_or_else(|| {
            self.datagrams.push(Datagram { since_ms: now_ms, parts: Parts::new() });
            self.datagrams.len() - 1
        });
        let parts = &mut self.datagrams[place].parts;
        parts.push((*fragment, frame));
        let count = |is: fn(&Fragment) -> bool| parts.iter().filter(|(f, _)| is(f)).count();
        let all = parts.len() as u64;
        let is_bound = count(Fragment::is_middle) > MOST_FRAGMENTS - 2;
        let is_twice = count(|f| f.offset == 0) > 1 || count(|f| !f.more) > 1;
        let total = parts.iter().find(|(f, _)| !f.more).map_or(usize::MAX, |(f, _)| f.offset + f.len);
        if !is_bound && !is_twice && parts.iter().map(|(f, _)| f.len).sum::<usize>() < total {
            return lost(0, 0);
        }
        let mut parts = self.datagrams.remove(place).parts;
        if is_bound {
            return lost(0, all);
        }
        parts.sort_by_key(|(f, _)| f.offset);
        let meet = parts.windows(2).all(|two| two[0].0.offset + two[0].0.len == two[1].0.offset);
        if is_twice || !meet || parts[0].0.offset != 0 || parts[parts.len() - 1].0.more {
            return lost(all, 0);
        }
        Gathered { whole: Some((join(parts), all)), given_up: GivenUp { timeout, ..GivenUp::default() } }
    }

    fn expire(&mut self, now_ms: u64) -> u64 {
        let before = self.held();
        self.datagrams.retain(|d| d.since_ms.saturating_add(PATIENCE_MS) >= now_ms);
        (before - self.held()) as u64
    }
}

/// One frame of parts that meet; its storage grows beyond the pool's room, as a chain would.
fn join(parts: Parts) -> HeapPacket {
    let mut parts = parts.into_iter();
    let Some((first, mut whole)) = parts.next() else { unreachable!("a fragment came") };
    let end = whole.end;
    whole.storage.truncate(end);
    for (fragment, part) in parts {
        whole.storage.extend_from_slice(&part.data()[ETHERNET + fragment.header_len..]);
    }
    whole.end = whole.storage.len();
    let ip_len = whole.data().len() - ETHERNET;
    let ip = &mut whole.data_mut()[ETHERNET..];
    if first.is_ipv6 {
        // The fragment header goes: its next header stands in the fixed one now.
        let payload_len = u16::try_from(ip_len - first.header_len).unwrap_or(u16::MAX);
        ip[4..6].copy_from_slice(&payload_len.to_be_bytes());
        ip[6] = ip[first.header_len - 8];
        let moved = ETHERNET + first.header_len - 8;
        whole.data_mut().copy_within(..moved, 8);
        whole.start += 8;
    } else {
        let total_len = u16::try_from(ip_len).unwrap_or(u16::MAX);
        ip[2..4].copy_from_slice(&total_len.to_be_bytes());
        // "Do not fragment" stays.
        ip[6] &= 0x40;
        ip[7] = 0;
        ip[10..12].fill(0);
    }
    whole
}
