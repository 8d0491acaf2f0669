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

/// In which turn of the worker each packet of the others went out, over some rounds; all are there, in order.
fn turns(flood: bool) -> Vec<usize> {
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
    let mut turns = Vec::new();
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
        for turn in 1.. {
            if gw.turn(1) == 0 {
                break;
            }
            for datagram in gw.datagrams() {
                let Some(&client) = by_address.get(&datagram.to) else { continue };
                assert_eq!(tag(&clients[client].open(&datagram.payload).unwrap()), next[client][0]);
                next[client][0] += 1;
                turns.push(turn);
            }
            for packet in gw.delivered() {
                let Some(client) = usize::from(packet[15]).checked_sub(1).filter(|n| *n < clients.len()) else {
                    continue;
                };
                assert_eq!(tag(&packet), next[client][1]);
                next[client][1] += 1;
                turns.push(turn);
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
    turns.sort_unstable();
    turns
}

/// TESTING A21: no queue is over its cap, the others lose nothing, and their 99th percentile (in turns of the worker that all share)
/// is within a tenth of what it is without the flood.
#[test]
fn a_flood_and_a_peer_that_never_answers_cost_the_others_nothing() {
    let p99 = |turns: &[usize]| turns[turns.len() * 99 / 100];
    let (alone, flooded) = (turns(false), turns(true));
    assert_eq!(alone.len(), flooded.len());
    assert!(p99(&flooded) * 10 <= p99(&alone) * 11, "{} turns, {} without the flood", p99(&flooded), p99(&alone));
}
