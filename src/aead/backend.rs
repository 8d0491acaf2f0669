//! Which code does the work, and how it is chosen at start.

#[cfg(all(feature = "dpdk", target_arch = "x86_64"))]
pub(super) use super::ipsec_mb::IpsecMb;
#[cfg(not(all(feature = "dpdk", target_arch = "x86_64")))]
pub(super) use super::not_built::NotBuilt as IpsecMb;
#[cfg(not(target_arch = "x86_64"))]
use super::not_built::NotBuilt as Simd;
#[cfg(target_arch = "x86_64")]
use super::simd::Simd;
use super::{Batches, Job, SelfTestError, portable, self_test};
use core::{cell::Cell, fmt, marker::PhantomData};

/// The code that seals and opens: a choice, made once at start. What runs is the [`Cipher`] that it makes for each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Our own over many messages at once, with AVX-512.
    Simd,
    /// Intel's libipsec-mb.
    IpsecMb,
    /// The crate `chacha20poly1305`, one message after the other: runs everywhere, and the reference of all others.
    Portable,
}

/// What the backends ask of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFeatures {
    /// AVX-512 F, BW, DQ, VL, IFMA and VBMI2, and BMI2.
    pub avx512: bool,
    /// SSE4.2, AES-NI and PCLMULQDQ.
    pub aes: bool,
}

/// Why a backend does not run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// Its code is not in this program.
    #[error("it is not in this build")]
    Build,
    /// The CPU, or the virtual machine, is without something.
    #[error("this CPU has no {0}")]
    Cpu(&'static str),
}

/// Why a backend cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// A known name, but it does not run here.
    #[error("[crypto] backend `{backend}`: {lack}. Leave the key out, which here means `{instead}`, or name that")]
    Lacks {
        /// Its name.
        backend: &'static str,
        /// What is missing.
        lack: Lack,
        /// What `auto` takes.
        instead: &'static str,
    },
    /// No such name.
    #[error("[crypto] backend `{0}` is unknown: it is one of `auto`, `simd`, `ipsec-mb`, `portable`")]
    Unknown(String),
    /// It gives wrong answers on this machine.
    #[error("[crypto] backend `{backend}` fails its self-test: {error}. Name another one, and report this")]
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
    Simd(Box<Simd>),
    IpsecMb(Box<IpsecMb>),
    Portable,
}

impl CpuFeatures {
    /// Those of the CPU that this runs on, as far as the kernel lets programs use them.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self {
            avx512: is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512ifma")
                && is_x86_feature_detected!("avx512vbmi2")
                && is_x86_feature_detected!("bmi2"),
            aes: is_x86_feature_detected!("sse4.2")
                && is_x86_feature_detected!("aes")
                && is_x86_feature_detected!("pclmulqdq"),
        };
        #[cfg(not(target_arch = "x86_64"))]
        return Self { avx512: false, aes: false };
    }
}

impl Backend {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Simd, Self::IpsecMb, Self::Portable];

    /// Those that run here, the fastest first: all tests run over them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::available_on(CpuFeatures::detect())
    }

    /// Those that run on a machine with this CPU, the fastest first.
    pub fn available_on(cpu: CpuFeatures) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |backend| backend.lack_on(cpu).is_none())
    }

    /// Why it does not run on a machine with this CPU; `None`: it does.
    pub fn lack_on(self, cpu: CpuFeatures) -> Option<Lack> {
        let lack = |has: bool, what| (!has).then_some(Lack::Cpu(what));
        match self {
            Self::Simd if cfg!(not(target_arch = "x86_64")) => Some(Lack::Build),
            Self::Simd => lack(cpu.avx512, "AVX-512 with IFMA and VBMI2"),
            Self::IpsecMb if cfg!(not(all(feature = "dpdk", target_arch = "x86_64"))) => Some(Lack::Build),
            Self::IpsecMb => lack(cpu.aes, "SSE4.2, AES and PCLMULQDQ"),
            Self::Portable => None,
        }
    }

    /// The backend for the configuration's `crypto.backend`: `auto` takes the fastest that runs here.
    /// What it returns has passed its self-test. Called once, at start.
    ///
    /// # Errors
    /// See [`ChooseError`].
    pub fn choose(name: &str) -> Result<Self, ChooseError> {
        let backend = Self::choose_on(name, CpuFeatures::detect())?;
        match backend.self_test() {
            Ok(()) => Ok(backend),
            Err(error) => Err(ChooseError::SelfTest { backend: backend.name(), error }),
        }
    }

    /// What `choose` tests and takes on a machine with this CPU.
    ///
    /// # Errors
    /// See [`ChooseError`].
    pub fn choose_on(name: &str, cpu: CpuFeatures) -> Result<Self, ChooseError> {
        let fastest = Self::available_on(cpu).next().unwrap_or(Self::Portable);
        if name == "auto" {
            return Ok(fastest);
        }
        let named = Self::ALL.into_iter().find(|backend| backend.name() == name);
        let backend = named.ok_or_else(|| ChooseError::Unknown(name.to_owned()))?;
        match backend.lack_on(cpu) {
            None => Ok(backend),
            Some(lack) => Err(ChooseError::Lacks { backend: backend.name(), lack, instead: fastest.name() }),
        }
    }

    /// Its name, as `choose` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simd => "simd",
            Self::IpsecMb => "ipsec-mb",
            Self::Portable => "portable",
        }
    }

    /// Makes what one worker owns. At start: it allocates.
    ///
    /// # Panics
    /// If this backend does not run here (see [`Backend::lack_on`]). `choose` gives none such.
    pub fn cipher(self) -> Cipher {
        let Some(cipher) = self.make() else { unreachable!("the crypto backend {} does not run here", self.name()) };
        cipher
    }

    /// Compares it with known answers and with what it must refuse.
    ///
    /// # Errors
    /// The first answer that is wrong.
    pub fn self_test(self) -> Result<(), SelfTestError> {
        self_test::run(&mut self.make().ok_or(SelfTestError::Start)?)
    }

    fn make(self) -> Option<Cipher> {
        let code = match self {
            Self::Simd => Code::Simd(Simd::new()?),
            Self::IpsecMb => Code::IpsecMb(IpsecMb::new()?),
            Self::Portable => Code::Portable,
        };
        Some(Cipher { code, one_thread: PhantomData })
    }
}

impl Cipher {
    /// Seals each job in place and writes its tag into the last 16 bytes of the buffer. A buffer without room for the
    /// tag, or too long for the cipher (256 GiB), gets `ok = false`. Packet path.
    #[inline]
    pub fn seal(&mut self, jobs: &mut [Job<'_>]) {
        match &mut self.code {
            Code::Simd(simd) => simd.seal(jobs),
            Code::IpsecMb(library) => library.seal(jobs),
            Code::Portable => portable::seal(jobs),
        }
    }

    /// Opens each job in place. `ok` says whether its tag was good; if not, the buffer holds what came, or zeros,
    /// never plaintext. Tags are compared in constant time. Packet path.
    #[inline]
    pub fn open(&mut self, jobs: &mut [Job<'_>]) {
        match &mut self.code {
            Code::Simd(simd) => simd.open(jobs),
            Code::IpsecMb(library) => library.open(jobs),
            Code::Portable => portable::open(jobs),
        }
    }

    /// The backend that made it.
    pub fn backend(&self) -> Backend {
        match self.code {
            Code::Simd(_) => Backend::Simd,
            Code::IpsecMb(_) => Backend::IpsecMb,
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
