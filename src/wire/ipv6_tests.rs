use super::*;
use crate::wire::test_packets::{self, V6};
use proptest::prelude::*;

/// 2001:db8:0:1::1 → 2001:db8:0:2::2, no next header, 4 bytes: written by hand from RFC 8200 3.
#[rustfmt::skip]
const PACKET: [u8; 44] = [
    0x6b, 0x8f, 0xed, 0xcb, 0x00, 0x04, 0x3b, 0x40,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2,
    1, 2, 3, 4,
];

#[test]
fn known_header() {
    let mut bytes = PACKET.to_vec();
    bytes.extend([0xee; 7]);
    let packet = Ipv6Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.source(), packet.destination()), (V6[0], V6[1]));
    assert_eq!((packet.traffic_class(), packet.flow_label()), (0xb8, 0x000f_edcb));
    assert_eq!((packet.next_header(), packet.hop_limit()), (protocol::NO_NEXT_HEADER, 64));
    assert_eq!((packet.total_len(), packet.payload_range()), (44, 40..44));
    assert_eq!((packet.payload(), packet.bytes()), (&[1, 2, 3, 4][..], &PACKET[..]));

    let mut out = [0xa5; HEADER_LEN];
    Ipv6Header {
        traffic_class: 0xb8,
        // The top bits are not the label's.
        flow_label: 0xabcf_edcb,
        payload_len: 4,
        next_header: protocol::NO_NEXT_HEADER,
        hop_limit: 64,
        source: V6[0],
        destination: V6[1],
    }
    .write(&mut out);
    assert_eq!(out, PACKET[..40]);
}

#[test]
fn faults_are_named() {
    let error = |bytes: &[u8]| Ipv6Packet::new_checked(bytes).unwrap_err();
    for len in 0..40 {
        assert_eq!(error(&PACKET[..len]), Ipv6Error::Truncated);
    }
    for len in 40..44 {
        assert_eq!(error(&PACKET[..len]), Ipv6Error::PayloadLen);
    }
    let mut bytes = PACKET;
    bytes[0] = 0x45;
    assert_eq!(error(&bytes), Ipv6Error::Version);
}

#[test]
fn ecn_and_hop_limit_in_place() {
    let mut bytes = PACKET;
    set_ecn(&mut bytes, Ecn::Ce);
    let packet = Ipv6Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.traffic_class(), packet.flow_label()), (0xbb, 0x000f_edcb));
    assert_eq!(packet.ecn(), Ecn::Ce);
    set_ecn(&mut bytes, Ecn::NotEct);
    assert_eq!(bytes, PACKET);

    bytes[7] = 3;
    assert_eq!(decrement_hop_limit(&mut bytes), Some(2));
    assert_eq!(decrement_hop_limit(&mut bytes), Some(1));
    assert_eq!(decrement_hop_limit(&mut bytes), None);
    assert_eq!(bytes[7], 1);
    bytes[7] = 0;
    assert_eq!(decrement_hop_limit(&mut bytes), None);
    assert_eq!(decrement_hop_limit(&mut bytes[..39]), None);
}

/// Walks `payload` behind a header that says `next_header`.
fn walk(next_header: u8, payload: &[u8]) -> Result<UpperLayer, Ipv6Error> {
    let bytes = test_packets::v6(V6[0], V6[1], 0, next_header, payload);
    Ipv6Packet::new_checked(&bytes).unwrap().upper_layer()
}

const HOP: u8 = protocol::HOP_BY_HOP;
const ROUTE: u8 = protocol::ROUTING;
const FRAG: u8 = protocol::FRAGMENT;
const DEST: u8 = protocol::DESTINATION_OPTIONS;

#[test]
fn no_extension_header() {
    let upper = UpperLayer { protocol: protocol::UDP, offset: 40, fragment: None };
    assert_eq!(walk(protocol::UDP, &[]), Ok(upper));
}

#[test]
fn a_chain_of_all_kinds() {
    let payload = [
        &[ROUTE, 0, 1, 4, 0, 0, 0, 0][..],
        &[DEST, 2, 0, 0],
        &[0; 20],
        &[FRAG, 0, 1, 4, 0, 0, 0, 0],
        &[DEST, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef],
        &[protocol::UDP, 0, 1, 4, 0, 0, 0, 0],
        b"upper",
    ]
    .concat();
    let fragment = Fragment { offset: 0, more: true, identification: 0xdead_beef };
    let upper = UpperLayer { protocol: protocol::UDP, offset: 96, fragment: Some(fragment) };
    assert_eq!(walk(HOP, &payload), Ok(upper));
    assert_eq!(&payload[upper.offset - 40..], b"upper");
    // Cut anywhere inside the chain it is an error.
    for len in 0..56 {
        assert_eq!(walk(HOP, &payload[..len]), Err(Ipv6Error::ExtensionTruncated), "{len}");
    }
}

#[test]
fn fragments() {
    let later = [protocol::UDP, 0, 0x05, 0xa9, 0, 0, 0, 7, 1, 2, 3];
    let upper = walk(FRAG, &later).unwrap();
    let fragment = Fragment { offset: 0x05a8, more: true, identification: 7 };
    assert_eq!((upper.protocol, upper.offset, upper.fragment), (17, 48, Some(fragment)));
    assert!(!fragment.is_atomic());
    // Behind a later fragment's header is data, whatever its next header says.
    let hop_data = [DEST, 0, 0, 8, 0, 0, 0, 7, 0xff, 0xff];
    assert_eq!(walk(FRAG, &hop_data).map(|u| (u.protocol, u.offset)), Ok((DEST, 48)));
    let atomic = [protocol::UDP, 0, 0, 6, 0, 0, 0, 7];
    assert!(walk(FRAG, &atomic).unwrap().fragment.unwrap().is_atomic());
}

#[test]
fn order_and_count() {
    let hop_again = [HOP, 0, 0, 0, 0, 0, 0, 0, protocol::UDP, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(walk(DEST, &hop_again), Err(Ipv6Error::ExtensionOrder));
    assert_eq!(walk(HOP, &hop_again), Err(Ipv6Error::ExtensionOrder));
    let two_fragments = [FRAG, 0, 0, 1, 0, 0, 0, 0, protocol::UDP, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(walk(FRAG, &two_fragments), Err(Ipv6Error::ExtensionOrder));

    let chain = |n: usize| {
        let mut payload = [DEST, 0, 0, 0, 0, 0, 0, 0].repeat(n);
        payload[(n - 1) * 8] = protocol::UDP;
        walk(DEST, &payload)
    };
    assert_eq!(chain(MAX_EXTENSION_HEADERS).map(|u| u.offset), Ok(40 + 8 * 8));
    assert_eq!(chain(MAX_EXTENSION_HEADERS + 1), Err(Ipv6Error::ExtensionCount));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        valid_head: bool,
        next in prop::sample::select(vec![HOP, ROUTE, FRAG, DEST, 17, 255]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        ecn in 0..4_u8,
    ) {
        let payload_len = bytes.len().saturating_sub(HEADER_LEN);
        if let (true, Some(header)) = (valid_head, bytes.first_chunk_mut::<HEADER_LEN>()) {
            header[0] = 0x60;
            header[4..6].copy_from_slice(&u16::try_from(payload_len).unwrap().to_be_bytes());
            header[6] = next;
        }
        if let Ok(packet) = Ipv6Packet::new_checked(&bytes) {
            prop_assert!(packet.total_len() <= bytes.len());
            prop_assert_eq!(&bytes[packet.payload_range()], packet.payload());
            if let Ok(upper) = packet.upper_layer() {
                prop_assert!((HEADER_LEN..=packet.total_len()).contains(&upper.offset));
            }
        }
        decrement_hop_limit(&mut bytes);
        set_ecn(&mut bytes, Ecn::from_tos(ecn));
    }

    /// Chains of small extension headers: random kinds and lengths, so that whole walks are reached often.
    #[test]
    fn chains_never_panic(kinds in prop::collection::vec((0..4_usize, 0..3_u8), 1..12), tail: Vec<u8>) {
        let names = [HOP, ROUTE, FRAG, DEST];
        let mut payload = Vec::new();
        for (at, (_, units)) in kinds.iter().enumerate() {
            let next = kinds.get(at + 1).map_or(protocol::UDP, |(kind, _)| names[*kind]);
            let len = if kinds[at].0 == 2 { 8 } else { (usize::from(*units) + 1) * 8 };
            let start = payload.len();
            payload.resize(start + len, 0);
            payload[start] = next;
            payload[start + 1] = *units;
        }
        let end = HEADER_LEN + payload.len();
        payload.extend(&tail);
        let is_extension = |kind: &usize| kinds.iter().filter(|(k, _)| k == kind).count();
        match walk(names[kinds[0].0], &payload) {
            Ok(upper) => {
                prop_assert_eq!((upper.protocol, upper.offset), (protocol::UDP, end));
                prop_assert!(kinds.len() <= MAX_EXTENSION_HEADERS && is_extension(&2) <= 1);
            }
            Err(Ipv6Error::ExtensionCount) => prop_assert!(kinds.len() > MAX_EXTENSION_HEADERS),
            Err(error) => {
                prop_assert_eq!(error, Ipv6Error::ExtensionOrder);
                prop_assert!(is_extension(&2) > 1 || kinds.iter().skip(1).any(|(kind, _)| *kind == 0));
            }
        }
    }

    #[test]
    fn headers_round_trip(
        traffic_class: u8, flow_label in 0..1_u32 << 20, next_header: u8, hop_limit: u8,
        source: [u8; 16], destination: [u8; 16], payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let payload_len = u16::try_from(payload.len()).unwrap();
        let header = Ipv6Header {
            traffic_class, flow_label, payload_len, next_header, hop_limit,
            source: source.into(), destination: destination.into(),
        };
        let mut head = [0xa5; HEADER_LEN];
        header.write(&mut head);
        let bytes = [&head[..], &payload].concat();
        let packet = Ipv6Packet::new_checked(&bytes).unwrap();
        let read = Ipv6Header {
            traffic_class: packet.traffic_class(),
            flow_label: packet.flow_label(),
            payload_len: u16::try_from(packet.payload().len()).unwrap(),
            next_header: packet.next_header(),
            hop_limit: packet.hop_limit(),
            source: packet.source(),
            destination: packet.destination(),
        };
        prop_assert_eq!(read, header);
        prop_assert_eq!(packet.payload(), &payload[..]);
    }
}
