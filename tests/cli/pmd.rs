//! `culvert pmd`: the program over DPDK's virtual devices, beside what Debian's `dpdk-testpmd` says to the same commands.

use crate::terminal::Terminal;
use regex::Regex;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Frames in the file that the first port receives.
const FRAMES: u32 = 100;

/// Longer than any command takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program over these vdevs; `lines` go to its standard input, one every 300 ms.
fn start(program: &str, first: &[&str], lcores: &str, vdevs: &[String], own: &[&str]) -> Child {
    let unique = format!("--file-prefix=pmd{}x{:?}", std::process::id(), thread::current().id());
    let unique: String = unique.chars().filter(|c| !"()".contains(*c)).collect();
    Command::new(program)
        .args(first)
        .args(["--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry", "-l", lcores, &unique])
        .args(vdevs.iter().map(|vdev| format!("--vdev={vdev}")))
        .args(["--", "--total-num-mbufs=8192"])
        .args(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn pmd(lcores: &str, vdevs: &[String], own: &[&str]) -> Child {
    start(env!("CARGO_BIN_EXE_culvert"), &["pmd"], lcores, vdevs, own)
}

fn vdevs(all: &[&str]) -> Vec<String> {
    all.iter().map(|vdev| (*vdev).to_owned()).collect()
}

/// Tells it these lines, with time for packets between them, and waits for its end.
fn told(mut child: Child, lines: &str) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    // DPDK has started, or will not.
    while !said.ends_with("\nDone\n") && out.read_line(&mut said).unwrap() > 0 {}
    let rest = thread::spawn(move || {
        out.read_to_string(&mut said).unwrap();
        said
    });
    for line in lines.lines() {
        let _gone = writeln!(stdin, "{line}");
        thread::sleep(Duration::from_millis(300));
    }
    drop(stdin);
    let output = ended(child);
    Output { stdout: rest.join().unwrap().into_bytes(), ..output }
}

fn ended(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", text(output), String::from_utf8_lossy(&output.stderr));
    text(output)
}

/// Frames that are all different.
fn frames() -> Vec<Vec<u8>> {
    let frame = |n: u32| [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 0][..], &n.to_be_bytes(), &[0; 46]].concat();
    (0..FRAMES).map(frame).collect()
}

/// A pcap file of these.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = empty_pcap();
    for (n, frame) in (0..).zip(frames) {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [0, n, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).unwrap();
}

/// Port 0 receives the file, port 1 writes what is sent to it.
fn pcap_ports(folder: &Path) -> Vec<String> {
    pcap_ports_of(folder, &frames())
}

fn pcap_ports_of(folder: &Path, frames: &[Vec<u8>]) -> Vec<String> {
    write_pcap(&folder.join("in.pcap"), frames);
    let folder = folder.display();
    vec![
        format!("net_pcap0,rx_pcap={folder}/in.pcap,tx_pcap={folder}/back.pcap"),
        format!("net_pcap1,rx_pcap={folder}/none.pcap,tx_pcap={folder}/out.pcap"),
    ]
}

/// What both programs are told.
const COMMANDS: &str = "show port summary all\nstart\nshow port stats all\nshow fwd stats all\nclear fwd stats all\nshow fwd stats all\n\
                        stop\nset fwd rxonly\nstart\nshow port stats all\nstop\nshow port xstats 1\nquit\n";

/// The blocks that scripts read, in their order, with speeds masked; a prompt may stand anywhere.
fn blocks(said: &str) -> Vec<String> {
    let said = said.replace("testpmd> ", "").replace("culvert> ", "");
    let speed = Regex::new(r"(?m)^  ([RT]x)-pps: +\d+ +([RT]x)-bps: +\d+$").unwrap();
    let said = speed.replace_all(&said, "  $1-pps $2-bps").into_owned();
    let block = concat!(
        r"(?m)\n  #{24} NIC statistics for port [^#]*#{24}\n[^#]*#{76}$",
        r"|\n  -{22} Forward statistics for port \d+ +-{22}\n.*\n.*\n  -{76}$",
        r"|\n  \++ Accumulated .*\n.*\n.*\n  \+{76}$",
        r"|^Number of available ports: \d+\nPort MAC.*\n\d.*\n\d.*$",
        r"|^###### NIC extended statistics for port \d+ $",
        r"|^[rt]x_[a-z0-9_]+: \d+$",
        r"|^Set \w+ packet forwarding mode$",
        r"|^\w+ packet forwarding - ports=.*$",
        r"|^  RX P=.*$",
        r"|^  nb forwarding cores=.*$",
        r"|^Telling cores to stop\.\.\.$",
        r"|^Waiting for lcores to finish\.\.\.$",
    );
    Regex::new(block).unwrap().find_iter(&said).map(|found| found.as_str().to_owned()).collect()
}

/// What `dpdk-testpmd` of Debian's DPDK 22.11.11 (package dpdk-dev) said to [`COMMANDS`] over the same files.
const RECORDED: &str = include_str!("pmd.txt");

/// Byte for byte, over ports whose packets are counted: against the record, and against the program itself, installed or as
/// `configs/setup.sh test` unpacks it.
#[test]
fn the_same_commands_get_testpmds_answers() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("none.pcap"), empty_pcap()).unwrap();
    let ours = good(&told(pmd("0,1", &pcap_ports(folder.path()), &["-i", "--no-flush-rx"]), COMMANDS));
    let expected = blocks(RECORDED);
    assert!(expected.len() > 30, "{}", expected.len());
    assert_eq!(blocks(&ours), expected, "{ours}");
    if let Some(theirs) = testpmd(&pcap_ports(folder.path()), COMMANDS, "pmd.txt") {
        assert_eq!(blocks(&theirs), blocks(&ours), "{theirs}");
    }
}

/// What testpmd says to the same, written to `record` if that is to be renewed; `None`: it is not there.
fn testpmd(ports: &[String], lines: &str, record: &str) -> Option<String> {
    let places = [concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin/dpdk-testpmd"), "/usr/bin/dpdk-testpmd"];
    let Some(program) = places.into_iter().find(|place| Path::new(place).exists()) else {
        println!("!!! SKIPPED: dpdk-testpmd is not there: `configs/setup.sh test` gets it");
        return None;
    };
    let theirs = text(&told(start("stdbuf", &["-oL", program], "0,1", ports, &["-i", "--no-flush-rx"]), lines));
    if std::env::var_os("CULVERT_UPDATE").is_some() {
        std::fs::write(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli")).join(record), &theirs).unwrap();
    }
    Some(theirs)
}

const VERBOSE_COMMANDS: &str =
    "set verbose 3\nset fwd io\nstart\nstop\nset verbose 0\nshow config cores\nset corelist 1\nset nbcore 1\nquit\n";

/// Each packet's lines without what only testpmd tells: what it looks up in the packet itself, and how its driver was built.
fn packets(said: &str) -> Vec<String> {
    let said = said.replace("testpmd> ", "").replace("culvert> ", "");
    let extra = Regex::new(r" - timestamp \d+ | - sw ptype: .*?(?P<queue> - (Receive|Send) queue)").unwrap();
    let said = extra.replace_all(&said, "$queue").into_owned();
    let pool = Regex::new(r" - pool=\S+ - ").unwrap();
    let said = pool.replace_all(&said, " - pool=P - ").into_owned();
    let line = r"(?m)^port \d+/queue \d+: .*$|^  src=.*$|^Change verbose .*$|^List of forwarding.*$|^Number of forwarding cores .*$";
    Regex::new(line).unwrap().find_iter(&said).map(|found| found.as_str().to_owned()).collect()
}

#[test]
fn packets_are_shown_as_testpmd_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("none.pcap"), empty_pcap()).unwrap();
    let frame = |last: u8, kind: [u8; 2], len: usize| {
        [&[2, 0, 0, 0, 0xab, last, 2, 0, 0, 0, 0xcd, last][..], &kind, &vec![0; len - 14]].concat()
    };
    let frames =
        [frame(1, [8, 0], 60), frame(2, [0x86, 0xdd], 1514), frame(3, [0x88, 0xcc], 64), frame(4, [0x81, 0], 99)];
    let ports = pcap_ports_of(folder.path(), &frames);
    let ours = good(&told(pmd("0,1", &ports, &["-i", "--no-flush-rx"]), VERBOSE_COMMANDS));
    if let Some(theirs) = testpmd(&ports, VERBOSE_COMMANDS, "verbose.txt") {
        assert_eq!(packets(&theirs), packets(&ours), "{theirs}");
    }
    let expected = packets(include_str!("verbose.txt"));
    assert_eq!(expected.iter().filter(|line| line.starts_with("  src=")).count(), 4 + 4, "{expected:#?}");
    assert_eq!(packets(&ours), expected, "{ours}");
}

/// What one core cannot do is refused, with the reason.
#[test]
fn cores_that_cannot_forward_are_refused() {
    for (lcores, lines, refused) in [
        ("0", "set nbcore 2\nset nbcore 1\nset corelist 0\nset corelist 1\n", &["1 may forward, 0", "-l names: 0"][..]),
        (
            "0,1",
            "set corelist 0\nset nbcore 0\nset verbose 4\n",
            &["core 0 is the main one", "at least one", "takes 1"],
        ),
    ] {
        let output = told(pmd(lcores, &vdevs(&["net_null0"]), &["-i"]), &format!("{lines}quit\n"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && refused.iter().all(|why| error.contains(why)), "{error}");
        assert_eq!(error.matches("culvert: ").count(), refused.len(), "{error}");
    }
    let output = told(pmd("0", &vdevs(&["net_null0"]), &["-i", "--nb-cores=2"]), "quit\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 may forward"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

fn empty_pcap() -> Vec<u8> {
    [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// testpmd refuses: "No cores defined for forwarding".
#[test]
fn one_core_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("none.pcap"), empty_pcap()).unwrap();
    let said = good(&told(
        pmd("0", &pcap_ports(folder.path()), &["-i", "--no-flush-rx", "--forward-mode=macswap"]),
        "start\nstop\nquit\n",
    ));
    assert!(said.contains("Logical Core 0 (socket 0) forwards packets on 2 streams:"), "{said}");
    assert!(said.contains(&format!("TX-packets: {FRAMES} ")), "{said}");
    let out = std::fs::read(folder.path().join("out.pcap")).unwrap();
    let swapped = [2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 9, 8, 0, 0, 0, 0, 99];
    assert!(out.windows(swapped.len()).any(|bytes| bytes == swapped));
}

/// The key of the JSON line that has it.
fn json(said: &str, key: &str) -> Value {
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|answer| answer.get(key).cloned()).next_back().unwrap_or_else(|| panic!("no {key} in {said}"))
}

/// Each port's ring leads from its TX queue to its own RX queue; paired, each tunnel's packets come to the other core.
#[test]
fn sealed_packets_come_back_good() {
    for (lcores, ports, own) in [
        ("0", vdevs(&["net_ring0"]), &["-i", "--forward-mode=wireguard"][..]),
        ("0,1", vdevs(&["net_ring0", "net_ring1"]), &["-i", "--forward-mode=wireguard", "--txpkts=1454"][..]),
    ] {
        let said = good(&told(pmd(lcores, &ports, own), "start\n--json stop\nquit\n"));
        let tunnels = json(&said, "stopped")["wireguard"].clone();
        assert!(tunnels["sealed"].as_u64().unwrap() > 1000, "{tunnels}");
        assert_eq!(tunnels["good"], tunnels["sealed"]);
        for key in ["missing", "bad_tag", "replayed", "bad_inner", "stray"] {
            assert_eq!(tunnels[key], 0, "{key}: {tunnels}");
        }
    }
}

/// What comes from a generator is no tunnel's, and what is sent to nowhere never comes back.
#[test]
fn crypto_that_nobody_returns_fails() {
    // A later run, of another mode, makes nothing good.
    let lines = "set txpkts 1455\nstart\nset txpkts 64\nstart\nclear fwd stats all\nstop\nset fwd io\nstart tx_first 10001\nstart\nstop\nquit\n";
    let output = told(pmd("0", &vdevs(&["net_null0"]), &["-i", "--forward-mode=wireguard"]), lines);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("none of the packets came back"), "{error}");
    assert!(text(&output).contains("WG-good:     0 "), "{}", text(&output));
    assert!(error.contains("`set txpkts 1454` or less") && error.contains("10001: 10000 bursts at most"), "{error}");
}

#[test]
fn an_unknown_command_of_a_file_ends_it_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("commands");
    std::fs::write(&file, "show port summary all\nset fwd mac\nset fdw io\nset fwd rxonly\n").unwrap();
    let argument = format!("--cmdline-file={}", file.display());
    let output = told(pmd("0", &vdevs(&["net_null0"]), &["-i", &argument]), "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("commands:3: there is no \"fdw\" after \"set\"; did you mean fwd?"), "{error}");
    assert!(text(&output).contains("Set mac packet") && !text(&output).contains("Set rxonly"));
    let error = told(pmd("0", &vdevs(&["net_null0"]), &["--rxqs=1"]), "");
    assert_eq!(error.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&error.stderr).contains("there is no argument \"--rxqs\"; did you mean --rxq?"));
}

/// Before the prompt comes, and whatever it would be told.
#[test]
fn quit_in_a_file_of_commands_ends_it_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("commands");
    std::fs::write(&file, "show port summary all\nquit\nset fwd mac\n").unwrap();
    let argument = format!("--cmdline-file={}", file.display());
    let said = good(&told(pmd("0", &vdevs(&["net_null0"]), &["-i", &argument]), "set fwd rxonly\n"));
    assert!(said.contains("Number of available ports: 1") && !said.contains("Set "), "{said}");
}

/// What goes on and on, in a line of the standard input.
#[test]
fn a_signal_ends_a_watched_command_and_the_rest() {
    let mut child = pmd("0", &vdevs(&["net_null0"]), &["-i"]);
    writeln!(child.stdin.as_mut().unwrap(), "show port summary all --watch=1").unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while said.matches("Number of available ports").count() < 2 {
        assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = ended(child);
    out.read_to_string(&mut said).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("\nBye...\n"), "{said}");
}

/// The prompt waits, or a command of it goes on and on.
#[test]
fn sigterm_and_ctrl_c_end_the_prompt() {
    for (name, command) in [("pmd-term", ""), ("pmd-watch", "show port summary all --watch=1")] {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let line = format!(
            "sh -c 'echo $$ >{}; exec {} pmd --no-huge -m 128 --no-pci --no-shconf --no-telemetry -l 0 --file-prefix={name}{} \
             --vdev=net_null0 -- --total-num-mbufs=8192 -i'",
            pid.display(),
            env!("CARGO_BIN_EXE_culvert"),
            std::process::id(),
        );
        let terminal = Terminal::new(name, (120, 40), &line);
        terminal.until("culvert>");
        if command.is_empty() {
            let pid = std::fs::read_to_string(pid).unwrap();
            assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());
        } else {
            terminal.types(&[command, "Enter"]);
            terminal.when("ports", |screen| screen.contains("net_null0"));
            terminal.types(&["C-c"]);
        }
        terminal.until("Bye...");
    }
}

/// Without a prompt it forwards at once, tells ports' statistics again and again, and a signal ends it in order.
#[test]
fn a_period_tells_statistics_until_a_signal() {
    let mut child = pmd("0", &vdevs(&["net_ring0"]), &["--stats-period=1", "--tx-first", "--record-core-cycles"]);
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while said.matches("Port statistics ====").count() < 2 {
        assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    out.read_to_string(&mut said).unwrap();
    let output = ended(child);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("NIC statistics for port 0") && said.ends_with("\nBye...\n"), "{said}");
    assert!(said.contains("Accumulated forward statistics") && said.contains("CPU cycles/packet="), "{said}");
}

/// Two bursts go round and round; whatever is under way at the end is given back, which the exit code says.
#[test]
fn first_packets_go_round_and_ports_come_and_go() {
    let lines = "start tx_first 2\n--json show fwd stats all\nport stop all\nstop\nport stop all\nstart\nport start all\nport attach \
                 net_null7\nshow port summary all\nport detach 0\nport stop 0\nport detach 0\n--json show port summary all\n--json show mempool\nquit\n";
    let output = told(pmd("0", &vdevs(&["net_ring0"]), &["-i"]), lines);
    let (said, error) = (text(&output), String::from_utf8_lossy(&output.stderr));
    let total = json(&said, "fwd_total");
    assert!(total["rx_packets"].as_u64().unwrap() > 64 && total["tx_dropped"] == 0, "{total}");
    for refused in [
        "packets are being forwarded; `stop` first",
        "port 0 is stopped; `port start 0` first",
        "port 0 is not stopped",
    ] {
        assert!(error.contains(refused), "{error}");
    }
    assert!(said.contains("Number of available ports: 2"), "{said}");
    assert_eq!(json(&said, "port_summary").as_array().unwrap().len(), 1);
    // Three lines were refused.
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(!error.contains("did not come back"), "{error}");
}
