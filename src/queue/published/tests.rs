//! What one thread can tell, oracles, and a bounded stress test. The interleavings are in `models`.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use super::*;
use proptest::{collection::vec, prelude::*};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Counts the values that live.
#[derive(Debug)]
struct Counted(u64, Arc<AtomicUsize>);

impl Counted {
    fn new(value: u64, living: &Arc<AtomicUsize>) -> Box<Self> {
        living.fetch_add(1, Relaxed);
        Box::new(Self(value, living.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Relaxed);
    }
}

fn cases(n: u32) -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 4 } else { n }, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn seats_run_out_and_come_back() {
    let domain = Domain::new(2);
    let first = domain.register().unwrap();
    let second = domain.register().unwrap();
    assert!(domain.register().is_none());
    drop(first);
    let third = domain.register().unwrap();
    assert!(domain.register().is_none());
    drop((second, third));
    assert!(Domain::new(0).register().is_none());
}

#[test]
fn a_grace_period_waits_for_those_online_at_its_start() {
    let domain = Domain::new(3);
    assert!(domain.passed(domain.start()), "nobody to wait for");
    let (mut a, mut b) = (domain.register().unwrap(), domain.register().unwrap());
    let grace = domain.start();
    let late = domain.register().unwrap();
    assert!(!domain.passed(grace));
    a.quiescent();
    assert!(!domain.passed(grace));
    b.offline(|| assert!(domain.passed(grace)));
    let next = domain.start();
    assert!(next > grace);
    assert!(!domain.passed(next));
    assert!(domain.passed(grace), "once passed, always passed");
    a.quiescent();
    b.quiescent();
    assert!(!domain.passed(next));
    drop(late);
    assert!(domain.passed(next));
}

#[test]
fn online_again_after_a_panic() {
    let domain = Domain::new(1);
    let mut reader = domain.register().unwrap();
    let sleep = || reader.offline(|| panic!("in its sleep"));
    assert!(catch_unwind(AssertUnwindSafe(sleep)).is_err());
    let grace = domain.start();
    assert!(!domain.passed(grace));
    reader.quiescent();
    assert!(domain.passed(grace));
}

#[test]
fn synchronize_waits_for_a_report() {
    let domain = Domain::new(1);
    let mut reader = domain.register().unwrap();
    let reports = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                std::thread::yield_now();
                reports.fetch_add(1, Relaxed);
                reader.quiescent();
            }
            drop(reader);
        });
        domain.synchronize();
        assert_ne!(reports.load(Relaxed), 0);
    });
}

#[test]
fn a_value_outlives_its_table_for_a_reader() {
    let living = Arc::default();
    let domain = Domain::new(1);
    let mut reader = domain.register().unwrap();
    let slots = Slots::new(domain.clone(), 4);
    slots.insert(2, Counted::new(7, &living)).unwrap();
    let cell = Published::new(domain.clone(), Counted::new(8, &living));
    let (seven, eight) = (slots.get(&reader, 2).unwrap(), cell.load(&reader));
    drop((slots, cell));
    let mut graveyard = Graveyard::new(domain);
    assert_eq!(graveyard.sweep(), 2);
    assert_eq!((seven.0, eight.0), (7, 8));
    reader.quiescent();
    assert_eq!(living.load(Relaxed), 2);
    assert_eq!(graveyard.sweep(), 0);
    assert_eq!(living.load(Relaxed), 0);
}

#[test]
fn retired_gives_the_value_after_the_grace_period() {
    let domain = Domain::new(1);
    let mut reader = domain.register().unwrap();
    let cell = Published::new(domain, String::from("old"));
    let retired = cell.replace(Box::new(String::from("new")));
    assert_eq!(cell.load(&reader), "new");
    assert_eq!(retired.get(), "old");
    let retired = retired.try_take().unwrap_err();
    let retired = retired.try_free().inspect_err(|_| {
        reader.quiescent();
    });
    assert_eq!(*retired.unwrap_err().try_take().unwrap(), "old");
}

#[test]
fn nothing_is_lost_or_freed_twice() {
    let living = Arc::default();
    let (domain, other) = (Domain::new(1), Domain::new(1));
    let mut reader = domain.register().unwrap();
    let foreign = other.register().unwrap();
    let slots = Slots::new(domain.clone(), 3);
    for i in 0..3 {
        slots.insert(i, Counted::new(0, &living)).unwrap();
    }
    let others = Slots::new(other.clone(), 1);
    others.insert(0, Counted::new(0, &living)).unwrap();

    let mut graveyard = Graveyard::new(domain.clone());
    // Out of order.
    let (first, second) = (slots.take(0).unwrap(), slots.take(1).unwrap());
    graveyard.bury(second);
    graveyard.bury(first);
    graveyard.bury(others.take(0).unwrap());
    assert_eq!(graveyard.sweep(), 2, "the foreign one is not here");
    reader.quiescent();
    let third = slots.take(2).unwrap();
    drop(third);
    assert_eq!(graveyard.sweep(), 1, "the abandoned one");
    assert_eq!(living.load(Relaxed), 2);
    drop(graveyard);
    assert_eq!(Graveyard::new(domain.clone()).sweep(), 1);
    drop((reader, slots, domain));
    assert_eq!(living.load(Relaxed), 1, "gone with the domain");
    drop(foreign);
    assert_eq!(Graveyard::new(other).sweep(), 0);
    assert_eq!(living.load(Relaxed), 0);
}

/// A value whose destructor unpublishes another one.
#[test]
fn a_destructor_may_retire() {
    struct Nest(#[expect(dead_code, reason = "it is there to be dropped")] Slots<Box<Counted>>);
    let living = Arc::default();
    let domain = Domain::new(1);
    let mut reader = domain.register().unwrap();
    let inner = Slots::new(domain.clone(), 1);
    assert!(inner.insert(0, Box::new(Counted::new(1, &living))).is_ok());
    let outer = Slots::new(domain.clone(), 1);
    assert!(outer.insert(0, Box::new(Nest(inner))).is_ok());
    drop(outer.take(0));
    let mut graveyard = Graveyard::new(domain);
    assert_eq!(graveyard.sweep(), 1);
    reader.quiescent();
    graveyard.sweep();
    assert_eq!(graveyard.sweep(), 1, "the inner one waits anew");
    assert_eq!(living.load(Relaxed), 1);
    reader.quiescent();
    assert_eq!(graveyard.sweep(), 0);
    assert_eq!(living.load(Relaxed), 0);
}

#[test]
#[should_panic = "a reader reads its own domain"]
fn a_foreign_reader_is_refused() {
    let slots = Slots::<u8>::new(Domain::new(1), 1);
    let reader = Domain::new(1).register().unwrap();
    slots.get(&reader, 0);
}

#[test]
fn cells_out_of_range() {
    let domain = Domain::new(1);
    let reader = domain.register().unwrap();
    let slots = Slots::new(domain, 2);
    assert_eq!(slots.len(), 2);
    assert_eq!(slots.insert(2, Box::new(5)), Err(Box::new(5)));
    assert!(slots.take(2).is_none());
    assert!(slots.replace(2, Box::new(5)).is_none());
    assert!(slots.get(&reader, 2).is_none());
    assert!(slots.get(&reader, usize::MAX).is_none());
}

#[derive(Clone, Debug)]
enum Op {
    Insert(usize, u64),
    Replace(usize, u64),
    Take(usize),
    Get(usize),
    Quiescent,
}

fn op() -> impl Strategy<Value = Op> {
    let (cell, value) = (0..6_usize, any::<u64>());
    prop_oneof![
        (cell.clone(), value).prop_map(|(i, v)| Op::Insert(i, v)),
        (cell.clone(), value).prop_map(|(i, v)| Op::Replace(i, v)),
        cell.clone().prop_map(Op::Take),
        cell.prop_map(Op::Get),
        Just(Op::Quiescent),
    ]
}

const CELLS: usize = 5;

proptest! {
    #![proptest_config(cases(256))]

    /// Oracle: a map, and a list of what waits for the reader's next report. The last index is out of range.
    #[test]
    fn slots_are_a_map(ops in vec(op(), 0..60)) {
        let living = Arc::default();
        let domain = Domain::new(1);
        let mut reader = domain.register().unwrap();
        let slots = Slots::new(domain.clone(), CELLS);
        let mut graveyard = Graveyard::new(domain);
        let mut oracle = HashMap::new();
        let mut waiting = 0;
        for op in ops {
            let retired = match op {
                Op::Insert(i, v) => {
                    let free = i < CELLS && !oracle.contains_key(&i);
                    prop_assert_eq!(slots.insert(i, Counted::new(v, &living)).is_ok(), free);
                    if free {
                        oracle.insert(i, v);
                    }
                    None
                }
                Op::Replace(i, v) => {
                    let old = slots.replace(i, Counted::new(v, &living));
                    let expected = if i < CELLS { oracle.insert(i, v) } else { None };
                    prop_assert_eq!(old.as_ref().map(|old| old.get().0), expected);
                    old
                }
                Op::Take(i) => {
                    let old = slots.take(i);
                    prop_assert_eq!(old.as_ref().map(|old| old.get().0), oracle.remove(&i));
                    old
                }
                Op::Get(i) => {
                    prop_assert_eq!(slots.get(&reader, i).map(|v| v.0), oracle.get(&i).copied());
                    None
                }
                Op::Quiescent => {
                    reader.quiescent();
                    waiting = 0;
                    None
                }
            };
            if let Some(retired) = retired {
                waiting += 1;
                graveyard.bury(retired);
            }
            prop_assert_eq!(graveyard.sweep(), waiting);
            prop_assert_eq!(living.load(Relaxed), waiting + oracle.len());
        }
        drop((reader, slots));
        prop_assert_eq!(graveyard.sweep(), 0);
        prop_assert_eq!(living.load(Relaxed), 0);
    }

    /// Oracle: each grace period has the set of readers that have not reported since.
    #[test]
    fn grace_periods_wait_for_each_reader(ops in vec((0..4_u8, 0..3_usize), 0..60)) {
        let domain = Domain::new(3);
        let mut readers: [Option<Reader>; 3] = [const { None }; 3];
        let mut graces: Vec<(Grace, [bool; 3])> = Vec::new();
        for (op, who) in ops {
            match op {
                0 => {
                    let online = readers.each_ref().map(Option::is_some);
                    graces.push((domain.start(), online));
                    continue;
                }
                1 => readers[who] = domain.register(),
                2 => readers[who] = None,
                _ => readers[who].iter_mut().for_each(Reader::quiescent),
            }
            // Whatever it did, this reader holds nothing now.
            for (grace, missing) in &mut graces {
                missing[who] = false;
                prop_assert_eq!(domain.passed(*grace), !missing.contains(&true));
            }
        }
    }
}

/// Writers replace, take and insert while readers look; values check themselves, Miri and sanitizers the memory.
#[test]
fn stress() {
    const CELLS: usize = 8;
    let rounds: u64 = if cfg!(miri) { 20 } else { 20_000 };
    let living = Arc::default();
    let domain = Domain::new(2);
    let slots = Slots::<Counted>::new(domain.clone(), CELLS);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = domain.register().unwrap();
            let slots = &slots;
            scope.spawn(move || {
                for n in 0..rounds {
                    for i in 0..CELLS {
                        if let Some(value) = slots.get(&reader, i) {
                            assert_eq!(value.0 % CELLS as u64, i as u64);
                        }
                    }
                    reader.quiescent();
                    if n % 64 == 0 {
                        reader.offline(std::thread::yield_now);
                    }
                }
            });
        }
        for writer in 0..2 {
            let (slots, living, domain) = (&slots, &living, domain.clone());
            scope.spawn(move || {
                let mut graveyard = Graveyard::new(domain);
                for n in 0..rounds {
                    let i = (n * 5 + writer) as usize % CELLS;
                    let value = Counted::new(n * CELLS as u64 + i as u64, living);
                    let old = match n % 3 {
                        0 => slots.replace(i, value),
                        1 => slots.insert(i, value).err().and(None),
                        _ => slots.take(i),
                    };
                    old.into_iter().for_each(|old| graveyard.bury(old));
                    graveyard.sweep();
                }
            });
        }
    });
    drop(slots);
    assert_eq!(Graveyard::new(domain).sweep(), 0);
    assert_eq!(living.load(Relaxed), 0);
}
