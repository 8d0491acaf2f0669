//! Where culvertd's log goes, and in which form: text, JSON, journald (a socket in its place, in a mount namespace of its own).

use crate::bench::programs;
use culvert::cli::lab::Process;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The key of RFC 7748's Alice.
const KEY: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";

/// A configuration of two ports where nothing comes, with this `[log]`.
pub(crate) fn configuration(folder: &Path, log: &str) {
    let key = folder.join("wg0.key");
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let at = folder.display();
    let port = |name: &str, device: &str, role: &str, address: &str| {
        format!("[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\nrole = \"{role}\"\naddresses = [\"{address}\"]\n")
    };
    let ports = port("wan", "net_null0,no-rx=1", "outer", "192.0.2.1/24")
        + &port("lan", "net_null1,no-rx=1", "inner", "10.0.0.1/24");
    let text = format!(
        "[memory]\nhuge_pages = \"none\"\nmbufs = 4095\n{ports}[[interface]]\nname = \"wg0\"\nprivate_key_file = \"wg0.key\"\n\
         max_peers = 16\n[control]\nsocket = \"{at}/culvert.sock\"\nuapi_dir = \"{at}/wireguard\"\n[metrics]\nlisten = \"\"\n{log}"
    );
    std::fs::write(folder.join("culvert.toml"), text).unwrap();
}

/// culvertd behind these lines of sh, with everything logged.
fn start(folder: &Path, before: &str) -> Process {
    let (culvertd, at) = (programs().culvertd, folder.display().to_string());
    let script =
        format!("{before}\nCULVERT_LOG=trace exec {} --user root --config {at}/culvert.toml", culvertd.display());
    Process::start("culvertd", &["unshare", "-m", "sh", "-ec", &script], &folder.join("log")).unwrap()
}

pub(crate) fn ends(process: Process) {
    assert_eq!(process.stop(PATIENCE).unwrap(), 0);
}

/// DPDK's own lines are in the same stream, and no key is.
#[test]
fn json_is_an_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path(), "[log]\nformat = \"json\"\n");
    let mut culvertd = start(folder.path(), "");
    culvertd.wait_for("READY", PATIENCE).unwrap();
    ends(culvertd);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["target"] == "dpdk" && line["message"].as_str().unwrap().starts_with("EAL: "))
    );
    assert!(lines.iter().any(|line| line["level"] == "INFO" && line["port"] == "wan"), "{log}");
    assert!(lines.iter().any(|line| line["interface"] == "wg0"), "{log}");
    assert!(!log.contains(&KEY[..16]) && !log.contains("77076d0a7318a57d"), "{log}");
}

/// The datagrams that came to journald's place.
fn datagrams(socket: &UnixDatagram) -> Vec<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = vec![0; 1 << 16];
    std::iter::from_fn(|| socket.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec())).collect()
}

fn has(datagram: &[u8], text: &str) -> bool {
    datagram.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The protocol's own way to write a field: its name, how long the value is, and the value
/// (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>); short values may stand behind a `=` too.
fn is_field(datagram: &[u8], name: &str, value: &str) -> bool {
    let length = (value.len() as u64).to_le_bytes();
    let long = [name.as_bytes(), b"\n", &length, value.as_bytes(), b"\n"].concat();
    datagram.windows(long.len()).any(|window| window == long) || has(datagram, &format!("{name}={value}\n"))
}

/// In the gateway's mount namespace the folder is journald's.
const IN_PLACE: &str = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind";

#[test]
fn journald_is_told_with_fields_where_systemd_connected_the_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    configuration(folder.path(), "");
    let in_place = format!("{IN_PLACE} {} /run/systemd/journal", journal.display());
    let stream = "export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)";
    let culvertd = start(folder.path(), &format!("{in_place}\n{stream}"));
    let began = std::time::Instant::now();
    let mut told: Vec<Vec<u8>> = Vec::new();
    while !told.iter().any(|datagram| has(datagram, "READY")) {
        assert!(began.elapsed() < PATIENCE, "{}", culvertd.said());
        told.extend(datagrams(&socket));
        std::thread::sleep(Duration::from_millis(20));
    }
    ends(culvertd);
    assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "");
    let told: Vec<Vec<u8>> = told.into_iter().filter(|datagram| !datagram.is_empty()).collect();
    assert!(told.iter().all(|datagram| is_field(datagram, "SYSLOG_IDENTIFIER", "culvertd")));
    let port = told.iter().find(|datagram| has(datagram, "port wan: ")).unwrap();
    let is_told = is_field(port, "PORT", "wan") && is_field(port, "PRIORITY", "6");
    assert!(is_told, "{}", String::from_utf8_lossy(port));
    assert!(told.iter().any(|datagram| is_field(datagram, "INTERFACE", "wg0")));
    assert!(told.iter().any(|datagram| is_field(datagram, "TARGET", "dpdk")));
    assert!(!told.iter().any(|datagram| has(datagram, &KEY[..16])));
}

#[test]
fn what_systemd_did_not_connect_is_text_and_so_is_a_journald_that_is_not_there() {
    for (log, before, said) in [
        ("", "export JOURNAL_STREAM=1:1", ""),
        (
            "[log]\nformat = \"journald\"\n",
            "mount -t tmpfs none /run",
            "WARN journald does not take the log (No such file or directory",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        configuration(folder.path(), log);
        let mut culvertd = start(folder.path(), before);
        culvertd.wait_for("INFO READY", PATIENCE).unwrap();
        assert!(culvertd.said().contains(said), "{}", culvertd.said());
        ends(culvertd);
    }
}
