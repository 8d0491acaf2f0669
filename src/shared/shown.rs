//! What the bytes of a dropped packet are: each stage cuts packets to what the next one takes, so that depends on how far it came.

use super::DropReason;
use crate::frame::Packet;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Packet, ethernet, ipv4, ipv6, udp, wireguard::Message};

/// What stands first in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An Ethernet header.
    Frame,
    /// An IP header.
    Inner,
    /// Neither.
    Other,
}

/// What a packet is that is dropped for `reason`. A WireGuard message that was cut out of its frame gets its headers back, where they
/// still stand before it.
#[cold]
pub(super) fn form<P: Packet>(reason: DropReason, packet: &mut P) -> Form {
    if is_of_frames(reason) {
        return Form::Frame;
    }
    let data = packet.data();
    if is_ip(data) {
        Form::Inner
    } else if is_frame(data) || is_whole_message(packet) {
        Form::Frame
    } else {
        Form::Other
    }
}

/// Whether it is a WireGuard message; one that was cut out of its frame gets its headers back.
#[cold]
pub(super) fn is_whole_message<P: Packet>(packet: &mut P) -> bool {
    Message::parse(packet.data()).is_ok() && uncut(packet)
}

/// Whether only whole frames are dropped for it.
fn is_of_frames(reason: DropReason) -> bool {
    use DropReason::{
        BadIpChecksum, BadIpHeader, BadMessage, BadUdp, BadUdpChecksum, EtherType, ForeignMbuf, NotForUs, NotOurMac,
        NotPlain, OuterFragment, Runt, Vlan,
    };
    let early = [ForeignMbuf, NotPlain, Vlan, Runt, NotOurMac, EtherType, BadIpHeader, BadIpChecksum];
    let later = [OuterFragment, BadUdp, BadUdpChecksum, BadMessage, NotForUs];
    early.contains(&reason) || later.contains(&reason)
}

/// An IP packet, and nothing before or behind it.
fn is_ip(data: &[u8]) -> bool {
    Ipv4Packet::new_checked(data).is_ok_and(|ip| ip.total_len() == data.len())
        || Ipv6Packet::new_checked(data).is_ok_and(|ip| ip.total_len() == data.len())
}

fn is_frame(data: &[u8]) -> bool {
    EthernetFrame::new_checked(data).is_ok_and(|frame| match frame.ether_type() {
        EtherType::IPV4 => Ipv4Packet::new_checked(frame.payload()).is_ok(),
        EtherType::IPV6 => Ipv6Packet::new_checked(frame.payload()).is_ok(),
        other => other == EtherType::ARP,
    })
}

/// Puts back the Ethernet, IP and UDP headers that classify cut off; `false`: they are not there, nothing changed.
fn uncut<P: Packet>(packet: &mut P) -> bool {
    let message = packet.data().len();
    for ip in [ipv4::HEADER_LEN, ipv6::HEADER_LEN] {
        let headers = ethernet::HEADER_LEN + ip + udp::HEADER_LEN;
        if packet.prepend(headers).is_none() {
            return false;
        }
        let udp_len = packet.data().get(headers - udp::HEADER_LEN + 4..).and_then(|at| at.first_chunk());
        let same = udp_len.is_some_and(|len| usize::from(u16::from_be_bytes(*len)) == udp::HEADER_LEN + message);
        if same && is_frame(packet.data()) {
            return true;
        }
        // It was just put there.
        let _always = packet.trim_front(headers);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::heap::{HeapPacket, HeapPool};
    use crate::frame::{Frame, PacketPool};

    fn packet(bytes: &[u8]) -> HeapPacket {
        let mut packet = HeapPool::new(1).alloc().unwrap();
        packet.append(bytes.len()).unwrap().copy_from_slice(bytes);
        packet
    }

    /// A frame with a WireGuard data message of 32 bytes.
    fn message() -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0]);
        frame.extend([0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend([0, 9, 0, 9, 0, 40, 0, 0]);
        frame.extend([4, 0, 0, 0]);
        frame.extend([7; 28]);
        frame
    }

    #[test]
    fn a_packet_is_known_however_far_it_came() {
        let frame = message();
        assert_eq!(form(DropReason::UnknownIndex, &mut packet(&frame)), Form::Frame);
        assert_eq!(form(DropReason::QueueFull, &mut packet(&frame[14..])), Form::Inner);
        assert_eq!(form(DropReason::Runt, &mut packet(&frame[..5])), Form::Frame);
        assert_eq!(form(DropReason::BadInner, &mut packet(b"what nobody knows")), Form::Other);
        assert_eq!(form(DropReason::Keepalive, &mut packet(&[])), Form::Other);
    }

    #[test]
    fn a_message_gets_its_headers_back_where_they_are() {
        let frame = message();
        let mut cut = packet(&frame);
        cut.trim_front(42).unwrap();
        assert_eq!(form(DropReason::AuthFailed, &mut cut), Form::Frame);
        assert_eq!(cut.data(), frame);

        let mut alone = packet(&frame[42..]);
        assert_eq!(form(DropReason::AuthFailed, &mut alone), Form::Other);
        assert_eq!(alone.data(), &frame[42..]);
    }
}
