//! Pools of mbufs.

use super::mbuf::Mbuf;
use super::mbuf_priv::{HEADROOM, MbufPriv, PRIVATE_SIZE};
use super::{Eal, Errno, eal_log};
use crate::frame::{Burst, PacketPool};
use core::ffi::CStr;
use core::ptr::{self, NonNull};
use dpdk_sys::{rte_mbuf, rte_mempool};
use std::ffi::CString;
use std::sync::Arc;

/// Multi-producer, multi-consumer, and not stopped by a preempted thread: cores may be shared (DESIGN, Threads).
const OPS: &CStr = c"ring_mt_rts";

/// Bytes of a pool's name, at most.
const LONGEST_NAME: usize = dpdk_sys::DPDK_MEMPOOL_NAMESIZE as usize - 1;

/// What DPDK puts around each object: a header of one line, rounded up (`rte_mempool_calc_obj_size`).
const OBJECT_HEADER: u64 = 64;

/// Bytes of a page that is not huge.
const SMALL_PAGE: u64 = 4096;

/// What a pool is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Its name: 1 to 25 bytes, unique in the process.
    pub name: String,
    /// Mbufs. 2^n - 1 wastes no memory.
    pub count: u32,
    /// Bytes of each mbuf's buffer, the headroom of 128 bytes included.
    pub data_room: u16,
    /// Mbufs that each lcore may keep to itself; cut to what DPDK allows (512, and 2/3 of `count`).
    pub cache: u32,
    /// NUMA node; `None` for any.
    pub socket: Option<u32>,
}

impl PoolOptions {
    /// `count` mbufs for frames of up to 2,048 bytes, 256 of them cached by each lcore, on any node.
    pub fn new(name: impl Into<String>, count: u32) -> Self {
        Self { name: name.into(), count, data_room: 2048 + 128, cache: 256, socket: None }
    }
}

/// A pool could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The name is empty, too long, or holds a NUL byte.
    #[error("mempool {name:?}: a name has 1 to {max} bytes, none of them NUL", max = LONGEST_NAME)]
    Name {
        /// The name.
        name: String,
    },
    /// The buffer has no room behind the headroom.
    #[error("mempool {name:?}: data room {data_room} holds the headroom of {HEADROOM} bytes and no packet")]
    DataRoom {
        /// The pool.
        name: String,
        /// What was asked for, in bytes.
        data_room: u16,
    },
    /// There is one of this name.
    #[error("mempool {name:?} exists already")]
    Exists {
        /// The pool.
        name: String,
    },
    /// The EAL has not that much memory left.
    #[error(
        "mempool {name:?}: {count} mbufs want {wanted_mib} MiB, and DPDK has less free. \
         Raise the EAL's memory (more huge pages), or lower memory.mbufs"
    )]
    NoMemory {
        /// The pool.
        name: String,
        /// Mbufs asked for.
        count: u32,
        /// What they take.
        wanted_mib: u64,
    },
    /// Anything else.
    #[error("mempool {name:?}: {errno}; DPDK said:\n  {}", log.join("\n  "))]
    Refused {
        /// The pool.
        name: String,
        /// Why.
        errno: Errno,
        /// What DPDK logged.
        log: Vec<String>,
    },
}

/// A pool of mbufs; a clone is the same pool. Any thread may take and give back; registered ones do it by caches.
#[derive(Clone, Debug)]
pub struct Pool(Arc<PoolInner>);

#[derive(Debug)]
struct PoolInner {
    raw: RawPool,
    name: String,
    data_room: u16,
    eal: Eal,
}

/// # Invariants
/// Points to a pool made by [`Pool::create`] which was not freed.
#[derive(Debug)]
pub(super) struct RawPool(NonNull<rte_mempool>);

// SAFETY: DPDK's pools are made for all threads: ring_mt_rts is multi-producer and multi-consumer, caches are the lcore's.
unsafe impl Send for RawPool {}
// SAFETY: as above.
unsafe impl Sync for RawPool {}

impl Pool {
    /// Makes a pool (`rte_pktmbuf_pool_create_by_ops`, ops `ring_mt_rts`, private size [`PRIVATE_SIZE`]).
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn create(eal: &Eal, options: &PoolOptions) -> Result<Self, PoolError> {
        let name = options.name.clone();
        let c_name = match CString::new(name.as_str()) {
            Ok(c_name) if (1..=LONGEST_NAME).contains(&name.len()) => c_name,
            _ => return Err(PoolError::Name { name }),
        };
        if usize::from(options.data_room) <= HEADROOM {
            return Err(PoolError::DataRoom { name, data_room: options.data_room });
        }
        let mark = eal_log::mark();
        // SAFETY: the EAL runs; the strings are C strings, which DPDK copies.
        let pool = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create_by_ops(
                c_name.as_ptr(),
                options.count,
                largest_cache(options),
                PRIVATE_SIZE,
                options.data_room,
                options.socket.map_or(dpdk_sys::SOCKET_ID_ANY, u32::cast_signed),
                OPS.as_ptr(),
            )
        };
        // INVARIANT: just made.
        let Some(raw) = NonNull::new(pool).map(RawPool) else {
            return Err(match Errno::last() {
                Errno::EEXIST => PoolError::Exists { name },
                Errno::ENOMEM | Errno::ENOBUFS => {
                    let wanted = pool_bytes(options.count, options.data_room, eal.has_huge_pages());
                    let wanted_mib = wanted.div_ceil(1 << 20);
                    PoolError::NoMemory { name, count: options.count, wanted_mib }
                }
                errno => PoolError::Refused { name, errno, log: eal_log::since(mark) },
            });
        };
        Ok(Self(Arc::new(PoolInner { raw, name, data_room: options.data_room, eal: eal.clone() })))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Mbufs in all.
    pub fn size(&self) -> u32 {
        self.0.raw.size()
    }

    /// Mbufs in the pool and in the lcores' caches (`rte_mempool_avail_count`): exact while no other thread takes or
    /// gives back. Walks all caches: not for the packet path.
    pub fn available(&self) -> u32 {
        self.0.raw.available()
    }

    /// Bytes of an mbuf's buffer, headroom included.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    /// Fills the free places of `burst` with up to `n` empty mbufs; returns how many, less than asked for when the pool
    /// runs empty. One call of DPDK for all of them.
    pub fn alloc_burst(&self, burst: &mut Burst<Mbuf>, n: usize) -> usize {
        let n = n.min(burst.remaining_capacity());
        let mut mbufs = [ptr::null_mut::<rte_mbuf>(); crate::frame::BURST];
        let count = u32::try_from(n).unwrap_or(0);
        // SAFETY: the pool is alive; `mbufs` has room for `count` pointers.
        let result = unsafe { dpdk_sys::rte_pktmbuf_alloc_bulk(self.as_ptr(), mbufs.as_mut_ptr(), count) };
        if result == 0 {
            let fresh = mbufs.iter().take(n).filter_map(|&mbuf| NonNull::new(mbuf));
            // SAFETY: rte_pktmbuf_alloc_bulk gave these mbufs to us, reset, out of a pool of ours.
            burst.extend(fresh.map(|mbuf| unsafe { Mbuf::from_fresh(mbuf) }));
            return n;
        }
        // All or nothing: when they are too few, take them one by one.
        let before = burst.len();
        burst.extend((0..n).map_while(|_| self.alloc()));
        burst.len() - before
    }

    /// For DPDK's calls; valid while `self` lives.
    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.0.raw.0.as_ptr()
    }
}

impl PacketPool for Pool {
    type Packet = Mbuf;

    fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool is alive.
        let mbuf = unsafe { dpdk_sys::rte_pktmbuf_alloc(self.as_ptr()) };
        // SAFETY: if not null, it is ours now, reset, out of a pool of ours.
        NonNull::new(mbuf).map(|mbuf| unsafe { Mbuf::from_fresh(mbuf) })
    }

    fn owns(&self, packet: &Mbuf) -> bool {
        packet.pool() == self.as_ptr()
    }

    fn copy_of(&self, packet: &Mbuf) -> Option<Mbuf> {
        packet.copy_into(self)
    }
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        // INVARIANT: `self.raw` is not used again.
        self.eal.retire(RawPool(self.raw.0));
    }
}

impl RawPool {
    fn size(&self) -> u32 {
        // SAFETY: the pool is alive (invariant); the size never changes.
        unsafe { (*self.0.as_ptr()).size }
    }

    fn available(&self) -> u32 {
        // SAFETY: the pool is alive (invariant).
        unsafe { dpdk_sys::rte_mempool_avail_count(self.0.as_ptr()) }
    }

    /// Frees the pool if all its mbufs are back; returns whether it did, after which `self` must not be used. The
    /// caller makes sure that the count is exact (`EalInner::free_retired`).
    pub(super) fn free_if_full(&self) -> bool {
        let full = self.available() == self.size();
        if full {
            // SAFETY: no handle and no mbuf of the pool is left, so nobody can reach it.
            unsafe { dpdk_sys::rte_mempool_free(self.0.as_ptr()) };
        }
        full
    }
}

/// Bytes of DPDK's memory that a pool takes, to size the EAL's by. Without huge pages an mbuf does not cross a page of
/// 4 KiB (`rte_mempool_op_calc_mem_size_helper`), so one of the usual size takes a page of its own.
pub fn pool_bytes(count: u32, data_room: u16, huge_pages: bool) -> u64 {
    let own = (size_of::<rte_mbuf>() + size_of::<MbufPriv>()) as u64;
    let object = (OBJECT_HEADER + own + u64::from(data_room)).next_multiple_of(64);
    let objects = if huge_pages {
        u64::from(count) * object
    } else if let Some(per_page @ 1..) = SMALL_PAGE.checked_div(object) {
        u64::from(count).div_ceil(per_page) * SMALL_PAGE
    } else {
        u64::from(count) * object.next_multiple_of(SMALL_PAGE)
    };
    // The ring of pointers.
    objects + 8 * (u64::from(count) + 1).next_power_of_two()
}

fn largest_cache(options: &PoolOptions) -> u32 {
    let allowed = (options.count / 3).saturating_mul(2);
    options.cache.min(allowed).min(dpdk_sys::RTE_MEMPOOL_CACHE_MAX_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_pool() {
        // 64 + 192 + 2,176 bytes each, and 8 for its place in the ring.
        assert_eq!(pool_bytes(1023, 2176, true), 1023 * 2432 + 8 * 1024);
        assert_eq!(pool_bytes(1023, 2176, false), 1023 * 4096 + 8 * 1024);
        // Three to a page; two pages each.
        assert_eq!(pool_bytes(7, 1024, false), 3 * 4096 + 8 * 8);
        assert_eq!(pool_bytes(7, 4096, false), 7 * 8192 + 8 * 8);
    }

    #[test]
    fn caches_are_cut_to_what_dpdk_takes() {
        let cache = |count, cache| largest_cache(&PoolOptions { cache, ..PoolOptions::new("p", count) });
        assert_eq!(cache(100_000, 256), 256);
        assert_eq!(cache(100_000, 10_000), 512);
        // 1.5 times the cache must not be more than the pool.
        assert_eq!(cache(300, 256), 200);
        assert_eq!(cache(2, 256), 0);
    }
}
