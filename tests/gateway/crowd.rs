//! Handshake messages by the thousand, good up to mac1, or up to mac2, and noise behind it: what a flood is made of.

use crate::harness::{LISTEN_PORT, ROUTER_MAC, WAN_MAC, server_identity};
use crate::packets::{self, addr};
use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};
use chacha20poly1305::{AeadInOut, KeyInit as _, XChaCha20Poly1305};
use std::net::{Ipv4Addr, SocketAddr};

/// Who sends them.
pub(crate) struct Crowd {
    mac1_key: [u8; 32],
    cookie_key: [u8; 32],
    count: u64,
}

/// Addresses that nobody here has, each with a port.
pub(crate) fn spoofed(number: u32) -> SocketAddr {
    let port = 1024 + (number % 60_000) as u16;
    SocketAddr::new(Ipv4Addr::from_bits(0x0b00_0000 + number).into(), port)
}

/// A message's frame from `at` to the gateway.
pub(crate) fn frame(at: SocketAddr, message: &[u8]) -> Vec<u8> {
    let to = if at.is_ipv4() { "192.0.2.1" } else { "2001:db8:1::1" };
    packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(at, SocketAddr::new(addr(to), LISTEN_PORT), 0, message))
}

/// The mac2 of a message is made with this cookie from here on.
pub(crate) fn with_mac2(mut message: Vec<u8>, cookie: &[u8; 16]) -> Vec<u8> {
    let at = message.len() - 16;
    let mac2 = keyed(cookie, &message[..at]);
    message[at..].copy_from_slice(&mac2);
    message
}

impl Crowd {
    pub(crate) fn new() -> Self {
        let labelled = |label: &[u8]| -> [u8; 32] {
            Blake2s256::new().chain_update(label).chain_update(server_identity().public_key()).finalize().into()
        };
        Self { mac1_key: labelled(b"mac1----"), cookie_key: labelled(b"cookie--"), count: 0 }
    }

    /// An initiation that only its mac1 makes worth anything; no two are the same.
    pub(crate) fn initiation(&mut self) -> Vec<u8> {
        self.message(1, 148)
    }

    /// A response to nothing, likewise.
    pub(crate) fn response(&mut self) -> Vec<u8> {
        self.message(2, 92)
    }

    /// A response to this initiation, by somebody who saw it and knows our public key, but no private one.
    pub(crate) fn response_to(&mut self, initiation: &[u8]) -> Vec<u8> {
        let mut response = self.message(2, 92);
        response[8..12].copy_from_slice(&initiation[4..8]);
        self.sealed(response)
    }

    /// The frame of an initiation from the spoofed source of this number.
    pub(crate) fn spoof(&mut self, number: u32) -> Vec<u8> {
        let message = self.initiation();
        frame(spoofed(number), &message)
    }

    /// The cookie in the reply to `message`; `None` if it is none, or does not answer that.
    pub(crate) fn cookie(&self, message: &[u8], reply: &[u8]) -> Option<[u8; 16]> {
        if reply.len() != 64 || reply[..4] != [3, 0, 0, 0] || reply[4..8] != message[4..8] {
            return None;
        }
        let mac1 = &message[message.len() - 32..message.len() - 16];
        let (nonce, mut cookie, tag): ([u8; 24], [u8; 16], [u8; 16]) =
            (reply[8..32].try_into().ok()?, reply[32..48].try_into().ok()?, reply[48..].try_into().ok()?);
        XChaCha20Poly1305::new(&self.cookie_key.into())
            .decrypt_inout_detached(&nonce.into(), mac1, cookie.as_mut_slice().into(), &tag.into())
            .ok()?;
        Some(cookie)
    }

    fn message(&mut self, kind: u8, len: usize) -> Vec<u8> {
        self.count += 1;
        let mut message = vec![0; len];
        for (place, chunk) in message[..len - 32].chunks_mut(32).enumerate() {
            let noise: [u8; 32] = Blake2s256::new()
                .chain_update(self.count.to_le_bytes())
                .chain_update(place.to_le_bytes())
                .finalize()
                .into();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
        message[..4].copy_from_slice(&[kind, 0, 0, 0]);
        self.sealed(message)
    }

    /// With a good mac1.
    fn sealed(&self, mut message: Vec<u8>) -> Vec<u8> {
        let at = message.len() - 32;
        let mac1 = keyed(&self.mac1_key, &message[..at]);
        message[at..at + 16].copy_from_slice(&mac1);
        message
    }
}

fn keyed(key: &[u8], bytes: &[u8]) -> [u8; 16] {
    use blake2::digest::{KeyInit, Mac};
    let mut mac = <Blake2sMac<U16> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}
