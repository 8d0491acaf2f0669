//! What belongs together comes together, whatever happened before.

use super::{assert_session, at, random, seed, sides};
use crate::noise::{HandshakeError, OpenedInitiation, os_random};
use crate::session::{KeySlots, Keypair};

#[test]
fn with_and_without_preshared_key() {
    for psk in [[0; 32], seed(5)] {
        let (mut one, mut two) = sides();
        for round in 1..4 {
            let initiation = one.initiate(10 + round, u64::from(round));
            assert_eq!(one.state.pending_index(), Some(10 + round));
            let (response, theirs) = two.respond(&initiation, &psk, 20 + round, u64::from(round) * 1000).unwrap();
            let ours = one.finish(&psk, &response).unwrap();
            assert_session(&ours, &theirs);
            assert_eq!(one.state.pending_index(), None);
        }
    }
}

#[test]
fn each_handshake_has_keys_of_its_own() {
    let (mut one, mut two) = sides();
    let mut keys = Vec::new();
    for round in 1..20 {
        let initiation = one.initiate(1, round);
        let (_, secrets) = two.respond(&initiation, &[0; 32], 2, round * 1000).unwrap();
        keys.push(*secrets.send.bytes());
        keys.push(*secrets.receive.bytes());
    }
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

/// PROTOCOL A4.2: the newest only.
#[test]
fn only_the_newest_initiation_completes() {
    let (mut one, mut two) = sides();
    let (old, new) = (one.initiate(1, 1), one.initiate(2, 2));
    let (old_response, _) = two.respond(&old, &[0; 32], 11, 1000).unwrap();
    let (new_response, theirs) = two.respond(&new, &[0; 32], 12, 2000).unwrap();
    assert_eq!(one.finish(&[0; 32], &old_response).unwrap_err(), HandshakeError::NotPending);
    assert_session(&one.finish(&[0; 32], &new_response).unwrap(), &theirs);
    assert_eq!(one.finish(&[0; 32], &new_response).unwrap_err(), HandshakeError::NotPending, "twice");

    // The same index does not help an old response: its ephemeral key is not the newest one's.
    let (mut one, mut two) = sides();
    let old = one.initiate(1, 1);
    let (old_response, _) = two.respond(&old, &[0; 32], 11, 1000).unwrap();
    one.initiate(1, 2);
    assert_eq!(one.finish(&[0; 32], &old_response).unwrap_err(), HandshakeError::Tag);
}

#[test]
fn a_cleared_handshake_does_not_complete() {
    let (mut one, mut two) = sides();
    let initiation = one.initiate(1, 1);
    let (response, _) = two.respond(&initiation, &[0; 32], 2, 1000).unwrap();
    one.state.clear();
    assert_eq!(one.state.pending_index(), None);
    assert_eq!(one.finish(&[0; 32], &response).unwrap_err(), HandshakeError::NotPending);
}

/// A17: both initiate at the same moment, again and again; both sides have a key to send under that the other side
/// receives with, after one round.
#[test]
fn simultaneous_initiations_make_a_session_in_one_round() {
    let (mut one, mut two) = sides();
    let (from_one, from_two) = (one.initiate(1, 1), two.initiate(2, 1));
    let (by_one, one_responder) = one.respond(&from_two, &seed(5), 11, 1000).unwrap();
    let (by_two, two_responder) = two.respond(&from_one, &seed(5), 12, 1000).unwrap();
    let one_initiator = one.finish(&seed(5), &by_two).unwrap();
    let two_initiator = two.finish(&seed(5), &by_one).unwrap();
    assert_session(&one_initiator, &two_responder);
    assert_session(&two_initiator, &one_responder);

    for (responder, initiator) in [(11, 21), (12, 22)] {
        let slots = KeySlots::new();
        assert!(slots.install_responder(responder).is_empty() && slots.install_initiator(initiator).is_empty());
        assert_eq!(slots.current(), Some(initiator));
        assert!(slots.contains(responder), "the other side sends under it");
    }
}

#[test]
fn secrets_become_a_keypair() {
    let (mut one, mut two) = sides();
    let initiation = one.initiate(1, 1);
    let (response, theirs) = two.respond(&initiation, &[0; 32], 2, 1000).unwrap();
    let ours = Keypair::new(one.finish(&[0; 32], &response).unwrap(), 5, 6, 1000);
    let theirs = Keypair::new(theirs, 7, 8, 1000);
    assert_eq!(ours.send_key().bytes(), theirs.receive_key().bytes());
    assert_eq!(ours.receive_key().bytes(), theirs.send_key().bytes());
    assert_eq!((ours.local_index(), ours.remote_index()), (theirs.remote_index(), theirs.local_index()));
    assert!(ours.initiator() && !theirs.initiator());
}

/// The first initiation after a restart is accepted whatever its time; the time stands in it rounded.
#[test]
fn the_timestamp_is_the_one_given() {
    let (mut one, two) = sides();
    let initiation = one.initiate(1, 77);
    let opened = OpenedInitiation::open(&two.identity, &initiation).unwrap();
    let accepted = opened.accept(&two.peer, at(76), None, 0).unwrap();
    assert_eq!((accepted.timestamp(), accepted.remote_index()), (at(77), 1));
}

#[test]
fn random_bytes_fill_all_and_differ() {
    let (mut one, mut two) = ([0; 64], [0; 64]);
    os_random(&mut one);
    os_random(&mut two);
    assert_ne!(one, two);
    assert!(one.chunks(16).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
    os_random(&mut []);

    let (mut again, mut same) = ([0; 33], [0; 33]);
    random(1)(&mut again);
    random(1)(&mut same);
    assert_eq!(again, same);
}

/// What half a million peers pay for; a change here changes the gateway's memory budget.
#[test]
fn sizes_stay_what_the_budget_counts_on() {
    use crate::noise::{HandshakeState, PeerStatic};
    assert_eq!(size_of::<PeerStatic>(), 96);
    assert!(size_of::<HandshakeState>() <= 160, "{}", size_of::<HandshakeState>());
    assert!(size_of::<Keypair>() <= 1152, "{}", size_of::<Keypair>());
    assert_eq!(size_of::<KeySlots>(), 8);
}
