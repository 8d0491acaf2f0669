//! The control socket: one line asks, one line of JSON answers, the connection closes. Who says nothing holds nobody up.

use super::{Report, StartError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of a request, at most.
const LONGEST_REQUEST: usize = 256;
/// Connections that have not asked yet, at most: one more costs the oldest of them its place.
const WAITING: usize = 64;
/// How long a client may take over a request or an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// After what may fail again at once.
const PAUSE: Duration = Duration::from_millis(100);
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

/// One that has connected, and did not ask all yet.
struct Caller {
    stream: UnixStream,
    request: Vec<u8>,
    deadline: Instant,
}

fn serve(listener: &UnixListener, stop: &AtomicBool, report: &Report) {
    let mut callers = VecDeque::with_capacity(WAITING);
    // Relaxed: as above.
    while !stop.load(Ordering::Relaxed) {
        wait(listener, &callers);
        match listener.accept() {
            Ok((stream, _)) => {
                if callers.len() == WAITING {
                    callers.pop_front();
                }
                callers.push_back(Caller { stream, request: Vec::new(), deadline: Instant::now() + PATIENCE });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!("control socket: {error}");
                // It may be the same at once: no file descriptor left, for one.
                std::thread::sleep(PAUSE);
            }
        }
        callers.retain_mut(|caller| {
            caller.go_on(report).unwrap_or_else(|error| {
                tracing::debug!("control socket: {error}");
                false
            })
        });
    }
}

/// Until somebody connects or says something, or a tick is over.
fn wait(listener: &UnixListener, callers: &VecDeque<Caller>) {
    let mut fds: Vec<_> = callers.iter().map(|caller| PollFd::new(&caller.stream, PollFlags::IN)).collect();
    fds.push(PollFd::new(listener, PollFlags::IN));
    if poll(&mut fds, Some(&TICK)).is_err() {
        std::thread::sleep(PAUSE);
    }
}

impl Caller {
    /// Takes what is there, and answers when the line is whole. Whether it stays: what drips holds its place for no longer than
    /// [`PATIENCE`] in all.
    fn go_on(&mut self, report: &Report) -> std::io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut byte = [0];
        while self.request.len() < LONGEST_REQUEST {
            match self.stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) if byte == *b"\n" => break,
                Ok(_) => self.request.extend(byte),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Instant::now() < self.deadline),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.answer(report)?;
        Ok(false)
    }

    fn answer(&mut self, report: &Report) -> std::io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(PATIENCE))?;
        let request = String::from_utf8_lossy(&self.request);
        let reply = match request.trim() {
            "show" => report.json(),
            "set record-core-cycles on" => record_core_cycles(report, true),
            "set record-core-cycles off" => record_core_cycles(report, false),
            other => serde_json::json!({ "error": format!("unknown request {other:?}") }),
        };
        self.stream.write_all(format!("{reply}\n").as_bytes())
    }
}

fn record_core_cycles(report: &Report, on: bool) -> serde_json::Value {
    report.record_core_cycles(on);
    serde_json::json!({ "record-core-cycles": if on { "on" } else { "off" } })
}
