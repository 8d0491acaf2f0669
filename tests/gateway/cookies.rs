//! Cookies and rates under load (PROTOCOL A3, 2 to 4; TESTING A2, A12, A13).

use crate::client::Client;
use crate::crowd::{Crowd, frame, with_mac2};
use crate::harness::{Gateway, HOST, peer};
use crate::packets::{tag, tagged};
use culvert::control::change::PeerChange;
use culvert::peer::Tally;
use culvert::shared::Counters;
use std::net::SocketAddr;

/// Initiations from spoofed sources until the handshake thread is under load; what went out to them is taken off the wire.
/// It stays so for a second.
pub(crate) fn press(gw: &mut Gateway) {
    let mut crowd = Crowd::new();
    let before = gw.dropped("cookie_sent");
    for number in 0..640 {
        gw.wan(&crowd.spoof(number));
    }
    gw.settle();
    assert!(gw.dropped("cookie_sent") > before, "not under load");
    gw.frames();
}

/// Diffie-Hellman calculations so far.
pub(crate) fn curve_operations(gw: &Gateway) -> u64 {
    gw.control.iter().map(|counters| counters.curve_operations.get()).sum()
}

/// What the gateway sends to `client` for `message`: exactly one datagram, from where it was asked.
pub(crate) fn answer(gw: &mut Gateway, client: &Client, message: &[u8]) -> Vec<u8> {
    gw.wan(&client.frame(message));
    gw.settle();
    let mut sent = gw.datagrams();
    assert_eq!(sent.len(), 1, "{:?}", gw.drops());
    let sent = sent.remove(0);
    assert_eq!((sent.to, sent.from), (client.at, client.to));
    assert_eq!(sent.tos, if sent.kind() == 3 { 0 } else { 0x88 });
    sent.payload
}

/// The same, where the answer is a cookie reply: no longer than what it answers, and for that message. No curve operation is done.
fn asked(gw: &mut Gateway, client: &Client, message: &[u8]) -> Vec<u8> {
    let (curve, sent) = (curve_operations(gw), gw.dropped("cookie_sent"));
    let reply = answer(gw, client, message);
    assert_eq!((reply.len(), &reply[..4], &reply[4..8]), (64, &[3, 0, 0, 0][..], &message[4..8]));
    assert_eq!((curve_operations(gw), gw.dropped("cookie_sent")), (curve, sent + 1));
    reply
}

fn is_response(message: &[u8]) -> bool {
    (message.len(), message[0]) == (92, 2)
}

/// PROTOCOL A3.3: mac2 counts under load only.
#[test]
fn without_load_nobody_is_asked_for_a_cookie_and_mac2_is_ignored() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let mut initiation = client.initiation();
    initiation[132..].fill(0x5a);
    let response = answer(&mut gw, &client, &initiation);
    assert!(is_response(&response) && client.take_response(&response));
    gw.finish();
}

/// TESTING A2: before mac1 is good nothing is spent, and nothing is said, under load or not.
#[test]
fn a_bad_mac1_costs_no_curve_operation() {
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.add(&client);
    let mut crowd = Crowd::new();
    for load in [false, true] {
        if load {
            press(&mut gw);
        }
        let before = curve_operations(&gw);
        let frames: Vec<_> = (4..132)
            .map(|at| {
                let mut bad = crowd.initiation();
                bad[at] ^= 1;
                client.frame(&bad)
            })
            .collect();
        gw.silent(&frames, "bad_mac1");
        assert_eq!(curve_operations(&gw), before, "under load: {load}");
    }
    gw.finish();
}

/// What TESTING A13 asks.
fn a_cookie_is_its_owners_alone(mut client: Client, elsewhere: [&str; 2]) {
    let mut gw = Gateway::new();
    gw.add(&client);
    press(&mut gw);
    let home = client.at;
    let first = client.initiation();
    let reply = asked(&mut gw, &client, &first);
    assert!(client.take_cookie(&reply));
    for other in elsewhere {
        client.at = other.parse().unwrap();
        let message = client.initiation();
        assert_ne!(message[132..], [0; 16]);
        asked(&mut gw, &client, &message);
    }
    client.at = home;
    let message = client.initiation();
    let response = answer(&mut gw, &client, &message);
    assert!(is_response(&response) && client.take_response(&response));
    let told = |of: fn(&Counters) -> &Tally| gw.control.iter().map(|counters| of(counters).get()).sum::<u64>();
    assert_eq!((told(|c| &c.cookies_returned), told(|c| &c.under_load)), (1, 1), "that of another place is none");

    // A new secret; the cookie is of the old one.
    gw.leap_ms(120_000);
    gw.frames();
    assert_eq!(gw.control.iter().map(|counters| counters.under_load.get()).sum::<u64>(), 0);
    press(&mut gw);
    let message = client.initiation();
    let reply = asked(&mut gw, &client, &message);
    assert!(client.take_cookie(&reply));
    let message = client.initiation();
    assert!(is_response(&answer(&mut gw, &client, &message)));
    gw.finish();
}

/// TESTING A13: another address, another port, an old secret.
/// PROTOCOL A3.4: over address and port.
/// PROTOCOL A1.15: 120 s.
/// Mistake: cookie without the source port.
#[test]
fn a_cookie_is_good_for_its_ipv4_address_its_port_and_two_minutes() {
    a_cookie_is_its_owners_alone(Client::new(1), ["198.51.100.1:4001", "198.51.100.2:4000"]);
}

/// TESTING A13: the same over IPv6.
#[test]
fn a_cookie_is_good_for_its_ipv6_address_its_port_and_two_minutes() {
    a_cookie_is_its_owners_alone(Client::v6(1), ["[2001:db8:2::1]:4001", "[2001:db8:2::2]:4000"]);
}

/// PROTOCOL A3.2: for a second after.
#[test]
fn load_ends_after_a_second() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    press(&mut gw);
    gw.leap_ms(999);
    let message = client.initiation();
    asked(&mut gw, &client, &message);
    gw.leap_ms(1);
    let message = client.initiation();
    assert!(is_response(&answer(&mut gw, &client, &message)));
    gw.finish();
}

/// PROTOCOL A3.4: cookies are asked of those too who answer our initiations; until then the initiation waits.
#[test]
fn a_response_needs_a_cookie_too() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 5, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0).payload;
    press(&mut gw);
    let response = client.respond(&initiation).unwrap();
    let reply = asked(&mut gw, &client, &response);
    assert!(client.take_cookie(&reply));
    // One that names no initiation of ours is not even answered so.
    let stray = Crowd::new().response();
    gw.silent(&[client.frame(&stray)], "handshake_refused");
    let response = client.respond(&initiation).unwrap();
    assert_ne!(response[76..], [0; 16]);
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [5]);
    gw.finish();
}

/// The cookie of an attacker at an address of its own.
fn cookie_of(gw: &mut Gateway, crowd: &mut Crowd, at: SocketAddr) -> [u8; 16] {
    let message = crowd.initiation();
    gw.wan(&frame(at, &message));
    gw.settle();
    let reply = gw.datagrams().remove(0);
    assert_eq!(reply.to, at);
    crowd.cookie(&message, &reply.payload).unwrap()
}

/// At most 20 a second and 5 at once: (worked on, dropped for the rate) of `count` messages at once.
fn let_in(gw: &mut Gateway, frames: &[Vec<u8>]) -> (u64, u64) {
    let before = (gw.dropped("handshake_refused"), gw.dropped("rate_limited"), curve_operations(gw));
    frames.iter().for_each(|frame| gw.wan(frame));
    gw.settle();
    assert!(gw.datagrams().is_empty(), "silent");
    let (worked, limited) = (gw.dropped("handshake_refused") - before.0, gw.dropped("rate_limited") - before.1);
    // Each that is worked on costs one: it does not get further.
    assert_eq!(curve_operations(gw) - before.2, worked);
    (worked, limited)
}

/// TESTING A12: at most 20 a second and 5 at once.
/// PROTOCOL A1.22: 20 a second, 5 at once.
#[test]
fn five_at_once_and_twenty_a_second_from_one_source_with_a_cookie() {
    let mut gw = Gateway::new();
    press(&mut gw);
    let mut crowd = Crowd::new();
    let at = "203.0.113.66:6666".parse().unwrap();
    let cookie = cookie_of(&mut gw, &mut crowd, at);
    let mut some =
        |count| -> Vec<_> { (0..count).map(|_| frame(at, &with_mac2(crowd.initiation(), &cookie))).collect() };
    assert_eq!(let_in(&mut gw, &some(12)), (5, 7));
    gw.leap_ms(49);
    assert_eq!(let_in(&mut gw, &some(2)), (0, 2));
    gw.leap_ms(1);
    assert_eq!(let_in(&mut gw, &some(2)), (1, 1));
    gw.leap_ms(400);
    assert_eq!(let_in(&mut gw, &some(12)), (5, 7));
    gw.finish();
}

/// PROTOCOL A1.22: an IPv6 /64.
#[test]
fn addresses_of_one_ipv6_64_are_one_source() {
    let mut gw = Gateway::new();
    press(&mut gw);
    let mut crowd = Crowd::new();
    let mut frames = Vec::new();
    for at in ["[2001:db8:6:6::1]:1", "[2001:db8:6:6:ffff::2]:2", "[2001:db8:6:6::3]:3"] {
        let at = at.parse().unwrap();
        let cookie = cookie_of(&mut gw, &mut crowd, at);
        frames.extend((0..3).map(|_| frame(at, &with_mac2(crowd.initiation(), &cookie))));
    }
    assert_eq!(let_in(&mut gw, &frames), (5, 4));
    let at = "[2001:db8:6:7::1]:1".parse().unwrap();
    let cookie = cookie_of(&mut gw, &mut crowd, at);
    assert_eq!(let_in(&mut gw, &[frame(at, &with_mac2(crowd.initiation(), &cookie))]), (1, 0));
    gw.finish();
}
