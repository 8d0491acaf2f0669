//! The queue alone: behaviours 1, 3, 4 and 8 of the per-peer queue.
//!
//! The `poll_*` bodies run under loom, Miri and plain threads, and use no lock: a lock would hand over what a missing edge loses.

use super::{
    chain::Chain,
    mpsc::{Mpsc, Pop},
    sync::{model, thread},
    testing::{Herd, Item},
};
// Not loom's: its count would be explored as well.
use std::sync::Arc;

/// `producers` threads push `pushes` chains of `chain` items each, while this thread pops.
///
/// FIFO a producer, nothing lost, nothing twice.
fn poll(producers: u32, pushes: u32, chain: u32) {
    let herd = Herd::default();
    let queue = Arc::new(Mpsc::new());
    let threads: Vec<_> = (0..producers)
        .map(|producer| {
            let (herd, queue) = (herd.clone(), Arc::clone(&queue));
            thread::spawn(move || {
                for push in 0..pushes {
                    queue.push(chain_of(&herd, producer, push * chain..(push + 1) * chain));
                }
            })
        })
        .collect();
    let mut seen = vec![0; producers as usize];
    let mut left = producers * pushes * chain;
    while left > 0 {
        // SAFETY: this thread alone pops.
        match unsafe { queue.pop() } {
            Pop::Item(item) => {
                note(&mut seen, &item);
                left -= 1;
            }
            Pop::Empty | Pop::HalfDone => thread::yield_now(),
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // SAFETY: this thread alone pops.
    assert!(matches!(unsafe { queue.pop() }, Pop::Empty));
    assert!(queue.is_drained());
    assert_eq!(seen, vec![pushes * chain; producers as usize]);
    assert_eq!(herd.living(), 0);
}

fn chain_of(herd: &Herd, producer: u32, numbers: core::ops::Range<u32>) -> Chain<Item> {
    let mut chain = Chain::new();
    numbers.for_each(|number| chain.push_back(herd.item(producer, number)));
    chain
}

fn note(seen: &mut [u32], item: &Item) {
    let (producer, number) = item.value();
    assert_eq!(number, seen[producer as usize], "FIFO a producer");
    seen[producer as usize] += 1;
}

#[test]
fn poll_2x1() {
    model(|| poll(2, 1, 1));
}

#[test]
fn poll_1x2() {
    model(|| poll(1, 2, 1));
}

#[test]
fn poll_2x2() {
    model(|| poll(2, 2, 1));
}

#[test]
fn poll_3x1() {
    model(|| poll(3, 1, 1));
}

#[test]
fn poll_chains_2x1x2() {
    model(|| poll(2, 1, 2));
}

/// A popped element goes back at once, into this queue, by the consumer, while a producer pushes.
#[test]
fn poll_popped_elements_are_pushed_again() {
    model(|| {
        let herd = Herd::default();
        let queue = Arc::new(Mpsc::new());
        queue.push_one(herd.item(0, 0));
        let producer = {
            let (herd, queue) = (herd.clone(), Arc::clone(&queue));
            thread::spawn(move || queue.push_one(herd.item(1, 0)))
        };
        let mut seen = [0, 0];
        let mut left = 3;
        while left > 0 {
            // SAFETY: this thread alone pops.
            match unsafe { queue.pop() } {
                Pop::Item(mut item) => {
                    note(&mut seen, &item);
                    left -= 1;
                    if item.value() == (0, 0) {
                        item.set((0, 1));
                        queue.push_one(item);
                    }
                }
                Pop::Empty | Pop::HalfDone => thread::yield_now(),
            }
        }
        producer.join().unwrap();
        assert_eq!(seen, [2, 1]);
        assert!(queue.is_drained());
    });
}

/// An element goes from one queue straight into another, which another thread pops.
#[test]
fn poll_an_element_moves_to_a_second_queue() {
    model(|| {
        let herd = Herd::default();
        let (first, second) = (Arc::new(Mpsc::new()), Arc::new(Mpsc::new()));
        let producer = {
            let (herd, first) = (herd.clone(), Arc::clone(&first));
            thread::spawn(move || first.push(chain_of(&herd, 0, 0..2)))
        };
        let consumer = {
            let second = Arc::clone(&second);
            thread::spawn(move || {
                let mut seen = [0];
                for _ in 0..3 {
                    // SAFETY: this thread alone pops the second queue, until it ends.
                    if let Pop::Item(item) = unsafe { second.pop() } {
                        note(&mut seen, &item);
                    }
                }
                seen
            })
        };
        let mut left = 2;
        while left > 0 {
            // SAFETY: this thread alone pops the first queue.
            match unsafe { first.pop() } {
                Pop::Item(item) => {
                    second.push_one(item);
                    left -= 1;
                }
                Pop::Empty | Pop::HalfDone => thread::yield_now(),
            }
        }
        producer.join().unwrap();
        let mut seen = consumer.join().unwrap();
        // SAFETY: the consumer has ended.
        while let Pop::Item(item) = unsafe { second.pop() } {
            note(&mut seen, &item);
        }
        assert_eq!(seen, [2]);
        assert_eq!(herd.living(), 0);
    });
}

/// What is queued when the queue goes is dropped, once, wherever the stub stands.
#[test]
fn drop_while_not_empty() {
    model(|| {
        let herd = Herd::default();
        let queue = Arc::new(Mpsc::new());
        let producer = {
            let (herd, queue) = (herd.clone(), Arc::clone(&queue));
            thread::spawn(move || queue.push(chain_of(&herd, 0, 0..3)))
        };
        // SAFETY: this thread alone pops.
        drop(unsafe { queue.pop() });
        producer.join().unwrap();
        drop(queue);
        assert_eq!(herd.living(), 0);
    });
}

#[cfg(not(loom))]
mod sequential {
    use super::*;
    use crate::queue::{linked::Linked, mpsc::STUB, sync::Ordering::Relaxed};
    use core::ptr;

    fn pop(queue: &Mpsc<Item>) -> Option<(u32, u32)> {
        // SAFETY: one thread.
        match unsafe { queue.pop() } {
            Pop::Item(item) => Some(item.value()),
            Pop::Empty => None,
            Pop::HalfDone => panic!("no push is half done"),
        }
    }

    /// Behaviour 1.
    #[test]
    fn fifo_a_producer_nothing_lost_nothing_twice() {
        let pushes = if cfg!(miri) { 20 } else { 20_000 };
        poll(3, pushes, 1);
        poll(3, pushes / 4, 4);
    }

    /// Behaviour 1: whoever exchanges first comes first, whoever links first.
    #[test]
    fn the_total_order_is_that_of_the_exchanges() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        let held: Vec<_> = (0..3)
            .map(|producer| {
                let (first, last) = chain_of(&herd, producer, 0..1).into_ends().unwrap();
                (queue.exchange(last.as_ptr()), first.as_ptr())
            })
            .collect();
        for (before, first) in held.into_iter().rev() {
            // SAFETY: the pair is of one chain, as `exchange` gave it.
            unsafe { queue.store_link(before, first) };
        }
        for producer in 0..3 {
            assert_eq!(pop(&queue), Some((producer, 0)));
        }
        assert_eq!(pop(&queue), None);
    }

    /// Behaviour 3.
    #[test]
    fn empty_one_element_and_the_stub_in_the_middle() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        assert_eq!(pop(&queue), None);
        assert!(queue.is_drained());
        // One element: to let it go, the stub goes in behind it.
        queue.push_one(herd.item(0, 0));
        assert!(!queue.is_drained());
        assert_eq!(pop(&queue), Some((0, 0)));
        assert!(queue.is_drained());
        // The stub is in front of these.
        queue.push(chain_of(&herd, 0, 1..3));
        assert_eq!(pop(&queue), Some((0, 1)));
        // The stub is out; two more, then one whose exchange meets the stub that is about to go in.
        queue.push(chain_of(&herd, 0, 3..5));
        for number in 2..5 {
            assert_eq!(pop(&queue), Some((0, number)));
        }
        assert_eq!(pop(&queue), None);
        // Nothing in a chain: no effect.
        queue.push(Chain::new());
        assert!(queue.is_drained());
        assert_eq!(herd.living(), 0);
    }

    /// Behaviour 3: the stub stands between two elements when a producer comes while it is put back.
    #[test]
    fn a_producer_between_the_last_element_and_the_stub() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        queue.push_one(herd.item(0, 0));
        let (first, last) = chain_of(&herd, 1, 0..1).into_ends().unwrap();
        let before = queue.exchange(last.as_ptr());
        // SAFETY: one thread.
        assert!(matches!(unsafe { queue.pop() }, Pop::HalfDone));
        // SAFETY: the pair is of one chain, as `exchange` gave it.
        unsafe { queue.store_link(before, first.as_ptr()) };
        assert_eq!(pop(&queue), Some((0, 0)));
        assert_eq!(pop(&queue), Some((1, 0)));
        assert_eq!(pop(&queue), None);
    }

    /// Behaviour 3: mbufs recycle, so the same few addresses come again and again.
    #[test]
    fn drained_and_reused_a_million_times() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        let mut idle: Vec<_> = (0..3).map(|number| herd.item(0, number)).collect();
        for round in 0..if cfg!(miri) { 100 } else { 1_000_000_usize } {
            let mut chain = Chain::new();
            let width = 1 + round % 3;
            idle.drain(..width).for_each(|item| chain.push_back(item));
            queue.push(chain);
            for _ in 0..width {
                // SAFETY: one thread.
                let Pop::Item(item) = (unsafe { queue.pop() }) else { panic!("lost in {round}") };
                idle.push(item);
            }
            assert!(queue.is_drained());
        }
        assert_eq!(idle.len(), 3);
    }

    /// Behaviour 3: what was popped is its new owner's, who may write its link, or free it.
    #[test]
    fn a_popped_element_is_never_touched() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        queue.push(chain_of(&herd, 0, 0..2));
        // SAFETY: one thread.
        let Pop::Item(item) = (unsafe { queue.pop() }) else { panic!("two are queued") };
        let link = item.into_link();
        let mark = ptr::without_provenance_mut(7);
        // SAFETY: the link is ours.
        let next = &unsafe { link.as_ref() }.next;
        next.store(mark, Relaxed);
        queue.push_one(herd.item(0, 2));
        assert_eq!(pop(&queue), Some((0, 1)));
        assert_eq!(pop(&queue), Some((0, 2)));
        assert_eq!(pop(&queue), None);
        assert_eq!(next.load(Relaxed), mark);
        // SAFETY: the link is of an item, and nobody else has it.
        drop(unsafe { Item::from_link(link) });
        assert_eq!(herd.living(), 0);
    }

    /// Behaviour 4.
    #[test]
    fn a_held_producer_is_reported_and_does_not_stop_the_consumer() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        queue.push_one(herd.item(0, 0));
        queue.push_one(herd.item(0, 1));
        let (first, last) = chain_of(&herd, 1, 0..2).into_ends().unwrap();
        let before = queue.exchange(last.as_ptr());
        queue.push(chain_of(&herd, 2, 0..2));
        assert_eq!(pop(&queue), Some((0, 0)), "what lies before the gap comes");
        for _ in 0..3 {
            // SAFETY: one thread.
            let popped = unsafe { queue.pop() };
            assert!(matches!(popped, Pop::HalfDone), "it returns");
            assert!(!queue.is_drained());
        }
        // SAFETY: the pair is of one chain, as `exchange` gave it.
        unsafe { queue.store_link(before, first.as_ptr()) };
        let rest: Vec<_> = core::iter::from_fn(|| pop(&queue)).collect();
        assert_eq!(rest, [(0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
        assert!(queue.is_drained());
    }

    /// The head alone does not tell that the queue is drained: the stub may be the newest element, and others wait before it.
    #[test]
    fn the_stub_behind_what_is_queued() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        queue.push_one(herd.item(0, 0));
        // The consumer has compared the tail with the head; now a producer comes, and then the stub goes in.
        queue.set_tail(queue.next_of(STUB));
        let (first, last) = chain_of(&herd, 1, 0..1).into_ends().unwrap();
        let before = queue.exchange(last.as_ptr());
        queue.push_stub();
        // SAFETY: the pair is of one chain, as `exchange` gave it.
        unsafe { queue.store_link(before, first.as_ptr()) };
        assert!(queue.is_drained());
        assert_eq!(pop(&queue), Some((0, 0)));
        assert_eq!(pop(&queue), Some((1, 0)));
        assert_eq!(pop(&queue), None);
    }

    /// It holds no address of itself, so it may move while it is drained or not.
    #[test]
    fn it_moves() {
        let herd = Herd::default();
        let queue = Mpsc::new();
        queue.push(chain_of(&herd, 0, 0..2));
        assert_eq!(pop(&queue), Some((0, 0)));
        let queue = Box::new(queue);
        queue.push_one(herd.item(0, 2));
        assert_eq!(pop(&queue), Some((0, 1)));
        let queue = *queue;
        assert_eq!(pop(&queue), Some((0, 2)));
        assert!(queue.is_drained());
    }
}
