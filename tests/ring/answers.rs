//! What a running gateway answers: the program `culvert` asks it over its socket, and what it says is held against what the test knows.

use crate::client::Client;
use crate::packets::tagged;
use crate::rig::{HOST, Options, Rig, Source, lan_frame};
use culvert::config::keys::to_base64;
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

pub fn culvert(rig: &Rig, line: &str) -> Output {
    let socket = rig.folder.path().join("culvert.sock");
    Command::new(env!("CARGO_BIN_EXE_culvert")).arg("--socket").arg(socket).args(line.split(' ')).output().unwrap()
}

/// What it writes for people.
pub fn text(rig: &Rig, line: &str) -> String {
    let output = culvert(rig, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn json(rig: &Rig, line: &str) -> Value {
    serde_json::from_str(&text(rig, &format!("--json {line}"))).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// What it writes when it fails.
pub fn refusal(rig: &Rig, line: &str) -> String {
    let output = culvert(rig, line);
    assert_eq!(output.status.code(), Some(1), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

/// A gateway with one peer that has a name and a session, and one that has neither; so many packets went each way.
fn rig(packets: u32) -> (Rig, Client) {
    let mut client = Client::new(1);
    let (key, other) = (to_base64(&client.key()), to_base64(&[7; 32]));
    let inner = client.inner();
    let peers = format!(
        "[Peer]\n# friendly_name = laptop\nPublicKey = {key}\nAllowedIPs = {inner}/32, 10.77.0.0/16\n\
         [Peer]\nPublicKey = {other}\nAllowedIPs = 10.99.0.0/16\n"
    );
    let mut rig = Rig::new(&Options { peers, ..Options::default() });
    rig.connect(&mut client, 0);
    let (inward, outward): (Vec<_>, Vec<_>) = (0..packets)
        .map(|n| (client.data(&tagged(&inner, HOST, n, 96)), lan_frame(&tagged(HOST, &inner, n, 96))))
        .unzip();
    rig.blast(vec![Source::outer(0, inward), Source::inner(0, outward)], |_, _, _| ());
    (rig, client)
}

/// The paths of an answer's values: `rows[].name`.
fn paths(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().for_each(|(key, value)| {
            let dot = if at.is_empty() { "" } else { "." };
            paths(value, &format!("{at}{dot}{key}"), all);
        }),
        Value::Array(rows) if rows.iter().any(Value::is_object) => {
            rows.iter().for_each(|row| paths(row, &format!("{at}[]"), all));
        }
        _ => drop(all.insert(at.to_owned())),
    }
}

/// Every command of the reference that asks a gateway is asked here, and its JSON has the keys that the reference names: no other, and all.
#[test]
fn answers_have_the_keys_that_the_reference_names() {
    culvert::gateway::logs::init(culvert::config::LogFormat::Text);
    let (mut rig, mut client) = rig(10);
    let key = to_base64(&client.key());
    // One that comes twice.
    let twice = client.data(&tagged(&client.inner(), HOST, 11, 96));
    rig.blast(vec![Source::outer(0, [twice.clone(), twice])], |_, _, _| ());
    let reference = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/COMMANDS.md")).unwrap();
    let mut asked = 0;
    for chapter in reference.split("\n### `").skip(1) {
        let (usage, rest) = chapter.split_once('`').unwrap();
        let Some(keys) = rest.split("\nKeys: ").nth(1).map(|keys| keys.lines().next().unwrap()) else { continue };
        let named: BTreeSet<&str> = keys.split('`').skip(1).step_by(2).collect();
        let line = usage
            .split(" [")
            .next()
            .unwrap()
            .replace("PORT|all", "all")
            .replace("on|off", "on")
            .replace("link-up|link-down", "link-up");
        let line = line.replace("off|error|warn|info|debug|trace", "info");
        // A prefix of the other peer's, so that one is taken.
        let line = match line.as_str() {
            "peer add KEY" => {
                format!("peer add {} allowed-ips 10.99.1.0/24,10.99.0.0/16 name new", to_base64(&[8; 32]))
            }
            "peer set PEER" => "peer set new allowed-ips +10.77.0.0/16".to_owned(),
            "peer remove PEER" => "peer remove new".to_owned(),
            "config diff" | "reload" => {
                // A new peer whose preshared key everybody may read, and more room.
                let (file, main) = (rig.folder.path().join("wg0.conf"), rig.folder.path().join("culvert.toml"));
                let psk = to_base64(&[7; 32]);
                let peer = format!("[Peer]\nPublicKey = {}\nPresharedKey = {psk}\n", to_base64(&[6; 32]));
                std::fs::write(&file, peer).unwrap();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
                let config = std::fs::read_to_string(&main).unwrap().replace("max_peers = 256", "max_peers = 257");
                std::fs::write(&main, config).unwrap();
                line
            }
            "trace add N" => "trace add 7".to_owned(),
            _ => line,
        };
        let line = line.replace("PEER", &format!("{key} detail")).replace("ADDRESS", &client.inner());
        let line = line.replace("FILE", &rig.folder.path().join("f.pcapng").to_string_lossy());
        let line = if line == "show drops" { "show drops all".to_owned() } else { line };
        let mut there = BTreeSet::new();
        paths(&json(&rig, &line), "", &mut there);
        let holds = |path: &str, key: &str| {
            path == key || path.starts_with(&format!("{key}.")) || path.starts_with(&format!("{key}["))
        };
        for path in &there {
            let is_documented = |key: &&str| holds(path, key) || key.starts_with(&format!("{path}[]."));
            let documented = named.iter().any(is_documented);
            assert!(documented, "{line}: {path} is not in COMMANDS.md");
        }
        for key in named {
            // There is nothing to find about a peer that works, and nothing comes to be traced.
            let is_empty = ["findings", "steps"]
                .iter()
                .any(|list| key.starts_with(&format!("{list}[].")) && there.contains(*list));
            assert!(is_empty || there.iter().any(|path| holds(path, key)), "{line}: no {key} in {there:?}");
        }
        // Those say nothing, or cannot be done again.
        let silent = ["set ", "clear ", "peer ", "capture ", "trace "].iter().any(|word| line.starts_with(word));
        assert!(silent || !text(&rig, &line).is_empty(), "{line}");
        asked += 1;
    }
    assert!(asked > 25, "{asked}");
    rig.finish();
}

#[test]
fn ports_count_as_the_far_ends_do_and_a_clear_touches_only_what_is_shown() {
    let (rig, _) = rig(500);
    let sum = |answer: &Value, list: &str, key: &str| -> u64 {
        answer[list].as_array().unwrap().iter().map(|row| row[key].as_u64().unwrap()).sum()
    };
    let before = rig.account();
    let stats = json(&rig, "show port stats all");
    assert_eq!(sum(&stats, "port_stats", "rx_packets"), before.rx);
    assert_eq!(sum(&stats, "port_stats", "tx_packets"), before.tx);
    let forwarded = json(&rig, "show fwd stats all");
    assert_eq!(forwarded["fwd_total"]["rx_packets"], before.rx);
    let wan = text(&rig, "sh po st wan");
    assert!(wan.contains("NIC statistics for port 0 ") && !wan.contains("port 1"), "{wan}");
    assert_eq!(json(&rig, "show port summary lan")["port_summary"][0]["port"], 1);
    assert!(refusal(&rig, "show port stats 7").contains("there is no port \"7\"; there are: 0 (wan), 1 (lan)"));

    assert_eq!(
        text(&rig, "clear port stats all"),
        "\n  NIC statistics for port 0 cleared\n\n  NIC statistics for port 1 cleared\n"
    );
    assert_eq!(sum(&json(&rig, "show port stats all"), "port_stats", "rx_packets"), 0);
    for row in json(&rig, "show port xstats all")["port_xstats"].as_array().unwrap() {
        assert!(row["counters"].as_array().unwrap().iter().all(|counter| counter["value"] == 0), "{row}");
    }
    text(&rig, "clear fwd stats all");
    assert_eq!(json(&rig, "show fwd stats all")["fwd_total"]["tx_packets"], 0);
    assert_eq!(rig.account(), before, "the laws' own");

    assert_eq!(json(&rig, "show port info wan")["port_info"][0]["promiscuous"], true, "as net_ring comes");
    text(&rig, "set promisc wan off");
    let info = text(&rig, "show port info wan");
    assert!(info.contains("Promiscuous mode: disabled\n") && info.contains("Port in culvert: wan, outer\n"), "{info}");
    rig.finish();
}

#[test]
fn peers_are_found_by_key_name_and_address() {
    let (mut rig, mut client) = rig(20);
    let key = to_base64(&client.key());
    for peer in [key.as_str(), &key[..8], "laptop", &client.inner(), "10.77.1.2"] {
        let answer = json(&rig, &format!("show peer {peer}"));
        assert_eq!(
            (&answer["peer"]["public_key"], &answer["peer"]["name"]),
            (&Value::from(&*key), &Value::from("laptop"))
        );
        assert_eq!(answer["peer"]["state"], "connected");
    }
    let answer = json(&rig, "show peer laptop detail");
    assert_eq!(answer["peer"]["endpoint"], client.at.to_string());
    assert_eq!(answer["sessions"][0]["slot"], "current");
    assert!(refusal(&rig, "show peer 10.9.9.9").contains("no peer's allowed ips hold 10.9.9.9"));
    assert!(refusal(&rig, "show peer desktop").contains("no peer has the key or the name \"desktop\""));
    // Never a session, never an endpoint.
    let other = text(&rig, "show peer 10.99.0.1 detail");
    assert!(other.contains("never connected") && other.contains("its endpoint is not known"), "{other}");

    let all = json(&rig, "show peers");
    assert_eq!(all["count"], serde_json::json!({ "shown": 2, "matching": 2, "peers": 2 }));
    assert_eq!(all["peers"][0]["name"], "laptop", "the latest handshake first");
    let some = json(&rig, "show peers match ^10.99 limit 5 sort tx interface wg0");
    assert_eq!(some["count"], serde_json::json!({ "shown": 1, "matching": 1, "peers": 2 }));
    assert_eq!(json(&rig, "show peers limit 1")["count"]["shown"], 1);
    // Rates are those since somebody asked for them.
    assert_eq!((&all["peers"][0]["rx_bps"], text(&rig, "show peers").contains("receives")), (&Value::Null, false));
    assert_eq!(json(&rig, "show peers sort rate")["peers"][1]["tx_bps"], 0);
    rig.blast(vec![Source::outer(0, vec![client.data(&tagged(&client.inner(), HOST, 99, 1000))])], |_, _, _| ());
    std::thread::sleep(std::time::Duration::from_millis(600));
    let fast = json(&rig, "show peers sort rate")["peers"][0].clone();
    assert!(fast["name"] == "laptop" && fast["rx_bps"].as_u64().unwrap() > 0, "{fast}");
    assert!(text(&rig, "show peers sort rate").contains("bit/s"));
    assert!(refusal(&rig, "show peers limit 10001").contains("10000 at most"));
    assert!(refusal(&rig, "show peers interface wg7").contains("there are: wg0"));
    assert_eq!(text(&rig, "show peers match nobody").lines().next(), Some("No such peer."));
    let total = json(&rig, "show peers summary")["total"].clone();
    assert_eq!((&total["peers"], &total["connected"], &total["never"]), (&2.into(), &1.into(), &1.into()));

    let lookup = json(&rig, "show lookup 10.77.3.4")["lookup"].clone();
    assert_eq!((&lookup["peer"], &lookup["prefix"]), (&"laptop".into(), &"10.77.0.0/16".into()));
    assert_eq!(lookup["goes"], "into a tunnel");
    rig.drain(|_, _, _| ());
    rig.finish();
}

/// The data path asks for its own addresses before it asks whose allowed ips hold one, and never for the outer side's routes.
#[test]
fn a_lookup_keeps_the_order_of_the_data_path() {
    let peers = format!("[Peer]\nPublicKey = {}\nAllowedIPs = 0.0.0.0/0\n", to_base64(&[7; 32]));
    let rig = Rig::new(&Options { peers, ..Options::default() });
    let lookup = |address: &str| json(&rig, &format!("show lookup {address}"))["lookup"].clone();
    let own = lookup("10.0.0.1");
    assert_eq!((&own["goes"], &own["peer"]), (&"to culvert itself: its address on port lan".into(), &Value::Null));
    // A host of the inner subnet is a peer's if its allowed ips say so.
    for address in ["10.0.0.9", "192.0.2.77"] {
        let far = lookup(address);
        assert_eq!((&far["goes"], &far["prefix"]), (&"into a tunnel".into(), &"0.0.0.0/0".into()), "{address}");
    }
    let nowhere = "out of a tunnel nowhere (no_route); from a port nowhere (no_peer)";
    assert_eq!(lookup("2001:db8:77::1")["goes"], nowhere);
    rig.finish();
}

#[test]
fn the_log_is_told_its_level() {
    let (rig, _) = rig(1);
    assert!(refusal(&rig, "set log debug").contains("set up by another program"));
    culvert::gateway::logs::init(culvert::config::LogFormat::Text);
    let loud = || (tracing::enabled!(tracing::Level::DEBUG), tracing::enabled!(tracing::Level::ERROR));
    text(&rig, "set log debug");
    assert_eq!(loud(), (true, true));
    text(&rig, "set log error");
    assert_eq!(loud(), (false, true));
    rig.finish();
}

/// Names of ports and peers come from the gateway.
#[test]
fn names_are_completed() {
    let (rig, _) = rig(1);
    assert_eq!(text(&rig, "complete -- show port stats w"), "wan\tnet_ring_wan\n");
    assert!(text(&rig, "complete -- show peer la").starts_with("laptop\t"));
    assert!(text(&rig, "complete -- show interface w").starts_with("wg0\t"));
    rig.finish();
}

/// One line of output is what `| include` leaves of it, and `--watch` shows it again.
#[test]
fn output_is_filtered_and_watched() {
    let (rig, _) = rig(1);
    assert_eq!(text(&rig, "show config rxtx | include wan | count"), "1\n");
    let socket = rig.folder.path().join("culvert.sock");
    let mut child = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["--socket", socket.to_str().unwrap(), "show", "config", "cores", "--watch=0.1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for _ in 0..3 {
        assert!(lines.next().unwrap().unwrap().starts_with("List of forwarding lcores: "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    rig.finish();
}

#[test]
fn replayed_messages_are_told_by_peer() {
    let (mut rig, mut client) = rig(1);
    let none = json(&rig, "show replay");
    assert_eq!((&none["replay"], &none["count"]["dropped"]), (&serde_json::json!([]), &0.into()));
    assert!(text(&rig, "show replay").contains("No session that lives has refused anything."));
    let inner = client.inner();
    let sent: Vec<_> = (0..40).map(|n| client.data(&tagged(&inner, HOST, n, 96))).collect();
    let again = sent.iter().skip(10).take(3).cloned().collect::<Vec<_>>();
    rig.blast(vec![Source::outer(0, sent)], |_, _, _| ());
    rig.blast(vec![Source::outer(0, again)], |_, _, _| ());
    let told = json(&rig, "show replay");
    let row = &told["replay"][0];
    assert_eq!((&row["name"], &row["refused"], &row["window"]), (&"laptop".into(), &3.into(), &8128.into()), "{told}");
    // The 13th of 40 was the last.
    assert_eq!((&row["behind"], &row["session"]), (&27.into(), &"current".into()), "{told}");
    let count = serde_json::json!({ "dropped": 3, "sessions": 1, "shown": 1 });
    assert_eq!(told["count"], count);
    assert_eq!(json(&rig, "show replay limit 0")["replay"], serde_json::json!([]));
    rig.finish();
}

#[test]
fn cookies_are_told_by_thread() {
    let (rig, _) = rig(1);
    let told = json(&rig, "show cookies");
    let expected = serde_json::json!({
        "thread": "handshake-0", "under_load": false, "told": 0, "returned": 0, "dropped": 0, "rate_limited": 0,
    });
    assert_eq!(told["cookies"], serde_json::json!([expected]));
    rig.finish();
}
