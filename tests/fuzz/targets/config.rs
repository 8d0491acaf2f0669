//! `culvert.toml`, and after a zero byte variables, a line each: what is refused names its place and its mend; what is
//! taken is the same the second time.

use culvert::config::{Config, ConfigError, Machine, Place, from_text};
use std::path::Path;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, variables) = text.split_once('\0').unwrap_or((text, ""));
    let machine = Machine { cores: (0..4).collect() };
    let read = || from_text(text, Path::new("culvert.toml"), environment(variables), &machine);
    let config = match read() {
        Ok(config) => config,
        Err(error) => return refused(&error, text),
    };
    assert_eq!(shown(&read().unwrap()), shown(&config));
    match config.check(&machine) {
        Ok(warnings) => {
            warnings.iter().for_each(|warning| fit_for_people(&warning.to_string()));
            sound(&config, &machine);
        }
        Err(error) => refused(&error, text),
    }
}

fn environment(lines: &str) -> impl Iterator<Item = (String, String)> {
    lines.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into()))
}

/// All but the places, which are kept in no order.
fn shown(config: &Config) -> String {
    let Config { cores, memory, ports, interfaces, crypto, control, metrics, credentials_directory, .. } = config;
    format!(
        "{cores:?} {memory:?} {ports:?} {interfaces:?} {crypto:?} {control:?} {metrics:?} {credentials_directory:?}"
    )
}

/// What a start relies on.
fn sound(config: &Config, machine: &Machine) {
    let cores = &config.cores;
    let all = cores.io.iter().chain(&cores.workers).chain(&cores.handshake).chain([&cores.control]);
    assert!(all.clone().all(|core| machine.cores.contains(core)));
    assert!(!cores.io.is_empty() && !cores.workers.is_empty() && !cores.handshake.is_empty());
    assert!(!config.ports.is_empty() && !config.interfaces.is_empty());
}

fn refused(error: &ConfigError, text: &str) {
    let said = error.to_string();
    assert!(!error.what().is_empty() && !error.mend().is_empty(), "no mend: {said}");
    if let Place::Line(_, line) = error.place() {
        // The line behind the last newline counts.
        assert!((1..=text.lines().count() + 1).contains(&(*line as usize)), "line {line}: {said}");
    }
    fit_for_people(&said);
}

/// One line that no terminal takes for an order.
pub(super) fn fit_for_people(said: &str) {
    assert!(!said.chars().any(char::is_control), "{said:?}");
    assert!(said.len() < 4096, "{} bytes: {said}", said.len());
}
