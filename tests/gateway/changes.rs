//! What `wg` and the peers file change while packets flow.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options, Role, allow, peer};
use crate::packets::{self, tag, tagged};
use crate::running::{Running, take};
use crate::scenes::all_connected;
use culvert::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use culvert::control::interface::ChangeError;
use culvert::noise::Identity;

fn of(client: &Client) -> PeerChange {
    PeerChange { public_key: client.key(), ..PeerChange::default() }
}

fn goes(client: &Client) -> PeerChange {
    PeerChange { remove: true, ..of(client) }
}

/// Which clients get a packet for this address.
fn owner(gw: &mut Gateway, clients: &[Client], address: &str) -> Vec<u8> {
    gw.lan(&tagged(HOST, address, 1, 96));
    gw.settle();
    let sent = gw.datagrams();
    sent.iter().filter(|d| d.kind() == 4).map(|d| clients.iter().find(|c| c.at == d.to).unwrap().number).collect()
}

/// Whether data of the client's newest session is delivered.
fn passes(gw: &mut Gateway, client: &mut Client) -> bool {
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    gw.delivered().len() == 1
}

/// PROTOCOL A10.4: an allowed IP has one owner, the last; `-` takes one away.
/// PROTOCOL A8.1: the longest prefix leads.
#[test]
fn an_allowed_ip_moves_to_who_is_given_it_last() {
    let (mut gw, mut clients) = all_connected(&Options::default(), 2);
    gw.change_peer(PeerChange { allowed_ips: vec![allow("10.5.0.0/16")], ..of(&clients[0]) });
    assert_eq!(owner(&mut gw, &clients, "10.5.0.1"), [1]);
    gw.change_peer(PeerChange { allowed_ips: vec![allow("10.5.0.0/16")], ..of(&clients[1]) });
    assert_eq!(owner(&mut gw, &clients, "10.5.0.1"), [2]);
    assert!(!gw.record(&clients[0]).lock().allowed_ips.contains(&"10.5.0.0/16".parse().unwrap()));
    // The source check goes with it.
    let frame = clients[0].data(&tagged("10.5.0.1", HOST, 1, 96));
    gw.silent(&[frame], "allowedips_src");
    // Who loses a peer does not lose what it had lost before.
    gw.change_peer(goes(&clients[0]));
    assert_eq!(owner(&mut gw, &clients, "10.5.0.1"), [2]);
    // One prefix goes; another's is not touched.
    let allowed_ips = vec![AllowedIpChange { prefix: "10.5.0.0/16".parse().unwrap(), remove: true }];
    gw.change_peer(PeerChange { allowed_ips, ..of(&clients[1]) });
    assert!(owner(&mut gw, &clients, "10.5.0.1").is_empty());
    assert_eq!(owner(&mut gw, &clients, "10.1.0.2"), [2]);
    gw.finish();
}

/// PROTOCOL A10.4: replace_allowed_ips.
#[test]
fn replaced_allowed_ips_are_those_named() {
    let (mut gw, clients) = all_connected(&Options::default(), 1);
    let allowed_ips = vec![allow("10.7.0.0/24"), allow("10.8.0.0/24")];
    gw.change_peer(PeerChange { allowed_ips, replace_allowed_ips: true, ..of(&clients[0]) });
    let owners = ["10.1.0.1", "10.7.0.1", "10.8.0.1"].map(|a| owner(&mut gw, &clients, a).len());
    assert_eq!(owners, [0, 1, 1]);
    let allowed_ips =
        vec![allow("10.8.0.0/24"), AllowedIpChange { prefix: "10.8.0.0/24".parse().unwrap(), remove: true }];
    gw.change_peer(PeerChange { allowed_ips, replace_allowed_ips: true, ..of(&clients[0]) });
    assert!(gw.record(&clients[0]).lock().allowed_ips.is_empty());
    assert_eq!(["10.7.0.1", "10.8.0.1"].map(|a| owner(&mut gw, &clients, a).len()), [0, 0]);
    gw.finish();
}

/// PROTOCOL A10.4: update_only.
/// Mistake: update_only ignored.
#[test]
fn update_only_makes_no_peer() {
    let (mut gw, clients) = all_connected(&Options::default(), 1);
    let stranger = Client::new(9);
    gw.change_peer(PeerChange { update_only: true, ..peer(&stranger) });
    assert_eq!(gw.interface.peers(), 1);
    gw.change_peer(PeerChange { update_only: true, allowed_ips: vec![allow("10.9.0.0/16")], ..of(&clients[0]) });
    assert_eq!(owner(&mut gw, &clients, "10.9.0.1"), [1]);
    gw.finish();
}

/// Mistake: one changed peer reconfigures all and drops every session.
#[test]
fn a_whole_new_set_keeps_the_sessions_of_the_peers_that_it_names() {
    let (mut gw, mut clients) = all_connected(&Options::default(), 3);
    let fresh = Client::new(4);
    let peers = vec![peer(&clients[0]), peer(&clients[2]), peer(&fresh)];
    gw.apply(ChangeSet { replace_peers: true, peers, ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.interface.peers(), 3);
    assert!(passes(&mut gw, &mut clients[0]) && passes(&mut gw, &mut clients[2]));
    assert_eq!(owner(&mut gw, &clients, "10.1.0.1"), [1], "and where they are");
    let frame = clients[1].data(&[]);
    gw.silent(&[frame], "unknown_index");
    gw.finish();
}

/// PROTOCOL A5.8: sessions seal no more, the peer with our key goes, rekeying is immediate.
#[test]
fn another_private_key_ends_sending_in_all_sessions() {
    let (mut gw, mut clients) = all_connected(&Options::default(), 2);
    // The second client's key becomes ours: it cannot be our peer any more.
    let private_key = Some(SecretKey::new(&[2; 32]));
    gw.apply(ChangeSet { private_key, ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.interface.peers(), 1);
    assert_eq!(gw.context.identity(0).unwrap().public_key(), Identity::new(&[2; 32]).public_key());
    // What was sealed before still comes in; what goes out wants a session of the new key.
    let frame = clients[0].data(&[]);
    gw.silent(&[frame], "keepalive");
    gw.datagrams();
    gw.lan(&tagged(HOST, &clients[0].inner(), 1, 96));
    gw.settle();
    assert_eq!(gw.datagrams().iter().map(|d| d.kind()).collect::<Vec<_>>(), [1]);
    let initiation = clients[0].initiation();
    gw.silent(&[clients[0].frame(&initiation)], "bad_mac1");
    // Back again: a new handshake, and all is well.
    let private_key = Some(SecretKey::new(&[0xaa; 32]));
    gw.apply(ChangeSet { private_key, ..ChangeSet::default() }).unwrap();
    gw.connect(&mut clients[0]);
    assert!(passes(&mut gw, &mut clients[0]));
    gw.finish();
}

/// PROTOCOL A4.5: packets wait for the key.
#[test]
fn without_a_private_key_packets_wait_until_there_is_one() {
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0; 32])), ..ChangeSet::default() }).unwrap();
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert_eq!((gw.datagrams().len(), gw.shared.staged.held()), (0, 1));
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0xaa; 32])), ..ChangeSet::default() }).unwrap();
    gw.settle();
    assert_eq!(gw.datagrams().iter().map(|d| d.kind()).collect::<Vec<_>>(), [1]);
    gw.finish();
}

/// A gateway for four peers that has so many.
fn small(peers: u8) -> (Gateway, Vec<Client>) {
    let mut gw = Gateway::with(&Options { max_peers: 4, ..Options::default() });
    let clients: Vec<Client> = (1..=40).map(Client::new).collect();
    for client in &clients[..usize::from(peers)] {
        gw.add(client);
    }
    (gw, clients)
}

/// PROTOCOL A1.8: the bound on peers.
#[test]
fn more_peers_than_there_may_be_are_refused_as_a_whole() {
    let (mut gw, clients) = small(3);
    let too_many = vec![peer(&clients[3]), peer(&clients[4])];
    let refused = gw.apply(ChangeSet { peers: too_many, listen_port: Some(1), ..ChangeSet::default() });
    assert_eq!(refused, Err(ChangeError::TooManyPeers { wanted: 5, max_peers: 4 }));
    assert_eq!((gw.interface.peers(), gw.shared.tunnels[0].listen_port()), (3, 51820));
    let fits = vec![goes(&clients[0]), peer(&clients[3]), peer(&clients[4])];
    gw.apply(ChangeSet { peers: fits, ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.interface.peers(), 4);
    gw.finish();
}

#[test]
fn a_peer_that_goes_and_comes_back_in_one_change_is_counted() {
    let (mut gw, clients) = small(4);
    let tricks = [
        vec![goes(&clients[0]), peer(&clients[0]), peer(&clients[4])],
        vec![goes(&clients[0]), goes(&clients[0]), peer(&clients[4]), peer(&clients[5])],
        vec![goes(&clients[9]), peer(&clients[4])],
    ];
    for peers in tricks {
        let refused = gw.apply(ChangeSet { peers, ..ChangeSet::default() });
        assert_eq!(refused, Err(ChangeError::TooManyPeers { wanted: 5, max_peers: 4 }));
        assert_eq!(gw.interface.peers(), 4);
    }
    gw.finish();
}

#[test]
fn a_change_that_is_accepted_makes_every_peer() {
    // Peers that go hold their places until their last packet is gone: nobody may be left out for that.
    let (mut gw, clients) = small(4);
    let mut accepted = 0;
    for round in 0..200 {
        let some = &clients[round % 10 * 4..][..4];
        let peers = some.iter().map(peer).collect();
        match gw.apply(ChangeSet { replace_peers: true, peers, ..ChangeSet::default() }) {
            Ok(()) => {
                accepted += 1;
                assert_eq!(gw.interface.peers(), 4, "round {round}");
            }
            Err(error) => {
                assert_eq!(error, ChangeError::Busy);
                gw.settle();
            }
        }
    }
    assert!(accepted > 100);
    gw.finish();
}

#[test]
fn a_whole_new_set_at_full_size_is_taken_at_once() {
    let max_peers = 600;
    let mut gw = Gateway::with(&Options { max_peers, ..Options::default() });
    let set = |from: u32| {
        let peers = (from..from + max_peers).map(|n| {
            let mut public_key = [9; 32];
            public_key[..4].copy_from_slice(&n.to_le_bytes());
            PeerChange { public_key, ..PeerChange::default() }
        });
        ChangeSet { replace_peers: true, peers: peers.collect(), ..ChangeSet::default() }
    };
    gw.apply(set(0)).unwrap();
    gw.apply(set(10_000)).unwrap();
    assert_eq!(gw.interface.peers(), max_peers as usize);
    gw.settle();
    gw.finish();
}

#[test]
fn the_same_configuration_again_and_again_loses_no_packet() {
    let cores = vec![Role::Io, Role::Worker, Role::Worker];
    let mut gateway = Gateway::with(&Options { cores, pool: 16_384, ..Options::default() });
    let mut client = Client::new(1);
    gateway.add(&client);
    gateway.connect(&mut client);
    gateway.frames();
    let gw = Running::start(gateway);
    // The address that the traffic has stands last.
    let prefixes = (0..150).map(|n| allow(&format!("10.200.{n}.0/24"))).chain(peer(&client).allowed_ips);
    let prefixes: Vec<_> = prefixes.collect();
    let peer = |client: &Client| PeerChange { allowed_ips: prefixes.clone(), ..peer(client) };
    let (mut sent, mut tags, mut out) = (0, Vec::new(), 0);
    // All that came out or was dropped, when at most `open` packets are under way.
    let mut settle = |sent: u32, open: usize| {
        gw.wait("the packets, or their drops", || {
            tags.extend(take(&gw.lan_tx).iter().map(|f| tag(&f[14..])));
            out += take(&gw.wan_tx).len();
            let lost = gw.dropped("allowedips_src") + gw.dropped("no_peer") + gw.dropped("queue_full");
            tags.len() + out + usize::try_from(lost).unwrap() + open >= 2 * sent as usize
        });
    };
    for round in 0..300_u32 {
        for _ in 0..10 {
            let frame = client.data(&tagged(&client.inner(), HOST, sent, 96));
            gw.send(&gw.wan_rx[0], &frame);
            gw.send(&gw.lan_rx[0], &packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), sent, 96)));
            sent += 1;
        }
        if round % 2 == 0 {
            gw.change(PeerChange { replace_allowed_ips: true, ..peer(&client) });
        } else {
            let peers = vec![peer(&client)];
            gw.interface.apply(ChangeSet { replace_peers: true, peers, ..ChangeSet::default() }).unwrap();
        }
        // Less than a queue holds, whichever thread the machine leaves standing.
        settle(sent, 500);
    }
    settle(sent, 0);
    assert_eq!((gw.dropped("allowedips_src"), gw.dropped("no_peer"), gw.dropped("queue_full")), (0, 0, 0));
    assert_eq!(tags, (0..sent).collect::<Vec<_>>());
    gw.finish();
}
