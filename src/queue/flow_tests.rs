//! Flows on one thread: behaviours 2, 4, 5, 6 and 7 of the per-peer queue, and the edges of each call.

use super::{
    Chain, Claim, Dir, Domain, Flow, FlowId, Flows, FlowsOwner, PostSeat, QUEUE_BOUND, Reader, WorkerSeat, sync,
    testing::{Herd, Item, Member},
    turn::Turn,
};
use Dir::{Egress, Ingress};
use arrayvec::ArrayVec;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// What a test keeps in a flow.
struct Body {
    number: u32,
    _member: Member,
}

/// A table with two workers and one flow.
struct Table {
    herd: Herd,
    flows: sync::Arc<Flows<Item, Body>>,
    seats: Vec<WorkerSeat<Item, Body>>,
    post: PostSeat<Item, Body>,
    owner: FlowsOwner<Item, Body>,
    domain: Arc<Domain>,
    reader: Reader,
    id: FlowId,
}

impl Table {
    fn new() -> Self {
        Self::with_capacity(2)
    }

    fn with_capacity(capacity: u32) -> Self {
        let domain = Domain::new(4);
        let (flows, seats, post, owner) = Flows::new(capacity, 2, Arc::clone(&domain));
        let reader = domain.register().unwrap();
        let herd = Herd::default();
        let id = FlowId(0);
        let mut table = Self { herd, flows, seats, post, owner, domain, reader, id };
        assert_eq!(table.insert(), Some(id));
        table
    }

    fn insert(&mut self) -> Option<FlowId> {
        let herd = self.herd.clone();
        self.owner.insert_with(|id| Body { number: id.0, _member: herd.member() })
    }

    fn flow(&self) -> &Flow<Item, Body> {
        self.flows.get(&self.reader, self.id).unwrap()
    }

    /// Pushes them; returns how many fit.
    fn push(&self, dir: Dir, numbers: core::ops::Range<u32>) -> u32 {
        let all = numbers.end - numbers.start;
        let chain = chain_of(numbers.map(|n| self.herd.item(0, n)));
        all - self.flow().push(&self.reader, dir, chain, &self.flows).len()
    }

    fn next(&mut self) -> Option<Claim<Item, Body>> {
        self.seats[0].next()
    }

    fn idle(&self, claim: Claim<Item, Body>) -> Option<Claim<Item, Body>> {
        claim.idle(&self.reader, |_| false)
    }

    /// Pops all that is ready for the first worker, until it is idle.
    fn drain(&mut self) -> Vec<u32> {
        let mut all = Vec::new();
        while let Some(mut claim) = self.next() {
            while claim.unstage().is_some() {}
            let (numbers, left) = serve::<32>(claim);
            all.extend(numbers);
            if let Some(claim) = left {
                claim.again(&self.flows, 0);
            }
        }
        all
    }

    /// Polls the owner, with a reader that reports, until nothing more happens by itself.
    fn settle(&mut self) -> usize {
        (0..4).fold(0, |_, _| {
            self.reader.quiescent();
            self.owner.poll()
        })
    }
}

fn chain_of(items: impl IntoIterator<Item = Item>) -> Chain<Item> {
    let mut chain = Chain::new();
    items.into_iter().for_each(|item| chain.push_back(item));
    chain
}

fn numbers(items: &[Item]) -> Vec<u32> {
    items.iter().map(|item| item.value().1).collect()
}

/// Pops, and keeps the claim.
fn pop<const N: usize>(claim: &mut Claim<Item, Body>) -> Vec<u32> {
    let mut out = ArrayVec::<_, N>::new();
    claim.pop_into(&mut out);
    numbers(&out)
}

/// Pops, and gives the claim up if nothing is left.
fn serve<const N: usize>(claim: Claim<Item, Body>) -> (Vec<u32>, Option<Claim<Item, Body>>) {
    let mut out = ArrayVec::<_, N>::new();
    let left = claim.serve(&mut out, |_, _| ());
    (numbers(&out), left)
}

/// Behaviour 7: two cache lines of queues, and one more with the links of the timer's list and the table.
#[test]
fn memory_depends_neither_on_the_bound_nor_on_the_cores() {
    assert_eq!(size_of::<Flow<Item, ()>>(), 3 * 64);
    assert_eq!(align_of::<Flow<Item, ()>>(), 64);
    assert_eq!(size_of::<Flow<Item, [u64; 4]>>(), 3 * 64, "32 bytes of a peer fit in there");
}

/// Behaviour 2.
#[test]
fn full_at_exactly_the_bound() {
    let mut table = Table::new();
    assert_eq!(table.push(Egress, 0..QUEUE_BOUND - 1), QUEUE_BOUND - 1);
    assert_eq!(table.push(Egress, 0..2), 1);
    assert_eq!(table.push(Egress, 0..1), 0);
    assert_eq!(table.flow().queued(Egress), QUEUE_BOUND);
    assert_eq!(table.push(Ingress, 0..1), 1, "the directions have a bound each");
    let mut claim = table.next().unwrap();
    for k in [1_u8, 7, 64] {
        let mut out = (0..64 - k).map(|_| table.herd.item(9, 9)).collect::<ArrayVec<_, 64>>();
        claim = claim.serve(&mut out, |_, _| ()).unwrap();
        assert!(out.is_full());
        assert_eq!(table.push(Egress, 0..100), u32::from(k), "after k pops, k more fit");
    }
    claim.again(&table.flows, 0);
    assert_eq!(table.drain().len(), QUEUE_BOUND as usize + 1);
    assert_eq!(table.flow().queued(Egress), 0);
}

/// Behaviour 4: no producer holds up a claim, and no claim a producer. What comes while a chunk is looked at keeps it scheduled.
#[test]
fn what_comes_while_a_chunk_is_looked_at_comes_next() {
    let mut table = Table::new();
    for rounds in 1..4 {
        table.push(Egress, 0..1);
        let mut claim = table.next().unwrap();
        for n in 1..=rounds {
            let mut out = ArrayVec::<_, 8>::new();
            let left = claim.serve(&mut out, |_, seen| {
                assert_eq!(numbers(seen), [n - 1]);
                table.push(Egress, n..n + 1);
                assert_eq!(table.flow().queued(Egress), 2, "it is popped only after this look");
            });
            assert_eq!(numbers(&out), [n - 1]);
            claim = left.expect("something has come");
        }
        assert!(table.next().is_none(), "one claim at a time");
        let (last, left) = serve::<8>(claim);
        assert_eq!(last, [rounds]);
        assert!(left.is_none());
    }
    assert_eq!(table.herd.living(), 1);
}

/// Nothing was popped then: the next claim sees the same elements, also those that came in other chains, or meanwhile.
#[test]
fn a_look_that_panics_pops_nothing() {
    let mut table = Table::new();
    (0..3).for_each(|n| assert_eq!(table.push(Egress, 2 * n..2 * n + 2), 2));
    let claim = table.next().unwrap();
    let mut out = ArrayVec::<_, 4>::new();
    let served = catch_unwind(AssertUnwindSafe(|| {
        claim.serve(&mut out, |mut claim, _| {
            claim.take_ticket().pass();
            table.push(Egress, 6..8);
            panic!("on purpose");
        })
    }));
    assert!(served.is_err() && out.is_empty());
    assert_eq!(table.flow().queued(Egress), 8);
    assert_eq!(table.drain(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(table.herd.living(), 1);
}

/// Behaviours 5 and 6.
#[test]
fn each_push_to_an_idle_direction_makes_it_ready_once() {
    let mut table = Table::new();
    for round in 0..3 {
        table.push(Ingress, 0..2);
        table.push(Ingress, 2..3);
        let mut claim = table.next().unwrap();
        assert!(table.next().is_none(), "one claim at a time");
        assert_eq!((claim.dir(), claim.id()), (Ingress, FlowId(0)), "round {round}");
        assert_eq!(pop::<8>(&mut claim), [0, 1, 2]);
        // What comes before the direction is idle finds it scheduled, and brings the claim back.
        table.push(Ingress, 3..4);
        let claim = table.idle(claim).unwrap();
        assert!(table.next().is_none());
        let (full, left) = serve::<1>(claim);
        assert!(full == [3] && left.is_none(), "full and drained");
    }
    assert_eq!(table.herd.living(), 1);
}

#[test]
fn idle_is_refused_while_elements_are_left() {
    let mut table = Table::new();
    table.push(Egress, 0..3);
    let mut claim = table.next().unwrap();
    assert_eq!(pop::<2>(&mut claim), [0, 1]);
    let claim = table.idle(claim).unwrap();
    let (none, claim) = serve::<0>(claim);
    assert_eq!(none, [0; 0]);
    let mut claim = claim.unwrap();
    assert_eq!(pop::<2>(&mut claim), [2]);
    assert!(table.idle(claim).is_none());
}

#[test]
fn idle_asks_again() {
    let mut table = Table::new();
    table.flow().wake(&table.reader, Egress, &table.flows);
    let claim = table.next().unwrap();
    let claim = claim.idle(&table.reader, |flow| flow.id == FlowId(0)).unwrap();
    // Somebody else schedules it first: the claim is his.
    let (flows, reader) = (&table.flows, &table.reader);
    let gone = claim.idle(reader, |flow| {
        flow.wake(reader, Egress, flows);
        true
    });
    assert!(gone.is_none());
    let claim = table.next().unwrap();
    assert!(table.idle(claim).is_none());
}

#[test]
fn the_home_worker_comes_first_and_again_goes_where_it_is_sent() {
    let mut table = Table::new();
    table.id = table.insert().unwrap();
    table.push(Egress, 0..1);
    assert!(table.seats[0].next().is_none());
    let claim = table.seats[1].next().unwrap();
    claim.again(&table.flows, 0);
    assert!(table.seats[1].next().is_none());
    let claim = table.seats[0].next().unwrap();
    claim.again(&table.flows, 3);
    assert_eq!(table.seats[1].index(), 1);
    let claim = table.seats[1].next().unwrap();
    assert!(serve::<1>(claim).1.is_none());
}

#[test]
fn staged_elements_are_a_fifo_of_the_claim() {
    let mut table = Table::new();
    table.push(Egress, 0..3);
    let mut claim = table.next().unwrap();
    let mut out = ArrayVec::<_, 4>::new();
    claim.pop_into(&mut out);
    out.drain(..).for_each(|item| claim.stage(item));
    assert_eq!((claim.staged_len(), claim.queued(Egress)), (3, 0));
    assert!(table.idle(claim).is_none(), "what waits for a session does not keep it scheduled");
    table.flow().wake(&table.reader, Egress, &table.flows);
    let mut claim = table.next().unwrap();
    for n in 0..3 {
        claim = serve::<1>(claim).1.expect("what waits keeps a claim that is served");
        assert_eq!(claim.unstage().unwrap().value().1, n);
    }
    assert!(claim.unstage().is_none());
    assert_eq!(claim.staged_len(), 0);
    assert!(table.idle(claim).is_none());
}

#[test]
fn tickets_have_their_turns() {
    let mut table = Table::new();
    table.flow().wake(&table.reader, Egress, &table.flows);
    let mut claim = table.next().unwrap();
    assert!(!claim.tickets_outstanding());
    let first = claim.take_ticket();
    let second = claim.take_ticket();
    assert!(table.idle(claim).is_none());
    assert!(first.is_turn() && !second.is_turn());
    assert_eq!((second.dir(), second.id), (Egress, FlowId(0)));
    first.pass();
    assert!(second.is_turn());
    drop(second);
    assert!(table.flow().is_settled());
}

#[test]
fn tickets_wrap() {
    let turn = Turn::new(u32::MAX);
    let tickets = [turn.take(), turn.take()];
    assert_eq!(tickets, [u32::MAX, 0]);
    for ticket in tickets {
        assert!(turn.is_outstanding() && turn.is_turn(ticket));
        turn.pass(ticket);
    }
    assert!(!turn.is_outstanding());
}

/// The order is not broken, and nothing is freed: the direction stands still.
#[test]
#[cfg_attr(miri, ignore)]
fn a_ticket_passed_before_its_turn_changes_nothing() {
    let mut table = Table::new();
    table.flow().wake(&table.reader, Egress, &table.flows);
    let mut claim = table.next().unwrap();
    let (first, second) = (claim.take_ticket(), claim.take_ticket());
    assert!(table.idle(claim).is_none());
    let passed = catch_unwind(AssertUnwindSafe(|| second.pass()));
    assert_eq!(passed.is_err(), cfg!(debug_assertions));
    assert!(first.is_turn());
    first.pass();
    assert!(!table.flow().is_settled());
}

#[test]
fn a_dropped_claim_comes_back() {
    let mut table = Table::new();
    table.push(Egress, 0..1);
    let claim = table.next().unwrap();
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(claim)));
    assert_eq!(dropped.is_err(), cfg!(debug_assertions));
    assert_eq!(table.drain(), [0]);
}

#[test]
fn posted_once_until_it_is_fired() {
    let mut table = Table::new();
    for _ in 0..2 {
        table.flow().post(&table.reader, &table.flows);
        table.flow().post(&table.reader, &table.flows);
        assert_eq!(table.post.next(&table.reader).unwrap().id, FlowId(0));
        assert!(table.post.next(&table.reader).is_none());
    }
}

/// Behaviour 6: freed after the last of what is queued, staged, in a worker's hands, or posted.
#[test]
fn a_removed_flow_is_freed_after_the_last_packet() {
    let mut table = Table::new();
    table.push(Egress, 0..2);
    table.flow().post(&table.reader, &table.flows);
    let mut claim = table.next().unwrap();
    assert_eq!(pop::<1>(&mut claim), [0]);
    claim.stage(table.herd.item(0, 7));
    let ticket = claim.take_ticket();
    assert!(table.owner.retire(FlowId(0)));
    assert_eq!(table.owner.reachable(), 1);
    assert!(!table.owner.retire(FlowId(0)));
    assert!(table.flows.get(&table.reader, FlowId(0)).is_none());
    assert_eq!(table.settle(), 1);
    assert_eq!(table.owner.reachable(), 0);
    // The worker learns of it, and gets rid of all it finds.
    assert!(claim.is_retired() && ticket.is_retired());
    let refused = claim.push(&table.reader, Egress, chain_of([table.herd.item(0, 9)]), &table.flows);
    assert_eq!(refused.len(), 1);
    drop(refused);
    claim.wake(&table.reader, Ingress, &table.flows);
    claim.post(&table.reader, &table.flows);
    let (last, claim) = serve::<4>(claim);
    assert_eq!(last, [1]);
    let mut claim = table.idle(claim.expect("something is staged")).expect("and that is to be drained");
    assert!(claim.unstage().is_some());
    assert!(claim.idle(&table.reader, |_| true).is_none(), "nobody asks a retired flow");
    assert_eq!(table.drain(), [0; 0], "the owner scheduled the other direction");
    assert_eq!(table.settle(), 1, "a ticket is out");
    assert!(ticket.is_turn());
    ticket.pass();
    assert_eq!(table.settle(), 1, "it is on the timer's list");
    assert_eq!(table.post.next(&table.reader).unwrap().id, FlowId(0));
    assert_eq!(table.herd.living(), 1);
    assert_eq!(table.settle(), 0);
    assert_eq!(table.herd.living(), 0);
}

#[test]
fn nothing_is_freed_while_a_reader_has_it() {
    let mut table = Table::new();
    let other = table.domain.register().unwrap();
    let flow = table.flows.get(&other, FlowId(0)).unwrap();
    assert!(table.owner.retire(FlowId(0)));
    assert_eq!(table.settle(), 1);
    assert_eq!(table.owner.reachable(), 1);
    assert_eq!(flow.push(&other, Egress, chain_of([table.herd.item(0, 0)]), &table.flows).len(), 1);
    assert!(flow.is_retired() && flow.number == 0);
    drop(other);
    assert_eq!(table.settle(), 1);
    table.drain();
    assert_eq!(table.settle(), 0);
    assert_eq!(table.herd.living(), 0);
}

#[test]
fn numbers_are_used_again_after_the_free() {
    let mut table = Table::new();
    assert_eq!(table.insert(), Some(FlowId(1)));
    assert_eq!(table.insert(), None, "full");
    assert!(table.owner.retire(FlowId(0)));
    assert_eq!(table.insert(), None, "not free yet");
    table.settle();
    table.drain();
    assert_eq!(table.settle(), 0);
    assert_eq!(table.insert(), Some(FlowId(0)));
    assert_eq!(table.insert(), None);
    assert!(!table.owner.retire(FlowId(2)));
    assert!(!table.owner.retire(FlowId(u32::MAX)));
    assert!(table.flows.get(&table.reader, FlowId(2)).is_none());
}

/// It leaks the flow that was misused.
#[test]
#[cfg_attr(miri, ignore)]
fn tables_and_domains_are_not_mixed() {
    let mut table = Table::new();
    let other = Table::new();
    let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    let flow = table.flow();
    panics(&|| flow.wake(&table.reader, Egress, &other.flows));
    panics(&|| flow.wake(&other.reader, Egress, &table.flows));
    panics(&|| flow.post(&other.reader, &table.flows));
    panics(&|| assert!(table.flows.get(&other.reader, FlowId(0)).is_some()));
    panics(&|| {
        let _ = flow.push(&other.reader, Egress, chain_of([table.herd.item(0, 0)]), &table.flows);
    });
    assert!(catch_unwind(AssertUnwindSafe(|| table.post.next(&other.reader).is_some())).is_err());
    assert!(table.next().is_none());
}

#[test]
fn the_end_drops_what_is_queued_staged_ready_and_posted() {
    let mut table = Table::with_capacity(3);
    let herd = table.herd.clone();
    table.push(Egress, 0..5);
    table.flow().post(&table.reader, &table.flows);
    let mut claim = table.next().unwrap();
    claim.stage(table.herd.item(0, 9));
    claim.again(&table.flows, 1);
    for step in 0..2 {
        table.id = table.insert().unwrap();
        table.push(Ingress, 0..5);
        table.owner.retire(table.id);
        if step == 1 {
            table.settle();
        }
    }
    assert_eq!(herd.living(), 3 + 6 + 10);
    drop(table);
    assert_eq!(herd.living(), 0);
}

#[test]
fn a_reader_may_outlive_the_table() {
    let table = Table::new();
    table.push(Egress, 0..5);
    let herd = table.herd.clone();
    let other = table.domain.register().unwrap();
    let flow = table.flows.get(&other, FlowId(0)).unwrap();
    drop(table);
    assert_eq!(flow.id, FlowId(0));
    assert!(flow.is_retired());
    assert_eq!(herd.living(), 6);
    drop(other);
    assert_eq!(herd.living(), 0);
}

/// It is leaked, by design.
#[test]
#[cfg_attr(miri, ignore)]
fn a_claim_or_a_ticket_may_outlive_the_table() {
    let mut table = Table::new();
    table.push(Egress, 0..5);
    table.insert();
    table.id = FlowId(1);
    table.flow().wake(&table.reader, Egress, &table.flows);
    let claim = table.seats[1].next().unwrap();
    let mut other = table.next().unwrap();
    let ticket = other.take_ticket();
    assert!(serve::<8>(other).1.is_none());
    let herd = table.herd.clone();
    drop(table);
    assert_eq!((claim.id, ticket.id), (FlowId(1), FlowId(0)));
    assert_eq!(herd.living(), 2);
    ticket.pass();
    assert_eq!(catch_unwind(AssertUnwindSafe(|| drop(claim))).is_err(), cfg!(debug_assertions));
}
