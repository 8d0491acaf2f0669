//! The crypto worker: drains peers' queues in chunks, seals and opens batches across peers, releases in order.
//!
//! A direction is scheduled to one worker at a time. That worker pops a chunk, takes the next ticket and gives the direction
//! on at once, so others can take the next chunk while this one is in its cipher. Chunks are released in ticket order; one whose
//! turn has not come waits in `chunks` while the worker goes on.

use super::{Counters, DropReason, ErrorBudget, Forward, PeerFlow, Shared, Tx, decap, encap, release, undeliverable};
use crate::aead::{Cipher, Job};
use crate::frame::{Kind, Packet, PacketPool};
use crate::peer::{Peer, wants};
use crate::queue::{Claim, Dir, PopEnd, Reader, Ticket, WorkerSeat, sync::Ordering};
use crate::session::Keypair;
use crate::shared::Stage;
use arrayvec::ArrayVec;

/// Packets a chunk, at most: what one ticket covers.
pub(super) const CHUNK: usize = 64;
/// Chunks that a worker can hold. The last place is for directions with no ticket outstanding, which it can always release itself.
const PLACES: usize = 32;
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
    ticket: Option<Ticket<P, Peer>>,
    dir: Dir,
    /// Still to be sealed or opened.
    raw: bool,
    /// Egress: where its packets go.
    pub(super) way_out: encap::WayOut,
}

/// One worker's state.
#[derive(Debug)]
pub struct CryptoWorker<A: PacketPool> {
    seat: WorkerSeat<A::Packet, Peer>,
    chunks: Box<[Chunk<A::Packet>]>,
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
                raw: false,
                way_out: encap::WayOut::default(),
            })
            .collect();
        let next_worker = (seat.index() + 1) % workers.max(1);
        Self { seat, chunks, cipher, workers: workers.max(1), next_worker }
    }

    /// One turn: gather, cipher, release. Returns how many packets it worked on. Never waits.
    pub(super) fn poll(&mut self, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>) -> usize {
        let cycles = &turn.counters.cycles;
        cycles.enter(Stage::Release);
        let mut released = self.release(turn, tx);
        cycles.enter(Stage::Drain);
        let gathered = self.gather(turn);
        if gathered > 0 {
            self.cipher(turn);
            cycles.enter(Stage::Release);
            released += self.release(turn, tx);
        }
        gathered.max(released)
    }

    /// Whether every place is free: nothing is held back for its turn.
    pub(super) fn is_idle(&self) -> bool {
        self.chunks.iter().all(|c| c.ticket.is_none())
    }

    fn gather(&mut self, turn: &Turn<'_, A>) -> usize {
        let (mut gathered, mut served, mut put_back) = (0, 0, 0);
        while gathered < BATCH && served < BATCH && put_back < PUT_BACKS {
            served += 1;
            let Some(place) = self.chunks.iter().position(|c| c.ticket.is_none()) else { break };
            let Some(claim) = self.seat.next() else { break };
            let last_place = self.chunks.iter().skip(place + 1).all(|c| c.ticket.is_some());
            if claim.tickets_outstanding() && (last_place || self.holds(&claim)) {
                put_back += 1;
                claim.again(&turn.shared.flows, self.after_me());
                continue;
            }
            gathered += match claim.dir() {
                _ if claim.is_retired() => drain(claim, turn),
                Dir::Egress => self.take_egress(claim, place, turn),
                Dir::Ingress => self.take_ingress(claim, place, turn),
            };
        }
        gathered
    }

    /// Whether a chunk of this direction is here already: a direction has one ticket outstanding a worker at most.
    fn holds(&self, claim: &Claim<A::Packet, Peer>) -> bool {
        self.chunks.iter().any(|c| c.dir == claim.dir() && c.ticket.as_ref().is_some_and(|t| t.id() == claim.id()))
    }

    /// The next worker, round robin.
    fn after_me(&mut self) -> usize {
        let worker = self.next_worker;
        self.next_worker = (worker + 1) % self.workers;
        worker
    }

    fn take_ingress(&mut self, mut claim: Claim<A::Packet, Peer>, place: usize, turn: &Turn<'_, A>) -> usize {
        let Some(chunk) = self.chunks.get_mut(place) else { return 0 };
        let end = claim.pop_into(&mut chunk.packets);
        self.give_on(claim, place, end, turn)
    }

    fn take_egress(&mut self, mut claim: Claim<A::Packet, Peer>, place: usize, turn: &Turn<'_, A>) -> usize {
        let Some(keypair) = usable(&claim, turn) else { return stage(claim, turn) };
        // A session came after all.
        given_up(&claim);
        let Some(chunk) = self.chunks.get_mut(place) else { return 0 };
        let mut unstaged = 0;
        while !chunk.packets.is_full()
            && let Some(packet) = claim.unstage()
        {
            chunk.packets.push(packet);
            unstaged += 1;
        }
        turn.shared.staged.give_back(unstaged);
        let end = match claim.staged_len() {
            0 => claim.pop_into(&mut chunk.packets),
            _ => PopEnd::More,
        };
        let went = keypair.nonce() > 0;
        chunk.way_out = encap::prepare(&mut chunk.packets, &claim, keypair, turn);
        elide_confirm(&mut chunk.packets, went, turn.counters);
        // A mere wake-up sends nothing (PROTOCOL A6, "on send").
        if !chunk.packets.is_empty() && keypair.wants_rekey_on_send(turn.now_ms) {
            ask(&claim, wants::HANDSHAKE, turn);
        }
        self.give_on(claim, place, end, turn)
    }

    /// Takes the ticket for what was popped and gives the direction on. Returns how many packets were popped.
    fn give_on(&mut self, mut claim: Claim<A::Packet, Peer>, place: usize, end: PopEnd, turn: &Turn<'_, A>) -> usize {
        let worker = self.after_me();
        let mut popped = 0;
        if let Some(chunk) = self.chunks.get_mut(place)
            && !chunk.packets.is_empty()
        {
            chunk.dir = claim.dir();
            chunk.raw = true;
            chunk.ticket = Some(claim.take_ticket());
            popped = chunk.packets.len();
            turn.counters.cycles.did(Stage::Drain, popped, 1);
        }
        let flows = &turn.shared.flows;
        match end {
            PopEnd::More => claim.again(flows, worker),
            PopEnd::HalfDone => claim.again(flows, self.seat.index()),
            PopEnd::Empty => {
                if let Some(claim) = claim.idle(turn.reader, |_| false) {
                    claim.again(flows, worker);
                }
            }
        }
        popped
    }

    /// Seals and opens everything raw, as one batch a direction over all peers.
    fn cipher(&mut self, turn: &Turn<'_, A>) {
        let cycles = &turn.counters.cycles;
        for dir in [Dir::Egress, Dir::Ingress] {
            cycles.enter(Stage::Drain);
            let mut jobs: ArrayVec<Job<'_>, JOBS> = ArrayVec::new();
            for chunk in self.chunks.iter_mut().filter(|c| c.raw && c.dir == dir) {
                add_jobs(chunk, &mut jobs, turn);
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
            let good: ArrayVec<bool, JOBS> = jobs.iter().map(|j| j.ok).collect();
            drop(jobs);
            let mut good = good.into_iter();
            for chunk in self.chunks.iter_mut().filter(|c| c.raw && c.dir == dir) {
                for packet in chunk.packets.iter_mut().filter(|p| p.meta().verdict == 0) {
                    if !good.next().unwrap_or(false) {
                        packet.meta_mut().verdict = DropReason::AuthFailed.verdict();
                    }
                }
                chunk.raw = false;
            }
        }
    }

    /// Releases every chunk whose turn it is, sends what they held, and only then passes the turns on. Returns the packets released.
    fn release(&mut self, turn: &Turn<'_, A>, tx: &mut Tx<A::Packet>) -> usize {
        let mut done: ArrayVec<Ticket<A::Packet, Peer>, PLACES> = ArrayVec::new();
        let mut forward = Forward::new(turn);
        let mut released = 0;
        for chunk in self.chunks.iter_mut().filter(|c| !c.raw) {
            if !chunk.ticket.as_ref().is_some_and(Ticket::is_turn) {
                continue;
            }
            let Some(ticket) = chunk.ticket.take() else { continue };
            released += chunk.packets.len();
            turn.counters.cycles.did(Stage::Release, chunk.packets.len(), 1);
            if ticket.is_retired() {
                turn.counters.drop_burst(DropReason::PeerGone, &mut chunk.packets);
            } else if chunk.dir == Dir::Egress {
                release::egress(chunk, &ticket, turn, tx);
            } else {
                release::ingress(chunk, &ticket, &mut forward, tx);
            }
            done.push(ticket);
        }
        forward.push();
        if !done.is_empty() {
            // What the next holder of the turn sends must follow what was released here.
            tx.flush(turn.counters);
        }
        done.into_iter().for_each(Ticket::pass);
        released
    }
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
        let end = claim.pop_into(&mut packets);
        drained += packets.len();
        turn.counters.drop_burst(DropReason::PeerGone, &mut packets);
        match end {
            PopEnd::More => {}
            PopEnd::HalfDone => {
                let home = claim.id().0 as usize;
                claim.again(&turn.shared.flows, home);
                return drained;
            }
            PopEnd::Empty => match claim.idle(turn.reader, |_| false) {
                Some(again) => claim = again,
                None => return drained,
            },
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
    let end = claim.pop_into(&mut packets);
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
    let again = match end {
        PopEnd::More | PopEnd::HalfDone => Some(claim),
        PopEnd::Empty => claim.idle(turn.reader, missed),
    };
    if let Some(claim) = again {
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

/// A keepalive that was to confirm a session is not needed where anything else goes: in this chunk, or (`went`) before it.
fn elide_confirm<P: Packet>(packets: &mut ArrayVec<P, CHUNK>, went: bool, counters: &Counters) {
    let is_confirm = |p: &P| p.meta().kind == Kind::Confirm;
    if !packets.iter().any(is_confirm) {
        return;
    }
    let mut needed = !went && !packets.iter().any(|p| !is_confirm(p) && p.meta().verdict == 0);
    let before = packets.len();
    packets.retain(|p| !is_confirm(p) || std::mem::take(&mut needed));
    counters.count_drop(DropReason::KeepaliveElided, (before - packets.len()) as u64);
}

/// Makes a job of every good packet of a raw chunk; one whose keypair is gone gets its verdict instead.
fn add_jobs<'a, A: PacketPool>(
    chunk: &'a mut Chunk<A::Packet>,
    jobs: &mut ArrayVec<Job<'a>, JOBS>,
    turn: &Turn<'a, A>,
) {
    let mut keypair: Option<&Keypair> = None;
    let dir = chunk.dir;
    for packet in &mut chunk.packets {
        let (meta, data) = packet.parts_mut();
        if meta.verdict != 0 {
            continue;
        }
        if keypair.is_none_or(|k| k.local_index() != meta.receiver) {
            keypair = turn.shared.index.lookup(turn.reader, meta.receiver);
        }
        let job = match dir {
            Dir::Egress => encap::job(meta, data, keypair),
            Dir::Ingress => decap::job(meta, data, keypair, turn.now_ms),
        };
        match job {
            Ok(job) => jobs.push(job),
            Err(reason) => meta.verdict = reason.verdict(),
        }
    }
}
