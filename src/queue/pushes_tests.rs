use super::super::testing::{Herd, Item};
use super::{Dir, FlowId, Flows, Pushes, WORKERS};
use crate::queue::{Chain, Domain, Flow, PopEnd, QUEUE_BOUND, Reader, WorkerSeat, sync::Arc};
use arrayvec::ArrayVec;

const DIRS: [Dir; 2] = Dir::ALL;

/// A chain of as many as there is room for, numbered on.
fn chain(herd: &Herd, flow: u32, next: &mut u32, granted: u32) -> Chain<Item> {
    let mut chain = Chain::new();
    for _ in 0..granted {
        chain.push_back(herd.item(flow, *next));
        *next += 1;
    }
    chain
}

/// Takes all that a worker's list has: flow, direction and how many came.
fn serve(seat: &mut WorkerSeat<Item, ()>, reader: &Reader) -> Vec<(u32, Dir, usize)> {
    let mut served = Vec::new();
    while let Some(mut claim) = seat.next() {
        let mut items = ArrayVec::<Item, 64>::new();
        let end = claim.pop_into(&mut items);
        assert_eq!(end, PopEnd::Empty);
        served.push((claim.id().0, claim.dir(), items.len()));
        assert!(claim.idle(reader, |_: &Flow<_, _>| false).is_none());
    }
    served
}

/// More workers than are woken at once, and flows that were scheduled before.
#[test]
fn each_direction_comes_to_its_home_worker_once() {
    for workers in [1, 3, WORKERS, WORKERS + 5] {
        let (domain, herd) = (Domain::new(1), Herd::default());
        let (flows, mut seats, _post, mut owner) = Flows::<Item, ()>::new(64, workers, std::sync::Arc::clone(&domain));
        let reader = domain.register().unwrap();
        (0..64).for_each(|_| assert!(owner.insert_with(|_| ()).is_some()));
        let mut next = 0;
        for round in 0..3 {
            let mut pushes = Pushes::new(&reader, &flows);
            for _ in 0..2 {
                for id in 0..64 {
                    flows.prefetch(FlowId(id));
                    let dir = DIRS[(id as usize + round) % 2];
                    let flow = pushes.find(FlowId(id), dir).unwrap();
                    assert_eq!(flow.flow().id(), FlowId(id));
                    pushes.push(&flow, dir, 3, |granted| chain(&herd, id, &mut next, granted));
                }
            }
            if round == 1 {
                pushes.wake();
                assert_eq!(format!("{pushes:?}"), "Pushes { woken: 0, .. }");
            }
            drop(pushes);
            let served: Vec<_> = seats.iter_mut().map(|seat| serve(seat, &reader)).collect();
            for (worker, served) in served.iter().enumerate() {
                let expected = (0..64).filter(|id| *id as usize % workers == worker);
                let mut served = served.clone();
                served.sort_by_key(|(id, ..)| *id);
                assert!(served.into_iter().eq(expected.map(|id| (id, DIRS[(id as usize + round) % 2], 6))));
            }
        }
        assert_eq!(herd.living(), 0);
    }
}

#[test]
fn no_more_is_pushed_than_there_is_room_for() {
    let (domain, herd) = (Domain::new(1), Herd::default());
    let (flows, _seats, _post, mut owner) = Flows::<Item, ()>::new(1, 1, std::sync::Arc::clone(&domain));
    let reader = domain.register().unwrap();
    let id = owner.insert_with(|_| ()).unwrap();
    let mut pushes = Pushes::new(&reader, &flows);
    let flow = pushes.find(id, Dir::Egress).unwrap();
    let mut next = 0;
    let mut room = Vec::new();
    for want in [1000, 20, 20, 1] {
        pushes.push(&flow, Dir::Egress, want, |granted| {
            room.push(granted);
            chain(&herd, 0, &mut next, granted)
        });
    }
    assert_eq!(room, [1000, 20, 4, 0]);
    assert_eq!(flow.flow().queued(Dir::Egress), QUEUE_BOUND);
    // What is not used goes back.
    pushes.push(&flow, Dir::Ingress, 9, |_| chain(&herd, 0, &mut next, 2));
    pushes.push(&flow, Dir::Ingress, 9, |_| Chain::new());
    assert_eq!(flow.flow().queued(Dir::Ingress), 2);
    assert!(owner.retire(id));
    assert!(pushes.find(id, Dir::Egress).is_none());
    pushes.push(&flow, Dir::Ingress, 9, |granted| {
        assert_eq!(granted, 0, "a flow that is retired takes nothing");
        Chain::new()
    });
}

#[test]
#[should_panic(expected = "a flow is used with its own table")]
fn a_flow_of_another_table_is_refused() {
    let domain = Domain::new(1);
    let table = || {
        let (flows, seats, post, mut owner) = Flows::<Item, ()>::new(1, 1, std::sync::Arc::clone(&domain));
        owner.insert_with(|_| ()).unwrap();
        (flows, seats, post, owner)
    };
    let (one, other) = (table(), table());
    let reader = domain.register().unwrap();
    let flow = Pushes::new(&reader, &one.0).find(FlowId(0), Dir::Egress).unwrap();
    let flows: &Arc<_> = &other.0;
    Pushes::new(&reader, flows).push(&flow, Dir::Egress, 1, |_| Chain::new());
}

#[test]
#[should_panic(expected = "a flow is used with a reader of its domain")]
fn a_reader_of_another_domain_is_refused() {
    let (domain, other) = (Domain::new(1), Domain::new(1));
    let table = Flows::<Item, ()>::new(1, 1, domain);
    let _ = Pushes::new(&other.register().unwrap(), &table.0);
}
