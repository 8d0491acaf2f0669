//! Every length: of messages that are none, of packets to be padded (TESTING A3, PROTOCOL A8.2).

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST6, Options};
use crate::packets::{self, Ip, addr, tag, tagged};
use crate::roles::responder;

/// Why a message of zeros of this type and length goes no further.
fn reason(kind: u8, length: usize) -> &'static str {
    match (kind, length) {
        (1, 148) | (2, 92) => "bad_mac1",
        (3, 64) => "handshake_refused",
        (4, 32..) => "unknown_index",
        _ => "bad_message",
    }
}

fn passes(gw: &mut Gateway, client: &mut Client) {
    let frame = client.data(&tagged(&client.inner(), HOST, 77, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), [77]);
}

/// TESTING A3: every length from 0 to 2,000 of the four types, each silent and dropped by its name.
/// PROTOCOL A2.1: lengths are exact, data has 32 bytes at least.
#[test]
fn messages_of_every_length() {
    let (mut gw, mut client) = responder();
    for kind in [1, 2, 3, 4, 0, 5, 128, 255] {
        let known = (1..=4).contains(&kind);
        let lengths = (0..=2000).filter(|length| known || matches!(length, 0..=200 | 1400..=1600));
        let frame = |length: usize| {
            let mut payload = vec![0; length];
            payload.first_mut().into_iter().for_each(|first| *first = kind);
            client.frame(&payload)
        };
        let (good, bad): (Vec<_>, Vec<_>) = lengths.partition(|length| reason(kind, *length) == "bad_message");
        for (lengths, name) in [(good, "bad_message"), (bad, "")] {
            for some in lengths.chunk_by(|a, b| reason(kind, *a) == reason(kind, *b)) {
                let name = if name.is_empty() { reason(kind, some[0]) } else { name };
                let frames: Vec<_> = some.iter().map(|length| frame(*length)).collect();
                frames.chunks(1000).for_each(|frames| gw.silent(frames, name));
            }
        }
    }
    passes(&mut gw, &mut client);
    gw.finish();
}

/// TESTING A4: 1,452 bytes are no multiple of 16, and legal: padding is clamped to the MTU.
#[test]
fn a_message_whose_padding_was_clamped_is_accepted() {
    let (mut gw, client) = responder();
    let message = client.session().seal(5, &tagged(&client.inner(), HOST, 3, 1420));
    assert_eq!(message.len(), 1452);
    gw.wan(&client.frame(&message));
    gw.settle();
    let delivered = gw.delivered();
    assert_eq!((delivered.len(), delivered[0].len()), (1, 1420));
    gw.finish();
}

/// PROTOCOL A8.2, A1.18: every inner length up to the MTU is padded to 16, but not beyond the MTU; 1420 at 1420 gets nothing.
/// PROTOCOL A1.19: a keepalive has exactly 32 bytes.
/// PROTOCOL A8.3: padding is zeros.
/// TESTING A27: data is padded.
#[test]
fn padding_of_every_length() {
    for mtu in [1420, 1299, 1280] {
        let mut gw = Gateway::with(&Options { mtu, ..Options::default() });
        let mut client = Client::new(1);
        gw.add(&client);
        gw.connect(&mut client);
        gw.frames();
        let mtu = usize::from(mtu);
        for (from, to, header) in [(HOST, client.inner(), 20), (HOST6, client.inner6(), 40)] {
            let ip = Ip { tos: 0, ttl: 64, protocol: 17 };
            for length in header..=mtu {
                gw.lan(&packets::ip(addr(from), addr(&to), ip, &vec![0x5a; length - header]));
                if length % 256 == 0 {
                    gw.settle();
                }
            }
            gw.settle();
            let received = gw.received_by(&client);
            assert_eq!(received.len(), mtu + 1 - header);
            for (length, padded) in (header..).zip(received) {
                assert_eq!(padded.len(), length.next_multiple_of(16).min(mtu), "{length} at {mtu}");
                assert!(padded[length..].iter().all(|byte| *byte == 0));
                assert!(padded[header..length].iter().all(|byte| *byte == 0x5a));
            }
        }
        gw.finish();
    }
    let (mut gw, client) = crate::roles::initiator();
    gw.change_peer(culvert::control::change::PeerChange {
        public_key: client.key(),
        persistent_keepalive: Some(5),
        ..Default::default()
    });
    gw.pass_ms(6_000);
    assert_eq!(gw.datagrams().iter().map(|d| d.payload.len()).collect::<Vec<_>>(), [32]);
    gw.finish();
}
