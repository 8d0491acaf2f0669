//! What is left of a peer, and of a gateway, that goes (PROTOCOL A9), or that sleeps (A8.11).

use crate::client::Client;
use crate::harness::{HOST, peer};
use crate::packets::tagged;
use crate::roles::{initiator, kinds, responder, send};
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};

/// PROTOCOL A9.3: with a peer its preshared key, its products, its handshake and its sessions go, also for who still holds its record.
#[test]
fn of_a_peer_that_goes_no_secret_is_left() {
    let (mut gw, mut client) = initiator();
    client.psk = [7; 32];
    let preshared_key = Some(SecretKey::new(&client.psk));
    gw.change_peer(PeerChange { public_key: client.key(), preshared_key, ..PeerChange::default() });
    gw.connect(&mut client);
    // A handshake of ours is under way as well.
    gw.frames();
    send(&mut gw, &client, 1);
    gw.pass_ms(15_500);
    let record = gw.record(&client);
    let pending = {
        let state = record.lock();
        assert!(state.statics.is_some() && !state.preshared_key.is_zero() && !state.keypairs.is_empty());
        assert_eq!(state.handshake.pending_index(), state.pending_index);
        state.pending_index.unwrap()
    };
    let indexes: Vec<u32> = client.sessions.iter().map(|s| s.secrets.remote_index).collect();
    gw.remove(&client);
    let state = record.lock();
    assert!(state.removed && state.statics.is_none() && state.preshared_key.is_zero() && state.keypairs.is_empty());
    assert_eq!((state.handshake.pending_index(), state.pending_index), (None, None));
    assert_eq!(gw.shared.index.pending(pending), None);
    assert!(indexes.iter().all(|i| gw.shared.index.lookup(&gw.cores[0].reader, *i).is_none()));
    drop(state);
    gw.finish();
}

/// PROTOCOL A9.6: at the end what waits goes by name, timers stop, and no key is left in any table.
#[test]
fn at_the_end_nothing_waits_and_no_key_is_left() {
    let (mut gw, client) = responder();
    let waiting = Client::new(2);
    gw.change_peer(PeerChange { endpoint: Some(waiting.at), persistent_keepalive: Some(5), ..peer(&waiting) });
    send(&mut gw, &waiting, 1);
    gw.frames();
    let index = client.session().secrets.remote_index;
    gw.drain();
    assert_eq!((gw.dropped("peer_gone"), gw.interface.peers()), (1, 0));
    assert!(gw.shared.index.lookup(&gw.cores[0].reader, index).is_none());
    gw.pass_ms(20_000);
    assert!(kinds(&mut gw).is_empty());
    gw.apply(ChangeSet { private_key: Some(SecretKey::new(&[0; 32])), ..ChangeSet::default() }).unwrap();
    assert!(gw.context.identity(0).is_none());
    gw.finish();
}

/// PROTOCOL A8.11: after a sleep of ten minutes no session of before is used any more, either way, and its keys are wiped.
#[test]
fn after_a_sleep_no_old_session_is_used() {
    for (mut gw, mut client) in [initiator(), responder()] {
        gw.leap_ms(600_000);
        gw.frames();
        let flow = gw.record(&client).flow;
        assert!(gw.shared.flows.get(&gw.cores[0].reader, flow).unwrap().keys.is_empty());
        let frame = client.data(&tagged(&client.inner(), HOST, 1, 96));
        gw.silent(&[frame], "unknown_index");
        send(&mut gw, &client, 1);
        assert_eq!(kinds(&mut gw), [1]);
        gw.connect(&mut client);
        assert_eq!(gw.received_by(&client).len(), 1, "and a new one takes what waited");
        gw.finish();
    }
}
