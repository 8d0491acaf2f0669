//! The folder of DPDK's telemetry socket: it goes with culvertd, and culvertd goes without it where it cannot be.

use crate::bench::programs;
use crate::logs::{PATIENCE, configuration, ends};
use culvert::cli::lab::Process;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;

/// culvertd, where DPDK is given this folder.
fn start(folder: &Path, run: &str) -> Process {
    let (culvertd, at) = (programs().culvertd, folder.display().to_string());
    let script = format!("RUNTIME_DIRECTORY={run} exec {} --user root --config {at}/culvert.toml", culvertd.display());
    Process::start("culvertd", &["sh", "-ec", &script], &folder.join("log")).unwrap()
}

fn below(run: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(run.join("dpdk")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_folder_goes_with_culvertd_however_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    configuration(folder.path(), "");
    let mut culvertd = start(folder.path(), &run.display().to_string());
    culvertd.wait_for("READY", PATIENCE).unwrap();
    let there = below(&run);
    let [one] = &there[..] else { unreachable!("{there:?}") };
    assert!(std::fs::metadata(one.join("dpdk_telemetry.v2")).unwrap().file_type().is_socket());
    // By SIGTERM.
    ends(culvertd);
    assert!(below(&run).is_empty(), "{:?}", below(&run));

    // It does not start, once DPDK has. (Whoever becomes another user may not remove it; the next start does.)
    let file = folder.path().join("culvert.toml");
    let socket = folder.path().join("culvert.sock").display().to_string();
    let text = std::fs::read_to_string(&file).unwrap().replace(&socket, "/proc/none/culvert.sock");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(programs().culvertd)
        .args(["--user".as_ref(), "root".as_ref(), "--config".as_ref(), file.as_os_str()])
        .env("RUNTIME_DIRECTORY", &run)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(below(&run).is_empty(), "{:?}", below(&run));
}

#[test]
fn without_a_folder_it_says_so_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path(), "");
    let mut culvertd = start(folder.path(), "/proc/none");
    culvertd.wait_for("READY", PATIENCE).unwrap();
    ends(culvertd);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let said = log.lines().find(|line| line.contains("telemetry is off")).unwrap_or_else(|| panic!("{log}"));
    assert!(
        said.contains("WARN") && said.contains("/proc/none/dpdk: ") && said.contains("RuntimeDirectory="),
        "{said}"
    );
}
