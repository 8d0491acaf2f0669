//! Why a packet went no further. One list, for the data path and the control threads, the CLI and the metrics.

macro_rules! drop_reasons {
    ($($variant:ident $name:literal $hint:literal,)*) => {
        /// Why a packet was dropped. The number is the index of its counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $hint] $variant,)*
        }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that people and dashboards see.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means and what mends it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

drop_reasons! {
    // rx
    ForeignMbuf "foreign_mbuf" "an mbuf of an unknown pool that could not be copied: the pool is empty",
    NotPlain "not_plain" "a chained or shared mbuf that could not be copied: the pool is empty, or the frame is larger than an mbuf",
    Vlan "vlan" "a VLAN tag on a port without `vlan`, or one that is not the port's, or none where the port has one",
    // classify
    Runt "runt" "shorter than its headers",
    NotOurMac "not_our_mac" "the Ethernet destination is neither ours, nor broadcast, nor multicast",
    EtherType "ether_type" "neither IPv4, IPv6 nor ARP",
    BadIpHeader "bad_ip_header" "an IPv4 or IPv6 header that contradicts itself or the frame",
    BadIpChecksum "bad_ip_checksum" "an IPv4 header checksum that is wrong: switch checksum offload off on a virtual peer",
    OuterFragment "outer_fragment" "an outer fragment of no UDP datagram, or of IPv6 with further extension headers",
    BadUdp "bad_udp" "a UDP length that is larger than the packet",
    BadUdpChecksum "bad_udp_checksum" "a UDP checksum that is wrong, or zero over IPv6",
    NotForUs "not_for_us" "on an outer port, for an address or a port that is not ours",
    Multicast "multicast" "to a multicast or broadcast address that nobody here serves",
    TtlExpired "ttl_expired" "the TTL or hop limit ran out here",
    NoPeer "no_peer" "no peer's allowed-ips hold the inner destination",
    PeerGone "peer_gone" "the peer was removed while the packet was under way",
    // WireGuard, as it comes
    BadMessage "bad_message" "to the listen port, but no WireGuard message: type, reserved bytes or length are wrong",
    UnknownIndex "unknown_index" "a data message whose receiver index names no keypair of the interface that it came to",
    ControlFull "control_full" "the control threads are behind",
    HandshakeFull "handshake_full" "the handshake threads are behind",
    // queues
    QueueFull "queue_full" "the peer's queue holds 1,024 packets already: its workers are behind",
    // egress
    StageOverflow "stage_overflow" "128 packets wait for this peer's session already; the oldest made room",
    StageFull "stage_full" "packets that wait for sessions hold an eighth of the pool",
    NoAnswer "no_answer" "the peer answered none of twenty handshake initiations; what waited for its session went",
    NoEndpoint "no_endpoint" "the peer's endpoint is not known: it has to talk first, or be configured",
    TooBig "too_big" "larger than the MTU of the tunnel, or of the port that it would leave by, and it may not be fragmented: its sender is told",
    NoRoom "no_room" "no headroom or tailroom for the outer headers, the port's VLAN tag, or the authentication tag",
    PoolEmpty "pool_empty" "no packet left in the pool for the fragments of one that is larger than the MTU",
    NonceLimit "nonce_limit" "the keypair has sent all that it may",
    NoOuterRoute "no_outer_route" "no route leads to the peer's endpoint",
    KeepaliveElided "keepalive_elided" "a keepalive that was not needed: data confirmed the session, or there is none yet (no error)",
    // ingress
    SessionExpired "session_expired" "the keypair is older than 180 s, or at its message limit",
    AuthFailed "auth_failed" "the tag does not fit: forged, damaged, or sealed with another key",
    Replay "replay" "the counter was seen, or is older than the replay window",
    Keepalive "keepalive" "a keepalive: it has no packet inside (no error)",
    BadInner "bad_inner" "what was inside is no IP packet, or shorter than it says",
    AllowedIpsSource "allowedips_src" "the inner source is not among this peer's allowed-ips",
    NoRoute "no_route" "no inner route leads to the destination",
    // tx
    TxFull "tx_full" "the TX ring refused it again and again: the port is slower than the traffic",
    // control
    BadMac1 "bad_mac1" "a handshake message that was not made for our public key",
    HandshakeRefused "handshake_refused" "a handshake message that did not verify: unknown peer, old timestamp, wrong key or PSK",
    CookieSent "cookie_sent" "handshakes are under load: its sender was told a cookie, and comes through with it at its next try (no error)",
    UnderLoad "under_load" "handshakes are under load, and more cookies were asked for than are given out a second",
    RateLimited "rate_limited" "handshakes are under load, and this source, whose cookie is good, sent more than 20 messages a second",
    NeighbourFailed "neighbour_failed" "the next hop answers neither ARP nor NDP",
    NeighbourQueue "neighbour_queue" "too many packets wait for the next hop's answer",
    ControlDone "control_done" "a message that the control threads have dealt with (no error)",
    ControlUnknown "control_unknown" "nothing that the control threads know how to answer",
    FragmentJoined "fragment_joined" "a fragment that became part of a whole datagram, which went on (no error)",
    FragmentTiny "fragment_tiny" "an outer fragment that hides part of the headers, or is no multiple of eight bytes",
    FragmentOverlap "fragment_overlap" "outer fragments that lie over one another, came twice, or leave holes",
    FragmentTimeout "fragment_timeout" "outer fragments whose others did not come within a second",
    FragmentBound "fragment_bound" "outer fragments beyond the bounds: 8 a datagram, 1,024 datagrams, a sixteenth of the pool, a quarter of the control thread's queue",
}

impl DropReason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The reason behind a verdict in [`crate::frame::Meta`]; `None` for "good".
    pub fn from_verdict(verdict: u8) -> Option<Self> {
        Self::ALL.get(usize::from(verdict).checked_sub(1)?).copied()
    }

    /// The verdict that stands for it in [`crate::frame::Meta`].
    pub fn verdict(self) -> u8 {
        self as u8 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_reasons_are_one_to_one() {
        assert_eq!(DropReason::from_verdict(0), None);
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
            assert_eq!(DropReason::from_verdict(reason.verdict()), Some(*reason));
        }
        assert_eq!(DropReason::from_verdict(u8::MAX), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
    }
}
