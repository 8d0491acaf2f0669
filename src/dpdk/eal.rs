//! The EAL: one a process, started before and ended after everything else of DPDK.

use super::eal_log;
use super::memory_wire::WireRings;
use super::mempool::RawPool;
use super::runtime_folder::RuntimeFolder;
use super::{EalOptions, Errno};
use crate::queue::sync::{AtomicBool, Ordering};
use core::ffi::c_int;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};

/// The EAL did not start.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// DPDK can be started once a process, even after it ended.
    #[error("EAL: DPDK was started in this process before, and can be started only once; start a new process")]
    StartedBefore,
    /// Huge pages are required and too few are free.
    #[error(
        "EAL: {wanted_mib} MiB of huge pages are needed, {free_mib} MiB are free. \
         Reserve more (dpdk-hugepages.py -r {wanted_mib}M), or set memory.huge_pages to \"auto\" or \"none\""
    )]
    HugePages {
        /// What was asked for.
        wanted_mib: u64,
        /// What the kernel has, over all page sizes and nodes.
        free_mib: u64,
    },
    /// The main core is not there, or not for this process.
    #[error("EAL: core {core} (cores.control) is not among those that this process may use: {usable:?}")]
    Core {
        /// The core asked for.
        core: usize,
        /// The cores in the process's mask.
        usable: Vec<usize>,
    },
    /// The CPU mask could not be read.
    #[error("EAL: the CPU mask of the main thread cannot be read: {0}")]
    CpuMask(rustix::io::Errno),
    /// An argument holds a NUL byte.
    #[error("EAL: the argument {0:?} (memory.extra_eal_args) holds a NUL byte")]
    Argument(String),
    /// `rte_eal_init` refused.
    #[error("EAL: {errno}, with the arguments {args:?}; DPDK said:\n  {}", log.join("\n  "))]
    Init {
        /// Why.
        errno: Errno,
        /// What it was called with.
        args: Vec<String>,
        /// What it logged.
        log: Vec<String>,
    },
}

/// A handle of the running EAL; a clone is the same EAL. The last one to go, among those in pools, ports and
/// registered threads too, ends it, if that is on the thread that started it.
#[derive(Clone)]
pub struct Eal(Arc<EalInner>);

struct EalInner {
    args: Vec<String>,
    /// What `rte_eal_init` saw: some drivers keep pointers into it.
    _argv: Vec<CString>,
    /// The EAL's own thread, whose mempool caches only it may touch.
    main: ThreadId,
    state: Mutex<EalState>,
    /// It goes after DPDK.
    _folder: Option<RuntimeFolder>,
}

/// What is open. Read and written by control threads only.
#[derive(Default)]
pub(super) struct EalState {
    /// Threads that hold an lcore, besides the main one.
    pub(super) registered: usize,
    /// Ports that have a handle.
    pub(super) ports: BTreeSet<u16>,
    /// The memory wires by the name of their port.
    pub(super) wires: BTreeMap<String, Weak<WireRings>>,
    /// Pools without handles that could not be freed yet.
    retired: Vec<RawPool>,
}

impl Eal {
    /// Starts DPDK on the calling thread, which becomes its main lcore and keeps its CPU mask. DPDK's own threads stay on the main core.
    ///
    /// # Errors
    /// [`EalError`]; after [`EalError::Init`] DPDK cannot be tried again in this process.
    pub fn init(options: &EalOptions) -> Result<Self, EalError> {
        let mut args = options.args()?;
        let mask = sched_getaffinity(None).map_err(EalError::CpuMask)?;
        let core = options.core();
        if core >= CpuSet::MAX_CPU || !mask.is_set(core) {
            let usable = (0..CpuSet::MAX_CPU).filter(|&core| mask.is_set(core)).collect();
            return Err(EalError::Core { core, usable });
        }
        // DPDK's own threads (interrupts, telemetry) go where its caller may run but no lcore is: on this core, if that is all there is.
        let mut narrow = CpuSet::new();
        narrow.set(core);
        sched_setaffinity(None, &narrow).map_err(EalError::CpuMask)?;
        let folder = telemetry_folder(options);
        if folder.is_none() && options.telemetry_prefix().is_some() {
            args.push("--no-telemetry".to_owned());
        }
        let eal = Self::start(args, folder);
        // rte_eal_init leaves its caller on one core, and threads started later would inherit that.
        if let Err(error) = sched_setaffinity(None, &mask) {
            tracing::warn!("the CPU mask of the main thread could not be restored: {error}");
        }
        eal
    }

    /// Starts DPDK on the calling thread with arguments as people write them for DPDK's own programs (`-l 0-1 --vdev=net_null0`, without a
    /// program's name). As in those, the thread stays on the cores of its lcore, and PCI devices are probed unless the arguments say no.
    ///
    /// # Errors
    /// [`EalError`], as [`Eal::init`].
    pub fn init_with(args: impl IntoIterator<Item = String>) -> Result<Self, EalError> {
        Self::start(core::iter::once("culvert".to_owned()).chain(args).collect(), None)
    }

    fn start(args: Vec<String>, folder: Option<RuntimeFolder>) -> Result<Self, EalError> {
        static STARTED: AtomicBool = AtomicBool::new(false);

        let argv = args.iter().map(|arg| CString::new(arg.as_str()).map_err(|_| EalError::Argument(arg.clone())));
        let argv: Vec<CString> = argv.collect::<Result<_, _>>()?;
        // Relaxed: only who comes first matters; the flag guards no memory.
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(EalError::StartedBefore);
        }

        eal_log::install();
        let mark = eal_log::mark();
        if let Err(errno) = rte_eal_init(&argv) {
            return Err(EalError::Init { errno, args, log: eal_log::since(mark) });
        }
        let main = thread::current().id();
        Ok(Self(Arc::new(EalInner { args, _argv: argv, main, state: Mutex::default(), _folder: folder })))
    }

    /// The arguments that it was started with.
    pub fn args(&self) -> &[String] {
        &self.0.args
    }

    /// DPDK's version at run time, as `DPDK 22.11.11`.
    pub fn version(&self) -> String {
        super::version()
    }

    /// Whether packet memory lies in huge pages.
    pub fn has_huge_pages(&self) -> bool {
        // SAFETY: reads the configuration of the EAL, which runs.
        unsafe { dpdk_sys::rte_eal_has_hugepages() != 0 }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, EalState> {
        self.0.lock()
    }

    /// Takes a pool whose handles are gone: freed now if that is known to be safe, else when the EAL ends.
    pub(super) fn retire(&self, pool: RawPool) {
        let mut state = self.0.lock();
        state.retired.push(pool);
        self.0.free_retired(&mut state);
    }
}

impl EalInner {
    fn lock(&self) -> MutexGuard<'_, EalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the retired pools that have all their mbufs back; returns whether none is left.
    ///
    /// Counting a pool's mbufs is exact only while no thread moves some between its own cache and the pool. Only
    /// lcores have caches: so no thread may be registered (nor become so: `state` is locked), and the main lcore is
    /// the thread that runs this. Other threads put mbufs straight into the pool's ring, where they count once the
    /// put is complete, and do not touch the pool after that.
    fn free_retired(&self, state: &mut EalState) -> bool {
        if state.registered == 0 && thread::current().id() == self.main {
            state.retired.retain(|pool| !pool.free_if_full());
        }
        state.retired.is_empty()
    }
}

impl Drop for EalInner {
    fn drop(&mut self) {
        let on_main = thread::current().id() == self.main;
        let mut state = self.lock();
        let clean = self.free_retired(&mut state);
        if !clean || !on_main {
            tracing::warn!(
                pools = state.retired.len(),
                on_main,
                "DPDK is not cleaned up: mbufs are still out, or the last handle went on another thread"
            );
            return;
        }
        // SAFETY: ports, pools, wires and registered threads hold a handle of this, so none is left, and no pool
        // has mbufs out: nothing points into DPDK's memory. Runs once, on the thread that called rte_eal_init.
        let result = unsafe { dpdk_sys::rte_eal_cleanup() };
        if let Err(errno) = Errno::check(result) {
            tracing::warn!("DPDK's clean-up failed: {errno}");
        }
    }
}

impl fmt::Debug for Eal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eal").field("args", &self.0.args).finish_non_exhaustive()
    }
}

/// The folder for the telemetry socket, if one is wanted and can be: all else works without.
fn telemetry_folder(options: &EalOptions) -> Option<RuntimeFolder> {
    let made = RuntimeFolder::make(options.telemetry_prefix()?);
    let mend = "to have it, give DPDK a folder that it may write to: RuntimeDirectory= of the unit, or XDG_RUNTIME_DIR";
    made.inspect_err(|error| tracing::warn!("DPDK's telemetry is off, all else works: {error}; {mend}")).ok()
}

fn rte_eal_init(argv: &[CString]) -> Result<(), Errno> {
    let mut pointers: Vec<_> = argv.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    pointers.push(core::ptr::null_mut());
    let count = c_int::try_from(argv.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `pointers` holds `count` C strings and a null, as for `main`. EAL sorts the pointers and reads the
    // strings. The caller makes sure that this is the only call.
    let parsed = unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) };
    Errno::check_last(parsed).map(drop)
}
