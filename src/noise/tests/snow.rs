//! Against snow, a Noise library by other people: same keys, same ephemerals, so the same bytes. What WireGuard puts
//! around a Noise message (type, indexes, macs) is cut off for snow.

use super::{Side, peer};
use crate::aead::{Backend, Job, TAG_LEN};
use crate::noise::{HandshakeError, INITIATION_LEN, Identity, RESPONSE_LEN, SessionSecrets, Tai64N};
use proptest::prelude::*;
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::time::Duration;

const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// Where the Noise messages lie in WireGuard's.
const OF_INITIATION: std::ops::Range<usize> = 8..116;
const OF_RESPONSE: std::ops::Range<usize> = 12..60;

/// All that two parties put into one handshake.
#[derive(Clone, Debug)]
struct Case {
    initiator: [u8; 32],
    responder: [u8; 32],
    initiator_ephemeral: [u8; 32],
    responder_ephemeral: [u8; 32],
    psk: [u8; 32],
    seconds: u64,
    indexes: (u32, u32),
    counter: u64,
    text: Vec<u8>,
}

fn case() -> impl Strategy<Value = Case> {
    let keys = any::<[[u8; 32]; 4]>();
    let psk = prop_oneof![Just([0; 32]), any::<[u8; 32]>()];
    let text = prop::collection::vec(any::<u8>(), 0..200);
    // snow keeps the last counter for rekeying.
    (keys, psk, 1..1_u64 << 40, any::<(u32, u32)>(), 0..u64::MAX, text).prop_map(
        |([initiator, responder, initiator_ephemeral, responder_ephemeral], psk, seconds, indexes, counter, text)| {
            Case {
                initiator,
                responder,
                initiator_ephemeral,
                responder_ephemeral,
                psk,
                seconds,
                indexes,
                counter,
                text,
            }
        },
    )
}

impl Case {
    fn public(private: &[u8; 32]) -> [u8; 32] {
        *Identity::new(private).public_key()
    }

    /// One side by us, knowing the other's public key; its only random bytes are its ephemeral key.
    fn ours(&self, initiates: bool) -> Side {
        let (own, other, ephemeral) = if initiates {
            (self.initiator, self.responder, self.initiator_ephemeral)
        } else {
            (self.responder, self.initiator, self.responder_ephemeral)
        };
        let identity = Identity::new(&own);
        let to_other = peer(&identity, &Self::public(&other));
        let mut side = Side::new(identity, to_other, 0);
        side.random = Box::new(move |bytes| bytes.copy_from_slice(&ephemeral));
        side
    }

    /// The same side by snow; a responder learns who asks.
    fn snows(&self, initiates: bool, psk: &[u8; 32], responder: [u8; 32]) -> HandshakeState {
        let builder = Builder::new(PATTERN.parse().unwrap()).prologue(PROLOGUE).unwrap().psk(2, psk).unwrap();
        if initiates {
            let builder = builder.local_private_key(&self.initiator).unwrap();
            let builder = builder.fixed_ephemeral_key_for_testing_only(&self.initiator_ephemeral);
            builder.remote_public_key(&responder).unwrap().build_initiator().unwrap()
        } else {
            let builder = builder.local_private_key(&self.responder).unwrap();
            builder.fixed_ephemeral_key_for_testing_only(&self.responder_ephemeral).build_responder().unwrap()
        }
    }

    fn snow(&self, initiates: bool) -> HandshakeState {
        self.snows(initiates, &self.psk, Self::public(&self.responder))
    }

    fn timestamp(&self) -> Tai64N {
        Tai64N::from_unix(Duration::from_secs(self.seconds))
    }

    fn our_initiation(&self, ours: &mut Side) -> [u8; INITIATION_LEN] {
        ours.initiate(self.indexes.0, self.seconds)
    }

    fn snows_initiation(&self, snow: &mut HandshakeState) -> [u8; INITIATION_LEN] {
        let mut message = [0; INITIATION_LEN];
        message[0] = 1;
        message[4..8].copy_from_slice(&self.indexes.0.to_le_bytes());
        let len = snow.write_message(self.timestamp().bytes(), &mut message[OF_INITIATION]).unwrap();
        assert_eq!(len, OF_INITIATION.len());
        message
    }

    fn snows_response(&self, snow: &mut HandshakeState) -> [u8; RESPONSE_LEN] {
        let mut message = [0; RESPONSE_LEN];
        message[0] = 2;
        message[4..8].copy_from_slice(&self.indexes.1.to_le_bytes());
        message[8..12].copy_from_slice(&self.indexes.0.to_le_bytes());
        let len = snow.write_message(&[], &mut message[OF_RESPONSE]).unwrap();
        assert_eq!(len, OF_RESPONSE.len());
        message
    }

    /// A data message each way, in every backend.
    fn talk(&self, ours: &SessionSecrets, snow: HandshakeState) {
        assert!(snow.is_handshake_finished());
        let snow = snow.into_stateless_transport_mode().unwrap();
        for mut cipher in Backend::available().map(Backend::cipher) {
            let mut buffer = [self.text.as_slice(), &[0; TAG_LEN]].concat();
            let mut jobs = [Job::new(&ours.send, self.counter, &mut buffer)];
            cipher.seal(&mut jobs);
            assert_eq!(read(&snow, self.counter, &buffer).as_deref(), Some(self.text.as_slice()));
            assert_eq!(read(&snow, self.counter ^ 1, &buffer), None, "under another counter");

            let mut sealed = vec![0; self.text.len() + TAG_LEN];
            assert_eq!(snow.write_message(self.counter, &self.text, &mut sealed).unwrap(), sealed.len());
            let mut jobs = [Job::new(&ours.receive, self.counter, &mut sealed)];
            cipher.open(&mut jobs);
            assert!(jobs[0].ok);
            assert_eq!(sealed[..self.text.len()], self.text);
        }
    }
}

fn read(snow: &StatelessTransportState, counter: u64, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut text = vec![0; sealed.len()];
    let len = snow.read_message(counter, sealed, &mut text).ok()?;
    text.truncate(len);
    Some(text)
}

/// The payload of a handshake message, if snow takes it.
fn takes(snow: &mut HandshakeState, message: &[u8]) -> Option<Vec<u8>> {
    let mut payload = vec![0; 256];
    let len = snow.read_message(message, &mut payload).ok()?;
    payload.truncate(len);
    Some(payload)
}

/// Another key that cannot be mistaken for `key` by the curve's clamping.
fn other(key: &[u8; 32]) -> [u8; 32] {
    let mut other = *key;
    other[9] ^= 0x40;
    other
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn we_initiate(case in case()) {
        let (mut ours, mut snow) = (case.ours(true), case.snow(false));
        let initiation = case.our_initiation(&mut ours);
        prop_assert_eq!(&initiation[..], &[&case.snows_initiation(&mut case.snow(true))[..116], &initiation[116..]].concat());
        let timestamp = takes(&mut snow, &initiation[OF_INITIATION]);
        prop_assert_eq!(timestamp, Some(case.timestamp().bytes().to_vec()));
        prop_assert_eq!(snow.get_remote_static(), Some(&ours.identity.public_key()[..]));
        let response = case.snows_response(&mut snow);
        let secrets = ours.finish(&case.psk, &response).unwrap();
        prop_assert_eq!((secrets.local_index, secrets.remote_index), case.indexes);
        case.talk(&secrets, snow);
    }

    #[test]
    fn snow_initiates(case in case()) {
        let (mut ours, mut snow) = (case.ours(false), case.snow(true));
        let initiation = case.snows_initiation(&mut snow);
        let (response, secrets) = ours.respond(&initiation, &case.psk, case.indexes.1, 0).unwrap();
        prop_assert_eq!(ours.last_timestamp, case.timestamp());
        let mut twin = case.snow(false);
        takes(&mut twin, &initiation[OF_INITIATION]).unwrap();
        prop_assert_eq!(&response[..60], &case.snows_response(&mut twin)[..60]);
        prop_assert_eq!(takes(&mut snow, &response[OF_RESPONSE]), Some(vec![]));
        case.talk(&secrets, snow);
    }

    /// Both refuse what was made with another preshared key, at the response; up to there nobody can tell.
    #[test]
    fn another_preshared_key_fails_on_both(case in case()) {
        let wrong = other(&case.psk);
        let mut ours = case.ours(true);
        let initiation = case.our_initiation(&mut ours);
        let mut snow = case.snows(false, &wrong, Case::public(&case.responder));
        takes(&mut snow, &initiation[OF_INITIATION]).unwrap();
        let response = case.snows_response(&mut snow);
        prop_assert_eq!(ours.finish(&case.psk, &response).unwrap_err(), HandshakeError::Tag);
        ours.finish(&wrong, &response).unwrap();

        let mut snow = case.snow(true);
        let initiation = case.snows_initiation(&mut snow);
        let (response, _) = case.ours(false).respond(&initiation, &wrong, case.indexes.1, 0).unwrap();
        prop_assert_eq!(takes(&mut snow, &response[OF_RESPONSE]), None);
    }

    /// An initiator that takes another key for the responder's.
    #[test]
    fn another_static_key_fails_on_both(case in case()) {
        let wrong = Case { responder: other(&case.responder), ..case.clone() };
        let initiation = wrong.our_initiation(&mut wrong.ours(true));
        prop_assert_eq!(takes(&mut case.snow(false), &initiation[OF_INITIATION]), None);

        let mut snow = case.snows(true, &case.psk, Case::public(&wrong.responder));
        let initiation = case.snows_initiation(&mut snow);
        let refused = case.ours(false).respond(&initiation, &case.psk, case.indexes.1, 0);
        prop_assert_eq!(refused.unwrap_err(), HandshakeError::Tag);
    }

    /// Each byte of both messages counts, for both.
    #[test]
    fn a_flipped_bit_fails_on_both(case in case(), at in OF_INITIATION, response_at in OF_RESPONSE, bit in 0_u8..8) {
        let (mut ours, mut snow) = (case.ours(true), case.snow(true));
        let (mut initiation, mut snows) = (case.our_initiation(&mut ours), case.snows_initiation(&mut snow));
        let whole = initiation;
        initiation[at] ^= 1 << bit;
        snows[at] ^= 1 << bit;
        prop_assert_eq!(takes(&mut case.snow(false), &initiation[OF_INITIATION]), None);
        let refused = case.ours(false).respond(&snows, &case.psk, case.indexes.1, 0);
        prop_assert!(matches!(refused, Err(HandshakeError::Tag | HandshakeError::LowOrder)));

        let mut responder = case.snow(false);
        takes(&mut responder, &whole[OF_INITIATION]).unwrap();
        let mut response = case.snows_response(&mut responder);
        let (mut by_us, _) = case.ours(false).respond(&whole, &case.psk, case.indexes.1, 0).unwrap();
        response[response_at] ^= 1 << bit;
        by_us[response_at] ^= 1 << bit;
        prop_assert!(matches!(ours.finish(&case.psk, &response), Err(HandshakeError::Tag | HandshakeError::LowOrder)));
        prop_assert_eq!(takes(&mut snow, &by_us[OF_RESPONSE]), None);
    }
}
