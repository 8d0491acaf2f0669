//! The control socket: one line of JSON asks ([`crate::api`]), one answers, the connection closes. One thread serves all, and waits for none:
//! who says nothing, or does not read, holds nobody up.

use super::StartError;
use super::desk::Desk;
use super::watch::Watch;
use crate::api::{LONGEST_REQUEST, Request};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Connections at a time: one more costs the one that has been silent the longest its place.
const MOST_CALLERS: usize = 64;
/// How long a client may take over a request, and may let an answer wait.
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
    pub(super) fn bind(path: &Path, desk: Desk) -> Result<Self, StartError> {
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
        let group = std::fs::symlink_metadata(path).ok().map(|there| there.gid());
        let (stop, desk) = (Arc::new(AtomicBool::new(false)), Arc::new(desk));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("socket".into())
            .spawn(move || serve(&listener, &stopped, group, &desk))
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

/// What becomes of a caller.
enum Next {
    /// It waits for more.
    Stay,
    /// It is done with.
    Go,
    /// It asks for what takes long.
    Errand(Request),
}

/// One that has connected.
struct Caller {
    stream: UnixStream,
    /// What it asked so far; it may hold a secret, so it never grows beyond its first place.
    request: Zeroizing<Vec<u8>>,
    /// What it has not read yet of its answer; `None`: it still asks.
    answer: Option<(Vec<u8>, usize)>,
    /// What it handed over.
    file: Option<OwnedFd>,
    may_change: bool,
    uid: u32,
    deadline: Instant,
}

fn serve(listener: &UnixListener, stop: &AtomicBool, group: Option<u32>, desk: &Arc<Desk>) {
    let mut callers = VecDeque::with_capacity(MOST_CALLERS);
    let mut errand: Option<JoinHandle<Option<Caller>>> = None;
    let mut watch = Watch::new(desk);
    // Relaxed: as above.
    while !stop.load(Ordering::Relaxed) {
        wait(listener, &callers);
        watch.tick(desk);
        match listener.accept() {
            Ok((stream, _)) => {
                if callers.len() >= MOST_CALLERS {
                    callers.pop_front();
                }
                callers.extend(
                    Caller::welcome(stream, group).inspect_err(|error| tracing::debug!("control socket: {error}")),
                );
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!("control socket: {error}");
                // It may be the same at once: no file descriptor left, for one.
                std::thread::sleep(PAUSE);
            }
        }
        // What it left to be read.
        if let Some(done) = errand.take_if(|errand| errand.is_finished()) {
            callers.extend(done.join().ok().flatten());
        }
        for _ in 0..callers.len() {
            let Some(mut caller) = callers.pop_front() else { break };
            match caller.go_on(desk) {
                Ok(Next::Stay) => callers.push_back(caller),
                Ok(Next::Go) => {}
                Ok(Next::Errand(request)) if errand.as_ref().is_none_or(JoinHandle::is_finished) => {
                    // One that was done in between.
                    callers.extend(errand.take().and_then(|done| done.join().ok().flatten()));
                    match caller.send_on_errand(request, desk) {
                        Ok(sent) => errand = Some(sent),
                        Err(caller) => callers.push_back(caller),
                    }
                }
                Ok(Next::Errand(_)) => {
                    let busy = "a reload, a save, a diff or a capture's end is under way: ask again after it";
                    caller.begin_answer(Err(busy.to_owned()));
                    callers.push_back(caller);
                }
                Err(error) => tracing::debug!("control socket: {error}"),
            }
        }
    }
    // It holds the desk, which has to go before the ports do.
    if let Some(errand) = errand {
        let _panicked = errand.join();
    }
}

/// Until somebody connects, says something or reads on, or a tick is over.
fn wait(listener: &UnixListener, callers: &VecDeque<Caller>) {
    let want = |caller: &Caller| if caller.answer.is_some() { PollFlags::OUT } else { PollFlags::IN };
    let mut fds: Vec<_> = callers.iter().map(|caller| PollFd::new(&caller.stream, want(caller))).collect();
    fds.push(PollFd::new(listener, PollFlags::IN));
    if poll(&mut fds, Some(&TICK)).is_err() {
        std::thread::sleep(PAUSE);
    }
}

impl Caller {
    /// Whom the socket's mode let connect may look. Root, this process's user and who has the socket's group for his own may change things.
    fn welcome(stream: UnixStream, group: Option<u32>) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        let client = getsockopt(&stream, PeerCredentials)?;
        let own = rustix::process::geteuid().as_raw();
        let may_change = [0, own].contains(&client.uid()) || group == Some(client.gid());
        let request = Zeroizing::new(Vec::with_capacity(LONGEST_REQUEST));
        let deadline = Instant::now() + PATIENCE;
        Ok(Self { stream, request, answer: None, file: None, may_change, uid: client.uid(), deadline })
    }

    /// Goes on with it as far as it can without waiting. What drips holds its place for no longer than [`PATIENCE`] in
    /// all while it asks, and no longer than that without reading on while it is answered.
    fn go_on(&mut self, desk: &Desk) -> std::io::Result<Next> {
        let waits = |deadline| if Instant::now() < deadline { Next::Stay } else { Next::Go };
        if self.answer.is_none() {
            if !self.hear()? {
                return Ok(waits(self.deadline));
            }
            match self.request() {
                Ok(request) if request.takes_long() => return Ok(Next::Errand(request)),
                request => {
                    let file = self.file.take();
                    self.begin_answer(request.and_then(|request| desk.serve(&request, file, self.uid)));
                }
            }
        }
        let Some((answer, sent)) = &mut self.answer else { return Ok(Next::Go) };
        while let Some(rest) = answer.get(*sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Ok(Next::Go),
                Ok(n) => {
                    *sent += n;
                    self.deadline = Instant::now() + PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(waits(self.deadline)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Next::Go)
    }

    fn begin_answer(&mut self, answer: Result<Value, String>) {
        self.answer = Some((line_of(answer), 0));
        self.deadline = Instant::now() + PATIENCE;
    }

    /// Does it on a thread of its own, which answers as far as it can without waiting, and hands back who has not read all of it. Else: there
    /// is no thread to be had, which the caller is answered.
    fn send_on_errand(mut self, request: Request, desk: &Arc<Desk>) -> Result<JoinHandle<Option<Self>>, Self> {
        let desk = Arc::clone(desk);
        // What a thread that cannot be made would take with it.
        let (hand_over, handed) = std::sync::mpsc::channel::<(Self, Request)>();
        let run = move || {
            let (mut caller, request) = handed.recv().ok()?;
            let answer = desk.serve(&request, caller.file.take(), caller.uid);
            caller.begin_answer(answer);
            let next = caller.go_on(&desk).inspect_err(|error| tracing::debug!("control socket: {error}"));
            matches!(next, Ok(Next::Stay)).then_some(caller)
        };
        match std::thread::Builder::new().name("errand".into()).spawn(run) {
            Ok(thread) => {
                let _it_waits_for_it = hand_over.send((self, request));
                Ok(thread)
            }
            Err(error) => {
                tracing::warn!("control socket: no thread for a request: {error}");
                self.begin_answer(Err(format!("there is no thread for it ({error}): ask again later")));
                Err(self)
            }
        }
    }

    /// Takes what is there. Whether the request is whole, or too long.
    fn hear(&mut self) -> std::io::Result<bool> {
        let mut bytes = Zeroizing::new([0; LONGEST_REQUEST]);
        while let Some(room) = bytes.get_mut(self.request.len()..).filter(|room| !room.is_empty()) {
            match receive(&self.stream, &mut self.file, room) {
                Ok(0) => return Ok(true),
                Ok(n) => {
                    let read = room.get(..n).unwrap_or_default();
                    let end = read.iter().position(|byte| *byte == b'\n');
                    self.request.extend(read.get(..end.unwrap_or(n)).unwrap_or_default());
                    if end.is_some() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// What it asks, if that is anything and it may.
    fn request(&self) -> Result<Request, String> {
        match serde_json::from_slice::<Request>(&self.request) {
            _ if self.request.len() >= LONGEST_REQUEST => Err(format!("a request has {LONGEST_REQUEST} bytes at most")),
            Err(error) => Err(format!("unknown request: {error}")),
            Ok(request) if !self.may_change && !request.only_shows() => {
                Err("only root, culvertd's user and processes of the socket's group may change things (sg GROUP -c …)"
                    .to_owned())
            }
            Ok(request) => {
                if !request.only_shows() {
                    tracing::info!("control socket: {request:?}");
                }
                Ok(request)
            }
        }
    }
}

fn line_of(answer: Result<Value, String>) -> Vec<u8> {
    let answer = answer.unwrap_or_else(|why| json!({ "error": why }));
    format!("{answer}\n").into_bytes()
}

/// Takes some bytes, and a file that comes with them.
fn receive(stream: &UnixStream, file: &mut Option<OwnedFd>, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            *file = files.last();
        }
    }
    Ok(received.bytes)
}
