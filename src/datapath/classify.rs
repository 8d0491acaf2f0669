//! classify: what is this packet, and where does it go next? Headers are read once, here.

use super::forward::decrement_ttl;
use super::{DropReason, Port, Shared, vlan};
use crate::frame::{Frame, Packet, PacketPool};
use crate::peer::map_address;
use crate::queue::{FlowId, Reader};
use crate::shared::Hop;
use crate::wire::wireguard::Message;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, UdpDatagram, ethernet, ipv4::Ipv4Error, protocol};
use std::net::{IpAddr, Ipv6Addr};

/// The way a packet goes on from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A data message of a live keypair: to that peer's ingress queue. The packet is cut to the UDP payload.
    Ingress(FlowId),
    /// An inner packet for a peer: to its egress queue. The packet is cut to the IP packet.
    Egress(FlowId),
    /// A handshake message, cut to the UDP payload, for the handshake thread of this number.
    Handshake(usize),
    /// ARP, NDP, ICMP to us: the whole frame, for the control thread.
    Control,
    /// A fragment of a datagram to us: the whole frame, for the control thread.
    Fragment,
    /// Nowhere, and the sender is to be told. The packet is cut to the IP packet.
    Undeliverable(DropReason),
    /// Nowhere.
    Drop(DropReason),
}

type Verdict = Result<Way, DropReason>;

/// The NIC's word for it in [`crate::frame::Meta::checksum`]. "Bad" may mean the checksum of a packet that only passes through: what is
/// ours to check is then checked here.
pub(super) const NIC_GOOD: u16 = 1;

/// Decides on one packet that came by `port`, notes what later stages need, and cuts it to what they take.
/// Any bytes are welcome. Data cores, in a read section.
#[inline]
pub fn classify<A: PacketPool>(packet: &mut A::Packet, port: &Port, shared: &Shared<A>, reader: &Reader) -> Way {
    Classify { port, shared, reader }.frame(packet).unwrap_or_else(Way::Drop)
}

/// ICMPv6 types of neighbour discovery (RFC 4861, 4).
const NDP_TYPES: std::ops::RangeInclusive<u8> = 133..=137;

/// What is known of an IP packet's header.
struct Ip {
    to_us: bool,
    source: IpAddr,
    destination: IpAddr,
    tos: u8,
    protocol: u8,
    fragment: bool,
    /// Bytes from the start of the frame.
    payload_at: usize,
    end: usize,
}

pub(super) struct Classify<'a, A: PacketPool> {
    pub(super) port: &'a Port,
    pub(super) shared: &'a Shared<A>,
    pub(super) reader: &'a Reader,
}

impl<A: PacketPool> Classify<'_, A> {
    fn frame(&self, packet: &mut A::Packet) -> Verdict {
        packet.meta_mut().port = self.port.id;
        let checksum = packet.meta().checksum();
        let frame = EthernetFrame::new_checked(packet.data()).map_err(|_| DropReason::Runt)?;
        let to_us = frame.destination() == self.port.mac;
        if !to_us && !frame.destination().is_multicast() {
            return Err(DropReason::NotOurMac);
        }
        let ip = match frame.ether_type() {
            _ if frame.header_len() != ethernet::HEADER_LEN => return self.tagged(packet),
            EtherType::ARP => return Ok(Way::Control),
            EtherType::IPV4 => ipv4(frame.payload(), to_us, checksum)?,
            EtherType::IPV6 => ipv6(frame.payload(), to_us)?,
            _ => return Err(DropReason::EtherType),
        };
        self.ip(packet, &ip)
    }

    /// There is (still) a tag: of no VLAN, it is for priority only and means nothing here; else the frame is not ours.
    #[cold]
    fn tagged(&self, packet: &mut A::Packet) -> Verdict {
        let is_tagged =
            |p: &A::Packet| EthernetFrame::new_checked(p.data()).is_ok_and(|f| f.header_len() != ethernet::HEADER_LEN);
        if self.port.vlan != 0 || vlan::untag(packet) != 0 || is_tagged(packet) {
            return Err(DropReason::Vlan);
        }
        self.frame(packet)
    }

    fn ip(&self, packet: &mut A::Packet, ip: &Ip) -> Verdict {
        if !ip.to_us || ip.destination.is_multicast() {
            return if is_ndp(ip) { Ok(Way::Control) } else { Err(DropReason::Multicast) };
        }
        if self.port.roles.outer
            && let Hop::Local { port, address } = self.shared.outer.hop(self.reader, ip.destination)
        {
            return self.outer(packet, ip, (port, address));
        }
        if is_ndp(ip) {
            return Ok(Way::Control);
        }
        if self.port.roles.inner { self.inner(packet, ip) } else { Err(DropReason::NotForUs) }
    }

    /// To one of our addresses on an outer port.
    fn outer(&self, packet: &mut A::Packet, ip: &Ip, (port, address): (u16, u16)) -> Verdict {
        if ip.fragment {
            return if ip.protocol == protocol::UDP { Ok(Way::Fragment) } else { Err(DropReason::OuterFragment) };
        }
        if matches!(ip.protocol, protocol::ICMP | protocol::ICMPV6) {
            return Ok(Way::Control);
        }
        if ip.protocol != protocol::UDP {
            return Err(DropReason::NotForUs);
        }
        let bytes = packet.data().get(ip.payload_at..ip.end).ok_or(DropReason::BadUdp)?;
        let datagram = UdpDatagram::new_checked(bytes).map_err(|_| DropReason::BadUdp)?;
        let local_port = datagram.destination_port();
        let tunnel = self.shared.listen.tunnel_of(local_port).ok_or(DropReason::NotForUs)?;
        self.check_udp(packet.meta().checksum(), &datagram, ip)?;
        let message = Message::parse(datagram.payload()).map_err(|_| DropReason::BadMessage)?;
        let (mut way, mut receiver) = (Way::Handshake(self.handshake_thread(ip)), 0);
        if let Message::Data(data) = message {
            receiver = data.receiver();
            let keypair = self.shared.index.lookup(self.reader, receiver).ok_or(DropReason::UnknownIndex)?;
            way = Way::Ingress(FlowId(keypair.flow()));
        }
        let (source_port, payload) = (datagram.source_port(), datagram.payload().len());
        let start = ip.payload_at + crate::wire::udp::HEADER_LEN;
        packet.truncate(start + payload);
        packet.trim_front(start).ok_or(DropReason::BadUdp)?;
        let meta = packet.meta_mut();
        meta.source = map_address(ip.source);
        meta.source_port = source_port;
        // The address may be another port's than the one that the frame came by.
        (meta.port, meta.local_address) = (port, address);
        (meta.tunnel, meta.local_port) = (tunnel, local_port);
        meta.outer_tos = ip.tos;
        meta.receiver = receiver;
        meta.verdict = 0;
        Ok(way)
    }

    fn check_udp(&self, checksum: u16, datagram: &UdpDatagram<'_>, ip: &Ip) -> Result<(), DropReason> {
        let good = match (checksum, ip.source, ip.destination) {
            (NIC_GOOD, ..) => true,
            (_, IpAddr::V4(source), IpAddr::V4(destination)) => datagram.verify_v4(source, destination),
            (_, IpAddr::V6(source), IpAddr::V6(destination)) => datagram.verify_v6(source, destination),
            _ => false,
        };
        good.then_some(()).ok_or(DropReason::BadUdpChecksum)
    }

    /// One source, one thread: its messages keep their order, and one limiter sees them all. A source is an IPv4 address or an IPv6 /64.
    fn handshake_thread(&self, ip: &Ip) -> usize {
        let address = map_address(ip.source);
        let source = if ip.source.is_ipv4() { &address[8..] } else { &address[..8] };
        let hash = source.iter().fold(0, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        hash % self.shared.handshakes.len().max(1)
    }

    /// An inner packet: to one of our own addresses, or to a peer.
    fn inner(&self, packet: &mut A::Packet, ip: &Ip) -> Verdict {
        if let Hop::Local { .. } = self.shared.inner.hop(self.reader, ip.destination) {
            return match ip.protocol {
                protocol::ICMP | protocol::ICMPV6 => Ok(Way::Control),
                _ => Err(DropReason::NotForUs),
            };
        }
        // A probe of an address that we answer for (RFC 4861, 7.3.3). No router forwards neighbour discovery.
        if ip.protocol == protocol::ICMPV6 && packet.data().get(ip.payload_at).is_some_and(|t| NDP_TYPES.contains(t)) {
            return Ok(Way::Control);
        }
        let peer = self.shared.allowed.lookup(self.reader, ip.destination);
        packet.truncate(ip.end);
        packet.trim_front(ethernet::HEADER_LEN).ok_or(DropReason::Runt)?;
        Ok(to_peer(packet, peer))
    }
}

/// The way of an inner packet, which is cut to the IP packet, to the peer that owns its destination.
#[inline]
pub(super) fn to_peer<P: Packet>(packet: &mut P, peer: Option<u32>) -> Way {
    let Some(peer) = peer else { return Way::Undeliverable(DropReason::NoPeer) };
    match decrement_ttl(packet.data_mut()) {
        Some(_) => Way::Egress(FlowId(peer)),
        None => Way::Undeliverable(DropReason::TtlExpired),
    }
}

fn ipv4(bytes: &[u8], to_us: bool, checksum: u16) -> Result<Ip, DropReason> {
    let ip = Ipv4Packet::new_checked(bytes).map_err(|e| match e {
        Ipv4Error::Truncated => DropReason::Runt,
        _ => DropReason::BadIpHeader,
    })?;
    if checksum != NIC_GOOD && !ip.verify_checksum() {
        return Err(DropReason::BadIpChecksum);
    }
    Ok(Ip {
        to_us,
        source: ip.source().into(),
        destination: ip.destination().into(),
        tos: ip.tos(),
        protocol: ip.protocol(),
        fragment: ip.is_fragment(),
        payload_at: ethernet::HEADER_LEN + ip.payload_range().start,
        end: ethernet::HEADER_LEN + ip.total_len(),
    })
}

fn ipv6(bytes: &[u8], to_us: bool) -> Result<Ip, DropReason> {
    let ip = Ipv6Packet::new_checked(bytes).map_err(|_| DropReason::BadIpHeader)?;
    // On the wire a v4-mapped address is a forgery (RFC 4291, 2.5.5.2, is for interfaces of programs): an endpoint of it would be IPv4's.
    if [ip.source(), ip.destination()].iter().any(|a| a.to_ipv4_mapped().is_some()) {
        return Err(DropReason::BadIpHeader);
    }
    // Only what is for us is looked at behind the fixed header; what passes through may carry anything.
    let upper = ip.upper_layer().ok();
    Ok(Ip {
        to_us,
        source: ip.source().into(),
        destination: ip.destination().into(),
        tos: ip.traffic_class(),
        protocol: upper.as_ref().map_or(protocol::NO_NEXT_HEADER, |u| u.protocol),
        fragment: upper.as_ref().and_then(|u| u.fragment.as_ref()).is_some_and(|f| !f.is_atomic()),
        payload_at: ethernet::HEADER_LEN + upper.as_ref().map_or_else(|| ip.total_len(), |u| u.offset),
        end: ethernet::HEADER_LEN + ip.total_len(),
    })
}

/// Neighbour discovery travels by multicast and link-local addresses; the control thread checks the rest.
fn is_ndp(ip: &Ip) -> bool {
    let link_local = |a: IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
    let solicited = |a: IpAddr| matches!(a, IpAddr::V6(a) if is_solicited_node(a));
    ip.protocol == protocol::ICMPV6 && (link_local(ip.destination) || solicited(ip.destination))
}

/// ff02::1:ff00:0/104 (RFC 4291, 2.7.1), and all nodes.
fn is_solicited_node(address: Ipv6Addr) -> bool {
    let [prefix @ .., g, last] = address.segments();
    let all_nodes = prefix == [0xff02, 0, 0, 0, 0, 0] && (g, last) == (0, 1);
    all_nodes || (prefix == [0xff02, 0, 0, 0, 0, 1] && g >> 8 == 0xff)
}
