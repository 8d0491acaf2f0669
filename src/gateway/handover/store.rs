//! The service manager's fd store, by systemd's protocol (sd_notify(3), sd_listen_fds(3)), which any supervisor may speak.

use super::memory::{Sealed, Sessions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sd_notify::NotifyState;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// What the descriptor is called there.
const NAME: &str = "culvert-sessions";
/// How long the manager may take to have done what it was told, s.
const BARRIER_S: i64 = 5;

/// Whether there is a service manager.
pub(super) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Puts `sessions` into the store, and waits until the manager has it: of a process that is gone it would take nothing.
pub(super) fn put(sessions: &Sealed) -> io::Result<()> {
    // Nobody needs to hear when the other end of a memory file hangs up.
    let words = [NotifyState::FdStore, NotifyState::FdName(NAME), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&words, &[sessions.as_fd()])?;
    barrier()
}

/// Takes all sessions out of the store, and waits until they are. Without a manager there is nothing to do.
pub(super) fn remove() -> io::Result<()> {
    if !is_there() {
        return Ok(());
    }
    sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(NAME)])?;
    barrier()
}

/// What was left in the store for this process.
pub(super) fn left() -> Vec<io::Result<Sessions>> {
    let Ok(descriptors) = sd_notify::listen_fds_with_names() else { return Vec::new() };
    let ours = descriptors.filter(|(_, name)| name == NAME);
    let open = |(descriptor, _)| {
        // A descriptor of our own to the same file. The number that was handed over is closed: it would hold the memory until the end.
        let file = File::options().read(true).open(format!("/proc/self/fd/{descriptor}"));
        let _only_once = nix::unistd::close(descriptor);
        file.map(Sessions::of)
    };
    ours.map(open).collect()
}

/// Waits until the manager has worked off all that it was told before: it closes what it gets with this.
fn barrier() -> io::Result<()> {
    let (closed, handed) = io::pipe()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[handed.as_fd()])?;
    drop(handed);
    let mut polled = [PollFd::new(&closed, PollFlags::empty())];
    match poll(&mut polled, Some(&Timespec { tv_sec: BARRIER_S, tv_nsec: 0 }))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {BARRIER_S} s"))),
        _ => Ok(()),
    }
}
