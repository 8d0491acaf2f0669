//! Real threads: two producers, two workers, a timer and an owner who removes and makes flows all the while.

use super::{
    Chain, Dir, Domain, FlowId, Flows, FlowsOwner, PostSeat, Reader, Ticket, WorkerSeat, sync,
    testing::{Herd, Item, Member},
};
use arrayvec::ArrayVec;
use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU32, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};
use std::thread;

const FLOWS: u32 = 4;
const PRODUCERS: u32 = 2;

/// Bursts a producer: bounded, so that the run takes about a second.
const BURSTS: u32 = if cfg!(miri) { 20 } else { 60_000 };

/// What is checked in a flow: the number that each producer's released items have reached, a direction. Written
/// in turn only, plainly: loads and stores that would lose updates if turns overlapped.
struct Body {
    reached: [[AtomicU32; PRODUCERS as usize]; 2],
    _member: Member,
}

/// What all threads know.
struct World {
    herd: Herd,
    flows: sync::Arc<Flows<Item, Body>>,
    producing: AtomicUsize,
    stop: AtomicBool,
    pushed: AtomicUsize,
    released: AtomicUsize,
    gone: AtomicUsize,
    fired: AtomicUsize,
}

/// A little randomness, without a seed from outside.
struct Dice(u32);

impl Dice {
    /// Below `n`.
    fn roll(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % n
    }
}

fn produce(world: &World, producer: u32, mut reader: Reader) {
    let mut dice = Dice(77 + producer);
    let (mut number, mut bursts) = (0, 0);
    while bursts < BURSTS {
        let mut pushed = 0;
        if let Some(flow) = world.flows.get(&reader, FlowId(dice.roll(FLOWS))) {
            let dir = Dir::ALL[dice.roll(2) as usize];
            let mut chain = Chain::new();
            for _ in 0..=dice.roll(8) {
                number += 1;
                chain.push_back(world.herd.item(producer, number));
            }
            let all = chain.len();
            let rest = flow.push(&reader, dir, chain, &world.flows);
            pushed = all - rest.len();
            world.pushed.fetch_add(pushed as usize, Relaxed);
            flow.post(&reader, &world.flows);
        }
        reader.quiescent();
        if pushed > 0 {
            bursts += 1;
        } else {
            thread::yield_now();
        }
    }
    world.producing.fetch_sub(1, SeqCst);
}

/// A chunk that waits for its turn.
type Held = (Ticket<Item, Body>, ArrayVec<Item, 8>);

fn work(world: &World, mut seat: WorkerSeat<Item, Body>, mut reader: Reader) {
    let mut held = ArrayVec::<Held, 8>::new();
    while !world.stop.load(SeqCst) || !held.is_empty() {
        let before = held.len();
        held = held.into_iter().filter_map(|held| release(world, held)).collect();
        let took = take(world, &mut seat, &mut held);
        reader.quiescent();
        if !took && held.len() == before {
            thread::yield_now();
        }
    }
}

fn take(world: &World, seat: &mut WorkerSeat<Item, Body>, held: &mut ArrayVec<Held, 8>) -> bool {
    if held.is_full() {
        return false;
    }
    let Some(mut claim) = seat.next() else {
        return false;
    };
    if claim.is_retired() {
        let mut gone = ArrayVec::<_, 8>::new();
        claim.pop_into(&mut gone);
        world.gone.fetch_add(gone.len(), Relaxed);
    }
    let mut chunk = ArrayVec::new();
    let mut ticket = None;
    let left = claim.serve(&mut chunk, |mut claim, items| {
        ticket = (!items.is_empty()).then(|| claim.take_ticket());
    });
    held.extend(ticket.map(|ticket| (ticket, chunk)));
    if let Some(claim) = left {
        claim.again(seat.flows(), seat.index() + 1);
    }
    true
}

fn release(world: &World, (ticket, chunk): Held) -> Option<Held> {
    if !ticket.is_turn() {
        return Some((ticket, chunk));
    }
    for item in &chunk {
        let (producer, number) = item.value();
        let reached = &ticket.reached[ticket.dir() as usize][producer as usize];
        let before = reached.load(Relaxed);
        assert!(before < number, "in order: {number} after {before}");
        reached.store(number, Relaxed);
    }
    world.released.fetch_add(chunk.len(), Relaxed);
    ticket.pass();
    None
}

fn fire(world: &World, mut post: PostSeat<Item, Body>, mut reader: Reader) {
    while !world.stop.load(SeqCst) {
        if let Some(flow) = post.next(&reader) {
            assert!(flow.id().0 < FLOWS);
            world.fired.fetch_add(1, Relaxed);
        } else {
            thread::yield_now();
        }
        reader.quiescent();
    }
}

/// Removes and makes flows until the producers are done, then removes all.
fn own(world: &World, mut owner: FlowsOwner<Item, Body>) -> usize {
    let mut dice = Dice(5);
    let mut removals = 0;
    while world.producing.load(SeqCst) > 0 {
        while insert(world, &mut owner) {}
        if dice.roll(32) == 0 {
            removals += usize::from(owner.retire(FlowId(dice.roll(FLOWS))));
        }
        owner.poll();
        thread::yield_now();
    }
    removals += (0..FLOWS).filter(|id| owner.retire(FlowId(*id))).count();
    while owner.poll() > 0 {
        thread::yield_now();
    }
    world.stop.store(true, SeqCst);
    removals
}

fn insert(world: &World, owner: &mut FlowsOwner<Item, Body>) -> bool {
    let body = |_| Body { reached: Default::default(), _member: world.herd.member() };
    owner.insert_with(body).is_some()
}

#[test]
fn stress() {
    let domain = Domain::new(PRODUCERS as usize + 3);
    let (flows, seats, post, mut owner) = Flows::new(FLOWS, 2, Arc::clone(&domain));
    let world = World {
        herd: Herd::default(),
        flows,
        producing: AtomicUsize::new(PRODUCERS as usize),
        stop: AtomicBool::new(false),
        pushed: AtomicUsize::new(0),
        released: AtomicUsize::new(0),
        gone: AtomicUsize::new(0),
        fired: AtomicUsize::new(0),
    };
    while insert(&world, &mut owner) {}
    let reader = || domain.register().unwrap();
    let removals = thread::scope(|scope| {
        let world = &world;
        for producer in 0..PRODUCERS {
            let reader = reader();
            scope.spawn(move || produce(world, producer, reader));
        }
        for seat in seats {
            let reader = reader();
            scope.spawn(move || work(world, seat, reader));
        }
        let reader = reader();
        scope.spawn(move || fire(world, post, reader));
        own(world, owner)
    });
    let [pushed, released, gone, fired] =
        [&world.pushed, &world.released, &world.gone, &world.fired].map(|n| n.load(SeqCst));
    assert_eq!(pushed, released + gone, "rx = tx + drops");
    assert!(removals >= FLOWS as usize);
    assert!(pushed > 0 && fired > 0);
    assert_eq!(world.herd.living(), 0);
    println!("{pushed} pushed, {released} released, {gone} gone, {fired} fired, {removals} removals");
}
