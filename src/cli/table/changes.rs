//! What changes peers of a running gateway.

use super::{Action, Answer, Command, Section};
use crate::api::{PeerSettings, Request, Secret};
use crate::cli::front::{Failure, Outcome};
use crate::cli::parse::Given;
use crate::cli::render::{Column, Part, Unit, column, one, rows};
use crate::config::keys;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

/// More than any key file has.
const FILE_LIMIT: usize = 4096;

const CHANGED: &[Column] = &[
    column("done", "peer", Unit::Text),
    column("interface", "interface", Unit::Text),
    column("name", "name", Unit::Text),
    column("public_key", "public key", Unit::Text),
    column("preshared_key", "preshared key", Unit::Flag),
    column("endpoint", "endpoint", Unit::Text),
    column("allowed_ips", "allowed ips", Unit::List),
    column("persistent_keepalive", "keepalive, s", Unit::Text),
];

const MOVED: Part = rows(
    "moved",
    &[
        column("prefix", "taken from others", Unit::Text),
        column("name", "name", Unit::Text),
        column("public_key", "public key", Unit::Text),
    ],
);

fn text(given: &Given, word: &'static str) -> Option<String> {
    given.after(word).map(str::to_owned)
}

/// What the words say a peer is to have.
fn settings(given: &Given) -> Result<PeerSettings, Failure> {
    let keepalive = given.after("persistent-keepalive").or_else(|| given.after("keepalive"));
    let keepalive = keepalive.map(|text| if text == "off" { Ok(0) } else { text.parse() }).transpose();
    let too_long = |_| failed("the keepalive is 65535 s at most; off switches it off".to_owned());
    Ok(PeerSettings {
        name: text(given, "name"),
        allowed_ips: text(given, "allowed-ips"),
        endpoint: text(given, "endpoint"),
        preshared_key: given.after("preshared-key-file").map(preshared_key).transpose()?,
        keepalive: keepalive.map_err(too_long)?,
    })
}

fn failed(why: String) -> Failure {
    Failure(Outcome::Failed, why)
}

/// The key in a file that its owner alone may read, or in a pipe. It is read here, by the rights of who asks. An empty file: no key, as `wg`
/// has it.
fn preshared_key(path: &str) -> Result<Secret, Failure> {
    if keys::from_base64(path).is_some() {
        let mend = "make a new one, for this one is in your shell's history: (umask 077; wg genpsk > FILE)";
        return Err(failed(format!("preshared-key-file: that is a key, not the name of a file; {mend}")));
    }
    let read = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let open = metadata.is_file() && metadata.permissions().mode() & 0o077 != 0;
        let mut text = Zeroizing::new(String::with_capacity(FILE_LIMIT));
        let _len = file.take(FILE_LIMIT as u64).read_to_string(&mut text)?;
        Ok((open, text))
    };
    let (open, mut key) = read().map_err(|error: std::io::Error| failed(format!("{path}: {error}")))?;
    if open {
        return Err(failed(format!("{path}: others may read this key; close it with: chmod 600 {path}")));
    }
    let len = key.trim_end().len();
    key.truncate(len);
    if key.is_empty() {
        return Ok(Secret::new(Zeroizing::new(keys::to_base64(&[0; 32]))));
    }
    match keys::from_base64(&key) {
        Some(_) => Ok(Secret::new(key)),
        None => Err(failed(format!("{path}: this is not the base64 of 32 bytes; make one with wg genpsk"))),
    }
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "peer add KEY [name NAME] [allowed-ips PREFIXES] [endpoint ENDPOINT] [preshared-key-file FILE] \
                [persistent-keepalive|keepalive N|off] [interface INTERFACE]",
        section: Section::Peers,
        help: "makes a peer; it lasts until the gateway ends, or `peers save` writes it",
        more: "Allowed ips that another peer of the interface has become this one's, which is said. The preshared key is read from a file that \
               nobody else may read, by who asks.",
        action: Action::Send(
            |given| {
                Ok(Request::PeerAdd {
                    public_key: given.get("KEY").unwrap_or_default().to_owned(),
                    interface: text(given, "interface"),
                    settings: settings(given)?,
                })
            },
            Answer::Parts(&[one("change", CHANGED), MOVED], &[]),
        ),
    },
    Command {
        usage: "peer set PEER [name NAME] [allowed-ips PREFIXES] [endpoint ENDPOINT] [preshared-key-file FILE] \
                [persistent-keepalive|keepalive N|off] [interface INTERFACE]",
        section: Section::Peers,
        help: "changes what is named of a peer; its sessions and all else stay",
        more: "PEER is a public key or a name, in full. The allowed ips are all that it has then; with + or - before each the others stay: \
               `allowed-ips +10.1.0.0/16`. An empty file takes the preshared key away.",
        action: Action::Send(
            |given| {
                Ok(Request::PeerSet {
                    peer: given.get("PEER").unwrap_or_default().to_owned(),
                    interface: text(given, "interface"),
                    settings: settings(given)?,
                })
            },
            Answer::Parts(&[one("change", CHANGED), MOVED], &[]),
        ),
    },
    Command {
        usage: "peer remove PEER [interface INTERFACE]",
        section: Section::Peers,
        help: "removes a peer: its sessions end at once",
        more: "PEER is a public key or a name, in full.",
        action: Action::Ask(
            |given| Request::PeerRemove {
                peer: given.get("PEER").unwrap_or_default().to_owned(),
                interface: text(given, "interface"),
            },
            Answer::Parts(&[one("change", CHANGED.split_at(4).0)], &[]),
        ),
    },
];
