//! Against boringtun, an implementation by other people with other libraries below its data path (ring).

use super::{Side, at, peer, random, seed};
use crate::aead::{Backend, Job, TAG_LEN};
use crate::noise::{HandshakeError, HandshakeState, Identity, OpenedInitiation, SessionSecrets, Tai64N};
use crate::session::Keypair;
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Ours with the private key `seed(1)`, boringtun with `seed(2)`.
fn ours_and_theirs(psk: Option<[u8; 32]>, limiter: Option<Arc<RateLimiter>>) -> (Side, Tunn) {
    let identity = Identity::new(&seed(1));
    let public = PublicKey::from(*identity.public_key());
    let to_theirs = peer(&identity, Identity::new(&seed(2)).public_key());
    let tunn = Tunn::new(StaticSecret::from(seed(2)), public, psk, None, 0x77, limiter);
    (Side::new(identity, to_theirs, 1), tunn)
}

/// What boringtun sends for `datagram`.
fn answer(tunn: &mut Tunn, datagram: &[u8]) -> Result<Vec<u8>, WireGuardError> {
    let mut room = [0; 4096];
    match tunn.decapsulate(Some(SOURCE), datagram, &mut room) {
        TunnResult::WriteToNetwork(message) => Ok(message.to_vec()),
        TunnResult::Done => Ok(Vec::new()),
        TunnResult::Err(error) => Err(error),
        other => panic!("not for the network: {other:?}"),
    }
}

/// A data message of ours, padded as WireGuard wants it.
fn data(keypair: &Keypair, packet: &[u8]) -> Vec<u8> {
    let counter = keypair.reserve_nonces(1).unwrap();
    let mut message = Vec::new();
    message.extend(4_u32.to_le_bytes());
    message.extend(keypair.remote_index().to_le_bytes());
    message.extend(counter.to_le_bytes());
    message.extend(packet);
    message.resize(16 + packet.len().next_multiple_of(16) + TAG_LEN, 0);
    let mut jobs = [Job::new(keypair.send_key(), counter, &mut message[16..])];
    Backend::Portable.cipher().seal(&mut jobs);
    assert!(jobs[0].ok);
    message
}

/// Opens a data message that came to us; `None` if it is forged or was seen before.
fn open(keypair: &Keypair, message: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(message[..4], 4_u32.to_le_bytes());
    assert_eq!(message[4..8], keypair.local_index().to_le_bytes());
    let counter = u64::from_le_bytes(message[8..16].try_into().unwrap());
    assert!(keypair.may_receive(0, counter));
    let mut buffer = message[16..].to_vec();
    let mut jobs = [Job::new(keypair.receive_key(), counter, &mut buffer)];
    Backend::Portable.cipher().open(&mut jobs);
    let good = jobs[0].ok && keypair.replay().accept(counter);
    buffer.truncate(buffer.len() - TAG_LEN);
    good.then_some(buffer)
}

/// An IPv4 packet of `len` bytes that boringtun delivers.
fn ipv4(len: u16) -> Vec<u8> {
    let mut packet = vec![0x5a; usize::from(len)];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

/// Packets of many lengths, both ways.
fn talk(secrets: SessionSecrets, tunn: &mut Tunn) {
    let keypair = Keypair::new(secrets, 1, 1, 0);
    let mut room = [0; 4096];
    for len in [20, 21, 31, 32, 64, 100, 576, 1280, 1420, 2000] {
        let packet = ipv4(len);
        match tunn.decapsulate(Some(SOURCE), &data(&keypair, &packet), &mut room) {
            TunnResult::WriteToTunnelV4(got, _) => assert_eq!(got, packet),
            other => panic!("{len} bytes from us: {other:?}"),
        }
        let TunnResult::WriteToNetwork(message) = tunn.encapsulate(&packet, &mut room) else {
            panic!("{len} bytes from boringtun");
        };
        assert_eq!(open(&keypair, message).as_deref(), Some(packet.as_slice()));
        assert_eq!(open(&keypair, message), None, "replayed");
    }
    assert!(matches!(tunn.decapsulate(Some(SOURCE), &data(&keypair, &[]), &mut room), TunnResult::Done));
}

#[test]
fn we_initiate() {
    for psk in [None, Some(seed(5))] {
        let (mut ours, mut tunn) = ours_and_theirs(psk, None);
        for round in 1..4 {
            let initiation = ours.initiate(round, u64::from(round));
            let response = answer(&mut tunn, &initiation).unwrap();
            assert!(ours.identity.check_mac1(&response));
            let response = response.as_slice().try_into().unwrap();
            let secrets = ours.finish(&psk.unwrap_or_default(), response).unwrap();
            assert!(secrets.initiator && secrets.local_index == round);
            talk(secrets, &mut tunn);
        }
    }
}

#[test]
fn boringtun_initiates() {
    for psk in [None, Some(seed(5))] {
        let (mut ours, mut tunn) = ours_and_theirs(psk, None);
        let mut room = [0; 4096];
        let TunnResult::WriteToNetwork(initiation) = tunn.encapsulate(&ipv4(100), &mut room) else {
            panic!("no initiation");
        };
        let initiation: [u8; 148] = (&*initiation).try_into().unwrap();
        assert!(ours.identity.check_mac1(&initiation));
        let (response, secrets) = ours.respond(&initiation, &psk.unwrap_or_default(), 0x4455_6677, 0).unwrap();
        assert!(!secrets.initiator && secrets.local_index == 0x4455_6677);
        let replayed = ours.respond(&initiation, &psk.unwrap_or_default(), 8, 1000).unwrap_err();
        assert_eq!(replayed, HandshakeError::Replayed);

        let confirmation = answer(&mut tunn, &response).unwrap();
        assert_eq!(confirmation.len(), 32, "a keepalive confirms the session");
        // The packet that waited comes now; both are messages of the session.
        let mut receive_only = Keypair::new(secrets, 1, 1, 0);
        assert_eq!(open(&receive_only, &confirmation).as_deref(), Some(&[][..]));
        let waited = answer(&mut tunn, &[]).unwrap();
        assert_eq!(open(&receive_only, &waited), Some(ipv4(100)));

        let packet = ipv4(333);
        match tunn.decapsulate(Some(SOURCE), &data(&receive_only, &packet), &mut room) {
            TunnResult::WriteToTunnelV4(got, _) => assert_eq!(got, packet),
            other => panic!("{other:?}"),
        }
        receive_only.kill();
        assert!(!receive_only.may_send(0));
        receive_only = Keypair::new(
            {
                let TunnResult::WriteToNetwork(initiation) = tunn.format_handshake_initiation(&mut room, true) else {
                    panic!("no second initiation");
                };
                let initiation = (&*initiation).try_into().unwrap();
                let (response, secrets) = ours.respond(&initiation, &psk.unwrap_or_default(), 9, 1000).unwrap();
                answer(&mut tunn, &response).unwrap();
                secrets
            },
            2,
            1,
            0,
        );
        assert_eq!(receive_only.local_index(), 9);
    }
}

#[test]
fn another_preshared_key_fails_on_the_side_that_reads_the_response() {
    let (mut ours, mut tunn) = ours_and_theirs(Some(seed(5)), None);
    let response = answer(&mut tunn, &ours.initiate(1, 1)).unwrap();
    let response = response.as_slice().try_into().unwrap();
    assert_eq!(ours.finish(&seed(6), response).unwrap_err(), HandshakeError::Tag);
    assert_eq!(ours.finish(&[0; 32], response).unwrap_err(), HandshakeError::Tag);
    assert!(ours.finish(&seed(5), response).is_ok());

    let (mut ours, mut tunn) = ours_and_theirs(Some(seed(5)), None);
    let mut room = [0; 4096];
    let TunnResult::WriteToNetwork(initiation) = tunn.encapsulate(&ipv4(100), &mut room) else {
        panic!("no initiation");
    };
    let (response, _) = ours.respond((&*initiation).try_into().unwrap(), &seed(6), 1, 0).unwrap();
    assert!(matches!(answer(&mut tunn, &response), Err(WireGuardError::InvalidAeadTag)));
}

#[test]
fn boringtun_refuses_what_is_not_for_it_or_old() {
    let (mut ours, mut tunn) = ours_and_theirs(None, None);
    let initiation = ours.initiate(1, 5);
    assert_eq!(answer(&mut tunn, &initiation).unwrap().len(), 92);
    assert!(answer(&mut tunn, &initiation).is_err(), "replayed");
    assert!(answer(&mut tunn, &ours.initiate(2, 4)).is_err(), "older");

    let stranger = Identity::new(&seed(77));
    let to_theirs = peer(&stranger, ours.peer.public_key());
    let initiation =
        HandshakeState::new().create_initiation(&stranger, &to_theirs, 1, at(9), 0, &mut random(3)).unwrap();
    assert!(matches!(answer(&mut tunn, &initiation), Err(WireGuardError::WrongKey)));

    let other = peer(&ours.identity, stranger.public_key());
    let initiation =
        HandshakeState::new().create_initiation(&ours.identity, &other, 1, at(9), 0, &mut random(3)).unwrap();
    assert!(matches!(answer(&mut tunn, &initiation), Err(WireGuardError::InvalidMac)));
}

/// boringtun answers everything without a good mac2 by a cookie; then our mac2 gets us through.
#[test]
fn a_cookie_of_boringtun_gets_us_through() {
    let public = PublicKey::from(*Identity::new(&seed(2)).public_key());
    let limiter = Arc::new(RateLimiter::new(&public, 0));
    let (mut ours, mut tunn) = ours_and_theirs(None, Some(limiter));
    let reply = answer(&mut tunn, &ours.initiate(1, 1)).unwrap();
    assert_eq!(reply.len(), 64);
    assert_eq!(reply[4..8], 1_u32.to_le_bytes());
    let reply = reply.as_slice().try_into().unwrap();
    ours.state.consume_cookie_reply(&ours.peer, reply, 1000).unwrap();

    let response = answer(&mut tunn, &ours.initiate(2, 2)).unwrap();
    let response = response.as_slice().try_into().expect("a response, not another cookie");
    let secrets = ours.finish(&[0; 32], response).unwrap();
    talk(secrets, &mut tunn);

    // Without it, when it is too old, there is a cookie again.
    assert_eq!(answer(&mut tunn, &ours.initiate(3, 116)).unwrap().len(), 64);
}

/// What boringtun says about who it is, before anything is proven.
#[test]
fn boringtuns_initiation_opens_in_two_steps() {
    let (ours, mut tunn) = ours_and_theirs(None, None);
    let mut room = [0; 4096];
    let TunnResult::WriteToNetwork(initiation) = tunn.format_handshake_initiation(&mut room, false) else {
        panic!("no initiation");
    };
    let opened = OpenedInitiation::open(&ours.identity, (&*initiation).try_into().unwrap()).unwrap();
    assert_eq!(opened.static_public(), ours.peer.public_key());
    let accepted = opened.accept(&ours.peer, Tai64N::default(), None, 0).unwrap();
    assert!(accepted.timestamp() > at(1_600_000_000));
    assert_eq!(accepted.remote_index() >> 8, 0x77);
}
