//! UDP (RFC 768).

use super::{
    bytes::{be16, set_field},
    checksum::Sum,
    protocol,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// Why bytes are no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UdpError {
    /// Fewer than 8 bytes.
    #[error("shorter than a UDP header")]
    Truncated,
    /// The length field is below 8, or beyond the IP payload.
    #[error("the UDP length is below 8 or beyond the IP payload")]
    Length,
}

/// A datagram whose length is right.
#[derive(Clone, Copy, Debug)]
pub struct UdpDatagram<'a> {
    header: &'a [u8; HEADER_LEN],
    /// The datagram, cut to its length.
    bytes: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// Checks the length of an IP payload's datagram, which may be shorter than the payload (the rest is cut off), not the
    /// checksum.
    #[inline]
    pub fn new_checked(ip_payload: &'a [u8]) -> Result<Self, UdpError> {
        let header = ip_payload.first_chunk::<HEADER_LEN>().ok_or(UdpError::Truncated)?;
        let len = usize::from(be16::<4, _>(header));
        if len < HEADER_LEN {
            return Err(UdpError::Length);
        }
        let bytes = ip_payload.get(..len).ok_or(UdpError::Length)?;
        Ok(Self { header, bytes })
    }

    /// The port it comes from.
    #[inline]
    pub fn source_port(&self) -> u16 {
        be16::<0, _>(self.header)
    }

    /// The port it goes to.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        be16::<2, _>(self.header)
    }

    /// The checksum as it stands there; 0: none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16::<6, _>(self.header)
    }

    /// Header and payload.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it carries.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the checksum is right between these addresses, or absent.
    #[inline]
    pub fn verify_v4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let len = be16::<4, _>(self.header);
        self.checksum() == 0
            || Sum::new().pseudo_v4(source, destination, protocol::UDP, len).bytes(self.bytes).is_valid()
    }

    /// Whether the checksum is there (RFC 8200 8.1) and right between these addresses.
    #[inline]
    pub fn verify_v6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        let len = be16::<4, _>(self.header);
        self.checksum() != 0
            && Sum::new().pseudo_v6(source, destination, protocol::UDP, len.into()).bytes(self.bytes).is_valid()
    }
}

/// What culvert says in a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// The port it comes from.
    pub source_port: u16,
    /// The port it goes to.
    pub destination_port: u16,
    /// Bytes of header and payload.
    pub len: u16,
    /// The checksum; 0: none (IPv4 only).
    pub checksum: u16,
}

impl UdpHeader {
    /// The header for `payload`, without checksum; `None` if the payload is too long for a datagram.
    #[inline]
    pub fn new(source_port: u16, destination_port: u16, payload: &[u8]) -> Option<Self> {
        let len = u16::try_from(HEADER_LEN + payload.len()).ok()?;
        Some(Self { source_port, destination_port, len, checksum: 0 })
    }

    /// The same with the checksum between two IPv4 addresses.
    #[inline]
    #[must_use]
    pub fn with_checksum_v4(self, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Self {
        Self { checksum: self.checksum_v4(source, destination, payload), ..self }
    }

    /// The same with the checksum between two IPv6 addresses.
    #[inline]
    #[must_use]
    pub fn with_checksum_v6(self, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Self {
        Self { checksum: self.checksum_v6(source, destination, payload), ..self }
    }

    /// The checksum between two IPv4 addresses: never 0, which means none.
    #[inline]
    pub fn checksum_v4(&self, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> u16 {
        self.checksum_over(Sum::new().pseudo_v4(source, destination, protocol::UDP, self.len), payload)
    }

    /// The checksum between two IPv6 addresses: never 0, which is forbidden.
    #[inline]
    pub fn checksum_v6(&self, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> u16 {
        self.checksum_over(Sum::new().pseudo_v6(source, destination, protocol::UDP, self.len.into()), payload)
    }

    fn checksum_over(&self, pseudo: Sum, payload: &[u8]) -> u16 {
        let sum = pseudo.word(self.source_port).word(self.destination_port).word(self.len).bytes(payload);
        match sum.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// Writes the header.
    #[inline]
    pub fn write(&self, out: &mut [u8; HEADER_LEN]) {
        set_field::<0, 2, _>(out, self.source_port.to_be_bytes());
        set_field::<2, 2, _>(out, self.destination_port.to_be_bytes());
        set_field::<4, 2, _>(out, self.len.to_be_bytes());
        set_field::<6, 2, _>(out, self.checksum.to_be_bytes());
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
