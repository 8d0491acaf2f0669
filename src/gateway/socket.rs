//! The control socket: one line asks, one line of JSON answers, the connection closes.

use super::{Report, StartError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of a request, at most.
const LONGEST_REQUEST: usize = 256;
/// How long a client may take over a request or an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the stop is looked at.
const TICK: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The socket and the thread that serves it. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket {
    path: PathBuf,
    inode: Option<u64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlSocket {
    /// Binds `path` (0660) and serves it. A socket that nobody answers on is replaced, a live one is not.
    pub(super) fn bind(path: &Path, report: Arc<Report>) -> Result<Self, StartError> {
        let error = |error: std::io::Error| StartError::ControlSocket { path: path.to_owned(), error };
        if UnixStream::connect(path).is_ok() {
            return Err(error(std::io::Error::other("another culvertd answers on it")));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(error)?;
        }
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(error(std::io::Error::other("something that is no socket lies there")));
            }
            Ok(_) => std::fs::remove_file(path).map_err(error)?,
            Err(_) => {}
        }
        let before = rustix::process::umask(Mode::from_raw_mode(0o117));
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener.map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("socket".into())
            .spawn(move || serve(&listener, &stopped, &report))
            .map_err(error)?;
        Ok(Self { inode: inode(path), path: path.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Relaxed: the thread only looks at the flag.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
        // Only if it is still ours.
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|m| m.ino())
}

fn serve(listener: &UnixListener, stop: &AtomicBool, report: &Report) {
    // Relaxed: as above.
    while !stop.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut fds, Some(&TICK)).is_ok_and(|n| n > 0)
            && let Ok((stream, _)) = listener.accept()
            && let Err(error) = answer(&stream, report)
        {
            tracing::debug!("control socket: {error}");
        }
    }
}

fn answer(mut stream: &UnixStream, report: &Report) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = read_request(stream)?;
    let reply = match request.trim() {
        "show" => report.json(),
        "set record-core-cycles on" => record_core_cycles(report, true),
        "set record-core-cycles off" => record_core_cycles(report, false),
        other => serde_json::json!({ "error": format!("unknown request {other:?}") }),
    };
    stream.write_all(format!("{reply}\n").as_bytes())
}

fn record_core_cycles(report: &Report, on: bool) -> serde_json::Value {
    report.record_core_cycles(on);
    serde_json::json!({ "record-core-cycles": if on { "on" } else { "off" } })
}

/// Reads a line, for as long as all of it may take: who drips bytes holds nobody up.
fn read_request(mut stream: &UnixStream) -> std::io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut byte = [0];
    while request.len() < LONGEST_REQUEST {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut byte)? == 0 || byte == *b"\n" {
            break;
        }
        request.extend(byte);
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}
