//! Several packets: key streams by [`lanes`], tags by [`poly`].
//!
//! A pair of items at a time; its blocks are put on their texts after the next pair's rounds, when the stores that made
//! them are long done.

use super::equal;
use super::lanes::{self, Group, LANES};
use super::plan::{FLIGHT, Item, Plan, text_len};
use super::poly::{self, PACKETS, Powers};
use super::vector::{Block, Words, xor};
use crate::aead::{Job, TAG_LEN};
use arrayvec::ArrayVec;
use core::cmp::Reverse;

/// What a flight needs. It keeps secrets: [`super::Simd`] wipes it.
#[derive(zeroize::Zeroize)]
pub(super) struct Scratch {
    groups: [Group; 2],
    /// Whose keys the groups have: `Item::packets`.
    lanes_of: [[u8; LANES]; 2],
    /// Of the last two pairs.
    blocks: [[[Block; LANES]; 2]; 2],
    /// Poly1305's, in the order of the plan.
    keys: [[u8; 32]; FLIGHT],
    powers: Powers,
}

/// A job, taken to pieces.
struct Packet<'a> {
    key: &'a [u8; 32],
    /// As words.
    nonce: [u32; 3],
    /// Empty when it may not be touched any more.
    text: &'a mut [u8],
    tag: &'a mut [u8; TAG_LEN],
    ok: &'a mut bool,
}

type Packets<'a> = ArrayVec<Packet<'a>, FLIGHT>;

/// One item or two that were run, and where their blocks are.
struct Done {
    items: [Item; 2],
    count: usize,
    turn: usize,
}

const NOBODY: [u8; LANES] = [u8::MAX; LANES];

/// The jobs that have room for a tag, the longest first.
fn packets<'a>(jobs: &'a mut [Job<'_>]) -> Packets<'a> {
    let mut packets = Packets::new();
    for job in jobs.iter_mut().take(FLIGHT) {
        let nonce = job.nonce();
        job.ok = text_len(job.buffer).is_some();
        if !job.ok {
            continue;
        }
        let Some((text, tag)) = job.buffer.split_last_chunk_mut() else { continue };
        let mut words = [0; 3];
        for (word, bytes) in words.iter_mut().zip(nonce.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        packets.push(Packet { key: job.key.bytes(), nonce: words, text, tag, ok: &mut job.ok });
    }
    if !packets.is_sorted_by(|a, b| a.text.len() >= b.text.len()) {
        packets.sort_unstable_by_key(|packet| Reverse(packet.text.len()));
    }
    packets
}

impl Scratch {
    pub(super) const EMPTY: Self = Self {
        groups: [Group::EMPTY; 2],
        lanes_of: [NOBODY; 2],
        blocks: [[[Block([0; 64]); LANES]; 2]; 2],
        keys: [[0; 32]; FLIGHT],
        powers: Powers::EMPTY,
    };

    /// Up to [`FLIGHT`] jobs.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn seal(&mut self, jobs: &mut [Job<'_>]) {
        let mut packets = packets(jobs);
        let mut plan = Plan::new(packets.iter().map(|packet| packet.text.len()));
        self.lanes_of = [NOBODY; 2];
        let mut waiting = [self.run(&packets, &mut plan, 0), None];
        if plan.has_first_items() {
            waiting[1] = self.run(&packets, &mut plan, 1);
        }
        self.run_all(&mut packets, &mut plan, waiting);
        for (n, packets) in packets.chunks_mut(PACKETS).enumerate() {
            let tags = self.tags(packets, n * PACKETS);
            for (packet, tag) in packets.iter_mut().zip(tags) {
                *packet.tag = tag;
            }
        }
    }

    /// Up to [`FLIGHT`] jobs.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn open(&mut self, jobs: &mut [Job<'_>]) {
        let mut packets = packets(jobs);
        let mut plan = Plan::new(packets.iter().map(|packet| packet.text.len()));
        self.lanes_of = [NOBODY; 2];
        // All keys first. The other blocks that were made with them wait until the tags are known.
        let mut waiting = [self.run(&packets, &mut plan, 0), None];
        if plan.has_first_items() {
            waiting[1] = self.run(&packets, &mut plan, 1);
        }
        self.keep_keys(&waiting);
        for (n, packets) in packets.chunks_mut(PACKETS).enumerate() {
            let tags = self.tags(packets, n * PACKETS);
            for ((place, packet), tag) in packets.iter_mut().enumerate().zip(tags) {
                *packet.ok = equal(packet.tag, &tag);
                if !*packet.ok {
                    packet.text = &mut [];
                    plan.drop_packet(n * PACKETS + place);
                }
            }
        }
        self.run_all(&mut packets, &mut plan, waiting);
    }

    /// Puts on the texts what waits, and runs and puts there what is left of the plan.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn run_all(&mut self, packets: &mut Packets<'_>, plan: &mut Plan, waiting: [Option<Done>; 2]) {
        self.keep_keys(&waiting);
        let [first, second] = waiting;
        let mut before = first;
        if second.is_some() {
            self.put(packets, before);
            before = second;
        }
        while let Some(done) = self.run(packets, plan, before.as_ref().map_or(0, |done| 1 - done.turn)) {
            self.put(packets, before);
            before = Some(done);
        }
        self.put(packets, before);
    }

    /// Makes the blocks of the next one or two items.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn run(&mut self, packets: &Packets<'_>, plan: &mut Plan, turn: usize) -> Option<Done> {
        let turn = turn % 2;
        let first = plan.next()?;
        let Some(second) = plan.next() else {
            let group = self.find(&first).unwrap_or(0);
            self.set(group, packets, &first);
            lanes::keystream_16(&self.groups[group], &first.blocks, &mut self.blocks[turn][0]);
            return Some(Done { items: [first, first], count: 1, turn });
        };
        let groups = match (self.find(&first), self.find(&second)) {
            (Some(a), Some(b)) => [a, b],
            (Some(a), None) => [a, 1 - a],
            (None, Some(b)) => [1 - b, b],
            (None, None) => [0, usize::from(first.packets != second.packets)],
        };
        self.set(groups[0], packets, &first);
        self.set(groups[1], packets, &second);
        let [a, b] = &mut self.blocks[turn];
        let groups = groups.map(|group| &self.groups[group]);
        lanes::keystream_32(groups, [&first.blocks, &second.blocks], [a, b]);
        Some(Done { items: [first, second], count: 2, turn })
    }

    #[inline]
    fn find(&self, item: &Item) -> Option<usize> {
        self.lanes_of.iter().position(|lanes| *lanes == item.packets)
    }

    /// Gives a group the keys of an item's packets, unless it has them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn set(&mut self, group: usize, packets: &Packets<'_>, item: &Item) {
        if self.lanes_of[group] == item.packets {
            return;
        }
        self.lanes_of[group] = item.packets;
        let mut keys: [&[u8; 32]; LANES] = [&[0; 32]; LANES];
        let mut nonces = [Words([0; LANES]); 3];
        for (lane, &place) in item.packets.iter().enumerate() {
            if let Some(packet) = packets.get(usize::from(place)) {
                keys[lane] = packet.key;
                nonces[0].0[lane] = packet.nonce[0];
                nonces[1].0[lane] = packet.nonce[1];
                nonces[2].0[lane] = packet.nonce[2];
            }
        }
        self.groups[group].set(&keys, &nonces);
    }

    /// The Poly1305 keys, from the blocks 0.
    #[inline]
    fn keep_keys(&mut self, done: &[Option<Done>; 2]) {
        for done in done.iter().flatten() {
            for (item, blocks) in done.items.iter().zip(&self.blocks[done.turn]).take(done.count) {
                for ((&place, &number), block) in item.packets.iter().zip(&item.blocks.0).zip(blocks) {
                    if number == 0 {
                        self.keys[usize::from(place) % FLIGHT] = *block.0.first_chunk().unwrap_or(&[0; 32]);
                    }
                }
            }
        }
    }

    /// Puts blocks on the texts.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn put(&self, packets: &mut Packets<'_>, done: Option<Done>) {
        let Some(done) = done else { return };
        for (item, blocks) in done.items.iter().zip(&self.blocks[done.turn]).take(done.count) {
            for ((&place, &number), block) in item.packets.iter().zip(&item.blocks.0).zip(blocks) {
                // Neither block 0 nor that of an idle lane has a place in a text.
                let at = 64 * number.wrapping_sub(1) as usize;
                let Some(packet) = packets.get_mut(usize::from(place)) else { continue };
                // Not by closures: those that need CPU features are not put in line.
                if let Some(text) = packet.text.get_mut(at..) {
                    xor(text, block);
                }
            }
        }
    }

    /// Of up to eight packets, the first of which has the place `first`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn tags(&mut self, packets: &[Packet<'_>], first: usize) -> [[u8; TAG_LEN]; PACKETS] {
        let mut texts: [&[u8]; PACKETS] = [&[]; PACKETS];
        for (text, packet) in texts.iter_mut().zip(packets) {
            *text = packet.text;
        }
        let mut keys: [&[u8; 32]; PACKETS] = [&self.keys[0]; PACKETS];
        for (slot, key) in keys.iter_mut().zip(&self.keys[first..]) {
            *slot = key;
        }
        let texts = &texts[..packets.len().min(PACKETS)];
        poly::tags(texts, &keys, poly::way(texts), &mut self.powers)
    }
}
