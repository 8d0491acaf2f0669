//! The timestamp of an initiation.

use core::time::Duration;

/// TAI64N label: seconds since 1970 plus 2^62 + 10 as 64 bits, nanoseconds as 32 bits, both big-endian, so that the
/// order of the bytes is the order of the times. The default, all zero, is before every real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tai64N([u8; 12]);

/// Label of the second 0 of Unix time, ten leap seconds before it included.
const UNIX_EPOCH: u64 = (1 << 62) + 10;

/// Nanoseconds are rounded down to a multiple of this (about 16.8 ms), so that the clock leaks less. It is below the
/// 20 ms that initiations keep apart.
const GRANULARITY_NS: u32 = 1 << 24;

const _: () = assert!((GRANULARITY_NS as u64) < crate::session::limits::INITIATION_SPACING_MS * 1_000_000);

impl Tai64N {
    /// The label of a wall-clock time, given as the time since 1970-01-01 00:00 UTC. Any value is taken; seconds beyond
    /// the label's range saturate.
    pub fn from_unix(since_epoch: Duration) -> Self {
        let seconds = UNIX_EPOCH.saturating_add(since_epoch.as_secs());
        let nanoseconds = since_epoch.subsec_nanos() & !(GRANULARITY_NS - 1);
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&nanoseconds.to_be_bytes());
        Self(bytes)
    }

    /// Twelve bytes as they came from a peer; nothing about them is checked, only their order counts.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// As they go on the wire.
    pub fn bytes(&self) -> &[u8; 12] {
        &self.0
    }
}
