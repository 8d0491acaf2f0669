use super::*;
use crate::wire::test_packets::{self, V6};
use proptest::prelude::*;

const REQUEST: [u8; 13] = [128, 0, 0x12, 0x3a, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g', b'!'];
const REPLY: [u8; 13] = [129, 0, 0x11, 0x3a, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g', b'!'];
const UNREACHABLE: ErrorMessage = ErrorMessage::AddressUnreachable;
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn parse(packet: &[u8]) -> Result<Icmpv6Message<'_>, Icmpv6Error> {
    Icmpv6Message::new_checked(&Ipv6Packet::new_checked(packet).unwrap())
}

#[test]
fn known_echo_is_answered_in_place() {
    let mut packet = test_packets::v6(V6[0], V6[1], 0xbb, protocol::ICMPV6, &REQUEST);
    let echo = Echo { identifier: 0x1234, sequence: 1, data: b"ping!" };
    let message = parse(&packet).unwrap();
    assert_eq!((message.echo_request(), message.echo_reply()), (Some(echo), None));
    assert_eq!((message.message_type(), message.code()), (128, 0));
    packet.extend([0xee; 11]);
    assert_eq!(echo_reply_in_place(&mut packet), Some(53));
    assert_eq!(packet[40..53], REPLY);
    assert_eq!(packet[53..], [0xee; 11]);
    let reply = Ipv6Packet::new_checked(&packet).unwrap();
    assert_eq!((reply.source(), reply.destination(), reply.hop_limit()), (V6[1], V6[0], 64));
    assert_eq!((reply.traffic_class(), reply.flow_label()), (0xb8, 0x000f_edcb));
    assert_eq!(parse(&packet).unwrap().echo_reply(), Some(echo));
    assert_eq!(echo_reply_in_place(&mut packet), None);
}

#[test]
fn message_behind_extension_headers() {
    let options = [protocol::ICMPV6, 0, 1, 4, 0, 0, 0, 0];
    let payload = [&options[..], &REQUEST].concat();
    let packet = test_packets::v6(V6[0], V6[1], 0, protocol::HOP_BY_HOP, &payload);
    assert!(parse(&packet).unwrap().echo_request().is_some());
    // But such a request is not answered in place.
    assert_eq!(echo_reply_in_place(&mut packet.clone()), None);

    let mut fragment = payload;
    fragment[2..4].copy_from_slice(&[0, 1]);
    let first = test_packets::v6(V6[0], V6[1], 0, protocol::FRAGMENT, &fragment);
    assert_eq!(parse(&first).unwrap_err(), Icmpv6Error::NotIcmpv6);
    fragment[3] = 0;
    let atomic = test_packets::v6(V6[0], V6[1], 0, protocol::FRAGMENT, &fragment);
    assert!(parse(&atomic).is_ok());
}

#[test]
fn faults_are_named() {
    let packet = |next_header, payload: &[u8]| test_packets::v6(V6[0], V6[1], 0, next_header, payload);
    let error = |next_header, payload: &[u8]| parse(&packet(next_header, payload)).unwrap_err();
    assert_eq!(error(protocol::UDP, &REQUEST), Icmpv6Error::NotIcmpv6);
    assert_eq!(error(protocol::HOP_BY_HOP, &[58, 9]), Icmpv6Error::NotIcmpv6);
    assert_eq!(error(protocol::ICMPV6, &REQUEST[..7]), Icmpv6Error::Truncated);
    assert_eq!(error(protocol::ICMPV6, &REQUEST[..12]), Icmpv6Error::Checksum);
}

#[test]
fn what_is_no_echo_request_for_one_host_stays_as_it_is() {
    let mut bad = vec![
        test_packets::udp_v6(V6[0], V6[1], 0, b"x"),
        test_packets::icmp_v6(V6[0], V6[1], &[128, 1, 0, 0, 1, 2, 3, 4]),
        test_packets::icmp_v6(GROUP, V6[1], &REQUEST),
        test_packets::icmp_v6(Ipv6Addr::UNSPECIFIED, V6[1], &REQUEST),
        test_packets::icmp_v6(V6[0], GROUP, &REQUEST),
        vec![],
    ];
    let good = test_packets::v6(V6[0], V6[1], 0, protocol::ICMPV6, &REQUEST);
    for at in [24, 42, 52] {
        bad.push(good.clone());
        bad.last_mut().unwrap()[at] ^= 0x10;
    }
    for mut packet in bad {
        let before = packet.clone();
        assert_eq!(echo_reply_in_place(&mut packet), None, "{before:x?}");
        assert_eq!(packet, before);
    }
}

/// The error about `original`, checked in everything that all errors share: (type, code, rest, quoted).
fn error(original: &[u8], kind: ErrorMessage) -> Option<(u8, u8, [u8; 4], Vec<u8>)> {
    let mut out = [0xa5; 1500];
    let len = build_error_v6(original, V6[1], kind, &mut out)?;
    let packet = Ipv6Packet::new_checked(&out[..len]).unwrap();
    assert_eq!((packet.total_len(), packet.hop_limit()), (len, 64));
    assert_eq!((packet.source(), packet.destination()), (V6[1], V6[0]));
    let message = Icmpv6Message::new_checked(&packet).unwrap();
    assert!(len <= 1280 && out[len..].iter().all(|byte| *byte == 0xa5));
    Some((message.message_type(), message.code(), *message.rest(), message.body().to_vec()))
}

#[test]
fn errors_carry_their_codes() {
    let original = test_packets::udp_v6(V6[0], V6[1], 0, b"0123456789");
    for (kind, message_type, code, rest) in [
        (ErrorMessage::NoRoute, 1, 0, [0; 4]),
        (ErrorMessage::AdminProhibited, 1, 1, [0; 4]),
        (ErrorMessage::AddressUnreachable, 1, 3, [0; 4]),
        (ErrorMessage::PortUnreachable, 1, 4, [0; 4]),
        (ErrorMessage::SourcePolicy, 1, 5, [0; 4]),
        (ErrorMessage::PacketTooBig { mtu: 1420 }, 2, 0, [0, 0, 0x05, 0x8c]),
        (ErrorMessage::HopLimitExceeded, 3, 0, [0; 4]),
        (ErrorMessage::ReassemblyTimeExceeded, 3, 1, [0; 4]),
    ] {
        assert_eq!(error(&original, kind), Some((message_type, code, rest, original.clone())));
    }
}

#[test]
fn errors_quote_up_to_1280_bytes_and_no_padding() {
    for data_len in [0, 1183, 1184, 1185, 1400] {
        let original = test_packets::udp_v6(V6[0], V6[1], 0, &vec![7; data_len]);
        let (.., quoted) = error(&original, UNREACHABLE).unwrap();
        assert_eq!(quoted, original[..original.len().min(1232)]);
    }
    let mut padded = test_packets::udp_v6(V6[0], V6[1], 0, b"abc");
    padded.extend([0xee; 13]);
    assert_eq!(error(&padded, UNREACHABLE).unwrap().3, padded[..51]);
}

#[test]
fn errors_need_room() {
    let original = test_packets::udp_v6(V6[0], V6[1], 0, b"0123456789");
    let mut out = [0; 200];
    for len in 0..96 {
        assert_eq!(build_error_v6(&original, V6[1], UNREACHABLE, &mut out[..len]), None);
    }
    assert_eq!(build_error_v6(&original, V6[1], UNREACHABLE, &mut out[..96]), Some(96));
    assert_eq!(build_error_v6(&original, V6[1], UNREACHABLE, &mut out), Some(106));
}

/// RFC 4443 2.4 e.
#[test]
fn errors_never_answer_what_they_may_not() {
    for message_type in 0..=255 {
        let message = [message_type, 0, 0, 0, 0, 0, 0, 0];
        let original = test_packets::icmp_v6(V6[0], V6[1], &message);
        let harmless = message_type >= 128 && message_type != 137;
        assert_eq!(error(&original, UNREACHABLE).is_some(), harmless, "type {message_type}");
        // Nor does an extension header hide it.
        let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &message].concat();
        let hidden = test_packets::v6(V6[0], V6[1], 0, protocol::DESTINATION_OPTIONS, &hidden);
        assert_eq!(error(&hidden, UNREACHABLE).is_some(), harmless, "type {message_type}");
    }
    let cut = test_packets::v6(V6[0], V6[1], 0, protocol::DESTINATION_OPTIONS, &[58, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(error(&cut, UNREACHABLE), None);

    let mut out = [0; 1280];
    for source in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, GROUP] {
        let original = test_packets::udp_v6(source, V6[1], 0, b"x");
        assert_eq!(build_error_v6(&original, V6[1], UNREACHABLE, &mut out), None);
    }
    let to_group = test_packets::udp_v6(V6[0], GROUP, 0, b"x");
    assert_eq!(error(&to_group, UNREACHABLE), None);
    assert!(error(&to_group, ErrorMessage::PacketTooBig { mtu: 1280 }).is_some());

    let fragment = |offset: u8| {
        let payload = [&[protocol::UDP, 0, 0, offset | 1, 0, 0, 0, 0][..], &[0; 64]].concat();
        test_packets::v6(V6[0], V6[1], 0, protocol::FRAGMENT, &payload)
    };
    assert!(error(&fragment(0), UNREACHABLE).is_some());
    assert_eq!(error(&fragment(8), UNREACHABLE), None);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        next in prop::option::of(prop::sample::select(vec![0_u8, 17, 43, 44, 58, 60])),
        mut bytes in prop::collection::vec(any::<u8>(), 0..150),
        room in 0..1400_usize,
    ) {
        let payload_len = u8::try_from(bytes.len().saturating_sub(40)).unwrap();
        if let (Some(next), Some(head)) = (next, bytes.first_chunk_mut::<10>()) {
            *head = [0x60, 0, 0, 0, 0, payload_len, next, 9, 0x20, 0x01];
        }
        let mut out = vec![0; room];
        if let Some(len) = build_error_v6(&bytes, V6[1], ErrorMessage::HopLimitExceeded, &mut out) {
            prop_assert!(parse(&out[..len]).is_ok());
        }
        if let Ok(packet) = Ipv6Packet::new_checked(&bytes) {
            let _ = Icmpv6Message::new_checked(&packet);
        }
        let before = bytes.clone();
        if echo_reply_in_place(&mut bytes).is_none() {
            prop_assert_eq!(bytes, before);
        }
    }

    #[test]
    fn every_echo_comes_back_whole(id: u16, sequence: u16, data in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut message = REQUEST[..8].to_vec();
        message[2..4].fill(0);
        message[4..6].copy_from_slice(&id.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message.extend(&data);
        let mut packet = test_packets::icmp_v6(V6[0], V6[1], &message);
        prop_assert_eq!(echo_reply_in_place(&mut packet), Some(packet.len()));
        let echo = parse(&packet).unwrap().echo_reply();
        prop_assert_eq!(echo, Some(Echo { identifier: id, sequence, data: &data }));
    }
}
