//! The backend of Intel's libipsec-mb: one message after the other, and of such code the fastest.
//!
//! The library decrypts whatever the tag is: the tag is compared here, in constant time, and what fails is wiped.

use super::{Job, TAG_LEN};
use crate::dpdk::{CIPHER_BURST, CipherDirection, CipherLibrary, CipherMessage};
use subtle::ConstantTimeEq;

/// The library, with what it writes beside the messages. One worker owns it.
pub(super) struct IpsecMb {
    library: CipherLibrary,
    /// As computed while opening.
    tags: [[u8; TAG_LEN]; CIPHER_BURST],
}

impl IpsecMb {
    /// `None`: the library cannot run on this CPU.
    pub(super) fn new() -> Option<Box<Self>> {
        Some(Box::new(Self { library: CipherLibrary::new()?, tags: [[0; TAG_LEN]; CIPHER_BURST] }))
    }

    /// See [`super::Cipher::seal`].
    pub(super) fn seal(&mut self, jobs: &mut [Job<'_>]) {
        for jobs in jobs.chunks_mut(CIPHER_BURST) {
            let messages = jobs.iter_mut().map(|job| {
                let (key, nonce) = (job.key.bytes(), job.nonce());
                let (text, tag) = job.buffer.split_last_chunk_mut()?;
                Some(CipherMessage { key, nonce, text, tag })
            });
            let done = self.library.run(CipherDirection::Seal, messages);
            for (job, done) in jobs.iter_mut().zip(done) {
                job.ok = done;
            }
        }
    }

    /// See [`super::Cipher::open`].
    pub(super) fn open(&mut self, jobs: &mut [Job<'_>]) {
        for jobs in jobs.chunks_mut(CIPHER_BURST) {
            let messages = jobs.iter_mut().zip(&mut self.tags).map(|(job, tag)| {
                let (key, nonce) = (job.key.bytes(), job.nonce());
                let (text, _) = job.buffer.split_last_chunk_mut::<TAG_LEN>()?;
                Some(CipherMessage { key, nonce, text, tag })
            });
            let done = self.library.run(CipherDirection::Open, messages);
            for ((job, done), computed) in jobs.iter_mut().zip(done).zip(&mut self.tags) {
                job.ok = false;
                let Some((text, tag)) = job.buffer.split_last_chunk_mut::<TAG_LEN>() else { continue };
                if done && bool::from(computed.ct_eq(tag)) {
                    job.ok = true;
                } else {
                    // No plaintext stays, and no tag by which the message would have been good.
                    text.fill(0);
                    tag.fill(0);
                    *computed = [0; TAG_LEN];
                }
            }
        }
    }
}
