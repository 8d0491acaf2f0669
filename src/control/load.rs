//! Whether handshakes come faster than they can be answered (PROTOCOL A3, 2): then a cookie is asked for first.

/// Unverified messages that wait, from which on a handshake thread is under load: the kernel's 4096 / 8. It does not depend on the
/// number of peers, or it would never be reached where there are many.
pub const BACKLOG: usize = 512;
/// For so long after the last such moment it still is.
pub const AFTERMATH_MS: u64 = 1000;

/// One handshake thread's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// When the backlog was last too long, boottime.
    last_ms: Option<u64>,
}

impl Load {
    /// Notes how many unverified messages wait now; whether the thread is under load.
    pub fn observe(&mut self, backlog: usize, now_ms: u64) -> bool {
        if backlog >= BACKLOG {
            self.last_ms = Some(now_ms);
        } else if self.last_ms.is_some_and(|last_ms| now_ms.abs_diff(last_ms) >= AFTERMATH_MS) {
            // Either way: a clock that jumps back must not prolong it.
            self.last_ms = None;
        }
        self.last_ms.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROTOCOL A1.11, A3.2: from the backlog on, and a second after it.
    #[test]
    fn it_begins_at_the_backlog_and_ends_a_second_after_it() {
        let mut load = Load::default();
        assert!(!load.observe(0, 0) && !load.observe(BACKLOG - 1, 5000));
        assert!(load.observe(BACKLOG, 5000));
        assert!(load.observe(0, 5999));
        assert!(!load.observe(0, 6000) && !load.observe(BACKLOG - 1, 6001), "it does not come back by itself");
        assert!(load.observe(4096, 7000) && load.observe(BACKLOG, 7900) && load.observe(0, 8899));
        assert!(!load.observe(0, 8900));
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_prolong_it() {
        let mut load = Load::default();
        assert!(load.observe(BACKLOG, 1_000_000));
        assert!(!load.observe(0, 5));
    }
}
