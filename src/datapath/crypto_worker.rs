//! The crypto worker: drains peers' queues in chunks, seals and opens batches across peers, releases in order.
//!
//! A direction is scheduled to one worker at a time. That worker pops a chunk, takes the next ticket and gives the direction
//! on at once, so others can take the next chunk while this one is in its cipher. Chunks are released in ticket order; one whose
//! turn has not come waits in `chunks` while the worker goes on.

use super::{
    Counters, DropReason, ErrorBudget, Forward, PeerFlow, Shared, Tx,
    confirms::Confirms,
    decap, encap,
    places::Places,
    release::{self, Inbound},
    tap_point, undeliverable,
};
use crate::aead::{Cipher, Job};
use crate::frame::{Kind, Packet, PacketPool};
use crate::peer::{Peer, wants};
use crate::queue::{Claim, Dir, Reader, Ticket, WorkerSeat, sync::Ordering};
use crate::session::Keypair;
use crate::shared::Stage;
use arrayvec::ArrayVec;

/// Packets a chunk, at most: what one ticket covers.
pub(super) const CHUNK: usize = 64;
/// Chunks that a worker can hold. The last place is for directions with no ticket outstanding, which it can always release itself.
const PLACES: usize = 64;
/// Packets that are gathered for one batch before the cipher runs (the last chunk may go beyond).
const BATCH: usize = 64;
/// Most jobs of one batch.
const JOBS: usize = BATCH + CHUNK;
/// Most staged packets a peer (PROTOCOL A1, MAX_STAGED_PACKETS).
const STAGED: u32 = 128;
/// Claims that one turn of the loop may put back unserved.
const PUT_BACKS: usize = 8;

/// Packets of one direction of one peer that share a ticket.
#[derive(Debug)]
pub(super) struct Chunk<P: Packet> {
    pub(super) packets: ArrayVec<P, CHUNK>,
    /// `None`: the place is free.
    pub(super) ticket: Option<Ticket<P, Peer>>,
    dir: Dir,
    /// Egress: what becomes of its packets.
    pub(super) plan: encap::Plan,
}

/// One worker's state.
#[derive(Debug)]
pub struct CryptoWorker<A: PacketPool> {
    seat: WorkerSeat<A::Packet, Peer>,
    chunks: Box<[Chunk<A::Packet>]>,
    /// Places of `chunks` without a ticket.
    free: Places,
    /// Those that are still to be sealed.
    to_seal: Places,
    /// Those that are still to be opened.
    to_open: Places,
    cipher: Cipher,
    workers: usize,
    next_worker: usize,
}

/// What a worker needs for one turn.
pub(super) struct Turn<'r, A: PacketPool> {
    pub(super) shared: &'r Shared<A>,
    pub(super) reader: &'r Reader,
    pub(super) counters: &'r Counters,
    pub(super) errors: &'r ErrorBudget,
    pub(super) now_ms: u64,
}

impl<A: PacketPool> CryptoWorker<A> {
    /// The worker of `seat`, one of `workers`, which seals and opens with `cipher`.
    pub fn new(seat: WorkerSeat<A::Packet, Peer>, workers: usize, cipher: Cipher) -> Self {
        let chunks = (0..PLACES)
            .map(|_| Chunk {
                packets: ArrayVec::new(),
                ticket: None,
                dir: Dir::Egress,
                plan: encap::Plan::refused(DropReason::NoOuterRoute),
            })
            .collect();
        let next_worker = (seat.index() + 1) % workers.max(1);
        let (free, to_seal, to_open) = (Places(u64::MAX), Places(0), Places(0));
        Self { seat, chunks, free, to_seal, to_open, cipher, workers: workers.max(1), next_worker }
    }

    /// One turn: gather, cipher, release. Returns how many packets it worked on. Never waits.
    pub(super) fn poll(&mut self, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>) -> usize {
        let cycles = &turn.counters.cycles;
        cycles.enter(Stage::Release);
        let mut released = self.release(turn, tx);
        cycles.enter(Stage::Drain);
        let (gathered, keypairs) = self.gather(turn);
        if gathered > 0 {
            self.cipher(turn, &keypairs);
            cycles.enter(Stage::Release);
            released += self.release(turn, tx);
        }
        gathered.max(released)
    }

    /// Whether every place is free: nothing is held back for its turn.
    pub(super) fn is_idle(&self) -> bool {
        self.free == Places(u64::MAX)
    }

    /// Claims what is ready, looks up the keypairs and headers of all, and then pops: the cache misses of many peers run side by side.
    /// Returns how many packets were popped, and, by the places of their chunks, what seals those that go out.
    fn gather<'r>(&mut self, turn: &Turn<'r, A>) -> (usize, [Option<&'r Keypair>; PLACES]) {
        let claims = self.claim(turn);
        look_ahead(&claims, turn);
        // A place each; it stays free if nothing is popped.
        let places = self.free;
        let mut keypairs = [None; PLACES];
        for (claim, place) in claims.iter().zip(places).filter(|(claim, _)| claim.dir() == Dir::Egress) {
            let keypair = usable(claim, turn);
            if let (Some(keypair), Some(chunk)) = (keypair, self.chunks.get_mut(place)) {
                chunk.plan.make(claim, keypair, turn);
            }
            if let Some(slot) = keypairs.get_mut(place) {
                *slot = keypair;
            }
        }
        let mut gathered = 0;
        for (claim, place) in claims.into_iter().zip(places) {
            // More has come than was seen when they were claimed.
            if gathered >= BATCH {
                claim.again(&turn.shared.flows, self.seat.index());
                continue;
            }
            gathered += match claim.dir() {
                _ if claim.is_retired() => drain(claim, turn),
                Dir::Egress => self.take_egress(claim, place, keypairs.get(place).copied().flatten(), turn),
                Dir::Ingress => self.take_ingress(claim, place, turn),
            };
        }
        (gathered, keypairs)
    }

    /// Takes directions off the ready list, for as many packets as make a batch and as many chunks as there are places.
    fn claim(&mut self, turn: &Turn<'_, A>) -> ArrayVec<Claim<A::Packet, Peer>, BATCH> {
        let mut claims = ArrayVec::new();
        let (mut expected, mut put_back) = (0, 0);
        let places = self.free.len().min(BATCH);
        while expected < BATCH && claims.len() < places && put_back < PUT_BACKS {
            let Some(claim) = self.seat.next() else { break };
            let last_place = claims.len() + 1 == self.free.len();
            if claim.tickets_outstanding() && (last_place || self.holds(&claim)) {
                put_back += 1;
                claim.again(&turn.shared.flows, self.after_me());
                continue;
            }
            expected += (claim.queued(claim.dir()) as usize).clamp(1, CHUNK);
            claims.push(claim);
        }
        claims
    }

    /// Whether a chunk of this direction is here already: a direction has one ticket outstanding a worker at most.
    #[cold]
    fn holds(&self, claim: &Claim<A::Packet, Peer>) -> bool {
        self.chunks.iter().any(|c| c.dir == claim.dir() && c.ticket.as_ref().is_some_and(|t| t.id() == claim.id()))
    }

    /// The next of the other workers, round robin: this one is going to be in its cipher. Alone, itself.
    fn after_me(&mut self) -> usize {
        let worker = self.next_worker;
        let next = (worker + 1) % self.workers;
        self.next_worker = if next == self.seat.index() { (next + 1) % self.workers } else { next };
        worker
    }

    fn take_ingress(&mut self, claim: Claim<A::Packet, Peer>, place: usize, turn: &Turn<'_, A>) -> usize {
        let Some(chunk) = self.chunks.get_mut(place) else { return put_back(claim, turn) };
        let Chunk { packets, ticket, .. } = chunk;
        let left = claim.serve(packets, |mut claim, packets| {
            *ticket = (!packets.is_empty()).then(|| claim.take_ticket());
        });
        self.took(Dir::Ingress, place, left, turn)
    }

    fn take_egress(
        &mut self,
        mut claim: Claim<A::Packet, Peer>,
        place: usize,
        keypair: Option<&Keypair>,
        turn: &Turn<'_, A>,
    ) -> usize {
        let Some(keypair) = keypair else { return stage(claim, turn) };
        // A session came after all.
        given_up(&claim);
        let Some(chunk) = self.chunks.get_mut(place) else { return put_back(claim, turn) };
        let Chunk { packets, ticket, plan, .. } = chunk;
        if claim.staged_len() > 0 {
            unstage(&mut claim, packets, turn);
        }
        let mut confirms = Confirms::None;
        let left = claim.serve(packets, |mut claim, packets| {
            confirms = Confirms::of(packets, keypair.nonce() > 0, |packet| plan.takes(packet));
            let packets = confirms.left_of(packets);
            // A mere wake-up sends nothing (PROTOCOL A6, "on send").
            if packets == 0 {
                return;
            }
            plan.number(packets, keypair);
            *ticket = Some(claim.take_ticket());
            if keypair.wants_rekey_on_send(turn.now_ms) {
                ask(&claim, wants::HANDSHAKE, turn);
            }
        });
        confirms.elide(packets, turn.counters);
        self.took(Dir::Egress, place, left, turn)
    }

    /// Notes what was popped to `place`, and gives the direction on if something is left in it. Returns how many packets were popped.
    fn took(&mut self, dir: Dir, place: usize, left: Option<Claim<A::Packet, Peer>>, turn: &Turn<'_, A>) -> usize {
        if let Some(claim) = left {
            claim.again(&turn.shared.flows, self.after_me());
        }
        let Some(chunk) = self.chunks.get_mut(place).filter(|chunk| chunk.ticket.is_some()) else { return 0 };
        chunk.dir = dir;
        let popped = chunk.packets.len();
        self.free.remove(place);
        match dir {
            Dir::Egress => self.to_seal.insert(place),
            Dir::Ingress => self.to_open.insert(place),
        }
        turn.counters.cycles.did(Stage::Drain, popped, 1);
        popped
    }

    /// Seals and opens everything raw, as one batch a direction over all peers.
    fn cipher(&mut self, turn: &Turn<'_, A>, keypairs: &[Option<&Keypair>; PLACES]) {
        let cycles = &turn.counters.cycles;
        let (to_seal, to_open) = (std::mem::take(&mut self.to_seal), std::mem::take(&mut self.to_open));
        for (dir, raw) in [(Dir::Egress, to_seal), (Dir::Ingress, to_open)] {
            if raw.is_empty() {
                continue;
            }
            cycles.enter(Stage::Drain);
            match dir {
                Dir::Egress => raw.of(&mut self.chunks).for_each(|chunk| look_before(chunk)),
                Dir::Ingress => look_for_keypairs(|| raw.into_iter().filter_map(|place| self.chunks.get(place)), turn),
            }
            tap_point::drained(raw.of(&mut self.chunks), dir, turn);
            let mut jobs: ArrayVec<Job<'_>, JOBS> = ArrayVec::new();
            for (chunk, place) in raw.of(&mut self.chunks).zip(raw) {
                let Chunk { packets, plan, .. } = chunk;
                match dir {
                    Dir::Egress => plan.jobs(packets, keypairs.get(place).copied().flatten(), |job| jobs.push(job)),
                    Dir::Ingress => add_jobs_to_open(packets, &mut jobs, turn),
                }
            }
            if !jobs.is_empty() {
                cycles.enter(Stage::Aead);
                cycles.did(Stage::Aead, jobs.len(), 1);
                match dir {
                    Dir::Egress => self.cipher.seal(&mut jobs),
                    Dir::Ingress => self.cipher.open(&mut jobs),
                }
            }
            cycles.enter(Stage::Release);
            if jobs.iter().all(|job| job.ok) {
                continue;
            }
            let good: ArrayVec<bool, JOBS> = jobs.iter().map(|j| j.ok).collect();
            drop(jobs);
            let mut good = good.into_iter();
            for chunk in raw.of(&mut self.chunks) {
                for packet in chunk.packets.iter_mut().filter(|p| p.meta().verdict == 0) {
                    if !good.next().unwrap_or(false) {
                        packet.meta_mut().verdict = DropReason::AuthFailed.verdict();
                    }
                }
            }
        }
        tap_point::ciphered(Places(to_seal.0 | to_open.0).of(&mut self.chunks), turn);
    }

    /// Releases every chunk whose turn it is, sends what they held, and only then passes the turns on. Returns the packets released.
    fn release(&mut self, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>) -> usize {
        let held = self.free.others();
        if held.is_empty() {
            return 0;
        }
        let mut done: ArrayVec<Ticket<A::Packet, Peer>, PLACES> = ArrayVec::new();
        let mut places = Places(0);
        for place in held {
            if let Some(chunk) = self.chunks.get_mut(place)
                && let Some(ticket) = chunk.ticket.take_if(|ticket| ticket.is_turn())
            {
                places.insert(place);
                done.push(ticket);
            }
        }
        if done.is_empty() {
            return 0;
        }
        let released = self.release_chunks(places, &done, turn, tx);
        self.free.0 |= places.0;
        // What the next holder of the turn sends must follow what was released here.
        tx.flush(turn.counters);
        done.into_iter().for_each(Ticket::pass);
        released
    }

    /// Releases the chunks at these places, of the holders of these turns, in order. Returns their packets.
    fn release_chunks(
        &mut self,
        places: Places,
        tickets: &[Ticket<A::Packet, Peer>],
        turn: &Turn<'_, A>,
        tx: &mut Tx<A::Packet>,
    ) -> usize {
        let mut released = 0;
        let (mut forward, mut inbound) = (Forward::new(turn), Inbound::new(turn));
        for (place, ticket) in places.zip(tickets) {
            let Some(chunk) = self.chunks.get_mut(place) else { continue };
            tap_point::released(&chunk.packets, turn);
            released += chunk.packets.len();
            turn.counters.cycles.did(Stage::Release, chunk.packets.len(), 1);
            if ticket.is_retired() {
                turn.counters.drop_burst(DropReason::PeerGone, &mut chunk.packets);
            } else if chunk.dir == Dir::Egress {
                release::egress(chunk, ticket, turn, tx);
            } else {
                inbound.chunk(chunk, ticket, &mut forward, tx);
            }
        }
        inbound.flush(&mut forward, tx);
        forward.push();
        released
    }
}

/// Asks the cache for what the claims' peers and keypairs will be asked: a step over all of them, since each waits for the one before.
#[inline]
fn look_ahead<A: PacketPool>(claims: &[Claim<A::Packet, Peer>], turn: &Turn<'_, A>) {
    for claim in claims {
        match claim.dir() {
            Dir::Egress => claim.prefetch_to_send(),
            Dir::Ingress => claim.prefetch_to_receive(),
        }
    }
    let index = &turn.shared.index;
    let keypairs = || claims.iter().filter(|claim| claim.dir() == Dir::Egress).filter_map(|claim| claim.keys.current());
    keypairs().for_each(|slot| index.prefetch(slot));
    keypairs().for_each(|slot| index.prefetch_keypair(turn.reader, slot, Keypair::prefetch_to_send));
}

/// Asks the cache for the lines in front of packets that the outer headers go to: nobody has touched them since the packets came.
#[inline]
fn look_before<P: Packet>(chunk: &Chunk<P>) {
    chunk.packets.iter().for_each(|packet| packet.prefetch_before(encap::FRONT));
}

/// Asks the cache for the keypairs that open raw chunks: their places first, and then what is in these.
#[inline]
fn look_for_keypairs<'a, A: PacketPool, I: Iterator<Item = &'a Chunk<A::Packet>>>(
    chunks: impl Fn() -> I,
    turn: &Turn<'_, A>,
) {
    let index = &turn.shared.index;
    let receivers = || chunks().filter_map(|chunk| chunk.packets.first()).map(|packet| packet.meta().receiver);
    receivers().for_each(|receiver| index.prefetch(receiver));
    receivers().for_each(|receiver| index.prefetch_keypair(turn.reader, receiver, Keypair::prefetch_to_receive));
}

/// Gives a claim back for which there is no place after all.
#[cold]
fn put_back<A: PacketPool>(claim: Claim<A::Packet, Peer>, turn: &Turn<'_, A>) -> usize {
    let home = claim.id().0 as usize;
    claim.again(&turn.shared.flows, home);
    0
}

/// What waited for the session goes first.
#[cold]
fn unstage<A: PacketPool>(
    claim: &mut Claim<A::Packet, Peer>,
    packets: &mut ArrayVec<A::Packet, CHUNK>,
    turn: &Turn<'_, A>,
) {
    let mut unstaged = 0;
    while !packets.is_full()
        && let Some(packet) = claim.unstage()
    {
        packets.push(packet);
        unstaged += 1;
    }
    turn.shared.staged.give_back(unstaged);
}

/// Drains a removed peer's direction.
fn drain<A: PacketPool>(mut claim: Claim<A::Packet, Peer>, turn: &Turn<'_, A>) -> usize {
    let mut drained = 0;
    let mut unstaged = 0;
    while let Some(packet) = claim.unstage() {
        turn.counters.drop_packet(DropReason::PeerGone, packet);
        unstaged += 1;
    }
    turn.shared.staged.give_back(unstaged);
    loop {
        let mut packets: ArrayVec<A::Packet, CHUNK> = ArrayVec::new();
        claim.pop_into(&mut packets);
        drained += packets.len();
        turn.counters.drop_burst(DropReason::PeerGone, &mut packets);
        match claim.idle(turn.reader, |_| false) {
            Some(again) => claim = again,
            None => return drained,
        }
    }
}

/// The keypair that this peer sends with now.
fn usable<'r, A: PacketPool>(flow: &PeerFlow<A::Packet>, turn: &Turn<'r, A>) -> Option<&'r Keypair> {
    let keypair = turn.shared.index.keypair(turn.reader, flow.keys.current()?)?;
    (keypair.flow() == flow.id().0 && keypair.may_send(turn.now_ms)).then_some(keypair)
}

/// No session: a chunk of what the queue holds waits in the peer, and a handshake is asked for (PROTOCOL A6). Without an endpoint there
/// can be no handshake, and nothing waits: as much as the budget holds would wait for peers that never come (PROTOCOL A8).
/// Returns how many packets came.
fn stage<A: PacketPool>(mut claim: Claim<A::Packet, Peer>, turn: &Turn<'_, A>) -> usize {
    let staged = &turn.shared.staged;
    if given_up(&claim) {
        while let Some(packet) = claim.unstage() {
            staged.give_back(1);
            turn.counters.drop_packet(DropReason::NoAnswer, packet);
        }
    }
    let reachable = claim.endpoint().is_some();
    let mut asks = claim.staged_len() > 0;
    let mut packets: ArrayVec<A::Packet, CHUNK> = ArrayVec::new();
    claim.pop_into(&mut packets);
    let came = packets.len();
    for packet in packets {
        // Whatever comes asks for a session, also what finds no room to wait.
        asks |= reachable && packet.meta().kind != Kind::Confirm;
        if packet.meta().kind != Kind::Data {
            // The session that it asks for is confirmed without it.
            turn.counters.drop_packet(DropReason::KeepaliveElided, packet);
            continue;
        }
        if !reachable {
            undeliverable(packet, DropReason::NoEndpoint, turn);
            continue;
        }
        if claim.staged_len() >= STAGED
            && let Some(oldest) = claim.unstage()
        {
            staged.give_back(1);
            turn.counters.drop_packet(DropReason::StageOverflow, oldest);
        }
        if staged.take() {
            tap_point::waits(&packet, turn);
            claim.stage(packet);
        } else {
            turn.counters.drop_packet(DropReason::StageFull, packet);
        }
    }
    if asks {
        ask(&claim, wants::HANDSHAKE, turn);
    }
    let home = claim.id().0 as usize;
    let waiting = claim.staged_len() > 0;
    // A session, or the word to give up, that arrived meanwhile found the direction scheduled and woke nobody.
    let missed = |flow: &PeerFlow<A::Packet>| waiting && (usable(flow, turn).is_some() || is_given_up(flow));
    if let Some(claim) = claim.idle(turn.reader, missed) {
        claim.again(&turn.shared.flows, home);
    }
    came
}

/// Whether the control thread has given up on this peer; it is told once.
fn given_up<P: Packet>(flow: &PeerFlow<P>) -> bool {
    // AcqRel: the control thread's store is seen once, and after what it did before.
    is_given_up(flow) && flow.give_up.swap(false, Ordering::AcqRel)
}

fn is_given_up<P: Packet>(flow: &PeerFlow<P>) -> bool {
    // Relaxed: a hint; who acts on it swaps.
    flow.give_up.load(Ordering::Relaxed)
}

/// Asks the control threads for something, once.
pub(super) fn ask<A: PacketPool>(flow: &PeerFlow<A::Packet>, bits: u32, turn: &Turn<'_, A>) {
    if flow.stamps.want(bits) {
        flow.post(turn.reader, &turn.shared.flows);
    }
}

/// Makes a job of every good packet of a raw chunk that came in; one whose keypair is gone gets its verdict instead.
fn add_jobs_to_open<'a, A: PacketPool>(
    packets: &'a mut [A::Packet],
    jobs: &mut ArrayVec<Job<'a>, JOBS>,
    turn: &Turn<'a, A>,
) {
    let mut keypair: Option<&Keypair> = None;
    for packet in packets {
        let (meta, data) = packet.parts_mut();
        if meta.verdict != 0 {
            continue;
        }
        if keypair.is_none_or(|k| k.local_index() != meta.receiver) {
            keypair = turn.shared.index.lookup(turn.reader, meta.receiver);
        }
        match decap::job(meta, data, keypair, turn.now_ms) {
            Ok(job) => jobs.push(job),
            Err(reason) => meta.verdict = reason.verdict(),
        }
    }
}
