//! What the senders of inner packets that go no further are told: by their own kernels' words.

use crate::bench::{Bench, bench, peers, pings, start};
use culvert::cli::lab::{HOST_V4, HOST_V6, Lab, Namespace, Options};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Our words for the host.
const FROM_V4: &str = "From 10.10.0.1 icmp_seq=1";
const FROM_V6: &str = "From fd00:10::1 icmp_seq=1";

/// One ping that is not answered, but by an error that says this.
fn told(from: &Namespace, to: &str, more: &[&str], words: &str) {
    let fixed = ["ping", "-n", "-c", "1", "-W", "3"];
    let command: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).chain([to]).collect();
    let said = from.output(&command, Duration::from_secs(20)).unwrap().out;
    let ours = if to.contains(':') { FROM_V6 } else { FROM_V4 };
    assert!(said.contains(&format!("{ours} {words}")), "{} → {to}: {said}", from.name());
}

fn connected() -> Bench {
    let bench = bench(3);
    for number in [1, 2] {
        pings(bench.client(number).namespace(), HOST_V4);
    }
    bench
}

#[test]
fn nobody_there() {
    let bench = connected();
    let (host, one, absent) = (bench.lab.host(), bench.client(1).namespace(), bench.client(3));
    told(host, "10.9.0.99", &[], "Destination Host Unreachable");
    told(host, "fd00:9::99", &[], "Destination unreachable: Address unreachable");
    // A peer that never said where it is.
    told(host, &absent.v4(), &[], "Destination Host Unreachable");
    told(one, &absent.v6(), &[], "Destination unreachable: Address unreachable");
    // No route; and a neighbour that does not answer.
    told(one, "10.10.0.77", &["-W", "6"], "Destination Host Unreachable");
    let account = bench.finish();
    assert_eq!((account.drop_of("no_peer"), account.drop_of("no_endpoint")), (2, 2), "{account}");
}

#[test]
fn the_hop_that_a_traceroute_sees() {
    let bench = connected();
    let (host, one, two) = (bench.lab.host(), bench.client(1), bench.client(2));
    for to in [one.v4(), one.v6()] {
        let words = if to.contains(':') { "Time exceeded: Hop limit" } else { "Time to live exceeded" };
        told(host, &to, &["-t", "1"], words);
    }
    told(one.namespace(), HOST_V4, &["-t", "1"], "Time to live exceeded");
    told(one.namespace(), HOST_V6, &["-t", "1"], "Time exceeded: Hop limit");
    told(one.namespace(), &two.v4(), &["-t", "1"], "Time to live exceeded");
    let account = bench.finish();
    assert_eq!(account.drop_of("ttl_expired"), 5, "{account}");
}

/// What may not be cut is refused with the MTU, what may be is cut, and path MTU discovery finds the tunnel's.
#[test]
fn larger_than_the_tunnel() {
    let bench = connected();
    let (host, one) = (bench.lab.host(), bench.client(1));
    // 1,421 bytes and more, where the host's own MTU is 1,500.
    told(host, &one.v4(), &["-M", "do", "-s", "1393"], "Frag needed and DF set (mtu = 1420)");
    told(host, &one.v6(), &["-M", "do", "-s", "1452"], "Packet too big: mtu=1420");
    assert_eq!(bench.settled().drop_of("too_big"), 2);
    for to in [one.v4(), one.v6()] {
        let route = host.run(&["ip", "route", "get", &to]).unwrap();
        assert!(route.contains("mtu 1420"), "{route}");
    }
    let before = bench.settled().generated;
    let answered = host.run(&["ping", "-n", "-c", "3", "-i", "0.1", "-M", "dont", "-s", "1472", &one.v4()]).unwrap();
    assert!(answered.contains(" 3 received"), "{answered}");
    assert!(bench.settled().generated - before >= 3, "a piece each was made");
    bench.finish();
}

/// The kernel's own word for the largest segment that it sends, at both ends of a connection from the client to the host.
fn segments(bench: &Bench, to: &str) -> Vec<u32> {
    let (client, host) = (bench.client(1).namespace(), bench.lab.host());
    let at: SocketAddr = (to.parse::<IpAddr>().unwrap(), 7000).into();
    let listener = host.enter(|| TcpListener::bind(at)).unwrap();
    let _client_end = client.enter(|| TcpStream::connect_timeout(&at, Duration::from_secs(10))).unwrap();
    let _host_end = listener.accept().unwrap();
    let seen = |namespace: &Namespace| {
        let said = namespace.run(&["ss", "-tinH", "state", "established"]).unwrap();
        let word = said.split_whitespace().find_map(|word| word.strip_prefix("mss:"));
        word.and_then(|mss| mss.parse().ok()).unwrap_or_else(|| panic!("no mss: {said}"))
    };
    vec![seen(client), seen(host)]
}

/// The host says 1,460 and the client 1,380; the tunnel carries 1,240 (IPv6: 1,220), of which time stamps take 12.
#[test]
fn mss_clamp_lowers_what_both_ends_send() {
    for (clamp, v4, v6) in [(true, [1228, 1228], [1208, 1208]), (false, [1368, 1368], [1348, 1348])] {
        let lab = Lab::new(1).unwrap();
        let known = peers(&lab);
        let options = Options { interface: format!("mtu = 1280\nmss_clamp = {clamp}\n"), ..Options::default() };
        let bench = start(lab, &options, &known);
        assert_eq!(segments(&bench, HOST_V4), v4, "{clamp}");
        assert_eq!(segments(&bench, HOST_V6), v6, "{clamp}");
        bench.finish();
    }
}
