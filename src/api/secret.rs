//! A secret on its way through the control socket.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that nobody logs, wiped when it goes. It travels as a string in JSON, without escapes.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret of this text.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, for the code that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Borrowed)
    }
}

/// Takes text out of the request's own bytes alone, which their owner wipes: a text with escapes would leave a copy in the parser.
struct Borrowed;

impl<'de> Visitor<'de> for Borrowed {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret without escapes")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Secret, E> {
        let mut secret = Zeroizing::new(String::with_capacity(text.len()));
        secret.push_str(text);
        Ok(Secret(secret))
    }

    /// Its default would show the text.
    fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom("a secret has no escapes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{PeerSettings, Request};

    #[test]
    fn a_secret_travels_and_is_never_shown() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let secret = Secret::new(Zeroizing::new(text.to_owned()));
        let settings = PeerSettings { preshared_key: Some(secret), ..PeerSettings::default() };
        let request = Request::PeerSet { peer: "laptop".into(), interface: None, settings };
        let shown = format!("{request:?}");
        assert!(shown.contains("(hidden)") && !shown.contains("AAEC"), "{shown}");
        let line = serde_json::to_string(&request).unwrap();
        assert!(line.contains(text), "{line}");
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        for wrong in [line.replace("AAEC", "\\u0041AEC"), line.replace(&format!("\"{text}\""), "77")] {
            assert_ne!(wrong, line);
            let error = serde_json::from_str::<Request>(&wrong).unwrap_err().to_string();
            assert!(!error.contains("AEC"), "{error}");
        }
    }
}
