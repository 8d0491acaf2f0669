//! From one value of a file or a variable to its type, with the words for what does not fit.

mod net;

pub(super) use net::{Address, Listen};

use super::error::quoted;
use super::schema::suggest;
use super::types::{Amount, Backend, HugePages, Idle, LogFormat, Role};
use ::config::{Value, ValueKind};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What is wrong with a value; place, key and example are the caller's to add.
#[derive(Debug)]
pub(super) struct Fault {
    /// Of the list's elements, the bad one.
    pub(super) index: Option<usize>,
    pub(super) what: String,
    /// `None`: the key's example says it.
    pub(super) mend: Option<String>,
}

impl Fault {
    fn is_not(value: &Value, due: impl Display) -> Self {
        Self::bad(format!("{} is not {due}", shown(value)))
    }

    fn bad(what: impl Into<String>) -> Self {
        Self { index: None, what: what.into(), mend: None }
    }

    fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// A value as people know it.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => quoted(text),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Nil => "a date".into(),
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Float(number) => number.to_string(),
    }
}

/// The type of a key's value.
pub(super) trait Leaf: Sized {
    /// The value that a variable's text stands for; text that does not fit stays text, for `read` to refuse.
    fn from_text(text: &str) -> ValueKind {
        ValueKind::String(text.into())
    }

    /// What its values are, for people: `a number from 1 to 9`.
    fn due() -> String;

    /// The typed value.
    fn read(value: &Value) -> Result<Self, Fault>;
}

fn text_of<'v>(value: &'v Value, due: &str) -> Result<&'v str, Fault> {
    match &value.kind {
        ValueKind::String(text) => Ok(text),
        _ => Err(Fault::is_not(value, due)),
    }
}

fn integer_or_text(text: &str) -> ValueKind {
    match text.trim().parse() {
        Ok(number) => ValueKind::I64(number),
        Err(_) => ValueKind::String(text.into()),
    }
}

/// A whole number of a range, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ranged<const LOW: u32, const HIGH: u32>(pub(super) u32);

impl<const LOW: u32, const HIGH: u32> Ranged<LOW, HIGH> {
    fn of(value: &Value) -> Option<Self> {
        match value.kind {
            ValueKind::I64(number) => {
                u32::try_from(number).ok().filter(|number| (LOW..=HIGH).contains(number)).map(Self)
            }
            _ => None,
        }
    }

    /// The number, where `HIGH` fits 16 bits.
    pub(super) fn u16(self) -> u16 {
        const { assert!(HIGH <= 0xffff, "it would saturate") };
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

impl<const LOW: u32, const HIGH: u32> Display for Ranged<LOW, HIGH> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<const LOW: u32, const HIGH: u32> Leaf for Ranged<LOW, HIGH> {
    fn from_text(text: &str) -> ValueKind {
        integer_or_text(text)
    }

    fn due() -> String {
        format!("a number from {LOW} to {HIGH}")
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        Self::of(value).ok_or_else(|| Fault::is_not(value, Self::due()))
    }
}

/// `"auto"`, or a whole number of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct AmountIn<const LOW: u32, const HIGH: u32>(pub(super) Amount);

impl<const LOW: u32, const HIGH: u32> Leaf for AmountIn<LOW, HIGH> {
    fn from_text(text: &str) -> ValueKind {
        integer_or_text(text)
    }

    fn due() -> String {
        format!("\"auto\" or a number from {LOW} to {HIGH}")
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        match (&value.kind, Ranged::<LOW, HIGH>::of(value)) {
            (ValueKind::String(text), _) if text == "auto" => Ok(Self(Amount::Auto)),
            (_, Some(number)) => Ok(Self(Amount::Number(number.0))),
            _ => Err(Fault::is_not(value, Self::due())),
        }
    }
}

impl Leaf for bool {
    fn from_text(text: &str) -> ValueKind {
        match text.trim() {
            "true" => ValueKind::Boolean(true),
            "false" => ValueKind::Boolean(false),
            _ => ValueKind::String(text.into()),
        }
    }

    fn due() -> String {
        "true or false".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        match value.kind {
            ValueKind::Boolean(value) => Ok(value),
            _ => Err(Fault::is_not(value, Self::due())),
        }
    }
}

/// A list of any length.
impl<T: Leaf> Leaf for Vec<T> {
    fn from_text(text: &str) -> ValueKind {
        let elements = text.split(',').map(str::trim);
        let elements = elements.filter(|_| !text.trim().is_empty());
        ValueKind::Array(elements.map(|e| Value::new(None, T::from_text(e))).collect())
    }

    fn due() -> String {
        format!("a list; each of it {}", T::due())
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let ValueKind::Array(elements) = &value.kind else {
            return Err(Fault::is_not(value, "a list"));
        };
        let elements = elements
            .iter()
            .enumerate()
            .map(|(index, element)| T::read(element).map_err(|fault| Fault { index: Some(index), ..fault }));
        elements.collect()
    }
}

/// A list that is not empty and has nothing twice.
#[derive(Clone, Debug)]
pub(super) struct Set<T>(pub(super) Vec<T>);

impl<T: Leaf + PartialEq + Display> Leaf for Set<T> {
    fn from_text(text: &str) -> ValueKind {
        Vec::<T>::from_text(text)
    }

    fn due() -> String {
        format!("a list, not empty and with nothing twice; each of it {}", T::due())
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let list = Vec::<T>::read(value)?;
        if list.is_empty() {
            return Err(Fault::bad("the list is empty"));
        }
        for (index, element) in list.iter().enumerate() {
            if list.iter().take(index).any(|earlier| earlier == element) {
                return Err(Fault {
                    index: Some(index),
                    what: format!("{element} stands in the list twice"),
                    mend: Some("Name it once".into()),
                });
            }
        }
        Ok(Self(list))
    }
}

fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    format!("one of {}", words.join(", "))
}

/// An enum of words.
fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, Fault> {
    let names = || words.iter().map(|(name, _)| *name);
    let text = match &value.kind {
        ValueKind::String(text) => text.as_str(),
        _ => "",
    };
    if let Some((_, found)) = words.iter().find(|(name, _)| *name == text) {
        return Ok(*found);
    }
    let fault = Fault::is_not(value, one_of(names()));
    Err(match suggest(text, names()) {
        Some(name) => fault.mend(format!("Did you mean {name:?}?")),
        None => fault,
    })
}

macro_rules! words {
    ($type:ty: $($word:literal => $variant:ident),+) => {
        impl Leaf for $type {
            fn due() -> String {
                one_of([$($word),+].into_iter())
            }

            fn read(value: &Value) -> Result<Self, Fault> {
                word(value, &[$(($word, Self::$variant)),+])
            }
        }

        impl $type {
            /// Its word in the configuration.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}
words!(Idle: "busy" => Busy, "adaptive" => Adaptive);
words!(HugePages: "auto" => Auto, "required" => Required, "none" => None);
words!(Role: "outer" => Outer, "inner" => Inner, "both" => Both);
words!(LogFormat: "auto" => Auto, "text" => Text, "json" => Json, "journald" => Journald);
words!(Backend: "auto" => Auto, "portable" => Portable, "ipsec-mb" => IpsecMb, "simd" => Simd);

/// The name of a port or interface: at most `MAX` of the characters that `wg-quick` takes.
#[derive(Clone, Debug)]
pub(super) struct Name<const MAX: usize>(pub(super) String);

impl<const MAX: usize> Leaf for Name<MAX> {
    fn due() -> String {
        format!("1 to {MAX} letters, digits or _ = + . -")
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let text = text_of(value, "a name")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_=+.-".contains(c);
        if (1..=MAX).contains(&text.len()) && text.chars().all(fits) && text != "." && text != ".." {
            return Ok(Self(text.into()));
        }
        Err(Fault::is_not(value, "a name").mend(format!("Take {}", Self::due())))
    }
}

/// A file; relative to where the key stands, or below `$CREDENTIALS_DIRECTORY`.
#[derive(Clone, Debug)]
pub(super) struct FilePath(pub(super) PathBuf);

/// How paths name systemd's folder of credentials.
pub(super) const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";

impl Leaf for FilePath {
    fn due() -> String {
        "a file's name".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let path = Path::new(text_of(value, "a file's name")?);
        let below = path.strip_prefix(CREDENTIALS).unwrap_or(path);
        if below.file_name().is_none() || below.to_string_lossy().contains(['\0', '\n']) {
            return Err(Fault::is_not(value, "a file's name"));
        }
        if below.to_string_lossy().starts_with(['$', '~']) {
            return Err(Fault::bad(format!("{} would need a shell", shown(value)))
                .mend(format!("Write the path out; only {CREDENTIALS}/… is known here")));
        }
        Ok(Self(path.into()))
    }
}

/// A path from the root, short enough for a socket below it.
#[derive(Clone, Debug)]
pub(super) struct SocketPath<const MAX: usize>(pub(super) PathBuf);

impl<const MAX: usize> Leaf for SocketPath<MAX> {
    fn due() -> String {
        format!("a path from the root, of at most {MAX} bytes")
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let text = text_of(value, "a path")?;
        if !text.starts_with('/') || text.contains('\0') {
            return Err(Fault::is_not(value, "a path from the root"));
        }
        if text.len() > MAX {
            return Err(
                Fault::is_not(value, "short enough for a socket").mend(format!("Take a path of at most {MAX} bytes"))
            );
        }
        Ok(Self(text.into()))
    }
}

/// One argument of EAL's.
#[derive(Clone, Debug)]
pub(super) struct EalArgument(pub(super) String);

impl Leaf for EalArgument {
    fn due() -> String {
        "an argument".into()
    }

    fn read(value: &Value) -> Result<Self, Fault> {
        let text = text_of(value, "an argument")?;
        if text.is_empty() || text.contains('\0') {
            return Err(Fault::is_not(value, "an argument"));
        }
        Ok(Self(text.into()))
    }
}
