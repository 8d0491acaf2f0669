//! Under loom, with `CULVERT_SEEDED_BUG` (see [`seeded`](crate::queue::sync::seeded)), `never_torn` and `never_goes_back`
//! have to fail with each of s1 (the reader does not look again) and s2 (the writer's fence is missing).

use super::*;
use crate::queue::sync::{model, thread};
use std::sync::Arc;

#[test]
fn reads_what_was_written() {
    model(|| {
        let latch = SeqLatch::new([1, 2, 3]);
        assert_eq!(latch.read(), [1, 2, 3]);
        for n in 1..5 {
            assert!(latch.try_write(&[n, n + 1, n + 2]));
            assert_eq!(latch.read(), [n, n + 1, n + 2]);
        }
        latch.write(&[7, 8, 9]);
        assert_eq!(latch.read(), [7, 8, 9]);
    });
}

/// A writer that is preempted in any place makes no reader wait, and keeps other writers out.
#[test]
fn a_preempted_writer_stops_no_reader() {
    model(|| {
        let latch = SeqLatch::new([1, 1]);
        latch.phase.store(FILLING_0, Release);
        latch.copies[0][0].store(2, Relaxed);
        assert_eq!(latch.read(), [1, 1]);
        assert!(!latch.try_write(&[3, 3]));
        latch.copies[0][1].store(2, Relaxed);
        latch.phase.store(FILLING_1, Release);
        latch.copies[1][0].store(2, Relaxed);
        assert_eq!(latch.read(), [2, 2]);
        assert!(!latch.try_write(&[3, 3]));
        latch.copies[1][1].store(2, Relaxed);
        latch.phase.store(PHASES, Release);
        assert_eq!(latch.read(), [2, 2]);
        assert!(latch.try_write(&[3, 3]));
        assert_eq!(latch.read(), [3, 3]);
    });
}

#[test]
fn never_torn() {
    model(|| {
        let latch = Arc::new(SeqLatch::new([0, 0]));
        let writers = [1, 2].map(|n| {
            let latch = latch.clone();
            thread::spawn(move || latch.try_write(&[n, n]))
        });
        let [a, b] = latch.read();
        assert_eq!(a, b, "torn");
        let wrote = writers.map(|writer| writer.join().unwrap());
        let [last, same] = latch.read();
        assert_eq!(last, same, "torn at rest");
        match wrote {
            [true, true] => assert_ne!(last, 0),
            [true, false] => assert_eq!(last, 1),
            [false, true] => assert_eq!(last, 2),
            [false, false] => panic!("one of two gets in"),
        }
    });
}

/// Two writes in a row use both copies twice; what is read never goes back.
#[test]
fn never_goes_back() {
    model(|| {
        let latch = Arc::new(SeqLatch::new([0, 0]));
        let writer = {
            let latch = latch.clone();
            thread::spawn(move || {
                for n in 1..=2 {
                    assert!(latch.try_write(&[n, n]));
                }
            })
        };
        let mut newest = 0;
        for _ in 0..2 {
            let [a, b] = latch.read();
            assert_eq!(a, b, "torn");
            assert!(a >= newest, "{a} after {newest}");
            newest = a;
        }
        writer.join().unwrap();
        assert_eq!(latch.read(), [2, 2]);
    });
}

#[cfg(not(loom))]
#[test]
fn stress() {
    const WORDS: usize = 4;
    let rounds: u64 = if cfg!(miri) { 20 } else { 20_000 };
    let latch = SeqLatch::new([0; WORDS]);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let latch = &latch;
            scope.spawn(move || {
                for n in 0..rounds {
                    latch.write(&[2 * n + writer; WORDS]);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let words = latch.read();
                    assert!(words.iter().all(|&word| word == words[0]), "{words:?}");
                }
            });
        }
    });
    assert!(latch.read()[0] >= 2 * (rounds - 1));
}
