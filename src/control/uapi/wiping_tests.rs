//! What the parser has read of a key is gone with it (PROTOCOL A9.4). The process searches its own memory.

use super::parse::{Bounds, Operation, Parser};
use crate::noise::os_random;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use zeroize::{Zeroize, Zeroizing};

/// The second half of what is searched for, every bit inverted: freed memory gets its first bytes overwritten, and what is searched for
/// must not be found in the search.
struct Needle(Vec<u8>);

impl Needle {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes[bytes.len() / 2..].iter().map(|byte| !byte).collect())
    }

    /// In how many places of this process's writable memory it stands.
    fn found(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = BufReader::new(File::open("/proc/self/maps").unwrap());
        let (mut found, mut chunk) = (0, vec![0; 1 << 20]);
        for line in maps.lines().map(Result::unwrap) {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [mut start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            while rest.starts_with("rw") && start < end {
                // Reading the search's own buffer into itself would multiply what is in front of it.
                let own = chunk.as_ptr().addr() as u64;
                if (own..own + chunk.len() as u64).contains(&start) {
                    start = own + chunk.len() as u64;
                    continue;
                }
                let stop = if start < own { end.min(own) } else { end };
                let len = usize::try_from(stop - start).unwrap().min(chunk.len());
                let Ok(got) = memory.read_at(&mut chunk[..len], start) else { break };
                let stands = |window: &&[u8]| window.iter().zip(&self.0).all(|(byte, inverted)| *byte == !inverted);
                found += chunk[..got].windows(self.0.len()).filter(stands).count();
                chunk.as_mut_slice().zeroize();
                // What lies across two reads is seen by the second.
                start += (if start + (len as u64) < stop { got.saturating_sub(self.0.len() - 1).max(1) } else { len })
                    as u64;
            }
        }
        found
    }
}

fn random_key() -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    os_random(key.as_mut_slice());
    key
}

/// The key's 64 digits, written without a copy of them anywhere else.
fn write_hex(key: &[u8; 32], out: &mut Zeroizing<Vec<u8>>) {
    for byte in key {
        for nibble in [byte >> 4, byte & 15] {
            out.push(super::value::hex_digit(nibble));
        }
    }
}

/// Two keys are set, cut anywhere, and all that held them is dropped. Returns what must not be found any more. Never inlined: what moving
/// the keys leaves on the stack lies below the caller's frame.
#[inline(never)]
fn set_keys() -> Vec<Needle> {
    let (private_key, preshared_key) = (random_key(), random_key());
    let mut text = Zeroizing::new(Vec::with_capacity(1 << 12));
    text.extend_from_slice(b"set=1\nprivate_key=");
    write_hex(&private_key, &mut text);
    // Enough peers for the list to grow.
    for _ in 0..9 {
        text.extend_from_slice(b"\npublic_key=");
        write_hex(&[9; 32], &mut text);
        text.extend_from_slice(b"\npreshared_key=");
        write_hex(&preshared_key, &mut text);
    }
    text.extend_from_slice(b"\n\n");
    let mut digits = Zeroizing::new(Vec::with_capacity(64));
    let mut needles = Vec::new();
    for key in [&private_key, &preshared_key] {
        digits.clear();
        write_hex(key, &mut digits);
        needles.extend([Needle::of(key.as_slice()), Needle::of(&digits)]);
    }
    let held: Vec<usize> = needles.iter().map(Needle::found).collect();
    assert!(held.iter().all(|found| *found > 0), "the search finds nothing at all: {held:?}");
    for step in [7, 100, usize::MAX] {
        // As a connection does after each operation.
        crate::noise::wipe_stack();
        let mut parser = Parser::new(Bounds::for_peers(100));
        let outcome = text.chunks(step).fold(None, |last, piece| parser.feed(piece).1.or(last));
        let Some(Ok(Operation::Set(change))) = outcome else { panic!("not taken") };
        assert_eq!(change.peers.len(), 9);
    }
    needles
}

/// PROTOCOL A9.4: of a private key and a preshared key that were set, neither bytes nor digits are left.
#[test]
fn keys_that_were_read_are_wiped() {
    // A thread of its own, so that its stack holds this and nothing else.
    let handle = std::thread::spawn(|| {
        let needles = set_keys();
        crate::noise::wipe_stack();
        let left: Vec<usize> = needles.iter().map(Needle::found).collect();
        assert_eq!(left, [0; 4], "private key, its digits, preshared key, its digits");
    });
    handle.join().unwrap();
}
