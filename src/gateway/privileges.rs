//! Whom culvertd runs as. A unit starts it as its user, with three capabilities. Started as root by hand it becomes that user itself, once its ports
//! are up, with the same three; and no memory of it is ever dumped.

use crate::config::{Config, parts_beside};
use nix::unistd::{Gid, Uid, User, initgroups, setresgid, setresuid};
use rustix::fs::{Access, access};
use rustix::process::{DumpableBehavior, Resource, Rlimit, geteuid, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_no_new_privs,
};
use std::ffi::CString;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// The user, if nobody names another.
const USER: &str = "culvert";
/// What is still needed with ports up: to lock memory, to set links and addresses, to move threads between cores.
const KEPT: CapabilitySet = CapabilitySet::IPC_LOCK.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::SYS_NICE);
/// Folders of sockets that are culvert's wherever its package is installed, whoever made them.
const OWN_FOLDERS: [&str; 4] = ["/run/culvert", "/var/run/culvert", "/run/wireguard", "/var/run/wireguard"];

/// Whom a gateway becomes that root has started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunAs {
    /// `culvert`, if there is such a user: else it stays root, and warns.
    #[default]
    Usual,
    /// This one; `root` stays root.
    Named(String),
    /// Nobody else, and without a word: who started it knows.
    Unchanged,
}

/// Why it cannot run as somebody else.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    /// The user is not there.
    #[error("--user {0}: there is no such user. Make it (useradd --system {0}), name another, or root to stay root")]
    NoSuchUser(String),
    /// Only root may.
    #[error("--user {0}: only root can become another user. Start culvertd as root, or leave --user out")]
    NotRoot(String),
    /// A step failed.
    #[error("culvertd could not become the user {user}: {what}: {error}. To stay root: --user root")]
    Step {
        /// The user.
        user: String,
        /// What did not work.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// It could not make its sockets there, nor remove them.
    #[error(
        "the user {user} may not write to {}, where sockets are to be. Mend: chown {user} {}; or stay root: --user root",
        folder.display(), folder.display()
    )]
    Folder {
        /// The user.
        user: String,
        /// The folder.
        folder: PathBuf,
    },
}

/// Keeps the memory of this process out of core dumps and out of the reach of its user's other processes. Main thread, before a key is read; a
/// change of the user undoes it.
pub fn forbid_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let result = setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = result {
        tracing::warn!("core dumps of culvertd, with its keys, could not be forbidden: {error}");
    }
}

/// Another user, whom this process may become.
#[derive(Debug)]
pub(super) struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Identity {
    /// Whom to become; `None`: nobody else. Warns where that leaves root. Before anything is touched.
    ///
    /// # Errors
    /// The user is not there, or this process is not root and not that user.
    pub(super) fn of(run_as: &RunAs) -> Result<Option<Self>, PrivilegesError> {
        Self::seen(run_as, geteuid().as_raw(), |name| {
            User::from_name(name).map_err(|error| step(name, "looking the user up", error))
        })
    }

    fn seen(
        run_as: &RunAs,
        own: u32,
        look_up: impl Fn(&str) -> Result<Option<User>, PrivilegesError>,
    ) -> Result<Option<Self>, PrivilegesError> {
        let name = match run_as {
            RunAs::Unchanged => return Ok(None),
            RunAs::Usual if own != 0 => return Ok(None),
            RunAs::Usual => USER,
            RunAs::Named(name) => name,
        };
        let user = match (look_up(name)?, run_as) {
            (Some(user), _) => user,
            (None, RunAs::Named(_)) => return Err(PrivilegesError::NoSuchUser(name.to_owned())),
            (None, _) => {
                tracing::warn!(
                    "culvertd runs as root, since there is no user {USER}: make one (useradd --system {USER}), or say that it is meant so by --user root"
                );
                return Ok(None);
            }
        };
        match (own, user.uid.as_raw()) {
            (own, wanted) if own == wanted => Ok(None),
            (0, _) => Ok(Some(Self { name: user.name, uid: user.uid, gid: user.gid })),
            _ => Err(PrivilegesError::NotRoot(name.to_owned())),
        }
    }

    /// Becomes the user, for good: all threads that there are, by the C library, which sends the change to each (setresuid(2), "C library/kernel
    /// differences"). Capabilities are a thread's own: the calling one keeps [`KEPT`], and whatever it starts from then on; threads that there are
    /// already (DPDK's interrupts and telemetry) keep none. So: main thread, with ports up and before the gateway's own threads and sockets.
    ///
    /// # Errors
    /// [`PrivilegesError::Step`] and [`PrivilegesError::Folder`]; the process should end then.
    pub(super) fn assume(&self, config: &Config) -> Result<(), PrivilegesError> {
        let folders = folders(config);
        for folder in &folders {
            self.give(folder)?;
        }
        self.change().map_err(|(what, error)| step(&self.name, what, error))?;
        forbid_dumps();
        if let Some(folder) =
            folders.iter().find(|folder| access(folder.as_path(), Access::WRITE_OK | Access::EXEC_OK).is_err())
        {
            return Err(PrivilegesError::Folder { user: self.name.clone(), folder: folder.clone() });
        }
        tracing::info!("runs as {} from here on, with CAP_IPC_LOCK, CAP_NET_ADMIN and CAP_SYS_NICE", self.name);
        for file in files(config) {
            if let Some(closed) = closed_to_us(&file) {
                let mend = self.mend(&file, &closed, config);
                tracing::warn!(
                    "{}: {} may not read it, so that `culvert reload` and SIGHUP will change nothing. Mend: {mend}",
                    file.display(),
                    self.name
                );
            }
        }
        Ok(())
    }

    fn change(&self) -> Result<(), (&'static str, io::Error)> {
        let failed = |what: &'static str| move |error: nix::Error| (what, io::Error::from(error));
        let name = CString::new(self.name.as_str()).map_err(|error| ("its name", error.into()))?;
        // This thread's alone, and only until its sets are made.
        set_keep_capabilities(true).map_err(|error| ("keeping capabilities", error.into()))?;
        initgroups(&name, self.gid).map_err(failed("its groups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(failed("its group"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(failed("its number"))?;
        let kept = |error: rustix::io::Errno| ("keeping three capabilities", error.into());
        // In a container there may be less to keep.
        let sets = KEPT & capabilities(None).map_err(kept)?.permitted;
        let sets = CapabilitySets { effective: sets, permitted: sets, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets).map_err(kept)?;
        set_keep_capabilities(false).map_err(kept)?;
        set_no_new_privs(true).map_err(|error| ("giving up to gain any", error.into()))
    }

    /// Makes a folder of sockets the user's, if it is not there yet or culvert's own.
    fn give(&self, folder: &Path) -> Result<(), PrivilegesError> {
        let failed = |error| step(&self.name, format!("the folder {}", folder.display()), error);
        if !folder.exists() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        } else if !OWN_FOLDERS.iter().any(|own| folder == Path::new(own)) {
            return Ok(());
        }
        chown(folder, Some(self.uid.as_raw()), Some(self.gid.as_raw())).map_err(failed)
    }

    /// What makes `file` readable. `closed`: it, or a folder above it.
    fn mend(&self, file: &Path, closed: &Path, config: &Config) -> String {
        let (name, shown) = (&self.name, closed.display());
        if closed != file {
            return format!("chgrp {name} {shown} && chmod g+x {shown}");
        }
        // A private key has to be its owner's alone.
        if config.interfaces.iter().any(|interface| interface.private_key_file == file) {
            return format!("chown {name} {shown}");
        }
        format!("chgrp {name} {shown} && chmod g+r {shown}")
    }
}

fn step(user: &str, what: impl Into<String>, error: impl Into<io::Error>) -> PrivilegesError {
    PrivilegesError::Step { user: user.to_owned(), what: what.into(), error: error.into() }
}

/// Where sockets are made.
fn folders(config: &Config) -> Vec<PathBuf> {
    let own = config.control.socket.parent().filter(|folder| !folder.as_os_str().is_empty());
    own.into_iter().map(Path::to_owned).chain([config.control.uapi_dir.clone()]).collect()
}

/// What a reload reads.
fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.file.clone()];
    match parts_beside(&config.file) {
        Ok(parts) => files.extend(parts),
        Err(_closed) => files.push(config.file.with_file_name("conf.d")),
    }
    for interface in &config.interfaces {
        files.push(interface.private_key_file.clone());
        files.extend(interface.peers_file.clone());
    }
    files
}

/// The file, or the topmost folder above it that lets nobody through; `None`: it may be read.
fn closed_to_us(file: &Path) -> Option<PathBuf> {
    access(file, Access::READ_OK).err()?;
    let mut above: Vec<&Path> = file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    above.reverse();
    let shut = above.into_iter().find(|folder| access(*folder, Access::EXEC_OK).is_err());
    Some(shut.unwrap_or(file).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, uid: u32) -> User {
        let mut user = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        (user.name, user.uid, user.gid) = (name.to_owned(), Uid::from_raw(uid), Gid::from_raw(uid + 1));
        user
    }

    /// What comes of it where the users are root, culvert (995) and other (7).
    fn becomes(run_as: &RunAs, own: u32, culvert: bool) -> Result<Option<u32>, String> {
        let users = [user("root", 0), user("culvert", 995), user("other", 7)];
        let look_up =
            |name: &str| Ok(users.iter().find(|user| user.name == name && (culvert || name != "culvert")).cloned());
        let identity = Identity::seen(run_as, own, look_up).map_err(|error| error.to_string())?;
        Ok(identity.map(|identity| identity.uid.as_raw()))
    }

    #[test]
    fn root_becomes_culvert_and_nobody_else_becomes_anybody() {
        let named = |name: &str| RunAs::Named(name.to_owned());
        assert_eq!(becomes(&RunAs::Usual, 0, true), Ok(Some(995)));
        assert_eq!(becomes(&RunAs::Usual, 0, false), Ok(None));
        assert_eq!(becomes(&RunAs::Usual, 1000, true), Ok(None));
        assert_eq!(becomes(&named("root"), 0, true), Ok(None));
        assert_eq!(becomes(&named("other"), 0, true), Ok(Some(7)));
        assert_eq!(becomes(&named("other"), 7, true), Ok(None));
        assert_eq!(
            becomes(&named("culvert"), 7, true).unwrap_err(),
            "--user culvert: only root can become another user. Start culvertd as root, or leave --user out"
        );
        assert_eq!(
            becomes(&named("culvert"), 0, false).unwrap_err(),
            "--user culvert: there is no such user. Make it (useradd --system culvert), name another, or root to stay root"
        );
    }

    #[test]
    fn what_is_missing_is_closed_and_what_is_open_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wg0.key");
        assert_eq!(closed_to_us(&file), Some(file.clone()));
        std::fs::write(&file, "").unwrap();
        assert_eq!(closed_to_us(&file), None);
    }

    #[test]
    fn what_a_reload_reads_are_the_parts_too() {
        let folder = tempfile::tempdir().unwrap();
        let (file, parts) = (folder.path().join("culvert.toml"), folder.path().join("conf.d"));
        std::fs::write(&file, "[[interface]]\nname = \"wg0\"\nprivate_key_file = \"wg0.key\"\n").unwrap();
        let read = || files(&crate::config::load(&file, std::iter::empty()).unwrap());
        assert_eq!(read(), [file.clone(), folder.path().join("wg0.key")]);
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(parts.join("a.toml"), "").unwrap();
        assert_eq!(read(), [file.clone(), parts.join("a.toml"), folder.path().join("wg0.key")]);
    }
}
