//! Sessions that go from one gateway to the next: what goes on, what does not, and that no counter and no message comes twice.

use crate::client::{Client, counter};
use crate::harness::{Gateway, HOST, Options, offline, peer};
use crate::packets::tagged;
use crate::roles::{initiator, keepalive, kinds, responder, send};
use culvert::aead::Key;
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};
use culvert::control::handover::{Captured, Lost, NONCE_MARGIN, Refused, Restored, capture, restore};
use culvert::noise::SessionSecrets;
use culvert::queue::sync::Ordering;
use culvert::session::Keypair;
use std::io::Cursor;
use std::time::Instant;

/// The boot that all of it happens in.
const BOOT: u128 = 77;

/// Ends the sessions of a gateway and writes them.
fn captured(gw: &mut Gateway) -> (Vec<u8>, Captured) {
    gw.settle();
    let reader = gw.cores[0].reader.domain().register().unwrap();
    let Gateway { context, cores, handshake, service, .. } = gw;
    let (mut reader, mut written) = (Some(reader), None);
    let mut write = || written = reader.take().map(|reader| capture(context, reader, BOOT, Vec::new()).unwrap());
    handshake.offline(|| service.offline(|| offline(cores, &mut write)));
    written.unwrap()
}

/// Gives them to another one.
fn given(gw: &mut Gateway, boot: u128, bytes: &[u8]) -> Result<Restored, Refused> {
    let reader = gw.cores[0].reader.domain().register().unwrap();
    let restored = restore(&gw.context, reader, boot, Cursor::new(bytes));
    gw.settle();
    restored
}

/// A gateway that comes `ms` after this one, without peers.
fn next(gw: &Gateway, options: &Options, ms: u64) -> Gateway {
    let mut next = Gateway::with(options);
    next.time.store(gw.time.load(Ordering::Relaxed) + ms, Ordering::Relaxed);
    // It announces its addresses once more.
    next.settle();
    next.frames();
    next
}

/// One that has the peer, and was given the sessions of `gw`, which ends.
fn restarted(mut gw: Gateway, client: &Client, ms: u64) -> Gateway {
    let (bytes, captured) = captured(&mut gw);
    assert_eq!(captured, Captured { peers: 1, sessions: 1 });
    let mut next = next(&gw, &Options::default(), ms);
    gw.finish();
    next.add(client);
    let restored = given(&mut next, BOOT, &bytes).unwrap();
    assert_eq!((restored.peers, restored.sessions), (1, 1), "{restored}");
    next.frames();
    next
}

/// What the gateway has sealed for the client so far was the last of it.
fn last_counter(gw: &mut Gateway, client: &Client) -> u64 {
    send(gw, client, 9);
    let sent: Vec<_> = gw.datagrams().iter().filter(|d| d.kind() == 4).map(|d| counter(&d.payload)).collect();
    *sent.last().unwrap()
}

#[test]
fn a_session_goes_on_both_ways_without_a_handshake() {
    for scene in [responder, initiator] {
        let (mut gw, mut client) = scene();
        let before = last_counter(&mut gw, &client);
        let seen = client.data(&tagged(&client.inner(), HOST, 1, 96));
        gw.wan(&seen);
        gw.settle();
        assert_eq!(gw.delivered().len(), 1);
        let ahead = client.session().copy().seal(client.session().next + 3, &tagged(&client.inner(), HOST, 5, 96));
        let ahead = client.frame(&ahead);
        gw.wan(&ahead);
        gw.settle();
        gw.frames();

        let mut gw = restarted(gw, &client, 1_000);
        // What was taken before is not taken again, what was not is.
        gw.silent(&[seen, ahead], "replay");
        for tag in 2..5 {
            let frame = client.data(&tagged(&client.inner(), HOST, tag, 96));
            gw.wan(&frame);
        }
        gw.settle();
        assert_eq!(gw.delivered().len(), 3);
        send(&mut gw, &client, 7);
        let sent = gw.datagrams();
        assert_eq!(sent.iter().map(|d| d.kind()).collect::<Vec<_>>(), [4]);
        assert!(client.open(&sent[0].payload).is_some());
        assert_eq!(counter(&sent[0].payload), before + 1 + NONCE_MARGIN);
        gw.finish();
    }
}

#[test]
fn who_handed_its_sessions_over_neither_seals_nor_opens_with_them() {
    let (mut gw, mut client) = initiator();
    let (bytes, _) = captured(&mut gw);
    assert!(!bytes.is_empty());
    let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
    gw.silent(&[frame], "unknown_index");
    gw.leap_ms(6_000);
    send(&mut gw, &client, 1);
    assert_eq!(kinds(&mut gw), [1], "it asks for a session");
    gw.finish();
}

/// The initiation that made the session comes again: it is older than what the gateway before has accepted.
#[test]
fn an_old_initiation_makes_no_session_with_the_next_gateway() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let old = client.initiation();
    let old = client.frame(&old);
    gw.connect(&mut client);
    gw.frames();
    let mut gw = restarted(gw, &client, 500);
    gw.silent(&[old], "handshake_refused");
    // A newer one does.
    gw.connect(&mut client);
    gw.finish();
}

/// The client has the response, but nothing was sent under the session: it is still `next`, and confirmed by the first message.
#[test]
fn a_session_that_waits_for_its_first_message_waits_on() {
    let (mut gw, mut client) = responder();
    gw.handshake_of(&mut client);
    let (bytes, captured) = captured(&mut gw);
    assert_eq!(captured.sessions, 1);
    let mut later = next(&gw, &Options::default(), 100);
    gw.finish();
    later.add(&client);
    given(&mut later, BOOT, &bytes).unwrap();
    send(&mut later, &client, 1);
    let under =
        |gw: &mut Gateway| u32::from_le_bytes(*gw.datagrams().last().unwrap().payload[4..].first_chunk().unwrap());
    assert_eq!(under(&mut later), client.sessions[0].secrets.local_index);
    keepalive(&mut later, &mut client);
    send(&mut later, &client, 2);
    assert_eq!(under(&mut later), client.sessions[1].secrets.local_index);
    later.finish();
}

#[test]
fn counts_places_and_times_go_on() {
    let (mut gw, mut client) = responder();
    client.at = "198.51.100.99:999".parse().unwrap();
    keepalive(&mut gw, &mut client);
    let shown = |gw: &mut Gateway, client: &Client| {
        let record = gw.record(client);
        let flow = gw.shared.flows.get(&gw.cores[0].reader, record.flow).unwrap();
        let state = record.lock();
        let counts = (flow.byte_counts(), flow.stamps.times(), flow.endpoint());
        (counts, state.last_handshake, state.timers.wiped_at_ms())
    };
    let before = shown(&mut gw, &client);
    assert_eq!(before.0.2.unwrap().remote, client.at);
    assert!(before.0.2.unwrap().local.is_some() && before.1.is_some() && before.2.is_some());
    let mut gw = restarted(gw, &client, 1_000);
    assert_eq!(shown(&mut gw, &client), before);
    // Its end: 540 s after the session was made.
    gw.leap_ms(541_000);
    assert!(gw.record(&client).lock().keypairs.is_empty());
    gw.finish();
}

#[test]
fn the_initiator_asks_for_the_next_session_at_its_time() {
    let (gw, mut client) = initiator();
    let mut gw = restarted(gw, &client, 1_000);
    gw.leap_ms(118_000);
    send(&mut gw, &client, 1);
    assert_eq!(kinds(&mut gw), [4]);
    keepalive(&mut gw, &mut client);
    gw.leap_ms(2_000);
    send(&mut gw, &client, 2);
    assert_eq!(kinds(&mut gw), [4, 1]);
    gw.finish();
}

/// Nothing of a session is sent or taken beyond its 180 s, however long the restart took.
#[test]
fn a_session_dies_of_age_on_its_way() {
    let (mut gw, mut client) = responder();
    let (bytes, _) = captured(&mut gw);
    let mut later = next(&gw, &Options::default(), 180_000);
    gw.finish();
    later.add(&client);
    let restored = given(&mut later, BOOT, &bytes).unwrap();
    assert_eq!((restored.peers, restored.sessions, restored.lost(Lost::Age)), (1, 0, 1));
    assert_eq!(restored.to_string(), "0 of 1 peers go on without a handshake; dropped: 1 keypairs that grew too old");
    let frame = client.data(&[]);
    later.silent(&[frame], "unknown_index");
    later.finish();
}

fn with_psk(client: &Client, byte: u8) -> PeerChange {
    PeerChange { preshared_key: Some(SecretKey::new(&[byte; 32])), ..peer(client) }
}

#[test]
fn what_does_not_fit_any_more_is_dropped_and_counted() {
    type Change = Box<dyn Fn(&mut Gateway, &Client)>;
    let cases: [(Lost, u64, Change); 4] = [
        (Lost::Peer, 0, Box::new(|_, _| ())),
        (Lost::PresharedKey, 1, Box::new(|gw, client| gw.change_peer(with_psk(client, 3)))),
        (Lost::PresharedKey, 1, Box::new(|gw, client| gw.add(client))),
        (
            Lost::InterfaceKey,
            0,
            Box::new(|gw, client| {
                gw.change_peer(with_psk(client, 2));
                gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0x11; 32])), ..ChangeSet::default() }).unwrap();
            }),
        ),
    ];
    for (lost, peers, change) in cases {
        let mut gw = Gateway::new();
        let mut client = Client::new(1);
        client.psk = [2; 32];
        gw.change_peer(with_psk(&client, 2));
        gw.connect(&mut client);
        let (bytes, _) = captured(&mut gw);
        let mut later = next(&gw, &Options::default(), 100);
        gw.finish();
        change(&mut later, &client);
        let restored = given(&mut later, BOOT, &bytes).unwrap();
        assert_eq!((restored.peers, restored.sessions, restored.lost(lost)), (peers, 0, 1), "{restored}");
        later.frames();
        let frame = client.data(&[]);
        later.silent(&[frame], "unknown_index");
        later.finish();
    }
}

/// The right preshared key: it can fail otherwise only.
#[test]
fn a_peer_with_the_same_preshared_key_goes_on() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    client.psk = [2; 32];
    gw.change_peer(with_psk(&client, 2));
    gw.connect(&mut client);
    let (bytes, _) = captured(&mut gw);
    let mut later = next(&gw, &Options::default(), 100);
    gw.finish();
    later.change_peer(with_psk(&client, 2));
    assert_eq!(given(&mut later, BOOT, &bytes).unwrap().sessions, 1);
    later.finish();
}

#[test]
fn another_boot_a_time_to_come_and_what_is_not_whole_change_nothing() {
    let (mut gw, mut client) = responder();
    let (bytes, _) = captured(&mut gw);
    let mut later = next(&gw, &Options::default(), 100);
    let mut earlier = next(&gw, &Options::default(), 0);
    earlier.time.fetch_sub(1, Ordering::Relaxed);
    gw.finish();
    later.add(&client);
    earlier.add(&client);
    assert!(matches!(given(&mut later, BOOT + 1, &bytes), Err(Refused::Boot)));
    assert!(matches!(given(&mut earlier, BOOT, &bytes), Err(Refused::Future)));
    earlier.finish();
    for len in (0..bytes.len()).step_by(7) {
        assert!(matches!(given(&mut later, BOOT, &bytes[..len]), Err(Refused::Format(_))), "{len}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(matches!(given(&mut later, BOOT, &damaged), Err(Refused::Format(_))), "{at}");
    }
    let frame = client.data(&[]);
    later.silent(&[frame], "unknown_index");
    later.finish();
}

/// A keypair without counters left, and an index that is somebody else's.
#[test]
fn keypairs_that_cannot_go_on_are_dropped() {
    let (mut gw, client) = responder();
    {
        let flow = gw.record(&client).flow;
        let reader = &gw.cores[0].reader;
        let slot = gw.shared.flows.get(reader, flow).unwrap().keys.current().unwrap();
        let keypair = gw.shared.index.keypair(reader, slot).unwrap();
        keypair.set_nonce_for_test(culvert::session::limits::REJECT_AFTER_MESSAGES - NONCE_MARGIN);
    }
    let (bytes, _) = captured(&mut gw);
    let mut later = next(&gw, &Options::default(), 100);
    gw.finish();
    later.add(&client);
    let restored = given(&mut later, BOOT, &bytes).unwrap();
    assert_eq!((restored.sessions, restored.lost(Lost::Counters)), (0, 1));
    later.finish();

    let (mut gw, client) = responder();
    let (bytes, _) = captured(&mut gw);
    let mut later = next(&gw, &Options::default(), 100);
    gw.finish();
    later.add(&client);
    assert_eq!(given(&mut later, BOOT, &bytes).unwrap().sessions, 1);
    // The same once more: its place is taken, and what is there stays.
    let again = given(&mut later, BOOT, &bytes).unwrap();
    assert_eq!((again.sessions, again.lost(Lost::Index)), (0, 1));
    send(&mut later, &client, 1);
    assert_eq!(kinds(&mut later), [4]);
    later.finish();
}

#[test]
fn an_endpoint_that_was_configured_anew_is_the_one() {
    for (configured, found) in [("198.51.100.1:4000", "198.51.100.77:77"), ("198.51.100.2:2", "198.51.100.2:2")] {
        let (mut gw, mut client) = initiator();
        client.at = "198.51.100.77:77".parse().unwrap();
        keepalive(&mut gw, &mut client);
        let (bytes, _) = captured(&mut gw);
        let mut later = next(&gw, &Options::default(), 100);
        gw.finish();
        later.change_peer(PeerChange { endpoint: Some(configured.parse().unwrap()), ..peer(&client) });
        assert_eq!(given(&mut later, BOOT, &bytes).unwrap().sessions, 1);
        assert_eq!(later.endpoint(&client).unwrap().remote, found.parse().unwrap());
        later.finish();
    }
}

/// A port of ours that we listen on no more is nobody's to answer from.
#[test]
fn an_end_of_ours_that_is_gone_is_forgotten() {
    let (mut gw, client) = responder();
    let (bytes, _) = captured(&mut gw);
    let mut later = next(&gw, &Options { listen_ports: vec![vec![443]], ..Options::default() }, 100);
    gw.finish();
    later.add(&client);
    assert_eq!(given(&mut later, BOOT, &bytes).unwrap().sessions, 1);
    let endpoint = later.endpoint(&client).unwrap();
    assert_eq!((endpoint.remote, endpoint.local), (client.at, None));
    later.finish();
}

/// All of them go on where they were, and none asks for anything because of it. `CULVERT_PEERS=500000` by hand.
#[test]
fn many_sessions_go_on_side_by_side() {
    let many: u32 = std::env::var("CULVERT_PEERS").map_or(3_000, |many| many.parse().unwrap());
    let key = |number: u32| core::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(0x55));
    let options = Options { max_peers: many, ..Options::default() };
    let add = |gw: &mut Gateway| {
        let endpoint = Some("198.51.100.1:4000".parse().unwrap());
        let peer = |number| PeerChange { public_key: key(number), endpoint, ..PeerChange::default() };
        gw.apply(ChangeSet { peers: (0..many).map(peer).collect(), ..ChangeSet::default() }).unwrap();
        gw.settle();
    };
    let mut gw = Gateway::with(&options);
    add(&mut gw);
    let now_ms = gw.time.load(Ordering::Relaxed);
    for number in 0..many {
        let (record, reader) = (gw.context.directory.by_key(0, &key(number)).unwrap(), &gw.cores[0].reader);
        let random = || gw.context.environment.random_index();
        let local_index = gw.shared.index.reserve(reader, record.flow, random).unwrap();
        let [send, receive] = [number, number + 1].map(|number| Key::new(key(number)));
        let secrets = SessionSecrets { send, receive, local_index, remote_index: number, initiator: true };
        let keypair = Keypair::new(secrets, number, record.flow.0, now_ms);
        keypair.reserve_nonces(number % 100);
        assert!((0..u64::from(number) % 200).all(|counter| keypair.replay().accept(counter)));
        let slot = gw.shared.index.install(Box::new(keypair)).unwrap();
        record.lock().keypairs.push(slot);
        gw.shared.flows.get(reader, record.flow).unwrap().keys.install_initiator(slot);
    }
    let began = Instant::now();
    let (bytes, captured) = captured(&mut gw);
    let written = began.elapsed();
    assert_eq!(captured.sessions, u64::from(many));
    let mut later = next(&gw, &options, 1_000);
    gw.finish();
    add(&mut later);
    later.frames();
    let began = Instant::now();
    let reader = later.cores[0].reader.domain().register().unwrap();
    let restored = restore(&later.context, reader, BOOT, Cursor::new(&bytes)).unwrap();
    eprintln!(
        "{many} sessions: {} MiB, written in {:.2} s, taken over in {:.2} s",
        bytes.len() >> 20,
        written.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    assert_eq!(restored.sessions, u64::from(many));
    for number in 0..many {
        let (record, reader) = (later.context.directory.by_key(0, &key(number)).unwrap(), &later.cores[0].reader);
        let slot = later.shared.flows.get(reader, record.flow).unwrap().keys.current().unwrap();
        let keypair = later.shared.index.keypair(reader, slot).unwrap();
        assert_eq!(keypair.nonce(), u64::from(number % 100) + NONCE_MARGIN);
        assert_eq!(keypair.replay().greatest(), (u64::from(number) % 200).checked_sub(1));
        assert_eq!((keypair.remote_index(), keypair.flow()), (number, record.flow.0));
    }
    later.pass_ms(20_000);
    assert!(kinds(&mut later).is_empty(), "nobody asks for a session, nobody is asked");
    later.finish();
}
