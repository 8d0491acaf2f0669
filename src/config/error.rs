//! What is wrong with a configuration, where, and how to mend it: one sentence and its mend.

use std::fmt;
use std::path::PathBuf;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, 1 the first.
    Line(PathBuf, u32),
    /// A file as a whole.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            // Whoever started the program chose it: no terminal is to take it for an order.
            Self::Variable(name) => write!(f, "{}", name.escape_debug()),
        }
    }
}

/// The parts of an error or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Notice {
    place: Place,
    subject: String,
    what: String,
    mend: String,
}

impl Notice {
    fn sentence(&self) -> String {
        let Self { place, subject, what, .. } = self;
        if subject.is_empty() { format!("{place}: {what}") } else { format!("{place}: {subject}: {what}") }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.sentence())?;
        match self.mend.as_str() {
            "" => Ok(()),
            question if question.ends_with('?') => write!(f, " {question}"),
            mend => write!(f, " {mend}."),
        }
    }
}

/// Why a configuration is refused. Its `Display` is what people read:
/// `culvert.toml:12: [cores] io: core 7 does not exist; this machine has cores 0-1. Name cores out of those.`
/// The programs end with exit code 2 on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(Box<Notice>);

impl ConfigError {
    /// `subject` is the section and key, or empty; `what` and `mend` come without their full stops.
    pub(crate) fn new(
        place: Place,
        subject: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self(Box::new(Notice { place, subject: subject.into(), what: what.into(), mend: mend.into() }))
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Place, subject and what is wrong, without the mend.
    pub fn sentence(&self) -> String {
        self.0.sentence()
    }

    /// What is wrong, without its full stop.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do about it, without its full stop; may be empty.
    pub fn mend(&self) -> &str {
        &self.0.mend
    }
}

/// Something odd that culvert goes on with; shown as an error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(Notice);

impl Warning {
    /// As [`ConfigError::new`].
    pub(crate) fn new(
        place: Place,
        subject: impl Into<String>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self(Notice { place, subject: subject.into(), what: what.into(), mend: mend.into() })
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Place, subject and what is odd, without the mend.
    pub fn sentence(&self) -> String {
        self.0.sentence()
    }

    /// What to do about it, without its full stop; may be empty.
    pub fn mend(&self) -> &str {
        &self.0.mend
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// So many characters of base64 in a row may be a key (43 and a `=`), or most of one.
const KEY_LIKE: usize = 40;

/// Whether `text` holds what may be a key: someone pasted it into the wrong line, and messages go into logs.
pub(crate) fn may_hold_a_key(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    text.split(|c| !is_base64(c)).any(|run| run.len() >= KEY_LIKE)
}

/// Text of someone else's, fit to be shown in a message: quoted, escaped, at most 48 characters, and no key.
pub(crate) fn quoted(text: &str) -> String {
    if may_hold_a_key(text) {
        return format!("({} characters, which may hold a key)", text.chars().count());
    }
    let mut shown: String = text.chars().take(48).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The words for a failed read.
pub(crate) fn io_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".into(),
        std::io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => format!("it cannot be read ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_the_design() {
        let error = ConfigError::new(
            Place::Line("culvert.toml".into(), 12),
            "[cores] io",
            "core 7 does not exist; this machine has cores 0-1",
            "Name cores out of those",
        );
        assert_eq!(
            error.to_string(),
            "culvert.toml:12: [cores] io: core 7 does not exist; this machine has cores 0-1. Name cores out of those."
        );
    }

    #[test]
    fn a_variable_with_control_characters_is_escaped() {
        let place = Place::Variable("CULVERT__CORES__\u{1b}[2J\u{7f}".into());
        assert_eq!(place.to_string(), "CULVERT__CORES__\\u{1b}[2J\\u{7f}");
        assert_eq!(Place::Variable("CULVERT__CORES__IO".into()).to_string(), "CULVERT__CORES__IO");
    }

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(quoted("a\u{1b}[2J"), "\"a\\u{1b}[2J\"");
        assert_eq!(quoted(&"x-".repeat(30)).chars().count(), 48 + 3);
    }
}
