//! Peers that come and go under load.

use crate::bench::{bench, pings, witness};
use culvert::cli::lab::{HOST_V4, HOST_V6, iperf3, output, udp_stream};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long: `CULVERT_CHURN_SECONDS`, or short.
fn seconds() -> u32 {
    std::env::var("CULVERT_CHURN_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

/// Client 1 measures TCP all the time; client 2 is removed and added every second under its own traffic.
#[test]
fn churn_of_a_peer_under_load() {
    let bench = bench(2);
    let (one, two) = (bench.client(1), bench.client(2));
    pings(one.namespace(), HOST_V4);
    pings(two.namespace(), HOST_V6);
    let over = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let (host, log) = (bench.lab.host(), bench.lab.file("iperf3.log"));
        let measured = scope.spawn(move || iperf3(one.namespace(), host, HOST_V4, 5201, seconds(), &log));
        // Traffic of the peer that comes and goes, both ways, whatever becomes of it.
        for (from, to) in [(two.namespace(), HOST_V6.to_owned()), (bench.lab.host(), two.v6())] {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let _ = from.output(
                        &["ping", "-n", "-q", "-i", "0.005", "-w", "1", "-s", "600", &to],
                        Duration::from_secs(10),
                    );
                }
            });
        }
        let mut rounds = 0;
        let start = Instant::now();
        let public = &two.keys().public;
        let secret = bench.lab.write("psk", &two.peer().preshared.unwrap()).unwrap();
        let (interface, secret) = (bench.gateway.interface(), secret.to_string_lossy());
        while start.elapsed() < Duration::from_secs(u64::from(seconds())) {
            bench.gateway.wg(&["set", interface, "peer", public, "remove"]).unwrap();
            std::thread::sleep(Duration::from_millis(500));
            let allowed = two.peer().allowed_ips.replace(' ', "");
            bench
                .gateway
                .wg(&["set", interface, "peer", public, "preshared-key", &secret, "allowed-ips", &allowed])
                .unwrap();
            std::thread::sleep(Duration::from_millis(500));
            rounds += 1;
        }
        over.store(true, Ordering::Relaxed);
        measured.join().unwrap().unwrap();
        rounds
    });
    assert!(rounds >= seconds() / 2, "{rounds} rounds");
    // Nothing is left of all the removals: the peer works as ever.
    bench.comes_back(two.namespace(), HOST_V6, Duration::from_secs(30));
    pings(two.namespace(), HOST_V6);
    pings(one.namespace(), HOST_V4);
    bench.finish();
}

/// A steady stream of one peer loses nothing while a hundred others are added and removed.
#[test]
fn churn_of_others_costs_a_steady_peer_nothing() {
    let bench = bench(1);
    let one = bench.client(1);
    pings(one.namespace(), HOST_V4);
    let to: SocketAddr = (HOST_V4.parse::<IpAddr>().unwrap(), 7000).into();
    let streamed = std::thread::scope(|scope| {
        let stream = scope.spawn(|| udp_stream(one.namespace(), bench.lab.host(), to, 1_000, 6_000));
        for number in 0..50 {
            let key = culvert::cli::lab::KeyPair::new().unwrap().public;
            let allowed = format!("10.77.{number}.0/24");
            let interface = bench.gateway.interface();
            bench.gateway.wg(&["set", interface, "peer", &key, "allowed-ips", &allowed]).unwrap();
            std::thread::sleep(Duration::from_millis(30));
            if number % 2 == 0 {
                bench.gateway.wg(&["set", interface, "peer", &key, "remove"]).unwrap();
            }
        }
        stream.join().unwrap().unwrap()
    });
    streamed.whole().unwrap_or_else(|error| panic!("{error}; {}", witness()));
    let listed = output(&["wg", "show", bench.gateway.interface(), "peers"], Duration::from_secs(10)).unwrap();
    assert_eq!(listed.out.lines().count(), 26, "{}", listed.out);
    bench.finish();
}
