//! Bodies that run under loom, Miri and plain threads.
//!
//! Under loom, `CULVERT_SEEDED_BUG` weakens one step (see [`seeded`](crate::queue::sync::seeded)), and the models have to fail:
//!
//! | bug | what is weakened | models that fail |
//! |---|---|---|
//! | p1 | a reader comes online without its fence | `come_online`, `wake_up`, `two_writers` |
//! | p2 | one reader is not waited for | all |
//! | p3 | `done` is read without Acquire | `another_polls` |
//! | p4 | a report without Release | `report`, `publish`, `another_polls` |
//! | p5 | a grace period starts without its fence | `come_online`, `wake_up`, `two_writers` |

use super::{Domain, Graveyard, Published, Reader, Retired, Slots};
use crate::queue::sync::{
    UnsafeCell, model,
    thread::{self, JoinHandle},
};
use core::ptr;
use std::sync::Arc;

/// Tells whether its bird lives. It lies outside the bird, so that a read after the free can be convicted and is no
/// undefined behaviour yet; loom's cell also convicts a read that is not ordered before the free.
#[derive(Default)]
struct Canary {
    dead: UnsafeCell<bool>,
}

// SAFETY: not safe as such; what the models check is that no two threads use `dead` at once.
unsafe impl Sync for Canary {}

/// A value that stops its canary when it is freed.
struct Bird(Arc<Canary>);

impl Drop for Bird {
    fn drop(&mut self) {
        // A model that has failed says why, not what follows from it.
        if std::thread::panicking() {
            return;
        }
        self.0.dead.with_mut(|dead| {
            // SAFETY: the one who frees the bird is alone with it; else loom and Miri say so.
            let before = unsafe { dead.replace(true) };
            assert!(!before, "freed once");
        });
    }
}

/// The canaries of a model, by their birds' addresses; with them a bird can be asked after without touching it.
#[derive(Clone, Default)]
struct Aviary(Vec<(usize, Arc<Canary>)>);

impl Aviary {
    fn hatch(&mut self) -> Box<Bird> {
        let canary = Arc::<Canary>::default();
        let bird = Box::new(Bird(canary.clone()));
        self.note(&bird, canary);
        bird
    }

    fn note(&mut self, bird: &Bird, canary: Arc<Canary>) {
        self.0.push((address(bird), canary));
    }

    /// A reader's use of `bird`; returns which it is.
    fn assert_alive(&self, bird: &Bird) -> usize {
        let which = self.which(bird);
        for _ in 0..2 {
            assert!(!self.is_dead(which), "read after free");
        }
        which
    }

    fn which(&self, bird: &Bird) -> usize {
        let address = address(bird);
        self.0.iter().position(|(at, _)| *at == address).unwrap()
    }

    fn is_dead(&self, which: usize) -> bool {
        // SAFETY: as in `Bird::drop`.
        self.0[which].1.dead.with(|dead| unsafe { dead.read() })
    }

    /// At the end of a model: every bird died, once.
    fn assert_all_dead(&self) {
        assert!((0..self.0.len()).all(|which| self.is_dead(which)));
    }
}

fn address(bird: &Bird) -> usize {
    ptr::from_ref(bird).addr()
}

/// A domain for `readers` and a slot with a bird.
fn one_slot(readers: usize) -> (Arc<Domain>, Arc<Slots<Bird>>, Aviary) {
    let domain = Domain::new(readers);
    let slots = Arc::new(Slots::new(domain.clone(), 1));
    let mut aviary = Aviary::default();
    assert!(slots.insert(0, aviary.hatch()).is_ok());
    (domain, slots, aviary)
}

/// Runs `body` with a reader on a thread of its own.
fn with_reader(mut reader: Reader, body: impl FnOnce(&mut Reader) + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || body(&mut reader))
}

/// What a control thread does: tries to free, then leaves it to the sweep.
fn free_or_bury(domain: &Arc<Domain>, retired: Option<Retired<Bird>>) -> Graveyard {
    let mut graveyard = Graveyard::new(domain.clone());
    if let Some(Err(retired)) = retired.map(Retired::try_free) {
        graveyard.bury(retired);
    }
    graveyard
}

#[test]
fn come_online() {
    model(|| {
        let (domain, slots, aviary) = one_slot(1);
        let thread = {
            let (domain, slots, aviary) = (domain.clone(), slots.clone(), aviary.clone());
            thread::spawn(move || {
                let reader = domain.register().unwrap();
                if let Some(bird) = slots.get(&reader, 0) {
                    aviary.assert_alive(bird);
                }
            })
        };
        let mut graveyard = free_or_bury(&domain, slots.take(0));
        thread.join().unwrap();
        assert_eq!(graveyard.sweep(), 0);
        aviary.assert_all_dead();
    });
}

#[test]
fn wake_up() {
    model(|| {
        let (domain, slots, aviary) = one_slot(1);
        let thread = {
            let (slots, aviary) = (slots.clone(), aviary.clone());
            with_reader(domain.register().unwrap(), move |reader| {
                if let Some(bird) = slots.get(reader, 0) {
                    aviary.assert_alive(bird);
                }
                // Not `yield_now`: loom hides old stores from a thread that has yielded.
                reader.offline(|| ());
                if let Some(bird) = slots.get(reader, 0) {
                    aviary.assert_alive(bird);
                }
            })
        };
        let mut graveyard = free_or_bury(&domain, slots.take(0));
        thread.join().unwrap();
        assert_eq!(graveyard.sweep(), 0);
        aviary.assert_all_dead();
    });
}

#[test]
fn report() {
    model(|| {
        let (domain, slots, aviary) = one_slot(2);
        let threads = [(); 2].map(|()| {
            let (slots, aviary) = (slots.clone(), aviary.clone());
            with_reader(domain.register().unwrap(), move |reader| {
                let before = slots.get(reader, 0).map(|bird| aviary.assert_alive(bird));
                reader.quiescent();
                let after = slots.get(reader, 0).map(|bird| aviary.assert_alive(bird));
                assert!(before.is_some() || after.is_none(), "gone is gone");
            })
        });
        let retired = slots.take(0).unwrap();
        let mut graveyard = free_or_bury(&domain, Some(retired));
        graveyard.sweep();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(graveyard.sweep(), 0);
        aviary.assert_all_dead();
    });
}

/// One thread sees the reports, another frees. The reader itself polls: with a third thread loom's partial-order reduction skips
/// the schedules that p3 needs.
#[test]
fn another_polls() {
    model(|| {
        let (domain, slots, aviary) = one_slot(1);
        let thread = {
            let (domain, slots, aviary) = (domain.clone(), slots.clone(), aviary.clone());
            with_reader(domain.register().unwrap(), move |reader| {
                if let Some(bird) = slots.get(reader, 0) {
                    aviary.assert_alive(bird);
                }
                reader.quiescent();
                domain.poll();
            })
        };
        let mut graveyard = free_or_bury(&domain, slots.take(0));
        thread.join().unwrap();
        assert_eq!(graveyard.sweep(), 0);
        aviary.assert_all_dead();
    });
}

#[test]
fn two_writers() {
    model(|| {
        let (domain, slots, mut aviary) = one_slot(1);
        let [first, second] = [aviary.hatch(), aviary.hatch()];
        let inserting = {
            let (domain, slots) = (domain.clone(), slots.clone());
            thread::spawn(move || {
                drop(free_or_bury(&domain, slots.take(0)));
                // Refused, if the other writer was here.
                drop(slots.insert(0, first));
            })
        };
        let replaced = slots.replace(0, second);
        drop(free_or_bury(&domain, replaced));
        let reader = domain.register().unwrap();
        if let Some(bird) = slots.get(&reader, 0) {
            assert_ne!(aviary.assert_alive(bird), 0, "the first was taken out");
        }
        inserting.join().unwrap();
        drop(reader);
        drop(slots);
        assert_eq!(Graveyard::new(domain).sweep(), 0);
        aviary.assert_all_dead();
    });
}

#[test]
fn publish() {
    model(|| {
        let domain = Domain::new(1);
        let mut aviary = Aviary::default();
        let canary = Arc::<Canary>::default();
        let cell = Arc::new(Published::new(domain.clone(), Bird(canary.clone())));
        let reader = domain.register().unwrap();
        aviary.note(cell.load(&reader), canary);
        let second = aviary.hatch();
        let reading = {
            let (cell, aviary) = (cell.clone(), aviary.clone());
            with_reader(reader, move |reader| {
                let before = aviary.assert_alive(cell.load(reader));
                reader.quiescent();
                let after = aviary.assert_alive(cell.load(reader));
                assert!(before <= after, "no way back");
            })
        };
        let mut graveyard = free_or_bury(&domain, Some(cell.replace(second)));
        reading.join().unwrap();
        drop(cell);
        assert_eq!(graveyard.sweep(), 0);
        aviary.assert_all_dead();
    });
}
