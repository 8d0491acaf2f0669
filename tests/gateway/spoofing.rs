//! What may come out of a tunnel, and from where (TESTING A8, A9, A10).

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST6, allow, peer};
use crate::packets::{self, IcmpError, Ip, addr, heads, tag, tagged};
use culvert::control::change::PeerChange;
use std::net::SocketAddr;

/// Two clients; the first has `prefixes` too.
fn two(prefixes: &[&str]) -> (Gateway, Client, Client) {
    let mut gw = Gateway::new();
    let (mut one, mut two) = (Client::new(1), Client::new(2));
    for client in [&one, &two] {
        gw.add(client);
    }
    let allowed_ips = prefixes.iter().map(|p| allow(p)).collect();
    gw.change_peer(PeerChange { public_key: one.key(), allowed_ips, ..PeerChange::default() });
    gw.connect(&mut one);
    gw.connect(&mut two);
    gw.frames();
    (gw, one, two)
}

/// TESTING A8: another source.
#[test]
fn a_source_that_is_not_the_peers() {
    let (mut gw, mut one, _) = two(&[]);
    let frames: Vec<_> = ["10.1.0.2", "10.0.0.9", "0.0.0.0", "255.255.255.255", "127.0.0.1", "224.0.0.1"]
        .iter()
        .map(|source| tagged(source, HOST, 1, 96))
        .chain(
            ["fd01::2", "::", "::1", "::ffff:10.1.0.1", "::10.1.0.1", "fd01:0:0:1::1", "ff02::1", "fe80::1"]
                .iter()
                .map(|source| tagged(source, HOST6, 1, 96)),
        )
        .map(|packet| one.data(&packet))
        .collect();
    gw.silent(&frames, "allowedips_src");
    gw.finish();
}

/// Many packets are looked up at once, and each is judged by its own source and goes its own way, in order: two peers, both families and
/// forged ones mixed. IPv4 goes to the host, IPv6 to the other peer.
#[test]
fn each_packet_of_many_is_judged_by_its_own_source() {
    let (mut gw, mut one, mut two) = two(&[]);
    let (mut to_host, mut to_one, mut to_two, mut forged) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for n in 0..200_u32 {
        let is_one = n % 3 != 0;
        let (client, other) = if is_one { (&mut one, &two) } else { (&mut two, &one) };
        let is_forged = n % 5 == 2 || n % 7 == 3;
        let source = if is_forged { other } else { &*client };
        let is_v4 = matches!(n % 4, 0 | 3);
        let packet = match is_v4 {
            true => tagged(&source.inner(), HOST, n, 96),
            false => tagged(&source.inner6(), &other.inner6(), n, 96),
        };
        let frame = client.data(&packet);
        gw.wan(&frame);
        match (is_forged, is_v4, is_one) {
            (true, ..) => forged += 1,
            (_, true, _) => to_host.push(n),
            (.., true) => to_two.push(n),
            _ => to_one.push(n),
        }
    }
    gw.settle();
    let delivered = gw.delivered();
    for client in [1, 2] {
        let tags: Vec<_> = delivered.iter().filter(|p| p[15] == client).map(|p| tag(p)).collect();
        let sent: Vec<_> = to_host.iter().copied().filter(|n| (n % 3 != 0) == (client == 1)).collect();
        assert_eq!(tags, sent, "{client}");
    }
    let datagrams = gw.datagrams();
    for (client, sent) in [(&one, to_one), (&two, to_two)] {
        let mine = datagrams.iter().filter(|d| d.to == client.at);
        assert_eq!(mine.map(|d| tag(&client.open(&d.payload).unwrap())).collect::<Vec<_>>(), sent);
    }
    assert_eq!(gw.dropped("allowedips_src"), forged);
    gw.finish();
}

/// TESTING A8: nested prefixes.
/// Mistake: source checked against the peer's own list only.
#[test]
fn a_covering_prefix_gives_no_right_to_a_nested_one() {
    let (mut gw, mut one, mut two) = two(&["0.0.0.0/0", "fd01::/16"]);
    let frames = [one.data(&tagged(&two.inner(), HOST, 1, 96)), one.data(&tagged(&two.inner6(), HOST6, 1, 96))];
    gw.silent(&frames, "allowedips_src");
    // What is left of the covering prefix is the peer's own.
    let frame = one.data(&tagged("10.1.0.3", "10.0.0.1", 2, 96));
    gw.wan(&frame);
    let frame = two.data(&tagged(&two.inner(), "10.0.0.1", 3, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!((gw.dropped("allowedips_src"), gw.dropped("control_unknown")), (2, 2));
    gw.finish();
}

/// TESTING A8: an IPv6 source against IPv4 prefixes.
#[test]
fn an_ipv4_allowed_ip_does_not_admit_its_mapped_address() {
    let (mut gw, mut one, _) = two(&["0.0.0.0/0"]);
    let frame = one.data(&tagged("::ffff:10.9.9.9", HOST6, 1, 96));
    gw.silent(&[frame], "allowedips_src");
    gw.finish();
}

/// TESTING A9: lengths, versions, cut headers.
#[test]
fn inner_lengths_that_lie() {
    let (mut gw, one, _) = two(&[]);
    let good = tagged(&one.inner(), HOST, 1, 96);
    let good6 = tagged(&one.inner6(), HOST6, 1, 96);
    let with = |packet: &[u8], at: usize, bytes: &[u8]| {
        let mut packet = packet.to_vec();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let mut bad = vec![
        with(&good, 2, &[0, 97]),
        with(&good, 2, &[0xff, 0xff]),
        with(&good, 2, &[0, 0]),
        with(&good, 2, &[0, 19]),
        with(&good, 0, &[0x44]),
        with(&good, 0, &[0x55]),
        with(&good, 0, &[0x00]),
        with(&good[..32], 0, &[0x4f, 0, 0, 32]),
        with(&good6, 4, &[0, 57]),
        with(&good6, 4, &[0xff, 0xff]),
        good6[..39].to_vec(),
        good[..19].to_vec(),
        vec![0x45],
        vec![0; 16],
    ];
    bad.extend((1..20).map(|len| good[..len].to_vec()));
    let frames: Vec<_> = (100..).zip(&bad).map(|(n, plain)| one.frame(&one.session().seal(n, plain))).collect();
    gw.silent(&frames, "bad_inner");
    gw.finish();
}

#[test]
fn the_outer_congestion_mark_comes_in_and_no_dscp_goes_out() {
    let (mut gw, one, _) = two(&[]);
    let inner = |tos| {
        let ip = Ip { tos, ttl: 64, protocol: 17 };
        packets::ip(addr(&one.inner()), addr(HOST), ip, &[0; 40])
    };
    let message = one.session().seal(1, &inner(0xb8 | 2));
    let packet = packets::udp(one.at, one.to, 3, &message);
    gw.wan(&packets::frame(crate::harness::WAN_MAC, crate::harness::ROUTER_MAC, &packet));
    gw.settle();
    assert_eq!(gw.delivered()[0][1], 0xb8 | 3);
    let ip = Ip { tos: 0xb8 | 1, ttl: 64, protocol: 17 };
    gw.lan(&packets::ip(addr(HOST), addr(&one.inner()), ip, &[0; 40]));
    gw.settle();
    assert_eq!(gw.datagrams()[0].tos, 1);
    gw.finish();
}

/// TESTING A10: forged, replayed, cookie reply; an old packet within the window moves it.
/// PROTOCOL A8.4: the endpoint moves before the inner source is checked.
/// Mistake: roaming only on initiations.
#[test]
fn the_endpoint_moves_with_authenticated_data_only() {
    let (mut gw, mut one, _) = two(&[]);
    let home = one.at;
    let moved: SocketAddr = "203.0.113.7:7777".parse().unwrap();
    let at = |client: &mut Client, at: SocketAddr, payload: &[u8]| {
        let here = std::mem::replace(&mut client.at, at);
        let frame = client.frame(payload);
        client.at = here;
        frame
    };
    let inner = tagged(&one.inner(), HOST, 1, 96);
    let first = one.session().seal(10, &inner);
    gw.wan(&one.frame(&first));
    gw.settle();
    gw.frames();
    let mut forged = one.session().seal(11, &inner);
    *forged.last_mut().unwrap() ^= 1;
    let mut cookie = vec![0; 64];
    cookie[0] = 3;
    for (payload, reason) in [(forged, "auth_failed"), (first, "replay"), (cookie, "handshake_refused")] {
        let frame = at(&mut one, moved, &payload);
        gw.silent(&[frame], reason);
        assert_eq!(gw.endpoint(&one).unwrap().remote, home, "{reason}");
    }
    // An older packet within the window moves it, as the kernel does.
    let old = one.session().seal(5, &inner);
    let frame = at(&mut one, moved, &old);
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.endpoint(&one).unwrap().remote, moved);
    gw.frames();
    one.at = moved;
    gw.lan(&tagged(HOST, &one.inner(), 8, 96));
    gw.settle();
    assert_eq!(gw.received_by(&one).iter().map(|p| tag(p)).collect::<Vec<_>>(), [8]);
    // So does a packet whose inner source is wrong: it is authentic.
    one.at = home;
    let spoof = one.session().seal(20, &tagged("10.9.9.9", HOST, 1, 96));
    gw.silent(&[one.frame(&spoof)], "allowedips_src");
    assert_eq!(gw.endpoint(&one).unwrap().remote, home);
    gw.finish();
}

/// PROTOCOL A3.7: the endpoint is the initiation's source.
/// PROTOCOL A8.9: roaming, between families too.
#[test]
fn an_initiation_moves_the_endpoint_and_another_family_is_no_hindrance() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some("203.0.113.1:1".parse().unwrap()), ..peer(&client) });
    gw.connect(&mut client);
    assert_eq!(gw.endpoint(&client).unwrap().remote, client.at);
    let v6 = Client::v6(1);
    (client.at, client.to) = (v6.at, v6.to);
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.settle();
    gw.lan(&tagged(HOST, &client.inner(), 8, 1420));
    gw.settle();
    assert_eq!(gw.endpoint(&client).unwrap().remote, v6.at);
    let received = gw.received_by(&client);
    assert_eq!((received.len(), tag(&received[0])), (1, 8));
    gw.finish();
}

/// PROTOCOL A8.9: sticky source.
#[test]
fn answers_leave_from_the_address_that_the_peer_talked_to() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    for to in ["192.0.2.2:51820", "192.0.2.1:51820"] {
        client.to = to.parse().unwrap();
        let initiation = client.initiation();
        gw.wan(&client.frame(&initiation));
        gw.settle();
        let response = gw.datagrams().remove(0);
        assert_eq!(response.from, client.to);
        assert!(client.take_response(&response.payload));
        let keepalive = client.data(&[]);
        gw.wan(&keepalive);
        gw.lan(&tagged(HOST, &client.inner(), 1, 96));
        gw.settle();
        assert_eq!(gw.datagrams().iter().map(|d| d.from).collect::<Vec<_>>(), [client.to]);
        gw.leap_ms(20);
    }
    // Without a new handshake, too.
    client.to = "192.0.2.2:51820".parse().unwrap();
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.settle();
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert_eq!(gw.datagrams().iter().map(|d| d.from).collect::<Vec<_>>(), [client.to]);
    gw.finish();
}

#[test]
fn one_client_reaches_another_with_one_hop_less() {
    let (mut gw, mut one, two) = two(&[]);
    for (source, destination) in [(one.inner(), two.inner()), (one.inner6(), two.inner6())] {
        let frame = one.data(&tagged(&source, &destination, 4, 1420));
        gw.wan(&frame);
        gw.settle();
        let received = gw.received_by(&two);
        assert_eq!(received.len(), 1);
        assert_eq!(heads(&received[0]), (addr(&source), addr(&destination), 63));
    }
    gw.finish();
}

/// Its sender is told; nobody else hears of it.
#[test]
fn the_last_hop_is_not_forwarded() {
    let (mut gw, mut one, two) = two(&[]);
    let packet = |source: &str, destination: &str, ttl| {
        packets::ip(addr(source), addr(destination), Ip { tos: 0, ttl, protocol: 17 }, &[0; 40])
    };
    let mut sent = Vec::new();
    for ttl in [0, 1] {
        for (source, destination) in
            [(one.inner(), two.inner()), (one.inner(), HOST.to_owned()), (one.inner6(), HOST6.to_owned())]
        {
            let packet = packet(&source, &destination, ttl);
            let frame = one.data(&packet);
            gw.wan(&frame);
            sent.push(packet);
        }
    }
    gw.settle();
    let errors = IcmpError::all(&gw.received_by(&one));
    assert_eq!(errors.iter().map(|e| e.quoted.clone()).collect::<Vec<_>>(), sent);
    let from_host = packet(HOST, &one.inner(), 1);
    gw.lan(&from_host);
    gw.settle();
    let (wan, lan) = gw.frames();
    assert_eq!((wan.len(), lan.len(), gw.dropped("ttl_expired")), (0, 1, 7));
    assert_eq!(IcmpError::of(&lan[0][14..]).unwrap().quoted, from_host);
    gw.finish();
}
