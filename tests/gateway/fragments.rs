//! Outer datagrams that come in fragments (TESTING A18, the part of fragments): gathered within bounds, all else dropped by name.

use crate::client::Client;
use crate::harness::{Gateway, HOST, LISTEN_PORT, Options, ROUTER_MAC, Role, WAN_MAC};
use crate::packets::{self, Ip, addr, tag, tagged};
use crate::scenes::{connected, connected_as};
use culvert::wire::{MacAddr, checksum::Sum, protocol};
use std::net::IpAddr;

/// One fragment of an IP packet: `len` bytes from `offset` behind its header.
#[derive(Clone, Copy, Debug)]
struct Part {
    offset: usize,
    len: usize,
    more: bool,
}

/// Which packet fragments belong to.
#[derive(Clone, Copy, Debug)]
struct Name {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u16,
}

/// A fragment that holds these bytes, as a frame.
fn fragment(name: Name, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let Name { source, destination, protocol, identification } = name;
    let place = u16::try_from(offset).unwrap();
    let head = |protocol| Ip { tos: 0, ttl: 64, protocol };
    let packet = if source.is_ipv4() {
        let mut packet = packets::ip(source, destination, head(protocol), bytes);
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        packet[6..8].copy_from_slice(&(if more { 0x2000 } else { 0 } + place / 8).to_be_bytes());
        checksummed(packet)
    } else {
        let [p0, p1] = (place | u16::from(more)).to_be_bytes();
        let [i0, i1] = identification.to_be_bytes();
        let header = [protocol, 0, p0, p1, 0, 0, i0, i1];
        packets::ip(source, destination, head(protocol::FRAGMENT), &[&header, bytes].concat())
    };
    packets::frame(WAN_MAC, ROUTER_MAC, &packet)
}

/// An IPv4 packet with its header's checksum set right.
fn checksummed(mut packet: Vec<u8>) -> Vec<u8> {
    let len = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = Sum::new().bytes(&packet[..len]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The datagram of a whole frame, and its name.
fn datagram(frame: &[u8], identification: u16) -> (Name, Vec<u8>) {
    let (source, destination, _) = packets::heads(&frame[14..]);
    let header = if source.is_ipv4() { 20 } else { 40 };
    (Name { source, destination, protocol: protocol::UDP, identification }, frame[14 + header..].to_vec())
}

/// A whole frame, cut into fragments at these places of its datagram.
fn cut(frame: &[u8], identification: u16, at: &[usize]) -> Vec<Vec<u8>> {
    let (name, bytes) = datagram(frame, identification);
    let ends: Vec<_> = at.iter().copied().chain([bytes.len()]).collect();
    let begins = [0].into_iter().chain(at.iter().copied());
    let part = |(begin, end): (usize, usize)| fragment(name, begin, end < bytes.len(), &bytes[begin..end]);
    begins.zip(ends).map(part).collect()
}

/// Fragments of these sizes, of whatever lies in the frame's datagram.
fn parts(frame: &[u8], identification: u16, parts: &[Part]) -> Vec<Vec<u8>> {
    let (name, bytes) = datagram(frame, identification);
    let bytes = |part: &Part| bytes.iter().copied().cycle().skip(part.offset).take(part.len).collect::<Vec<u8>>();
    parts.iter().map(|part| fragment(name, part.offset, part.more, &bytes(part))).collect()
}

fn part(offset: usize, len: usize, more: bool) -> Part {
    Part { offset, len, more }
}

fn send(gw: &mut Gateway, frames: &[Vec<u8>]) {
    frames.iter().for_each(|frame| gw.wan(frame));
    gw.settle();
}

fn delivered(gw: &mut Gateway) -> Vec<u32> {
    gw.delivered().iter().map(|p| tag(p)).collect()
}

#[test]
fn a_client_all_of_whose_datagrams_come_in_fragments() {
    for (number, mut client) in [(1, Client::new(1)), (2, Client::v6(2))] {
        for cores in [vec![Role::Both], vec![Role::Io, Role::Worker, Role::Worker]] {
            let mut gw = Gateway::with(&Options { cores, ..Options::default() });
            gw.add(&client);
            let initiation = client.initiation();
            send(&mut gw, &cut(&client.frame(&initiation), 1, &[80]));
            assert!(client.take_response(&gw.datagrams().remove(0).payload), "client {number}");
            for (n, at) in (1..).zip([&[1000][..], &[24], &[24, 48, 72, 96, 120, 800, 1000], &[1440]]) {
                let mut fragments = cut(&client.data(&tagged(&client.inner(), HOST, n, 1420)), n as u16, at);
                if n % 2 == 0 {
                    fragments.reverse();
                }
                send(&mut gw, &fragments);
            }
            assert_eq!(delivered(&mut gw), [1, 2, 3, 4], "client {number}");
            assert_eq!(gw.endpoint(&client).unwrap().remote, client.at);
            assert_eq!((gw.dropped("fragment_joined"), gw.account().control_returned), (2 + 2 + 2 + 8 + 2, 0));
            // What the client hears comes whole.
            gw.lan(&tagged(HOST, &client.inner(), 9, 96));
            gw.settle();
            assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [9]);
            gw.finish();
            client.sessions.clear();
        }
    }
}

#[test]
fn fragments_of_many_clients_are_told_apart() {
    let (mut gw, mut one) = connected(&Options::default());
    let mut two = Client::new(2);
    gw.add(&two);
    gw.connect(&mut two);
    gw.frames();
    // One identification for all, and another datagram of the first client's.
    let first = cut(&one.data(&tagged(&one.inner(), HOST, 1, 1000)), 7, &[400, 800]);
    let second = cut(&two.data(&tagged(&two.inner(), HOST, 2, 1000)), 7, &[400, 800]);
    let third = cut(&one.data(&tagged(&one.inner(), HOST, 3, 1000)), 8, &[400, 800]);
    for n in [2, 0, 1] {
        send(&mut gw, &[first[n].clone(), second[n].clone(), third[n].clone()]);
    }
    let mut tags = delivered(&mut gw);
    tags.sort_unstable();
    assert_eq!(tags, [1, 2, 3]);
    gw.finish();
}

#[test]
fn ip_options_before_the_parts_and_padding_behind_them() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut fragments = cut(&client.data(&tagged(&client.inner(), HOST, 1, 200)), 1, &[64]);
    for (fragment, options) in fragments.iter_mut().zip([&[1_u8; 8][..], &[1; 40]]) {
        let mut packet = [&fragment[14..34], options, &fragment[34..]].concat();
        packet[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
        let total = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        *fragment = [&fragment[..14], &checksummed(packet), &[0x77; 9]].concat();
    }
    send(&mut gw, &fragments);
    assert_eq!(delivered(&mut gw), [1]);
    gw.finish();
}

#[test]
fn what_never_becomes_whole_is_dropped_after_a_second() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.data(&tagged(&client.inner(), HOST, 1, 1000));
    let fragments = cut(&good, 1, &[400, 800]);
    send(&mut gw, &fragments[..2]);
    gw.leap_ms(1000);
    assert_eq!(gw.dropped("fragment_timeout"), 0);
    gw.leap_ms(1);
    assert_eq!(gw.dropped("fragment_timeout"), 2);
    // Too late, and alone.
    send(&mut gw, &fragments[2..]);
    gw.leap_ms(1001);
    assert_eq!((gw.dropped("fragment_timeout"), delivered(&mut gw)), (3, vec![]));
    // Again, and in time.
    send(&mut gw, &cut(&good, 1, &[400, 800]));
    assert_eq!(delivered(&mut gw), [1]);
    gw.finish();
}

#[test]
fn what_overlaps_or_comes_twice_or_leaves_holes_is_dropped_whole() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.data(&tagged(&client.inner(), HOST, 1, 1000));
    let all = datagram(&good, 0).1.len();
    let last = part(800, all - 800, false);
    let cases: [(&str, &[Part]); 7] = [
        ("over the first", &[part(0, 480, true), part(400, 400, true), last]),
        ("within another", &[part(0, 800, true), part(80, 80, true), last]),
        ("over the last", &[part(0, 400, true), part(400, 480, true), last]),
        ("the first twice", &[part(0, 400, true), part(0, 400, true)]),
        ("the last twice", &[last, last]),
        ("another twice", &[part(400, 400, true), part(400, 400, true), last, part(0, 400, true)]),
        ("beyond the end", &[part(0, 400, true), part(1600, 400, true), part(800, 8, false)]),
    ];
    for (id, (case, fragments)) in (1..).zip(cases) {
        let before = gw.dropped("fragment_overlap");
        send(&mut gw, &parts(&good, id, fragments));
        let dropped = gw.dropped("fragment_overlap") - before;
        assert_eq!(delivered(&mut gw), Vec::<u32>::new(), "{case}");
        // What comes after the verdict waits for more, in vain.
        gw.leap_ms(1001);
        let late = gw.dropped("fragment_timeout");
        assert!(dropped >= 2, "{case}: {dropped}");
        assert_eq!(gw.account().control_queued(), 0, "{case}: {late}");
    }
    send(&mut gw, &cut(&good, 100, &[400]));
    assert_eq!(delivered(&mut gw), [1]);
    gw.finish();
}

#[test]
fn fragments_that_could_hide_a_header_are_dropped_at_sight() {
    for mut client in [Client::new(1), Client::v6(2)] {
        let mut gw = Gateway::new();
        gw.add(&client);
        gw.connect(&mut client);
        gw.frames();
        let good = client.data(&tagged(&client.inner(), HOST, 1, 1000));
        let tiny = [
            // The first holds no UDP and data header; RFC 1858's offset of one; a start within the headers.
            part(0, 8, true),
            part(0, 16, true),
            part(8, 400, true),
            part(8, 400, false),
            part(16, 400, true),
            // No multiple of eight; nothing at all.
            part(0, 401, true),
            part(400, 399, true),
            part(400, 0, true),
            part(400, 0, false),
        ];
        gw.silent(&parts(&good, 1, &tiny), "fragment_tiny");
        gw.silent(&parts(&good, 1, &[part(0, 0, true)]), "fragment_tiny");
        // Beyond what a packet can hold.
        gw.silent(&parts(&good, 1, &[part(65528, 8, false), part(65000, 536, true)]), "bad_ip_header");
        send(&mut gw, &cut(&good, 1, &[24]));
        assert_eq!(delivered(&mut gw), [1]);
        gw.finish();
    }
}

#[test]
fn only_udp_is_gathered() {
    let (mut gw, client) = connected(&Options::default());
    let v4 = Name { source: client.at.ip(), destination: client.to.ip(), protocol: protocol::ICMP, identification: 1 };
    let v6 = Name { source: addr("2001:db8:2::1"), destination: addr("2001:db8:1::1"), ..v4 };
    let mut frames = vec![];
    for name in [v4, Name { protocol: protocol::TCP, ..v4 }, Name { protocol: protocol::ICMPV6, ..v6 }] {
        frames.push(fragment(name, 0, true, &[8; 64]));
        frames.push(fragment(name, 64, false, &[8; 64]));
    }
    gw.silent(&std::mem::take(&mut frames), "outer_fragment");
    // Another header before the fragment header, and behind it.
    let v6 = Name { protocol: protocol::UDP, ..v6 };
    let inside = fragment(v6, 0, true, &[0; 64]);
    let options = [&[protocol::FRAGMENT, 0, 1, 4, 0, 0, 0, 0], &inside[54..]].concat();
    let head = Ip { tos: 0, ttl: 64, protocol: protocol::DESTINATION_OPTIONS };
    frames.push(packets::frame(WAN_MAC, ROUTER_MAC, &packets::ip(v6.source, v6.destination, head, &options)));
    let options = [&[protocol::UDP, 0, 1, 4, 0, 0, 0, 0][..], &[0; 56]].concat();
    frames.push(fragment(Name { protocol: protocol::DESTINATION_OPTIONS, ..v6 }, 0, true, &options));
    send(&mut gw, &frames);
    assert_eq!((gw.frames(), gw.dropped("outer_fragment")), ((vec![], vec![]), 8));
    send(&mut gw, &[fragment(Name { destination: addr("192.0.2.99"), ..v4 }, 0, true, &[8; 64])]);
    assert_eq!((gw.frames(), gw.dropped("not_for_us")), ((vec![], vec![]), 1));
    gw.finish();
}

#[test]
fn more_fragments_than_eight_and_datagrams_than_1024_and_packets_than_an_mbuf_holds() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.data(&tagged(&client.inner(), HOST, 1, 1000));
    let nine: Vec<_> = (1..9).map(|n| n * 40).collect();
    send(&mut gw, &cut(&good, 1, &nine));
    assert_eq!((gw.dropped("fragment_bound"), delivered(&mut gw)), (8, vec![]));
    gw.leap_ms(1001);
    assert_eq!(gw.dropped("fragment_timeout"), 1);
    let large = client.frame(&vec![4; 2100]);
    send(&mut gw, &cut(&large, 2, &[1000]));
    assert_eq!(gw.dropped("not_plain"), 2);

    let mut firsts: Vec<_> = (0..1030).map(|id| cut(&good, id, &[24]).remove(0)).collect();
    let rest = cut(&good, 3, &[24]).remove(1);
    for some in firsts.chunks(100) {
        send(&mut gw, some);
    }
    assert_eq!(gw.dropped("fragment_bound"), 8 + 6);
    // Those that are in can still become whole.
    send(&mut gw, &[rest]);
    assert_eq!(delivered(&mut gw), [1]);
    // And then there is a place again.
    send(&mut gw, &[firsts.pop().unwrap()]);
    assert_eq!(gw.dropped("fragment_bound"), 8 + 6);
    gw.finish();
}

#[test]
fn a_datagram_of_fragments_is_checked_like_any_other() {
    let (mut gw, mut client) = connected(&Options::default());
    let good = client.data(&tagged(&client.inner(), HOST, 1, 1000));
    let spoilt = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        cut(&frame, 1, &[400])
    };
    for (fragments, reason) in [
        (spoilt(14 + 20 + 6, &[1, 1]), "bad_udp_checksum"),
        (spoilt(14 + 20 + 4, &[0xff, 0xff]), "bad_udp"),
        (spoilt(14 + 20 + 2, &[1, 1]), "not_for_us"),
        (spoilt(14 + 20 + 6, &[0, 0, 9]), "bad_message"),
    ] {
        send(&mut gw, &fragments);
        assert_eq!((gw.dropped(reason), delivered(&mut gw)), (1, vec![]), "{reason}");
    }
    let mut part = cut(&good, 1, &[400]).remove(0);
    part[14 + 8] ^= 1;
    gw.silent(&[part], "bad_ip_checksum");
    // Without a checksum, over IPv4.
    send(&mut gw, &spoilt(14 + 20 + 6, &[0, 0]));
    assert_eq!(delivered(&mut gw), [1]);
    // And the replay of it.
    send(&mut gw, &cut(&good, 2, &[800]));
    assert_eq!((gw.dropped("replay"), delivered(&mut gw)), (1, vec![]));
    gw.finish();
}

#[test]
fn a_flood_of_fragments_leaves_room_for_what_else_the_control_thread_does() {
    let (mut gw, mut client) = connected_as(&Options::workers(1), Client::new(1));
    let good = client.data(&tagged(&client.inner(), HOST, 1, 1000));
    let flood: Vec<_> = (0..4500).map(|id| cut(&good, id, &[24]).remove(0)).collect();
    flood.iter().for_each(|frame| gw.wan(frame));
    let ping = packets::frame(WAN_MAC, ROUTER_MAC, &packets::echo("203.0.113.9", "192.0.2.1"));
    gw.wan(&ping);
    // The control thread stands still meanwhile.
    while gw.turn(0) > 0 {}
    assert_eq!((gw.dropped("fragment_bound"), gw.dropped("control_full")), (4500 - 1024, 0));
    gw.settle();
    let (wan, _) = gw.frames();
    assert_eq!(wan.iter().filter(|frame| frame[34] == 0).count(), 1, "the echo reply");
    // What waits at the end is dropped by name, too.
    assert!(gw.account().control_queued() == 1024);
    gw.finish();
}

#[test]
fn a_tag_of_the_ports_vlan_on_every_fragment() {
    let mut gw = Gateway::with(&Options { vlans: [7, 0], ..Options::default() });
    let mut client = Client::new(1);
    gw.add(&client);
    let initiation = client.initiation();
    for fragment in cut(&client.frame(&initiation), 1, &[80]) {
        gw.wan(&[&fragment[..12], &[0x81, 0, 0, 7], &fragment[12..]].concat());
    }
    gw.settle();
    let (wan, _) = gw.frames();
    assert_eq!((wan.len(), &wan[0][12..16]), (1, &[0x81, 0, 0, 7][..]));
    gw.finish();
}

#[test]
fn fragments_for_another_mac_or_port() {
    let (mut gw, client) = connected(&Options::default());
    let good = client.frame(&[4; 200]);
    let mut stranger = cut(&good, 1, &[80]).remove(0);
    stranger[..6].copy_from_slice(&MacAddr([2, 9, 9, 9, 9, 9]).0);
    gw.silent(&[stranger], "not_our_mac");
    let to = std::net::SocketAddr::new(client.to.ip(), LISTEN_PORT + 1);
    let other = packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(client.at, to, 0, &[4; 200]));
    send(&mut gw, &cut(&other, 1, &[80]));
    assert_eq!(gw.dropped("not_for_us"), 1);
    gw.finish();
}
