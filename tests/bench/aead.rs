//! The ciphers alone, batch by batch: ours, `ring`, which most others build on, and Intel's library.
//!
//! 256 packets lie in memory (what fits no first-level cache at 576 bytes and above), with 32 keys in turn, and go through a
//! cipher in batches. All ciphers do so in each round. Before what is timed each has run once over the same packets, untimed:
//! for `open` that seals them. Jobs, and ring's keys, are made before.

use crate::figures::{Figures, median};
use culvert::aead::{Backend, Cipher, Job, Key, TAG_LEN};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::time::Instant;

/// Bytes of text.
const SIZES: [usize; 4] = [64, 256, 576, 1420];
/// Packets that one call gets.
const BATCHES: [usize; 3] = [32, 8, 1];
const KEYS: usize = 32;
const PACKETS: usize = 256;
/// Times that all packets are worked on in a round.
const REPEATS: usize = 8;
const ROUNDS: usize = 15;

/// Those that are compared.
enum Contestant {
    Ours(Cipher),
    Ring(Vec<LessSafeKey>),
}

#[derive(Clone, Copy)]
enum Dir {
    Seal,
    Open,
}

impl Contestant {
    /// As the figures' names have it.
    fn name(&self) -> &'static str {
        match self {
            Self::Ours(cipher) if cipher.backend() == Backend::IpsecMb => "ipsec_mb",
            Self::Ours(cipher) => cipher.backend().name(),
            Self::Ring(_) => "ring",
        }
    }

    /// Works on all jobs once.
    fn run(&mut self, dir: Dir, jobs: &mut [Job<'_>], batch: usize) {
        match (self, dir) {
            (Self::Ours(cipher), Dir::Seal) => jobs.chunks_mut(batch).for_each(|jobs| cipher.seal(jobs)),
            (Self::Ours(cipher), Dir::Open) => jobs.chunks_mut(batch).for_each(|jobs| cipher.open(jobs)),
            (Self::Ring(keys), Dir::Seal) => {
                for (job, key) in jobs.iter_mut().zip(keys.iter().cycle()) {
                    let (text, room) = job.buffer.split_last_chunk_mut::<TAG_LEN>().unwrap();
                    let tag = key.seal_in_place_separate_tag(nonce(job.counter), Aad::empty(), text).unwrap();
                    room.copy_from_slice(tag.as_ref());
                    job.ok = true;
                }
            }
            (Self::Ring(keys), Dir::Open) => {
                for (job, key) in jobs.iter_mut().zip(keys.iter().cycle()) {
                    job.ok = key.open_in_place(nonce(job.counter), Aad::empty(), job.buffer).is_ok();
                }
            }
        }
    }

    /// Nanoseconds a packet.
    fn time(&mut self, dir: Dir, jobs: &mut [Job<'_>], batch: usize) -> f64 {
        let mut ns = 0;
        for _ in 0..REPEATS {
            self.run(Dir::Seal, jobs, batch);
            let start = Instant::now();
            self.run(dir, jobs, batch);
            ns += start.elapsed().as_nanos();
            assert!(jobs.iter().all(|job| job.ok), "{}", self.name());
        }
        ns as f64 / (REPEATS * jobs.len()) as f64
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

pub fn measure(figures: &mut Figures) {
    let core = core_affinity::get_core_ids().unwrap().pop().unwrap();
    assert!(core_affinity::set_for_current(core));
    let keys: Vec<Key> = (0..KEYS).map(|n| Key::new([n as u8 + 1; 32])).collect();
    let ring = |key: &Key| LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.bytes()).unwrap());
    let mut contestants: Vec<Contestant> =
        Backend::available().map(|backend| Contestant::Ours(backend.cipher())).collect();
    contestants.push(Contestant::Ring(keys.iter().map(ring).collect()));
    for (dir, word) in [(Dir::Seal, "seal"), (Dir::Open, "open")] {
        for size in SIZES {
            for batch in BATCHES {
                let suffix = if batch == BATCHES[0] { String::new() } else { format!(".batch{batch}") };
                one(figures, &mut contestants, &keys, dir, size, batch, |what| {
                    format!("aead.{word}.{size}.{what}{suffix}")
                });
            }
        }
    }
}

/// All contestants in one direction, size and batch.
fn one(
    figures: &mut Figures,
    contestants: &mut [Contestant],
    keys: &[Key],
    dir: Dir,
    size: usize,
    batch: usize,
    name: impl Fn(&str) -> String,
) {
    let mut packets = vec![vec![0x5a; size + TAG_LEN]; PACKETS];
    let jobs = (0..).zip(packets.iter_mut()).zip(keys.iter().cycle());
    let mut jobs: Vec<Job<'_>> = jobs.map(|((counter, packet), key)| Job::new(key, counter, packet)).collect();
    let mut times = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for (contestant, times) in contestants.iter_mut().zip(&mut times) {
            times.push(contestant.time(dir, &mut jobs, batch));
        }
    }
    let times: Vec<f64> = times.into_iter().map(median).collect();
    let of = |name: &str| contestants.iter().zip(&times).find(|(c, _)| c.name() == name).map(|(_, time)| *time);
    for (contestant, ns) in contestants.iter().zip(&times) {
        figures.add(name(&format!("{}.ns", contestant.name())), *ns, format!("ns a packet, batches of {batch}"));
    }
    for other in ["ring", "ipsec_mb"] {
        if let (Some(simd), Some(ns)) = (of("simd"), of(other)) {
            figures.add(name(&format!("simd_vs_{other}")), simd / ns, "of the lines above");
        }
    }
}
