//! A25: where secrets were, they are no more. The process searches its own memory.
//!
//! Secrets are fresh random bytes that exist nowhere else; what is searched for is kept inverted. Only the second half
//! of each is searched, since freed memory gets its first bytes overwritten by the allocator.

use super::at;
use crate::noise::{HandshakeState, Identity, OpenedInitiation, PeerStatic, Tai64N, os_random, wipe_stack};
use crate::session::Keypair;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// A secret's second half, every bit inverted.
type Inverted = [u8; 16];

fn invert(secret: &[u8; 32]) -> Inverted {
    let mut inverted = [0; 16];
    for (to, from) in inverted.iter_mut().zip(&secret[16..]) {
        *to = !from;
    }
    inverted
}

fn fresh() -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    os_random(secret.as_mut_slice());
    secret
}

/// A whole handshake and two keypairs, all dropped again. Returns what was secret in it.
#[inline(never)]
fn handshake() -> Vec<(&'static str, Inverted)> {
    let mut secrets = Vec::new();
    let (private_one, private_two, psk) = (fresh(), fresh(), fresh());
    secrets.push(("private key", invert(&private_one)));
    secrets.push(("other private key", invert(&private_two)));
    secrets.push(("preshared key", invert(&psk)));
    let (one, two) = (Identity::new(&private_one), Identity::new(&private_two));
    let to_two = PeerStatic::new(&one, two.public_key()).unwrap();
    let to_one = PeerStatic::new(&two, one.public_key()).unwrap();
    secrets.push(("static-static", invert(to_two.static_static())));

    let mut state = HandshakeState::new();
    let initiation = state
        .create_initiation(&one, &to_two, 1, at(1), 0, &mut |bytes| {
            os_random(bytes);
            secrets.push(("initiator's ephemeral", invert((&*bytes).try_into().unwrap())));
        })
        .unwrap();
    let opened = OpenedInitiation::open(&two, &initiation).unwrap();
    let accepted = opened.accept(&to_one, Tai64N::default(), None, 0).unwrap();
    let (response, theirs) = HandshakeState::new()
        .respond(&to_one, accepted, &psk, 2, 0, &mut |bytes| {
            os_random(bytes);
            secrets.push(("responder's ephemeral", invert((&*bytes).try_into().unwrap())));
        })
        .unwrap();
    let ours = state.consume_response(&one, &psk, &response).unwrap();
    let keypairs = [ours, theirs].map(|secrets| Box::new(Keypair::new(secrets, 1, 1, 0)));
    secrets.push(("session key", invert(keypairs[0].send_key().bytes())));
    secrets.push(("other session key", invert(keypairs[0].receive_key().bytes())));
    secrets
}

/// PROTOCOL A9.1, A9.2, A9.5: temporaries, keypairs, identity.
/// TESTING A25: nothing is found in memory afterwards.
#[test]
fn no_secret_outlives_its_use() {
    // A thread of its own, so that its stack holds this and nothing else.
    let handle = std::thread::spawn(|| {
        let alive = fresh();
        let mut secrets = vec![("one that lives", invert(&alive))];
        secrets.extend(handshake());
        wipe_stack();
        let found = search(&secrets);
        assert_eq!(secrets.len(), 9);
        assert!(found[0] > 0, "the search finds nothing at all");
        for ((name, _), found) in secrets.iter().zip(found).skip(1) {
            assert_eq!(found, 0, "{name}");
        }
    });
    handle.join().unwrap();
}

/// In how many places of this process's writable memory each secret stands.
fn search(secrets: &[(&str, Inverted)]) -> Vec<usize> {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = BufReader::new(File::open("/proc/self/maps").unwrap());
    let mut found = vec![0; secrets.len()];
    let mut chunk = vec![0; 1 << 16];
    let mut first = [false; 256];
    secrets.iter().for_each(|(_, inverted)| first[usize::from(!inverted[0])] = true);
    for line in maps.lines().map(Result::unwrap) {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [mut start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        // Steps of a little less than a chunk, since secrets may lie across two. Other threads unmap memory meanwhile:
        // what cannot be read is gone.
        while start < end {
            let len = chunk.len().min((end - start) as usize);
            let Ok(got) = memory.read_at(&mut chunk[..len], start) else {
                break;
            };
            count(&chunk[..got], secrets, &first, &mut found);
            chunk.fill(0);
            start += (1 << 16) - 15;
        }
    }
    found
}

fn count(chunk: &[u8], secrets: &[(&str, Inverted)], first: &[bool; 256], found: &mut [usize]) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    if chunk == &ZEROS[..chunk.len()] {
        return;
    }
    for (place, &byte) in chunk.iter().enumerate() {
        if !first[usize::from(byte)] {
            continue;
        }
        let Some(here) = chunk.get(place..place + 16) else {
            return;
        };
        for (found, (_, inverted)) in found.iter_mut().zip(secrets) {
            *found += usize::from(here.iter().zip(inverted).all(|(byte, inverted)| *byte == !inverted));
        }
    }
}
