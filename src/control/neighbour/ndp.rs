//! Neighbour discovery (RFC 4861 7.2); whole hosts only, no routers' advertisements.

use super::Neighbours;
use super::table::State;
use crate::wire::ndp::{self, ALL_NODES, Advertisement, Ndp, Solicitation};
use crate::wire::{EtherType, EthernetFrame, Ipv6Packet, MacAddr};
use std::net::{IpAddr, Ipv6Addr};

impl<P> Neighbours<P> {
    /// Whether it was a solicitation or an advertisement.
    pub(super) fn input_ndp(
        &mut self,
        port: u16,
        frame: &EthernetFrame<'_>,
        now_ms: u64,
        is_proxied: &dyn Fn(IpAddr) -> bool,
    ) -> bool {
        let Ok(packet) = Ipv6Packet::new_checked(frame.payload()) else {
            return false;
        };
        match Ndp::new_checked(&packet) {
            Ok(Ndp::Solicitation(message)) => {
                self.input_solicitation(port, frame.source(), &message, now_ms, is_proxied);
            }
            Ok(Ndp::Advertisement(message)) => {
                self.input_advertisement(port, frame.source(), &message, now_ms);
            }
            Err(_) => return false,
        }
        true
    }

    fn input_solicitation(
        &mut self,
        port: u16,
        from: MacAddr,
        message: &Solicitation,
        now_ms: u64,
        is_proxied: &dyn Fn(IpAddr) -> bool,
    ) {
        let Some(state) = self.ports.get(&port) else {
            return;
        };
        let (source, target) = (IpAddr::V6(message.source), IpAddr::V6(message.target));
        let own_mac = state.config.mac;
        if state.is_ours(source) {
            self.defend(port, source, from, now_ms);
            return;
        }
        let is_ours = state.is_ours(target);
        let is_neighbour = state.is_neighbour(source);
        let is_probe = message.is_duplicate_detection();
        if !(is_ours || self.is_proxied(port, target, is_proxied)) || !(is_probe || is_neighbour) {
            return;
        }
        // RFC 4861 7.2.3: who asks tells its own address, if it has one already.
        if let Some(mac) = message.source_mac.filter(|_| !is_probe) {
            self.learn((port, source), mac, false, now_ms);
        }
        let reply = message.reply(own_mac, true, is_ours);
        let to = if is_probe { MacAddr::of_ipv6_multicast(ALL_NODES) } else { message.source_mac.unwrap_or(from) };
        self.send_advertisement(port, to, own_mac, &reply);
    }

    /// RFC 4861 7.2.5, but nobody is believed unasked about an address that is not resolved.
    fn input_advertisement(&mut self, port: u16, from: MacAddr, message: &Advertisement, now_ms: u64) {
        let target = IpAddr::V6(message.target);
        let Some(state) = self.ports.get(&port) else {
            return;
        };
        if state.is_ours(target) {
            self.defend(port, target, message.target_mac.unwrap_or(from), now_ms);
            return;
        }
        let to_us = state.is_ours(IpAddr::V6(message.destination));
        let Some(known) = self.table.state((port, target)) else {
            return;
        };
        let is_answer = message.is_solicited && to_us && known.is_asked();
        let Some(old_mac) = known.mac() else {
            if let (true, Some(mac)) = (is_answer, message.target_mac) {
                self.learn((port, target), mac, true, now_ms);
            }
            return;
        };
        let mac = message.target_mac.unwrap_or(old_mac);
        if mac == old_mac || message.is_override {
            self.learn((port, target), mac, is_answer, now_ms);
        } else if let State::Reachable { mac } = known {
            // Somebody else may have it: ask, when it is used next.
            self.set((port, target), State::Stale { mac }, now_ms);
        }
    }

    /// Asks for `target`: its group, or, if its MAC address is known, itself.
    pub(super) fn send_solicitation(
        &mut self,
        port: u16,
        own_mac: MacAddr,
        source: Ipv6Addr,
        target: Ipv6Addr,
        to: Option<MacAddr>,
    ) {
        let (message, to) = match to {
            Some(to) => (Solicitation::unicast(source, own_mac, target), to),
            None => {
                let message = Solicitation::multicast(source, own_mac, target);
                (message, ndp::solicited_node_mac(target))
            }
        };
        let mut bytes = [0; ndp::LEN];
        let len = message.write(&mut bytes);
        let bytes = bytes.get(..len).unwrap_or_default();
        self.send(port, to, own_mac, EtherType::IPV6, bytes);
    }

    /// Tells all nodes that `addr` is ours (RFC 4861 7.2.6).
    pub(super) fn send_unsolicited_advertisement(&mut self, port: u16, own_mac: MacAddr, addr: Ipv6Addr) {
        let message = Advertisement {
            source: addr,
            destination: ALL_NODES,
            target: addr,
            target_mac: Some(own_mac),
            is_router: true,
            is_solicited: false,
            is_override: true,
        };
        self.send_advertisement(port, MacAddr::of_ipv6_multicast(ALL_NODES), own_mac, &message);
    }

    fn send_advertisement(&mut self, port: u16, to: MacAddr, own_mac: MacAddr, message: &Advertisement) {
        let mut bytes = [0; ndp::LEN];
        let len = message.write(&mut bytes);
        let bytes = bytes.get(..len).unwrap_or_default();
        self.send(port, to, own_mac, EtherType::IPV6, bytes);
    }
}
