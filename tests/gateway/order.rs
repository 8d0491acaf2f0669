//! Order within a peer and a direction, whatever the workers do.

use crate::client::Client;
use crate::harness::{Gate, HOST, HOST_MAC, LAN_MAC, Options, Role};
use crate::packets::{self, tag, tagged};
use crate::running::{Running, take};
use crate::scenes::all_connected;
use proptest::prelude::*;
use std::collections::HashMap;

/// What the test does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// So many packets of a client come in, one way.
    Send { client: usize, egress: bool, packets: u8 },
    /// One core turns.
    Turn(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => (0..3_usize, any::<bool>(), 1..100_u8).prop_map(|(client, egress, packets)| Act::Send { client, egress, packets }),
        3 => (0..4_usize).prop_map(Act::Turn),
    ]
}

/// The tags of inner packets by the client that they are for, or from.
fn by_client(packets: impl IntoIterator<Item = Vec<u8>>, egress: bool) -> HashMap<u8, Vec<u32>> {
    let mut tags: HashMap<u8, Vec<u32>> = HashMap::new();
    for packet in packets {
        let client = packet[if egress { 19 } else { 15 }];
        tags.entry(client).or_default().push(tag(&packet));
    }
    tags
}

fn open(clients: &[Client], datagram: &packets::Datagram) -> Vec<u8> {
    clients.iter().find(|c| c.at == datagram.to).unwrap().open(&datagram.payload).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Cores turn in any order, some not at all for long: what comes out is what went in, in order, for each peer and direction.
    #[test]
    fn any_interleaving_of_the_cores_keeps_the_order(acts in prop::collection::vec(act(), 1..60), workers in 1..4_usize) {
        let (mut gw, mut clients) = all_connected(&Options { pool: 32_768, ..Options::workers(workers) }, 3);
        let mut sent = [[0_u32; 2]; 3];
        for act in acts {
            match act {
                Act::Send { client, egress, packets } => for _ in 0..packets {
                    let (n, client) = (&mut sent[client][usize::from(egress)], &mut clients[client]);
                    // Below the queue's bound, so that nothing may be lost.
                    if *n == 1000 { break }
                    if egress {
                        gw.lan(&tagged(HOST, &client.inner(), *n, 96));
                    } else {
                        let frame = client.data(&tagged(&client.inner(), HOST, *n, 96));
                        gw.wan(&frame);
                    }
                    *n += 1;
                },
                Act::Turn(core) => { gw.turn(core % (workers + 1)); }
            }
        }
        gw.settle();
        let out = by_client(gw.datagrams().iter().map(|d| open(&clients, d)), true);
        let inner = by_client(gw.delivered(), false);
        for (client, [ingress, egress]) in (1..).zip(sent) {
            prop_assert_eq!(out.get(&client).cloned().unwrap_or_default(), (0..egress).collect::<Vec<_>>());
            prop_assert_eq!(inner.get(&client).cloned().unwrap_or_default(), (0..ingress).collect::<Vec<_>>());
        }
        gw.finish();
    }
}

#[test]
fn threads_keep_the_order_of_each_peer_and_direction() {
    const PACKETS: u32 = 1000;
    let cores = vec![Role::Io, Role::Io, Role::Worker, Role::Worker, Role::Worker];
    let (gw, mut clients) = all_connected(&Options { cores, pool: 65_536, ..Options::default() }, 6);
    let gw = Running::start(gw);
    for n in 0..PACKETS {
        for client in &mut clients {
            // Each client's packets come by one queue.
            let queue = usize::from(client.number % 2);
            let frame = client.data(&tagged(&client.inner(), HOST, n, 96));
            gw.send(&gw.wan_rx[queue], &frame);
            let packet = packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), n, 96));
            gw.send(&gw.lan_rx[queue], &packet);
        }
    }
    let all = PACKETS as usize * clients.len();
    let (mut out, mut inner) = (Vec::new(), Vec::new());
    gw.wait("all packets", || {
        out.extend(take(&gw.wan_tx));
        inner.extend(take(&gw.lan_tx));
        out.len() >= all && inner.len() >= all
    });
    let out = out.iter().map(|f| open(&clients, &packets::Datagram::of(f).unwrap()));
    let (out, inner) = (by_client(out, true), by_client(inner.into_iter().map(|f| f[14..].to_vec()), false));
    for client in &clients {
        for tags in [&out[&client.number], &inner[&client.number]] {
            assert_eq!(*tags, (0..PACKETS).collect::<Vec<_>>());
        }
    }
    gw.finish();
}

/// Or it would find its direction again while it is in its cipher, and the other one would have nothing to do.
#[test]
fn of_two_workers_each_gives_a_peers_next_chunk_to_the_other() {
    const CHUNK: u32 = 64;
    let (mut gw, clients) = all_connected(&Options { pool: 4_096, ..Options::workers(2) }, 1);
    let [client] = &clients[..] else { unreachable!() };
    let home = gw.record(client).flow.0 as usize % 2;
    for n in 0..6 * CHUNK {
        gw.lan(&tagged(HOST, &client.inner(), n, 96));
    }
    while gw.turn(0) > 0 {}
    let took: Vec<usize> = (0..6).map(|chunk| gw.turn(1 + (home + chunk) % 2)).collect();
    assert_eq!(took, [CHUNK as usize; 6]);
    gw.finish();
}

#[test]
fn a_worker_that_stands_still_leaves_the_other_workers_peers_alone() {
    let gate = Gate::default();
    let options = Options { pool: 16_384, gate: Some(gate.clone()), ..Options::workers(2) };
    let (gw, clients) = all_connected(&options, 6);
    // The gate is the second worker's; home is the flow's number modulo 2.
    let flows: Vec<u32> = clients.iter().map(|c| gw.record(c).flow.0).collect();
    let at_home = |number: u8| flows[usize::from(number) - 1].is_multiple_of(2);
    let gw = Running::start(gw);
    gate.set(true);
    for n in 0..300 {
        for client in &clients {
            gw.send(&gw.lan_rx[0], &packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), n, 96)));
        }
    }
    let mut out = Vec::new();
    // The later chunks of these peers too may have been given to the worker that stands still.
    gw.wait("the first packet of each of the first worker's peers", || {
        out.extend(take(&gw.wan_tx).iter().map(|f| open(&clients, &packets::Datagram::of(f).unwrap())));
        let tags = by_client(out.iter().cloned(), true);
        clients.iter().filter(|c| at_home(c.number)).all(|c| tags.get(&c.number).is_some_and(|t| t[0] == 0))
    });
    let of_the_other = |packet: &Vec<u8>| !at_home(packet[19]);
    assert!(!out.iter().any(of_the_other), "the second worker does not stand still");
    gate.set(false);
    gw.wait("all packets", || {
        out.extend(take(&gw.wan_tx).iter().map(|f| open(&clients, &packets::Datagram::of(f).unwrap())));
        out.len() == 300 * clients.len()
    });
    for (_, tags) in by_client(out, true) {
        assert_eq!(tags, (0..300).collect::<Vec<_>>());
    }
    gw.finish();
}
