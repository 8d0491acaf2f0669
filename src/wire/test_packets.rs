//! Packets for the tests of this module.

use super::{Ipv4Header, Ipv6Header, UdpHeader, checksum::Sum, icmpv6, ipv4, ipv6, protocol, udp};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) const V4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2)];
pub(super) const V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 2)];

pub(super) fn v4(source: Ipv4Addr, destination: Ipv4Addr, tos: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; ipv4::HEADER_LEN];
    Ipv4Header {
        tos,
        total_len: u16::try_from(ipv4::HEADER_LEN + payload.len()).unwrap(),
        identification: 0x1234,
        dont_fragment: false,
        ttl: 17,
        protocol,
        source,
        destination,
    }
    .write(&mut header);
    [&header, payload].concat()
}

pub(super) fn v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    traffic_class: u8,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut header = [0; ipv6::HEADER_LEN];
    Ipv6Header {
        traffic_class,
        flow_label: 0x000f_edcb,
        payload_len: u16::try_from(payload.len()).unwrap(),
        next_header,
        hop_limit: 17,
        source,
        destination,
    }
    .write(&mut header);
    [&header, payload].concat()
}

pub(super) fn udp_v4(source: Ipv4Addr, destination: Ipv4Addr, tos: u8, data: &[u8]) -> Vec<u8> {
    let mut header = [0; udp::HEADER_LEN];
    let udp = UdpHeader::new(1000, 2000, data).unwrap().with_checksum_v4(source, destination, data);
    udp.write(&mut header);
    v4(source, destination, tos, protocol::UDP, &[&header, data].concat())
}

pub(super) fn udp_v6(source: Ipv6Addr, destination: Ipv6Addr, traffic_class: u8, data: &[u8]) -> Vec<u8> {
    let mut header = [0; udp::HEADER_LEN];
    let udp = UdpHeader::new(1000, 2000, data).unwrap().with_checksum_v6(source, destination, data);
    udp.write(&mut header);
    v6(source, destination, traffic_class, protocol::UDP, &[&header, data].concat())
}

/// `message` starts with type and code; its checksum is filled in.
pub(super) fn icmp_v4(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[2..4].fill(0);
    let sum = Sum::new().bytes(&message).checksum();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    v4(source, destination, 0, protocol::ICMP, &message)
}

/// `message` starts with type and code; its checksum is filled in.
pub(super) fn icmp_v6(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[2..4].fill(0);
    let sum = icmpv6::sum(source, destination, &message).unwrap().checksum();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    v6(source, destination, 0, protocol::ICMPV6, &message)
}
