//! The real `wg` against the real socket: what it sets, shows, and says when refused.

use super::server::UapiServer;
use super::test_device::TestDevice;
use crate::queue::sync::{AtomicU32, Ordering};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Compiled into `wg`.
const FOLDER: &str = "/var/run/wireguard";

struct Wg {
    name: String,
    device: Arc<TestDevice>,
    server: UapiServer,
}

impl Wg {
    /// `None` where there is no `wg`, or its folder is not ours to write to.
    fn start() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if Command::new("wg").arg("--version").output().is_err() {
            eprintln!("SKIPPED: no `wg` on this machine (package wireguard-tools)");
            return None;
        }
        // Relaxed: only the numbers differ, nothing is published by them.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cvu{}x{number}", std::process::id());
        let device = Arc::new(TestDevice::new(1000));
        match UapiServer::bind(Path::new(FOLDER), &name, device.clone()) {
            Ok(server) => Some(Self { name, device, server }),
            Err(error) => {
                assert!(!rustix::process::geteuid().is_root(), "{error}");
                eprintln!("SKIPPED: only root may make sockets that `wg` looks for ({error})");
                None
            }
        }
    }

    /// `%` stands for the name of the interface.
    fn run(&self, command: &str, input: &str) -> Output {
        let words = command.split_whitespace().map(|word| if word == "%" { &self.name } else { word });
        let mut child = Command::new("wg")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A file that wg does not read is no error here.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn ok(&self, command: &str, input: &str) -> String {
        let output = self.run(command, input);
        assert!(output.status.success(), "wg {command}: {output:?}");
        assert!(output.stderr.is_empty(), "wg {command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `wg` says when it fails by itself, not by a signal.
    fn fails(&self, command: &str, input: &str) -> String {
        let output = self.run(command, input);
        assert_eq!(output.status.signal(), None, "wg {command}: {output:?}");
        assert_eq!(output.status.code(), Some(1), "wg {command}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn dump(&self) -> Vec<Vec<String>> {
        let line = |line: &str| line.split('\t').map(str::to_owned).collect();
        self.ok("show % dump", "").lines().map(line).collect()
    }
}

/// Base64 of a key of 32 such bytes.
fn base64(byte: u8) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}

/// PROTOCOL A10.8: `wg show NAME dump`.
/// PROTOCOL A10.11: `wg` finds the socket.
#[test]
fn what_wg_sets_it_shows() {
    let Some(wg) = Wg::start() else { return };
    assert_eq!(wg.dump(), [["(none)", "(none)", "0", "off"]]);
    assert!(wg.ok("show interfaces", "").split_whitespace().any(|name| name == wg.name));

    let private = String::from_utf8(Command::new("wg").arg("genkey").output().unwrap().stdout).unwrap();
    wg.ok("set % listen-port 51820 fwmark 0x2a private-key /dev/stdin", &private);
    let (one, two) = (base64(1), base64(2));
    let set = format!(
        "set % peer {one} preshared-key /dev/stdin endpoint 192.0.2.1:7 persistent-keepalive 25 \
         allowed-ips 10.0.0.0/8,2001:db8::/32 peer {two} endpoint [2001:db8::9]:8 allowed-ips 10.2.0.0/16"
    );
    wg.ok(&set, &base64(3));
    let public = wg.ok("pubkey", &private);
    let expected = [
        format!("{}\t{}\t51820\t0x2a", private.trim(), public.trim()),
        format!("{one}\t{}\t192.0.2.1:7\t10.0.0.0/8,2001:db8::/32\t0\t0\t0\t25", base64(3)),
        format!("{two}\t(none)\t[2001:db8::9]:8\t10.2.0.0/16\t0\t0\t0\toff"),
    ];
    assert_eq!(wg.ok("show % dump", ""), expected.join("\n") + "\n");

    // A prefix moves to the one that asked last; the others stay.
    wg.ok(&format!("set % peer {two} allowed-ips 10.0.0.0/8"), "");
    assert_eq!(wg.dump()[1][3], "2001:db8::/32");
    assert_eq!(wg.dump()[2][3], "10.0.0.0/8");
    // An empty key unsets.
    wg.ok(&format!("set % private-key /dev/null fwmark off peer {one} preshared-key /dev/null remove"), "");
    assert_eq!(wg.dump()[0], ["(none)", "(none)", "51820", "off"]);
    assert_eq!(wg.dump()[1][0], two);
    assert_eq!(wg.dump().len(), 2);
}

/// PROTOCOL A10.7: times are absolute.
#[test]
fn counters_and_handshakes_are_shown() {
    let Some(wg) = Wg::start() else { return };
    wg.ok(&format!("set % peer {} allowed-ips ::/0", base64(1)), "");
    let mut state = wg.device.state();
    let peer = state.peers.get_mut(&[1; 32]).unwrap();
    peer.rx_bytes = u64::MAX;
    peer.tx_bytes = 5 << 30;
    peer.last_handshake = Some(Duration::new(1_700_000_000, 999_999_999));
    peer.endpoint = Some("[fe80::1%1]:9".parse().unwrap());
    drop(state);
    let peer = wg.dump().remove(1);
    assert_eq!(peer[4..7], ["1700000000", "18446744073709551615", "5368709120"]);
    assert_eq!(peer[2], "[fe80::1%lo]:9");
    let shown = wg.ok("show %", "");
    assert!(shown.contains("5.00 GiB sent"), "{shown}");
    assert!(shown.contains("ago"), "{shown}");
    // `wg` writes a scope as a name, and it comes back as the same number.
    wg.ok(&format!("set % peer {} endpoint [fe80::2%lo]:9", base64(1)), "");
    assert_eq!(wg.dump()[1][2], "[fe80::2%lo]:9");
}

#[test]
fn configurations_are_set_added_and_synced() {
    let Some(wg) = Wg::start() else { return };
    let peer = |byte, ips: &str| format!("[Peer]\nPublicKey = {}\nAllowedIPs = {ips}\n", base64(byte));
    let interface = format!("[Interface]\nPrivateKey = {}\nListenPort = 7\n", base64(0x48));
    let keys = |wg: &Wg| wg.dump().into_iter().skip(1).map(|peer| peer[0].clone()).collect::<Vec<_>>();

    wg.ok("setconf % /dev/stdin", &format!("{interface}{}{}", peer(1, "10.0.0.1/32"), peer(2, "10.0.0.2/32")));
    assert_eq!(keys(&wg), [base64(1), base64(2)]);
    wg.ok("addconf % /dev/stdin", &peer(3, "10.0.0.3/32, 2001:db8::3/128"));
    assert_eq!(keys(&wg), [base64(1), base64(2), base64(3)]);

    let mut state = wg.device.state();
    state.peers.get_mut(&[2; 32]).unwrap().rx_bytes = 77;
    drop(state);
    wg.ok(
        "syncconf % /dev/stdin",
        &format!("{interface}{}{}", peer(2, "10.0.0.2/32,10.9.0.0/16"), peer(4, "10.0.0.4/32")),
    );
    assert_eq!(keys(&wg), [base64(2), base64(4)]);
    let kept = wg.dump().remove(1);
    assert_eq!(kept[3], "10.0.0.2/32,10.9.0.0/16");
    assert_eq!(kept[5], "77", "a peer that stays is not made anew");

    // What it writes, it can read.
    let written = wg.ok("showconf %", "");
    assert!(written.contains("AllowedIPs = 10.0.0.4/32"), "{written}");
    let before = wg.dump();
    wg.ok("setconf % /dev/stdin", &written);
    let mut after = wg.dump();
    after[1][5] = "77".to_owned();
    assert_eq!(before, after);
    wg.ok("setconf % /dev/stdin", &interface);
    assert!(keys(&wg).is_empty());
}

#[test]
fn refusals_reach_the_user() {
    let Some(wg) = Wg::start() else { return };
    wg.ok("set % listen-port 9", "");
    let said = wg.fails("set % listen-port 1", "");
    assert!(said.contains("Address already in use"), "{said}");
    // More than the parser takes, so that it refuses long before the end of what `wg` sends.
    let mut conf = String::new();
    for number in 0..200_000_u32 {
        use base64::Engine;
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        let (high, low) = (number >> 16, number & 0xffff);
        conf += &format!("[Peer]\nPublicKey = {key}\nAllowedIPs = 2001:db8::{high:x}:{low:x}/128\n");
    }
    let said = wg.fails("setconf % /dev/stdin", &conf);
    assert!(said.contains("No space left on device"), "{said}");
    // Caught by `wg` itself, and nothing of it arrives.
    for key in ["not-base64", &format!("{}AA==", &base64(1)[..42]), &base64(1)[1..]] {
        wg.fails(&format!("set % peer {key} allowed-ips 10.0.0.0/8"), "");
    }
    let state = wg.device.state();
    assert_eq!((state.changes, state.device.listen_port, state.peers.len()), (1, 9, 0));
}

#[test]
fn other_users_are_refused_even_if_the_file_lets_them_in() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let Some(wg) = Wg::start() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root may become another user");
        return;
    }
    wg.ok("set % private-key /dev/stdin", &base64(1));
    let path = wg.server.path();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut stranger = Command::new("wg");
    stranger.args(["show", &wg.name, "private-key"]).uid(65534).gid(65534);
    let output = stranger.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(output.status.signal(), None, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Operation not permitted"), "{output:?}");
    assert!(wg.ok("show % private-key", "").starts_with(&base64(1)[..8]));
}
