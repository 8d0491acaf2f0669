//! A whole configuration set again while packets flow (TESTING 4.2, "reload under load"), and at full size.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options, Role, allow, peer};
use crate::packets::{self, Datagram, tag, tagged};
use crate::roles::answer;
use crate::running::{Running, take};
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};
use culvert::control::interface::ChangeError;
use culvert::queue::sync::Arc;

/// Of one client, packets that are under way: fewer than a queue holds.
const UNDER_WAY: usize = 256;

/// The n-th of the peers that never come.
fn stranger(n: u32) -> PeerChange {
    let mut public_key = [9; 32];
    public_key[..4].copy_from_slice(&n.to_le_bytes());
    let [_, a, b, c] = n.to_be_bytes();
    let allowed_ips =
        vec![allow(&format!("10.{}.{b}.{c}/32", 64 + a)), allow(&format!("fd02::{a:x}:{b:x}{c:02x}/128"))];
    PeerChange { public_key, allowed_ips, preshared_key: Some(SecretKey::new(&[7; 32])), ..PeerChange::default() }
}

fn whole(strangers: u32, clients: &[PeerChange]) -> Vec<PeerChange> {
    let again = |p: &PeerChange| PeerChange {
        public_key: p.public_key,
        allowed_ips: p.allowed_ips.clone(),
        preshared_key: p.preshared_key.clone(),
        replace_allowed_ips: true,
        ..PeerChange::default()
    };
    // The clients stand among the others.
    let half = strangers / 2;
    (0..half).map(stranger).chain(clients.iter().map(again)).chain((half..strangers).map(stranger)).collect()
}

/// Reload under load: ten thousand peers are set again and again, as `wg setconf` and as `wg syncconf` do it, while four of them pass
/// packets both ways; two began their sessions, of two the gateway did. No packet is lost or overtaken, and there is no new handshake.
#[test]
fn ten_thousand_peers_set_again_cost_the_others_nothing() {
    const STRANGERS: u32 = 10_000;
    let cores = vec![Role::Io, Role::Worker, Role::Worker];
    let mut gw = Gateway::with(&Options { cores, pool: 32_768, max_peers: STRANGERS + 4, ..Options::default() });
    let mut clients: Vec<Client> = (1..=4).map(Client::new).collect();
    let configured: Vec<PeerChange> = clients.iter().map(peer).collect();
    gw.apply(ChangeSet { peers: whole(STRANGERS, &configured), ..ChangeSet::default() }).unwrap();
    for client in &mut clients {
        if client.number % 2 == 0 {
            gw.connect(client);
            continue;
        }
        gw.change_peer(PeerChange { endpoint: Some(client.at), public_key: client.key(), ..PeerChange::default() });
        gw.lan(&tagged(HOST, &client.inner(), 0, 96));
        gw.settle();
        answer(&mut gw, client);
        let keepalive = client.data(&[]);
        gw.wan(&keepalive);
        gw.settle();
    }
    gw.frames();
    let handshakes: Vec<_> = clients.iter().map(|c| gw.record(c).lock().last_handshake).collect();
    let records: Vec<_> = clients.iter().map(|c| gw.record(c)).collect();
    let gw = Running::start(gw);
    let interface = Arc::clone(&gw.interface);
    let reload = std::thread::spawn(move || {
        for round in 0..12 {
            let (peers, replace_peers) = (whole(STRANGERS, &configured), round % 2 == 0);
            interface.apply(ChangeSet { replace_peers, peers, ..ChangeSet::default() }).unwrap();
        }
    });
    let (mut sent, mut out, mut inner) = (0, vec![0; 4], vec![0; 4]);
    let mut collect = || {
        for frame in take(&gw.wan_tx) {
            let datagram = Datagram::of(&frame).unwrap();
            assert_eq!(datagram.kind(), 4, "a handshake");
            let client = clients.iter().position(|c| c.at == datagram.to).unwrap();
            assert_eq!(tag(&clients[client].open(&datagram.payload).unwrap()), out[client]);
            out[client] += 1;
        }
        for frame in take(&gw.lan_tx) {
            let client = usize::from(frame[14 + 15]) - 1;
            assert_eq!(tag(&frame[14..]), inner[client]);
            inner[client] += 1;
        }
        (*out.iter().min().unwrap()).min(*inner.iter().min().unwrap())
    };
    let mut sealed: Vec<Client> = (1..=4).map(Client::new).collect();
    for (copy, client) in sealed.iter_mut().zip(&clients) {
        copy.sessions = client.sessions.iter().map(crate::client::Session::copy).collect();
    }
    while !reload.is_finished() {
        for client in &mut sealed {
            let frame = client.data(&tagged(&client.inner(), HOST, sent, 96));
            gw.send(&gw.wan_rx[0], &frame);
            gw.send(&gw.lan_rx[0], &packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), sent, 96)));
        }
        sent += 1;
        gw.wait("what is under way", || (sent - collect()) as usize <= UNDER_WAY);
    }
    reload.join().unwrap();
    assert!(sent > 100, "only {sent} packets passed meanwhile");
    gw.wait("the rest", || collect() == sent);
    for (record, before) in records.iter().zip(handshakes) {
        let state = record.lock();
        assert!(!state.removed && state.pending_index.is_none());
        assert_eq!(state.last_handshake, before);
    }
    let account = gw.account();
    let lost: Vec<_> = account.drops.iter().chain(&account.control_drops).map(|(reason, _)| reason.name()).collect();
    let harmless = ["keepalive", "keepalive_elided", "control_done"];
    assert!(lost.iter().all(|reason| harmless.contains(reason)), "{lost:?}");
    gw.finish();
}

/// PROTOCOL A1.8: more than 2^16 peers, up to the configured bound, and not one more.
/// PROTOCOL A1.24: the first, the last and one in the middle are found by key, by index and by address.
#[test]
fn seventy_thousand_peers() {
    const STRANGERS: u32 = 70_000;
    let mut gw = Gateway::with(&Options { max_peers: STRANGERS + 3, ..Options::default() });
    let mut clients: Vec<Client> = (1..=3).map(Client::new).collect();
    let mut peers: Vec<PeerChange> = (0..STRANGERS).map(stranger).collect();
    for (client, at) in clients.iter().zip([0, 35_000, 70_002]) {
        peers.insert(at, peer(client));
    }
    gw.apply(ChangeSet { replace_peers: true, peers, ..ChangeSet::default() }).unwrap();
    assert_eq!(gw.interface.peers(), STRANGERS as usize + 3);
    let one_more = ChangeSet { peers: vec![stranger(STRANGERS)], ..ChangeSet::default() };
    let refused = ChangeError::TooManyPeers { wanted: STRANGERS as usize + 4, max_peers: STRANGERS + 3 };
    assert_eq!(gw.apply(one_more), Err(refused));
    for client in &mut clients {
        gw.connect(client);
        gw.lan(&tagged(HOST, &client.inner(), 1, 96));
        let frame = client.data(&tagged(&client.inner(), HOST, 2, 96));
        gw.wan(&frame);
        gw.settle();
        assert_eq!((gw.received_by(client).len(), gw.delivered().len()), (1, 1));
    }
    gw.lan(&tagged(HOST, "10.65.1.1", 1, 96));
    gw.settle();
    assert_eq!(gw.dropped("no_endpoint"), 1, "a peer that never came");
    gw.frames();
    gw.apply(ChangeSet { replace_peers: true, ..ChangeSet::default() }).unwrap();
    while gw.writer.poll() > 0 {
        gw.step();
    }
    gw.finish();
}
