//! Several interfaces in one gateway, and several listen ports on one interface.

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, allow, peer, server_key};
use crate::packets::{addr, tag, tagged, whole};
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};
use culvert::control::interface::{ChangeError, WgDevice};
use culvert::control::uapi::{Device, Errno};
use culvert::noise::Identity;
use std::net::SocketAddr;
use std::sync::Arc;

/// wg0 on 51820, 443 and 53; wg1 on 51821 alone, with a smaller MTU.
fn two() -> Gateway {
    let listen_ports = vec![vec![51820, 443, 53], vec![51821]];
    Gateway::with(&Options { listen_ports, other_mtu: 1300, max_peers: 2, ..Options::default() })
}

/// A client of that interface, which talks to its first port.
fn client(number: u8, tunnel: u8) -> Client {
    let mut client = Client::of(number, tunnel, &Identity::new(&server_key(tunnel)));
    client.to.set_port(51820 + u16::from(tunnel));
    client
}

/// It, and that it is connected.
fn connected(gw: &mut Gateway, number: u8, tunnel: u8) -> Client {
    let mut client = client(number, tunnel);
    gw.add(&client);
    gw.connect(&mut client);
    client
}

fn change(peers: Vec<PeerChange>) -> ChangeSet {
    ChangeSet { peers, ..ChangeSet::default() }
}

/// The host sends to this address: who gets it, and from which end of ours.
fn goes_to(gw: &mut Gateway, address: &str) -> Vec<(SocketAddr, SocketAddr)> {
    gw.lan(&tagged(HOST, address, 7, 96));
    gw.settle();
    gw.datagrams().iter().map(|d| (d.from, d.to)).collect()
}

/// A packet of the client's with this source reaches the host.
fn reaches_host(gw: &mut Gateway, client: &mut Client, source: &str) -> bool {
    let frame = client.data(&tagged(source, HOST, 3, 96));
    gw.wan(&frame);
    gw.settle();
    gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>() == [3]
}

#[test]
fn one_public_key_is_a_peer_on_each_of_two_interfaces() {
    let mut gw = two();
    let mut zero = connected(&mut gw, 1, 0);
    let mut one = client(1, 1);
    one.at.set_port(4001);
    let allowed_ips = vec![allow("10.2.0.1/32")];
    gw.apply_to(1, change(vec![PeerChange { allowed_ips, ..peer(&one) }])).unwrap();
    gw.connect(&mut one);
    assert_eq!(zero.key(), one.key());
    assert_ne!(gw.record(&zero).flow, gw.record(&one).flow);
    gw.frames();
    assert!(reaches_host(&mut gw, &mut zero, "10.1.0.1"));
    assert!(reaches_host(&mut gw, &mut one, "10.2.0.1"));
    assert_eq!(goes_to(&mut gw, "10.1.0.1"), [(zero.to, zero.at)]);
    assert_eq!(goes_to(&mut gw, "10.2.0.1"), [(one.to, one.at)]);
    // Each session allows what its own peer has.
    let spoofed = [zero.data(&tagged("10.2.0.1", HOST, 1, 96)), one.data(&tagged("10.1.0.1", HOST, 1, 96))];
    gw.silent(&spoofed, "allowedips_src");
    // It goes from one interface and stays on the other.
    gw.apply_to(1, change(vec![PeerChange { public_key: one.key(), remove: true, ..PeerChange::default() }])).unwrap();
    assert!(reaches_host(&mut gw, &mut zero, "10.1.0.1"));
    let frame = one.data(&[]);
    gw.silent(&[frame], "unknown_index");
    gw.finish();
}

#[test]
fn an_interface_answers_to_its_own_key_and_its_own_peers_only() {
    let mut gw = two();
    let mut zero = client(1, 0);
    gw.add(&zero);
    zero.to.set_port(51821);
    let initiation = zero.initiation();
    gw.silent(&[zero.frame(&initiation)], "bad_mac1");
    // With wg1's key it is a stranger there.
    let mut stranger = Client::of(1, 0, &Identity::new(&server_key(1)));
    stranger.to.set_port(51821);
    let initiation = stranger.initiation();
    gw.silent(&[stranger.frame(&initiation)], "handshake_refused");
    gw.finish();
}

#[test]
fn a_session_is_unknown_on_another_interfaces_port() {
    let mut gw = two();
    let mut zero = connected(&mut gw, 1, 0);
    let here = zero.to;
    let message = zero.session().seal(9, &tagged("10.1.0.1", HOST, 3, 96));
    zero.to.set_port(51821);
    zero.at.set_port(4999);
    gw.silent(&[zero.frame(&message)], "unknown_index");
    assert_eq!(gw.endpoint(&zero).unwrap().remote.port(), 4000, "and moves nobody");
    // Its counter was not taken.
    zero.to = here;
    gw.wan(&zero.frame(&message));
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    gw.finish();
}

#[test]
fn a_response_counts_only_on_the_interface_that_asked() {
    let mut gw = two();
    // The same key on both: mac1 is good everywhere.
    let private_key = Some(SecretKey::new(&server_key(0)));
    gw.apply_to(1, ChangeSet { private_key, ..ChangeSet::default() }).unwrap();
    let mut zero = client(1, 0);
    gw.change_peer(PeerChange { endpoint: Some(zero.at), ..peer(&zero) });
    gw.lan(&tagged(HOST, &zero.inner(), 5, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0);
    let response = zero.respond(&initiation.payload).unwrap();
    let there = SocketAddr::new(zero.to.ip(), 51821);
    let here = std::mem::replace(&mut zero.to, there);
    gw.silent(&[zero.frame(&response)], "handshake_refused");
    // A peer of wg0 is none of wg1's.
    let initiation = zero.initiation();
    gw.silent(&[zero.frame(&initiation)], "handshake_refused");
    zero.to = here;
    gw.wan(&zero.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&zero).iter().map(|p| tag(p)).collect::<Vec<_>>(), [5]);
    gw.finish();
}

#[test]
fn answers_leave_from_the_address_and_the_port_that_were_asked() {
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8:1::1"] {
        for port in [51820, 443, 53] {
            let mut gw = two();
            let mut client = if address.contains(':') { Client::v6(1) } else { Client::new(1) };
            client.to = SocketAddr::new(addr(address), port);
            gw.add(&client);
            let initiation = client.initiation();
            gw.wan(&client.frame(&initiation));
            gw.settle();
            let response = gw.datagrams().remove(0);
            assert_eq!((response.kind(), response.from, response.to), (2, client.to, client.at));
            assert!(client.take_response(&response.payload));
            // Data answers data; a keepalive of ten seconds' silence comes from there as well.
            assert!(reaches_host(&mut gw, &mut client, "10.1.0.1"));
            assert_eq!(goes_to(&mut gw, "10.1.0.1"), [(client.to, client.at)]);
            assert!(reaches_host(&mut gw, &mut client, "10.1.0.1"));
            gw.pass_ms(10_010);
            let keepalive = gw.datagrams().remove(0);
            assert_eq!((keepalive.from, keepalive.payload.len()), (client.to, 32));
            gw.finish();
        }
    }
}

#[test]
fn who_has_not_talked_is_spoken_to_from_the_primary_port() {
    let mut gw = two();
    for tunnel in [0, 1] {
        let client = client(1 + tunnel, tunnel);
        gw.apply_to(tunnel, change(vec![PeerChange { endpoint: Some(client.at), ..peer(&client) }])).unwrap();
        assert_eq!(goes_to(&mut gw, &client.inner()), [(client.to, client.at)]);
    }
    gw.finish();
}

#[test]
fn data_to_another_port_moves_our_end() {
    let mut gw = two();
    let mut client = connected(&mut gw, 1, 0);
    for to in ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.2:443", "192.0.2.1:51820"] {
        client.to = to.parse().unwrap();
        assert!(reaches_host(&mut gw, &mut client, "10.1.0.1"));
        assert_eq!(gw.endpoint(&client).unwrap().local, Some(client.to));
        assert_eq!(goes_to(&mut gw, "10.1.0.1"), [(client.to, client.at)]);
    }
    // Only what is authentic does.
    let mut forged = client.session().seal(99, &[]);
    *forged.last_mut().unwrap() ^= 1;
    client.to.set_port(443);
    gw.silent(&[client.frame(&forged)], "auth_failed");
    assert_eq!(gw.endpoint(&client).unwrap().local.unwrap().port(), 51820);
    gw.finish();
}

#[test]
fn a_silent_peer_is_tried_from_another_address_and_the_same_port() {
    let mut gw = two();
    let mut client = client(1, 0);
    client.to = "192.0.2.2:443".parse().unwrap();
    gw.add(&client);
    gw.connect(&mut client);
    assert_eq!(goes_to(&mut gw, "10.1.0.1"), [(client.to, client.at)]);
    // T3, after fifteen seconds and a jitter.
    gw.pass_ms(15_500);
    let sent = gw.datagrams().pop().unwrap();
    assert_eq!((sent.kind(), sent.from), (1, "192.0.2.1:443".parse().unwrap()));
    gw.finish();
}

#[test]
fn from_a_client_of_one_interface_to_one_of_the_other() {
    let mut gw = two();
    let mut clients = [connected(&mut gw, 1, 0), connected(&mut gw, 2, 1)];
    gw.frames();
    for _ in 0..2 {
        clients.swap(0, 1);
        let [from, to] = &mut clients;
        let frame = from.data(&tagged(&from.inner(), &to.inner(), 4, 200));
        gw.wan(&frame);
        gw.settle();
        let sent = gw.datagrams();
        assert_eq!(sent.iter().map(|d| (d.from, d.to)).collect::<Vec<_>>(), [(to.to, to.at)]);
        assert_eq!(tag(&to.open(&sent[0].payload).unwrap()), 4);
    }
    gw.finish();
}

#[test]
fn each_interface_has_its_own_mtu() {
    let mut gw = two();
    let (zero, one) = (connected(&mut gw, 1, 0), connected(&mut gw, 2, 1));
    gw.frames();
    for (client, fits) in [(&zero, 1420), (&one, 1300)] {
        gw.lan(&tagged(HOST, &client.inner(), 1, fits));
        gw.settle();
        assert_eq!(gw.received_by(client).iter().map(Vec::len).collect::<Vec<_>>(), [fits], "no padding beyond it");
        let before = gw.dropped("too_big");
        gw.lan(&whole(tagged(HOST, &client.inner(), 1, fits + 1)));
        gw.settle();
        assert_eq!((gw.received_by(client).len(), gw.dropped("too_big") - before), (0, 1));
    }
    gw.finish();
}

#[test]
fn a_change_touches_its_own_interface_only() {
    let mut gw = two();
    let (mut zero, mut one) = (connected(&mut gw, 1, 0), connected(&mut gw, 2, 1));
    // A peer of wg1 has the key that becomes wg0's: it is no peer with itself there.
    let private_key = Some(SecretKey::new(&[2; 32]));
    gw.apply(ChangeSet { private_key, ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.context.identity(1).unwrap().public_key(), Identity::new(&server_key(1)).public_key());
    assert_eq!(goes_to(&mut gw, &one.inner()), [(one.to, one.at)], "still a session");
    assert_eq!(goes_to(&mut gw, &zero.inner()).len(), 1, "an initiation with the new key");
    gw.apply(ChangeSet { replace_peers: true, ..ChangeSet::default() }).unwrap();
    gw.settle();
    assert_eq!([0, 1].map(|n: usize| gw.interfaces[n].peers()), [0, 1]);
    let frame = zero.data(&[]);
    gw.silent(&[frame], "unknown_index");
    assert!(reaches_host(&mut gw, &mut one, "10.1.0.2"));
    gw.finish();
}

#[test]
fn each_interface_has_room_for_its_own_peers() {
    let mut gw = two();
    for (number, tunnel) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        gw.add(&client(number, tunnel));
    }
    for tunnel in [0, 1] {
        let refused = gw.apply_to(tunnel, change(vec![peer(&client(5, tunnel))]));
        assert_eq!(refused, Err(ChangeError::TooManyPeers { wanted: 3, max_peers: 2 }));
    }
    // A whole new set on each, while the old ones go.
    for (from, tunnel) in [(10, 0), (20, 1)] {
        let peers = (from..from + 2).map(|number| peer(&client(number, tunnel))).collect();
        gw.apply_to(tunnel, ChangeSet { replace_peers: true, peers, ..ChangeSet::default() }).unwrap();
    }
    assert_eq!([0, 1].map(|n: usize| gw.interfaces[n].peers()), [2, 2]);
    gw.finish();
}

#[test]
fn the_primary_port_moves_and_who_talked_to_it_hears_from_the_new_one() {
    let mut gw = two();
    let mut first = client(1, 0);
    first.to = "192.0.2.2:51820".parse().unwrap();
    gw.add(&first);
    gw.connect(&mut first);
    let mut second = client(2, 0);
    second.to = "192.0.2.2:443".parse().unwrap();
    gw.add(&second);
    gw.connect(&mut second);
    gw.frames();
    gw.apply(ChangeSet { listen_port: Some(51900), ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.shared.tunnels[0].listen_ports(), [51900, 443, 53]);
    assert_eq!(gw.endpoint(&first).unwrap().local, None);
    assert_eq!(goes_to(&mut gw, &first.inner()), [("192.0.2.1:51900".parse().unwrap(), first.at)]);
    assert_eq!(goes_to(&mut gw, &second.inner()), [(second.to, second.at)], "the others stay");
    // Nobody listens there any more.
    let frame = first.data(&[]);
    gw.silent(&[frame], "not_for_us");
    first.to.set_port(51900);
    assert!(reaches_host(&mut gw, &mut first, "10.1.0.1"));
    assert_eq!(goes_to(&mut gw, &first.inner()), [(first.to, first.at)]);
    // `wg` shows the primary one.
    assert_eq!(WgDevice(Arc::clone(&gw.interface)).get().unwrap().0.listen_port, 51900);
    // A port that went is free for the other interface.
    gw.apply_to(1, ChangeSet { listen_port: Some(51820), ..ChangeSet::default() }).unwrap();
    assert_eq!((gw.shared.listen.tunnel_of(51820), gw.shared.listen.tunnel_of(51821)), (Some(1), None));
    gw.finish();
}

#[test]
fn another_interfaces_port_is_refused_and_nothing_changes() {
    let mut gw = two();
    for port in [51820, 443, 53] {
        let peers = vec![peer(&client(9, 1))];
        let set = || ChangeSet { listen_port: Some(port), fwmark: Some(5), ..ChangeSet::default() };
        let refused = gw.apply_to(1, ChangeSet { peers, replace_peers: true, ..set() });
        assert_eq!(refused, Err(ChangeError::PortTaken { port, interface: "wg0".into() }));
        let device = WgDevice(Arc::clone(&gw.interfaces[1]));
        assert_eq!(device.set(set()), Err(Errno::ADDRINUSE));
        let view = device.get().unwrap().0;
        assert_eq!((view.listen_port, view.fwmark, gw.interfaces[1].peers()), (51821, 0, 0));
        assert_eq!(gw.shared.listen.tunnel_of(port), Some(0));
    }
    gw.finish();
}

#[test]
fn another_interfaces_prefix_is_refused_and_nothing_changes() {
    let mut gw = two();
    let zero = connected(&mut gw, 1, 0);
    let one = client(2, 1);
    let of = |prefixes: &[&str]| PeerChange {
        allowed_ips: prefixes.iter().map(|p| allow(p)).collect(),
        line: 12,
        public_key: one.key(),
        ..PeerChange::default()
    };
    let taken = of(&["10.7.0.0/16", "10.1.0.1/32"]);
    let private_key = Some(SecretKey::new(&[7; 32]));
    let refused = gw.apply_to(1, ChangeSet { private_key, ..change(vec![taken]) });
    let (prefix, interface) = ("10.1.0.1/32".parse().unwrap(), "wg0".into());
    assert_eq!(refused, Err(ChangeError::PrefixTaken { prefix, interface, line: 12 }));
    assert_eq!(gw.interfaces[1].peers(), 0);
    assert_eq!(gw.context.identity(1).unwrap().public_key(), Identity::new(&server_key(1)).public_key());
    let device = WgDevice(Arc::clone(&gw.interfaces[1]));
    assert_eq!(device.set(change(vec![of(&["10.1.0.1/32"])])), Err(Errno::EXIST));
    assert!(goes_to(&mut gw, "10.7.0.1").is_empty());
    assert_eq!(goes_to(&mut gw, "10.1.0.1"), [(zero.to, zero.at)]);
    // A longer or a shorter one is another prefix; and what its owner gives up is free.
    gw.apply_to(1, change(vec![of(&["10.1.0.0/24", "10.7.0.0/16"])])).unwrap();
    gw.change_peer(PeerChange { replace_allowed_ips: true, public_key: zero.key(), ..PeerChange::default() });
    gw.apply_to(1, change(vec![of(&["10.1.0.1/32"])])).unwrap();
    assert_eq!(gw.record(&one).lock().allowed_ips.len(), 3);
    gw.finish();
}
