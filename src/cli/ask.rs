//! One question to a running gateway.

use super::front::Settings;
use crate::api::{LabRequest, Request};
use serde_json::Value;
use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who answers in this process: a lab.
pub(super) trait Lab: fmt::Debug {
    /// What a gateway answers too.
    fn answer(&mut self, request: &Request) -> Result<Value, String>;
    /// What only a lab does.
    fn order(&mut self, request: &LabRequest) -> Result<Value, String>;
}

/// Asks whom the settings name: the lab of this process, or the gateway behind the socket.
///
/// # Errors
/// [`AskError`].
pub(super) fn ask_desk(settings: &Settings, request: &Request) -> Result<Value, AskError> {
    match &settings.lab {
        Some(lab) => lab.borrow_mut().answer(request).map_err(AskError::Refused),
        None => ask(&settings.socket, request),
    }
}

/// Orders something of the lab.
///
/// # Errors
/// [`AskError::Refused`], also where there is none.
pub(super) fn order(settings: &Settings, request: &LabRequest) -> Result<Value, AskError> {
    let none = "this is for `culvert pmd`, which forwards without a gateway; a gateway has its ports from its configuration, and forwards as \
                long as it runs";
    match &settings.lab {
        Some(lab) => lab.borrow_mut().order(request).map_err(AskError::Refused),
        None => Err(AskError::Refused(none.to_owned())),
    }
}

/// How long a gateway may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// And over what takes long.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("{}: {error}. Is culvertd running, and is this its [control] socket (--socket)?", path.display())]
    NoGateway {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It was there, and went away or fell silent.
    #[error("{}: the gateway broke off its answer: {error}. Does culvertd still run? Ask again", path.display())]
    Broken {
        /// Who answered.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The answer is none: another version of the gateway?
    #[error("{}: the gateway's answer makes no sense: {why}", path.display())]
    Answer {
        /// Who answered.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The gateway says no.
    #[error("{0}")]
    Refused(String),
}

/// Asks the gateway behind `socket`; blocks for as long as it goes on talking, and 10 s more.
///
/// # Errors
/// [`AskError`].
pub fn ask(socket: &Path, request: &Request) -> Result<Value, AskError> {
    let no_gateway = |error| AskError::NoGateway { path: socket.to_owned(), error };
    let broken = |error| AskError::Broken { path: socket.to_owned(), error };
    let senseless = |why: String| AskError::Answer { path: socket.to_owned(), why };
    let mut stream = UnixStream::connect(socket).map_err(no_gateway)?;
    let patience = if request.takes_long() { LONG_PATIENCE } else { PATIENCE };
    stream.set_read_timeout(Some(patience)).map_err(broken)?;
    let question = serde_json::to_string(request).map_err(|e| senseless(e.to_string()))?;
    stream.write_all(format!("{question}\n").as_bytes()).map_err(broken)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(broken)?;
    if !line.ends_with('\n') {
        return Err(broken(ErrorKind::UnexpectedEof.into()));
    }
    let value: Value = serde_json::from_str(&line).map_err(|e| senseless(e.to_string()))?;
    match value.get("error").and_then(Value::as_str) {
        Some(error) => Err(AskError::Refused(error.to_owned())),
        None => Ok(value),
    }
}
