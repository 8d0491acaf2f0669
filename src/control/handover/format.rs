//! One frame of a stream: what is said of the gateway, of an interface, of a peer.
//!
//! Frames are written by serde and postcard (little-endian, varints). A change of anything here is a new [`VERSION`].

use super::stream::FormatError;
use crate::aead::Key;
use crate::session::limits::{REJECT_AFTER_MESSAGES, ZERO_KEYS_AFTER_MS};
use crate::session::{REPLAY_WORDS, ReplayWindow};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// The form that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;
/// Bytes of a frame, at most: a peer with three keypairs whose windows have holes everywhere.
pub const MOST_FRAME: usize = 6 << 10;
/// Times of the data path and of the control threads may lie so far beyond the moment of the capture.
const SLACK_MS: u64 = 10_000;

/// One frame.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first one.
    Head(Head),
    /// An interface: all of them come before the peers.
    Interface(InterfaceFrame),
    /// A peer.
    Peer(Box<PeerFrame>),
    /// The last one: how many came before it.
    End(u64),
}

/// When and where it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The kernel's boot id: times mean nothing in another boot.
    pub boot: u128,
    /// CLOCK_BOOTTIME, ms.
    pub taken_ms: u64,
    /// What tags of preshared keys are made with.
    pub salt: [u8; 32],
}

/// An interface. Peers name it by its place among the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFrame {
    /// Its name in the configuration.
    pub name: String,
    /// Of the key that its sessions were made with, if it had one.
    pub public_key: Option<[u8; 32]>,
}

/// A peer. Times are CLOCK_BOOTTIME in ms.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFrame {
    /// Its interface.
    pub tunnel: u8,
    /// Its public key.
    pub public_key: [u8; 32],
    /// The tag of its preshared key; `None`: it had none.
    pub preshared: Option<[u8; 16]>,
    /// Where it is, and which address and port of ours it talked to.
    pub endpoint: Option<(SocketAddr, Option<SocketAddr>)>,
    /// The endpoint that it was given last.
    pub configured: Option<SocketAddr>,
    /// Where people were last told that it is.
    pub told: Option<SocketAddr>,
    /// [`crate::peer::Stamps::times`]
    pub stamps: [u64; 4],
    /// [`crate::peer::Peer::byte_counts`]
    pub bytes: [u64; 4],
    /// TAI64N of the last initiation that was accepted.
    pub last_timestamp: Option<[u8; 12]>,
    /// TAI64N of our last one.
    pub last_timestamp_sent: Option<[u8; 12]>,
    /// When an initiation was last accepted.
    pub last_consumed_ms: Option<u64>,
    /// When an initiation or response was last sent.
    pub last_handshake_sent_ms: Option<u64>,
    /// When a handshake was last complete, since the Unix epoch.
    pub last_handshake: Option<Duration>,
    /// When its key material is wiped.
    pub wiped_at_ms: Option<u64>,
    /// Next, current, previous.
    pub keypairs: [Option<KeypairFrame>; 3],
}

/// A keypair.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeypairFrame {
    /// Our index.
    pub local_index: u32,
    /// The peer's.
    pub remote_index: u32,
    /// When it was made.
    pub created_ms: u64,
    /// The counter to send next.
    pub nonce: u64,
    /// The handshake was ours.
    pub initiator: bool,
    /// [`crate::session::Keypair::with_precedence`]
    pub precedes: bool,
    /// [`crate::session::Keypair::has_asked`]
    pub asked: bool,
    /// Seals what we send.
    pub send: Secret,
    /// Opens what we receive.
    pub receive: Secret,
    /// Which counters came.
    pub window: Window,
}

/// A replay window. All of it is kept; most have long runs of equal words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The greatest counter accepted, plus one.
    pub next: u64,
    /// The ring from its first word on: how many equal words, and which.
    pub runs: Vec<(u8, u64)>,
}

/// 32 secret bytes, zeroed on drop.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// A copy of a key.
    pub fn of(key: &Key) -> Self {
        Self(Zeroizing::new(*key.bytes()))
    }

    /// The key.
    pub fn key(&self) -> Key {
        Key::new(*self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Window {
    /// What there is to keep of a window, while nobody accepts.
    pub fn of(window: &ReplayWindow) -> Self {
        let (next, words) = window.words();
        let runs = words.chunk_by(|a, b| a == b);
        let run = |run: &[u64]| Some((u8::try_from(run.len()).ok()?, *run.first()?));
        Self { next, runs: runs.filter_map(run).collect() }
    }

    /// The window; `None` if this is none.
    pub fn window(&self) -> Option<ReplayWindow> {
        let mut words = [0; REPLAY_WORDS];
        let mut rest = words.as_mut_slice();
        for (count, word) in &self.runs {
            let (run, others) = rest.split_at_mut_checked(usize::from(*count))?;
            run.fill(*word);
            rest = others;
        }
        if rest.is_empty() { ReplayWindow::of_words(self.next, &words) } else { None }
    }
}

/// One frame, without its length. Nothing may stand behind it. Pure.
///
/// # Errors
/// [`FormatError::Frame`].
pub fn parse(bytes: &[u8]) -> Result<Frame, FormatError> {
    match postcard::take_from_bytes(bytes) {
        Ok((frame, [])) => Ok(frame),
        Ok(_) => Err(FormatError::Frame("something behind its end")),
        Err(_) => Err(FormatError::Frame("fields that are none")),
    }
}

impl PeerFrame {
    /// Whether each field can be, in a stream of so many interfaces that was written at `taken_ms`.
    pub(super) fn check(&self, interfaces: usize, taken_ms: u64) -> Result<(), FormatError> {
        let latest = taken_ms.saturating_add(SLACK_MS);
        let last = [self.last_consumed_ms, self.last_handshake_sent_ms].into_iter().flatten();
        let born = self.keypairs.iter().flatten().map(|keypair| keypair.created_ms);
        let is_windowless = |keypair: &KeypairFrame| keypair.window.window().is_none();
        let odd = if usize::from(self.tunnel) >= interfaces {
            "an interface that is not listed"
        } else if self.stamps.into_iter().chain(last).chain(born).any(|time| time > latest) {
            "a time that has not come yet"
        } else if self.wiped_at_ms.is_some_and(|at| at > latest.saturating_add(ZERO_KEYS_AFTER_MS)) {
            "a time to wipe keys that is too far away"
        } else if self.keypairs.iter().flatten().any(|keypair| keypair.nonce > REJECT_AFTER_MESSAGES) {
            "a counter beyond the last one"
        } else if self.keypairs.iter().flatten().any(is_windowless) {
            "a replay window that is none"
        } else {
            return Ok(());
        };
        Err(FormatError::Frame(odd))
    }
}
