//! ARP (RFC 826), with probes and announcements (RFC 5227).

use super::Neighbours;
use super::table::State;
use crate::wire::arp::{self, ArpPacket, Operation};
use crate::wire::{EtherType, EthernetFrame, MacAddr};
use std::net::{IpAddr, Ipv4Addr};

impl<P> Neighbours<P> {
    /// Whether it was ARP.
    pub(super) fn input_arp(
        &mut self,
        port: u16,
        frame: &EthernetFrame<'_>,
        now_ms: u64,
        is_proxied: &dyn Fn(IpAddr) -> bool,
    ) -> bool {
        let Ok(packet) = ArpPacket::new_checked(frame.payload()) else {
            return false;
        };
        let Some(state) = self.ports.get(&port) else {
            return false;
        };
        let (sender, target) = (IpAddr::V4(packet.sender_ip), IpAddr::V4(packet.target_ip));
        let own_mac = state.config.mac;
        if state.is_ours(sender) {
            self.defend(port, sender, packet.sender_mac, now_ms);
            return true;
        }
        let is_ours = state.is_ours(target);
        let is_neighbour = state.is_neighbour(sender);
        let known = self.table.state((port, sender));
        match packet.operation {
            Operation::Request => {
                let is_answered = is_ours || sender != target && self.is_proxied(port, target, is_proxied);
                // RFC 826: who asks for us is worth knowing; who asks for others is only kept up to date.
                if is_neighbour && (is_answered || known.and_then(State::mac).is_some()) {
                    self.learn((port, sender), packet.sender_mac, false, now_ms);
                }
                if is_answered {
                    self.send_arp(port, packet.sender_mac, own_mac, &packet.reply(own_mac));
                }
            }
            Operation::Reply if is_ours && packet.target_mac == own_mac => {
                if known.is_some_and(State::is_asked) {
                    self.learn((port, sender), packet.sender_mac, true, now_ms);
                }
            }
            // An announcement may be a reply as well (RFC 5227 3).
            Operation::Reply if sender == target && known.and_then(State::mac).is_some() => {
                self.learn((port, sender), packet.sender_mac, false, now_ms);
            }
            Operation::Reply => {}
        }
        true
    }

    /// Asks for `target`: all stations, or the one that had it. With `source == target` it announces.
    pub(super) fn send_arp_request(
        &mut self,
        port: u16,
        own_mac: MacAddr,
        source: Ipv4Addr,
        target: Ipv4Addr,
        to: Option<MacAddr>,
    ) {
        let request = ArpPacket::request(own_mac, source, target);
        self.send_arp(port, to.unwrap_or(MacAddr::BROADCAST), own_mac, &request);
    }

    fn send_arp(&mut self, port: u16, to: MacAddr, from: MacAddr, packet: &ArpPacket) {
        let mut bytes = [0; arp::LEN];
        packet.write(&mut bytes);
        self.send(port, to, from, EtherType::ARP, &bytes);
    }
}
