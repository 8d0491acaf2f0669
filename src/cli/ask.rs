//! One question to a running gateway.

use super::front::Settings;
use crate::api::{LabRequest, Request};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who answers in this process: a lab.
pub(super) trait Lab: fmt::Debug {
    /// What a gateway answers too.
    fn answer(&mut self, request: &Request) -> Result<Value, String>;
    /// What only a lab does.
    fn order(&mut self, request: &LabRequest) -> Result<Value, String>;
    /// What it says by itself is printed so, beside a prompt.
    fn print_by(&mut self, print: Box<dyn FnMut(String) + Send>);
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
                long as it runs; set link-down port PORT takes a port off the network";
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
    /// The file that is to be handed over cannot be made.
    #[error("{}: {error}. Name a file that is not there yet, in a folder that you may write", path.display())]
    File {
        /// Which.
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

/// Asks the gateway behind `socket`; blocks for as long as it goes on talking, and 10 s more. A file that belongs to the request is made, for
/// its owner alone, and goes again if there is no answer.
///
/// # Errors
/// [`AskError`].
pub fn ask(socket: &Path, request: &Request) -> Result<Value, AskError> {
    let Some(path) = request.file_to_make() else { return ask_with(socket, request, None) };
    // A new one, and no link: what is there stays as it is.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| AskError::File { path: path.to_owned(), error })?;
    ask_with(socket, request, Some(&file)).inspect_err(|_| {
        let _it_stays_empty = std::fs::remove_file(path);
    })
}

/// The same with a file that is handed over.
fn ask_with(socket: &Path, request: &Request, file: Option<&File>) -> Result<Value, AskError> {
    let no_gateway = |error| AskError::NoGateway { path: socket.to_owned(), error };
    let broken = |error| AskError::Broken { path: socket.to_owned(), error };
    let senseless = |why: String| AskError::Answer { path: socket.to_owned(), why };
    let stream = UnixStream::connect(socket).map_err(no_gateway)?;
    let patience = if request.takes_long() { LONG_PATIENCE } else { PATIENCE };
    stream.set_read_timeout(Some(patience)).map_err(broken)?;
    let question = serde_json::to_string(request).map_err(|e| senseless(e.to_string()))?;
    send(&stream, format!("{question}\n").as_bytes(), file).map_err(broken)?;
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

/// Sends a line, and a file with its first bytes.
fn send(mut stream: &UnixStream, line: &[u8], file: Option<&File>) -> std::io::Result<()> {
    let mut sent = 0;
    if let Some(file) = file {
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        beside.push(SendAncillaryMessage::ScmRights(&files));
        sent = sendmsg(stream, &[IoSlice::new(line)], &mut beside, SendFlags::NOSIGNAL)?;
    }
    stream.write_all(line.get(sent..).unwrap_or_default())
}
