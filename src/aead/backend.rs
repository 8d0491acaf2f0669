//! Which code does the work, and how it is chosen at start.

use super::{Batches, Job, SelfTestError, portable, self_test};
use core::{cell::Cell, fmt, marker::PhantomData};

/// The code that seals and opens: a choice, made once at start. What runs is the [`Cipher`] that it makes for each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The crate `chacha20poly1305`, one message after the other: runs everywhere, and the reference of all others.
    Portable,
}

/// What the backends ask of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFeatures {
    /// AVX-512 F, BW, DQ, VL, IFMA and VBMI2.
    pub avx512: bool,
}

/// Why a backend cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// A known name, but not in this program.
    #[error("[crypto] backend `{0}`: this build has only `portable`. Name that, or leave the key out")]
    NotBuilt(&'static str),
    /// No such name.
    #[error("[crypto] backend `{0}` is unknown: it is one of `auto`, `portable`, `ipsec-mb`, `simd`")]
    Unknown(String),
    /// It gives wrong answers on this machine.
    #[error("[crypto] backend `{backend}` fails its self-test: {error}. Name another until that is mended")]
    SelfTest {
        /// Its name.
        backend: &'static str,
        /// What went wrong.
        error: SelfTestError,
    },
}

/// What one worker seals and opens with: it owns what its backend needs between batches. Goes to its thread, and is
/// used by that one alone (`Send`, not `Sync`).
pub struct Cipher {
    code: Code,
    /// Not `Sync`, whatever the code holds.
    one_thread: PhantomData<Cell<()>>,
}

enum Code {
    Portable,
}

impl CpuFeatures {
    /// Those of the CPU that this runs on, as far as the kernel lets programs use them.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vbmi2");
        #[cfg(not(target_arch = "x86_64"))]
        let avx512 = false;
        Self { avx512 }
    }
}

impl Backend {
    /// All that this program has, the fastest first. What is not in it cannot be chosen.
    pub const ALL: [Self; 1] = [Self::Portable];

    /// Those that this machine can run, the fastest first: all tests run over them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::available_on(CpuFeatures::detect())
    }

    /// Those that a machine with this CPU can run, the fastest first.
    pub fn available_on(cpu: CpuFeatures) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |backend| backend.runs_on(cpu))
    }

    /// The backend for the configuration's `crypto.backend`: `auto` takes the fastest that this machine can run.
    /// What it returns has passed its self-test. Called once, at start.
    ///
    /// # Errors
    /// See [`ChooseError`].
    pub fn choose(name: &str) -> Result<Self, ChooseError> {
        let built = Self::available().find(|backend| name == "auto" || name == backend.name());
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

    /// Makes what one worker owns. At start: it may allocate.
    pub fn cipher(self) -> Cipher {
        let code = match self {
            Self::Portable => Code::Portable,
        };
        Cipher { code, one_thread: PhantomData }
    }

    /// Compares it with known answers and with what it must refuse.
    ///
    /// # Errors
    /// The first answer that is wrong.
    pub fn self_test(self) -> Result<(), SelfTestError> {
        self_test::run(&mut self.cipher())
    }

    /// Whether this CPU has what it needs.
    fn runs_on(self, _cpu: CpuFeatures) -> bool {
        match self {
            Self::Portable => true,
        }
    }
}

impl Cipher {
    /// Seals each job in place and writes its tag into the last 16 bytes of the buffer. A buffer without room for the
    /// tag, or too long for the cipher (256 GiB), gets `ok = false`. Packet path.
    #[inline]
    pub fn seal(&mut self, jobs: &mut [Job<'_>]) {
        match &mut self.code {
            Code::Portable => portable::seal(jobs),
        }
    }

    /// Opens each job in place. `ok` says whether its tag was good; if not, the buffer holds what came, or zeros,
    /// never plaintext. Tags are compared in constant time. Packet path.
    #[inline]
    pub fn open(&mut self, jobs: &mut [Job<'_>]) {
        match &mut self.code {
            Code::Portable => portable::open(jobs),
        }
    }

    /// The backend that made it.
    pub fn backend(&self) -> Backend {
        match self.code {
            Code::Portable => Backend::Portable,
        }
    }
}

impl Batches for Cipher {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        self.seal(jobs);
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        self.open(jobs);
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cipher({})", self.backend().name())
    }
}
