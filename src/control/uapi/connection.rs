//! One client: its bytes in, its answers out.
//!
//! It never waits for bytes of a client (it goes back to the server's `epoll` instead), so one that stalls
//! takes no thread. Only answers are waited for, and not for long.

use super::device::{Device, Errno, PeerView};
use super::parse::{Bounds, Operation, ParseError, Parser, Reason};
use super::server::Limits;
use super::write::{GetReply, get_error, set_result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroize;

/// Reads of one turn, so that one client with a large body does not keep a thread for itself.
const READS_A_TURN: usize = 16;
/// Bodies up to this size are always taken.
const SMALL_BODY_BYTES: u64 = 256 * 1024;

/// What the connections of one server share.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) device: Arc<dyn Device>,
    pub(super) limits: Limits,
    /// Readable once the server stops.
    pub(super) stop: OwnedFd,
    pub(super) large_bodies: LargeBodies,
}

/// Counts the bodies of more than [`SMALL_BODY_BYTES`] that are under way: what all clients together can
/// make the server hold is bounded by it.
#[derive(Clone, Debug)]
pub(super) struct LargeBodies(Arc<Mutex<usize>>);

/// The right to send one large body; given back on drop.
#[derive(Debug)]
struct LargeBody(LargeBodies);

impl LargeBodies {
    /// So many at a time.
    pub(super) fn new(at_most: usize) -> Self {
        Self(Arc::new(Mutex::new(at_most)))
    }

    fn take(&self) -> Option<LargeBody> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.checked_sub(1)?;
        Some(LargeBody(self.clone()))
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

/// What becomes of a connection after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Waits for more bytes.
    Wait,
    /// Is over.
    Close,
}

/// A client, and what it has said so far.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    parser: Parser,
    /// When the operation's first byte came.
    began: Instant,
    /// When the last byte came, or the connection.
    last: Instant,
    large_body: Option<LargeBody>,
    /// For the log.
    process: i32,
}

impl Connection {
    /// A client that has said nothing yet; `stream` must not block.
    pub(super) fn new(stream: UnixStream, process: i32, max_peers: u32) -> Self {
        let now = Instant::now();
        let parser = Parser::new(Bounds::for_peers(max_peers));
        Self { stream, parser, began: now, last: now, large_body: None, process }
    }

    /// Nothing of an operation has come.
    pub(super) fn is_idle(&self) -> bool {
        self.parser.is_idle()
    }

    /// When the last byte came, or the connection.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// When it is given up if nothing comes.
    pub(super) fn deadline(&self, limits: &Limits) -> Instant {
        if self.is_idle() {
            self.last + limits.idle
        } else {
            (self.last + limits.stall).min(self.began + limits.operation)
        }
    }

    /// Ends it after its deadline. One that was idle is closed without a word.
    pub(super) fn give_up(mut self, context: &Context) {
        if !self.is_idle() {
            self.abandon(context, Reason::TimedOut);
        }
    }

    /// Takes what has come, and answers what is whole. `buffer` is wiped after use.
    pub(super) fn turn(&mut self, context: &Context, buffer: &mut [u8]) -> Next {
        for _ in 0..READS_A_TURN {
            let count = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return self.end_of_stream(context),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Next::Wait,
                Err(Errno::INTR) => continue,
                Err(_) => return Next::Close,
            };
            let next = self.take(context, buffer.get(..count).unwrap_or_default());
            buffer.get_mut(..count).unwrap_or_default().zeroize();
            if next == Next::Close {
                return Next::Close;
            }
        }
        Next::Wait
    }

    fn take(&mut self, context: &Context, mut bytes: &[u8]) -> Next {
        self.last = Instant::now();
        while !bytes.is_empty() {
            if self.is_idle() {
                self.began = self.last;
            }
            let (used, operation) = self.parser.feed(bytes);
            bytes = bytes.get(used..).unwrap_or_default();
            self.bound_large_bodies(context);
            let Some(operation) = operation else { continue };
            let next = self.answer(context, operation);
            // Moving a change leaves its private key there, and the next change's unused bytes would take it to the heap.
            crate::noise::wipe_stack();
            if next == Next::Close {
                return Next::Close;
            }
        }
        Next::Wait
    }

    fn bound_large_bodies(&mut self, context: &Context) {
        if self.parser.body_bytes() > SMALL_BODY_BYTES && self.large_body.is_none() {
            self.large_body = context.large_bodies.take();
            if self.large_body.is_none() {
                self.parser.reject(Reason::Busy);
            }
        }
    }

    fn answer(&mut self, context: &Context, operation: Result<Operation, ParseError>) -> Next {
        let sent = match operation {
            Ok(Operation::Get) => self.get(context),
            Ok(Operation::Set(change)) => {
                let peers = change.peers.len();
                let result = context.device.set(change);
                // Before the answer: who has read it may send the next large body at once.
                self.large_body = None;
                let (interface, process) = (&context.name, self.process);
                match result {
                    Ok(()) => tracing::info!(interface, process, peers, "configuration changed"),
                    Err(error) => tracing::warn!(interface, process, peers, %error, "set refused"),
                }
                self.send(context, set_result(result).as_bytes())
            }
            Err(error) => {
                self.log(context, error);
                self.large_body = None;
                let sent = self.send(context, refusal(error).as_bytes());
                // It speaks something else: nothing more is expected of it.
                if error.reason == Reason::UnknownOperation {
                    return Next::Close;
                }
                sent
            }
        };
        match sent {
            Ok(()) => Next::Wait,
            Err(error) => {
                let (interface, process) = (&context.name, self.process);
                tracing::debug!(interface, process, %error, "the client did not take its answer");
                Next::Close
            }
        }
    }

    fn get(&self, context: &Context) -> io::Result<()> {
        let (device, mut peers) = match context.device.get() {
            Ok(view) => view,
            Err(errno) => {
                tracing::warn!(interface = context.name, error = %errno, "get failed");
                return self.send(context, get_error(errno).as_bytes());
            }
        };
        let mut reply = GetReply::new(Patient::new(&self.stream, context));
        reply.device(&device)?;
        let mut peer = PeerView::default();
        while peers.next(&mut peer) {
            reply.peer(&peer)?;
        }
        reply.finish()
    }

    fn end_of_stream(&mut self, context: &Context) -> Next {
        // Without a byte it was a probe for life: `wg` makes one before each operation.
        if !self.is_idle() {
            self.abandon(context, Reason::Truncated);
        }
        Next::Close
    }

    /// Tells the client, if it still listens, without waiting for it.
    fn abandon(&mut self, context: &Context, reason: Reason) {
        let error = self.parser.abandon(reason);
        self.log(context, error);
        // It may be gone: nothing is owed to it then.
        let _gone = send(&self.stream, refusal(error).as_bytes(), SendFlags::NOSIGNAL);
    }

    fn log(&self, context: &Context, error: ParseError) {
        let (interface, process) = (&context.name, self.process);
        tracing::warn!(interface, process, %error, "request refused, nothing changed");
    }

    fn send(&self, context: &Context, answer: &[u8]) -> io::Result<()> {
        Patient::new(&self.stream, context).write_all(answer)
    }
}

fn refusal(error: ParseError) -> String {
    if error.get { get_error(error.errno()) } else { set_result(Err(error.errno())) }
}

/// Writes to a client that may be slow, but not for ever, and not past the end of the server.
struct Patient<'a> {
    stream: &'a UnixStream,
    stop: &'a OwnedFd,
    stall: Duration,
    end: Instant,
}

impl<'a> Patient<'a> {
    fn new(stream: &'a UnixStream, context: &'a Context) -> Self {
        let Limits { stall, operation, .. } = context.limits;
        Self { stream, stop: &context.stop, stall, end: Instant::now() + operation }
    }

    fn wait(&self) -> io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now()).min(self.stall);
        let mut fds = [PollFd::new(self.stream, PollFlags::OUT), PollFd::new(self.stop, PollFlags::IN)];
        match poll(&mut fds, timespec(left).as_ref()) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) if !fds[1].revents().is_empty() => Err(io::ErrorKind::ConnectionAborted.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.stream, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN) => self.wait()?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For `poll`; `None` (for ever) only past the end of `Timespec`.
pub(super) fn timespec(duration: Duration) -> Option<Timespec> {
    Timespec::try_from(duration).ok()
}
