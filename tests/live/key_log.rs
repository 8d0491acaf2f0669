//! Others read our packets: tshark, given the key log, opens handshake and data of both kinds of client.

use crate::bench::{Bench, bench_with, eventually, pings};
use culvert::cli::lab::{HOST_V4, HOST_V6, Options, Output, Process, output};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// The messages of one kind in the capture, opened with the keys; one line each.
fn shown(capture: &Path, keys: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let said = tshark(capture, keys, filter, fields);
    assert_eq!(said.code, 0, "{}", said.err);
    said.out.lines().map(str::to_owned).collect()
}

/// The same of a capture that goes on: its end may be half a packet.
fn tshark(capture: &Path, keys: &Path, filter: &str, fields: &[&str]) -> Output {
    let keys = format!("wg.keylog_file:{}", keys.display());
    let capture = capture.to_string_lossy();
    let mut command = vec!["tshark", "-n", "-r", &capture, "-o", &keys, "-Y", filter, "-T", "fields"];
    fields.iter().for_each(|field| command.extend(["-e", field]));
    output(&command, Duration::from_secs(60)).unwrap()
}

/// Captures what passes the router between clients and gateway; `None` where there is no tshark.
fn capture(bench: &Bench, file: &Path) -> Option<Process> {
    if !output(&["tshark", "--version"], Duration::from_secs(20)).is_ok_and(|said| said.code == 0) {
        eprintln!("\n!!! SKIPPED: tshark is not installed (apt-get install tshark), so nobody else read the packets\n");
        return None;
    }
    let file = file.to_string_lossy();
    let command = ["tshark", "-q", "-i", "gw", "-f", "udp port 51820", "-w", &file];
    let process = bench.lab.net().start("tshark", &command, &bench.lab.file("tshark.log")).unwrap();
    // It begins the file when it has begun to listen.
    eventually("tshark listens", || std::fs::metadata(&*file).is_ok_and(|file| file.len() > 0));
    Some(process)
}

#[test]
fn tshark_reads_handshakes_and_data_with_the_key_log() {
    let bench = bench_with(2, |lab| Options { key_log: Some(lab.file("keys")), ..Options::default() });
    let (keys, file) = (bench.lab.file("keys"), bench.lab.file("capture.pcapng"));
    assert!(bench.gateway.said().contains("key log"), "a warning in the log");
    assert_eq!(std::fs::metadata(&keys).unwrap().mode() & 0o7777, 0o600);
    let Some(process) = capture(&bench, &file) else {
        bench.finish();
        return;
    };
    let (one, two) = (bench.client(1), bench.client(2));
    pings(one.namespace(), HOST_V4);
    pings(two.namespace(), HOST_V6);
    // What is in the file is known by its last packet.
    let pings = || tshark(&file, &keys, "icmp || icmpv6", &["frame.number"]).out.lines().count();
    eventually("the capture holds the pings", || pings() >= 20);
    process.stop(Duration::from_secs(10)).unwrap();

    // Initiations tell who asks: both clients; the second's has a preshared key in its response.
    let asked = shown(&file, &keys, "wg.type == 1", &["wg.static"]);
    for client in [one, two] {
        let key = &client.keys().public;
        assert!(asked.iter().any(|line| line.contains(key.as_str())), "{key}: {asked:?}");
    }
    assert!(!shown(&file, &keys, "wg.type == 2 && wg.handshake_ok == 1", &["frame.number"]).is_empty());
    let unread = "wg.handshake_ok == 0 || wg.decryption_error";
    assert!(shown(&file, &keys, unread, &["frame.number"]).is_empty());
    // The pings and their answers, inside of both sessions.
    for (filter, source, to) in [("icmp", one.v4(), HOST_V4), ("icmpv6", two.v6(), HOST_V6)] {
        let field = if filter == "icmp" { ["ip.src", "ip.dst"] } else { ["ipv6.src", "ipv6.dst"] };
        let lines = shown(&file, &keys, filter, &field);
        // The last of each list is the inner packet's.
        let inner = |line: &String, source: &str, to: &str| {
            let ends: Vec<&str> = line.split('\t').filter_map(|list| list.rsplit(',').next()).collect();
            ends == [source, to]
        };
        assert!(lines.iter().filter(|line| inner(line, &source, to)).count() >= 5, "{lines:?}");
        assert!(lines.iter().filter(|line| inner(line, to, &source)).count() >= 5, "{lines:?}");
    }
    // Without the keys it shows nothing of that, so this test can fail.
    let none = bench.lab.write("none", "").unwrap();
    assert!(shown(&file, &none, "icmp || icmpv6", &["frame.number"]).is_empty());
    bench.finish();
}
