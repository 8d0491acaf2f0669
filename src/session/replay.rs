//! The replay window: which counters were received already.
//!
//! RFC 6479's ring of bits, which moves by whole words and never shifts: 8,192 bits, of which 8,128 behind the greatest
//! counter are sure to be there.

use super::limits::{REJECT_AFTER_MESSAGES, REPLAY_WINDOW_BITS, REPLAY_WINDOW_USABLE};
use crate::queue::{
    prefetch_write,
    sync::{AtomicU64, Ordering::Relaxed},
};

/// Words of the ring.
pub const WORDS: usize = 128;

const _: () = assert!(WORDS.is_power_of_two() && WORDS as u64 * u64::BITS as u64 == REPLAY_WINDOW_BITS);

/// The window of one receiving key: 1,048 bytes.
///
/// All its orderings are Relaxed: `accept` is called by the holder of the peer's turn alone, and the turn's passing on
/// (Release by one holder, Acquire by the next) makes one holder's writes visible to the next. The words are atomic only
/// so that this needs no unsafe cell; there is no read-modify-write.
#[derive(Debug)]
#[repr(C)]
pub struct ReplayWindow {
    /// The greatest counter accepted, plus one; 0 before the first. turn's holder: rw
    next: AtomicU64,
    /// The bit of counter c is bit (c + 1) of the ring. turn's holder: rw
    ring: [AtomicU64; WORDS],
    /// How many it has refused. turn's holder: rw, others: r
    refused: AtomicU64,
    /// The last one that it has refused. turn's holder: w, others: r
    last_refused: AtomicU64,
}

/// What a window has refused, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many messages.
    pub messages: u64,
    /// The counter of the last of them.
    pub last: u64,
}

impl ReplayWindow {
    /// Nothing was received.
    pub fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { next: zero(), ring: [const { AtomicU64::new(0) }; WORDS], refused: zero(), last_refused: zero() }
    }

    /// Whether a message with this counter is new, and marks it as received. Only for authenticated messages, in their
    /// order, by the holder of the turn. Refused are: a counter seen before, one more than 8,128 behind the greatest,
    /// one from [`REJECT_AFTER_MESSAGES`] on.
    #[inline]
    pub fn accept(&self, counter: u64) -> bool {
        let is_new = self.is_new(counter);
        if !is_new {
            self.refuse(counter);
        }
        is_new
    }

    #[cold]
    fn refuse(&self, counter: u64) {
        self.refused.store(self.refused.load(Relaxed).wrapping_add(1), Relaxed);
        self.last_refused.store(counter, Relaxed);
    }

    /// What it has refused, if anything. Any thread; a snapshot.
    pub fn refused(&self) -> Option<Refused> {
        let messages = self.refused.load(Relaxed);
        (messages > 0).then(|| Refused { messages, last: self.last_refused.load(Relaxed) })
    }

    #[inline]
    fn is_new(&self, counter: u64) -> bool {
        if counter >= REJECT_AFTER_MESSAGES {
            return false;
        }
        // Neither sum can wrap: asserted beside the limits.
        let seen = counter + 1;
        let next = self.next.load(Relaxed);
        if seen + REPLAY_WINDOW_USABLE < next {
            return false;
        }
        let (word, bit) = (seen / u64::BITS as u64, 1_u64 << (seen % u64::BITS as u64));
        if seen > next {
            self.clear_words(next / u64::BITS as u64, word);
            self.next.store(seen, Relaxed);
        }
        let place = self.word(word);
        let bits = place.load(Relaxed);
        place.store(bits | bit, Relaxed);
        bits & bit == 0
    }

    /// Asks the cache for what [`Self::accept`] of this counter asks beside the greatest one.
    #[inline]
    pub fn prefetch(&self, counter: u64) {
        prefetch_write(self.word(counter.wrapping_add(1) / u64::BITS as u64));
    }

    /// The greatest counter accepted. Any thread; a snapshot.
    pub fn greatest(&self) -> Option<u64> {
        self.next.load(Relaxed).checked_sub(1)
    }

    /// All of it, for a copy that goes on: the greatest counter accepted, plus one, and the words of the ring. Only while nobody accepts.
    pub fn words(&self) -> (u64, [u64; WORDS]) {
        (
            self.next.load(Relaxed),
            core::array::from_fn(|place| self.ring.get(place).map_or(0, |word| word.load(Relaxed))),
        )
    }

    /// The window that [`Self::words`] is of. `None` if there is none: a counter beyond all that are accepted, or the greatest not marked.
    pub fn of_words(next: u64, words: &[u64; WORDS]) -> Option<Self> {
        let window = Self { next: AtomicU64::new(next), ring: words.map(AtomicU64::new), ..Self::new() };
        let marked = window.word(next / u64::BITS as u64).load(Relaxed) & (1 << (next % u64::BITS as u64)) != 0;
        (next == 0 || next <= REJECT_AFTER_MESSAGES && marked).then_some(window)
    }

    /// Empties the words after `from`, up to and with `to`: all of them after a jump over the whole ring.
    fn clear_words(&self, from: u64, to: u64) {
        for step in 1..=(to - from).min(WORDS as u64) {
            self.word(from + step).store(0, Relaxed);
        }
    }

    /// The place of a word's number in the ring.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below WORDS")]
    fn word(&self, number: u64) -> &AtomicU64 {
        &self.ring[(number % WORDS as u64) as usize]
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}
