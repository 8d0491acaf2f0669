//! encap: padding, nonce, and the outer headers in front; the cipher then runs in place.

use super::crypto_worker::{CHUNK, Turn};
use super::forward::write_ethernet;
use super::{DropReason, PeerFlow};
use crate::aead::Job;
use crate::frame::{Meta, Packet, PacketPool};
use crate::session::Keypair;
use crate::shared::Hop;
use crate::wire::{
    EtherType, Ipv4Header, Ipv6Header, UdpHeader, ecn, ethernet, ipv4, ipv6, patch, protocol, udp,
    wireguard::{self, DataHeader},
};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// Tag behind the sealed bytes.
const TAG: usize = 16;
/// Ethernet, IPv6, UDP and the data header: the longest headers that go in front.
const MOST_HEADERS: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN + DataHeader::LEN;
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

/// What all packets of a chunk share: one peer, one keypair, one way out.
struct Template {
    /// Ethernet, IP and UDP, with lengths and checksums of an empty datagram.
    headers: ArrayVec<u8, { MOST_HEADERS - DataHeader::LEN }>,
    ipv6: bool,
    way_out: WayOut,
}

/// Gives each packet its nonce, padding and headers; what cannot go gets its verdict. Egress owner only (nonces).
pub(super) fn prepare<A: PacketPool>(
    packets: &mut ArrayVec<A::Packet, CHUNK>,
    flow: &PeerFlow<A::Packet>,
    keypair: &Keypair,
    turn: &Turn<'_, A>,
) -> WayOut {
    if packets.is_empty() {
        return WayOut::Nowhere;
    }
    let template = match template(flow, turn) {
        Ok(template) => template,
        Err(reason) => return refuse(packets, reason),
    };
    let Some(first) = keypair.reserve_nonces(u32::try_from(packets.len()).unwrap_or(u32::MAX)) else {
        return refuse(packets, DropReason::NonceLimit);
    };
    let mtu = turn.shared.tunnel(flow.tunnel).map_or(0, |tunnel| usize::from(tunnel.mtu));
    for (nonce, packet) in (first..).zip(packets.iter_mut()) {
        let verdict = encapsulate(packet, &template, keypair, nonce, mtu).map_or_else(DropReason::verdict, |()| 0);
        packet.meta_mut().verdict = verdict;
    }
    template.way_out
}

fn refuse<P: Packet>(packets: &mut ArrayVec<P, CHUNK>, reason: DropReason) -> WayOut {
    packets.iter_mut().for_each(|p| p.meta_mut().verdict = reason.verdict());
    WayOut::Nowhere
}

/// Resolves the peer's endpoint to headers, once a chunk.
fn template<A: PacketPool>(flow: &PeerFlow<A::Packet>, turn: &Turn<'_, A>) -> Result<Template, DropReason> {
    let shared = turn.shared;
    let endpoint = flow.endpoint().ok_or(DropReason::NoEndpoint)?;
    let to = endpoint.remote.ip();
    let (way_out, port, macs) = match shared.outer.hop(turn.reader, to) {
        Hop::Wire { port, macs } => (WayOut::Port(port), port, macs),
        Hop::Ask { port } => (WayOut::Ask(port), port, [0; 12]),
        Hop::Local { .. } | Hop::None => return Err(DropReason::NoOuterRoute),
    };
    let from = shared.source(flow.tunnel, &endpoint, port).ok_or(DropReason::NoOuterRoute)?;
    let mut headers = Headers::default();
    let udp = UdpHeader { source_port: from.port(), destination_port: endpoint.remote.port(), len: 0, checksum: 0 };
    headers.ip(&macs, from.ip(), to).ok_or(DropReason::NoOuterRoute)?;
    headers.put(|out| udp.write(out));
    Ok(Template { headers: headers.0, ipv6: to.is_ipv6(), way_out })
}

/// The headers of a template, one behind the other.
#[derive(Default)]
struct Headers(ArrayVec<u8, { MOST_HEADERS - DataHeader::LEN }>);

impl Headers {
    fn put<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N])) {
        let mut bytes = [0; N];
        write(&mut bytes);
        // It holds the longest headers by its type.
        debug_assert!(self.0.remaining_capacity() >= N);
        let _ = self.0.try_extend_from_slice(&bytes);
    }

    /// Ethernet and IP; `None` if the families differ.
    fn ip(&mut self, macs: &[u8; 12], from: IpAddr, to: IpAddr) -> Option<()> {
        let ether_type = if to.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        self.put::<{ ethernet::HEADER_LEN }>(|out| write_ethernet(out, macs, ether_type));
        match (from, to) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = Ipv4Header {
                    tos: 0,
                    total_len: 0,
                    identification: 0,
                    dont_fragment: false,
                    ttl: TTL,
                    protocol: protocol::UDP,
                    source,
                    destination,
                };
                self.put(|out| header.write(out));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    traffic_class: 0,
                    flow_label: 0,
                    payload_len: 0,
                    next_header: protocol::UDP,
                    hop_limit: TTL,
                    source,
                    destination,
                };
                self.put(|out| header.write(out));
            }
            _ => return None,
        }
        Some(())
    }
}

/// Padding, nonce and headers of one packet (PROTOCOL A8). The sealed bytes follow the headers.
fn encapsulate<P: Packet>(
    packet: &mut P,
    template: &Template,
    keypair: &Keypair,
    nonce: u64,
    mtu: usize,
) -> Result<(), DropReason> {
    let inner = packet.data().len();
    // What is larger was cut or refused before it came into the queue.
    if inner > mtu {
        return Err(DropReason::TooBig);
    }
    let tos = ecn::outer_tos(packet.data());
    let padded = inner.next_multiple_of(wireguard::PADDING_MULTIPLE).min(mtu.max(inner));
    packet.append(padded - inner + TAG).ok_or(DropReason::NoRoom)?.fill(0);
    let sealed_at = template.headers.len() + DataHeader::LEN;
    let front = packet.prepend(sealed_at).ok_or(DropReason::NoRoom)?;
    let (outer, header) = front.split_last_chunk_mut::<{ DataHeader::LEN }>().ok_or(DropReason::NoRoom)?;
    outer.copy_from_slice(&template.headers);
    DataHeader::write(header, keypair.remote_index(), nonce);
    patch(outer, template.ipv6, tos, DataHeader::LEN + padded + TAG, nonce);
    let meta = packet.meta_mut();
    meta.counter = nonce;
    meta.receiver = keypair.local_index();
    meta.sealed_at = u16::try_from(sealed_at).unwrap_or(u16::MAX);
    Ok(())
}

/// Puts the lengths, the TOS byte and the IPv4 checksum of one datagram into the copied headers.
fn patch(headers: &mut [u8], is_ipv6: bool, tos: u8, payload: usize, nonce: u64) {
    let datagram = u16::try_from(udp::HEADER_LEN + payload).unwrap_or(u16::MAX);
    let ip = headers.get_mut(ethernet::HEADER_LEN..).unwrap_or_default();
    let udp_at = if is_ipv6 {
        patch::ipv6(ip, tos, datagram);
        ipv6::HEADER_LEN
    } else {
        // Fragments need distinct identifications (RFC 6864); a counter's low bits are.
        let [low, high, ..] = nonce.to_le_bytes();
        patch::ipv4(ip, tos, datagram, u16::from_le_bytes([low, high]));
        ipv4::HEADER_LEN
    };
    patch::udp_length(ip.get_mut(udp_at..).unwrap_or_default(), datagram);
}

/// The sealing of one prepared packet.
pub(super) fn job<'a>(meta: &Meta, data: &'a mut [u8], keypair: Option<&'a Keypair>) -> Result<Job<'a>, DropReason> {
    let keypair = keypair.ok_or(DropReason::SessionExpired)?;
    let buffer = data.get_mut(usize::from(meta.sealed_at)..).ok_or(DropReason::NoRoom)?;
    Ok(Job::new(keypair.send_key(), meta.counter, buffer))
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
