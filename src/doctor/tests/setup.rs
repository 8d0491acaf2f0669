//! What setup proposes on machines of all sorts, and that culvertd takes it.

use super::super::{SetupOptions, setup};
use super::tree::Tree;
use crate::config::{self, Config, Device, Machine};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn proposed(tree: &Tree, options: &SetupOptions) -> Result<String, String> {
    let mut out = Vec::new();
    let result = setup(&tree.system(), options, &mut out);
    result.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
}

fn read(text: &str) -> Result<Config, String> {
    let machine = Machine { cores: (0..8).collect() };
    let config = config::from_text(text, Path::new("c.toml"), std::iter::empty(), &machine);
    let config = config.map_err(|error| error.to_string())?;
    config.check(&machine).map_err(|error| error.to_string())?;
    Ok(config)
}

/// Fills in the first line that has a mark, with a value for it.
fn fill_in(text: &str) -> Option<String> {
    let at = text.lines().skip(3).position(|line| line.contains("FILL-IN"))? + 3;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let key = lines[at].split(" = ").next().unwrap().to_owned();
    lines[at] = match key.as_str() {
        "addresses" => format!("addresses = [\"10.{at}.0.1/16\"]"),
        "device" => format!("device = \"net_null{at}\""),
        other => panic!("{other} is marked"),
    };
    Some(lines.join("\n"))
}

#[test]
fn what_is_marked_is_refused_by_line_until_it_is_filled_in() {
    for change in [
        |_: &mut Tree| {},
        |tree: &mut Tree| {
            tree.remove("sys/bus/pci/devices");
        },
    ] {
        let mut tree = Tree::healthy();
        change(&mut tree);
        let mut text = proposed(&tree, &SetupOptions::default()).unwrap();
        let mut marks = 0;
        while let Some(filled) = fill_in(&text) {
            let line = 1 + text.lines().skip(3).position(|line| line.contains("FILL-IN")).unwrap() + 3;
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(&format!("c.toml:{line}: [[port]]")), "{error}");
            text = filled;
            marks += 1;
        }
        assert!(marks >= 2);
        read(&text).unwrap();
    }
}

#[test]
fn ports_are_proposed_on_free_nics_and_cores_near_them() {
    let tree = Tree::healthy();
    tree.file("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "2-3");
    let text = proposed(&tree, &SetupOptions::default()).unwrap();
    assert!(text.contains("device = \"0000:3b:00.0\"\nrole = \"outer\""), "{text}");
    assert!(text.contains("device = \"0000:3c:00.0\"\nrole = \"inner\""));
    assert!(text.contains("#   0000:01:00.0 (8086:1533, eth0): igb, node 0, link; carries the SSH session from 198.51.100.7: never a port\n"));
    assert!(text.contains("#   0000:3b:00.0 (8086:1572): vfio-pci, node 0\n"));
    assert!(text.contains("400 MiB on node 0, 0 MiB on node 1"));
    // Cores 6 and 7 are on the other node, 3 is a thread of 2.
    assert!(text.contains("control = 0\nhandshake = [0]\nio = [1]"), "{text}");
    assert!(text.contains("\nworkers = [2, 4, 5] "));
}

#[test]
fn a_nic_that_the_kernel_uses_is_not_proposed() {
    let tree = Tree::healthy();
    tree.file("proc/net/if_inet6", "20010db8000000000000000000000005 02 40 00 80     eth2\n");
    let text = proposed(&tree, &SetupOptions::default()).unwrap();
    assert!(text.contains("mlx5_core, node 0, link; in use: the kernel has addresses on eth2\n"), "{text}");
    assert!(text.contains("device = \"0000:3b:00.0\"") && !text.contains("device = \"0000:3c:00.0\""));
    // Whoever names it is believed.
    let named = SetupOptions { inner: Some("0000:3c:00.0".into()), ..SetupOptions::default() };
    assert!(proposed(&tree, &named).unwrap().contains("device = \"0000:3c:00.0\""));
}

/// Only one NIC is left for the other port, or none.
#[test]
fn no_nic_is_proposed_for_both_ports() {
    let tree = Tree::healthy();
    for (outer, inner) in [
        (Some("0000:3b:00.0"), None),
        (None, Some("0000:3b:00.0")),
        (None, Some("0000:3c:00.0")),
        (Some("eth2"), None),
        (None, Some("net_af_packet7,iface=eth2")),
    ] {
        let [outer, inner] = [outer, inner].map(|named| named.map(str::to_owned));
        let text = proposed(&tree, &SetupOptions { outer, inner, ..SetupOptions::default() }).unwrap();
        let devices: Vec<&str> = text.lines().filter(|line| line.starts_with("device = ")).collect();
        let of_3c = devices.iter().filter(|line| line.contains("0000:3c:00.0") || line.contains("eth2")).count();
        let of_3b = devices.iter().filter(|line| line.contains("0000:3b:00.0")).count();
        assert_eq!((of_3b, of_3c), (1, 1), "{devices:?}");
    }
    for (outer, inner) in
        [("eth2", "0000:3c:00.0"), ("0000:3c:00.0", "eth2"), ("eth2", "eth2"), ("0000:3b:00.0", "0000:3b:00.0")]
    {
        let options = SetupOptions { outer: Some(outer.into()), inner: Some(inner.into()), ..SetupOptions::default() };
        let error = proposed(&tree, &options).unwrap_err();
        assert!(error.starts_with(&format!("{inner}: the outer port is on that NIC or interface already")), "{error}");
    }
}

#[test]
fn what_is_named_on_the_command_line_is_a_whole_configuration() {
    let tree = Tree::healthy();
    tree.file("sys/devices/virtual/net/lan0/carrier", "1").link("sys/class/net/lan0", "../../devices/virtual/net/lan0");
    let options = SetupOptions {
        outer: Some("eth2".into()),
        inner: Some("lan0".into()),
        outer_addresses: vec!["192.0.2.10/24".parse().unwrap(), "2001:db8::10/64".parse().unwrap()],
        inner_addresses: vec!["10.10.0.1/16".parse().unwrap()],
        routers: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        make_key: true,
        output: Some(tree.at("etc/new.toml")),
    };
    let said = proposed(&tree, &options).unwrap();
    assert!(!said.contains("FILL-IN") && !tree.read("etc/new.toml").contains("FILL-IN"), "{said}");
    let machine = Machine { cores: (0..8).collect() };
    let config = config::load_for(&tree.at("etc/new.toml"), std::iter::empty(), &machine).unwrap();
    assert_eq!(config.check(&machine).unwrap(), []);
    let devices: Vec<&Device> = config.ports.iter().map(|port| &port.device).collect();
    assert_eq!(
        devices,
        [&Device::Vdev("net_af_packet0,iface=eth2".into()), &Device::Vdev("net_af_packet1,iface=lan0".into())]
    );
    assert_eq!(config.ports[0].routes.len(), 2);

    let key = config.private_key(&config.interfaces[0]).unwrap();
    let private = tree.read("etc/wg0.key");
    let mode = std::fs::metadata(tree.at("etc/wg0.key")).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, private.len()), (0o600, 45));
    assert_eq!((key.bytes()[0] & 7, key.bytes()[31] & 0xc0), (0, 0x40), "clamped, as wg genkey's");
    assert!(!said.contains(private.trim()));
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*key.bytes()));
    assert!(said.contains(&config::keys::to_base64(public.as_bytes())), "{said}");

    // Nothing is overwritten, and no key left behind by a second try.
    tree.remove("etc/wg0.key");
    let error = proposed(&tree, &options).unwrap_err();
    assert!(error.contains("new.toml is there already"), "{error}");
    assert!(!tree.at("etc/wg0.key").exists());
}

#[test]
fn the_nic_of_the_login_session_is_refused_by_any_name() {
    let tree = Tree::healthy();
    for named in ["0000:01:00.0", "eth0", "net_af_packet0,iface=eth0", "net_af_packet3,blocksz=4096,iface=eth0"] {
        let options = SetupOptions { inner: Some(named.into()), ..SetupOptions::default() };
        let error = proposed(&tree, &options).unwrap_err();
        assert!(
            error.starts_with(&format!("{named}: it carries the SSH session from 198.51.100.7, and must not be")),
            "{error}"
        );
    }
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let tree = Tree::healthy();
    tree.nic("0000:00:1f.0", ["8086", "a0a3"], "lpc_ich", None, None);
    tree.file("sys/devices/pci0000:00/0000:00:1f.0/class", "0x060100");
    for (named, why) in [
        ("eth9", "the kernel has no such interface"),
        ("../../../etc", "the kernel has no such interface"),
        ("net_af_packet0,iface=eth9", "the kernel has no such interface"),
        ("0000:ff:00.0", "there is no device at that PCI address"),
        ("0000:00:1f.0", "it is no network device"),
    ] {
        let options = SetupOptions { outer: Some(named.into()), ..SetupOptions::default() };
        let error = proposed(&tree, &options).unwrap_err();
        assert!(error.starts_with(&format!("{named}: {why}")), "{error}");
    }
    let vdev = SetupOptions { outer: Some("net_null0".into()), ..SetupOptions::default() };
    assert!(proposed(&tree, &vdev).unwrap().contains("device = \"net_null0\""));
}

#[test]
fn few_cores_are_left_to_culvertd() {
    let tree = Tree::healthy();
    let system = super::System::below(tree.at(""), vec![0, 1]);
    let mut out = Vec::new();
    setup(&system, &SetupOptions::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("[cores]                    # this machine has cores 0-1 on 2 NUMA nodes\n# With so few cores"),
        "{text}"
    );
    assert!(!text.contains("\nio ="));
}

#[test]
fn a_key_wants_a_file() {
    let options = SetupOptions { make_key: true, ..SetupOptions::default() };
    let error = proposed(&Tree::healthy(), &options).unwrap_err();
    assert!(error.starts_with("--make-key needs --output FILE"), "{error}");
}
