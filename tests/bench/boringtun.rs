//! boringtun's responder on this thread, for comparison.

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use std::net::{IpAddr, Ipv4Addr};
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
