//! What only the whole shows: word for word.

use super::{LEAST, machine, text};
use crate::config::*;

/// The least, with more keys for its port (below line 5) and its interface (below line 8 + those).
fn whole(port: &str, interface: &str, tail: &str) -> String {
    let (first, rest) = LEAST.split_once("[[interface]]").unwrap();
    format!("{first}{port}\n[[interface]]{rest}{interface}\n{tail}")
}

fn on(whole: &str, cores: usize) -> Result<Vec<Warning>, ConfigError> {
    let (path, machine) = (std::path::Path::new("culvert.toml"), machine(cores));
    from_text(whole, path, std::iter::empty(), &machine)?.check(&machine)
}

fn said(whole: &str, cores: usize) -> String {
    on(whole, cores).unwrap_err().to_string()
}

fn warned(whole: &str) -> Vec<String> {
    let warnings = text(whole).unwrap().check(&machine(4)).unwrap();
    warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn cores_that_do_not_exist() {
    for (key, cores, expected) in [
        ("io = [0, 7]", 2, "[cores] io: core 7 does not exist; this machine has cores 0-1. Name cores out of those."),
        (
            "workers = [0, 2, 3, 4, 9]",
            2,
            "[cores] workers: cores 2-4,9 do not exist; this machine has cores 0-1. Name cores out of those.",
        ),
        (
            "handshake = [1]\nio = [0]\nworkers = [0]",
            1,
            "[cores] handshake: core 1 does not exist; this machine has only core 0. Name core 0.",
        ),
        (
            "control = 65535",
            4,
            "[cores] control: core 65535 does not exist; this machine has cores 0-3. Name cores out of those.",
        ),
    ] {
        let whole = format!("{LEAST}[cores]\n{key}");
        assert_eq!(said(&whole, cores), format!("culvert.toml:11: {expected}"));
    }
    // The line of the core itself, in a list of several.
    let whole = format!("{LEAST}[cores]\nio = [\n  0,\n  2,\n]");
    assert!(said(&whole, 2).starts_with("culvert.toml:13: [cores] io: core 2 "));
    // Holes, as a cpuset makes them.
    let machine = Machine { cores: vec![0, 2, 3, 5] };
    let config = text(&format!("{LEAST}[cores]\nio = [1]")).unwrap();
    let error = config.check(&machine).unwrap_err();
    assert_eq!(error.what(), "core 1 does not exist; this machine has cores 0,2-3,5");
}

#[test]
fn cores_from_a_variable() {
    let variable = ("CULVERT__CORES__IO".to_string(), "2,3,4,5,6,7,8,9".to_string());
    let path = std::path::Path::new("culvert.toml");
    let below = format!("{LEAST}[cores]\nio = [0, 1]");
    let config = from_text(&below, path, std::iter::once(variable), &machine(2)).unwrap();
    assert_eq!(
        config.check(&machine(2)).unwrap_err().to_string(),
        "CULVERT__CORES__IO: [cores] io: cores 2-9 do not exist; this machine has cores 0-1. Name cores out of those."
    );
}

/// All that the schema knows can be switched on.
#[test]
fn nothing_comes_later() {
    let whole = whole("vlan = 5", "mss_clamp = true\nlisten_ports = [51820, 443]", "");
    on(&whole, 2).unwrap();
}

#[test]
fn roles() {
    let port = LEAST.split("[[interface]]").next().unwrap();
    let interface = LEAST.strip_prefix(port).unwrap();
    for (whole, expected) in [
        (
            LEAST.replace("both", "inner"),
            "no [[port]] has the role outer. Write role = \"outer\" at the port that tunnels come in by, or \"both\".",
        ),
        (
            LEAST.replace("both", "outer"),
            "no [[port]] has the role inner. Write role = \"inner\" at the port of the plain packets, or \"both\".",
        ),
        (port.into(), "there is no [[interface]]. Add one with name and private_key_file."),
        (interface.into(), "there is no [[port]]. Add one with name, device and role."),
        (String::new(), "there is no [[port]]. Add one with name, device and role."),
    ] {
        assert_eq!(said(&whole, 2), format!("culvert.toml: {expected}"));
    }
}

#[test]
fn one_port() {
    for (port, expected) in [
        (
            "addresses = [\"10.0.0.1/8\",\n\"10.0.0.1/16\"]",
            "6: [[port]] wan addresses: 10.0.0.1 stands in the list twice. Name it once.",
        ),
        (
            "addresses = [\"fd00::1/64\"]\nmtu = 1279",
            "6: [[port]] wan mtu: 1279 is too small for IPv6, which the port has an address of. Write at least mtu = 1280, or take its IPv6 addresses out.",
        ),
        (
            "addresses = []",
            "1: [[port]] wan: a port for tunnels needs an address. Add a line such as addresses = [\"203.0.113.10/24\"].",
        ),
        (
            "addresses = [\"10.0.0.1/24\"]\nroutes = [{ to = \"0.0.0.0/0\", via = \"10.0.1.1\" }]",
            "6: [[port]] wan routes: the router 10.0.1.1 is in no subnet of this port. Name a router that the port reaches directly.",
        ),
        (
            "addresses = [\"10.0.0.1/24\"]\nroutes = [{ to = \"0.0.0.0/0\", via = \"10.0.0.1\" }]",
            "6: [[port]] wan routes: 10.0.0.1 is this port's own address. Name a router that the port reaches directly.",
        ),
        (
            "addresses = [\"10.0.0.1/24\"]\nroutes = [{ to = \"0.0.0.0/0\", via = \"10.0.0.2\" },\n{ to = \"0.0.0.0/0\", via = \"10.0.0.3\" }]",
            "7: [[port]] wan routes: 0.0.0.0/0 has a route already. Keep one of the two.",
        ),
    ] {
        let whole = LEAST.replace("addresses = [\"192.0.2.1/24\"]", port);
        let said = said(&whole, 2);
        assert_eq!(said, format!("culvert.toml:{expected}"));
    }
    let whole = whole("routes = [{ to = \"0.0.0.0/0\", via = \"192.0.2.254\" }]", "", "");
    assert!(on(&whole, 2).is_ok());
    let v6 = "addresses = [\"2001:db8::1/64\"]\nroutes = [{ to = \"::/0\", via = \"fe80::1\" }]";
    let whole = LEAST.replace("addresses = [\"192.0.2.1/24\"]", v6);
    assert!(on(&whole, 2).is_ok());
}

#[test]
fn vdevs_without_a_number_are_told_apart_by_their_arguments() {
    let two = |wan: &str, lan: &str| {
        let wan = LEAST.replace("net_ring0", wan);
        assert!(wan.contains("[[port]]"), "the base names net_ring0");
        let lan = format!("[[port]]\nname = \"lan\"\nrole = \"inner\"\ndevice = \"{lan}\"\n");
        on(&format!("{wan}\n{lan}"), 2).map(|_| ())
    };
    assert!(two("net_af_packet,iface=a", "net_af_packet,iface=b").is_ok());
    assert!(two("net_af_packet,iface=a", "net_af_packet,iface=a").is_err());
    assert!(two("net_af_packet0,iface=a", "net_af_packet0,iface=b").is_err());
}

#[test]
fn two_ports() {
    for (keys, expected) in [
        (
            "device = \"net_ring0,x=1\"",
            "12: [[port]] lan device: net_ring0 is port wan's already. Give each port a device of its own.",
        ),
        (
            "device = \"net_tap0\"\naddresses = [\"192.0.2.1/32\"]",
            "13: [[port]] lan addresses: 192.0.2.1 is port wan's already. Give each port addresses of its own.",
        ),
        (
            "device = \"net_tap0\"\naddresses = [\"192.0.2.2/24\"]",
            "13: [[port]] lan addresses: the subnet 192.0.2.0/24 is on port wan already. Give each port subnets of its own.",
        ),
        (
            "device = \"net_tap0\"\naddresses = [\"10.0.0.1/8\"]\nroutes = [{ to = \"0.0.0.0/0\", via = \"10.0.0.2\" }]",
            "14: [[port]] lan routes: 0.0.0.0/0 has a route over port wan already. Keep one of the two.",
        ),
    ] {
        let route = "routes = [{ to = \"0.0.0.0/0\", via = \"192.0.2.254\" }]";
        let tail = format!("[[port]]\nname = \"lan\"\n{keys}\nrole = \"inner\"");
        let whole = LEAST.replace("\n\n", "\n") + &tail;
        let whole = whole.replace("[[interface]]", &format!("{route}\n[[interface]]"));
        assert_eq!(said(&whole, 2), format!("culvert.toml:{expected}"));
    }
}

/// A second interface with these keys.
fn second(keys: &str) -> String {
    format!("[[interface]]\nname = \"wg1\"\nprivate_key_file = \"k\"\n{keys}")
}

#[test]
fn two_interfaces() {
    let apart = whole("", "listen_ports = [51820, 443, 53]", &second("listen_ports = [51821, 80]"));
    assert_eq!(warned(&apart), [""; 0]);
    for (interface, keys, expected) in [
        (
            "",
            "",
            "12: [[interface]] wg1 listen_ports: 51820 is interface wg0's already. Give each interface ports of its own.",
        ),
        (
            "listen_ports = [1, 2]",
            "listen_ports = [\n3,\n2]",
            "17: [[interface]] wg1 listen_ports: 2 is interface wg0's already. Give each interface ports of its own.",
        ),
        (
            "max_peers = 500000",
            "listen_ports = [1]\nmax_peers = 24289",
            "16: [[interface]] wg1 max_peers: 524289 peers with the interfaces before it, but 524288 are the most of all together. Lower one of them.",
        ),
        ("listen_ports = [1, 1]", "", "11: [[interface]] wg0 listen_ports: 1 stands in the list twice. Name it once."),
    ] {
        let whole = whole("", interface, &second(keys));
        assert_eq!(said(&whole, 2), format!("culvert.toml:{expected}"));
    }
    let again = whole("", "", &second("").replace("wg1", "wg0"));
    assert_eq!(
        said(&again, 2),
        "culvert.toml:13: [[interface]] name: wg0 stands in this file already. Put all its keys under one header, or rename one."
    );
}

#[test]
fn as_many_interfaces_as_there_can_be() {
    let more = |count: usize| {
        let one = |n: usize| {
            format!("[[interface]]\nname = \"x{n}\"\nprivate_key_file = \"k\"\nlisten_ports = [{n}]\nmax_peers = 1\n")
        };
        format!("{LEAST}{}", (1..=count).map(one).collect::<String>())
    };
    assert!(on(&more(63), 2).is_ok());
    assert_eq!(
        said(&more(64), 2),
        "culvert.toml:325: [[interface]] x64: 65 interfaces, but 64 are the most. Leave some out."
    );
}

#[test]
fn names_and_sockets() {
    assert_eq!(
        said(&LEAST.replace("\"wan\"", "\"wg0\""), 2),
        "culvert.toml:7: [[interface]] name: wg0 is a port's name already. Rename one of them."
    );
    // What commands mean by them is something else.
    for (name, what) in [("all", "all ports"), ("07", "a port's number")] {
        assert_eq!(
            said(&LEAST.replace("\"wan\"", &format!("\"{name}\"")), 2),
            format!(
                "culvert.toml:2: [[port]] name: commands take {name} for {what}. Give the port a name of letters, as wan."
            )
        );
    }
    assert!(on(&LEAST.replace("\"wan\"", "\"all0\""), 2).is_ok());
    let long = format!("/{}", "x".repeat(85));
    assert!(text(&format!("{LEAST}[control]\nuapi_dir = \"{long}\"")).is_ok());
    assert!(text(&format!("{LEAST}[control]\nuapi_dir = \"{long}x\"")).is_err());
    assert_eq!(
        said(&format!("{LEAST}[control]\nuapi_dir = \"/run\"\nsocket = \"/run/wg0.sock\""), 2),
        "culvert.toml:12: [control] socket: /run/wg0.sock is the wg socket of wg0. Take another path."
    );
}

#[test]
fn warnings() {
    assert_eq!(warned(LEAST), [""; 0]);
    assert_eq!(
        warned(&whole("mtu = 1499", "", "")),
        [
            "culvert.toml:7: [[interface]] wg0 mtu: packets of 1420 bytes and WireGuard's 80 do not fit the 1499 of port wan. Write mtu = 1419, or raise the port's."
        ]
    );
    assert_eq!(
        warned(&whole("", "mtu = 1279", "")),
        [
            "culvert.toml:11: [[interface]] wg0 mtu: 1279 is too small for IPv6 inside the tunnel. Write at least mtu = 1280 if IPv6 is to pass."
        ]
    );
    assert_eq!(
        warned(&format!("{LEAST}[cores]\nio = [0]\nidle = \"busy\"\ncontrol = 1\nhandshake = [0]")),
        [
            "culvert.toml:14: [cores] handshake: core 0 polls packets without a pause (idle = \"busy\") as well. Name another core, or write idle = \"adaptive\"."
        ]
    );
}
