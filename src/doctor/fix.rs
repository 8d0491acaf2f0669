//! What `--fix` does: steps that need no reboot and can be taken back. No driver of a NIC is ever changed here, so the
//! NIC that carries the login session is safe.

use super::system::{Account, USER};
use super::{Report, System};
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// One such step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fix {
    /// Writes a value into a file of `/sys` or `/proc`.
    Write { path: String, value: String },
    /// Loads a module of the kernel.
    Load(&'static str),
    /// Makes a folder, culvertd's where it has a user of its own.
    Folder { path: String, mode: u32, owner: Option<Account> },
    /// Gives a file or folder to culvertd's user.
    Owner { path: String, owner: Account },
    /// Changes the rights of a file or folder.
    Mode { path: String, mode: u32 },
}

impl Fix {
    /// The same as a command.
    pub(super) fn command(&self) -> String {
        match self {
            Self::Write { path, value } => format!("echo {value} > {path}"),
            Self::Load(module) => format!("modprobe {module}"),
            Self::Folder { path, mode, owner: None } => format!("install -d -m {mode:o} {path}"),
            Self::Folder { path, mode, .. } => format!("install -d -m {mode:o} -o {USER} -g {USER} {path}"),
            Self::Owner { path, .. } => format!("chown {USER}: {path}"),
            Self::Mode { path, mode } => format!("chmod {mode:o} {path}"),
        }
    }

    fn run(&self, system: &System) -> io::Result<()> {
        match self {
            // No file is made: the kernel has it, or the step is void.
            Self::Write { path, value } => {
                let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(system.at(path))?;
                file.write_all(format!("{value}\n").as_bytes())
            }
            Self::Load(module) => {
                let output = Command::new(system.at("/sbin/modprobe")).arg(module).output()?;
                match output.status.success() {
                    true => Ok(()),
                    false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
                }
            }
            Self::Folder { path, mode, owner } => {
                let path = system.at(path);
                std::fs::DirBuilder::new().recursive(true).mode(*mode).create(&path)?;
                // Whatever the umask left of it.
                std::fs::set_permissions(&path, Permissions::from_mode(*mode))?;
                owner.map_or(Ok(()), |owner| give(&path, owner))
            }
            Self::Owner { path, owner } => give(&system.at(path), *owner),
            Self::Mode { path, mode } => std::fs::set_permissions(system.at(path), Permissions::from_mode(*mode)),
        }
    }
}

fn give(path: &Path, owner: Account) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
}

/// Takes the steps that the report asks for, each said before it is taken, and says what is left for people. Returns
/// whether anything was done.
///
/// # Errors
/// Those of `out`; a step that fails is said, and the next one taken.
pub(super) fn apply(system: &System, report: &Report, out: &mut dyn Write) -> io::Result<bool> {
    let mut done: Vec<&Fix> = Vec::new();
    for mend in report.unwell().flat_map(|row| &row.finding.mends) {
        let Some(fix) = mend.fix.as_ref().filter(|fix| !done.contains(fix)) else { continue };
        writeln!(out, "fix: {}", fix.command())?;
        if let Err(error) = fix.run(system) {
            writeln!(out, "fix: that failed: {error}")?;
        }
        done.push(fix);
    }
    match (done.is_empty(), report.unwell().any(|row| row.finding.mends.iter().any(|mend| mend.reboot))) {
        (true, _) => writeln!(out, "fix: there is nothing that is safe to do by itself; the mends below are for you")?,
        (false, true) => writeln!(out, "fix: what needs a reboot is left for you")?,
        (false, false) => {}
    }
    Ok(!done.is_empty())
}
