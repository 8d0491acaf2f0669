//! Clients that move.

use crate::bench::{RECOVERY, bench, pings};
use culvert::cli::lab::HOST_V4;

#[test]
fn the_gateway_follows_a_client_to_another_address() {
    let bench = bench(2);
    let client = bench.client(1);
    pings(client.namespace(), HOST_V4);
    assert_eq!(bench.shown("endpoints", client), client.endpoint().unwrap());

    let moved = "addr del 198.18.1.2/24 dev wan0\naddr add 198.18.1.77/24 dev wan0\nroute add default via 198.18.1.1";
    client.namespace().ip(moved).unwrap();
    bench.comes_back(client.namespace(), HOST_V4, RECOVERY);
    pings(client.namespace(), HOST_V4);
    assert_eq!(bench.shown("endpoints", client), format!("198.18.1.77:{}", client.port().unwrap()));
    // And the other way, without a word of the client's.
    pings(bench.lab.host(), &client.v4());
    bench.finish();
}

#[test]
fn the_gateway_follows_a_client_to_another_port_and_family() {
    let bench = bench(1);
    let client = bench.client(1);
    pings(client.namespace(), HOST_V4);
    client.wg(&["set", client.interface(), "listen-port", "40404"]).unwrap();
    pings(client.namespace(), HOST_V4);
    assert_eq!(bench.shown("endpoints", client), "198.18.1.2:40404");

    let gateway = &bench.lab.gateway_keys().public;
    client.wg(&["set", client.interface(), "peer", gateway, "endpoint", "[2001:db8::10]:51820"]).unwrap();
    pings(client.namespace(), HOST_V4);
    assert_eq!(bench.shown("endpoints", client), "[2001:db8:1::2]:40404");
    pings(bench.lab.host(), &client.v4());
    bench.finish();
}
