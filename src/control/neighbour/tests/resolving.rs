//! What we ask: resolution, loss, refresh; and what we tell.

use super::*;
use crate::control::neighbour::{BACK_OFF_MS, REACHABLE_MS, RETRY_MS, Resolution, STALE_CHECK_MS, UNUSED_MS};

#[test]
fn our_addresses_are_announced_twice() {
    let mut lab = Lab::new();
    lab.neighbours.announce(PORT, lab.now_ms);
    for round in 0..2 {
        let events = if round == 0 { lab.events() } else { lab.wait(2000) };
        let frames: Vec<_> = sent(&events).into_iter().map(said).collect();
        let own_v4 = "10.0.0.1".parse().unwrap();
        let gratuitous = ArpPacket::request(OWN, own_v4, own_v4);
        assert_eq!(frames[0], (MacAddr::BROADCAST, Said::Arp(gratuitous)));
        for (frame, addr) in frames[1..].iter().zip([OURS[1], OUR_LINK_LOCAL]) {
            let (MacAddr([0x33, 0x33, 0, 0, 0, 1]), Said::Advertisement(message)) = frame else {
                panic!("{frame:?}");
            };
            assert_eq!(IpAddr::V6(message.target), ip(addr));
            assert!(message.is_override && !message.is_solicited);
            assert_eq!(message.target_mac, Some(OWN));
        }
        assert_eq!(frames.len(), 3);
    }
    assert!(lab.wait(100_000).is_empty() && lab.neighbours.next_due_ms().is_none());
}

#[test]
fn packets_wait_for_the_answer_and_go_in_order() {
    for host in HOSTS {
        let mut lab = Lab::new();
        let question = lab.enqueue(host, 1);
        assert_eq!(asked(sent(&question)[0]), (ip(host), false));
        assert_eq!(question.len(), 1);
        assert!(lab.enqueue(host, 2).is_empty());
        assert_eq!((lab.enqueue(host, 3), lab.room_left()), (vec![], 97));
        let events = lab.input(&answer(sent(&question)[0], HOST));
        let delivered = [1, 2, 3].map(|packet| deliver(host, HOST, packet));
        assert_eq!(events[0], resolved(host, HOST));
        assert_eq!(events[1..], delivered);
        assert_eq!(lab.room_left(), 100);
        assert_eq!(lab.enqueue(host, 4), [deliver(host, HOST, 4)]);
    }
}

#[test]
fn a_lost_question_is_asked_again() {
    for host in HOSTS {
        let mut lab = Lab::new();
        lab.enqueue(host, 1);
        assert!(lab.wait(RETRY_MS - 1).is_empty());
        assert_eq!(asked(sent(&lab.wait(1))[0]), (ip(host), false));
        let third = lab.wait(RETRY_MS);
        let events = lab.input(&answer(sent(&third)[0], HOST));
        assert_eq!(events, [resolved(host, HOST), deliver(host, HOST, 1)]);
    }
}

#[test]
fn a_silent_neighbour_fails_and_is_left_alone_for_a_while() {
    for host in HOSTS {
        let mut lab = Lab::new();
        lab.enqueue(host, 1);
        lab.enqueue(host, 2);
        assert_eq!(sent(&lab.wait(RETRY_MS)).len(), 1);
        assert_eq!(sent(&lab.wait(RETRY_MS)).len(), 1);
        let drops = [1, 2].map(|packet| dropped(host, WaitError::Failed, packet));
        assert_eq!(lab.wait(RETRY_MS), drops);
        assert_eq!(lab.room_left(), 100);
        assert_eq!(lab.enqueue(host, 3), [dropped(host, WaitError::Failed, 3)]);
        assert_eq!(lab.neighbours.resolve(PORT, ip(host), lab.now_ms), Resolution::Failed);
        assert!(lab.wait(BACK_OFF_MS).is_empty());
        assert_eq!(lab.neighbours.iter().count(), 0);
        assert_eq!(sent(&lab.enqueue(host, 4)).len(), 1);
    }
}

#[test]
fn a_used_neighbour_is_asked_again_and_stays_usable_meanwhile() {
    for host in HOSTS {
        let mut lab = Lab::new();
        lab.know(host, HOST);
        lab.used = true;
        assert!(lab.wait(REACHABLE_MS - 1).is_empty());
        for _ in 0..2 {
            let probe = lab.wait(REACHABLE_MS);
            assert_eq!(asked(sent(&probe)[0]), (ip(host), true));
            assert_eq!(lab.enqueue(host, 1), [deliver(host, HOST, 1)]);
            assert!(lab.input(&answer(sent(&probe)[0], HOST)).is_empty());
        }
    }
}

#[test]
fn a_used_neighbour_that_is_gone_is_removed() {
    for host in HOSTS {
        let mut lab = Lab::new();
        lab.know(host, HOST);
        lab.used = true;
        for wait_ms in [REACHABLE_MS, RETRY_MS, RETRY_MS] {
            assert_eq!(asked(sent(&lab.wait(wait_ms))[0]), (ip(host), true));
        }
        assert_eq!(lab.wait(RETRY_MS), [removed(host)]);
        assert_eq!(lab.mac_of(host), None);
    }
}

#[test]
fn an_unused_neighbour_is_not_asked_and_forgotten_late() {
    for host in HOSTS {
        let mut lab = Lab::new();
        lab.know(host, HOST);
        assert!(lab.wait(REACHABLE_MS).is_empty());
        assert!(lab.wait(STALE_CHECK_MS).is_empty());
        assert_eq!(lab.mac_of(host), Some(HOST));
        lab.used = true;
        let probe = lab.wait(STALE_CHECK_MS);
        assert_eq!(asked(sent(&probe)[0]), (ip(host), true));
        lab.input(&answer(sent(&probe)[0], HOST));
        lab.used = false;
        assert!(lab.wait(REACHABLE_MS).is_empty());
        assert_eq!(lab.wait(UNUSED_MS), [removed(host)]);
    }
}

#[test]
fn a_neighbour_that_moved_to_another_mac_answers_with_it() {
    for host in HOSTS {
        let mut lab = Lab::new();
        lab.know(host, HOST);
        lab.used = true;
        let probe = lab.wait(REACHABLE_MS);
        let events = lab.input(&answer(sent(&probe)[0], OTHER));
        assert_eq!(events, [resolved(host, OTHER)]);
    }
}

#[test]
fn a_link_local_neighbour_is_asked_from_our_link_local_address() {
    let mut lab = Lab::new();
    let question = lab.enqueue("fe80::9", 1);
    let (_, Said::Solicitation(message)) = said(sent(&question)[0]) else {
        panic!("not a solicitation");
    };
    assert_eq!(IpAddr::V6(message.source), ip(OUR_LINK_LOCAL));
    let events = lab.input(&answer(sent(&question)[0], HOST));
    assert_eq!(events, [resolved("fe80::9", HOST), deliver("fe80::9", HOST, 1)]);
}

#[test]
fn a_port_without_an_address_of_the_family_cannot_ask() {
    let mut lab = Lab::new();
    let addresses = vec!["2001:db8:1::1/64".parse().unwrap()];
    let port = NeighbourPort { mac: OWN, addresses, is_proxy: false };
    lab.neighbours.add_port(9, port, lab.now_ms);
    lab.events();
    assert_eq!(lab.neighbours.resolve(9, ip("10.0.0.9"), lab.now_ms), Resolution::Failed);
    assert_eq!(lab.neighbours.resolve(10, ip("10.0.0.9"), lab.now_ms), Resolution::Failed);
    assert!(lab.events().is_empty());
}
