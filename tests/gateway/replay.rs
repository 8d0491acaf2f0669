//! The replay window, as the whole path keeps it (TESTING A5, A6).

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, Role};
use crate::packets::{tag, tagged};
use crate::running::{Running, take};
use crate::scenes::connected;

/// One data message with this counter, which it carries inside too.
fn message(client: &Client, counter: u64) -> Vec<u8> {
    let inner = tagged(&client.inner(), HOST, counter as u32, 96);
    client.frame(&client.session().seal(counter, &inner))
}

/// What is delivered of these counters' messages, all sent before anything is looked at.
fn deliver(gw: &mut Gateway, client: &Client, counters: impl IntoIterator<Item = u64>) -> Vec<u32> {
    for counter in counters {
        gw.wan(&message(client, counter));
    }
    gw.settle();
    gw.delivered().iter().map(|p| tag(p)).collect()
}

/// TESTING A5: delivered exactly once.
#[test]
fn a_replayed_message_is_delivered_exactly_once() {
    for options in [Options::default(), Options::workers(2)] {
        let (mut gw, client) = connected(&options);
        assert_eq!(deliver(&mut gw, &client, [5, 5, 6, 5, 6]), [5, 6]);
        assert!(deliver(&mut gw, &client, [6, 5]).is_empty());
        assert_eq!(gw.dropped("replay"), 5);
        gw.finish();
    }
}

/// PROTOCOL A8.5: a replay is silent.
#[test]
fn a_replay_is_silent() {
    let (mut gw, client) = connected(&Options::default());
    let frame = message(&client, 9);
    gw.wan(&frame);
    gw.settle();
    gw.frames();
    gw.silent(&[frame.clone(), frame], "replay");
    gw.finish();
}

/// TESTING A5: the edge.
/// PROTOCOL A1.14: 8,128 usable.
#[test]
fn whatever_is_at_most_8128_behind_is_delivered_once_and_one_more_is_too_old() {
    let (mut gw, client) = connected(&Options::default());
    let greatest = 20_000;
    assert_eq!(deliver(&mut gw, &client, [greatest]), [greatest as u32]);
    assert!(deliver(&mut gw, &client, [greatest - 8129]).is_empty());
    assert_eq!(gw.dropped("replay"), 1);
    assert_eq!(deliver(&mut gw, &client, [greatest - 8128]), [(greatest - 8128) as u32]);
    assert!(deliver(&mut gw, &client, [greatest - 8128, greatest]).is_empty());
    assert_eq!(gw.dropped("replay"), 3);
    gw.finish();
}

#[test]
fn a_window_turned_upside_down_loses_nothing() {
    let (mut gw, client) = connected(&Options { pool: 16_384, ..Options::default() });
    let (last, mut delivered) = (10_000, Vec::new());
    delivered.extend(deliver(&mut gw, &client, [last]));
    let counters: Vec<u64> = (last - 8128..last).rev().collect();
    for some in counters.chunks(512) {
        delivered.extend(deliver(&mut gw, &client, some.iter().copied()));
    }
    let expected: Vec<u32> = (last - 8128..=last).rev().map(|c| c as u32).collect();
    assert_eq!(delivered, expected);
    assert_eq!(gw.dropped("replay"), 0);
    gw.finish();
}

/// TESTING A6: counters from 2^64 - 8130 on.
/// PROTOCOL A1.2: the same number.
/// Mistake: nonce limit wrong on receive.
#[test]
fn counters_from_the_limit_on_are_refused_and_leave_the_window_alone() {
    let (mut gw, client) = connected(&Options::default());
    let limit = u64::MAX - 8129;
    for counter in [limit, limit + 1, u64::MAX] {
        assert!(deliver(&mut gw, &client, [counter]).is_empty());
    }
    assert_eq!(gw.dropped("session_expired"), 3);
    assert_eq!(deliver(&mut gw, &client, [3]), [3]);
    assert_eq!(deliver(&mut gw, &client, [limit - 1]).len(), 1);
    gw.finish();
}

/// TESTING A6: the sender at 2^60, and at the limit.
/// PROTOCOL A1.1: beyond 2^60 it rekeys.
/// Mistake: nonce limit not enforced.
#[test]
fn a_sender_at_its_limit_asks_for_a_new_session_and_sends_no_more() {
    let (mut gw, client) = connected(&Options::default());
    let slot = |gw: &Gateway| {
        let flow = gw.shared.flows.get(&gw.cores[0].reader, gw.record(&client).flow).unwrap();
        flow.keys.current().unwrap()
    };
    let set = |gw: &Gateway, nonce| {
        gw.shared.index.keypair(&gw.cores[0].reader, slot(gw)).unwrap().set_nonce_for_test(nonce);
    };
    // No handshake was sent lately.
    gw.leap_ms(10_000);
    gw.frames();
    set(&gw, 1 << 60);
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    assert_eq!(gw.datagrams().iter().map(|d| d.kind()).collect::<Vec<_>>(), [4, 1], "beyond 2^60 it rekeys");
    set(&gw, u64::MAX - 8129 - 1);
    gw.lan(&tagged(HOST, &client.inner(), 2, 96));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [2], "the last one");
    gw.lan(&tagged(HOST, &client.inner(), 3, 96));
    gw.settle();
    assert!(gw.datagrams().iter().all(|d| d.kind() == 1));
    gw.finish();
}

/// TESTING A7: two RX queues at once.
#[test]
fn the_same_message_on_two_queues_at_once_is_delivered_exactly_once() {
    const MESSAGES: u64 = 1_000_000;
    let cores = vec![Role::Io, Role::Io, Role::Worker, Role::Worker];
    let (gw, client) = connected(&Options { cores, pool: 32_768, ..Options::default() });
    let gw = Running::start(gw);
    let mut tags = Vec::new();
    for some in (1..=MESSAGES).collect::<Vec<_>>().chunks(250) {
        for counter in some {
            let frame = message(&client, *counter);
            gw.wan_rx.iter().for_each(|wire| gw.send(wire, &frame));
        }
        // Below the queue's bound, so that nothing else is dropped.
        let last = *some.last().unwrap();
        gw.wait("all of them", || {
            tags.extend(take(&gw.lan_tx).iter().map(|f| u64::from(tag(&f[14..]))));
            tags.len() as u64 + gw.dropped("replay") >= 2 * last
        });
    }
    tags.sort_unstable();
    assert_eq!(tags, (1..=MESSAGES).collect::<Vec<_>>());
    assert_eq!(gw.dropped("replay"), MESSAGES);
    gw.finish();
}
