//! In what an interface differs from a peers file, and that the change which is made of it is all that it takes.

use crate::harness::{Gateway, Options};
use culvert::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use culvert::control::interface::{Becomes, ChangeError, Interface};
use ipnet::IpNet;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// All that there is to know of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Peer {
    name: Option<String>,
    preshared_key: u8,
    keepalive: u16,
    endpoint: Option<SocketAddr>,
    prefixes: BTreeSet<IpNet>,
    listed: bool,
}

/// A section of a peers file, by the byte that its key is made of; or what a socket sets.
#[derive(Clone, Debug)]
struct Section {
    key: u8,
    peer: Peer,
}

fn section() -> impl Strategy<Value = Section> {
    let prefix = (0..12_u8).prop_map(|n| IpNet::new([10, n, 0, 0].into(), 16).unwrap());
    let endpoint = prop::option::of((1..3_u16).prop_map(|port| SocketAddr::from(([192, 0, 2, 7], port))));
    let name = prop::option::of((0..3_u8).prop_map(|n| format!("name {n}")));
    let prefixes = prop::collection::btree_set(prefix, 0..3);
    (1..9_u8, name, 0..2_u8, 0..2_u16, endpoint, prefixes).prop_map(
        |(key, name, preshared_key, keepalive, endpoint, prefixes)| Section {
            key,
            peer: Peer { name, preshared_key, keepalive, endpoint, prefixes, listed: true },
        },
    )
}

/// As the peers file's parser has them (`by_socket`: as the `wg` socket's).
fn change(sections: &[Section], by_socket: bool) -> ChangeSet {
    let peer = |(line, Section { key, peer }): (u32, &Section)| PeerChange {
        public_key: [*key; 32],
        name: peer.name.clone().filter(|_| !by_socket),
        preshared_key: Some(SecretKey::new(&[peer.preshared_key; 32])),
        persistent_keepalive: Some(peer.keepalive),
        endpoint: peer.endpoint,
        replace_allowed_ips: true,
        allowed_ips: peer.prefixes.iter().map(|prefix| AllowedIpChange { prefix: *prefix, remove: false }).collect(),
        line,
        in_file: !by_socket,
        ..PeerChange::default()
    };
    ChangeSet { replace_peers: !by_socket, peers: (1..).zip(sections).map(peer).collect(), ..ChangeSet::default() }
}

/// What the interface has.
fn running(gw: &Gateway) -> BTreeMap<u8, Peer> {
    let peer = |record: &culvert::control::record::PeerRecord| {
        let state = record.lock();
        Peer {
            name: state.name.clone(),
            preshared_key: state.preshared_key.bytes()[0],
            keepalive: state.persistent_keepalive,
            endpoint: state.configured_endpoint.as_deref().copied(),
            prefixes: state.allowed_ips.iter().copied().collect(),
            listed: state.listed,
        }
    };
    gw.context.directory.all_of(0).iter().map(|record| (record.public_key[0], peer(record))).collect()
}

/// What it is to have, by the words of the manual: the file's peers, the last of several sections; and those that came by a socket and are kept.
fn expected(before: &BTreeMap<u8, Peer>, file: &[Section], keep: bool) -> BTreeMap<u8, Peer> {
    let mut after: BTreeMap<u8, Peer> =
        before.iter().filter(|(_, peer)| keep && !peer.listed).map(|(k, p)| (*k, p.clone())).collect();
    let last: BTreeMap<u8, usize> = file.iter().enumerate().map(|(at, section)| (section.key, at)).collect();
    for (_, Section { key, peer }) in file.iter().enumerate().filter(|(at, section)| last[&section.key] == *at) {
        for other in after.values_mut() {
            other.prefixes.retain(|prefix| !peer.prefixes.contains(prefix));
        }
        // No file takes an endpoint away.
        let endpoint = peer.endpoint.or_else(|| before.get(key).and_then(|peer| peer.endpoint));
        after.insert(*key, Peer { endpoint, ..peer.clone() });
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Files and sockets in turns: after each reload the interface has what the file says, a second one finds nothing to do, and peers that
    /// were alike are the same as before, with no word about them.
    #[test]
    fn a_difference_is_all_that_it_takes(
        rounds in prop::collection::vec((prop::collection::vec(section(), 0..8), prop::collection::vec(section(), 0..3), any::<bool>()), 1..5)
    ) {
        let mut gw = Gateway::with(&Options { max_peers: 64, ..Options::default() });
        for (file, socket, keep) in rounds {
            gw.apply(change(&socket, true)).unwrap();
            let before = running(&gw);
            let difference = gw.interface.difference(change(&file, false), keep);
            prop_assert_eq!(&running(&gw), &before, "a look changes nothing");
            let (told, unchanged) = (difference.peers, difference.unchanged);
            gw.apply(difference.change).unwrap();
            let after = running(&gw);
            prop_assert_eq!(&after, &expected(&before, &file, keep));
            let again = gw.interface.difference(change(&file, false), keep);
            prop_assert!(again.peers.iter().all(|peer| peer.becomes == Becomes::Kept) && again.change.peers.is_empty(), "{:?}", again.peers);
            let of = |becomes| told.iter().filter(move |peer| peer.becomes == becomes).map(|peer| peer.public_key[0]).collect::<BTreeSet<_>>();
            let keys = |peers: &BTreeMap<u8, Peer>| peers.keys().copied().collect::<BTreeSet<_>>();
            prop_assert_eq!(of(Becomes::Added), &keys(&after) - &keys(&before));
            prop_assert_eq!(of(Becomes::Removed), &keys(&before) - &keys(&after));
            let alike = |key: &u8| Peer { listed: true, ..before[key].clone() } == Peer { listed: true, ..after[key].clone() };
            // A kept peer may lose prefixes to the file's.
            let changed = keys(&before).intersection(&keys(&after)).copied().filter(|key| !alike(key)).collect::<BTreeSet<_>>();
            prop_assert_eq!(&of(Becomes::Changed) - &of(Becomes::Kept), &changed - &of(Becomes::Kept));
            prop_assert_eq!(unchanged + told.len() - of(Becomes::Removed).len() - of(Becomes::Kept).len() , after.len() - of(Becomes::Kept).len());
        }
        gw.finish();
    }
}

/// Changes of two interfaces are done together or not at all.
#[test]
fn several_interfaces_change_together_or_not_at_all() {
    let mut gw =
        Gateway::with(&Options { listen_ports: vec![vec![51820], vec![51821]], max_peers: 2, ..Options::default() });
    let section = |key, prefix: &str| Section {
        key,
        peer: Peer { prefixes: [prefix.parse().unwrap()].into(), ..Peer::default() },
    };
    let apply = |gw: &Gateway, first: &[Section], second: &[Section]| {
        let sets = gw.interfaces.iter().zip([first, second]).map(|(interface, set)| (&**interface, change(set, false)));
        Interface::apply_together(sets.collect())
    };
    apply(&gw, &[section(1, "10.1.0.0/16")], &[section(2, "10.2.0.0/16")]).unwrap();
    let many: Vec<_> = (3..6).map(|key| section(key, &format!("10.{key}.0.0/16"))).collect();
    let full = ChangeError::TooManyPeers { wanted: 3, max_peers: 2 };
    assert_eq!(apply(&gw, &[], &many), Err((1, full)));
    let twice = [section(3, "10.3.0.0/16")];
    let Err((1, ChangeError::PrefixTaken { prefix, line: 1, .. })) = apply(&gw, &twice, &twice) else {
        panic!("the same prefix on both");
    };
    assert_eq!(prefix.to_string(), "10.3.0.0/16");
    let port = || ChangeSet { listen_port: Some(4711), ..ChangeSet::default() };
    let both = gw.interfaces.iter().map(|interface| (&**interface, port())).collect();
    assert!(matches!(Interface::apply_together(both), Err((1, ChangeError::PortTaken { port: 4711, .. }))));
    let keys =
        |tunnel| gw.context.directory.all_of(tunnel).iter().map(|record| record.public_key[0]).collect::<Vec<_>>();
    assert_eq!((keys(0), keys(1)), (vec![1], vec![2]));
    assert!(gw.shared.listen.tunnel_of(4711).is_none());
    gw.settle();
    gw.finish();
}

/// A prefix that moves to and fro stands at one peer, whenever it is looked.
#[test]
fn a_snapshot_is_of_one_moment() {
    let mut gw = Gateway::with(&Options::default());
    let moving: IpNet = "10.99.0.0/16".parse().unwrap();
    let with = |key| Section { key, peer: Peer { prefixes: [moving].into(), ..Peer::default() } };
    let ends = |keys: [u8; 2]| change(&keys.map(|key| Section { key, peer: Peer::default() }), true);
    let interface = &gw.interfaces[0];
    interface.apply(ends([1, 2])).unwrap();
    interface.apply(change(&[with(1)], true)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for key in [2, 1].into_iter().cycle() {
                interface.apply(change(&[with(key)], true)).unwrap();
                // Relaxed: it is only looked at.
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        let whole = (0..20_000).all(|_| {
            let saved = interface.snapshot().unwrap();
            saved.peers.iter().flat_map(|peer| &peer.allowed_ips).filter(|allowed| allowed.prefix == moving).count()
                == 1
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(whole, "it stood at both, or at none");
    });
    gw.settle();
    gw.finish();
}

/// A peer that was given another endpoint while its file was written differs from the file.
#[test]
fn what_changes_while_it_is_saved_still_differs() {
    let mut gw = Gateway::with(&Options::default());
    let at = |port| Section {
        key: 1,
        peer: Peer { endpoint: Some(([192, 0, 2, 7], port).into()), listed: true, ..Peer::default() },
    };
    let interface = &gw.interfaces[0];
    let differs = |port| interface.difference(change(&[at(port)], false), false).peers.len();
    interface.apply(change(&[at(1)], false)).unwrap();
    let saved = interface.snapshot().unwrap();
    interface.apply(change(&[at(2)], true)).unwrap();
    interface.note_saved(&saved);
    assert_eq!((differs(1), differs(2)), (1, 0));
    interface.note_saved(&interface.snapshot().unwrap());
    assert_eq!((differs(1), differs(2)), (1, 0));
    gw.settle();
    gw.finish();
}
