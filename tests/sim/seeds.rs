//! The seeds: a thousand fixed ones, a minute of random ones, and the one that somebody asks for.

use crate::story::{Outcome, play};
use std::time::{Duration, Instant};

/// Says, if the test fails, how to see that again.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed) = self;
            eprintln!("CULVERT_SIM_SEED={seed} cargo nextest run --locked --test sim -E 'test(replay)' --no-capture");
        }
    }
}

fn run(seed: u64, loud: bool) -> Outcome {
    let _named = Named(seed);
    play(seed, loud)
}

/// The thousand are dealt out to so many tests, since each test is a process and has a core.
const SHARES: usize = 8;

fn share(number: u64) {
    let (mut worst, mut datagrams, mut handshakes) = ((0, 0), 0, 0);
    for seed in (number..1000).step_by(SHARES) {
        let outcome = run(seed, false);
        worst = worst.max((outcome.healed_ms, seed));
        datagrams += outcome.datagrams;
        handshakes += outcome.handshakes;
    }
    eprintln!("{datagrams} datagrams, {handshakes} handshakes; healed after {} ms at most (seed {})", worst.0, worst.1);
    assert!(handshakes > 1000 / SHARES as u64, "runs without handshakes show nothing");
}

macro_rules! shares {
    ($($name:ident $number:literal)*) => { $(#[test] fn $name() { share($number); })* };
}

shares! { fixed_0 0 fixed_1 1 fixed_2 2 fixed_3 3 fixed_4 4 fixed_5 5 fixed_6 6 fixed_7 7 }

/// Seed 4 unless CULVERT_SIM_SEED says another: which is told as it goes.
#[test]
fn replay_the_same_seed_is_the_same_run() {
    let asked = std::env::var("CULVERT_SIM_SEED").ok();
    let seed = asked.as_ref().map_or(4, |seed| seed.parse().expect("CULVERT_SIM_SEED is a number"));
    let first = run(seed, asked.is_some());
    assert_eq!(run(seed, false), first);
    eprintln!("seed {seed}: {first:?}");
}

#[test]
fn replay_another_seed_is_another_run() {
    assert_ne!(run(5, false).hash, run(6, false).hash);
}

/// With CULVERT_LONG=1 (`make test-long`): a minute of seeds that nobody has chosen.
#[test]
fn random_seeds() {
    if std::env::var_os("CULVERT_LONG").is_none() {
        return eprintln!("only with CULVERT_LONG=1");
    }
    let (start, mut runs) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(60) {
        run(fastrand::u64(..), false);
        runs += 1;
    }
    eprintln!("{runs} runs");
}
