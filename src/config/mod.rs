//! From files and variables to typed values, with an error that names line and mend for all that is wrong.
//!
//! [`load`] reads `culvert.toml` over built-in defaults, `conf.d/*.toml` beside it in the order of their names, and
//! `CULVERT__SECTION__KEY` variables over both. [`Config::check`] then holds the whole against the machine. Keys are
//! in [`keys`], peers in [`peers_file`]. Everything here may block and allocate: main thread only.
//!
//! The crate `config` merges the layers. It loses lines, so each file is parsed by `toml` with spans first, and its
//! values are checked there, also those that a later layer replaces.

mod check;
mod error;
mod file;
pub mod keys;
mod layer;
mod leaf;
mod load;
pub mod peers_file;
mod places;
mod reference;
mod schema;
mod settings;
mod typed;
mod types;
mod variables;

pub use error::{ConfigError, Place, Warning};
pub use load::{environment, from_text, load, load_for, parts_beside};
pub use reference::{KeyReference, SectionReference, reference};
pub use settings::SettingChange;
pub use types::{
    Amount, Backend, Config, Control, Cores, Crypto, DEFAULT_MAX_PEERS, Device, HugePages, Idle, Interface, Log,
    LogFormat, MOST_INTERFACES, MOST_PEERS, Machine, Memory, Metrics, Port, Role, Route, list_of,
};

#[cfg(test)]
mod tests;
