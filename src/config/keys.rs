//! Private keys from files, and keys from their text.

use super::error::{ConfigError, Place, io_words};
use super::file;
use super::leaf::CREDENTIALS;
use super::types::{Config, Interface};
use crate::control::change::SecretKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Characters of a key in base64.
pub const KEY_TEXT_LEN: usize = 44;

/// More than any key file has.
const FILE_LIMIT: usize = 4_096;

/// The 32 bytes of a key in base64: exactly 44 characters, the only text for these bytes. `None` for all else.
pub fn from_base64(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != KEY_TEXT_LEN {
        return None;
    }
    // A byte more than a key: the engine asks for room before it looks at the padding. It refuses trailing bits.
    let mut bytes = Zeroizing::new([0; 33]);
    let len = STANDARD.decode_slice(text, bytes.as_mut_slice()).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(bytes.get(..len).filter(|bytes| bytes.len() == 32)?);
    Some(key)
}

/// The text of a public key.
pub fn to_base64(key: &[u8; 32]) -> String {
    STANDARD.encode(key)
}

/// Reads a private key: one line of base64, as `wg genkey` writes it, in a file that its owner alone may read. Below
/// `credentials` (systemd's folder, where an ACL shows as the group's bits) the group may read it too.
/// Control thread; blocks on the file.
///
/// # Errors
/// The file is missing or unreadable, open to others, or holds anything but a key; its content is never shown.
pub fn read(path: &Path, credentials: Option<&Path>) -> Result<SecretKey, ConfigError> {
    let text = read_private(path, credentials)?;
    let what = match std::str::from_utf8(&text).map(str::trim) {
        Ok("") => "the file is empty".into(),
        Ok(text) if text.len() != KEY_TEXT_LEN => {
            format!("this is not a private key: {} characters, where a key has {KEY_TEXT_LEN}", text.chars().count())
        }
        Ok(text) => match from_base64(text) {
            Some(key) => return Ok(SecretKey::new(&key)),
            None => "this is not a private key: it is not the base64 of 32 bytes".into(),
        },
        Err(_) => "this is not a private key: it is not text".into(),
    };
    let mend = format!("Make one with: (umask 077; wg genkey > {})", path.display());
    Err(refuse(path, what, mend))
}

fn refuse(path: &Path, what: impl Into<String>, mend: impl Into<String>) -> ConfigError {
    ConfigError::new(Place::File(path.into()), "", what, mend)
}

/// The first bytes of a file that others may not read.
fn read_private(path: &Path, credentials: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let shown = path.display();
    if path.starts_with(CREDENTIALS) {
        let mend = "Start culvertd as a systemd unit with LoadCredential=, or name the key file itself";
        return Err(refuse(path, "$CREDENTIALS_DIRECTORY is not set", mend));
    }
    let unreadable = |error: std::io::Error| {
        let mend = match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("Make a key with: (umask 077; wg genkey > {shown})")
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("Give it to culvert's user: chown culvert {shown}")
            }
            _ => "Name the file that holds the private key".into(),
        };
        refuse(path, io_words(&error), mend)
    };
    // The mode is looked at before anything is read, and of the same open file.
    let (file, metadata) = file::open(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    let group = match credentials {
        Some(folder) if path.starts_with(folder) => 0o040,
        _ => 0,
    };
    if mode & 0o077 & !group != 0 {
        let what = format!("others than its owner may use this private key (mode {mode:04o})");
        let mend = format!("Close it with: chmod 600 {shown}; if others were about, make a new key");
        return Err(refuse(path, what, mend));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_LIMIT));
    let limit = u64::try_from(FILE_LIMIT).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

impl Config {
    /// Reads the private key of one of its interfaces ([`read`]).
    ///
    /// # Errors
    /// As [`read`].
    pub fn private_key(&self, interface: &Interface) -> Result<SecretKey, ConfigError> {
        read(&interface.private_key_file, self.credentials_directory.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::{Permissions, set_permissions, write};

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

    /// What reading a file of that content and mode says, its path cut off.
    fn said(content: &[u8], mode: u32, credentials: bool) -> Result<[u8; 32], String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        write(&path, content).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let credentials = credentials.then_some(folder.path());
        read(&path, credentials)
            .map(|key| *key.bytes())
            .map_err(|error| error.to_string().replace(path.to_str().unwrap(), "k"))
    }

    #[test]
    fn reads_what_wg_genkey_writes() {
        let key = *from_base64(KEY).unwrap();
        assert_eq!(to_base64(&key), KEY);
        for content in [KEY.to_string(), format!("{KEY}\n"), format!(" {KEY}\r\n\n")] {
            assert_eq!(said(content.as_bytes(), 0o600, false), Ok(key), "{content:?}");
        }
        assert_eq!(said(KEY.as_bytes(), 0o400, false), Ok(key));
        assert_eq!(said(KEY.as_bytes(), 0o440, true), Ok(key));
    }

    #[test]
    fn says_what_is_wrong() {
        let again = "Make one with: (umask 077; wg genkey > k).";
        let close = "Close it with: chmod 600 k; if others were about, make a new key.";
        let key = KEY.as_bytes();
        let not_canonical = KEY.replace("mk=", "ml=");
        for (content, mode, credentials, what) in [
            (&b"\n"[..], 0o600, false, format!("k: the file is empty. {again}")),
            (
                b"abc\n",
                0o600,
                false,
                format!("k: this is not a private key: 3 characters, where a key has 44. {again}"),
            ),
            (
                not_canonical.as_bytes(),
                0o600,
                false,
                format!("k: this is not a private key: it is not the base64 of 32 bytes. {again}"),
            ),
            (b"\xff\xfe", 0o600, false, format!("k: this is not a private key: it is not text. {again}")),
            (key, 0o640, false, format!("k: others than its owner may use this private key (mode 0640). {close}")),
            (key, 0o604, true, format!("k: others than its owner may use this private key (mode 0604). {close}")),
            (key, 0o460, true, format!("k: others than its owner may use this private key (mode 0460). {close}")),
        ] {
            assert_eq!(said(content, mode, credentials), Err(what));
        }
    }

    #[test]
    fn says_how_to_make_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wg0.key");
        let shown = path.display();
        assert_eq!(
            read(&path, None).unwrap_err().to_string(),
            format!("{shown}: there is no such file. Make a key with: (umask 077; wg genkey > {shown}).")
        );
        let shown = folder.path().display();
        assert_eq!(
            read(folder.path(), None).unwrap_err().to_string(),
            format!("{shown}: it is a directory. Name the file that holds the private key.")
        );
        assert_eq!(
            read(Path::new("$CREDENTIALS_DIRECTORY/k"), None).unwrap_err().to_string(),
            "$CREDENTIALS_DIRECTORY/k: $CREDENTIALS_DIRECTORY is not set. Start culvertd as a systemd unit \
             with LoadCredential=, or name the key file itself."
        );
    }

    proptest! {
        #[test]
        fn one_text_a_key(bytes: [u8; 32], at in 0usize..44, other in "[A-Za-z0-9+/=]") {
            let text = to_base64(&bytes);
            prop_assert_eq!(from_base64(&text).map(|key| *key), Some(bytes));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other);
            if changed != text {
                prop_assert_ne!(from_base64(&changed).map(|key| *key), Some(bytes));
            }
            prop_assert!(from_base64(&text[1..]).is_none());
            let longer = text.clone() + "\n";
            prop_assert!(from_base64(&longer).is_none());
        }
    }
}
