//! The wall clock does what it likes (PROTOCOL A1, TAI64N; TESTING A22): handshakes go on, and timers do not look at it.

use crate::client::Client;
use crate::harness::{Gateway, HOST, peer};
use crate::packets::tagged;
use culvert::control::change::PeerChange;
use culvert::noise::Tai64N;
use culvert::queue::sync::Ordering;
use std::time::Duration;

/// A day, ms.
const DAY: u64 = 86_400_000;

struct Rig {
    gw: Gateway,
    client: Client,
    sent: u32,
}

impl Rig {
    fn new() -> Self {
        let (mut gw, client) = (Gateway::new(), Client::new(1));
        gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
        Self { gw, client, sent: 0 }
    }

    /// The wall clock is set.
    fn set(&self, wall: u64) {
        self.gw.wall.store(wall.wrapping_sub(self.gw.time.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// What the wall clock shows.
    fn wall(&self) -> u64 {
        self.gw.wall.load(Ordering::Relaxed).wrapping_add(self.gw.time.load(Ordering::Relaxed))
    }

    /// Data after the end of the last session makes the gateway initiate; its timestamp. The session works.
    fn initiate(&mut self) -> Tai64N {
        self.gw.leap_ms(180_000);
        self.sent += 1;
        self.gw.lan(&tagged(HOST, &self.client.inner(), self.sent, 96));
        self.gw.settle();
        let initiation = self.gw.datagrams().into_iter().find(|d| d.kind() == 1).unwrap();
        let response = self.client.respond(&initiation.payload).unwrap();
        self.gw.wan(&self.client.frame(&response));
        self.gw.settle();
        assert_eq!(self.gw.received_by(&self.client).len(), 1);
        self.client.heard.unwrap()
    }
}

/// TESTING A22: set back, or stopped.
/// PROTOCOL A1.27: timestamps only grow.
#[test]
fn a22_timestamps_grow_though_the_wall_clock_is_set_back_or_stands_still() {
    let mut rig = Rig::new();
    let start = rig.wall();
    let mut last = rig.initiate();
    // Back a day, to its beginning, and then it stands still.
    for wall in [start - DAY, 0, 0, 0, start - DAY] {
        rig.set(wall.wrapping_sub(180_000));
        let next = rig.initiate();
        assert!(next > last, "the peer would refuse it");
        last = next;
    }
    // A step of 2^24 ns each, so that it is the truth again soon after the clock is.
    assert!(last < Tai64N::from_unix(Duration::from_millis(start + 181_000)));
    rig.set(start + DAY);
    assert!(rig.initiate() >= Tai64N::from_unix(Duration::from_millis(start + DAY)));
    rig.gw.finish();
}

#[test]
fn a22_a_wall_clock_that_was_a_day_ahead_for_a_while_does_no_harm_later() {
    let mut rig = Rig::new();
    let start = rig.wall();
    rig.set(start + DAY);
    let ahead = rig.initiate();
    rig.set(start);
    assert!(rig.initiate() > ahead, "the peer would refuse today's for a day");
    rig.gw.finish();
}

/// TESTING A22: timers use the monotonic clock only.
#[test]
fn a22_the_wall_clock_moves_no_timer() {
    let mut rig = Rig::new();
    rig.gw.lan(&tagged(HOST, &rig.client.inner(), 1, 96));
    rig.gw.settle();
    for wall in [0, u64::MAX / 2, 5] {
        rig.set(wall);
        rig.gw.pass_ms(1_000);
    }
    assert_eq!(rig.gw.datagrams().len(), 1, "T1 after 5 s, and not before");
    rig.gw.pass_ms(2_500);
    assert_eq!(rig.gw.datagrams().len(), 1);
    rig.gw.finish();
}

#[test]
fn a22_a_peer_whose_clock_was_ahead_is_refused_until_it_has_caught_up() {
    // As the kernel does: a greater timestamp was seen, and nothing tells an old initiation from a set clock.
    let (mut gw, mut client) = (Gateway::new(), Client::new(1));
    gw.add(&client);
    gw.connect(&mut client);
    let ahead = client.initiation_at(2_000_000 + 86_400);
    gw.wan(&client.frame(&ahead));
    gw.settle();
    assert_eq!(gw.datagrams().len(), 1);
    gw.leap_ms(20);
    let today = client.initiation_at(2_000_000);
    gw.silent(&[client.frame(&today)], "handshake_refused");
    let tomorrow = client.initiation_at(2_000_001 + 86_400);
    gw.wan(&client.frame(&tomorrow));
    gw.settle();
    assert_eq!(gw.datagrams().len(), 1);
    gw.finish();
}
