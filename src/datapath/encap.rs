//! encap: padding, nonce, and the outer headers in front; the cipher then runs in place.

use super::crypto_worker::Turn;
use super::forward::write_ethernet;
use super::{DropReason, PeerFlow};
use crate::aead::Job;
use crate::frame::{Packet, PacketPool};
use crate::peer::{MOST_HEADERS, OuterWay, Stamp};
use crate::route::{AdjacencyIndex, NextHop};
use crate::session::Keypair;
use crate::shared::Hop;
use crate::wire::{
    EtherType, Ipv4Header, Ipv6Header, UdpHeader, ecn, ethernet, ipv4, ipv6, patch, protocol, udp,
    wireguard::{self, DataHeader},
};
use std::net::{IpAddr, SocketAddr};

/// Tag behind the sealed bytes.
const TAG: usize = 16;
/// Ethernet, IPv4 and UDP.
const OUTER_V4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;
/// Ethernet, IPv6 and UDP.
const OUTER_V6: usize = ethernet::HEADER_LEN + MOST_HEADERS;
/// The most that goes in front of a packet.
pub(super) const FRONT: usize = OUTER_V6 + DataHeader::LEN;
const _: () = assert!(MOST_HEADERS == ipv6::HEADER_LEN + udp::HEADER_LEN);
/// TTL of outer packets (RFC 1700's default).
const TTL: u8 = 64;

/// Where a sealed chunk goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WayOut {
    /// Out by this port, headers complete.
    Port(u16),
    /// The next hop's MAC address is not known yet: to the control thread, which knows this port.
    Ask(u16),
    /// Nowhere: each packet has its verdict.
    #[default]
    Nowhere,
}

/// What all packets of a chunk share: one peer, one keypair, one way out. Made under the claim, which orders nonces; the packets are
/// written later, many chunks' together, so that no atomic of the next chunk waits for them. It is made where it stays.
#[derive(Debug)]
pub(super) struct Plan {
    /// Ethernet, IP and UDP headers, with lengths and checksums of an empty datagram; of IPv4 the first [`OUTER_V4`] bytes.
    front: [u8; OUTER_V6],
    ipv6: bool,
    /// The verdict of all: 0 is good.
    verdict: u8,
    way_out: WayOut,
    /// The first packet's nonce; the others follow.
    first: u64,
    /// The peer's index of the keypair.
    remote: u32,
    /// Ours.
    local: u32,
    mtu: usize,
}

impl Plan {
    /// For packets that go nowhere, for this reason.
    pub(super) fn refused(reason: DropReason) -> Self {
        let verdict = reason.verdict();
        let (front, way_out) = ([0; OUTER_V6], WayOut::Nowhere);
        Self { front, ipv6: false, verdict, way_out, first: 0, remote: 0, local: 0, mtu: 0 }
    }

    /// Finds the way of a peer's packets; they have no nonces yet. Egress owner only (the kept headers).
    #[inline]
    pub(super) fn make<A: PacketPool>(&mut self, flow: &PeerFlow<A::Packet>, keypair: &Keypair, turn: &Turn<'_, A>) {
        (self.remote, self.local) = (keypair.remote_index(), keypair.local_index());
        self.mtu = mtu(flow, turn);
        match self.template(flow, turn) {
            Ok(way_out) => (self.verdict, self.way_out) = (0, way_out),
            Err(reason) => *self = Self::refused(reason),
        }
    }

    /// The headers for the peer's endpoint: those of the chunk before, while nothing has changed that they were made of.
    #[inline]
    fn template<A: PacketPool>(
        &mut self,
        flow: &PeerFlow<A::Packet>,
        turn: &Turn<'_, A>,
    ) -> Result<WayOut, DropReason> {
        let shared = turn.shared;
        let now = Stamp { endpoint: flow.endpoint_stamp(), routes: shared.outer_generation() };
        let (ethernet, headers) = parts(&mut self.front).ok_or(DropReason::NoRoom)?;
        if let Some(OuterWay { ipv6, adjacency }) = flow.headers.copy_to(now, headers)
            && let Ok((macs, port)) = shared.outer.adjacencies.header(AdjacencyIndex::from_raw(adjacency))
        {
            self.ipv6 = ipv6;
            write_ethernet(ethernet, &macs, ether_type(ipv6));
            return Ok(WayOut::Port(port));
        }
        self.resolve(flow, turn)
    }

    /// Resolves the peer's endpoint to headers, and keeps them where the next hop is known.
    #[cold]
    fn resolve<A: PacketPool>(&mut self, flow: &PeerFlow<A::Packet>, turn: &Turn<'_, A>) -> Result<WayOut, DropReason> {
        let shared = turn.shared;
        // Read before all that it stands for.
        let routes = shared.outer_generation();
        let (endpoint, stamp) = flow.stamped_endpoint();
        let endpoint = endpoint.ok_or(DropReason::NoEndpoint)?;
        let to = endpoint.remote.ip();
        let next = shared.outer.fib.lookup(turn.reader, to);
        let (way_out, port, macs) = match shared.outer.resolve(next) {
            Hop::Wire { port, macs } => (WayOut::Port(port), port, macs),
            Hop::Ask { port } => (WayOut::Ask(port), port, [0; 12]),
            Hop::Local { .. } | Hop::None => return Err(DropReason::NoOuterRoute),
        };
        let from = shared.source(flow.tunnel, &endpoint, port).ok_or(DropReason::NoOuterRoute)?;
        let (ethernet, headers) = parts(&mut self.front).ok_or(DropReason::NoRoom)?;
        *headers = ip_and_udp(from, endpoint.remote).ok_or(DropReason::NoOuterRoute)?;
        self.ipv6 = to.is_ipv6();
        write_ethernet(ethernet, &macs, ether_type(self.ipv6));
        if let (Some(NextHop::Adjacency(index)), WayOut::Port(_)) = (next, way_out) {
            let way = OuterWay { ipv6: self.ipv6, adjacency: index.to_raw() };
            flow.headers.put(Stamp { endpoint: stamp, routes }, way, headers);
        }
        Ok(way_out)
    }

    /// Takes nonces for so many packets. Egress owner only.
    #[inline]
    pub(super) fn number(&mut self, packets: usize, keypair: &Keypair) {
        if self.verdict != 0 {
            return;
        }
        match keypair.reserve_nonces(u32::try_from(packets).unwrap_or(u32::MAX)) {
            Some(first) => self.first = first,
            None => *self = Self::refused(DropReason::NonceLimit),
        }
    }

    /// Whether a packet of the chunk can be sent, so far as is known before its nonce.
    pub(super) fn takes<P: Packet>(&self, packet: &P) -> bool {
        let front = DataHeader::LEN + if self.ipv6 { OUTER_V6 } else { OUTER_V4 };
        let inner = packet.data().len();
        let behind = padded(inner, self.mtu) - inner + TAG;
        self.verdict == 0 && inner <= self.mtu && packet.headroom() >= front && packet.tailroom() >= behind
    }

    /// Where the sealed packets go.
    pub(super) fn way_out(&self) -> WayOut {
        self.way_out
    }

    /// Completes a sealed packet: the UDP checksum, which IPv6 demands (RFC 8200, 8.1); over IPv4 it stays zero (RFC 768: not used),
    /// since the tag guards the payload better.
    #[inline]
    pub(super) fn finish(&self, data: &mut [u8]) {
        if self.ipv6
            && let Some(ip) = data.get_mut(ethernet::HEADER_LEN..)
        {
            patch::udp_checksum_v6(ip);
        }
    }

    /// The job of each packet that can go, with its nonce, padding and headers; the others get their verdict.
    #[inline]
    pub(super) fn jobs<'a, P: Packet>(
        &self,
        packets: &'a mut [P],
        keypair: Option<&'a Keypair>,
        mut add: impl FnMut(Job<'a>),
    ) {
        for (nonce, packet) in (self.first..).zip(packets) {
            let written = match self.verdict {
                0 => encapsulate(packet, self, nonce).map_err(DropReason::verdict),
                verdict => Err(verdict),
            };
            let (meta, data) = packet.parts_mut();
            let sealed = data.get_mut(usize::from(meta.sealed_at)..);
            meta.verdict = match (written, keypair, sealed) {
                (Ok(()), Some(keypair), Some(buffer)) => {
                    add(Job::new(keypair.send_key(), nonce, buffer));
                    0
                }
                (Ok(()), None, _) => DropReason::SessionExpired.verdict(),
                (Ok(()), ..) => DropReason::NoRoom.verdict(),
                (Err(verdict), ..) => verdict,
            };
        }
    }
}

/// The tunnel's MTU.
#[inline]
pub(super) fn mtu<A: PacketPool>(flow: &PeerFlow<A::Packet>, turn: &Turn<'_, A>) -> usize {
    turn.shared.tunnel(flow.tunnel).map_or(0, |tunnel| usize::from(tunnel.mtu))
}

/// The Ethernet header, and those behind it.
#[inline]
fn parts(front: &mut [u8; OUTER_V6]) -> Option<(&mut [u8; ethernet::HEADER_LEN], &mut [u8; MOST_HEADERS])> {
    let (ethernet, headers) = front.split_first_chunk_mut()?;
    Some((ethernet, headers.first_chunk_mut()?))
}

fn ether_type(ipv6: bool) -> EtherType {
    if ipv6 { EtherType::IPV6 } else { EtherType::IPV4 }
}

/// IP and UDP headers of an empty datagram; `None` if the families differ.
fn ip_and_udp(from: SocketAddr, to: SocketAddr) -> Option<[u8; MOST_HEADERS]> {
    let mut bytes = [0; MOST_HEADERS];
    let udp = UdpHeader { source_port: from.port(), destination_port: to.port(), len: 0, checksum: 0 };
    let rest = match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (ip, rest) = bytes.split_first_chunk_mut()?;
            let (tos, total_len, identification, dont_fragment) = (0, 0, 0, false);
            let (ttl, protocol) = (TTL, protocol::UDP);
            Ipv4Header { tos, total_len, identification, dont_fragment, ttl, protocol, source, destination }.write(ip);
            rest
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (ip, rest) = bytes.split_first_chunk_mut()?;
            let (traffic_class, flow_label, payload_len) = (0, 0, 0);
            let (next_header, hop_limit) = (protocol::UDP, TTL);
            Ipv6Header { traffic_class, flow_label, payload_len, next_header, hop_limit, source, destination }
                .write(ip);
            rest
        }
        _ => return None,
    };
    udp.write(rest.first_chunk_mut()?);
    Some(bytes)
}

/// Padding, nonce and headers of one packet (PROTOCOL A8). The sealed bytes follow the headers.
#[inline]
fn encapsulate<P: Packet>(packet: &mut P, plan: &Plan, nonce: u64) -> Result<(), DropReason> {
    let mtu = plan.mtu;
    let inner = packet.data().len();
    // What is larger was cut or refused before it came into the queue.
    if inner > mtu {
        return Err(DropReason::TooBig);
    }
    let tos = ecn::outer_tos(packet.data());
    let padded = padded(inner, mtu);
    let room = packet.append(padded - inner + TAG).ok_or(DropReason::NoRoom)?;
    // The tag is written over whatever stands there.
    room.iter_mut().take(padded - inner).for_each(|byte| *byte = 0);
    let head = Head { tos, payload: DataHeader::LEN + padded + TAG, receiver: plan.remote, nonce };
    let sealed_at = match plan.ipv6 {
        false => head.put::<OUTER_V4, P>(packet, &plan.front),
        true => head.put::<OUTER_V6, P>(packet, &plan.front),
    };
    let sealed_at = sealed_at.ok_or(DropReason::NoRoom)?;
    let meta = packet.meta_mut();
    meta.counter = nonce;
    meta.receiver = plan.local;
    meta.sealed_at = u16::try_from(sealed_at).unwrap_or(u16::MAX);
    Ok(())
}

/// Bytes of an inner packet with its padding.
#[inline]
fn padded(inner: usize, mtu: usize) -> usize {
    inner.next_multiple_of(wireguard::PADDING_MULTIPLE).min(mtu.max(inner))
}

/// What is different in each datagram's headers.
struct Head {
    tos: u8,
    /// Bytes behind the UDP header.
    payload: usize,
    receiver: u32,
    nonce: u64,
}

impl Head {
    /// Puts the first `OUTER` bytes of `front` in front, and the data header; returns how many bytes these are. `None`: no room.
    #[inline(always)]
    fn put<const OUTER: usize, P: Packet>(&self, packet: &mut P, front: &[u8; OUTER_V6]) -> Option<usize> {
        let sealed_at = OUTER + DataHeader::LEN;
        let (outer, header) = packet.prepend(sealed_at)?.split_first_chunk_mut::<OUTER>()?;
        *outer = *front.first_chunk()?;
        DataHeader::write(header.first_chunk_mut()?, self.receiver, self.nonce);
        let datagram = u16::try_from(udp::HEADER_LEN + self.payload).unwrap_or(u16::MAX);
        let (_, ip) = outer.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
        let udp_at = if OUTER == OUTER_V6 {
            patch::ipv6(ip, self.tos, datagram);
            ipv6::HEADER_LEN
        } else {
            // Fragments need distinct identifications (RFC 6864); a counter's low bits are.
            let [low, high, ..] = self.nonce.to_le_bytes();
            patch::ipv4(ip, self.tos, datagram, u16::from_le_bytes([low, high]));
            ipv4::HEADER_LEN
        };
        patch::udp_length(ip.get_mut(udp_at..)?, datagram);
        Some(sealed_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::heap::HeapPool;

    #[test]
    fn what_a_plan_takes_is_what_it_encapsulates() {
        const MTU: usize = 70;
        let refused = || Plan { mtu: MTU, ..Plan::refused(DropReason::NoEndpoint) };
        let mut taken = 0;
        for ipv6 in [false, true] {
            let front = DataHeader::LEN + if ipv6 { OUTER_V6 } else { OUTER_V4 };
            for (len, headroom, tailroom) in (0..MTU + 2)
                .flat_map(|len| [(len, front, 16), (len, front, 31), (len, front - 1, 31), (len, front, 15)])
            {
                let pool = HeapPool::with_room(1, headroom, len + tailroom);
                let mut packet = pool.alloc_with(&vec![0x45; len]).unwrap();
                assert!(!refused().takes(&packet));
                let plan = Plan { verdict: 0, ipv6, ..refused() };
                let takes = plan.takes(&packet);
                assert_eq!(encapsulate(&mut packet, &plan, 0).is_ok(), takes, "{len} {headroom} {tailroom}");
                taken += usize::from(takes);
            }
        }
        assert!(taken > MTU, "{taken}");
    }
}
