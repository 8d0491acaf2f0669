//! What must be refused, and must change nothing (TESTING A1, A2, A14, A25).

use super::{Side, assert_session, at, low_order_points, peer, random, seed, sides, with_mac1};
use crate::noise::{
    COOKIE_REPLY_LEN, HandshakeError, HandshakeState, INITIATION_LEN, Identity, OpenedInitiation, PeerStatic,
    RESPONSE_LEN, Tai64N, dh_count,
};

fn refused<T>(result: Result<T, HandshakeError>) -> HandshakeError {
    result.err().expect("it was accepted")
}

/// PROTOCOL A3.1: mac1 covers all before it.
#[test]
fn mac1_covers_every_byte_before_it() {
    let (mut one, mut two) = sides();
    let initiation = one.initiate(1, 1);
    let (response, _) = two.respond(&initiation, &[0; 32], 2, 1000).unwrap();
    for (identity, message) in [(&two.identity, initiation.as_slice()), (&one.identity, &response)] {
        assert!(identity.check_mac1(message));
        for place in 0..message.len() {
            let mut changed = message.to_vec();
            changed[place] ^= 1 << (place % 8);
            let mac2 = place >= message.len() - 16;
            assert_eq!(identity.check_mac1(&changed), mac2, "byte {place} of {}", message.len());
        }
    }
    assert!(!one.identity.check_mac1(&initiation), "meant for someone else");
}

#[test]
fn mac1_is_false_for_every_other_length() {
    let (mut one, two) = sides();
    let mut message = one.initiate(1, 1).to_vec();
    message.resize(2000, 0);
    for len in (0..2000).filter(|len| ![INITIATION_LEN, RESPONSE_LEN].contains(len)) {
        let mac1 = one.peer.mac1(&message[..len.saturating_sub(32)]);
        let mut message = message[..len].to_vec();
        if let Some(place) = len.checked_sub(32) {
            message[place..place + 16].copy_from_slice(&mac1);
        }
        assert!(!two.identity.check_mac1(&message), "length {len}");
    }
}

/// A2: what each step may cost; before mac1 is right, nothing.
/// TESTING A2: no Diffie-Hellman before mac1 is right.
#[test]
fn diffie_hellman_is_only_done_for_those_who_got_so_far() {
    fn cost<T>(step: impl FnOnce() -> T) -> (u64, T) {
        let before = dh_count();
        let result = step();
        (dh_count() - before, result)
    }
    let (mut one, mut two) = sides();
    let (create, initiation) = cost(|| one.initiate(1, 1));
    let (check, _) = cost(|| two.identity.check_mac1(&initiation));
    let mut forged = initiation;
    forged[116] ^= 1;
    let (check_forged, good) = cost(|| two.identity.check_mac1(&forged));
    assert!(!good);
    let (respond, response) = cost(|| two.respond(&initiation, &[0; 32], 2, 1000));
    let (respond_again, _) = cost(|| two.respond(&initiation, &[0; 32], 2, 2000));
    let (response, _) = response.unwrap();
    let mut other = response;
    other[8] ^= 1;
    let (finish_other, _) = cost(|| one.finish(&[0; 32], &other));
    let (finish, _) = cost(|| one.finish(&[0; 32], &response));
    assert_eq!((create, check, check_forged), (1, 0, 0));
    assert_eq!((respond, respond_again), (3, 1));
    assert_eq!((finish_other, finish), (0, 2));
}

/// Each byte that Noise covers, with a mac1 that is right again.
#[test]
fn a_changed_initiation_is_refused_everywhere() {
    let (mut one, mut two) = sides();
    let initiation = one.initiate(1, 1);
    for place in (0..4).chain(8..116) {
        let mut changed = initiation;
        changed[place] ^= 1 << (place % 8);
        let changed = with_mac1(changed, &one);
        assert!(two.identity.check_mac1(&changed));
        let error = refused(two.respond(&changed, &[0; 32], 2, 1000));
        let expected = if place < 4 { HandshakeError::Type } else { HandshakeError::Tag };
        // X25519 ignores one bit of a public key; the hash does not.
        assert_eq!(error, expected, "byte {place}");
        assert_eq!((two.last_timestamp, two.last_consumed_ms), (Tai64N::default(), None));
    }
    assert!(two.respond(&initiation, &[0; 32], 2, 1000).is_ok(), "the right one still comes through");
}

/// A14: whatever is wrong with a response leaves the initiation waiting.
/// TESTING A14: the handshake survives.
#[test]
fn a_changed_response_leaves_the_handshake_pending() {
    let (mut one, mut two) = sides();
    let initiation = one.initiate(1, 1);
    let (response, theirs) = two.respond(&initiation, &seed(5), 2, 1000).unwrap();
    for place in (0..4).chain(8..60) {
        let mut changed = response;
        changed[place] ^= 1 << (place % 8);
        let expected = match place {
            0..4 => HandshakeError::Type,
            8..12 => HandshakeError::NotPending,
            _ => HandshakeError::Tag,
        };
        assert_eq!(refused(one.finish(&seed(5), &changed)), expected, "byte {place}");
        assert_eq!(one.state.pending_index(), Some(1));
    }
    for point in low_order_points() {
        let mut changed = response;
        changed[12..44].copy_from_slice(&point);
        assert_eq!(refused(one.finish(&seed(5), &changed)), HandshakeError::LowOrder);
    }
    assert_eq!(refused(one.finish(&seed(6), &response)), HandshakeError::Tag, "another preshared key");
    assert_eq!(refused(one.finish(&[0; 32], &response)), HandshakeError::Tag, "no preshared key");
    assert_session(&one.finish(&seed(5), &response).unwrap(), &theirs);
}

#[test]
fn a_response_without_an_initiation_is_refused() {
    let (mut one, mut two) = sides();
    let initiation = one.initiate(1, 1);
    let (response, _) = two.respond(&initiation, &[0; 32], 2, 1000).unwrap();
    assert_eq!(refused(two.finish(&[0; 32], &response)), HandshakeError::NotPending);
    let mut fresh = HandshakeState::new();
    assert_eq!(refused(fresh.consume_response(&one.identity, &[0; 32], &response)), HandshakeError::NotPending);
}

/// A2: ephemeral keys of low order, with a right mac1.
#[test]
fn an_initiation_with_a_low_order_key_is_refused() {
    let (mut one, two) = sides();
    let initiation = one.initiate(1, 1);
    for point in low_order_points() {
        let mut changed = initiation;
        changed[8..40].copy_from_slice(&point);
        let changed = with_mac1(changed, &one);
        assert!(two.identity.check_mac1(&changed));
        assert_eq!(refused(OpenedInitiation::open(&two.identity, &changed)), HandshakeError::LowOrder);
    }
}

#[test]
fn an_initiation_for_another_key_is_refused() {
    let (mut one, _) = sides();
    let initiation = one.initiate(1, 1);
    let other = Identity::new(&seed(99));
    assert!(!other.check_mac1(&initiation));
    assert_eq!(refused(OpenedInitiation::open(&other, &initiation)), HandshakeError::Tag);
}

/// Someone who knows all public keys, but not the private key of the peer that he claims to be.
#[test]
fn a_claimed_static_key_is_not_enough() {
    let (one, mut two) = sides();
    let thief = Identity::new(&seed(66));
    let to_two = peer(&thief, two.identity.public_key());
    let claims_to_be_one = Identity::with_claimed_public_key(&seed(66), one.identity.public_key());
    let mut state = HandshakeState::new();
    let initiation = state.create_initiation(&claims_to_be_one, &to_two, 1, at(1), 0, &mut random(1)).unwrap();
    assert!(two.identity.check_mac1(&initiation));
    let opened = OpenedInitiation::open(&two.identity, &initiation).unwrap();
    assert_eq!(opened.static_public(), one.identity.public_key(), "the claim is read");
    assert_eq!(refused(opened.accept(&two.peer, Tai64N::default(), None, 0)), HandshakeError::Tag);
    assert_eq!(refused(two.respond(&initiation, &[0; 32], 2, 0)), HandshakeError::Tag);
}

#[test]
fn an_initiation_is_not_accepted_as_another_peers() {
    let (mut one, two) = sides();
    let initiation = one.initiate(1, 1);
    let other = peer(&two.identity, Identity::new(&seed(9)).public_key());
    let opened = OpenedInitiation::open(&two.identity, &initiation).unwrap();
    assert_eq!(refused(opened.accept(&other, Tai64N::default(), None, 0)), HandshakeError::Peer);
}

/// A1: the same again, an older one, one of the same time.
/// PROTOCOL A3.6: strictly greater.
#[test]
fn replayed_and_older_initiations_are_refused() {
    let (mut one, mut two) = sides();
    let (older, old, same) = (one.initiate(1, 9), one.initiate(2, 10), one.initiate(3, 10));
    two.respond(&old, &[0; 32], 2, 1000).unwrap();
    for (what, initiation) in [("replayed", &old), ("older", &older), ("same time", &same)] {
        assert_eq!(refused(two.respond(initiation, &[0; 32], 2, 5000)), HandshakeError::Replayed, "{what}");
        assert_eq!((two.last_timestamp, two.last_consumed_ms), (at(10), Some(1000)));
    }
    let newer = one.initiate(4, 11);
    assert!(two.respond(&newer, &[0; 32], 2, 5000).is_ok());
}

/// Twenty milliseconds apart, either way, and no longer when the clock jumped back by a day.
#[test]
fn initiations_follow_at_20_ms() {
    let (mut one, two) = sides();
    let initiation = one.initiate(1, 10);
    let last = 100_000_000;
    let accept = |now: u64| {
        let opened = OpenedInitiation::open(&two.identity, &initiation).unwrap();
        opened.accept(&two.peer, at(9), Some(last), now).map(|accepted| accepted.timestamp())
    };
    for now in [last - 19, last - 1, last, last + 1, last + 19] {
        assert_eq!(accept(now), Err(HandshakeError::TooSoon), "{now}");
    }
    for now in [0, last - 86_400_000, last - 20, last + 20, last + 21, u64::MAX] {
        assert_eq!(accept(now), Ok(at(10)), "{now}");
    }
}

/// A cookie reply as the peer would make it.
fn cookie_reply(from: &Side, to_index: u32, mac1: &[u8], cookie: [u8; 16]) -> [u8; COOKIE_REPLY_LEN] {
    use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
    let mut reply = [0; COOKIE_REPLY_LEN];
    reply[0] = 3;
    reply[4..8].copy_from_slice(&to_index.to_le_bytes());
    reply[8..32].copy_from_slice(&[0x24; 24]);
    reply[32..48].copy_from_slice(&cookie);
    let key = crate::noise::hash::hash(&[b"cookie--", from.identity.public_key()]);
    let tag = XChaCha20Poly1305::new(&key.into())
        .encrypt_inout_detached(&[0x24; 24].into(), mac1, reply[32..48].as_mut().into())
        .unwrap();
    reply[48..].copy_from_slice(&tag);
    reply
}

fn mac2<const L: usize>(message: &[u8; L]) -> &[u8] {
    &message[L - 16..]
}

/// PROTOCOL A1.16: 115 s.
/// PROTOCOL A1.17: 16 bytes, and a nonce of 24.
/// PROTOCOL A4.4: taken once, by its AEAD.
#[test]
fn a_cookie_is_taken_once_and_used_for_115_s() {
    let (mut one, mut two) = sides();
    let expect = |message: &[u8], cookie: &[u8; 16]| {
        let (body, mac2) = message.split_last_chunk::<16>().unwrap();
        assert_eq!(&crate::noise::hash::mac(cookie, &[body]), mac2);
    };
    let initiation = one.initiate(1, 10);
    assert_eq!(mac2(&initiation), [0; 16]);
    let mac1: [u8; 16] = initiation[116..132].try_into().unwrap();

    let good = cookie_reply(&two, 1, &mac1, [0xc0; 16]);
    for place in (0..4).chain(8..COOKIE_REPLY_LEN) {
        let mut changed = good;
        changed[place] ^= 0x10;
        let error = refused(one.state.consume_cookie_reply(&one.peer, &changed, 10_000));
        assert_eq!(error, if place < 4 { HandshakeError::Type } else { HandshakeError::Tag }, "byte {place}");
    }
    let other_mac1 = cookie_reply(&two, 1, &[1; 16], [0xc0; 16]);
    assert_eq!(refused(one.state.consume_cookie_reply(&one.peer, &other_mac1, 10_000)), HandshakeError::Tag);
    let other_peer = cookie_reply(&one, 1, &mac1, [0xc0; 16]);
    assert_eq!(refused(one.state.consume_cookie_reply(&one.peer, &other_peer, 10_000)), HandshakeError::Tag);

    assert_eq!(one.state.consume_cookie_reply(&one.peer, &good, 10_000), Ok(()));
    assert_eq!(refused(one.state.consume_cookie_reply(&one.peer, &good, 10_000)), HandshakeError::NoMac1, "twice");
    assert_eq!(one.state.pending_index(), Some(1), "the initiation still waits");

    expect(&one.initiate(2, 11), &[0xc0; 16]);
    // A clock that jumped back finds the cookie fresh; the response to a peer carries mac2 as well.
    expect(&one.initiate(2, 1), &[0xc0; 16]);
    let from_two = two.initiate(7, 20);
    let (response, _) = one.respond(&from_two, &[0; 32], 3, 20_000).unwrap();
    expect(&response, &[0xc0; 16]);
    expect(&one.initiate(3, 124), &[0xc0; 16]);
    let late = one.initiate(4, 125);
    assert_eq!(mac2(&late), [0; 16], "115 s after it came");

    let (mut fresh, _) = sides();
    assert_eq!(refused(fresh.state.consume_cookie_reply(&fresh.peer, &good, 10_000)), HandshakeError::NoMac1);
}

/// A reply to the message before the last one is refused, and leaves a cookie that is there.
#[test]
fn a_cookie_answers_the_last_message_only() {
    let (mut one, two) = sides();
    let first = one.initiate(1, 1);
    let mac1: [u8; 16] = first[116..132].try_into().unwrap();
    one.initiate(2, 2);
    let late = cookie_reply(&two, 1, &mac1, [0xc0; 16]);
    assert_eq!(refused(one.state.consume_cookie_reply(&one.peer, &late, 2000)), HandshakeError::Tag);
}

/// A25: nothing that can be printed shows a secret.
/// TESTING A25: nothing printed shows a secret.
#[test]
fn debug_shows_no_secret() {
    let private = [0xb7; 32];
    let one = Identity::new(&private);
    let two = Identity::new(&seed(2));
    let (to_two, to_one) = (PeerStatic::new(&one, two.public_key()).unwrap(), peer(&two, one.public_key()));
    let mut state = HandshakeState::new();
    let initiation = state.create_initiation(&one, &to_two, 1, at(1), 0, &mut |bytes| bytes.fill(0xd9)).unwrap();
    let opened = OpenedInitiation::open(&two, &initiation).unwrap();
    let opened_shown = format!("{opened:?}");
    let accepted = opened.accept(&to_one, Tai64N::default(), None, 0).unwrap();
    let accepted_shown = format!("{accepted:?}");
    let (_, secrets) =
        HandshakeState::new().respond(&to_one, accepted, &seed(5), 2, 0, &mut |bytes| bytes.fill(0xe3)).unwrap();
    let shown = format!("{one:?} {to_two:?} {state:?} {opened_shown} {accepted_shown} {secrets:?}");

    let static_static = *to_two.static_static().as_slice().first_chunk::<8>().unwrap();
    let session = *secrets.send.bytes().first_chunk::<8>().unwrap();
    for secret in [[0xb7; 8], [0xd9; 8], [0xe3; 8], static_static, session] {
        let decimal = format!("{secret:?}");
        let decimal = decimal.trim_matches(['[', ']']);
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(decimal) && !shown.to_lowercase().contains(&hex), "{decimal} in {shown}");
    }
}
