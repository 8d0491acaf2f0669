//! Flows: behaviours 5 and 6 of the per-peer queue, under loom, Miri and plain threads.
//!
//! No body waits for a wake-up: after all threads have ended the workers run until their ready lists are empty, and what
//! was pushed and has not come by then was lost.

use super::{
    Chain, Dir, Domain, Flow, FlowId, Flows, FlowsOwner, Popping, PostSeat, Pushes, Reader, Ticket, WorkerSeat,
    sync::{self, AtomicU32, Ordering::Relaxed, UnsafeCell, model, thread},
    testing::{Herd, Item, Member},
};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// What a model keeps in a flow. The cells are plain memory: loom sees whether the claim and the turn order their accesses.
struct Body {
    /// Owned by the claim of egress.
    nonce: UnsafeCell<u32>,
    /// Owned by the holder of egress' turn: producer and number of what was released.
    released: UnsafeCell<Vec<(u32, u32)>>,
    /// Written before the flow is posted.
    stamp: AtomicU32,
    _member: Member,
}

// SAFETY: not safe as such; what the models check is that no two threads use a cell at once.
unsafe impl Sync for Body {}

type Seat = WorkerSeat<Item, Body>;
type Owner = FlowsOwner<Item, Body>;

/// A table with one flow, and readers for it.
struct Table {
    herd: Herd,
    flows: sync::Arc<Flows<Item, Body>>,
    seats: Vec<Seat>,
    post: PostSeat<Item, Body>,
    owner: Owner,
    readers: Vec<Reader>,
    id: FlowId,
}

impl Table {
    fn new(workers: usize, readers: usize) -> Self {
        let herd = Herd::default();
        let domain = Domain::new(readers);
        let (flows, seats, post, mut owner) = Flows::new(1, workers, Arc::clone(&domain));
        let body = |_| Body {
            nonce: UnsafeCell::new(0),
            released: UnsafeCell::new(Vec::new()),
            stamp: AtomicU32::new(0),
            _member: herd.member(),
        };
        let id = owner.insert_with(body).unwrap();
        let readers = (0..readers).map(|_| domain.register().unwrap()).collect();
        Self { herd, flows, seats, post, owner, readers, id }
    }

    fn flow<'r>(&self, reader: &'r Reader) -> &'r Flow<Item, Body> {
        self.flows.get(reader, self.id).unwrap()
    }

    /// Starts a producer of `pushes` single items.
    fn produce(&mut self, producer: u32, pushes: u32) -> thread::JoinHandle<()> {
        let reader = self.readers.pop().unwrap();
        let (herd, flows, id) = (self.herd.clone(), sync::Arc::clone(&self.flows), self.id);
        thread::spawn(move || {
            for number in 0..pushes {
                if let Some(flow) = flows.get(&reader, id) {
                    push(&flows, &reader, flow, herd.item(producer, number));
                }
            }
        })
    }
}

fn push(flows: &Flows<Item, Body>, reader: &Reader, flow: &Flow<Item, Body>, item: Item) {
    // What is refused is dropped.
    let _ = flow.push(reader, Dir::Egress, chain_of([item]), flows);
}

fn chain_of(items: impl IntoIterator<Item = Item>) -> Chain<Item> {
    let mut chain = Chain::new();
    items.into_iter().for_each(|item| chain.push_back(item));
    chain
}

/// One turn of a worker that releases at once: pops a chunk, and gives the claim on or up. Returns whether it had one.
fn step(seat: &mut Seat, seen: &mut Vec<(u32, u32)>) -> bool {
    let Some(claim) = seat.next() else {
        return false;
    };
    let mut chunk = ArrayVec::<Item, 4>::new();
    let left = claim.serve(&mut chunk, |claim, items| use_nonce(&claim, items));
    seen.extend(chunk.iter().map(Item::value));
    if let Some(claim) = left {
        claim.again(seat.flows(), seat.index());
    }
    true
}

fn use_nonce(claim: &Popping<'_, Item, Body>, items: &[Item]) {
    claim.nonce.with_mut(|nonce| {
        // SAFETY: what the models check: the claim's holder is alone with it.
        unsafe { *nonce += u32::try_from(items.len()).unwrap() };
    });
}

/// `producers` push `pushes` each, while one worker runs, and sleeps when it finds nothing.
fn wake(producers: u32, pushes: u32, turns: usize) {
    let mut table = Table::new(1, producers as usize + 1);
    let reader = table.readers.pop().unwrap();
    let threads: Vec<_> = (0..producers).map(|p| table.produce(p, pushes)).collect();
    let mut seat = table.seats.pop().unwrap();
    let mut seen = Vec::new();
    for _ in 0..turns {
        step(&mut seat, &mut seen);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    while step(&mut seat, &mut seen) {}
    assert_eq!(seen.len(), (producers * pushes) as usize, "no wake-up is lost");
    for producer in 0..producers {
        let numbers = seen.iter().filter(|value| value.0 == producer).map(|value| value.1);
        assert!(numbers.eq(0..pushes), "FIFO a producer: {seen:?}");
    }
    assert!(table.flow(&reader).is_settled());
    assert_eq!(table.herd.living(), 1);
}

#[test]
fn wake_1x1() {
    model(|| wake(1, 1, 2));
}

#[test]
fn wake_1x2() {
    model(|| wake(1, 2, 2));
}

#[test]
fn wake_2x1() {
    model(|| wake(2, 1, 2));
}

#[test]
fn wake_2x2() {
    model(|| wake(2, 2, 3));
}

/// Both directions of a flow are pushed to before any worker hears of it, while another producer pushes to one of them.
fn wake_together(others: u32, turns: usize) {
    let mut table = Table::new(1, 3);
    let reader = table.readers.pop().unwrap();
    let burst = {
        let reader = table.readers.pop().unwrap();
        let (herd, flows, id) = (table.herd.clone(), sync::Arc::clone(&table.flows), table.id);
        thread::spawn(move || {
            let mut pushes = Pushes::new(&reader, &flows);
            for (dir, number) in Dir::ALL.into_iter().zip(0..) {
                let flow = pushes.find(id, dir).unwrap();
                assert!(pushes.push(&flow, dir, chain_of([herd.item(0, number)])).is_empty());
            }
        })
    };
    let other = (others > 0).then(|| table.produce(1, others));
    let mut seat = table.seats.pop().unwrap();
    let mut seen = Vec::new();
    for _ in 0..turns {
        step(&mut seat, &mut seen);
    }
    burst.join().unwrap();
    if let Some(thread) = other {
        thread.join().unwrap();
    }
    while step(&mut seat, &mut seen) {}
    assert_eq!(seen.len(), 2 + others as usize, "no wake-up is lost");
    assert!(table.flow(&reader).is_settled());
    assert_eq!(table.herd.living(), 1);
}

#[test]
fn wake_together_alone() {
    model(|| wake_together(0, 3));
}

#[test]
fn wake_together_with_another() {
    model(|| wake_together(1, 2));
}

/// A session comes: the packet that was staged while there was none is sent, whoever comes first.
#[test]
fn wake_without_a_push() {
    model(|| {
        let mut table = Table::new(1, 2);
        let reader = table.readers.pop().unwrap();
        push(&table.flows, &reader, table.flow(&reader), table.herd.item(0, 0));
        let waker = {
            let reader = table.readers.pop().unwrap();
            let (flows, id) = (sync::Arc::clone(&table.flows), table.id);
            thread::spawn(move || {
                let flow = flows.get(&reader, id).unwrap();
                // Relaxed: the word of the queue publishes it.
                flow.stamp.store(1, Relaxed);
                flow.wake(&reader, Dir::Egress, &flows);
            })
        };
        let mut seat = table.seats.pop().unwrap();
        let mut sent = 0;
        let mut turn = |seat: &mut Seat| {
            let Some(mut claim) = seat.next() else {
                return false;
            };
            let mut chunk = ArrayVec::<Item, 1>::new();
            claim.pop_into(&mut chunk);
            chunk.drain(..).for_each(|item| claim.stage(item));
            // Relaxed: see above.
            if claim.stamp.load(Relaxed) == 1 {
                while claim.unstage().is_some() {
                    sent += 1;
                }
            }
            // Relaxed: see above. Without this look a wake between the last one and the clear is lost.
            let recheck = |flow: &Flow<_, Body>| flow.stamp.load(Relaxed) == 1 && sent == 0;
            if let Some(claim) = claim.idle(&reader, recheck) {
                claim.again(seat.flows(), 0);
            }
            true
        };
        turn(&mut seat);
        turn(&mut seat);
        waker.join().unwrap();
        while turn(&mut seat) {}
        assert_eq!(sent, 1);
        assert_eq!(table.herd.living(), 1);
    });
}

/// A chunk that was popped, with its place in the order.
type Chunk = (Ticket<Item, Body>, ArrayVec<Item, 1>);

/// Takes one item with a ticket, and gives the claim to the other worker. `None` when nothing is ready.
fn take(seat: &mut Seat) -> Option<Option<Chunk>> {
    let claim = seat.next()?;
    let mut chunk = ArrayVec::new();
    let mut ticket = None;
    let left = claim.serve(&mut chunk, |mut claim, items| {
        use_nonce(&claim, items);
        ticket = (!items.is_empty()).then(|| claim.take_ticket());
    });
    if let Some(claim) = left {
        claim.again(seat.flows(), seat.index() + 1);
    }
    Some(ticket.zip(Some(chunk)))
}

/// Releases a chunk if its turn has come.
fn release(held: Chunk) -> Option<Chunk> {
    let (ticket, chunk) = held;
    if !ticket.is_turn() {
        return Some((ticket, chunk));
    }
    ticket.released.with_mut(|released| {
        // SAFETY: what the models check: the holder of the turn is alone with it.
        unsafe { (*released).extend(chunk.iter().map(Item::value)) };
    });
    ticket.pass();
    None
}

/// Two workers take chunks of one direction, the one while the other has not released yet: they come out in order.
fn spread(pushes_meanwhile: u32) {
    let mut table = Table::new(2, 3);
    let reader = table.readers.pop().unwrap();
    let flow = table.flow(&reader);
    (0..2).for_each(|n| push(&table.flows, &reader, flow, table.herd.item(0, n)));
    let second = table.seats.pop().unwrap();
    let first = table.seats.pop().unwrap();
    let work = |mut seat: Seat, reader: Reader| {
        move || {
            let mut held = None;
            for _ in 0..2 {
                held = match held {
                    None => take(&mut seat).flatten(),
                    Some(chunk) => release(chunk),
                };
            }
            (seat, reader, held)
        }
    };
    let other = thread::spawn(work(second, table.readers.pop().unwrap()));
    let producer = (pushes_meanwhile > 0).then(|| table.produce(1, pushes_meanwhile));
    let mine = work(first, reader)();
    let others = other.join().unwrap();
    if let Some(producer) = producer {
        producer.join().unwrap();
    }
    let (mut first, reader, mut left) = mine;
    let (mut second, _, mut right) = others;
    // Both go on, with what they hold, until nothing is ready.
    let mut ready = true;
    while ready || left.is_some() || right.is_some() {
        ready = false;
        for (seat, held) in [(&mut first, &mut left), (&mut second, &mut right)] {
            *held = held.take().and_then(release);
            if held.is_none()
                && let Some(chunk) = take(seat)
            {
                ready = true;
                *held = chunk;
            }
        }
    }
    let flow = table.flow(&reader);
    assert!(flow.is_settled());
    // SAFETY: the other threads have ended.
    let released = flow.released.with(|released| unsafe { (*released).clone() });
    for (producer, pushes) in [(0, 2), (1, pushes_meanwhile)] {
        let numbers = released.iter().filter(|value| value.0 == producer).map(|value| value.1);
        assert!(numbers.eq(0..pushes), "in order: {released:?}");
    }
    assert_eq!(table.herd.living(), 1);
}

#[test]
fn tickets_keep_the_order_over_two_workers() {
    model(|| spread(0));
}

#[test]
fn tickets_keep_the_order_while_one_pushes() {
    model(|| spread(1));
}

/// A stamp and a post, against the timer thread that clears the flag and then reads the stamp.
#[test]
fn post_is_never_lost() {
    model(|| {
        let mut table = Table::new(1, 2);
        let reader = table.readers.pop().unwrap();
        let poster = {
            let reader = table.readers.pop().unwrap();
            let (flows, id) = (sync::Arc::clone(&table.flows), table.id);
            thread::spawn(move || {
                let flow = flows.get(&reader, id).unwrap();
                for stamp in 1..3 {
                    // Relaxed: the post publishes it.
                    flow.stamp.store(stamp, Relaxed);
                    flow.post(&reader, &flows);
                }
            })
        };
        let mut last = 0;
        let mut fire = |post: &mut PostSeat<Item, Body>| {
            let Some(flow) = post.next(&reader) else {
                return false;
            };
            // Relaxed: see above.
            last = flow.stamp.load(Relaxed);
            true
        };
        fire(&mut table.post);
        fire(&mut table.post);
        poster.join().unwrap();
        while fire(&mut table.post) {}
        assert_eq!(last, 2, "whoever stamps is looked at afterwards");
    });
}

/// Who is about while a flow is removed.
#[derive(Clone, Copy, Default)]
struct Others {
    producer: bool,
    /// Turns of a worker of its own; with 0 the owner's thread drains, too.
    turns: usize,
    timer: bool,
    /// Turns of the owner before the others have ended.
    polls: usize,
}

/// Removal while others push, drain and post. The allocator of the tests poisons what is freed.
fn remove(others: Others) {
    let mut table = Table::new(1, 3);
    let reader = table.readers.pop().unwrap();
    push(&table.flows, &reader, table.flow(&reader), table.herd.item(1, 0));
    let mut threads = Vec::new();
    if others.producer {
        threads.push(table.produce(0, 1));
    }
    if others.timer {
        threads.push(post_once(&mut table));
    }
    let mut here = table.seats.pop().map(|seat| (seat, reader));
    let there = (others.turns > 0).then(|| {
        let (mut seat, mut reader) = here.take().unwrap();
        thread::spawn(move || {
            for _ in 0..others.turns {
                turn(&mut seat, &mut reader);
                thread::yield_now();
            }
            (seat, reader)
        })
    });
    table.readers.clear();
    assert!(table.owner.retire(table.id));
    assert!(!table.owner.retire(table.id));
    for _ in 0..others.polls {
        if let Some((seat, reader)) = here.as_mut() {
            turn(seat, reader);
            turn(seat, reader);
        }
        table.owner.poll();
        thread::yield_now();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let (mut seat, mut reader) = there.map_or(here, |thread| thread.join().ok()).unwrap();
    let mut left = 10;
    while table.owner.poll() > 0 {
        turn(&mut seat, &mut reader);
        table.post.next(&reader);
        left -= 1;
        assert!(left > 0, "it gets to its end");
    }
    assert_eq!(table.herd.living(), 0, "freed, with all that was queued");
    assert!(seat.next().is_none());
    assert!(table.post.next(&reader).is_none());
}

/// One turn of a worker's loop, as it drains what is retired: it looks once more at what it has made idle.
fn turn(seat: &mut Seat, reader: &mut Reader) {
    if let Some(mut claim) = seat.next() {
        let mut chunk = ArrayVec::<Item, 4>::new();
        claim.pop_into(&mut chunk);
        if let Some(claim) = claim.idle(reader, |_| false) {
            claim.again(seat.flows(), seat.index());
        }
    }
    reader.quiescent();
}

/// Starts a thread that posts the flow.
fn post_once(table: &mut Table) -> thread::JoinHandle<()> {
    let reader = table.readers.pop().unwrap();
    let (flows, id) = (sync::Arc::clone(&table.flows), table.id);
    thread::spawn(move || {
        if let Some(flow) = flows.get(&reader, id) {
            flow.post(&reader, &flows);
        }
    })
}

#[test]
fn removal_while_one_pushes() {
    model(|| {
        remove(Others { producer: true, polls: 3, ..Others::default() });
    });
}

#[test]
fn removal_while_a_worker_drains() {
    model(|| {
        remove(Others { turns: 4, polls: 5, ..Others::default() });
    });
}

#[test]
fn removal_while_one_pushes_and_a_worker_drains() {
    model(|| {
        remove(Others { producer: true, turns: 2, polls: 3, ..Others::default() });
    });
}

/// A worker that serves needs no reader: its claim keeps the flow, and nothing of that is touched afterwards.
#[test]
fn removal_while_a_worker_serves() {
    model(|| {
        let mut table = Table::new(1, 1);
        let reader = table.readers.pop().unwrap();
        push(&table.flows, &reader, table.flow(&reader), table.herd.item(0, 0));
        drop(reader);
        let mut seat = table.seats.pop().unwrap();
        let worker = thread::spawn(move || {
            for _ in 0..3 {
                step(&mut seat, &mut Vec::new());
                thread::yield_now();
            }
            seat
        });
        assert!(table.owner.retire(table.id));
        for _ in 0..3 {
            table.owner.poll();
            thread::yield_now();
        }
        let mut seat = worker.join().unwrap();
        while table.owner.poll() > 0 {
            step(&mut seat, &mut Vec::new());
        }
        assert_eq!(table.herd.living(), 0, "freed, with all that was queued");
    });
}

#[test]
fn removal_while_it_is_posted() {
    model(|| {
        remove(Others { timer: true, polls: 3, ..Others::default() });
    });
}

/// Everything is dropped while a packet is queued, a direction is on a ready list, and one flow is half removed.
#[test]
fn the_end_drains_everything() {
    model(|| {
        let mut table = Table::new(1, 2);
        let herd = table.herd.clone();
        let producer = table.produce(0, 2);
        if let Some(claim) = table.seats[0].next() {
            claim.again(&table.flows, 0);
        }
        table.owner.retire(table.id);
        table.owner.poll();
        producer.join().unwrap();
        drop(table);
        assert_eq!(herd.living(), 0);
    });
}
