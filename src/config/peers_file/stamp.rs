//! Whether a file is still the one that was read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What changes of a file when somebody writes it: its place on the disk, its length and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Stamp {
    /// Of a file as it is now.
    pub fn of(there: &Metadata) -> Self {
        let modified = (there.mtime(), there.mtime_nsec());
        Self { inode: (there.dev(), there.ino()), len: there.len(), modified }
    }
}
