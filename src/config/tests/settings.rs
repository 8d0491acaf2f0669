//! What differs between two configurations.

use crate::config::*;
use std::path::Path;

const TEXT: &str = r#"
[cores]
control = 0
io = [0]
workers = [0]
handshake = [0]
[[port]]
name = "wan"
device = "net_null0"
role = "both"
addresses = ["192.0.2.1/24"]
routes = [{ to = "0.0.0.0/0", via = "192.0.2.254" }, { via = "192.0.2.253", to = "10.0.0.0/8" }]
[[interface]]
name = "wg0"
private_key_file = "wg0.key"
listen_ports = [51820, 443]
"#;

fn differences(text: &str) -> Vec<String> {
    let config = |text: &str| {
        let machine = Machine { cores: vec![0, 1] };
        from_text(text, Path::new("/etc/culvert/culvert.toml"), std::iter::empty(), &machine).unwrap()
    };
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let row = |c: SettingChange| {
        format!("{}: {} → {}{}", c.setting, shown(c.was), shown(c.now), if c.live { "" } else { ", restart" })
    };
    config(TEXT).differences(&config(text)).into_iter().map(row).collect()
}

#[test]
fn settings_that_differ_are_named_and_whether_they_need_a_restart() {
    assert_eq!(differences(TEXT), [""; 0]);
    // Defaults written out, and another order, are no difference.
    assert_eq!(differences(&TEXT.replace("role =", "vlan = 0\nmtu = 1500\nrole =")), [""; 0]);
    for (from, to, row) in [
        ("io = [0]", "io = [0, 1]", "[cores] io: [0] → [0, 1], restart"),
        ("wg0.key", "new.key", "[[interface]] wg0 private_key_file: /etc/culvert/wg0.key → /etc/culvert/new.key"),
        ("[51820, 443]", "[51821, 443]", "[[interface]] wg0 listen_ports: [51820, 443] → [51821, 443]"),
        ("[51820, 443]", "[51820, 444]", "[[interface]] wg0 listen_ports: [51820, 443] → [51820, 444], restart"),
        ("[51820, 443]", "[51820]", "[[interface]] wg0 listen_ports: [51820, 443] → [51820], restart"),
        ("private_key", "peers_file = \"a\"\nprivate_key", "[[interface]] wg0 peers_file: - → /etc/culvert/a"),
        ("private_key", "mtu = 1400\nprivate_key", "[[interface]] wg0 mtu: 1420 → 1400, restart"),
    ] {
        assert_eq!(differences(&TEXT.replacen(from, to, 1)), [row]);
    }
    let second = format!(
        "{TEXT}[[interface]]\nname = \"wg1\"\nprivate_key_file = \"k\"\nlisten_ports = [1]\n[crypto]\nbackend = \"portable\"\n"
    );
    assert_eq!(
        differences(&second),
        ["[crypto] backend: auto → portable, restart", "[[interface]] wg1: - → , restart"]
    );
}
