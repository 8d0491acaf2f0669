//! Neighbour discovery for IPv6 over Ethernet: solicitation and advertisement (RFC 4861 4.3, 4.4, 7.1).

use super::{
    bytes::{field, set_field},
    ethernet::MacAddr,
    icmpv6::{self, Icmpv6Error, Icmpv6Message},
    ipv6::{self, Ipv6Header, Ipv6Packet},
    protocol,
};
use std::net::Ipv6Addr;
use thiserror::Error;

/// Bytes of the IPv6 packets that are built here: header, message, one link-layer address option.
pub const LEN: usize = ipv6::HEADER_LEN + MESSAGE_LEN + MAC_OPTION_LEN;

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const MESSAGE_LEN: usize = icmpv6::HEADER_LEN + 16;
const MAC_OPTION_LEN: usize = 8;
/// A message that crossed no router has it still.
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Why a packet is no valid solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NdpError {
    /// Not a whole ICMPv6 message with a right checksum.
    #[error(transparent)]
    Icmpv6(#[from] Icmpv6Error),
    /// ICMPv6 of another type.
    #[error("ICMPv6 type {0} is neither a solicitation nor an advertisement")]
    Type(u8),
    /// The code is not 0.
    #[error("the code is not 0")]
    Code,
    /// The hop limit is not 255: it may come from behind a router.
    #[error("the hop limit is not 255")]
    HopLimit,
    /// It has a fragment header (RFC 6980 5).
    #[error("it has a fragment header")]
    Fragmented,
    /// Shorter than 24 bytes.
    #[error("shorter than the message")]
    Truncated,
    /// The target is a group.
    #[error("the target is a multicast address")]
    Target,
    /// An option has length 0, is cut off, or has no place for its MAC address.
    #[error("a broken option")]
    Option,
    /// The source is a group; or it is unspecified, in an advertisement, or with a source MAC address, or to another than
    /// a solicited-node address.
    #[error("the source address is a group, or unspecified where it may not be")]
    Source,
    /// A solicited advertisement to a group.
    #[error("a solicited advertisement to a multicast address")]
    Solicited,
    /// A MAC address that no station can have.
    #[error("the MAC address is a group or zero")]
    Mac,
}

/// A valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ndp {
    /// Asks for the MAC address of the target.
    Solicitation(Solicitation),
    /// Tells it.
    Advertisement(Advertisement),
}

/// A neighbour solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified while it looks for a duplicate of its own address.
    pub source: Ipv6Addr,
    /// The target itself, or its solicited-node address.
    pub destination: Ipv6Addr,
    /// Whose MAC address is wanted.
    pub target: Ipv6Addr,
    /// The asking station's MAC address.
    pub source_mac: Option<MacAddr>,
}

/// A neighbour advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who tells.
    pub source: Ipv6Addr,
    /// Who asked, or all nodes.
    pub destination: Ipv6Addr,
    /// Whose MAC address it is.
    pub target: Ipv6Addr,
    /// The MAC address.
    pub target_mac: Option<MacAddr>,
    /// Whether the sender is a router.
    pub is_router: bool,
    /// Whether it answers a solicitation.
    pub is_solicited: bool,
    /// Whether it replaces what a neighbour knows.
    pub is_override: bool,
}

impl Ndp {
    /// Makes all the checks of RFC 4861 7.1.1 and 7.1.2.
    pub fn new_checked(packet: &Ipv6Packet<'_>) -> Result<Self, NdpError> {
        let message = Icmpv6Message::new_checked(packet)?;
        let message_type = message.message_type();
        if message_type != SOLICITATION && message_type != ADVERTISEMENT {
            return Err(NdpError::Type(message_type));
        }
        if packet.hop_limit() != HOP_LIMIT {
            return Err(NdpError::HopLimit);
        }
        if message.code() != 0 {
            return Err(NdpError::Code);
        }
        if packet.upper_layer().is_ok_and(|upper| upper.fragment.is_some()) {
            return Err(NdpError::Fragmented);
        }
        let (target, options) = message.body().split_first_chunk::<16>().ok_or(NdpError::Truncated)?;
        let target = Ipv6Addr::from(*target);
        if target.is_multicast() {
            return Err(NdpError::Target);
        }
        let (source, destination) = (packet.source(), packet.destination());
        if source.is_multicast() || source.is_unspecified() && message_type == ADVERTISEMENT {
            return Err(NdpError::Source);
        }
        if message_type == SOLICITATION {
            let source_mac = mac_option(options, SOURCE_MAC)?;
            let solicitation = Solicitation { source, destination, target, source_mac };
            return solicitation.check().map(Self::Solicitation);
        }
        let flags = message.rest()[0];
        let advertisement = Advertisement {
            source,
            destination,
            target,
            target_mac: mac_option(options, TARGET_MAC)?,
            is_router: flags & ROUTER != 0,
            is_solicited: flags & SOLICITED != 0,
            is_override: flags & OVERRIDE != 0,
        };
        if advertisement.is_solicited && destination.is_multicast() {
            return Err(NdpError::Solicited);
        }
        Ok(Self::Advertisement(advertisement))
    }
}

/// The MAC address in the last option of `kind`; unknown options are skipped, all must be well-formed.
fn mac_option(mut options: &[u8], kind: u8) -> Result<Option<MacAddr>, NdpError> {
    let mut found = None;
    while let [option_kind, units, ..] = *options {
        let len = usize::from(units) * 8;
        if len == 0 {
            return Err(NdpError::Option);
        }
        let (option, rest) = options.split_at_checked(len).ok_or(NdpError::Option)?;
        if option_kind == kind {
            let option = <&[u8; MAC_OPTION_LEN]>::try_from(option).map_err(|_| NdpError::Option)?;
            let mac = MacAddr(*field::<2, 6, _>(option));
            if !mac.is_unicast() {
                return Err(NdpError::Mac);
            }
            found = Some(mac);
        }
        options = rest;
    }
    if options.is_empty() { Ok(found) } else { Err(NdpError::Option) }
}

impl Solicitation {
    /// Asks the whole link for the MAC address of `target`.
    pub fn multicast(source: Ipv6Addr, source_mac: MacAddr, target: Ipv6Addr) -> Self {
        let destination = solicited_node(target);
        Self { source, destination, target, source_mac: Some(source_mac) }
    }

    /// Asks `target` whether it is still there (RFC 4861 7.3.3).
    pub fn unicast(source: Ipv6Addr, source_mac: MacAddr, target: Ipv6Addr) -> Self {
        Self { source, destination: target, target, source_mac: Some(source_mac) }
    }

    /// Whether it looks for a duplicate address (RFC 4862 5.4.3): who has the target answers to all nodes.
    pub fn is_duplicate_detection(&self) -> bool {
        self.source.is_unspecified()
    }

    /// The answer from `mac`, with the target as its source: to the asking node, or, if it looks for a duplicate, to all
    /// nodes. `is_override` is false for proxies and anycast (RFC 4861 7.2.4).
    #[must_use]
    pub fn reply(&self, mac: MacAddr, is_router: bool, is_override: bool) -> Advertisement {
        let is_solicited = !self.is_duplicate_detection();
        Advertisement {
            source: self.target,
            destination: if is_solicited { self.source } else { ALL_NODES },
            target: self.target,
            target_mac: Some(mac),
            is_router,
            is_solicited,
            is_override,
        }
    }

    /// Writes the IPv6 packet and returns its length: 64 bytes without a MAC address, else 72.
    pub fn write(&self, out: &mut [u8; LEN]) -> usize {
        let option = self.source_mac.map(|mac| (SOURCE_MAC, mac));
        write((self.source, self.destination), SOLICITATION, 0, self.target, option, out)
    }

    fn check(self) -> Result<Self, NdpError> {
        let is_to_group = self.destination == solicited_node(self.destination);
        if self.source.is_unspecified() && (self.source_mac.is_some() || !is_to_group) {
            return Err(NdpError::Source);
        }
        Ok(self)
    }
}

impl Advertisement {
    /// Writes the IPv6 packet and returns its length: 64 bytes without a MAC address, else 72.
    pub fn write(&self, out: &mut [u8; LEN]) -> usize {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags =
            flag(self.is_router, ROUTER) | flag(self.is_solicited, SOLICITED) | flag(self.is_override, OVERRIDE);
        let option = self.target_mac.map(|mac| (TARGET_MAC, mac));
        write((self.source, self.destination), ADVERTISEMENT, flags, self.target, option, out)
    }
}

fn write(
    (source, destination): (Ipv6Addr, Ipv6Addr),
    message_type: u8,
    flags: u8,
    target: Ipv6Addr,
    option: Option<(u8, MacAddr)>,
    out: &mut [u8; LEN],
) -> usize {
    const OPTION: usize = ipv6::HEADER_LEN + MESSAGE_LEN;
    let (len, payload_len) = match option {
        Some(_) => (LEN, 32),
        None => (OPTION, 24),
    };
    if let Some(header) = out.first_chunk_mut() {
        let next_header = protocol::ICMPV6;
        Ipv6Header {
            traffic_class: 0,
            flow_label: 0,
            payload_len,
            next_header,
            hop_limit: HOP_LIMIT,
            source,
            destination,
        }
        .write(header);
    }
    set_field::<40, 8, _>(out, [message_type, 0, 0, 0, flags, 0, 0, 0]);
    set_field::<48, 16, _>(out, target.octets());
    if let Some((kind, MacAddr([a, b, c, d, e, f]))) = option {
        set_field::<OPTION, 8, _>(out, [kind, 1, a, b, c, d, e, f]);
    }
    let message = out.get(ipv6::HEADER_LEN..len).unwrap_or_default();
    let sum = icmpv6::sum(source, destination, message).unwrap_or_default().checksum();
    set_field::<42, 2, _>(out, sum.to_be_bytes());
    len
}

/// The group that a node with `address` listens to (RFC 4291 2.7.1). A solicited-node address gives itself.
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Where [`solicited_node`] of an address is sent to on Ethernet.
pub const fn solicited_node_mac(address: Ipv6Addr) -> MacAddr {
    MacAddr::of_ipv6_multicast(solicited_node(address))
}

#[cfg(test)]
#[path = "ndp_tests.rs"]
mod tests;
