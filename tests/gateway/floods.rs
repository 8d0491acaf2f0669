//! Floods of handshake messages, stepped by hand (TESTING A11, A12, A15 to A17): who is real comes through, and nothing grows.

use crate::client::Client;
use crate::cookies::{answer, curve_operations, press};
use crate::crowd::{Crowd, frame, spoofed, with_mac2};
use crate::harness::{Gateway, HOST, Options, peer};
use crate::packets::{Datagram, tag, tagged};
use crate::scenes::asking;
use culvert::control::change::PeerChange;
use culvert::queue::sync::Ordering;

/// The most packets that handshakes may hold: two queues of 1,024, and what is on its way to them in a turn.
const HELD: usize = 2 * 1024 + 256;

/// So many in `make test`, or in `make test-long`.
fn many(short: u32, long: u32) -> u32 {
    if std::env::var_os("CULVERT_LONG").is_some() { long } else { short }
}

/// A client that tries until it has a session.
struct Newcomer {
    client: Client,
    tries: u32,
    is_done: bool,
}

impl Newcomer {
    fn new(gw: &mut Gateway, number: u8) -> Self {
        let client = Client::new(number);
        gw.add(&client);
        Self { client, tries: 0, is_done: false }
    }

    fn tries(&mut self, gw: &mut Gateway) {
        self.tries += 1;
        let message = self.client.initiation();
        gw.wan(&self.client.frame(&message));
    }

    /// Takes what came for it; a cookie makes it try once more.
    fn takes(&mut self, gw: &mut Gateway, datagrams: &[Datagram]) {
        let at = self.client.at;
        for datagram in datagrams.iter().filter(|d| d.to == at) {
            match datagram.kind() {
                2 => self.is_done |= self.client.take_response(&datagram.payload),
                3 if self.client.take_cookie(&datagram.payload) => self.tries(gw),
                _ => {}
            }
        }
    }
}

/// One turn of everything, and half a millisecond in every one.
fn step(gw: &mut Gateway, number: u32) {
    if number.is_multiple_of(2) {
        gw.time.fetch_add(1, Ordering::Relaxed);
    }
    gw.step();
    let held = gw.pool.outstanding();
    assert!(held <= HELD, "{held} packets are held");
}

/// TESTING A11. One message a turn is what the handshake thread can do: this is thirty times that.
#[test]
fn a_flood_of_spoofed_initiations() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    let mut newcomers = [Newcomer::new(&mut gw, 2), Newcomer::new(&mut gw, 3)];
    let mut crowd = Crowd::new();
    let (mut inward, mut outward) = (Vec::new(), Vec::new());
    let (steps, curve) = (600, curve_operations(&gw));
    for number in 0..steps {
        for spoof in 0..30 {
            gw.wan(&crowd.spoof(30 * number + spoof));
        }
        let data = client.data(&tagged(&client.inner(), HOST, number, 96));
        gw.wan(&data);
        gw.lan(&tagged(HOST, &client.inner(), number, 96));
        match number {
            // While the flood is still taken for a crowd, and when it is not any more.
            5 => newcomers[0].tries(&mut gw),
            400 => newcomers[1].tries(&mut gw),
            _ => {}
        }
        step(&mut gw, number);
        inward.extend(gw.delivered().iter().map(|p| tag(p)));
        let datagrams = gw.datagrams();
        let mine = datagrams.iter().filter(|d| d.to == client.at);
        outward.extend(mine.map(|d| tag(&client.open(&d.payload).unwrap())));
        newcomers.iter_mut().for_each(|newcomer| newcomer.takes(&mut gw, &datagrams));
    }
    let all: Vec<_> = (0..steps).collect();
    assert!(inward == all && outward == all, "{} and {} of {steps}", inward.len(), outward.len());
    for newcomer in &newcomers {
        assert!(newcomer.is_done && newcomer.tries <= 2, "after {} tries", newcomer.tries);
    }
    // It is under load but for the first moments: nearly all cost no curve operation.
    let (asked, curve) = (gw.dropped("cookie_sent"), curve_operations(&gw) - curve);
    assert!(asked > u64::from(steps) * 28 && curve < 200, "{asked} were asked for a cookie, {curve} curve operations");
    gw.settle();
    gw.frames();
    gw.finish();
}

/// TESTING A12: an attacker who keeps the queue as long as it may be, and never gives cause to ask for cookies.
#[test]
fn a_flood_just_below_the_threshold() {
    let mut gw = Gateway::with(&Options { max_peers: 128, ..Options::default() });
    let mut newcomers: Vec<_> = (1..=100).map(|number| Newcomer::new(&mut gw, number)).collect();
    let mut crowd = Crowd::new();
    let mut spoofs = (0..).map(|number| crowd.spoof(number)).take(5000);
    for frame in spoofs.by_ref().take(480) {
        gw.wan(&frame);
    }
    (0..15).for_each(|number| step(&mut gw, number));
    for number in 0..2000_u32 {
        // One comes for each that is served.
        if number.is_multiple_of(10)
            && let Some(newcomer) = newcomers.get_mut(number as usize / 10)
        {
            newcomer.tries(&mut gw);
        } else {
            gw.wan(&spoofs.next().unwrap());
        }
        step(&mut gw, number);
        let datagrams = gw.datagrams();
        newcomers.iter_mut().for_each(|newcomer| newcomer.takes(&mut gw, &datagrams));
    }
    assert_eq!(gw.dropped("cookie_sent"), 0, "it went over the threshold");
    let done = newcomers.iter().filter(|n| n.is_done && n.tries == 1).count();
    assert!(done >= 99, "{done} of 100");
    gw.settle();
    gw.frames();
    gw.finish();
}

/// TESTING A12: an attacker with a cookie for an address of its own, and a flood from spoofed ones beside it.
#[test]
fn a_flood_with_a_cookie_from_one_source() {
    let mut gw = Gateway::with(&Options { max_peers: 128, ..Options::default() });
    let mut newcomers: Vec<_> = (1..=100).map(|number| Newcomer::new(&mut gw, number)).collect();
    press(&mut gw);
    let mut crowd = Crowd::new();
    let at = "203.0.113.66:6666".parse().unwrap();
    let message = crowd.initiation();
    gw.wan(&frame(at, &message));
    gw.settle();
    let cookie = crowd.cookie(&message, &gw.datagrams().remove(0).payload).unwrap();
    let steps = 1200;
    for number in 0..steps {
        for some in 0..15 {
            gw.wan(&frame(at, &with_mac2(crowd.initiation(), &cookie)));
            gw.wan(&crowd.spoof(15 * number + some));
        }
        if number.is_multiple_of(8)
            && let Some(newcomer) = newcomers.get_mut(number as usize / 8)
        {
            newcomer.tries(&mut gw);
        }
        step(&mut gw, number);
        let datagrams = gw.datagrams();
        newcomers.iter_mut().for_each(|newcomer| newcomer.takes(&mut gw, &datagrams));
    }
    let done = newcomers.iter().filter(|n| n.is_done && n.tries <= 2).count();
    assert!(done >= 99, "{done} of 100: {:?}", gw.drops());
    assert!(gw.dropped("rate_limited") > u64::from(steps) * 12);
    gw.settle();
    gw.frames();
    gw.finish();
}

/// Handshakes that we start are worked on however many messages wait.
#[test]
fn our_own_initiations_go_out_in_a_flood() {
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    press(&mut gw);
    let mut crowd = Crowd::new();
    for number in 0..3000 {
        gw.wan(&crowd.spoof(number));
    }
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    let mut steps = 0;
    while !gw.datagrams().iter().any(|d| d.to == client.at && d.kind() == 1) {
        steps += 1;
        assert!(steps < 10, "it starves");
        gw.step();
    }
    gw.settle();
    gw.frames();
    gw.finish();
}

/// TESTING A14, under load: what names a wrong index, or is spoilt behind a good mac1, leaves the handshake to the real response.
#[test]
fn spoofed_responses_in_a_flood_race_the_real_one() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 3, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0).payload;
    press(&mut gw);
    let mut crowd = Crowd::new();
    for _ in 0..1000 {
        let response = crowd.response();
        gw.wan(&client.frame(&response));
    }
    gw.settle();
    assert!(gw.datagrams().is_empty(), "silent");
    // Under no load those with the right index are worked on, and fail.
    gw.leap_ms(1000);
    for _ in 0..20 {
        let response = crowd.response_to(&initiation);
        gw.wan(&client.frame(&response));
    }
    gw.settle();
    assert!(gw.datagrams().is_empty(), "silent");
    let response = client.respond(&initiation).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [3]);
    gw.finish();
}

/// TESTING A15: a million in the long run.
#[test]
fn initiations_of_one_valid_peer_back_to_back() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let most = |gw: &Gateway, client: &Client| gw.record(client).lock().keypairs.len();
    let mut accepted = 0;
    for _ in 0..many(4000, 1_000_000) / 16 {
        for _ in 0..16 {
            let message = client.initiation();
            gw.wan(&client.frame(&message));
            (0..2).for_each(|number| step(&mut gw, 2 * number + 1));
            for response in gw.datagrams().into_iter().filter(|d| d.kind() == 2) {
                assert!(client.take_response(&response.payload));
                accepted += 1;
                // It is confirmed, so that all three places come into use.
                let keepalive = client.data(&[]);
                gw.wan(&keepalive);
            }
            assert!(most(&gw, &client) <= 3, "more than next, current and previous");
        }
        gw.leap_ms(20);
        gw.frames();
        client.sessions.drain(..client.sessions.len().saturating_sub(3));
    }
    assert!(accepted > 0);
    gw.settle();
    assert!(most(&gw, &client) <= 3);
    gw.frames();
    gw.finish();
}

/// TESTING A16: each with a cookie of its own. That the table's memory is constant for a million is the limiter's own test.
#[test]
fn many_sources_that_all_have_a_cookie() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    press(&mut gw);
    let mut crowd = Crowd::new();
    let (mut inward, mut asked) = (Vec::new(), Vec::new());
    for number in 0..many(5000, 100_000) {
        let (at, message) = (spoofed(number), crowd.initiation());
        gw.wan(&frame(at, &message));
        asked.push((at, message));
        if asked.len() < 24 {
            continue;
        }
        gw.settle();
        for reply in gw.datagrams() {
            let Some(at) = asked.iter().position(|(at, _)| *at == reply.to) else { continue };
            let (at, message) = asked.swap_remove(at);
            let cookie = crowd.cookie(&message, &reply.payload).unwrap();
            gw.wan(&frame(at, &with_mac2(crowd.initiation(), &cookie)));
        }
        assert!(asked.is_empty(), "not all were told a cookie");
        let data = client.data(&tagged(&client.inner(), HOST, number, 96));
        gw.wan(&data);
        gw.settle();
        inward.extend(gw.delivered().iter().map(|p| tag(p)));
        // Cookies go at a bounded rate, and load ends a second after its cause.
        gw.leap_ms(5);
        if number % 2400 == 2399 {
            press(&mut gw);
        }
    }
    let expected: Vec<_> = (0..many(5000, 100_000)).filter(|number| number % 24 == 23).collect();
    gw.settle();
    inward.extend(gw.delivered().iter().map(|p| tag(p)));
    assert_eq!(inward, expected);
    assert_eq!(gw.dropped("rate_limited"), 0);
    gw.frames();
    gw.finish();
}

/// TESTING A17, and both are under load: two rounds at most, each of at most one message a side and its answers.
#[test]
fn two_that_initiate_at_once_under_load() {
    let (mut gw, mut client, theirs) = asking(1, 1);
    press(&mut gw);
    // Round one: both are asked for a cookie.
    let ours = client.initiation();
    let reply = answer(&mut gw, &client, &ours);
    assert_eq!(reply[0], 3);
    assert!(client.take_cookie(&reply));
    // Round two.
    let ours = client.initiation();
    let response = answer(&mut gw, &client, &ours);
    assert!(client.take_response(&response));
    let response = client.respond(&theirs.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [1]);
    gw.finish();
}
