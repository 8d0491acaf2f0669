//! The socket file: made for its owner only, never stolen from a living process, removed only if ours.

use super::device::Errno;
use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags, Stat, fchmod, mkdirat, renameat_with, statat, unlinkat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Clients that have connected and are not accepted yet; more wait in `connect`.
const BACKLOG: i32 = 128;

/// Why there is no socket for an interface.
#[derive(Debug, Error)]
pub enum UapiError {
    /// `wg` allows 1 to 15 of `[a-zA-Z0-9_=+.-]`.
    #[error("{0:?} is no name for an interface: 1 to 15 of a-z, A-Z, 0-9 and _=+.-")]
    BadName(String),
    /// The folder of the sockets.
    #[error("cannot make the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of another kind is in the way.
    #[error("{0} is there, and not a socket")]
    NotASocket(PathBuf),
    /// Another process answers on it.
    #[error("{0} is in use: another process serves an interface of this name")]
    InUse(PathBuf),
    /// All else.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No thread, `epoll` or `eventfd` to serve it with.
    #[error("cannot start the threads of {path}: {source}")]
    Threads {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A listening socket and its file, which goes with it.
#[derive(Debug)]
pub(super) struct BoundSocket {
    /// Does not block.
    pub(super) listener: UnixListener,
    path: PathBuf,
    file: FileId,
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl BoundSocket {
    /// Makes `folder` if it is missing, and `folder/name.sock`.
    ///
    /// Two processes that start at the same time over the same stale socket can still both pass the test
    /// for life; the one that loses its file then sees it by [`BoundSocket::is_ours`].
    pub(super) fn bind(folder: &Path, name: &str) -> Result<Self, UapiError> {
        if !name_is_valid(name) {
            return Err(UapiError::BadName(name.to_owned()));
        }
        make_folder(folder).map_err(|source| UapiError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join(format!("{name}.sock"));
        let failed = |source: Errno| UapiError::Listen { path: path.clone(), source: source.into() };
        let address = SocketAddrUnix::new(&path).map_err(failed)?;
        remove_stale(&path, &address)?;
        let (listener, file) = listen_at(&path, name).map_err(|errno| match errno {
            Errno::EXIST => UapiError::InUse(path.clone()),
            errno => failed(errno),
        })?;
        Ok(Self { listener, path, file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path still leads to this socket.
    pub(super) fn is_ours(&self) -> bool {
        lstat(&self.path).is_ok_and(|stat| FileId::of(&stat) == self.file)
    }

    /// Removes the file if it is still this socket's.
    pub(super) fn unlink(&self) {
        if self.is_ours()
            && let Err(error) = unlinkat(CWD, &self.path, AtFlags::empty())
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// As wg-quick(8) has it; `.` and `..` cannot hurt with `.sock` behind.
fn name_is_valid(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_=+.-".contains(&byte);
    (1..=15).contains(&name.len()) && name.bytes().all(legal)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    match mkdirat(CWD, folder, Mode::from_raw_mode(0o755)) {
        // Whatever the umask left of it.
        Ok(()) => return std::fs::set_permissions(folder, Permissions::from_mode(0o755)),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let metadata = std::fs::metadata(folder)?;
    if !metadata.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    if metadata.permissions().mode() & 0o022 != 0 {
        let folder = folder.display();
        tracing::warn!(%folder, "others may write here, and put their own socket in place of ours");
    }
    Ok(())
}

/// Removes a socket that nobody answers on.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), UapiError> {
    let failed = |source: Errno| UapiError::Listen { path: path.to_owned(), source: source.into() };
    let stat = match lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(UapiError::NotASocket(path.to_owned()));
    }
    // Not blocking: a full backlog says EAGAIN, which is a sign of life as well.
    match connect(unix_socket().map_err(failed)?, address) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(()),
        Ok(()) | Err(Errno::AGAIN) => return Err(UapiError::InUse(path.to_owned())),
        Err(errno) => return Err(failed(errno)),
    }
    let same = lstat(path).is_ok_and(|now| FileId::of(&now) == FileId::of(&stat));
    if !same {
        return Err(UapiError::InUse(path.to_owned()));
    }
    tracing::info!(path = %path.display(), "removing the socket of a process that is gone");
    unlinkat(CWD, path, AtFlags::empty()).map_err(failed)
}

/// Listens under another name first: `wg` removes what ends in `.sock` and refuses connections, as a socket
/// does between `bind` and `listen`.
fn listen_at(path: &Path, name: &str) -> Result<(UnixListener, FileId), Errno> {
    let first = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let address = SocketAddrUnix::new(&first)?;
    // Left by a process of the same number that was killed right here.
    let _none = unlinkat(CWD, &first, AtFlags::empty());
    let socket = unix_socket()?;
    // Linux gives the file the mode of the socket (unix_bind_bsd): there is no moment in which others may
    // open it, and the umask, which is the whole process's, stays alone.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address)?;
    let published =
        listen(&socket, BACKLOG).and_then(|()| renameat_with(CWD, &first, CWD, path, RenameFlags::NOREPLACE));
    if let Err(errno) = published {
        let _gone = unlinkat(CWD, &first, AtFlags::empty());
        return Err(errno);
    }
    let stat = lstat(path)?;
    Ok((UnixListener::from(socket), FileId::of(&stat)))
}

fn unix_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn lstat(path: &Path) -> Result<Stat, Errno> {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// PROTOCOL A10.1: folder 0755, socket 0600, gone at the end.
    #[test]
    fn the_socket_is_for_its_owner_and_goes_with_it() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/b");
        let socket = BoundSocket::bind(&folder, "wg0").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o755);
        assert_eq!(mode(socket.path()), 0o600);
        assert!(socket.is_ours());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no other file is left");
        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_socket_is_refused_and_a_stale_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let live = BoundSocket::bind(folder.path(), "wg0").unwrap();
        let error = BoundSocket::bind(folder.path(), "wg0").unwrap_err();
        assert!(matches!(error, UapiError::InUse(_)), "{error}");
        assert!(error.to_string().contains("another process"), "{error}");
        assert!(live.is_ours());

        // std leaves the file behind, as a killed process does.
        drop(UnixListener::bind(folder.path().join("wg1.sock")).unwrap());
        let replaced = BoundSocket::bind(folder.path(), "wg1").unwrap();
        UnixStream::connect(replaced.path()).unwrap();
    }

    #[test]
    fn a_full_backlog_is_a_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let live = BoundSocket::bind(folder.path(), "wg0").unwrap();
        let address = SocketAddrUnix::new(live.path()).unwrap();
        let mut clients = Vec::new();
        loop {
            let client = unix_socket().unwrap();
            let result = connect(&client, &address);
            clients.push(client);
            if result == Err(Errno::AGAIN) {
                break;
            }
            result.unwrap();
        }
        let error = BoundSocket::bind(folder.path(), "wg0").unwrap_err();
        assert!(matches!(error, UapiError::InUse(_)), "{error}");
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wg0.sock");
        std::fs::write(&path, "mine").unwrap();
        let error = BoundSocket::bind(folder.path(), "wg0").unwrap_err();
        assert!(matches!(error, UapiError::NotASocket(_)), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        std::fs::remove_file(&path).unwrap();

        let first = BoundSocket::bind(folder.path(), "wg0").unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!first.is_ours());
        let second = BoundSocket::bind(folder.path(), "wg0").unwrap();
        drop(first);
        assert!(second.is_ours(), "the first one removed the file of the second");
    }

    /// PROTOCOL A10.10: 1 to 15 of the legal characters.
    #[test]
    fn names_are_those_of_wg_quick() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "sixteen-letters.", "a/b", "../x", "a b", "ä", "a\0"] {
            let error = BoundSocket::bind(folder.path(), bad).unwrap_err();
            assert!(matches!(error, UapiError::BadName(_)), "{bad:?}: {error}");
        }
        BoundSocket::bind(folder.path(), "wg_0=+.-").unwrap();
        let deep = folder.path().join("x".repeat(100));
        let error = BoundSocket::bind(&deep, "wg0").unwrap_err();
        assert!(matches!(error, UapiError::Listen { .. }), "{error}");
    }
}
