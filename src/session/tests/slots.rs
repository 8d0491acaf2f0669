//! The transitions of a peer's keypairs, against three plain options, and with two threads at once.

use crate::session::KeySlots;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Barrier;

fn places(slots: &KeySlots) -> [Option<u32>; 3] {
    [slots.next(), slots.current(), slots.previous()]
}

/// PROTOCOL A5.2: current := new, previous := current.
#[test]
fn the_initiator_sends_at_once_and_keeps_one() {
    let slots = KeySlots::new();
    assert!(slots.is_empty());
    assert!(slots.install_initiator(1).is_empty());
    assert_eq!(places(&slots), [None, Some(1), None]);
    assert!(slots.install_initiator(2).is_empty());
    assert_eq!(places(&slots), [None, Some(2), Some(1)]);
    assert_eq!(slots.install_initiator(3)[..], [1]);
    assert_eq!(places(&slots), [None, Some(3), Some(2)]);
}

/// PROTOCOL A5.1, A5.3: next, current, previous.
#[test]
fn the_responder_waits_to_be_confirmed() {
    let slots = KeySlots::new();
    assert!(slots.install_responder(1).is_empty());
    assert_eq!(places(&slots), [Some(1), None, None]);
    assert_eq!(slots.confirm(2), None);
    assert_eq!(slots.confirm(0), None);
    assert!(slots.confirm(1).unwrap().is_empty());
    assert_eq!(places(&slots), [None, Some(1), None]);
    assert_eq!(slots.confirm(1), None, "only once");

    assert!(slots.install_responder(2).is_empty());
    assert_eq!(places(&slots), [Some(2), Some(1), None]);
    assert!(slots.confirm(2).unwrap().is_empty());
    assert_eq!(places(&slots), [None, Some(2), Some(1)]);

    // A new next destroys previous; a newer one destroys the unconfirmed.
    assert_eq!(slots.install_responder(3)[..], [1]);
    assert_eq!(slots.install_responder(4)[..], [3]);
    assert_eq!(places(&slots), [Some(4), Some(2), None]);
}

/// Both ask at once: the unconfirmed key of the peer's initiation becomes previous, current goes.
/// PROTOCOL A5.2: an unconfirmed next becomes previous.
#[test]
fn our_answer_comes_while_next_waits() {
    let slots = KeySlots::new();
    slots.install_initiator(1);
    slots.install_initiator(2);
    slots.install_responder(3);
    assert_eq!(slots.install_initiator(4)[..], [2]);
    assert_eq!(places(&slots), [None, Some(4), Some(3)]);
    assert_eq!(slots.confirm(3), None, "it is previous, not next");
}

#[test]
fn slots_are_forgotten_and_cleared() {
    let slots = KeySlots::new();
    slots.install_initiator(1);
    slots.install_initiator(2);
    slots.install_responder(KeySlots::MAX_SLOT);
    assert_eq!(places(&slots), [Some(KeySlots::MAX_SLOT), Some(2), None]);
    assert!(slots.contains(2) && slots.contains(KeySlots::MAX_SLOT) && !slots.contains(1) && !slots.contains(0));
    assert!(slots.forget(2));
    assert!(!slots.forget(2) && !slots.forget(0));
    assert_eq!(places(&slots), [Some(KeySlots::MAX_SLOT), None, None]);
    assert_eq!(slots.clear()[..], [KeySlots::MAX_SLOT]);
    assert!(slots.clear().is_empty() && slots.is_empty());
}

#[test]
#[should_panic(expected = "not a keypair slot")]
fn a_number_that_does_not_fit_is_refused() {
    KeySlots::new().install_responder(KeySlots::MAX_SLOT + 1);
}

#[test]
#[should_panic(expected = "not a keypair slot")]
fn zero_is_no_slot() {
    KeySlots::new().install_initiator(0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Initiator,
    Responder,
    /// The key in this place, or one that is nowhere.
    Confirm(Option<usize>),
    Forget(Option<usize>),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Initiator),
        4 => Just(Step::Responder),
        6 => prop::option::of(0..3_usize).prop_map(Step::Confirm),
        2 => prop::option::of(0..3_usize).prop_map(Step::Forget),
        1 => Just(Step::Clear),
    ]
}

/// What PROTOCOL A5 says, word by word.
#[derive(Clone, Copy, Default)]
struct Oracle {
    next: Option<u32>,
    current: Option<u32>,
    previous: Option<u32>,
}

impl Oracle {
    fn live(self) -> HashSet<u32> {
        [self.next, self.current, self.previous].into_iter().flatten().collect()
    }

    fn initiator(&mut self, new: u32) {
        if self.next.is_some() {
            self.previous = self.next;
            self.next = None;
        } else {
            self.previous = self.current;
        }
        self.current = Some(new);
    }

    fn responder(&mut self, new: u32) {
        self.next = Some(new);
        self.previous = None;
    }

    fn confirm(&mut self, slot: u32) -> bool {
        if self.next != Some(slot) {
            return false;
        }
        self.previous = self.current;
        self.current = self.next.take();
        true
    }

    fn forget(&mut self, slot: u32) -> bool {
        let mut found = false;
        for place in [&mut self.next, &mut self.current, &mut self.previous] {
            if *place == Some(slot) {
                *place = None;
                found = true;
            }
        }
        found
    }
}

proptest! {
    #[test]
    fn like_the_oracle(steps in prop::collection::vec(step(), 1..60), first in prop_oneof![
        Just(1), Just(KeySlots::MAX_SLOT - 100)
    ]) {
        let (slots, mut oracle) = (KeySlots::new(), Oracle::default());
        let mut unused = first;
        for step in steps {
            let before = oracle.live();
            let named = |place: Option<usize>| {
                place.and_then(|place| [oracle.next, oracle.current, oracle.previous][place]).unwrap_or(999)
            };
            let mut new = || {
                unused += 1;
                unused
            };
            let dropped = match step {
                Step::Initiator => {
                    let new = new();
                    oracle.initiator(new);
                    slots.install_initiator(new)
                }
                Step::Responder => {
                    let new = new();
                    oracle.responder(new);
                    slots.install_responder(new)
                }
                Step::Confirm(place) => {
                    let slot = named(place);
                    let dropped = slots.confirm(slot);
                    prop_assert_eq!(dropped.is_some(), oracle.confirm(slot));
                    dropped.unwrap_or_default()
                }
                Step::Forget(place) => {
                    let slot = named(place);
                    let found = slots.forget(slot);
                    prop_assert_eq!(found, oracle.forget(slot));
                    if found { [slot].into_iter().collect() } else { Default::default() }
                }
                Step::Clear => {
                    oracle = Oracle::default();
                    slots.clear()
                }
            };
            prop_assert_eq!(places(&slots), [oracle.next, oracle.current, oracle.previous]);
            let gone: HashSet<u32> = before.difference(&oracle.live()).copied().collect();
            prop_assert_eq!(dropped.len(), gone.len());
            prop_assert_eq!(dropped.into_iter().collect::<HashSet<_>>(), gone);
        }
    }
}

/// One thread installs, as both roles; the other confirms whatever waits. Each key ever installed is dropped exactly
/// once, or stands at the end; none twice, none lost.
#[test]
fn two_threads_lose_no_key_and_drop_none_twice() {
    const KEYS: u32 = 20_000;
    let (slots, start) = (KeySlots::new(), Barrier::new(2));
    let (mut dropped, confirmed) = std::thread::scope(|scope| {
        let confirmer = scope.spawn(|| {
            start.wait();
            let (mut dropped, mut confirmed) = (Vec::new(), 0_u32);
            loop {
                if let Some(gone) = slots.next().and_then(|next| slots.confirm(next)) {
                    dropped.extend(gone);
                    confirmed += 1;
                }
                if slots.contains(KEYS) && slots.next().is_none() {
                    return (dropped, confirmed);
                }
            }
        });
        start.wait();
        let mut dropped = Vec::new();
        for key in 1..=KEYS {
            dropped.extend(if key % 3 == 0 { slots.install_initiator(key) } else { slots.install_responder(key) });
        }
        let (others, confirmed) = confirmer.join().unwrap();
        dropped.extend(others);
        (dropped, confirmed)
    });
    assert!(confirmed > 0, "nothing was ever confirmed");
    dropped.extend(places(&slots).into_iter().flatten());
    dropped.sort_unstable();
    assert_eq!(dropped, (1..=KEYS).collect::<Vec<_>>());
}
