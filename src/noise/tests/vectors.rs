//! Known answers: the RFCs', and a whole handshake computed by a program of its own (Python's hashlib and OpenSSL 3.0).

use super::{low_order_points, peer, seed};
use crate::noise::hash::{hash, hmac, kdf, mac};
use crate::noise::symmetric::{INITIAL_CHAINING_KEY, INITIAL_HASH, shared};
use crate::noise::{HandshakeError, HandshakeState, Identity, OpenedInitiation, PeerStatic, Tai64N};
use hmac::{KeyInit, Mac, SimpleHmac};
use proptest::prelude::*;
use std::time::Duration;
use x25519_dalek::StaticSecret;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    assert_eq!(text.len(), 2 * N);
    std::array::from_fn(|j| u8::from_str_radix(&text[2 * j..2 * j + 2], 16).unwrap())
}

/// RFC 7693, appendix B.
#[test]
fn blake2s_abc() {
    let expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
    assert_eq!(hex(&hash(&[b"abc"])), expected);
    assert_eq!(hex(&hash(&[b"", b"a", b"bc"])), expected);
}

#[test]
fn keyed_blake2s_with_16_bytes() {
    assert_eq!(hex(&mac(&seed(6), &[b"a", b"bc"])), "68de3cae46966cb640414c6fa0d647cc");
    let short: [u8; 16] = seed(7)[..16].try_into().unwrap();
    assert_eq!(hex(&mac(&short, &[b"abc"])), "2f34cde3222148d645efe9a2563f676c");
}

#[test]
fn hmac_and_key_derivation() {
    let expected = "98e3dc3f46910e8f14978a07d6ace11f0274a4bb8c780b08c3abd100a43f82b2";
    assert_eq!(hex(hmac(&seed(8), b"a", b"bc").as_slice()), expected);
    let all: [_; 3] = kdf(&seed(9), b"abc");
    assert_eq!(
        all.each_ref().map(|secret| hex(secret.as_slice())),
        [
            "5334c6768a274c02a424f1a6dc01b7011b15144012c7e16554f301708e2fb3e3",
            "01209de0907c718c2371bb96d3efbc29c8058d7422fda3d9dc418399b4722709",
            "c4e1e9bd935a6462d86259e94d1ddeb431b322906f03158cce2edb1b8a8a7ff1",
        ]
    );
    let [one] = kdf(&seed(9), b"abc");
    assert_eq!(one, all[0]);
    let two: [_; 2] = kdf(&seed(9), b"abc");
    assert_eq!(two[..], all[..2]);
}

proptest! {
    #[test]
    fn hmac_is_like_the_crate(key: [u8; 32], a: Vec<u8>, b: Vec<u8>) {
        let mut oracle = <SimpleHmac<blake2::Blake2s256> as KeyInit>::new_from_slice(&key).unwrap();
        oracle.update(&a);
        oracle.update(&b);
        let expected: [u8; 32] = oracle.finalize().into_bytes().into();
        prop_assert_eq!(*hmac(&key, &a, &b), expected);
    }

    /// The order of labels is the order of times, to 2^24 ns.
    #[test]
    fn timestamps_are_ordered(a in 0..4_000_000_000_000_000_000_u64, near in 0..100_000_000_u64) {
        let label = |nanos| Tai64N::from_unix(Duration::from_nanos(nanos));
        prop_assert!(label(a) <= label(a + near));
        prop_assert!(label(a) < label(a + (1 << 24)) || (a + (1 << 24)) % 1_000_000_000 < (1 << 24));
        prop_assert!(label(a) < label(a + 1_000_000_000));
        prop_assert!(Tai64N::default() < label(a));
        prop_assert_eq!(Tai64N::from_bytes(*label(a).bytes()), label(a));
    }
}

/// The handshake's two constants are what the paper computes them from.
/// PROTOCOL A1.26: the labels.
#[test]
fn initial_constants() {
    assert_eq!(hash(&[b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"]), INITIAL_CHAINING_KEY);
    assert_eq!(hash(&[&INITIAL_CHAINING_KEY, b"WireGuard v1 zx2c4 Jason@zx2c4.com"]), INITIAL_HASH);
}

/// RFC 7748, section 6.1.
#[test]
fn curve25519_of_the_rfc() {
    let alice = unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let [alice_public, bob_public] = [alice, bob].map(|secret| *Identity::new(&secret).public_key());
    assert_eq!(hex(&alice_public), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_eq!(hex(&bob_public), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    for (secret, public) in [(alice, bob_public), (bob, alice_public)] {
        let both = shared(&StaticSecret::from(secret), &public).unwrap();
        assert_eq!(hex(both.as_slice()), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    }
}

/// A2: all points of low order, also with the bit set that the curve ignores.
#[test]
fn points_of_low_order_are_refused() {
    let secret = StaticSecret::from(seed(1));
    for mut point in low_order_points() {
        for _ in 0..2 {
            assert_eq!(shared(&secret, &point).unwrap_err(), HandshakeError::LowOrder, "{}", hex(&point));
            let peer = PeerStatic::new(&Identity::new(&seed(1)), &point);
            assert_eq!(peer.unwrap_err(), HandshakeError::LowOrder);
            point[31] |= 0x80;
        }
    }
}

/// PROTOCOL A1.27: the label of a time.
#[test]
fn timestamps() {
    let label = |seconds, nanos| hex(Tai64N::from_unix(Duration::new(seconds, nanos)).bytes());
    assert_eq!(label(0, 0), "400000000000000a00000000");
    assert_eq!(label(1, (1 << 24) - 1), "400000000000000b00000000");
    assert_eq!(label(1, 1 << 24), "400000000000000b01000000");
    assert_eq!(label(1_700_000_000, 123_456_789), "400000006553f10a07000000");
    assert_eq!(label(1_700_000_000, 999_999_999), "400000006553f10a3b000000");
    assert_eq!(label(u64::MAX, 0), "ffffffffffffffff00000000");
}

/// Static keys `seed(1)` and `seed(2)`, ephemeral keys `seed(3)` and `seed(4)`, preshared key `seed(5)`.
#[test]
fn a_whole_handshake() {
    let expected_initiation = "0100000044332211e96fd9a312938a8a22154349fe3df0afb99ca4228c5ffbaa908c9cc4057e463a1b95\
87d560be9005e6c47cce654ebb9d826c06aec6df37097857110d1768cc664131c3ecd56f9658145f7004a302cc4ab32809f332d42bf2ed3a723a1038\
eb1d2aa1d9172111d982f9de68c61f3867c4994ba03e5e3692f13d32796f00000000000000000000000000000000";
    let expected_response = "02000000ddccbbaa443322112c6cd56ba0b7a9b126c0117757d2f70399ce7ef04967db967e571f3c8997103b\
f753c1b2dd9f0c200e3d260408ddaa925163859c2fcfeb81daf7acb7a77c4ea700000000000000000000000000000000";

    let (one, two) = (Identity::new(&seed(1)), Identity::new(&seed(2)));
    let (to_two, to_one) = (peer(&one, two.public_key()), peer(&two, one.public_key()));
    let timestamp = Tai64N::from_unix(Duration::new(1_700_000_000, 123_456_789));
    let (mut ours, mut theirs) = (HandshakeState::new(), HandshakeState::new());

    let initiation = ours
        .create_initiation(&one, &to_two, 0x1122_3344, timestamp, 0, &mut |bytes| bytes.copy_from_slice(&seed(3)))
        .unwrap();
    assert_eq!(hex(&initiation), expected_initiation);
    assert!(two.check_mac1(&initiation));

    let opened = OpenedInitiation::open(&two, &initiation).unwrap();
    assert_eq!(opened.static_public(), one.public_key());
    let accepted = opened.accept(&to_one, Tai64N::default(), None, 0).unwrap();
    assert_eq!((accepted.timestamp(), accepted.remote_index()), (timestamp, 0x1122_3344));
    let (response, responder) = theirs
        .respond(&to_one, accepted, &seed(5), 0xaabb_ccdd, 0, &mut |bytes| bytes.copy_from_slice(&seed(4)))
        .unwrap();
    assert_eq!(hex(&response), expected_response);
    assert!(one.check_mac1(&response));

    let initiator = ours.consume_response(&one, &seed(5), &response).unwrap();
    let to_responder = "471e51aaa74bd22adf739fb00a92ed99109fc293dcc90042689ab07c83c7aa4b";
    let to_initiator = "6dadcd2b7422145d6f66219b3e6a51f4a3e56022090ced491498f89cb7fa4b9e";
    assert_eq!(
        (hex(initiator.send.bytes()), hex(initiator.receive.bytes())),
        (to_responder.into(), to_initiator.into())
    );
    assert_eq!(
        (hex(responder.receive.bytes()), hex(responder.send.bytes())),
        (to_responder.into(), to_initiator.into())
    );
    assert_eq!((initiator.local_index, initiator.remote_index, initiator.initiator), (0x1122_3344, 0xaabb_ccdd, true));
    assert_eq!((responder.local_index, responder.remote_index, responder.initiator), (0xaabb_ccdd, 0x1122_3344, false));
}
