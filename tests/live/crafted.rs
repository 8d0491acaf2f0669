//! A WireGuard peer that can do everything wrong, over real sockets.

use crate::packets;
use culvert::aead::{Backend, Job, TAG_LEN};
use culvert::cli::lab::{LISTEN_PORT, LabError, Namespace, Result, ensure};
use culvert::noise::{HandshakeState, Identity, PeerStatic, SessionSecrets, Tai64N, os_random};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Messages that are answered in no time: longer than any scheduler keeps somebody waiting here.
pub(crate) const SOON: Duration = Duration::from_secs(2);
/// Initiations that come more often than every 20 ms are refused; the timestamp's steps are 17 ms.
const BETWEEN_INITIATIONS: Duration = Duration::from_millis(40);

/// A socket of the peer's, and the device behind the other end.
pub(crate) struct Wire {
    socket: UdpSocket,
    device: SocketAddr,
}

impl Wire {
    pub(crate) fn new(namespace: &Namespace, address: &str, device: &str) -> Result<Self> {
        let at: SocketAddr = (address.parse::<IpAddr>().unwrap(), 0).into();
        let device = (device.parse::<IpAddr>().unwrap(), LISTEN_PORT).into();
        Ok(Self { socket: namespace.enter(|| UdpSocket::bind(at))?, device })
    }

    /// Where it is.
    pub(crate) fn at(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.device).unwrap();
    }

    /// Sends many, at a pace that no buffer of the kernel's overflows at.
    pub(crate) fn send_all<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        for datagram in datagrams {
            self.send(datagram);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The next datagram that `wanted` says yes to; what comes before it is thrown away.
    pub(crate) fn receive(&self, within: Duration, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        let mut room = [0; 4096];
        loop {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).unwrap();
            let count = self.socket.recv(&mut room).ok()?;
            if wanted(&room[..count]) {
                return Some(room[..count].to_vec());
            }
        }
    }

    /// The next message of this type.
    pub(crate) fn receive_kind(&self, kind: u8, within: Duration) -> Option<Vec<u8>> {
        self.receive(within, |message| message.first() == Some(&kind))
    }
}

/// One session, as the peer sees it.
pub(crate) struct Session {
    pub(crate) secrets: SessionSecrets,
    /// The next counter to send.
    next: u64,
}

/// The peer.
pub(crate) struct Crafted {
    pub(crate) number: u8,
    pub(crate) wire: Wire,
    pub(crate) psk: [u8; 32],
    identity: Identity,
    device: PeerStatic,
    state: HandshakeState,
    index: u32,
    session: Option<Session>,
}

impl Crafted {
    pub(crate) fn new(number: u8, private: [u8; 32], device: &[u8; 32], wire: Wire) -> Self {
        let identity = Identity::new(&private);
        let device = PeerStatic::new(&identity, device).unwrap();
        let (psk, index) = ([0; 32], u32::from(number) << 16);
        Self { number, wire, psk, identity, device, state: HandshakeState::new(), index, session: None }
    }

    /// Its public key, as `wg` sockets spell it.
    pub(crate) fn key(&self) -> String {
        hex(self.identity.public_key())
    }

    /// Its inner addresses.
    pub(crate) fn v4(&self) -> String {
        format!("10.9.0.{}", self.number)
    }

    pub(crate) fn v6(&self) -> String {
        format!("fd00:9::{:x}", self.number)
    }

    pub(crate) fn initiation(&mut self) -> Vec<u8> {
        std::thread::sleep(BETWEEN_INITIATIONS);
        self.index += 1;
        let time = Tai64N::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let message =
            self.state.create_initiation(&self.identity, &self.device, self.index, time, 0, &mut os_random).unwrap();
        message.to_vec()
    }

    /// A handshake that is not confirmed yet. Returns the device's index.
    pub(crate) fn handshake(&mut self) -> Result<u32> {
        let initiation = self.initiation();
        self.wire.send(&initiation);
        let answer = self.wire.receive(SOON, |message| matches!(message.first(), Some(2 | 3)));
        let answer = answer.ok_or_else(|| LabError::new("a handshake", "no answer"))?;
        ensure(answer[0] == 2, "a handshake", "answered by a cookie")?;
        let answer =
            answer.as_slice().try_into().map_err(|_| LabError::new("a handshake", "a response of odd length"))?;
        let secrets = self.state.consume_response(&self.identity, &self.psk, answer);
        let secrets = secrets.map_err(|error| LabError::new("a handshake", error))?;
        let index = secrets.remote_index;
        self.session = Some(Session { secrets, next: 0 });
        Ok(index)
    }

    /// A handshake, confirmed by a keepalive.
    pub(crate) fn connect(&mut self) -> Result<()> {
        self.handshake()?;
        let keepalive = self.data(&[]);
        self.wire.send(&keepalive);
        Ok(())
    }

    pub(crate) fn session(&self) -> &Session {
        self.session.as_ref().unwrap()
    }

    /// A data message with this inner packet, padded.
    pub(crate) fn data(&mut self, inner: &[u8]) -> Vec<u8> {
        let session = self.session.as_mut().unwrap();
        let counter = session.next;
        session.next += 1;
        session.seal(counter, inner)
    }

    /// A UDP packet from one of its addresses (or anybody else's).
    pub(crate) fn packet(source: &str, to: SocketAddr, tag: u32) -> Vec<u8> {
        let source = SocketAddr::new(source.parse().unwrap(), 7000);
        packets::udp(source, to, 0, &tag.to_be_bytes())
    }

    /// What the device's data message holds, padding included.
    pub(crate) fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.session().open(message)
    }

    /// What a third party that sees this initiation of the device's to us can answer: a cookie reply that it takes.
    pub(crate) fn cookie_reply(&self, initiation: &[u8]) -> Vec<u8> {
        packets::cookie_reply(self.identity.public_key(), initiation)
    }
}

impl Session {
    /// A data message with this counter.
    pub(crate) fn seal(&self, counter: u64, inner: &[u8]) -> Vec<u8> {
        let mut buffer = inner.to_vec();
        buffer.resize(inner.len().next_multiple_of(16) + TAG_LEN, 0);
        let mut jobs = [Job::new(&self.secrets.send, counter, &mut buffer)];
        Backend::Portable.cipher().seal(&mut jobs);
        assert!(jobs[0].ok);
        [&[4, 0, 0, 0], &self.secrets.remote_index.to_le_bytes()[..], &counter.to_le_bytes(), &buffer].concat()
    }

    fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (header, sealed) = message.split_at_checked(16).filter(|(header, _)| header[..4] == [4, 0, 0, 0])?;
        (header[4..8] == self.secrets.local_index.to_le_bytes()).then_some(())?;
        let counter = u64::from_le_bytes(header[8..].try_into().unwrap());
        let mut buffer = sealed.to_vec();
        let mut jobs = [Job::new(&self.secrets.receive, counter, &mut buffer)];
        Backend::Portable.cipher().open(&mut jobs);
        let ok = jobs[0].ok;
        buffer.truncate(buffer.len().saturating_sub(TAG_LEN));
        ok.then_some(buffer)
    }
}

/// As `wg` sockets spell keys.
pub(crate) fn hex(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
