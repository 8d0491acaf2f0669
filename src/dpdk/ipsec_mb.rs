//! Intel's libipsec-mb, which comes with DPDK, by its burst API: ChaCha20-Poly1305 of one message after the other.
//!
//! For this cipher the library works on a job as it is submitted and keeps no copy of the key; but it may put a job off
//! (then `flush_burst` gives it back), and this file would notice.

use core::ptr::{self, NonNull};
use dpdk_sys::ipsec_mb::{
    IMB_AUTH_CHACHA20_POLY1305, IMB_CIPHER_CHACHA20_POLY1305, IMB_DIR_DECRYPT, IMB_DIR_ENCRYPT, IMB_JOB, IMB_MGR,
    IMB_ORDER_CIPHER_HASH, IMB_STATUS_COMPLETED, imb_get_errno, imb_get_mb_mgr_size, imb_set_pointers_mb_mgr,
    init_mb_mgr_auto,
};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use zeroize::Zeroize;

/// Messages that the library has at once; it takes `IMB_MAX_BURST_SIZE` of them, 128. A burst's jobs, 8 KiB, stay in the first
/// cache, where the job API goes round through all of its 66 KiB.
pub const CIPHER_BURST: usize = 32;
/// What the library wants its manager aligned to.
const ALIGNMENT: usize = 64;
/// The longest text of one nonce: 2³² − 1 blocks (RFC 8439, section 2.8).
const LONGEST: u64 = (1 << 38) - 64;
/// Of Poly1305.
const TAG_LEN: usize = 16;

/// `get_next_burst`, `submit_burst`, `flush_burst` of a manager: how many jobs, and where pointers to them are.
type BurstFunction = unsafe extern "C" fn(*mut IMB_MGR, u32, *mut *mut IMB_JOB) -> u32;

/// What the library does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherDirection {
    /// It encrypts the text, and computes its tag.
    Seal,
    /// It decrypts the text, whatever its tag is, and computes the tag that it should have.
    Open,
}

/// One message, worked on in place; nothing is authenticated beside its text.
pub struct CipherMessage<'a> {
    /// Of ChaCha20.
    pub key: &'a [u8; 32],
    /// RFC 8439's.
    pub nonce: [u8; 12],
    /// The text.
    pub text: &'a mut [u8],
    /// Where the computed tag is written.
    pub tag: &'a mut [u8; TAG_LEN],
}

impl core::fmt::Debug for CipherMessage<'_> {
    /// Neither key nor text.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CipherMessage").field("text_len", &self.text.len()).finish_non_exhaustive()
    }
}

/// A manager of the library, with what it reads beside the messages. One thread at a time owns it.
///
/// # Invariants
/// The functions are those of the manager, and no job is in it between two calls from outside.
pub struct CipherLibrary {
    manager: Manager,
    next_burst: BurstFunction,
    submit_burst: BurstFunction,
    flush_burst: BurstFunction,
    /// With room, in case it loads 16 bytes.
    nonces: [[u8; 16]; CIPHER_BURST],
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

impl CipherLibrary {
    /// Allocates. `None`: the library cannot run on this CPU.
    pub fn new() -> Option<Self> {
        let manager = Manager::new()?;
        // SAFETY: an initialised manager, which nobody writes meanwhile.
        let functions = unsafe { manager.at.as_ref() };
        Some(Self {
            next_burst: functions.get_next_burst?,
            submit_burst: functions.submit_burst_nocheck?,
            flush_burst: functions.flush_burst?,
            manager,
            nonces: [[0; 16]; CIPHER_BURST],
        })
    }

    /// Works on the first [`CIPHER_BURST`] of these messages. Says, by their places, which of them it has done; nothing has become of
    /// the others, or of what is longer than a nonce is good for; a place may have none. Packet path: it neither allocates nor waits.
    #[inline]
    pub fn run<'a>(
        &mut self,
        direction: CipherDirection,
        messages: impl ExactSizeIterator<Item = Option<CipherMessage<'a>>>,
    ) -> [bool; CIPHER_BURST] {
        let mut done = [false; CIPHER_BURST];
        let mut burst = [ptr::null_mut(); CIPHER_BURST];
        // SAFETY: a manager of ours, without jobs, and room for as many pointers as are asked for.
        let given = unsafe { (self.next_burst)(self.manager.at.as_ptr(), count(messages.len()), burst.as_mut_ptr()) };
        let mut described = 0;
        for (place, (message, nonce)) in messages.zip(&mut self.nonces).enumerate().take(given as usize) {
            let Some(message) = message.filter(|message| message.text.len() as u64 <= LONGEST) else { continue };
            nonce[..12].copy_from_slice(&message.nonce);
            // SAFETY: a job in the manager's memory, all of it initialised, that nobody looks at until it is submitted.
            let Some(job) = burst.get(described).and_then(|job| unsafe { job.as_mut() }) else { break };
            describe(job, message, nonce, direction);
            job.user_data = ptr::without_provenance_mut(place);
            described += 1;
        }
        // SAFETY: the first of the jobs that it gave, each described in full. What they point to outlives `run`, at whose
        // end no job is in the manager: the messages' memory is borrowed for `'a`, the nonces are ours.
        let completed = unsafe { (self.submit_burst)(self.manager.at.as_ptr(), count(described), burst.as_mut_ptr()) };
        note(&burst, completed, &mut done);
        loop {
            // SAFETY: a manager of ours; what its jobs point to is borrowed until `run` ends.
            let completed =
                unsafe { (self.flush_burst)(self.manager.at.as_ptr(), count(CIPHER_BURST), burst.as_mut_ptr()) };
            if completed == 0 {
                return done;
            }
            note(&burst, completed, &mut done);
        }
    }
}

impl core::fmt::Debug for CipherLibrary {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CipherLibrary").finish_non_exhaustive()
    }
}

/// Notes the jobs that the library has given back: the first `completed` of these.
fn note(burst: &[*mut IMB_JOB; CIPHER_BURST], completed: u32, done: &mut [bool; CIPHER_BURST]) {
    for job in burst.iter().take(completed as usize) {
        // SAFETY: a job that it has given back, in the manager's memory, or null.
        if let Some(job) = unsafe { job.as_ref() }
            && let Some(done) = done.get_mut(job.user_data.addr())
        {
            *done = job.status == IMB_STATUS_COMPLETED;
        }
    }
}

/// A number of jobs, [`CIPHER_BURST`] at most.
fn count(jobs: usize) -> u32 {
    u32::try_from(jobs.min(CIPHER_BURST)).unwrap_or(0)
}

/// Fills a job in: all that the library reads of one for this cipher.
#[inline]
fn describe(job: &mut IMB_JOB, message: CipherMessage<'_>, nonce: &[u8; 16], direction: CipherDirection) {
    let CipherMessage { key, text, tag, .. } = message;
    let text_len = text.len() as u64;
    job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job.chain_order = IMB_ORDER_CIPHER_HASH;
    job.cipher_direction = match direction {
        CipherDirection::Seal => IMB_DIR_ENCRYPT,
        CipherDirection::Open => IMB_DIR_DECRYPT,
    };
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
