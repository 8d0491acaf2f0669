use super::*;
use crate::wire::checksum::Sum;
use crate::wire::test_packets::{self, V4, V6};
use proptest::prelude::*;

const ACK: u8 = 0x10;

/// A TCP segment with this first byte of flags and these options (padded by zeroes), whose checksum is right between the families'
/// test addresses; in an IP packet.
fn packet(is_v6: bool, flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let mut segment = vec![0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0, flags, 0xff, 0xff, 0, 0, 0, 0];
    segment[12] = u8::try_from(5 + options.len() / 4).unwrap() << 4;
    segment.extend(options);
    segment.extend(data);
    let sum = sum(is_v6, &segment).checksum();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    if is_v6 {
        test_packets::v6(V6[0], V6[1], 0, protocol::TCP, &segment)
    } else {
        test_packets::v4(V4[0], V4[1], 0, protocol::TCP, &segment)
    }
}

fn sum(is_v6: bool, segment: &[u8]) -> Sum {
    let len = u16::try_from(segment.len()).unwrap();
    let pseudo = if is_v6 {
        Sum::new().pseudo_v6(V6[0], V6[1], protocol::TCP, len.into())
    } else {
        Sum::new().pseudo_v4(V4[0], V4[1], protocol::TCP, len)
    };
    pseudo.bytes(segment)
}

fn segment_of(packet: &[u8]) -> &[u8] {
    &packet[if packet[0] >> 4 == 6 { 40 } else { 20 }..]
}

fn is_intact(packet: &[u8]) -> bool {
    sum(packet[0] >> 4 == 6, segment_of(packet)).is_valid()
}

fn mss(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    [MSS, 4, high, low]
}

/// What a Linux host sends: MSS, SACK permitted, timestamps, no-operation, window scale.
fn linux(value: u16) -> Vec<u8> {
    [&mss(value)[..], &[4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7]].concat()
}

#[test]
fn a_syn_of_either_family_is_lowered() {
    for (is_v6, most) in [(false, 1380_u16), (true, 1360)] {
        for flags in [SYN, SYN | ACK] {
            let mut clamped = packet(is_v6, flags, &linux(1460), b"");
            assert!(clamp_mss(&mut clamped, 1420));
            assert!(is_intact(&clamped));
            assert_eq!(clamped, packet(is_v6, flags, &linux(most), b""));
        }
    }
}

#[test]
fn what_stays_as_it_is() {
    let fine = [
        // Already low enough; no option; no SYN; something behind the end; not TCP.
        packet(false, SYN, &linux(1380), b""),
        packet(false, SYN, &linux(536), b""),
        packet(false, SYN, &[], b""),
        packet(false, SYN, &[1, 1, 4, 2], b""),
        packet(false, ACK, &linux(1460), b""),
        packet(false, SYN, &[&[0][..], &mss(1460)].concat(), b""),
        packet(false, SYN, &[], &mss(1460)),
        test_packets::v4(V4[0], V4[1], 0, protocol::UDP, segment_of(&packet(false, SYN, &linux(1460), b""))),
        vec![],
        vec![0x45],
    ];
    for packet in fine {
        let mut after = packet.clone();
        assert!(!clamp_mss(&mut after, 1420));
        assert_eq!(after, packet);
    }
    // Not the first fragment: what looks like a SYN is data.
    let mut fragment = packet(false, SYN, &linux(1460), b"");
    fragment[7] = 1;
    assert!(!clamp_mss(&mut fragment, 1420));
    // The first one has the header.
    fragment[6..8].copy_from_slice(&[0x20, 0]);
    assert!(clamp_mss(&mut fragment, 1420));
}

#[test]
fn behind_ipv6_extension_headers() {
    let tcp = segment_of(&packet(true, SYN, &linux(1460), b"")).to_vec();
    let behind = [&[protocol::TCP, 0, 1, 4, 0, 0, 0, 0][..], &tcp].concat();
    let mut extended = test_packets::v6(V6[0], V6[1], 0, protocol::DESTINATION_OPTIONS, &behind);
    assert!(clamp_mss(&mut extended, 1420));
    assert_eq!(extended[48..], *segment_of(&packet(true, SYN, &linux(1360), b"")));
}

#[test]
fn an_option_at_an_odd_place() {
    let options = |value| [&[NO_OPERATION][..], &mss(value), &[NO_OPERATION; 3]].concat();
    let mut clamped = packet(false, SYN, &options(0xabcd), b"odd");
    assert!(clamp_mss(&mut clamped, 1420));
    assert_eq!(clamped, packet(false, SYN, &options(1380), b"odd"));
}

#[test]
fn options_that_lie_are_not_followed() {
    for options in [
        // The length is 0, 1, or reaches behind the header; an MSS of another length; one that is cut off.
        [&[8, 0][..], &mss(1460), &[0; 2]].concat(),
        [&[8, 1][..], &mss(1460), &[0; 2]].concat(),
        [&[8, 20][..], &mss(1460), &[0; 2]].concat(),
        vec![MSS, 3, 5, 180],
        vec![MSS, 6, 5, 180, 0, 0, 0, 0],
        vec![1, 1, MSS, 4],
        vec![1, 1, 1, MSS],
    ] {
        let before = packet(false, SYN, &options, &[0xff; 8]);
        let mut after = before.clone();
        assert!(!clamp_mss(&mut after, 1420));
        assert_eq!(after, before);
    }
    // A header that reaches behind the packet, or is shorter than itself.
    for words in [15, 4, 0] {
        let mut lying = packet(false, SYN, &linux(1460), b"");
        lying[32] = words << 4;
        let before = lying.clone();
        assert!(!clamp_mss(&mut lying, 1420));
        assert_eq!(lying, before);
    }
}

proptest! {
    /// The mended checksum is the one that is computed anew; nothing but the option's value and the checksum changed.
    #[test]
    fn mended_is_recomputed(
        is_v6: bool, flags in prop_oneof![Just(SYN), Just(SYN | ACK)], mtu in 60..9216_u16, value: u16,
        before in prop::collection::vec(prop_oneof![Just(vec![NO_OPERATION]), Just(vec![4, 2]), Just(vec![3, 3, 7])], 0..6),
        data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let with = |value| [before.concat(), mss(value).to_vec()].concat();
        let most = mtu - if is_v6 { 60 } else { 40 };
        let original = packet(is_v6, flags, &with(value), &data);
        let mut clamped = original.clone();
        prop_assert_eq!(clamp_mss(&mut clamped, mtu), value > most);
        prop_assert!(is_intact(&clamped));
        let mut expected = packet(is_v6, flags, &with(value.min(most)), &data);
        // 0 and 0xffff are one sum.
        let at = expected.len() - segment_of(&expected).len() + 16;
        if clamped[at..at + 2] == [0xff, 0xff] || clamped[at..at + 2] == [0, 0] {
            expected[at..at + 2].copy_from_slice(&clamped[at..at + 2]);
        }
        prop_assert_eq!(clamped, expected);
    }

    /// Any bytes: it never panics, never reads or writes outside, and what was intact stays intact.
    #[test]
    fn any_options(is_v6: bool, options in prop::collection::vec(any::<u8>(), 0..=40), data in prop::collection::vec(any::<u8>(), 0..20), mtu: u16) {
        let original = packet(is_v6, SYN, &options, &data);
        let mut after = original.clone();
        let changed = clamp_mss(&mut after, mtu);
        prop_assert_eq!(changed, after != original);
        prop_assert!(is_intact(&after));
        prop_assert_eq!(after.len(), original.len());
    }

    #[test]
    fn any_bytes_never_panic(first in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()], mut bytes in prop::collection::vec(any::<u8>(), 0..120), mtu: u16) {
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        clamp_mss(&mut bytes, mtu);
    }
}
