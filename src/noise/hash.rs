//! BLAKE2s as hash, as MAC, in HMAC and in the key derivation (WireGuard paper, section 5.4; RFC 7693; RFC 2104).

use blake2::digest::{KeyInit, Mac, consts::U16};
use blake2::{Blake2s256, Blake2sMac, Digest};
use zeroize::Zeroizing;

/// A derived secret: 32 bytes, zeroed on drop.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// Input block of BLAKE2s.
const BLOCK_LEN: usize = 64;

/// `Hash(a ‖ b ‖ …)`: BLAKE2s, 32 bytes.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut blake = Blake2s256::new();
    for part in parts {
        blake.update(part);
    }
    blake.finalize().into()
}

/// `Mac(key, a ‖ b ‖ …)`: keyed BLAKE2s with 16 bytes of output.
pub(super) fn mac<const K: usize>(key: &[u8; K], parts: &[&[u8]]) -> [u8; 16] {
    const { assert!(K <= 32, "BLAKE2s takes keys of at most 32 bytes") };
    let mut blake = Blake2sMac::<U16>::new_from_slice(key).expect("the length is asserted above");
    for part in parts {
        blake.update(part);
    }
    blake.finalize().into_bytes().into()
}

/// `Hmac(key, a ‖ b)`: RFC 2104 over BLAKE2s. The key is not longer than a block, so it is never hashed.
pub(super) fn hmac(key: &[u8; 32], a: &[u8], b: &[u8]) -> Secret {
    let mut pad = Zeroizing::new([0x36; BLOCK_LEN]);
    for (pad, key) in pad.iter_mut().zip(key) {
        *pad ^= key;
    }
    let inner = Zeroizing::new(hash(&[pad.as_slice(), a, b]));
    for byte in pad.iter_mut() {
        *byte ^= 0x36 ^ 0x5c;
    }
    Zeroizing::new(hash(&[pad.as_slice(), inner.as_slice()]))
}

/// `Kdf_N(key, input)`: N secrets out of a chaining key and an input.
pub(super) fn kdf<const N: usize>(key: &[u8; 32], input: &[u8]) -> [Secret; N] {
    const { assert!(N >= 1 && N <= 3) };
    let extracted = hmac(key, input, &[]);
    let mut outputs = core::array::from_fn(|_| Zeroizing::new([0; 32]));
    let mut last: Secret = Zeroizing::new([0; 32]);
    for (number, output) in (1_u8..).zip(&mut outputs) {
        let previous: &[u8] = if number == 1 { &[] } else { last.as_slice() };
        let next = hmac(&extracted, previous, &[number]);
        last.copy_from_slice(next.as_slice());
        output.copy_from_slice(next.as_slice());
    }
    outputs
}
