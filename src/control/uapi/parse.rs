//! Operations from bytes, as they come: `get=1\n\n`, or `set=1\n`, lines, `\n`.
//!
//! A stream, since one body may hold 500,000 peers (95 MB): nothing but the [`ChangeSet`] and the start of
//! a cut line is kept. After an error the rest of the body is read and dropped.

use super::device::Errno;
use super::value;
use crate::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use std::mem;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Longest line, without its newline; the longest that means anything has 80 or so.
const MAX_LINE_BYTES: usize = 1024;

/// What one body may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Times that a peer is named.
    pub peers: usize,
    /// Bytes with all newlines.
    pub body_bytes: u64,
}

impl Bounds {
    /// Bounds of an interface with so many peers at most: `wg syncconf` may remove all there are and name
    /// as many others, and a few peers may have a full table of routes.
    pub fn for_peers(max_peers: u32) -> Self {
        let peers = usize::try_from(max_peers).unwrap_or(usize::MAX);
        Self {
            peers: peers.saturating_mul(2).saturating_add(1024),
            body_bytes: (32 << 20) + 512 * u64::from(max_peers),
        }
    }
}

/// What a client asked for.
#[derive(Debug)]
pub enum Operation {
    /// Show the interface and its peers.
    Get,
    /// Change them.
    Set(ChangeSet),
}

/// Why nothing came of an operation. It holds no byte of what was sent, which may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line of the operation, 1 the first (`set=1`).
    pub line: u32,
    /// What is wrong with it.
    pub reason: Reason,
    /// The operation is a `get`, and answered like one.
    pub get: bool,
}

impl ParseError {
    /// The number for the client.
    pub fn errno(&self) -> Errno {
        self.reason.errno()
    }
}

/// See [`ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// The first line.
    #[error("neither get=1 nor set=1")]
    UnknownOperation,
    /// No `=`.
    #[error("not of the form key=value")]
    NotKeyValue,
    /// Or one that is not legal here, like a key of the interface after the first peer.
    #[error("a key that is unknown, or not legal here")]
    UnknownKey,
    /// The value of this key.
    #[error("bad value of {0}")]
    BadValue(&'static str),
    /// More than 1,024 bytes.
    #[error("too long")]
    LineTooLong,
    /// See [`Bounds`].
    #[error("more peers than the interface can have")]
    TooManyPeers,
    /// See [`Bounds`].
    #[error("the body is too large")]
    BodyTooLarge,
    /// Other clients are sending large bodies.
    #[error("too many large bodies at a time")]
    Busy,
    /// The client went away, or half closed the connection.
    #[error("the body ends before its blank line")]
    Truncated,
    /// The client stopped sending.
    #[error("the rest of the body did not come in time")]
    TimedOut,
}

impl Reason {
    fn errno(self) -> Errno {
        match self {
            Self::UnknownOperation | Self::NotKeyValue | Self::Truncated => Errno::PROTO,
            Self::UnknownKey | Self::BadValue(_) => Errno::INVAL,
            Self::LineTooLong => Errno::MSGSIZE,
            Self::TooManyPeers => Errno::NOSPC,
            Self::BodyTooLarge => Errno::TOOBIG,
            Self::Busy => Errno::BUSY,
            Self::TimedOut => Errno::TIMEDOUT,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two operations.
    Idle,
    Get,
    Set,
    Unknown,
}

/// Reads one connection's operations, one after the other.
///
/// # Invariants
/// With an error, `change` is empty; so no part of a bad body can come out.
#[derive(Debug)]
pub struct Parser {
    bounds: Bounds,
    state: State,
    change: ChangeSet,
    error: Option<ParseError>,
    partial: Partial,
    line: u32,
    body_bytes: u64,
}

impl Parser {
    /// Waits for a first operation.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: State::Idle,
            change: ChangeSet::default(),
            error: None,
            partial: Partial::default(),
            line: 0,
            body_bytes: 0,
        }
    }

    /// Takes bytes until an operation is whole or none are left. Says how many it took, and the operation;
    /// the rest belongs to the next one. Takes linear time, and never more memory than the bounds allow.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Option<Result<Operation, ParseError>>) {
        let mut rest = input;
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let Some((line, after)) = end.and_then(|end| rest.split_at_checked(end)) else {
                self.count(rest.len());
                self.partial.push(rest);
                return (input.len(), None);
            };
            rest = after.get(1..).unwrap_or_default();
            self.count(line.len() + 1);
            if let Some(done) = self.end_of_line(line) {
                return (input.len() - rest.len(), Some(done));
            }
        }
        (input.len(), None)
    }

    /// Not a byte of an operation has come since the last one.
    pub fn is_idle(&self) -> bool {
        self.body_bytes == 0
    }

    /// Bytes of the operation so far.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Has the operation fail for this reason at its end, unless it failed before.
    pub fn reject(&mut self, reason: Reason) {
        self.change = ChangeSet::default();
        let get = self.state == State::Get;
        self.error.get_or_insert(ParseError { line: self.line, reason, get });
    }

    /// Gives the operation up at once, without its end.
    pub fn abandon(&mut self, reason: Reason) -> ParseError {
        self.reject(reason);
        let error = self.error.unwrap_or(ParseError { line: self.line, reason, get: false });
        *self = Self::new(self.bounds);
        error
    }

    fn count(&mut self, bytes: usize) {
        self.body_bytes += bytes as u64;
        if self.body_bytes > self.bounds.body_bytes {
            self.reject(Reason::BodyTooLarge);
        }
    }

    /// `end` is the line, or what has come of it since [`Partial`] began.
    fn end_of_line(&mut self, end: &[u8]) -> Option<Result<Operation, ParseError>> {
        self.line = self.line.saturating_add(1);
        if self.partial.is_empty() && end.len() <= MAX_LINE_BYTES {
            return self.whole_line(end);
        }
        self.partial.push(end);
        // Taken out, and put back for its allocation.
        let mut partial = mem::take(&mut self.partial);
        let done = match partial.line() {
            Some(line) => self.whole_line(line),
            None => {
                self.begin_if_idle(b"");
                self.reject(Reason::LineTooLong);
                None
            }
        };
        partial.clear();
        self.partial = partial;
        done
    }

    fn whole_line(&mut self, line: &[u8]) -> Option<Result<Operation, ParseError>> {
        if line.is_empty() {
            return Some(self.finish());
        }
        if self.begin_if_idle(line) || self.error.is_some() {
            return None;
        }
        if let Err(reason) = self.body_line(line) {
            self.reject(reason);
        }
        None
    }

    /// Takes the line that an operation begins with, and says if it was one.
    fn begin_if_idle(&mut self, line: &[u8]) -> bool {
        if self.state != State::Idle {
            return false;
        }
        self.state = match line {
            b"get=1" => State::Get,
            b"set=1" => State::Set,
            _ => State::Unknown,
        };
        if self.state == State::Unknown {
            self.reject(Reason::UnknownOperation);
        }
        true
    }

    /// At the blank line; ready for the next operation after it.
    fn finish(&mut self) -> Result<Operation, ParseError> {
        if self.state == State::Idle {
            self.reject(Reason::UnknownOperation);
        }
        let result = match (self.error.take(), self.state) {
            (Some(error), _) => Err(error),
            (None, State::Set) => Ok(Operation::Set(self.take_change())),
            (None, _) => Ok(Operation::Get),
        };
        self.state = State::Idle;
        self.line = 0;
        self.body_bytes = 0;
        result
    }

    fn take_change(&mut self) -> ChangeSet {
        let change = ChangeSet {
            private_key: self.change.private_key.clone(),
            peers: mem::take(&mut self.change.peers),
            ..self.change
        };
        // Moving the key out would leave its bytes; dropping it wipes them.
        self.change = ChangeSet::default();
        change
    }

    fn body_line(&mut self, line: &[u8]) -> Result<(), Reason> {
        if self.state != State::Set {
            return Err(Reason::UnknownKey);
        }
        let equals = line.iter().position(|&byte| byte == b'=').ok_or(Reason::NotKeyValue)?;
        let (key, value) = line.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        if key == b"public_key" {
            return self.begin_peer(value);
        }
        let taken = match self.change.peers.last_mut() {
            Some(peer) => peer_line(peer, key, value),
            None => device_line(&mut self.change, key, value),
        };
        if matches!(key, b"private_key" | b"preshared_key") {
            // What is made on the stack next may be moved with what lies under its unused bytes.
            crate::noise::wipe_stack();
        }
        taken
    }

    fn begin_peer(&mut self, value: &[u8]) -> Result<(), Reason> {
        let key = value::key(value).ok_or(Reason::BadValue("public_key"))?;
        if self.change.peers.len() >= self.bounds.peers {
            return Err(Reason::TooManyPeers);
        }
        if self.change.peers.len() == self.change.peers.capacity() {
            grow(&mut self.change.peers);
        }
        let peer = PeerChange { public_key: *key, line: self.line, ..PeerChange::default() };
        self.change.peers.push(peer);
        Ok(())
    }
}

/// Never inlined, so that what it leaves on the stack lies below the caller's wiping.
#[inline(never)]
fn device_line(change: &mut ChangeSet, key: &[u8], value: &[u8]) -> Result<(), Reason> {
    match key {
        b"private_key" => change.private_key = Some(secret(value, "private_key")?),
        b"listen_port" => change.listen_port = Some(number(value, "listen_port")?),
        b"fwmark" => change.fwmark = Some(number(value, "fwmark")?),
        b"replace_peers" => change.replace_peers = truth(value, "replace_peers")?,
        _ => return Err(Reason::UnknownKey),
    }
    Ok(())
}

/// Never inlined, as above.
#[inline(never)]
fn peer_line(peer: &mut PeerChange, key: &[u8], value: &[u8]) -> Result<(), Reason> {
    match key {
        b"remove" => peer.remove = truth(value, "remove")?,
        b"update_only" => peer.update_only = truth(value, "update_only")?,
        b"preshared_key" => peer.preshared_key = Some(secret(value, "preshared_key")?),
        b"endpoint" => {
            peer.endpoint = Some(value::endpoint(value).ok_or(Reason::BadValue("endpoint"))?);
        }
        b"persistent_keepalive_interval" => {
            peer.persistent_keepalive = Some(number(value, "persistent_keepalive_interval")?);
        }
        b"replace_allowed_ips" => {
            peer.replace_allowed_ips = truth(value, "replace_allowed_ips")?;
            // The lines are orders, done one after the other: what came before goes as well.
            peer.allowed_ips.clear();
        }
        b"allowed_ip" => peer.allowed_ips.push(allowed_ip(value)?),
        b"protocol_version" if value == b"1" => {}
        b"protocol_version" => return Err(Reason::BadValue("protocol_version")),
        _ => return Err(Reason::UnknownKey),
    }
    Ok(())
}

fn allowed_ip(value: &[u8]) -> Result<AllowedIpChange, Reason> {
    let (remove, prefix) = value.strip_prefix(b"-").map_or((false, value), |prefix| (true, prefix));
    let prefix = value::prefix(prefix).ok_or(Reason::BadValue("allowed_ip"))?;
    Ok(AllowedIpChange { prefix, remove })
}

fn secret(value: &[u8], key: &'static str) -> Result<SecretKey, Reason> {
    let bytes = value::key(value).ok_or(Reason::BadValue(key))?;
    Ok(SecretKey::new(&bytes))
}

fn number<T: std::str::FromStr>(value: &[u8], key: &'static str) -> Result<T, Reason> {
    value::number(value).ok_or(Reason::BadValue(key))
}

fn truth(value: &[u8], key: &'static str) -> Result<bool, Reason> {
    value::truth(value).map(|()| true).ok_or(Reason::BadValue(key))
}

/// Doubles the room by hand: `Vec` would move the preshared keys and leave the old bytes in freed memory.
fn grow(peers: &mut Vec<PeerChange>) {
    let mut larger = Vec::with_capacity((peers.capacity() * 2).max(4));
    larger.extend(peers.iter_mut().map(|peer| PeerChange {
        preshared_key: peer.preshared_key.clone(),
        allowed_ips: mem::take(&mut peer.allowed_ips),
        name: peer.name.take(),
        ..*peer
    }));
    *peers = larger;
}

/// The start of a line whose end has not come yet; wiped after use.
#[derive(Default)]
struct Partial {
    /// Never grows past the capacity that it got at first.
    bytes: Zeroizing<Vec<u8>>,
    /// More came than a line may have; the rest is dropped.
    overlong: bool,
}

impl Partial {
    fn push(&mut self, more: &[u8]) {
        if self.overlong {
            return;
        }
        if self.bytes.len() + more.len() > MAX_LINE_BYTES {
            self.overlong = true;
            self.bytes.zeroize();
            return;
        }
        let room = MAX_LINE_BYTES - self.bytes.len();
        self.bytes.reserve_exact(room);
        self.bytes.extend_from_slice(more);
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.overlong
    }

    /// `None`: longer than a line may be.
    fn line(&self) -> Option<&[u8]> {
        (!self.overlong).then_some(self.bytes.as_slice())
    }

    fn clear(&mut self) {
        self.bytes.zeroize();
        self.overlong = false;
    }
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partial").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
