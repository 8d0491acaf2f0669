//! What we are asked and told, and what we believe of it.

use super::*;

#[test]
fn who_asks_for_us_is_answered_and_known() {
    for (host, ours) in HOSTS.into_iter().zip(OURS) {
        let mut lab = Lab::new();
        let events = lab.input(&question(HOST, host, ours));
        assert_eq!(events[0], resolved(host, HOST));
        let (to, said) = said(sent(&events[1..])[0]);
        assert_eq!(to, HOST);
        match said {
            Said::Arp(packet) => {
                assert_eq!(packet.operation, Operation::Reply);
                assert_eq!((packet.sender_mac, packet.target_mac), (OWN, HOST));
                assert_eq!(IpAddr::V4(packet.sender_ip), ip(ours));
            }
            Said::Advertisement(message) => {
                assert!(message.is_solicited && message.is_override);
                assert_eq!(message.target_mac, Some(OWN));
                assert_eq!(IpAddr::V6(message.target), ip(ours));
            }
            Said::Solicitation(_) => panic!("a question for an answer"),
        }
        assert_eq!(events.len(), 2);
        assert_eq!(lab.enqueue(host, 1), [deliver(host, HOST, 1)]);
        // It asks again, from another MAC address.
        let events = lab.input(&question(OTHER, host, ours));
        assert_eq!(events[0], resolved(host, OTHER));
    }
}

#[test]
fn a_question_of_a_host_that_we_ask_for_serves_as_its_answer() {
    for (host, ours) in HOSTS.into_iter().zip(OURS) {
        let mut lab = Lab::new();
        lab.enqueue(host, 1);
        let events = lab.input(&question(HOST, host, ours));
        assert_eq!(events[..2], [resolved(host, HOST), deliver(host, HOST, 1)]);
        assert_eq!(lab.room_left(), 100);
    }
}

#[test]
fn questions_for_others_are_not_answered_and_tell_of_known_hosts_only() {
    let mut lab = Lab::new();
    for (host, other) in HOSTS.into_iter().zip(["10.0.0.8", "2001:db8::8"]) {
        assert!(lab.input(&question(HOST, host, other)).is_empty());
        lab.know(host, HOST);
        assert!(lab.input(&question(HOST, host, other)).is_empty());
    }
    // RFC 826: a known host that asks for others from another MAC address has moved.
    let events = lab.input(&question(OTHER, HOSTS[0], "10.0.0.8"));
    assert_eq!(events, [resolved(HOSTS[0], OTHER)]);
}

#[test]
fn a_host_that_probes_for_our_address_is_told_and_not_learned() {
    let mut lab = Lab::new();
    let events = lab.input(&question(HOST, "0.0.0.0", OURS[0]));
    let (to, Said::Arp(reply)) = said(sent(&events)[0]) else { panic!("no ARP") };
    assert_eq!((to, reply.operation, reply.sender_mac), (HOST, Operation::Reply, OWN));

    let mut probe = Solicitation::multicast(Ipv6Addr::UNSPECIFIED, HOST, OURS[1].parse().unwrap());
    probe.source_mac = None;
    let events = lab.input(&ns_frame(HOST, &probe));
    let (to, Said::Advertisement(reply)) = said(sent(&events)[0]) else { panic!("no NDP") };
    assert_eq!(to, MacAddr([0x33, 0x33, 0, 0, 0, 1]));
    assert_eq!(reply.destination, ndp::ALL_NODES);
    assert!(!reply.is_solicited && reply.is_override);
    assert_eq!(lab.neighbours.iter().count(), 0);
}

#[test]
fn a_solicitation_without_a_mac_is_answered_to_its_frame() {
    let mut lab = Lab::new();
    let source = HOSTS[1].parse().unwrap();
    let target = OURS[1].parse().unwrap();
    let message = Solicitation { source_mac: None, ..Solicitation::unicast(source, HOST, target) };
    let events = lab.input(&ns_frame(HOST, &message));
    assert_eq!(said(sent(&events)[0]).0, HOST);
    assert_eq!(lab.neighbours.iter().count(), 0);
}

#[test]
fn proxied_addresses_are_answered_on_proxy_ports_unless_a_host_has_them() {
    for (host, proxied) in HOSTS.into_iter().zip(["10.0.0.7", "2001:db8::7"]) {
        let mut lab = Lab::new();
        let events = lab.input(&question(HOST, host, proxied));
        assert_eq!(events[0], resolved(host, HOST));
        match said(sent(&events[1..])[0]) {
            (HOST, Said::Arp(reply)) => {
                assert_eq!(reply.sender_mac, OWN);
                assert_eq!(IpAddr::V4(reply.sender_ip), ip(proxied));
            }
            (HOST, Said::Advertisement(reply)) => {
                assert!(reply.is_solicited && !reply.is_override, "RFC 4861 7.2.8");
                assert_eq!(reply.target_mac, Some(OWN));
            }
            other => panic!("{other:?}"),
        }
        // A station of the link turns out to have it.
        lab.know(proxied, OTHER);
        assert!(lab.input(&question(HOST, host, proxied)).is_empty());
        // Ports that do not proxy.
        assert!(Lab::with(false).input(&question(HOST, host, proxied)).is_empty());
    }
    // Not in the subnet; and an announcement of a proxied address is no question.
    let mut lab = Lab::new();
    assert!(lab.input(&question(HOST, HOSTS[0], "10.9.0.7")).is_empty());
    assert!(lab.input(&question(HOST, "10.0.0.7", "10.0.0.7")).is_empty());
}

#[test]
fn answers_to_nobodys_question_are_not_believed() {
    for host in HOSTS {
        let mut lab = Lab::new();
        let question = lab.enqueue(host, 1);
        let answer_frame = answer(sent(&question)[0], HOST);
        let mut other_lab = Lab::new();
        assert!(other_lab.input(&answer_frame).is_empty(), "nothing is known");
        other_lab.know(host, OTHER);
        let events = other_lab.input(&answer_frame);
        // RFC 4861 7.2.5 takes an overriding advertisement; ARP has no such flag, so a reply out of turn is ignored.
        let expected = if ip(host).is_ipv6() { vec![resolved(host, HOST)] } else { vec![] };
        assert_eq!(events, expected);
    }
}

#[test]
fn an_announcement_changes_what_is_known_and_adds_nothing() {
    let mut lab = Lab::new();
    let gratuitous = |mac| question(mac, HOSTS[0], HOSTS[0]);
    let unsolicited = |mac| {
        let message =
            Advertisement { destination: ndp::ALL_NODES, is_solicited: false, ..advertisement(HOSTS[1], mac) };
        na_frame(mac, MacAddr::of_ipv6_multicast(ndp::ALL_NODES), &message)
    };
    let (v4, v6) = (gratuitous(OTHER), unsolicited(OTHER));
    for (host, frame) in HOSTS.into_iter().zip([&v4, &v6]) {
        assert!(lab.input(frame).is_empty());
        lab.neighbours.resolve(PORT, ip(host), lab.now_ms);
        lab.events();
        assert!(lab.input(frame).is_empty(), "no answer to our question");
    }
    for (host, frame) in HOSTS.into_iter().zip([&v4, &v6]) {
        let mut lab = Lab::new();
        lab.know(host, HOST);
        assert_eq!(lab.input(frame), [resolved(host, OTHER)]);
        // Only told: it is asked when it is used.
        lab.used = true;
        assert_eq!(asked(sent(&lab.wait(super::super::STALE_CHECK_MS))[0]), (ip(host), true));
    }
    // An announcement by reply, to all (RFC 5227 3).
    let mut lab = Lab::new();
    lab.know(HOSTS[0], HOST);
    let mut reply = ArpPacket::request(OTHER, [10, 0, 0, 9].into(), [10, 0, 0, 9].into());
    reply.operation = Operation::Reply;
    let events = lab.input(&arp_frame(OTHER, MacAddr::BROADCAST, &reply));
    assert_eq!(events, [resolved(HOSTS[0], OTHER)]);
}

#[test]
fn an_advertisement_that_does_not_override_only_raises_doubt() {
    let mut lab = Lab::new();
    lab.know(HOSTS[1], HOST);
    let message = Advertisement { is_override: false, ..advertisement(HOSTS[1], OTHER) };
    assert!(lab.input(&na_frame(OTHER, OWN, &message)).is_empty());
    assert_eq!(lab.mac_of(HOSTS[1]), Some(HOST));
    lab.used = true;
    assert_eq!(asked(sent(&lab.wait(0))[0]), (ip(HOSTS[1]), true));
}

#[test]
fn neighbour_discovery_from_behind_a_router_is_ignored() {
    let mut lab = Lab::new();
    let mut frame = question(HOST, HOSTS[1], OURS[1]);
    frame[ethernet::HEADER_LEN + 7] = 254;
    assert!(lab.input(&frame).is_empty());
}

#[test]
fn addresses_that_no_neighbour_can_have_are_not_learned() {
    let mut lab = Lab::new();
    // Another subnet, the network itself, broadcast, multicast: answered at most, never learned.
    for source in ["10.0.1.9", "10.0.0.0", "10.0.0.255", "224.0.0.9", "255.255.255.255"] {
        lab.input(&question(HOST, source, OURS[0]));
    }
    assert!(lab.input(&question(HOST, "2001:db8:1::9", OURS[1])).is_empty());
    assert_eq!(lab.neighbours.iter().count(), 0);
    // Our own frames, looped back.
    assert!(lab.input(&question(OWN, OURS[0], HOSTS[0])).is_empty());
}

#[test]
fn another_station_with_our_address_is_told_off_now_and_then() {
    for (ours, host) in OURS.into_iter().zip(HOSTS) {
        let mut lab = Lab::new();
        let claim = question(HOST, ours, host);
        let events = lab.input(&claim);
        assert_eq!(events[0], Event::Conflict { port: PORT, addr: ip(ours), mac: HOST });
        assert_eq!(sent(&events[1..]).len(), 1);
        assert!(lab.input(&claim).is_empty());
        lab.wait(10_000);
        assert_eq!(lab.input(&claim).len(), 2);
        assert_eq!(lab.neighbours.iter().count(), 0);
    }
    let mut lab = Lab::new();
    let claim = na_frame(HOST, OWN, &advertisement(OURS[1], HOST));
    assert!(matches!(lab.input(&claim)[0], Event::Conflict { .. }));
}
