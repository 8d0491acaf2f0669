//! Two RX queues, two workers that share cores: order within a peer holds.

use crate::bench::{Bench, peers, pings, start, witness};
use culvert::cli::lab::{HOST_V4, HOST_V6, Lab, Options, Stream, udp_stream};
use std::net::{IpAddr, SocketAddr};

const RATE: u32 = 1_500;
const COUNT: u64 = 6_000;

fn spread() -> Bench {
    let lab = Lab::new(2).unwrap();
    let peers = peers(&lab);
    let cores = "control = 0\nio = [0, 1]\nworkers = [0, 1]\nhandshake = [0]".to_owned();
    start(lab, &Options { cores, queues: 2, ..Options::default() }, &peers)
}

fn at(ip: &str, port: u16) -> SocketAddr {
    (ip.parse::<IpAddr>().unwrap(), port).into()
}

#[test]
fn order_holds_over_two_queues_and_two_workers() {
    let bench = spread();
    let (one, two, host) = (bench.client(1), bench.client(2), bench.lab.host());
    pings(one.namespace(), HOST_V4);
    pings(two.namespace(), HOST_V6);
    let (to_one, to_two) = (at(&one.v4(), 7001), at(&two.v6(), 7002));
    let streams: Vec<Stream> = std::thread::scope(|scope| {
        let up_one = scope.spawn(|| udp_stream(one.namespace(), host, at(HOST_V4, 7003), RATE, COUNT));
        let up_two = scope.spawn(|| udp_stream(two.namespace(), host, at(HOST_V6, 7004), RATE, COUNT));
        let down_one = scope.spawn(|| udp_stream(host, one.namespace(), to_one, RATE, COUNT));
        let down_two = scope.spawn(|| udp_stream(host, two.namespace(), to_two, RATE, COUNT));
        [up_one, up_two, down_one, down_two].into_iter().map(|stream| stream.join().unwrap().unwrap()).collect()
    });
    for stream in streams {
        stream.ordered().unwrap_or_else(|error| panic!("{error}; {}", witness()));
    }
    // Both cores had a part in it.
    let shown = bench.gateway.culvert(&["show", "cores", "--json"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let cores = report["cores"].as_array().unwrap();
    assert_eq!(cores.len(), 2, "{shown}");
    assert!(cores.iter().all(|core| core["busy"].as_u64().unwrap() > 100), "{shown}");
    bench.finish();
}
