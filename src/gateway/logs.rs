//! The log of culvertd: text on the standard error, and a level that a running gateway can be told.

use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sets the log up, by `CULVERT_LOG` (`info` without). Once, at the start of the process; a second call does nothing.
pub fn init() {
    let filter = EnvFilter::try_from_env("CULVERT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let text = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(std::io::stderr().is_terminal());
    if tracing_subscriber::registry().with(filter).with(text).try_init().is_ok() {
        let _first = FILTER.set(handle);
    }
}

/// What is logged from now on: `off`, `error`, `warn`, `info`, `debug`, `trace`, or what `CULVERT_LOG` takes. Any thread but data cores.
///
/// # Errors
/// It is no such word, or the log is not culvert's.
pub(super) fn set(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("{level:?} is no log level: {error}"))?;
    let handle = FILTER.get().ok_or("the log of this process was set up by another program")?;
    handle.reload(filter).map_err(|error| error.to_string())
}
