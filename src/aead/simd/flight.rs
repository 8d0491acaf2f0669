//! The jobs of a flight, taken to pieces: one array for each thing that vectors are filled from.
//!
//! Nothing here asks for CPU features: with them, compilers turn loops like these into gathers and scatters, which are slower.

use super::ahead::Ahead;
use super::plan::{FLIGHT, Plan, text_of};
use super::poly::{Eight, PACKETS};
use super::vector::Quads;
use crate::aead::{Job, TAG_LEN};
use arrayvec::ArrayVec;
use core::{array, cmp::Reverse};

/// What Poly1305 has in its lanes at once.
pub(super) const EIGHTS: usize = FLIGHT / PACKETS;

/// Up to [`FLIGHT`] jobs that have room for a tag, by place: the longest first. Behind them all is empty.
pub(super) struct Flight<'a> {
    pub(super) count: usize,
    /// The texts of the next flight.
    pub(super) ahead: Ahead<'a>,
    pub(super) keys: [&'a [u8; 32]; FLIGHT],
    /// Words 13, 14 and 15 of the states.
    pub(super) nonces: [[u32; FLIGHT]; 3],
    /// Empty when it may not be touched any more.
    pub(super) texts: [[&'a mut [u8]; PACKETS]; EIGHTS],
    /// Of the texts, in bytes.
    lengths: [Quads; EIGHTS],
    /// Of ChaCha20.
    blocks: [u32; FLIGHT],
    tags: [Option<&'a mut [u8; TAG_LEN]>; FLIGHT],
    oks: [Option<&'a mut bool>; FLIGHT],
}

impl<'a> Flight<'a> {
    #[inline]
    pub(super) fn new(ahead: Ahead<'a>) -> Self {
        Self {
            count: 0,
            ahead,
            keys: [&[0; 32]; FLIGHT],
            nonces: [[0; FLIGHT]; 3],
            texts: array::from_fn(|_| array::from_fn(|_| -> &mut [u8] { &mut [] })),
            lengths: [Quads([0; PACKETS]); EIGHTS],
            blocks: [0; FLIGHT],
            tags: [const { None }; FLIGHT],
            oks: [const { None }; FLIGHT],
        }
    }

    /// Takes up to [`FLIGHT`] jobs; those that have no room for a tag, and those behind the others, are refused.
    pub(super) fn take(&mut self, jobs: &'a mut [Job<'_>]) {
        let (jobs, behind) = jobs.split_at_mut(jobs.len().min(FLIGHT));
        behind.iter_mut().for_each(|job| job.ok = false);
        if jobs.is_sorted_by(|a, b| a.buffer.len() >= b.buffer.len()) {
            for job in jobs {
                self.push(job);
            }
        } else {
            let mut jobs: ArrayVec<&mut Job<'_>, FLIGHT> = jobs.iter_mut().collect();
            jobs.sort_unstable_by_key(|job| Reverse(job.buffer.len()));
            for job in jobs {
                self.push(job);
            }
        }
    }

    #[inline]
    fn push(&mut self, job: &'a mut Job<'_>) {
        let nonce = job.nonce();
        job.ok = false;
        let text = text_of(job.buffer);
        let (Some((length, blocks)), Some((text, tag))) = (text, job.buffer.split_last_chunk_mut()) else { return };
        let (place, words) = (self.count, nonce.as_chunks().0);
        if place >= FLIGHT {
            return;
        }
        job.ok = true;
        self.count += 1;
        self.keys[place] = job.key.bytes();
        for (nonces, word) in self.nonces.iter_mut().zip(words) {
            nonces[place] = u32::from_le_bytes(*word);
        }
        self.texts.as_flattened_mut()[place] = text;
        self.lengths[place / PACKETS].0[place % PACKETS] = length as u64;
        self.blocks[place] = blocks;
        self.tags[place] = Some(tag);
        self.oks[place] = Some(&mut job.ok);
    }

    /// Which block of which packet goes where.
    #[inline]
    pub(super) fn plan(&self) -> Plan {
        Plan::new(self.count, self.blocks)
    }

    /// The `n`th eight packets, as far as they are there.
    #[inline]
    pub(super) fn eight(&self, n: usize) -> Eight<'_> {
        let n = n % EIGHTS;
        let count = self.count.saturating_sub(PACKETS * n).min(PACKETS);
        Eight { count, texts: &self.texts[n], lengths: &self.lengths[n] }
    }

    /// Writes the tags of the packets from `first` on.
    #[inline]
    pub(super) fn seal(&mut self, first: usize, tags: &[[u8; TAG_LEN]]) {
        for (slot, tag) in self.tags.iter_mut().skip(first).zip(tags) {
            if let Some(slot) = slot {
                **slot = *tag;
            }
        }
    }

    /// Compares the tags of the packets from `first` on. What fails is not touched any more; says what does.
    #[inline]
    pub(super) fn verify(&mut self, first: usize, tags: &[[u8; TAG_LEN]], mut fails: impl FnMut(usize)) {
        for (place, tag) in (first..FLIGHT).zip(tags) {
            if let (Some(came), Some(ok)) = (&self.tags[place], &mut self.oks[place]) {
                **ok = super::equal(came, tag);
                if !**ok {
                    self.texts.as_flattened_mut()[place] = &mut [];
                    fails(place);
                }
            }
        }
    }
}
