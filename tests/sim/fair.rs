//! Runs with one question each.

use crate::network::Weather;
use crate::plan::{Act, Plan, pairs};
use crate::watch::ROUND_MS;
use crate::world::World;
use culvert::session::limits::{
    REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_MS, REKEY_AFTER_MESSAGES, REKEY_ON_RECEIVE_MS,
};
use fastrand::Rng;

fn two(fair: Weather) -> Plan {
    Plan { nodes: 2, roamer: 1, roamer_is_known: true, ms_a_second: vec![1000, 1000], storm: 0, acts: Vec::new(), fair }
}

fn world(plan: &Plan, seed: u64) -> World {
    World::new(plan, Rng::with_seed(seed), false)
}

fn data(from: usize, to: usize) -> Act {
    Act::Data { from, to, ipv6: false, len: 100, spoofed: false }
}

fn finish(world: World) {
    world.nodes.into_iter().for_each(|node| node.gateway.finish());
}

/// Each host sends to the other at once, and neither has a session; the initiations cross on their way.
#[test]
fn a17_a_simultaneous_initiation_comes_up_within_two_rounds() {
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let fair = Weather { delay: rng.u64(1..400), jitter: rng.u64(..400), ..Weather::default() };
        let mut world = world(&two(fair), seed);
        // Every tenth is a little late: the other's initiation may be there already.
        let second = if seed % 10 == 0 { rng.u64(..500) } else { 0 };
        world.at(1000, data(0, 1));
        world.at(1000 + second, data(1, 0));
        world.run_until(1000 + 2 * ROUND_MS);
        assert!(world.watch.sent.iter().all(|sent| sent.delivered.is_some()), "seed {seed}: not up in two rounds");
        // And it stays up.
        let before = world.watch.responses;
        for second in 20..30 {
            pairs(2).for_each(|(from, to)| world.at(second * 1000, data(from, to)));
        }
        world.run_until(32_000);
        assert!(world.watch.sent.iter().all(|sent| sent.delivered.is_some()), "seed {seed}: it does not stay up");
        assert_eq!(world.watch.responses, before, "seed {seed}: handshakes go on");
        finish(world);
    }
}

/// Twenty minutes of traffic: by time the session is made anew every two minutes, and nothing is lost, doubled or late for that.
/// Returns how many handshakes that took.
fn traffic(acts: &[Act], gap: u64, ms_a_second: [u64; 2], seed: u64) -> u64 {
    let fair = Weather { delay: 60, jitter: 30, ..Weather::default() };
    let plan = Plan { ms_a_second: ms_a_second.to_vec(), ..two(fair) };
    let mut world = world(&plan, seed);
    for at in (0..1_200_000).step_by(gap as usize) {
        acts.iter().for_each(|act| world.at(at, act.clone()));
    }
    world.run_until(1_220_000);
    let lost: Vec<_> = world.watch.sent.iter().filter(|sent| sent.delivered.is_none()).collect();
    assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    let handshakes = world.watch.responses;
    world.nodes.into_iter().for_each(|node| node.gateway.finish());
    handshakes
}

#[test]
fn rekeying_by_time_on_sending_loses_nothing() {
    let handshakes = traffic(&[data(0, 1)], 100, [1000, 1000], 1);
    // 1200 s / 120 s, and the way of each.
    assert!((10..=11).contains(&handshakes), "{handshakes}");
}

#[test]
fn rekeying_with_clocks_that_differ_loses_nothing() {
    for rates in [[990, 1010], [1010, 990]] {
        let handshakes = traffic(&[data(0, 1)], 500, rates, 1);
        assert!((9..=11).contains(&handshakes), "{handshakes}");
    }
}

/// Both begin at once, and so both could go on beginning at once for ever, each with a session of its own.
#[test]
fn rekeying_under_traffic_both_ways_loses_nothing() {
    for seed in 0..4 {
        let handshakes = traffic(&[data(0, 1), data(1, 0)], 250, [1000, 1000], seed);
        assert!((10..=13).contains(&handshakes), "seed {seed}: {handshakes}");
    }
}

/// The initiator only receives, and is silent while that is so: neither data nor a keepalive of its own finds the session older than
/// 120 s. It asks on what comes from 165 s on, once, before the session is too old to take what comes next.
#[test]
fn rekeying_by_time_on_receiving_loses_nothing() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let fair = Weather { delay: rng.u64(1..100), jitter: rng.u64(..50), ..Weather::default() };
        let mut world = world(&two(fair), seed);
        // The session is 0's; it is made within a round trip.
        world.at(0, data(0, 1));
        (1..100).for_each(|second| world.at(second * 1000, data(1, 0)));
        let (young, old) = (REKEY_ON_RECEIVE_MS - 500, REKEY_ON_RECEIVE_MS + 300);
        world.at(young, data(1, 0));
        world.run_until(old - 1);
        assert_eq!(world.watch.responses, 1, "seed {seed}: too early");
        (0..40).for_each(|number| world.at(old + number * 100, data(1, 0)));
        // There, and back with an answer.
        world.run_until(old + 3 * 150);
        assert_eq!(world.watch.responses, 2, "seed {seed}: too late");
        // A silence that the session of before would not have outlived.
        (0..20).for_each(|number| world.at(REJECT_AFTER_TIME_MS + 10_000 + number * 1000, data(1, 0)));
        world.run_until(REJECT_AFTER_TIME_MS + 35_000);
        assert_eq!(world.watch.responses, 2, "seed {seed}: more than once");
        let lost: Vec<_> = world.watch.sent.iter().filter(|sent| sent.delivered.is_none()).collect();
        assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
        finish(world);
    }
}

/// By count, and by whoever it is: at 2^60 a younger session is asked for, and shortly before the end nothing goes that may not.
#[test]
fn rekeying_by_count_loses_nothing() {
    for ((from, to), start) in
        pairs(2).flat_map(|pair| [REKEY_AFTER_MESSAGES, REJECT_AFTER_MESSAGES - 3].map(|n| (pair, n)))
    {
        let mut world = world(&two(Weather { delay: 30, ..Weather::default() }), 1);
        // The session is always made by 0.
        world.at(0, data(0, 1));
        world.at(500, data(1, 0));
        world.run_until(1_000);
        let handshakes = world.watch.responses;
        world.nodes[from].with_current(|keypair| keypair.set_nonce_for_test(start));
        // At 5 s, since handshakes are so far apart, and so that the last three counters last for the way.
        (0..20).for_each(|number| world.at(6_000 + number * 30, data(from, to)));
        world.run_until(8_000);
        let lost: Vec<_> = world.watch.sent.iter().filter(|sent| sent.delivered.is_none()).collect();
        assert!(lost.is_empty(), "{from} from {start} on: lost {lost:?}");
        assert_eq!(world.watch.responses, handshakes + 1, "{from} from {start} on");
        finish(world);
    }
}

/// Both are flooded all the time: each learns by a cookie that the other is under load, and comes through at the next try.
#[test]
fn a_session_comes_up_within_two_rounds_while_both_are_flooded() {
    let fair = Weather { delay: 50, ..Weather::default() };
    let mut world = world(&two(fair), 1);
    for number in 0..20 {
        (0..2).for_each(|node| world.at(number * 600, Act::Flood(node)));
    }
    world.at(1_000, data(0, 1));
    world.at(1_000, data(1, 0));
    world.run_until(1_000 + 2 * ROUND_MS);
    assert!(world.watch.sent.iter().all(|sent| sent.delivered.is_some()), "not up in two rounds");
    assert!(world.watch.cookies > 2 * 10 * 500, "{} cookies: it was not under load", world.watch.cookies);
    finish(world);
}
