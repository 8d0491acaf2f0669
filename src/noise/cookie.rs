//! What we send under a peer's load: mac1 always, mac2 while a cookie is fresh (WireGuard paper, section 5.4.4).

use super::hash::mac;
use super::message::{self, COOKIE_REPLY_LEN, MAC_LEN, MACS_LEN, cookie_reply};
use super::{HandshakeError, PeerStatic};
use crate::session::limits::COOKIE_USABLE_MS;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The last mac1 that went to a peer, and the cookie that came back. Zeroed on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct CookieState {
    /// Of the last message sent, until a cookie reply to it was taken.
    mac1: Option<[u8; MAC_LEN]>,
    /// The cookie and when it came, boottime in milliseconds.
    cookie: Option<([u8; MAC_LEN], u64)>,
}

impl CookieState {
    /// Completes a message to `peer`: mac1 over what is before it, mac2 over that and mac1, or zeros.
    pub(super) fn seal<const L: usize>(&mut self, peer: &PeerStatic, message: &mut [u8; L], now_ms: u64) {
        const { assert!(L > MACS_LEN) };
        let (body, macs) = message.split_at_mut(L - MACS_LEN);
        let (mac1, mac2) = macs.split_at_mut(MAC_LEN);
        let sum = peer.mac1(body);
        mac1.copy_from_slice(&sum);
        self.mac1 = Some(sum);
        match &self.cookie {
            Some((cookie, born_ms)) if now_ms.saturating_sub(*born_ms) < COOKIE_USABLE_MS => {
                mac2.copy_from_slice(&mac(cookie, &[body, mac1]));
            }
            _ => mac2.fill(0),
        }
    }

    /// Takes the cookie out of a reply to the last message sent; each message takes one reply.
    pub(super) fn consume(
        &mut self,
        peer: &PeerStatic,
        reply: &[u8; COOKIE_REPLY_LEN],
        now_ms: u64,
    ) -> Result<(), HandshakeError> {
        if message::word::<{ message::TYPE }, _>(reply) != cookie_reply::TYPE {
            return Err(HandshakeError::Type);
        }
        let mac1 = self.mac1.ok_or(HandshakeError::NoMac1)?;
        let nonce: [u8; 24] = message::field::<{ cookie_reply::NONCE }, 24, _>(reply);
        let mut cookie: [u8; MAC_LEN] = message::field::<{ cookie_reply::COOKIE }, MAC_LEN, _>(reply);
        let tag: [u8; 16] = message::field::<{ cookie_reply::COOKIE + MAC_LEN }, 16, _>(reply);
        XChaCha20Poly1305::new(&peer.cookie_key().into())
            .decrypt_inout_detached(&nonce.into(), &mac1, cookie.as_mut_slice().into(), &tag.into())
            .map_err(|_| HandshakeError::Tag)?;
        self.cookie = Some((cookie, now_ms));
        self.mac1 = None;
        cookie.zeroize();
        Ok(())
    }
}
