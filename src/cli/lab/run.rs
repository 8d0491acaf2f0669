//! The name of a run, and what dead runs left behind.

use super::error::{Result, What};
use super::process;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all names of all runs begin with.
const COMMON: &str = "cv";
/// A file a run, locked while it lives.
const LOCKS: &str = "/run/culvert-lab";
/// Where WireGuard programs put their sockets; all network namespaces share it.
pub(super) const SOCKETS: &str = "/var/run/wireguard";

/// A run of the lab: the one owner of all names with its prefix.
#[derive(Debug)]
pub(super) struct Run {
    prefix: String,
    folder: PathBuf,
    lock_file: PathBuf,
    /// The kernel lets go of the lock when this process dies, however it dies.
    _lock: File,
}

impl Run {
    /// A new run, with a folder for its logs. Removes what dead runs left.
    pub(super) fn new() -> Result<Self> {
        // Orders nothing: only the numbers have to differ.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(LOCKS).what(LOCKS)?;
        remove_leftovers()?;

        let prefix = format!("{COMMON}{}{}", base36(std::process::id() as usize), base36(count));
        let lock_file = lock_file(&prefix);
        let lock = locked(&lock_file).what(lock_file.display())?;
        let folder = std::env::temp_dir().join(format!("culvert-lab-{prefix}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).what(folder.display())?;
        Ok(Self { prefix, folder, lock_file, _lock: lock })
    }

    /// What its names begin with: 8 characters at most.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Logs, keys, configurations.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.lock_file);
    }
}

/// A new locked file. Another run may take it for a dead one's, and remove it, just before it is locked.
fn locked(path: &Path) -> std::io::Result<File> {
    loop {
        let file = File::create(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        let ours = file.metadata()?.ino();
        if fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
    }
}

fn lock_file(prefix: &str) -> PathBuf {
    Path::new(LOCKS).join(format!("{prefix}.lock"))
}

/// Ends and removes what runs left that died without their `Drop`: their locks are free.
fn remove_leftovers() -> Result<()> {
    for entry in fs::read_dir(LOCKS).what(LOCKS)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(prefix) = name.strip_suffix(".lock").filter(|prefix| prefix.starts_with(COMMON)) else {
            continue;
        };
        let Ok(file) = File::open(entry.path()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        for namespace in namespaces(prefix)? {
            remove_namespace(&namespace);
        }
        remove_sockets(prefix);
        let _ = fs::remove_file(entry.path());
    }
    Ok(())
}

/// The network namespaces that a run has, by their names.
pub(super) fn namespaces(prefix: &str) -> Result<Vec<String>> {
    let list = process::run(&["ip", "netns", "list"])?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let dashed = format!("{prefix}-");
    Ok(names.filter(|name| name.starts_with(&dashed)).map(str::to_owned).collect())
}

/// Ends all that runs in a network namespace of ours and removes it, with its interfaces.
pub(super) fn remove_namespace(name: &str) {
    let pids = process::run(&["ip", "netns", "pids", name]).unwrap_or_default();
    for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let _ = process::run(&["ip", "netns", "del", name]);
}

/// Sockets that killed WireGuard programs of a run left.
pub(super) fn remove_sockets(prefix: &str) {
    for socket in sockets(prefix) {
        let _ = fs::remove_file(socket);
    }
}

/// The WireGuard sockets that a run has.
pub(super) fn sockets(prefix: &str) -> Vec<PathBuf> {
    let dashed = format!("{prefix}-");
    let Ok(entries) = fs::read_dir(SOCKETS) else { return Vec::new() };
    let ours = entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(&dashed));
    ours.map(|entry| entry.path()).collect()
}

/// A number in as few characters as names allow.
fn base36(mut number: usize) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or(0);
        digits.extend(char::from_digit(digit, 36));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_short() {
        assert_eq!(base36(0), "0");
        assert_eq!(base36(35), "z");
        assert_eq!(base36(36), "10");
        // The largest pid of Linux, and a hundred runs a process: with "-xxxx" it fits an interface name of 15.
        assert!(COMMON.len() + base36(1 << 22).len() + base36(100).len() <= 10);
    }
}
