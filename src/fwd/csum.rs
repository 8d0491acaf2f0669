//! `csum`: checks the checksums of IPv4, UDP and TCP, and puts the right ones in; addresses of Ethernet's as `mac`.

use super::packet::set_addresses;
use super::stream::{Ends, Forward, Queues};
use crate::frame::Frame;
use crate::wire::checksum::Sum;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, ipv4, protocol};

pub(super) struct Csum;

impl<E: Ends> Forward<E> for Csum {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.receive();
        let (source, peer) = (queues.way.source, queues.way.peer);
        let (mut bad_ip, mut bad_l4) = (0, 0);
        for packet in &mut queues.burst {
            let mended = mend(packet.data_mut());
            bad_ip += u64::from(mended.ip);
            bad_l4 += u64::from(mended.l4);
            set_addresses(packet.data_mut(), peer, source);
        }
        queues.counts.bad_ip.add(bad_ip);
        queues.counts.bad_l4.add(bad_l4);
        queues.send();
        count
    }
}

/// What was wrong with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    pub(super) ip: bool,
    pub(super) l4: bool,
}

/// Puts right what is wrong with a frame's checksums; fragments keep those of their datagram.
pub(super) fn mend(frame: &mut [u8]) -> Mended {
    let mut mended = Mended::default();
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return mended };
    let (kind, at) = (ethernet.ether_type(), ethernet.header_len());
    let Some(packet) = frame.get_mut(at..) else { return mended };
    match kind {
        EtherType::IPV4 => {
            let Ok(ip) = Ipv4Packet::new_checked(packet) else { return mended };
            mended.ip = !ip.verify_checksum();
            let len = u16::try_from(ip.payload().len()).unwrap_or(u16::MAX);
            let (whole, protocol, range) = (!ip.is_fragment(), ip.protocol(), ip.payload_range());
            let sum = Sum::new().pseudo_v4(ip.source(), ip.destination(), protocol, len);
            if mended.ip {
                ipv4::write_checksum(packet);
            }
            let l4 = packet.get_mut(range).filter(|_| whole);
            mended.l4 = l4.is_some_and(|l4| mend_l4(l4, protocol, sum, true));
        }
        EtherType::IPV6 => {
            let Ok(ip) = Ipv6Packet::new_checked(packet) else { return mended };
            let (protocol, range) = (ip.next_header(), ip.payload_range());
            let len = u32::try_from(range.len()).unwrap_or(u32::MAX);
            let sum = Sum::new().pseudo_v6(ip.source(), ip.destination(), protocol, len);
            mended.l4 = packet.get_mut(range).is_some_and(|l4| mend_l4(l4, protocol, sum, false));
        }
        _ => {}
    }
    mended
}

/// `sum`: that of the pseudo-header. Returns whether it was wrong.
fn mend_l4(l4: &mut [u8], protocol: u8, sum: Sum, may_be_none: bool) -> bool {
    let at = match protocol {
        protocol::UDP => 6,
        protocol::TCP => 16,
        _ => return false,
    };
    let Some(field) = l4.get(at..at + 2) else { return false };
    let none = protocol == protocol::UDP && may_be_none && field == [0, 0];
    if none || sum.bytes(l4).is_valid() {
        return false;
    }
    let Some(field) = l4.get_mut(at..at + 2) else { return false };
    field.fill(0);
    let right = match sum.bytes(l4).checksum() {
        // Over UDP zero means that there is none (RFC 768).
        0 if protocol == protocol::UDP => u16::MAX,
        right => right,
    };
    if let Some(field) = l4.get_mut(at..at + 2) {
        field.copy_from_slice(&right.to_be_bytes());
    }
    true
}
