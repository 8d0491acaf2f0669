//! Byte views: bytes become types once (`new_checked`, `parse`), then accessors cannot fail.
//!
//! Every function here is total: any bytes give a value or a small error that names what is wrong, never a panic.
//! Nothing allocates, so any thread may call all of it.

pub mod arp;
mod bytes;
pub mod checksum;
pub mod ecn;
pub mod ethernet;
pub mod fragment;
pub mod icmp;
pub mod icmpv6;
pub mod inner;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod patch;
pub mod protocol;
pub mod tcp;
pub mod udp;
pub mod wireguard;

#[cfg(test)]
mod test_packets;

pub use ecn::Ecn;
pub use ethernet::{EtherType, EthernetFrame, MacAddr};
pub use inner::{InnerError, InnerPacket};
pub use ipv4::{Ipv4Error, Ipv4Header, Ipv4Packet};
pub use ipv6::{Ipv6Error, Ipv6Header, Ipv6Packet};
pub use udp::{UdpDatagram, UdpError, UdpHeader};
