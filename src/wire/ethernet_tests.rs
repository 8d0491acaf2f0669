use super::*;
use proptest::prelude::*;

const A: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x0a]);
const B: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x0b]);

#[test]
fn known_frames() {
    let plain = [2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x08, 0x00, 0x45];
    let frame = EthernetFrame::new_checked(&plain).unwrap();
    assert_eq!((frame.destination(), frame.source()), (B, A));
    assert_eq!((frame.ether_type(), frame.vlan_id()), (EtherType::IPV4, 0));
    assert_eq!((frame.header_len(), frame.payload()), (14, &[0x45][..]));

    // Priority 5, VLAN 100.
    let tagged = [2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x81, 0x00, 0xa0, 0x64, 0x86, 0xdd, 0x60];
    let frame = EthernetFrame::new_checked(&tagged).unwrap();
    assert_eq!((frame.ether_type(), frame.vlan_id()), (EtherType::IPV6, 100));
    assert_eq!((frame.header_len(), frame.payload()), (18, &[0x60][..]));
}

#[test]
fn second_tag_is_left_as_ether_type() {
    let mut bytes = [0; 22];
    bytes[12..].copy_from_slice(&[0x81, 0, 0, 1, 0x81, 0, 0, 2, 8, 0]);
    let frame = EthernetFrame::new_checked(&bytes).unwrap();
    assert_eq!((frame.vlan_id(), frame.ether_type()), (1, EtherType::VLAN));
}

#[test]
fn runts_are_refused() {
    let mut bytes = [0; 18];
    for len in 0..HEADER_LEN {
        assert!(EthernetFrame::new_checked(&bytes[..len]).is_err());
    }
    assert!(EthernetFrame::new_checked(&bytes[..14]).is_ok());
    bytes[12] = 0x81;
    for len in 14..18 {
        assert!(EthernetFrame::new_checked(&bytes[..len]).is_err());
    }
    assert!(EthernetFrame::new_checked(&bytes).is_ok());
}

#[test]
fn mac_kinds() {
    assert!(MacAddr::BROADCAST.is_multicast() && MacAddr::BROADCAST.is_broadcast());
    assert!(!MacAddr::ZERO.is_unicast() && !MacAddr::BROADCAST.is_unicast() && A.is_unicast());
    // RFC 1112 6.4 drops the top bit of the second octet.
    let v4 = MacAddr::of_ipv4_multicast("239.129.2.3".parse().unwrap());
    assert_eq!(v4.to_string(), "01:00:5e:01:02:03");
    let v6 = MacAddr::of_ipv6_multicast("ff02::1:ff28:9c5a".parse().unwrap());
    assert_eq!(v6.to_string(), "33:33:ff:28:9c:5a");
}

#[test]
fn mac_text() {
    assert_eq!("02:00:00:00:00:0a".parse(), Ok(A));
    assert_eq!("02-00-00-00-00-0A".parse(), Ok(A));
    for bad in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:0a:00",
        "02:00:00:00:00:+a",
        "2:0:0:0:0:a",
        "02-00:00:00:00:0a",
        "02:00:00:00:00:0g",
        "02:00:00:00:00:é",
    ] {
        assert_eq!(bad.parse::<MacAddr>(), Err(MacAddrError), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(frame) = EthernetFrame::new_checked(&bytes) {
            prop_assert_eq!(frame.header_len() + frame.payload().len(), bytes.len());
            prop_assert!(frame.vlan_id() < 4096);
        }
    }

    #[test]
    fn any_text_never_panics(text in ".{0,20}") {
        let _ = text.parse::<MacAddr>();
    }

    #[test]
    fn mac_text_round_trips(octets: [u8; 6]) {
        prop_assert_eq!(MacAddr(octets).to_string().parse(), Ok(MacAddr(octets)));
    }

    #[test]
    fn headers_round_trip(d: [u8; 6], s: [u8; 6], vlan in 0..4096_u16, ether_type: u16) {
        prop_assume!(ether_type != EtherType::VLAN.0);
        let (d, s, ether_type) = (MacAddr(d), MacAddr(s), EtherType(ether_type));
        let mut plain = [0xa5; HEADER_LEN];
        write_header(&mut plain, d, s, ether_type);
        let frame = EthernetFrame::new_checked(&plain).unwrap();
        prop_assert_eq!((frame.destination(), frame.source(), frame.ether_type()), (d, s, ether_type));

        let mut tagged = [0xa5; TAGGED_HEADER_LEN];
        write_tagged_header(&mut tagged, d, s, vlan, ether_type);
        let frame = EthernetFrame::new_checked(&tagged).unwrap();
        prop_assert_eq!((frame.destination(), frame.source(), frame.ether_type()), (d, s, ether_type));
        prop_assert_eq!((frame.vlan_id(), frame.header_len()), (vlan, 18));
    }
}
