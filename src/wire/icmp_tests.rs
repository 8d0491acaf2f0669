use super::*;
use crate::wire::test_packets::{self, V4};
use proptest::prelude::*;

/// 192.0.2.1 asks 198.51.100.2, TTL 17.
#[rustfmt::skip]
const REQUEST: [u8; 33] = [
    0x45, 0, 0, 33, 0x12, 0x34, 0, 0, 17, 1, 0xab, 0x71, 192, 0, 2, 1, 198, 51, 100, 2,
    8, 0, 0xe5, 0xf9, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g', b'!',
];
#[rustfmt::skip]
const REPLY: [u8; 33] = [
    0x45, 0, 0, 33, 0x12, 0x34, 0, 0, 64, 1, 0x7c, 0x71, 198, 51, 100, 2, 192, 0, 2, 1,
    0, 0, 0xed, 0xf9, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g', b'!',
];

const ECHO: [u8; 8] = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
const UNREACHABLE: ErrorMessage = ErrorMessage::HostUnreachable;

#[test]
fn known_echo() {
    let message = IcmpMessage::new_checked(&REQUEST[20..]).unwrap();
    let echo = Echo { identifier: 0x1234, sequence: 1, data: b"ping!" };
    assert_eq!((message.echo_request(), message.echo_reply()), (Some(echo), None));
    assert_eq!((message.message_type(), message.code(), message.body()), (8, 0, &b"ping!"[..]));
    let message = IcmpMessage::new_checked(&REPLY[20..]).unwrap();
    assert_eq!((message.echo_request(), message.echo_reply()), (None, Some(echo)));
    let error = |bytes: &[u8]| IcmpMessage::new_checked(bytes).unwrap_err();
    assert_eq!(error(&REQUEST[20..27]), IcmpError::Truncated);
    assert_eq!(error(&REQUEST[20..32]), IcmpError::Checksum);
}

#[test]
fn echo_is_answered_in_place() {
    let mut padded = REQUEST.to_vec();
    padded.extend([0xee; 15]);
    assert_eq!(echo_reply_in_place(&mut padded), Some(33));
    assert_eq!(padded[..33], REPLY);
    assert_eq!(padded[33..], [0xee; 15]);
    // A reply is not answered.
    assert_eq!(echo_reply_in_place(&mut padded), None);
}

#[test]
fn options_and_congestion_marks_do_not_come_back() {
    let mut packet = test_packets::icmp_v4(V4[0], V4[1], &ECHO);
    // Record route, 1 address.
    packet.splice(20..20, [7, 7, 4, 1, 2, 3, 4, 0]);
    (packet[0], packet[1], packet[3]) = (0x47, 0xb8 | 3, 36);
    packet[10..12].fill(0);
    let sum = Sum::new().bytes(&packet[..28]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(echo_reply_in_place(&mut packet), Some(36));
    let reply = Ipv4Packet::new_checked(&packet).unwrap();
    assert!(reply.verify_checksum());
    assert_eq!((reply.header_len(), reply.tos(), &packet[20..28]), (28, 0xb8, &[0; 8][..]));
    assert!(IcmpMessage::new_checked(reply.payload()).unwrap().echo_reply().is_some());
}

#[test]
fn what_is_no_echo_request_for_one_host_stays_as_it_is() {
    let ip = |a: [u8; 4]| Ipv4Addr::from(a);
    let mut bad = vec![
        test_packets::udp_v4(V4[0], V4[1], 0, b"x"),
        test_packets::icmp_v4(V4[0], V4[1], &[0, 0, 0, 0, 1, 2, 3, 4]),
        test_packets::icmp_v4(V4[0], V4[1], &[8, 1, 0, 0, 1, 2, 3, 4]),
        test_packets::icmp_v4(ip([224, 0, 0, 1]), V4[1], &ECHO),
        test_packets::icmp_v4(ip([0, 0, 0, 0]), V4[1], &ECHO),
        test_packets::icmp_v4(ip([255; 4]), V4[1], &ECHO),
        test_packets::icmp_v4(V4[0], ip([224, 0, 0, 1]), &ECHO),
        test_packets::icmp_v4(V4[0], ip([255; 4]), &ECHO),
        REQUEST[..32].to_vec(),
        vec![],
    ];
    // Wrong checksums of IP and ICMP, and a fragment with a right one.
    for (at, value) in [(11, 0), (23, 0), (32, 0)] {
        let mut packet = REQUEST;
        packet[at] = value;
        bad.push(packet.to_vec());
    }
    let mut fragment = REQUEST;
    fragment[6] = 0x20;
    fragment[10] -= 0x20;
    assert!(Ipv4Packet::new_checked(&fragment).unwrap().verify_checksum());
    bad.push(fragment.to_vec());
    for mut packet in bad {
        let before = packet.clone();
        assert_eq!(echo_reply_in_place(&mut packet), None, "{before:x?}");
        assert_eq!(packet, before);
    }
}

/// The error about `original`, checked in everything that all errors share: (type, code, rest, quoted).
fn error(original: &[u8], kind: ErrorMessage) -> Option<(u8, u8, [u8; 4], Vec<u8>)> {
    let mut out = [0xa5; 1500];
    let len = build_error_v4(original, V4[1], kind, &mut out)?;
    let packet = Ipv4Packet::new_checked(&out[..len]).unwrap();
    assert_eq!((packet.total_len(), packet.header_len()), (len, 20));
    assert!(packet.verify_checksum() && !packet.is_fragment());
    assert_eq!((packet.source(), packet.destination()), (V4[1], V4[0]));
    assert_eq!((packet.ttl(), packet.protocol(), packet.tos()), (64, 1, 0xc0));
    let message = IcmpMessage::new_checked(packet.payload()).unwrap();
    assert!(len <= 576 && out[len..].iter().all(|byte| *byte == 0xa5));
    let rest = *packet.payload()[4..].first_chunk().unwrap();
    Some((message.message_type(), message.code(), rest, message.body().to_vec()))
}

#[test]
fn errors_carry_their_codes() {
    let original = test_packets::udp_v4(V4[0], V4[1], 0, b"0123456789");
    for (kind, message_type, code, rest) in [
        (ErrorMessage::NetUnreachable, 3, 0, [0; 4]),
        (ErrorMessage::HostUnreachable, 3, 1, [0; 4]),
        (ErrorMessage::ProtocolUnreachable, 3, 2, [0; 4]),
        (ErrorMessage::PortUnreachable, 3, 3, [0; 4]),
        (ErrorMessage::FragmentationNeeded { mtu: 1420 }, 3, 4, [0, 0, 0x05, 0x8c]),
        (ErrorMessage::NetProhibited, 3, 9, [0; 4]),
        (ErrorMessage::HostProhibited, 3, 10, [0; 4]),
        (ErrorMessage::AdminProhibited, 3, 13, [0; 4]),
        (ErrorMessage::TtlExceeded, 11, 0, [0; 4]),
        (ErrorMessage::ReassemblyTimeExceeded, 11, 1, [0; 4]),
    ] {
        assert_eq!(error(&original, kind), Some((message_type, code, rest, original.clone())));
    }
}

#[test]
fn errors_quote_up_to_576_bytes_and_no_padding() {
    for data_len in [0, 519, 520, 521, 1400] {
        let original = test_packets::udp_v4(V4[0], V4[1], 0, &vec![7; data_len]);
        let (.., quoted) = error(&original, UNREACHABLE).unwrap();
        assert_eq!(quoted, original[..original.len().min(548)]);
    }
    let mut padded = test_packets::udp_v4(V4[0], V4[1], 0, b"abc");
    padded.extend([0xee; 13]);
    assert_eq!(error(&padded, UNREACHABLE).unwrap().3, padded[..31]);
}

#[test]
fn errors_need_room() {
    let original = test_packets::udp_v4(V4[0], V4[1], 0, b"0123456789");
    let mut out = [0; 100];
    for len in 0..56 {
        assert_eq!(build_error_v4(&original, V4[1], UNREACHABLE, &mut out[..len]), None);
    }
    assert_eq!(build_error_v4(&original, V4[1], UNREACHABLE, &mut out[..56]), Some(56));
    assert_eq!(build_error_v4(&original, V4[1], UNREACHABLE, &mut out), Some(66));
}

/// RFC 1812 4.3.2.7.
#[test]
fn errors_never_answer_what_they_may_not() {
    for message_type in 0..=255 {
        let original = test_packets::icmp_v4(V4[0], V4[1], &[message_type, 0, 0, 0, 0, 0, 0, 0]);
        let harmless = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18].contains(&message_type);
        assert_eq!(error(&original, UNREACHABLE).is_some(), harmless, "type {message_type}");
    }
    let no_type = test_packets::v4(V4[0], V4[1], 0, protocol::ICMP, &[]);
    assert_eq!(error(&no_type, UNREACHABLE), None);
    // An error in answer to an error, as it really comes.
    let mut first = [0; 576];
    let original = test_packets::udp_v4(V4[1], V4[0], 0, b"0123456789");
    let len = build_error_v4(&original, V4[0], UNREACHABLE, &mut first).unwrap();
    assert_eq!(error(&first[..len], UNREACHABLE), None);

    let mut out = [0; 576];
    for address in
        [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 5], [239, 1, 1, 1], [240, 0, 0, 1], [255; 4]]
    {
        let address = Ipv4Addr::from(address);
        let from = test_packets::udp_v4(address, V4[1], 0, b"x");
        assert_eq!(build_error_v4(&from, V4[1], UNREACHABLE, &mut out), None, "{address}");
        let to = test_packets::udp_v4(V4[0], address, 0, b"x");
        assert_eq!(build_error_v4(&to, V4[1], UNREACHABLE, &mut out), None, "{address}");
    }

    let mut fragment = test_packets::udp_v4(V4[0], V4[1], 0, &[0; 64]);
    fragment[6] = 0x20;
    assert!(error(&fragment, UNREACHABLE).is_some(), "the first fragment may be answered");
    fragment[7] = 1;
    assert_eq!(error(&fragment, UNREACHABLE), None);
    assert_eq!(error(&fragment[..19], UNREACHABLE), None);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        valid_head: bool,
        mut bytes in prop::collection::vec(any::<u8>(), 0..100),
        room in 0..700_usize,
    ) {
        if let (true, Some(head)) = (valid_head, bytes.first_chunk_mut::<16>()) {
            *head = [0x45, 0, 0, 60, 0, 0, 0, 0, 9, 1, 0, 0, 192, 0, 2, 1];
        }
        let mut out = vec![0; room];
        if let Some(len) = build_error_v4(&bytes, V4[1], ErrorMessage::TtlExceeded, &mut out) {
            let packet = Ipv4Packet::new_checked(&out[..len]).unwrap();
            prop_assert!(packet.verify_checksum());
            prop_assert!(IcmpMessage::new_checked(packet.payload()).is_ok());
        }
        let before = bytes.clone();
        if echo_reply_in_place(&mut bytes).is_none() {
            prop_assert_eq!(bytes, before);
        }
    }

    #[test]
    fn every_echo_comes_back_whole(id: u16, sequence: u16, data in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut message = ECHO.to_vec();
        message[4..6].copy_from_slice(&id.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message.extend(&data);
        let mut packet = test_packets::icmp_v4(V4[0], V4[1], &message);
        prop_assert_eq!(echo_reply_in_place(&mut packet), Some(packet.len()));
        let reply = Ipv4Packet::new_checked(&packet).unwrap();
        prop_assert!(reply.verify_checksum());
        prop_assert_eq!((reply.source(), reply.destination(), reply.ttl()), (V4[1], V4[0], 64));
        let echo = IcmpMessage::new_checked(reply.payload()).unwrap().echo_reply();
        prop_assert_eq!(echo, Some(Echo { identifier: id, sequence, data: &data }));
    }
}
