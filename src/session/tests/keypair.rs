//! A keypair's limits in count and time.

use crate::aead::Key;
use crate::noise::SessionSecrets;
use crate::session::Keypair;
use crate::session::limits::{REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES};
use proptest::prelude::*;

const BORN: u64 = 1_000_000;

fn keypair(initiator: bool) -> Keypair {
    let secrets = SessionSecrets {
        send: Key::new([0xab; 32]),
        receive: Key::new([0xcd; 32]),
        local_index: 1,
        remote_index: 2,
        initiator,
    };
    Keypair::new(secrets, 3, 4, BORN)
}

#[test]
fn it_says_what_it_was_made_of() {
    let keypair = keypair(true);
    assert_eq!((keypair.local_index(), keypair.remote_index(), keypair.serial(), keypair.flow()), (1, 2, 3, 4));
    assert_eq!((keypair.send_key().bytes(), keypair.receive_key().bytes()), (&[0xab; 32], &[0xcd; 32]));
    assert!(keypair.initiator() && !keypair.is_dead());
    assert_eq!((keypair.created_ms(), keypair.nonce()), (BORN, 0));
    let shown = format!("{keypair:?}");
    assert!(!shown.contains("171") && !shown.contains("205"), "{shown}");
}

/// A6: at 2^60 both roles ask for new keys; at the limit nothing more is given, and nothing wraps.
/// PROTOCOL A1.1, A1.2: 2^60, and 2^64 - 8130.
#[test]
fn nonces_end_at_the_limit() {
    for initiator in [true, false] {
        let keypair = keypair(initiator);
        assert_eq!(keypair.reserve_nonces(3), Some(0));
        assert_eq!(keypair.reserve_nonces(0), Some(3));
        assert_eq!(keypair.reserve_nonces(1), Some(3));

        keypair.set_nonce_for_test(REKEY_AFTER_MESSAGES);
        assert!(!keypair.wants_rekey_on_send(BORN));
        assert_eq!(keypair.reserve_nonces(1), Some(REKEY_AFTER_MESSAGES));
        assert!(keypair.wants_rekey_on_send(BORN));

        keypair.set_nonce_for_test(REJECT_AFTER_MESSAGES - 5);
        assert_eq!(keypair.reserve_nonces(6), None);
        assert_eq!(keypair.reserve_nonces(u32::MAX), None);
        assert!(keypair.may_send(BORN));
        assert_eq!(keypair.reserve_nonces(5), Some(REJECT_AFTER_MESSAGES - 5));
        assert_eq!(keypair.nonce(), REJECT_AFTER_MESSAGES);
        assert_eq!(keypair.reserve_nonces(1), None);
        assert!(!keypair.may_send(BORN));
        assert!(keypair.may_receive(BORN, 0), "what comes is still taken");
    }
}

#[test]
fn received_counters_end_at_the_limit() {
    let keypair = keypair(true);
    assert!(keypair.may_receive(BORN, REJECT_AFTER_MESSAGES - 1));
    assert!(!keypair.may_receive(BORN, REJECT_AFTER_MESSAGES));
    assert!(!keypair.may_receive(BORN, u64::MAX));
    assert!(keypair.may_receive(BORN, 0), "an unauthenticated counter changed something");
}

/// PROTOCOL A5.5: once invalid, for ever.
#[test]
fn it_ends_at_180_s_for_good() {
    for send_first in [true, false] {
        let keypair = keypair(true);
        assert!(keypair.may_send(BORN + 179_999) && keypair.may_receive(BORN + 179_999, 0));
        if send_first {
            assert!(!keypair.may_send(BORN + 180_000));
        } else {
            assert!(!keypair.may_receive(BORN + 180_000, 0));
        }
        assert!(keypair.is_dead());
        assert!(!keypair.may_send(BORN) && !keypair.may_receive(BORN, 0), "a clock that went back revived it");
    }
}

#[test]
fn a_clock_before_its_birth_is_age_zero() {
    let keypair = keypair(true);
    for now in [0, 1, BORN - 1] {
        assert!(keypair.may_send(now) && keypair.may_receive(now, 0));
        assert!(!keypair.wants_rekey_on_send(now) && !keypair.wants_rekey_on_receive(now));
    }
    assert!(!keypair.may_send(u64::MAX));
}

/// PROTOCOL A5.8: sealed no more, opened still.
#[test]
fn killed_it_does_nothing_and_stopped_it_only_receives() {
    let killed = keypair(true);
    killed.kill();
    assert!(killed.is_dead() && !killed.may_send(BORN) && !killed.may_receive(BORN, 0));
    assert!(!killed.wants_rekey_on_receive(BORN + 165_000));

    let stopped = keypair(true);
    stopped.stop_sending();
    assert!(!stopped.is_dead() && !stopped.may_send(BORN) && stopped.may_receive(BORN, 0));
    assert!(!stopped.wants_rekey_on_receive(BORN + 165_000));
}

/// PROTOCOL A6.1, A6.2: 120 s on send, 165 s on receive, once a key.
#[test]
fn the_initiator_alone_rekeys_by_age() {
    let (ours, theirs) = (keypair(true), keypair(false));
    assert!(!ours.wants_rekey_on_send(BORN + 119_999));
    assert!(ours.wants_rekey_on_send(BORN + 120_000));
    assert!(ours.wants_rekey_on_send(BORN + 120_001), "it is asked for until there is a new one");
    assert!(!theirs.wants_rekey_on_send(BORN + 179_999));

    assert!(!ours.wants_rekey_on_receive(BORN + 164_999));
    assert!(ours.wants_rekey_on_receive(BORN + 165_000));
    assert!(!ours.wants_rekey_on_receive(BORN + 165_001), "once a keypair");
    assert!(!theirs.wants_rekey_on_receive(BORN + 179_999));
}

#[test]
#[should_panic(expected = "used twice")]
fn the_test_setter_never_goes_back() {
    let keypair = keypair(true);
    keypair.set_nonce_for_test(10);
    keypair.set_nonce_for_test(9);
}

proptest! {
    /// Ranges given out follow each other without gap or overlap, and stay below the limit.
    #[test]
    fn no_nonce_twice(
        start in prop_oneof![Just(0), any::<u64>(), REJECT_AFTER_MESSAGES - 200..=REJECT_AFTER_MESSAGES],
        wants in prop::collection::vec(prop_oneof![0..70_u32, any::<u32>()], 1..50),
    ) {
        let keypair = keypair(true);
        keypair.set_nonce_for_test(start);
        let mut next = start;
        for n in wants {
            let fits = u128::from(next) + u128::from(n) <= u128::from(REJECT_AFTER_MESSAGES);
            prop_assert_eq!(keypair.reserve_nonces(n), fits.then_some(next));
            if fits {
                next += u64::from(n);
            }
        }
    }
}
