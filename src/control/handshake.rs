//! A handshake thread: Noise both ways (PROTOCOL A3, A4). A flood of initiations costs its core, never a worker's.
//!
//! Messages are sorted first ([`super::triage`]), many a turn; curve operations are for one message a turn, and for one initiation of ours.

use super::context::{Context, Request};
use super::key_log::Drawn;
use super::output::{HANDSHAKE_TOS, Hands, Output};
use super::record::{PeerRecord, PeerState};
use super::triage::{Sorted, Triage};
use crate::frame::{Frame, Kind, Meta, Packet, PacketPool};
use crate::noise::{
    COOKIE_REPLY_LEN, INITIATION_LEN, Identity, OpenedInitiation, RESPONSE_LEN, SessionSecrets, Tai64N, dh_count,
    wipe_stack,
};
use crate::queue::{
    Dir, FlowId, Graveyard, Reader, Receiver,
    sync::{AtomicU32, Ordering},
};
use crate::session::Keypair;
use crate::shared::{Counters, DropReason, PeerFlow};
use crossbeam_utils::CachePadded;
use std::sync::{Arc, mpsc};

/// Names keypairs, so that a reused receiver index is never taken for the one before.
static SERIAL: AtomicU32 = AtomicU32::new(1);

/// The serial number of a keypair that is made now.
pub(super) fn next_serial() -> u32 {
    // Relaxed: each number is handed out once; nothing else hangs on it.
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// Messages that are sorted in one turn, at most: far cheaper, all of them, than the curve operations of one.
const SORTED: usize = 64;

/// One handshake thread.
#[derive(Debug)]
pub struct HandshakeThread<A: PacketPool> {
    context: Arc<Context<A>>,
    output: Output<A>,
    counters: Arc<CachePadded<Counters>>,
    reader: Reader,
    /// Messages from the data path.
    inbox: Receiver<A::Packet>,
    /// Handshakes to start.
    requests: mpsc::Receiver<Request>,
    triage: Triage<A::Packet>,
    graves: Graveyard,
}

/// The thread's hands for one turn of its loop.
struct Turn<'r, A: PacketPool> {
    context: &'r Context<A>,
    hands: Hands<'r, A>,
    graves: &'r mut Graveyard,
    now_ms: u64,
    /// Whose message is being worked on, once that is known.
    whose: Option<FlowId>,
}

impl<A: PacketPool> HandshakeThread<A> {
    /// A thread over its queues.
    pub fn new(
        context: Arc<Context<A>>,
        output: Output<A>,
        counters: Arc<CachePadded<Counters>>,
        reader: Reader,
        inbox: Receiver<A::Packet>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let graves = Graveyard::new(Arc::clone(reader.domain()));
        let triage = Triage::new(context.environment.now_ms());
        Self { context, output, counters, reader, inbox, requests, triage, graves }
    }

    /// One turn: what came is sorted, and then there is at most one message and one request to work on, so that neither starves the
    /// other. Returns whether there was work.
    pub fn turn(&mut self) -> bool {
        let now_ms = self.context.environment.now_ms();
        let (triage, counters) = (&mut self.triage, &*self.counters);
        let mut turn = Turn {
            context: &self.context,
            hands: Hands { shared: &self.context.shared, reader: &self.reader, counters, output: &self.output },
            graves: &mut self.graves,
            now_ms,
            whose: None,
        };
        let before = dh_count();
        triage.observe(self.inbox.len(), now_ms);
        let mut sorted = 0;
        while sorted < SORTED
            && let Some(packet) = triage.again().or_else(|| {
                let packet = self.inbox.recv()?;
                counters.control_received.add(1);
                Some(packet)
            })
        {
            turn.sort(triage, packet);
            sorted += 1;
        }
        let (under_load, returned) = triage.told();
        counters.under_load.set(under_load.into());
        counters.cookies_returned.set(returned);
        let (message, request) = (triage.next(), self.requests.try_recv().ok());
        let worked = sorted > 0 || message.is_some() || request.is_some();
        if let Some(mut packet) = message {
            let reason = turn.message(&packet).map_or(DropReason::HandshakeRefused, |()| DropReason::ControlDone);
            turn.show(&mut packet);
            counters.drop_packet(reason, packet);
        }
        if let Some(request) = request {
            turn.initiate(&request);
        }
        let curve_operations = dh_count() - before;
        counters.curve_operations.add(curve_operations);
        if curve_operations > 0 {
            // Secrets moved by value on their way into a keypair; the frames that they were in lie below this one.
            wipe_stack();
        }
        self.reader.quiescent();
        self.graves.sweep();
        worked
    }

    /// Runs `f` (a sleep) out of the grace-period count.
    pub fn offline(&mut self, f: impl FnOnce()) {
        self.reader.offline(f);
    }
}

impl<A: PacketPool> Turn<'_, A> {
    /// Whether this message, cut to the UDP payload, is worth a curve operation, and when. mac1 comes first.
    fn sort(&mut self, triage: &mut Triage<A::Packet>, mut packet: A::Packet) {
        let meta = *packet.meta();
        let Some(identity) = self.context.identity(meta.tunnel) else {
            return self.finish(DropReason::HandshakeRefused, packet);
        };
        if let Ok(message) = <&[u8; COOKIE_REPLY_LEN]>::try_from(packet.data()) {
            let done = self.cookie_reply(message, &meta);
            self.show(&mut packet);
            return self.finish(done.map_or(DropReason::HandshakeRefused, |()| DropReason::ControlDone), packet);
        }
        if !identity.check_mac1(packet.data()) {
            return self.finish(DropReason::BadMac1, packet);
        }
        let answers = packet.data().len() == RESPONSE_LEN;
        if answers && self.pending(packet.data(), &meta).is_none() {
            return self.finish(DropReason::HandshakeRefused, packet);
        }
        let random = &mut |bytes: &mut [u8]| self.context.environment.random(bytes);
        match triage.sort(packet, answers, &identity, self.now_ms, random) {
            Sorted::Waits => {}
            Sorted::Drop(packet, reason) => self.finish(reason, packet),
            Sorted::Cookie(packet, reply) => {
                let to = self.hands.shared.endpoint(&meta);
                // Its mbuf goes before the reply takes one: a flood holds no more of them for being answered.
                self.finish(DropReason::CookieSent, packet);
                if let Some(endpoint) = to {
                    self.hands.send_udp((meta.tunnel, None), &endpoint, 0, &reply);
                }
            }
        }
    }

    /// Shows a message to who watches its peer, once that is known; then it is the next one's turn.
    fn show(&mut self, packet: &mut A::Packet) {
        if let Some(flow) = self.whose.take() {
            self.hands.counters.tap.message(flow.0, packet);
        }
    }

    fn finish(&self, reason: DropReason, packet: A::Packet) {
        self.hands.counters.drop_packet(reason, packet);
    }

    /// One message that was sorted: its mac1 is good. `None`: it is refused. Never inlined, for `wipe_stack` after it.
    #[inline(never)]
    fn message(&mut self, packet: &A::Packet) -> Option<()> {
        let identity = self.context.identity(packet.meta().tunnel)?;
        let (data, meta) = (packet.data(), packet.meta());
        if let Ok(message) = <&[u8; INITIATION_LEN]>::try_from(data) {
            self.initiation(&identity, message, meta)
        } else {
            self.response(&identity, data.try_into().ok()?, meta)
        }
    }

    /// A peer wants a session; mac1 is good. Silent whatever is wrong (PROTOCOL A3, 5 to 8).
    fn initiation(&mut self, identity: &Arc<Identity>, message: &[u8; INITIATION_LEN], meta: &Meta) -> Option<()> {
        let opened = OpenedInitiation::open(identity, message).ok()?;
        let record = self.context.directory.by_key(meta.tunnel, opened.static_public())?;
        self.whose = Some(record.flow);
        let flow = self.hands.shared.flows.get(self.hands.reader, record.flow)?;
        let mut guard = record.lock();
        let state = &mut *guard;
        if state.removed || !self.context.is_identity(record.tunnel, identity) {
            return None;
        }
        state.multiply(identity, &record.public_key)?;
        let statics = state.statics.as_ref()?;
        let last = state.last_timestamp.unwrap_or_default();
        let accepted = opened.accept(statics, last, state.last_consumed_ms, self.now_ms).ok()?;
        let environment = &self.context.environment;
        let index = self.context.shared.index.reserve(self.hands.reader, record.flow, || environment.random_index())?;
        state.last_timestamp = Some(accepted.timestamp());
        state.last_consumed_ms = Some(self.now_ms);
        let psk = state.preshared_key.bytes();
        let mut drawn = Drawn::new(self.context.key_log.get());
        let random = &mut |bytes: &mut [u8]| drawn.note(bytes, environment);
        let answer = state.handshake.respond(statics, accepted, psk, index, self.now_ms, random);
        let Ok((response, secrets)) = answer else {
            self.context.shared.index.cancel(index);
            return None;
        };
        drawn.write(identity, &record.public_key, psk);
        self.install(&record, identity, flow, state, secrets)?;
        if let Some(endpoint) = self.hands.shared.endpoint(meta) {
            flow.set_endpoint(Some(&endpoint));
        }
        flow.stamps.received(self.now_ms, false);
        add(&flow.handshake_received, INITIATION_LEN);
        self.send(flow, state, &response);
        self.arm(&record, flow);
        Some(())
    }

    /// The answer to our initiation; mac1 is good.
    fn response(&mut self, identity: &Identity, message: &[u8; RESPONSE_LEN], meta: &Meta) -> Option<()> {
        let (record, receiver) = self.pending(message, meta)?;
        self.whose = Some(record.flow);
        let flow = self.hands.shared.flows.get(self.hands.reader, record.flow)?;
        let mut guard = record.lock();
        let state = &mut *guard;
        if state.removed || state.pending_index != Some(receiver) {
            return None;
        }
        let secrets = state.handshake.consume_response(identity, state.preshared_key.bytes(), message).ok()?;
        state.pending_index = None;
        self.install(&record, identity, flow, state, secrets)?;
        state.timers.handshake_complete();
        state.last_handshake = Some(self.context.environment.wall_clock());
        if let Some(endpoint) = self.hands.shared.endpoint(meta) {
            flow.set_endpoint(Some(&endpoint));
        }
        self.context.tell_where(&record, state, flow, true);
        flow.stamps.received(self.now_ms, false);
        add(&flow.handshake_received, RESPONSE_LEN);
        // Staged packets confirm the session; without any, an empty one does.
        self.hands.send_keepalive(flow, Kind::Confirm);
        flow.wake(self.hands.reader, Dir::Egress, &self.hands.shared.flows);
        self.arm(&record, flow);
        Some(())
    }

    fn cookie_reply(&mut self, message: &[u8; COOKIE_REPLY_LEN], meta: &Meta) -> Option<()> {
        let record = self.answered(message, meta)?;
        self.whose = Some(record.flow);
        let mut guard = record.lock();
        let state = &mut *guard;
        state.handshake.consume_cookie_reply(state.statics.as_ref()?, message, self.now_ms).ok()
    }

    /// Whose initiation this message answers: its receiver index, in bytes 4 to 8 of a cookie reply and 8 to 12 of a response. A peer of
    /// another interface than the one that it came to is nobody's.
    fn pending(&self, message: &[u8], meta: &Meta) -> Option<(Arc<PeerRecord>, u32)> {
        let at = if message.len() == COOKIE_REPLY_LEN { 4 } else { 8 };
        let receiver = u32::from_le_bytes(*message.get(at..)?.first_chunk()?);
        let flow = self.context.shared.index.pending(receiver)?;
        Some((self.peer_of(flow, meta)?, receiver))
    }

    /// Whose initiation or response of ours a cookie reply answers: a response's index names its keypair by then.
    fn answered(&self, message: &[u8; COOKIE_REPLY_LEN], meta: &Meta) -> Option<Arc<PeerRecord>> {
        if let Some((record, _)) = self.pending(message, meta) {
            return Some(record);
        }
        let receiver = u32::from_le_bytes(*message.get(4..)?.first_chunk()?);
        let keypair = self.context.shared.index.lookup(self.hands.reader, receiver)?;
        self.peer_of(FlowId(keypair.flow()), meta)
    }

    /// The peer of a flow, if it is of the interface that the message came to.
    fn peer_of(&self, flow: FlowId, meta: &Meta) -> Option<Arc<PeerRecord>> {
        self.context.directory.by_flow(flow).filter(|record| record.tunnel == meta.tunnel)
    }

    /// Starts a handshake, unless one was sent within 5 s (PROTOCOL A4). Never inlined, as above.
    #[inline(never)]
    fn initiate(&mut self, request: &Request) -> Option<()> {
        let record = &request.record;
        let identity = self.context.identity(record.tunnel)?;
        let flow = self.hands.shared.flows.get(self.hands.reader, record.flow)?;
        flow.endpoint()?;
        let mut guard = record.lock();
        let state = &mut *guard;
        if state.removed
            || state.sent_handshake_recently(self.now_ms)
            || !self.context.is_identity(record.tunnel, &identity)
        {
            return None;
        }
        state.multiply(&identity, &record.public_key)?;
        self.context.forget_handshake(state);
        let environment = &self.context.environment;
        let index = self.context.shared.index.reserve(self.hands.reader, record.flow, || environment.random_index())?;
        let statics = state.statics.as_ref()?;
        let time = Tai64N::from_unix(environment.wall_clock()).later_than(state.last_timestamp_sent);
        let mut drawn = Drawn::new(self.context.key_log.get());
        let random = &mut |bytes: &mut [u8]| drawn.note(bytes, environment);
        let message = state.handshake.create_initiation(&identity, statics, index, time, self.now_ms, random);
        let Ok(message) = message else {
            self.context.shared.index.cancel(index);
            return None;
        };
        drawn.write(&identity, &record.public_key, state.preshared_key.bytes());
        state.last_timestamp_sent = Some(time);
        state.pending_index = Some(index);
        state.timers.initiation_sent(self.now_ms, request.retry, |bound| environment.jitter(bound));
        self.send(flow, state, &message);
        self.hands.counters.initiations.add(1);
        self.arm(record, flow);
        Some(())
    }

    /// Puts a new session into its slots and frees what falls out (PROTOCOL A5).
    fn install(
        &mut self,
        record: &PeerRecord,
        identity: &Identity,
        flow: &PeerFlow<A::Packet>,
        state: &mut PeerState,
        secrets: SessionSecrets,
    ) -> Option<()> {
        let serial = next_serial();
        let initiator = secrets.initiator;
        let keypair = Keypair::new(secrets, serial, flow.id().0, self.now_ms);
        // Public keys: nothing leaks by how they are compared.
        let is_ours_greater = *identity.public_key() > record.public_key;
        let keypair = Box::new(keypair.with_precedence(initiator == is_ours_greater));
        let slot = self.context.shared.index.install(keypair)?;
        if state.keypairs.is_full() {
            self.context.sweep(state, flow, self.hands.reader, self.graves);
        }
        state.keypairs.push(slot);
        if initiator {
            flow.keys.install_initiator(slot);
            self.hands.counters.sessions_initiated.add(1);
        } else {
            flow.keys.install_responder(slot);
            self.hands.counters.sessions_answered.add(1);
        }
        self.context.sweep(state, flow, self.hands.reader, self.graves);
        state.timers.session_derived(self.now_ms);
        let interface = self.context.shared.tunnel(record.tunnel).map_or("", |tunnel| tunnel.name.as_str());
        let (peer, who) = (|| record.label(state), if initiator { "us" } else { "it" });
        tracing::debug!(peer = peer(), interface, "{interface}: peer {}: a session that {who} asked for", peer());
        Some(())
    }

    /// Sends a handshake message to where the peer is.
    fn send(&self, flow: &PeerFlow<A::Packet>, state: &mut PeerState, message: &[u8]) {
        let Some(endpoint) = flow.endpoint() else { return };
        state.last_handshake_sent_ms = Some(self.now_ms);
        flow.stamps.sent(self.now_ms, false);
        add(&flow.handshake_sent, message.len());
        self.hands.send_udp((flow.tunnel, Some(flow.id())), &endpoint, HANDSHAKE_TOS, message);
    }

    /// Has the timers look at the peer: its deadlines changed.
    fn arm(&self, record: &PeerRecord, flow: &PeerFlow<A::Packet>) {
        debug_assert_eq!(record.flow, flow.id());
        flow.post(self.hands.reader, &self.hands.shared.flows);
    }
}

/// Adds to a counter that several control threads write.
fn add(counter: &crate::queue::sync::AtomicU64, bytes: usize) {
    // Relaxed: a figure for people.
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}
