//! ECN across the tunnel (RFC 6040, as the kernel's WireGuard does it).

use super::{ipv4, ipv6};

/// The ECN field (RFC 3168 5): the low two bits of TOS or traffic class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ecn {
    /// The transport does not know ECN.
    NotEct = 0,
    /// It does, codepoint 01.
    Ect1 = 1,
    /// It does, codepoint 10.
    Ect0 = 2,
    /// Congestion was experienced.
    Ce = 3,
}

impl Ecn {
    /// Of a TOS or traffic class byte.
    #[inline]
    pub const fn from_tos(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    #[inline]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// A TOS or traffic class byte with this ECN field and the DSCP of `tos`.
    #[inline]
    pub const fn onto_tos(self, tos: u8) -> u8 {
        tos & 0xfc | self.bits()
    }
}

/// The outer TOS or traffic class byte for an inner packet: DSCP 0, so that none leaks; the inner ECN, but for CE, which
/// becomes ECT(0) (RFC 3168 9.1.1, full functionality). Bytes that are no IP packet (a keepalive) give 0.
#[inline]
pub fn outer_tos(inner: &[u8]) -> u8 {
    match inner_ecn(inner) {
        Some(Ecn::Ce) => Ecn::Ect0.bits(),
        Some(ecn) => ecn.bits(),
        None => 0,
    }
}

/// Carries congestion marks of the outer header into the inner packet: outer CE sets CE if the inner is ECT, outer ECT(1)
/// goes onto inner ECT(0) (RFC 6040 4.2). An inner packet without ECN stays as it is, and is never dropped.
#[inline]
pub fn decapsulate(outer_tos: u8, inner: &mut [u8]) {
    let marked = match (Ecn::from_tos(outer_tos), inner_ecn(inner)) {
        (Ecn::Ce, Some(Ecn::Ect0 | Ecn::Ect1)) => Ecn::Ce,
        (Ecn::Ect1, Some(Ecn::Ect0)) => Ecn::Ect1,
        _ => return,
    };
    match version(inner) {
        Some(4) => ipv4::set_ecn(inner, marked),
        Some(6) => ipv6::set_ecn(inner, marked),
        _ => {}
    }
}

fn inner_ecn(inner: &[u8]) -> Option<Ecn> {
    match (version(inner)?, inner) {
        (4, [_, tos, ..]) => Some(Ecn::from_tos(*tos)),
        (6, [_, second, ..]) => Some(Ecn::from_tos(*second >> 4)),
        _ => None,
    }
}

fn version(inner: &[u8]) -> Option<u8> {
    inner.first().map(|first| first >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        Ipv4Packet, Ipv6Packet,
        test_packets::{self, V4, V6},
    };

    /// PROTOCOL A8.7: what goes out.
    #[test]
    fn outer_has_no_dscp_and_never_starts_with_ce() {
        // Inner ECN 00, 01, 10, 11 → outer 00, 01, 10, 10 (PROTOCOL A8).
        for (inner, outer) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
            let tos = 0xb8 | inner;
            assert_eq!(outer_tos(&test_packets::udp_v4(V4[0], V4[1], tos, b"x")), outer);
            assert_eq!(outer_tos(&test_packets::udp_v6(V6[0], V6[1], tos, b"x")), outer);
        }
        assert_eq!(outer_tos(&[]), 0);
        assert_eq!(outer_tos(&[0x45]), 0);
        assert_eq!(outer_tos(&[0x53, 0xff]), 0);
    }

    /// PROTOCOL A8.7: what comes in.
    #[test]
    fn decapsulation_table() {
        // RFC 6040 figure 4, but for its drop: rows outer, columns inner 00, 01, 10, 11.
        let expected = [[0, 1, 2, 3], [0, 1, 1, 3], [0, 1, 2, 3], [0, 3, 3, 3]];
        for (outer, row) in (0_u8..).zip(expected) {
            for (inner, after) in (0_u8..).zip(row) {
                let (outer_tos, tos) = (0x88 | outer, 0xb8 | inner);
                let mut v4 = test_packets::udp_v4(V4[0], V4[1], tos, b"x");
                decapsulate(outer_tos, &mut v4);
                let packet = Ipv4Packet::new_checked(&v4).unwrap();
                assert_eq!(packet.tos(), 0xb8 | after, "outer {outer} inner {inner}");
                assert!(packet.verify_checksum());

                let mut v6 = test_packets::udp_v6(V6[0], V6[1], tos, b"x");
                decapsulate(outer_tos, &mut v6);
                let packet = Ipv6Packet::new_checked(&v6).unwrap();
                assert_eq!(packet.traffic_class(), 0xb8 | after, "outer {outer} inner {inner}");
                assert_eq!(packet.flow_label(), 0x000f_edcb);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_never_panic(tos: u8, mut bytes: Vec<u8>) {
            let len = bytes.len();
            proptest::prop_assert!(outer_tos(&bytes) < 3);
            decapsulate(tos, &mut bytes);
            proptest::prop_assert_eq!(bytes.len(), len);
        }
    }
}
