//! The replay window's edges (exact), and against a set that forgets nothing.

use crate::session::ReplayWindow;
use crate::session::limits::{REJECT_AFTER_MESSAGES, REPLAY_WINDOW_BITS, REPLAY_WINDOW_USABLE};
use proptest::prelude::*;
use std::collections::HashSet;

#[test]
fn in_order_each_once() {
    let window = ReplayWindow::new();
    assert_eq!(window.greatest(), None);
    for counter in 0..3 * REPLAY_WINDOW_BITS {
        assert!(window.accept(counter), "{counter}");
        assert!(!window.accept(counter), "{counter} again");
        assert_eq!(window.greatest(), Some(counter));
    }
}

/// A5: 8,128 behind is accepted, once; 8,129 is not, wherever in a word the greatest lies.
/// PROTOCOL A1.14: 8,128 behind is accepted, 8,129 is not.
#[test]
fn the_edge_is_exact_at_every_place_in_a_word() {
    for greatest in REPLAY_WINDOW_USABLE + 1..REPLAY_WINDOW_USABLE + 1 + 3 * 64 {
        let window = ReplayWindow::new();
        assert!(window.accept(greatest));
        assert!(!window.accept(greatest - REPLAY_WINDOW_USABLE - 1), "too old for {greatest}");
        assert!(window.accept(greatest - REPLAY_WINDOW_USABLE), "oldest for {greatest}");
        assert!(!window.accept(greatest - REPLAY_WINDOW_USABLE), "oldest again for {greatest}");
    }
}

/// The whole window in backward order, then all of it again.
#[test]
fn reordering_by_the_whole_window_loses_nothing() {
    let window = ReplayWindow::new();
    let greatest = 100_003;
    for counter in (greatest - REPLAY_WINDOW_USABLE..=greatest).rev() {
        assert!(window.accept(counter), "{counter}");
    }
    for counter in greatest - REPLAY_WINDOW_USABLE - 200..=greatest {
        assert!(!window.accept(counter), "{counter}");
    }
}

/// Jumps of less, exactly and more than the ring, so that stale words would show.
#[test]
fn a_jump_leaves_no_stale_bits() {
    for jump in [1, 63, 64, 65, 8127, 8128, 8129, 8191, 8192, 8193, 16_384, 1 << 40] {
        let window = ReplayWindow::new();
        for counter in 0..REPLAY_WINDOW_BITS {
            assert!(window.accept(counter));
        }
        let old = REPLAY_WINDOW_BITS - 1;
        let greatest = old + jump;
        assert!(window.accept(greatest));
        for counter in (greatest - REPLAY_WINDOW_USABLE).max(old + 1)..greatest {
            assert!(window.accept(counter), "{counter} after a jump by {jump}");
        }
        for counter in greatest - REPLAY_WINDOW_USABLE..=greatest {
            assert!(!window.accept(counter), "{counter} again after a jump by {jump}");
        }
    }
}

/// A6: the last counter is taken, the first beyond never, and nothing there moves the window.
#[test]
fn the_end_of_the_counters() {
    let window = ReplayWindow::new();
    assert!(window.accept(5));
    for counter in [REJECT_AFTER_MESSAGES, REJECT_AFTER_MESSAGES + 1, u64::MAX - 1, u64::MAX] {
        assert!(!window.accept(counter), "{counter}");
    }
    assert_eq!(window.greatest(), Some(5));
    assert!(window.accept(REJECT_AFTER_MESSAGES - 1));
    assert!(!window.accept(REJECT_AFTER_MESSAGES - 1));
    assert!(window.accept(REJECT_AFTER_MESSAGES - 1 - REPLAY_WINDOW_USABLE));
    assert!(!window.accept(REJECT_AFTER_MESSAGES - 2 - REPLAY_WINDOW_USABLE));
    assert!(!window.accept(REJECT_AFTER_MESSAGES));
}

/// One window after the other, each a row of counters with what has to become of them.
#[test]
fn a_table_of_edges() {
    const W: u64 = REPLAY_WINDOW_USABLE;
    const R: u64 = REJECT_AFTER_MESSAGES;
    let rows: [(&str, &[(u64, bool)]); 9] = [
        ("the first may be any", &[(R - 1, true), (R - 1, false), (0, false)]),
        ("0 is exactly the window behind W", &[(W, true), (0, true), (0, false), (W, false), (1, true)]),
        ("0 is one too old for W + 1", &[(W + 1, true), (0, false), (1, true), (1, false), (W, true)]),
        ("0 is not special", &[(0, true), (0, false), (1, true), (0, false), (2, true), (1, false)]),
        ("backwards", &[(9, true), (8, true), (7, true), (7, false), (6, true), (5, true), (9, false), (10, true)]),
        ("a jump leaves its gap open", &[(3, true), (70, true), (4, true), (69, true), (3, false), (4, false)]),
        (
            "a step over the edge closes one",
            &[(64, true), (W + 64, true), (64, false), (63, false), (W + 65, true), (64, false), (65, true)],
        ),
        (
            "far jumps forget all that is behind",
            &[(5, true), (1 << 32, true), (5, false), (6, false), ((1 << 32) - W, true), ((1 << 32) - W - 1, false)],
        ),
        (
            "beyond the limit nothing moves",
            &[
                (1, true),
                (R, false),
                (u64::MAX, false),
                (1, false),
                (2, true),
                (R - 1, true),
                (R, false),
                (R - 1 - W, true),
                (3, false),
            ],
        ),
    ];
    for (what, row) in rows {
        let window = ReplayWindow::new();
        for (place, &(counter, expected)) in row.iter().enumerate() {
            assert_eq!(window.accept(counter), expected, "{what}: {counter}, number {place}");
        }
    }
}

/// From the greatest downwards to the last that fits, then the one that does not, at starts all over a ring's words.
#[test]
fn a_whole_window_backwards_ends_at_its_edge() {
    for start in [0, 1, 63, 64, 65, 4096, REPLAY_WINDOW_BITS - 1, REJECT_AFTER_MESSAGES - 2 - REPLAY_WINDOW_USABLE] {
        let window = ReplayWindow::new();
        for counter in (start + 1..=start + 1 + REPLAY_WINDOW_USABLE).rev() {
            assert!(window.accept(counter), "{counter} from {start}");
        }
        assert!(!window.accept(start), "{start} is too old");
        assert!(!window.accept(start + 1), "{start} + 1 is there");
    }
}

/// Refuses what it has, what is more than the window behind the greatest, and what is beyond the limit.
#[derive(Default)]
struct Oracle {
    seen: HashSet<u64>,
    greatest: Option<u64>,
}

impl Oracle {
    fn accept(&mut self, counter: u64) -> bool {
        let too_old = self.greatest.is_some_and(|greatest| greatest.saturating_sub(counter) > REPLAY_WINDOW_USABLE);
        if counter >= REJECT_AFTER_MESSAGES || too_old || !self.seen.insert(counter) {
            return false;
        }
        self.greatest = self.greatest.max(Some(counter));
        true
    }
}

/// Steps from the greatest counter so far: near, about the window's edges, about the ring's size, and far.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => -80_i64..80,
        2 => -8200_i64..-8100,
        2 => -9000_i64..9000,
        1 => 8100_i64..8300,
        1 => -100_000_i64..1_000_000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn like_the_oracle(
        start in prop_oneof![Just(0), 0..20_000_u64, any::<u64>(), REJECT_AFTER_MESSAGES - 20_000..=u64::MAX],
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let (window, mut oracle) = (ReplayWindow::new(), Oracle::default());
        let mut base = start;
        for step in steps {
            let counter = base.saturating_add_signed(step);
            prop_assert_eq!(window.accept(counter), oracle.accept(counter), "counter {}", counter);
            prop_assert_eq!(window.greatest(), oracle.greatest);
            base = oracle.greatest.unwrap_or(start);
        }
    }
}
