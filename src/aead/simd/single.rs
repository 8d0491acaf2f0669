//! One packet: its key stream by [`rows`], its tag in 64-bit registers or, when it is long, eight blocks at once.

use super::equal;
use super::plan::text_of;
use super::poly::{self, Eight, PACKETS, Powers, Way};
use super::rows::{self, MOST};
use super::scalar;
use super::vector::{Block, Quads, load, xor};
use crate::aead::{Job, TAG_LEN};

/// Up to here the scalar tag is the faster one, in bytes.
const SHORT: usize = 320;

/// Blocks that one call makes, as the block counter counts.
#[expect(clippy::cast_possible_truncation, reason = "it is 24")]
const MOST_BLOCKS: u32 = MOST as u32;

/// What a packet needs. It keeps secrets: [`super::Simd`] wipes it.
#[derive(zeroize::Zeroize)]
pub(super) struct Scratch {
    blocks: [Block; MOST],
    powers: Powers,
}

impl Scratch {
    pub(super) const EMPTY: Self = Self { blocks: [Block([0; 64]); MOST], powers: Powers::EMPTY };

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn seal(&mut self, job: &mut Job<'_>) {
        let (key, nonce) = (job.key.bytes(), job.nonce());
        job.ok = text_of(job.buffer).is_some();
        if !job.ok {
            return;
        }
        let Some((text, room)) = job.buffer.split_last_chunk_mut::<TAG_LEN>() else { return };
        self.begin(key, &nonce, text.len());
        let poly_key = *self.blocks[0].0.first_chunk().unwrap_or(&[0; 32]);
        self.put(key, &nonce, text);
        *room = self.tag(&poly_key, text);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn open(&mut self, job: &mut Job<'_>) {
        let (key, nonce) = (job.key.bytes(), job.nonce());
        job.ok = text_of(job.buffer).is_some();
        if !job.ok {
            return;
        }
        let Some((text, came)) = job.buffer.split_last_chunk_mut::<TAG_LEN>() else { return };
        self.begin(key, &nonce, text.len());
        let poly_key = *self.blocks[0].0.first_chunk().unwrap_or(&[0; 32]);
        let tag = self.tag(&poly_key, text);
        job.ok = equal(came, &tag);
        if job.ok {
            self.put(key, &nonce, text);
        }
    }

    /// Block 0 and the first of the text.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn begin(&mut self, key: &[u8; 32], nonce: &[u8; 12], length: usize) {
        rows::keystream(key, nonce, 0, 1 + length.div_ceil(64), &mut self.blocks);
    }

    /// Puts on the text what `begin` made, and the rest.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn put(&mut self, key: &[u8; 32], nonce: &[u8; 12], text: &mut [u8]) {
        let mut rest = text;
        let (mut skip, mut next) = (1, MOST_BLOCKS);
        while !rest.is_empty() {
            for block in &self.blocks[skip..] {
                let (head, tail) = rest.split_at_mut(rest.len().min(64));
                xor(head, load(&block.0));
                rest = tail;
                if rest.is_empty() {
                    return;
                }
            }
            rows::keystream(key, nonce, next, rest.len().div_ceil(64), &mut self.blocks);
            (skip, next) = (0, next + MOST_BLOCKS);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn tag(&mut self, key: &[u8; 32], text: &mut [u8]) -> [u8; TAG_LEN] {
        if text.len() <= SHORT {
            return scalar::tag(key, text);
        }
        let mut lengths = Quads([0; PACKETS]);
        lengths.0[0] = text.len() as u64;
        let mut keys = [[0; 32]; PACKETS];
        keys[0] = *key;
        let texts = [text, &mut [], &mut [], &mut [], &mut [], &mut [], &mut [], &mut []];
        let eight = Eight { count: 1, texts: &texts, lengths: &lengths };
        let [tag, ..] = poly::tags(&eight, &keys, Way::Inside, &mut self.powers);
        tag
    }
}
