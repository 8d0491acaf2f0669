//! What the stages note about a packet, beside its link in the mbuf's private area.

/// What a queued packet is, for the stage that takes it from its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What came from a port. In a peer's queues: data. In a control thread's queue: the whole frame.
    #[default]
    Data = 0,
    /// A keepalive that culvert makes itself: no bytes.
    Keepalive,
    /// A keepalive that only confirms a new session: not sent when data goes first.
    Confirm,
    /// To an I/O core: a whole frame for `port`.
    Transmit,
    /// To an I/O core: an IP packet of ours, to be forwarded like one that came from a tunnel.
    Route,
    /// To an I/O core: a whole frame for us that was gathered from fragments, as if `port` had received it.
    Gathered,
    /// To the control thread: a whole frame from an outer port that holds a fragment.
    Fragment,
    /// To the control thread: an IP packet from a tunnel to one of our own addresses.
    Local,
    /// To the control thread: an IP packet behind 14 free bytes, whose inner next hop is not resolved.
    AskInner,
    /// To the control thread: the same on the outer side.
    AskOuter,
    /// To the control thread: an IP packet that goes no further, for the reason in `verdict`; its sender is to be told.
    Undeliverable,
}

/// The notes: plain values, valid from the stage that writes them to the one that reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Meta {
    /// Outer source address (IPv4 as v4-mapped IPv6). classify: w, release: r
    pub source: [u8; 16],
    /// Receiver counter of a data message. decap: w, release: r
    pub counter: u64,
    /// Receiver index of a data message. classify: w, decap and release: r
    pub receiver: u32,
    /// Serial number of the keypair that opened it, so that a reused index is never taken for it. decap: w, release: r
    pub keypair_serial: u32,
    /// Outer source port. classify: w, release: r
    pub source_port: u16,
    /// Which of our own addresses on `port` was asked. classify: w, release: r
    pub local_address: u16,
    /// Which UDP port of ours was asked. classify: w, release: r
    pub local_port: u16,
    /// Where the sealed part of an outgoing message begins, bytes from the start. encap: w, cipher: r
    pub sealed_at: u16,
    /// The port (device) that it came in by; of what was inside a tunnel, [`Meta::TUNNEL`]. rx: w, release: w
    pub port: u16,
    /// What the NIC and its driver did and found: [`Meta::VLAN_STRIPPED`] and the VLAN's id of the 802.1Q tag that they took off, if
    /// they did, [`Meta::checksum`] above it, and whether it is traced above that. rx: w, classify: rw, all: r
    pub nic: u16,
    /// What it is.
    pub kind: Kind,
    /// The stage's verdict: 0 is good, else a drop reason.
    pub verdict: u8,
    /// TOS or traffic class byte of the outer header. classify: w, release: r
    pub outer_tos: u8,
    /// The interface that listens on `local_port`. classify: w, handshake threads and release: r
    pub tunnel: u8,
}

impl Meta {
    /// In [`Meta::port`]: it came out of a tunnel.
    pub const TUNNEL: u16 = u16::MAX;
    /// Says in [`Meta::nic`] that there was a tag, even one of id 0.
    pub const VLAN_STRIPPED: u16 = 0x1000;
    /// In [`Meta::nic`] the checksums' two bits begin here.
    pub const CHECKSUM_SHIFT: u32 = 13;
    const TRACED: u16 = 0x8000;
    const VLAN: u16 = Self::VLAN_STRIPPED | 0x0fff;

    /// The tag that was taken off, with [`Meta::VLAN_STRIPPED`]; 0: there was none.
    #[inline]
    pub fn vlan(&self) -> u16 {
        self.nic & Self::VLAN
    }

    /// The same, and from then on there was none.
    #[inline]
    pub fn take_vlan(&mut self) -> u16 {
        let vlan = self.vlan();
        self.nic &= !Self::VLAN;
        vlan
    }

    /// Whether the NIC found the checksums good (1), bad (2), or did not look (0).
    #[inline]
    pub fn checksum(&self) -> u16 {
        (self.nic & !Self::TRACED) >> Self::CHECKSUM_SHIFT
    }

    /// Whether somebody follows its way.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.nic & Self::TRACED != 0
    }

    /// From now on somebody does.
    #[inline]
    pub fn set_traced(&mut self) {
        self.nic |= Self::TRACED;
    }
}

// With the link, and what that knows of later links, it fills one cache line of the private area.
const _: () = assert!(size_of::<Meta>() <= 48);
