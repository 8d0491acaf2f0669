//! Outer fragments (clients behind PPPoE send them): gathered within bounds, and handed back to the data path as one datagram.
//!
//! Only UDP's are; a fragment that could hide the UDP or message header from a check is dropped at sight (RFC 1858, 3; RFC 8200, 4.5).

use super::output::Hands;
use crate::frame::fragments::{Fragment, Gather, GivenUp};
use crate::frame::{Frame, Packet, PacketPool};
use crate::shared::{Counters, DropReason};
use crate::wire::wireguard::DataHeader;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, ethernet, ipv4, ipv6, protocol, udp};
use std::net::IpAddr;

/// What the first fragment holds at least: a data message's header behind UDP's. No other one begins before that.
const LEAST_FIRST: usize = udp::HEADER_LEN + DataHeader::LEN;
/// All fragments but the last hold a multiple of this (RFC 791, 3.1; RFC 8200, 4.5).
const UNIT: usize = 8;
/// Bytes of an IP packet, at most.
const LONGEST: usize = u16::MAX as usize;
/// Bytes of IPv6's fragment header.
const FRAGMENT_HEADER: usize = 8;

/// The control thread's fragments.
#[derive(Debug)]
pub(super) struct Fragments<A: PacketPool>(Box<dyn Gather<Packet = A::Packet>>);

impl<A: PacketPool> Fragments<A> {
    pub(super) fn new(table: Box<dyn Gather<Packet = A::Packet>>) -> Self {
        Self(table)
    }

    /// Takes one fragment, a whole frame for us; what it completes goes back to the data path.
    pub(super) fn take(&mut self, mut frame: A::Packet, hands: &Hands<'_, A>, now_ms: u64) {
        let (fragment, end) = match read(frame.data()) {
            Ok(read) => read,
            Err(reason) => return hands.counters.drop_packet(reason, frame),
        };
        frame.truncate(end);
        let gathered = self.0.add(frame, &fragment, now_ms);
        count(gathered.given_up, hands.counters);
        if let Some((whole, fragments)) = gathered.whole {
            give_back(&whole, fragments, hands);
        }
    }

    /// Gives up what has waited for long enough; at `u64::MAX`, all.
    pub(super) fn expire(&mut self, counters: &Counters, now_ms: u64) {
        let timeout = self.0.expire(now_ms);
        count(GivenUp { timeout, ..GivenUp::default() }, counters);
    }
}

/// The packets are freed already.
fn count(given_up: GivenUp, counters: &Counters) {
    let GivenUp { timeout, overlap, bound } = given_up;
    for (reason, fragments) in [
        (DropReason::FragmentTimeout, timeout),
        (DropReason::FragmentOverlap, overlap),
        (DropReason::FragmentBound, bound),
    ] {
        if fragments > 0 {
            counters.count_drop(reason, fragments);
        }
    }
}

/// The parts end here; a copy in one piece goes on, to be classified like a frame that has just come.
fn give_back<A: PacketPool>(whole: &A::Packet, fragments: u64, hands: &Hands<'_, A>) {
    let Some(mut copy) = hands.shared.pool.copy_of(whole) else {
        return hands.counters.count_drop(DropReason::NotPlain, fragments);
    };
    hands.counters.count_drop(DropReason::FragmentJoined, fragments);
    if let Some(ip) = copy.data_mut().get_mut(ethernet::HEADER_LEN..)
        && ip.first().is_some_and(|v| v >> 4 == 4)
    {
        ipv4::write_checksum(ip);
    }
    // Whatever the NIC said, it said of parts.
    copy.meta_mut().nic = 0;
    let port = copy.meta().port;
    hands.receive(port, copy);
}

/// A fragment's place, and where its packet ends in the frame.
fn read(frame: &[u8]) -> Result<(Fragment, usize), DropReason> {
    let frame = EthernetFrame::new_checked(frame).map_err(|_| DropReason::Runt)?;
    let (fragment, protocol) = match frame.ether_type() {
        EtherType::IPV4 => of_ipv4(frame.payload())?,
        _ => of_ipv6(frame.payload())?,
    };
    if protocol != protocol::UDP {
        return Err(DropReason::OuterFragment);
    }
    let Fragment { header_len, offset, len, more, .. } = fragment;
    let least = if offset == 0 { LEAST_FIRST } else { 1 };
    let hides = offset != 0 && offset < LEAST_FIRST;
    if len < least || hides || more && !len.is_multiple_of(UNIT) {
        return Err(DropReason::FragmentTiny);
    }
    if header_len + offset + len > LONGEST {
        return Err(DropReason::BadIpHeader);
    }
    Ok((fragment, frame.header_len() + header_len + len))
}

fn of_ipv4(bytes: &[u8]) -> Result<(Fragment, u8), DropReason> {
    let ip = Ipv4Packet::new_checked(bytes).map_err(|_| DropReason::BadIpHeader)?;
    let fragment = Fragment {
        is_ipv6: false,
        addresses: [ip.source().into(), ip.destination().into()].map(|a: IpAddr| crate::peer::map_address(a)),
        identification: ip.identification().into(),
        header_len: ip.header_len(),
        offset: ip.fragment_offset(),
        len: ip.total_len() - ip.header_len(),
        more: ip.more_fragments(),
    };
    Ok((fragment, ip.protocol()))
}

/// The fragment header has to stand right behind the fixed one, and UDP's in it: no client has reason to send others, and the library
/// knows no others.
fn of_ipv6(bytes: &[u8]) -> Result<(Fragment, u8), DropReason> {
    let ip = Ipv6Packet::new_checked(bytes).map_err(|_| DropReason::BadIpHeader)?;
    let upper = ip.upper_layer().map_err(|_| DropReason::BadIpHeader)?;
    let header_len = ipv6::HEADER_LEN + FRAGMENT_HEADER;
    let (Some(header), true) = (upper.fragment, ip.next_header() == protocol::FRAGMENT) else {
        return Err(DropReason::OuterFragment);
    };
    let fragment = Fragment {
        is_ipv6: true,
        addresses: [ip.source(), ip.destination()].map(|a| a.octets()),
        identification: header.identification,
        header_len,
        offset: header.offset,
        len: ip.total_len().saturating_sub(header_len),
        more: header.more,
    };
    let next_header = ip.payload().first().copied().unwrap_or(protocol::NO_NEXT_HEADER);
    Ok((fragment, next_header))
}

#[cfg(test)]
#[path = "fragments_tests.rs"]
mod tests;
