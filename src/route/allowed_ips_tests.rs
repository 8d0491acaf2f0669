//! A table of nested prefixes, step by step; and peers that take each other's prefixes, against a scanned list.

use super::{AllowedIps, AllowedIpsWriter, Domain, IpNet};
use crate::queue::Reader;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Who owns each address, as readers and as the writer see it.
fn expect(reader: &Reader, tables: &(AllowedIps, AllowedIpsWriter), step: &str, rows: &[(&str, Option<u32>)]) {
    for (addr, owner) in rows {
        let addr: IpAddr = addr.parse().unwrap();
        assert_eq!(tables.0.lookup(reader, addr), *owner, "{step}: {addr}");
        assert_eq!(tables.1.lookup(addr), *owner, "{step}: {addr}, the writer");
    }
}

/// First and last address of each prefix, and their neighbours outside.
const V4: [(&str, Option<u32>); 21] = [
    ("0.0.0.0", Some(0)),
    ("127.255.255.255", Some(0)),
    ("128.0.0.0", Some(1)),
    ("255.255.255.255", Some(1)),
    ("9.255.255.255", Some(0)),
    ("10.0.0.0", Some(2)),
    ("10.255.255.255", Some(2)),
    ("11.0.0.0", Some(0)),
    ("10.63.255.255", Some(2)),
    ("10.64.0.0", Some(3)),
    ("10.127.255.255", Some(3)),
    ("10.128.0.0", Some(2)),
    ("10.64.7.0", Some(4)),
    ("10.64.7.127", Some(4)),
    ("10.64.7.128", Some(5)),
    ("10.64.7.253", Some(5)),
    ("10.64.7.254", Some(6)),
    ("10.64.7.255", Some(7)),
    ("10.64.8.0", Some(3)),
    ("10.64.6.255", Some(3)),
    ("172.31.9.9", Some(1)),
];

const V6: [(&str, Option<u32>); 15] = [
    ("::", Some(10)),
    ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", Some(10)),
    ("2001:db8::", Some(11)),
    ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some(11)),
    ("2001:db9::", Some(10)),
    ("2001:db8:1:1ff:ffff:ffff:ffff:ffff", Some(11)),
    ("2001:db8:1:200::", Some(12)),
    ("2001:db8:1:203:ffff:ffff:ffff:ffff", Some(12)),
    ("2001:db8:1:204::", Some(11)),
    ("2001:db8:1:201::", Some(13)),
    ("2001:db8:1:201::1", Some(14)),
    ("2001:db8:1:201::2", Some(13)),
    ("2001:db8:1:201:8000::", Some(13)),
    ("2001:db8:1:202::", Some(12)),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(10)),
];

#[test]
fn a_table_of_nested_prefixes() {
    let domain = Domain::new(1);
    let reader = domain.register().unwrap();
    let mut tables = AllowedIps::new(&domain, 4, 4);
    let v4 = ["0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/8", "10.64.0.0/10", "10.64.7.0/24", "10.64.7.128/25"];
    let v4 = v4.into_iter().chain(["10.64.7.254/31", "10.64.7.255/32"]);
    let v6 = ["::/0", "2001:db8::/32", "2001:db8:1:200::/62", "2001:db8:1:201::/64", "2001:db8:1:201::1/128"];
    let all: Vec<(IpNet, u32)> =
        (0..).zip(v4).chain((10..).zip(v6)).map(|(peer, prefix)| (net(prefix), peer)).collect();

    // In any order of insertion.
    for turn in 0..all.len() {
        let mut order = all.clone();
        order.rotate_left(turn);
        if turn % 2 == 1 {
            order.reverse();
        }
        for (prefix, peer) in order {
            assert_eq!(tables.1.insert(prefix, peer), None);
        }
        assert_eq!(tables.1.len(), all.len());
        expect(&reader, &tables, "all", &V4);
        expect(&reader, &tables, "all", &V6);
        for (prefix, peer) in &all {
            assert!(tables.1.remove(*prefix, *peer));
        }
        assert!(tables.1.is_empty());
        expect(&reader, &tables, "none", &[("10.64.7.255", None), ("2001:db8:1:201::1", None)]);
    }
}

/// What a prefix covered falls to the next shorter one; what another peer takes is gone from the first.
#[test]
fn prefixes_go_and_move() {
    let domain = Domain::new(1);
    let reader = domain.register().unwrap();
    let mut tables = AllowedIps::new(&domain, 4, 4);
    for (prefix, peer) in [
        ("0.0.0.0/0", 1),
        ("192.0.2.0/24", 2),
        ("192.0.2.64/26", 3),
        ("192.0.2.65/32", 4),
        ("::/0", 1),
        ("fd00::/8", 2),
        ("fd00:0:0:1::/64", 3),
        ("fd00:0:0:1::65/128", 4),
    ] {
        tables.1.insert(net(prefix), peer);
    }
    let rows = |v4: Option<u32>, v6: Option<u32>| [("192.0.2.65", v4), ("fd00:0:0:1::65", v6)];
    let same = |owner: Option<u32>| rows(owner, owner);
    expect(&reader, &tables, "at first", &same(Some(4)));

    // Another peer takes the middle ones: the longest still wins; the old owner can no longer give them away.
    assert_eq!(tables.1.insert(net("192.0.2.64/26"), 9), Some(3));
    assert_eq!(tables.1.insert(net("fd00:0:0:1::/64"), 9), Some(3));
    expect(&reader, &tables, "moved", &same(Some(4)));
    expect(&reader, &tables, "moved", &[("192.0.2.66", Some(9)), ("fd00:0:0:1::66", Some(9))]);
    assert!(!tables.1.remove(net("192.0.2.64/26"), 3) && !tables.1.remove(net("fd00:0:0:1::/64"), 3));
    // The same peer again changes nothing.
    assert_eq!(tables.1.insert(net("192.0.2.64/26"), 9), Some(9));
    assert_eq!(tables.1.len(), 8);

    // A prefix that covers others, or is covered, is not theirs.
    assert!(!tables.1.remove(net("192.0.2.64/27"), 9) && !tables.1.remove(net("192.0.2.0/23"), 2));
    assert!(tables.1.remove(net("192.0.2.65/32"), 4) && tables.1.remove(net("fd00:0:0:1::65/128"), 4));
    expect(&reader, &tables, "longest gone", &same(Some(9)));
    assert!(tables.1.remove(net("192.0.2.64/26"), 9));
    expect(&reader, &tables, "one family at a time", &rows(Some(2), Some(9)));
    assert!(tables.1.remove(net("fd00:0:0:1::/64"), 9));
    assert!(tables.1.remove(net("192.0.2.0/24"), 2) && tables.1.remove(net("fd00::/8"), 2));
    expect(&reader, &tables, "default left", &same(Some(1)));
    assert!(tables.1.remove(net("0.0.0.0/0"), 1));
    expect(&reader, &tables, "no default of one family", &rows(None, Some(1)));
    assert!(tables.1.remove(net("::/0"), 1));
    expect(&reader, &tables, "nothing", &same(None));
    assert!(tables.1.is_empty());
}

/// Prefixes of both families whose bits repeat, so that they nest and meet.
fn prefix() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (0_u32..8, 0_u32..8, 0_u8..=32).prop_map(|(high, low, len)| {
            IpNet::new(Ipv4Addr::from_bits(high << 29 | 0x5a5a << 8 | low).into(), len).unwrap().trunc()
        }),
        (0_u128..8, 0_u128..8, 0_u8..=128).prop_map(|(high, low, len)| {
            IpNet::new(Ipv6Addr::from_bits(high << 125 | 0x5a5a << 60 | low).into(), len).unwrap().trunc()
        }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Insert(IpNet, u32),
    Remove(IpNet, u32),
    /// All that a peer has.
    RemovePeer(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (prefix(), 0_u32..6).prop_map(|(prefix, peer)| Step::Insert(prefix, peer)),
        2 => (prefix(), 0_u32..6).prop_map(|(prefix, peer)| Step::Remove(prefix, peer)),
        1 => (0_u32..6).prop_map(Step::RemovePeer),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #[test]
    fn peers_and_prefixes_are_as_in_a_scanned_list(steps in steps(), asked in prop::collection::vec(prefix(), 1..40)) {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let (tables, mut writer) = AllowedIps::new(&domain, 4, 4);
        let mut list: Vec<(IpNet, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(prefix, peer) => {
                    let old = list.iter().position(|entry| entry.0 == prefix).map(|at| list.swap_remove(at).1);
                    prop_assert_eq!(writer.insert(prefix, peer), old);
                    list.push((prefix, peer));
                }
                Step::Remove(prefix, peer) => {
                    let at = list.iter().position(|entry| *entry == (prefix, peer));
                    prop_assert_eq!(writer.remove(prefix, peer), at.is_some());
                    if let Some(at) = at {
                        list.swap_remove(at);
                    }
                }
                Step::RemovePeer(peer) => {
                    for (prefix, _) in list.extract_if(.., |entry| entry.1 == peer) {
                        prop_assert!(writer.remove(prefix, peer));
                    }
                }
            }
            prop_assert_eq!(writer.len(), list.len());
            for addr in asked.iter().flat_map(|net| [net.network(), net.broadcast()]) {
                let holding = list.iter().filter(|entry| entry.0.contains(&addr));
                let longest = holding.max_by_key(|entry| entry.0.prefix_len()).map(|entry| entry.1);
                prop_assert_eq!(tables.lookup(&reader, addr), longest, "{}", addr);
            }
        }
    }
}
