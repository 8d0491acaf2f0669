//! Neighbours: whose MAC address is whose, by ARP (RFC 826, 5227) and NDP (RFC 4861), for all ports.
//!
//! Sans-IO: frames and the time come in, [`Event`]s go out; the control thread carries them to the ports, the routes and
//! the packets' owners. The data path never comes here: it reads [`Adjacencies`](crate::route::Adjacencies), and sends
//! what it finds unresolved to this thread.
//!
//! Who speaks unasked is believed only about an address that is known already, or when it asks for one of ours.

mod arp;
mod event;
mod ndp;
mod port;
mod table;
#[cfg(test)]
mod tests;

pub use event::{Budget, Event, NeighbourFrame, Resolution, WaitError};
pub use port::NeighbourPort;

use crate::wire::{EtherType, EthernetFrame, MacAddr, ethernet};
use event::{FRAME_MAX, FRAME_MIN};
use port::Port;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use table::{Entry, Key, State, Table};

/// Neighbours a port, at most, resolved or not.
pub const ENTRIES_MAX: usize = 4096;
/// Of these, the ones that have not answered, at most: so a scan of the subnet displaces no neighbour that exists.
pub const UNRESOLVED_MAX: usize = 1024;
/// Packets that wait for one neighbour, at most; a newer one replaces the oldest (RFC 4861 7.2.2).
pub const WAITING_MAX: usize = 16;
/// Questions before a neighbour counts as gone (RFC 4861 10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT).
pub const TRIES: u8 = 3;
/// Between two questions (RFC 4861 10: RETRANS_TIMER).
pub const RETRY_MS: u64 = 1000;
/// How long a neighbour that did not answer is not asked again.
pub const BACK_OFF_MS: u64 = 3000;
/// How long an answer counts.
pub const REACHABLE_MS: u64 = 60_000;
/// How often a neighbour whose answer counts no more is looked at: if it was used, it is asked.
pub const STALE_CHECK_MS: u64 = 5000;
/// After how long unused a neighbour is forgotten.
pub const UNUSED_MS: u64 = 20 * 60_000;
/// Between the two announcements of our addresses (RFC 5227 1.1: ANNOUNCE_INTERVAL).
pub const ANNOUNCE_MS: u64 = 2000;
/// Between two defences of our addresses on one port (RFC 5227 1.1: DEFEND_INTERVAL).
pub const DEFEND_MS: u64 = 10_000;

/// All neighbours of all ports; the control thread's. `P` is a packet that waits.
pub struct Neighbours<P> {
    ports: HashMap<u16, Port>,
    table: Table<P>,
    budget: Box<dyn Budget>,
    events: VecDeque<Event<P>>,
}

impl<P> Neighbours<P> {
    /// No ports yet. `budget` bounds the packets that wait.
    pub fn new(budget: Box<dyn Budget>) -> Self {
        let (ports, table, events) = (HashMap::new(), Table::new(), VecDeque::new());
        Self { ports, table, budget, events }
    }

    /// Adds a port, or gives it other addresses, and announces them. All times are in ms, of one monotonic clock.
    pub fn add_port(&mut self, port: u16, config: NeighbourPort, now_ms: u64) {
        self.ports.insert(port, Port::new(config));
        self.announce(port, now_ms);
    }

    /// Tells the link our addresses, twice, 2 s apart (RFC 5227 2.3): at start, and when the link comes up again.
    pub fn announce(&mut self, port: u16, now_ms: u64) {
        if let Some(state) = self.ports.get_mut(&port) {
            state.announce_again_ms = Some(now_ms.saturating_add(ANNOUNCE_MS));
        }
        self.send_announcements(port);
    }

    /// Forgets all neighbours of a port, for instance when its link goes down.
    pub fn flush(&mut self, port: u16) {
        let keys: Vec<Key> = self.table.iter().map(|(key, _)| key).filter(|key| key.0 == port).collect();
        for key in keys {
            self.forget(key, WaitError::Failed);
        }
    }

    /// The next thing to do. Call it until it is `None` after each call of another function.
    pub fn poll(&mut self) -> Option<Event<P>> {
        self.events.pop_front()
    }

    /// When [`Neighbours::tick`] has something to do next, in ms.
    pub fn next_due_ms(&self) -> Option<u64> {
        let announcements = self.ports.values().filter_map(|port| port.announce_again_ms);
        announcements.chain(self.table.first_due().map(|(due_ms, _)| due_ms)).min()
    }

    /// What is known of a neighbour, in no order of time.
    pub fn iter(&self) -> impl Iterator<Item = (u16, IpAddr, Resolution)> {
        self.table.iter().map(|((port, addr), entry)| (port, addr, resolution(entry.state)))
    }

    /// Asks for a neighbour, if nothing is known of it. Whether `addr` is on the link, or a gateway, is for the caller to
    /// know.
    pub fn resolve(&mut self, port: u16, addr: IpAddr, now_ms: u64) -> Resolution {
        let key = (port, addr);
        if let Some(state) = self.table.state(key) {
            self.table.update(key, |entry| entry.used_ms = now_ms);
            return resolution(state);
        }
        if !self.ask(key, None) {
            return Resolution::Failed;
        }
        self.make_room(port, false);
        let entry = Entry {
            state: State::Incomplete { tries: 1 },
            waiting: VecDeque::new(),
            due_ms: now_ms.saturating_add(RETRY_MS),
            used_ms: now_ms,
        };
        self.table.insert(key, entry);
        Resolution::Pending
    }

    /// Takes a packet for a neighbour: it comes out as [`Event::Deliver`] or [`Event::Drop`], now or later.
    pub fn enqueue(&mut self, port: u16, addr: IpAddr, packet: P, now_ms: u64) {
        let reason = match self.resolve(port, addr, now_ms) {
            Resolution::Resolved(mac) => {
                self.events.push_back(Event::Deliver { port, addr, mac, packet });
                return;
            }
            Resolution::Pending if self.take_room((port, addr)) => {
                self.table.update((port, addr), |entry| entry.waiting.push_back(packet));
                return;
            }
            Resolution::Pending => WaitError::Full,
            Resolution::Failed => WaitError::Failed,
        };
        self.events.push_back(Event::Drop { port, addr, reason, packet });
    }

    /// Room for one more packet: the oldest that waits for the same neighbour makes place, or the budget gives it.
    fn take_room(&mut self, key: Key) -> bool {
        let replaced = self.table.update(key, |entry| {
            let is_full = entry.waiting.len() >= WAITING_MAX;
            if is_full { entry.waiting.pop_front() } else { None }
        });
        let Some(Some(packet)) = replaced else {
            return self.budget.try_take();
        };
        let ((port, addr), reason) = (key, WaitError::Full);
        self.events.push_back(Event::Drop { port, addr, reason, packet });
        true
    }

    /// Takes a frame that came by a port; all but ARP and NDP is ignored. `is_proxied` says whether we answer for an
    /// address that is not ours: allowed-ips inside the port's subnet. Returns whether it was a message of ARP or NDP.
    pub fn input(&mut self, port: u16, frame: &[u8], now_ms: u64, is_proxied: &dyn Fn(IpAddr) -> bool) -> bool {
        let Ok(frame) = EthernetFrame::new_checked(frame) else {
            return false;
        };
        let is_own = |state: &Port| state.config.mac == frame.source();
        if self.ports.get(&port).is_none_or(is_own) || !frame.source().is_unicast() {
            return false;
        }
        match frame.ether_type() {
            EtherType::ARP => self.input_arp(port, &frame, now_ms, is_proxied),
            EtherType::IPV6 => self.input_ndp(port, &frame, now_ms, is_proxied),
            _ => false,
        }
    }

    /// Does what is due. `take_used` says whether a neighbour was sent to since it was last asked about
    /// ([`FibWriter::take_used`](crate::route::FibWriter::take_used)).
    pub fn tick(&mut self, now_ms: u64, take_used: &mut dyn FnMut(u16, IpAddr) -> bool) {
        let due = |port: &Port| port.announce_again_ms.is_some_and(|due_ms| due_ms <= now_ms);
        let ports: Vec<u16> = self.ports.iter().filter(|(_, port)| due(port)).map(|(port, _)| *port).collect();
        for port in ports {
            self.send_announcements(port);
            if let Some(state) = self.ports.get_mut(&port) {
                state.announce_again_ms = None;
            }
        }
        while let Some((due_ms, key)) = self.table.first_due()
            && due_ms <= now_ms
        {
            self.entry_due(key, now_ms, take_used);
        }
    }

    /// What an entry needs when its time has come. It is due later afterwards, or gone.
    fn entry_due(&mut self, key: Key, now_ms: u64, take_used: &mut dyn FnMut(u16, IpAddr) -> bool) {
        let Some(entry) = self.table.get(key) else {
            return;
        };
        let unused_ms = now_ms.saturating_sub(entry.used_ms);
        match entry.state {
            State::Incomplete { tries } if tries < TRIES => {
                self.ask(key, None);
                self.set(key, State::Incomplete { tries: tries + 1 }, now_ms.saturating_add(RETRY_MS));
            }
            State::Incomplete { .. } => {
                self.set(key, State::Failed, now_ms.saturating_add(BACK_OFF_MS));
                self.drop_waiting(key, WaitError::Failed);
            }
            State::Probing { mac, tries } if tries < TRIES => {
                self.ask(key, Some(mac));
                self.set(key, State::Probing { mac, tries: tries + 1 }, now_ms.saturating_add(RETRY_MS));
            }
            State::Failed | State::Probing { .. } => self.forget(key, WaitError::Failed),
            State::Reachable { mac } | State::Stale { mac } if take_used(key.0, key.1) => {
                self.table.update(key, |entry| entry.used_ms = now_ms);
                self.ask(key, Some(mac));
                self.set(key, State::Probing { mac, tries: 1 }, now_ms.saturating_add(RETRY_MS));
            }
            State::Stale { .. } if unused_ms >= UNUSED_MS => self.forget(key, WaitError::Failed),
            State::Reachable { mac } | State::Stale { mac } => {
                self.set(key, State::Stale { mac }, now_ms.saturating_add(STALE_CHECK_MS));
            }
        }
    }

    /// A neighbour's MAC address came in. `is_answer`: it was asked, and answered; else it only told us.
    fn learn(&mut self, key: Key, mac: MacAddr, is_answer: bool, now_ms: u64) {
        let (port, addr) = key;
        let old = self.table.state(key);
        let old_mac = old.and_then(State::mac);
        if !is_answer && old_mac == Some(mac) {
            return;
        }
        if old_mac.is_none() {
            self.make_room(port, true);
        }
        let (state, due_ms) = if is_answer {
            (State::Reachable { mac }, now_ms.saturating_add(REACHABLE_MS))
        } else {
            (State::Stale { mac }, now_ms.saturating_add(STALE_CHECK_MS))
        };
        if old.is_some() {
            self.set(key, state, due_ms);
        } else {
            let entry = Entry { state, waiting: VecDeque::new(), due_ms, used_ms: now_ms };
            self.table.insert(key, entry);
        }
        if old_mac != Some(mac) {
            self.events.push_back(Event::Resolved { port, addr, mac });
        }
        for packet in self.take_waiting(key) {
            self.events.push_back(Event::Deliver { port, addr, mac, packet });
        }
    }

    /// Evicts what lies unused longest, if the port has no room for one more entry of this sort.
    fn make_room(&mut self, port: u16, is_resolved: bool) {
        let max = if is_resolved { ENTRIES_MAX - UNRESOLVED_MAX } else { UNRESOLVED_MAX };
        while self.table.count(port, is_resolved) >= max {
            let Some(key) = self.table.least_used(port, is_resolved) else {
                return;
            };
            self.forget(key, WaitError::Full);
        }
    }

    /// Removes an entry, and says so if it was resolved; what waits for it is dropped.
    fn forget(&mut self, key: Key, reason: WaitError) {
        self.drop_waiting(key, reason);
        let (port, addr) = key;
        let removed = self.table.remove(key);
        if removed.is_some_and(|entry| entry.state.mac().is_some()) {
            self.events.push_back(Event::Removed { port, addr });
        }
    }

    fn set(&mut self, key: Key, state: State, due_ms: u64) {
        self.table.update(key, |entry| (entry.state, entry.due_ms) = (state, due_ms));
    }

    fn drop_waiting(&mut self, key: Key, reason: WaitError) {
        let (port, addr) = key;
        for packet in self.take_waiting(key) {
            self.events.push_back(Event::Drop { port, addr, reason, packet });
        }
    }

    fn take_waiting(&mut self, key: Key) -> VecDeque<P> {
        let waiting = self.table.update(key, |entry| core::mem::take(&mut entry.waiting));
        let waiting = waiting.unwrap_or_default();
        waiting.iter().for_each(|_| self.budget.give_back());
        waiting
    }

    /// Asks for a neighbour: all of the link, or, if its MAC address is known, itself. `false` if the port cannot ask.
    fn ask(&mut self, (port, addr): Key, mac: Option<MacAddr>) -> bool {
        let Some(state) = self.ports.get(&port) else {
            return false;
        };
        let own_mac = state.config.mac;
        match (state.source_for(addr), addr) {
            (Some(IpAddr::V4(source)), IpAddr::V4(target)) => {
                self.send_arp_request(port, own_mac, source, target, mac);
            }
            (Some(IpAddr::V6(source)), IpAddr::V6(target)) => {
                self.send_solicitation(port, own_mac, source, target, mac);
            }
            _ => return false,
        }
        true
    }

    fn send_announcements(&mut self, port: u16) {
        let Some(state) = self.ports.get(&port) else {
            return;
        };
        let addresses: Vec<IpAddr> = state.addresses().collect();
        for addr in addresses {
            self.send_announcement(port, addr);
        }
    }

    fn send_announcement(&mut self, port: u16, addr: IpAddr) {
        let Some(mac) = self.ports.get(&port).map(|state| state.config.mac) else {
            return;
        };
        match addr {
            IpAddr::V4(addr) => self.send_arp_request(port, mac, addr, addr, None),
            IpAddr::V6(addr) => self.send_unsolicited_advertisement(port, mac, addr),
        }
    }

    /// Another station claims our address: tell it off, at most every 10 s (RFC 5227 2.4 c).
    fn defend(&mut self, port: u16, addr: IpAddr, mac: MacAddr, now_ms: u64) {
        let Some(state) = self.ports.get_mut(&port) else {
            return;
        };
        let is_recent = |at_ms: u64| now_ms.saturating_sub(at_ms) < DEFEND_MS;
        if state.defended_ms.is_some_and(is_recent) {
            return;
        }
        state.defended_ms = Some(now_ms);
        self.events.push_back(Event::Conflict { port, addr, mac });
        self.send_announcement(port, addr);
    }

    /// Whether we answer for `target` on this port though it is not ours: proxied, and no station of the link has it.
    fn is_proxied(&self, port: u16, target: IpAddr, is_proxied: &dyn Fn(IpAddr) -> bool) -> bool {
        let is_allowed = |state: &Port| state.config.is_proxy && state.is_neighbour(target);
        let has_it = self.table.state((port, target)).and_then(State::mac).is_some();
        self.ports.get(&port).is_some_and(is_allowed) && !has_it && is_proxied(target)
    }

    fn send(&mut self, port: u16, to: MacAddr, from: MacAddr, kind: EtherType, payload: &[u8]) {
        let mut header = [0; ethernet::HEADER_LEN];
        ethernet::write_header(&mut header, to, from, kind);
        let padding = FRAME_MIN.saturating_sub(header.len() + payload.len());
        let bytes = header.iter().chain(payload).copied();
        let frame = bytes.chain(core::iter::repeat_n(0, padding)).take(FRAME_MAX).collect();
        self.events.push_back(Event::Send { port, frame });
    }
}

impl<P> core::fmt::Debug for Neighbours<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Neighbours").field("ports", &self.ports).finish_non_exhaustive()
    }
}

fn resolution(state: State) -> Resolution {
    match (state.mac(), state) {
        (Some(mac), _) => Resolution::Resolved(mac),
        (None, State::Failed) => Resolution::Failed,
        (None, _) => Resolution::Pending,
    }
}
