//! What a gateway hands over to the one that comes after it, so that a restart ends no session: keypairs with their counters and
//! windows, where peers are, what their timers run from, what was counted.
//!
//! [`capture`] takes a gateway's sessions away from it and writes them to a stream; [`restore`] gives them to another one, which has
//! its peers already. Where the bytes lie meanwhile is `gateway`'s business. Control threads; both may block.
//!
//! * **No counter is used twice.** A keypair is killed before it is written, and a grace period later nobody seals or opens with it, so
//!   what is written then is final. The other side goes on [`NONCE_MARGIN`] further. That a stream is restored once only is up to who
//!   keeps it.
//! * **No message is taken twice.** Windows are copied bit by bit, and so is the timestamp of the last initiation.
//! * **Times** are CLOCK_BOOTTIME's, so a stream is good in the boot that it was written in; keys that grew too old meanwhile are dropped.

mod capture;
mod format;
mod restore;
mod stream;
#[cfg(test)]
mod tests;

pub use capture::{Captured, capture};
pub use format::{Frame, Head, InterfaceFrame, KeypairFrame, MOST_FRAME, PeerFrame, Secret, Window, parse};
pub use restore::{Lost, Refused, Restored, check, restore};
pub use stream::{FormatError, FrameReader, FrameWriter};

use blake2::Blake2sMac;
use blake2::digest::{KeyInit, Mac, consts::U16};

/// So far beyond the last counter that was sent a handed-over keypair goes on: more than all workers together can have had in hand.
pub const NONCE_MARGIN: u64 = 1 << 16;

/// What tells whether a peer's preshared key is still the same, without saying what it is: keyed BLAKE2s.
fn tag(salt: &[u8; 32], preshared_key: &[u8; 32]) -> Option<[u8; 16]> {
    let mut mac = <Blake2sMac<U16> as KeyInit>::new_from_slice(salt).ok()?;
    mac.update(preshared_key);
    Some(mac.finalize().into_bytes().into())
}
