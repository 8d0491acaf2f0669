//! Every check seen well and unwell on trees of files, with the text of its mend; what `--fix` does there; the JSON by its schema.

mod cases;
mod fixing;
mod import;
mod json_schema;
mod login;
mod schema;
mod setup;
pub(crate) mod tree;

use super::checks::CHECKS;
use super::{Configuration, Report, System, Verdict, examine};
use cases::{CASES, Case};
use std::collections::BTreeSet;
use tree::Tree;

fn report(system: &System) -> Report {
    examine(system, &Configuration::read(system, None))
}

/// The findings of a check, each in a line.
fn told(report: &Report, id: &str) -> String {
    let rows = report.rows.iter().filter(|row| row.check.id == id);
    let line = |row: &super::Row| {
        let mends: Vec<String> = row.finding.mends.iter().map(super::Mend::text).collect();
        format!("{:?} ({}) {} {mends:?}\n", row.finding.verdict, row.finding.about, row.finding.found)
    };
    rows.map(line).collect()
}

fn is_as_told(case: &Case, report: &Report) -> bool {
    report.rows.iter().filter(|row| row.check.id == case.id).any(|row| {
        let finding = &row.finding;
        let mends: Vec<String> = finding.mends.iter().map(super::Mend::text).collect();
        finding.verdict == case.verdict
            && finding.about == case.about
            && finding.found.contains(case.found)
            && case.mends.iter().all(|mend| mends.iter().any(|text| text == mend))
    })
}

#[test]
fn a_healthy_machine_is_well() {
    let report = report(&Tree::healthy().system());
    let unwell: String = report.unwell().map(|row| told(&report, row.check.id)).collect();
    assert_eq!(unwell, "");
    assert!(!report.fails());
}

/// What is wrong with the report of a case: what is not told, what has no mend, what shows too much, what is not by the schema.
fn faults_of(case: &Case, tree: &Tree, report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_as_told(case, report) {
        let told = told(report, case.id);
        faults.push(format!("{:?}: {}, mends {:?}; but:\n{told}", case.verdict, case.found, case.mends));
    }
    let without = report.unwell().filter(|row| row.finding.mends.is_empty());
    faults.extend(without.map(|row| format!("{} has no mend: {}", row.check.id, row.finding.found)));
    let json = report.to_json();
    faults.extend(schema::valid(&json));
    let (root, json) = (tree.at("").display().to_string(), json.to_string());
    if json.contains(root.trim_end_matches('/')) || json.contains(&tree::KEY[..20]) {
        faults.push(format!("it shows a key, or where the tree lies: {json}"));
    }
    faults
}

#[test]
fn every_check_says_what_it_found() {
    let mut faults = String::new();
    for case in CASES {
        let mut tree = Tree::healthy();
        (case.change)(&mut tree);
        let report = report(&tree.system());
        for fault in faults_of(case, &tree, &report) {
            faults += &format!("{}: {fault}\n", case.id);
        }
    }
    assert_eq!(faults, "");
}

/// No check may be added without being seen well and unwell, with a mend told word for word.
#[test]
fn no_check_is_without_its_cases() {
    let healthy = report(&Tree::healthy().system());
    let mut missing = BTreeSet::new();
    for check in CHECKS {
        let well = healthy.rows.iter().any(|row| row.check.id == check.id && row.finding.verdict == Verdict::Ok)
            || CASES.iter().any(|case| case.id == check.id && case.verdict == Verdict::Ok);
        let unwell =
            CASES.iter().any(|case| case.id == check.id && case.verdict > Verdict::Ok && !case.mends.is_empty());
        if !well || !unwell {
            missing.insert(check.id);
        }
    }
    assert_eq!(missing, BTreeSet::new());
    let known: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(known.len(), CHECKS.len(), "two checks have one id");
    assert!(CASES.iter().all(|case| known.contains(case.id)));
}

#[test]
fn lines_for_people_stand_in_columns() {
    let tree = Tree::healthy();
    tree.edit("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise]", "[always] madvise");
    let mut out = Vec::new();
    let options = super::Options::default();
    assert!(super::run(&tree.system(), &options, &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "by /etc/culvert/culvert.toml");
    let at = lines.iter().position(|line| line.starts_with('!')).unwrap();
    // As wide as the widest: `kernel-wireguard (interface wg0)`.
    assert_eq!(lines[at], "! transparent-huge-pages            always");
    assert_eq!(
        lines[at + 1],
        "                                    why: always: while it moves pages together, data cores that touch them wait; never: each look into big tables misses the TLB"
    );
    assert!(
        lines[at + 2].ends_with("mend: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled   (--fix does it)")
    );
    assert!(lines[at + 3].ends_with(" transparent_hugepage=madvise\"   (then update-grub, reboot)"));
    assert_eq!(lines.iter().filter(|line| line.contains("why:")).count(), 1);
    assert!(lines.last().unwrap().ends_with(" ok, 1 to look at, 0 to mend"));

    let mut quiet = Vec::new();
    super::run(&tree.system(), &super::Options { quiet: true, ..options }, &mut quiet).unwrap();
    assert_eq!(String::from_utf8(quiet).unwrap().lines().count(), 4);
}

#[test]
fn what_is_fatal_is_all_that_is_said_where_nothing_else_is_asked_for() {
    let tree = Tree::healthy();
    tree.edit("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise]", "[always] madvise");
    let said = |json| {
        let mut out = Vec::new();
        let options = super::Options { fatal_only: true, json, ..super::Options::default() };
        let well = super::run(&tree.system(), &options, &mut out).unwrap();
        (well, String::from_utf8(out).unwrap())
    };
    assert_eq!(said(false), (true, String::new()), "a warning keeps nobody from starting");
    tree.mode("etc/culvert/wg0.key", 0o644);
    let (well, text) = said(false);
    assert!(!well && text.starts_with("✗ key-file (interface wg0)") && !text.contains("transparent"), "{text}");
    let (_, json) = said(true);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verdict"], json["checks"].as_array().map(Vec::len)), (&"fail".into(), Some(1)));
}

#[test]
fn without_a_configuration_only_general_checks_are_made() {
    let tree = Tree::healthy();
    tree.remove("etc/culvert");
    let report = report(&tree.system());
    assert_eq!(report.config, None);
    assert!(!report.fails());
    assert!(told(&report, "configuration").starts_with("NotApplicable"));
    assert!(told(&report, "huge-pages").starts_with("Ok (node 0) 400 MiB free"));
    assert!(told(&report, "port-device").starts_with("NotApplicable"));
}

#[test]
fn a_named_configuration_that_is_missing_fails() {
    let tree = Tree::healthy();
    let options = super::Options { config: Some(tree.at("etc/none.toml")), ..super::Options::default() };
    let mut out = Vec::new();
    assert!(!super::run(&tree.system(), &options, &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("/etc/none.toml: there is no such file") && text.contains("--config FILE"), "{text}");
}
