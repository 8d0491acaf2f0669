//! The unmodified `wg` against the running gateway; what it does not touch is not disturbed.

use crate::bench::{Bench, bench, eventually, no_pings, pings, witness};
use culvert::cli::lab::{Client, HOST_V4, HOST_V6, KeyPair, Peer, udp_stream};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Runs `change` while client 2 streams; that has to lose nothing, and to need no new handshake.
pub(crate) fn undisturbed(bench: &Bench, change: impl FnOnce()) {
    let two = bench.client(2);
    pings(two.namespace(), HOST_V6);
    let handshake = bench.shown("latest-handshakes", two);
    let to: SocketAddr = (HOST_V6.parse::<IpAddr>().unwrap(), 7000).into();
    let stream = std::thread::scope(|scope| {
        let stream = scope.spawn(|| udp_stream(two.namespace(), bench.lab.host(), to, 1_000, 4_000));
        std::thread::sleep(Duration::from_millis(500));
        change();
        stream.join().unwrap().unwrap()
    });
    stream.whole().unwrap_or_else(|error| panic!("{error}; {}", witness()));
    assert_eq!(bench.shown("latest-handshakes", two), handshake, "a new handshake of client 2");
}

/// `wg COMMAND GATEWAY FILE` with these sections.
pub(crate) fn conf(bench: &Bench, command: &str, sections: &[Peer]) {
    let text: String = sections.iter().map(ToString::to_string).collect();
    let text = format!("[Interface]\nPrivateKey = {}\nListenPort = 51820\n{text}", bench.lab.gateway_keys().private);
    let file = bench.lab.write("control.conf", &text).unwrap();
    bench.gateway.wg(&[command, bench.gateway.interface(), &file.to_string_lossy()]).unwrap();
}

#[test]
fn wg_show_and_dump() {
    let bench = bench(2);
    let (one, two) = (bench.client(1), bench.client(2));
    pings(one.namespace(), HOST_V4);
    let interface = bench.gateway.interface();
    let dump = bench.gateway.wg(&["show", interface, "dump"]).unwrap();
    let mut lines = dump.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    assert_eq!(head[..3], [&*bench.lab.gateway_keys().private, &*bench.lab.gateway_keys().public, "51820"]);
    let rows: Vec<_> = lines.collect();
    let row = |client: &Client| rows.iter().find(|row| row[0] == client.keys().public).unwrap().clone();
    let (first, second) = (row(one), row(two));
    assert_eq!(first[1..4], ["(none)", &*one.endpoint().unwrap(), "10.9.0.1/32,fd00:9::1/128"]);
    assert!(first[4].parse::<u64>().unwrap() > 1_700_000_000, "time of the handshake: {first:?}");
    // Five echo requests of 84 bytes, padded to 96, each with 32 around it, and the handshake at least.
    let (received, sent): (u64, u64) = (first[5].parse().unwrap(), first[6].parse().unwrap());
    assert!(received >= 5 * 128 + 148 && sent >= 5 * 128 + 92, "{first:?}");
    assert!(received < 3_000 && sent < 3_000, "{first:?}");
    assert_eq!(second[1], two.peer().preshared.unwrap());
    assert_eq!(second[2..], ["(none)", "10.9.0.2/32,fd00:9::2/128", "0", "0", "0", "off"]);

    let shown = bench.gateway.wg(&["show", interface]).unwrap();
    for needed in [format!("interface: {interface}"), "listening port: 51820".into(), one.keys().public.clone()] {
        assert!(shown.contains(&needed), "{needed} is not in {shown}");
    }
    let kept = bench.gateway.wg(&["showconf", interface]).unwrap();
    assert!(kept.contains("AllowedIPs = 10.9.0.2/32, fd00:9::2/128"), "{kept}");
    bench.finish();
}

#[test]
fn wg_set_endpoint() {
    let bench = bench(2);
    let (one, host) = (bench.client(1), bench.lab.host());
    undisturbed(&bench, || {
        let endpoint = one.endpoint().unwrap();
        let peer = &one.keys().public;
        bench.gateway.wg(&["set", bench.gateway.interface(), "peer", peer, "endpoint", &endpoint]).unwrap();
        assert_eq!(bench.shown("endpoints", one), endpoint);
        // The gateway can speak first now.
        pings(host, &one.v4());
    });
    bench.finish();
}

#[test]
fn wg_set_removes_and_adds() {
    let bench = bench(2);
    let one = bench.client(1);
    pings(one.namespace(), HOST_V4);
    undisturbed(&bench, || {
        let set = |more: &[&str]| {
            let command: Vec<&str> = ["set", bench.gateway.interface(), "peer", &one.keys().public]
                .into_iter()
                .chain(more.iter().copied())
                .collect();
            bench.gateway.wg(&command).unwrap();
        };
        set(&["remove"]);
        no_pings(one.namespace(), HOST_V4);
        set(&["allowed-ips", "10.9.0.1/32,fd00:9::1/128"]);
    });
    bench.comes_back(one.namespace(), HOST_V4, Duration::from_secs(30));
    pings(bench.lab.host(), &one.v4());
    bench.finish();
}

#[test]
fn allowed_ips_move_and_go() {
    let bench = bench(2);
    let one = bench.client(1);
    pings(one.namespace(), HOST_V4);
    undisturbed(&bench, || {
        let allow = |list: &str| {
            let peer = &one.keys().public;
            bench.gateway.wg(&["set", bench.gateway.interface(), "peer", peer, "allowed-ips", list]).unwrap();
        };
        allow("fd00:9::1/128");
        no_pings(one.namespace(), HOST_V4);
        pings(one.namespace(), HOST_V6);
        allow("10.9.0.0/24,fd00:9::1/128");
        pings(one.namespace(), HOST_V4);
        assert_eq!(bench.shown("allowed-ips", one), "10.9.0.0/24 fd00:9::1/128");
    });
    let account = bench.finish();
    assert!(account.drop_of("allowedips_src") >= 3, "{account}");
}

#[test]
fn wg_syncconf_leaves_the_others_alone() {
    let bench = bench(3);
    let (one, two, three) = (bench.client(1), bench.client(2), bench.client(3));
    pings(one.namespace(), HOST_V4);
    pings(three.namespace(), HOST_V4);
    let added = Peer { public: KeyPair::new().unwrap().public, allowed_ips: "10.88.0.0/16".into(), ..Peer::default() };
    undisturbed(&bench, || {
        // Client 3 goes, a new one comes.
        conf(&bench, "syncconf", &[one.peer(), two.peer(), added.clone()]);
        no_pings(three.namespace(), HOST_V4);
        pings(one.namespace(), HOST_V4);
    });
    assert_eq!(bench.shown("allowed-ips", one), "10.9.0.1/32 fd00:9::1/128");
    let all = bench.gateway.wg(&["show", bench.gateway.interface(), "allowed-ips"]).unwrap();
    assert!(all.contains(&format!("{}\t10.88.0.0/16", added.public)) && !all.contains(&three.keys().public), "{all}");
    // The same again changes nothing.
    undisturbed(&bench, || conf(&bench, "syncconf", &[one.peer(), two.peer(), added.clone()]));
    bench.finish();
}

#[test]
fn wg_setconf_replaces_all() {
    let bench = bench(3);
    let (one, three) = (bench.client(1), bench.client(3));
    pings(one.namespace(), HOST_V4);
    pings(three.namespace(), HOST_V4);
    conf(&bench, "setconf", &[one.peer()]);
    bench.comes_back(one.namespace(), HOST_V4, Duration::from_secs(30));
    no_pings(three.namespace(), HOST_V4);
    let all = bench.gateway.wg(&["show", bench.gateway.interface(), "peers"]).unwrap();
    assert_eq!(all.trim(), one.keys().public);
    bench.finish();
}

#[test]
fn a_persistent_keepalive_makes_the_session_by_itself() {
    let bench = bench(2);
    let one = bench.client(1);
    let (endpoint, peer) = (one.endpoint().unwrap(), &one.keys().public);
    let interface = bench.gateway.interface();
    bench.gateway.wg(&["set", interface, "peer", peer, "endpoint", &endpoint, "persistent-keepalive", "1"]).unwrap();
    eventually("a handshake", || bench.shown("latest-handshakes", one) != "0");
    assert_eq!(bench.shown("persistent-keepalive", one), "1");
    bench.gateway.wg(&["set", interface, "peer", peer, "persistent-keepalive", "0"]).unwrap();
    bench.finish();
}

#[test]
fn nonsense_changes_nothing() {
    let bench = bench(1);
    let one = bench.client(1);
    let interface = bench.gateway.interface();
    let before = bench.gateway.wg(&["showconf", interface]).unwrap();
    let all_zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for bad in [vec!["peer", all_zero, "allowed-ips", "10.0.0.0/33"], vec!["peer", "AAAA"]] {
        let command: Vec<&str> = ["set", interface].into_iter().chain(bad).collect();
        assert!(bench.gateway.wg(&command).is_err(), "{command:?}");
    }
    assert_eq!(bench.gateway.wg(&["showconf", interface]).unwrap(), before);
    pings(one.namespace(), HOST_V4);
    bench.finish();
}
