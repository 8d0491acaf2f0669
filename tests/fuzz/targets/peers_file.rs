//! Peers files: what is taken comes back when it is written as `wg showconf` would; what is refused has a place and a
//! mend, and no message shows a key.

use super::config::fit_for_people;
use culvert::config::keys::to_base64;
use culvert::config::peers_file::{parse, rewrite};
use culvert::config::{ConfigError, Place};
use culvert::control::change::ChangeSet;
use std::collections::HashSet;
use std::fmt::Write;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text, "wg0.conf") {
        Err(error) => refused(&error, text),
        Ok(parsed) => {
            for warning in &parsed.warnings {
                let said = warning.to_string();
                fit_for_people(&said);
                no_secret(&said, text);
            }
            let written = written(&parsed.changes);
            let again = parse(&written, "wg0.conf").unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(self::written(&again.changes), written);
            assert!(parsed.changes.replace_peers && again.changes.replace_peers);
            saved(text, parsed.changes);
        }
    }
}

/// What the file comes to, written back into it, is what is read from it then.
fn saved(text: &str, mut changes: ChangeSet) {
    let (mut keys, mut prefixes) = (HashSet::new(), HashSet::new());
    changes.peers.reverse();
    changes.peers.retain(|peer| keys.insert(peer.public_key));
    for peer in &mut changes.peers {
        peer.allowed_ips.retain(|allowed| prefixes.insert(allowed.prefix));
    }
    let saved = rewrite(text, &changes.peers);
    let mut loaded = parse(&saved, "wg0.conf").unwrap_or_else(|error| panic!("{error}\n{}", *saved)).changes;
    for peers in [&mut changes.peers, &mut loaded.peers] {
        peers.sort_by_key(|peer| peer.public_key);
        peers.iter_mut().for_each(|peer| peer.allowed_ips.sort_by_key(|allowed| allowed.prefix));
    }
    let alone = |peers| written(&ChangeSet { peers, ..ChangeSet::default() });
    assert_eq!(alone(loaded.peers), alone(changes.peers), "{}", *saved);
}

fn refused(error: &ConfigError, text: &str) {
    let said = error.to_string();
    assert!(!error.what().is_empty() && !error.mend().is_empty(), "no mend: {said}");
    if let Place::Line(_, line) = error.place() {
        assert!((1..=text.lines().count() + 1).contains(&(*line as usize)), "line {line}: {said}");
    }
    fit_for_people(&said);
    no_secret(&said, text);
}

/// What stands at a secret's key, and has the form of one, is never repeated; unless it is a public key as well.
fn no_secret(said: &str, text: &str) {
    let lines = || text.lines().filter_map(|line| line.split('#').next()?.split_once('='));
    let is = |key: &str, names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(key.trim()));
    let value = |value: &str| value.trim().trim_end_matches('=').to_owned();
    let public: Vec<_> = lines().filter(|(key, _)| is(key, &["PublicKey"])).map(|(_, text)| value(text)).collect();
    for secret in lines().filter(|(key, _)| is(key, &["PrivateKey", "PresharedKey"])).map(|(_, text)| value(text)) {
        let is_key = secret.len() >= 40 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b));
        assert!(!is_key || public.contains(&secret) || !said.contains(&secret), "{said}");
    }
}

/// The change as `wg showconf` writes an interface.
fn written(changes: &ChangeSet) -> String {
    let mut text = String::from("[Interface]\n");
    if let Some(key) = &changes.private_key {
        writeln!(text, "PrivateKey = {}", to_base64(key.bytes())).unwrap();
    }
    if let Some(port) = changes.listen_port {
        writeln!(text, "ListenPort = {port}").unwrap();
    }
    if let Some(mark) = changes.fwmark {
        writeln!(text, "FwMark = 0x{mark:x}").unwrap();
    }
    for peer in &changes.peers {
        assert!(peer.replace_allowed_ips && !peer.remove && !peer.update_only);
        writeln!(text, "\n[Peer]").unwrap();
        if let Some(name) = &peer.name {
            writeln!(text, "# friendly_name = {name}").unwrap();
        }
        writeln!(text, "PublicKey = {}", to_base64(&peer.public_key)).unwrap();
        let psk = peer.preshared_key.as_ref().unwrap();
        if !psk.is_zero() {
            writeln!(text, "PresharedKey = {}", to_base64(psk.bytes())).unwrap();
        }
        let prefixes: Vec<String> = peer.allowed_ips.iter().map(|allowed| allowed.prefix.to_string()).collect();
        assert!(peer.allowed_ips.iter().all(|allowed| !allowed.remove && allowed.prefix == allowed.prefix.trunc()));
        writeln!(text, "AllowedIPs = {}", prefixes.join(", ")).unwrap();
        if let Some(endpoint) = peer.endpoint {
            assert_ne!(endpoint.port(), 0);
            writeln!(text, "Endpoint = {endpoint}").unwrap();
        }
        writeln!(text, "PersistentKeepalive = {}", peer.persistent_keepalive.unwrap()).unwrap();
    }
    text
}
