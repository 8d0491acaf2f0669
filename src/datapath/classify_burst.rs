//! classify for a whole burst: all headers first, then all tables, so that the cache misses of the packets run side by side.
//!
//! What nearly all traffic is takes the quick way: data messages, and what passes through in IPv4 without options, or in IPv6 with TCP or
//! UDP right behind the header. Everything else is [`classify`]'s. Both ways say the same of the same packet.

use super::classify::{Classify, NIC_GOOD, Way, classify, to_peer};
use super::{DropReason, Port, Shared};
use crate::frame::{BURST, Frame, Packet, PacketPool};
use crate::peer::map_address;
use crate::queue::{FlowId, Reader};
use crate::shared::Hop;
use crate::wire::wireguard::Message;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, UdpDatagram, ethernet, ipv4, ipv6, protocol, udp};
use arrayvec::ArrayVec;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What stands in a burst's list until its packet's key is looked up.
const PENDING: Way = Way::Drop(DropReason::NoPeer);

/// What is asked of a table, and of which packets.
struct Asked<K> {
    keys: ArrayVec<K, BURST>,
    places: ArrayVec<u8, BURST>,
}

impl<K> Asked<K> {
    fn new() -> Self {
        Self { keys: ArrayVec::new(), places: ArrayVec::new() }
    }

    #[inline]
    fn push(&mut self, key: K, place: u8) {
        self.keys.push(key);
        self.places.push(place);
    }
}

/// The same as [`classify`] of each packet of `burst`, which came by `port`, in order; the ways are appended to `ways`, which is empty.
/// Data cores, in a read section.
#[inline]
pub fn classify_burst<A: PacketPool>(
    burst: &mut [A::Packet],
    port: &Port,
    shared: &Shared<A>,
    reader: &Reader,
    ways: &mut ArrayVec<Way, BURST>,
) {
    let (v4, v6, receivers) = (Asked::new(), Asked::new(), Asked::new());
    let mut quick = Quick { classify: Classify { port, shared, reader }, own: None, own_v6: None, v4, v6, receivers };
    for (packet, place) in burst.iter_mut().zip(0..).take(BURST) {
        // Each writes its way itself: one that is passed on in memory costs more than all else here.
        match quick.headers(packet, place) {
            Some(()) => ways.push(PENDING),
            None => ways.push(classify(packet, port, shared, reader)),
        }
    }
    let Quick { v4, v6, receivers, .. } = quick;
    let mut found = [None; BURST];
    if !receivers.keys.is_empty() {
        shared.index.lookup_burst(reader, &receivers.keys, &mut found);
        for (place, peer) in receivers.places.into_iter().zip(found) {
            let way = peer.map_or(Way::Drop(DropReason::UnknownIndex), |peer| {
                shared.flows.prefetch(FlowId(peer));
                Way::Ingress(FlowId(peer))
            });
            set(ways, place, way);
        }
    }
    if !v4.keys.is_empty() {
        shared.allowed.v4.lookup_burst(reader, &v4.keys, &mut found);
        to_peers(burst, &v4.places, &found, shared, ways);
    }
    if !v6.keys.is_empty() {
        shared.allowed.v6.lookup_burst(reader, &v6.keys, &mut found);
        to_peers(burst, &v6.places, &found, shared, ways);
    }
}

#[inline]
fn set(ways: &mut [Way], place: u8, way: Way) {
    if let Some(slot) = ways.get_mut(usize::from(place)) {
        *slot = way;
    }
}

/// Ends the way of inner packets whose peer was looked up.
#[inline]
fn to_peers<A: PacketPool>(
    burst: &mut [A::Packet],
    places: &[u8],
    found: &[Option<u32>],
    shared: &Shared<A>,
    ways: &mut [Way],
) {
    for (place, peer) in places.iter().zip(found) {
        if let Some(peer) = peer {
            shared.flows.prefetch(FlowId(*peer));
        }
        if let Some(packet) = burst.get_mut(usize::from(*place)) {
            set(ways, *place, to_peer(packet, *peer));
        }
    }
}

/// What is known of a datagram to us.
struct Head {
    /// Where the UDP header begins, bytes from the start of the frame.
    at: usize,
    /// Where the IP packet ends.
    end: usize,
    /// The port that has the address, and which of its addresses it is.
    local: (u16, u16),
    tos: u8,
}

struct Quick<'a, A: PacketPool> {
    classify: Classify<'a, A>,
    /// The last outer destination that was looked up, and where we have it. Most packets of a burst go to one.
    own: Option<(Ipv4Addr, Option<(u16, u16)>)>,
    /// The same of IPv6.
    own_v6: Option<(Ipv6Addr, Option<(u16, u16)>)>,
    /// Whose is this inner destination?
    v4: Asked<u32>,
    /// The same of IPv6.
    v6: Asked<u128>,
    /// Whose keypair has this receiver index?
    receivers: Asked<u32>,
}

impl<A: PacketPool> Quick<'_, A> {
    /// Checks, cuts and notes one packet that is as most are, and asks what decides on it; `None`, and nothing changed but the port, if it
    /// is not.
    #[inline]
    fn headers(&mut self, packet: &mut A::Packet, place: u8) -> Option<()> {
        let Classify { port, .. } = self.classify;
        packet.meta_mut().port = port.id;
        let frame = EthernetFrame::new_checked(packet.data()).ok()?;
        if frame.destination() != port.mac || frame.header_len() != ethernet::HEADER_LEN {
            return None;
        }
        match frame.ether_type() {
            EtherType::IPV4 => self.ipv4(packet, place),
            EtherType::IPV6 => self.ipv6(packet, place),
            _ => None,
        }
    }

    #[inline]
    fn ipv4(&mut self, packet: &mut A::Packet, place: u8) -> Option<()> {
        let Classify { port, shared, .. } = self.classify;
        let ip = Ipv4Packet::new_checked(packet.data().get(ethernet::HEADER_LEN..)?).ok()?;
        let to = ip.destination();
        let checked = packet.meta().checksum() == NIC_GOOD || ip.verify_checksum();
        if !checked || ip.has_options() || to.is_multicast() {
            return None;
        }
        if port.roles.outer
            && let Some(local) = self.own(to)
        {
            if ip.is_fragment() || ip.protocol() != protocol::UDP {
                return None;
            }
            let at = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
            let head = Head { at, end: ethernet::HEADER_LEN + ip.total_len(), local, tos: ip.tos() };
            let from = ip.source();
            return self.message(packet, place, &head, map_address(from.into()), |udp| udp.verify_v4(from, to));
        }
        if !port.roles.inner || ip.protocol() == protocol::ICMPV6 || shared.inner.fib.may_be_local_v4(to) {
            return None;
        }
        let end = ethernet::HEADER_LEN + ip.total_len();
        packet.truncate(end);
        packet.trim_front(ethernet::HEADER_LEN)?;
        self.v4.push(to.to_bits(), place);
        Some(())
    }

    /// A data message in a datagram to us; `is_whole` looks at its checksum.
    #[inline]
    fn message(
        &mut self,
        packet: &mut A::Packet,
        place: u8,
        head: &Head,
        source: [u8; 16],
        is_whole: impl FnOnce(&UdpDatagram<'_>) -> bool,
    ) -> Option<()> {
        let datagram = UdpDatagram::new_checked(packet.data().get(head.at..head.end)?).ok()?;
        let local_port = datagram.destination_port();
        let tunnel = self.classify.shared.listen.tunnel_of(local_port)?;
        let Ok(Message::Data(data)) = Message::parse(datagram.payload()) else { return None };
        if packet.meta().checksum() != NIC_GOOD && !is_whole(&datagram) {
            return None;
        }
        let (receiver, source_port, len) = (data.receiver(), datagram.source_port(), datagram.payload().len());
        let start = head.at + udp::HEADER_LEN;
        packet.truncate(start + len);
        packet.trim_front(start)?;
        let meta = packet.meta_mut();
        (meta.source, meta.source_port) = (source, source_port);
        // The address may be another port's than the one that the frame came by.
        (meta.port, meta.local_address) = head.local;
        (meta.tunnel, meta.local_port) = (tunnel, local_port);
        meta.outer_tos = head.tos;
        meta.receiver = receiver;
        meta.verdict = 0;
        self.classify.shared.index.prefetch(receiver);
        self.receivers.push(receiver, place);
        Some(())
    }

    #[inline]
    fn ipv6(&mut self, packet: &mut A::Packet, place: u8) -> Option<()> {
        let Classify { port, shared, .. } = self.classify;
        let ip = Ipv6Packet::new_checked(packet.data().get(ethernet::HEADER_LEN..)?).ok()?;
        let to = ip.destination();
        let mapped = ip.source().to_ipv4_mapped().is_some() || to.to_ipv4_mapped().is_some();
        if mapped || to.is_multicast() || !matches!(ip.next_header(), protocol::TCP | protocol::UDP) {
            return None;
        }
        if port.roles.outer
            && let Some(local) = self.own_v6(to)
        {
            if ip.next_header() != protocol::UDP {
                return None;
            }
            let at = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
            let head = Head { at, end: ethernet::HEADER_LEN + ip.total_len(), local, tos: ip.traffic_class() };
            let from = ip.source();
            return self.message(packet, place, &head, from.octets(), |udp| udp.verify_v6(from, to));
        }
        if !port.roles.inner || shared.inner.fib.may_be_local_v6(to) {
            return None;
        }
        let end = ethernet::HEADER_LEN + ip.total_len();
        packet.truncate(end);
        packet.trim_front(ethernet::HEADER_LEN)?;
        self.v6.push(to.to_bits(), place);
        Some(())
    }

    /// Where we have this outer address, if it is ours.
    #[inline]
    fn own(&mut self, to: Ipv4Addr) -> Option<(u16, u16)> {
        let Classify { shared, reader, .. } = self.classify;
        if let Some((_, local)) = self.own.filter(|(address, _)| *address == to) {
            return local;
        }
        if !shared.outer.fib.may_be_local_v4(to) {
            return None;
        }
        let local = local(shared.outer.hop(reader, to.into()));
        self.own = Some((to, local));
        local
    }

    /// The same of IPv6.
    #[inline]
    fn own_v6(&mut self, to: Ipv6Addr) -> Option<(u16, u16)> {
        let Classify { shared, reader, .. } = self.classify;
        if let Some((_, local)) = self.own_v6.filter(|(address, _)| *address == to) {
            return local;
        }
        if !shared.outer.fib.may_be_local_v6(to) {
            return None;
        }
        let local = local(shared.outer.hop(reader, to.into()));
        self.own_v6 = Some((to, local));
        local
    }
}

/// Port and address, if a hop ends here.
fn local(hop: Hop) -> Option<(u16, u16)> {
    match hop {
        Hop::Local { port, address } => Some((port, address)),
        _ => None,
    }
}
