//! encap: padding, nonce, and the outer headers in front; the cipher then runs in place.

use super::crypto_worker::Turn;
use super::forward::write_ethernet;
use super::{DropReason, PeerFlow};
use crate::aead::Job;
use crate::frame::{Packet, PacketPool};
use crate::peer::{MOST_HEADERS, OuterHeaders, Stamp};
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
/// written later, many chunks' together, so that no atomic of the next chunk waits for them.
#[derive(Debug)]
pub(super) struct Plan {
    template: Template,
    /// The verdict of all: 0 is good.
    verdict: u8,
    /// The first packet's nonce; the others follow.
    first: u64,
    /// The peer's index of the keypair.
    remote: u32,
    /// Ours.
    local: u32,
    mtu: usize,
}

/// Ethernet, IP and UDP headers of a chunk.
#[derive(Debug)]
struct Template {
    /// The headers, with lengths and checksums of an empty datagram; of IPv4 the first [`OUTER_V4`] bytes.
    front: [u8; OUTER_V6],
    ipv6: bool,
    way_out: WayOut,
}

impl Plan {
    /// For packets that go nowhere, for this reason.
    pub(super) fn refused(reason: DropReason) -> Self {
        let template = Template { front: [0; OUTER_V6], ipv6: false, way_out: WayOut::Nowhere };
        Self { template, verdict: reason.verdict(), first: 0, remote: 0, local: 0, mtu: 0 }
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

    /// Where the sealed packets go.
    pub(super) fn way_out(&self) -> WayOut {
        self.template.way_out
    }

    /// Our index of the keypair.
    pub(super) fn keypair(&self) -> u32 {
        self.local
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

/// Finds the way of a peer's packets; they have no nonces yet. Egress owner only (the kept headers).
#[inline]
pub(super) fn plan<A: PacketPool>(flow: &PeerFlow<A::Packet>, keypair: &Keypair, turn: &Turn<'_, A>) -> Plan {
    match template(flow, turn) {
        Ok(template) => {
            let (remote, local) = (keypair.remote_index(), keypair.local_index());
            Plan { template, verdict: 0, first: 0, remote, local, mtu: mtu(flow, turn) }
        }
        Err(reason) => Plan::refused(reason),
    }
}

/// The tunnel's MTU.
#[inline]
pub(super) fn mtu<A: PacketPool>(flow: &PeerFlow<A::Packet>, turn: &Turn<'_, A>) -> usize {
    turn.shared.tunnel(flow.tunnel).map_or(0, |tunnel| usize::from(tunnel.mtu))
}

/// The headers for the peer's endpoint: those of the chunk before, while nothing has changed that they were made of. Once a chunk.
#[inline]
fn template<A: PacketPool>(flow: &PeerFlow<A::Packet>, turn: &Turn<'_, A>) -> Result<Template, DropReason> {
    let shared = turn.shared;
    let now = Stamp { endpoint: flow.endpoint_stamp(), routes: shared.outer_generation() };
    if let Some(headers) = flow.headers.get(now)
        && let Ok((macs, port)) = shared.outer.adjacencies.header(AdjacencyIndex::from_raw(headers.adjacency))
    {
        return Ok(Template::new(&macs, &headers, WayOut::Port(port)));
    }
    resolve(flow, turn)
}

/// Resolves the peer's endpoint to headers, and keeps them where the next hop is known.
#[cold]
fn resolve<A: PacketPool>(flow: &PeerFlow<A::Packet>, turn: &Turn<'_, A>) -> Result<Template, DropReason> {
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
    let bytes = ip_and_udp(from, endpoint.remote).ok_or(DropReason::NoOuterRoute)?;
    let mut headers = OuterHeaders { bytes, ipv6: to.is_ipv6(), adjacency: 0 };
    if let (Some(NextHop::Adjacency(index)), WayOut::Port(_)) = (next, way_out) {
        headers.adjacency = index.to_raw();
        flow.headers.put(Stamp { endpoint: stamp, routes }, &headers);
    }
    Ok(Template::new(&macs, &headers, way_out))
}

impl Template {
    #[inline]
    fn new(macs: &[u8; 12], headers: &OuterHeaders, way_out: WayOut) -> Self {
        let mut front = [0; OUTER_V6];
        let ether_type = if headers.ipv6 { EtherType::IPV6 } else { EtherType::IPV4 };
        if let Some((ethernet, rest)) = front.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>() {
            write_ethernet(ethernet, macs, ether_type);
            rest.copy_from_slice(&headers.bytes);
        }
        Self { front, ipv6: headers.ipv6, way_out }
    }
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
    let Plan { template, remote, local, mtu, .. } = plan;
    let mtu = *mtu;
    let inner = packet.data().len();
    // What is larger was cut or refused before it came into the queue.
    if inner > mtu {
        return Err(DropReason::TooBig);
    }
    let tos = ecn::outer_tos(packet.data());
    let padded = inner.next_multiple_of(wireguard::PADDING_MULTIPLE).min(mtu.max(inner));
    let room = packet.append(padded - inner + TAG).ok_or(DropReason::NoRoom)?;
    // The tag is written over whatever stands there.
    room.iter_mut().take(padded - inner).for_each(|byte| *byte = 0);
    let head = Head { tos, payload: DataHeader::LEN + padded + TAG, receiver: *remote, nonce };
    let sealed_at = match template.ipv6 {
        false => head.put::<OUTER_V4, P>(packet, template),
        true => head.put::<OUTER_V6, P>(packet, template),
    };
    let sealed_at = sealed_at.ok_or(DropReason::NoRoom)?;
    let meta = packet.meta_mut();
    meta.counter = nonce;
    meta.receiver = *local;
    meta.sealed_at = u16::try_from(sealed_at).unwrap_or(u16::MAX);
    Ok(())
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
    /// Puts the template's first `OUTER` bytes in front, and the data header; returns how many bytes these are. `None`: no room.
    #[inline(always)]
    fn put<const OUTER: usize, P: Packet>(&self, packet: &mut P, template: &Template) -> Option<usize> {
        let sealed_at = OUTER + DataHeader::LEN;
        let (outer, header) = packet.prepend(sealed_at)?.split_first_chunk_mut::<OUTER>()?;
        *outer = *template.front.first_chunk()?;
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

/// Completes a sealed packet: the UDP checksum, which IPv6 demands (RFC 8200, 8.1); over IPv4 it stays zero (RFC 768: not used),
/// since the tag guards the payload better.
pub(super) fn finish(data: &mut [u8]) {
    if let Some(ip) = data.get_mut(ethernet::HEADER_LEN..)
        && ip.first().is_some_and(|v| v >> 4 == 6)
    {
        patch::udp_checksum_v6(ip);
    }
}
