//! The layers put together: built-in defaults, the file, `conf.d`, the variables.

use super::error::{ConfigError, Place, io_words};
use super::file;
use super::layer::{self, Folders, Layer, folder_of};
use super::places::Places;
use super::typed::Typed;
use super::types::{Config, DEFAULT_MAX_PEERS, Machine};
use super::variables::{self, PREFIX};
use ::config::Value;
use std::path::{Path, PathBuf};

/// Bytes of a file of settings, at most.
const LIMIT: u64 = 16 << 20;

/// Reads `path`, `conf.d/*.toml` beside it and the variables; [`Machine::read`] tells the default cores, so call it
/// before `rte_eal_init` (or [`load_for`] with the cores read before it). Control thread; blocks on files.
///
/// # Errors
/// The first thing that is wrong, with its place. What only shows against the machine and between the sections is
/// for [`Config::check`].
pub fn load(path: &Path, environment: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    load_for(path, environment, &Machine::read())
}

/// [`load`] for a machine that is known already.
///
/// # Errors
/// As [`load`].
pub fn load_for(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
    machine: &Machine,
) -> Result<Config, ConfigError> {
    let mut files = vec![(path.to_path_buf(), read(path)?)];
    for path in parts_beside(path)? {
        let text = read(&path)?;
        files.push((path, text));
    }
    assemble(&files, environment, machine)
}

/// A configuration from text, without files beside it; `path` is how messages call it, and its folder is where
/// relative paths start. For `culvert demo`, and tests.
///
/// # Errors
/// As [`load`].
pub fn from_text(
    text: &str,
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
    machine: &Machine,
) -> Result<Config, ConfigError> {
    assemble(&[(path.into(), text.into())], environment, machine)
}

/// This process's variables, those that are Unicode, for [`load`].
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let (_, mut bytes) = file::read(path, LIMIT).map_err(|error| {
        let mend = match error.kind() {
            std::io::ErrorKind::NotFound => "Name the file with --config FILE",
            std::io::ErrorKind::PermissionDenied => "Let the group culvert read it: chmod 640, chgrp culvert",
            _ => "Name another file with --config FILE",
        };
        ConfigError::new(Place::File(path.into()), "", io_words(&error), mend)
    })?;
    String::from_utf8(std::mem::take(&mut bytes)).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let place = Place::Line(path.into(), u32::try_from(line).unwrap_or(u32::MAX));
        ConfigError::new(place, "", "this is not UTF-8", "Save the file as UTF-8")
    })
}

/// `conf.d/*.toml`, in the order of their names; hidden files are left out. Any thread.
///
/// # Errors
/// The folder is there, but cannot be read.
pub fn parts_beside(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = folder_of(path).join("conf.d");
    let unreadable = |error: std::io::Error| {
        let mend = "Let culvert's user read and search it";
        ConfigError::new(Place::File(folder.clone()), "", io_words(&error), mend)
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut parts = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let shown = name.to_string_lossy();
        if shown.ends_with(".toml") && !shown.starts_with('.') {
            parts.push(folder.join(&name));
        }
    }
    parts.sort();
    Ok(parts)
}

pub(super) fn defaults(machine: &Machine) -> String {
    let first = machine.cores.first().copied().unwrap_or(0);
    let last = machine.cores.last().copied().unwrap_or(0);
    format!(
        r#"
[cores]
control = {first}
io = [{last}]
workers = [{last}]
handshake = [{first}]
idle = "adaptive"
[memory]
huge_pages = "auto"
mbufs = "auto"
extra_eal_args = []
[crypto]
backend = "auto"
[control]
socket = "/run/culvert/culvert.sock"
uapi_dir = "/var/run/wireguard"
keep_sessions = true
[metrics]
listen = "127.0.0.1:9586"
per_peer_max = 0
[log]
format = "auto"
"#
    )
}

/// Of one item of a `[[many]]` section; `name` holds no character that TOML would escape.
pub(super) fn item_defaults(section: &str, name: &str) -> String {
    let keys = match section {
        "port" => "mtu = 1500\nqueues = \"auto\"\nvlan = 0\naddresses = []\nroutes = []".to_owned(),
        _ => format!("listen_ports = [51820]\nmtu = 1420\nmax_peers = {DEFAULT_MAX_PEERS}\nmss_clamp = false"),
    };
    format!("[[{section}]]\nname = \"{name}\"\n{keys}\n")
}

fn assemble(
    files: &[(PathBuf, String)],
    environment: impl Iterator<Item = (String, String)>,
    machine: &Machine,
) -> Result<Config, ConfigError> {
    let main = files.first().map(|(path, _)| path.as_path());
    let main = main.unwrap_or_else(|| Path::new(""));
    let mut variables: Vec<(String, String)> =
        environment.filter(|(name, _)| name.starts_with(PREFIX) || name == "CREDENTIALS_DIRECTORY").collect();
    variables.sort();
    let credentials = variables.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY");
    let credentials = credentials.map(|(_, value)| PathBuf::from(value));

    let mut places = Places::new(main);
    let mut layers = Vec::new();
    let mut items: Vec<(&'static str, String)> = Vec::new();
    for (path, text) in files {
        let here = folder_of(path);
        let folders = Folders { here: &here, credentials: credentials.as_deref() };
        let layer = layer::from_toml(text, path, folders, &mut places)?;
        for item in &layer.items {
            if !items.contains(item) {
                items.push(item.clone());
            }
        }
        layers.push(layer);
    }
    let here = folder_of(main);
    let folders = Folders { here: &here, credentials: credentials.as_deref() };
    layers.push(variables::from_variables(&variables, &items, folders, &mut places)?);

    let merged = merge(machine, &items, layers, main)?;
    Typed { merged: &merged, places: &places, items: &items }.config(main, machine, credentials)
}

/// Defaults under all, then the layers as they come.
fn merge(
    machine: &Machine,
    items: &[(&'static str, String)],
    layers: Vec<Layer>,
    main: &Path,
) -> Result<Value, ConfigError> {
    let mut text = defaults(machine);
    for (section, name) in items {
        text += &item_defaults(section, name);
    }
    let nowhere = Path::new("built-in defaults");
    let folders = Folders { here: Path::new(""), credentials: None };
    // Their places are thrown away: a default stands nowhere.
    let lowest = layer::from_toml(&text, nowhere, folders, &mut Places::new(nowhere))?;
    let mut builder = ::config::Config::builder().add_source(lowest);
    for layer in layers {
        builder = builder.add_source(layer);
    }
    match builder.build() {
        Ok(merged) => Ok(merged.cache),
        Err(error) => {
            let what = format!("the files do not go together ({error})");
            Err(ConfigError::new(Place::File(main.into()), "", what, "Write all in one file"))
        }
    }
}
