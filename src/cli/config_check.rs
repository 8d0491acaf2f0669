//! `config check`: all that culvertd would refuse in its files, without starting anything.

use super::front::{Failure, Outcome, Settings};
use crate::config::{self, Machine, Warning};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Reads `file` as culvertd does: `conf.d` beside it, the variables, the peers files and the private keys. Warnings are listed.
pub(super) fn check(file: &str, settings: &Settings, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |why: String| Failure(Outcome::Failed, why);
    let (warnings, peers) = read(Path::new(file)).map_err(|error| failed(error.to_string()))?;
    let written = if settings.json {
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        writeln!(out, "{}", json!({ "file": file, "peers": peers, "warnings": warnings }))
    } else {
        let lines: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
        writeln!(out, "{lines}{file}: good, {peers} peers, {} warnings", warnings.len())
    };
    written.map_err(|error| failed(error.to_string()))
}

fn read(file: &Path) -> Result<(Vec<Warning>, usize), config::ConfigError> {
    let machine = Machine::read();
    let config = config::load_for(file, config::environment(), &machine)?;
    let mut warnings = config.check(&machine)?;
    let mut peers = 0;
    for interface in &config.interfaces {
        config.private_key(interface)?;
        if let Some(file) = &interface.peers_file {
            let parsed = config::peers_file::load(file)?;
            peers += parsed.changes.peers.len();
            warnings.extend(parsed.warnings);
        }
    }
    Ok((warnings, peers))
}
