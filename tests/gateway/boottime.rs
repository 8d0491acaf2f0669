//! Which clock it is.

use culvert::control::context::Environment;
use std::process::Command;

/// Asks the copy of this process for its time.
const SHOW: &str = "CULVERT_TEST_SHOWS_THE_CLOCK";

/// PROTOCOL A1.28: the clock counts suspend: in a time namespace that is a million seconds further in CLOCK_BOOTTIME alone, so is it.
#[test]
fn the_clock_counts_suspend() {
    const FURTHER_S: u64 = 1_000_000;
    if std::env::var_os(SHOW).is_some() {
        println!("clock: {}", Environment::default().now_ms());
        return;
    }
    let before = Environment::default().now_ms();
    let mut copy = Command::new("unshare");
    copy.args(["--time", "--boottime", &FURTHER_S.to_string(), "--fork", "--"]).arg(std::env::current_exe().unwrap());
    copy.args(["--exact", "boottime::the_clock_counts_suspend", "--nocapture"]).env(SHOW, "1");
    let output = match copy.output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        other => return eprintln!("SKIPPED: no time namespace here (root and util-linux are needed): {other:?}"),
    };
    let shown = output.lines().find_map(|line| line.split_once("clock: ")).unwrap().1;
    let ahead = shown.trim().parse::<u64>().unwrap() - before;
    assert!((FURTHER_S * 1000..FURTHER_S * 1000 + 600_000).contains(&ahead), "{ahead} ms ahead");
}
