//! ARP for IPv4 over Ethernet (RFC 826).

use super::{
    bytes::{be16, field, set_field},
    ethernet::{EtherType, MacAddr},
};
use std::net::Ipv4Addr;
use thiserror::Error;

/// Bytes of a packet.
pub const LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;

/// What an ARP packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Operation {
    /// Asks who has the target IP address.
    Request = 1,
    /// Answers that the sender has the sender IP address.
    Reply = 2,
}

/// Why bytes are no ARP packet for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ArpError {
    /// Fewer than 28 bytes.
    #[error("shorter than an ARP packet")]
    Truncated,
    /// Not for IPv4 over Ethernet.
    #[error("not for IPv4 over Ethernet")]
    AddressKind,
    /// Neither request nor reply.
    #[error("neither a request nor a reply")]
    Operation,
    /// The sender claims a MAC address that no station can have (RFC 1812 3.3.2).
    #[error("the sender's MAC address is a group or zero")]
    SenderMac,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub operation: Operation,
    /// The sender's MAC address.
    pub sender_mac: MacAddr,
    /// The sender's IP address; `0.0.0.0` in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// The target's MAC address; of no meaning in a request.
    pub target_mac: MacAddr,
    /// The target's IP address.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// Reads what follows an Ethernet header; padding may follow.
    pub fn new_checked(payload: &[u8]) -> Result<Self, ArpError> {
        let bytes = payload.first_chunk::<LEN>().ok_or(ArpError::Truncated)?;
        let ipv4_over_ethernet = be16::<0, _>(bytes) == HARDWARE_ETHERNET
            && be16::<2, _>(bytes) == EtherType::IPV4.0
            && (bytes[4], bytes[5]) == (6, 4);
        if !ipv4_over_ethernet {
            return Err(ArpError::AddressKind);
        }
        let operation = match be16::<6, _>(bytes) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(ArpError::Operation),
        };
        let sender_mac = MacAddr(*field::<8, 6, _>(bytes));
        if !sender_mac.is_unicast() {
            return Err(ArpError::SenderMac);
        }
        Ok(Self {
            operation,
            sender_mac,
            sender_ip: Ipv4Addr::from(*field::<14, 4, _>(bytes)),
            target_mac: MacAddr(*field::<18, 6, _>(bytes)),
            target_ip: Ipv4Addr::from(*field::<24, 4, _>(bytes)),
        })
    }

    /// Asks who has `target_ip`; goes to the broadcast address. With `sender_ip == target_ip` it announces (RFC 5227 2.3).
    pub fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        let target_mac = MacAddr::ZERO;
        Self { operation: Operation::Request, sender_mac, sender_ip, target_mac, target_ip }
    }

    /// Answers this request with our `mac`; goes to the request's sender.
    #[must_use]
    pub fn reply(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Writes what follows an Ethernet header.
    pub fn write(&self, out: &mut [u8; LEN]) {
        set_field::<0, 2, _>(out, HARDWARE_ETHERNET.to_be_bytes());
        set_field::<2, 2, _>(out, EtherType::IPV4.0.to_be_bytes());
        set_field::<4, 2, _>(out, [6, 4]);
        set_field::<6, 2, _>(out, (self.operation as u16).to_be_bytes());
        set_field::<8, 6, _>(out, self.sender_mac.0);
        set_field::<14, 4, _>(out, self.sender_ip.octets());
        set_field::<18, 6, _>(out, self.target_mac.0);
        set_field::<24, 4, _>(out, self.target_ip.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Who has 10.0.0.2? Tell 10.0.0.1.
    const REQUEST: [u8; LEN] = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];
    /// 10.0.0.2 is at 02:00:00:00:00:02.
    const REPLY: [u8; LEN] = [0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1];
    const MAC1: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const MAC2: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    #[test]
    fn known_exchange() {
        let request = ArpPacket::new_checked(&REQUEST).unwrap();
        let (ip1, ip2) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(request, ArpPacket::request(MAC1, ip1, ip2));
        let mut out = [0xa5; LEN];
        request.write(&mut out);
        assert_eq!(out, REQUEST);
        request.reply(MAC2).write(&mut out);
        assert_eq!(out, REPLY);
        let mut padded = REPLY.to_vec();
        padded.resize(46, 0);
        assert_eq!(ArpPacket::new_checked(&padded), Ok(request.reply(MAC2)));
    }

    #[test]
    fn faults_are_named() {
        let with = |at: usize, value: u8| {
            let mut bytes = REQUEST;
            bytes[at] = value;
            ArpPacket::new_checked(&bytes)
        };
        assert_eq!(ArpPacket::new_checked(&REQUEST[..27]), Err(ArpError::Truncated));
        for (at, value) in [(0, 1), (1, 6), (2, 0x86), (3, 6), (4, 8), (5, 16)] {
            assert_eq!(with(at, value), Err(ArpError::AddressKind));
        }
        for value in [0, 3, 8] {
            assert_eq!(with(7, value), Err(ArpError::Operation));
        }
        assert_eq!(with(8, 3), Err(ArpError::SenderMac));
        let mut zero = REQUEST;
        zero[8..14].fill(0);
        assert_eq!(ArpPacket::new_checked(&zero), Err(ArpError::SenderMac));
    }

    proptest! {
        #[test]
        fn what_parses_writes_the_same(
            valid_head: bool,
            mut bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            if let (true, Some(head)) = (valid_head, bytes.first_chunk_mut()) {
                *head = [0, 1, 8, 0, 6, 4, 0, 2];
            }
            if let Ok(packet) = ArpPacket::new_checked(&bytes) {
                let mut out = [0xa5; LEN];
                packet.write(&mut out);
                prop_assert_eq!(&out[..], &bytes[..LEN]);
            }
        }
    }
}
