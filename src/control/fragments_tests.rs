use super::*;
use proptest::prelude::*;

/// A frame of a fragment of 32 bytes: IPv4 or IPv6, at this place.
fn frame(is_ipv6: bool, place: u16) -> Vec<u8> {
    let mut frame = vec![0; 14];
    if is_ipv6 {
        frame[12..14].copy_from_slice(&EtherType::IPV6.0.to_be_bytes());
        frame.extend([0x60, 0, 0, 0, 0, 40, protocol::FRAGMENT, 64]);
        frame.extend([0x20; 32]);
        frame.extend([protocol::UDP, 0]);
        frame.extend(place.to_be_bytes());
        frame.extend([0, 0, 0, 9]);
    } else {
        frame[12..14].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        frame.extend([0x45, 0, 0, 52, 0, 9]);
        frame.extend(place.to_be_bytes());
        frame.extend([64, protocol::UDP, 0, 0, 192, 0, 2, 7, 192, 0, 2, 1]);
    }
    frame.extend([0x77; 32 + 6]);
    frame
}

#[test]
fn places_as_the_headers_say() {
    for (is_ipv6, place, header_len) in [(false, 0x2000 | 4, 20), (true, 4 << 3 | 1, 48)] {
        let (fragment, end) = read(&frame(is_ipv6, place)).unwrap();
        assert_eq!((fragment.is_ipv6, fragment.header_len, fragment.identification), (is_ipv6, header_len, 9));
        assert_eq!((fragment.offset, fragment.len, fragment.more), (32, 32, true));
        assert_eq!(end, 14 + header_len + 32, "the link's padding is not the packet's");
    }
}

#[test]
fn no_other_begins_within_the_headers_of_the_first() {
    for is_ipv6 in [false, true] {
        for offset in 0..=4_u16 {
            let place = if is_ipv6 { offset << 3 | 1 } else { 0x2000 | offset };
            let expected = if matches!(offset, 1 | 2) { Some(DropReason::FragmentTiny) } else { None };
            assert_eq!(read(&frame(is_ipv6, place)).err(), expected, "{is_ipv6} {offset}");
        }
    }
}

proptest! {
    /// Whatever a frame holds, a place that is read out of it lies within it.
    #[test]
    fn any_bytes(is_ipv6: bool, place: u16, changes in prop::collection::vec((0..90_usize, any::<u8>()), 0..4), cut in 0..120_usize) {
        let mut frame = frame(is_ipv6, place);
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        if let Ok((fragment, end)) = read(&frame) {
            prop_assert!(end <= frame.len());
            prop_assert!(fragment.header_len + fragment.len + ethernet::HEADER_LEN <= end);
            prop_assert!(fragment.header_len + fragment.offset + fragment.len <= LONGEST);
            prop_assert!(fragment.len > 0 && (fragment.offset == 0 || fragment.offset >= LEAST_FIRST));
            prop_assert!(!fragment.more || fragment.len.is_multiple_of(UNIT));
        }
    }
}
