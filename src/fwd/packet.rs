//! The frames that modes make: Ethernet, IPv4, UDP.

use crate::wire::{EtherType, Ipv4Header, MacAddr, UdpHeader, ethernet, ipv4, protocol, udp};
use std::net::Ipv4Addr;

/// Bytes before what UDP carries.
pub(super) const FRONT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;

/// TTL of what is made here.
const TTL: u8 = 64;

/// Between whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
}

/// Destination and source of a frame; what is too short stays as it is.
#[inline]
pub(super) fn set_addresses(frame: &mut [u8], destination: MacAddr, source: MacAddr) {
    if let Some(addresses) = frame.first_chunk_mut::<12>() {
        let (to, from) = addresses.split_at_mut(6);
        to.copy_from_slice(&destination.0);
        from.copy_from_slice(&source.0);
    }
}

/// The headers of a frame of `len` bytes; UDP without a checksum (RFC 768), as testpmd's.
pub(super) fn front(destination: MacAddr, source: MacAddr, between: &Between, len: usize) -> [u8; FRONT] {
    let mut bytes = [0; FRONT];
    let payload = len.saturating_sub(FRONT);
    if let Some((ethernet, rest)) = bytes.split_first_chunk_mut() {
        ethernet::write_header(ethernet, destination, source, EtherType::IPV4);
        write_ip_and_udp(rest, between, payload);
    }
    bytes
}

/// IPv4 and UDP headers in front of so many bytes, at the beginning of `out`.
pub(super) fn write_ip_and_udp(out: &mut [u8], between: &Between, payload: usize) {
    let Between { source, destination, source_port, destination_port } = *between;
    let datagram = u16::try_from(udp::HEADER_LEN + payload).unwrap_or(u16::MAX);
    let total_len = u16::try_from(ipv4::HEADER_LEN + udp::HEADER_LEN + payload).unwrap_or(u16::MAX);
    let (tos, identification, dont_fragment, ttl, protocol) = (0, 0, false, TTL, protocol::UDP);
    let ip = Ipv4Header { tos, total_len, identification, dont_fragment, ttl, protocol, source, destination };
    if let Some((header, rest)) = out.split_first_chunk_mut() {
        ip.write(header);
        if let Some(header) = rest.first_chunk_mut() {
            UdpHeader { source_port, destination_port, len: datagram, checksum: 0 }.write(header);
        }
    }
}
