//! A peers file: `wg setconf` syntax, as wg(8) has it, and what people put into such files besides.

mod line;
mod save;
#[cfg(test)]
mod save_tests;
mod stamp;
#[cfg(test)]
mod tests;
mod write;

pub use line::{is_name, read_allowed_ip, read_endpoint};
pub use save::{replace, rewrite};
pub use stamp::Stamp;
pub use write::to_text;

use super::error::{ConfigError, Place, Warning, io_words, quoted};
use super::file;
use super::keys::to_base64;
use crate::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use ipnet::IpNet;
use line::{InterfaceKey, Line, PeerKey, Split, split};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a peers file, at most: about 1,000 for each of as many peers as there may be.
const LIMIT: u64 = 512 << 20;

/// Of warnings beyond this many only their number is told.
const WARNINGS: usize = 1_000;

/// What a peers file asks for.
#[derive(Debug, Default)]
pub struct ParsedPeers {
    /// The whole interface: `replace_peers`, and every peer with `replace_allowed_ips`, a preshared key (all zero
    /// where the file has none) and a keepalive (0 where it has none). The private key, the listen port and the
    /// mark are `None` where it has none: they are `culvert.toml`'s then.
    pub changes: ChangeSet,
    /// What was read differently from what may have been meant.
    pub warnings: Vec<Warning>,
    /// The file as it was, if it is one.
    pub stamp: Option<Stamp>,
}

/// What a peers file holds, whatever that is, and its stamp from before it was read: what is written meanwhile is a change. Control thread;
/// blocks on the file.
///
/// # Errors
/// It cannot be read, is no regular file or far too long.
pub fn read(path: &Path) -> std::io::Result<(Stamp, Zeroizing<Vec<u8>>)> {
    file::read(path, LIMIT).map(|(there, bytes)| (Stamp::of(&there), bytes))
}

/// Reads and parses a peers file. Control thread; blocks on the file.
///
/// # Errors
/// The file cannot be read, or what [`parse`] refuses.
pub fn load(path: &Path) -> Result<ParsedPeers, ConfigError> {
    let refuse = |what: String, mend: &str| Err(ConfigError::new(Place::File(path.into()), "", what, mend));
    let (there, bytes) = match file::read(path, LIMIT) {
        Ok(read) => read,
        Err(error) => {
            let mend = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "Give it to culvert's user",
                _ => "Write it in wg setconf syntax (wg showconf does), or take the key peers_file out",
            };
            return refuse(io_words(&error), mend);
        }
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refuse("this is not UTF-8".into(), "Save the file as UTF-8");
    };
    let mut parsed = parse(text, &path.to_string_lossy())?;
    parsed.stamp = Some(Stamp::of(&there));
    let mode = there.permissions().mode();
    let changes = &parsed.changes;
    let mut preshared = changes.peers.iter().filter_map(|peer| peer.preshared_key.as_ref());
    let secret = changes.private_key.is_some() || preshared.any(|key| !key.is_zero());
    if secret && mode & 0o007 != 0 {
        let what = format!("everyone may read the keys in this file (mode {:04o})", mode & 0o777);
        let mend = format!("Close it with: chmod o= {}", path.display());
        let place = Place::File(path.into());
        parsed.warnings.insert(0, Warning::new(place, "", what, mend));
    }
    Ok(parsed)
}

/// Parses the text of a peers file, or of a `wg-quick` one, whose own keys are left out with a warning; `source` is
/// how messages call it. Keys and sections in any case; `#` begins a comment. A peer's name is a comment
/// `# friendly_name = …` or `# Name = …` inside its section, or right above its `[Peer]`. The same address at
/// two peers goes to the later one, as in the kernel. Linear in the text.
///
/// # Errors
/// The first line that cannot be taken, and why. Keys are never shown.
pub fn parse(text: &str, source: &str) -> Result<ParsedPeers, ConfigError> {
    Parser::new(source).parse(text).map(|file| file.parsed)
}

/// A whole `wg-quick` file: what [`parse`] takes of it, and what that leaves out or refuses.
#[derive(Debug, Default)]
pub struct QuickFile {
    /// The interface's keys and the peers. No warnings of [`QuickFile::lines`].
    pub parsed: ParsedPeers,
    /// `wg-quick`'s own keys, and the mark, which nothing here reads.
    pub lines: Vec<QuickLine>,
    /// Endpoints by name, which culvertd does not resolve; their peers have none.
    pub names: Vec<EndpointName>,
}

/// A line of `wg-quick`'s own.
#[derive(Debug)]
pub struct QuickLine {
    /// 1 the first.
    pub line: u32,
    /// In its proper spelling.
    pub key: &'static str,
    /// As it stands. Commands may hold secrets: it is not for logs.
    pub value: Zeroizing<String>,
}

/// An endpoint by name.
#[derive(Debug)]
pub struct EndpointName {
    /// 1 the first.
    pub line: u32,
    /// The peer's place in [`ChangeSet::peers`].
    pub peer: usize,
    /// `host:port`
    pub name: String,
}

/// Parses a `wg-quick` file with all that is in it, for `culvert import`.
///
/// # Errors
/// As [`parse`].
pub fn parse_quick(text: &str, source: &str) -> Result<QuickFile, ConfigError> {
    Parser { quick: Some(QuickFile::default()), ..Parser::new(source) }.parse(text)
}

/// Where the parser stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    None,
    Interface,
    Peer,
}

struct Parser {
    source: PathBuf,
    number: u32,
    section: Section,
    /// The peer being read has its key.
    has_key: bool,
    /// A name whose peer is not known yet, and its line.
    pending: Option<(String, u32)>,
    changes: ChangeSet,
    /// Every prefix of the file with its line.
    prefixes: Vec<(IpNet, u32)>,
    warnings: Vec<Warning>,
    /// Beyond [`WARNINGS`].
    more_warnings: usize,
    /// What [`parse_quick`] asks for beside.
    quick: Option<QuickFile>,
}

impl Parser {
    fn new(source: &str) -> Self {
        Self {
            source: source.into(),
            number: 0,
            section: Section::None,
            has_key: false,
            pending: None,
            changes: ChangeSet { replace_peers: true, ..ChangeSet::default() },
            prefixes: Vec::new(),
            warnings: Vec::new(),
            more_warnings: 0,
            quick: None,
        }
    }

    fn parse(mut self, text: &str) -> Result<QuickFile, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in (1..).zip(text.lines()) {
            self.number = number;
            match split(line) {
                Split::Blank => self.name_is_for_this_peer(),
                Split::Comment => {}
                Split::Name(name) => self.name(name),
                Split::Header(name) => self.header(name)?,
                Split::Key(key, value) => self.key(key, value)?,
                Split::Other(text) => {
                    let what = format!("{} is neither a [section] nor a key", quoted(text));
                    return Err(self.refuse("", what, "Write key = value"));
                }
            }
        }
        self.finish()
    }

    fn place(&self, line: u32) -> Place {
        Place::Line(self.source.clone(), line)
    }

    fn refuse(&self, subject: &str, what: impl Into<String>, mend: &str) -> ConfigError {
        ConfigError::new(self.place(self.number), subject, what, mend)
    }

    /// The words are made for those that are kept only.
    fn warn(&mut self, subject: &str, words: impl FnOnce() -> (String, String)) {
        if self.warnings.len() < WARNINGS {
            let (what, mend) = words();
            let place = self.place(self.number);
            self.warnings.push(Warning::new(place, subject, what, mend));
        } else {
            self.more_warnings += 1;
        }
    }

    /// The peer being read.
    fn peer(&mut self) -> Option<&mut PeerChange> {
        match self.section {
            Section::Peer => self.changes.peers.last_mut(),
            _ => None,
        }
    }

    fn name(&mut self, name: &str) {
        self.name_is_for_this_peer();
        if !is_name(name) {
            self.warn("[Peer]", || {
                let what = "the name is longer than 64 characters, or not plain text".into();
                (what, "The peer goes without it".into())
            });
            return;
        }
        self.pending = Some((name.into(), self.number));
    }

    /// The pending name is not right above a `[Peer]`: it is the current one's.
    fn name_is_for_this_peer(&mut self) {
        if let Some((name, _)) = self.pending.take()
            && let Some(peer) = self.peer()
        {
            peer.name = Some(name);
        }
    }

    fn header(&mut self, name: &str) -> Result<(), ConfigError> {
        let is_peer = name.eq_ignore_ascii_case("peer");
        let above = match self.pending {
            Some((_, line)) if is_peer && line + 1 == self.number => self.pending.take(),
            _ => None,
        };
        self.name_is_for_this_peer();
        self.end_of_section()?;
        if is_peer {
            self.section = Section::Peer;
            self.has_key = false;
            self.changes.peers.push(PeerChange {
                // Absent keys are as in a fresh interface: none, off.
                preshared_key: Some(SecretKey::new(&[0; 32])),
                persistent_keepalive: Some(0),
                replace_allowed_ips: true,
                name: above.map(|(name, _)| name),
                line: self.number,
                in_file: true,
                ..PeerChange::default()
            });
        } else if name.eq_ignore_ascii_case("interface") {
            self.section = Section::Interface;
        } else {
            let what = format!("there is no section {}", quoted(name));
            return Err(self.refuse("", what, "The sections are [Interface] and [Peer]"));
        }
        Ok(())
    }

    fn end_of_section(&mut self) -> Result<(), ConfigError> {
        let has_key = self.has_key;
        match self.peer() {
            Some(peer) if !has_key => {
                self.number = peer.line;
                let mend = "Add a line PublicKey = … below it, or take the section out";
                Err(self.refuse("[Peer]", "PublicKey is missing", mend))
            }
            _ => Ok(()),
        }
    }

    fn key(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.name_is_for_this_peer();
        let at = Line { key, value };
        match self.section {
            Section::None => {
                let what = format!("{} stands above the first section", quoted(key));
                Err(self.refuse("", what, "Write [Interface] or [Peer] above it"))
            }
            Section::Interface => self.interface_key(at),
            Section::Peer => self.peer_key(at),
        }
    }

    fn interface_key(&mut self, line: Line<'_>) -> Result<(), ConfigError> {
        match InterfaceKey::read(line) {
            Ok(InterfaceKey::PrivateKey(key)) => self.changes.private_key = Some(key),
            Ok(InterfaceKey::ListenPort(port)) => self.changes.listen_port = Some(port),
            Ok(InterfaceKey::FwMark(mark)) => {
                self.changes.fwmark = Some(mark);
                self.quick_line("FwMark", line.value);
            }
            Ok(InterfaceKey::Quick(key)) if self.quick.is_some() => self.quick_line(key, line.value),
            Ok(InterfaceKey::Quick(key)) => self.warn("[Interface]", || {
                let what = format!("{key} is wg-quick's and is ignored");
                (what, "What culvertd needs of it goes into culvert.toml".into())
            }),
            Err(fault) => return Err(self.refuse("[Interface]", fault.what, &fault.mend)),
        }
        Ok(())
    }

    fn quick_line(&mut self, key: &'static str, value: &str) {
        let value = Zeroizing::new(value.to_owned());
        if let Some(quick) = &mut self.quick {
            quick.lines.push(QuickLine { line: self.number, key, value });
        }
    }

    /// The last of several endpoints holds.
    fn endpoint(&mut self, line: Line<'_>, endpoint: Option<SocketAddr>) -> Result<(), ConfigError> {
        let last = self.changes.peers.len().saturating_sub(1);
        match (&mut self.quick, endpoint) {
            (None, None) => {
                let fault = line::no_name(line);
                return Err(self.refuse("[Peer]", fault.what, &fault.mend));
            }
            (Some(quick), endpoint) => {
                quick.names.retain(|name| name.peer != last);
                if endpoint.is_none() {
                    quick.names.push(EndpointName { line: self.number, peer: last, name: line.value.into() });
                }
            }
            (None, Some(_)) => {}
        }
        if let Some(peer) = self.peer() {
            peer.endpoint = endpoint;
        }
        Ok(())
    }

    fn peer_key(&mut self, line: Line<'_>) -> Result<(), ConfigError> {
        let read = match PeerKey::read(line) {
            Ok(read) => read,
            Err(fault) => return Err(self.refuse("[Peer]", fault.what, &fault.mend)),
        };
        if matches!(read, PeerKey::PublicKey(_)) && self.has_key {
            let mend = "Write [Peer] above every peer";
            return Err(self.refuse("[Peer]", "this peer has a PublicKey already", mend));
        }
        let Some(peer) = self.changes.peers.last_mut() else {
            return Ok(()); // a section Peer has pushed one
        };
        match read {
            PeerKey::PublicKey(key) => {
                peer.public_key = key;
                self.has_key = true;
            }
            PeerKey::PresharedKey(key) => peer.preshared_key = Some(key),
            PeerKey::Endpoint(endpoint) => return self.endpoint(line, Some(endpoint)),
            PeerKey::EndpointName => return self.endpoint(line, None),
            PeerKey::PersistentKeepalive(seconds) => peer.persistent_keepalive = Some(seconds),
            PeerKey::AllowedIps(list) => {
                for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
                    match line::allowed_ip(text) {
                        Ok(prefix) => self.allowed_ip(prefix),
                        Err(fault) => {
                            return Err(self.refuse("[Peer]", fault.what, &fault.mend));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn allowed_ip(&mut self, prefix: IpNet) {
        self.prefixes.push((prefix, self.number));
        if let Some(peer) = self.changes.peers.last_mut() {
            peer.allowed_ips.push(AllowedIpChange { prefix, remove: false });
        }
    }

    fn finish(mut self) -> Result<QuickFile, ConfigError> {
        self.name_is_for_this_peer();
        self.end_of_section()?;
        self.warn_of_repeats();
        if self.more_warnings > 0 {
            let what = format!("there are {} more warnings like these", self.more_warnings);
            let place = Place::File(self.source.clone());
            self.warnings.push(Warning::new(place, "", what, ""));
        }
        let parsed = ParsedPeers { changes: self.changes, warnings: self.warnings, stamp: None };
        Ok(QuickFile { parsed, ..self.quick.unwrap_or_default() })
    }

    /// The kernel moves a prefix to the later peer, and takes the later section of the same peer for what it is.
    fn warn_of_repeats(&mut self) {
        for (prefix, earlier, line) in repeats(std::mem::take(&mut self.prefixes)) {
            self.number = line;
            self.warn("[Peer]", || {
                let what = format!("{prefix} stands in AllowedIPs of line {earlier} already");
                (what, "The later one has it; take one of them out".into())
            });
        }
        let peers = self.changes.peers.iter();
        for (key, earlier, line) in repeats(peers.map(|p| (p.public_key, p.line)).collect()) {
            self.number = line;
            self.warn("[Peer]", || {
                let what = format!("the peer {} stands at line {earlier} already", to_base64(&key));
                (what, "The later one holds; take one of them out".into())
            });
        }
    }
}

/// What is there more than once, with the line before and its own, in the order of the latter. By sorting: files
/// are in order more often than not, and then it is faster than a table of hashes.
fn repeats<T: Copy + Ord>(mut entries: Vec<(T, u32)>) -> Vec<(T, u32, u32)> {
    entries.sort_unstable();
    let pairs = entries.iter().zip(entries.iter().skip(1));
    let mut repeats: Vec<(T, u32, u32)> = pairs
        .filter(|((one, _), (next, _))| one == next)
        .map(|((what, earlier), (_, line))| (*what, *earlier, *line))
        .collect();
    repeats.sort_unstable_by_key(|(_, _, line)| *line);
    repeats
}
