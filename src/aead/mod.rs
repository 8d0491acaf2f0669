//! ChaCha20-Poly1305 (RFC 8439) as WireGuard uses it for data messages, in batches: each job has a key of its own.
//!
//! Nonce: four zero bytes, then the message's counter as 64 bits little-endian. Associated data: none
//! (WireGuard paper, section 5.4.6). All backends give the same bytes; `portable` is the reference of the others.

mod backend;
#[cfg(test)]
mod differential;
#[cfg(all(feature = "dpdk", target_arch = "x86_64"))]
mod ipsec_mb;
#[cfg(not(all(feature = "dpdk", target_arch = "x86_64")))]
mod not_built;
mod portable;
mod self_test;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "CPU features, loads, stores and assembly")]
mod simd;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

pub use backend::{Backend, ChooseError, Cipher, CpuFeatures, Lack};
pub use self_test::SelfTestError;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the Poly1305 tag behind each ciphertext.
pub const TAG_LEN: usize = 16;

/// 32 secret bytes, zeroed on drop. There is no `Clone`: a key lives in one place.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// Takes the bytes over; whoever calls wipes their own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for ciphers and key schedules only.
    #[inline]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The bytes, to derive a key in its place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// What seals and opens batches: a [`Cipher`], or in tests one with faults.
trait Batches {
    /// See [`Cipher::seal`].
    fn seal(&mut self, jobs: &mut [Job<'_>]);
    /// See [`Cipher::open`].
    fn open(&mut self, jobs: &mut [Job<'_>]);
}

/// One message to seal or to open.
#[derive(Debug)]
pub struct Job<'a> {
    /// Of the direction that the message goes.
    pub key: &'a Key,
    /// The message's counter. For `seal` it was never used with this key before.
    pub counter: u64,
    /// For `seal`: the plaintext, then [`TAG_LEN`] bytes of room (their content does not matter). For `open`: the
    /// ciphertext with its tag; the plaintext is then in front of the last [`TAG_LEN`] bytes.
    pub buffer: &'a mut [u8],
    /// The verdict, written by `seal` and `open`; what stood there before does not matter. Without it the buffer is
    /// neither to be sent nor to be delivered: `open` never leaves plaintext there.
    pub ok: bool,
    /// What stands in the nonce before the counter: zero in WireGuard, anything in published vectors.
    #[cfg(test)]
    pub(crate) nonce_prefix: [u8; 4],
}

impl<'a> Job<'a> {
    /// A job that has not run: `ok` is false.
    pub fn new(key: &'a Key, counter: u64, buffer: &'a mut [u8]) -> Self {
        Self {
            key,
            counter,
            buffer,
            ok: false,
            #[cfg(test)]
            nonce_prefix: [0; 4],
        }
    }

    /// The 96-bit nonce of its counter (WireGuard paper, section 5.4.6). Every backend takes it from here.
    #[inline]
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_le_bytes());
        #[cfg(test)]
        nonce[..4].copy_from_slice(&self.nonce_prefix);
        nonce
    }
}
