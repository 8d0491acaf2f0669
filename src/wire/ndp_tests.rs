use super::*;
use crate::wire::test_packets;
use proptest::prelude::*;

const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const TARGET: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const ASKER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const TARGET_MAC_ADDR: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// Who has fe80::2? Tell fe80::1 at 02:00:00:00:00:01.
#[rustfmt::skip]
const SOLICITATION_PACKET: [u8; LEN] = [
    0x60, 0, 0, 0, 0, 32, 58, 255,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 2,
    135, 0, 0x7a, 0x97, 0, 0, 0, 0,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    1, 1, 2, 0, 0, 0, 0, 1,
];
/// fe80::2 is at 02:00:00:00:00:02: solicited, override.
#[rustfmt::skip]
const ADVERTISEMENT_PACKET: [u8; LEN] = [
    0x60, 0, 0, 0, 0, 32, 58, 255,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    136, 0, 0x18, 0x1a, 0x60, 0, 0, 0,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    2, 1, 2, 0, 0, 0, 0, 2,
];

fn parse(packet: &[u8]) -> Result<Ndp, NdpError> {
    Ndp::new_checked(&Ipv6Packet::new_checked(packet).unwrap())
}

fn solicitation(packet: &[u8]) -> Solicitation {
    match parse(packet) {
        Ok(Ndp::Solicitation(solicitation)) => solicitation,
        other => panic!("a solicitation, not {other:?}"),
    }
}

#[test]
fn known_exchange() {
    let asked = solicitation(&SOLICITATION_PACKET);
    assert_eq!(asked, Solicitation::multicast(ASKER, ASKER_MAC, TARGET));
    assert!(!asked.is_duplicate_detection());
    let mut out = [0xa5; LEN];
    assert_eq!(asked.write(&mut out), LEN);
    assert_eq!(out, SOLICITATION_PACKET);

    let answer = asked.reply(TARGET_MAC_ADDR, false, true);
    assert_eq!(answer.write(&mut out), LEN);
    assert_eq!(out, ADVERTISEMENT_PACKET);
    assert_eq!(parse(&ADVERTISEMENT_PACKET), Ok(Ndp::Advertisement(answer)));
    assert!(answer.is_solicited && answer.is_override && !answer.is_router);
}

#[test]
fn unicast_probe_goes_to_the_target() {
    let probe = Solicitation::unicast(ASKER, ASKER_MAC, TARGET);
    assert_eq!((probe.destination, probe.target), (TARGET, TARGET));
    let mut out = [0xa5; LEN];
    assert_eq!(probe.write(&mut out), LEN);
    assert_eq!(parse(&out), Ok(Ndp::Solicitation(probe)));
}

#[test]
fn duplicate_detection() {
    let probe = Solicitation {
        source: Ipv6Addr::UNSPECIFIED,
        source_mac: None,
        ..Solicitation::multicast(ASKER, ASKER_MAC, TARGET)
    };
    let mut out = [0xa5; LEN];
    assert_eq!(probe.write(&mut out), 64);
    let read = solicitation(&out[..64]);
    assert_eq!(read, probe);
    assert!(read.is_duplicate_detection());
    // The answer goes to all nodes and is not solicited (RFC 4861 7.2.4).
    let answer = read.reply(TARGET_MAC_ADDR, true, true);
    assert_eq!((answer.destination, answer.is_solicited), (ALL_NODES, false));
    assert_eq!(answer.write(&mut out), LEN);
    assert_eq!(parse(&out), Ok(Ndp::Advertisement(answer)));

    let bad = Solicitation { source_mac: Some(ASKER_MAC), ..probe };
    assert_eq!(bad.write(&mut out), LEN);
    assert_eq!(parse(&out), Err(NdpError::Source));
    let bad = Solicitation { destination: TARGET, ..probe };
    assert_eq!(bad.write(&mut out), 64);
    assert_eq!(parse(&out[..64]), Err(NdpError::Source));
}

#[test]
fn groups_of_a_target() {
    // RFC 4291 2.7.1.
    let address = "4037::01:800:200e:8c6c".parse().unwrap();
    assert_eq!(solicited_node(address).to_string(), "ff02::1:ff0e:8c6c");
    assert_eq!(solicited_node_mac(address).to_string(), "33:33:ff:0e:8c:6c");
    assert_eq!(solicited_node(solicited_node(address)), solicited_node(address));
    assert_ne!(solicited_node(ALL_NODES), ALL_NODES);
}

/// `message` from the asker to `destination`, with a right checksum and the hop limit that is wanted.
fn packet(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let mut packet = test_packets::icmp_v6(source, destination, message);
    packet[7] = 255;
    packet
}

fn with_options(message_type: u8, options: &[u8]) -> Result<Ndp, NdpError> {
    let head = [message_type, 0, 0, 0, 0, 0, 0, 0];
    parse(&packet(ASKER, TARGET, &[&head, &TARGET.octets()[..], options].concat()))
}

/// RFC 4861 7.1.1 and 7.1.2, check by check.
#[test]
fn faults_are_named() {
    let changed = |message: &[u8], at: usize, value: u8| {
        let mut message = message.to_vec();
        message[at] = value;
        parse(&packet(ASKER, TARGET, &message))
    };
    for bytes in [&SOLICITATION_PACKET, &ADVERTISEMENT_PACKET] {
        let message = &bytes[40..];
        assert!(parse(&packet(ASKER, TARGET, message)).is_ok());
        assert_eq!(changed(message, 1, 1), Err(NdpError::Code));
        assert_eq!(changed(message, 8, 0xff), Err(NdpError::Target));
        assert_eq!(changed(message, 25, 0), Err(NdpError::Option));
        assert_eq!(changed(message, 25, 2), Err(NdpError::Option));
        assert_eq!(changed(message, 26, 3), Err(NdpError::Mac));
        assert_eq!(changed(message, 0, 133), Err(NdpError::Type(133)));
        assert_eq!(parse(&packet(ASKER, TARGET, &message[..23])), Err(NdpError::Truncated));
        assert_eq!(parse(&packet(ALL_NODES, TARGET, message)), Err(NdpError::Source));

        let mut bytes = *bytes;
        bytes[7] = 254;
        assert_eq!(parse(&bytes), Err(NdpError::HopLimit));
        bytes[7] = 255;
        bytes[71] ^= 1;
        assert_eq!(parse(&bytes), Err(NdpError::Icmpv6(Icmpv6Error::Checksum)));
    }
    let advertisement = &ADVERTISEMENT_PACKET[40..];
    assert_eq!(parse(&packet(TARGET, ALL_NODES, advertisement)), Err(NdpError::Solicited));
    let unspecified = packet(Ipv6Addr::UNSPECIFIED, ASKER, advertisement);
    assert_eq!(parse(&unspecified), Err(NdpError::Source));
}

#[test]
fn fragments_are_refused() {
    // RFC 6980 5: even an atomic one.
    let message = &SOLICITATION_PACKET[40..];
    let payload = [&[58, 0, 0, 0, 0, 0, 0, 9], message].concat();
    let destination = solicited_node(TARGET);
    let mut packet = test_packets::v6(ASKER, destination, 0, protocol::FRAGMENT, &payload);
    packet[7] = 255;
    assert_eq!(parse(&packet), Err(NdpError::Fragmented));
}

#[test]
fn options() {
    let mac = |result: Result<Ndp, NdpError>| match result {
        Ok(Ndp::Solicitation(s)) => s.source_mac,
        Ok(Ndp::Advertisement(a)) => a.target_mac,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(mac(with_options(135, &[])), None);
    // A nonce (RFC 7527) of 16 bytes is skipped; the other kind of address is not ours.
    let nonce = [14, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let source_option = [1, 1, 2, 0, 0, 0, 0, 1];
    let both = [&nonce[..], &source_option].concat();
    assert_eq!(mac(with_options(135, &both)), Some(ASKER_MAC));
    assert_eq!(mac(with_options(136, &both)), None);
    // Cut off, behind a good one; a lone byte; a zero length behind a good one.
    assert_eq!(with_options(135, &both[..23]), Err(NdpError::Option));
    assert_eq!(with_options(135, &[14]), Err(NdpError::Option));
    let zero = [&source_option[..], &[14, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(with_options(135, &zero), Err(NdpError::Option));
    // A MAC address option longer than Ethernet's.
    let long = [1, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(with_options(135, &long), Err(NdpError::Option));
}

proptest! {
    #[test]
    fn any_message_never_panics(
        message_type in 134..138_u8,
        mut message in prop::collection::vec(any::<u8>(), 8..80),
        units in prop::option::of(0..4_u8),
        source: [u8; 16],
    ) {
        (message[0], message[1]) = (message_type, 0);
        if let (Some(units), Some(len)) = (units, message.get_mut(25)) {
            *len = units;
        }
        let _ = parse(&packet(source.into(), TARGET, &message));
    }

    #[test]
    fn solicitations_round_trip(source: [u8; 16], target: [u8; 16], mac: [u8; 6], to_group: bool) {
        let (source, target, mac) = (Ipv6Addr::from(source), Ipv6Addr::from(target), MacAddr(mac));
        prop_assume!(!source.is_multicast() && !source.is_unspecified());
        prop_assume!(!target.is_multicast() && mac.is_unicast());
        let asked = if to_group {
            Solicitation::multicast(source, mac, target)
        } else {
            Solicitation::unicast(source, mac, target)
        };
        let mut out = [0xa5; LEN];
        prop_assert_eq!(asked.write(&mut out), LEN);
        prop_assert_eq!(parse(&out), Ok(Ndp::Solicitation(asked)));
        let answer = asked.reply(mac, to_group, !to_group);
        prop_assume!(!target.is_unspecified());
        prop_assert_eq!(answer.write(&mut out), LEN);
        prop_assert_eq!(parse(&out), Ok(Ndp::Advertisement(answer)));
    }
}
