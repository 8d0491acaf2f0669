//! ICMP for IPv4 (RFC 792): echo, and the errors that a router sends (RFC 1812 4.3, 5.2.7).

use super::{
    bytes::{be16, field, set_field},
    checksum::{self, Sum},
    ipv4::{self, Ipv4Header, Ipv4Packet},
    protocol,
};
use std::net::Ipv4Addr;
use thiserror::Error;

/// Bytes of the header: type, code, checksum, and four bytes whose meaning depends on the type.
pub const HEADER_LEN: usize = 8;

/// The longest error message, IP header included (RFC 1812 4.3.2.3).
pub const MAX_ERROR_LEN: usize = 576;

/// The TTL of what culvert sends itself (RFC 1700).
pub const TTL: u8 = 64;

/// TOS of errors: precedence 6, internetwork control (RFC 1812 4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;

/// Why an IP payload is no ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IcmpError {
    /// Fewer than 8 bytes.
    #[error("shorter than an ICMP header")]
    Truncated,
    /// The checksum is wrong.
    #[error("wrong ICMP checksum")]
    Checksum,
}

/// A message whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub struct IcmpMessage<'a> {
    header: &'a [u8; HEADER_LEN],
    body: &'a [u8],
}

impl<'a> IcmpMessage<'a> {
    /// Checks length and checksum of an unfragmented packet's payload.
    pub fn new_checked(ip_payload: &'a [u8]) -> Result<Self, IcmpError> {
        let (header, body) = ip_payload.split_first_chunk().ok_or(IcmpError::Truncated)?;
        if !Sum::new().bytes(ip_payload).is_valid() {
            return Err(IcmpError::Checksum);
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

/// What an echo request and its reply have in common; ICMPv6 has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Names the asking process.
    pub identifier: u16,
    /// Counts its questions.
    pub sequence: u16,
    /// Comes back as it went.
    pub data: &'a [u8],
}

/// Turns a whole IPv4 packet that is an echo request into its reply, and returns the reply's length (what follows is
/// padding). Whether its destination is ours is for the caller to know.
///
/// `None`, and nothing changed, if it is anything else, a fragment, fails a checksum, or goes to or comes from an address
/// that is not one host's. Options are not answered (RFC 1122 3.2.2.6 would have some returned): they become end-of-list.
pub fn echo_reply_in_place(packet: &mut [u8]) -> Option<usize> {
    let request = Ipv4Packet::new_checked(packet).ok()?;
    let (total_len, header_len) = (request.total_len(), request.header_len());
    let is_for_one_host = is_host(request.source()) && is_host(request.destination());
    let is_whole_icmp = request.protocol() == protocol::ICMP && !request.is_fragment();
    if !is_for_one_host || !is_whole_icmp || !request.verify_checksum() {
        return None;
    }
    IcmpMessage::new_checked(request.payload()).ok()?.echo_request()?;

    let (ip, icmp) = packet.get_mut(..total_len)?.split_at_mut_checked(header_len)?;
    let icmp = icmp.first_chunk_mut::<HEADER_LEN>()?;
    let sum = checksum::update(be16::<2, _>(icmp), be16::<0, _>(icmp), u16::from(ECHO_REPLY) << 8);
    set_field::<0, 2, _>(icmp, [ECHO_REPLY, 0]);
    set_field::<2, 2, _>(icmp, sum.to_be_bytes());

    let (header, options) = ip.split_first_chunk_mut::<{ ipv4::HEADER_LEN }>()?;
    options.fill(0);
    let (source, destination) = (*field::<12, 4, _>(header), *field::<16, 4, _>(header));
    set_field::<12, 4, _>(header, destination);
    set_field::<16, 4, _>(header, source);
    // A congestion mark told of the request's way, not of the reply's.
    header[1] &= 0xfc;
    header[8] = TTL;
    set_field::<10, 2, _>(header, [0, 0]);
    let sum = Sum::new().bytes(header).checksum();
    set_field::<10, 2, _>(header, sum.to_be_bytes());
    Some(total_len)
}

/// What an error message reports (RFC 792, RFC 1812 5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorMessage {
    /// No route to the network: 3/0.
    NetUnreachable,
    /// No answer of the host, or no peer for it: 3/1.
    HostUnreachable,
    /// We are the host and do not speak the protocol: 3/2.
    ProtocolUnreachable,
    /// We are the host and nobody listens there: 3/3.
    PortUnreachable,
    /// Too long for the next hop, and it may not be fragmented: 3/4, with the MTU in bytes (RFC 1191).
    FragmentationNeeded {
        /// What would fit.
        mtu: u16,
    },
    /// Forbidden for the network: 3/9.
    NetProhibited,
    /// Forbidden for the host: 3/10.
    HostProhibited,
    /// Forbidden by filter: 3/13.
    AdminProhibited,
    /// The TTL ran out on the way: 11/0.
    TtlExceeded,
    /// Fragments did not come together in time: 11/1.
    ReassemblyTimeExceeded,
}

impl ErrorMessage {
    /// Type, code, and the four bytes behind the checksum.
    const fn parts(self) -> (u8, u8, [u8; 4]) {
        let (code, rest) = match self {
            Self::NetUnreachable => (0, [0; 4]),
            Self::HostUnreachable => (1, [0; 4]),
            Self::ProtocolUnreachable => (2, [0; 4]),
            Self::PortUnreachable => (3, [0; 4]),
            Self::FragmentationNeeded { mtu } => {
                let [high, low] = mtu.to_be_bytes();
                (4, [0, 0, high, low])
            }
            Self::NetProhibited => (9, [0; 4]),
            Self::HostProhibited => (10, [0; 4]),
            Self::AdminProhibited => (13, [0; 4]),
            Self::TtlExceeded => return (TIME_EXCEEDED, 0, [0; 4]),
            Self::ReassemblyTimeExceeded => return (TIME_EXCEEDED, 1, [0; 4]),
        };
        (DESTINATION_UNREACHABLE, code, rest)
    }
}

/// Writes the IPv4 packet that reports `kind` about `original` (a whole IPv4 packet, as it came) from `our_address`, and
/// returns its length: 576 bytes at most, fewer if `out` is shorter.
///
/// `None` if nothing may be sent (RFC 1812 4.3.2.7): `original` is malformed, reports an error itself (or is ICMP of an
/// unknown type), is a fragment other than the first, or goes to or comes from an address that is not one host's; or if
/// `out` has no room for the headers, `original`'s and 8 bytes more. That it came as a link-layer broadcast, or is sent
/// to a subnet's broadcast address, the caller has to know; the rate, too, is the caller's to limit.
pub fn build_error_v4(original: &[u8], our_address: Ipv4Addr, kind: ErrorMessage, out: &mut [u8]) -> Option<usize> {
    let original = Ipv4Packet::new_checked(original).ok()?;
    if !may_be_reported(&original) {
        return None;
    }
    let room = out.len().min(MAX_ERROR_LEN).checked_sub(ipv4::HEADER_LEN + HEADER_LEN)?;
    let quoted_len = original.total_len().min(room);
    if quoted_len < original.total_len().min(original.header_len() + 8) {
        return None;
    }
    let quoted = original.bytes().get(..quoted_len)?;

    let len = ipv4::HEADER_LEN + HEADER_LEN + quoted_len;
    let (ip, icmp) = out.split_first_chunk_mut::<{ ipv4::HEADER_LEN }>()?;
    let (header, body) = icmp.split_first_chunk_mut::<HEADER_LEN>()?;
    Ipv4Header {
        tos: ERROR_TOS,
        total_len: u16::try_from(len).ok()?,
        // Never fragmented, so the identification has no meaning (RFC 6864 4.1).
        identification: 0,
        dont_fragment: true,
        ttl: TTL,
        protocol: protocol::ICMP,
        source: our_address,
        destination: original.source(),
    }
    .write(ip);
    body.get_mut(..quoted_len)?.copy_from_slice(quoted);
    let (message_type, code, rest) = kind.parts();
    set_field::<0, 4, _>(header, [message_type, code, 0, 0]);
    set_field::<4, 4, _>(header, rest);
    let sum = Sum::new().bytes(header).bytes(quoted).checksum();
    set_field::<2, 2, _>(header, sum.to_be_bytes());
    Some(len)
}

fn may_be_reported(original: &Ipv4Packet<'_>) -> bool {
    let is_for_one_host = is_host(original.source()) && is_host(original.destination());
    // Of ICMP, only what is known to be a question or its answer (RFC 792, RFC 950, RFC 1256).
    let is_harmless =
        original.protocol() != protocol::ICMP || matches!(original.payload().first(), Some(0 | 8 | 9 | 10 | 13..=18));
    is_for_one_host && is_harmless && original.fragment_offset() == 0
}

/// Whether an address can be one host's, seen from outside of it: not "this network", loopback, a group, class E or the
/// broadcast address.
fn is_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..=255)
}

#[cfg(test)]
#[path = "icmp_tests.rs"]
mod tests;
