//! The timers T1 to T5 with the clock in hand (PROTOCOL A7). When exactly they fire is shown beside them.

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, peer};
use crate::packets::{tag, tagged};
use crate::scenes::{asking, connected};
use culvert::control::change::PeerChange;

fn kinds(gw: &mut Gateway) -> Vec<u8> {
    gw.datagrams().iter().map(|d| d.kind()).collect()
}

/// PROTOCOL A7.1: 20 sends, then what waits goes.
/// PROTOCOL A1.10: 20 sends.
#[test]
fn t1_twenty_initiations_and_what_waited_goes() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    for n in 0..5 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    gw.settle();
    gw.pass_ms(99_000);
    assert_eq!((gw.shared.staged.held(), gw.dropped("no_answer")), (5, 0));
    gw.pass_ms(10_000);
    assert_eq!((gw.shared.staged.held(), gw.dropped("no_answer")), (0, 5));
    assert_eq!(kinds(&mut gw), [1; 20]);
    gw.pass_ms(20_000);
    assert!(kinds(&mut gw).is_empty(), "it gave up");
    // New data begins anew, and it is not thrown away for the failure of before.
    gw.lan(&tagged(HOST, &client.inner(), 9, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0);
    let response = client.respond(&initiation.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [9]);
    gw.finish();
}

#[test]
fn t1_a_session_that_comes_as_it_gives_up_makes_the_giving_up_void() {
    let (mut gw, client) = connected(&Options::default());
    let flow = gw.record(&client).flow;
    let flow_of = |gw: &Gateway, f: &dyn Fn(&culvert::peer::Peer)| {
        f(gw.shared.flows.get(&gw.cores[0].reader, flow).unwrap());
    };
    // The session was there before the worker looked.
    flow_of(&gw, &|peer| peer.give_up.store(true, culvert::queue::sync::Ordering::Release));
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    gw.leap_ms(200_000);
    gw.frames();
    gw.lan(&tagged(HOST, &client.inner(), 2, 96));
    gw.settle();
    assert_eq!((gw.dropped("no_answer"), gw.shared.staged.held()), (0, 1));
    gw.frames();
    gw.finish();
}

/// PROTOCOL A7.1: the tries end.
#[test]
fn t1_giving_up_under_a_session_that_is_due_for_rekeying_does_not_begin_anew() {
    // Found by the simulator: waking the worker, to purge what waits, asked for a younger key without sending anything.
    let (mut gw, mut client, initiation) = asking(1, 1);
    let response = client.respond(&initiation.payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.pass_ms(40_000);
    gw.frames();
    // T3 after 15 s, and 20 tries from there on: they end between 155 and 162 s of the session's age.
    gw.lan(&tagged(HOST, &client.inner(), 2, 96));
    gw.pass_ms(300_000);
    let kinds = kinds(&mut gw);
    assert_eq!(kinds.iter().filter(|kind| **kind == 1).count(), 20, "{kinds:?}");
    gw.finish();
}

/// PROTOCOL A4.1: 5 s apart.
/// PROTOCOL A1.3: 5 s.
#[test]
fn t1_initiations_are_five_seconds_apart_whatever_comes() {
    let mut gw = Gateway::new();
    let client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    for n in 0..490 {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
        gw.pass_ms(10);
    }
    assert_eq!(kinds(&mut gw), [1]);
    gw.finish();
}

/// PROTOCOL A7.2: one keepalive after 10 s.
/// PROTOCOL A1.9: 10 s.
#[test]
fn t2_data_that_nothing_answers_is_answered_by_one_keepalive() {
    let (mut gw, mut client) = connected(&Options::default());
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    gw.frames();
    gw.pass_ms(9_900);
    assert!(kinds(&mut gw).is_empty());
    gw.pass_ms(200);
    assert_eq!(gw.received_by(&client), [Vec::<u8>::new()]);
    gw.pass_ms(60_000);
    assert!(kinds(&mut gw).is_empty(), "one, and no more");
    gw.finish();
}

/// PROTOCOL A7.6: keepalives are not answered.
/// Mistake: keepalives that answer keepalives.
#[test]
fn t2_an_answer_makes_the_keepalive_needless_and_keepalives_are_not_answered() {
    let (mut gw, mut client) = connected(&Options::default());
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.settle();
    gw.frames();
    gw.pass_ms(60_000);
    assert!(kinds(&mut gw).is_empty());
    gw.finish();
}

/// PROTOCOL A7.3: a handshake after 15 s.
#[test]
fn t3_data_without_any_answer_starts_a_handshake() {
    let (mut gw, client) = connected(&Options::default());
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    gw.frames();
    gw.pass_ms(14_900);
    assert!(kinds(&mut gw).is_empty());
    gw.pass_ms(600);
    assert_eq!(kinds(&mut gw), [1]);
    gw.finish();
}

/// PROTOCOL A7.4: 540 s.
#[test]
fn t4_key_material_is_gone_after_540_s() {
    let (mut gw, client) = connected(&Options::default());
    let flow = gw.record(&client).flow;
    let empty = |gw: &Gateway| gw.shared.flows.get(&gw.cores[0].reader, flow).unwrap().keys.is_empty();
    gw.pass_ms(500_000);
    assert!(!empty(&gw));
    gw.pass_ms(41_000);
    assert!(empty(&gw) && gw.record(&client).lock().keypairs.is_empty());
    gw.finish();
}

/// PROTOCOL A7.5: after silence only.
/// Mistake: persistent keepalive sent though traffic flows.
#[test]
fn t5_a_persistent_keepalive_comes_only_after_silence() {
    let (mut gw, mut client) = connected(&Options::default());
    gw.change_peer(PeerChange { public_key: client.key(), persistent_keepalive: Some(25), ..PeerChange::default() });
    gw.settle();
    gw.frames();
    // Traffic: none is needed.
    for n in 0..6 {
        gw.pass_ms(5_000);
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
        let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
        gw.wan(&frame);
        gw.settle();
    }
    assert_eq!(gw.received_by(&client).iter().filter(|p| p.is_empty()).count(), 0);
    // An answer to the last data, so that nothing but T5 is left.
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.pass_ms(24_800);
    assert!(kinds(&mut gw).is_empty());
    gw.pass_ms(300);
    assert_eq!(kinds(&mut gw), [4]);
    gw.pass_ms(50_000);
    assert_eq!(kinds(&mut gw), [4, 4]);
    gw.finish();
}

/// TESTING A22: forward, back, stopped.
/// Mistake: clock that jumps backwards panics.
#[test]
fn a_clock_that_leaps_or_stops_or_goes_back_breaks_nothing() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut pass = |gw: &mut Gateway| {
        let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
        gw.wan(&frame);
        gw.settle();
        gw.delivered().len()
    };
    assert_eq!(pass(&mut gw), 1);
    gw.time.store(5, culvert::queue::sync::Ordering::Relaxed);
    assert_eq!(pass(&mut gw), 1);
    gw.time.store(0, culvert::queue::sync::Ordering::Relaxed);
    assert_eq!(pass(&mut gw), 1);
    gw.leap_ms(86_400_000);
    assert_eq!(pass(&mut gw), 0, "too old");
    gw.frames();
    gw.finish();
}
