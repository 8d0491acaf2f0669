//! Ethernet II frames, with at most one 802.1Q tag seen.

use super::bytes::{be16, field, set_field};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use thiserror::Error;

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;

/// Bytes that an 802.1Q tag adds.
pub const VLAN_TAG_LEN: usize = 4;

/// Bytes of a header with a tag.
pub const TAGGED_HEADER_LEN: usize = HEADER_LEN + VLAN_TAG_LEN;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// No station: what ARP requests ask with.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether it names a group (the broadcast address does).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it is the broadcast address.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether it can be one station's: not a group, not zero.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }

    /// Where an IPv4 multicast address is sent to (RFC 1112 6.4).
    pub const fn of_ipv4_multicast(address: Ipv4Addr) -> Self {
        let [_, b, c, d] = address.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// Where an IPv6 multicast address is sent to (RFC 2464 7).
    pub const fn of_ipv6_multicast(address: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = address.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a MAC address: six pairs of hexadecimal digits, with ':' or '-' between them, are wanted")]
pub struct MacAddrError;

impl FromStr for MacAddr {
    type Err = MacAddrError;

    /// Six pairs of hexadecimal digits, all separated by `:` or all by `-`.
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut parts = text.split(separator);
        let mut octets = [0; 6];
        for octet in &mut octets {
            let part = parts.next().ok_or(MacAddrError)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacAddrError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacAddrError)?;
        }
        parts.next().is_none().then_some(Self(octets)).ok_or(MacAddrError)
    }
}

/// What a frame carries. Values below 0x0600 are lengths of IEEE 802.3 frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// An 802.1Q tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EthernetError {
    /// The header, or the tag that it announces, is cut off.
    #[error("the frame ends inside its header")]
    Truncated,
}

/// A frame whose header is whole.
#[derive(Clone, Copy, Debug)]
pub struct EthernetFrame<'a> {
    header: &'a [u8; HEADER_LEN],
    ether_type: EtherType,
    vlan_id: u16,
    header_len: usize,
    payload: &'a [u8],
}

impl<'a> EthernetFrame<'a> {
    /// Looks at one 802.1Q tag. Of a frame with two, the inner one stays as ether type [`EtherType::VLAN`].
    #[inline]
    pub fn new_checked(frame: &'a [u8]) -> Result<Self, EthernetError> {
        let (header, payload) = frame.split_first_chunk().ok_or(EthernetError::Truncated)?;
        let ether_type = EtherType(be16::<12, HEADER_LEN>(header));
        if ether_type != EtherType::VLAN {
            return Ok(Self { header, ether_type, vlan_id: 0, header_len: HEADER_LEN, payload });
        }
        let (tag, payload) = payload.split_first_chunk::<VLAN_TAG_LEN>().ok_or(EthernetError::Truncated)?;
        let vlan_id = be16::<0, VLAN_TAG_LEN>(tag) & 0x0fff;
        let ether_type = EtherType(be16::<2, VLAN_TAG_LEN>(tag));
        Ok(Self { header, ether_type, vlan_id, header_len: TAGGED_HEADER_LEN, payload })
    }

    /// Where it goes to.
    #[inline]
    pub fn destination(&self) -> MacAddr {
        MacAddr(*field::<0, 6, _>(self.header))
    }

    /// Where it comes from.
    #[inline]
    pub fn source(&self) -> MacAddr {
        MacAddr(*field::<6, 6, _>(self.header))
    }

    /// What it carries, behind the tag if there is one.
    #[inline]
    pub fn ether_type(&self) -> EtherType {
        self.ether_type
    }

    /// Its VLAN; 0 if it is untagged, or tagged for priority only (IEEE 802.1Q 9.6).
    #[inline]
    pub fn vlan_id(&self) -> u16 {
        self.vlan_id
    }

    /// 14, or 18 with a tag.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// What follows the header, padding included.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Writes an untagged header.
#[inline]
pub fn write_header(out: &mut [u8; HEADER_LEN], destination: MacAddr, source: MacAddr, ether_type: EtherType) {
    set_field::<0, 6, _>(out, destination.0);
    set_field::<6, 6, _>(out, source.0);
    set_field::<12, 2, _>(out, ether_type.0.to_be_bytes());
}

/// Writes a header with an 802.1Q tag of priority 0; `vlan_id` above 4095 is cut to its low 12 bits.
#[inline]
pub fn write_tagged_header(
    out: &mut [u8; TAGGED_HEADER_LEN],
    destination: MacAddr,
    source: MacAddr,
    vlan_id: u16,
    ether_type: EtherType,
) {
    set_field::<0, 6, _>(out, destination.0);
    set_field::<6, 6, _>(out, source.0);
    set_field::<12, 2, _>(out, EtherType::VLAN.0.to_be_bytes());
    set_field::<14, 2, _>(out, (vlan_id & 0x0fff).to_be_bytes());
    set_field::<16, 2, _>(out, ether_type.0.to_be_bytes());
}

#[cfg(test)]
#[path = "ethernet_tests.rs"]
mod tests;
