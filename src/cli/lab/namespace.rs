//! Network namespaces and the veth pairs between them.

use super::error::{LabError, Result, What};
use super::process::{self, Output, Process};
use super::run;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// Offloads that would hand the gateway unfinished checksums or frames larger than the MTU.
const OFFLOADS: &str = "tx off sg off tso off gso off gro off";

/// A network namespace, removed with all that runs in it when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it; its loopback is up, and addresses serve at once (no duplicate address detection).
    ///
    /// # Errors
    /// It cannot be made: who calls is not root.
    pub(super) fn new(name: String) -> Result<Self> {
        process::run(&["ip", "netns", "add", &name])?;
        let namespace = Self { name };
        namespace.sysctl(&[("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0")])?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// How `ip netns` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` commands in it.
    ///
    /// # Errors
    /// One of them fails; those before it stay.
    pub fn ip(&self, lines: &str) -> Result<()> {
        process::run_with_input(&["ip", "-n", &self.name, "-batch", "-"], lines).map(drop)
    }

    /// Sets switches below `/proc/sys/net`.
    ///
    /// # Errors
    /// One of them cannot be set.
    pub fn sysctl(&self, switches: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            switches.iter().try_for_each(|(key, value)| std::fs::write(format!("/proc/sys/net/{key}"), value))
        })
    }

    /// Runs a command in it that has to succeed. Returns what it printed.
    ///
    /// # Errors
    /// As [`process::run`].
    pub fn run(&self, command: &[&str]) -> Result<String> {
        process::run(&self.wrap(command))
    }

    /// Runs a command in it to its end.
    ///
    /// # Errors
    /// As [`process::output`].
    pub fn output(&self, command: &[&str], within: Duration) -> Result<Output> {
        process::output(&self.wrap(command), within)
    }

    /// Starts a process in it.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start(&self, name: &str, command: &[&str], log: &Path) -> Result<Process> {
        Process::start(name, &self.wrap(command), log)
    }

    fn wrap<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        ["ip", "netns", "exec", &self.name].into_iter().chain(command.iter().copied()).collect()
    }

    /// Calls `f` on a thread in this namespace: sockets that it opens stay there, whoever uses them later.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `f`'s.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> std::io::Result<T> + Send) -> Result<T> {
        let inside = || {
            let file = File::open(Path::new("/run/netns").join(&self.name))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            f()
        };
        let joined = std::thread::scope(|scope| scope.spawn(inside).join());
        joined.map_err(|_| LabError::new(&self.name, "a thread in it panicked"))?.what(&self.name)
    }

    /// Joins an interface here with one in another namespace by a veth pair, offloads off, both up.
    /// The kernel takes what comes on one core alone: so it keeps the order of what two cores send.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn join(&self, interface: &str, other: &Self, others: &str) -> Result<()> {
        let pair = format!("link add {interface} type veth peer name {others} netns {}", other.name);
        self.ip(&pair)?;
        for (namespace, interface) in [(self, interface), (other, others)] {
            let cpus = format!("/sys/class/net/{interface}/queues/rx-0/rps_cpus");
            let script = format!("ethtool -K {interface} {OFFLOADS} && if [ -e {cpus} ]; then echo 1 > {cpus}; fi");
            namespace.run(&["sh", "-c", &script])?;
            namespace.ip(&format!("link set {interface} up"))?;
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run::remove_namespace(&self.name);
    }
}
