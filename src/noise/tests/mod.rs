//! Two sides of a handshake for the tests below.

#![expect(clippy::cast_possible_truncation, reason = "made-up bytes")]

mod attacks;
mod boringtun;
mod cookies;
mod handshakes;
mod snow;
mod vectors;
#[cfg(target_os = "linux")]
mod wiping;
mod wycheproof;

use super::hash::hash;
use super::{HandshakeError, HandshakeState, Identity, OpenedInitiation, PeerStatic, SessionSecrets, Tai64N};
use super::{INITIATION_LEN, RESPONSE_LEN};
use crate::aead::{Backend, Job, TAG_LEN};
use std::time::Duration;

/// 32 made-up bytes, as the vectors' generator makes them: byte `j` is `number + 3 j`.
fn seed(number: u8) -> [u8; 32] {
    std::array::from_fn(|j| number.wrapping_add(3 * j as u8))
}

/// Random bytes that a test can have again.
fn random(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut count = 0_u64;
    move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            count += 1;
            chunk.copy_from_slice(&hash(&[&seed.to_le_bytes(), &count.to_le_bytes()])[..chunk.len()]);
        }
    }
}

/// An owned source of random bytes.
type Fill = Box<dyn FnMut(&mut [u8])>;

/// One of two peers, and what it knows of the other.
struct Side {
    identity: Identity,
    peer: PeerStatic,
    state: HandshakeState,
    last_timestamp: Tai64N,
    last_consumed_ms: Option<u64>,
    random: Fill,
}

/// Initiator and responder with keys made of `seed(1)` and `seed(2)`.
fn sides() -> (Side, Side) {
    let [one, two] = [1, 2].map(|number| Identity::new(&seed(number)));
    let (to_two, to_one) = (peer(&one, two.public_key()), peer(&two, one.public_key()));
    (Side::new(one, to_two, 100), Side::new(two, to_one, 200))
}

fn peer(identity: &Identity, public_key: &[u8; 32]) -> PeerStatic {
    PeerStatic::new(identity, public_key).unwrap()
}

fn at(seconds: u64) -> Tai64N {
    Tai64N::from_unix(Duration::from_secs(seconds))
}

impl Side {
    fn new(identity: Identity, peer: PeerStatic, seed: u64) -> Self {
        Self {
            identity,
            peer,
            state: HandshakeState::new(),
            last_timestamp: Tai64N::default(),
            last_consumed_ms: None,
            random: Box::new(random(seed)),
        }
    }

    /// An initiation made at `seconds`, boottime too.
    fn initiate(&mut self, index: u32, seconds: u64) -> [u8; INITIATION_LEN] {
        self.state
            .create_initiation(&self.identity, &self.peer, index, at(seconds), seconds * 1000, &mut self.random)
            .unwrap()
    }

    /// All that a responder does, in its order.
    fn respond(
        &mut self,
        initiation: &[u8; INITIATION_LEN],
        psk: &[u8; 32],
        index: u32,
        now_ms: u64,
    ) -> Result<([u8; RESPONSE_LEN], SessionSecrets), HandshakeError> {
        let accepted = OpenedInitiation::open(&self.identity, initiation)?.accept(
            &self.peer,
            self.last_timestamp,
            self.last_consumed_ms,
            now_ms,
        )?;
        self.last_timestamp = accepted.timestamp();
        self.last_consumed_ms = Some(now_ms);
        self.state.respond(&self.peer, accepted, psk, index, now_ms, &mut self.random)
    }

    fn finish(&mut self, psk: &[u8; 32], response: &[u8; RESPONSE_LEN]) -> Result<SessionSecrets, HandshakeError> {
        self.state.consume_response(&self.identity, psk, response)
    }
}

/// Whether two ends of a session understand each other, both ways.
fn assert_session(one: &SessionSecrets, two: &SessionSecrets) {
    assert_eq!((one.local_index, one.remote_index), (two.remote_index, two.local_index));
    assert_ne!(one.initiator, two.initiator);
    assert_ne!(one.send.bytes(), one.receive.bytes());
    for (from, to) in [(one, two), (two, one)] {
        let mut buffer = [b"hello".as_slice(), &[0; TAG_LEN]].concat();
        let mut jobs = [Job::new(&from.send, 7, &mut buffer)];
        Backend::Portable.cipher().seal(&mut jobs);
        assert!(jobs[0].ok);
        jobs[0].key = &to.receive;
        Backend::Portable.cipher().open(&mut jobs);
        assert!(jobs[0].ok);
        assert_eq!(&buffer[..5], b"hello");
    }
}

/// A message to `to` whose mac1 was made right again after its body was changed.
fn with_mac1<const L: usize>(mut message: [u8; L], from: &Side) -> [u8; L] {
    let mac1 = from.peer.mac1(&message[..L - 32]);
    message[L - 32..L - 16].copy_from_slice(&mac1);
    message
}

/// The seven encodings of points of low order below 2^255, for which X25519 gives zero (Wycheproof, Curve25519 page).
fn low_order_points() -> [[u8; 32]; 7] {
    let small = |first: u8| {
        let mut point = [0; 32];
        point[0] = first;
        point
    };
    let prime = |first: u8| {
        let mut point = [0xff; 32];
        point[0] = first;
        point[31] = 0x7f;
        point
    };
    let eight = |text: &str| {
        let mut point = [0; 32];
        for (byte, digits) in point.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        point
    };
    [
        small(0),
        small(1),
        eight("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        eight("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        prime(0xec),
        prime(0xed),
        prime(0xee),
    ]
}
