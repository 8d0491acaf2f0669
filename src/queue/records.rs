//! What one thread tells another in passing: records of words and bytes, in a ring that never makes the teller wait.

use super::sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    seeded,
};
use crossbeam_utils::CachePadded;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// A ring of records, for one thread that pushes and one that pops. Each record is a head of some words and bytes behind it.
///
/// All words are atomics, so two threads at one end would garble records, and no more: who pops is to bear any content.
///
/// # Invariants
/// `read <= written <= read + words.len()`. The words from `read` to `written` belong to who pops, the others to who pushes.
#[derive(Debug)]
pub struct Records {
    /// A power of two of them. pushes: w, pops: r
    words: Box<[AtomicU64]>,
    /// Words pushed so far. pushes: rw, pops: r
    written: CachePadded<AtomicU64>,
    /// Words popped so far. pushes: r, pops: rw
    read: CachePadded<AtomicU64>,
}

impl Records {
    /// Room for at least so many words; a record takes one more than its head and its bytes do.
    pub fn new(words: usize) -> Self {
        let words = (0..words.next_power_of_two()).map(|_| AtomicU64::new(0)).collect();
        Self { words, written: CachePadded::new(AtomicU64::new(0)), read: CachePadded::new(AtomicU64::new(0)) }
    }

    /// Pushes a record, or nothing: `false`, there was no room for all of it. The one thread that pushes; never waits.
    pub fn push(&self, head: &[u64], bytes: &[u8]) -> bool {
        // Relaxed: this thread's own.
        let written = self.written.load(Relaxed);
        // Acquire: pairs with the Release of `pop`. What was there was read before it is written over.
        let read = self.read.load(Acquire);
        let needed = 1 + head.len() + bytes.len().div_ceil(WORD);
        let used = usize::try_from(written.wrapping_sub(read)).unwrap_or(usize::MAX);
        if needed > self.words.len().saturating_sub(used) {
            return false;
        }
        let lengths = (head.len() as u64) << 32 | bytes.len() as u64;
        let (whole, rest) = bytes.as_chunks::<WORD>();
        let mut last = [0; WORD];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let tail = (!rest.is_empty()).then(|| u64::from_le_bytes(last));
        let bytes = whole.iter().map(|word| u64::from_le_bytes(*word)).chain(tail);
        let words = std::iter::once(lengths).chain(head.iter().copied()).chain(bytes);
        for (at, word) in (written..).zip(words) {
            self.set(at, word);
        }
        // Release: pairs with the Acquire of `pop`. The words are there before they are said to be.
        self.written.store(written + needed as u64, if seeded("q1") { Relaxed } else { Release });
        true
    }

    /// Pops the oldest record: its head's words, and its bytes behind them in `bytes`, whose former content goes. `None`: there is none.
    /// The one thread that pops.
    pub fn pop<const N: usize>(&self, bytes: &mut Vec<u8>) -> Option<[u64; N]> {
        bytes.clear();
        // Relaxed: this thread's own.
        let read = self.read.load(Relaxed);
        // Acquire: pairs with the Release of `push`.
        let written = self.written.load(Acquire);
        if read == written {
            return None;
        }
        let lengths = self.get(read);
        let (head_len, byte_len) = (lengths >> 32, usize::try_from(lengths & 0xffff_ffff).ok()?);
        let behind = read + 1 + head_len;
        let end = behind + byte_len.div_ceil(WORD) as u64;
        let head = std::array::from_fn(|n| if (n as u64) < head_len { self.get(read + 1 + n as u64) } else { 0 });
        // No more than there is, whatever stands there.
        for at in behind..end.min(written) {
            bytes.extend(self.get(at).to_le_bytes());
        }
        bytes.truncate(byte_len);
        // Release: pairs with the Acquire of `push`. All was read before it may be written over.
        self.read.store(end.min(written), Release);
        Some(head)
    }

    /// Forgets all records. The one thread that pops.
    pub fn clear(&self) {
        // Both as in `pop`.
        self.read.store(self.written.load(Acquire), Release);
    }

    fn slot(&self, at: u64) -> Option<&AtomicU64> {
        let mask = self.words.len() as u64 - 1;
        self.words.get(usize::try_from(at & mask).ok()?)
    }

    fn set(&self, at: u64, word: u64) {
        // Relaxed: `written` publishes it.
        self.slot(at).into_iter().for_each(|slot| slot.store(word, Relaxed));
    }

    fn get(&self, at: u64) -> u64 {
        // Relaxed: `written` has published it.
        self.slot(at).map_or(0, |slot| slot.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::sync::{Arc, model, thread};

    fn byte(n: u64) -> u8 {
        n.to_le_bytes()[0]
    }

    /// Under loom `q1` has to break it (that what is popped is not written over meanwhile, loom cannot tell: no load of its comes late).
    /// Who pops is the thread that is begun: loom remembers one access of a word, and who pushes looks at `written` before he writes it.
    #[test]
    fn what_is_popped_was_pushed_whole_and_in_order() {
        model(|| {
            // Room for one record, so that the second is written over the first.
            let records = Arc::new(Records::new(4));
            let there = Arc::clone(&records);
            let popping = thread::spawn(move || pop_some(&there, 0, 2));
            let pushed = (1..3).filter(|n| records.push(&[*n, *n], &[byte(*n); 3])).count();
            let (popped, last) = popping.join().unwrap();
            assert_eq!(popped + pop_some(&records, last, 2).0, pushed);
        });
    }

    /// Tries so many times. How many there were, and the number of the last: each is whole and comes behind `last`.
    fn pop_some(records: &Records, mut last: u64, tries: u32) -> (usize, u64) {
        let mut bytes = Vec::new();
        let mut popped = 0;
        for _ in 0..tries {
            if let Some([first, second]) = records.pop::<2>(&mut bytes) {
                assert_eq!(first, second, "torn");
                assert_eq!(bytes, [byte(first); 3]);
                assert!(first > last, "in order");
                (last, popped) = (first, popped + 1);
            }
        }
        (popped, last)
    }

    #[cfg(not(loom))]
    #[test]
    fn as_a_list_with_room_for_so_much() {
        let records = Records::new(100);
        let mut oracle: std::collections::VecDeque<(u64, Vec<u8>)> = std::collections::VecDeque::new();
        let mut random = fastrand::Rng::with_seed(7);
        let (mut bytes, mut full, mut used) = (Vec::new(), 0, 0);
        for n in 0..5_000 {
            if random.bool() {
                let content = vec![byte(n); random.usize(..200)];
                let needed = 2 + content.len().div_ceil(8);
                let fits = used + needed <= 128;
                assert_eq!(records.push(&[n], &content), fits, "{n}");
                full += u32::from(!fits);
                if fits {
                    used += needed;
                    oracle.push_back((n, content));
                }
            } else {
                let expected = oracle.pop_front();
                let popped = records.pop::<1>(&mut bytes).map(|[n]| (n, bytes.clone()));
                used -= expected.as_ref().map_or(0, |(_, content)| 2 + content.len().div_ceil(8));
                assert_eq!(popped, expected);
            }
        }
        assert!(full > 100, "{full}");
        records.push(&[1], &[]);
        records.clear();
        assert_eq!(records.pop::<1>(&mut bytes), None);
        assert!(!records.push(&[], &[0; 8 * 128]), "larger than the ring");
        assert!(records.push(&[], &[0; 8 * 127]), "as large");
    }
}
