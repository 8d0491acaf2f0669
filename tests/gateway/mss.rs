//! `mss_clamp`: TCP's maximum segment size is lowered to what the tunnel carries, in both directions.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST6, Options};
use crate::packets::{self, Ip, addr};
use culvert::wire::checksum::Sum;
use culvert::wire::protocol;
use std::net::IpAddr;

pub(crate) const SYN: u8 = 2;
const ACK: u8 = 16;

/// A TCP segment with these flags and this MSS, behind a no-operation: an odd place.
pub(crate) fn segment(from: &str, to: &str, flags: u8, mss: u16) -> Vec<u8> {
    let mut segment = vec![0x12, 0x34, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 7 << 4, flags, 0xff, 0xff, 0, 0, 0, 0];
    segment.extend([1, 2, 4]);
    segment.extend(mss.to_be_bytes());
    segment.extend([1, 1, 0]);
    let sum = sum(addr(from), addr(to), &segment).checksum();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    packets::ip(addr(from), addr(to), Ip { tos: 0, ttl: 64, protocol: protocol::TCP }, &segment)
}

fn sum(from: IpAddr, to: IpAddr, segment: &[u8]) -> Sum {
    let len = u16::try_from(segment.len()).unwrap();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Sum::new().pseudo_v4(from, to, protocol::TCP, len).bytes(segment),
        (IpAddr::V6(from), IpAddr::V6(to)) => Sum::new().pseudo_v6(from, to, protocol::TCP, len.into()).bytes(segment),
        _ => panic!("two families"),
    }
}

/// The MSS of a segment whose checksum is right.
fn mss(packet: &[u8]) -> u16 {
    let (from, to, _) = packets::heads(packet);
    let at = if from.is_ipv4() { 20 } else { 40 };
    // Padding is no part of it.
    let segment = &packet[at..at + 28];
    assert!(sum(from, to, segment).is_valid());
    u16::from_be_bytes([segment[23], segment[24]])
}

/// What arrives of segments in all directions: host → client, client → host, client → client; of both families.
fn arrived(options: &Options, flags: u8, sent: u16) -> Vec<u16> {
    let mut gw = Gateway::with(options);
    let (mut one, mut two) = (Client::new(1), Client::new(2));
    for client in [&mut one, &mut two] {
        gw.add(client);
        gw.connect(client);
    }
    gw.frames();
    let mut arrived = Vec::new();
    for (host, mine, other) in [(HOST, one.inner(), two.inner()), (HOST6, one.inner6(), two.inner6())] {
        gw.lan(&segment(host, &mine, flags, sent));
        gw.settle();
        arrived.push(mss(&gw.received_by(&one)[0]));
        let frame = one.data(&segment(&mine, host, flags, sent));
        gw.wan(&frame);
        gw.settle();
        arrived.push(mss(&gw.delivered()[0]));
        let frame = one.data(&segment(&mine, &other, flags, sent));
        gw.wan(&frame);
        gw.settle();
        arrived.push(mss(&gw.received_by(&two)[0]));
    }
    gw.finish();
    arrived
}

#[test]
fn syn_and_syn_ack_are_lowered_both_ways() {
    let options = Options { mss_clamp: true, ..Options::default() };
    for flags in [SYN, SYN | ACK] {
        assert_eq!(arrived(&options, flags, 1460), [1380, 1380, 1380, 1360, 1360, 1360]);
    }
    let options = Options { mtu: 1280, ..options };
    assert_eq!(arrived(&options, SYN, 8960), [1240, 1240, 1240, 1220, 1220, 1220]);
}

#[test]
fn never_raised_and_no_other_segment_is_touched() {
    let options = Options { mss_clamp: true, ..Options::default() };
    assert_eq!(arrived(&options, SYN, 536), [536; 6]);
    assert_eq!(arrived(&options, ACK, 1460), [1460; 6]);
}

#[test]
fn off_unless_asked_for() {
    assert_eq!(arrived(&Options::default(), SYN, 1460), [1460; 6]);
}
