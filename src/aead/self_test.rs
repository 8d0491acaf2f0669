//! Known answers that each backend has to give before it may touch a packet.
//!
//! The tags were computed by two independent programs, one written from the text of RFC 8439 (sections 2.3 to 2.8,
//! checked against the vector of 2.8.2) and OpenSSL 3.0. A tag depends on every byte of its ciphertext.

use super::{Batches, Job, Key, TAG_LEN};
use core::array;

/// What a backend did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// It does not even start.
    #[error("it refuses to run on this CPU")]
    Start,
    /// A sealed message differs.
    #[error("sealing {0} bytes gives a wrong answer")]
    Seal(usize),
    /// A good message was refused, or opened to something else.
    #[error("opening {0} bytes gives a wrong answer")]
    Open(usize),
    /// A forged message was accepted, or left as plaintext.
    #[error("a forged message of {0} bytes is not refused")]
    Forged(usize),
}

/// A message of the pattern below: its length, counter and tag.
struct Known {
    len: usize,
    counter: u64,
    tag: [u8; TAG_LEN],
}

/// Key byte `j` of message `i` is `0x80 + 7 i + j`, text byte `j` is `i + 3 j`, both modulo 256.
const KNOWN: [Known; 8] = [
    Known { len: 0, counter: 0, tag: 0x3ae5d3f2a376d317eaea5aef0215ba54_u128.to_be_bytes() },
    Known { len: 1, counter: 1, tag: 0xce10b489c1d5e2d1709ae40ee0be9ac8_u128.to_be_bytes() },
    Known { len: 16, counter: 0x0123_4567_89ab_cdef, tag: 0x8d66ad3b6bd981ee3dcc0e0fda7fdc9e_u128.to_be_bytes() },
    Known { len: 63, counter: u64::MAX - 8130, tag: 0xd04540f8ecb038f30202e672ffe6effa_u128.to_be_bytes() },
    Known { len: 64, counter: 1 << 32, tag: 0xa8fdf592aa0520cc56ae81d148a14e7a_u128.to_be_bytes() },
    Known { len: 65, counter: 0, tag: 0x57657a778c63a6cf9f61542e7e5ac1d6_u128.to_be_bytes() },
    Known { len: 576, counter: 1, tag: 0xcbc14ed0b2404f4aadfa4239b7763710_u128.to_be_bytes() },
    Known { len: 1420, counter: 0x0123_4567_89ab_cdef, tag: 0xc62c4f0231f9213248e359d2fb685adb_u128.to_be_bytes() },
];

/// Enough for the longest message and its tag.
const ROOM: usize = 1420 + TAG_LEN;

/// Seals and opens batches of 1, of 8 unlike messages, and of 40 (more than one group of any SIMD width).
pub(super) fn run(cipher: &mut impl Batches) -> Result<(), SelfTestError> {
    for forged in 0..2 {
        for first in 0..KNOWN.len() {
            batch::<1>(cipher, first, forged)?;
        }
        batch::<8>(cipher, 0, forged)?;
        batch::<40>(cipher, 0, forged)?;
    }
    Ok(())
}

/// Job `n` of the batch is message `first + n`, modulo their number. It is sealed, then opened; every second one, from
/// `forged` on, is forged in between, and its neighbours in the batch must not notice.
fn batch<const N: usize>(cipher: &mut impl Batches, first: usize, forged: usize) -> Result<(), SelfTestError> {
    let known: [&Known; N] = array::from_fn(|n| &KNOWN[(first + n) % KNOWN.len()]);
    let keys: [Key; N] = array::from_fn(|n| Key::new(pattern(0x80 + 7 * ((first + n) % KNOWN.len()), 1)));
    let text = |n: usize| pattern::<ROOM>((first + n) % KNOWN.len(), 3);
    let mut rooms: [[u8; ROOM]; N] = array::from_fn(text);

    let ok = with_jobs(&keys, &known, &mut rooms, |jobs| cipher.seal(jobs));
    for n in 0..N {
        let len = known[n].len;
        if !ok[n] || rooms[n][len..len + TAG_LEN] != known[n].tag {
            return Err(SelfTestError::Seal(len));
        }
    }

    let sealed = rooms;
    for n in (forged..N).step_by(2) {
        rooms[n][known[n].len + n % TAG_LEN] ^= 1 << (n % 8);
    }
    let came = rooms;
    let ok = with_jobs(&keys, &known, &mut rooms, |jobs| cipher.open(jobs));
    for n in 0..N {
        let len = known[n].len;
        if came[n] == sealed[n] {
            if !ok[n] || rooms[n][..len] != text(n)[..len] {
                return Err(SelfTestError::Open(len));
            }
        } else if ok[n] || (rooms[n][..len] != came[n][..len] && rooms[n][..len].iter().any(|&byte| byte != 0)) {
            return Err(SelfTestError::Forged(len));
        }
    }
    Ok(())
}

fn with_jobs<const N: usize>(
    keys: &[Key; N],
    known: &[&Known; N],
    rooms: &mut [[u8; ROOM]; N],
    run: impl FnOnce(&mut [Job<'_>]),
) -> [bool; N] {
    let mut rooms = rooms.each_mut().into_iter();
    let mut jobs: Vec<Job<'_>> = keys
        .iter()
        .zip(known)
        .zip(&mut rooms)
        .map(|((key, known), room)| Job::new(key, known.counter, &mut room[..known.len + TAG_LEN]))
        .collect();
    run(&mut jobs);
    array::from_fn(|n| jobs[n].ok)
}

/// Byte `j` is `start + step j`, modulo 256.
#[expect(clippy::cast_possible_truncation, reason = "modulo 256 is meant")]
fn pattern<const N: usize>(start: usize, step: usize) -> [u8; N] {
    array::from_fn(|j| (start + step * j) as u8)
}
