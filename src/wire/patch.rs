//! Completing headers that were copied from a template: only what differs from datagram to datagram.

use super::checksum::Sum;
use super::{ipv4, ipv6, protocol, udp};

/// Completes an IPv4 header without options in front of a UDP datagram of `datagram` bytes: TOS, length, identification, checksum. The
/// header is whole but that the first three are zero; its checksum is brought up to date (RFC 1624). Shorter slices change nothing.
#[inline]
pub fn ipv4(ip: &mut [u8], tos: u8, datagram: u16, identification: u16) {
    let Some(header) = ip.first_chunk_mut::<{ ipv4::HEADER_LEN }>() else { return };
    let total = datagram.saturating_add(20);
    header[1] = tos;
    [header[2], header[3]] = total.to_be_bytes();
    [header[4], header[5]] = identification.to_be_bytes();
    let words = [u16::from(tos), total, identification];
    let before = !u16::from_be_bytes([header[10], header[11]]);
    let sum = words.iter().fold(Sum::new().word(before), |sum, word| sum.word(*word));
    [header[10], header[11]] = sum.checksum().to_be_bytes();
}

/// Completes an IPv6 header in front of a UDP datagram of `datagram` bytes: traffic class and length. Shorter slices change nothing.
#[inline]
pub fn ipv6(ip: &mut [u8], traffic_class: u8, datagram: u16) {
    let Some(header) = ip.first_chunk_mut::<{ ipv6::HEADER_LEN }>() else { return };
    header[0] = 0x60 | traffic_class >> 4;
    header[1] = traffic_class << 4 | header[1] & 0x0f;
    [header[4], header[5]] = datagram.to_be_bytes();
}

/// Sets the length of a UDP header. Shorter slices change nothing.
#[inline]
pub fn udp_length(udp: &mut [u8], datagram: u16) {
    if let Some(header) = udp.first_chunk_mut::<{ udp::HEADER_LEN }>() {
        [header[4], header[5]] = datagram.to_be_bytes();
    }
}

/// Computes the UDP checksum of a whole IPv6 packet without extension headers (RFC 8200, 8.1). Shorter slices change nothing.
pub fn udp_checksum_v6(packet: &mut [u8]) {
    let Some((ip, datagram)) = packet.split_first_chunk_mut::<{ ipv6::HEADER_LEN }>() else { return };
    let Some(header) = datagram.first_chunk_mut::<{ udp::HEADER_LEN }>() else { return };
    [header[6], header[7]] = [0, 0];
    let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    // Both addresses, and the rest of the pseudo header.
    let pseudo = Sum::new().bytes(&ip[8..]).word(length).word(protocol::UDP.into());
    let sum = pseudo.bytes(datagram).checksum();
    // Zero means "none" and is sent as its complement.
    let sum = if sum == 0 { u16::MAX } else { sum };
    if let Some(header) = datagram.first_chunk_mut::<{ udp::HEADER_LEN }>() {
        [header[6], header[7]] = sum.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, UdpDatagram, UdpHeader};

    #[test]
    fn a_completed_ipv4_header_is_whole() {
        let header = Ipv4Header {
            tos: 0,
            total_len: 0,
            identification: 0,
            dont_fragment: false,
            ttl: 64,
            protocol: protocol::UDP,
            source: [192, 0, 2, 1].into(),
            destination: [192, 0, 2, 2].into(),
        };
        let mut bytes = [0; 120];
        header.write(bytes.first_chunk_mut().unwrap());
        ipv4(&mut bytes, 1, 100, 0xbeef);
        let parsed = Ipv4Packet::new_checked(&bytes).unwrap();
        assert!(parsed.verify_checksum());
        assert_eq!((parsed.tos(), parsed.total_len(), parsed.identification()), (1, 120, 0xbeef));
    }

    #[test]
    fn a_completed_ipv6_datagram_verifies() {
        let (source, destination) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: 0xabcde,
            payload_len: 0,
            next_header: protocol::UDP,
            hop_limit: 64,
            source,
            destination,
        };
        let mut bytes = [7; 40 + 8 + 33];
        header.write(bytes.first_chunk_mut().unwrap());
        let udp = UdpHeader { source_port: 1, destination_port: 2, len: 0, checksum: 0 };
        udp.write(bytes[40..].first_chunk_mut().unwrap());
        ipv6(&mut bytes, 2, 41);
        udp_length(&mut bytes[40..], 41);
        udp_checksum_v6(&mut bytes);
        let parsed = Ipv6Packet::new_checked(&bytes).unwrap();
        assert_eq!((parsed.traffic_class(), parsed.flow_label(), parsed.total_len()), (2, 0xabcde, 81));
        let datagram = UdpDatagram::new_checked(parsed.payload()).unwrap();
        assert!(datagram.verify_v6(source, destination));
        bytes[80] ^= 1;
        let parsed = Ipv6Packet::new_checked(&bytes).unwrap();
        assert!(!UdpDatagram::new_checked(parsed.payload()).unwrap().verify_v6(source, destination));
    }
}
