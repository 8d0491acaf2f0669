//! Wycheproof's vectors for what is below the handshake and the cookies.

use crate::noise::symmetric::shared;
use crate::noise::{HandshakeError, Identity, PeerStatic};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use wycheproof::{TestResult, aead, xdh};
use x25519_dalek::StaticSecret;

/// A2: the 31 whose result is zero are refused, here and as a peer's key; all others are as they say.
#[test]
fn x25519() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut all, mut zero) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let id = test.tc_id;
        let [private, public, expected] = [&test.private_key, &test.public_key, &test.shared_secret]
            .map(|b| <[u8; 32]>::try_from(b.as_slice()).unwrap());
        all += 1;
        let got = shared(&StaticSecret::from(private), &public);
        if expected == [0; 32] {
            zero += 1;
            assert_eq!(got.unwrap_err(), HandshakeError::LowOrder, "vector {id}");
            let peer = PeerStatic::new(&Identity::new(&private), &public);
            assert_eq!(peer.unwrap_err(), HandshakeError::LowOrder, "vector {id}");
        } else {
            assert_ne!(test.result, TestResult::Invalid, "vector {id}");
            assert_eq!(*got.unwrap(), expected, "vector {id}");
        }
    }
    assert_eq!((all, zero), (518, 31));
}

/// The cipher of cookie replies, called as the cookies' code calls it.
#[test]
fn xchacha20_poly1305() {
    let set = aead::TestSet::load(aead::TestName::XChaCha20Poly1305).unwrap();
    let (mut run, mut other_nonces) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (id, valid) = (test.tc_id, test.result == TestResult::Valid);
        // Any other length is no nonce of the cipher: its type does not let it in.
        let Ok(nonce) = <[u8; 24]>::try_from(test.nonce.as_slice()) else {
            assert!(!valid, "vector {id}");
            other_nonces += 1;
            continue;
        };
        run += 1;
        let key: [u8; 32] = test.key.as_slice().try_into().unwrap();
        let tag: [u8; 16] = test.tag.as_slice().try_into().unwrap();
        let cipher = XChaCha20Poly1305::new(&key.into());

        let mut buffer = test.pt.to_vec();
        let made = cipher.encrypt_inout_detached(&nonce.into(), &test.aad, buffer.as_mut_slice().into()).unwrap();
        assert_eq!((buffer.as_slice(), made.as_slice()) == (&test.ct, &test.tag), valid, "vector {id}");

        let mut buffer = test.ct.to_vec();
        let opened = cipher.decrypt_inout_detached(&nonce.into(), &test.aad, buffer.as_mut_slice().into(), &tag.into());
        assert_eq!(opened.is_ok(), valid, "vector {id}");
        assert!(!valid || buffer == test.pt.as_slice(), "vector {id}");
    }
    assert_eq!((run, other_nonces), (306, 9));
}
