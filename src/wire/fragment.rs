//! IPv4 fragmentation (RFC 791, 3.2, "An Example Fragmentation Procedure"): the headers of a packet's pieces, and which bytes each
//! of them carries. Where the bytes go is for the caller.

use super::{
    bytes::{be16, set_field},
    checksum::Sum,
    ipv4::{self, Ipv4Packet},
};
use arrayvec::ArrayVec;
use core::ops::Range;
use thiserror::Error;

/// The longest header: 20 bytes and 40 of options.
pub const MAX_HEADER_LEN: usize = 60;
/// Where the longest datagram ends.
const MAX_DATAGRAM: usize = 65_535;
/// "Don't fragment".
const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments".
const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset's bits; the unit is 8 bytes.
const OFFSET: u16 = 0x1fff;

type Header = ArrayVec<u8, MAX_HEADER_LEN>;

/// Why a packet is not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CutError {
    /// It is no IPv4 packet: of IPv6 only the sender makes fragments (RFC 8200, 4.5).
    #[error("not an IPv4 packet")]
    NotIpv4,
    /// Its sender forbids it.
    #[error("it may not be fragmented")]
    DontFragment,
    /// It is a fragment that ends behind the longest datagram.
    #[error("it reaches beyond the longest datagram")]
    Beyond,
    /// The MTU has no room for its header and 8 bytes.
    #[error("the MTU has no room for a header and 8 bytes")]
    Mtu,
}

/// The pieces of one packet, in order.
#[derive(Clone, Debug)]
pub struct Fragments {
    /// The header of the piece that begins the packet, and that of all others.
    first: Header,
    later: Header,
    mtu: usize,
    /// What is left of the payload, bytes from the packet's start.
    left: Range<usize>,
    /// What an offset in the packet and the one in the datagram differ by, bytes: the packet may be a fragment itself.
    offset: usize,
    header_len: usize,
    /// The packet's own "more fragments", and the reserved bit.
    more: bool,
    reserved: u16,
}

/// One piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    header: Header,
    /// Which of the packet's bytes follow the header.
    pub payload: Range<usize>,
    /// Nothing of the packet follows.
    pub is_last: bool,
}

impl Fragment {
    /// Its header, complete.
    pub fn header(&self) -> &[u8] {
        &self.header
    }
}

impl Fragments {
    /// Cuts `packet` into pieces of `mtu` bytes at most; one that fits is one piece, itself.
    pub fn new(packet: &[u8], mtu: u16) -> Result<Self, CutError> {
        let packet = Ipv4Packet::new_checked(packet).map_err(|_| CutError::NotIpv4)?;
        if packet.dont_fragment() {
            return Err(CutError::DontFragment);
        }
        let (header_len, mtu) = (packet.header_len(), usize::from(mtu));
        let left = packet.payload_range();
        if packet.fragment_offset() + left.len() > MAX_DATAGRAM {
            return Err(CutError::Beyond);
        }
        if mtu < header_len + 8 {
            return Err(CutError::Mtu);
        }
        let (header, _) = packet.bytes().split_at_checked(header_len).ok_or(CutError::NotIpv4)?;
        let (fixed, options) = header.split_first_chunk::<{ ipv4::HEADER_LEN }>().ok_or(CutError::NotIpv4)?;
        Ok(Self {
            first: header_of(fixed, options),
            later: header_of(fixed, &copied(options)),
            mtu,
            left,
            offset: packet.fragment_offset(),
            header_len,
            more: packet.more_fragments(),
            reserved: be16::<6, _>(fixed) & !(DONT_FRAGMENT | MORE_FRAGMENTS | OFFSET),
        })
    }
}

impl Iterator for Fragments {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        if self.left.is_empty() {
            return None;
        }
        let is_first = self.left.start == self.header_len;
        let mut header = if is_first { self.first.clone() } else { self.later.clone() };
        let room = self.mtu.saturating_sub(header.len());
        let is_last = self.left.len() <= room;
        let len = if is_last { self.left.len() } else { room & !7 };
        let payload = self.left.start..self.left.start + len;
        let units = u16::try_from((self.offset + payload.start - self.header_len) / 8).unwrap_or(OFFSET);
        let more = if self.more || !is_last { MORE_FRAGMENTS } else { 0 };
        let total = u16::try_from(header.len() + len).unwrap_or(u16::MAX);
        if let Some(fixed) = header.first_chunk_mut::<{ ipv4::HEADER_LEN }>() {
            set_field::<2, 2, _>(fixed, total.to_be_bytes());
            set_field::<6, 2, _>(fixed, (self.reserved | more | units & OFFSET).to_be_bytes());
            set_field::<10, 2, _>(fixed, [0, 0]);
        }
        let sum = Sum::new().bytes(&header).checksum();
        if let Some(fixed) = header.first_chunk_mut::<{ ipv4::HEADER_LEN }>() {
            set_field::<10, 2, _>(fixed, sum.to_be_bytes());
        }
        self.left.start = payload.end;
        Some(Fragment { header, payload, is_last })
    }
}

/// The header with these options, whose length is a multiple of 4; lengths and checksum are still the packet's.
fn header_of(fixed: &[u8; ipv4::HEADER_LEN], options: &[u8]) -> Header {
    let mut header = Header::new();
    // Both fit: 60 bytes are the most that a header's length can say.
    let _ = header.try_extend_from_slice(fixed);
    let _ = header.try_extend_from_slice(options);
    let words = u8::try_from(header.len() / 4).unwrap_or(5);
    if let Some(first) = header.first_mut() {
        *first = 0x40 | words;
    }
    header
}

/// The options that all fragments carry (RFC 791, 3.1: the copied flag), padded by end-of-list. What stands behind a broken one
/// is in the first piece only.
fn copied(mut options: &[u8]) -> ArrayVec<u8, { MAX_HEADER_LEN - ipv4::HEADER_LEN }> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut kept = ArrayVec::new();
    while let [kind, rest @ ..] = options {
        if *kind == END {
            break;
        }
        let len = match rest.first() {
            _ if *kind == NO_OPERATION => 1,
            Some(len) if *len >= 2 => usize::from(*len),
            _ => break,
        };
        let Some((option, behind)) = options.split_at_checked(len) else { break };
        if *kind & COPIED != 0 {
            let _ = kept.try_extend_from_slice(option);
        }
        options = behind;
    }
    while kept.len() % 4 != 0 {
        kept.push(END);
    }
    kept
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
