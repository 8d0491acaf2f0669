//! What `--fix` does, what it says, and what it leaves alone.

use super::super::{Options, run};
use super::tree::Tree;
use super::{Verdict, report, told};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn fix(tree: &Tree) -> (bool, String) {
    let mut out = Vec::new();
    let well = run(&tree.system(), &Options { fix: true, ..Options::default() }, &mut out).unwrap();
    (well, String::from_utf8(out).unwrap())
}

/// A modprobe that makes what the kernel would show.
fn modprobe(tree: &Tree, script: &str) {
    tree.file("sbin/modprobe", &format!("#!/bin/sh\n{script}\n")).mode("sbin/modprobe", 0o755);
}

#[test]
fn safe_steps_are_said_and_taken_and_looked_at_again() {
    let tree = Tree::healthy();
    let pages = "sys/devices/system/node/node0/hugepages/hugepages-2048kB";
    tree.file(&format!("{pages}/nr_hugepages"), "0").link(&format!("{pages}/x"), "nr_hugepages");
    // The kernel shows the same number in both files.
    tree.remove(&format!("{pages}/free_hugepages")).link(&format!("{pages}/free_hugepages"), "nr_hugepages");
    tree.remove("run/culvert").mode("etc/culvert/wg0.key", 0o644).remove("sys/bus/pci/drivers");
    let loaded = tree.at("sys/bus/pci/drivers/vfio-pci");
    modprobe(&tree, &format!("[ \"$1\" = vfio-pci ] && mkdir -p {}", loaded.display()));
    assert!(report(&tree.system()).fails());

    let (well, text) = fix(&tree);
    assert!(well, "{text}");
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("fix: ")).collect();
    assert_eq!(
        steps,
        [
            "fix: echo 150 > /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
            "fix: modprobe vfio-pci",
            "fix: install -d -m 750 /run/culvert",
            "fix: chmod 600 /etc/culvert/wg0.key",
            "fix: what needs a reboot is left for you",
        ]
    );
    assert_eq!(tree.read(&format!("{pages}/nr_hugepages")), "150\n");
    let mode = |path: &str| std::fs::metadata(tree.at(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run/culvert"), mode("etc/culvert/wg0.key")), (0o750, 0o600));
    assert!(text.contains("✓ huge-pages (node 0)"), "it looked again: {text}");
}

#[test]
fn what_is_made_is_culvertds_and_no_rights_are_given() {
    let tree = Tree::healthy();
    let there = std::fs::metadata(tree.at("run")).unwrap();
    tree.file("etc/passwd", &format!("culvert:x:{}:{}::/:/sbin/nologin\n", there.uid(), there.gid()));
    tree.remove("run/culvert").mode("var/run/wireguard", 0o720);
    let (well, text) = fix(&tree);
    assert!(well, "{text}");
    let of = |path: &str| std::fs::metadata(tree.at(path)).map(|m| (m.uid(), m.gid(), m.mode() & 0o7777)).unwrap();
    assert_eq!(of("run/culvert"), (there.uid(), there.gid(), 0o750));
    assert_eq!(of("var/run/wireguard").2, 0o700);
    // Only root gives files away.
    if there.uid() == 0 {
        tree.file("etc/passwd", "culvert:x:7777:7778::/:/sbin/nologin\n").remove("run/culvert");
        let (_, text) = fix(&tree);
        assert!(text.contains("fix: install -d -m 750 -o culvert -g culvert /run/culvert\n"), "{text}");
        assert_eq!(of("run/culvert"), (7777, 7778, 0o750));
        // Other programs have their sockets there, too.
        assert_eq!(of("var/run/wireguard"), (there.uid(), there.gid(), 0o700));
        tree.remove("run/culvert").file("run/culvert/x", "");
        fix(&tree);
        assert_eq!(of("run/culvert").0, 7777);
    }
}

#[test]
fn a_folder_in_a_keys_place_is_left_as_it_is() {
    let tree = Tree::healthy();
    tree.remove("etc/culvert/wg0.key").file("etc/culvert/wg0.key/x", "").mode("etc/culvert/wg0.key", 0o755);
    let (well, text) = fix(&tree);
    assert!(!well && !text.contains("chmod"), "{text}");
}

#[test]
fn no_driver_is_ever_changed() {
    let tree = Tree::healthy();
    tree.bind("0000:3b:00.0", "i40e");
    tree.edit("etc/culvert/culvert.toml", "0000:3c:00.0", "0000:01:00.0");
    let (well, text) = fix(&tree);
    assert!(!well);
    assert!(text.starts_with("fix: there is nothing that is safe to do by itself"), "{text}");
    assert!(told(&report(&tree.system()), "login").starts_with("Fail"));
    for (address, driver) in [("0000:3b:00.0", "i40e"), ("0000:01:00.0", "igb")] {
        let link = std::fs::read_link(tree.at(&format!("sys/bus/pci/devices/{address}/driver"))).unwrap();
        assert!(link.ends_with(driver), "{}", link.display());
    }
}

#[test]
fn a_step_that_fails_is_said_and_the_next_one_taken() {
    let tree = Tree::healthy();
    tree.remove("sys/bus/pci/drivers").mode("etc/culvert/wg0.key", 0o644);
    modprobe(&tree, "echo 'FATAL: Module vfio-pci not found.' >&2; exit 1");
    let (well, text) = fix(&tree);
    assert!(!well);
    assert!(
        text.contains("fix: that failed: FATAL: Module vfio-pci not found.\nfix: chmod 600 /etc/culvert/wg0.key\n"),
        "{text}"
    );
}

#[test]
fn what_is_well_is_left_alone() {
    let tree = Tree::healthy();
    modprobe(&tree, "exit 1");
    let (well, text) = fix(&tree);
    assert!(well && text.starts_with("fix: there is nothing"));
    assert!(!text.contains("that failed"));
}

#[test]
fn with_json_the_steps_go_elsewhere() {
    let tree = Tree::healthy();
    tree.mode("etc/culvert/wg0.key", 0o644);
    let mut out = Vec::new();
    let options = Options { fix: true, json: true, ..Options::default() };
    assert!(run(&tree.system(), &options, &mut out).unwrap());
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["verdict"], Verdict::Ok.word());
}
