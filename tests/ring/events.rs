//! `culvert monitor` and `show events` against the real gateway.

use crate::answers::{json, text};
use crate::client::Client;
use crate::crowd::Crowd;
use crate::rig::{Options, Rig, Source};
use culvert::config::keys::to_base64;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next event of this kind; others may come between.
fn next(events: &Receiver<Value>, kind: &str) -> Value {
    loop {
        let event = events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {kind}"));
        if event["event"] == kind {
            return event;
        }
    }
}

#[test]
fn what_happens_is_told_as_it_happens() {
    culvert::gateway::logs::init(culvert::config::LogFormat::Text);
    let mut client = Client::new(1);
    let key = to_base64(&client.key());
    let peers = format!("[Peer]\n# friendly_name = laptop\nPublicKey = {key}\nAllowedIPs = {}/32\n", client.inner());
    let mut rig = Rig::new(&Options { peers, ..Options::default() });
    let mut monitor = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["--json", "monitor", "--socket"])
        .arg(rig.folder.path().join("culvert.sock"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (out, events) = channel();
    let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || {
        for line in lines {
            let _nobody_waits = out.send(serde_json::from_str(&line.unwrap()).unwrap());
        }
    });
    // It follows from some time on.
    let order: Value = loop {
        text(&rig, "set log info");
        if let Ok(event) = events.recv_timeout(Duration::from_millis(500)) {
            break event;
        }
    };
    assert_eq!((&order["event"], &order["text"]), (&"order".into(), &"set-log".into()));
    assert!(order["at_ms"].as_u64().unwrap() > 1_700_000_000_000, "{order}");

    rig.connect(&mut client, 0);
    let came = next(&events, "connected");
    assert_eq!((&came["who"], &came["public_key"]), (&"wg0 laptop".into(), &Value::from(&*key)));
    assert_eq!((&came["endpoint"], &came["interface"]), (&client.at.to_string().into(), &"wg0".into()));

    tracing::warn!(port = "wan", times = 3, "port wan smells of smoke");
    assert_eq!(next(&events, "warning")["text"], "port wan smells of smoke times=3");

    let mut crowd = Crowd::new();
    rig.blast(vec![Source::outer(0, (0..7).map(|number| crowd.spoof(number)).collect::<Vec<_>>())], |_, _, _| ());
    let failed = next(&events, "handshakes");
    assert_eq!(failed["who"], "handshake_refused");
    assert!(failed["text"].as_str().unwrap().ends_with(" messages came to nothing"), "{failed}");

    for (word, now) in [("link-down", "down"), ("link-up", "up")] {
        text(&rig, &format!("set {word} port lan"));
        let link = next(&events, "link");
        assert_eq!((&link["who"], &link["text"]), (&"lan".into(), &now.into()));
    }

    // By a signal, with nothing to change and with a peer less.
    let conf = rig.folder.path().join("wg0.conf");
    rig.gateway.as_ref().unwrap().reload();
    assert_eq!(next(&events, "reload")["text"], "reload: peers: 0 added, 0 changed, 0 removed");
    let without = format!("[Peer]\nPublicKey = {}\nAllowedIPs = 10.99.0.0/16\n", to_base64(&[7; 32]));
    std::fs::write(&conf, format!("{}{without}", std::fs::read_to_string(&conf).unwrap())).unwrap();
    rig.gateway.as_ref().unwrap().reload();
    let told = next(&events, "reload");
    assert_eq!(
        (&told["who"], &told["text"]),
        (&"SIGHUP".into(), &"reload: peers: 1 added, 0 changed, 0 removed".into())
    );
    std::fs::write(&conf, "nonsense").unwrap();
    rig.gateway.as_ref().unwrap().reload();
    let refused = next(&events, "warning");
    assert!(refused["text"].as_str().unwrap().starts_with("reload: nothing has changed: "), "{refused}");
    for (word, now) in [("link-down", "down"), ("link-up", "up")] {
        text(&rig, &format!("set {word} port lan"));
        assert_eq!(next(&events, "link")["text"], now);
    }

    let latest = json(&rig, "show events limit 1");
    assert_eq!(
        (&latest["events"][0]["text"], &latest["events"][0]["number"]),
        (&"up".into(), &latest["count"]["last"])
    );
    let shown = text(&rig, "show events");
    assert!(shown.contains("  connected   wg0 laptop") && shown.contains("  set-log\n"), "{shown}");

    rig.finish();
    // Without a gateway there is nothing to follow.
    assert_eq!(monitor.wait().unwrap().code(), Some(3));
    reader.join().unwrap();
}
