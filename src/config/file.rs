//! Files that anybody may have named: read whole and within bounds, and never waited for.

use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Opens a regular file, and says what it is: looked at after it was opened, so that nobody puts another one there in between. What is none
/// is refused without waiting: a pipe would have this thread wait for who writes, a device may never end.
///
/// # Errors
/// It cannot be opened, or is no regular file.
pub(super) fn open(path: &Path) -> Result<(File, Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let there = file.metadata()?;
    match there.file_type() {
        kind if kind.is_file() => Ok((file, there)),
        kind if kind.is_dir() => Err(ErrorKind::IsADirectory.into()),
        _ => Err(Error::new(ErrorKind::InvalidInput, "it is a pipe or a device, and has to be a regular file")),
    }
}

/// What it is as it is opened ([`open`]), and all that it holds, which may be secret. Blocks on the disk.
///
/// # Errors
/// As [`open`]; it cannot be read, or has more than `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<(Metadata, Zeroizing<Vec<u8>>)> {
    let (file, there) = open(path)?;
    let too_long = || Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    if there.len() > limit {
        return too_long();
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // Growing would leave a copy of what it holds behind. One more: the end is seen without.
    bytes.try_reserve_exact(usize::try_from(there.len() + 1).unwrap_or(usize::MAX))?;
    // It may grow meanwhile.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= limit => Ok((there, bytes)),
        _ => too_long(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, keys, peers_file};

    /// No reader of configuration waits for a pipe, or reads a device until memory is out.
    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let special = "has to be a regular file";
        for (path, words) in
            [(&*fifo, special), (Path::new("/dev/zero"), special), (folder.path(), "it is a directory")]
        {
            let machine = config::Machine { cores: vec![0] };
            for said in [
                config::load_for(path, std::iter::empty(), &machine).unwrap_err().to_string(),
                peers_file::load(path).unwrap_err().to_string(),
                keys::read(path, None).unwrap_err().to_string(),
            ] {
                assert!(said.contains(words) && said.starts_with(path.to_str().unwrap()), "{said}");
            }
        }
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(**read(&path, 4).unwrap().1, *b"1234");
        let said = read(&path, 3).unwrap_err().to_string();
        assert_eq!(said, "it has more than 3 bytes");
        // Its length is no word to rely on.
        read(Path::new("/proc/self/status"), 3).unwrap_err();
        // Of a hole nothing is read.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        peers_file::load(&path).unwrap_err();
    }
}
