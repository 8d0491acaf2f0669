//! `wireguard`: proves a NIC with crypto before there is a client. Each stream makes packets, seals them into a tunnel of its own and sends
//! them; what comes back by any port, over a cable between two of them or a loop, is opened, and must be what was put in.
//!
//! The code is the gateway's: its handshake, its keypairs, its replay window, its cipher. As there, a session is followed by another after
//! REKEY_AFTER_TIME or REKEY_AFTER_MESSAGES ([`super::rekey`]), so that a test may take days.

use super::error::LabError;
use super::packet::{Between, FRONT, front, write_ip_and_udp};
use super::stream::{Counts, Ends, Forward, Queues, Way};
use super::tunnel::{Session, Tunnels};
use crate::aead::{Cipher, Job, TAG_LEN};
use crate::frame::{BURST, Frame};
use crate::queue::{Reader, sync::Arc};
use crate::session::ReplayWindow;
use crate::wire::wireguard::{DataHeader, Message, PADDING_MULTIPLE};
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, UdpDatagram, ethernet, ipv4, protocol, udp};
use arrayvec::ArrayVec;
use std::net::Ipv4Addr;

/// UDP port of both ends, WireGuard's usual one. The sender's is that plus the stream's number, so that RSS spreads tunnels.
const PORT: u16 = 51820;
/// Between the documentation's addresses (RFC 5737).
const OUTER: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
/// What is tunnelled: between two of the benchmarking net's (RFC 2544), the tunnel's number in the ports.
const INNER: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2));
/// IPv4 and UDP headers of an inner packet.
const INNER_FRONT: usize = ipv4::HEADER_LEN + udp::HEADER_LEN;
/// The smallest inner packet: its payload begins with the counter.
const SMALLEST: usize = INNER_FRONT + 8;

pub(super) struct Wireguard {
    tunnels: Arc<Tunnels>,
    reader: Reader,
    /// The tunnel that this stream sends by.
    tunnel: usize,
    cipher: Cipher,
    /// What this stream has received of each tunnel's last two sessions, by the session's generation. Its own, so that none has two owners.
    windows: Vec<[(u32, ReplayWindow); 2]>,
    /// Up to what UDP carries.
    front: [u8; FRONT],
    inner_len: usize,
}

/// What a received packet is, as far as can be told before its tag is checked.
#[derive(Clone, Copy, Debug, Default)]
struct Sealed {
    tunnel: usize,
    generation: u32,
    counter: u64,
    /// Where the data header begins, and where the tag ends.
    at: usize,
    end: usize,
}

/// Bytes of the longest frame that, sealed, an MTU lets through.
pub(super) const fn longest(mtu: usize) -> usize {
    let room = mtu.saturating_sub(FRONT - ethernet::HEADER_LEN + DataHeader::LEN + TAG_LEN);
    ethernet::HEADER_LEN + room / PADDING_MULTIPLE * PADDING_MULTIPLE
}

impl Wireguard {
    /// The stream of this number; `len`: bytes that its inner packets would have as frames, FCS not among them.
    ///
    /// # Errors
    /// It has no tunnel.
    pub(super) fn new(tunnels: Arc<Tunnels>, tunnel: usize, way: &Way, len: usize) -> Result<Self, LabError> {
        let inner_len = len.saturating_sub(ethernet::HEADER_LEN).max(SMALLEST);
        let sealed = DataHeader::LEN + inner_len.next_multiple_of(PADDING_MULTIPLE) + TAG_LEN;
        let source_port = PORT.wrapping_add(u16::try_from(tunnel).unwrap_or(0));
        let between = Between { source: OUTER.0, destination: OUTER.1, source_port, destination_port: PORT };
        let windows = (0..tunnels.len()).map(|_| [(0, ReplayWindow::new()), (1, ReplayWindow::new())]).collect();
        Ok(Self {
            front: front(way.peer, way.source, &between, FRONT + sealed),
            cipher: tunnels.cipher(),
            reader: tunnels.reader()?,
            tunnels,
            tunnel,
            windows,
            inner_len,
        })
    }

    /// Opens what came, and says what it was. Returns how many packets of tunnels there were.
    fn open<E: Ends>(&mut self, queues: &mut Queues<E>) -> usize {
        let mut sealed = [None; BURST];
        let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
        for (place, packet) in sealed.iter_mut().zip(&mut queues.burst) {
            let found = if packet.is_plain() { look_at(&self.tunnels, &self.reader, packet.data()) } else { None };
            if let Some((found, session)) = found
                && let Some(buffer) = packet.data_mut().get_mut(found.at + DataHeader::LEN..found.end)
            {
                jobs.push(Job::new(session.receiver.receive_key(), found.counter, buffer));
                *place = Some(found);
            }
        }
        self.cipher.open(&mut jobs);
        let verdicts: ArrayVec<bool, BURST> = jobs.iter().map(|job| job.ok).collect();
        drop(jobs);
        let mut verdicts = verdicts.into_iter();
        for (found, packet) in sealed.iter().zip(&queues.burst) {
            match found {
                Some(found) => self.judge(found, verdicts.next() == Some(true), packet.data(), &queues.counts),
                None => queues.counts.stray.add(1),
            }
        }
        sealed.iter().flatten().count()
    }

    /// Counts one sealed packet: authentic, new, and what was put in.
    fn judge(&mut self, found: &Sealed, authentic: bool, frame: &[u8], counts: &Counts) {
        let plain = frame.get(found.at + DataHeader::LEN..found.end.saturating_sub(TAG_LEN)).unwrap_or_default();
        let count = if !authentic {
            &counts.bad_tag
        } else if !self.window(found).is_some_and(|window| window.accept(found.counter)) {
            &counts.replayed
        } else if !is_inner(plain, found.tunnel, found.counter, self.inner_len) {
            &counts.bad_inner
        } else {
            &counts.good
        };
        count.add(1);
    }

    /// The window of an authentic packet's session, which takes the place of that before the last one.
    fn window(&mut self, found: &Sealed) -> Option<&ReplayWindow> {
        let [even, odd] = self.windows.get_mut(found.tunnel)?;
        let window = if found.generation.is_multiple_of(2) { even } else { odd };
        if window.0 != found.generation {
            *window = (found.generation, ReplayWindow::new());
        }
        Some(&window.1)
    }

    /// Makes a burst of sealed packets.
    fn seal<E: Ends>(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.make();
        let sender = self.tunnels.get(&self.reader, self.tunnel).map(|sessions| &sessions.now.sender);
        let sender = sender.filter(|sender| !sender.is_dead());
        let nonces = sender.and_then(|sender| sender.reserve_nonces(u32::try_from(count).unwrap_or(0)));
        let (Some(sender), Some(first)) = (sender, nonces) else {
            // The session is at its end, and there is no other.
            queues.refuse();
            return 0;
        };
        let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
        for (counter, packet) in (first..).zip(&mut queues.burst) {
            let room = self.inner_len.next_multiple_of(PADDING_MULTIPLE) + DataHeader::LEN + TAG_LEN + FRONT;
            let Some(bytes) = packet.append(room) else { continue };
            let Some((headers, rest)) = bytes.split_first_chunk_mut() else { continue };
            *headers = self.front;
            let Some((header, buffer)) = rest.split_first_chunk_mut() else { continue };
            DataHeader::write(header, sender.remote_index(), counter);
            write_inner(buffer, self.tunnel, counter, self.inner_len);
            jobs.push(Job::new(sender.send_key(), counter, buffer));
        }
        self.cipher.seal(&mut jobs);
        let all_sealed = jobs.len() == count && jobs.iter().all(|job| job.ok);
        drop(jobs);
        // What is not sealed is not sent.
        if all_sealed {
            queues.send()
        } else {
            queues.refuse()
        };
        count
    }
}

impl<E: Ends> Forward<E> for Wireguard {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let received = queues.receive();
        self.open(queues);
        queues.end();
        let made = self.seal(queues);
        self.reader.quiescent();
        received + made
    }

    fn drain(&mut self, queues: &mut Queues<E>) -> usize {
        queues.receive();
        let ours = self.open(queues);
        queues.end();
        self.reader.quiescent();
        ours
    }
}

/// Whether a frame is a data message to one of the tunnels, and under which session.
fn look_at<'r>(tunnels: &Tunnels, reader: &'r Reader, frame: &[u8]) -> Option<(Sealed, &'r Session)> {
    let ethernet = EthernetFrame::new_checked(frame).ok().filter(|e| e.ether_type() == EtherType::IPV4)?;
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.protocol() != protocol::UDP || ip.is_fragment() || ip.destination() != OUTER.1 {
        return None;
    }
    let datagram = UdpDatagram::new_checked(ip.payload()).ok().filter(|udp| udp.destination_port() == PORT)?;
    let Ok(Message::Data(data)) = Message::parse(datagram.payload()) else { return None };
    let at = ethernet.header_len() + ip.header_len() + udp::HEADER_LEN;
    let end = at + datagram.payload().len();
    let (tunnel, session) = tunnels.of_index(reader, data.receiver())?;
    Some((Sealed { tunnel, generation: session.generation, counter: data.counter(), at, end }, session))
}

fn between(tunnel: usize) -> Between {
    let port = u16::try_from(tunnel).unwrap_or(u16::MAX);
    Between { source: INNER.0, destination: INNER.1, source_port: port, destination_port: port }
}

/// The inner packet of this counter, at the beginning of `buffer`, whose last bytes are the tag's; zeros pad it.
fn write_inner(buffer: &mut [u8], tunnel: usize, counter: u64, inner_len: usize) {
    write_ip_and_udp(buffer, &between(tunnel), inner_len - INNER_FRONT);
    let end = buffer.len().saturating_sub(TAG_LEN);
    if let Some(padding) = buffer.get_mut(inner_len..end) {
        padding.fill(0);
    }
    if let Some((number, rest)) = buffer.get_mut(INNER_FRONT..inner_len).and_then(<[u8]>::split_first_chunk_mut) {
        *number = counter.to_be_bytes();
        rest.fill(pattern(counter));
    }
}

/// What fills the packet of this counter.
fn pattern(counter: u64) -> u8 {
    counter.to_le_bytes()[0] ^ 0x5a
}

/// Whether these bytes are what [`write_inner`] wrote.
fn is_inner(plain: &[u8], tunnel: usize, counter: u64, inner_len: usize) -> bool {
    let mut headers = [0; INNER_FRONT];
    write_ip_and_udp(&mut headers, &between(tunnel), inner_len - INNER_FRONT);
    let Some((inner, padding)) = plain.split_at_checked(inner_len) else { return false };
    let Some((number, filling)) = inner.get(INNER_FRONT..).and_then(<[u8]>::split_first_chunk) else { return false };
    inner.starts_with(&headers)
        && *number == counter.to_be_bytes()
        && filling.iter().all(|byte| *byte == pattern(counter))
        && padding.iter().all(|byte| *byte == 0)
}
