//! One session's two keys and their state.

use super::ReplayWindow;
use super::limits::{
    REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_MS, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME_MS, REKEY_ON_RECEIVE_MS,
    REKEY_TIMEOUT_MS,
};
use crate::aead::Key;
use crate::noise::SessionSecrets;
use crate::queue::{
    prefetch_read, prefetch_write,
    sync::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// The keys that one handshake made. Both keys are zeroed on drop.
///
/// Times are boottime in milliseconds. They may lie a little apart between threads, or jump back: an age below zero
/// counts as zero.
///
/// All atomics here are Relaxed. `nonce` is written by the egress owner alone and `replay` and `sent_lastminute` by the
/// holder of the ingress turn alone; what passes the ownership on (the queue's word, the turn) makes the writes
/// visible to the next owner. `dead` and `no_send` only ever go from false to true and carry no other data: who reads
/// the old value is a packet that came just before. That a keypair is not freed under a reader is the grace period's work.
///
/// What is sent asks its first cache line alone, and so does classify; what is received asks the second, too, and one of the window.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Keypair {
    send: Key,
    // Set when it is made.
    local_index: u32,
    remote_index: u32,
    created_ms: u64,
    /// The next counter to send. egress owner: rw, others: r
    nonce: AtomicU64,
    // Set when it is made.
    flow: u32,
    /// all: r, once true by anyone
    dead: AtomicBool,
    /// all: r, once true by anyone
    no_send: AtomicBool,
    // Set when it is made.
    initiator: bool,
    precedes: bool,
    receive: Key,
    // Set when it is made.
    serial: u32,
    /// turn's holder: rw
    sent_lastminute: AtomicBool,
    /// turn's holder: rw
    replay: ReplayWindow,
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    const LINE: usize = 64;
    assert!(offset_of!(Keypair, precedes) < LINE, "what is sent asks one cache line");
    assert!(offset_of!(Keypair, receive) == LINE && offset_of!(Keypair, replay) + size_of::<u64>() <= 2 * LINE);
};

impl Keypair {
    /// A fresh keypair of the peer `flow`, born at `created_ms`. `serial` is unlike that of every keypair that a packet
    /// in flight may still remember.
    pub fn new(secrets: SessionSecrets, serial: u32, flow: u32, created_ms: u64) -> Self {
        Self {
            local_index: secrets.local_index,
            remote_index: secrets.remote_index,
            serial,
            flow,
            initiator: secrets.initiator,
            precedes: false,
            created_ms,
            send: secrets.send,
            receive: secrets.receive,
            nonce: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            no_send: AtomicBool::new(false),
            sent_lastminute: AtomicBool::new(false),
            replay: ReplayWindow::new(),
        }
    }

    /// Whether it goes before one that was made at the same time by the other side's initiation: both sides have to say the same, so
    /// it is the one whose initiator has the greater public key.
    pub fn with_precedence(mut self, precedes: bool) -> Self {
        self.precedes = precedes;
        self
    }

    /// Goes on where another process stopped: the counter to send next, whether it has asked for the next session by its age, and which
    /// counters came. `None` if nothing could be sent under that counter.
    pub fn resumed(self, nonce: u64, asked: bool, replay: ReplayWindow) -> Option<Self> {
        let (nonce, sent_lastminute) = (AtomicU64::new(nonce), AtomicBool::new(asked));
        let resumed = Self { nonce, sent_lastminute, replay, ..self };
        (resumed.nonce() < REJECT_AFTER_MESSAGES).then_some(resumed)
    }

    /// Asks the cache for what tells whose it is.
    #[inline]
    pub fn prefetch_to_look_at(&self) {
        prefetch_read(&raw const self.local_index);
    }

    /// Asks the cache for what sending asks.
    #[inline]
    pub fn prefetch_to_send(&self) {
        prefetch_write(&raw const self.send);
    }

    /// Asks the cache for what receiving asks, but for the window's bits.
    #[inline]
    pub fn prefetch_to_receive(&self) {
        self.prefetch_to_look_at();
        prefetch_write(&raw const self.receive);
    }

    /// Our index: it is in what the peer sends.
    #[inline]
    pub fn local_index(&self) -> u32 {
        self.local_index
    }

    /// The peer's index: it goes into what we send.
    #[inline]
    pub fn remote_index(&self) -> u32 {
        self.remote_index
    }

    /// Its serial number.
    #[inline]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The peer that it belongs to.
    #[inline]
    pub fn flow(&self) -> u32 {
        self.flow
    }

    /// Whether the handshake was ours.
    #[inline]
    pub fn initiator(&self) -> bool {
        self.initiator
    }

    /// See [`Self::with_precedence`].
    pub fn precedes(&self) -> bool {
        self.precedes
    }

    /// Whether it has asked for the next session by its age. A snapshot.
    pub fn has_asked(&self) -> bool {
        self.sent_lastminute.load(Relaxed)
    }

    /// Whether it may not be sent under since our key changed. Any thread.
    pub fn has_stopped_sending(&self) -> bool {
        self.no_send.load(Relaxed)
    }

    /// When it was made.
    #[inline]
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// Seals what we send.
    #[inline]
    pub fn send_key(&self) -> &Key {
        &self.send
    }

    /// Opens what we receive.
    #[inline]
    pub fn receive_key(&self) -> &Key {
        &self.receive
    }

    /// The next counter to send. Any thread; a snapshot.
    #[inline]
    pub fn nonce(&self) -> u64 {
        self.nonce.load(Relaxed)
    }

    /// Whether `other`, which we send under, has to make way for this one, under which the peer sends: two initiations crossed, and
    /// each made a session. A handshake that is no answer comes no sooner after another.
    pub fn goes_before(&self, other: &Self) -> bool {
        self.precedes && !other.precedes && self.created_ms.abs_diff(other.created_ms) < REKEY_TIMEOUT_MS
    }

    /// Takes `n` counters and returns the first. `None`, and none taken, if the last of them would reach
    /// [`REJECT_AFTER_MESSAGES`]. No counter is ever given twice. The egress owner alone.
    #[inline]
    pub fn reserve_nonces(&self, n: u32) -> Option<u64> {
        let first = self.nonce.load(Relaxed);
        let next = first.checked_add(u64::from(n)).filter(|&next| next <= REJECT_AFTER_MESSAGES)?;
        self.nonce.store(next, Relaxed);
        Some(first)
    }

    /// Whether data may be sent under it now. Once too old, it stays so, whatever the clock does. Any thread.
    #[inline]
    pub fn may_send(&self, now_ms: u64) -> bool {
        self.lives(now_ms) && !self.no_send.load(Relaxed) && self.nonce.load(Relaxed) < REJECT_AFTER_MESSAGES
    }

    /// Whether a data message with this counter may be opened with it now. Once too old, it stays so, whatever the
    /// clock does. Nothing else is changed: the counter is not authenticated yet. Any thread.
    #[inline]
    pub fn may_receive(&self, now_ms: u64, counter: u64) -> bool {
        counter < REJECT_AFTER_MESSAGES && self.lives(now_ms)
    }

    /// After a send under it: whether a new session is to be asked for. The initiator does so by age, both by count.
    #[inline]
    pub fn wants_rekey_on_send(&self, now_ms: u64) -> bool {
        self.nonce.load(Relaxed) > REKEY_AFTER_MESSAGES
            || (self.initiator && self.age_ms(now_ms) >= REKEY_AFTER_TIME_MS)
    }

    /// After an authenticated message under it: whether a new session is to be asked for, true once a keypair. For the
    /// peer's current keypair only; the holder of the ingress turn alone.
    #[inline]
    pub fn wants_rekey_on_receive(&self, now_ms: u64) -> bool {
        if !self.initiator
            || self.age_ms(now_ms) < REKEY_ON_RECEIVE_MS
            || self.dead.load(Relaxed)
            || self.no_send.load(Relaxed)
            || self.sent_lastminute.load(Relaxed)
        {
            return false;
        }
        self.sent_lastminute.store(true, Relaxed);
        true
    }

    /// The window of counters received. Its `accept` belongs to the holder of the ingress turn.
    #[inline]
    pub fn replay(&self) -> &ReplayWindow {
        &self.replay
    }

    /// It is used no more, either way, from now on. Any thread.
    pub fn kill(&self) {
        self.dead.store(true, Relaxed);
    }

    /// Nothing is sent under it any more, but what comes is taken to the end of its time: for a changed private key.
    /// Any thread.
    pub fn stop_sending(&self) {
        self.no_send.store(true, Relaxed);
    }

    /// Whether it was killed, or was found too old.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Relaxed)
    }

    /// For tests that reach the limits. Going back would use counters twice.
    #[doc(hidden)]
    pub fn set_nonce_for_test(&self, nonce: u64) {
        assert!(nonce >= self.nonce.load(Relaxed), "a counter would be used twice");
        self.nonce.store(nonce, Relaxed);
    }

    /// Milliseconds since it was made.
    #[inline]
    fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.created_ms)
    }

    /// Not dead; dies of age here.
    #[inline]
    fn lives(&self, now_ms: u64) -> bool {
        if self.dead.load(Relaxed) {
            return false;
        }
        let young = self.age_ms(now_ms) < REJECT_AFTER_TIME_MS;
        if !young {
            self.kill();
        }
        young
    }
}
