//! The interface that must never be bound, by the routes that there are.

use super::super::nic::{Login, Nic};
use super::tree::Tree;

fn logins(tree: &Tree) -> Vec<String> {
    Login::all(&tree.system())
        .iter()
        .map(|login| format!("{} {} {:?}", login.what, login.interface, login.below))
        .collect()
}

#[test]
fn a_session_over_ipv6_takes_the_longest_prefix() {
    let mut tree = Tree::healthy();
    tree.ssh = Some("2001:db8:7::9 5000 2001:db8::5 22");
    let none = "00000000000000000000000000000000";
    let route = |to: &str, len: &str, interface: &str| {
        format!("{to} {len} {none} 00 {none} 00000400 00000001 00000000 00000001 {interface}\n")
    };
    let routes = [
        route(none, "00", "eth2"),
        route("20010db8000700000000000000000000", "30", "eth0"),
        route("20010db8000700000000000000000000", "40", "lo"),
    ];
    tree.file("proc/net/ipv6_route", &routes.concat());
    assert_eq!(
        logins(&tree),
        ["the SSH session from 2001:db8:7::9 eth0 [\"eth0\"]", "the default route eth2 [\"eth2\"]"],
        "eth0 has IPv4's default route too, and is told once"
    );
    tree.ssh = Some("fe80::1%eth0 5000 fe80::2%eth0 22");
    assert_eq!(logins(&tree)[0], "the SSH session from fe80::1 eth2 [\"eth2\"]");
}

#[test]
fn what_is_below_a_bridge_or_vlan_is_guarded() {
    let tree = Tree::healthy();
    tree.edit("proc/net/route", "eth0", "br0");
    tree.file("sys/class/net/br0/lower_bond0", "").file("sys/class/net/bond0/lower_eth0", "");
    assert_eq!(logins(&tree), ["the SSH session from 198.51.100.7 br0 [\"br0\", \"bond0\", \"eth0\"]"]);
    let nic = Nic::read(&tree.system(), "0000:01:00.0").unwrap();
    assert!(Login::all(&tree.system())[0].is_on(&nic));
    let other = Nic::read(&tree.system(), "0000:3c:00.0").unwrap();
    assert!(!Login::all(&tree.system())[0].is_on(&other));
}

#[test]
fn a_session_is_found_behind_sudo() {
    let mut tree = Tree::healthy();
    tree.ssh = None;
    tree.file("proc/self/status", "Name:\tculvert\nPPid:\t70\n").file("proc/70/status", "Name:\tsudo\nPPid:\t60\n");
    tree.file("proc/70/environ", "A=1\0SSH_CONNECTION=\0")
        .file("proc/60/environ", "B=2\0SSH_CONNECTION=198.51.100.9 1 192.0.2.5 22\0");
    tree.file("proc/60/status", "PPid:\t1\n");
    assert_eq!(logins(&tree), ["the SSH session from 198.51.100.9 eth0 [\"eth0\"]"]);
    tree.remove("proc/60/environ").file("proc/1/status", "PPid:\t0\n");
    assert_eq!(logins(&tree), ["the default route eth0 [\"eth0\"]"]);
}

#[test]
fn nonsense_in_the_tables_is_passed_over() {
    let mut tree = Tree::healthy();
    tree.ssh = Some("nonsense");
    tree.file("proc/net/route", "Iface\nx\nx y z\neth0 0 0 0 0 0 0 zz\n").file("proc/net/ipv6_route", "q\n 00 00\n");
    assert_eq!(logins(&tree), [""; 0]);
}
