//! `culvert demo` when it is stopped half-way. (That it passes is a step of `tests/run.sh` of its own.)

use crate::bench::{eventually, programs};
use culvert::cli::lab::{Lab, Process, run};
use std::time::Duration;

/// A demo with its namespaces made and its gateway up, and what the names of its namespaces begin with.
fn half_way(folder: &tempfile::TempDir) -> (Process, String) {
    let culvert = programs().culvert;
    let command = [&*culvert.to_string_lossy(), "demo"];
    let mut demo = Process::start("demo", &command, &folder.path().join("log")).unwrap();
    demo.wait_for("culvertd on net_af_packet", Duration::from_secs(60)).unwrap();
    let prefix = format!("cv{}0-", base36(demo.id()));
    assert_eq!(namespaces(&prefix).len(), 5);
    (demo, prefix)
}

fn namespaces(prefix: &str) -> Vec<String> {
    let list = run(&["ip", "netns", "list"]).unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

fn base36(number: u32) -> String {
    let digit = char::from_digit(number % 36, 36).unwrap();
    if number < 36 { digit.to_string() } else { format!("{}{digit}", base36(number / 36)) }
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, prefix) = half_way(&folder);
    run(&["kill", "-INT", &demo.id().to_string()]).unwrap();
    assert_eq!(demo.wait(Duration::from_secs(60)).unwrap(), 1);
    let said = demo.said();
    assert_eq!(said.lines().last(), Some("demo: FAILED: interrupted"), "{said}");
    assert!(namespaces(&prefix).is_empty());
}

#[test]
fn what_a_killed_demo_left_goes_with_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, prefix) = half_way(&folder);
    demo.kill();
    // Its children do not outlive it, but namespaces do.
    let left = namespaces(&prefix);
    assert_eq!(left.len(), 5);
    eventually("the end of the demo's processes", || {
        left.iter().all(|name| run(&["ip", "netns", "pids", name]).unwrap().is_empty())
    });
    drop(Lab::new(0).unwrap());
    assert!(namespaces(&prefix).is_empty());
}
