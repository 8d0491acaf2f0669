//! Bounds, and generated input.

use super::*;
use crate::control::neighbour::{ENTRIES_MAX, UNRESOLVED_MAX, WAITING_MAX};
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

fn host(i: u32) -> String {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(i + 16)).to_string()
}

#[test]
fn the_oldest_of_too_many_waiting_packets_makes_place() {
    let mut lab = Lab::new();
    let most = WAITING_MAX as u32;
    (0..most).for_each(|packet| drop(lab.enqueue(HOSTS[0], packet)));
    assert_eq!(lab.enqueue(HOSTS[0], most), [dropped(HOSTS[0], WaitError::Full, 0)]);
    assert_eq!(lab.room_left(), 100 - WAITING_MAX);
}

#[test]
fn without_budget_the_newest_is_dropped() {
    let mut lab = Lab::new();
    (0..100).for_each(|i| drop(lab.enqueue(&host(i), i)));
    assert_eq!(lab.room_left(), 0);
    let events = lab.enqueue(&host(100), 100);
    assert_eq!(events[1..], [dropped(&host(100), WaitError::Full, 100)]);
    for _ in 0..3 {
        lab.wait(1000);
    }
    assert_eq!(lab.room_left(), 100);
}

#[test]
fn a_scan_displaces_no_neighbour_that_exists() {
    let mut lab = Lab::new();
    lab.know(HOSTS[0], HOST);
    lab.enqueue(&host(0), 7);
    let mut events = Vec::new();
    for i in 0..2 * ENTRIES_MAX as u32 {
        lab.neighbours.resolve(PORT, ip(&host(i)), lab.now_ms + u64::from(i));
        events.extend(std::iter::from_fn(|| lab.neighbours.poll()));
    }
    assert_eq!(lab.neighbours.iter().count(), UNRESOLVED_MAX + 1);
    assert_eq!(lab.mac_of(HOSTS[0]), Some(HOST));
    assert!(events.contains(&dropped(&host(0), WaitError::Full, 7)), "its entry was evicted");
    assert_eq!(lab.room_left(), 100);
}

#[test]
fn of_too_many_neighbours_the_longest_unused_goes() {
    let mut lab = Lab::new();
    lab.know(HOSTS[0], HOST);
    let most = (ENTRIES_MAX - UNRESOLVED_MAX) as u32;
    for i in 1..most {
        lab.now_ms += 1;
        let frame = question(HOST, &host(i), OURS[1]);
        lab.neighbours.input(PORT, &frame, lab.now_ms, &|_| false);
    }
    assert_eq!(lab.neighbours.iter().count() as u32, most);
    lab.events();
    // One that is used is younger again.
    lab.enqueue(HOSTS[0], 1);
    let events = lab.input(&question(HOST, &host(most), OURS[1]));
    assert_eq!(events[0], removed(&host(1)));
    assert_eq!(lab.neighbours.iter().count() as u32, most);
    assert_eq!(lab.mac_of(HOSTS[0]), Some(HOST));
}

#[test]
fn a_port_that_goes_down_forgets_all() {
    let mut lab = Lab::new();
    lab.know(HOSTS[0], HOST);
    lab.enqueue(HOSTS[1], 1);
    lab.neighbours.flush(PORT);
    let events = lab.events();
    assert!(events.contains(&removed(HOSTS[0])) && events.len() == 2);
    assert!(events.contains(&dropped(HOSTS[1], WaitError::Failed, 1)));
    assert_eq!((lab.neighbours.iter().count(), lab.room_left()), (0, 100));
}

#[derive(Clone, Debug)]
enum Op {
    Enqueue(u8, bool),
    Wait(u64, bool),
    Question(u8, u8, u8, bool),
    Answer(u8),
    Damaged(usize, u8),
    Noise(Vec<u8>),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0_u8..12, any::<bool>()).prop_map(|(host, v6)| Op::Enqueue(host, v6)),
        3 => (0_u64..4000, any::<bool>()).prop_map(|(ms, used)| Op::Wait(ms, used)),
        1 => (0_u64..90_000, any::<bool>()).prop_map(|(ms, used)| Op::Wait(ms, used)),
        2 => (0_u8..12, 0_u8..12, any::<u8>(), any::<bool>())
            .prop_map(|(source, target, mac, v6)| Op::Question(source, target, mac, v6)),
        3 => any::<u8>().prop_map(Op::Answer),
        2 => (0_usize..90, any::<u8>()).prop_map(|(at, flip)| Op::Damaged(at, flip)),
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Op::Noise),
    ];
    prop::collection::vec(op, 1..120)
}

fn address(host: u8, v6: bool) -> String {
    match v6 {
        false => Ipv4Addr::new(10, 0, 0, host).to_string(),
        true => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)).to_string(),
    }
}

/// What must hold of every event, whatever came in; collects questions to answer.
#[derive(Default)]
struct Watcher {
    questions: Vec<Vec<u8>>,
    known: BTreeMap<IpAddr, MacAddr>,
    left: u32,
}

impl Watcher {
    fn see(&mut self, events: Vec<Event<u32>>) {
        for event in events {
            match event {
                Event::Send { frame, .. } => {
                    let (_, said) = said(&frame);
                    let is_question = match said {
                        Said::Arp(packet) => packet.operation == Operation::Request,
                        Said::Solicitation(_) => true,
                        Said::Advertisement(_) => false,
                    };
                    self.questions.extend(is_question.then(|| frame.to_vec()));
                }
                Event::Resolved { addr, mac, .. } => {
                    assert_ne!(self.known.insert(addr, mac), Some(mac), "told twice");
                }
                Event::Removed { addr, .. } => assert!(self.known.remove(&addr).is_some()),
                Event::Deliver { addr, mac, .. } => {
                    assert_eq!(self.known.get(&addr), Some(&mac));
                    self.left += 1;
                }
                Event::Drop { .. } => self.left += 1,
                Event::Conflict { .. } => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn every_packet_comes_out_once_whatever_comes_in(ops in ops()) {
        let mut lab = Lab::new();
        let (mut watcher, mut entered) = (Watcher::default(), 0);
        for op in ops {
            let events = match op {
                Op::Enqueue(host, v6) => {
                    entered += 1;
                    lab.enqueue(&address(host, v6), entered)
                }
                Op::Wait(ms, used) => {
                    lab.used = used;
                    lab.wait(ms)
                }
                Op::Question(source, target, mac, v6) => {
                    let mac = MacAddr([2, 0, 0, 0, 0, mac]);
                    lab.input(&question(mac, &address(source, v6), &address(target, v6)))
                }
                Op::Answer(mac) => {
                    let question = watcher.questions.pop();
                    let reply = question.map(|frame| answer(&frame, MacAddr([2, 0, 0, 0, 0, mac])));
                    lab.input(&reply.unwrap_or_default())
                }
                Op::Damaged(at, flip) => {
                    let question = watcher.questions.last();
                    let mut reply = question.map(|frame| answer(frame, HOST)).unwrap_or_default();
                    if let Some(byte) = reply.get_mut(at) {
                        *byte ^= flip;
                    }
                    lab.input(&reply)
                }
                Op::Noise(bytes) => lab.input(&bytes),
            };
            watcher.see(events);
            let waiting = 100 - lab.room_left() as u32;
            assert_eq!(entered, watcher.left + waiting);
            let known = lab.neighbours.table.iter();
            let known = known.filter_map(|((_, addr), entry)| Some((addr, entry.state.mac()?)));
            assert_eq!(known.collect::<BTreeMap<_, _>>(), watcher.known);
        }
        lab.neighbours.flush(PORT);
        watcher.see(lab.events());
        assert_eq!((watcher.left, lab.room_left()), (entered, 100));
        assert!(watcher.known.is_empty());
    }
}
