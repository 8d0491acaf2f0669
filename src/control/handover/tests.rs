//! Whatever is written is read again, and nothing else is.

use super::*;
use crate::session::limits::REJECT_AFTER_MESSAGES;
use crate::session::{REPLAY_WORDS, ReplayWindow};
use proptest::option::of;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![any::<([u8; 4], u16)>().prop_map(SocketAddr::from), any::<([u16; 8], u16)>().prop_map(SocketAddr::from),]
}

/// A window that has seen counters in some order, with jumps.
fn window() -> impl Strategy<Value = (Vec<u64>, ReplayWindow)> {
    let steps = prop::collection::vec(prop_oneof![0..200_u64, 8_000..8_300_u64, Just(1 << 40)], 0..200);
    steps.prop_map(|steps| {
        let (window, mut seen) = (ReplayWindow::new(), Vec::new());
        for step in steps {
            let next = window.greatest().map_or(0, |greatest| greatest + 1);
            // Half of them ahead, half behind.
            let counter = if step % 2 == 0 { next + step } else { next.saturating_sub(step) };
            window.accept(counter);
            seen.push(counter);
        }
        (seen, window)
    })
}

fn keypair() -> impl Strategy<Value = KeypairFrame> {
    let key = || any::<[u8; 32]>().prop_map(|bytes| Secret::of(&crate::aead::Key::new(bytes)));
    let numbers = (any::<(u32, u32)>(), 0..TAKEN, 0..=REJECT_AFTER_MESSAGES, any::<[bool; 3]>());
    (numbers, key(), key(), window()).prop_map(|((indexes, created_ms, nonce, flags), send, receive, (_, window))| {
        let ((local_index, remote_index), [initiator, precedes, asked]) = (indexes, flags);
        let window = Window::of(&window);
        KeypairFrame { local_index, remote_index, created_ms, nonce, initiator, precedes, asked, send, receive, window }
    })
}

/// When streams here are written.
const TAKEN: u64 = 1_000_000;

fn peer() -> impl Strategy<Value = PeerFrame> {
    let who = (0..2_u8, any::<[u8; 32]>(), any::<Option<[u8; 16]>>());
    let places = (of((address(), of(address()))), of(address()), of(address()));
    let times = (prop::array::uniform4(0..TAKEN), of(0..TAKEN), of(0..TAKEN), of(0..TAKEN), any::<Option<Duration>>());
    let stamps = any::<(Option<[u8; 12]>, Option<[u8; 12]>)>();
    let keypairs = prop::array::uniform3(of(keypair()));
    (who, places, times, stamps, any::<[u64; 4]>(), keypairs).prop_map(
        |(who, places, times, stamps, bytes, keypairs)| PeerFrame {
            tunnel: who.0,
            public_key: who.1,
            preshared: who.2,
            endpoint: places.0,
            configured: places.1,
            told: places.2,
            stamps: times.0,
            bytes,
            last_timestamp: stamps.0,
            last_timestamp_sent: stamps.1,
            last_consumed_ms: times.1,
            last_handshake_sent_ms: times.2,
            last_handshake: times.4,
            wiped_at_ms: times.3,
            keypairs,
        },
    )
}

fn stream(peers: Vec<PeerFrame>) -> Vec<u8> {
    let head = Head { boot: 7, taken_ms: TAKEN, salt: [9; 32] };
    let mut writer = FrameWriter::new(Vec::new(), head).unwrap();
    for name in ["wg0", "wg1"] {
        let frame = InterfaceFrame { name: name.to_owned(), public_key: Some([1; 32]) };
        writer.write(&Frame::Interface(frame)).unwrap();
    }
    for peer in peers {
        writer.write(&Frame::Peer(Box::new(peer))).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Frame>, FormatError> {
    let mut reader = FrameReader::new(bytes)?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next()? {
        frames.push(frame);
    }
    Ok(frames)
}

proptest! {
    /// Oracle: what was put in. The reader gets it in pieces of any size.
    #[test]
    fn what_is_written_is_read(peers in prop::collection::vec(peer(), 0..20)) {
        let bytes = stream(peers);
        check(&mut bytes.as_slice()).unwrap();
        let frames = read(&bytes).unwrap();
        let mut again = FrameWriter::new(Vec::new(), match &frames[0] {
            Frame::Head(head) => head.clone(),
            other => panic!("{other:?}"),
        }).unwrap();
        for frame in &frames[1..] {
            again.write(frame).unwrap();
        }
        prop_assert_eq!(again.finish().unwrap(), bytes);
    }

    /// One peer, field by field.
    #[test]
    fn a_peer_comes_back_as_it_was(peer in peer()) {
        let mut room = vec![0; MOST_FRAME];
        let bytes = postcard::to_slice(&peer, &mut room).unwrap().to_vec();
        let back: PeerFrame = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(back, peer);
    }

    /// A window accepts after its journey what it would have accepted, and nothing else.
    #[test]
    fn a_window_forgets_and_learns_nothing((seen, window) in window(), more in prop::collection::vec(any::<u16>(), 0..300)) {
        let copy = Window::of(&window).window().unwrap();
        prop_assert_eq!(copy.greatest(), window.greatest());
        let next = window.greatest().map_or(0, |greatest| greatest + 1);
        prop_assert!(seen.iter().all(|counter| !copy.accept(*counter)));
        for step in more {
            let counter = (next + 300).saturating_sub(u64::from(step));
            prop_assert_eq!(copy.accept(counter), window.accept(counter), "{}", counter);
        }
    }

    /// A byte that changed, or is missing, or is too much: nothing is taken.
    #[test]
    fn what_was_damaged_is_refused(peers in prop::collection::vec(peer(), 1..4), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let bytes = stream(peers);
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= 1_u8 << bit;
        prop_assert!(check(&mut damaged.as_slice()).is_err());
        prop_assert!(check(&mut &bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(check(&mut [bytes.as_slice(), &[0]].concat().as_slice()).is_err());
    }
}

/// The largest peer that there can be: no two words of its windows are equal.
#[test]
fn every_peer_fits_into_a_frame() {
    let words: [u64; REPLAY_WORDS] = core::array::from_fn(|n| u64::MAX - n as u64);
    let window = || Window { next: u64::MAX, runs: words.iter().map(|word| (1, *word)).collect() };
    let far = SocketAddr::from(([u16::MAX; 8], u16::MAX));
    let key = || Secret::of(&crate::aead::Key::new([255; 32]));
    let keypair = || {
        let (local_index, remote_index, created_ms, nonce) = (u32::MAX, u32::MAX, u64::MAX, u64::MAX);
        let (initiator, precedes, asked, window) = (true, true, true, window());
        let (send, receive) = (key(), key());
        KeypairFrame { local_index, remote_index, created_ms, nonce, initiator, precedes, asked, send, receive, window }
    };
    let peer = PeerFrame {
        tunnel: u8::MAX,
        public_key: [255; 32],
        preshared: Some([255; 16]),
        endpoint: Some((far, Some(far))),
        configured: Some(far),
        told: Some(far),
        stamps: [u64::MAX; 4],
        bytes: [u64::MAX; 4],
        last_timestamp: Some([255; 12]),
        last_timestamp_sent: Some([255; 12]),
        last_consumed_ms: Some(u64::MAX),
        last_handshake_sent_ms: Some(u64::MAX),
        last_handshake: Some(Duration::MAX),
        wiped_at_ms: Some(u64::MAX),
        keypairs: [Some(keypair()), Some(keypair()), Some(keypair())],
    };
    assert_eq!(read(&stream(vec![peer])).unwrap().len(), 4);
}

#[test]
fn other_forms_are_refused_by_name() {
    let bytes = stream(Vec::new());
    let said = |bytes: &[u8]| check(&mut &*bytes).unwrap_err().to_string();
    assert_eq!(said(&[0; 64]), "this is something else than sessions");
    let mut newer = bytes.clone();
    newer[16] = 9;
    assert_eq!(said(&newer), "they are of form 9, this culvert reads form 1 alone");
    assert_eq!(said(&bytes[..40]), "they end too early");
}

/// What says nothing that can be, though its checksum is right.
#[test]
fn fields_that_cannot_be_are_refused() {
    let good = || PeerFrame {
        tunnel: 1,
        public_key: [1; 32],
        preshared: None,
        endpoint: None,
        configured: None,
        told: None,
        stamps: [0; 4],
        bytes: [0; 4],
        last_timestamp: None,
        last_timestamp_sent: None,
        last_consumed_ms: None,
        last_handshake_sent_ms: None,
        last_handshake: None,
        wiped_at_ms: None,
        keypairs: [const { None }; 3],
    };
    let key = || Secret::of(&crate::aead::Key::new([1; 32]));
    let keypair = |created_ms, nonce, runs: &[(u8, u64)], next| {
        let window = Window { next, runs: runs.to_vec() };
        let (local_index, remote_index, send, receive) = (1, 1, key(), key());
        let (initiator, precedes, asked) = (false, false, false);
        let all = KeypairFrame {
            local_index,
            remote_index,
            created_ms,
            nonce,
            initiator,
            precedes,
            asked,
            send,
            receive,
            window,
        };
        PeerFrame { keypairs: [None, Some(all), None], ..good() }
    };
    let taken = |peer| check(&mut stream(vec![peer]).as_slice()).map(drop);
    let late = TAKEN + 10_001;
    taken(good()).unwrap();
    taken(keypair(TAKEN, REJECT_AFTER_MESSAGES, &[(128, 2)], 1)).unwrap();
    for bad in [
        PeerFrame { tunnel: 2, ..good() },
        PeerFrame { stamps: [0, late, 0, 0], ..good() },
        PeerFrame { last_consumed_ms: Some(late), ..good() },
        PeerFrame { last_handshake_sent_ms: Some(u64::MAX), ..good() },
        PeerFrame { wiped_at_ms: Some(late + 540_000), ..good() },
        keypair(late, 0, &[(128, 0)], 0),
        keypair(0, REJECT_AFTER_MESSAGES + 1, &[(128, 0)], 0),
        keypair(0, 0, &[(127, 0)], 0),
        keypair(0, 0, &[(128, 0), (1, 0)], 0),
        keypair(0, 0, &[(255, 0)], 0),
        // The greatest is not marked; it is beyond all counters.
        keypair(0, 0, &[(128, 0)], 1),
        keypair(0, 0, &[(128, u64::MAX)], REJECT_AFTER_MESSAGES + 1),
    ] {
        let shown = format!("{bad:?}");
        assert!(matches!(taken(bad), Err(FormatError::Frame(_))), "{shown}");
    }
}

#[test]
fn keys_are_not_shown() {
    let secret = Secret::of(&crate::aead::Key::new([0xab; 32]));
    assert_eq!(format!("{secret:?}"), "(hidden)");
}
