//! Gathering fragments to whole IP packets: the library's part. [`crate::dpdk::FragmentTable`] does it over mbufs,
//! [`super::heap::HeapFragments`] in tests.

use super::Packet;

/// Packets that are gathered at once, at most.
pub const MOST_DATAGRAMS: u32 = 1024;
/// How long a packet's fragments are waited for, ms from the first that came.
pub const PATIENCE_MS: u64 = 1000;
/// Fragments of one packet, at most (`RTE_LIBRTE_IP_FRAG_MAX_FRAG`): a first, a last, and the others between them.
pub const MOST_FRAGMENTS: usize = 8;

/// A fragment's place, as its headers say. Who fills it in has held it against the frame's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Whether it is IPv6.
    pub is_ipv6: bool,
    /// Source and destination (IPv4 as v4-mapped).
    pub addresses: [[u8; 16]; 2],
    /// The same for all fragments of a packet, between two addresses.
    pub identification: u32,
    /// Bytes of the IP header: with IPv4's options, or with IPv6's fragment header, which stands right behind the fixed one.
    pub header_len: usize,
    /// Where its bytes lie in the whole packet's.
    pub offset: usize,
    /// How many they are.
    pub len: usize,
    /// Whether more follow behind them.
    pub more: bool,
}

impl Fragment {
    /// Whether it is neither the first nor the last.
    pub fn is_middle(&self) -> bool {
        self.offset != 0 && self.more
    }
}

/// Fragments that were given up (and given back to their pools).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// The others did not come in time.
    pub timeout: u64,
    /// They lay over one another, or came twice, or left holes.
    pub overlap: u64,
    /// They were more than the bounds allow: of one packet, of packets, or in all.
    pub bound: u64,
}

/// What one fragment led to.
#[derive(Debug)]
pub struct Gathered<P> {
    /// The packet that it made whole, and of how many fragments: one frame with the first fragment's Ethernet header, chained as its
    /// parts came. Lengths and fragment fields are right, IPv6's fragment header is gone, IPv4's checksum is 0.
    pub whole: Option<(P, u64)>,
    /// What went.
    pub given_up: GivenUp,
}

/// The fragments of packets of which not all has come. One thread's.
pub trait Gather: std::fmt::Debug + Send {
    /// The packets it takes.
    type Packet: Packet;
    /// Takes a fragment: a plain frame with an untagged Ethernet header, nothing behind the IP packet. `now_ms` never goes back.
    fn add(&mut self, frame: Self::Packet, fragment: &Fragment, now_ms: u64) -> Gathered<Self::Packet>;
    /// Gives up what was waited for long enough (at `u64::MAX`: all); returns how many fragments those were.
    fn expire(&mut self, now_ms: u64) -> u64;
}
