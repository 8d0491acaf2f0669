//! What comes out of [`Neighbours`](super::Neighbours), and what it needs from outside.

use crate::wire::{MacAddr, ethernet, ndp};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// Without its checksum no frame is shorter (IEEE 802.3 4.4.2).
pub(super) const FRAME_MIN: usize = 60;
/// The longest frame made here: an advertisement.
pub(super) const FRAME_MAX: usize = ethernet::HEADER_LEN + ndp::LEN;

/// A frame to send: untagged (whoever sends it puts the port's 802.1Q tag in), padded to 60 bytes.
pub type NeighbourFrame = ArrayVec<u8, FRAME_MAX>;

/// What the control thread has to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<P> {
    /// Send a frame.
    Send {
        /// By this port.
        port: u16,
        /// The whole frame.
        frame: NeighbourFrame,
    },
    /// A neighbour's MAC address is known, or is another than before.
    Resolved {
        /// Its port.
        port: u16,
        /// Its address.
        addr: IpAddr,
        /// Its MAC address.
        mac: MacAddr,
    },
    /// A neighbour that was resolved is so no more.
    Removed {
        /// Its port.
        port: u16,
        /// Its address.
        addr: IpAddr,
    },
    /// A packet that waited can go, to this MAC address.
    Deliver {
        /// By this port.
        port: u16,
        /// To this neighbour.
        addr: IpAddr,
        /// Its MAC address.
        mac: MacAddr,
        /// The packet.
        packet: P,
    },
    /// A packet cannot go: count it by its reason, tell its sender if that is due, and free it.
    Drop {
        /// The port of the neighbour.
        port: u16,
        /// The neighbour.
        addr: IpAddr,
        /// Why.
        reason: WaitError,
        /// The packet.
        packet: P,
    },
    /// Another station uses one of our addresses; told at most every 10 s a port. For the log.
    Conflict {
        /// Where.
        port: u16,
        /// Our address.
        addr: IpAddr,
        /// The other station.
        mac: MacAddr,
    },
}

/// Why a packet cannot wait, or waited in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The neighbour does not answer: drop reason `neighbour_failed`.
    #[error("the neighbour does not answer")]
    Failed,
    /// Too many packets wait, for this neighbour or in all: drop reason `stage_full`.
    #[error("too many packets wait")]
    Full,
}

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It can be sent to.
    Resolved(MacAddr),
    /// It was asked.
    Pending,
    /// It did not answer, or the port has no address to ask from.
    Failed,
}

/// How many packets may wait, over all neighbours and whoever else shares it.
pub trait Budget: Send {
    /// Takes room for one packet; `false` if there is none.
    fn try_take(&self) -> bool;
    /// Gives the room of one packet back.
    fn give_back(&self);
}
