//! The handshake: `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` as WireGuard uses it, without I/O.
//!
//! Time and randomness are passed in; nothing here blocks, and nothing is shared. It runs on handshake threads, never
//! on the packet path. Source: the WireGuard paper, section 5.4, and the Noise specification, revision 34.
//!
//! * as initiator: [`HandshakeState::create_initiation`], then [`HandshakeState::consume_response`];
//! * as responder: [`Identity::check_mac1`], [`OpenedInitiation::open`] (who is it?), [`OpenedInitiation::accept`] (is
//!   it fresh?), [`HandshakeState::respond`];
//! * a cookie reply: [`HandshakeState::consume_cookie_reply`];
//! * under load: [`CookieChecker`].
//!
//! Temporaries are zeroed when they go out of scope, and the stack that the calculations used is wiped behind them.

mod cookie;
mod cookie_checker;
mod hash;
mod identity;
mod initiator;
mod message;
mod random;
mod responder;
mod symmetric;
mod tai64n;
#[cfg(test)]
mod tests;

pub use cookie_checker::{CookieChecker, Source};
pub use identity::{Identity, PeerStatic};
pub use initiator::HandshakeState;
pub use message::{COOKIE_REPLY_LEN, INITIATION_LEN, RESPONSE_LEN};
pub use random::{Random, os_random};
pub use responder::{AcceptedInitiation, OpenedInitiation};
pub use symmetric::dh_count;
pub use tai64n::Tai64N;

use crate::aead::Key;

/// Why a handshake message is not answered. All of them are silent on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Its type, with the reserved bytes, is not what was expected.
    #[error("not a message of the expected type")]
    Type,
    /// A Diffie-Hellman result is all zero: a point of low order.
    #[error("public key of low order")]
    LowOrder,
    /// An authentication tag is wrong: another key, another preshared key, or a changed message.
    #[error("authentication failed")]
    Tag,
    /// It names another static key than the peer's that it is handled for.
    #[error("another peer's static key")]
    Peer,
    /// Its timestamp is not newer than the newest accepted one.
    #[error("timestamp is not newer")]
    Replayed,
    /// It comes within 20 ms of the last one accepted from this peer.
    #[error("initiations follow too closely")]
    TooSoon,
    /// No initiation of ours, or not this one, waits for it.
    #[error("no initiation waits for this response")]
    NotPending,
    /// Nothing was sent that it could answer, or it answered already.
    #[error("no message of ours waits for a cookie")]
    NoMac1,
}

/// What a handshake yields: one key a direction. Zeroed on drop.
#[derive(Debug)]
pub struct SessionSecrets {
    /// Seals what we send.
    pub send: Key,
    /// Opens what we receive.
    pub receive: Key,
    /// Our index: peers put it into what they send.
    pub local_index: u32,
    /// The peer's index: we put it into what we send.
    pub remote_index: u32,
    /// Whether the handshake was ours: only then we rekey by age.
    pub initiator: bool,
}

/// Overwrites the stack below the caller, where finished calls left copies of secrets (moves and spilled registers,
/// which no destructor reaches). The functions here wipe what their calculations used; a handshake thread calls it in
/// its outermost loop, after it has installed a keypair, for the copies that moving the keys has made.
#[inline(never)]
pub fn wipe_stack() {
    use zeroize::Zeroize;
    // 64-bit words, since each is one volatile store. The curve's functions use less than this.
    let mut below = [0_u64; 4096];
    below.zeroize();
    core::hint::black_box(&mut below);
}
