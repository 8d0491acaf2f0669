//! The responder's cookies: against our own initiator, against boringtun, and against the words of the paper.

use super::{Side, random, seed, sides};
use crate::noise::hash::{hash, mac};
use crate::noise::{COOKIE_REPLY_LEN, CookieChecker, HandshakeError, Identity, Source, dh_count};
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};

fn source(last: u8, port: u16) -> Source {
    let mut address = [0; 16];
    address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, last]);
    Source { address, port }
}

/// All other sources that a cookie of `source(1, 4000)` must not be good for: each bit of the address, and of the port.
fn others() -> Vec<Source> {
    let mut others = Vec::new();
    for bit in 0..128 {
        let mut other = source(1, 4000);
        other.address[bit / 8] ^= 1 << (bit % 8);
        others.push(other);
    }
    others.extend((0..16).map(|bit| source(1, 4000 ^ 1 << bit)));
    others
}

/// The reply of `checker` to `message`, taken by its sender.
fn take(checker: &mut CookieChecker, by: &mut Side, identity: &Identity, message: &[u8], now_ms: u64) {
    let reply = checker.reply(identity, message, source(1, 4000), now_ms, &mut random(9)).unwrap();
    assert_eq!((&reply[..4], &reply[4..8]), (&[3, 0, 0, 0][..], &message[4..8]));
    by.state.consume_cookie_reply(&by.peer, &reply, now_ms).unwrap();
}

#[test]
fn our_own_initiations_and_responses_come_through_with_a_cookie() {
    let (mut one, mut two) = sides();
    let (mut checker, mut random) = (CookieChecker::new(), random(1));
    let first = one.initiate(1, 1);
    assert!(!checker.check_mac2(&first, source(1, 4000), 1000, &mut random), "no cookie yet");
    take(&mut checker, &mut one, &two.identity, &first, 1000);
    let second = one.initiate(2, 2);
    let before = dh_count();
    assert!(checker.check_mac2(&second, source(1, 4000), 2000, &mut random));
    for other in others() {
        assert!(!checker.check_mac2(&second, other, 2000, &mut random), "{other:?}");
    }
    for place in 0..second.len() {
        let mut changed = second;
        changed[place] ^= 1 << (place % 8);
        assert!(!checker.check_mac2(&changed, source(1, 4000), 2000, &mut random), "byte {place}");
    }
    assert_eq!(dh_count(), before, "no curve operation");
    // The same for a response: its sender is who is asked for a cookie.
    let mut checker = CookieChecker::new();
    let (response, _) = two.respond(&second, &[0; 32], 3, 3000).unwrap();
    assert!(!checker.check_mac2(&response, source(1, 4000), 3000, &mut random));
    take(&mut checker, &mut two, &one.identity, &response, 3000);
    let (response, _) = two.respond(&one.initiate(4, 4), &[0; 32], 5, 4000).unwrap();
    assert!(checker.check_mac2(&response, source(1, 4000), 4000, &mut random));
    assert!(!checker.check_mac2(&response, source(1, 4001), 4000, &mut random));
}

/// PROTOCOL A1.15: 120 s.
#[test]
fn a_cookie_ends_with_its_secret() {
    let (mut one, two) = sides();
    let (mut checker, mut random) = (CookieChecker::new(), random(1));
    let message = one.initiate(1, 1);
    take(&mut checker, &mut one, &two.identity, &message, 1000);
    let message = one.initiate(2, 2);
    let mut good = |now_ms| checker.check_mac2(&message, source(1, 4000), now_ms, &mut random);
    assert!(good(1000) && good(120_999));
    assert!(!good(121_000), "a new secret");
    assert!(!good(120_999), "the old one is gone");
    // The new one's life begins at its first use; a clock that jumps back ends it too.
    let message = one.initiate(3, 3);
    take(&mut checker, &mut one, &two.identity, &message, 121_000);
    let message = one.initiate(4, 4);
    assert!(checker.check_mac2(&message, source(1, 4000), 240_999, &mut random));
    assert!(!checker.check_mac2(&message, source(1, 4000), 0, &mut random));
}

#[test]
fn a_reply_is_what_the_paper_says() {
    let (mut one, two) = sides();
    let message = one.initiate(0x1122_3344, 1);
    let mut random = random(77);
    let (mut nonce, mut secret) = ([0; 24], [0; 32]);
    {
        let mut again = super::random(77);
        again(&mut nonce);
        again(&mut secret);
    }
    let reply = CookieChecker::new().reply(&two.identity, &message, source(1, 4000), 5, &mut random).unwrap();
    assert_eq!(reply[..8], [3, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]);
    assert_eq!(reply[8..32], nonce);
    let key = hash(&[b"cookie--", two.identity.public_key()]);
    let mut cookie: [u8; 16] = reply[32..48].try_into().unwrap();
    let tag: [u8; 16] = reply[48..].try_into().unwrap();
    XChaCha20Poly1305::new(&key.into())
        .decrypt_inout_detached(&nonce.into(), &message[116..132], cookie.as_mut_slice().into(), &tag.into())
        .unwrap();
    let from = [&source(1, 4000).address[..], &4000_u16.to_be_bytes()].concat();
    assert_eq!(cookie, mac(&secret, &[&from]));
    assert!(reply.len() < message.len());
}

#[test]
fn only_the_message_that_was_answered_takes_the_reply() {
    let (mut one, two) = sides();
    let mut checker = CookieChecker::new();
    let old = one.initiate(1, 1);
    let reply = checker.reply(&two.identity, &old, source(1, 1), 0, &mut random(1)).unwrap();
    one.initiate(2, 2);
    let taken = one.state.consume_cookie_reply(&one.peer, &reply, 0);
    assert_eq!(taken, Err(HandshakeError::Tag), "mac1 of another message");
}

#[test]
fn other_lengths_have_neither_mac2_nor_reply() {
    let (one, _) = sides();
    let mut checker = CookieChecker::new();
    for len in (0..2000).filter(|len| ![148, 92].contains(len)) {
        let message = vec![0x5a; len];
        assert!(!checker.check_mac2(&message, source(1, 1), 0, &mut random(1)));
        assert_eq!(checker.reply(&one.identity, &message, source(1, 1), 0, &mut random(1)), None);
    }
}

/// boringtun takes our cookie, and its next initiation carries a mac2 that is good for its address and port alone.
#[test]
fn boringtun_comes_through_with_our_cookie() {
    let ours = Identity::new(&seed(1));
    let mut tunn = Tunn::new(StaticSecret::from(seed(2)), PublicKey::from(*ours.public_key()), None, None, 0x77, None);
    let (mut checker, mut random) = (CookieChecker::new(), random(1));
    let mut room = [0; 4096];
    let initiate = |tunn: &mut Tunn| -> Vec<u8> {
        let mut room = [0; 4096];
        match tunn.format_handshake_initiation(&mut room, true) {
            TunnResult::WriteToNetwork(message) => message.to_vec(),
            other => panic!("no initiation: {other:?}"),
        }
    };
    let first = initiate(&mut tunn);
    assert!(ours.check_mac1(&first) && !checker.check_mac2(&first, source(1, 4000), 0, &mut random));
    let reply = checker.reply(&ours, &first, source(1, 4000), 0, &mut random).unwrap();
    assert_eq!(reply.len(), COOKIE_REPLY_LEN);
    assert!(matches!(tunn.decapsulate(None, &reply, &mut room), TunnResult::Done));
    let second = initiate(&mut tunn);
    assert!(ours.check_mac1(&second) && checker.check_mac2(&second, source(1, 4000), 1, &mut random));
    for other in others() {
        assert!(!checker.check_mac2(&second, other, 1, &mut random), "{other:?}");
    }
}
