//! A peer's initiation, in the order in which it is trusted: opened, then accepted, then answered.

use super::hash::Secret;
use super::initiator::ephemeral;
use super::message::{self, INITIATION_LEN, RESPONSE_LEN, initiation, response};
use super::random::Random;
use super::symmetric::{Symmetric, shared};
use super::{HandshakeError, Identity, PeerStatic, SessionSecrets, Tai64N, wipe_stack};
use crate::aead::Key;
use crate::session::limits::INITIATION_SPACING_MS;
use x25519_dalek::PublicKey;

/// An initiation that says who sent it. It may still be an old one, or made without that peer's private key.
pub struct OpenedInitiation {
    symmetric: Symmetric,
    ephemeral: [u8; 32],
    static_public: [u8; 32],
    sealed_timestamp: [u8; 28],
    remote_index: u32,
}

impl OpenedInitiation {
    /// Decrypts the sender's static public key. The caller has checked mac1 (and mac2 under load); this costs one
    /// curve multiplication, and changes no state.
    ///
    /// # Errors
    /// [`HandshakeError::Type`], [`HandshakeError::LowOrder`], [`HandshakeError::Tag`].
    pub fn open(identity: &Identity, message: &[u8; INITIATION_LEN]) -> Result<Self, HandshakeError> {
        let result = read_initiation(identity, message);
        wipe_stack();
        result
    }

    /// Whom to look up. Not yet proven: [`Self::accept`] does that.
    pub fn static_public(&self) -> &[u8; 32] {
        &self.static_public
    }

    /// Proves that `peer` sent it, and that it is newer than all before: its timestamp is greater than
    /// `last_timestamp` (the newest accepted; default: none yet), and the last one accepted, at `last_consumed_ms`,
    /// is at least 20 ms away from `now_ms` (boottime). The caller stores both anew if the answer is good, before
    /// anyone else can ask with the old ones.
    ///
    /// # Errors
    /// [`HandshakeError::Peer`], [`HandshakeError::Tag`], [`HandshakeError::Replayed`], [`HandshakeError::TooSoon`].
    pub fn accept(
        self,
        peer: &PeerStatic,
        last_timestamp: Tai64N,
        last_consumed_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<AcceptedInitiation, HandshakeError> {
        let result = self.prove(peer, last_timestamp, last_consumed_ms, now_ms);
        wipe_stack();
        result
    }

    /// Never inlined, so that what it leaves on the stack lies below the caller's wiping.
    #[inline(never)]
    fn prove(
        mut self,
        peer: &PeerStatic,
        last_timestamp: Tai64N,
        last_consumed_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<AcceptedInitiation, HandshakeError> {
        if self.static_public != *peer.public_key() {
            return Err(HandshakeError::Peer);
        }
        let key: Secret = self.symmetric.mix_shared_to_key(peer.static_static());
        let timestamp = Tai64N::from_bytes(self.symmetric.open(&key, &self.sealed_timestamp)?);
        if timestamp <= last_timestamp {
            return Err(HandshakeError::Replayed);
        }
        // The difference either way: a clock that jumps back must not lock a peer out for as long.
        if last_consumed_ms.is_some_and(|last_ms| now_ms.abs_diff(last_ms) < INITIATION_SPACING_MS) {
            return Err(HandshakeError::TooSoon);
        }
        Ok(AcceptedInitiation { opened: self, timestamp })
    }
}

impl core::fmt::Debug for OpenedInitiation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OpenedInitiation").field("static_public", &self.static_public).finish_non_exhaustive()
    }
}

/// An initiation that the peer made, newer than all before. [`super::HandshakeState::respond`] answers it.
#[derive(Debug)]
pub struct AcceptedInitiation {
    opened: OpenedInitiation,
    timestamp: Tai64N,
}

impl AcceptedInitiation {
    /// The greatest one seen from this peer from now on.
    pub fn timestamp(&self) -> Tai64N {
        self.timestamp
    }

    /// The peer's index for the session.
    pub fn remote_index(&self) -> u32 {
        self.opened.remote_index
    }

    /// WireGuard paper, section 5.4.3, the responder's side. Never inlined, so that what it leaves on the stack lies
    /// below the caller's wiping.
    #[inline(never)]
    pub(super) fn write_response(
        self,
        psk: &[u8; 32],
        sender_index: u32,
        random: Random<'_>,
    ) -> Result<([u8; RESPONSE_LEN], SessionSecrets), HandshakeError> {
        let OpenedInitiation { mut symmetric, ephemeral: peer_ephemeral, static_public, remote_index, .. } =
            self.opened;
        let ephemeral = ephemeral(random);
        let ephemeral_public = PublicKey::from(&ephemeral).to_bytes();
        symmetric.mix_ephemeral(&ephemeral_public);
        symmetric.mix_shared(&shared(&ephemeral, &peer_ephemeral)?);
        symmetric.mix_shared(&shared(&ephemeral, &static_public)?);
        let key: Secret = symmetric.mix_psk(psk);
        let mut nothing = [0; 16];
        symmetric.seal(&key, &mut nothing);

        let mut message = [0; RESPONSE_LEN];
        message::put::<{ message::TYPE }, 4, _>(&mut message, &response::TYPE.to_le_bytes());
        message::put::<{ message::INDEX }, 4, _>(&mut message, &sender_index.to_le_bytes());
        message::put::<{ response::RECEIVER }, 4, _>(&mut message, &remote_index.to_le_bytes());
        message::put::<{ response::EPHEMERAL }, 32, _>(&mut message, &ephemeral_public);
        message::put::<{ response::NOTHING }, 16, _>(&mut message, &nothing);

        let mut secrets = SessionSecrets {
            send: Key::new([0; 32]),
            receive: Key::new([0; 32]),
            local_index: sender_index,
            remote_index,
            initiator: false,
        };
        symmetric.split(&mut secrets.receive, &mut secrets.send);
        Ok((message, secrets))
    }
}

/// WireGuard paper, section 5.4.2, the responder's side, up to the static key. Never inlined, as above.
#[inline(never)]
fn read_initiation(identity: &Identity, message: &[u8; INITIATION_LEN]) -> Result<OpenedInitiation, HandshakeError> {
    if message::word::<{ message::TYPE }, _>(message) != initiation::TYPE {
        return Err(HandshakeError::Type);
    }
    let mut symmetric = identity.handshake();
    let ephemeral: [u8; 32] = message::field::<{ initiation::EPHEMERAL }, 32, _>(message);
    symmetric.mix_ephemeral(&ephemeral);
    let key: Secret = symmetric.mix_shared_to_key(&identity.shared(&ephemeral)?);
    let sealed_static: [u8; 48] = message::field::<{ initiation::STATIC }, 48, _>(message);
    let static_public = symmetric.open(&key, &sealed_static)?;
    Ok(OpenedInitiation {
        symmetric,
        ephemeral,
        static_public,
        sealed_timestamp: message::field::<{ initiation::TIMESTAMP }, 28, _>(message),
        remote_index: message::word::<{ message::INDEX }, _>(message),
    })
}
