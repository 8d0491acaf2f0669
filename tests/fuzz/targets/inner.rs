//! What comes out of a tunnel: parsed, and changed as the data path changes it. The first byte is the outer TOS.

use culvert::wire::arp::ArpPacket;
use culvert::wire::icmp::IcmpMessage;
use culvert::wire::icmpv6::Icmpv6Message;
use culvert::wire::inner::IpVersion;
use culvert::wire::ndp::Ndp;
use culvert::wire::{
    Ecn, EthernetFrame, InnerError, InnerPacket, Ipv4Packet, Ipv6Packet, UdpDatagram, ecn, icmp, icmpv6, ipv4, ipv6,
    patch,
};

pub(crate) fn run(data: &[u8]) {
    let Some((tos, packet)) = data.split_first() else { return };
    match InnerPacket::parse(packet) {
        Ok(inner) => accepted(*tos, packet, &inner),
        Err(error) => assert_eq!(error == InnerError::Empty, packet.is_empty()),
    }
    any_bytes(*tos, packet);
}

fn accepted(tos: u8, packet: &[u8], inner: &InnerPacket) {
    let at = |at: usize| usize::from(packet[at]) << 8 | usize::from(packet[at + 1]);
    let (source, len) = match inner.version {
        IpVersion::V4 => (&packet[12..16], at(2)),
        IpVersion::V6 => (&packet[8..24], 40 + at(4)),
    };
    assert_eq!(inner.total_len, len);
    assert!(len <= packet.len());
    let octets = match inner.source {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    assert_eq!(octets, source);
    assert_eq!(inner.source.is_ipv4(), inner.destination.is_ipv4());
    // What lies behind the packet is padding: no word of it counts.
    assert_eq!(InnerPacket::parse(&packet[..len]).as_ref(), Ok(inner));
    assert!(InnerPacket::parse(&packet[..len - 1]).is_err());
    let packet = &packet[..len];
    match inner.version {
        IpVersion::V4 => v4(tos, packet),
        IpVersion::V6 => v6(tos, packet),
    }
}

/// RFC 6040, figure 4, but that nothing is dropped.
fn marked(outer: u8, inner: u8) -> u8 {
    match (outer & 3, inner & 3) {
        (3, 1 | 2) => inner | 3,
        (1, 2) => inner & !3 | 1,
        _ => inner,
    }
}

fn v4(tos: u8, packet: &[u8]) {
    let before = Ipv4Packet::new_checked(packet).unwrap();
    assert!(before.header_len() >= 20 && before.header_len() <= packet.len());
    assert_eq!(before.payload(), &packet[before.payload_range()]);
    let mut changed = packet.to_vec();
    ecn::decapsulate(tos, &mut changed);
    let after = Ipv4Packet::new_checked(&changed).unwrap();
    assert_eq!(after.tos(), marked(tos, before.tos()));
    assert_eq!(after.verify_checksum(), before.verify_checksum());
    only(packet, &changed, &[1, 10, 11]);

    let mut changed = packet.to_vec();
    match ipv4::decrement_ttl(&mut changed) {
        None => assert!(before.ttl() <= 1 && changed == packet),
        Some(ttl) => {
            let after = Ipv4Packet::new_checked(&changed).unwrap();
            assert_eq!((after.ttl(), ttl + 1), (ttl, before.ttl()));
            assert_eq!(after.verify_checksum(), before.verify_checksum());
            only(packet, &changed, &[8, 10, 11]);
        }
    }
    if let Ok(udp) = UdpDatagram::new_checked(before.payload()) {
        assert!(udp.payload().len() + 8 <= before.payload().len());
        let _any = udp.verify_v4(before.source(), before.destination());
    }
    if let Ok(icmp) = IcmpMessage::new_checked(before.payload()) {
        let _any = (icmp.message_type(), icmp.code(), icmp.echo_request(), icmp.echo_reply());
    }
    let mut changed = packet.to_vec();
    if let Some(len) = icmp::echo_reply_in_place(&mut changed) {
        let reply = Ipv4Packet::new_checked(&changed[..len]).unwrap();
        assert!(reply.verify_checksum());
        assert_eq!((reply.source(), reply.destination()), (before.destination(), before.source()));
        assert!(IcmpMessage::new_checked(reply.payload()).unwrap().echo_reply().is_some());
    }
}

fn v6(tos: u8, packet: &[u8]) {
    let before = Ipv6Packet::new_checked(packet).unwrap();
    assert_eq!(before.payload(), &packet[before.payload_range()]);
    let mut changed = packet.to_vec();
    ecn::decapsulate(tos, &mut changed);
    let after = Ipv6Packet::new_checked(&changed).unwrap();
    assert_eq!(after.traffic_class(), marked(tos, before.traffic_class()));
    assert_eq!(after.flow_label(), before.flow_label());
    only(packet, &changed, &[1]);

    let mut changed = packet.to_vec();
    match ipv6::decrement_hop_limit(&mut changed) {
        None => assert!(before.hop_limit() <= 1 && changed == packet),
        Some(hops) => {
            assert_eq!((changed[7], hops + 1), (hops, before.hop_limit()));
            only(packet, &changed, &[7]);
        }
    }
    if let Ok(upper) = before.upper_layer() {
        assert!((40..=packet.len()).contains(&upper.offset));
        if let Ok(udp) = UdpDatagram::new_checked(&packet[upper.offset..]) {
            let _any = udp.verify_v6(before.source(), before.destination());
        }
    }
    let _any = Icmpv6Message::new_checked(&before).map(|icmp| (icmp.echo_request().is_some(), icmp.echo_reply()));
    if let Ok(Ndp::Solicitation(_) | Ndp::Advertisement(_)) = Ndp::new_checked(&before) {
        // RFC 4861, 7.1: what came over a router is none.
        assert_eq!(before.hop_limit(), 255);
    }
    let mut changed = packet.to_vec();
    if let Some(len) = icmpv6::echo_reply_in_place(&mut changed) {
        let reply = Ipv6Packet::new_checked(&changed[..len]).unwrap();
        assert_eq!((reply.source(), reply.destination()), (before.destination(), before.source()));
        assert!(Icmpv6Message::new_checked(&reply).unwrap().echo_reply().is_some());
    }
}

/// Nothing changed but the bytes at these places.
fn only(before: &[u8], after: &[u8], places: &[usize]) {
    assert_eq!(before.len(), after.len());
    let changed = (0..before.len()).filter(|at| before[*at] != after[*at]);
    assert!(changed.clone().all(|at| places.contains(&at)), "{:?}", changed.collect::<Vec<_>>());
}

/// What the data path calls before it knows more: no bytes are too wrong for it.
fn any_bytes(tos: u8, packet: &[u8]) {
    assert!(ecn::outer_tos(packet) < 3);
    let calls: [fn(u8, &mut [u8]); 8] = [
        |tos, packet| ecn::decapsulate(tos, packet),
        |tos, packet| ipv4::set_ecn(packet, Ecn::from_tos(tos)),
        |tos, packet| ipv6::set_ecn(packet, Ecn::from_tos(tos)),
        |tos, packet| patch::ipv4(packet, tos, u16::from(tos), 1),
        |tos, packet| patch::ipv6(packet, tos, u16::from(tos)),
        |tos, packet| patch::udp_length(packet, u16::from(tos)),
        |_, packet| patch::udp_checksum_v6(packet),
        |_, packet| {
            let _any = (ipv4::decrement_ttl(packet), ipv6::decrement_hop_limit(packet));
        },
    ];
    for call in calls {
        let mut changed = packet.to_vec();
        call(tos, &mut changed);
    }
    if let Ok(arp) = ArpPacket::new_checked(packet) {
        let mut written = [0; culvert::wire::arp::LEN];
        arp.write(&mut written);
        assert_eq!(written, packet[..written.len()]);
    }
    if let Ok(frame) = EthernetFrame::new_checked(packet) {
        assert_eq!(frame.header_len() + frame.payload().len(), packet.len());
    }
}
