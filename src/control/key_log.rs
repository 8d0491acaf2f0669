//! The key log: with it anyone reads what this gateway sends and receives. For debugging with Wireshark; off unless
//! `culvertd --key-log FILE` asks for it.
//!
//! The lines are those of the dissector's preference `wg.keylog_file`: a session begins with our private key, and a
//! preshared key belongs to the ephemeral key before it. Handshake threads write; the packet path knows nothing of it.

use super::environment::Environment;
use crate::noise::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// More than the lines of one session have: the buffer never moves, so it leaves no copies of keys.
const SESSION_BYTES: usize = 512;

/// An open key log.
#[derive(Debug)]
pub struct KeyLog(Mutex<File>);

impl KeyLog {
    /// Opens the file, or makes it, to append; its owner alone may read it from then on. Main thread; blocks on the file.
    ///
    /// # Errors
    /// It cannot be opened or closed to others, or it is a symbolic link, or no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        // NONBLOCK: a FIFO without a reader is refused, not waited for.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let owner = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::open(path, flags, owner)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no regular file"));
        }
        rustix::fs::fchmod(&file, owner)?;
        Ok(Self(Mutex::new(file.into())))
    }

    /// An error is logged: no handshake fails for it.
    fn append(&self, lines: &[u8]) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(lines) {
            tracing::warn!("the key log cannot be written: {error}");
        }
    }
}

/// What one handshake drew: its ephemeral key, if there is a key log. Zeroed on drop.
pub(super) struct Drawn<'l>(Option<(&'l KeyLog, Zeroizing<[u8; 32]>)>);

impl<'l> Drawn<'l> {
    /// Nothing yet, and nothing ever without a key log.
    pub(super) fn new(key_log: Option<&'l KeyLog>) -> Self {
        Self(key_log.map(|log| (log, Zeroizing::new([0; 32]))))
    }

    /// Random bytes for the handshake: 32 of them are its ephemeral key.
    pub(super) fn note(&mut self, bytes: &mut [u8], environment: &Environment) {
        environment.random(bytes);
        if let (Some((_, place)), Ok(key)) = (&mut self.0, <&[u8; 32]>::try_from(&*bytes)) {
            place.copy_from_slice(key);
        }
    }

    /// Adds the handshake's keys to the log.
    pub(super) fn write(&self, identity: &Identity, peer: &[u8; 32], psk: &[u8; 32]) {
        let Some((log, ephemeral)) = &self.0 else { return };
        let mut lines = Zeroizing::new(Vec::with_capacity(SESSION_BYTES));
        let mut line = |name: &str, key: &[u8; 32]| {
            let mut digits = Zeroizing::new([0; 44]);
            if STANDARD.encode_slice(key, digits.as_mut_slice()).is_ok() {
                let parts = [name.as_bytes(), b" = ", digits.as_slice(), b"\n"];
                parts.iter().for_each(|part| lines.extend_from_slice(part));
            }
        };
        line("LOCAL_STATIC_PRIVATE_KEY", &identity.private_key());
        line("REMOTE_STATIC_PUBLIC_KEY", peer);
        line("LOCAL_EPHEMERAL_PRIVATE_KEY", ephemeral);
        if *psk != [0; 32] {
            line("PRESHARED_KEY", psk);
        }
        log.append(&lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::Duration;

    #[test]
    fn a_session_is_four_lines_and_three_without_a_preshared_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "before\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let log = KeyLog::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let environment =
            Environment::new(|| 0, Duration::default, |bytes| bytes.fill(u8::try_from(bytes.len()).unwrap()));
        let mut drawn = Drawn::new(Some(&log));
        for len in [4, 32, 24] {
            drawn.note(&mut vec![0; len], &environment);
        }
        let identity = Identity::new(&[1; 32]);
        drawn.write(&identity, &[2; 32], &[4; 32]);
        drawn.write(&identity, &[2; 32], &[0; 32]);
        let b64 = |byte: u8| STANDARD.encode([byte; 32]);
        let three = format!(
            "LOCAL_STATIC_PRIVATE_KEY = {}\nREMOTE_STATIC_PUBLIC_KEY = {}\nLOCAL_EPHEMERAL_PRIVATE_KEY = {}\n",
            b64(1),
            b64(2),
            b64(32)
        );
        let expected = format!("before\n{three}PRESHARED_KEY = {}\n{three}", b64(4));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn links_and_what_is_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "mine").unwrap();
        symlink(&target, &link).unwrap();
        KeyLog::open(&link).unwrap_err();
        KeyLog::open(folder.path()).unwrap_err();
        KeyLog::open(Path::new("/dev/null")).unwrap_err();
        KeyLog::open(&folder.path().join("no/where")).unwrap_err();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
        let fresh = folder.path().join("fresh");
        KeyLog::open(&fresh).unwrap();
        assert_eq!(std::fs::metadata(&fresh).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn without_a_key_log_nothing_is_kept() {
        let mut drawn = Drawn::new(None);
        let mut bytes = [0; 32];
        drawn.note(&mut bytes, &Environment::default());
        assert!(drawn.0.is_none() && bytes != [0; 32]);
        drawn.write(&Identity::new(&[1; 32]), &[2; 32], &[4; 32]);
    }
}
