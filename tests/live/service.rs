//! culvertd as a service: what systemd hears from it, and whom it becomes when root starts it. Over ports where nothing comes.

use crate::bench::{eventually, programs};
use crate::logs::configuration;
use culvert::cli::lab::{Process, run};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid as NixPid;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const PEERS: u32 = 3000;
/// Debian's least user, and its group.
const NOBODY: &str = "65534";
/// CAP_IPC_LOCK, CAP_NET_ADMIN, CAP_SYS_NICE.
const KEPT: &str = "0000000000805000";

/// Some peers.
fn peers_file(folder: &Path, peers: u32) {
    let section = |n: u32| {
        let mut key = [9_u8; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        let [_, a, b, c] = n.to_be_bytes();
        format!("[Peer]\nPublicKey = {}\nAllowedIPs = 10.{a}.{b}.{c}/32\n", culvert::config::keys::to_base64(&key))
    };
    std::fs::write(folder.join("peers.conf"), (0..peers).map(section).collect::<String>()).unwrap();
}

/// The configuration, with these lines of the interface.
fn write(folder: &Path, interface: &str) {
    configuration(folder, "");
    let file = folder.join("culvert.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("max_peers = 16\n", &format!("max_peers = 4096\n{interface}"))).unwrap();
}

/// culvertd with these arguments, behind these lines of sh.
fn start(folder: &Path, before: &str, arguments: &str) -> Process {
    let (culvertd, at) = (programs().culvertd, folder.display().to_string());
    let script = format!("{before}\nexec {} --config {at}/culvert.toml {arguments}", culvertd.display());
    Process::start("culvertd", &["unshare", "-m", "sh", "-ec", &script], &folder.join("log")).unwrap()
}

fn signal(process: &Process, signal: Signal) {
    kill_process(Pid::from_raw(process.id().cast_signed()).unwrap(), signal).unwrap();
}

/// What systemd would hear, in its place.
struct Systemd(UnixDatagram);

impl Systemd {
    fn new(folder: &Path) -> Self {
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next message that says all of this; what came before it, too.
    fn until(&self, words: &[&str]) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.next());
            let last: Vec<&str> = heard.last().unwrap().lines().collect();
            if words.iter().all(|word| last.contains(word)) {
                return heard;
            }
            assert!(heard.len() < 500, "no {words:?} in {heard:?}");
        }
    }
}

/// The threads of a process: their names, and a line of their status.
fn threads(process: u32, field: &str) -> Vec<(String, String, i32)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|task| task.unwrap().path());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let of = |task: std::path::PathBuf| {
        let status = read(&task.join("status"));
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        let id = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
        (read(&task.join("comm")).trim().to_owned(), value.trim().to_owned(), id)
    };
    tasks.map(of).collect()
}

/// Stops one thread of a process, and lets it go on.
struct Stopped(NixPid);

impl Stopped {
    fn thread(process: &Process, name: &str) -> Self {
        let (_, _, id) = threads(process.id(), "Name").into_iter().find(|(thread, ..)| thread == name).unwrap();
        let id = NixPid::from_raw(id);
        ptrace::seize(id, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(id).unwrap();
        waitpid(id, Some(WaitPidFlag::__WALL)).unwrap();
        Self(id)
    }

    fn go_on(self) {
        ptrace::detach(self.0, None).unwrap();
    }
}

#[test]
fn systemd_hears_how_it_starts_lives_reloads_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "peers_file = \"peers.conf\"\n");
    peers_file(folder.path(), PEERS);
    let systemd = Systemd::new(folder.path());
    let at = folder.path().display();
    let culvertd =
        start(folder.path(), &format!("export NOTIFY_SOCKET={at}/notify WATCHDOG_USEC=1000000"), "--user root");

    let forwarding = format!("STATUS=forwarding: 2 ports, {PEERS} peers");
    let heard = systemd.until(&["READY=1", &forwarding]);
    let (_, start) = heard.split_last().unwrap();
    assert!(start.iter().all(|words| words.contains("EXTEND_TIMEOUT_USEC=") && !words.contains("READY")), "{start:?}");
    let steps: Vec<&str> = start.iter().filter_map(|words| words.lines().next()?.strip_prefix("STATUS=")).collect();
    let first = ["reads the peers of wg0", "starts DPDK", "starts port wan", "starts port lan", "loading peers 0/3000"];
    assert_eq!(steps[..first.len()], first);
    systemd.until(&["WATCHDOG=1", &forwarding]);

    peers_file(folder.path(), 1);
    signal(&culvertd, Signal::HUP);
    let heard = systemd.until(&["READY=1", "STATUS=forwarding: 2 ports, 1 peer"]);
    let reloading = heard.iter().find(|words| words.contains("RELOADING=1")).unwrap();
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");

    // Any one of them is enough.
    let names = threads(culvertd.id(), "Name").into_iter().map(|(name, ..)| name);
    let names: Vec<String> =
        names.filter(|name| name.starts_with("core-") || name.starts_with("handshake-") || name == "control").collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let stopped = Stopped::thread(&culvertd, &name);
        let hangs = (0..20).map(|_| systemd.next()).find(|words| !words.contains("WATCHDOG=1"));
        let hangs = hangs.unwrap_or_else(|| panic!("the watchdog is fed on while {name} hangs"));
        for _ in 0..3 {
            assert!(!systemd.next().contains("WATCHDOG=1"));
        }
        assert!(hangs.starts_with(&format!("STATUS={name}: no turn for ")), "{hangs}");
        stopped.go_on();
        systemd.until(&["WATCHDOG=1", "STATUS=forwarding: 2 ports, 1 peer"]);
    }

    signal(&culvertd, Signal::TERM);
    systemd.until(&["STOPPING=1"]);
    assert_eq!(culvertd.stop(PATIENCE).unwrap(), 0);
}

#[test]
fn started_by_root_it_becomes_another_user_with_all_threads() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "peers_file = \"state/peers.conf\"\n");
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(at.join("state")).unwrap();
    peers_file(&at.join("state"), 1);
    let text = std::fs::read_to_string(at.join("culvert.toml")).unwrap();
    // Folders that are not there yet.
    let shown = at.display().to_string();
    let text = text.replace(&format!("{shown}/culvert.sock"), &format!("{shown}/run/culvert.sock"));
    std::fs::write(at.join("culvert.toml"), text).unwrap();
    run(&["chown", "-R", &format!("{NOBODY}:{NOBODY}"), &format!("{shown}/state")]).unwrap();
    // culvertd's usual user, in a namespace of its own.
    std::fs::write(at.join("passwd"), format!("root:x:0:0::/:/bin/sh\nculvert:x:{NOBODY}:{NOBODY}::/:/bin/sh\n"))
        .unwrap();
    let mut culvertd = start(at, &format!("mount --bind {shown}/passwd /etc/passwd"), "");
    culvertd.wait_for("READY", PATIENCE).unwrap();

    let id = culvertd.id();
    for (name, numbers, _) in threads(id, "Uid").into_iter().chain(threads(id, "Gid")) {
        assert_eq!(numbers.split_whitespace().collect::<Vec<_>>(), [NOBODY; 4], "{name}");
    }
    for field in ["CapPrm", "CapEff"] {
        for (name, sets, _) in threads(id, field) {
            let ours = ["culvertd", "control", "socket"].contains(&name.as_str()) || name.starts_with("core-");
            assert!(sets == KEPT || (!ours && sets == "0000000000000000"), "{name}: {field} {sets}");
        }
    }
    assert!(threads(id, "CapInh").iter().all(|(_, sets, _)| sets == "0000000000000000"));
    assert!(threads(id, "Groups").iter().all(|(_, groups, _)| groups == NOBODY));
    // The kernel gives what belongs to a process without dumps to root.
    assert_eq!(std::fs::metadata(format!("/proc/{id}/environ")).unwrap().uid(), 0);
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");

    // The key is root's: a reload cannot read it, and both said so.
    let said = culvertd.said();
    assert!(said.contains(&format!("{shown}/wg0.key: culvert may not read it")), "{said}");
    assert!(said.contains(&format!("Mend: chown culvert {shown}/wg0.key")), "{said}");
    assert!(!said.contains("peers.conf: culvert may not") && !said.contains("culvert.toml: culvert may not"), "{said}");
    let culvert = programs().culvert.display().to_string();
    let ask = |words: &[&str]| run(&[&[&culvert, "--socket", &format!("{shown}/run/culvert.sock")], words].concat());
    let refused = ask(&["reload"]).unwrap_err().to_string();
    assert!(refused.contains("wg0.key") && refused.contains("chown culvert"), "{refused}");
    run(&["chown", NOBODY, &format!("{shown}/wg0.key")]).unwrap();
    ask(&["reload"]).unwrap();
    ask(&["peers", "save", "--force"]).unwrap();
    assert_eq!(std::fs::metadata(at.join("state/peers.conf")).unwrap().uid().to_string(), NOBODY);

    assert_eq!(culvertd.stop(PATIENCE).unwrap(), 0);
    for socket in ["run/culvert.sock", "wireguard/wg0.sock"] {
        assert!(!at.join(socket).exists(), "{socket} is still there");
    }
}

#[test]
fn it_stays_root_where_it_is_told_to_and_says_why_it_cannot_be_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "");
    let shown = at.display().to_string();
    std::fs::write(at.join("passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let without = format!("mount --bind {shown}/passwd /etc/passwd");
    for (arguments, warned) in [("", true), ("--user root", false)] {
        let mut culvertd = start(at, &without, arguments);
        culvertd.wait_for("READY", PATIENCE).unwrap();
        assert!(threads(culvertd.id(), "Uid").iter().all(|(_, numbers, _)| numbers == "0\t0\t0\t0"));
        assert_eq!(std::fs::metadata(format!("/proc/{}/environ", culvertd.id())).unwrap().uid(), 0);
        let said = culvertd.said();
        assert_eq!(said.contains("runs as root, since there is no user culvert"), warned, "{said}");
        assert_eq!(culvertd.stop(PATIENCE).unwrap(), 0);
        std::fs::remove_file(at.join("log")).unwrap();
    }
    let refused = |arguments: &str, why: &str| {
        let mut culvertd = start(at, "", arguments);
        eventually("an end", || !culvertd.runs());
        assert!(culvertd.said().contains(why), "{}", culvertd.said());
    };
    refused("--user nosuchuser", "--user nosuchuser: there is no such user. Make it (useradd --system nosuchuser)");
    // The sockets' folder is root's, and none that culvert may take.
    std::fs::create_dir_all(at.join("wireguard")).unwrap();
    refused("--user nobody", &format!("the user nobody may not write to {shown}"));
}
