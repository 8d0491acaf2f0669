//! What `culvert` does: it asks a running gateway by its control socket, and prints the answer.

mod demo;
pub mod lab;
mod show;

pub use demo::demo;
pub use show::{Table, print};

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("{}: {error}. Is culvertd running, and is this its [control] socket?", path.display())]
    NoGateway {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The answer is none.
    #[error("{}: the gateway's answer makes no sense: {why}", path.display())]
    Answer {
        /// Who answered.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Asks the gateway behind `socket`; blocks for 5 s at most.
///
/// # Errors
/// [`AskError`].
pub fn ask(socket: &Path, request: &str) -> Result<Value, AskError> {
    let no_gateway = |error| AskError::NoGateway { path: socket.to_owned(), error };
    let mut stream = UnixStream::connect(socket).map_err(no_gateway)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(no_gateway)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(no_gateway)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(no_gateway)?;
    let answer = |why: String| AskError::Answer { path: socket.to_owned(), why };
    let value: Value = serde_json::from_str(&line).map_err(|e| answer(e.to_string()))?;
    match value.get("error").and_then(Value::as_str) {
        Some(error) => Err(answer(error.to_owned())),
        None => Ok(value),
    }
}
