//! The running hash and chaining key of one handshake (Noise specification, section 5.2; WireGuard paper, 5.4).

use super::HandshakeError;
use super::hash::{Secret, hash, kdf};
use crate::aead::{Key, TAG_LEN};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// `Hash("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")`; a test computes it again.
pub(super) const INITIAL_CHAINING_KEY: [u8; 32] = [
    0x60, 0xe2, 0x6d, 0xae, 0xf3, 0x27, 0xef, 0xc0, 0x2e, 0xc3, 0x35, 0xe2, 0xa0, 0x25, 0xd2, 0xd0, 0x16, 0xeb, 0x42,
    0x06, 0xf8, 0x72, 0x77, 0xf5, 0x2d, 0x38, 0xd1, 0x98, 0x8b, 0x78, 0xcd, 0x36,
];

/// `Hash(INITIAL_CHAINING_KEY ‖ "WireGuard v1 zx2c4 Jason@zx2c4.com")`; a test computes it again.
pub(super) const INITIAL_HASH: [u8; 32] = [
    0x22, 0x11, 0xb3, 0x61, 0x08, 0x1a, 0xc5, 0x66, 0x69, 0x12, 0x43, 0xdb, 0x45, 0x8a, 0xd5, 0x32, 0x2d, 0x9c, 0x6c,
    0x66, 0x22, 0x93, 0xe8, 0xb7, 0x0e, 0xe1, 0x9c, 0x65, 0xba, 0x07, 0x9e, 0xf3,
];

/// Hash and chaining key. Zeroed on drop; both parties hold the same after each message.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Symmetric {
    hash: [u8; 32],
    chaining_key: [u8; 32],
}

impl Symmetric {
    /// The start of a handshake whose responder's static key was hashed into `hash` already.
    pub(super) fn new(hash: [u8; 32]) -> Self {
        Self { hash, chaining_key: INITIAL_CHAINING_KEY }
    }

    /// H := Hash(H ‖ data)
    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    /// An ephemeral public key of either side: C := Kdf1(C, key), H := Hash(H ‖ key).
    pub(super) fn mix_ephemeral(&mut self, public: &[u8; 32]) {
        let [chaining_key] = kdf(&self.chaining_key, public);
        self.chaining_key = *chaining_key;
        self.mix_hash(public);
    }

    /// C := Kdf1(C, shared)
    pub(super) fn mix_shared(&mut self, shared: &Secret) {
        let [chaining_key] = kdf(&self.chaining_key, shared.as_slice());
        self.chaining_key = *chaining_key;
    }

    /// (C, k) := Kdf2(C, shared); the key k encrypts one field.
    pub(super) fn mix_shared_to_key(&mut self, shared: &Secret) -> Secret {
        let [chaining_key, key] = kdf(&self.chaining_key, shared.as_slice());
        self.chaining_key = *chaining_key;
        key
    }

    /// (C, t, k) := Kdf3(C, psk), H := Hash(H ‖ t)
    pub(super) fn mix_psk(&mut self, psk: &[u8; 32]) -> Secret {
        let [chaining_key, temporary, key] = kdf(&self.chaining_key, psk);
        self.chaining_key = *chaining_key;
        self.mix_hash(temporary.as_slice());
        key
    }

    /// Encrypts the front of `field` in place, writes the tag behind it, and hashes both: `Aead(key, 0, field, H)`.
    pub(super) fn seal<const N: usize>(&mut self, key: &Secret, field: &mut [u8; N]) {
        const { assert!(N >= TAG_LEN) };
        let (text, room) = field.split_at_mut(N - TAG_LEN);
        let tag = ChaCha20Poly1305::new((&**key).into())
            .encrypt_inout_detached(&[0; 12].into(), &self.hash, text.into())
            .expect("a field of a handshake message is shorter than the cipher's limit");
        room.copy_from_slice(&tag);
        self.mix_hash(field);
    }

    /// Opens what `seal` made; `T` bytes of plaintext.
    pub(super) fn open<const N: usize, const T: usize>(
        &mut self,
        key: &Secret,
        field: &[u8; N],
    ) -> Result<[u8; T], HandshakeError> {
        const { assert!(T + TAG_LEN == N) };
        let (sealed, tag) = field.split_last_chunk::<TAG_LEN>().ok_or(HandshakeError::Tag)?;
        let mut text = [0; T];
        text.copy_from_slice(sealed);
        ChaCha20Poly1305::new((&**key).into())
            .decrypt_inout_detached(&[0; 12].into(), &self.hash, text.as_mut_slice().into(), tag.into())
            .map_err(|_| HandshakeError::Tag)?;
        self.mix_hash(field);
        Ok(text)
    }

    /// The two data keys, the initiator's sending key first: Kdf2(C, ε).
    pub(super) fn split(&self, first: &mut Key, second: &mut Key) {
        let [one, two] = kdf(&self.chaining_key, &[]);
        *first.bytes_mut() = *one;
        *second.bytes_mut() = *two;
    }
}

/// Diffie-Hellman on Curve25519; an all-zero result is refused, whoever's key it is (RFC 7748, section 6.1).
pub(super) fn shared(secret: &StaticSecret, public: &[u8; 32]) -> Result<Secret, HandshakeError> {
    DH_COUNT.set(DH_COUNT.get() + 1);
    let shared = secret.diffie_hellman(&PublicKey::from(*public));
    if shared.was_contributory() { Ok(Zeroizing::new(shared.to_bytes())) } else { Err(HandshakeError::LowOrder) }
}

thread_local! {
    static DH_COUNT: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
}

/// Diffie-Hellman calculations of the calling thread so far: what a forged message must not cost. Each takes some 40 µs.
pub fn dh_count() -> u64 {
    DH_COUNT.get()
}
