//! The fuzzers' bodies as an ordinary test: each over its checked-in corpus, then over ten thousand changed inputs that
//! are the same in every run. `tests/fuzz/run.sh` searches on with libFuzzer.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[expect(dead_code, reason = "shared with the tests of the gateway")]
#[path = "../gateway/client.rs"]
mod client;
#[expect(dead_code, reason = "shared with the tests of the gateway")]
#[path = "../gateway/harness.rs"]
mod harness;
#[expect(dead_code, reason = "shared with the tests of the gateway")]
#[path = "../gateway/packets.rs"]
mod packets;
#[path = "../gateway/ports.rs"]
mod ports;
mod targets;

use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Changed inputs of each target, if `CULVERT_FUZZ_MUTATIONS` does not ask for more.
const MUTATIONS: usize = 10_000;
/// libFuzzer's default.
const LONGEST: usize = 4096;
/// All corpora together.
const CORPUS_BYTES: usize = 200 * 1024;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn run(name: &str) {
    let target = targets::ALL.iter().find(|target| target.name == name).unwrap();
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "no corpus");
    // The harness makes and drops packets for ever; one thread, as in a fuzzer.
    let check = |input: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
            eprintln!("{name} fails on {} bytes: {}", input.len(), input.escape_ascii());
            resume_unwind(panic);
        }
    };
    check(&[]);
    seeds.iter().for_each(|seed| check(seed));
    let mut rng = Rng::with_seed(0x63_75_6c_76_65_72_74);
    let more = std::env::var("CULVERT_FUZZ_MUTATIONS").ok().map(|number| number.parse().unwrap());
    for _ in 0..more.unwrap_or(MUTATIONS) {
        let mut input = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(1..8) {
            mutate(&mut input, &seeds, &mut rng);
        }
        input.truncate(LONGEST);
        check(&input);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    const ODD: [u8; 8] = [0, 1, 4, 0x7f, 0x80, 0xff, b'\n', b'='];
    let at = rng.usize(..=input.len());
    let len = rng.usize(..=(input.len() - at).min(32));
    match rng.u8(..8) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
        1 if at < input.len() => input[at] = rng.u8(..),
        2 if at < input.len() => input[at] = ODD[rng.usize(..ODD.len())],
        3 => input.insert(at, rng.u8(..)),
        4 => drop(input.drain(at..at + len)),
        5 => input.splice(at..at, input[at..at + len].to_vec()).for_each(drop),
        6 => input.truncate(at),
        _ => {
            // A piece of another one.
            let other = &seeds[rng.usize(..seeds.len())];
            let from = rng.usize(..=other.len());
            let piece = other[from..].iter().take(rng.usize(..=64)).copied().collect::<Vec<_>>();
            input.splice(at..at + len, piece).for_each(drop);
        }
    }
}

macro_rules! each {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        /// No body without its test, no corpus without its body, and a repository that stays small.
        #[test]
        fn all_are_run() {
            let names = [$(stringify!($name)),*];
            assert!(targets::ALL.iter().map(|target| target.name).eq(names));
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
            let mut corpora: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name()).collect();
            corpora.sort();
            assert!(corpora.iter().eq(&names));
            let bytes: usize = names.iter().flat_map(|name| corpus(name)).map(|input| input.len()).sum();
            assert!(bytes <= CORPUS_BYTES, "{bytes} bytes");
        }
    };
}

each! { aead classify config gateway inner message noise peers_file sessions uapi }
