//! `txonly`: makes packets, always the same one, and receives none.

use super::packet::{Between, FRONT, front};
use super::stream::{Ends, Forward, Queues, Way};
use crate::frame::Frame;
use std::net::Ipv4Addr;

/// testpmd's: the benchmarking net's (RFC 2544), to and from the port that discards.
const BETWEEN: Between = Between {
    source: Ipv4Addr::new(198, 18, 0, 1),
    destination: Ipv4Addr::new(198, 18, 0, 2),
    source_port: 9,
    destination_port: 9,
};

pub(super) struct TxOnly {
    front: [u8; FRONT],
    len: usize,
}

impl TxOnly {
    /// Frames of `len` bytes, FCS not among them.
    pub(super) fn new(way: &Way, len: usize) -> Self {
        Self { front: front(way.peer, way.source, &BETWEEN, len), len }
    }
}

impl<E: Ends> Forward<E> for TxOnly {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.make();
        for packet in &mut queues.burst {
            fill(packet, self.len, &self.front);
        }
        queues.send();
        count
    }
}

/// Makes a frame of `len` bytes of an empty packet: these headers, and zeros.
#[inline]
pub(super) fn fill(packet: &mut impl Frame, len: usize, front: &[u8; FRONT]) {
    // Where a packet has less room it goes out shorter.
    let room = packet.tailroom();
    if let Some(bytes) = packet.append(len.min(room))
        && let Some((headers, rest)) = bytes.split_first_chunk_mut()
    {
        *headers = *front;
        rest.fill(0);
    }
}
