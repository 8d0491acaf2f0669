//! DPDK's folder of this process, where its telemetry socket lies: made before DPDK starts, to know whether there can be one, and removed
//! after it, which DPDK does not.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// How the names of DPDK's telemetry sockets begin.
const SOCKET: &str = "dpdk_telemetry.v2";

/// The folder; it goes with this.
#[derive(Debug)]
pub(super) struct RuntimeFolder(PathBuf);

/// It could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(super) struct RuntimeFolderError {
    path: PathBuf,
    error: io::Error,
}

impl RuntimeFolder {
    /// Makes the folder of a process with this file prefix where DPDK looks for it, for its owner alone.
    ///
    /// # Errors
    /// [`RuntimeFolderError`].
    pub(super) fn make(prefix: &str) -> Result<Self, RuntimeFolderError> {
        let below = base(|name| std::env::var(name).ok(), rustix::process::getuid().is_root()).join("dpdk");
        Self::make_in(&below, prefix)
    }

    fn make_in(below: &Path, prefix: &str) -> Result<Self, RuntimeFolderError> {
        let folder = below.join(prefix);
        for path in [below, &folder] {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(RuntimeFolderError { path: path.to_owned(), error });
                }
                _ => {}
            }
        }
        remove_left(below, prefix, |pid| Path::new("/proc").join(pid).exists());
        // What is there may be another's.
        let probe = folder.join(SOCKET).with_extension("probe");
        std::fs::write(&probe, "").map_err(|error| RuntimeFolderError { path: folder.clone(), error })?;
        let _ours = std::fs::remove_file(&probe);
        Ok(Self(folder))
    }
}

impl Drop for RuntimeFolder {
    fn drop(&mut self) {
        let names = std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.file_name());
        for name in names.filter(|name| name.to_string_lossy().starts_with(SOCKET)) {
            let _gone = std::fs::remove_file(self.0.join(name));
        }
        // It stays if something is in it that is none of ours.
        let _stays = std::fs::remove_dir(&self.0);
    }
}

/// Removes the folders of processes that are gone: whoever was killed, or may not write there any more, has left his. A prefix ends with the
/// number of its process.
fn remove_left(below: &Path, prefix: &str, lives: impl Fn(&str) -> bool) {
    let Some((stem, _)) = prefix.rsplit_once('-') else { return };
    let names = std::fs::read_dir(below)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    for name in names {
        let pid = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
        let is_pid = |pid: &&str| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
        if pid.filter(is_pid).is_some_and(|pid| !lives(pid)) {
            drop(RuntimeFolder(below.join(name)));
        }
    }
}

/// Where DPDK 22.11 has its folders (`eal_create_runtime_dir`).
fn base(variable: impl Fn(&str) -> Option<String>, is_root: bool) -> PathBuf {
    match variable("RUNTIME_DIRECTORY") {
        Some(folder) => folder,
        None if is_root => "/var/run".to_owned(),
        None => variable("XDG_RUNTIME_DIR").unwrap_or_else(|| "/tmp".to_owned()),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_dpdk_looks_for_it() {
        let variables = |systemd: Option<&str>, xdg: Option<&str>| {
            let (systemd, xdg) = (systemd.map(str::to_owned), xdg.map(str::to_owned));
            move |name: &str| match name {
                "RUNTIME_DIRECTORY" => systemd.clone(),
                "XDG_RUNTIME_DIR" => xdg.clone(),
                _ => None,
            }
        };
        for (systemd, xdg, is_root, expected) in [
            (Some("/run/culvert"), Some("/run/user/7"), true, "/run/culvert"),
            (Some("/run/culvert"), None, false, "/run/culvert"),
            (None, Some("/run/user/7"), true, "/var/run"),
            (None, Some("/run/user/7"), false, "/run/user/7"),
            (None, None, false, "/tmp"),
        ] {
            assert_eq!(base(variables(systemd, xdg), is_root), Path::new(expected));
        }
    }

    #[test]
    fn folders_of_processes_that_are_gone_go() {
        let below = tempfile::tempdir().unwrap();
        for name in ["culvert-1", "culvert-2", "culvert-test-2", "culvert-x", "culvert-", "rte"] {
            std::fs::create_dir(below.path().join(name)).unwrap();
            std::fs::write(below.path().join(name).join("dpdk_telemetry.v2"), "").unwrap();
        }
        remove_left(below.path(), "culvert-9", |pid| pid == "1");
        let mut left: Vec<_> = std::fs::read_dir(below.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["culvert-", "culvert-1", "culvert-test-2", "culvert-x", "rte"]);
    }

    #[test]
    fn it_goes_with_its_sockets_and_with_nothing_else() {
        let below = tempfile::tempdir().unwrap();
        let below = below.path().join("dpdk");
        let folder = RuntimeFolder::make_in(&below, "x").unwrap();
        std::fs::write(below.join("x/dpdk_telemetry.v2"), "").unwrap();
        std::fs::write(below.join("x/dpdk_telemetry.v2:1"), "").unwrap();
        drop(folder);
        assert!(below.is_dir() && !below.join("x").exists());
        let folder = RuntimeFolder::make_in(&below, "x").unwrap();
        std::fs::write(below.join("x/config"), "").unwrap();
        drop(folder);
        assert!(below.join("x/config").exists());
        std::fs::write(below.join("y"), "").unwrap();
        let error = RuntimeFolder::make_in(&below, "y").unwrap_err().to_string();
        assert!(error.contains("dpdk/y"), "{error}");
        assert!(RuntimeFolder::make_in(&below.join("none/dpdk"), "x").is_err());
    }
}
