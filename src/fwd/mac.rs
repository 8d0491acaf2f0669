//! `mac` and `macswap`: packets leave with other addresses of Ethernet's.

use super::packet::set_addresses;
use super::stream::{Ends, Forward, Queues};
use crate::frame::Frame;

/// From the TX port's address to its peer's.
pub(super) struct Mac;

impl<E: Ends> Forward<E> for Mac {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.receive();
        let (source, peer) = (queues.way.source, queues.way.peer);
        for packet in &mut queues.burst {
            set_addresses(packet.data_mut(), peer, source);
        }
        queues.send();
        count
    }
}

/// Back to whom they came from.
pub(super) struct MacSwap;

impl<E: Ends> Forward<E> for MacSwap {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.receive();
        for packet in &mut queues.burst {
            if let Some(addresses) = packet.data_mut().first_chunk_mut::<12>() {
                addresses.rotate_left(6);
            }
        }
        queues.send();
        count
    }
}
