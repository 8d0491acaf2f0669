use super::*;
use crate::wire::{protocol, test_packets};
use proptest::prelude::*;

/// 192.168.0.1 → 192.168.0.199, UDP, DF, TTL 64: a header that is often shown as the example of the checksum.
const HEADER: [u8; 20] = [
    0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00,
    0xc7,
];

fn known() -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    bytes.extend(0..95);
    bytes
}

#[test]
fn known_header() {
    let mut bytes = known();
    bytes.extend([0xee; 9]);
    let packet = Ipv4Packet::new_checked(&bytes).unwrap();
    assert!(packet.verify_checksum());
    assert_eq!((packet.header_len(), packet.total_len(), packet.has_options()), (20, 115, false));
    assert_eq!((packet.ttl(), packet.protocol(), packet.tos()), (64, protocol::UDP, 0));
    assert_eq!((packet.identification(), packet.header_checksum()), (0, 0xb861));
    assert_eq!(packet.source(), Ipv4Addr::new(192, 168, 0, 1));
    assert_eq!(packet.destination(), Ipv4Addr::new(192, 168, 0, 199));
    assert_eq!((packet.source_u32(), packet.destination_u32()), (0xc0a8_0001, 0xc0a8_00c7));
    assert!(packet.dont_fragment() && !packet.more_fragments() && !packet.is_fragment());
    assert_eq!(packet.payload_range(), 20..115);
    assert_eq!(packet.payload(), &bytes[20..115]);
    assert_eq!(packet.bytes(), &bytes[..115]);

    let mut out = [0xa5; HEADER_LEN];
    Ipv4Header {
        tos: 0,
        total_len: 115,
        identification: 0,
        dont_fragment: true,
        ttl: 64,
        protocol: protocol::UDP,
        source: packet.source(),
        destination: packet.destination(),
    }
    .write(&mut out);
    assert_eq!(out, HEADER);
}

#[test]
fn faults_are_named() {
    let error = |at: usize, value: u8| {
        let mut bytes = known();
        bytes[at] = value;
        Ipv4Packet::new_checked(&bytes).map(|p| p.total_len())
    };
    for len in 0..20 {
        assert_eq!(Ipv4Packet::new_checked(&known()[..len]).unwrap_err(), Ipv4Error::Truncated);
    }
    assert_eq!(error(0, 0x55), Err(Ipv4Error::Version));
    assert_eq!(error(0, 0x65), Err(Ipv4Error::Version));
    for ihl in 0..5 {
        assert_eq!(error(0, 0x40 | ihl), Err(Ipv4Error::HeaderLen));
    }
    assert_eq!(error(3, 19), Err(Ipv4Error::TotalLen));
    assert_eq!(error(3, 20), Ok(20));
    assert_eq!(error(3, 116), Err(Ipv4Error::TotalLen));
    // Options that the total length cuts, and that the bytes cut.
    let mut bytes = known();
    (bytes[0], bytes[3]) = (0x4f, 59);
    assert_eq!(Ipv4Packet::new_checked(&bytes).unwrap_err(), Ipv4Error::TotalLen);
    assert_eq!(Ipv4Packet::new_checked(&bytes[..59]).unwrap_err(), Ipv4Error::HeaderLen);
}

#[test]
fn options_are_tolerated() {
    let mut bytes = known();
    bytes[0] = 0x46;
    let packet = Ipv4Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.header_len(), packet.payload().len()), (24, 91));
    assert!(packet.has_options());
}

#[test]
fn fragment_fields() {
    // (flags and offset, is a fragment, more, don't, offset in bytes)
    for (word, is_fragment, more, dont, offset) in [
        (0x0000_u16, false, false, false, 0),
        (0x4000, false, false, true, 0),
        (0x2000, true, true, false, 0),
        (0x0001, true, false, false, 8),
        (0x3fff, true, true, false, 65_528),
        // The reserved bit is no part of it.
        (0x8000, false, false, false, 0),
    ] {
        let mut bytes = known();
        bytes[6..8].copy_from_slice(&word.to_be_bytes());
        let packet = Ipv4Packet::new_checked(&bytes).unwrap();
        assert_eq!(packet.is_fragment(), is_fragment);
        assert_eq!((packet.more_fragments(), packet.dont_fragment()), (more, dont));
        assert_eq!(packet.fragment_offset(), offset);
    }
}

#[test]
fn ttl_counts_down_to_one() {
    let mut bytes = known();
    for ttl in (1..64).rev() {
        assert_eq!(decrement_ttl(&mut bytes), Some(ttl));
        let packet = Ipv4Packet::new_checked(&bytes).unwrap();
        assert_eq!(packet.ttl(), ttl);
        assert!(packet.verify_checksum());
    }
    let before = bytes.clone();
    assert_eq!(decrement_ttl(&mut bytes), None);
    bytes[8] = 0;
    assert_eq!(decrement_ttl(&mut bytes), None);
    assert_eq!((bytes[8], &bytes[9..]), (0, &before[9..]));
    assert_eq!(decrement_ttl(&mut bytes[..19]), None);
}

/// Bytes that are nearly a packet, so that the fields behind the checks are reached.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..120), 0x40..0x50_u8, 0..130_u8).prop_map(|(mut bytes, first, total_len)| {
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            (head[0], head[2], head[3]) = (first, 0, total_len);
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut bytes in prop_oneof![any::<Vec<u8>>(), nearly()], ecn in 0..4_u8) {
        if let Ok(packet) = Ipv4Packet::new_checked(&bytes) {
            prop_assert!(packet.header_len() >= 20);
            prop_assert!(packet.total_len() <= bytes.len());
            prop_assert_eq!(&bytes[packet.payload_range()], packet.payload());
            prop_assert_eq!(packet.header_len() + packet.payload().len(), packet.total_len());
            let _ = packet.verify_checksum();
        }
        let before = bytes.clone();
        if decrement_ttl(&mut bytes).is_none() {
            prop_assert_eq!(&bytes, &before);
        }
        set_ecn(&mut bytes, Ecn::from_tos(ecn));
    }

    #[test]
    fn headers_round_trip(
        tos: u8, identification: u16, dont_fragment: bool, ttl: u8, protocol: u8,
        source: [u8; 4], destination: [u8; 4], ecn in 0..4_u8, payload in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut bytes = test_packets::v4(source.into(), destination.into(), tos, protocol, &payload);
        let header = Ipv4Header {
            tos,
            total_len: u16::try_from(bytes.len()).unwrap(),
            identification,
            dont_fragment,
            ttl,
            protocol,
            source: source.into(),
            destination: destination.into(),
        };
        header.write(bytes.first_chunk_mut().unwrap());
        let packet = Ipv4Packet::new_checked(&bytes).unwrap();
        let read = Ipv4Header {
            tos: packet.tos(),
            total_len: u16::try_from(packet.total_len()).unwrap(),
            identification: packet.identification(),
            dont_fragment: packet.dont_fragment(),
            ttl: packet.ttl(),
            protocol: packet.protocol(),
            source: packet.source(),
            destination: packet.destination(),
        };
        prop_assert_eq!(read, header);
        prop_assert_eq!(packet.payload(), &payload[..]);
        prop_assert!(packet.verify_checksum() && !packet.is_fragment());

        // The incremental updates give what a new header would hold.
        decrement_ttl(&mut bytes);
        set_ecn(&mut bytes, Ecn::from_tos(ecn));
        let mut fresh = bytes.clone();
        Ipv4Header { tos: tos & 0xfc | ecn, ttl: if ttl > 1 { ttl - 1 } else { ttl }, ..header }
            .write(fresh.first_chunk_mut().unwrap());
        prop_assert_eq!(fresh, bytes);
    }

    #[test]
    fn one_flipped_bit_fails_the_checksum(at in 0..160_usize) {
        // Version, header length and total length aside, whose faults are found before.
        prop_assume!(!(0..8).contains(&at) && !(16..32).contains(&at));
        let mut bytes = known();
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert!(!Ipv4Packet::new_checked(&bytes).unwrap().verify_checksum());
    }
}

#[test]
fn the_checksum_is_written_anew() {
    let mut bytes = known();
    bytes[10..12].fill(0x55);
    write_checksum(&mut bytes);
    assert_eq!(bytes, known());
    // With options.
    bytes.splice(20..20, [1; 12]);
    bytes[0] = 0x48;
    bytes[3] += 12;
    write_checksum(&mut bytes);
    assert!(Ipv4Packet::new_checked(&bytes).unwrap().verify_checksum());
}

proptest! {
    #[test]
    fn nothing_is_written_where_no_header_is(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let before = bytes.clone();
        write_checksum(&mut bytes);
        let header_len = before.first().map_or(0, |first| usize::from(first & 15) * 4);
        if header_len < HEADER_LEN || header_len > before.len() {
            prop_assert_eq!(bytes, before);
        } else {
            prop_assert_eq!((&bytes[..10], &bytes[12..]), (&before[..10], &before[12..]));
        }
    }
}
