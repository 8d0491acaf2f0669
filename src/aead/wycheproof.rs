//! Wycheproof's ChaCha20-Poly1305 vectors against every backend: each alone, and all of them in mixed batches.
//!
//! A data message has no associated data, so of vectors that have some our jobs show the ciphertext, and that the tag is
//! then a wrong one; the tag itself is checked in the cipher below the handshake, called as `noise` calls it.

use super::{Backend, Job, Key, TAG_LEN};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

/// One vector with a nonce of 96 bits.
struct Vector {
    id: usize,
    key: Key,
    nonce: [u8; 12],
    aad: Vec<u8>,
    text: Vec<u8>,
    /// With its tag.
    sealed: Vec<u8>,
    valid: bool,
}

impl Vector {
    fn job<'a>(&'a self, buffer: &'a mut [u8]) -> Job<'a> {
        let (prefix, counter) = self.nonce.split_first_chunk().unwrap();
        let counter = u64::from_le_bytes(counter.try_into().unwrap());
        Job { nonce_prefix: *prefix, ..Job::new(&self.key, counter, buffer) }
    }

    /// What an `open` without associated data has to say.
    fn opens(&self) -> bool {
        self.valid && self.aad.is_empty()
    }

    fn with_room(&self) -> Vec<u8> {
        [self.text.as_slice(), &[0xee; TAG_LEN]].concat()
    }

    /// After a `seal` of the text.
    fn check_sealed(&self, ok: bool, buffer: &[u8]) {
        let id = self.id;
        assert!(ok, "vector {id}");
        let (text, sealed) = (self.text.len(), &self.sealed);
        if self.valid {
            assert_eq!(buffer[..text], sealed[..text], "ciphertext of vector {id}");
        }
        assert_eq!(buffer == sealed, self.opens(), "tag of vector {id}");
    }

    /// After an `open` of the sealed message.
    fn check_opened(&self, ok: bool, buffer: &[u8]) {
        let id = self.id;
        assert_eq!(ok, self.opens(), "vector {id}");
        if ok {
            assert_eq!(buffer[..self.text.len()], self.text, "vector {id}");
        } else {
            let unread = buffer == self.sealed || buffer.iter().all(|byte| *byte == 0);
            assert!(unread, "vector {id}: plaintext of a refused message");
        }
    }
}

/// The vectors, and how many there are besides whose nonce no WireGuard message can have: all of those are invalid.
fn vectors() -> (Vec<Vector>, usize) {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    assert_eq!(set.number_of_tests, 325);
    let (mut vectors, mut other_nonces) = (Vec::new(), 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(nonce) = test.nonce.as_slice().try_into() else {
            assert_eq!(test.result, TestResult::Invalid, "vector {}", test.tc_id);
            other_nonces += 1;
            continue;
        };
        assert_ne!(test.result, TestResult::Acceptable, "vector {}", test.tc_id);
        vectors.push(Vector {
            id: test.tc_id,
            key: Key::new(test.key.as_slice().try_into().unwrap()),
            nonce,
            aad: test.aad.to_vec(),
            text: test.pt.to_vec(),
            sealed: [test.ct.as_slice(), &test.tag].concat(),
            valid: test.result == TestResult::Valid,
        });
    }
    (vectors, other_nonces)
}

/// 316 of the 325 go through our jobs, 45 of them with their tags; the others' nonces are not of 96 bits. None of the 45
/// has a nonce that a message can have, so they need `nonce_prefix`. Another count is another edition: look at it.
#[test]
fn all_325_vectors_are_run() {
    let (vectors, other_nonces) = vectors();
    assert_eq!((vectors.len(), other_nonces), (316, 9));
    let whole: Vec<&Vector> = vectors.iter().filter(|vector| vector.aad.is_empty()).collect();
    assert_eq!(whole.len(), 45);
    assert!(whole.iter().all(|vector| vector.valid && vector.nonce[..4] != [0; 4]));
    assert!(vectors.iter().any(|vector| !vector.valid));
}

#[test]
fn each_vector_in_every_backend() {
    for mut cipher in Backend::available().map(Backend::cipher) {
        for vector in vectors().0 {
            let mut buffer = vector.with_room();
            let mut jobs = [vector.job(&mut buffer)];
            cipher.seal(&mut jobs);
            let ok = jobs[0].ok;
            vector.check_sealed(ok, &buffer);

            let mut buffer = vector.sealed.clone();
            let mut jobs = [vector.job(&mut buffer)];
            cipher.open(&mut jobs);
            let ok = jobs[0].ok;
            vector.check_opened(ok, &buffer);
        }
    }
}

/// Neighbours of other lengths, other keys, and with bad tags, in batches of many sizes.
#[test]
fn mixed_batches_of_vectors_in_every_backend() {
    let vectors = vectors().0;
    // A stride that is prime to the number of vectors brings far ones together, and each comes once.
    let mixed: Vec<&Vector> = (0..vectors.len()).map(|n| &vectors[n * 101 % vectors.len()]).collect();
    let mut ids: Vec<usize> = mixed.iter().map(|vector| vector.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), vectors.len(), "101 is not prime to their number");
    for mut cipher in Backend::available().map(Backend::cipher) {
        for size in [2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, vectors.len()] {
            for batch in mixed.chunks(size) {
                let mut buffers: Vec<Vec<u8>> = batch.iter().map(|vector| vector.with_room()).collect();
                let ok = run(batch, &mut buffers, |jobs| cipher.seal(jobs));
                batch.iter().zip(ok).zip(&buffers).for_each(|((vector, ok), buffer)| vector.check_sealed(ok, buffer));

                let mut buffers: Vec<Vec<u8>> = batch.iter().map(|vector| vector.sealed.clone()).collect();
                let ok = run(batch, &mut buffers, |jobs| cipher.open(jobs));
                batch.iter().zip(ok).zip(&buffers).for_each(|((vector, ok), buffer)| vector.check_opened(ok, buffer));
            }
        }
    }
}

fn run(batch: &[&Vector], buffers: &mut [Vec<u8>], run: impl FnOnce(&mut [Job<'_>])) -> Vec<bool> {
    let mut jobs: Vec<Job<'_>> = batch.iter().zip(buffers).map(|(vector, buffer)| vector.job(buffer)).collect();
    run(&mut jobs);
    jobs.iter().map(|job| job.ok).collect()
}

/// The cipher of the handshake, with associated data, as `noise::symmetric` calls it.
#[test]
fn each_vector_with_its_associated_data() {
    for vector in vectors().0 {
        let id = vector.id;
        let cipher = ChaCha20Poly1305::new(vector.key.bytes().into());
        let mut text = vector.text.clone();
        let tag = cipher.encrypt_inout_detached(&vector.nonce.into(), &vector.aad, text.as_mut_slice().into()).unwrap();
        let sealed = [text.as_slice(), &tag].concat();
        assert_eq!(sealed == vector.sealed, vector.valid, "vector {id}");

        let (text, tag) = vector.sealed.split_last_chunk::<TAG_LEN>().unwrap();
        let mut text = text.to_vec();
        let opened =
            cipher.decrypt_inout_detached(&vector.nonce.into(), &vector.aad, text.as_mut_slice().into(), tag.into());
        assert_eq!(opened.is_ok(), vector.valid, "vector {id}");
        assert!(!vector.valid || text == vector.text, "vector {id}");
    }
}
