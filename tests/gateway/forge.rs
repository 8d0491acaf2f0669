//! Handshake messages whose mac1 is good whatever is wrong in them, and cookie replies as a responder under load makes them.

use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};

/// Bytes of mac1 and mac2 together, at the end of an initiation and a response.
const MACS: usize = 32;

fn labelled(label: &[u8], public_key: &[u8; 32]) -> [u8; 32] {
    Blake2s256::new().chain_update(label).chain_update(public_key).finalize().into()
}

fn keyed(key: &[u8], bytes: &[u8]) -> [u8; 16] {
    use blake2::digest::{KeyInit, Mac};
    Blake2sMac::<U16>::new_from_slice(key).unwrap().chain_update(bytes).finalize().into_bytes().into()
}

/// Makes mac1 of an initiation or a response to `receiver` good again.
pub(crate) fn with_mac1(mut message: Vec<u8>, receiver: &[u8; 32]) -> Vec<u8> {
    let at = message.len() - MACS;
    let mac1 = keyed(&labelled(b"mac1----", receiver), &message[..at]);
    message[at..at + 16].copy_from_slice(&mac1);
    message
}

/// Its mac1.
pub(crate) fn mac1(message: &[u8]) -> [u8; 16] {
    *message[message.len() - MACS..].first_chunk().unwrap()
}

/// Its mac2.
pub(crate) fn mac2(message: &[u8]) -> [u8; 16] {
    *message.last_chunk().unwrap()
}

/// The mac2 that this cookie gives to a message.
pub(crate) fn mac2_of(cookie: &[u8; 16], message: &[u8]) -> [u8; 16] {
    keyed(cookie, &message[..message.len() - 16])
}

/// A cookie reply of the owner of `from` to the message with this sender index and mac1 (PROTOCOL A3.4).
pub(crate) fn cookie_reply(from: &[u8; 32], receiver: u32, mac1: &[u8; 16], cookie: &[u8; 16]) -> Vec<u8> {
    use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
    let (nonce, mut sealed) = ([0x24; 24], *cookie);
    let tag = XChaCha20Poly1305::new(&labelled(b"cookie--", from).into())
        .encrypt_inout_detached(&nonce.into(), mac1, sealed.as_mut_slice().into())
        .unwrap();
    [&[3, 0, 0, 0], &receiver.to_le_bytes()[..], &nonce, &sealed, &tag].concat()
}

/// The seven encodings below 2^255 of points of low order (RFC 7748, section 6.1; Wycheproof's list).
pub(crate) fn low_order_points() -> [[u8; 32]; 7] {
    let small = |first: u8| {
        let mut point = [0; 32];
        point[0] = first;
        point
    };
    let near_the_prime = |first: u8| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (first, 0x7f);
        point
    };
    let of = |words: [u64; 4]| {
        let mut point = [0; 32];
        for (bytes, word) in point.chunks_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        point
    };
    [
        small(0),
        small(1),
        of([0xe0eb_7a7c_3b41_b8ae, 0x1656_e3fa_f19f_c46a, 0xda09_8deb_9c32_b1fd, 0x8662_0516_5f49_b800]),
        of([0x5f9c_95bc_a350_8c24, 0xb1d0_b155_9c83_ef5b, 0x0444_5cc4_581c_8e86, 0xd822_4edd_d09f_1157]),
        near_the_prime(0xec),
        near_the_prime(0xed),
        near_the_prime(0xee),
    ]
}
