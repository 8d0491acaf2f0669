//! ICMPv6 (RFC 4443): echo, and the errors that a router sends. Neighbour discovery is in [`super::ndp`].

use super::{
    bytes::{be16, field, set_field},
    checksum::{self, Sum},
    icmp::Echo,
    ipv6::{self, Ipv6Header, Ipv6Packet},
    protocol,
};
use std::net::Ipv6Addr;
use thiserror::Error;

/// Bytes of the header: type, code, checksum, and four bytes whose meaning depends on the type.
pub const HEADER_LEN: usize = 8;

/// The longest error message, IP header included: the least MTU (RFC 4443 2.4 c).
pub const MAX_ERROR_LEN: usize = 1280;

/// The hop limit of what culvert sends itself, neighbour discovery aside.
pub const HOP_LIMIT: u8 = 64;

const DESTINATION_UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const REDIRECT: u8 = 137;

/// Why an IPv6 packet holds no ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Icmpv6Error {
    /// It holds something else, or a fragment, or its extension headers are broken.
    #[error("not a whole ICMPv6 message")]
    NotIcmpv6,
    /// Fewer than 8 bytes.
    #[error("shorter than an ICMPv6 header")]
    Truncated,
    /// The checksum is wrong.
    #[error("wrong ICMPv6 checksum")]
    Checksum,
}

/// A message whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6Message<'a> {
    header: &'a [u8; HEADER_LEN],
    body: &'a [u8],
}

impl<'a> Icmpv6Message<'a> {
    /// Looks behind extension headers, and checks length and checksum.
    pub fn new_checked(packet: &Ipv6Packet<'a>) -> Result<Self, Icmpv6Error> {
        let upper = packet.upper_layer().map_err(|_| Icmpv6Error::NotIcmpv6)?;
        let is_part = upper.fragment.is_some_and(|fragment| !fragment.is_atomic());
        if upper.protocol != protocol::ICMPV6 || is_part {
            return Err(Icmpv6Error::NotIcmpv6);
        }
        let message = packet.bytes().get(upper.offset..).unwrap_or_default();
        let (header, body) = message.split_first_chunk().ok_or(Icmpv6Error::Truncated)?;
        if !sum(packet.source(), packet.destination(), message).is_some_and(Sum::is_valid) {
            return Err(Icmpv6Error::Checksum);
        }
        Ok(Self { header, body })
    }

    /// The type.
    pub fn message_type(&self) -> u8 {
        self.header[0]
    }

    /// The code.
    pub fn code(&self) -> u8 {
        self.header[1]
    }

    /// The four bytes behind the checksum.
    pub fn rest(&self) -> &'a [u8; 4] {
        field::<4, 4, _>(self.header)
    }

    /// What follows the header: an echo's data, or the packet that an error is about.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The message as an echo request.
    pub fn echo_request(&self) -> Option<Echo<'a>> {
        self.echo(ECHO_REQUEST)
    }

    /// The message as an echo reply.
    pub fn echo_reply(&self) -> Option<Echo<'a>> {
        self.echo(ECHO_REPLY)
    }

    fn echo(&self, message_type: u8) -> Option<Echo<'a>> {
        ((self.header[0], self.header[1]) == (message_type, 0)).then(|| Echo {
            identifier: be16::<4, _>(self.header),
            sequence: be16::<6, _>(self.header),
            data: self.body,
        })
    }
}

/// The sum over pseudo header and `message`; `None` if that is longer than any.
pub(super) fn sum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Option<Sum> {
    let len = u32::try_from(message.len()).ok()?;
    Some(Sum::new().pseudo_v6(source, destination, protocol::ICMPV6, len).bytes(message))
}

/// Turns a whole IPv6 packet that is an echo request into its reply, and returns the reply's length (what follows is
/// padding). Whether its destination is ours is for the caller to know.
///
/// `None`, and nothing changed, if it is anything else, has extension headers, fails its checksum, or goes to or comes
/// from an address that is not one host's.
pub fn echo_reply_in_place(packet: &mut [u8]) -> Option<usize> {
    let request = Ipv6Packet::new_checked(packet).ok()?;
    let total_len = request.total_len();
    let is_for_one_host = is_host(request.source()) && is_host(request.destination());
    if !is_for_one_host || request.next_header() != protocol::ICMPV6 {
        return None;
    }
    Icmpv6Message::new_checked(&request).ok()?.echo_request()?;

    let (header, icmp) = packet.split_first_chunk_mut::<{ ipv6::HEADER_LEN }>()?;
    let icmp = icmp.first_chunk_mut::<HEADER_LEN>()?;
    // The pseudo header's sum is the same with the addresses swapped.
    let sum = checksum::update(be16::<2, _>(icmp), be16::<0, _>(icmp), u16::from(ECHO_REPLY) << 8);
    set_field::<0, 2, _>(icmp, [ECHO_REPLY, 0]);
    set_field::<2, 2, _>(icmp, sum.to_be_bytes());
    let (source, destination) = (*field::<8, 16, _>(header), *field::<24, 16, _>(header));
    set_field::<8, 16, _>(header, destination);
    set_field::<24, 16, _>(header, source);
    // A congestion mark told of the request's way, not of the reply's.
    header[1] &= 0xcf;
    header[7] = HOP_LIMIT;
    Some(total_len)
}

/// What an error message reports (RFC 4443 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorMessage {
    /// No route to the destination: 1/0.
    NoRoute,
    /// Forbidden: 1/1.
    AdminProhibited,
    /// No answer of the host, or no peer for it: 1/3.
    AddressUnreachable,
    /// We are the host and nobody listens there: 1/4.
    PortUnreachable,
    /// The source address is not allowed there: 1/5.
    SourcePolicy,
    /// Too long for the next hop: 2/0, with the MTU in bytes.
    PacketTooBig {
        /// What would fit.
        mtu: u32,
    },
    /// The hop limit ran out on the way: 3/0.
    HopLimitExceeded,
    /// Fragments did not come together in time: 3/1.
    ReassemblyTimeExceeded,
}

impl ErrorMessage {
    /// Type, code, and the four bytes behind the checksum.
    const fn parts(self) -> (u8, u8, [u8; 4]) {
        match self {
            Self::NoRoute => (DESTINATION_UNREACHABLE, 0, [0; 4]),
            Self::AdminProhibited => (DESTINATION_UNREACHABLE, 1, [0; 4]),
            Self::AddressUnreachable => (DESTINATION_UNREACHABLE, 3, [0; 4]),
            Self::PortUnreachable => (DESTINATION_UNREACHABLE, 4, [0; 4]),
            Self::SourcePolicy => (DESTINATION_UNREACHABLE, 5, [0; 4]),
            Self::PacketTooBig { mtu } => (PACKET_TOO_BIG, 0, mtu.to_be_bytes()),
            Self::HopLimitExceeded => (TIME_EXCEEDED, 0, [0; 4]),
            Self::ReassemblyTimeExceeded => (TIME_EXCEEDED, 1, [0; 4]),
        }
    }
}

/// Writes the IPv6 packet that reports `kind` about `original` (a whole IPv6 packet, as it came) from `our_address`, and
/// returns its length: 1,280 bytes at most, fewer if `out` is shorter.
///
/// `None` if nothing may be sent (RFC 4443 2.4 e): `original` is malformed, reports an error or redirects itself, is a
/// fragment other than the first (what it is part of cannot be told), comes from an address that is not one host's, or
/// goes to a group (unless it is too big); or if `out` has no room for the headers, `original`'s fixed one and 8 bytes
/// more. That it came as a link-layer multicast the caller has to know; the rate, too, is the caller's to limit.
pub fn build_error_v6(original: &[u8], our_address: Ipv6Addr, kind: ErrorMessage, out: &mut [u8]) -> Option<usize> {
    let original = Ipv6Packet::new_checked(original).ok()?;
    if !may_be_reported(&original, kind) {
        return None;
    }
    let room = out.len().min(MAX_ERROR_LEN).checked_sub(ipv6::HEADER_LEN + HEADER_LEN)?;
    let quoted_len = original.total_len().min(room);
    if quoted_len < original.total_len().min(ipv6::HEADER_LEN + 8) {
        return None;
    }
    let quoted = original.bytes().get(..quoted_len)?;

    let message_len = HEADER_LEN + quoted_len;
    let (ip, message) = out.split_first_chunk_mut::<{ ipv6::HEADER_LEN }>()?;
    let message = message.get_mut(..message_len)?;
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(message_len).ok()?,
        next_header: protocol::ICMPV6,
        hop_limit: HOP_LIMIT,
        source: our_address,
        destination: original.source(),
    };
    header.write(ip);
    let (head, body) = message.split_first_chunk_mut::<HEADER_LEN>()?;
    body.copy_from_slice(quoted);
    let (message_type, code, rest) = kind.parts();
    set_field::<0, 4, _>(head, [message_type, code, 0, 0]);
    set_field::<4, 4, _>(head, rest);
    let sum = sum(header.source, header.destination, message)?.checksum();
    message.get_mut(2..4)?.copy_from_slice(&sum.to_be_bytes());
    Some(ipv6::HEADER_LEN + message_len)
}

fn may_be_reported(original: &Ipv6Packet<'_>, kind: ErrorMessage) -> bool {
    let to_one_host = is_host(original.destination())
        || matches!(kind, ErrorMessage::PacketTooBig { .. }) && original.destination().is_multicast();
    if !is_host(original.source()) || !to_one_host {
        return false;
    }
    let Ok(upper) = original.upper_layer() else {
        return false;
    };
    if upper.fragment.is_some_and(|fragment| fragment.offset > 0) {
        return false;
    }
    upper.protocol != protocol::ICMPV6
        || original
            .bytes()
            .get(upper.offset)
            .is_some_and(|message_type| *message_type >= ECHO_REQUEST && *message_type != REDIRECT)
}

/// Whether an address can be one host's, seen from outside of it.
fn is_host(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

#[cfg(test)]
#[path = "icmpv6_tests.rs"]
mod tests;
