//! What doctor, setup and their mends read and write of the machine: all of it below one root, so that a test gives another.

use crate::config::Machine;
use std::io;
use std::path::{Path, PathBuf};

/// A machine to look at: this one, or a tree of files that looks like one.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
    /// `$SSH_CONNECTION`: the client's address and port, then ours.
    ssh_connection: Option<String>,
    /// The cores that this process may run on.
    pub(super) machine: Machine,
    pub(super) dpdk: Option<Dpdk>,
}

/// What only a build with DPDK can tell.
#[derive(Clone, Debug)]
pub struct Dpdk {
    /// The release that culvert was compiled for: `22.11`.
    pub built: String,
    /// The one that the loader found: `DPDK 22.11.11`.
    pub found: String,
    /// Where DPDK looks for drivers.
    pub drivers: PathBuf,
    /// MiB of packet memory that a configuration needs, in huge pages or without.
    pub need_mib: fn(&crate::config::Config, bool) -> u64,
}

/// The name of the user that culvertd runs as, and of its group.
pub(super) const USER: &str = "culvert";

/// A user by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl System {
    /// This machine. Control thread; before `rte_eal_init`, which cuts the cores.
    pub fn live() -> Self {
        Self {
            root: "/".into(),
            ssh_connection: std::env::var("SSH_CONNECTION").ok().filter(|value| !value.is_empty()),
            machine: Machine::read(),
            dpdk: dpdk(),
        }
    }

    /// A tree of files that looks like a machine with these cores; nothing outside of it is read or written.
    pub fn below(root: impl Into<PathBuf>, cores: Vec<usize>) -> Self {
        Self { root: root.into(), ssh_connection: None, machine: Machine { cores }, dpdk: None }
    }

    /// With what a build with DPDK tells.
    #[must_use]
    pub fn with_dpdk(mut self, dpdk: Dpdk) -> Self {
        self.dpdk = Some(dpdk);
        self
    }

    /// With the value of `$SSH_CONNECTION`.
    #[must_use]
    pub fn with_ssh_connection(mut self, value: &str) -> Self {
        self.ssh_connection = Some(value.into());
        self
    }

    /// `$SSH_CONNECTION` of this process, else of the nearest above it that has one: sudo takes it away.
    pub(super) fn ssh_connection(&self) -> Option<String> {
        let mut process = "self".to_owned();
        let mut found = self.ssh_connection.clone();
        while found.is_none() {
            process = self.field(&format!("/proc/{process}/status"), "PPid").filter(|parent| parent != "0")?;
            let environment = std::fs::read(self.at(format!("/proc/{process}/environ"))).unwrap_or_default();
            let values = environment.split(|byte| *byte == 0);
            let mut values =
                values.filter_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("SSH_CONNECTION="));
            found = values.find(|value| !value.is_empty()).map(str::to_owned);
        }
        found
    }

    /// Whether somebody answers on a Unix socket.
    pub(super) fn answers(&self, socket: &Path) -> bool {
        std::os::unix::net::UnixStream::connect(self.at(socket)).is_ok()
    }

    /// Where `path` of the machine lies.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if path.starts_with(&self.root) {
            return path.to_path_buf();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A path as people on the machine call it.
    pub(super) fn shown(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        Path::new("/").join(below).display().to_string()
    }

    /// Text that may name paths, as people on the machine call them.
    pub(super) fn shown_text(&self, text: &str) -> String {
        match self.root.to_str() {
            Some("/") | None => text.into(),
            Some(root) => text.replace(root, ""),
        }
    }

    /// The text of a file without the spaces around it; `None`: it is not there, or not to be read.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(std::fs::read_to_string(self.at(path)).ok()?.trim().to_owned())
    }

    /// The number in a file.
    pub(super) fn number<T: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Whether there is something at that path.
    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).exists()
    }

    /// The names in a folder, sorted; none without the folder.
    pub(super) fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The last part of where a symbolic link leads.
    pub(super) fn link(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = std::fs::read_link(self.at(path)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// Where a path leads in the end.
    pub(super) fn real(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        std::fs::canonicalize(self.at(path)).ok()
    }

    /// Rights and owner of what lies there.
    pub(super) fn metadata(&self, path: impl AsRef<Path>) -> io::Result<std::fs::Metadata> {
        std::fs::metadata(self.at(path))
    }

    /// The value of a key in a file of `key: value` lines, as `/proc` has them.
    pub(super) fn field(&self, path: &str, key: &str) -> Option<String> {
        let text = self.text(path)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    }

    /// The user that culvertd runs as, where somebody has made one.
    pub(super) fn account(&self) -> Option<Account> {
        let users = self.text("/etc/passwd")?;
        let mut fields = users.lines().find_map(|line| line.strip_prefix(USER)?.strip_prefix(':'))?.split(':').skip(1);
        Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }

    /// The words on the kernel's command line.
    pub(super) fn command_line(&self) -> Vec<String> {
        self.text("/proc/cmdline").unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// What the kernel's command line gives `key`.
    pub(super) fn boot_argument(&self, key: &str) -> Option<String> {
        let words = self.command_line();
        words.iter().rev().find_map(|word| word.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    }

    /// The NUMA nodes, ascending; node 0 where the kernel shows none.
    pub(super) fn nodes(&self) -> Vec<usize> {
        let names = self.names("/sys/devices/system/node");
        let mut nodes: Vec<usize> = names.iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
        nodes.sort_unstable();
        if nodes.is_empty() { vec![0] } else { nodes }
    }

    /// The NUMA node of a core; 0 where the kernel does not say.
    pub(super) fn node_of_core(&self, core: usize) -> usize {
        let holds = |node: &usize| self.exists(format!("/sys/devices/system/node/node{node}/cpu{core}"));
        self.nodes().into_iter().find(holds).unwrap_or(0)
    }
}

#[cfg(feature = "dpdk")]
#[expect(clippy::unnecessary_wraps, reason = "a build without DPDK has none")]
fn dpdk() -> Option<Dpdk> {
    let (built, found) = crate::dpdk::versions();
    Some(Dpdk { built, found, drivers: crate::dpdk::driver_folder(), need_mib: crate::gateway::memory_mib })
}

#[cfg(not(feature = "dpdk"))]
fn dpdk() -> Option<Dpdk> {
    None
}

/// The numbers in a list as the kernel writes them: `0-3,8`. What is no number is left out.
pub(super) fn numbers(list: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(low), Ok(high)) = (low.parse::<usize>(), high.parse::<usize>())
            && high < 1 << 16
        {
            numbers.extend(low..=high);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::list_of;
    use proptest::prelude::*;

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(numbers("0-3,8, 10-11"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(numbers("(null)"), [0; 0]);
        assert_eq!(numbers("managed_irq,domain,2-3"), [2, 3]);
        assert_eq!(numbers("0-99999999"), [0; 0]);
        assert_eq!(list_of(&[3, 1, 2, 8, 8]), "1-3,8");
        assert_eq!(list_of(&[]), "");
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(mut cores in proptest::collection::vec(0usize..2_000, 0..40)) {
            let text = list_of(&cores);
            cores.sort_unstable();
            cores.dedup();
            prop_assert_eq!(numbers(&text), cores);
        }
    }

    #[test]
    fn nothing_outside_of_the_root_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let system = System::below(folder.path(), vec![0]);
        assert_eq!(system.text("/proc/cmdline"), None);
        assert_eq!(system.at("/etc/x"), folder.path().join("etc/x"));
        assert_eq!(system.at(folder.path().join("y")), folder.path().join("y"));
        assert_eq!(system.shown(&folder.path().join("etc/x")), "/etc/x");
        assert_eq!(system.nodes(), [0]);
    }
}
