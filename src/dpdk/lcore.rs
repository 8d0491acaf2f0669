//! Threads that DPDK knows: they have an lcore number, and with it a cache in every pool.

use super::{Eal, Errno};
use core::marker::PhantomData;
use std::fmt;

/// The number of an lcore: DPDK's, not the core's that it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LcoreId(pub u32);

impl fmt::Display for LcoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An lcore that the EAL was started with (`-l`, `--lcores`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lcore {
    /// Its number.
    pub id: LcoreId,
    /// The cores that its thread may run on.
    pub cpus: Vec<usize>,
    /// Their NUMA node.
    pub socket: u32,
    /// Whether it is the thread that started the EAL.
    pub is_main: bool,
}

/// The lcores that the EAL was started with, by number.
pub fn lcores(_eal: &Eal) -> Vec<Lcore> {
    // SAFETY: reads the configuration of the EAL, which runs.
    let main = unsafe { dpdk_sys::rte_get_main_lcore() };
    // SAFETY: takes any number.
    let enabled = (0..dpdk_sys::RTE_MAX_LCORE).filter(|&id| unsafe { dpdk_sys::rte_lcore_is_enabled(id) } == 1);
    let lcore = |id| {
        // SAFETY: an lcore of the EAL, which runs.
        let set = unsafe { dpdk_sys::rte_lcore_cpuset(id) };
        let words = set.__bits.iter().enumerate();
        let cpus =
            words.flat_map(|(at, &word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit));
        // SAFETY: as above.
        let socket = unsafe { dpdk_sys::rte_lcore_to_socket_id(id) };
        Lcore { id: LcoreId(id), cpus: cpus.collect(), socket, is_main: id == main }
    };
    enabled.map(lcore).collect()
}

/// The thread could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LcoreError {
    /// It is the EAL's main thread, or holds a guard already.
    #[error("this thread is lcore {0} already")]
    Registered(LcoreId),
    /// All lcore numbers are taken, or a secondary process is attached.
    #[error("rte_thread_register: {0}; DPDK has {max} lcores, and none for new threads once a secondary process attached",
        max = dpdk_sys::RTE_MAX_LCORE)]
    Refused(Errno),
}

/// Holds the calling thread's registration; dropped on the same thread.
#[derive(Debug)]
pub struct LcoreGuard {
    id: LcoreId,
    eal: Eal,
    /// Not to be sent: the registration is the thread's.
    _thread: PhantomData<*mut ()>,
}

/// Registers the calling thread (`rte_thread_register`), so that it has mempool caches.
///
/// To be called by each I/O core and worker, after it was pinned: DPDK reads the thread's NUMA socket here.
///
/// # Errors
/// [`LcoreError`].
pub fn register_thread(eal: &Eal) -> Result<LcoreGuard, LcoreError> {
    if let Some(id) = current() {
        return Err(LcoreError::Registered(id));
    }
    let mut state = eal.state();
    // SAFETY: the EAL runs, as `eal` shows; the thread is not registered yet.
    let result = unsafe { dpdk_sys::rte_thread_register() };
    Errno::check_last(result).map_err(LcoreError::Refused)?;
    state.registered += 1;
    drop(state);
    let id = current().ok_or(LcoreError::Refused(Errno::EINVAL))?;
    Ok(LcoreGuard { id, eal: eal.clone(), _thread: PhantomData })
}

/// The calling thread's lcore, if it has one.
pub(super) fn current() -> Option<LcoreId> {
    // SAFETY: reads a thread-local variable.
    let id = unsafe { dpdk_sys::rte_lcore_id() };
    (id != dpdk_sys::LCORE_ID_ANY).then_some(LcoreId(id))
}

impl LcoreGuard {
    /// The thread's lcore.
    pub fn id(&self) -> LcoreId {
        self.id
    }

    /// The NUMA node of the core that the thread was pinned to, -1 if it was not pinned to one node.
    pub fn socket(&self) -> i32 {
        // SAFETY: reads a thread-local variable.
        let socket = unsafe { dpdk_sys::rte_socket_id() };
        socket.cast_signed()
    }
}

impl Drop for LcoreGuard {
    fn drop(&mut self) {
        let mut state = self.eal.state();
        // SAFETY: the guard cannot leave its thread, which is registered.
        unsafe { dpdk_sys::rte_thread_unregister() };
        state.registered = state.registered.saturating_sub(1);
    }
}
