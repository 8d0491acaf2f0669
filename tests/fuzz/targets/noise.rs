//! Handshake messages into Noise: whatever an input changes in a good message, it is refused, and costs the handshake
//! under way nothing. The first byte chooses the message, the rest says what becomes of it.

use super::{Input, edit};
use culvert::noise::{
    COOKIE_REPLY_LEN, CookieChecker, HandshakeError, HandshakeState, INITIATION_LEN, Identity, OpenedInitiation,
    PeerStatic, RESPONSE_LEN, SessionSecrets, Source, Tai64N,
};
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

const PSK: [u8; 32] = [0x5a; 32];

/// Two who know each other.
struct Pair {
    one: Identity,
    two: Identity,
    to_two: PeerStatic,
    to_one: PeerStatic,
}

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let [one, two] = [1, 2].map(|number| Identity::new(&[number; 32]));
        let to_two = PeerStatic::new(&one, two.public_key()).unwrap();
        let to_one = PeerStatic::new(&two, one.public_key()).unwrap();
        Pair { one, two, to_two, to_one }
    })
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => initiation(&mut input),
        1 => response(&mut input),
        2 => cookie_reply(&mut input),
        _ => any_bytes(&mut input),
    }
}

fn at(seconds: u64) -> Tai64N {
    Tai64N::from_unix(Duration::from_secs(seconds))
}

fn initiate(state: &mut HandshakeState) -> [u8; INITIATION_LEN] {
    let Pair { one, to_two, .. } = pair();
    state.create_initiation(one, to_two, 7, at(9), 0, &mut |bytes| bytes.fill(3)).unwrap()
}

fn respond(
    state: &mut HandshakeState,
    message: &[u8; INITIATION_LEN],
) -> Result<([u8; RESPONSE_LEN], SessionSecrets), HandshakeError> {
    let Pair { two, to_one, .. } = pair();
    let accepted = OpenedInitiation::open(two, message)?.accept(to_one, at(8), None, 0)?;
    state.respond(to_one, accepted, &PSK, 8, 0, &mut |bytes| bytes.fill(4))
}

/// Whether both ends of a session have the same keys.
fn meet(one: &SessionSecrets, two: &SessionSecrets) -> bool {
    one.send.bytes() == two.receive.bytes() && one.receive.bytes() == two.send.bytes()
}

/// Whether two messages are one in their type and in `bytes`.
fn is_covered(message: &[u8], whole: &[u8], bytes: Range<usize>) -> bool {
    message[..4] == whole[..4] && message[bytes.clone()] == whole[bytes]
}

/// Bytes 4 to 8 are an index, which Noise does not cover, and the last 32 the macs.
fn initiation(input: &mut Input<'_>) {
    let whole = initiate(&mut HandshakeState::new());
    let mut message = whole;
    edit(&mut message, input);
    let (same, mac1) = (is_covered(&message, &whole, 8..116), message[..132] == whole[..132]);
    assert_eq!(pair().two.check_mac1(&message), mac1);
    assert_eq!(respond(&mut HandshakeState::new(), &message).is_ok(), same);
}

fn response(input: &mut Input<'_>) {
    let (mut ours, mut theirs) = (HandshakeState::new(), HandshakeState::new());
    let initiation = initiate(&mut ours);
    let (whole, secrets) = respond(&mut theirs, &initiation).unwrap();
    let mut message = whole;
    edit(&mut message, input);
    assert_eq!(pair().one.check_mac1(&message), message[..76] == whole[..76]);
    let taken = ours.consume_response(&pair().one, &PSK, &message);
    assert_eq!(taken.is_ok(), is_covered(&message, &whole, 8..60));
    if let Ok(taken) = taken {
        assert!(meet(&taken, &secrets));
        return;
    }
    // The right one still comes through.
    assert_eq!(ours.pending_index(), Some(7));
    assert!(meet(&ours.consume_response(&pair().one, &PSK, &whole).unwrap(), &secrets));
}

/// What the responder tells under load.
fn cookie(checker: &mut CookieChecker, source: Source, initiation: &[u8; INITIATION_LEN]) -> [u8; COOKIE_REPLY_LEN] {
    checker.reply(&pair().two, initiation, source, 0, &mut |bytes| bytes.fill(5)).unwrap()
}

/// A changed cookie reply is refused and leaves no cookie; the right one gives a mac2 that its source may use.
fn cookie_reply(input: &mut Input<'_>) {
    let (mut state, mut checker) = (HandshakeState::new(), CookieChecker::new());
    let source = Source { address: [9; 16], port: 4000 };
    let first = initiate(&mut state);
    let whole = cookie(&mut checker, source, &first);
    let mut message = whole;
    edit(&mut message, input);
    let taken = state.consume_cookie_reply(&pair().to_two, &message, 0).is_ok();
    assert_eq!(taken, is_covered(&message, &whole, 8..64));
    assert_eq!(state.pending_index(), Some(7));
    let next = initiate(&mut state);
    assert_eq!(next == first, !taken);
    for port in [4000, 4001] {
        let good = checker.check_mac2(&next, Source { port, ..source }, 0, &mut |bytes| bytes.fill(5));
        assert_eq!(good, taken && port == source.port);
    }
}

/// Bytes of the input's own, in each message's place: a fuzzer that looks into comparisons finds the good ones as well.
fn any_bytes(input: &mut Input<'_>) {
    let bytes = input.rest();
    let Pair { one, two, to_two, .. } = pair();
    let whole = initiate(&mut HandshakeState::new());
    let foreign = !bytes.starts_with(&whole[..4]) || bytes.get(8..116) != Some(&whole[8..116]);
    assert!(!foreign || !two.check_mac1(bytes) || bytes.len() == RESPONSE_LEN);
    if let Some(message) = bytes.first_chunk() {
        let refused = respond(&mut HandshakeState::new(), message).is_err();
        assert_eq!(refused, foreign);
    }
    if let Some(message) = bytes.first_chunk() {
        let mut state = HandshakeState::new();
        let good = respond(&mut HandshakeState::new(), &initiate(&mut state)).unwrap().0;
        let taken = state.consume_response(one, &PSK, message).is_ok();
        assert_eq!(taken, is_covered(message, &good, 8..60));
        assert_eq!(state.pending_index(), (!taken).then_some(7));
    }
    if let Some(message) = bytes.first_chunk() {
        let mut state = HandshakeState::new();
        let source = Source { address: [9; 16], port: 4000 };
        let good = cookie(&mut CookieChecker::new(), source, &initiate(&mut state));
        assert_eq!(state.consume_cookie_reply(to_two, message, 0).is_ok(), is_covered(message, &good, 8..64));
        assert_eq!(state.pending_index(), Some(7));
    }
}
