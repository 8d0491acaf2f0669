//! The control thread: the clock, the timers, and everything that leaves the fast path but is no handshake: ARP, NDP, ICMP to us,
//! packets whose next hop is not resolved.

use super::context::Context;
use super::errors::Errors;
use super::events::Silence;
use super::fragments::Fragments;
use super::interface::Writer;
use super::neighbour::{Budget, Event, NeighbourPort, Neighbours, WaitError};
use super::output::{Hands, Output, ether_type};
use super::record::{PeerRecord, PeerState};
use super::wheel::Wheel;
use crate::frame::fragments::Gather;
use crate::frame::{Frame, Kind, Meta, Packet, PacketPool};
use crate::peer::wants;
use crate::queue::sync::Ordering;
use crate::queue::{Dir, FlowId, Graveyard, PostSeat, Reader, Receiver};
use crate::route::{FibWriter, NextHop};
use crate::shared::{Counters, DropReason, PeerFlow, Shared};
use crate::wire::{InnerPacket, MacAddr, ethernet, icmp, icmpv6};
use crossbeam_utils::CachePadded;
use ipnet::IpNet;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

/// Packets and posts served in one turn, at most.
const BATCH: usize = 64;

/// The state of the control thread.
#[derive(Debug)]
pub struct Service<A: PacketPool> {
    context: Arc<Context<A>>,
    writer: Arc<Writer<A>>,
    output: Output<A>,
    counters: Arc<CachePadded<Counters>>,
    reader: Reader,
    inbox: Receiver<A::Packet>,
    posts: PostSeat<A::Packet, crate::peer::Peer>,
    wheel: Wheel,
    neighbours: Neighbours<A::Packet>,
    fragments: Fragments<A>,
    inner: FibWriter,
    outer: FibWriter,
    graves: Graveyard,
    errors: Errors,
    /// Peers whose timers fired and that were not looked at yet: the clock goes on between.
    fired: VecDeque<FlowId>,
}

/// What the control thread is built of.
#[derive(Debug)]
pub struct ServiceParts<A: PacketPool> {
    /// Shared by the control threads.
    pub context: Arc<Context<A>>,
    /// The interfaces' writer, whose removals it drives.
    pub writer: Arc<Writer<A>>,
    /// The ways out.
    pub output: Output<A>,
    /// Its counters.
    pub counters: Arc<CachePadded<Counters>>,
    /// Its seat in the grace-period count.
    pub reader: Reader,
    /// What the data path hands to it.
    pub inbox: Receiver<A::Packet>,
    /// Peers whose deadlines arose.
    pub posts: PostSeat<A::Packet, crate::peer::Peer>,
    /// Gathers outer fragments.
    pub fragments: Box<dyn Gather<Packet = A::Packet>>,
    /// The inner side's routes.
    pub inner: FibWriter,
    /// The outer side's routes.
    pub outer: FibWriter,
}

/// Packets that wait for a neighbour count against the same bound as those that wait for a session.
#[derive(Debug)]
struct Staged<A: PacketPool>(Arc<Shared<A>>);

impl<A: PacketPool> Budget for Staged<A> {
    fn try_take(&self) -> bool {
        self.0.staged.take()
    }

    fn give_back(&self) {
        self.0.staged.give_back(1);
    }
}

impl<A: PacketPool> Service<A> {
    /// The thread's state; our addresses are announced on all ports.
    pub fn new(parts: ServiceParts<A>) -> Self {
        let shared = &parts.context.shared;
        let now_ms = parts.context.environment.now_ms();
        let mut neighbours = Neighbours::new(Box::new(Staged(Arc::clone(shared))));
        for port in &shared.ports {
            let config = NeighbourPort { mac: port.mac, addresses: port.addresses.clone(), is_proxy: port.roles.inner };
            neighbours.add_port(port.id, config, now_ms);
        }
        let graves = Graveyard::new(Arc::clone(parts.reader.domain()));
        let ServiceParts { context, writer, output, counters, reader, inbox, posts, fragments, inner, outer } = parts;
        let wheel = Wheel::new(now_ms);
        let fired = VecDeque::new();
        Self {
            context,
            writer,
            output,
            counters,
            reader,
            inbox,
            posts,
            wheel,
            neighbours,
            fragments: Fragments::new(fragments),
            inner,
            outer,
            graves,
            errors: Errors::new(),
            fired,
        }
    }

    /// One turn: clock, posts, timers, packets, neighbours. Returns whether there was work.
    pub fn turn(&mut self) -> bool {
        let now_ms = self.context.environment.now_ms();
        self.context.shared.clock.set_ms(now_ms);
        let posted = self.serve_posts(now_ms);
        self.serve_timers(now_ms);
        let packets = self.serve_inbox(now_ms);
        self.fragments.expire(&self.counters, now_ms);
        let inner = &mut self.inner;
        let outer = &mut self.outer;
        self.neighbours.tick(now_ms, &mut |port, addr| inner.take_used(port, addr) | outer.take_used(port, addr));
        self.serve_neighbours(now_ms);
        self.reader.quiescent();
        self.graves.sweep();
        self.writer.poll();
        posted + packets + self.fired.len() > 0
    }

    /// When a turn has something to do, if nothing comes before: ms of the environment's clock. For simulations, which leap there.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.wheel.next_ms().into_iter().chain(self.neighbours.next_due_ms()).min()
    }

    /// Runs `f` (a sleep) out of the grace-period count.
    pub fn offline(&mut self, f: impl FnOnce()) {
        self.reader.offline(f);
    }

    fn serve_posts(&mut self, now_ms: u64) -> usize {
        let mut served = 0;
        while served < BATCH
            && let Some(flow) = self.posts.next(&self.reader)
        {
            let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
            look(&self.context, &hands, flow, &mut self.wheel, &mut self.graves, now_ms);
            served += 1;
        }
        served
    }

    fn serve_timers(&mut self, now_ms: u64) {
        self.wheel.advance(now_ms, |flow| self.fired.push_back(flow));
        let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
        for id in self.fired.drain(..BATCH.min(self.fired.len())) {
            if let Some(flow) = self.context.shared.flows.get(&self.reader, id) {
                look(&self.context, &hands, flow, &mut self.wheel, &mut self.graves, now_ms);
            }
        }
    }

    fn serve_inbox(&mut self, now_ms: u64) -> usize {
        let mut served = 0;
        while served < BATCH
            && let Some(packet) = self.inbox.recv()
        {
            self.counters.control_received.add(1);
            served += 1;
            match packet.meta().kind {
                Kind::Local => self.local(packet),
                Kind::Fragment => self.fragment(packet, now_ms),
                Kind::AskInner | Kind::AskOuter => self.ask(packet, now_ms),
                Kind::Undeliverable => self.undeliverable(packet, now_ms),
                _ => self.frame(packet, now_ms),
            }
        }
        served
    }

    /// An IP packet from a tunnel to one of our own addresses.
    fn local(&mut self, mut packet: A::Packet) {
        let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
        match echo_reply(packet.data_mut()) {
            Some(len) => {
                packet.truncate(len);
                let port = packet.meta().port;
                hands.route(port, packet);
            }
            None => self.counters.drop_packet(DropReason::ControlUnknown, packet),
        }
    }

    /// A fragment of a datagram to us.
    fn fragment(&mut self, packet: A::Packet, now_ms: u64) {
        self.context.shared.fragments.give_back(1);
        let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
        self.fragments.take(packet, &hands, now_ms);
    }

    /// A whole frame from a port: ARP, NDP, or ICMP to us.
    fn frame(&mut self, mut packet: A::Packet, now_ms: u64) {
        let port = packet.meta().port;
        let shared = &self.context.shared;
        let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
        let is_ours = |to: IpAddr| shared.is_ours(port, to);
        let ours = packet.data().get(ethernet::HEADER_LEN..).and_then(|ip| InnerPacket::parse(ip).ok());
        if ours.is_some_and(|ip| is_ours(ip.destination))
            && let Some(len) = packet.data_mut().get_mut(ethernet::HEADER_LEN..).and_then(echo_reply)
        {
            packet.truncate(ethernet::HEADER_LEN + len);
            swap_macs(packet.data_mut());
            return hands.give_back(port, packet);
        }
        let is_proxied = |to: IpAddr| {
            let peer = shared.allowed.lookup(&self.reader, to).map(FlowId);
            let net = shared.port(port).and_then(|p| p.addresses.iter().find(|net| net.contains(&to)));
            peer.zip(net).is_some_and(|(peer, net)| has_part_of(&self.context, peer, *net, to))
        };
        let known = self.neighbours.input(port, packet.data(), now_ms, &is_proxied);
        let reason = if known { DropReason::ControlDone } else { DropReason::ControlUnknown };
        self.counters.drop_packet(reason, packet);
        self.serve_neighbours(now_ms);
    }

    /// An inner packet that goes no further, for a reason that its sender is to hear.
    fn undeliverable(&mut self, packet: A::Packet, now_ms: u64) {
        let reason = DropReason::from_verdict(packet.meta().verdict).unwrap_or(DropReason::ControlUnknown);
        let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
        self.errors.report(&hands, packet.data(), packet.meta().port, reason, now_ms);
        self.counters.drop_packet(reason, packet);
    }

    /// An IP packet, behind 14 free bytes, whose next hop is not resolved: it waits for its neighbour.
    fn ask(&mut self, packet: A::Packet, now_ms: u64) {
        let fib = if packet.meta().kind == Kind::AskInner { &self.inner } else { &self.outer };
        let ip = packet.data().get(ethernet::HEADER_LEN..).unwrap_or_default();
        let to = InnerPacket::parse(ip).ok().map(|ip| ip.destination);
        let neighbour = to.and_then(|to| match fib.lookup(to)? {
            NextHop::OnLink { port } => Some((port, to)),
            NextHop::Adjacency(index) => fib.neighbour(index),
            NextHop::Local { .. } | NextHop::Unreachable => None,
        });
        match neighbour {
            Some((port, addr)) => self.neighbours.enqueue(port, addr, packet, now_ms),
            None => self.counters.drop_packet(DropReason::NoRoute, packet),
        }
        self.serve_neighbours(now_ms);
    }

    /// Does what the neighbours' state machine asks for.
    fn serve_neighbours(&mut self, now_ms: u64) {
        while let Some(event) = self.neighbours.poll() {
            let hands = hands(&self.context, &self.reader, &self.counters, &self.output);
            match event {
                Event::Send { port, frame } => hands.send_frame(port, &frame),
                Event::Resolved { port, addr, mac } => {
                    self.inner.neighbour_resolved(port, addr, mac.0);
                    self.outer.neighbour_resolved(port, addr, mac.0);
                }
                Event::Removed { port, addr } => {
                    self.inner.remove_neighbour(port, addr);
                    self.outer.remove_neighbour(port, addr);
                }
                Event::Deliver { port, mac, mut packet, .. } => {
                    let ours = self.context.shared.port(port).map_or(MacAddr::ZERO, |p| p.mac);
                    complete(packet.data_mut(), mac, ours);
                    hands.give_back(port, packet);
                }
                Event::Drop { reason: WaitError::Failed, packet, .. } => {
                    if packet.meta().kind == Kind::AskInner {
                        // What is forwarded to the inner side came out of a tunnel.
                        let ip = packet.data().get(ethernet::HEADER_LEN..).unwrap_or_default();
                        self.errors.report(&hands, ip, Meta::TUNNEL, DropReason::NeighbourFailed, now_ms);
                    }
                    self.counters.drop_packet(DropReason::NeighbourFailed, packet);
                }
                Event::Drop { reason: WaitError::Full, packet, .. } => {
                    self.counters.drop_packet(DropReason::NeighbourQueue, packet);
                }
                Event::Conflict { port, addr, mac } => {
                    let port = self.context.shared.port(port).map_or("?", |p| p.name.as_str());
                    tracing::warn!("port {port}: {mac} uses our address {addr} too: give one of the two another");
                }
            }
        }
    }

    /// The gateway ends: what waits for neighbours, or for other fragments, is dropped by name.
    pub fn flush(&mut self) {
        for port in &self.context.shared.ports {
            self.neighbours.flush(port.id);
        }
        let now_ms = self.context.environment.now_ms();
        while self.serve_inbox(now_ms) > 0 {}
        self.fragments.expire(&self.counters, u64::MAX);
        self.serve_neighbours(now_ms);
    }
}

fn hands<'r, A: PacketPool>(
    context: &'r Context<A>,
    reader: &'r Reader,
    counters: &'r Counters,
    output: &'r Output<A>,
) -> Hands<'r, A> {
    Hands { shared: &context.shared, reader, counters, output }
}

/// Looks at one peer: what its data path asked for, and which of its timers fire.
fn look<A: PacketPool>(
    context: &Context<A>,
    hands: &Hands<'_, A>,
    flow: &PeerFlow<A::Packet>,
    wheel: &mut Wheel,
    graves: &mut Graveyard,
    now_ms: u64,
) {
    let Some(record) = context.directory.by_flow(flow.id()) else { return };
    let mut guard = record.lock();
    let state = &mut *guard;
    if state.removed {
        return;
    }
    let asked = flow.stamps.take_wants();
    if asked & wants::CONFIRMED != 0 {
        state.timers.handshake_complete();
        state.last_handshake = Some(context.environment.wall_clock());
    }
    context.tell_where(&record, state, flow, asked & wants::CONFIRMED != 0);
    if asked & wants::SWEEP != 0 {
        context.sweep(state, flow, hands.reader, graves);
    }
    // Nothing can be kept alive of a peer that never came.
    let persistent_keepalive = if flow.endpoint().is_some() { state.persistent_keepalive } else { 0 };
    let due = state.timers.look(&flow.stamps, persistent_keepalive, now_ms, |bound| context.environment.jitter(bound));
    let keepalive = due.keepalive && flow.endpoint().is_some();
    // Without a session a keepalive asks for one. It needs no packet for that: after a start it is all peers' at once (PROTOCOL A7).
    let has_session = flow.keys.current().is_some();
    let fresh = asked & wants::HANDSHAKE != 0 || keepalive && !has_session;
    if fresh {
        state.timers.asked();
    }
    if due.initiate.is_some()
        && let Some(endpoint) = flow.endpoint()
    {
        // The peer is silent: the address of ours that it last talked to may be what is wrong (PROTOCOL A7, T1 and T3).
        flow.set_endpoint(Some(&endpoint.without_address()));
    }
    let again_ms = initiate(context, &record, state, due.initiate.or_else(|| fresh.then_some(false)), now_ms);
    if keepalive && has_session {
        hands.send_keepalive(flow, Kind::Keepalive);
    }
    if due.give_up {
        context.tell_silent(&record, state, Silence::NoAnswer);
        context.forget_handshake(state);
        // Release: pairs with the egress owner's swap.
        flow.give_up.store(true, Ordering::Release);
        flow.wake(hands.reader, Dir::Egress, &hands.shared.flows);
    }
    if due.wipe {
        context.tell_silent(&record, state, Silence::Idle);
        context.wipe(state, flow, hands.reader, graves);
    }
    let next_ms = due.next_ms.into_iter().chain(again_ms).min();
    state.timers.arm(next_ms, now_ms, |at_ms| wheel.arm(flow.id(), at_ms));
}

/// Has a handshake thread begin what is `wanted` (`Some(true)`: T1's next try), at most every 5 s (PROTOCOL A4). Returns when it is to be
/// tried again: where the thread is behind, and where T1 comes too soon after a response of ours, for which it must not be lost.
fn initiate<A: PacketPool>(
    context: &Context<A>,
    record: &Arc<PeerRecord>,
    state: &mut PeerState,
    wanted: Option<bool>,
    now_ms: u64,
) -> Option<u64> {
    let retry = wanted?;
    let too_soon = state.sent_handshake_recently(now_ms);
    let put_off = if too_soon { retry } else { !context.request(record, retry) };
    put_off.then(|| state.timers.postponed(now_ms))
}

/// Whether `to` is of a prefix of the peer's that lies inside `net`: we answer for it there. One that covers the whole of `net` (a
/// default route, most of all) makes us nobody's proxy: the hosts there speak for themselves.
fn has_part_of<A: PacketPool>(context: &Context<A>, peer: FlowId, net: IpNet, to: IpAddr) -> bool {
    let inside = |prefix: &IpNet| prefix.contains(&to) && prefix.prefix_len() > net.prefix_len();
    context.directory.by_flow(peer).is_some_and(|record| record.lock().allowed_ips.iter().any(inside))
}

/// Turns an echo request into its reply; its length. `None` for all else.
fn echo_reply(ip: &mut [u8]) -> Option<usize> {
    icmp::echo_reply_in_place(ip).or_else(|| icmpv6::echo_reply_in_place(ip))
}

/// Sends a frame back where it came from.
fn swap_macs(frame: &mut [u8]) {
    if let Some(macs) = frame.first_chunk_mut::<12>() {
        macs.rotate_left(6);
    }
}

/// Writes the Ethernet header of an IP packet behind 14 free bytes.
fn complete(frame: &mut [u8], destination: MacAddr, source: MacAddr) {
    let ether_type = ether_type(frame.get(ethernet::HEADER_LEN..).unwrap_or_default());
    if let Some(header) = frame.first_chunk_mut() {
        ethernet::write_header(header, destination, source, ether_type);
    }
}
