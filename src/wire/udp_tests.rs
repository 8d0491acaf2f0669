use super::*;
use crate::wire::test_packets::{V4, V6};
use proptest::prelude::*;

/// 1000 → 2000, "hello", between `V4[0]` and `V4[1]`.
const HELLO_V4: [u8; 13] = [0x03, 0xe8, 0x07, 0xd0, 0, 13, 0xc4, 0x12, b'h', b'e', b'l', b'l', b'o'];
/// The same between `V6[0]` and `V6[1]`.
const HELLO_V6: [u8; 13] = [0x03, 0xe8, 0x07, 0xd0, 0, 13, 0x54, 0xd2, b'h', b'e', b'l', b'l', b'o'];

#[test]
fn known_datagrams() {
    let datagram = UdpDatagram::new_checked(&HELLO_V4).unwrap();
    assert_eq!((datagram.source_port(), datagram.destination_port()), (1000, 2000));
    assert_eq!((datagram.checksum(), datagram.payload()), (0xc412, &b"hello"[..]));
    assert!(datagram.verify_v4(V4[0], V4[1]));
    assert!(!datagram.verify_v4(V4[0], V4[0]));
    let datagram = UdpDatagram::new_checked(&HELLO_V6).unwrap();
    assert!(datagram.verify_v6(V6[0], V6[1]));
    assert!(!datagram.verify_v6(V6[0], V6[0]));

    let mut out = [0xa5; HEADER_LEN];
    let header = UdpHeader::new(1000, 2000, b"hello").unwrap();
    header.with_checksum_v4(V4[0], V4[1], b"hello").write(&mut out);
    assert_eq!(out, HELLO_V4[..8]);
    header.with_checksum_v6(V6[0], V6[1], b"hello").write(&mut out);
    assert_eq!(out, HELLO_V6[..8]);
}

/// TESTING A18: the UDP length against the IP length.
/// PROTOCOL A2.2: shorter cuts, longer is refused.
#[test]
fn attack_a18_lengths() {
    let mut padded = HELLO_V4.to_vec();
    padded.extend([0xee; 6]);
    let datagram = UdpDatagram::new_checked(&padded).unwrap();
    assert_eq!((datagram.payload(), datagram.bytes()), (&b"hello"[..], &HELLO_V4[..]));
    assert!(datagram.verify_v4(V4[0], V4[1]));

    for len in 0..8 {
        assert_eq!(UdpDatagram::new_checked(&padded[..len]).unwrap_err(), UdpError::Truncated);
    }
    for len in 8..13 {
        assert_eq!(UdpDatagram::new_checked(&padded[..len]).unwrap_err(), UdpError::Length);
    }
    for len in 0..8 {
        padded[5] = len;
        assert_eq!(UdpDatagram::new_checked(&padded).unwrap_err(), UdpError::Length);
    }
    padded[5] = 8;
    assert_eq!(UdpDatagram::new_checked(&padded).unwrap().payload(), &[0u8; 0]);
}

/// TESTING A18: no checksum is good in IPv4, bad in IPv6.
#[test]
fn attack_a18_absent_checksum() {
    let mut bytes = HELLO_V4;
    bytes[6..8].fill(0);
    let datagram = UdpDatagram::new_checked(&bytes).unwrap();
    assert!(datagram.verify_v4(V4[0], V4[1]));
    assert!(!datagram.verify_v6(V6[0], V6[1]));

    // Refused even where the sum happens to be right without it.
    let header = UdpHeader::new(1000, 2000, &[0, 0]).unwrap();
    let payload = header.checksum_v6(V6[0], V6[1], &[0, 0]).to_be_bytes();
    let mut bytes = [0; 10];
    header.write(bytes.first_chunk_mut().unwrap());
    bytes[8..].copy_from_slice(&payload);
    let sum = Sum::new().pseudo_v6(V6[0], V6[1], protocol::UDP, 10).bytes(&bytes);
    assert!(sum.is_valid());
    assert!(!UdpDatagram::new_checked(&bytes).unwrap().verify_v6(V6[0], V6[1]));
}

#[test]
fn a_checksum_of_zero_is_written_as_ones() {
    // The payload makes the sum 0xffff, its complement 0.
    let empty = UdpHeader::new(1000, 2000, &[0, 0]).unwrap();
    let payload = empty.checksum_v4(V4[0], V4[1], &[0, 0]).to_be_bytes();
    assert_eq!(empty.checksum_v4(V4[0], V4[1], &payload), 0xffff);
    let mut bytes = [0; 10];
    let (head, body) = bytes.split_first_chunk_mut().unwrap();
    empty.with_checksum_v4(V4[0], V4[1], &payload).write(head);
    body.copy_from_slice(&payload);
    let datagram = UdpDatagram::new_checked(&bytes).unwrap();
    assert_eq!(datagram.checksum(), 0xffff);
    assert!(datagram.verify_v4(V4[0], V4[1]));
}

#[test]
fn too_long_a_payload_has_no_header() {
    assert_eq!(UdpHeader::new(1, 2, &[0; 65_527]).map(|h| h.len), Some(65_535));
    assert_eq!(UdpHeader::new(1, 2, &[0; 65_528]), None);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        len in prop::option::of(0..100_u8),
        mut bytes in prop::collection::vec(any::<u8>(), 0..100),
        s4: [u8; 4], d4: [u8; 4], s6: [u8; 16], d6: [u8; 16],
    ) {
        if let (Some(len), Some(head)) = (len, bytes.first_chunk_mut::<6>()) {
            (head[4], head[5]) = (0, len);
        }
        if let Ok(datagram) = UdpDatagram::new_checked(&bytes) {
            prop_assert_eq!(datagram.payload().len() + HEADER_LEN, datagram.bytes().len());
            let _ = datagram.verify_v4(s4.into(), d4.into());
            let _ = datagram.verify_v6(s6.into(), d6.into());
        }
    }

    #[test]
    fn headers_round_trip(
        sport: u16, dport: u16, payload in prop::collection::vec(any::<u8>(), 0..100),
        s4: [u8; 4], d4: [u8; 4], s6: [u8; 16], d6: [u8; 16], flip: prop::sample::Index,
    ) {
        let header = UdpHeader::new(sport, dport, &payload).unwrap();
        let mut head = [0xa5; HEADER_LEN];
        header.with_checksum_v4(s4.into(), d4.into(), &payload).write(&mut head);
        let bytes = [&head[..], &payload].concat();
        let datagram = UdpDatagram::new_checked(&bytes).unwrap();
        prop_assert_eq!((datagram.source_port(), datagram.destination_port()), (sport, dport));
        prop_assert_eq!(datagram.payload(), &payload[..]);
        prop_assert!(datagram.verify_v4(s4.into(), d4.into()));

        header.with_checksum_v6(s6.into(), d6.into(), &payload).write(&mut head);
        let mut bytes = [&head[..], &payload].concat();
        prop_assert!(UdpDatagram::new_checked(&bytes).unwrap().verify_v6(s6.into(), d6.into()));
        // One flipped bit, not in the length.
        let at = flip.index(bytes.len() * 8);
        prop_assume!(!(32..48).contains(&at));
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert!(!UdpDatagram::new_checked(&bytes).unwrap().verify_v6(s6.into(), d6.into()));
    }
}
