//! Flows against plain lists, over generated operations on one thread: exact order of everything.

use super::{
    Chain, Dir, Domain, FlowId, Flows, FlowsOwner, PostSeat, QUEUE_BOUND, Reader, Ticket, WorkerSeat, sync,
    testing::{Herd, Item, Member},
};
use arrayvec::ArrayVec;
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, VecDeque};

const FLOWS: u32 = 3;
const WORKERS: usize = 2;
const CHUNK: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    Insert,
    Retire(u32),
    Poll,
    /// A flow, a direction, and how many.
    Push(u32, Dir, u32),
    Wake(u32, Dir),
    Post(u32),
    Fire,
    /// A worker takes one direction: pops a chunk of so many, stages it or takes a ticket, and gives the claim on.
    Work(usize, usize, bool),
    /// As `Work`, but it takes so many that are staged instead.
    Unstage(usize, usize),
    /// The holder of this ticket asks for its turn.
    Release(usize),
    Report,
}

fn op() -> impl Strategy<Value = Op> {
    let dir = prop_oneof![Just(Dir::Egress), Just(Dir::Ingress)];
    prop_oneof![
        2 => Just(Op::Insert),
        1 => (0..FLOWS).prop_map(Op::Retire),
        3 => Just(Op::Poll),
        4 => (0..FLOWS, dir.clone(), 0..8_u32).prop_map(|(f, d, n)| Op::Push(f, d, n)),
        1 => (0..FLOWS, dir.clone(), 0..700_u32).prop_map(|(f, d, n)| Op::Push(f, d, n)),
        1 => (0..FLOWS, dir).prop_map(|(f, d)| Op::Wake(f, d)),
        1 => (0..FLOWS).prop_map(Op::Post),
        1 => Just(Op::Fire),
        8 => (0..WORKERS, 0..=CHUNK, any::<bool>()).prop_map(|(w, n, s)| Op::Work(w, n, s)),
        2 => (0..WORKERS, 0..8_usize).prop_map(|(w, n)| Op::Unstage(w, n)),
        6 => (0..8_usize).prop_map(Op::Release),
        3 => Just(Op::Report),
    ]
}

/// What one direction should hold.
#[derive(Default)]
struct Side {
    queued: VecDeque<u32>,
    staged: VecDeque<u32>,
    scheduled: bool,
    /// Tickets that are out, oldest first, by serial number.
    tickets: VecDeque<usize>,
}

/// What a flow should be.
#[derive(Default)]
struct Peer {
    sides: [Side; 2],
    retired: bool,
    posted: bool,
}

/// A chunk and its ticket.
struct Held {
    serial: usize,
    flow: u32,
    ticket: Ticket<Item, Member>,
    chunk: ArrayVec<Item, CHUNK>,
}

/// The table and what it should be.
struct Pair {
    herd: Herd,
    flows: sync::Arc<Flows<Item, Member>>,
    seats: Vec<WorkerSeat<Item, Member>>,
    post: PostSeat<Item, Member>,
    owner: FlowsOwner<Item, Member>,
    reader: Reader,
    held: Vec<Held>,
    peers: BTreeMap<u32, Peer>,
    ready: [VecDeque<(u32, Dir)>; WORKERS],
    posted: VecDeque<u32>,
    serial: usize,
    number: u32,
}

impl Pair {
    fn new() -> Self {
        let domain = Domain::new(1);
        let (flows, seats, post, owner) = Flows::new(FLOWS, WORKERS, domain.clone());
        Self {
            herd: Herd::default(),
            flows,
            seats,
            post,
            owner,
            reader: domain.register().unwrap(),
            held: Vec::new(),
            peers: BTreeMap::new(),
            ready: Default::default(),
            posted: VecDeque::new(),
            serial: 0,
            number: 0,
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Insert => self.insert(),
            Op::Retire(id) => self.retire(id),
            Op::Poll => self.poll(),
            Op::Push(id, dir, len) => self.push(id, dir, len),
            Op::Wake(id, dir) => self.wake(id, dir),
            Op::Post(id) => self.post(id),
            Op::Fire => self.fire(),
            Op::Work(worker, chunk, stage) => self.work(worker, chunk, stage),
            Op::Unstage(worker, n) => self.unstage(worker, n),
            Op::Release(which) => self.release(which),
            Op::Report => self.reader.quiescent(),
        }
        self.check();
    }

    fn insert(&mut self) {
        let herd = self.herd.clone();
        let id = self.owner.insert_with(|_| herd.member());
        assert_eq!(id.is_none(), self.peers.len() == FLOWS as usize);
        if let Some(FlowId(id)) = id {
            assert!(self.peers.insert(id, Peer::default()).is_none(), "number {id} is taken");
        }
    }

    fn retire(&mut self, id: u32) {
        let expected = self.peers.get_mut(&id).filter(|peer| !peer.retired);
        assert_eq!(self.owner.retire(FlowId(id)), expected.is_some());
        if let Some(peer) = expected {
            peer.retired = true;
        }
    }

    /// The owner may schedule what is retired, and free what is done with. When, is its grace periods' business; that
    /// it does so in the end is checked in `finish`.
    fn poll(&mut self) {
        let before = self.owner.unpublished();
        let left = self.owner.poll();
        let after = self.owner.unpublished();
        for id in before.iter().filter(|id| !after.contains(id)) {
            Dir::ALL.into_iter().for_each(|dir| self.schedule(id.0, dir));
        }
        let retired: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.retired).map(|(id, _)| *id).collect();
        let freed: Vec<_> = retired.iter().filter(|id| !self.owner.is_retiring(FlowId(**id))).collect();
        assert_eq!(left + freed.len(), retired.len());
        for id in freed {
            let peer = self.peers.remove(id).unwrap();
            assert!(!peer.posted, "freed too early");
            for side in peer.sides {
                assert!(!side.scheduled && side.queued.is_empty() && side.tickets.is_empty() && side.staged.is_empty());
            }
        }
    }

    fn schedule(&mut self, id: u32, dir: Dir) {
        let side = &mut self.peers.get_mut(&id).unwrap().sides[dir as usize];
        if !side.scheduled {
            side.scheduled = true;
            self.ready[id as usize % WORKERS].push_back((id, dir));
        }
    }

    fn push(&mut self, id: u32, dir: Dir, len: u32) {
        let Some(flow) = self.flows.get(&self.reader, FlowId(id)) else {
            return assert!(self.peers.get(&id).is_none_or(|peer| peer.retired));
        };
        let side = &mut self.peers.get_mut(&id).unwrap().sides[dir as usize];
        let fits = len.min(QUEUE_BOUND - u32::try_from(side.queued.len()).unwrap());
        let mut chain = Chain::new();
        (0..len).for_each(|n| chain.push_back(self.herd.item(id, self.number + n)));
        let mut rest = flow.push(&self.reader, dir, chain, &self.flows);
        assert_eq!(rest.len(), len - fits);
        for n in fits..len {
            assert_eq!(rest.pop_front().unwrap().value(), (id, self.number + n));
        }
        side.queued.extend(self.number..self.number + fits);
        self.number += len;
        if fits > 0 {
            self.schedule(id, dir);
        }
    }

    fn wake(&mut self, id: u32, dir: Dir) {
        if let Some(flow) = self.flows.get(&self.reader, FlowId(id)) {
            flow.wake(&self.reader, dir, &self.flows);
            self.schedule(id, dir);
        }
    }

    fn post(&mut self, id: u32) {
        if let Some(flow) = self.flows.get(&self.reader, FlowId(id)) {
            flow.post(&self.reader, &self.flows);
            let peer = self.peers.get_mut(&id).unwrap();
            if !core::mem::replace(&mut peer.posted, true) {
                self.posted.push_back(id);
            }
        }
    }

    fn fire(&mut self) {
        let fired = self.post.next(&self.reader).map(|flow| flow.id().0);
        assert_eq!(fired, self.posted.pop_front());
        if let Some(id) = fired {
            self.peers.get_mut(&id).unwrap().posted = false;
        }
    }

    fn work(&mut self, worker: usize, width: usize, stage: bool) {
        let claim = self.seats[worker].next();
        let expected = self.ready[worker].pop_front();
        assert_eq!(claim.as_ref().map(|claim| (claim.id().0, claim.dir())), expected);
        let (Some(mut claim), Some((id, dir))) = (claim, expected) else {
            return;
        };
        let peer = self.peers.get_mut(&id).unwrap();
        let side = &mut peer.sides[dir as usize];
        assert_eq!(claim.is_retired(), peer.retired);
        assert_eq!(claim.staged_len() as usize, side.staged.len());
        assert_eq!(claim.tickets_outstanding(), !side.tickets.is_empty());
        // Places that are taken stay as they are.
        let mut chunk = ArrayVec::<Item, CHUNK>::new();
        (width..CHUNK).for_each(|_| chunk.push(self.herd.item(u32::MAX, 0)));
        // The packets of the dead: dropped.
        while peer.retired && claim.unstage().is_some() {
            side.staged.pop_front().unwrap();
        }
        let n = width.min(side.queued.len());
        let popped: Vec<_> = side.queued.drain(..n).collect();
        let mut ticket = None;
        let left = if stage && !peer.retired {
            claim.pop_into(&mut chunk);
            chunk.drain(..CHUNK - width);
            assert!(chunk.iter().map(|item| item.value()).eq(popped.iter().map(|n| (id, *n))));
            chunk.drain(..).for_each(|item| claim.stage(item));
            side.staged.extend(popped);
            let left = claim.idle(&self.reader, |_| false);
            assert_eq!(left.is_some(), !side.queued.is_empty());
            left
        } else {
            let left = claim.serve(&mut chunk, |mut claim, items| {
                let came = items[CHUNK - width..].iter().map(|item| item.value());
                assert!(came.eq(popped.iter().map(|n| (id, *n))));
                ticket = (n > 0 && !peer.retired).then(|| claim.take_ticket());
            });
            chunk.drain(..CHUNK - width);
            assert!(chunk.iter().map(|item| item.value()).eq(popped.iter().map(|n| (id, *n))));
            assert_eq!(left.is_some(), !side.queued.is_empty() || !side.staged.is_empty());
            left
        };
        if let Some(ticket) = ticket {
            self.serial += 1;
            side.tickets.push_back(self.serial);
            self.held.push(Held { serial: self.serial, flow: id, ticket, chunk });
        }
        let other = worker + 1;
        if let Some(claim) = left {
            claim.again(&self.flows, other);
            self.ready[other % WORKERS].push_back((id, dir));
        } else {
            side.scheduled = false;
        }
    }

    fn unstage(&mut self, worker: usize, most: usize) {
        let Some(mut claim) = self.seats[worker].next() else {
            return;
        };
        let (id, dir) = self.ready[worker].pop_front().unwrap();
        let peer = self.peers.get_mut(&id).unwrap();
        let side = &mut peer.sides[dir as usize];
        for _ in 0..most {
            let staged = claim.unstage().map(|item| item.value());
            assert_eq!(staged, side.staged.pop_front().map(|n| (id, n)));
            assert_eq!(claim.staged_len() as usize, side.staged.len());
        }
        // Idle if nothing is queued; else it comes back.
        let back = claim.idle(&self.reader, |_| false);
        let dead = peer.retired && !side.staged.is_empty();
        assert_eq!(back.is_some(), dead || !side.queued.is_empty());
        match back {
            Some(claim) => {
                claim.again(&self.flows, worker);
                self.ready[worker].push_back((id, dir));
            }
            None => side.scheduled = false,
        }
    }

    fn release(&mut self, which: usize) {
        if self.held.is_empty() {
            return;
        }
        let which = which % self.held.len();
        let Held { serial, flow, ref ticket, .. } = self.held[which];
        let peer = self.peers.get_mut(&flow).unwrap();
        let tickets = &mut peer.sides[ticket.dir() as usize].tickets;
        assert_eq!(ticket.is_turn(), tickets.front() == Some(&serial));
        assert_eq!(ticket.is_retired(), peer.retired);
        if ticket.is_turn() {
            tickets.pop_front();
            self.held.remove(which).ticket.pass();
        }
    }

    fn check(&self) {
        let items: usize =
            self.peers.values().flat_map(|peer| &peer.sides).map(|side| side.queued.len() + side.staged.len()).sum();
        let held: usize = self.held.iter().map(|held| held.chunk.len()).sum();
        assert_eq!(self.herd.living(), items + held + self.peers.len());
        for (id, peer) in self.peers.iter().filter(|(_, peer)| !peer.retired) {
            let flow = self.flows.get(&self.reader, FlowId(*id)).unwrap();
            for dir in Dir::ALL {
                assert_eq!(flow.queued(dir) as usize, peer.sides[dir as usize].queued.len());
            }
        }
    }

    /// Everything is removed, and gets to its end.
    fn finish(mut self) {
        (0..FLOWS).for_each(|id| self.retire(id));
        for _ in 0..4 {
            self.reader.quiescent();
            self.poll();
            while self.ready.iter().any(|list| !list.is_empty()) {
                (0..WORKERS).for_each(|worker| self.work(worker, CHUNK, false));
            }
            // The oldest ticket of each direction has the turn.
            for which in (0..self.held.len()).rev().chain(0..self.held.len()) {
                self.release(which);
            }
            while !self.held.is_empty() {
                (0..self.held.len()).rev().for_each(|which| self.release(which));
            }
            (0..FLOWS).for_each(|_| self.fire());
            self.check();
        }
        assert!(self.peers.is_empty());
        assert_eq!(self.herd.living(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn flows_are_plain_lists(ops in vec(op(), 0..if cfg!(miri) { 20 } else { 150 })) {
        let mut pair = Pair::new();
        for op in ops {
            pair.run(op);
        }
        pair.finish();
    }

    /// Whatever state it is dropped in, nothing is left. (Claims and tickets would be: they are given back.)
    #[test]
    fn dropped_at_any_time(ops in vec(op(), 0..if cfg!(miri) { 20 } else { 80 })) {
        let mut pair = Pair::new();
        let herd = pair.herd.clone();
        for op in ops {
            pair.run(op);
        }
        while !pair.held.is_empty() {
            (0..pair.held.len()).rev().for_each(|which| pair.release(which));
        }
        drop(pair);
        prop_assert_eq!(herd.living(), 0);
    }
}
