//! One peer floods, another never answers: what the others notice of it (TESTING A21).

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, peer};
use crate::packets::{tag, tagged};
use culvert::control::change::PeerChange;
use culvert::queue::Dir;
use std::collections::HashMap;
use std::net::SocketAddr;

const OTHERS: u8 = 40;
/// Packets of each of the others in one round, each way.
const EACH: u32 = 32;
const FLOOD: u32 = 2500;

/// How long a packet of the others took.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// Turns of the worker, with the one that it went out in.
    turns: usize,
    /// Packets that the worker had sealed or opened when that turn was over, whosever they were: they are all of one size, and so are its
    /// time, by a clock that nothing else on the machine touches.
    packets: usize,
}

/// How long each packet of the others took, over some rounds; all are there, in order.
fn waits(flood: bool) -> Vec<Wait> {
    let mut gw = Gateway::with(&Options { pool: 32_768, ..Options::workers(1) });
    let mut clients: Vec<Client> = (1..=OTHERS).map(Client::new).collect();
    let (mut flooder, slow) = (Client::new(101), Client::new(102));
    for client in clients.iter_mut().chain([&mut flooder]) {
        gw.add(client);
        gw.connect(client);
    }
    gw.change_peer(PeerChange { endpoint: Some(slow.at), ..peer(&slow) });
    gw.frames();
    let by_address: HashMap<SocketAddr, usize> = clients.iter().enumerate().map(|(n, c)| (c.at, n)).collect();
    let mut waits = Vec::new();
    for _ in 0..5 {
        if flood {
            for n in 0..FLOOD {
                gw.lan(&tagged(HOST, &flooder.inner(), n, 96));
                gw.lan(&tagged(HOST, &slow.inner(), n, 96));
                let frame = flooder.data(&tagged(&flooder.inner(), HOST, n, 96));
                gw.wan(&frame);
            }
        }
        for n in 0..EACH {
            for client in &mut clients {
                gw.lan(&tagged(HOST, &client.inner(), n, 96));
                let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
                gw.wan(&frame);
            }
        }
        while gw.turn(0) > 0 {}
        for client in clients.iter().chain([&flooder, &slow]) {
            let flow = gw.shared.flows.get(&gw.cores[0].reader, gw.record(client).flow).unwrap();
            assert!(flow.queued(Dir::Egress) <= 1024 && flow.queued(Dir::Ingress) <= 1024);
        }
        let mut next = vec![[0; 2]; clients.len()];
        let mut packets = 0;
        for turns in 1.. {
            if gw.turn(1) == 0 {
                break;
            }
            packets += gw.wan_tx.len() + gw.lan_tx.len();
            let wait = Wait { turns, packets };
            for datagram in gw.datagrams() {
                let Some(&client) = by_address.get(&datagram.to) else { continue };
                assert_eq!(tag(&clients[client].open(&datagram.payload).unwrap()), next[client][0]);
                next[client][0] += 1;
                waits.push(wait);
            }
            for packet in gw.delivered() {
                let Some(client) = usize::from(packet[15]).checked_sub(1).filter(|n| *n < clients.len()) else {
                    continue;
                };
                assert_eq!(tag(&packet), next[client][1]);
                next[client][1] += 1;
                waits.push(wait);
            }
        }
        assert!(next.iter().all(|ways| *ways == [EACH; 2]), "others lost packets");
        let flow = gw.shared.flows.get(&gw.cores[0].reader, gw.record(&slow).flow).unwrap();
        assert!(!flood || flow.queued(Dir::Egress) == 0);
        assert!(gw.shared.staged.held() <= 128);
        gw.settle();
        gw.frames();
    }
    assert_eq!(flood, gw.dropped("queue_full") > 0);
    assert_eq!(flood, gw.dropped("stage_overflow") > 0);
    gw.finish();
    waits
}

/// TESTING A21: no queue is over its cap, the others lose nothing, and their 99th percentile (of turns, and of the time, of the worker that
/// all share) is within a tenth of what it is without the flood.
#[test]
fn a_flood_and_a_peer_that_never_answers_cost_the_others_nothing() {
    let (alone, flooded) = (waits(false), waits(true));
    assert_eq!(alone.len(), flooded.len());
    let p99 = |waits: &[Wait], of: fn(&Wait) -> usize| {
        let mut all: Vec<_> = waits.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() * 99 / 100]
    };
    for (what, of) in [("turns", (|wait| wait.turns) as fn(&Wait) -> usize), ("packets", |wait| wait.packets)] {
        let (alone, flooded) = (p99(&alone, of), p99(&flooded, of));
        println!("p99 in {what}: {flooded}, {alone} without the flood");
        assert!(flooded * 10 <= alone * 11, "{flooded} {what}, {alone} without the flood");
    }
}
