//! The `wg` socket under abuse while packets flow (TESTING A26).

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options, Role, peer};
use crate::packets::{self, tag, tagged};
use crate::running::{Running, take};
use culvert::control::interface::WgDevice;
use culvert::control::uapi::{Limits, UapiServer};
use culvert::queue::sync::Arc;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What the socket says to one text, up to the blank line.
fn ask(path: &Path, text: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    answer(&mut stream)
}

fn answer(stream: &mut UnixStream) -> String {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\n\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {answer:?}");
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

/// All that `get` shows, but for what traffic changes.
fn configuration(path: &Path) -> String {
    let moves = ["rx_bytes=", "tx_bytes=", "last_handshake_time_"];
    let all = ask(path, "get=1\n\n");
    all.split_inclusive('\n').filter(|line| !moves.iter().any(|key| line.starts_with(key))).collect()
}

/// Everything that a client of the socket can do wrong; each set is refused with this number.
fn abuse(path: &Path) {
    let key = "ab".repeat(32);
    let mut many = String::from("replace_peers=true\n");
    for number in 0..100_000 {
        writeln!(many, "public_key={number:064x}").unwrap();
    }
    let sets = [
        // Base64, as in a configuration file; 33 bytes; 31; no hex.
        (format!("private_key=qrurq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\npublic_key={key}\n"), 22),
        (format!("private_key={key}ab\n"), 22),
        (format!("public_key={}\nremove=true\n", &key[2..]), 22),
        (format!("replace_peers=true\npublic_key={}zz\n", &key[2..]), 22),
        // A line of a megabyte, in a value and by itself.
        (format!("listen_port=1\nprivate_key={}\n", "a".repeat(1 << 20)), 90),
        (format!("listen_port=1\n{}\n", "a".repeat(1 << 20)), 90),
        // More peers than there may be: by the parser's bound, and by the interface's own.
        (many.clone(), 28),
        (many.lines().take(100).collect::<Vec<_>>().join("\n") + "\n", 28),
    ];
    for (body, errno) in &sets {
        assert_eq!(ask(path, &format!("set=1\n{body}\n")), format!("errno=-{errno}\n\n"));
    }
    // Half a line, and then nothing; and a thousand who never say a word.
    let mut half: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(path).unwrap()).collect();
    for stream in &mut half {
        stream.write_all(b"set=1\nreplace_peers=true\nlisten_po").unwrap();
    }
    let idle: Vec<UnixStream> = (0..1000).map(|_| UnixStream::connect(path).unwrap()).collect();
    assert!(ask(path, "get=1\n\n").ends_with("errno=0\n\n"), "somebody else waits for them");
    // Cut off in the middle of a body.
    drop(half);
    drop(idle);
}

/// TESTING A26: each is answered by an error, nothing of it is done, and no packet of a connected client is lost meanwhile.
#[test]
fn a_socket_under_abuse_changes_nothing_and_costs_no_packet() {
    let cores = vec![Role::Io, Role::Worker];
    let mut gw = Gateway::with(&Options { cores, pool: 16_384, ..Options::default() });
    let mut client = Client::new(1);
    gw.change_peer(culvert::control::change::PeerChange { persistent_keepalive: Some(25), ..peer(&client) });
    gw.connect(&mut client);
    gw.frames();
    let folder = tempfile::tempdir().unwrap();
    let device = Arc::new(WgDevice(Arc::clone(&gw.interface)));
    let never = Duration::from_secs(3600);
    let limits = Limits { connections: 64, idle: never, stall: never, operation: never, ..Limits::default() };
    let server = UapiServer::bind_with(folder.path(), "wg0", device, limits).unwrap();
    let path = server.path().to_owned();
    let before = configuration(&path);
    assert!(before.contains("persistent_keepalive_interval=25\n"), "{before}");
    let gw = Running::start(gw);
    let place = path.clone();
    let abuser = std::thread::spawn(move || abuse(&place));
    let (mut sent, mut tags, mut out) = (0_u32, Vec::new(), 0);
    while !abuser.is_finished() {
        let frame = client.data(&tagged(&client.inner(), HOST, sent, 96));
        gw.send(&gw.wan_rx[0], &frame);
        gw.send(&gw.lan_rx[0], &packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), sent, 96)));
        sent += 1;
        gw.wait("what is under way", || {
            tags.extend(take(&gw.lan_tx).iter().map(|f| tag(&f[14..])));
            out += take(&gw.wan_tx).len();
            sent as usize - tags.len().min(out) <= 256
        });
    }
    abuser.join().unwrap();
    gw.wait("the rest", || {
        tags.extend(take(&gw.lan_tx).iter().map(|f| tag(&f[14..])));
        out += take(&gw.wan_tx).len();
        tags.len().min(out) == sent as usize
    });
    assert_eq!(tags, (0..sent).collect::<Vec<_>>());
    assert_eq!(configuration(&path), before);
    drop(server);
    gw.finish();
}

/// PROTOCOL A10.3, A10.4: what is set is shown by `get`, by the real interface.
/// PROTOCOL A10.7: the private key is shown.
/// PROTOCOL A10.5: an error anywhere leaves all as it was.
#[test]
fn what_is_set_is_shown() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    gw.frames();
    let folder = tempfile::tempdir().unwrap();
    let device = Arc::new(WgDevice(Arc::clone(&gw.interface)));
    let server = UapiServer::bind(folder.path(), "wg0", device).unwrap();
    let path = server.path();
    let of = |byte: u8| format!("{byte:02x}").repeat(32);
    let key: String = client.key().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = format!(
        "fwmark=42\npublic_key={}\npreshared_key={}\nendpoint=[2001:db8::1]:7\npersistent_keepalive_interval=9\n\
         replace_allowed_ips=true\nallowed_ip=10.9.0.0/16\nallowed_ip=fd09::/64\nprotocol_version=1\n\
         public_key={}\nupdate_only=true\nallowed_ip=10.8.0.0/16\n",
        key,
        of(2),
        of(3),
    );
    assert_eq!(ask(path, &format!("set=1\n{body}\n")), "errno=0\n\n");
    let shown = ask(path, "get=1\n\n");
    for line in [
        format!("private_key={}", of(0xaa)),
        "listen_port=51820".into(),
        "fwmark=42".into(),
        format!("public_key={key}"),
        format!("preshared_key={}", of(2)),
        "endpoint=[2001:db8::1]:7".into(),
        "persistent_keepalive_interval=9".into(),
        "allowed_ip=10.9.0.0/16".into(),
        "allowed_ip=fd09::/64".into(),
        "rx_bytes=180".into(),
        "tx_bytes=92".into(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    assert!(!shown.contains(&of(3)), "update_only made a peer");
    let sec = shown.lines().filter_map(|l| l.strip_prefix("last_handshake_time_sec=")).next_back().unwrap();
    assert_eq!(sec.parse::<u64>().unwrap() / 1_000_000, 1_800, "absolute, since the Unix epoch");
    // One prefix goes; an error at the end undoes what stood before it.
    let minus = format!("set=1\npublic_key={key}\nallowed_ip=-10.9.0.0/16\n\n");
    assert_eq!(ask(path, &minus), "errno=0\n\n");
    let shown = configuration(path);
    assert!(!shown.contains("10.9.0.0/16") && shown.contains("fd09::/64"));
    for bad in ["nonsense=1", "remove=false", "allowed_ip=10.0.0.0/33"] {
        let text = format!("set=1\nfwmark=1\npublic_key={key}\nremove=true\npublic_key={}\n{bad}\n\n", of(4));
        assert_eq!(ask(path, &text), "errno=-22\n\n", "{bad}");
        assert_eq!(configuration(path), shown);
    }
    drop(server);
    gw.settle();
    gw.frames();
    gw.finish();
}
