//! Who is let in, and who is not.

use crate::bench::{bench, counted, no_pings, peers, pings, start};
use culvert::cli::lab::{HOST_V4, HOST_V6, KeyPair, Lab, Options, Peer, preshared_key};
use std::time::Duration;

#[test]
fn the_wrong_preshared_key_gets_nothing_the_right_one_all() {
    let bench = bench(2);
    let client = bench.client(2);
    let right = client.gateway_peer(&bench.lab);
    for wrong in [Some(preshared_key().unwrap()), None] {
        client.configure(&Peer { preshared: wrong, ..right.clone() }).unwrap();
        no_pings(client.namespace(), HOST_V6);
    }
    // The client could not open the response, so the session was never confirmed.
    assert_eq!(bench.shown("latest-handshakes", client), "0");
    client.configure(&right).unwrap();
    bench.comes_back(client.namespace(), HOST_V6, Duration::from_secs(12));
    pings(client.namespace(), HOST_V6);
    pings(bench.lab.host(), &client.v6());
    bench.finish();
}

#[test]
fn an_unknown_client_gets_nothing() {
    let lab = Lab::new(2).unwrap();
    let known = vec![lab.client(2).unwrap().peer()];
    let bench = start(lab, &Options::default(), &known);
    no_pings(bench.client(1).namespace(), HOST_V4);
    pings(bench.client(2).namespace(), HOST_V4);
    let account = bench.finish();
    assert!(account.drop_of("handshake_refused") >= 1, "{account}");
}

#[test]
fn a_client_that_means_another_gateway_gets_nothing() {
    let bench = bench(1);
    let client = bench.client(1);
    let right = client.gateway_peer(&bench.lab);
    client.configure(&Peer { public: KeyPair::new().unwrap().public, ..right.clone() }).unwrap();
    no_pings(client.namespace(), HOST_V4);
    assert!(bench.settled().drop_of("bad_mac1") >= 1);
    client.configure(&right).unwrap();
    pings(client.namespace(), HOST_V4);
    bench.finish();
}

#[test]
fn a_spoofed_inner_source_goes_nowhere() {
    let bench = bench(2);
    let (client, other) = (bench.client(1), bench.client(2));
    pings(client.namespace(), HOST_V4);
    pings(other.namespace(), HOST_V4);
    for source in [other.v4(), "10.10.0.2".to_owned(), "192.168.7.7".to_owned()] {
        client.namespace().ip(&format!("addr add {source}/32 dev {}", client.interface())).unwrap();
        // To the gateway's other side: the answer, if there were one, would go to the other client.
        let before = bench.settled();
        counted(client.namespace(), "10.10.0.1", 3, &["-W", "1", "-I", &source]).none().unwrap();
        let after = bench.settled();
        assert_eq!(after.drop_of("allowedips_src") - before.drop_of("allowedips_src"), 3, "{source}: {after}");
        client.namespace().ip(&format!("addr del {source}/32 dev {}", client.interface())).unwrap();
    }
    pings(client.namespace(), HOST_V4);
    pings(other.namespace(), HOST_V4);
    bench.finish();
}

/// The inner host speaks first, over an endpoint from the peers file; what waits for the session is not lost.
#[test]
fn the_gateway_speaks_first() {
    let lab = Lab::new(2).unwrap();
    let with_endpoints = lab.clients().iter().zip(peers(&lab));
    let known: Vec<_> =
        with_endpoints.map(|(client, peer)| Peer { endpoint: Some(client.endpoint().unwrap()), ..peer }).collect();
    let bench = start(lab, &Options::default(), &known);
    for client in bench.lab.clients() {
        pings(bench.lab.host(), &client.v4());
        pings(bench.lab.host(), &client.v6());
    }
    bench.finish();
}

/// A peer that has not spoken and has no endpoint cannot be reached; that is counted, and mended by its first word.
#[test]
fn without_an_endpoint_the_client_has_to_speak_first() {
    let bench = bench(1);
    let client = bench.client(1);
    no_pings(bench.lab.host(), &client.v4());
    pings(client.namespace(), HOST_V4);
    pings(bench.lab.host(), &client.v4());
    bench.finish();
}
