//! Next hops and our own addresses: ARP, NDP, echo.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, HOST6, LAN_MAC, Options, ROUTER_MAC, WAN_MAC, allow, peer};
use crate::packets::{self, IcmpError, addr, echo, heads, tag, tagged};
use crate::scenes::connected;
use culvert::control::change::PeerChange;
use culvert::wire::arp::{self, ArpPacket, Operation};
use culvert::wire::ndp::{self, Advertisement, Ndp, Solicitation};
use culvert::wire::{EtherType, Ipv6Packet, MacAddr, ethernet};
use std::net::{Ipv4Addr, Ipv6Addr};

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn arp_frame(to: MacAddr, from: MacAddr, packet: &ArpPacket) -> Vec<u8> {
    let (mut header, mut body) = ([0; ethernet::HEADER_LEN], [0; arp::LEN]);
    ethernet::write_header(&mut header, to, from, EtherType::ARP);
    packet.write(&mut body);
    [&header[..], &body, &[0; 18]].concat()
}

fn arp_request(from: MacAddr, source: &str, target: &str) -> Vec<u8> {
    arp_frame(MacAddr::BROADCAST, from, &ArpPacket::request(from, v4(source), v4(target)))
}

/// The ARP packets among frames.
fn arps(frames: &[Vec<u8>]) -> Vec<ArpPacket> {
    let is_arp = |f: &&Vec<u8>| f[12..14] == [0x08, 0x06];
    frames.iter().filter(is_arp).map(|f| ArpPacket::new_checked(&f[14..]).unwrap()).collect()
}

/// The NDP messages among frames.
fn ndps(frames: &[Vec<u8>]) -> Vec<Ndp> {
    let is_v6 = |f: &&Vec<u8>| f[12..14] == [0x86, 0xdd];
    frames
        .iter()
        .filter(is_v6)
        .filter_map(|f| Ndp::new_checked(&Ipv6Packet::new_checked(&f[14..]).ok()?).ok())
        .collect()
}

fn solicitation(from: MacAddr, to: MacAddr, message: &Solicitation) -> Vec<u8> {
    let mut bytes = [0; ndp::LEN];
    let len = message.write(&mut bytes);
    packets::frame(to, from, &bytes[..len])
}

fn advertisement(from: MacAddr, to: MacAddr, message: &Advertisement) -> Vec<u8> {
    let mut bytes = [0; ndp::LEN];
    let len = message.write(&mut bytes);
    packets::frame(to, from, &bytes[..len])
}

fn lan(gw: &mut Gateway, frame: &[u8]) {
    let packet = gw.packet(frame);
    gw.lan_rx[0].push(packet);
}

fn unresolved() -> Options {
    Options { resolved: false, ..Options::default() }
}

/// A client whose gateway knows no neighbour; the router answered, so that there is a session.
fn connected_unresolved() -> (Gateway, Client) {
    let mut gw = Gateway::with(&unresolved());
    let mut client = Client::new(1);
    gw.add(&client);
    let initiation = client.initiation();
    gw.wan(&client.frame(&initiation));
    gw.settle();
    let (wan, _) = gw.frames();
    let asked = arps(&wan);
    assert_eq!((asked.len(), asked[0].target_ip), (1, v4("192.0.2.254")), "the response waits for the router");
    gw.wan(&arp_frame(WAN_MAC, ROUTER_MAC, &asked[0].reply(ROUTER_MAC)));
    gw.settle();
    let response = gw.datagrams().remove(0);
    assert!(client.take_response(&response.payload));
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.settle();
    (gw, client)
}

#[test]
fn an_echo_through_the_tunnel_to_our_inner_address() {
    let (mut gw, mut client) = connected(&Options::default());
    for (source, destination) in [(client.inner(), "10.0.0.1"), (client.inner6(), "fd00::1")] {
        let request = echo(&source, destination);
        let frame = client.data(&request);
        gw.wan(&frame);
        gw.settle();
        let received = gw.received_by(&client);
        assert_eq!(received.len(), 1);
        assert_eq!(heads(&received[0]), (addr(destination), addr(&source), 64));
        let icmp = if addr(&source).is_ipv4() { 20 } else { 40 };
        assert_eq!(received[0][icmp], if icmp == 20 { 0 } else { 129 });
        assert_eq!(received[0][icmp + 4..request.len()], request[icmp + 4..]);
    }
    gw.finish();
}

#[test]
fn an_echo_to_our_addresses_on_both_ports() {
    let (mut gw, _) = connected(&Options::default());
    for (destination, source) in
        [("192.0.2.1", "198.51.100.77"), ("192.0.2.2", "198.51.100.77"), ("2001:db8:1::1", "2001:db8:9::1")]
    {
        gw.wan(&packets::frame(WAN_MAC, ROUTER_MAC, &echo(source, destination)));
        gw.settle();
        let (wan, lan) = gw.frames();
        assert_eq!((wan.len(), lan.len()), (1, 0));
        assert_eq!(wan[0][..12], [ROUTER_MAC.0, WAN_MAC.0].concat());
        assert_eq!(heads(&wan[0][14..]).0, addr(destination));
    }
    for (destination, source) in [("10.0.0.1", HOST), ("fd00::1", HOST6)] {
        gw.lan(&echo(source, destination));
        gw.settle();
        assert_eq!(heads(&gw.delivered()[0]), (addr(destination), addr(source), 64));
    }
    gw.finish();
}

#[test]
fn an_arp_request_for_our_address_is_answered_on_its_port_only() {
    let (mut gw, _) = connected(&Options::default());
    gw.wan(&arp_request(ROUTER_MAC, "192.0.2.254", "192.0.2.2"));
    lan(&mut gw, &arp_request(HOST_MAC, HOST, "10.0.0.1"));
    gw.settle();
    let (wan, inner) = gw.frames();
    let (wan, inner) = (arps(&wan), arps(&inner));
    assert_eq!((wan.len(), inner.len()), (1, 1));
    assert_eq!((wan[0].operation, wan[0].sender_ip, wan[0].sender_mac), (Operation::Reply, v4("192.0.2.2"), WAN_MAC));
    assert_eq!((inner[0].sender_ip, inner[0].sender_mac, inner[0].target_mac), (v4("10.0.0.1"), LAN_MAC, HOST_MAC));
    // Not ours, and another port's.
    gw.wan(&arp_request(ROUTER_MAC, "192.0.2.254", "192.0.2.77"));
    gw.wan(&arp_request(ROUTER_MAC, "192.0.2.254", "10.0.0.1"));
    gw.settle();
    let (wan, inner) = gw.frames();
    assert_eq!((wan.len(), inner.len()), (0, 0));
    gw.finish();
}

#[test]
fn a_solicitation_for_our_address_is_answered() {
    let (mut gw, _) = connected(&Options::default());
    let message = Solicitation::multicast(v6(HOST6), HOST_MAC, v6("fd00::1"));
    lan(&mut gw, &solicitation(HOST_MAC, ndp::solicited_node_mac(v6("fd00::1")), &message));
    let message = Solicitation::unicast(v6(HOST6), HOST_MAC, v6("fd00::1"));
    lan(&mut gw, &solicitation(HOST_MAC, LAN_MAC, &message));
    gw.settle();
    let answers = ndps(&gw.frames().1);
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let Ndp::Advertisement(answer) = answer else { panic!("{answer:?}") };
        assert_eq!((answer.target, answer.target_mac, answer.is_solicited), (v6("fd00::1"), Some(LAN_MAC), true));
    }
    gw.finish();
}

/// Frames that reach the control thread and are none of its business are no work done.
#[test]
fn ipv6_frames_that_nobody_knows() {
    let (mut gw, _) = connected(&Options::default());
    let done = gw.dropped("control_done");
    let unknown = |protocol, message: &[u8]| {
        let header = packets::Ip { tos: 0, ttl: 255, protocol };
        packets::frame(LAN_MAC, HOST_MAC, &packets::ip(addr(HOST6), addr("fd00::1"), header, message))
    };
    // A router's solicitation; an unknown ICMPv6 type; a broken checksum.
    for message in [[133, 0, 0, 0, 0, 0, 0, 0], [200, 0, 0, 0, 0, 0, 0, 0], [128, 0, 1, 2, 0, 0, 0, 0]] {
        let frame = unknown(58, &message);
        lan(&mut gw, &frame);
    }
    gw.settle();
    assert_eq!((gw.dropped("control_unknown"), gw.dropped("control_done")), (3, done));
    let message = Solicitation::unicast(v6(HOST6), HOST_MAC, v6("fd00::1"));
    lan(&mut gw, &solicitation(HOST_MAC, LAN_MAC, &message));
    gw.settle();
    assert_eq!((gw.dropped("control_unknown"), gw.dropped("control_done")), (3, done + 1));
    gw.finish();
}

/// A client with an address inside the inner subnet, and one with everything.
fn proxied() -> (Gateway, Client) {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    let allowed_ips = ["10.0.0.50/32", "10.0.0.64/28", "fd00::50/128", "0.0.0.0/0", "::/0"].map(allow).to_vec();
    gw.change_peer(PeerChange { allowed_ips, ..peer(&client) });
    gw.connect(&mut client);
    gw.frames();
    (gw, client)
}

#[test]
fn proxy_arp_answers_for_allowed_ips_inside_the_inner_subnet() {
    let (mut gw, _) = proxied();
    for target in ["10.0.0.50", "10.0.0.64", "10.0.0.79"] {
        lan(&mut gw, &arp_request(HOST_MAC, HOST, target));
        gw.settle();
        let answers = arps(&gw.frames().1);
        assert_eq!((answers.len(), answers[0].sender_ip, answers[0].sender_mac), (1, v4(target), LAN_MAC));
    }
    gw.finish();
}

#[test]
fn a_default_route_through_a_peer_does_not_take_the_inner_subnets_hosts_over() {
    let (mut gw, _) = proxied();
    for target in ["10.0.0.2", "10.0.0.63", "10.0.0.80", "10.0.0.200"] {
        lan(&mut gw, &arp_request(HOST_MAC, HOST, target));
    }
    let message = Solicitation::multicast(v6(HOST6), HOST_MAC, v6("fd00::77"));
    lan(&mut gw, &solicitation(HOST_MAC, ndp::solicited_node_mac(v6("fd00::77")), &message));
    gw.settle();
    assert!(gw.frames().1.is_empty());
    gw.finish();
}

#[test]
fn proxy_ndp_answers_groups_and_probes() {
    let (mut gw, _) = proxied();
    let target = v6("fd00::50");
    let frames = [
        (ndp::solicited_node_mac(target), Solicitation::multicast(v6(HOST6), HOST_MAC, target)),
        // RFC 4861, 7.3.3: who knows us already probes by unicast.
        (LAN_MAC, Solicitation::unicast(v6(HOST6), HOST_MAC, target)),
    ];
    for (to, message) in frames {
        lan(&mut gw, &solicitation(HOST_MAC, to, &message));
        gw.settle();
        let answers = ndps(&gw.frames().1);
        assert!(
            matches!(answers[..], [Ndp::Advertisement(a)] if a.target == target && a.target_mac == Some(LAN_MAC)),
            "{answers:?}"
        );
    }
    gw.finish();
}

#[test]
fn what_waits_for_the_inner_next_hop_is_delivered_in_order_after_its_answer() {
    let (mut gw, mut client) = connected_unresolved();
    for n in 0..16 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
    }
    gw.settle();
    let (_, inner) = gw.frames();
    let asked = arps(&inner);
    assert_eq!((inner.len(), asked[0].target_ip, asked[0].sender_ip), (1, v4(HOST), v4("10.0.0.1")));
    assert_eq!(gw.shared.staged.held(), 16);
    lan(&mut gw, &arp_frame(LAN_MAC, HOST_MAC, &asked[0].reply(HOST_MAC)));
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    // From now on the data path knows.
    let frame = client.data(&tagged(&client.inner(), HOST, 99, 96));
    gw.wan(&frame);
    gw.turn(0);
    assert_eq!(gw.delivered().len(), 1);
    gw.finish();
}

#[test]
fn the_same_over_ipv6() {
    let (mut gw, mut client) = connected_unresolved();
    let frame = client.data(&tagged(&client.inner6(), HOST6, 5, 96));
    gw.wan(&frame);
    gw.settle();
    let asked = ndps(&gw.frames().1);
    let [Ndp::Solicitation(asked)] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(asked.target, v6(HOST6));
    lan(&mut gw, &advertisement(HOST_MAC, LAN_MAC, &asked.reply(HOST_MAC, false, true)));
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), [5]);
    gw.finish();
}

#[test]
fn at_most_16_wait_and_the_oldest_make_room() {
    let (mut gw, mut client) = connected_unresolved();
    for n in 0..20 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
    }
    gw.settle();
    assert_eq!((gw.shared.staged.held(), gw.dropped("neighbour_queue")), (16, 4));
    let asked = arps(&gw.frames().1);
    lan(&mut gw, &arp_frame(LAN_MAC, HOST_MAC, &asked[0].reply(HOST_MAC)));
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), (4..20).collect::<Vec<_>>());
    gw.finish();
}

#[test]
fn a_next_hop_that_never_answers() {
    let (mut gw, mut client) = connected_unresolved();
    for n in 0..3 {
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
    }
    gw.settle();
    gw.pass_ms(3100);
    assert_eq!(arps(&gw.frames().1).iter().filter(|a| a.target_ip == v4(HOST)).count(), 3, "asked three times");
    assert_eq!((gw.dropped("neighbour_failed"), gw.shared.staged.held()), (3, 0));
    gw.finish();
}

#[test]
fn sealed_data_waits_for_the_router_too() {
    let mut gw = Gateway::with(&unresolved());
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some("192.0.2.33:7".parse().unwrap()), ..peer(&client) });
    client.at = "192.0.2.33:7".parse().unwrap();
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    // The peer is on the outer link itself.
    let asked = arps(&gw.frames().0);
    assert_eq!((asked.len(), asked[0].target_ip), (1, v4("192.0.2.33")));
    gw.wan(&arp_frame(WAN_MAC, ROUTER_MAC, &asked[0].reply(ROUTER_MAC)));
    gw.settle();
    let initiation = gw.datagrams().remove(0);
    let response = client.respond(&initiation.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).len(), 1);
    gw.finish();
}

#[test]
fn other_protocols_to_us_and_unknown_inner_destinations() {
    let (mut gw, mut client) = connected(&Options::default());
    gw.lan(&tagged(HOST, "10.0.0.1", 1, 96));
    gw.lan(&tagged(HOST, "10.77.0.1", 1, 96));
    let inner = tagged(&client.inner(), "10.77.0.1", 1, 96);
    let multicast = tagged(&client.inner(), "224.0.0.251", 1, 96);
    let local = tagged(&client.inner(), "10.0.0.1", 1, 96);
    for packet in [inner, multicast, local] {
        let frame = client.data(&packet);
        gw.wan(&frame);
    }
    gw.settle();
    // Who asked for what is not there is told; nothing else goes out.
    let told = [gw.delivered(), gw.received_by(&client)].map(|packets| IcmpError::all(&packets));
    assert_eq!(told.map(|errors| errors.iter().map(|e| e.kind).collect::<Vec<_>>()), [vec![(3, 1)], vec![(3, 0)]]);
    for reason in ["not_for_us", "no_peer", "no_route", "multicast", "control_unknown"] {
        assert_eq!(gw.dropped(reason), 1, "{reason}");
    }
    gw.finish();
}
