//! What has to pass, and the sizes at the edge.

use crate::bench::{bench, counted, no_pings, pings};
use culvert::cli::lab::{BEHIND_V4, GATEWAY_V4, GATEWAY_V6, HOST_V4, HOST_V6, INNER_V4, INNER_V6, iperf3};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

#[test]
fn both_directions_both_families() {
    let bench = bench(2);
    for number in [1, 2] {
        let client = bench.client(number);
        for to in [HOST_V4, HOST_V6] {
            pings(client.namespace(), to);
        }
        for to in [client.v4(), client.v6()] {
            pings(bench.lab.host(), &to);
        }
        // The gateway has learnt where the client is.
        assert_eq!(bench.shown("endpoints", client), client.endpoint().unwrap());
        assert_ne!(bench.shown("latest-handshakes", client), "0");
    }
    let account = bench.finish();
    assert_eq!((account.drop_of("auth_failed"), account.drop_of("unknown_index")), (0, 0), "{account}");
}

#[test]
fn clients_reach_each_other() {
    let bench = bench(3);
    // The gateway learns from their first word where they are.
    bench.lab.clients().iter().for_each(|client| pings(client.namespace(), HOST_V4));
    for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 2)] {
        pings(bench.client(from).namespace(), &bench.client(to).v4());
        pings(bench.client(from).namespace(), &bench.client(to).v6());
    }
    bench.finish();
}

#[test]
fn the_gateway_answers_for_its_own_addresses() {
    let bench = bench(2);
    let (client, other) = (bench.client(1), bench.client(2));
    for to in [GATEWAY_V4, GATEWAY_V6, INNER_V4, INNER_V6] {
        pings(client.namespace(), to);
    }
    pings(other.namespace(), INNER_V6);
    pings(bench.lab.host(), INNER_V4);
    pings(bench.lab.host(), INNER_V6);
    bench.finish();
}

#[test]
fn a_network_behind_the_host() {
    let bench = bench(1);
    pings(bench.client(1).namespace(), BEHIND_V4);
    let from = ["-I", BEHIND_V4];
    counted(bench.lab.host(), &bench.client(1).v4(), 5, &from).all().unwrap();
    bench.finish();
}

#[test]
fn every_size_up_to_the_mtu() {
    let bench = bench(2);
    // IPv4: 20 + 8 + data; IPv6: 40 + 8 + data; 1420 in all.
    for (family, (to, largest)) in [(HOST_V4, 1392), (HOST_V6, 1372)].into_iter().enumerate() {
        for size in (0..=24).chain([63, 64, 65, 500, 1000, 1279]).chain(largest - 20..=largest) {
            let client = bench.client(1 + family);
            let more = ["-M", "do", "-s", &size.to_string()];
            counted(client.namespace(), to, 1, &more).all().unwrap_or_else(|e| panic!("{size} bytes to {to}: {e}"));
        }
    }
    bench.finish();
}

#[test]
fn larger_than_the_mtu_is_dropped_by_name() {
    let bench = bench(1);
    let client = bench.client(1);
    pings(client.namespace(), HOST_V4);
    let before = bench.settled().drop_of("too_big");
    // 1421 bytes from the host, whose own MTU is 1500; it is told, and sends no second one.
    let none = counted(bench.lab.host(), &client.v4(), 1, &["-W", "1", "-M", "do", "-s", "1393"]);
    assert_eq!((none.sent, none.received), (1, 0));
    assert_eq!(bench.settled().drop_of("too_big") - before, 1);
    pings(bench.lab.host(), &client.v4());
    bench.finish();
}

/// The client's kernel cuts them; the gateway carries the fragments as they are. (What the host cuts cannot be tried here:
/// DPDK's net_af_packet has the kernel put fragments together again, and cuts the result off at 1,982 bytes.)
#[test]
fn inner_fragments_pass() {
    let bench = bench(2);
    let (one, two, host) = (bench.client(1), bench.client(2), bench.lab.host());
    pings(one.namespace(), HOST_V4);
    pings(two.namespace(), HOST_V4);
    let sent: Vec<u8> = (0..=250_u8).cycle().take(4_000).collect();
    for (to, receiver) in [(HOST_V4, host), (HOST_V6, host), (&*two.v4(), two.namespace())] {
        let to: SocketAddr = (to.parse::<IpAddr>().unwrap(), 7000).into();
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let inbound = receiver.enter(|| UdpSocket::bind(to)).unwrap();
        inbound.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let outbound = one.namespace().enter(|| UdpSocket::bind(any)).unwrap();
        outbound.send_to(&sent, to).unwrap();
        let mut buffer = vec![0; 5_000];
        let len = inbound.recv(&mut buffer).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(buffer[..len] == sent, "{to}: {len} bytes arrived");
    }
    bench.finish();
}

#[test]
fn destinations_that_nobody_has() {
    let bench = bench(1);
    let client = bench.client(1);
    pings(client.namespace(), HOST_V4);
    no_pings(client.namespace(), "10.10.0.77");
    no_pings(client.namespace(), "10.9.0.99");
    no_pings(bench.lab.host(), "10.9.0.99");
    let account = bench.finish();
    assert_eq!(account.drop_of("neighbour_failed") + account.drop_of("neighbour_queue"), 3, "{account}");
    assert!(account.drop_of("no_peer") >= 3, "{account}");
}

#[test]
fn tcp_both_ways_at_once() {
    let bench = bench(2);
    let log = bench.lab.file("iperf3.log");
    for (client, to) in [(bench.client(1), HOST_V4), (bench.client(2), HOST_V6)] {
        iperf3(client.namespace(), bench.lab.host(), to, 5201, 3, &log).unwrap();
    }
    let (one, two) = (bench.client(1), bench.client(2));
    iperf3(one.namespace(), two.namespace(), &two.v4(), 5201, 3, &log).unwrap();
    bench.finish();
}
