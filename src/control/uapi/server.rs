//! The threads of one interface's socket: one that accepts, and a few that serve.
//!
//! A connection waits in `epoll` (one shot) and takes a thread only while it has bytes to read, so idle and
//! stalled clients keep nobody. The accepting thread also closes those whose time is over.

use super::connection::{Connection, Context, LargeBodies, Next, timespec};
use super::device::{Device, Errno};
use super::socket::{BoundSocket, UapiError};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Of each serving thread.
const READ_BYTES: usize = 64 * 1024;
/// Accepted in one go, before anything else is looked after.
const ACCEPTS_A_TURN: usize = 64;
/// Strangers whose connections are kept for a moment.
const REFUSED: usize = 64;
/// Of `epoll`: never the number of a connection.
const STOP: u64 = 0;

/// How much, and how long, a client may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// That serve: so many operations at a time.
    pub threads: usize,
    /// Open at a time. One too many takes the place of the one that has been idle the longest.
    pub connections: usize,
    /// Bodies of more than 256 KiB under way at a time; the others are told `EBUSY`.
    pub large_bodies: usize,
    /// Without a byte between two operations.
    pub idle: Duration,
    /// Without a byte within an operation, or of an answer that the client does not read.
    pub stall: Duration,
    /// From the first byte of an operation to its last, and again for the answer.
    pub operation: Duration,
    /// Between two looks at the clock and at the socket's file.
    pub tick: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: 8,
            connections: 256,
            large_bodies: 2,
            idle: Duration::from_secs(30),
            stall: Duration::from_secs(10),
            operation: Duration::from_secs(120),
            tick: Duration::from_secs(1),
        }
    }
}

/// Serves one interface until it is dropped or [`UapiServer::shutdown`] is called.
pub struct UapiServer {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for UapiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UapiServer").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl UapiServer {
    /// Listens on `folder/name.sock` (0600; `folder` is made 0755 if missing) and serves `device` there, to
    /// root and the process's own user only. A socket that nobody answers on any more is replaced.
    ///
    /// # Errors
    /// [`UapiError::InUse`] if another process serves this name; see there for the others.
    pub fn bind(folder: &Path, name: &str, device: Arc<dyn Device>) -> Result<Self, UapiError> {
        Self::bind_with(folder, name, device, Limits::default())
    }

    /// [`UapiServer::bind`] with other limits.
    ///
    /// # Errors
    /// The same.
    pub fn bind_with(folder: &Path, name: &str, device: Arc<dyn Device>, limits: Limits) -> Result<Self, UapiError> {
        let socket = BoundSocket::bind(folder, name)?;
        let path = socket.path().to_owned();
        Self::start(socket, name, device, limits).map_err(|source| UapiError::Threads { path, source })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        self.shared.socket.path()
    }

    /// Stops: no client is accepted any more, operations under way end, answers that wait for a slow client
    /// are cut, all threads are joined, and the socket's file is removed if it is still ours. May be called
    /// again. Waits for a [`Device::set`] that is under way.
    pub fn shutdown(&self) {
        self.shared.stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(interface = self.shared.context.name, "a thread panicked");
            }
        }
        self.shared.table().waiting.clear();
        self.shared.socket.unlink();
    }

    fn start(socket: BoundSocket, name: &str, device: Arc<dyn Device>, limits: Limits) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Never read, so that every thread sees it.
        epoll::add(&epoll, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        let large_bodies = LargeBodies::new(limits.large_bodies);
        let context = Context { name: name.to_owned(), device, limits, stop, large_bodies };
        let table = Mutex::new(Table { next: STOP + 1, ..Table::default() });
        let shared = Arc::new(Shared { socket, epoll, context, table });
        // Whatever was started before an error is stopped by the drop.
        let server = Self { shared, threads: Mutex::new(Vec::new()) };
        server.spawn("accept", Shared::accept_loop)?;
        for _ in 0..limits.threads.max(1) {
            server.spawn("serve", Shared::serve_loop)?;
        }
        Ok(server)
    }

    fn spawn(&self, role: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let name = format!("uapi-{role}");
        let thread = thread::Builder::new().name(name).spawn(move || run(&shared))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }
}

impl Drop for UapiServer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

struct Shared {
    socket: BoundSocket,
    epoll: OwnedFd,
    context: Context,
    table: Mutex<Table>,
}

/// The connections.
#[derive(Default)]
struct Table {
    /// Those that wait for bytes; a thread takes one out to serve it.
    waiting: HashMap<u64, Connection>,
    /// Those that were taken out.
    served: usize,
    /// Number of the next one; none comes twice.
    next: u64,
    /// Strangers who were told so, and since when. They are kept a moment: a request that is written into a closed
    /// connection kills its writer by SIGPIPE before it has read the answer.
    refused: VecDeque<(Instant, UnixStream)>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        // Fails only if the counter is full, and then it is readable already.
        let _full = rustix::io::write(&self.context.stop, &1_u64.to_ne_bytes());
    }

    fn accept_loop(&self) {
        let mut file_is_ours = true;
        let mut may_accept = true;
        loop {
            let mut fds =
                [PollFd::new(&self.context.stop, PollFlags::IN), PollFd::new(&self.socket.listener, PollFlags::IN)];
            // With no room left, clients wait in the backlog for the next tick.
            let watched = if may_accept { &mut fds[..] } else { &mut fds[..1] };
            match poll(watched, timespec(self.context.limits.tick).as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(interface = self.context.name, %error, "poll failed");
                    return;
                }
            }
            if !fds[0].revents().is_empty() {
                return;
            }
            self.close_late_ones();
            if file_is_ours && !self.socket.is_ours() {
                file_is_ours = false;
                let path = self.path_for_log();
                tracing::warn!(path, "the socket was removed: wg can reach it again after a restart");
            }
            may_accept = self.accept_some();
        }
    }

    fn path_for_log(&self) -> String {
        self.socket.path().display().to_string()
    }

    /// Says if there is room for more.
    fn accept_some(&self) -> bool {
        for _ in 0..ACCEPTS_A_TURN {
            if !is_readable(&self.socket.listener) {
                return true;
            }
            // Only now that somebody is there to take the place.
            if !self.make_room() {
                return false;
            }
            match self.socket.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.welcome(stream) {
                        tracing::warn!(interface = self.context.name, %error, "client refused");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) => {
                    // Most likely out of file descriptors: better after a while.
                    tracing::warn!(interface = self.context.name, %error, "cannot accept");
                    return false;
                }
            }
        }
        true
    }

    /// Closes the connection that has been idle for the longest if there are too many.
    fn make_room(&self) -> bool {
        let mut table = self.table();
        if table.waiting.len() + table.served < self.context.limits.connections {
            return true;
        }
        let mut idle: Vec<(Instant, u64)> = table
            .waiting
            .iter()
            .filter(|(_, connection)| connection.is_idle())
            .map(|(&number, connection)| (connection.last(), number))
            .collect();
        idle.sort_unstable();
        for (_, number) in idle {
            // It may have sent something that no thread has come to yet.
            let silent = table.waiting.get(&number).is_some_and(|c| !is_readable(&c.stream));
            if silent {
                table.waiting.remove(&number);
                return true;
            }
        }
        false
    }

    fn welcome(&self, stream: UnixStream) -> io::Result<()> {
        let client = getsockopt(&stream, PeerCredentials)?;
        let own = rustix::process::geteuid().as_raw();
        if client.uid() != 0 && client.uid() != own {
            self.refuse(stream);
            return Err(Errno::PERM.into());
        }
        stream.set_nonblocking(true)?;
        let connection = Connection::new(stream, client.pid(), self.context.device.max_peers());
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        // Under the lock: the thread that sees the event must find the connection.
        let data = epoll::EventData::new_u64(number);
        epoll::add(&self.epoll, &connection.stream, data, one_shot())?;
        table.waiting.insert(number, connection);
        Ok(())
    }

    /// Tells a stranger so, before anything was asked. What it asks is never read.
    fn refuse(&self, mut stream: UnixStream) {
        let answer = format!("errno={}\n\n", Errno::PERM.raw_os_error());
        // It fits the empty buffer of a new connection; whoever has gone already needs no answer.
        let _gone = stream.set_nonblocking(true).and_then(|()| stream.write_all(answer.as_bytes()));
        let _gone = stream.shutdown(Shutdown::Write);
        let mut table = self.table();
        if table.refused.len() >= REFUSED {
            table.refused.pop_front();
        }
        table.refused.push_back((Instant::now(), stream));
    }

    fn close_late_ones(&self) {
        let now = Instant::now();
        let limits = &self.context.limits;
        self.table().refused.retain(|(since, _)| now.duration_since(*since) < limits.tick);
        let late: Vec<Connection> = self
            .table()
            .waiting
            .extract_if(|_, connection| {
                // With bytes to read it is the threads that are late.
                connection.deadline(limits) <= now && !is_readable(&connection.stream)
            })
            .map(|(_, connection)| connection)
            .collect();
        for connection in late {
            connection.give_up(&self.context);
        }
    }

    fn serve_loop(&self) {
        let mut buffer = Zeroizing::new(vec![0; READ_BYTES]);
        let mut events = Vec::with_capacity(1);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(interface = self.context.name, %error, "epoll failed");
                    return;
                }
            }
            let Some(event) = events.first() else {
                continue;
            };
            let data = event.data;
            if data.u64() == STOP {
                return;
            }
            self.serve(data.u64(), &mut buffer);
        }
    }

    fn serve(&self, number: u64, buffer: &mut [u8]) {
        let mut table = self.table();
        // Absent: closed for being late since the event.
        let Some(mut connection) = table.waiting.remove(&number) else {
            return;
        };
        table.served += 1;
        drop(table);
        let next = connection.turn(&self.context, buffer);
        let mut table = self.table();
        table.served -= 1;
        if next == Next::Close {
            return;
        }
        let data = epoll::EventData::new_u64(number);
        match epoll::modify(&self.epoll, &connection.stream, data, one_shot()) {
            Ok(()) => {
                table.waiting.insert(number, connection);
            }
            Err(error) => {
                tracing::error!(interface = self.context.name, %error, "epoll failed");
            }
        }
    }
}

fn one_shot() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::ONESHOT
}

fn is_readable(socket: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, timespec(Duration::ZERO).as_ref()).is_ok_and(|ready| ready > 0)
}
