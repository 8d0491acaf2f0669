//! Two interfaces and four listen ports in one gateway, over all four pairs of outer and inner IP.

use crate::bench::{Bench, bench, pings, programs, start};
use culvert::cli::lab::{Client, GATEWAY_V4, GATEWAY_V6, Gateway, HOST_V4, HOST_V6, Lab, Options, Peer, Second};

/// Has a client talk to this end of an interface with this key.
fn talks_to(lab: &Lab, client: &Client, public: &str, endpoint: &str) {
    let gateway = Peer { public: public.into(), endpoint: Some(endpoint.into()), ..client.gateway_peer(lab) };
    client.configure(&gateway).unwrap();
}

/// wg0 (51820, 443, 53) with clients 1 and 2, wg1 (51821) with 3 and 4; 2 and 4 come over IPv6.
fn two_interfaces() -> Bench {
    let lab = Lab::new(4).unwrap();
    let peers: Vec<Peer> = lab.clients().iter().map(Client::peer).collect();
    let (first, second) = peers.split_at(2);
    let options = Options {
        listen_ports: vec![51820, 443, 53],
        second: Some(Second { listen_ports: vec![51821], peers: second.to_vec() }),
        ..Options::default()
    };
    let (three, four, public) = (lab.client(3).unwrap(), lab.client(4).unwrap(), &lab.second_keys().public);
    talks_to(&lab, three, public, &format!("{GATEWAY_V4}:51821"));
    talks_to(&lab, four, public, &format!("[{GATEWAY_V6}]:51821"));
    let first = first.to_vec();
    start(lab, &options, &first)
}

/// What `wg show INTERFACE WHAT` says, in its words.
fn shown(bench: &Bench, interface: &str, what: &str) -> Vec<String> {
    let said = bench.gateway.wg(&["show", interface, what]).unwrap();
    let mut words: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    words.sort();
    words
}

/// Where the client believes the gateway to be: wireguard-go follows the source of what it is sent.
fn hears_from(client: &Client) -> String {
    let said = client.wg(&["show", client.interface(), "endpoints"]).unwrap();
    said.split_whitespace().last().unwrap().to_owned()
}

fn keys(clients: [&Client; 2]) -> Vec<String> {
    let mut keys = clients.map(|client| client.keys().public.clone());
    keys.sort();
    keys.into()
}

#[test]
fn two_interfaces_and_their_ports_over_ipv4_and_ipv6() {
    let bench = two_interfaces();
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| bench.client(number));
    for client in [one, two, three, four] {
        pings(client.namespace(), HOST_V4);
        pings(client.namespace(), HOST_V6);
        pings(bench.lab.host(), &client.v4());
        pings(bench.lab.host(), &client.v6());
    }
    // From interface to interface.
    for (from, to) in [(one, four), (four, one), (two, three), (three, two)] {
        pings(from.namespace(), &to.v4());
        pings(from.namespace(), &to.v6());
    }
    // Each port answers, and in its own name.
    let public = &bench.lab.gateway_keys().public;
    for port in [443, 53, 51820] {
        for (client, end) in [(one, format!("{GATEWAY_V4}:{port}")), (two, format!("[{GATEWAY_V6}]:{port}"))] {
            client.wg(&["set", client.interface(), "peer", public, "endpoint", &end]).unwrap();
            pings(client.namespace(), HOST_V4);
            pings(bench.lab.host(), &client.v6());
            assert_eq!(hears_from(client), end);
        }
    }
    assert_eq!(hears_from(three), format!("{GATEWAY_V4}:51821"));
    assert_eq!(hears_from(four), format!("[{GATEWAY_V6}]:51821"));

    let (wg0, wg1) = (bench.gateway.interface().to_owned(), bench.gateway.second().to_owned());
    assert_eq!(shown(&bench, &wg0, "peers"), keys([one, two]));
    assert_eq!(shown(&bench, &wg1, "peers"), keys([three, four]));
    assert_eq!([&wg0, &wg1].map(|wg| shown(&bench, wg, "listen-port")), [["51820"], ["51821"]]);
    assert_eq!(shown(&bench, &wg1, "public-key"), [bench.lab.second_keys().public.clone()]);

    changes_of_one_leave_the_other_alone(&bench, &wg0, &wg1);
    bench.finish();
}

fn changes_of_one_leave_the_other_alone(bench: &Bench, wg0: &str, wg1: &str) {
    let [one, three] = [1, 3].map(|number| bench.client(number));
    for (change, words) in [
        (vec!["listen-port", "443"], "Address already in use"),
        (vec!["peer", &three.keys().public, "allowed-ips", "10.9.0.1/32"], "File exists"),
    ] {
        let command: Vec<&str> = ["set", wg1].into_iter().chain(change).collect();
        let refused = bench.gateway.wg(&command).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    // The primary port of wg1 moves; its clients follow what they hear.
    bench.gateway.wg(&["set", wg1, "listen-port", "51999"]).unwrap();
    assert_eq!(shown(bench, wg1, "listen-port"), ["51999"]);
    pings(bench.lab.host(), &three.v4());
    assert_eq!(hears_from(three), format!("{GATEWAY_V4}:51999"));
    bench.gateway.wg(&["set", wg1, "peer", &three.keys().public, "remove"]).unwrap();
    assert_eq!((shown(bench, wg0, "peers").len(), shown(bench, wg1, "peers").len()), (2, 1));
    pings(one.namespace(), HOST_V4);
}

#[test]
fn a_prefix_on_two_interfaces_is_refused_with_its_mend() {
    let bench = bench(1);
    let first = bench.gateway.interface().to_owned();
    let Bench { gateway, lab } = bench;
    gateway.stop().unwrap();
    let good = std::fs::read_to_string(lab.file("culvert.toml")).unwrap();
    let second = "[[interface]]\nname = \"SECOND\"\nprivate_key_file = \"gateway.key\"\nlisten_ports = [443]\n\
                  peers_file = \"second.conf\"\n";
    let peer = Peer { public: lab.second_keys().public.clone(), ..lab.client(1).unwrap().peer() };
    lab.write("second.conf", &format!("# one line more\n{peer}")).unwrap();
    let file = lab.write("culvert.toml", &(good + &second.replace("SECOND", &lab.unique("g2")))).unwrap();
    let output = Gateway::refused(&lab, &programs(), &file).unwrap();
    let said =
        format!("second.conf:2: 10.9.0.1/32 is an allowed IP of a peer of {first}: give each prefix to one interface.");
    assert!(output.code == 2 && output.err.contains(&said), "{}: {}", output.code, output.err);
    assert!(lab.sockets().iter().all(|socket| !socket.to_string_lossy().contains("-g")), "{:?}", lab.sockets());
}
