//! ICMP errors to whoever sent an inner packet that goes no further: a host behind an inner port, or a client through its tunnel.
//!
//! What is reported, by which message, is in [`Report::of`]; about what nobody is told in [`Errors::report`] and in
//! [`icmp::build_error_v4`], [`icmpv6::build_error_v6`].

use super::limiter::{Limiter, Rate};
use super::output::Hands;
use crate::frame::{Meta, PacketPool};
use crate::queue::FlowId;
use crate::shared::{DropReason, Hop, Shared};
use crate::wire::{InnerPacket, icmp, icmpv6};
use ipnet::IpNet;
use std::net::IpAddr;

/// Errors to one destination (an IPv6 /64 is one): the example of RFC 4443, 2.4 (f). RFC 1812, 4.3.2.8, asks for a limit and names none.
const RATE: Rate = Rate { per_second: 10, burst: 10 };
/// Destinations that are remembered at once.
const DESTINATIONS: usize = 8192;

/// How the control thread answers for packets that go no further. Its own.
#[derive(Debug)]
pub(super) struct Errors {
    limiter: Limiter,
}

/// One error message: an IP packet.
struct Message {
    bytes: [u8; icmpv6::MAX_ERROR_LEN],
    len: usize,
}

/// What is to be said of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    v4: icmp::ErrorMessage,
    v6: icmpv6::ErrorMessage,
}

impl Report {
    /// `mtu`: what would fit. `None`: of this nobody is told.
    fn of(reason: DropReason, mtu: u16) -> Option<Self> {
        let (v4, v6) = match reason {
            DropReason::NoPeer | DropReason::NoEndpoint | DropReason::NeighbourFailed => {
                (icmp::ErrorMessage::HostUnreachable, icmpv6::ErrorMessage::AddressUnreachable)
            }
            DropReason::NoRoute => (icmp::ErrorMessage::NetUnreachable, icmpv6::ErrorMessage::NoRoute),
            DropReason::TtlExpired => (icmp::ErrorMessage::TtlExceeded, icmpv6::ErrorMessage::HopLimitExceeded),
            DropReason::TooBig => (
                icmp::ErrorMessage::FragmentationNeeded { mtu },
                icmpv6::ErrorMessage::PacketTooBig { mtu: mtu.into() },
            ),
            _ => return None,
        };
        Some(Self { v4, v6 })
    }
}

impl Errors {
    pub(super) fn new() -> Self {
        Self { limiter: Limiter::new(RATE, DESTINATIONS) }
    }

    /// Tells the sender of an IP packet that came by the port `came_by` (or [`Meta::TUNNEL`]) why it went no further, unless that must
    /// not be (RFC 1122, 3.2.2; RFC 4443, 2.4 e), we have no address to say it from, or the sender heard enough.
    pub(super) fn report<A: PacketPool>(
        &mut self,
        hands: &Hands<'_, A>,
        ip: &[u8],
        came_by: u16,
        reason: DropReason,
        now_ms: u64,
    ) {
        let shared = hands.shared;
        let Ok(parsed) = InnerPacket::parse(ip) else { return };
        let (from, to) = (parsed.source, parsed.destination);
        if is_special(shared, from) || is_special(shared, to) || is_ours(shared, from) {
            return;
        }
        let mtu = mtu_towards(hands, to);
        let Some((port, ours)) = our_address(shared, came_by, from) else { return };
        // It has to fit into what it goes back by.
        let room = usize::from(mtu_towards(hands, from));
        let Some(message) = Report::of(reason, mtu).and_then(|report| build(ip, ours, report, room)) else { return };
        if !self.limiter.allow(from, now_ms) {
            return;
        }
        let message = message.bytes.get(..message.len).unwrap_or_default();
        if came_by == Meta::TUNNEL {
            return hands.route_own(port, message);
        }
        // Back to the inner side, even where a peer's allowed-ips hold the address too: a forged source leads into no tunnel.
        let hop = shared.inner.hop(hands.reader, from);
        if matches!(hop, Hop::Wire { .. } | Hop::Ask { .. }) {
            hands.send_inner(hop, message);
        }
    }
}

/// Writes the message about `ip` from our address, `room` bytes at most.
fn build(ip: &[u8], ours: IpAddr, report: Report, room: usize) -> Option<Message> {
    let mut bytes = [0; icmpv6::MAX_ERROR_LEN];
    let out = bytes.get_mut(..room.min(icmpv6::MAX_ERROR_LEN))?;
    let len = match ours {
        IpAddr::V4(ours) => icmp::build_error_v4(ip, ours, report.v4, out)?,
        IpAddr::V6(ours) => icmpv6::build_error_v6(ip, ours, report.v6, out)?,
    };
    Some(Message { bytes, len })
}

/// Which of our inner addresses speaks to `to`, and its port: of the port that the packet came by, else the first of the family.
fn our_address<A: PacketPool>(shared: &Shared<A>, came_by: u16, to: IpAddr) -> Option<(u16, IpAddr)> {
    let came_by = shared.port(came_by).into_iter();
    let mut ports = came_by.chain(&shared.ports).filter(|port| port.roles.inner);
    ports.find_map(|port| Some((port.id, port.source_for(to)?)))
}

/// The largest packet that goes on to `to`; 0 if none does.
fn mtu_towards<A: PacketPool>(hands: &Hands<'_, A>, to: IpAddr) -> u16 {
    let shared = hands.shared;
    if let Some(peer) = shared.allowed.lookup(hands.reader, to) {
        let flow = shared.flows.get(hands.reader, FlowId(peer));
        return flow.and_then(|flow| shared.tunnel(flow.tunnel)).map_or(0, |tunnel| tunnel.mtu);
    }
    match shared.inner.hop(hands.reader, to) {
        Hop::Wire { port, .. } | Hop::Ask { port } => shared.port(port).map_or(0, |port| port.mtu),
        Hop::Local { .. } | Hop::None => 0,
    }
}

/// Whether an address is the broadcast address of one of our inner subnets, or its network address (an older form of it: RFC 1122,
/// 3.3.6). A subnet of one or two hosts has neither (RFC 3021).
fn is_special<A: PacketPool>(shared: &Shared<A>, address: IpAddr) -> bool {
    let is_of = |net: &IpNet| match (net, address) {
        (IpNet::V4(net), IpAddr::V4(address)) if net.prefix_len() < 31 => {
            address == net.broadcast() || address == net.network()
        }
        _ => false,
    };
    shared.ports.iter().filter(|port| port.roles.inner).any(|port| port.addresses.iter().any(is_of))
}

fn is_ours<A: PacketPool>(shared: &Shared<A>, address: IpAddr) -> bool {
    shared.ports.iter().any(|port| port.addresses.iter().any(|net| net.addr() == address))
}
