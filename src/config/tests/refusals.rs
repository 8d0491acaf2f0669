//! Every refusal of a file's or a variable's value, word for word.

use super::{LEAST, said, text, with};

#[test]
fn refuses_variables() {
    for (name, value, expected) in [
        ("CULVERT__CORES__IO", "0,x", "[cores] io: \"x\" is not a number from 0 to 65535. Write CULVERT__CORES__IO=1."),
        ("CULVERT__CORES__IO", "", "[cores] io: the list is empty. Write CULVERT__CORES__IO=1."),
        (
            "CULVERT__INTERFACE__WG0__MSS_CLAMP",
            "yes",
            "[[interface]] wg0 mss_clamp: \"yes\" is not true or false. Write CULVERT__INTERFACE__WG0__MSS_CLAMP=false.",
        ),
        (
            "CULVERT__PORT__WAN__ROUTES",
            "0.0.0.0/0",
            "[[port]] wan routes: \"0.0.0.0/0\" is not a route with to and via. Unset CULVERT__PORT__WAN__ROUTES: routes is for files.",
        ),
        ("CULVERT__CORES__IOS", "1", "[cores] ios: there is no such key. Did you mean io?"),
        ("CULVERT__CORES", "1", "[cores]: no key is named. Its keys are control, io, workers, handshake, idle."),
        ("CULVERT__CORE__IO", "1", "there is no section \"core\". Did you mean [cores]?"),
        ("CULVERT__PORT__LAN__MTU", "1", "there is no [[port]] \"LAN\". The names are wan."),
        ("CULVERT__PORT__WAN__NAME", "x", "[[port]] wan name: there is no such key. A name is given in a file."),
    ] {
        let expected = format!("{name}: {expected}");
        assert_eq!(said(with(LEAST, &[(name, value)])), expected, "{value}");
    }
    let two = LEAST.to_string() + "[[port]]\nname = \"WAN\"\ndevice = \"net_tap0\"\nrole = \"inner\"";
    assert_eq!(with(&two, &[("CULVERT__PORT__WAN__MTU", "70")]).unwrap().ports[1].mtu, 70);
    assert_eq!(
        said(with(&two, &[("CULVERT__PORT__Wan__MTU", "70")])),
        "CULVERT__PORT__Wan__MTU: \"Wan\" may be any of wan, WAN. Set the key in a file instead."
    );
}

/// Behind `LEAST`, whose 9 lines stand before.
#[test]
fn refuses_what_a_file_says() {
    for (tail, expected) in [
        (
            "[cores",
            "10: this is not TOML: unclosed table, expected `]`. Look there for a missing quote, bracket or equals sign, or a name used twice.",
        ),
        ("[core]", "10: there is no section \"core\". Did you mean [cores]?"),
        ("[backend]", "10: there is no section \"backend\". backend is a key of [crypto]."),
        (
            "[x]",
            "10: there is no section \"x\". The sections are [cores], [memory], [[port]], [[interface]], [crypto], [control], [metrics], [log].",
        ),
        ("[[cores]]", "10: cores is not written so. Write [cores] on a line above its keys."),
        ("[cores]\nwrokers = [1]", "11: [cores] wrokers: there is no such key. Did you mean workers?"),
        ("[cores]\nmtu = 1", "11: [cores] mtu: there is no such key. mtu is a key of [[port]] and [[interface]]."),
        (
            "[cores]\nfoo = 1",
            "11: [cores] foo: there is no such key. Its keys are control, io, workers, handshake, idle.",
        ),
        ("[cores]\nio = 1", "11: [cores] io: 1 is not a list. Write io = [1]."),
        ("[cores]\nio = [\n0,\n\"1\"]", "13: [cores] io: \"1\" is not a number from 0 to 65535. Write io = [1]."),
        ("[cores]\nio = [1,\n1]", "12: [cores] io: 1 stands in the list twice. Name it once."),
        ("[cores]\nio = []", "11: [cores] io: the list is empty. Write io = [1]."),
        ("[cores]\ncontrol = -1", "11: [cores] control: -1 is not a number from 0 to 65535. Write control = 0."),
        ("[cores]\ncontrol = 1.5", "11: [cores] control: 1.5 is not a number from 0 to 65535. Write control = 0."),
        (
            "[cores]\ncontrol = 2026-11-22",
            "11: [cores] control: a date is not a number from 0 to 65535. Write control = 0.",
        ),
        (
            "[cores]\nidle = \"buzy\"",
            "11: [cores] idle: \"buzy\" is not one of \"busy\", \"adaptive\". Did you mean \"busy\"?",
        ),
        (
            "[cores]\nidle = true",
            "11: [cores] idle: true is not one of \"busy\", \"adaptive\". Write idle = \"adaptive\".",
        ),
        (
            "[memory]\nmbufs = \"all\"",
            "11: [memory] mbufs: \"all\" is not \"auto\" or a number from 1024 to 16777216. Write mbufs = \"auto\".",
        ),
        (
            "[memory]\nextra_eal_args = [\"\"]",
            "11: [memory] extra_eal_args: \"\" is not an argument. Write extra_eal_args = [\"--log-level=lib.eal:debug\"].",
        ),
        (
            "[control]\nsocket = \"a\"",
            "11: [control] socket: \"a\" is not a path from the root. Write socket = \"/run/culvert/culvert.sock\".",
        ),
        (
            "[metrics]\nlisten = 9586",
            "11: [metrics] listen: 9586 is not an address and a port. Write listen = \"127.0.0.1:9586\".",
        ),
        ("[[port]]\nrole = \"outer\"", "10: [[port]]: name is missing. Add a line such as name = \"one\"."),
        (
            "[[port]]\nname = \"a b\"",
            "11: [[port]] name: \"a b\" is not a name. Take 1 to 31 letters, digits or _ = + . -.",
        ),
        (
            "[[port]]\nname = \"wan\"",
            "11: [[port]] name: wan stands in this file already. Put all its keys under one header, or rename one.",
        ),
        (
            "\n[[port]]\nname = \"lan\"\nrole = \"inner\"",
            "11: [[port]] lan: device is missing. Add a line such as device = \"0000:3b:00.0\".",
        ),
        (
            "[[interface]]\nname = \"wg1\"",
            "10: [[interface]] wg1: private_key_file is missing. Add a line such as private_key_file = \"wg0.key\".",
        ),
        (
            "[[interface]]\nname = \"sixteen-letters-\"",
            "11: [[interface]] name: \"sixteen-letters-\" is not a name. Take 1 to 15 letters, digits or _ = + . -.",
        ),
    ] {
        let whole = format!("{LEAST}{tail}");
        assert_eq!(said(text(&whole)), format!("culvert.toml:{expected}"), "{tail}");
    }
    // These cannot stand behind another [[port]].
    for (whole, expected) in [
        ("port = 1", "1: port is not written so. Write [[port]] on a line above its keys."),
        ("port = [1]", "1: port is not written so. Write [[port]] on a line above its keys."),
        ("[port]\nname = \"a\"", "1: port is not written so. Write [[port]] on a line above its keys."),
        ("io = [1]", "1: there is no section \"io\". io is a key of [cores]."),
        ("\n\u{feff}", "2: this is not TOML: "),
    ] {
        let said = said(text(whole));
        assert!(said.starts_with(&format!("culvert.toml:{expected}")), "{said}");
    }
    assert!(text(&format!("\u{feff}{LEAST}")).is_ok());
}

#[test]
fn refuses_keys_of_a_port_and_an_interface() {
    for (section, line, expected) in [
        ("port", "mtu = 67", "mtu: 67 is not a number from 68 to 9216. Write mtu = 1500."),
        ("port", "mtu = \"1500\"", "mtu: \"1500\" is not a number from 68 to 9216. Write mtu = 1500."),
        ("port", "vlan = 4095", "vlan: 4095 is not a number from 0 to 4094. Write vlan = 0."),
        ("port", "queues = 0", "queues: 0 is not \"auto\" or a number from 1 to 1024. Write queues = \"auto\"."),
        (
            "port",
            "device = \"3b:00.0\"",
            "device: \"3b:00.0\" is not a PCI address in full. Write device = \"0000:3b:00.0\".",
        ),
        (
            "port",
            "device = \"eth0\"",
            "device: \"eth0\" is not a PCI address or a vdev. Write a PCI address such as \"0000:3b:00.0\" or a vdev such as \"net_af_packet0,iface=eth1\".",
        ),
        (
            "port",
            "device = \"0000.3b.00:0\"",
            "device: \"0000.3b.00:0\" is not a PCI address or a vdev. Write a PCI address such as \"0000:3b:00.0\" or a vdev such as \"net_af_packet0,iface=eth1\".",
        ),
        (
            "port",
            "role = \"Outer\"",
            "role: \"Outer\" is not one of \"outer\", \"inner\", \"both\". Did you mean \"outer\"?",
        ),
        (
            "port",
            "addresses = \"10.0.0.1/8\"",
            "addresses: \"10.0.0.1/8\" is not a list. Write addresses = [\"203.0.113.10/24\"].",
        ),
        (
            "port",
            "addresses = [\"10.0.0.1\"]",
            "addresses: \"10.0.0.1\" is not an address with its subnet's length. Write \"10.0.0.1/24\", or what its subnet is.",
        ),
        (
            "port",
            "addresses = [\"10.0.0.0/8\"]",
            "addresses: 10.0.0.0/8 names a whole subnet, not an address in it. Give the address that this machine has there.",
        ),
        (
            "port",
            "addresses = [\"10.0.0.255/24\"]",
            "addresses: 10.0.0.255/24 names a whole subnet, not an address in it. Give the address that this machine has there.",
        ),
        (
            "port",
            "addresses = [\"ff02::1/64\"]",
            "addresses: ff02::1 cannot be a port's address. Give the address that this machine has there.",
        ),
        (
            "port",
            "routes = [\"default\"]",
            "routes: \"default\" is not a route with to and via. Write routes = [{ to = \"0.0.0.0/0\", via = \"203.0.113.1\" }].",
        ),
        (
            "port",
            "routes = [{ to = \"::/0\" }]",
            "routes: a route without via. Write routes = [{ to = \"0.0.0.0/0\", via = \"203.0.113.1\" }].",
        ),
        (
            "port",
            "routes = [{ to = \"::/0\", vai = 1 }]",
            "routes: \"vai\" is not a key of a route. Write routes = [{ to = \"0.0.0.0/0\", via = \"203.0.113.1\" }].",
        ),
        (
            "port",
            "routes = [{ to = \"10.1.2.3/8\", via = \"10.0.0.1\" }]",
            "routes: 10.1.2.3/8 has bits set behind its length. Write \"10.0.0.0/8\".",
        ),
        (
            "port",
            "routes = [{ to = \"::/0\", via = \"10.0.0.1\" }]",
            "routes: ::/0 and its router 10.0.0.1 are not of the same family. Give both as IPv4 or both as IPv6.",
        ),
        ("port", "adresses = []", "adresses: there is no such key. Did you mean addresses?"),
        (
            "interface",
            "listen_ports = [0]",
            "listen_ports: 0 is not a number from 1 to 65535. Write listen_ports = [51820].",
        ),
        (
            "interface",
            "max_peers = 524289",
            "max_peers: 524289 is not a number from 1 to 524288. Write max_peers = 500000.",
        ),
        ("interface", "max_peers = 0", "max_peers: 0 is not a number from 1 to 524288. Write max_peers = 500000."),
        ("interface", "mtu = 9217", "mtu: 9217 is not a number from 68 to 9216. Write mtu = 1420."),
        ("interface", "mss_clamp = 1", "mss_clamp: 1 is not true or false. Write mss_clamp = false."),
        (
            "interface",
            "peers_file = \"$HOME/x\"",
            "peers_file: \"$HOME/x\" would need a shell. Write the path out; only $CREDENTIALS_DIRECTORY/… is known here.",
        ),
        (
            "interface",
            "private_key_file = \"\"",
            "private_key_file: \"\" is not a file's name. Write private_key_file = \"wg0.key\".",
        ),
        ("interface", "role = \"outer\"", "role: there is no such key. role is a key of [[port]]."),
    ] {
        let whole = format!("[[{section}]]\nname = \"x\"\n{line}");
        let expected = format!("culvert.toml:3: [[{section}]] x {expected}");
        assert_eq!(said(text(&whole)), expected, "{line}");
    }
}
