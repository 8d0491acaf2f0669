//! The scrape, the alert rules and the dashboard, against each other and by Prometheus' own tool.

use crate::client::Client;
use crate::metrics::answer;
use crate::rig::{Options, Rig};
use culvert::shared::DropReason;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RULES: &str = include_str!("../../configs/prometheus/alerts.yml");
const BOARD: &str = include_str!("../../configs/grafana/culvert.json");

/// A scrape of a gateway that has a peer.
fn page() -> String {
    let rig = Rig::new(&Options::default());
    rig.add(&Client::new(1));
    let address = rig.gateway.as_ref().unwrap().metrics_address().unwrap();
    let (_, body) = answer(address);
    rig.finish();
    body
}

/// Debian's, installed or as `configs/setup.sh test` unpacks it.
fn promtool() -> Option<PathBuf> {
    let tools = std::env::var_os("CULVERT_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
    let places = [tools.join("bin/promtool"), PathBuf::from("/usr/bin/promtool")];
    let found = places.into_iter().find(|place| place.is_file());
    if found.is_none() {
        println!("!!! SKIPPED: promtool is not there: `configs/setup.sh test` gets it");
    }
    found
}

/// What it says of this input, and whether it is content.
fn checks(promtool: &Path, what: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(promtool);
    command.args(what).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_is_content_with_a_scrape_and_with_the_rules() {
    let Some(promtool) = promtool() else { return };
    let page = page();
    let (good, said) = checks(&promtool, &["check", "metrics"], &page);
    assert!(good && said.is_empty(), "{said}");
    // It does look.
    let bad = page.replace("# TYPE culvert_drops_total counter", "# TYPE culvert_drops_total gauge");
    assert!(!checks(&promtool, &["check", "metrics"], &bad).0);

    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/prometheus/alerts.yml");
    let (good, said) = checks(&promtool, &["check", "rules", rules], "");
    assert!(good && said.contains("SUCCESS"), "{said}");
}

/// All words of a text that begin as our metrics do.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("culvert_") || word.starts_with("wireguard_")).collect()
}

#[test]
fn rules_and_dashboard_name_what_a_scrape_holds_and_nothing_is_forgotten() {
    let page = page();
    let there = names(&page.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n"))
        .into_iter()
        .map(ToOwned::to_owned)
        .collect::<BTreeSet<_>>();
    for (what, text) in [("rules", RULES), ("dashboard", BOARD)] {
        let unknown: Vec<_> = names(text).into_iter().filter(|name| !there.contains(*name)).collect();
        assert_eq!(unknown, [""; 0], "{what}");
    }
    // What nobody looks at need not be told, but for what is said in figures only.
    let shown = names(BOARD);
    let rest: Vec<_> = there.iter().filter(|name| !shown.contains(name.as_str())).collect();
    assert_eq!(rest, ["culvert_core_cycles_recording"], "not on the dashboard");
}

#[test]
fn rules_name_reasons_that_there_are() {
    let listed = RULES.split("reason=").skip(1).filter_map(|rest| rest.split('"').nth(1));
    let reasons: Vec<_> = listed.flat_map(|list| list.split('|')).collect();
    assert!(reasons.len() > 8, "{reasons:?}");
    let unknown: Vec<_> = reasons.iter().filter(|name| !DropReason::ALL.iter().any(|r| r.name() == **name)).collect();
    assert_eq!(unknown, [&""; 0]);
}

#[test]
fn the_dashboard_is_one() {
    let board: serde_json::Value = serde_json::from_str(BOARD).unwrap();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.len() > 15 && board["schemaVersion"].as_u64().unwrap() >= 36);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(
            !targets.is_empty() && targets.iter().all(|target| !names(target["expr"].as_str().unwrap()).is_empty())
        );
    }
}
