//! The backend that runs everywhere: RustCrypto's `chacha20poly1305`, detached and in place.

use super::{Job, TAG_LEN};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

/// See [`super::Cipher::seal`].
pub(super) fn seal(jobs: &mut [Job<'_>]) {
    for job in jobs {
        job.ok = seal_one(job).is_some();
    }
}

/// See [`super::Cipher::open`].
pub(super) fn open(jobs: &mut [Job<'_>]) {
    for job in jobs {
        job.ok = open_one(job).is_some();
    }
}

fn seal_one(job: &mut Job<'_>) -> Option<()> {
    let nonce = job.nonce();
    let (text, room) = job.buffer.split_last_chunk_mut::<TAG_LEN>()?;
    let tag =
        ChaCha20Poly1305::new(job.key.bytes().into()).encrypt_inout_detached(&nonce.into(), &[], text.into()).ok()?;
    room.copy_from_slice(&tag);
    Some(())
}

/// The crate compares the tag, in constant time, before it decrypts: a bad one leaves the ciphertext as it came.
fn open_one(job: &mut Job<'_>) -> Option<()> {
    let nonce = job.nonce();
    let (text, tag) = job.buffer.split_last_chunk_mut::<TAG_LEN>()?;
    ChaCha20Poly1305::new(job.key.bytes().into())
        .decrypt_inout_detached(&nonce.into(), &[], text.into(), (&*tag).into())
        .ok()
}
