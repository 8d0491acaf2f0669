//! The packet inside a data message: what is checked right after decryption (PROTOCOL A8).

use super::{Ipv4Error, Ipv4Packet, Ipv6Error, Ipv6Packet};
use std::net::IpAddr;
use thiserror::Error;

/// The IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IpVersion {
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// Why a plaintext is no IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InnerError {
    /// No bytes at all: a keepalive, not a fault.
    #[error("a keepalive")]
    Empty,
    /// The version is neither 4 nor 6.
    #[error("the version is neither 4 nor 6")]
    Version,
    /// The plaintext ends inside the IP header, or the header's length is impossible.
    #[error("the IP header is cut off")]
    Header,
    /// The IP length is below the header's, or beyond the plaintext.
    #[error("the IP length does not fit the plaintext")]
    Length,
}

/// What the tunnel wants to know of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerPacket {
    /// Its version.
    pub version: IpVersion,
    /// Its length in bytes: what the plaintext has beyond it is padding, to be cut off.
    pub total_len: usize,
    /// Where it comes from: to be looked up among the allowed IPs.
    pub source: IpAddr,
    /// Where it goes to.
    pub destination: IpAddr,
}

impl InnerPacket {
    /// Checks version and lengths of a plaintext, padding included.
    #[inline]
    pub fn parse(plaintext: &[u8]) -> Result<Self, InnerError> {
        match plaintext.first().ok_or(InnerError::Empty)? >> 4 {
            4 => {
                let packet = Ipv4Packet::new_checked(plaintext)?;
                Ok(Self {
                    version: IpVersion::V4,
                    total_len: packet.total_len(),
                    source: packet.source().into(),
                    destination: packet.destination().into(),
                })
            }
            6 => {
                let packet = Ipv6Packet::new_checked(plaintext)?;
                Ok(Self {
                    version: IpVersion::V6,
                    total_len: packet.total_len(),
                    source: packet.source().into(),
                    destination: packet.destination().into(),
                })
            }
            _ => Err(InnerError::Version),
        }
    }
}

impl From<Ipv4Error> for InnerError {
    fn from(error: Ipv4Error) -> Self {
        match error {
            Ipv4Error::Truncated | Ipv4Error::HeaderLen => Self::Header,
            Ipv4Error::Version => Self::Version,
            Ipv4Error::TotalLen => Self::Length,
        }
    }
}

impl From<Ipv6Error> for InnerError {
    fn from(error: Ipv6Error) -> Self {
        match error {
            Ipv6Error::Version => Self::Version,
            Ipv6Error::PayloadLen => Self::Length,
            Ipv6Error::Truncated
            | Ipv6Error::ExtensionTruncated
            | Ipv6Error::ExtensionOrder
            | Ipv6Error::ExtensionCount => Self::Header,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::test_packets::{self, V4, V6};
    use proptest::prelude::*;

    #[test]
    fn padding_is_told_from_packet() {
        for (packet, version, source, destination) in [
            (test_packets::udp_v4(V4[0], V4[1], 0, b"abc"), IpVersion::V4, V4[0].into(), V4[1].into()),
            (test_packets::udp_v6(V6[0], V6[1], 0, b"abc"), IpVersion::V6, V6[0].into(), V6[1].into()),
        ] {
            let total_len = packet.len();
            let expected = InnerPacket { version, total_len, source, destination };
            let mut padded = packet;
            assert_eq!(InnerPacket::parse(&padded), Ok(expected));
            padded.resize(total_len.next_multiple_of(16), 0);
            assert_eq!(InnerPacket::parse(&padded), Ok(expected));
            for len in 1..total_len {
                let error = InnerPacket::parse(&padded[..len]).unwrap_err();
                assert!(matches!(error, InnerError::Header | InnerError::Length));
            }
        }
    }

    /// TESTING A9: refused by name.
    #[test]
    fn attack_a9() {
        assert_eq!(InnerPacket::parse(&[]), Err(InnerError::Empty));
        let good = test_packets::udp_v4(V4[0], V4[1], 0, &[0; 100]);
        let with = |at: usize, value: &[u8]| {
            let mut packet = good.clone();
            packet[at..at + value.len()].copy_from_slice(value);
            InnerPacket::parse(&packet)
        };
        // total length: beyond the plaintext, 0, 19
        assert_eq!(with(2, &[0, 129]), Err(InnerError::Length));
        assert_eq!(with(2, &[0, 0]), Err(InnerError::Length));
        assert_eq!(with(2, &[0, 19]), Err(InnerError::Length));
        assert_eq!(with(2, &[0, 20]).unwrap().total_len, 20);
        for version in (0..16).filter(|v| *v != 4 && *v != 6) {
            assert_eq!(with(0, &[version << 4 | 5]), Err(InnerError::Version));
        }
        // ihl 4; ihl 15 in a packet of 40 bytes, whole or by its total length
        assert_eq!(with(0, &[0x44]), Err(InnerError::Header));
        assert_eq!(with(0, &[0x4f, 0, 0, 40]), Err(InnerError::Length));
        let mut short = good[..40].to_vec();
        short[0] = 0x4f;
        assert_eq!(InnerPacket::parse(&short), Err(InnerError::Header));
        // An IPv6 header, cut.
        let v6 = test_packets::udp_v6(V6[0], V6[1], 0, b"");
        assert_eq!(InnerPacket::parse(&v6[..39]), Err(InnerError::Header));
        assert_eq!(InnerPacket::parse(&v6[..47]), Err(InnerError::Length));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(
            first in prop::option::of(0x40..0x70_u8),
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let (Some(first), Some(byte)) = (first, bytes.first_mut()) {
                *byte = first;
            }
            if let Ok(packet) = InnerPacket::parse(&bytes) {
                prop_assert!((20..=bytes.len()).contains(&packet.total_len));
            }
        }
    }
}
