//! IPv4 (RFC 791).

use super::{
    bytes::{be16, field, set_field},
    checksum::{self, Sum},
    ecn::Ecn,
};
use core::ops::Range;
use std::net::Ipv4Addr;
use thiserror::Error;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

/// Why bytes are no IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ipv4Error {
    /// Fewer than 20 bytes.
    #[error("shorter than an IPv4 header")]
    Truncated,
    /// The version is not 4.
    #[error("the version is not 4")]
    Version,
    /// The header length is below 20, or the header ends behind the bytes.
    #[error("the header length is below 20 or beyond the bytes")]
    HeaderLen,
    /// The total length is below the header's, or beyond the bytes.
    #[error("the total length is below the header's or beyond the bytes")]
    TotalLen,
}

/// A packet whose header and lengths are right. Options are tolerated and not looked at.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Packet<'a> {
    header: &'a [u8; HEADER_LEN],
    /// The packet, cut to its total length.
    bytes: &'a [u8],
    header_len: usize,
}

impl<'a> Ipv4Packet<'a> {
    /// Checks version and lengths, not the checksum. `bytes` may be longer than the packet (padding).
    #[inline]
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Ipv4Error> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(Ipv4Error::Truncated)?;
        if header[0] >> 4 != 4 {
            return Err(Ipv4Error::Version);
        }
        let header_len = usize::from(header[0] & 0x0f) * 4;
        if header_len < HEADER_LEN || header_len > bytes.len() {
            return Err(Ipv4Error::HeaderLen);
        }
        let total_len = usize::from(be16::<2, _>(header));
        if total_len < header_len {
            return Err(Ipv4Error::TotalLen);
        }
        let bytes = bytes.get(..total_len).ok_or(Ipv4Error::TotalLen)?;
        Ok(Self { header, bytes, header_len })
    }

    /// The packet without padding.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the header, options included: 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Bytes of header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are options.
    #[inline]
    pub fn has_options(&self) -> bool {
        self.header_len != HEADER_LEN
    }

    /// DSCP and ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.header[1]
    }

    /// The ECN field.
    #[inline]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_tos(self.tos())
    }

    /// The identification: same for all fragments of a datagram.
    #[inline]
    pub fn identification(&self) -> u16 {
        be16::<4, _>(self.header)
    }

    /// Whether routers may not fragment it.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.header[6] & 0x40 != 0
    }

    /// Whether it is a fragment and not the last.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.header[6] & 0x20 != 0
    }

    /// Where its payload lies in the whole datagram's, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> usize {
        usize::from(be16::<6, _>(self.header) & 0x1fff) * 8
    }

    /// Whether it is only a part of a datagram.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        be16::<6, _>(self.header) & 0x3fff != 0
    }

    /// Time to live, in hops.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// What it carries: see [`super::protocol`].
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// The header checksum as it stands there.
    #[inline]
    pub fn header_checksum(&self) -> u16 {
        be16::<10, _>(self.header)
    }

    /// Where it comes from.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from(*field::<12, 4, _>(self.header))
    }

    /// Where it goes to.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from(*field::<16, 4, _>(self.header))
    }

    /// [`Self::source`] as a number.
    #[inline]
    pub fn source_u32(&self) -> u32 {
        u32::from_be_bytes(*field::<12, 4, _>(self.header))
    }

    /// [`Self::destination`] as a number.
    #[inline]
    pub fn destination_u32(&self) -> u32 {
        u32::from_be_bytes(*field::<16, 4, _>(self.header))
    }

    /// Where the payload lies in the bytes that were given.
    #[inline]
    pub fn payload_range(&self) -> Range<usize> {
        self.header_len..self.bytes.len()
    }

    /// What it carries, without padding.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len..).unwrap_or_default()
    }

    /// Whether the header checksum is right.
    #[inline]
    pub fn verify_checksum(&self) -> bool {
        // A length that the compiler knows makes it five additions.
        let fixed = Sum::new().bytes(self.header);
        let options = self.bytes.get(HEADER_LEN..self.header_len).unwrap_or_default();
        if options.is_empty() { fixed.is_valid() } else { fixed.bytes(options).is_valid() }
    }
}

/// What culvert says in a header of its own: no options, no fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// DSCP and ECN.
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: u16,
    /// The identification.
    pub identification: u16,
    /// Whether routers may not fragment it.
    pub dont_fragment: bool,
    /// Time to live, in hops.
    pub ttl: u8,
    /// What follows: see [`super::protocol`].
    pub protocol: u8,
    /// Where it comes from.
    pub source: Ipv4Addr,
    /// Where it goes to.
    pub destination: Ipv4Addr,
}

impl Ipv4Header {
    /// Writes the header and its checksum.
    #[inline]
    pub fn write(&self, out: &mut [u8; HEADER_LEN]) {
        let flags: u16 = if self.dont_fragment { 0x4000 } else { 0 };
        set_field::<0, 2, _>(out, [0x45, self.tos]);
        set_field::<2, 2, _>(out, self.total_len.to_be_bytes());
        set_field::<4, 2, _>(out, self.identification.to_be_bytes());
        set_field::<6, 2, _>(out, flags.to_be_bytes());
        set_field::<8, 4, _>(out, [self.ttl, self.protocol, 0, 0]);
        set_field::<12, 4, _>(out, self.source.octets());
        set_field::<16, 4, _>(out, self.destination.octets());
        let checksum = Sum::new().bytes(out).checksum();
        set_field::<10, 2, _>(out, checksum.to_be_bytes());
    }
}

/// Computes the header's checksum anew, options included; without a header nothing happens.
pub fn write_checksum(packet: &mut [u8]) {
    let header_len = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if header_len >= HEADER_LEN
        && let Some(header) = packet.get_mut(..header_len)
    {
        let (before, after) = (header.get(..10).unwrap_or_default(), header.get(12..).unwrap_or_default());
        let checksum = Sum::new().bytes(before).bytes(after).checksum();
        if let Some(fixed) = header.first_chunk_mut::<HEADER_LEN>() {
            set_field::<10, 2, _>(fixed, checksum.to_be_bytes());
        }
    }
}

/// Counts one hop and updates the checksum (RFC 1624). Returns the new TTL; `None`, and nothing changed, if the hop
/// would use up the TTL or there is no header.
#[inline]
pub fn decrement_ttl(packet: &mut [u8]) -> Option<u8> {
    let header = packet.first_chunk_mut::<HEADER_LEN>()?;
    let ttl = header[8].checked_sub(1).filter(|ttl| *ttl > 0)?;
    replace_word::<8>(header, u16::from_be_bytes([ttl, header[9]]));
    Some(ttl)
}

/// Sets the ECN field and updates the checksum; without a header nothing happens.
#[inline]
pub fn set_ecn(packet: &mut [u8], ecn: Ecn) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_LEN>() {
        let tos = ecn.onto_tos(header[1]);
        replace_word::<0>(header, u16::from_be_bytes([header[0], tos]));
    }
}

/// Replaces the 16-bit word at `AT` and updates the checksum.
fn replace_word<const AT: usize>(header: &mut [u8; HEADER_LEN], new: u16) {
    let checksum = checksum::update(be16::<10, _>(header), be16::<AT, _>(header), new);
    set_field::<AT, 2, _>(header, new.to_be_bytes());
    set_field::<10, 2, _>(header, checksum.to_be_bytes());
}

#[cfg(test)]
#[path = "ipv4_tests.rs"]
mod tests;
