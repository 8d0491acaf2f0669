//! Other people's WireGuard programs, as `tests/tools.sh` builds them.

use culvert::cli::lab::Implementation;
use std::path::{Path, PathBuf};

/// Where `tests/tools.sh` installs: `target/tools`, or `CULVERT_TOOLS`.
fn program(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CULVERT_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
    Some(folder.join("bin").join(name)).filter(|program| program.is_file())
}

/// boringtun-cli, if it is there.
pub(crate) fn boringtun() -> Option<Implementation> {
    program("boringtun-cli").as_deref().map(Implementation::boringtun)
}

/// gotatun-cli, if it is there.
pub(crate) fn gotatun() -> Option<Implementation> {
    program("gotatun").as_deref().map(Implementation::gotatun)
}

/// Says that something could not be tried, so that nobody overlooks it.
pub(crate) fn skipped(what: &str) {
    println!("| !!! SKIPPED: {what} is not there: `tests/tools.sh` builds it");
}
