//! Receiver indexes: random, few a peer, and never taken for the one before (TESTING A15, A24, A27).

use crate::client::Client;
use crate::harness::{Gateway, HOST};
use crate::packets::{tag, tagged};
use crate::roles::{delivered_under, responder};
use culvert::aead::Key;
use culvert::noise::SessionSecrets;
use culvert::peer::Peer;
use culvert::queue::sync::Ordering;
use culvert::session::Keypair;
use std::collections::HashSet;

/// `make test-long` tries harder.
fn is_long() -> bool {
    std::env::var_os("CULVERT_LONG").is_some()
}

/// Keypairs in the whole table.
fn keypairs(gw: &Gateway) -> usize {
    let reader = &gw.cores[0].reader;
    let slots = gw.shared.index.slot(u32::MAX) + 1;
    (0..slots).filter(|slot| gw.shared.index.keypair(reader, *slot).is_some()).count()
}

/// The responder's index in a response.
fn sender(response: &[u8]) -> u32 {
    u32::from_le_bytes(*response[4..].first_chunk().unwrap())
}

/// TESTING A15: back-to-back initiations of one valid peer, some taken, most too soon: never more than three sessions, the table has one
/// size, and the session that is used is not disturbed. (A million of them in `make test-long`.)
#[test]
fn back_to_back_initiations_of_one_peer() {
    let (mut gw, mut client) = responder();
    let size = gw.shared.index.slot(u32::MAX);
    let (rounds, each) = if is_long() { (50_000_u32, 20) } else { (500, 4) };
    for round in 0..rounds {
        let initiation = {
            let initiation = client.initiation();
            client.frame(&initiation)
        };
        for _ in 0..each {
            gw.wan(&initiation);
            gw.step();
        }
        gw.step();
        gw.time.fetch_add(20, Ordering::Relaxed);
        let held = gw.record(&client).lock().keypairs.len();
        assert!(held <= 3, "{held} sessions");
        if round % 50 == 0 {
            assert!((1..=3).contains(&keypairs(&gw)), "{}", keypairs(&gw));
            // The session is not to grow old.
            gw.time.store(1_000_000, Ordering::Relaxed);
            let answers = gw.datagrams().iter().filter(|d| d.kind() == 2).count();
            assert_eq!(answers, if round == 0 { 1 } else { 50 });
            assert_eq!(delivered_under(&mut gw, &mut client, 0), 1);
        }
    }
    assert_eq!(gw.shared.index.slot(u32::MAX), size);
    gw.settle();
    assert_eq!(gw.dropped("control_done"), u64::from(rounds) + 1);
    assert_eq!(gw.dropped("handshake_refused"), u64::from(rounds * (each - 1)));
    gw.frames();
    gw.finish();
}

/// TESTING A27: indexes are unique, use all 32 bits evenly, and follow no step.
#[test]
fn indexes_look_random() {
    const HANDSHAKES: usize = 400;
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let indexes: Vec<u32> = (0..HANDSHAKES)
        .map(|_| {
            let initiation = client.initiation();
            gw.wan(&client.frame(&initiation));
            gw.settle();
            gw.leap_ms(20);
            sender(&gw.datagrams()[0].payload)
        })
        .collect();
    assert_eq!(indexes.iter().collect::<HashSet<_>>().len(), HANDSHAKES);
    for bit in 0..32 {
        let set = indexes.iter().filter(|index| *index >> bit & 1 == 1).count();
        // Six standard deviations either way.
        assert!((140..=260).contains(&set), "bit {bit} is set in {set} of {HANDSHAKES}");
    }
    let steps: HashSet<u32> = indexes.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    let flips: HashSet<u32> = indexes.windows(2).map(|w| w[1] ^ w[0]).collect();
    assert!(steps.len() == HANDSHAKES - 1 && flips.len() == HANDSHAKES - 1);
    gw.finish();
}

/// TESTING A24: a peer goes and another's session gets the very index: packets of the old session neither open, nor move the new
/// window or endpoint, nor are delivered; and the two keypairs have different serial numbers.
#[test]
fn an_index_that_is_used_again_is_not_the_one_before() {
    let (mut gw, mut one) = responder();
    let mut two = Client::new(2);
    gw.add(&two);
    gw.connect(&mut two);
    gw.frames();
    let index = one.session().secrets.remote_index;
    let serial = |gw: &Gateway| gw.shared.index.lookup(&gw.cores[0].reader, index).unwrap().serial();
    let before = serial(&gw);
    let stale: Vec<_> = (0..5).map(|n| one.data(&tagged(&one.inner(), HOST, n, 96))).collect();
    // Two of them are on the wire when the peer goes.
    stale[..2].iter().for_each(|frame| gw.wan(frame));
    gw.remove(&one);
    gw.settle();
    assert_eq!((gw.delivered().len(), gw.dropped("unknown_index")), (0, 2));
    assert!(gw.shared.index.lookup(&gw.cores[0].reader, index).is_none());

    // The second client's next session, made by hand so that it has this index.
    let keys = || [Key::new([0x31; 32]), Key::new([0x32; 32])];
    let secrets = |[send, receive]: [Key; 2], local_index, remote_index| SessionSecrets {
        send,
        receive,
        local_index,
        remote_index,
        initiator: true,
    };
    let record = gw.record(&two);
    let reserved = gw.shared.index.reserve(&gw.cores[0].reader, record.flow, || index);
    assert_eq!(reserved, Some(index));
    let now = gw.context.environment.now_ms();
    let keypair = Keypair::new(secrets(keys(), index, 77), before.wrapping_add(1000), record.flow.0, now);
    let slot = gw.shared.index.install(Box::new(keypair)).unwrap();
    let install = |peer: &Peer| peer.keys.install_initiator(slot);
    install(gw.shared.flows.get(&gw.cores[0].reader, record.flow).unwrap());
    record.lock().keypairs.push(slot);
    let [send, receive] = keys();
    two.sessions.push(crate::client::Session { secrets: secrets([receive, send], 77, index), next: 0 });

    assert_ne!(serial(&gw), before);
    gw.silent(&stale[2..], "auth_failed");
    assert_eq!(gw.endpoint(&two).unwrap().remote, two.at);
    let frame = two.data(&tagged(&two.inner(), HOST, 9, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), [9], "the window was moved");
    gw.finish();
}

/// TESTING A24: every keypair has a serial number of its own, so that a packet in flight is never released by another's window.
#[test]
fn serial_numbers_differ() {
    let (mut gw, mut client) = responder();
    let mut serials = HashSet::new();
    for _ in 0..200 {
        gw.connect(&mut client);
        let index = client.session().secrets.remote_index;
        let serial = gw.shared.index.lookup(&gw.cores[0].reader, index).unwrap().serial();
        assert!(serials.insert(serial));
    }
    gw.frames();
    gw.finish();
}
