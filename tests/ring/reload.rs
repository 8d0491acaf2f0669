//! Files are read again while packets flow: what is alike is not touched, what is wrong changes nothing.

use crate::answers::{json, refusal, text};
use crate::client::Client;
use crate::rig::{Options, Rig, uapi};
use culvert::config::keys::to_base64;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A `[Peer]` of the file.
fn section(name: &str, key: [u8; 32], more: &str) -> String {
    format!("[Peer]\n# friendly_name = {name}\nPublicKey = {}\n{more}\n", to_base64(&key))
}

fn laptop(client: &Client) -> String {
    section("laptop", client.key(), &format!("AllowedIPs = {}/32", client.inner()))
}

/// A connected client, and the peers of keys 2 to 5 beside it.
fn rig() -> (Rig, Client) {
    let mut client = Client::new(1);
    let others: String =
        (2..6).map(|n| section(&format!("p{n}"), [n; 32], &format!("AllowedIPs = 10.5{n}.0.0/16"))).collect();
    let mut rig = Rig::new(&Options { peers: laptop(&client) + &others, ..Options::default() });
    rig.connect(&mut client, 0);
    (rig, client)
}

fn peers_file(rig: &Rig) -> PathBuf {
    rig.folder.path().join("wg0.conf")
}

/// Rows as `removed p2: what`.
fn rows(answer: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let what: Vec<_> = row["what"].as_array().unwrap().iter().map(|what| what.as_str().unwrap()).collect();
        format!("{} {}: {}", row["becomes"].as_str().unwrap(), row["name"].as_str().unwrap_or("-"), what.join(", "))
    };
    answer["peers"].as_array().unwrap().iter().map(row).collect()
}

fn sessions(rig: &Rig) -> Value {
    let detail = json(rig, "show peer laptop detail");
    json!([detail["sessions"][0]["local_index"], detail["peer"]["endpoint"]])
}

/// Peers come, change and go; one by a socket goes too, and is named; a connected one loses no packet and makes no handshake.
#[test]
fn a_reload_changes_what_differs_and_nothing_else() {
    let (mut rig, mut client) = rig();
    assert_eq!(rows(&json(&rig, "config diff")), [""; 0]);
    let before = sessions(&rig);
    let file = rig.folder.path().join("wg0.conf");
    let socket = rig.folder.path().join("culvert.sock");
    let culvert = move |line: &str| -> Value {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_culvert"));
        let output = command.arg("--json").arg("--socket").arg(&socket).args(line.split(' ')).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    culvert(&format!("peer add {} name guest allowed-ips 10.60.0.0/16", to_base64(&[9; 32])));
    culvert("peer set p3 keepalive 7");
    let changed = [
        laptop(&client),
        section("p3", [3; 32], "AllowedIPs = 10.53.0.0/16"),
        section("four", [4; 32], "AllowedIPs = 10.54.1.0/24, 10.52.0.0/16\nEndpoint = 192.0.2.9:7\nPresharedKey = BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        section("p5", [5; 32], "AllowedIPs = 10.55.0.0/16"),
        section("p6", [6; 32], "AllowedIPs = 10.56.0.0/16"),
    ]
    .concat();
    std::fs::write(&file, &changed).unwrap();
    let expected = [
        "removed guest: it came by a socket",
        "removed p2: ",
        "changed p3: keepalive",
        "changed four: name, preshared key, endpoint, allowed ips",
        "added p6: ",
    ];
    let sent = rig.traffic_during(&mut client, || {
        let diff = culvert("config diff");
        assert_eq!(rows(&diff), expected);
        assert_eq!(culvert("show peers")["count"]["peers"], 6, "a look changes nothing");
        let done = culvert("reload");
        assert_eq!(rows(&done), expected);
        assert_eq!(
            done["difference"],
            json!({ "added": 1, "changed": 2, "removed": 2, "removed_by_socket": 1, "kept": 0, "unchanged": 2, "shown": 5 })
        );
        assert_eq!(rows(&culvert("reload")), [""; 0], "the same again changes nothing");
    });
    assert!(sent > 32, "{sent}");
    assert_eq!(sessions(&rig), before);
    let four = json(&rig, "show peer four")["peer"].clone();
    assert_eq!((&four["preshared_key"], &four["endpoint"]), (&json!(true), &json!("192.0.2.9:7")));
    assert_eq!(json(&rig, "show lookup 10.52.1.1")["lookup"]["peer"], "four");
    assert!(refusal(&rig, "show peer p2").contains("no peer"));

    // Taken from the file again; the client's own endpoint was never in it, so where it is stays.
    std::fs::write(&file, laptop(&client)).unwrap();
    text(&rig, &format!("peer add {} name guest allowed-ips 10.60.0.0/16", to_base64(&[9; 32])));
    let kept = json(&rig, "reload --keep");
    assert_eq!(rows(&kept)[4..], ["kept guest: it came by a socket"]);
    assert_eq!((&kept["difference"]["removed"], &kept["difference"]["kept"]), (&json!(4), &json!(1)));
    assert_eq!(json(&rig, "show peers")["count"]["peers"], 2);
    assert_eq!(sessions(&rig), before);
    rig.finish();
}

/// `wg` and the files: what `wg` adds came by a socket; what it changes of a peer of the file is changed back.
#[test]
fn what_wg_set_is_a_difference() {
    let (rig, _) = rig();
    uapi(rig.folder.path(), &format!("public_key={}\nallowed_ip=10.61.0.0/16\n", "09".repeat(32)));
    uapi(rig.folder.path(), &format!("public_key={}\nupdate_only=true\nallowed_ip=10.62.0.0/16\n", "02".repeat(32)));
    uapi(rig.folder.path(), "listen_port=51900\nfwmark=7\n");
    let diff = json(&rig, "config diff");
    assert_eq!(rows(&diff), ["removed -: it came by a socket", "changed p2: allowed ips"]);
    let port = json!({ "setting": "wg0 listen port", "was": "51900", "now": "51820", "when": "at a reload" });
    assert_eq!(diff["settings"], json!([port]));
    // A file that names it makes it the file's.
    let named = section("nine", [9; 32], "AllowedIPs = 10.61.0.0/16");
    let whole = std::fs::read_to_string(peers_file(&rig)).unwrap() + &named;
    std::fs::write(peers_file(&rig), whole.replace("10.52.0.0/16", "10.52.0.0/16, 10.62.0.0/16")).unwrap();
    assert_eq!(rows(&json(&rig, "reload")), ["changed nine: name"]);
    assert_eq!(json(&rig, "show interface")["interfaces"][0]["listen_ports"], json!([51820]));
    std::fs::write(peers_file(&rig), whole.replace(&named, "")).unwrap();
    assert_eq!(
        rows(&json(&rig, "reload --keep")),
        ["removed nine: ", "changed p2: allowed ips"],
        "it is no socket's any more"
    );
    rig.finish();
}

/// Each names its file and line, exits 1, and leaves all as it was.
#[test]
fn an_error_in_any_file_changes_nothing() {
    let (rig, client) = rig();
    let (file, main) = (peers_file(&rig), rig.folder.path().join("culvert.toml"));
    let (peers, config) = (std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&main).unwrap());
    let peers_now = |rig: &Rig| {
        let mut peers = json(rig, "show peers")["peers"].clone();
        peers.as_array_mut().unwrap().iter_mut().for_each(|peer| peer["last_handshake_ms"] = Value::Null);
        peers
    };
    let before = peers_now(&rig);
    let (shown_file, shown_main) = (file.display().to_string(), main.display().to_string());
    let numbered = |n: u32| {
        let mut key = [0x40; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        section("many", key, &format!("AllowedIPs = 10.{}.{}.0/24", 100 + n / 200, n % 200))
    };
    let many: String = (0..300).map(numbered).collect();
    for (peers, config, said) in [
        (laptop(&client) + "[Peer]\nPublicKey = x\n", config.clone(), format!("{shown_file}:6: [Peer]: PublicKey")),
        (many, config.clone(), format!("{shown_file}: 300 peers, but max_peers is 256")),
        (laptop(&client), format!("{config}mtu = 7\n"), format!("{shown_main}:")),
        (laptop(&client), config.replace("wg0.key", "no.key"), "no.key: there is no such file".to_owned()),
    ] {
        std::fs::write(&file, &peers).unwrap();
        std::fs::write(&main, &config).unwrap();
        for command in ["reload", "reload --keep"] {
            let refused = refusal(&rig, command);
            assert!(refused.contains(&said), "{refused}");
        }
    }
    assert_eq!(peers_now(&rig), before);
    std::fs::write(&file, &peers).unwrap();
    std::fs::write(&main, &config).unwrap();
    assert_eq!(rows(&json(&rig, "reload")), [""; 0]);
    rig.finish();
}

/// Settings that a running gateway cannot change are named, and stay a difference; the key and the first port change.
#[test]
fn settings_are_changed_or_named() {
    let (rig, _) = rig();
    let main = rig.folder.path().join("culvert.toml");
    let config = std::fs::read_to_string(&main).unwrap();
    let changed = config
        .replace("max_peers = 256", "max_peers = 255\nlisten_ports = [51999]")
        .replace("queues = 2", "queues = 1");
    std::fs::write(&main, changed.replace("wg0.key", "new.key")).unwrap();
    let key = rig.folder.path().join("new.key");
    std::fs::write(&key, to_base64(&[0xbb; 32])).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    let settings = |answer: &Value| -> Vec<String> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let all = answer["settings"].as_array().unwrap().iter();
        all.map(|row| format!("{}: {}", text(row, "setting"), text(row, "when"))).collect()
    };
    let restart = ["[[interface]] wg0 max_peers", "[[port]] lan queues", "[[port]] wan queues"]
        .map(|s| format!("{s}: restart culvertd"));
    let live = [
        "[[interface]] wg0 listen_ports: at a reload",
        "[[interface]] wg0 private_key_file: at a reload",
        "wg0 public key: at a reload",
        "wg0 listen port: at a reload",
    ];
    let mut first = settings(&json(&rig, "reload"));
    first.sort();
    let mut all: Vec<String> = restart.iter().cloned().chain(live.map(str::to_owned)).collect();
    all.sort();
    assert_eq!(first, all);
    let interface = json(&rig, "show interface")["interfaces"][0].clone();
    let public = to_base64(culvert::noise::Identity::new(&[0xbb; 32]).public_key());
    assert_eq!((&interface["listen_ports"], &interface["public_key"]), (&json!([51999]), &json!(public)));
    assert_eq!(settings(&json(&rig, "config diff")), restart);
    // By another file, with a path from here.
    std::fs::write(rig.folder.path().join("other.toml"), config).unwrap();
    let other = settings(&json(&rig, &format!("config diff {}/other.toml", rig.folder.path().display())));
    assert!(other.iter().any(|row| row.starts_with("wg0 public key")) && other.len() == 4, "{other:?}");
    assert!(refusal(&rig, "config diff /no/such.toml").contains("/no/such.toml: there is no such file"));
    rig.finish();
}

/// Clients shake hands, and pass a packet, while many peers come, change and go by a reload: nobody waits for the whole of it.
#[test]
fn handshakes_go_on_while_many_peers_are_reloaded() {
    let strangers = if std::env::var_os("CULVERT_LONG").is_some() { 100_000 } else { 10_000 };
    // Not 170, whose key is the gateway's own.
    let mut clients: Vec<Client> = (1..=160).map(Client::new).collect();
    let known: String = clients.iter().map(laptop).collect();
    let stranger = |n: u32, keepalive: u32| {
        let mut key = [0x40; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        section("stranger", key, &format!("AllowedIPs = fd02::{n:x}/128\nPersistentKeepalive = {keepalive}"))
    };
    let set = |from: u32, keepalive: u32| (from..from + strangers).map(|n| stranger(n, keepalive)).collect::<String>();
    let peers = set(0, 0) + &known;
    let mut rig = Rig::new(&Options { peers, max_peers: strangers * 2 + 160, ..Options::default() });
    // A tenth goes, a tenth comes, all others change.
    std::fs::write(peers_file(&rig), set(strangers / 10, 9) + &known).unwrap();
    let socket = rig.folder.path().join("culvert.sock");
    let reload = std::thread::spawn(move || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_culvert"));
        let output = command.args(["--json", "reload", "--socket"]).arg(socket).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    });
    let (mut longest, mut connected) = (std::time::Duration::ZERO, 0);
    for client in &mut clients {
        let began = std::time::Instant::now();
        rig.connect(client, 0);
        longest = longest.max(began.elapsed());
        if reload.is_finished() {
            break;
        }
        connected += 1;
    }
    let done = reload.join().unwrap();
    let tenth = strangers / 10;
    assert_eq!(
        done["difference"],
        json!({
            "added": tenth, "changed": strangers - tenth, "removed": tenth, "removed_by_socket": 0, "kept": 0,
            "unchanged": 160, "shown": 1000,
        })
    );
    let took = done["reload"]["took_ms"].as_u64().unwrap();
    eprintln!(
        "{strangers} peers reloaded in {took} ms; {connected} handshakes meanwhile, the longest with its packet {longest:?}"
    );
    assert!(connected > 3, "only {connected} handshakes in {took} ms");
    rig.finish();
}
