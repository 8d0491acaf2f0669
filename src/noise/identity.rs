//! Our own static key, and what is computed once for each peer's.

use super::hash::{Secret, hash, mac};
use super::message::{INITIATION_LEN, MAC_LEN, MACS_LEN, RESPONSE_LEN};
use super::symmetric::{INITIAL_HASH, Symmetric, shared};
use super::{HandshakeError, wipe_stack};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};

/// Our static key, with what every message to us needs. The secret is zeroed on drop. Shared by all handshake threads.
pub struct Identity {
    secret: StaticSecret,
    public: [u8; 32],
    /// Key of mac1 in messages to us: `Hash("mac1----" ‖ public)`.
    mac1_key: [u8; 32],
    /// Key of the cookie replies that we send: `Hash("cookie--" ‖ public)`.
    cookie_key: [u8; 32],
    /// The hash that handshakes to us start from: our public key is in it.
    initial_hash: [u8; 32],
}

impl Identity {
    /// From a private key; the curve's clamping is done on use. One base-point multiplication.
    pub fn new(private_key: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*private_key);
        let public = PublicKey::from(&secret).to_bytes();
        wipe_stack();
        let (mac1_key, cookie_key) = (mac1_key(&public), cookie_key(&public));
        Self { secret, public, mac1_key, cookie_key, initial_hash: initial_hash(&public) }
    }

    /// Our public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Our private key, for the key log alone.
    pub(crate) fn private_key(&self) -> Secret {
        Secret::new(self.secret.to_bytes())
    }

    /// Whether a message of the length of an initiation or a response carries the mac1 that belongs to us. Constant
    /// time, no curve operation: the first thing that is asked of such a message. `false` for every other length.
    pub fn check_mac1(&self, message: &[u8]) -> bool {
        if !matches!(message.len(), INITIATION_LEN | RESPONSE_LEN) {
            return false;
        }
        let Some((body, macs)) = message.split_last_chunk::<MACS_LEN>() else {
            return false;
        };
        let Some((mac1, _)) = macs.split_first_chunk::<MAC_LEN>() else {
            return false;
        };
        mac(&self.mac1_key, &[body]).ct_eq(mac1).into()
    }

    /// A thief's: one key to calculate with, another to show.
    #[cfg(test)]
    pub(super) fn with_claimed_public_key(private_key: &[u8; 32], claimed: &[u8; 32]) -> Self {
        Self { public: *claimed, ..Self::new(private_key) }
    }

    /// Diffie-Hellman with our static key.
    pub(super) fn shared(&self, public: &[u8; 32]) -> Result<Secret, HandshakeError> {
        shared(&self.secret, public)
    }

    /// The key of cookie replies that we send.
    pub(super) fn cookie_key(&self) -> &[u8; 32] {
        &self.cookie_key
    }

    /// The state that a handshake to us starts from.
    pub(super) fn handshake(&self) -> Symmetric {
        Symmetric::new(self.initial_hash)
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What handshakes with one peer share: 96 bytes. It depends on our identity too: made anew when that changes.
///
/// It costs one curve multiplication (about 40 µs), so it is made at the first handshake, not when 500,000 peers
/// are configured.
pub struct PeerStatic {
    public: [u8; 32],
    /// Static-static Diffie-Hellman, zeroed on drop.
    static_static: Secret,
    /// Key of mac1 in messages to the peer.
    mac1_key: [u8; 32],
}

impl PeerStatic {
    /// For the peer with this public key.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`]: no handshake with such a key can be safe.
    pub fn new(identity: &Identity, public_key: &[u8; 32]) -> Result<Self, HandshakeError> {
        let static_static = identity.shared(public_key);
        wipe_stack();
        Ok(Self { public: *public_key, static_static: static_static?, mac1_key: mac1_key(public_key) })
    }

    /// The peer's public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Diffie-Hellman of both static keys.
    pub(super) fn static_static(&self) -> &Secret {
        &self.static_static
    }

    /// mac1 over the front of a message to the peer.
    pub(super) fn mac1(&self, body: &[u8]) -> [u8; MAC_LEN] {
        mac(&self.mac1_key, &[body])
    }

    /// The state that a handshake to the peer starts from.
    pub(super) fn handshake(&self) -> Symmetric {
        Symmetric::new(initial_hash(&self.public))
    }

    /// The key of cookie replies that the peer sends.
    pub(super) fn cookie_key(&self) -> [u8; 32] {
        cookie_key(&self.public)
    }
}

impl core::fmt::Debug for PeerStatic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PeerStatic").field("public", &self.public).finish_non_exhaustive()
    }
}

fn mac1_key(public: &[u8; 32]) -> [u8; 32] {
    hash(&[b"mac1----", public])
}

fn cookie_key(public: &[u8; 32]) -> [u8; 32] {
    hash(&[b"cookie--", public])
}

/// H := Hash(H ‖ the responder's static public key)
fn initial_hash(responder: &[u8; 32]) -> [u8; 32] {
    hash(&[&INITIAL_HASH, responder])
}
