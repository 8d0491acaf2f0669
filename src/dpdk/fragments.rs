//! Gathering of fragments by librte_ip_frag.
//!
//! What the library does (22.11, `lib/ip_frag`): it keeps a packet's first, last and up to six other fragments, in the order in which they
//! came, and counts their bytes. When the count reaches what the last fragment says, it links them from the end to the front, each to one
//! that ends exactly where it begins. So no byte is ever taken from two fragments: with overlaps the count and the links disagree, and
//! all go to the *death row*, as they do for a second first or last fragment and for a seventh other one. It does not say why. But what
//! is too old goes before each call, so a call's death row tells: the new fragment alone had no place in the table; with others, it
//! is the seventh, or else they do not fit together.

use super::mbuf::Mbuf;
use super::{Eal, eal_log};
use crate::frame::fragments::{Fragment, Gather, Gathered, GivenUp, MOST_DATAGRAMS, MOST_FRAGMENTS, PATIENCE_MS};
use crate::frame::{Frame, Packet};
use core::mem;
use core::ptr::NonNull;
use dpdk_sys::{rte_ip_frag_death_row, rte_ip_frag_tbl, rte_mbuf};
use std::fmt;

/// Buckets of the table, and places of each. A packet may stand in one of two buckets: with four times the places that are ever taken
/// hardly any finds none.
const BUCKETS: u32 = 256;
const BUCKET: u32 = 8;
const _: () = assert!(BUCKETS * BUCKET * 2 == 4 * MOST_DATAGRAMS);
const _: () = assert!(MOST_FRAGMENTS == dpdk_sys::RTE_LIBRTE_IP_FRAG_MAX_FRAG as usize);

/// Bytes of an untagged Ethernet header.
const ETHERNET: u8 = 14;
/// Bytes of IPv4's least header.
const IPV4: usize = 20;
/// Bytes of IPv6's fixed header and its fragment header.
const IPV6: usize = 40 + 8;

/// There is no memory for the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the table of IP fragments; DPDK said:\n  {}", log.join("\n  "))]
pub struct FragmentTableError {
    log: Vec<String>,
}

/// The fragments of packets of which not all has come.
///
/// # Invariants
/// `table` was made by `rte_ip_frag_table_create` and is reached by this handle alone. Every mbuf in it was an [`Mbuf`] given
/// up to it; so are those in `row`, which is empty between calls.
pub struct FragmentTable {
    table: NonNull<rte_ip_frag_tbl>,
    row: Box<rte_ip_frag_death_row>,
    /// Fragments in the table.
    held: usize,
    capacity: usize,
    _eal: Eal,
}

// SAFETY: an owning handle of memory that belongs to no thread.
unsafe impl Send for FragmentTable {}

impl FragmentTable {
    /// A table for [`MOST_DATAGRAMS`] packets and at most `capacity` fragments (`rte_ip_frag_table_create`).
    ///
    /// # Errors
    /// The EAL has no memory left.
    pub fn new(eal: &Eal, capacity: usize) -> Result<Self, FragmentTableError> {
        let mark = eal_log::mark();
        // Time is counted in milliseconds: the library only compares.
        // SAFETY: the EAL runs; numbers only.
        let table = unsafe {
            dpdk_sys::rte_ip_frag_table_create(BUCKETS, BUCKET, MOST_DATAGRAMS, PATIENCE_MS, dpdk_sys::SOCKET_ID_ANY)
        };
        let table = NonNull::new(table).ok_or_else(|| FragmentTableError { log: eal_log::since(mark) })?;
        // SAFETY: a number and pointers that may be null.
        let row = Box::new(unsafe { mem::zeroed::<rte_ip_frag_death_row>() });
        Ok(Self { table, row, held: 0, capacity, _eal: eal.clone() })
    }

    /// Gives back what the last call put on the death row.
    fn bury(&mut self) -> Dead {
        let count = mem::take(&mut self.row.cnt) as usize;
        let mut dead = Dead::default();
        for mbuf in self.row.row.iter().take(count).filter_map(|mbuf| NonNull::new(*mbuf)) {
            // SAFETY: an mbuf that was given up to the table (invariant), which has let go of it; each stands in the row once.
            let mbuf = unsafe { Mbuf::from_library(mbuf) };
            // Parts that were linked to it already die with it.
            dead.fragments += u64::from(mbuf.segment_count());
            dead.middle += usize::from(mbuf.meta().verdict);
        }
        self.held = self.held.saturating_sub(usize::try_from(dead.fragments).unwrap_or(usize::MAX));
        dead
    }

    /// Hands one fragment to the library; the whole packet, if it is one now.
    fn hand_over(&mut self, mbuf: NonNull<rte_mbuf>, ip: *mut u8, is_ipv6: bool, now_ms: u64) -> Option<Mbuf> {
        let (table, row, mbuf) = (self.table.as_ptr(), &raw mut *self.row, mbuf.as_ptr());
        let whole = if is_ipv6 {
            let extension = ip.wrapping_add(IPV6 - 8);
            // SAFETY: the table and the row are ours (invariants), the mbuf was given up, and both headers are in its data, as the
            // caller found.
            unsafe { dpdk_sys::rte_ipv6_frag_reassemble_packet(table, row, mbuf, now_ms, ip.cast(), extension.cast()) }
        } else {
            // SAFETY: as above.
            unsafe { dpdk_sys::rte_ipv4_frag_reassemble_packet(table, row, mbuf, now_ms, ip.cast()) }
        };
        // SAFETY: what the library returns is a chain of mbufs that were given up to it, and ours again.
        NonNull::new(whole).map(|mbuf| unsafe { Mbuf::from_library(mbuf) })
    }
}

impl Gather for FragmentTable {
    type Packet = Mbuf;

    fn add(&mut self, mut frame: Mbuf, fragment: &Fragment, now_ms: u64) -> Gathered<Mbuf> {
        let mut given_up = GivenUp { timeout: self.expire(now_ms), ..GivenUp::default() };
        let fits =
            if fragment.is_ipv6 { fragment.header_len == IPV6 } else { (IPV4..=60).contains(&fragment.header_len) };
        let header_len = u16::try_from(fragment.header_len).ok().filter(|_| fits);
        let header_len = header_len.filter(|_| frame.data().len() > usize::from(ETHERNET) + fragment.header_len);
        let Some(header_len) = header_len.filter(|_| self.held < self.capacity) else {
            given_up.bound = 1;
            return Gathered { whole: None, given_up };
        };
        // To be recognised on the death row.
        frame.meta_mut().verdict = u8::from(fragment.is_middle());
        let ip = frame.data_mut().as_mut_ptr().wrapping_add(usize::from(ETHERNET));
        let mbuf = frame.into_library(ETHERNET, header_len);
        self.held += 1;
        let mut whole = self.hand_over(mbuf, ip, fragment.is_ipv6, now_ms).map(|mbuf| {
            let fragments = mbuf.segment_count();
            (mbuf, u64::from(fragments))
        });
        if let Some((mbuf, fragments)) = &mut whole {
            mbuf.meta_mut().verdict = 0;
            self.held = self.held.saturating_sub(usize::try_from(*fragments).unwrap_or(usize::MAX));
        }
        let dead = self.bury();
        if dead.fragments == 1 || dead.middle > MOST_FRAGMENTS - 2 {
            given_up.bound = dead.fragments;
        } else {
            given_up.overlap = dead.fragments;
        }
        Gathered { whole, given_up }
    }

    fn expire(&mut self, now_ms: u64) -> u64 {
        let mut expired = 0;
        while self.held > 0 {
            let (table, row) = (self.table.as_ptr(), &raw mut *self.row);
            // SAFETY: the table and the row are ours (invariants).
            unsafe { dpdk_sys::rte_ip_frag_table_del_expired_entries(table, row, now_ms) };
            // It stops when the row is full.
            match self.bury().fragments {
                0 => break,
                dead => expired += dead,
            }
        }
        expired
    }
}

/// What was on a death row.
#[derive(Debug, Default)]
struct Dead {
    fragments: u64,
    /// Those of them that stood alone and were neither a first nor a last.
    middle: usize,
}

impl fmt::Debug for FragmentTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FragmentTable")
            .field("held", &self.held)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Drop for FragmentTable {
    fn drop(&mut self) {
        // SAFETY: ours alone (invariant), and gone after this; the library gives back what is in it.
        unsafe { dpdk_sys::rte_ip_frag_table_destroy(self.table.as_ptr()) };
    }
}
