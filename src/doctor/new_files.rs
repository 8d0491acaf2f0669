//! Files that are written all or not at all, and never over others.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file to be.
#[derive(Debug)]
pub(super) struct NewFile<'a> {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) text: &'a str,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It would be overwritten.
    #[error("{} is there already, and is left as it is. Move it away, or name another --output", .0.display())]
    Exists(PathBuf),
    /// The system refuses.
    #[error("{}: {error}. Name a folder with --output that this user may write to", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Writes them; if one fails, none is left.
pub(super) fn write_all(files: &[NewFile<'_>]) -> Result<(), WriteError> {
    for (index, file) in files.iter().enumerate() {
        if let Err(error) = write(file) {
            // Those before it are ours: each was made new.
            for earlier in files.iter().take(index) {
                let _gone = std::fs::remove_file(&earlier.path);
            }
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => WriteError::Exists(file.path.clone()),
                _ => WriteError::Io { path: file.path.clone(), error },
            });
        }
    }
    Ok(())
}

fn write(file: &NewFile<'_>) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&file.path)?;
    let written = open.write_all(file.text.as_bytes()).and_then(|()| open.sync_all());
    if written.is_err() {
        let _gone = std::fs::remove_file(&file.path);
    }
    written
}

/// The folder of a file, `.` for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn all_or_none_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text| NewFile { path: folder.path().join(name), mode: 0o600, text };
        write_all(&[file("a", "1"), file("b", "2")]).unwrap();
        let mode = std::fs::metadata(folder.path().join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = write_all(&[file("c", "3"), file("b", "4")]).unwrap_err();
        assert!(matches!(&error, WriteError::Exists(path) if path.ends_with("b")), "{error}");
        assert!(!folder.path().join("c").exists());
        assert_eq!(std::fs::read_to_string(folder.path().join("b")).unwrap(), "2");
        let error = write_all(&[file("none/d", "5")]).unwrap_err();
        assert!(matches!(error, WriteError::Io { .. }));
        assert!(error.to_string().contains("none/d: No such file"), "{error}");
    }
}
