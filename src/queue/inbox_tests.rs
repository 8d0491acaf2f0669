//! The bound and the hand-over between cores: behaviours 2 and 7 of the per-peer queue.

use super::{
    credit::Credit,
    inbox::inbox,
    sync::{Arc, model, thread},
    testing::Herd,
};
use arrayvec::ArrayVec;

/// Two producers want two each where three fit: never more than three are granted, and what was asked too much comes back.
#[test]
fn credit_is_never_over_granted() {
    model(|| {
        let credit = Arc::new(Credit::new());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let credit = Arc::clone(&credit);
                thread::spawn(move || credit.reserve(2, 3))
            })
            .collect();
        let granted: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let sum: u32 = granted.iter().sum();
        assert_eq!(sum, 3, "{granted:?}");
        assert_eq!(credit.taken(), 3);
        assert_eq!(credit.reserve(2, 3), 0);
        credit.give_back(3);
        assert_eq!(credit.taken(), 0);
    });
}

/// While one thread gives back and another takes, the bound holds.
#[test]
fn inbox_2x2_holds_its_bound() {
    model(|| {
        let herd = Herd::default();
        let (sender, mut receiver) = inbox(2);
        let threads: Vec<_> = (0..2)
            .map(|producer| {
                let (herd, sender) = (herd.clone(), sender.clone());
                thread::spawn(move || {
                    let mut burst: ArrayVec<_, 2> = (0..2).map(|number| herd.item(producer, number)).collect();
                    let sent = sender.send_burst(&mut burst);
                    assert_eq!(sent + burst.len(), 2);
                    if let Some(refused) = burst.first() {
                        assert_eq!(refused.value().1 as usize, sent, "the newest are refused");
                    }
                    sent
                })
            })
            .collect();
        let mut burst = ArrayVec::<_, 4>::new();
        receiver.recv_burst(&mut burst);
        let sent: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let first = burst.len();
        receiver.recv_burst(&mut burst);
        assert_eq!(burst.len(), sent, "nothing is lost");
        assert!(burst.len() - first <= 2, "no more than the bound waits");
        assert!(sender.is_empty());
        burst.clear();
        assert_eq!(herd.living(), 0);
    });
}

/// What is left goes with the last owner, whichever end that is.
#[test]
fn inbox_drops_what_is_left() {
    model(|| {
        let herd = Herd::default();
        let (sender, receiver) = inbox(4);
        let producer = {
            let (herd, sender) = (herd.clone(), sender);
            thread::spawn(move || sender.send(herd.item(0, 0)).unwrap())
        };
        drop(receiver);
        producer.join().unwrap();
        assert_eq!(herd.living(), 0);
    });
}

#[cfg(not(loom))]
mod sequential {
    use super::*;

    /// Behaviour 2.
    #[test]
    fn full_at_exactly_the_bound() {
        let herd = Herd::default();
        let (sender, mut receiver) = inbox(5);
        for number in 0..5 {
            sender.send(herd.item(0, number)).unwrap();
        }
        assert_eq!(sender.len(), 5);
        let refused = sender.send(herd.item(0, 5)).unwrap_err();
        assert_eq!(refused.value(), (0, 5));
        // After k pops, k more fit.
        for k in 1..=5 {
            (0..k).for_each(|_| drop(receiver.recv().unwrap()));
            let mut burst: ArrayVec<_, 8> = (0..8).map(|number| herd.item(k, number)).collect();
            assert_eq!(sender.send_burst(&mut burst), k as usize);
            let left: Vec<_> = burst.iter().map(|item| item.value().1).collect();
            assert_eq!(left, (k..8).collect::<Vec<_>>(), "the newest stay, in order");
        }
        drop((sender, receiver, refused));
        assert_eq!(herd.living(), 0);
    }

    /// Behaviour 2: the links of what is refused are untouched.
    #[test]
    fn the_refused_are_not_linked() {
        use crate::queue::{Linked, sync::Ordering::Relaxed};
        let herd = Herd::default();
        let (sender, _receiver) = inbox(1);
        let links: Vec<_> = (0..3).map(|number| herd.item(0, number).into_link()).collect();
        let mark = |i: usize| core::ptr::without_provenance_mut(9 + 16 * i);
        let mut burst: ArrayVec<_, 3> = ArrayVec::new();
        for (i, link) in links.iter().enumerate() {
            // SAFETY: the link is ours.
            unsafe { link.as_ref() }.next.store(mark(i), Relaxed);
            // SAFETY: the link is of an item, and nobody else has it.
            burst.push(unsafe { crate::queue::testing::Item::from_link(*link) });
        }
        assert_eq!(sender.send_burst(&mut burst), 1);
        for (i, item) in burst.drain(..).enumerate() {
            let link = item.into_link();
            // SAFETY: the link is ours.
            assert_eq!(unsafe { link.as_ref() }.next.load(Relaxed), mark(i + 1));
            // SAFETY: the link is of an item, and nobody else has it.
            drop(unsafe { crate::queue::testing::Item::from_link(link) });
        }
    }

    /// Behaviour 7: elements carry the links; the queue has the same size for every bound.
    #[test]
    fn memory_does_not_depend_on_the_bound() {
        let herd = Herd::default();
        let (sender, mut receiver) = inbox(crate::queue::credit::MAX_BOUND);
        let mut burst: ArrayVec<_, 32> = (0..32).map(|number| herd.item(0, number)).collect();
        assert_eq!(sender.send_burst(&mut burst), 32);
        assert_eq!(receiver.recv_burst(&mut burst), 32);
        let order: Vec<_> = burst.iter().map(|item| item.value().1).collect();
        assert_eq!(order, (0..32).collect::<Vec<_>>());
    }
}
