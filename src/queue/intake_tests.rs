//! The queue of a direction by itself: against a plain list on one thread, and what comes while a chunk is popped, under loom.

use super::super::{
    sync::{Arc, model, thread},
    testing::{Herd, Item},
};
use super::*;

fn chain(herd: &Herd, producer: u32, numbers: core::ops::Range<u32>) -> Chain<Item> {
    let mut chain = Chain::new();
    numbers.for_each(|n| chain.push_back(herd.item(producer, n)));
    chain
}

/// Pops up to four, and lets `see` look at them.
fn pop(queue: &Intake<Item>, keeps: bool, see: impl FnOnce(&[Item])) -> (Vec<(u32, u32)>, bool) {
    let mut out = ArrayVec::<_, 4>::new();
    // SAFETY: each test has one consumer.
    let scheduled = unsafe { queue.pop(&mut out, keeps, see) };
    (out.iter().map(Item::value).collect(), scheduled)
}

/// One claim after the other, each by whoever finds the direction idle: the line is plain memory, which they hand on by the word alone.
#[test]
fn claims_in_turn() {
    model(|| {
        let herd = Herd::default();
        let queue = Arc::new(Intake::new());
        let claim = |queue: &Intake<Item>, seen: &mut Vec<(u32, u32)>| {
            loop {
                let (items, scheduled) = pop(queue, false, |_| ());
                seen.extend(items);
                if !scheduled {
                    return;
                }
            }
        };
        let other = {
            let (herd, queue) = (herd.clone(), Arc::clone(&queue));
            thread::spawn(move || {
                let mut seen = Vec::new();
                for n in 0..2 {
                    if queue.push(chain(&herd, 1, n..n + 1)).woke {
                        claim(&queue, &mut seen);
                    }
                }
                seen
            })
        };
        let mut seen = Vec::new();
        if queue.push(chain(&herd, 0, 0..2)).woke {
            claim(&queue, &mut seen);
        }
        let others = other.join().unwrap();
        assert!(queue.is_idle() && queue.len() == 0);
        for seen in [&seen, &others] {
            let of = |producer| seen.iter().filter(move |item| item.0 == producer);
            assert!(of(0).is_sorted() && of(1).is_sorted(), "{seen:?}");
        }
        seen.extend(others);
        seen.sort_unstable();
        assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    });
}

/// Chains of two producers come while the consumer pops what came before.
#[test]
fn nothing_is_lost_between_load_and_exchange() {
    model(|| {
        let herd = Herd::default();
        let queue = Arc::new(Intake::new());
        assert!(queue.push(chain(&herd, 0, 0..1)).woke);
        let other = {
            let (herd, queue) = (herd.clone(), Arc::clone(&queue));
            thread::spawn(move || {
                let woke = queue.push(chain(&herd, 1, 0..2)).woke;
                (woke, queue.push(chain(&herd, 1, 2..3)).woke)
            })
        };
        let (mut seen, mut scheduled) = (Vec::new(), true);
        for _ in 0..2 {
            if scheduled {
                let (items, left) = pop(&queue, false, |_| ());
                seen.extend(items);
                scheduled = left;
            }
        }
        let woke = other.join().unwrap();
        assert!(scheduled || woke.0 || woke.1 || seen.len() == 4, "somebody comes for what is left");
        while queue.len() > 0 {
            seen.extend(pop(&queue, false, |_| ()).0);
        }
        let of = |producer| seen.iter().filter(move |item| item.0 == producer).map(|item| item.1);
        assert!(of(0).eq(0..1) && of(1).eq(0..3), "{seen:?}");
    });
}

/// Two producers want the last two places.
#[test]
fn the_bound_is_exact() {
    model(|| {
        let herd = Herd::default();
        let queue = Arc::new(Intake::new());
        drop(queue.push(chain(&herd, 0, 0..1)));
        // As if all but two places had been taken.
        let full = queue.word.load(Relaxed).map_addr(|word| word + ((QUEUE_BOUND as usize - 3) << 48));
        queue.word.store(full, Relaxed);
        let other = {
            let (herd, queue) = (herd.clone(), Arc::clone(&queue));
            thread::spawn(move || queue.push(chain(&herd, 1, 0..2)).rest.len())
        };
        let mine = queue.push(chain(&herd, 2, 0..2)).rest.len();
        assert_eq!(mine + other.join().unwrap(), 2);
        assert_eq!(queue.len(), QUEUE_BOUND);
        let as_it_is = queue.word.load(Relaxed).map_addr(|word| word - ((QUEUE_BOUND as usize - 3) << 48));
        queue.word.store(as_it_is, Relaxed);
        let (items, scheduled) = pop(&queue, false, |_| ());
        assert!(
            !scheduled && [1, 2].map(|winner| vec![(0, 0), (winner, 0), (winner, 1)]).contains(&items),
            "{items:?}"
        );
    });
}

#[cfg(not(loom))]
mod one_thread {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::{
        collections::VecDeque,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    #[derive(Clone, Debug)]
    enum Op {
        Push(u32),
        /// With so many places taken; kept; pushes that come meanwhile; whether the look panics.
        Pop(usize, bool, Vec<u32>, bool),
        Schedule,
        Wake,
        Idle(bool),
        Close,
    }

    fn op() -> impl Strategy<Value = Op> {
        let len = || prop_oneof![8 => 0..6_u32, 1 => 0..700_u32];
        let panics = if cfg!(miri) { 0.0 } else { 0.1 };
        prop_oneof![
            40 => len().prop_map(Op::Push),
            40 => (0..=4_usize, any::<bool>(), vec(len(), 0..3), proptest::bool::weighted(panics))
                .prop_map(|(taken, keeps, meanwhile, panics)| Op::Pop(taken, keeps, meanwhile, panics)),
            3 => Just(Op::Schedule),
            3 => Just(Op::Wake),
            5 => any::<bool>().prop_map(Op::Idle),
            1 => Just(Op::Close),
        ]
    }

    /// The queue and what it should be.
    #[derive(Default)]
    struct Pair {
        herd: Herd,
        oracle: VecDeque<u32>,
        number: u32,
        scheduled: bool,
        closed: bool,
    }

    impl Pair {
        fn push(&mut self, queue: &Intake<Item>, len: u32) {
            let room = if self.closed { 0 } else { QUEUE_BOUND - u32::try_from(self.oracle.len()).unwrap() };
            let (fits, numbers) = (len.min(room), self.number..self.number + len);
            let mut pushed = queue.push(chain(&self.herd, 0, numbers.clone()));
            assert_eq!(pushed.woke, fits > 0 && !self.scheduled);
            assert_eq!(pushed.rest.len(), len - fits);
            for n in numbers.clone().skip(fits as usize) {
                assert_eq!(pushed.rest.pop_front().unwrap().value().1, n);
            }
            self.scheduled |= fits > 0;
            self.oracle.extend(numbers.take(fits as usize));
            self.number += len;
        }

        fn pop(&mut self, queue: &Intake<Item>, taken: usize, keeps: bool, meanwhile: &[u32], panics: bool) {
            if !self.scheduled {
                return;
            }
            let mut out: ArrayVec<_, 4> = (0..taken).map(|_| self.herd.item(9, 9)).collect();
            let n = self.oracle.len().min(4 - taken);
            let expected: Vec<_> = self.oracle.iter().take(n).copied().collect();
            let is_right =
                |items: &[Item]| items[taken..].iter().map(|item| item.value().1).eq(expected.iter().copied());
            let see = |items: &[Item]| {
                assert!(is_right(items));
                meanwhile.iter().for_each(|len| self.push(queue, *len));
                assert!(!panics, "on purpose");
            };
            // SAFETY: one thread.
            let popped = catch_unwind(AssertUnwindSafe(|| unsafe { queue.pop(&mut out, keeps, see) }));
            let Ok(scheduled) = popped else {
                assert!(panics && out.len() == taken, "nothing was popped");
                return;
            };
            assert!(is_right(&out));
            self.oracle.drain(..n);
            self.scheduled = keeps || !self.oracle.is_empty();
            assert_eq!(scheduled, self.scheduled);
        }

        fn run(&mut self, queue: &Intake<Item>, op: &Op) {
            match op {
                Op::Push(len) => self.push(queue, *len),
                Op::Pop(taken, keeps, meanwhile, panics) => self.pop(queue, *taken, *keeps, meanwhile, *panics),
                Op::Schedule => {
                    assert_eq!(queue.schedule(), !self.scheduled);
                    self.scheduled = true;
                }
                Op::Wake => {
                    assert_eq!(queue.wake(), !self.scheduled && !self.closed);
                    self.scheduled |= !self.closed;
                }
                Op::Idle(keeps) if self.scheduled => {
                    self.scheduled = !self.oracle.is_empty() || (*keeps && self.closed);
                    assert_eq!(queue.idle(*keeps), !self.scheduled);
                }
                Op::Idle(_) => (),
                Op::Close => {
                    queue.close();
                    self.closed = true;
                }
            }
            assert_eq!(queue.len() as usize, self.oracle.len());
            assert_eq!((queue.is_idle(), queue.is_closed()), (!self.scheduled, self.closed));
            assert_eq!(self.herd.living(), self.oracle.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 3 } else { 400 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_plain_list(ops in vec(op(), 0..if cfg!(miri) { 25 } else { 120 })) {
            let (mut pair, queue) = (Pair::default(), Intake::new());
            ops.iter().for_each(|op| pair.run(&queue, op));
            drop(queue);
            prop_assert_eq!(pair.herd.living(), 0, "all that was queued went with it");
        }
    }

    #[test]
    fn a_chain_that_is_refused_can_be_pushed_elsewhere() {
        let herd = Herd::default();
        let [full, other] = [(); 2].map(|()| Intake::new());
        assert!(full.push(chain(&herd, 0, 0..QUEUE_BOUND - 1)).rest.is_empty());
        let Pushed { mut rest, woke } = full.push(chain(&herd, 1, 0..3));
        assert!(!woke && rest.len() == 2);
        rest.push_back(herd.item(1, 3));
        assert!(other.push(rest).woke);
        assert_eq!(pop(&other, false, |_| ()), (vec![(1, 1), (1, 2), (1, 3)], false));
    }

    /// Behaviour 7: the queue has no memory but this, whatever it holds.
    #[test]
    fn it_is_three_words() {
        assert_eq!(size_of::<Intake<Item>>(), 24);
    }
}
