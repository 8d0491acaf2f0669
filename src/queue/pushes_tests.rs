use super::super::testing::{Herd, Item};
use super::{Dir, FlowId, Flows, Pushes, WORKERS};
use crate::queue::{Chain, Domain, QUEUE_BOUND, WorkerSeat, sync::Arc};
use arrayvec::ArrayVec;

const DIRS: [Dir; 2] = Dir::ALL;

/// A chain of so many, numbered on.
fn chain(herd: &Herd, flow: u32, next: &mut u32, len: u32) -> Chain<Item> {
    let mut chain = Chain::new();
    for _ in 0..len {
        chain.push_back(herd.item(flow, *next));
        *next += 1;
    }
    chain
}

/// Takes all that a worker's list has: flow, direction and how many came.
fn serve(seat: &mut WorkerSeat<Item, ()>) -> Vec<(u32, Dir, usize)> {
    let mut served = Vec::new();
    while let Some(claim) = seat.next() {
        let mut items = ArrayVec::<Item, 64>::new();
        let (id, dir) = (claim.id().0, claim.dir());
        assert!(claim.serve(&mut items, |_, _| ()).is_none());
        served.push((id, dir, items.len()));
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
                    assert!(pushes.push(&flow, dir, chain(&herd, id, &mut next, 3)).is_empty());
                }
            }
            if round == 1 {
                pushes.wake();
                assert_eq!(format!("{pushes:?}"), "Pushes { woken: 0, .. }");
            }
            drop(pushes);
            let served: Vec<_> = seats.iter_mut().map(serve).collect();
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
    let mut rests = Vec::new();
    for len in [1000, 20, 20, 1] {
        let first = next;
        let mut rest = pushes.push(&flow, Dir::Egress, chain(&herd, 0, &mut next, len));
        rests.push(rest.len());
        let newest: Vec<_> = core::iter::from_fn(|| rest.pop_front()).map(|item| item.value().1).collect();
        assert!(
            newest.into_iter().eq((first..next).skip((len - rests.last().unwrap()) as usize)),
            "the newest, in order"
        );
    }
    assert_eq!(rests, [0, 0, 16, 1]);
    assert_eq!(flow.flow().queued(Dir::Egress), QUEUE_BOUND);
    assert!(pushes.push(&flow, Dir::Ingress, chain(&herd, 0, &mut next, 2)).is_empty());
    assert!(pushes.push(&flow, Dir::Ingress, Chain::new()).is_empty());
    assert_eq!(flow.flow().queued(Dir::Ingress), 2);
    assert!(owner.retire(id));
    assert!(pushes.find(id, Dir::Egress).is_none());
    let rest = pushes.push(&flow, Dir::Ingress, chain(&herd, 0, &mut next, 9));
    assert_eq!(rest.len(), 9, "a flow that is retired takes nothing");
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
    let _ = Pushes::new(&reader, flows).push(&flow, Dir::Egress, Chain::new());
}

#[test]
#[should_panic(expected = "a flow is used with a reader of its domain")]
fn a_reader_of_another_domain_is_refused() {
    let (domain, other) = (Domain::new(1), Domain::new(1));
    let table = Flows::<Item, ()>::new(1, 1, domain);
    let _ = Pushes::new(&other.register().unwrap(), &table.0);
}
