//! Peers of a running gateway are added, changed and removed by `culvert`, beside `wg`; the others do not notice.

use crate::answers::{culvert, json, refusal, text};
use crate::client::Client;
use crate::rig::{Options, Rig};
use culvert::config::keys::to_base64;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// A client that is connected as the peer `laptop` of the peers file, and a gateway that has room for two more.
fn rig() -> (Rig, Client) {
    let mut client = Client::new(1);
    let (key, inner) = (to_base64(&client.key()), client.inner());
    let peers = format!("[Peer]\n# friendly_name = laptop\nPublicKey = {key}\nAllowedIPs = {inner}/32\n");
    let mut rig = Rig::new(&Options { peers, max_peers: 3, ..Options::default() });
    rig.connect(&mut client, 0);
    (rig, client)
}

/// A file beside the gateway's own, for its owner alone.
fn file(rig: &Rig, name: &str, text: &str, mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = rig.folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// What the `wg` socket tells, as `wg show wg0 dump` would.
fn dump(rig: &Rig) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(rig.folder.path().join("wireguard/wg0.sock")).unwrap();
    stream.write_all(b"get=1\n\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_peer_is_added_changed_and_removed_while_another_talks() {
    let (mut rig, mut client) = rig();
    let socket = rig.folder.path().join("culvert.sock");
    let psk = file(&rig, "psk", &format!("{}\n", to_base64(&[0x5a; 32])), 0o600);
    let key = to_base64(&[7; 32]);
    let run = move |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_culvert"));
        let output = command.arg("--json").arg("--socket").arg(&socket).args(line.split(' ')).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let handshake = json(&rig, "show peer laptop detail")["sessions"].clone();
    let sent = rig.traffic_during(&mut client, || {
        for _ in 0..5 {
            let added = run(&format!(
                "peer add {key} name desk allowed-ips 10.50.0.7/16,fd00:50::/32 endpoint 192.0.2.77:51820 keepalive 25 \
                 preshared-key-file {}",
                psk.display()
            ));
            assert_eq!(
                added["change"],
                json!({
                    "done": "added", "interface": "wg0", "name": "desk", "public_key": key, "preshared_key": true,
                    "endpoint": "192.0.2.77:51820", "allowed_ips": ["10.50.0.0/16", "fd00:50::/32"], "persistent_keepalive": "25",
                })
            );
            assert_eq!(added["moved"], json!([]));
            let changed = run("peer set desk allowed-ips -fd00:50::/32,+10.51.0.0/16 keepalive off name tower");
            assert_eq!(changed["change"]["allowed_ips"], json!(["10.50.0.0/16", "10.51.0.0/16"]));
            assert_eq!(changed["change"]["persistent_keepalive"], "off");
            assert_eq!(changed["change"]["endpoint"], "192.0.2.77:51820", "not named: as it was");
            assert_eq!(changed["change"]["preshared_key"], true);
            let removed = run("peer remove tower");
            assert_eq!(removed["change"]["done"], "removed");
        }
    });
    assert!(sent > 100, "{sent}");
    let sessions = json(&rig, "show peer laptop detail")["sessions"].clone();
    assert_eq!(sessions[0]["local_index"], handshake[0]["local_index"], "no new handshake");
    rig.finish();
}

/// What `wg` sees is what was said, the preshared key included; and what `wg` sets is seen here.
#[test]
fn wg_and_culvert_see_each_others_changes() {
    let (rig, client) = rig();
    let key = to_base64(&[7; 32]);
    let psk = file(&rig, "psk", &to_base64(&[0x5a; 32]), 0o600);
    text(&rig, &format!("peer add {key} allowed-ips 10.50.0.0/16 preshared-key {}", psk.display()));
    let shown = dump(&rig);
    assert!(shown.contains(&format!("preshared_key={}\n", "5a".repeat(32))), "{shown}");
    assert!(shown.contains("allowed_ip=10.50.0.0/16\n"), "{shown}");
    let hex = "07".repeat(32);
    crate::rig::uapi(
        rig.folder.path(),
        &format!("public_key={hex}\nallowed_ip=10.52.0.0/16\npersistent_keepalive_interval=9\n"),
    );
    let peer = json(&rig, "show peer 10.52.1.1")["peer"].clone();
    assert_eq!((&peer["public_key"], &peer["persistent_keepalive"]), (&json!(key), &json!("9")));
    // An empty file takes the key away, and the prefix goes to whom was said last.
    let none = file(&rig, "none", "", 0o600);
    let taken =
        json(&rig, &format!("peer set {key} preshared-key-file {} allowed-ips {}/32", none.display(), client.inner()));
    assert_eq!(taken["change"]["preshared_key"], false);
    assert_eq!(
        taken["moved"],
        json!([{ "prefix": format!("{}/32", client.inner()), "name": "laptop", "public_key": to_base64(&client.key()) }])
    );
    assert!(text(&rig, &format!("peer set {key} name thief")).starts_with("peer           changed\n"));
    crate::rig::uapi(rig.folder.path(), &format!("public_key={hex}\nremove=true\n"));
    assert!(refusal(&rig, "peer remove thief").contains("no peer has the key or the name \"thief\""));
    rig.finish();
}

#[test]
fn what_cannot_be_is_refused_with_its_mend_and_changes_nothing() {
    let (rig, client) = rig();
    let configured = |rig: &Rig| -> String {
        let counted = |line: &&str| line.contains("bytes") || line.contains("handshake");
        dump(rig).lines().filter(|line| !counted(line)).collect::<Vec<_>>().join("\n")
    };
    let before = configured(&rig);
    let own = to_base64(crate::harness::server_identity().public_key());
    let (laptop, key) = (to_base64(&client.key()), to_base64(&[7; 32]));
    let open = file(&rig, "open", &to_base64(&[0x5a; 32]), 0o644);
    let wrong = file(&rig, "wrong", "not a key", 0o600);
    for (line, said) in [
        ("peer set laptob name x".to_owned(), "no peer has the key or the name \"laptob\"; did you mean laptop?"),
        (format!("peer remove {}", &laptop[..12]), &*format!("did you mean {laptop}?")),
        (format!("peer remove {key}"), "no peer has the key"),
        ("peer set laptop".to_owned(), "nothing is said to change"),
        (format!("peer add {laptop} allowed-ips 10.1.0.0/16"), "already: peer set changes it"),
        (format!("peer add {own} allowed-ips 10.1.0.0/16"), "is the key of wg0 itself"),
        (format!("peer add {key}"), "say allowed-ips PREFIXES"),
        (format!("peer add {key} allowed-ips 10.1.0.0/33"), "\"10.1.0.0/33\" is not a prefix"),
        (format!("peer add {key} allowed-ips +10.1.0.0/16,10.2.0.0/16"), "+ or - before each prefix"),
        (
            format!("peer add {key} allowed-ips 10.1.0.0/16 endpoint vpn.example.org:51820"),
            "getent ahosts vpn.example.org",
        ),
        (format!("peer add {key} allowed-ips 10.1.0.0/16 name laptop"), "is called \"laptop\" already"),
        (format!("peer add {key} allowed-ips 10.1.0.0/16 interface wg7"), "there are: wg0"),
        (format!("peer add {key} allowed-ips 10.1.0.0/16 keepalive 65536"), "65535 s at most"),
        (format!("peer add {key} allowed-ips 10.1.0.0/16 preshared-key-file {}", open.display()), "chmod 600"),
        (
            format!("peer add {key} allowed-ips 10.1.0.0/16 preshared-key-file {}", wrong.display()),
            "make one with wg genpsk",
        ),
        (
            format!("peer set laptop preshared-key-file {}", to_base64(&[0x5a; 32])),
            "that is a key, not the name of a file",
        ),
        (format!("peer set laptop allowed-ips {}", "10.0.0.0/8,".repeat(500)), "4096 bytes at most"),
    ] {
        let refused = refusal(&rig, &line);
        assert!(refused.contains(said), "{line}: {refused}");
        assert!(!refused.contains(&to_base64(&[0x5a; 32])), "{refused}");
    }
    let usage = culvert(&rig, "peer add AAAA allowed-ips 10.1.0.0/16");
    assert_eq!(usage.status.code(), Some(2));
    // The table is full at three.
    for n in 1..3 {
        text(&rig, &format!("peer add {} allowed-ips 10.6{n}.0.0/16", to_base64(&[n; 32])));
    }
    let full = refusal(&rig, &format!("peer add {key} allowed-ips 10.1.0.0/16"));
    assert!(full.contains("4 peers, but max_peers is 3") && full.contains("restart culvertd"), "{full}");
    for n in 1..3 {
        text(&rig, &format!("peer remove {}", to_base64(&[n; 32])));
    }
    assert_eq!(configured(&rig), before);
    rig.finish();
}
