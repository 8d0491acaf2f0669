//! DPDK's log lines: handed to `tracing`, and the last ones kept so that an error can tell its reason.
//!
//! DPDK writes to a C stream (`rte_openlog_stream`); ours is made by `fopencookie`. The EAL flushes after each message
//! and from the thread that logged, so the level of the message is known at the write (`rte_log_cur_msg_loglevel`).

use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Lines kept.
const KEPT_LINES: usize = 64;

/// A line longer than this is cut.
const LINE_BYTES: usize = 1024;

/// Lines that DPDK logs as errors or warnings on machines that are perfectly well.
const HARMLESS: [&str; 3] =
    ["No free 1048576 kB hugepages reported", "No free hugepages reported in hugepages-", "Already called cleanup"];

static LOG: Mutex<Log> = Mutex::new(Log { partial: String::new(), lines: VecDeque::new(), count: 0 });

#[derive(Debug)]
struct Log {
    partial: String,
    lines: VecDeque<String>,
    /// Lines so far, also those that are no longer kept.
    count: u64,
}

/// Sends DPDK's log to us. Called before `rte_eal_init`; further calls do nothing.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let functions = dpdk_sys::cookie_io_functions_t { read: None, write: Some(on_write), seek: None, close: None };
        // SAFETY: the mode is a C string, the functions live as long as the program, the cookie is never read.
        let stream = unsafe { dpdk_sys::fopencookie(ptr::null_mut(), c"w".as_ptr(), functions) };
        if !stream.is_null() {
            // SAFETY: `stream` was just opened and is never closed. Always returns 0.
            unsafe { dpdk_sys::rte_openlog_stream(stream) };
        }
    });
}

/// A place in the log, for [`since`].
pub(super) fn mark() -> u64 {
    lock().count
}

/// The lines logged since `mark` that are still kept, for an error's reason.
pub(super) fn since(mark: u64) -> Vec<String> {
    let log = lock();
    let new = usize::try_from(log.count.saturating_sub(mark)).unwrap_or(usize::MAX);
    log.lines.iter().skip(log.lines.len().saturating_sub(new)).cloned().collect()
}

fn lock() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `cookie_write_function_t`: takes all that it is given.
unsafe extern "C" fn on_write(_cookie: *mut c_void, bytes: *const c_char, size: usize) -> c_long {
    if !bytes.is_null() {
        // SAFETY: the C library hands over `size` readable bytes.
        let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), size) };
        // SAFETY: reads a thread-local variable.
        let level = unsafe { dpdk_sys::rte_log_cur_msg_loglevel() };
        for line in take_lines(&mut lock(), &String::from_utf8_lossy(bytes)) {
            emit(level, &line);
        }
    }
    c_long::try_from(size).unwrap_or(c_long::MAX)
}

/// Adds `text` to the log and returns the lines that it completes.
fn take_lines(log: &mut Log, text: &str) -> Vec<String> {
    let mut complete = Vec::new();
    for piece in text.split_inclusive('\n') {
        let room = LINE_BYTES.saturating_sub(log.partial.len());
        log.partial.extend(piece.chars().take(room));
        if !piece.ends_with('\n') {
            continue;
        }
        let line = core::mem::take(&mut log.partial);
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        log.count += 1;
        log.lines.push_back(line.to_owned());
        if log.lines.len() > KEPT_LINES {
            log.lines.pop_front();
        }
        complete.push(line.to_owned());
    }
    complete
}

fn emit(level: c_int, line: &str) {
    if HARMLESS.iter().any(|text| line.contains(text)) {
        tracing::debug!(target: "dpdk", "{line}");
        return;
    }
    match u32::try_from(level).unwrap_or(dpdk_sys::RTE_LOG_INFO) {
        0..=dpdk_sys::RTE_LOG_ERR => tracing::error!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_WARNING => tracing::warn!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_NOTICE | dpdk_sys::RTE_LOG_INFO => {
            tracing::debug!(target: "dpdk", "{line}")
        }
        _ => tracing::trace!(target: "dpdk", "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Log {
        Log { partial: String::new(), lines: VecDeque::new(), count: 0 }
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut log = empty();
        assert!(take_lines(&mut log, "EAL: one ").is_empty());
        assert_eq!(take_lines(&mut log, "line\n\nEAL: two\nEAL: th"), ["EAL: one line", "EAL: two"]);
        assert_eq!(take_lines(&mut log, "ree\n"), ["EAL: three"]);
        assert_eq!(log.lines, ["EAL: one line", "EAL: two", "EAL: three"]);
        assert_eq!(log.count, 3);
    }

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let mut log = empty();
        for n in 0..KEPT_LINES + 5 {
            take_lines(&mut log, &format!("{n}\n"));
        }
        take_lines(&mut log, &format!("{}\n", "x".repeat(3 * LINE_BYTES)));
        assert_eq!(log.lines.len(), KEPT_LINES);
        assert_eq!(log.lines.front().map(String::as_str), Some("6"));
        assert!(log.lines.back().is_some_and(|line| line.len() == LINE_BYTES));
    }
}
