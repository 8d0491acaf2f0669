//! The memory that sessions lie in between two processes: a file of the kernel's without a name (memfd), which is never mapped, so that
//! no core dump holds it, and is freed with its last descriptor.
//!
//! It is sealed when it is whole: nobody changes it any more. That it was taken stands in its mode, which belongs to the file, not to
//! a descriptor: who holds another one sees it, and it outlives a process that crashes.

use rustix::fs::{
    FlockOperation, MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, fcntl_get_seals, flock, fstat, memfd_create,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// The name that `/proc/PID/fd` shows.
const NAME: &str = "culvert-sessions";

/// What is whole and was not taken.
const WHOLE: Mode = Mode::RUSR.union(Mode::WUSR);
/// What was taken.
const TAKEN: Mode = Mode::empty();

/// Nobody writes to it, shortens or prolongs it, or takes these seals off.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// A memory file that is being written, or was handed over.
#[derive(Debug)]
pub(super) struct Sessions(File);

/// One that is whole, and that nobody writes any more.
#[derive(Debug)]
pub(super) struct Sealed(File);

/// One that this process, and no other one, may read.
#[derive(Debug)]
pub(super) struct Taken(File);

impl Sessions {
    /// An empty one.
    pub(super) fn create() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = match memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
            // Before Linux 6.3.
            Err(Errno::INVAL) => memfd_create(NAME, flags)?,
            other => other?,
        };
        fchmod(&file, TAKEN)?;
        Ok(Self(file.into()))
    }

    /// Around a file that somebody hands over.
    pub(super) fn of(file: File) -> Self {
        Self(file)
    }

    /// It is whole. Returns its length as well.
    pub(super) fn seal(self) -> io::Result<(Sealed, u64)> {
        let Self(file) = self;
        fcntl_add_seals(&file, SEALS)?;
        fchmod(&file, WHOLE)?;
        let bytes = file.metadata()?.len();
        Ok((Sealed(file), bytes))
    }

    /// Takes it, once and for all.
    pub(super) fn take(self) -> io::Result<Taken> {
        let Self(mut file) = self;
        if !fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS)) {
            return Err(io::Error::other("it is not sealed: it may change while it is read"));
        }
        // Of two that take it at once one fails here, or finds the mark.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        if Mode::from_raw_mode(fstat(&file)?.st_mode) != WHOLE {
            return Err(io::Error::other("it was taken before"));
        }
        fchmod(&file, TAKEN)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Taken(file))
    }
}

impl Write for Sessions {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Taken {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Seek for Taken {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another descriptor of the same file, as the service manager has one.
    fn again(sealed: &Sealed) -> Sessions {
        Sessions::of(sealed.0.try_clone().unwrap())
    }

    fn sealed() -> Sealed {
        let mut sessions = Sessions::create().unwrap();
        sessions.write_all(b"sessions").unwrap();
        sessions.seal().unwrap().0
    }

    #[test]
    fn what_is_sealed_is_read_once_by_whoever_takes_it_first() {
        let sealed = sealed();
        let mut text = String::new();
        again(&sealed).take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "sessions");
        // Whoever took it may be gone; the mark stays.
        let error = again(&sealed).take().unwrap_err().to_string();
        assert_eq!(error, "it was taken before");
    }

    #[test]
    fn what_is_sealed_never_changes() {
        let sealed = sealed();
        let mut file = &sealed.0;
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err() && file.set_len(100).is_err());
        assert!(fcntl_add_seals(file, SealFlags::FUTURE_WRITE).is_err());
    }

    #[test]
    fn what_is_not_whole_is_not_taken() {
        let mut sessions = Sessions::create().unwrap();
        sessions.write_all(b"half").unwrap();
        assert!(sessions.take().unwrap_err().to_string().contains("not sealed"));
        let file = tempfile::tempfile().unwrap();
        assert!(Sessions::of(file).take().unwrap_err().to_string().contains("not sealed"));
    }
}
