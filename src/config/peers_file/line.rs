//! One line of a peers file.

use super::super::error::{may_hold_a_key, quoted};
use super::super::keys::{KEY_TEXT_LEN, from_base64};
use super::super::schema::suggest;
use crate::control::change::SecretKey;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// `wg-quick`'s own keys in `[Interface]`.
pub(super) const QUICK: [&str; 9] =
    ["Address", "DNS", "MTU", "PostDown", "PostUp", "PreDown", "PreUp", "SaveConfig", "Table"];
const INTERFACE: [&str; 3] = ["PrivateKey", "ListenPort", "FwMark"];
const PEER: [&str; 5] = ["PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"];

/// What a line is, by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split<'l> {
    Blank,
    Comment,
    /// A comment that names a peer.
    Name(&'l str),
    /// `[…]`, without the brackets.
    Header(&'l str),
    /// `key = value`, both trimmed.
    Key(&'l str, &'l str),
    Other(&'l str),
}

/// Splits a line; what stands behind a `#` is a comment.
pub(super) fn split(line: &str) -> Split<'_> {
    let (text, comment) = match line.split_once('#') {
        Some((text, comment)) => (text.trim(), Some(comment)),
        None => (line.trim(), None),
    };
    if text.is_empty() {
        return match comment.map(|comment| (comment, named(comment))) {
            None => Split::Blank,
            Some((_, Some(name))) => Split::Name(name),
            Some((_, None)) => Split::Comment,
        };
    }
    if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Split::Header(name.trim());
    }
    match text.split_once('=') {
        Some((key, value)) => Split::Key(key.trim(), value.trim()),
        None => Split::Other(text),
    }
}

/// The name in a comment `friendly_name = …` or `Name = …`.
fn named(comment: &str) -> Option<&str> {
    let (key, name) = comment.split_once('=')?;
    let (key, name) = (key.trim(), name.trim());
    let is_name = key.eq_ignore_ascii_case("friendly_name") || key.eq_ignore_ascii_case("name");
    (is_name && !name.is_empty()).then_some(name)
}

/// Whether a peer may be called so.
pub fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 64 && !name.chars().any(char::is_control)
}

/// One prefix of a peer's allowed ips, as a peers file takes it: host bits cleared, one address without a length.
///
/// # Errors
/// What is wrong with it, and the mend.
pub fn read_allowed_ip(text: &str) -> Result<IpNet, String> {
    allowed_ip(text).map_err(|fault| format!("{}. {}", fault.what, fault.mend))
}

/// A peer's endpoint, as a peers file takes it.
///
/// # Errors
/// What is wrong with it, and the mend.
pub fn read_endpoint(text: &str) -> Result<SocketAddr, String> {
    let line = Line { key: "Endpoint", value: text };
    let read = endpoint(line).and_then(|key| if let PeerKey::Endpoint(at) = key { Ok(at) } else { Err(no_name(line)) });
    read.map_err(|fault| format!("{}. {}", fault.what, fault.mend))
}

/// A `key = value` line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'l> {
    pub(super) key: &'l str,
    pub(super) value: &'l str,
}

/// Why a line is refused, without its place.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) mend: String,
}

impl Fault {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

impl<'l> Line<'l> {
    /// The key's proper spelling.
    fn find(self, keys: &[&'static str]) -> Option<&'static str> {
        keys.iter().copied().find(|key| key.eq_ignore_ascii_case(self.key))
    }

    fn unknown(self, keys: &[&'static str], elsewhere: &[&'static str], section: &str) -> Fault {
        let mend = match (self.find(elsewhere), suggest_key(self.key, keys)) {
            (Some(key), _) => format!("{key} belongs into [{section}]"),
            (None, Some(near)) => format!("Did you mean {near}?"),
            (None, None) => format!("The keys here are {}", keys.join(", ")),
        };
        Fault::new(format!("there is no key {}", quoted(self.key)), mend)
    }

    fn is_not(self, key: &str, due: &str, mend: impl Into<String>) -> Fault {
        Fault::new(format!("{key} {} is not {due}", quoted(self.value)), mend)
    }

    /// Never shows the value.
    fn secret(self, key: &str, make: &str) -> Result<SecretKey, Fault> {
        match from_base64(self.value) {
            Some(bytes) => Ok(SecretKey::new(&bytes)),
            None => Err(Fault::new(
                format!("{key} is not the base64 of 32 bytes ({KEY_TEXT_LEN} characters)"),
                format!("Make one with {make}"),
            )),
        }
    }
}

fn suggest_key(word: &str, keys: &[&'static str]) -> Option<&'static str> {
    let lower: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
    let near = suggest(word, lower.iter().map(String::as_str))?;
    keys.iter().copied().find(|key| key.eq_ignore_ascii_case(near))
}

/// A line of `[Interface]`.
#[derive(Debug)]
pub(super) enum InterfaceKey {
    PrivateKey(SecretKey),
    ListenPort(u16),
    FwMark(u32),
    /// One of [`QUICK`].
    Quick(&'static str),
}

impl InterfaceKey {
    pub(super) fn read(line: Line<'_>) -> Result<Self, Fault> {
        match line.find(&INTERFACE) {
            Some(key @ "PrivateKey") => line.secret(key, "wg genkey").map(Self::PrivateKey),
            Some(key @ "ListenPort") => match decimal(line.value).filter(|port| *port != 0) {
                Some(port) => Ok(Self::ListenPort(port)),
                None => Err(line.is_not(key, "a port", "Write a number from 1 to 65535")),
            },
            Some(key) => match fwmark(line.value) {
                Some(mark) => Ok(Self::FwMark(mark)),
                None => Err(line.is_not(key, "a mark", "Write a number, 0x and a number, or off")),
            },
            None => match line.find(&QUICK) {
                Some(key) => Ok(Self::Quick(key)),
                None => Err(match suggest_key(line.key, &QUICK) {
                    Some(near) => {
                        Fault { mend: format!("Did you mean {near}?"), ..line.unknown(&INTERFACE, &PEER, "Peer") }
                    }
                    None => line.unknown(&INTERFACE, &PEER, "Peer"),
                }),
            },
        }
    }
}

/// A line of `[Peer]`.
#[derive(Debug)]
pub(super) enum PeerKey<'l> {
    PublicKey([u8; 32]),
    PresharedKey(SecretKey),
    /// As it stands.
    AllowedIps(&'l str),
    Endpoint(SocketAddr),
    /// A host's name and a port.
    EndpointName,
    PersistentKeepalive(u16),
}

impl<'l> PeerKey<'l> {
    pub(super) fn read(line: Line<'l>) -> Result<Self, Fault> {
        match line.find(&PEER) {
            // Not shown either: it is often the private key that was pasted.
            Some(key @ "PublicKey") => match from_base64(line.value) {
                Some(bytes) => Ok(PeerKey::PublicKey(*bytes)),
                None => Err(Fault::new(
                    format!("{key} is not the base64 of 32 bytes ({KEY_TEXT_LEN} characters)"),
                    "Copy it from the peer (wg show, or wg pubkey)",
                )),
            },
            Some(key @ "PresharedKey") => line.secret(key, "wg genpsk").map(Self::PresharedKey),
            Some("AllowedIPs") => Ok(Self::AllowedIps(line.value)),
            Some("Endpoint") => endpoint(line),
            Some(key) => match line.value {
                off if off.eq_ignore_ascii_case("off") => Ok(Self::PersistentKeepalive(0)),
                text => match decimal(text) {
                    Some(seconds) => Ok(Self::PersistentKeepalive(seconds)),
                    None => {
                        let mend = "Write a number from 0 to 65535, or off";
                        Err(line.is_not(key, "a number of seconds", mend))
                    }
                },
            },
            None => Err(line.unknown(&PEER, &INTERFACE, "Interface")),
        }
    }
}

/// Digits only: no sign.
fn decimal(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn fwmark(text: &str) -> Option<u32> {
    if text.eq_ignore_ascii_case("off") {
        return Some(0);
    }
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}

/// One of `AllowedIPs`, host bits cleared as the kernel does; without a length it is one address.
pub(super) fn allowed_ip(text: &str) -> Result<IpNet, Fault> {
    let net = match text.contains('/') {
        true => text.parse().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    match net {
        Some(net) => Ok(net.trunc()),
        None => Err(Fault::new(
            format!("AllowedIPs {} is not a prefix", quoted(text)),
            "Write it like 10.0.0.2/32 or 2001:db8::2/128, with commas between them",
        )),
    }
}

fn endpoint(line: Line<'_>) -> Result<PeerKey<'_>, Fault> {
    if let Ok(endpoint) = line.value.parse::<SocketAddr>() {
        let scoped = matches!(endpoint, SocketAddr::V6(v6) if v6.scope_id() != 0);
        return match (endpoint.port(), scoped) {
            (0, _) => Err(line.is_not("Endpoint", "an endpoint", "Port 0 cannot be sent to")),
            (_, true) => {
                let mend = "Take a global address: a zone is of one machine's own";
                Err(line.is_not("Endpoint", "an endpoint", mend))
            }
            _ => Ok(PeerKey::Endpoint(endpoint)),
        };
    }
    let form = "Write it like 192.0.2.1:51820 or [2001:db8::1]:51820";
    let (host, port) = line.value.rsplit_once(':').unwrap_or((line.value, ""));
    if host.parse::<IpAddr>().is_err() && decimal(port).is_some() && is_host_name(host) {
        return Ok(PeerKey::EndpointName);
    }
    Err(line.is_not("Endpoint", "an endpoint", form))
}

/// Why a host's name is no endpoint here; `line` is one that [`PeerKey::EndpointName`] came of.
pub(super) fn no_name(line: Line<'_>) -> Fault {
    let host = line.value.rsplit_once(':').map_or(line.value, |(host, _)| host);
    let mend = format!("Write the address that `getent ahosts {host}` prints; culvertd resolves no names");
    line.is_not("Endpoint", "a numeric endpoint", mend)
}

fn is_host_name(host: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !host.is_empty()
        && !may_hold_a_key(host)
        && host.chars().all(fits)
        && host.contains(|c: char| c.is_ascii_alphabetic())
}
