//! The peer's handshake state: our initiation in flight, and what its answers do.

use super::cookie::CookieState;
use super::hash::Secret;
use super::message::{self, COOKIE_REPLY_LEN, INITIATION_LEN, RESPONSE_LEN, initiation, response};
use super::random::Random;
use super::responder::AcceptedInitiation;
use super::symmetric::{Symmetric, shared};
use super::{HandshakeError, Identity, PeerStatic, SessionSecrets, Tai64N, wipe_stack};
use crate::aead::Key;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// One peer's handshakes: at most one initiation of ours waits for its response, and only the newest. Being asked by
/// the peer meanwhile leaves it waiting, so that two peers that initiate at once both come through.
///
/// Whoever holds the peer's handshakes uses it; one thread at a time. Zeroed on drop.
#[derive(Default)]
pub struct HandshakeState {
    pending: Option<Pending>,
    cookies: CookieState,
}

/// Between an initiation sent and its response. All of it is zeroed on drop.
struct Pending {
    local_index: u32,
    ephemeral: StaticSecret,
    symmetric: Symmetric,
}

impl HandshakeState {
    /// No handshake in flight, no cookie.
    pub fn new() -> Self {
        Self::default()
    }

    /// The index that our initiation in flight waits for. When a new one replaces it, or [`Self::clear`] ends it, the
    /// caller gives the old index back.
    pub fn pending_index(&self) -> Option<u32> {
        self.pending.as_ref().map(|pending| pending.local_index)
    }

    /// Forgets the initiation in flight and its secrets; a cookie stays good.
    pub fn clear(&mut self) {
        self.pending = None;
    }

    /// A new initiation to `peer`, complete with both macs; an older one in flight can no longer be answered.
    /// `now_ms` is boottime, for the age of a cookie; `timestamp` has to be newer than the last one sent.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`] cannot come from a [`PeerStatic`] that exists; it is checked all the same.
    pub fn create_initiation(
        &mut self,
        identity: &Identity,
        peer: &PeerStatic,
        sender_index: u32,
        timestamp: Tai64N,
        now_ms: u64,
        random: Random<'_>,
    ) -> Result<[u8; INITIATION_LEN], HandshakeError> {
        self.pending = None;
        let result = write_initiation(identity, peer, sender_index, timestamp, random);
        wipe_stack();
        let (mut message, pending) = result?;
        self.pending = Some(pending);
        self.cookies.seal(peer, &mut message, now_ms);
        Ok(message)
    }

    /// Completes our initiation with the peer's response, whose mac1 the caller has checked. Whatever is wrong with
    /// the response leaves the initiation waiting for the right one.
    ///
    /// # Errors
    /// [`HandshakeError::NotPending`], [`HandshakeError::Type`], [`HandshakeError::LowOrder`], [`HandshakeError::Tag`].
    pub fn consume_response(
        &mut self,
        identity: &Identity,
        psk: &[u8; 32],
        message: &[u8; RESPONSE_LEN],
    ) -> Result<SessionSecrets, HandshakeError> {
        let pending = self.pending.as_ref().ok_or(HandshakeError::NotPending)?;
        let result = read_response(pending, identity, psk, message);
        wipe_stack();
        let secrets = result?;
        self.pending = None;
        Ok(secrets)
    }

    /// The response to an accepted initiation, complete with both macs, and the session that it makes. An initiation
    /// of our own in flight is left alone.
    ///
    /// # Errors
    /// [`HandshakeError::LowOrder`].
    pub fn respond(
        &mut self,
        peer: &PeerStatic,
        accepted: AcceptedInitiation,
        psk: &[u8; 32],
        sender_index: u32,
        now_ms: u64,
        random: Random<'_>,
    ) -> Result<([u8; RESPONSE_LEN], SessionSecrets), HandshakeError> {
        let result = accepted.write_response(psk, sender_index, random);
        wipe_stack();
        let (mut message, secrets) = result?;
        self.cookies.seal(peer, &mut message, now_ms);
        Ok((message, secrets))
    }

    /// Stores the cookie of a reply to the last message that we sent to `peer`: messages of the next 115 s carry a
    /// mac2. Nothing is sent, and the endpoint must not move for it.
    ///
    /// # Errors
    /// [`HandshakeError::Type`], [`HandshakeError::NoMac1`], [`HandshakeError::Tag`]; nothing changes then.
    pub fn consume_cookie_reply(
        &mut self,
        peer: &PeerStatic,
        reply: &[u8; COOKIE_REPLY_LEN],
        now_ms: u64,
    ) -> Result<(), HandshakeError> {
        let result = self.cookies.consume(peer, reply, now_ms);
        wipe_stack();
        result
    }
}

impl core::fmt::Debug for HandshakeState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HandshakeState").field("pending", &self.pending_index()).finish_non_exhaustive()
    }
}

/// A fresh ephemeral key.
pub(super) fn ephemeral(random: Random<'_>) -> StaticSecret {
    let mut bytes = Zeroizing::new([0; 32]);
    random(bytes.as_mut_slice());
    StaticSecret::from(*bytes)
}

/// WireGuard paper, section 5.4.2. Never inlined, so that what it leaves on the stack lies below the caller's wiping.
#[inline(never)]
fn write_initiation(
    identity: &Identity,
    peer: &PeerStatic,
    sender_index: u32,
    timestamp: Tai64N,
    random: Random<'_>,
) -> Result<([u8; INITIATION_LEN], Pending), HandshakeError> {
    let mut symmetric = peer.handshake();
    let ephemeral = ephemeral(random);
    let ephemeral_public = PublicKey::from(&ephemeral).to_bytes();
    symmetric.mix_ephemeral(&ephemeral_public);

    let key: Secret = symmetric.mix_shared_to_key(&shared(&ephemeral, peer.public_key())?);
    let mut sealed_static = [0; 48];
    message::put::<0, 32, 48>(&mut sealed_static, identity.public_key());
    symmetric.seal(&key, &mut sealed_static);

    let key: Secret = symmetric.mix_shared_to_key(peer.static_static());
    let mut sealed_timestamp = [0; 28];
    message::put::<0, 12, 28>(&mut sealed_timestamp, timestamp.bytes());
    symmetric.seal(&key, &mut sealed_timestamp);

    let mut message = [0; INITIATION_LEN];
    message::put::<{ message::TYPE }, 4, _>(&mut message, &initiation::TYPE.to_le_bytes());
    message::put::<{ message::INDEX }, 4, _>(&mut message, &sender_index.to_le_bytes());
    message::put::<{ initiation::EPHEMERAL }, 32, _>(&mut message, &ephemeral_public);
    message::put::<{ initiation::STATIC }, 48, _>(&mut message, &sealed_static);
    message::put::<{ initiation::TIMESTAMP }, 28, _>(&mut message, &sealed_timestamp);
    Ok((message, Pending { local_index: sender_index, ephemeral, symmetric }))
}

/// WireGuard paper, section 5.4.3, the initiator's side. Never inlined, as above.
#[inline(never)]
fn read_response(
    pending: &Pending,
    identity: &Identity,
    psk: &[u8; 32],
    message: &[u8; RESPONSE_LEN],
) -> Result<SessionSecrets, HandshakeError> {
    if message::word::<{ message::TYPE }, _>(message) != response::TYPE {
        return Err(HandshakeError::Type);
    }
    if message::word::<{ response::RECEIVER }, _>(message) != pending.local_index {
        return Err(HandshakeError::NotPending);
    }
    let mut symmetric = pending.symmetric.clone();
    let ephemeral_public: [u8; 32] = message::field::<{ response::EPHEMERAL }, 32, _>(message);
    symmetric.mix_ephemeral(&ephemeral_public);
    symmetric.mix_shared(&shared(&pending.ephemeral, &ephemeral_public)?);
    symmetric.mix_shared(&identity.shared(&ephemeral_public)?);
    let key: Secret = symmetric.mix_psk(psk);
    let nothing: [u8; 16] = message::field::<{ response::NOTHING }, 16, _>(message);
    let []: [u8; 0] = symmetric.open(&key, &nothing)?;

    let mut secrets = SessionSecrets {
        send: Key::new([0; 32]),
        receive: Key::new([0; 32]),
        local_index: pending.local_index,
        remote_index: message::word::<{ message::INDEX }, _>(message),
        initiator: true,
    };
    symmetric.split(&mut secrets.send, &mut secrets.receive);
    Ok(secrets)
}
