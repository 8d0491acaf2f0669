//! IPv6 (RFC 8200).

use super::{
    bytes::{be16, field, set_field},
    ecn::Ecn,
    protocol,
};
use core::ops::Range;
use std::net::Ipv6Addr;
use thiserror::Error;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Extension headers that are walked, at most.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Why bytes are no IPv6 packet, or where its extension headers go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ipv6Error {
    /// Fewer than 40 bytes.
    #[error("shorter than an IPv6 header")]
    Truncated,
    /// The version is not 6.
    #[error("the version is not 6")]
    Version,
    /// The payload ends behind the bytes.
    #[error("the payload length is beyond the bytes")]
    PayloadLen,
    /// An extension header ends behind the packet.
    #[error("an extension header is cut off")]
    ExtensionTruncated,
    /// A hop-by-hop header that is not the first, or a second fragment header.
    #[error("an extension header stands where it may not")]
    ExtensionOrder,
    /// More than [`MAX_EXTENSION_HEADERS`].
    #[error("too many extension headers")]
    ExtensionCount,
}

/// A packet whose header and length are right.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Packet<'a> {
    header: &'a [u8; HEADER_LEN],
    /// The packet, cut to its length.
    bytes: &'a [u8],
}

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer {
    /// The first next header value that is not one of hop-by-hop, routing, destination options, fragment.
    pub protocol: u8,
    /// Where it starts, in bytes from the start of the packet; never behind the packet's end.
    pub offset: usize,
    /// The fragment header, if there is one. Of a fragment other than the first, `offset` is where its data starts.
    pub fragment: Option<Fragment>,
}

/// A fragment header (RFC 8200 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where its data lies in the whole packet's fragmentable part, in bytes.
    pub offset: usize,
    /// Whether more fragments follow.
    pub more: bool,
    /// Same for all fragments of a packet.
    pub identification: u32,
}

impl Fragment {
    /// Whether it is the whole packet all the same (RFC 6946).
    pub fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

impl<'a> Ipv6Packet<'a> {
    /// Checks version and length. `bytes` may be longer than the packet (padding). Jumbograms (RFC 2675) are not known:
    /// their payload length of 0 is taken as it stands.
    #[inline]
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Ipv6Error> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(Ipv6Error::Truncated)?;
        if header[0] >> 4 != 6 {
            return Err(Ipv6Error::Version);
        }
        let total_len = HEADER_LEN + usize::from(be16::<4, _>(header));
        let bytes = bytes.get(..total_len).ok_or(Ipv6Error::PayloadLen)?;
        Ok(Self { header, bytes })
    }

    /// The packet without padding.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.bytes.len()
    }

    /// DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        self.header[0] << 4 | self.header[1] >> 4
    }

    /// The ECN field.
    #[inline]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_tos(self.traffic_class())
    }

    /// The flow label: 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        u32::from_be_bytes(*field::<0, 4, _>(self.header)) & 0x000f_ffff
    }

    /// What follows the fixed header; [`Self::upper_layer`] looks behind extension headers.
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.header[6]
    }

    /// Hops left.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// Where it comes from.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from(*field::<8, 16, _>(self.header))
    }

    /// Where it goes to.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from(*field::<24, 16, _>(self.header))
    }

    /// Where the payload, extension headers included, lies in the bytes that were given.
    #[inline]
    pub fn payload_range(&self) -> Range<usize> {
        HEADER_LEN..self.bytes.len()
    }

    /// What follows the fixed header, without padding.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Walks hop-by-hop, routing, destination options and fragment headers, at most [`MAX_EXTENSION_HEADERS`].
    #[inline]
    pub fn upper_layer(&self) -> Result<UpperLayer, Ipv6Error> {
        let mut upper = UpperLayer { protocol: self.next_header(), offset: HEADER_LEN, fragment: None };
        for walked in 0..=MAX_EXTENSION_HEADERS {
            if !is_extension(upper.protocol) {
                return Ok(upper);
            }
            if walked == MAX_EXTENSION_HEADERS {
                break;
            }
            if upper.protocol == protocol::HOP_BY_HOP && walked > 0 {
                return Err(Ipv6Error::ExtensionOrder);
            }
            let (next, len) = self.walk_one(&mut upper)?;
            upper.protocol = next;
            upper.offset += len;
            if upper.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Ok(upper);
            }
        }
        Err(Ipv6Error::ExtensionCount)
    }

    /// The next header value and length of the extension header at `upper.offset`; notes a fragment header.
    fn walk_one(&self, upper: &mut UpperLayer) -> Result<(u8, usize), Ipv6Error> {
        // Every extension header has at least 8 bytes.
        let rest = self.bytes.get(upper.offset..).unwrap_or_default();
        let header = rest.first_chunk::<8>().ok_or(Ipv6Error::ExtensionTruncated)?;
        if upper.protocol != protocol::FRAGMENT {
            let len = (usize::from(header[1]) + 1) * 8;
            return if len <= rest.len() { Ok((header[0], len)) } else { Err(Ipv6Error::ExtensionTruncated) };
        }
        if upper.fragment.is_some() {
            return Err(Ipv6Error::ExtensionOrder);
        }
        let offset_and_flags = be16::<2, _>(header);
        upper.fragment = Some(Fragment {
            offset: usize::from(offset_and_flags & 0xfff8),
            more: offset_and_flags & 1 != 0,
            identification: u32::from_be_bytes(*field::<4, 4, _>(header)),
        });
        Ok((header[0], 8))
    }
}

fn is_extension(next_header: u8) -> bool {
    matches!(next_header, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS)
}

/// What culvert says in a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The flow label; its low 20 bits are written.
    pub flow_label: u32,
    /// Bytes behind this header.
    pub payload_len: u16,
    /// What follows: see [`super::protocol`].
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Where it comes from.
    pub source: Ipv6Addr,
    /// Where it goes to.
    pub destination: Ipv6Addr,
}

impl Ipv6Header {
    /// Writes the header.
    #[inline]
    pub fn write(&self, out: &mut [u8; HEADER_LEN]) {
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        set_field::<0, 4, _>(out, first.to_be_bytes());
        set_field::<4, 2, _>(out, self.payload_len.to_be_bytes());
        set_field::<6, 2, _>(out, [self.next_header, self.hop_limit]);
        set_field::<8, 16, _>(out, self.source.octets());
        set_field::<24, 16, _>(out, self.destination.octets());
    }
}

/// Counts one hop. Returns the new hop limit; `None`, and nothing changed, if the hop would use it up or there is no
/// header.
#[inline]
pub fn decrement_hop_limit(packet: &mut [u8]) -> Option<u8> {
    let header = packet.first_chunk_mut::<HEADER_LEN>()?;
    let hop_limit = header[7].checked_sub(1).filter(|hop_limit| *hop_limit > 0)?;
    header[7] = hop_limit;
    Some(hop_limit)
}

/// Sets the ECN field; without a header nothing happens.
#[inline]
pub fn set_ecn(packet: &mut [u8], ecn: Ecn) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_LEN>() {
        // The traffic class ends in the high half of the second byte.
        header[1] = header[1] & 0xcf | ecn.bits() << 4;
    }
}

#[cfg(test)]
#[path = "ipv6_tests.rs"]
mod tests;
