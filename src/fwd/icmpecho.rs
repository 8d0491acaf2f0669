//! `icmpecho`: answers ARP requests and pings, for every address; all else ends. Answers leave by the port that the question came by,
//! or rather by the stream's TX port: `--port-topology=loop` makes them the same.

use super::packet::set_addresses;
use super::stream::{Ends, Forward, Queues};
use crate::frame::{Burst, Frame};
use crate::wire::arp::{ArpPacket, Operation};
use crate::wire::{EtherType, EthernetFrame, MacAddr, icmp};

pub(super) struct IcmpEcho;

impl<E: Ends> Forward<E> for IcmpEcho {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.receive();
        let mac = queues.way.source;
        let mut answers = Burst::new();
        let mut rest = Burst::new();
        for mut packet in queues.burst.drain(..) {
            if answer(packet.data_mut(), mac) { answers.push(packet) } else { rest.push(packet) }
        }
        queues.burst = rest;
        queues.end();
        queues.burst = answers;
        queues.send();
        count
    }
}

/// Turns a question into its answer; `false`, and nothing changed: it is none.
pub(super) fn answer(frame: &mut [u8], mac: MacAddr) -> bool {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
    let (kind, at, asks) = (ethernet.ether_type(), ethernet.header_len(), ethernet.source());
    let Some(packet) = frame.get_mut(at..) else { return false };
    let answered = match kind {
        EtherType::ARP => answer_arp(packet, mac).is_some(),
        EtherType::IPV4 => icmp::echo_reply_in_place(packet).is_some(),
        _ => false,
    };
    if answered {
        set_addresses(frame, asks, mac);
    }
    answered
}

fn answer_arp(packet: &mut [u8], mac: MacAddr) -> Option<()> {
    let request = ArpPacket::new_checked(packet).ok().filter(|arp| arp.operation == Operation::Request)?;
    request.reply(mac).write(packet.first_chunk_mut()?);
    Some(())
}
