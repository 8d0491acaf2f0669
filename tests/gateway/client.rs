//! A WireGuard peer that can do everything wrong.

use crate::harness::{LISTEN_PORT, ROUTER_MAC, WAN_MAC, server_identity};
use crate::packets::{self, addr};
use culvert::aead::{Backend, Job, Key, TAG_LEN};
use culvert::noise::{HandshakeState, Identity, OpenedInitiation, PeerStatic, SessionSecrets, Tai64N, os_random};
use std::net::SocketAddr;
use std::time::Duration;

/// One session, as the client sees it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) secrets: SessionSecrets,
    /// The next counter to send.
    pub(crate) next: u64,
}

/// The client of a number: its key, its addresses and ports follow from it.
pub(crate) struct Client {
    pub(crate) number: u8,
    /// The gateway's interface that it is a peer of.
    pub(crate) tunnel: u8,
    pub(crate) identity: Identity,
    server: PeerStatic,
    state: HandshakeState,
    pub(crate) psk: [u8; 32],
    /// Where it is.
    pub(crate) at: SocketAddr,
    /// Which of the gateway's addresses it talks to.
    pub(crate) to: SocketAddr,
    /// Newest last.
    pub(crate) sessions: Vec<Session>,
    /// The timestamp of the last initiation that it answered.
    pub(crate) heard: Option<Tai64N>,
    index: u32,
    seconds: u64,
}

impl Client {
    /// A client behind IPv4.
    pub(crate) fn new(number: u8) -> Self {
        Self::of(number, 0, &server_identity())
    }

    /// The same as a peer of another interface of the gateway, whose key is `server`.
    pub(crate) fn of(number: u8, tunnel: u8, server: &Identity) -> Self {
        let identity = Identity::new(&[number; 32]);
        let server = PeerStatic::new(&identity, server.public_key()).unwrap();
        Self {
            number,
            tunnel,
            identity,
            server,
            state: HandshakeState::new(),
            psk: [0; 32],
            at: format!("198.51.100.{number}:4000").parse().unwrap(),
            to: SocketAddr::new(addr("192.0.2.1"), LISTEN_PORT),
            sessions: Vec::new(),
            heard: None,
            index: u32::from(number) << 24,
            seconds: 1_000_000,
        }
    }

    /// The same behind IPv6.
    pub(crate) fn v6(number: u8) -> Self {
        let at = format!("[2001:db8:2::{number}]:4000").parse().unwrap();
        Self { at, to: SocketAddr::new(addr("2001:db8:1::1"), LISTEN_PORT), ..Self::new(number) }
    }

    /// Its public key.
    pub(crate) fn key(&self) -> [u8; 32] {
        *self.identity.public_key()
    }

    /// Its inner addresses.
    pub(crate) fn inner(&self) -> String {
        format!("10.1.0.{}", self.number)
    }

    /// The IPv6 one.
    pub(crate) fn inner6(&self) -> String {
        format!("fd01::{}", self.number)
    }

    /// Any UDP payload, as a frame from where it is.
    pub(crate) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        packets::frame(WAN_MAC, ROUTER_MAC, &packets::udp(self.at, self.to, 0, payload))
    }

    /// A fresh initiation, a second younger than the last.
    pub(crate) fn initiation(&mut self) -> Vec<u8> {
        self.seconds += 1;
        self.initiation_at(self.seconds)
    }

    /// An initiation of any time.
    pub(crate) fn initiation_at(&mut self, seconds: u64) -> Vec<u8> {
        self.index += 1;
        let time = Tai64N::from_unix(Duration::from_secs(seconds));
        let message =
            self.state.create_initiation(&self.identity, &self.server, self.index, time, 0, &mut os_random).unwrap();
        message.to_vec()
    }

    /// Takes the gateway's response; whether it was good.
    pub(crate) fn take_response(&mut self, response: &[u8]) -> bool {
        let Ok(response) = response.try_into() else { return false };
        let Ok(secrets) = self.state.consume_response(&self.identity, &self.psk, response) else { return false };
        self.sessions.push(Session { secrets, next: 0 });
        true
    }

    /// Takes the gateway's cookie reply; whether it was good. Its messages carry a mac2 from then on.
    pub(crate) fn take_cookie(&mut self, reply: &[u8]) -> bool {
        let Ok(reply) = reply.try_into() else { return false };
        self.state.consume_cookie_reply(&self.server, reply, 0).is_ok()
    }

    /// Answers the gateway's initiation.
    pub(crate) fn respond(&mut self, initiation: &[u8]) -> Option<Vec<u8>> {
        let opened = OpenedInitiation::open(&self.identity, initiation.try_into().ok()?).ok()?;
        let accepted = opened.accept(&self.server, Tai64N::default(), None, 0).ok()?;
        self.heard = Some(accepted.timestamp());
        self.index += 1;
        let answer = self.state.respond(&self.server, accepted, &self.psk, self.index, 0, &mut os_random);
        let (response, secrets) = answer.ok()?;
        self.sessions.push(Session { secrets, next: 0 });
        Some(response.to_vec())
    }

    /// Its newest session.
    pub(crate) fn session(&self) -> &Session {
        self.sessions.last().unwrap()
    }

    /// A data message of its newest session, in a frame. It pads.
    pub(crate) fn data(&mut self, inner: &[u8]) -> Vec<u8> {
        let session = self.sessions.last_mut().unwrap();
        let counter = session.next;
        session.next += 1;
        let message = session.seal(counter, &pad(inner));
        self.frame(&message)
    }

    /// What is in a data message of any of its sessions, padding included.
    pub(crate) fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        let index = u32::from_le_bytes(*message.get(4..)?.first_chunk()?);
        self.sessions.iter().find(|s| s.secrets.local_index == index)?.open(message)
    }
}

impl Session {
    /// The same session in other hands.
    pub(crate) fn copy(&self) -> Self {
        let SessionSecrets { send, receive, local_index, remote_index, initiator } = &self.secrets;
        let [send, receive] = [send, receive].map(|key| Key::new(*key.bytes()));
        let secrets = SessionSecrets {
            send,
            receive,
            local_index: *local_index,
            remote_index: *remote_index,
            initiator: *initiator,
        };
        Self { secrets, next: self.next }
    }

    /// A data message with this counter, as it is: no padding.
    pub(crate) fn seal(&self, counter: u64, plain: &[u8]) -> Vec<u8> {
        let mut buffer = [plain, &[0; TAG_LEN]].concat();
        let mut jobs = [Job::new(&self.secrets.send, counter, &mut buffer)];
        Backend::Portable.cipher().seal(&mut jobs);
        assert!(jobs[0].ok);
        let header = [&[4, 0, 0, 0], &self.secrets.remote_index.to_le_bytes()[..], &counter.to_le_bytes()].concat();
        [header, buffer].concat()
    }

    fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        assert_eq!(message[..4], [4, 0, 0, 0]);
        let mut buffer = message[16..].to_vec();
        let mut jobs = [Job::new(&self.secrets.receive, counter(message), &mut buffer)];
        Backend::Portable.cipher().open(&mut jobs);
        let ok = jobs[0].ok;
        buffer.truncate(buffer.len() - TAG_LEN);
        ok.then_some(buffer)
    }
}

/// A data message's counter.
pub(crate) fn counter(message: &[u8]) -> u64 {
    u64::from_le_bytes(*message[8..].first_chunk().unwrap())
}

fn pad(inner: &[u8]) -> Vec<u8> {
    let mut padded = inner.to_vec();
    padded.resize(inner.len().next_multiple_of(16), 0);
    padded
}
