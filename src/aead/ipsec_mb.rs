//! The backend of Intel's libipsec-mb, by its burst API: one message after the other, and of such code the fastest.
//!
//! For this cipher the library works on a job as it is submitted and keeps no copy of the key; but it may put a job off
//! (then `flush_burst` gives it back), and this file would notice. It decrypts whatever the tag is: the tag is compared
//! here, in constant time, and what fails is wiped.

use super::{Job, TAG_LEN};
use core::ptr::{self, NonNull};
use dpdk_sys::ipsec_mb::{
    IMB_AUTH_CHACHA20_POLY1305, IMB_CIPHER_CHACHA20_POLY1305, IMB_CIPHER_DIRECTION, IMB_DIR_DECRYPT, IMB_DIR_ENCRYPT,
    IMB_JOB, IMB_MGR, IMB_ORDER_CIPHER_HASH, IMB_STATUS_COMPLETED, imb_get_errno, imb_get_mb_mgr_size,
    imb_set_pointers_mb_mgr, init_mb_mgr_auto,
};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Messages that the library has at once; it takes `IMB_MAX_BURST_SIZE` of them, 128. A burst's jobs, 8 KiB, stay in the first
/// cache, where the job API goes round through all of its 66 KiB.
const BURST: usize = 32;
/// What the library wants its manager aligned to.
const ALIGNMENT: usize = 64;
/// The longest text of one nonce: 2³² − 1 blocks (RFC 8439, section 2.8).
const LONGEST: u64 = (1 << 38) - 64;

/// `get_next_burst`, `submit_burst`, `flush_burst` of a manager: how many jobs, and where pointers to them are.
type BurstFunction = unsafe extern "C" fn(*mut IMB_MGR, u32, *mut *mut IMB_JOB) -> u32;

/// A manager of the library, with what it reads and writes beside the messages. One worker owns it.
///
/// # Invariants
/// The functions are those of the manager, and no job is in it between two calls from outside.
pub(super) struct IpsecMb {
    manager: Manager,
    next_burst: BurstFunction,
    submit_burst: BurstFunction,
    flush_burst: BurstFunction,
    /// With room, in case it loads 16 bytes.
    nonces: [[u8; 16]; BURST],
    /// As computed while opening.
    tags: [[u8; TAG_LEN]; BURST],
    /// Which jobs the library has completed.
    done: [bool; BURST],
}

/// The manager's memory, wiped and freed on drop.
///
/// # Invariants
/// It is memory of this layout that nobody else knows, and the library has initialised a manager there.
struct Manager {
    at: NonNull<IMB_MGR>,
    layout: Layout,
}

// SAFETY: the library ties a manager to no thread. It wants one at a time to use it, which `&mut` sees to: no `Sync`.
unsafe impl Send for Manager {}

impl Manager {
    /// With the best code that the library has for this CPU. `None`: it has none for it.
    fn new() -> Option<Self> {
        // SAFETY: it only computes.
        let size = unsafe { imb_get_mb_mgr_size() };
        let layout = Layout::from_size_align(size.max(size_of::<IMB_MGR>()), ALIGNMENT).ok()?;
        // SAFETY: a manager has a size.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(at) = NonNull::new(memory.cast::<IMB_MGR>()) else { handle_alloc_error(layout) };
        // INVARIANT: fresh memory of this layout. All zeros are a manager without functions until it is initialised.
        let manager = Self { at, layout };
        // SAFETY: memory as large as the library wants it, and aligned as it wants it.
        let set = unsafe { imb_set_pointers_mb_mgr(at.as_ptr().cast(), 0, 1) };
        if set.is_null() {
            return None;
        }
        // SAFETY: its pointers were just set; no architecture needs to be named back.
        unsafe { init_mb_mgr_auto(at.as_ptr(), ptr::null_mut()) };
        // SAFETY: a manager of ours.
        let error = unsafe { imb_get_errno(at.as_ptr()) };
        (error == 0).then_some(manager)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: it is this long, initialised since it came zeroed, and nobody else's.
        let bytes = unsafe { core::slice::from_raw_parts_mut(self.at.as_ptr().cast::<u64>(), self.layout.size() / 8) };
        bytes.zeroize();
        // SAFETY: allocated with this layout, and not used after this.
        unsafe { dealloc(self.at.as_ptr().cast(), self.layout) };
    }
}

impl IpsecMb {
    /// `None`: the library cannot run on this CPU.
    pub(super) fn new() -> Option<Box<Self>> {
        let manager = Manager::new()?;
        // SAFETY: an initialised manager, which nobody writes meanwhile.
        let functions = unsafe { manager.at.as_ref() };
        Some(Box::new(Self {
            next_burst: functions.get_next_burst?,
            submit_burst: functions.submit_burst_nocheck?,
            flush_burst: functions.flush_burst?,
            manager,
            nonces: [[0; 16]; BURST],
            tags: [[0; TAG_LEN]; BURST],
            done: [false; BURST],
        }))
    }

    /// See [`super::Cipher::seal`].
    pub(super) fn seal(&mut self, jobs: &mut [Job<'_>]) {
        for jobs in jobs.chunks_mut(BURST) {
            self.run(jobs, IMB_DIR_ENCRYPT);
            for (job, done) in jobs.iter_mut().zip(self.done) {
                job.ok = done;
            }
        }
    }

    /// See [`super::Cipher::open`].
    pub(super) fn open(&mut self, jobs: &mut [Job<'_>]) {
        for jobs in jobs.chunks_mut(BURST) {
            self.run(jobs, IMB_DIR_DECRYPT);
            for ((job, done), computed) in jobs.iter_mut().zip(self.done).zip(&mut self.tags) {
                job.ok = false;
                let Some((text, tag)) = job.buffer.split_last_chunk_mut::<TAG_LEN>() else { continue };
                if done && bool::from(computed.ct_eq(tag)) {
                    job.ok = true;
                } else {
                    // No plaintext stays, and no tag by which the message would have been good.
                    text.fill(0);
                    tag.fill(0);
                    *computed = [0; TAG_LEN];
                }
            }
        }
    }

    /// Has the library work on these jobs, [`BURST`] at most. `done` says which it has completed.
    fn run(&mut self, jobs: &mut [Job<'_>], direction: IMB_CIPHER_DIRECTION) {
        self.done = [false; BURST];
        let mut burst = [ptr::null_mut(); BURST];
        let wanted = jobs.iter().filter(|job| is_possible(job)).count();
        let mut described = 0;
        let possible = jobs.iter_mut().enumerate().filter(|(_, job)| is_possible(job));
        // SAFETY: a manager of ours, without jobs, and room for as many pointers as are asked for.
        let given = unsafe { (self.next_burst)(self.manager.at.as_ptr(), count(wanted), burst.as_mut_ptr()) };
        for ((place, job), next) in possible.zip(burst.iter().take(given as usize)) {
            let (Some(nonce), Some(tag)) = (self.nonces.get_mut(place), self.tags.get_mut(place)) else { break };
            nonce[..12].copy_from_slice(&job.nonce());
            let key = job.key.bytes();
            let Some((text, room)) = job.buffer.split_last_chunk_mut::<TAG_LEN>() else { break };
            let tag = if direction == IMB_DIR_ENCRYPT { room } else { tag };
            // SAFETY: a job in the manager's memory, all of it initialised, that nobody looks at until it is submitted.
            let Some(next) = (unsafe { next.as_mut() }) else { break };
            describe(next, key, nonce, text, tag, direction);
            next.user_data = ptr::without_provenance_mut(place);
            described += 1;
        }
        // SAFETY: the first of the jobs that it gave, each described in full. What they point to outlives `run`, at whose
        // end no job is in the manager.
        let completed = unsafe { (self.submit_burst)(self.manager.at.as_ptr(), described, burst.as_mut_ptr()) };
        self.note(&burst, completed);
        loop {
            // SAFETY: a manager of ours; what its jobs point to is borrowed until `run` ends.
            let completed = unsafe { (self.flush_burst)(self.manager.at.as_ptr(), count(BURST), burst.as_mut_ptr()) };
            if completed == 0 {
                break;
            }
            self.note(&burst, completed);
        }
    }

    /// Notes the jobs that the library has given back: the first `completed` of these.
    fn note(&mut self, burst: &[*mut IMB_JOB; BURST], completed: u32) {
        for job in burst.iter().take(completed as usize) {
            // SAFETY: a job that it has given back, in the manager's memory, or null.
            if let Some(job) = unsafe { job.as_ref() }
                && let Some(done) = self.done.get_mut(job.user_data.addr())
            {
                *done = job.status == IMB_STATUS_COMPLETED;
            }
        }
    }
}

/// Whether it has room for a tag, and no more text than a nonce is good for.
fn is_possible(job: &Job<'_>) -> bool {
    job.buffer.len().checked_sub(TAG_LEN).is_some_and(|text| text as u64 <= LONGEST)
}

/// A number of jobs, [`BURST`] at most.
fn count(jobs: usize) -> u32 {
    u32::try_from(jobs).unwrap_or(0)
}

/// Fills a job in: all that the library reads of one for this cipher.
#[inline]
fn describe(
    job: &mut IMB_JOB,
    key: &[u8; 32],
    nonce: &[u8; 16],
    text: &mut [u8],
    tag: &mut [u8; TAG_LEN],
    direction: IMB_CIPHER_DIRECTION,
) {
    let text_len = text.len() as u64;
    job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job.chain_order = IMB_ORDER_CIPHER_HASH;
    job.cipher_direction = direction;
    job.enc_keys = key.as_ptr().cast();
    job.dec_keys = key.as_ptr().cast();
    job.key_len_in_bytes = 32;
    job.iv = nonce.as_ptr();
    job.iv_len_in_bytes = 12;
    job.__bindgen_anon_1.src = text.as_ptr();
    job.__bindgen_anon_2.dst = text.as_mut_ptr();
    job.__bindgen_anon_3.cipher_start_src_offset_in_bytes = 0;
    job.__bindgen_anon_4.msg_len_to_cipher_in_bytes = text_len;
    job.hash_start_src_offset_in_bytes = 0;
    job.__bindgen_anon_5.msg_len_to_hash_in_bytes = text_len;
    job.u.CHACHA20_POLY1305.aad = ptr::null();
    job.u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
    job.auth_tag_output = tag.as_mut_ptr();
    job.auth_tag_output_len_in_bytes = TAG_LEN as u64;
}
