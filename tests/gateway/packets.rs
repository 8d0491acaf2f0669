//! Frames and packets, made and taken apart.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use culvert::wire::checksum::Sum;
use culvert::wire::icmp::IcmpMessage;
use culvert::wire::icmpv6::Icmpv6Message;
use culvert::wire::{
    EtherType, EthernetFrame, Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, MacAddr, UdpDatagram, UdpHeader,
    ethernet, protocol,
};
use std::net::{IpAddr, SocketAddr};

/// An address from its text.
pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What stands in an IP header beside addresses and payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
}

/// An IP packet.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, ip: Ip, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = [0; 20];
            let Ip { tos, ttl, protocol } = ip;
            let (identification, dont_fragment, total_len) = (7, false, len + 20);
            Ipv4Header { tos, total_len, identification, dont_fragment, ttl, protocol, source, destination }
                .write(&mut header);
            [&header, payload].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = [0; 40];
            let Ip { tos: traffic_class, ttl: hop_limit, protocol: next_header } = ip;
            Ipv6Header { traffic_class, flow_label: 0, payload_len: len, next_header, hop_limit, source, destination }
                .write(&mut header);
            [&header, payload].concat()
        }
        _ => panic!("two families"),
    }
}

/// An IP packet with a UDP datagram.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr, tos: u8, payload: &[u8]) -> Vec<u8> {
    let udp = UdpHeader::new(source.port(), destination.port(), payload).unwrap();
    let udp = match (source.ip(), destination.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => udp.with_checksum_v4(s, d, payload),
        (IpAddr::V6(s), IpAddr::V6(d)) => udp.with_checksum_v6(s, d, payload),
        _ => panic!("two families"),
    };
    let mut header = [0; 8];
    udp.write(&mut header);
    let ip_header = Ip { tos, ttl: 64, protocol: protocol::UDP };
    ip(source.ip(), destination.ip(), ip_header, &[&header, payload].concat())
}

/// An inner packet of `len` bytes in all that carries `tag`.
pub(crate) fn tagged(source: &str, destination: &str, tag: u32, len: usize) -> Vec<u8> {
    let (source, destination) = (addr(source), addr(destination));
    let headers = if source.is_ipv4() { 28 } else { 48 };
    let mut payload = vec![0x5a; len - headers];
    payload[..4].copy_from_slice(&tag.to_le_bytes());
    udp(SocketAddr::new(source, 1), SocketAddr::new(destination, 2), 0, &payload)
}

/// What [`tagged`] put in.
pub(crate) fn tag(packet: &[u8]) -> u32 {
    let at = if packet[0] >> 4 == 4 { 28 } else { 48 };
    u32::from_le_bytes(*packet[at..].first_chunk().unwrap())
}

/// An echo request.
pub(crate) fn echo(source: &str, destination: &str) -> Vec<u8> {
    let (source, destination) = (addr(source), addr(destination));
    let mut message = *b"\x08\0\0\0\x12\x34\0\x01abcdefgh";
    let (protocol, sum) = match (source, destination) {
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            message[0] = 128;
            (protocol::ICMPV6, Sum::new().pseudo_v6(s, d, protocol::ICMPV6, 16).bytes(&message))
        }
        _ => (protocol::ICMP, Sum::new().bytes(&message)),
    };
    message[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    ip(source, destination, Ip { tos: 0, ttl: 64, protocol }, &message)
}

/// What a third party that sees an initiation to the owner of `key` can answer: a cookie reply that the initiator takes.
pub(crate) fn cookie_reply(key: &[u8; 32], initiation: &[u8]) -> Vec<u8> {
    let key = Blake2s256::new().chain_update(b"cookie--").chain_update(key).finalize();
    let (nonce, mut sealed) = ([7; 24], vec![9; 16]);
    let cipher = XChaCha20Poly1305::new_from_slice(&key).unwrap();
    let mac1 = &initiation[116..132];
    let tag = cipher.encrypt_inout_detached(&XNonce::from(nonce), mac1, sealed.as_mut_slice().into()).unwrap();
    sealed.extend(&tag[..]);
    [&[3, 0, 0, 0], &initiation[4..8], &nonce, &sealed].concat()
}

/// The same IPv4 packet with other flags and offset.
pub(crate) fn with_flags(mut packet: Vec<u8>, word: u16) -> Vec<u8> {
    let header = usize::from(packet[0] & 0x0f) * 4;
    packet[6..8].copy_from_slice(&word.to_be_bytes());
    packet[10..12].fill(0);
    let sum = Sum::new().bytes(&packet[..header]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The same packet, which may not be fragmented (IPv6: never may).
pub(crate) fn whole(packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 { with_flags(packet, 0x4000) } else { packet }
}

/// What an ICMP error says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    /// Type and code.
    pub(crate) kind: (u8, u8),
    /// 0 where it says nothing of it.
    pub(crate) mtu: u32,
    /// The beginning of the packet that it is about.
    pub(crate) quoted: Vec<u8>,
}

impl IcmpError {
    /// Of a whole IP packet; all checksums are right. `None`: it is something else.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let (from, to, ttl) = heads(packet);
        let (kind, rest, quoted) = if from.is_ipv4() {
            let ip = Ipv4Packet::new_checked(packet).unwrap();
            if ip.protocol() != protocol::ICMP {
                return None;
            }
            let message = IcmpMessage::new_checked(ip.payload()).unwrap();
            ((message.message_type(), message.code()), &ip.payload()[4..8], message.body())
        } else {
            let ip = Ipv6Packet::new_checked(packet).unwrap();
            let message = Icmpv6Message::new_checked(&ip).ok()?;
            ((message.message_type(), message.code()), &message.rest()[..], message.body())
        };
        let is_error = if from.is_ipv4() { matches!(kind.0, 3 | 11) } else { kind.0 < 128 };
        assert!(!is_error || ttl == 64);
        let mtu = u32::from_be_bytes(rest.try_into().unwrap());
        is_error.then(|| Self { from, to, kind, mtu, quoted: quoted.to_vec() })
    }

    /// All that is in a list of packets which holds nothing else.
    pub(crate) fn all(packets: &[Vec<u8>]) -> Vec<Self> {
        packets.iter().map(|packet| Self::of(packet).unwrap_or_else(|| panic!("no error: {packet:02x?}"))).collect()
    }
}

/// An Ethernet frame around an IP packet.
pub(crate) fn frame(destination: MacAddr, source: MacAddr, packet: &[u8]) -> Vec<u8> {
    let ether_type = if packet.first().is_some_and(|v| v >> 4 == 6) { EtherType::IPV6 } else { EtherType::IPV4 };
    let mut header = [0; ethernet::HEADER_LEN];
    ethernet::write_header(&mut header, destination, source, ether_type);
    [&header, packet].concat()
}

/// An IP packet's addresses and hop count; its checksum is right.
pub(crate) fn heads(packet: &[u8]) -> (IpAddr, IpAddr, u8) {
    if packet[0] >> 4 == 4 {
        let ip = Ipv4Packet::new_checked(packet).unwrap();
        assert!(ip.verify_checksum());
        (ip.source().into(), ip.destination().into(), ip.ttl())
    } else {
        let ip = Ipv6Packet::new_checked(packet).unwrap();
        (ip.source().into(), ip.destination().into(), ip.hop_limit())
    }
}

/// An outer datagram that the gateway sent.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) tos: u8,
    pub(crate) payload: Vec<u8>,
}

impl Datagram {
    /// Of a frame; `None` if it is no UDP. All lengths and checksums are right.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).unwrap();
        let (source, destination, tos, bytes, total) = match frame.ether_type() {
            EtherType::IPV4 => {
                let ip = Ipv4Packet::new_checked(frame.payload()).unwrap();
                assert!(ip.verify_checksum());
                let of_udp = (ip.protocol() == protocol::UDP).then(|| ip.payload())?;
                (IpAddr::V4(ip.source()), IpAddr::V4(ip.destination()), ip.tos(), of_udp, ip.total_len())
            }
            EtherType::IPV6 => {
                let ip = Ipv6Packet::new_checked(frame.payload()).unwrap();
                let of_udp = (ip.next_header() == protocol::UDP).then(|| ip.payload())?;
                (ip.source().into(), ip.destination().into(), ip.traffic_class(), of_udp, ip.total_len())
            }
            _ => return None,
        };
        assert_eq!(total, frame.payload().len(), "nothing behind the packet");
        let udp = UdpDatagram::new_checked(bytes).unwrap();
        match (source, destination) {
            (IpAddr::V4(s), IpAddr::V4(d)) => assert!(udp.verify_v4(s, d)),
            (IpAddr::V6(s), IpAddr::V6(d)) => assert!(udp.verify_v6(s, d)),
            _ => unreachable!("one header has one family"),
        }
        Some(Self {
            from: SocketAddr::new(source, udp.source_port()),
            to: SocketAddr::new(destination, udp.destination_port()),
            tos,
            payload: udp.payload().to_vec(),
        })
    }

    /// The message's type.
    pub(crate) fn kind(&self) -> u8 {
        self.payload[0]
    }
}
