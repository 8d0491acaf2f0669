//! `flowgen`: makes packets of many flows, each destination in turn; what comes ends.

use super::packet::{Between, front};
use super::stream::{Ends, Forward, Queues};
use super::txonly::fill;
use crate::wire::MacAddr;
use std::net::Ipv4Addr;

/// Flows, as testpmd's default.
pub(super) const FLOWS: u32 = 1024;
/// testpmd's addresses.
const SOURCE_MAC: MacAddr = MacAddr([0, 1, 2, 3, 4, 0]);
const DESTINATION_MAC: MacAddr = MacAddr([0, 1, 2, 3, 4, 1]);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 254, 0, 0);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 253, 0, 0);
const PORTS: (u16, u16) = (1000, 1001);

pub(super) struct FlowGen {
    len: usize,
    next: u32,
}

impl FlowGen {
    /// Frames of `len` bytes, FCS not among them.
    pub(super) fn new(len: usize) -> Self {
        Self { len, next: 0 }
    }
}

impl<E: Ends> Forward<E> for FlowGen {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        queues.receive();
        queues.end();
        let count = queues.make();
        for packet in &mut queues.burst {
            let destination = Ipv4Addr::from_bits(DESTINATION.to_bits() + self.next);
            let (source_port, destination_port) = PORTS;
            let between = Between { source: SOURCE, destination, source_port, destination_port };
            fill(packet, self.len, &front(DESTINATION_MAC, SOURCE_MAC, &between, self.len));
            self.next = (self.next + 1) % FLOWS;
        }
        queues.send();
        count
    }
}
