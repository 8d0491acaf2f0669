//! What senders of inner packets that go no further are told, how often, and about what nobody is (RFC 792, 1122, 1812, 4443).

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, HOST6, LAN_MAC, LISTEN_PORT, Options, allow, peer, server_key};
use crate::packets::{self, IcmpError, Ip, addr, tag, tagged, whole, with_flags};
use culvert::control::change::PeerChange;
use culvert::frame::{BURST, Frame};
use culvert::noise::Identity;
use culvert::wire::arp::ArpPacket;
use culvert::wire::{MacAddr, protocol};

const NOBODY: &str = "10.77.0.1";
const NOBODY6: &str = "fd77::1";

/// Two clients with sessions, and one that never came.
fn three(options: &Options) -> (Gateway, Client, Client, Client) {
    let mut gw = Gateway::with(options);
    let (mut one, mut two, absent) = (Client::new(1), Client::new(2), Client::new(3));
    for client in [&one, &two, &absent] {
        gw.add(client);
    }
    gw.connect(&mut one);
    gw.connect(&mut two);
    gw.frames();
    (gw, one, two, absent)
}

/// A packet comes out of the client's tunnel.
fn tunnel(gw: &mut Gateway, client: &mut Client, packet: &[u8]) {
    let frame = client.data(packet);
    gw.wan(&frame);
}

/// What the host heard: nothing but errors.
fn host_heard(gw: &mut Gateway) -> Vec<IcmpError> {
    gw.settle();
    IcmpError::all(&gw.delivered())
}

/// What the client heard: nothing but errors.
fn client_heard(gw: &mut Gateway, client: &Client) -> Vec<IcmpError> {
    gw.settle();
    IcmpError::all(&gw.received_by(client))
}

/// One error from our inner address about this packet: its beginning is quoted, as long as an error may be.
fn is_about(errors: &[IcmpError], packet: &[u8], kind: (u8, u8), mtu: u32) {
    let [error] = errors else { panic!("not one error: {errors:?}") };
    let (source, ..) = packets::heads(packet);
    let (ours, most) = if source.is_ipv4() { ("10.0.0.1", 576 - 28) } else { ("fd00::1", 1280 - 48) };
    assert_eq!((error.from, error.to, error.kind, error.mtu), (addr(ours), source, kind, mtu));
    assert_eq!(error.quoted, packet[..packet.len().min(most)]);
}

/// PROTOCOL A8.1: host unreachable, address unreachable.
#[test]
fn no_peer_for_the_destination() {
    let (mut gw, one, ..) = three(&Options::default());
    for (from, to, kind) in [(HOST, NOBODY, (3, 1)), (HOST6, NOBODY6, (1, 3))] {
        for len in [96, 1400] {
            let packet = tagged(from, to, 1, len);
            gw.lan(&packet);
            is_about(&host_heard(&mut gw), &packet, kind, 0);
        }
    }
    assert_eq!(gw.dropped("no_peer"), 4);
    assert!(client_heard(&mut gw, &one).is_empty());
    gw.finish();
}

/// PROTOCOL A8.1: the same.
#[test]
fn a_peer_without_endpoint() {
    let (mut gw, mut one, _, absent) = three(&Options::default());
    for (from, to, kind) in [(HOST, absent.inner(), (3, 1)), (HOST6, absent.inner6(), (1, 3))] {
        let packet = tagged(from, &to, 1, 96);
        gw.lan(&packet);
        let heard = host_heard(&mut gw);
        // It was one hop further already (RFC 1812, 4.3.2.3).
        assert_eq!((heard.len(), heard[0].kind), (1, kind));
        assert_eq!(packets::heads(&heard[0].quoted).2, 63);
    }
    let packet = tagged(&one.inner(), &absent.inner(), 1, 96);
    tunnel(&mut gw, &mut one, &packet);
    let heard = client_heard(&mut gw, &one);
    assert_eq!((heard.len(), heard[0].kind, heard[0].to), (1, (3, 1), addr(&one.inner())));
    assert_eq!((gw.dropped("no_endpoint"), gw.shared.staged.held()), (3, 0));
    gw.finish();
}

#[test]
fn no_route_for_what_came_out_of_a_tunnel() {
    let (mut gw, mut one, ..) = three(&Options::default());
    for (from, to, kind) in [(one.inner(), NOBODY, (3, 0)), (one.inner6(), NOBODY6, (1, 0))] {
        let packet = tagged(&from, to, 1, 96);
        tunnel(&mut gw, &mut one, &packet);
        is_about(&client_heard(&mut gw, &one), &packet, kind, 0);
    }
    assert_eq!(gw.dropped("no_route"), 2);
    gw.finish();
}

#[test]
fn the_last_hop_quotes_the_packet_as_it_came() {
    let (mut gw, mut one, two, _) = three(&Options::default());
    let last = |from: &str, to: &str| {
        let ip = Ip { tos: 0, ttl: 1, protocol: protocol::UDP };
        packets::ip(addr(from), addr(to), ip, &[0; 40])
    };
    for (from, to, kind) in [(HOST, one.inner(), (11, 0)), (HOST6, one.inner6(), (3, 0))] {
        let packet = last(from, &to);
        gw.lan(&packet);
        is_about(&host_heard(&mut gw), &packet, kind, 0);
    }
    for (from, to, kind) in [
        (one.inner(), HOST.to_owned(), (11, 0)),
        (one.inner6(), HOST6.to_owned(), (3, 0)),
        (one.inner(), two.inner(), (11, 0)),
    ] {
        let packet = last(&from, &to);
        tunnel(&mut gw, &mut one, &packet);
        is_about(&client_heard(&mut gw, &one), &packet, kind, 0);
    }
    assert_eq!(gw.dropped("ttl_expired"), 5);
    gw.finish();
}

#[test]
fn larger_than_the_tunnel_or_the_port() {
    let (mut gw, mut one, two, _) = three(&Options::default());
    for (from, to, kind) in [(HOST, one.inner(), (3, 4)), (HOST6, one.inner6(), (2, 0))] {
        gw.lan(&whole(tagged(from, &to, 1, 1421)));
        let heard = host_heard(&mut gw);
        assert_eq!((heard.len(), heard[0].kind, heard[0].mtu), (1, kind, 1420));
        // What fits goes.
        gw.lan(&whole(tagged(from, &to, 2, 1420)));
        gw.settle();
        assert_eq!(gw.received_by(&one).len(), 1);
    }
    let (inner, inner6) = (one.inner(), one.inner6());
    let ways = [
        (&*inner, &*two.inner(), 1421, (3, 4), 1420),
        (&*inner6, &*two.inner6(), 1421, (2, 0), 1420),
        (&*inner, HOST, 1501, (3, 4), 1500),
        (&*inner6, HOST6, 1501, (2, 0), 1500),
    ];
    for (from, to, len, kind, mtu) in ways {
        let packet = whole(tagged(from, to, 1, len));
        tunnel(&mut gw, &mut one, &packet);
        let heard = client_heard(&mut gw, &one);
        assert_eq!((heard.len(), heard[0].kind, heard[0].mtu), (1, kind, mtu));
    }
    assert_eq!(gw.dropped("too_big"), 6);
    gw.finish();
}

/// The MTU that counts is that of the interface which the packet would go into.
#[test]
fn from_one_interface_into_another() {
    let listen_ports = vec![vec![LISTEN_PORT], vec![51821]];
    let mut gw = Gateway::with(&Options { listen_ports, other_mtu: 1300, ..Options::default() });
    let (mut one, mut far) = (Client::new(1), Client::of(2, 1, &Identity::new(&server_key(1))));
    far.to.set_port(51821);
    for client in [&mut one, &mut far] {
        gw.add(client);
        gw.connect(client);
    }
    gw.frames();
    let packet = whole(tagged(&one.inner(), &far.inner(), 1, 1301));
    tunnel(&mut gw, &mut one, &packet);
    assert_eq!(client_heard(&mut gw, &one).iter().map(|e| e.mtu).collect::<Vec<_>>(), [1300]);
    let packet = whole(tagged(&far.inner(), &one.inner(), 1, 1421));
    tunnel(&mut gw, &mut far, &packet);
    assert_eq!(client_heard(&mut gw, &far).iter().map(|e| e.mtu).collect::<Vec<_>>(), [1420]);
    for len in [1300, 1400] {
        let packet = tagged(&one.inner(), &far.inner(), 1, len);
        tunnel(&mut gw, &mut one, &packet);
    }
    gw.settle();
    assert_eq!(gw.received_by(&far).len(), 1 + 2);
    gw.finish();
}

#[test]
fn an_error_fits_into_the_tunnel_that_it_goes_back_by() {
    let (mut gw, mut one, ..) = three(&Options { mtu: 300, ..Options::default() });
    let packet = tagged(&one.inner(), NOBODY, 1, 300);
    tunnel(&mut gw, &mut one, &packet);
    let heard = client_heard(&mut gw, &one);
    assert_eq!((heard.len(), heard[0].quoted.len()), (1, 300 - 28));
    gw.finish();
}

#[test]
fn a_next_hop_that_never_answers() {
    let (mut gw, mut one, ..) = three(&Options::default());
    for (from, to, kind) in [(one.inner(), "10.0.0.77", (3, 1)), (one.inner6(), "fd00::77", (1, 3))] {
        let packet = tagged(&from, to, 1, 96);
        tunnel(&mut gw, &mut one, &packet);
        gw.settle();
        assert!(gw.datagrams().is_empty());
        gw.pass_ms(3100);
        let heard: Vec<_> =
            gw.datagrams().iter().filter_map(|d| one.open(&d.payload)).filter(|plain| !plain.is_empty()).collect();
        assert_eq!(IcmpError::all(&heard).iter().map(|e| e.kind).collect::<Vec<_>>(), [kind]);
    }
    gw.finish();
}

/// The error waits for its receiver's MAC address like any packet.
#[test]
fn a_sender_whose_mac_address_is_not_known() {
    let (mut gw, ..) = three(&Options::default());
    let packet = tagged("10.0.0.77", NOBODY, 1, 96);
    gw.lan(&packet);
    gw.settle();
    let asked = gw.frames().1.remove(0);
    let asked = ArpPacket::new_checked(&asked[14..]).unwrap();
    assert_eq!(asked.target_ip.to_string(), "10.0.0.77");
    let mut reply = [0; 28];
    asked.reply(HOST_MAC).write(&mut reply);
    let frame = [&LAN_MAC.0[..], &HOST_MAC.0, &[8, 6], &reply].concat();
    let frame = gw.packet(&frame);
    gw.lan_rx[0].push(frame);
    is_about(&host_heard(&mut gw), &packet, (3, 1), 0);
    gw.finish();
}

#[test]
fn about_what_nobody_is_told() {
    let (mut gw, mut one, ..) = three(&Options::default());
    let icmp = |from: &str, to: &str, message: [u8; 8]| {
        let protocol = if addr(from).is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        packets::ip(addr(from), addr(to), Ip { tos: 0, ttl: 64, protocol }, &message)
    };
    let mut silent = vec![
        // Errors and redirects; unknown types.
        icmp(HOST, NOBODY, [3, 1, 0, 0, 0, 0, 0, 0]),
        icmp(HOST, NOBODY, [11, 0, 0, 0, 0, 0, 0, 0]),
        icmp(HOST, NOBODY, [5, 0, 0, 0, 0, 0, 0, 0]),
        icmp(HOST, NOBODY, [77, 0, 0, 0, 0, 0, 0, 0]),
        icmp(HOST6, NOBODY6, [1, 0, 0, 0, 0, 0, 0, 0]),
        icmp(HOST6, NOBODY6, [100, 0, 0, 0, 0, 0, 0, 0]),
        // Not the first fragment.
        with_flags(tagged(HOST, NOBODY, 1, 96), 1),
        with_flags(tagged(HOST, NOBODY, 1, 96), 0x2001),
        // Subnets' broadcast addresses, either way.
        tagged(HOST, "10.0.0.255", 1, 96),
        tagged(HOST, "10.0.0.0", 1, 96),
    ];
    // Sources that are nobody's, ours, or behind no inner port: a peer's too.
    for source in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "240.0.0.1", "10.0.0.255", "10.0.0.1", "192.0.2.1"] {
        silent.push(tagged(source, NOBODY, 1, 96));
    }
    for source in ["198.51.100.99", &one.inner()] {
        silent.push(tagged(source, NOBODY, 1, 96));
    }
    for source in ["::", "::1", "fd00::1", "fd66::1", &one.inner6()] {
        silent.push(tagged(source, NOBODY6, 1, 96));
    }
    for packet in &silent {
        gw.lan(packet);
        gw.settle();
        let (wan, lan) = gw.frames();
        assert!(wan.is_empty() && lan.is_empty(), "{packet:02x?} was answered");
    }
    assert_eq!(gw.dropped("no_peer"), silent.len() as u64);
    // To the link's groups, whatever stands inside.
    for to in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr([0x33, 0x33, 0, 0, 0, 1])] {
        let frame = gw.packet(&packets::frame(to, HOST_MAC, &tagged(HOST, NOBODY, 1, 96)));
        gw.lan_rx[0].push(frame);
    }
    // The same out of a tunnel.
    for packet in [
        icmp(&one.inner(), NOBODY, [3, 1, 0, 0, 0, 0, 0, 0]),
        with_flags(tagged(&one.inner(), NOBODY, 1, 96), 1),
        tagged(&one.inner(), "224.0.0.9", 1, 96),
        tagged(&one.inner6(), "ff02::9", 1, 96),
    ] {
        tunnel(&mut gw, &mut one, &packet);
    }
    gw.settle();
    let (wan, lan) = gw.frames();
    assert!(wan.is_empty() && lan.is_empty());
    // The first fragment is answered.
    let first = with_flags(tagged(HOST, NOBODY, 1, 96), 0x2000);
    gw.lan(&first);
    is_about(&host_heard(&mut gw), &first, (3, 1), 0);
    gw.finish();
}

/// Sources that a peer which has everything may claim: our own, groups', and such as are no host's. An error to them would go back into that
/// tunnel, or to all.
#[test]
fn about_what_nobody_is_told_who_may_claim_any_source() {
    let (mut gw, mut one, two, _) = three(&Options::default());
    let allowed_ips = ["0.0.0.0/0", "::/0"].map(allow).to_vec();
    gw.change_peer(PeerChange { allowed_ips, ..peer(&one) });
    let sources =
        ["0.0.0.0", "127.0.0.1", "255.255.255.255", "240.0.0.1", "10.0.0.255", "10.0.0.0", "10.0.0.1", "192.0.2.1"];
    let sources6 = ["::", "::1", "ff02::1", "fd00::1", "2001:db8:1::1"];
    for (to, source) in sources.map(|s| (two.inner(), s)).into_iter().chain(sources6.map(|s| (two.inner6(), s))) {
        let packet = whole(tagged(source, &to, 1, 1421));
        tunnel(&mut gw, &mut one, &packet);
        gw.settle();
        let (wan, lan) = gw.frames();
        assert!(wan.is_empty() && lan.is_empty(), "{source} was answered");
    }
    // Any other is.
    let packet = whole(tagged("198.51.100.99", &two.inner(), 1, 1421));
    tunnel(&mut gw, &mut one, &packet);
    assert_eq!(client_heard(&mut gw, &one).len(), 1);
    gw.finish();
}

/// A peer that has everything does not get what is meant for a host behind the inner port.
#[test]
fn a_default_route_through_a_peer_takes_no_error_away_from_the_host() {
    let (mut gw, mut one, two, _) = three(&Options::default());
    let allowed_ips = ["0.0.0.0/0", "::/0"].map(allow).to_vec();
    gw.change_peer(PeerChange { allowed_ips, ..peer(&one) });
    gw.lan(&whole(tagged(HOST, &two.inner(), 1, 1500)));
    let heard = host_heard(&mut gw);
    assert_eq!((heard.len(), heard[0].kind, heard[0].mtu), (1, (3, 4), 1420));
    assert!(gw.datagrams().is_empty());
    // And who forges a host's address from within the tunnel hears of it himself.
    let packet = whole(tagged("10.88.0.1", &two.inner(), 1, 1421));
    tunnel(&mut gw, &mut one, &packet);
    assert_eq!(client_heard(&mut gw, &one).len(), 1);
    gw.finish();
}

#[test]
fn each_destination_hears_ten_a_second() {
    let (mut gw, mut one, ..) = three(&Options::default());
    for n in 0..30 {
        gw.lan(&tagged(HOST, NOBODY, n, 96));
    }
    assert_eq!(host_heard(&mut gw).len(), 10);
    // Another one's are its own.
    let packet = tagged(&one.inner(), NOBODY, 1, 96);
    tunnel(&mut gw, &mut one, &packet);
    assert_eq!(client_heard(&mut gw, &one).len(), 1);
    gw.leap_ms(250);
    for n in 0..30 {
        gw.lan(&tagged(HOST, NOBODY, n, 96));
    }
    assert_eq!(host_heard(&mut gw).len(), 2);
    assert_eq!(gw.dropped("no_peer"), 60);
    gw.finish();
}

/// A scan of 10^5 addresses without peers: it reaches the control thread at a bounded rate, and costs others nothing: data goes on,
/// and who sends too large packets is told so.
#[test]
fn a_scan_costs_others_nothing() {
    let (mut gw, mut one, ..) = three(&Options::default());
    let before = gw.account();
    let started_ms = gw.time.load(std::sync::atomic::Ordering::Relaxed);
    let mut answered = 0;
    let (mut data, mut too_big) = (0, 0);
    for round in 0..3125_u32 {
        for n in 0..BURST as u32 {
            // Sources differ too: no table of theirs may grow.
            let number = round * BURST as u32 + n;
            let to = format!("10.{}.{}.{}", 100 + (number >> 16), number >> 8 & 0xff, number & 0xff);
            let from = format!("10.0.0.{}", if n % 2 == 0 { 9 } else { 2 + number % 250 });
            gw.lan(&tagged(&from, &to, 1, 60));
        }
        // When the scan has used up all that it may have.
        if round == 1550 || round == 3050 {
            let packet = whole(tagged(&one.inner(), HOST, u32::MAX, 1501));
            tunnel(&mut gw, &mut one, &packet);
        }
        if round % 100 == 0 {
            gw.lan(&tagged(HOST, &one.inner(), round, 96));
            let packet = tagged(&one.inner(), HOST, round, 96);
            tunnel(&mut gw, &mut one, &packet);
        }
        gw.step();
        if round % 100 == 99 {
            gw.leap_ms(10);
            gw.settle();
            let (told, arrived): (Vec<_>, Vec<_>) =
                gw.received_by(&one).into_iter().partition(|p| IcmpError::of(p).is_some());
            too_big += IcmpError::all(&told).iter().filter(|error| error.kind == (3, 4)).count();
            data += arrived.iter().filter(|p| tag(p) + 99 == round).count();
            let (errors, others): (Vec<_>, Vec<_>) =
                gw.delivered().into_iter().partition(|p| IcmpError::of(p).is_some());
            data += others.iter().filter(|p| tag(p) + 99 == round).count();
            answered += errors.len();
        }
    }
    gw.settle();
    let passed_ms = gw.time.load(std::sync::atomic::Ordering::Relaxed) - started_ms;
    assert_eq!(data, 2 * 31, "data both ways");
    assert_eq!(too_big, 2, "others hear what they need");
    assert_eq!(gw.dropped("no_peer"), 100_000);
    assert!(answered >= 10 && answered as u64 <= 10 + 10 * passed_ms / 1000 + 10, "{answered} in {passed_ms} ms");
    // One core: 50 at once, one a millisecond; besides, ARP's answers are none.
    let handed = gw.account().to_control - before.to_control;
    assert!(handed <= 2 * (50 + passed_ms + 31), "{handed} in {passed_ms} ms");
    gw.leap_ms(2000);
    gw.frames();
    gw.lan(&whole(tagged(HOST, &one.inner(), 1, 1500)));
    assert_eq!(host_heard(&mut gw).iter().map(|e| e.kind).collect::<Vec<_>>(), [(3, 4)]);
    gw.finish();
}

/// A dry pool costs the error, and nothing else.
#[test]
fn a_dry_pool() {
    let (mut gw, ..) = three(&Options { pool: 512, ..Options::default() });
    let packet = gw.packet(&packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, NOBODY, 1, 96)));
    let held: Vec<_> = std::iter::from_fn(|| culvert::frame::PacketPool::alloc(&gw.pool)).collect();
    assert!(held.iter().all(|p| p.data().is_empty()));
    gw.lan_rx[0].push(packet);
    gw.settle();
    assert_eq!((gw.dropped("no_peer"), gw.frames().1.len()), (1, 0));
    drop(held);
    gw.finish();
}
