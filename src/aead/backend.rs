//! Which code does the work, and how it is chosen at start.

use super::{Job, SelfTestError, portable, self_test};

/// The code that seals and opens. Copied into each worker; holds no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The crate `chacha20poly1305`, one message after the other: runs everywhere, and the reference of all others.
    Portable,
}

/// Why a backend cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// A known name, but not in this program.
    #[error("crypto backend `{0}`: this build has only `portable`")]
    NotBuilt(&'static str),
    /// No such name.
    #[error("crypto backend `{0}` is unknown: it is one of `auto`, `portable`, `ipsec-mb`, `simd`")]
    Unknown(String),
    /// It gives wrong answers on this machine.
    #[error("crypto backend `{backend}` fails its self-test: {error}")]
    SelfTest {
        /// Its name.
        backend: &'static str,
        /// What went wrong.
        error: SelfTestError,
    },
}

impl Backend {
    /// All that this program has, the fastest first. What is not in it cannot be chosen; what is, all tests run over.
    pub const ALL: [Self; 1] = [Self::Portable];

    /// The backend for the configuration's `crypto.backend`: `auto` takes the fastest that this machine can run.
    /// What it returns has passed its self-test. Called once, at start.
    ///
    /// # Errors
    /// See [`ChooseError`].
    pub fn choose(name: &str) -> Result<Self, ChooseError> {
        let built = Self::ALL.into_iter().find(|backend| name == "auto" || name == backend.name());
        let backend = match (built, name) {
            (Some(backend), _) => backend,
            (None, "ipsec-mb") => return Err(ChooseError::NotBuilt("ipsec-mb")),
            (None, "simd") => return Err(ChooseError::NotBuilt("simd")),
            (None, other) => return Err(ChooseError::Unknown(other.to_owned())),
        };
        match backend.self_test() {
            Ok(()) => Ok(backend),
            Err(error) => Err(ChooseError::SelfTest { backend: backend.name(), error }),
        }
    }

    /// Its name, as `choose` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
        }
    }

    /// Seals each job in place and writes its tag into the last 16 bytes of the buffer. A buffer without room for the
    /// tag, or too long for the cipher (256 GiB), gets `ok = false`. Packet path.
    #[inline]
    pub fn seal(self, jobs: &mut [Job<'_>]) {
        match self {
            Self::Portable => portable::seal(jobs),
        }
    }

    /// Opens each job in place. `ok` says whether its tag was good; if not, the buffer holds what came, or zeros,
    /// never plaintext. Tags are compared in constant time. Packet path.
    #[inline]
    pub fn open(self, jobs: &mut [Job<'_>]) {
        match self {
            Self::Portable => portable::open(jobs),
        }
    }

    /// Compares it with known answers and with what it must refuse.
    ///
    /// # Errors
    /// The first answer that is wrong.
    pub fn self_test(self) -> Result<(), SelfTestError> {
        match self {
            Self::Portable => self_test::run(portable::seal, portable::open),
        }
    }
}
