//! DPDK's return codes, translated in one place.

use core::ffi::{CStr, c_int};
use std::fmt;

/// An errno value as DPDK reports it, by a negative return value or by `rte_errno`. Always positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Self = Self(1);
    /// No such file, object or interface.
    pub const ENOENT: Self = Self(2);
    /// Out of memory.
    pub const ENOMEM: Self = Self(12);
    /// It is there already.
    pub const EEXIST: Self = Self(17);
    /// No such device.
    pub const ENODEV: Self = Self(19);
    /// Invalid argument.
    pub const EINVAL: Self = Self(22);
    /// No buffer space: memory is there, but not in one piece.
    pub const ENOBUFS: Self = Self(105);
    /// The driver has no such operation.
    pub const ENOTSUP: Self = Self(95);

    /// The calling thread's `rte_errno`.
    pub(super) fn last() -> Self {
        // SAFETY: reads a thread-local variable of the EAL's library.
        Self(unsafe { dpdk_sys::dpdk_errno() })
    }

    /// `Ok` with the value of a call that returns a negative errno when it fails.
    pub(super) fn check(returned: c_int) -> Result<c_int, Self> {
        if returned < 0 { Err(Self(returned.saturating_neg())) } else { Ok(returned) }
    }

    /// The same for a call that returns -1 and leaves the reason in `rte_errno`.
    pub(super) fn check_last(returned: c_int) -> Result<c_int, Self> {
        if returned < 0 { Err(Self::last()) } else { Ok(returned) }
    }

    /// The number, as in `<errno.h>` and DPDK's own above it.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::EPERM {
            // Drivers return -1 when they have no better reason.
            return f.write_str("operation not permitted, or the driver gave no reason (errno 1)");
        }
        // SAFETY: takes any number; the text is in a buffer of the calling thread.
        let text = unsafe { dpdk_sys::rte_strerror(self.0) };
        if text.is_null() {
            return write!(f, "error {}", self.0);
        }
        // SAFETY: not null, ends with NUL, and stays until this thread's next call of rte_strerror.
        let text = unsafe { CStr::from_ptr(text) };
        write!(f, "{} (errno {})", text.to_string_lossy(), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_returns_are_errnos() {
        assert_eq!(Errno::check(3), Ok(3));
        assert_eq!(Errno::check(-12), Err(Errno::ENOMEM));
        assert_eq!(Errno::check(-1), Err(Errno::EPERM));
        assert_eq!(Errno::check(-95), Err(Errno::ENOTSUP));
        assert_eq!(Errno::check(c_int::MIN), Err(Errno(c_int::MAX)));
    }

    #[test]
    fn has_a_text() {
        assert_eq!(Errno::ENOMEM.to_string(), "Cannot allocate memory (errno 12)");
    }
}
