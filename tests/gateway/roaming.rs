//! Where a peer is, and which address of ours it sees (PROTOCOL A8.9, TESTING A10).

use crate::client::Client;
use crate::harness::{Gateway, HOST, peer};
use crate::packets::{tag, tagged};
use crate::roles::{keepalive, responder, send};
use culvert::control::change::{ChangeSet, PeerChange};

/// The client goes to another place, and talks to another address of ours.
fn go(client: &mut Client, at: &str, to: &str) {
    (client.at, client.to) = (at.parse().unwrap(), to.parse().unwrap());
}

/// The next packet to the client goes where it is, from where it talked to.
fn follows(gw: &mut Gateway, client: &Client, number: u32) {
    send(gw, client, number);
    let sent = gw.datagrams();
    assert_eq!(sent.iter().map(|d| (d.from, d.to)).collect::<Vec<_>>(), [(client.to, client.at)]);
    assert_eq!(tag(&client.open(&sent[0].payload).unwrap()), number);
}

/// PROTOCOL A8.9: every authenticated packet moves the endpoint: keepalives, data, initiations; from IPv4 to IPv6 and back.
#[test]
fn every_kind_of_authentic_packet_moves_the_endpoint() {
    let (mut gw, mut client) = responder();
    follows(&mut gw, &client, 1);
    go(&mut client, "[2001:db8:2::9]:999", "[2001:db8:1::1]:51820");
    keepalive(&mut gw, &mut client);
    follows(&mut gw, &client, 2);
    go(&mut client, "203.0.113.9:1", "192.0.2.2:51820");
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    follows(&mut gw, &client, 3);
    go(&mut client, "[2001:db8:2::8]:65535", "[2001:db8:1::1]:51820");
    gw.handshake_of(&mut client);
    // The old session's index is still the one that is sent under.
    follows(&mut gw, &client, 4);
    // Only the port.
    go(&mut client, "[2001:db8:2::8]:2", "[2001:db8:1::1]:51820");
    keepalive(&mut gw, &mut client);
    follows(&mut gw, &client, 5);
    gw.finish();
}

/// PROTOCOL A8.9: a response moves it as well.
#[test]
fn a_response_moves_the_endpoint() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some("203.0.113.1:1".parse().unwrap()), ..peer(&client) });
    send(&mut gw, &client, 1);
    let initiation = gw.datagrams().remove(0);
    assert_eq!(initiation.to, "203.0.113.1:1".parse().unwrap());
    go(&mut client, "198.51.100.77:77", "192.0.2.2:51820");
    let response = client.respond(&initiation.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    let sent = gw.datagrams();
    assert_eq!(sent.iter().map(|d| (d.from, d.to)).collect::<Vec<_>>(), [(client.to, client.at)]);
    gw.finish();
}

/// TESTING A10: forged initiations, replayed ones and refused responses from elsewhere move nothing.
#[test]
fn what_is_refused_moves_nothing() {
    let (mut gw, mut client) = responder();
    let home = (client.at, client.to);
    let first = client.initiation();
    gw.wan(&client.frame(&first));
    gw.settle();
    let response = gw.datagrams().remove(0).payload;
    assert!(client.take_response(&response));
    gw.leap_ms(100);
    let mut bad = client.initiation();
    bad[140] ^= 1;
    bad[100] ^= 1;
    go(&mut client, "203.0.113.66:6", "192.0.2.2:51820");
    gw.silent(&[client.frame(&first)], "handshake_refused");
    gw.silent(&[client.frame(&bad)], "bad_mac1");
    (client.at, client.to) = home;
    follows(&mut gw, &client, 1);
    gw.finish();
}

/// PROTOCOL A8.9: a set moves it too, and forgets which of our addresses was talked to.
#[test]
fn a_set_moves_the_endpoint() {
    let (mut gw, mut client) = responder();
    go(&mut client, "198.51.100.1:4000", "192.0.2.2:51820");
    keepalive(&mut gw, &mut client);
    follows(&mut gw, &client, 1);
    let endpoint = Some("203.0.113.5:5".parse().unwrap());
    gw.change_peer(PeerChange { public_key: client.key(), endpoint, ..PeerChange::default() });
    go(&mut client, "203.0.113.5:5", "192.0.2.1:51820");
    follows(&mut gw, &client, 2);
    gw.finish();
}

/// PROTOCOL A8.9: after a change of the listen port everything leaves from the new one, and what comes to the old one is not ours.
#[test]
fn another_listen_port() {
    let (mut gw, mut client) = responder();
    let old = client.data(&[]);
    gw.apply(ChangeSet { listen_port: Some(4242), ..ChangeSet::default() }).unwrap();
    client.to.set_port(4242);
    follows(&mut gw, &client, 1);
    gw.silent(&[old], "not_for_us");
    keepalive(&mut gw, &mut client);
    follows(&mut gw, &client, 2);
    gw.connect(&mut client);
    gw.frames();
    gw.finish();
}
