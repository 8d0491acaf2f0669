//! Keys for the lab: thrown away with it.

use super::error::{LabError, Result};
use crate::config::keys::{from_base64, to_base64};
use x25519_dalek::{PublicKey, StaticSecret};

/// A private key and its public one, in base64.
#[derive(Clone)]
pub struct KeyPair {
    /// For a private key file.
    pub private: String,
    /// For `PublicKey =`.
    pub public: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// A new one.
    ///
    /// # Errors
    /// The machine has no randomness to give.
    pub fn new() -> Result<Self> {
        let secret = StaticSecret::from(random()?);
        let public = PublicKey::from(&secret);
        Ok(Self { private: to_base64(secret.as_bytes()), public: to_base64(public.as_bytes()) })
    }

    /// The public key as `wg` sockets spell it.
    pub fn public_hex(&self) -> String {
        let bytes = from_base64(&self.public).unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A new preshared key, in base64.
///
/// # Errors
/// The machine has no randomness to give.
pub fn preshared_key() -> Result<String> {
    random().map(|key| to_base64(&key))
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| LabError::new("a key", error))?;
    Ok(bytes)
}
