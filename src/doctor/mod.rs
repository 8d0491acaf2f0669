//! `culvert doctor`: what of this machine helps or hinders a gateway, and what mends it. `culvert setup` writes a first
//! configuration from what is found, `culvert import` one from a `wg-quick` file.
//!
//! A check is data ([`Check`]): what it looks at, why that matters, and a function from the machine and the configuration to
//! findings. All reading and writing goes through [`System`]. Everything here may block and allocate: it runs in the CLI.
//!
//! Not looked at: `rp_filter`, the firewall and other settings of the kernel's network. What a port of culvert's
//! receives never passes there.

mod checks;
mod finding;
mod fix;
mod import;
mod new_files;
mod nic;
mod pmd;
mod report;
mod setup;
mod system;

pub use finding::{Check, Finding, Mend, Step, Verdict};
pub use import::{ImportError, ImportOptions, import};
pub use new_files::WriteError;
pub use report::{Report, Row};
pub use setup::{SetupError, SetupOptions, setup};
pub use system::{Dpdk, System};

use crate::config::{self, Config, ConfigError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the configuration is, if nobody says.
pub const DEFAULT_CONFIG: &str = "/etc/culvert/culvert.toml";

/// How `culvert doctor` is called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration to check by; `None`: [`DEFAULT_CONFIG`], if it is there.
    pub config: Option<PathBuf>,
    /// The report as JSON (`configs/doctor.schema.json`).
    pub json: bool,
    /// Do what is safe without a reboot, and check again.
    pub fix: bool,
    /// Only what is not well.
    pub quiet: bool,
    /// Only what fails; nothing at all where nothing does.
    pub fatal_only: bool,
}

/// The configuration that checks go by.
#[derive(Debug)]
pub enum Configuration {
    /// There is none: general checks only.
    None,
    /// It was read.
    Read(PathBuf, Box<Config>),
    /// It cannot be read.
    Bad(PathBuf, ConfigError),
}

impl Configuration {
    /// Reads `file`, or [`DEFAULT_CONFIG`] where that exists.
    pub fn read(system: &System, file: Option<&Path>) -> Self {
        let path = match file {
            Some(file) => file.to_path_buf(),
            None if system.exists(DEFAULT_CONFIG) => system.at(DEFAULT_CONFIG),
            None => return Self::None,
        };
        match config::load_for(&path, config::environment(), &system.machine) {
            Ok(config) => Self::Read(path, Box::new(config)),
            Err(error) => Self::Bad(path, error),
        }
    }

    /// The configuration, if it was read.
    pub fn config(&self) -> Option<&Config> {
        match self {
            Self::Read(_, config) => Some(config),
            Self::None | Self::Bad(..) => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Read(path, _) | Self::Bad(path, _) => Some(path),
            Self::None => None,
        }
    }
}

/// Runs every check.
pub fn examine(system: &System, configuration: &Configuration) -> Report {
    let subject = checks::Subject::new(system, configuration);
    let rows =
        checks::CHECKS.iter().flat_map(|check| (check.run)(&subject).into_iter().map(|finding| Row { check, finding }));
    Report { config: configuration.path().map(|path| system.shown(path)), rows: rows.collect() }
}

/// `culvert doctor`: examines, mends if asked, prints. Returns whether nothing fails.
///
/// # Errors
/// Those of `out`.
pub fn run(system: &System, options: &Options, out: &mut impl Write) -> io::Result<bool> {
    let read = || Configuration::read(system, options.config.as_deref());
    let mut report = examine(system, &read());
    if options.fix {
        // What is said is for people: JSON stays one document.
        let said: &mut dyn Write = if options.json { &mut io::stderr() } else { &mut *out };
        if fix::apply(system, &report, said)? {
            report = examine(system, &read());
        }
    }
    if options.fatal_only {
        report.rows.retain(|row| row.finding.verdict == Verdict::Fail);
    }
    if options.json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        report.print(options.quiet || options.fatal_only, out)?;
    }
    Ok(!report.fails())
}

#[cfg(test)]
mod tests;
