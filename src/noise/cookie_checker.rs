//! Who asks under load, is told a cookie first (WireGuard paper, sections 5.3, 5.4.4 and 5.4.7; PROTOCOL A3, 4): the responder's side.
//!
//! A cookie proves that its owner receives what is sent to its address and port. Nothing is kept for it but one secret.

use super::hash::mac;
use super::message::{self, COOKIE_REPLY_LEN, INITIATION_LEN, MAC_LEN, MACS_LEN, RESPONSE_LEN, cookie_reply};
use super::random::Random;
use super::{Identity, wipe_stack};
use crate::session::limits::COOKIE_SECRET_MAX_AGE_MS;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Where a handshake message came from: a cookie is good for this address *and* this port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address; IPv4 as v4-mapped IPv6.
    pub address: [u8; 16],
    /// The UDP port.
    pub port: u16,
}

/// The secret behind the cookies that we give out. It changes every two minutes, lazily, and is zeroed then and on drop. One handshake
/// thread's own; a cookie under the secret before is no longer good, and its owner is told a new one.
#[derive(Default)]
pub struct CookieChecker {
    secret: Zeroizing<[u8; 32]>,
    /// When it was drawn, boottime; `None`: not yet.
    born_ms: Option<u64>,
}

impl CookieChecker {
    /// Without a secret: it is drawn at the first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether mac2 of an initiation or a response was made with the cookie of its source. Constant time; two hashes.
    /// `false` for every other length, and, without a hash, for a mac2 of zeros: nobody claims a cookie then.
    pub fn check_mac2(&mut self, message: &[u8], source: Source, now_ms: u64, random: Random<'_>) -> bool {
        let Some((signed, mac2)) = macs(message).map(|(_, signed, mac2)| (signed, mac2)) else { return false };
        if *mac2 == [0; MAC_LEN] {
            return false;
        }
        let cookie = self.cookie(source, now_ms, random);
        mac(&cookie, &[signed]).ct_eq(mac2).into()
    }

    /// The cookie reply to an initiation or a response, whose mac1 the caller has checked: bound to that mac1, and sealed so that only
    /// who knows our public key reads it. `None` for every other length. No curve operation.
    pub fn reply(
        &mut self,
        identity: &Identity,
        message: &[u8],
        source: Source,
        now_ms: u64,
        random: Random<'_>,
    ) -> Option<[u8; COOKIE_REPLY_LEN]> {
        let (mac1, ..) = macs(message)?;
        let sender: [u8; 4] = *message.get(message::INDEX..)?.first_chunk()?;
        let mut nonce = [0; 24];
        random(&mut nonce);
        let mut cookie = self.cookie(source, now_ms, random);
        let tag = XChaCha20Poly1305::new(identity.cookie_key().into())
            .encrypt_inout_detached(&nonce.into(), mac1, cookie.as_mut_slice().into())
            .ok()?;
        let mut reply = [0; COOKIE_REPLY_LEN];
        message::put::<{ message::TYPE }, 4, _>(&mut reply, &cookie_reply::TYPE.to_le_bytes());
        message::put::<{ message::INDEX }, 4, _>(&mut reply, &sender);
        message::put::<{ cookie_reply::NONCE }, 24, _>(&mut reply, &nonce);
        message::put::<{ cookie_reply::COOKIE }, MAC_LEN, _>(&mut reply, &cookie);
        message::put::<{ cookie_reply::COOKIE + MAC_LEN }, 16, _>(&mut reply, &tag.into());
        Some(reply)
    }

    /// `Mac(secret, address ‖ port)`.
    fn cookie(&mut self, source: Source, now_ms: u64, random: Random<'_>) -> Zeroizing<[u8; MAC_LEN]> {
        // The difference either way: a clock that jumps back must not make a secret live longer.
        if self.born_ms.is_none_or(|born_ms| now_ms.abs_diff(born_ms) >= COOKIE_SECRET_MAX_AGE_MS) {
            self.secret.zeroize();
            random(self.secret.as_mut_slice());
            self.born_ms = Some(now_ms);
            wipe_stack();
        }
        Zeroizing::new(mac(&self.secret, &[&source.address, &source.port.to_be_bytes()]))
    }
}

impl core::fmt::Debug for CookieChecker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CookieChecker").field("born_ms", &self.born_ms).finish_non_exhaustive()
    }
}

/// mac1, what mac2 is over, and mac2, of a message of the length of an initiation or a response.
fn macs(message: &[u8]) -> Option<(&[u8; MAC_LEN], &[u8], &[u8; MAC_LEN])> {
    if !matches!(message.len(), INITIATION_LEN | RESPONSE_LEN) {
        return None;
    }
    let (signed, mac2) = message.split_last_chunk::<MAC_LEN>()?;
    let (_, mac1) = signed.split_last_chunk::<MAC_LEN>()?;
    Some((mac1, signed, mac2))
}

const _: () = assert!(MACS_LEN == 2 * MAC_LEN);
// No reply is longer than what it answers: nobody's bandwidth is multiplied.
const _: () = assert!(COOKIE_REPLY_LEN < RESPONSE_LEN && COOKIE_REPLY_LEN < INITIATION_LEN);
