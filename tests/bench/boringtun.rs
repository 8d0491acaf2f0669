//! boringtun's responder and its tunnels on this thread, for comparison.

use crate::packets;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use culvert::dpdk;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Initiations of so many peers, each with a tunnel already, that it answers per second of this thread's CPU time: it finds out whose
/// an initiation is, then that peer's tunnel answers it, as boringtun's device does.
pub fn answers_per_s(peers: u32) -> f64 {
    let server = StaticSecret::from([0xbb; 32]);
    let server_public = PublicKey::from(&server);
    let mut room = [0; 2048];
    let mut pairs: Vec<_> = (1..=peers)
        .map(|number| {
            let mut key = [0x77; 32];
            // The lowest three bits of the first byte do not count in a private key.
            key[4..8].copy_from_slice(&number.to_le_bytes());
            let client = StaticSecret::from(key);
            let public = PublicKey::from(&client);
            let mut client = Tunn::new(client, server_public, None, None, number, None);
            let tunn = Tunn::new(server.clone(), public, None, None, number, None);
            let TunnResult::WriteToNetwork(initiation) = client.format_handshake_initiation(&mut room, false) else {
                panic!("no initiation");
            };
            (tunn, initiation.to_vec())
        })
        .collect();
    let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let before = thread_time();
    for (tunn, initiation) in &mut pairs {
        let Ok(Packet::HandshakeInit(packet)) = Tunn::parse_incoming_packet(initiation) else {
            panic!("no initiation")
        };
        assert!(parse_handshake_anon(&server, &server_public, &packet).is_ok());
        let TunnResult::WriteToNetwork(response) = tunn.decapsulate(Some(source), initiation, &mut room) else {
            panic!("no response");
        };
        assert_eq!(response.len(), 92);
    }
    f64::from(peers) / (thread_time() - before).as_secs_f64()
}

fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// Both ends of tunnels that have their sessions.
pub struct Tunnels {
    pairs: Vec<[Tunn; 2]>,
}

impl Tunnels {
    pub fn new(peers: u32) -> Self {
        let server = StaticSecret::from([0xbb; 32]);
        let pair = |number: u32| {
            let mut key = [0x77; 32];
            key[4..8].copy_from_slice(&number.to_le_bytes());
            let client = StaticSecret::from(key);
            let (public, server_public) = (PublicKey::from(&client), PublicKey::from(&server));
            let mut ends = [
                Tunn::new(server.clone(), public, None, None, number, None),
                Tunn::new(client, server_public, None, None, number, None),
            ];
            let (mut message, mut room) = (vec![0; 2048], vec![0; 2048]);
            let TunnResult::WriteToNetwork(initiation) = ends[1].format_handshake_initiation(&mut message, false)
            else {
                panic!("no initiation")
            };
            let mut message = initiation.to_vec();
            // Response, and the keepalive that confirms it.
            for end in [0, 1] {
                let TunnResult::WriteToNetwork(answer) = ends[end].decapsulate(None, &message, &mut room) else {
                    panic!("no answer")
                };
                message = answer.to_vec();
            }
            assert!(matches!(ends[0].decapsulate(None, &message, &mut room), TunnResult::Done));
            ends
        };
        Self { pairs: (0..peers).map(pair).collect() }
    }

    /// Cycles a packet that `encapsulate` takes, or `decapsulate`, for a batch of inner packets of `size` bytes.
    pub fn pass(&mut self, out: bool, size: usize, batch: usize, mut peers: impl FnMut() -> u32) -> f64 {
        let peers: Vec<usize> = (0..batch).map(|_| peers() as usize).collect();
        let [host, peer] = ["10.0.0.9:1", "10.64.0.1:2"].map(|at| at.parse::<SocketAddr>().unwrap());
        let inner = packets::udp(host, peer, 0, &vec![0x5a; size - 28]);
        let mut packets: Vec<Vec<u8>> = peers
            .iter()
            .map(|at| {
                let mut room = vec![0; 2048];
                match self.pairs[*at][1].encapsulate(&inner, &mut room) {
                    _ if out => inner.clone(),
                    TunnResult::WriteToNetwork(message) => message.to_vec(),
                    _ => panic!("no session"),
                }
            })
            .collect();
        let mut rooms = vec![vec![0; 2048]; batch];
        let before = dpdk::tsc();
        for ((at, packet), room) in peers.iter().zip(&mut packets).zip(&mut rooms) {
            let end = &mut self.pairs[*at][0];
            let good = match out {
                true => matches!(end.encapsulate(packet, room), TunnResult::WriteToNetwork(_)),
                false => matches!(end.decapsulate(None, packet, room), TunnResult::WriteToTunnelV4(..)),
            };
            assert!(good);
        }
        (dpdk::tsc() - before) as f64 / batch as f64
    }
}
