//! Several packets: key streams by [`lanes`], tags by [`poly`].
//!
//! A pair of items at a time. Blocks of straight items go onto their texts as they are made. The others wait in memory, and are
//! put on their texts after the next pair's rounds, when the stores that made them are long done.

use super::flight::{EIGHTS, Flight};
use super::lanes::{self, Group, Half, LANES, Onto};
use super::plan::{FLIGHT, Item, Plan};
use super::poly::{self, PACKETS, Powers};
use super::vector::{Block, Words, load, xor};
use crate::aead::TAG_LEN;

/// What a flight needs. It keeps secrets: [`super::Simd`] wipes it.
#[derive(zeroize::Zeroize)]
pub(super) struct Scratch {
    groups: [Group; 2],
    /// Whose keys the groups have: `Item::packets`.
    lanes_of: [[u8; LANES]; 2],
    /// Of the last two pairs.
    blocks: [[[Block; LANES]; 2]; 2],
    /// Poly1305's, in the order of the plan.
    keys: [[[u8; 32]; PACKETS]; EIGHTS],
    powers: Powers,
}

/// One item or two that were run, and where their blocks are.
struct Done {
    items: [Item; 2],
    /// Which of them wait in memory to be put on their texts.
    wait: [bool; 2],
    turn: usize,
}

const NOBODY: [u8; LANES] = [u8::MAX; LANES];

impl Scratch {
    pub(super) const EMPTY: Self = Self {
        groups: [Group::EMPTY; 2],
        lanes_of: [NOBODY; 2],
        blocks: [[[Block([0; 64]); LANES]; 2]; 2],
        keys: [[[0; 32]; PACKETS]; EIGHTS],
        powers: Powers::EMPTY,
    };

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn seal(&mut self, flight: &mut Flight<'_>, plan: &mut Plan) {
        self.lanes_of = [NOBODY; 2];
        let mut waiting = [self.run(flight, plan, 0, true), None];
        if plan.has_first_items() {
            waiting[1] = self.run(flight, plan, 1, true);
        }
        self.keep_keys(&waiting);
        self.run_all(flight, plan, waiting);
        for two in 0..flight.count.div_ceil(2 * PACKETS) {
            let tags = self.tags(flight, two);
            flight.seal(two * 2 * PACKETS, tags.as_flattened());
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn open(&mut self, flight: &mut Flight<'_>, plan: &mut Plan) {
        self.lanes_of = [NOBODY; 2];
        // All keys first. The other blocks that were made with them wait until the tags are known.
        let mut waiting = [self.run(flight, plan, 0, false), None];
        if plan.has_first_items() {
            waiting[1] = self.run(flight, plan, 1, false);
        }
        self.keep_keys(&waiting);
        for two in 0..flight.count.div_ceil(2 * PACKETS) {
            let tags = self.tags(flight, two);
            flight.verify(two * 2 * PACKETS, tags.as_flattened(), |place| plan.drop_packet(place));
        }
        self.run_all(flight, plan, waiting);
    }

    /// Puts on the texts what waits, and runs and puts there what is left of the plan.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn run_all(&mut self, flight: &mut Flight<'_>, plan: &mut Plan, waiting: [Option<Done>; 2]) {
        let [first, second] = waiting;
        let mut before = first;
        if second.is_some() {
            self.put(flight, before);
            before = second;
        }
        while let Some(done) = self.run(flight, plan, before.as_ref().map_or(0, |done| 1 - done.turn), true) {
            self.put(flight, before);
            before = Some(done);
        }
        self.put(flight, before);
    }

    /// Makes the blocks of the next one or two items. `onto`: those of straight items go onto their texts at once.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn run(&mut self, flight: &mut Flight<'_>, plan: &mut Plan, turn: usize, onto: bool) -> Option<Done> {
        let turn = turn % 2;
        let first = plan.next()?;
        flight.ahead.ask(2 * LANES);
        let first_onto = if onto { onto_texts(&first) } else { None };
        let Some(second) = plan.next() else {
            let group = self.find(&first).unwrap_or(0);
            self.set(group, flight, &first);
            let (groups, blocks) = ([&self.groups[group]], &mut self.blocks[turn]);
            lanes::keystream(groups, [&first.blocks], blocks, [first_onto], &mut flight.texts);
            return Some(Done { items: [first, first], wait: [first_onto.is_none(), false], turn });
        };
        let second_onto = if onto { onto_texts(&second) } else { None };
        let [a, b] = match (self.find(&first), self.find(&second)) {
            (Some(a), Some(b)) => [a, b],
            (Some(a), None) => [a, 1 - a],
            (None, Some(b)) => [1 - b, b],
            (None, None) => [0, usize::from(first.packets != second.packets)],
        };
        self.set(a, flight, &first);
        self.set(b, flight, &second);
        let (groups, blocks) = ([&self.groups[a], &self.groups[b]], &mut self.blocks[turn]);
        let counters = [&first.blocks, &second.blocks];
        lanes::keystream(groups, counters, blocks, [first_onto, second_onto], &mut flight.texts);
        Some(Done { items: [first, second], wait: [first_onto.is_none(), second_onto.is_none()], turn })
    }

    #[inline]
    fn find(&self, item: &Item) -> Option<usize> {
        self.lanes_of.iter().position(|lanes| *lanes == item.packets)
    }

    /// Gives a group the keys of an item's packets, unless it has them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn set(&mut self, group: usize, flight: &Flight<'_>, item: &Item) {
        if self.lanes_of[group] == item.packets {
            return;
        }
        self.lanes_of[group] = item.packets;
        let mut keys: [&[u8; 32]; LANES] = [&[0; 32]; LANES];
        let mut nonces = [Words([0; LANES]); 3];
        if let Some(halves) = item.halves() {
            for (half, (first, _)) in halves.into_iter().enumerate() {
                copy_eight(&mut keys, half, &flight.keys, first);
                for (to, from) in nonces.iter_mut().zip(&flight.nonces) {
                    copy_eight(&mut to.0, half, from, first);
                }
            }
        } else {
            for (lane, &place) in item.packets.iter().enumerate() {
                let place = usize::from(place) % FLIGHT;
                keys[lane] = flight.keys[place];
                for (to, from) in nonces.iter_mut().zip(&flight.nonces) {
                    to.0[lane] = from[place];
                }
            }
        }
        self.groups[group].set(&keys, &nonces);
    }

    /// The Poly1305 keys, from the blocks 0.
    #[inline]
    fn keep_keys(&mut self, done: &[Option<Done>; 2]) {
        for done in done.iter().flatten() {
            for ((item, blocks), wait) in done.items.iter().zip(&self.blocks[done.turn]).zip(done.wait) {
                if !wait {
                    continue;
                }
                let keys = self.keys.as_flattened_mut();
                let key = |block: &Block| *block.0.first_chunk().unwrap_or(&[0; 32]);
                if let Some(halves) = item.halves() {
                    for (half, (first, number)) in halves.into_iter().enumerate() {
                        let keys = keys.get_mut(first..first + PACKETS).unwrap_or_default();
                        if number == 0 {
                            for (slot, block) in keys.iter_mut().zip(&blocks[half * PACKETS..(half + 1) * PACKETS]) {
                                *slot = key(block);
                            }
                        }
                    }
                    continue;
                }
                for ((&place, &number), block) in item.packets.iter().zip(&item.blocks.0).zip(blocks) {
                    if number == 0 {
                        keys[usize::from(place) % FLIGHT] = key(block);
                    }
                }
            }
        }
    }

    /// Puts blocks on the texts.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn put(&self, flight: &mut Flight<'_>, done: Option<Done>) {
        let Some(done) = done else { return };
        let texts = flight.texts.as_flattened_mut();
        for ((item, blocks), wait) in done.items.iter().zip(&self.blocks[done.turn]).zip(done.wait) {
            if !wait {
                continue;
            }
            if let Some(halves) = item.halves() {
                for (half, (first, number)) in halves.into_iter().enumerate() {
                    let texts = texts.get_mut(first..first + PACKETS).unwrap_or_default();
                    put_straight(texts, number, &blocks[half * PACKETS..(half + 1) * PACKETS]);
                }
                continue;
            }
            for ((&place, &number), block) in item.packets.iter().zip(&item.blocks.0).zip(blocks) {
                // Neither block 0 nor that of an idle lane has a place in a text.
                // Not by closures: those that need CPU features are not put in line.
                if let Some(text) = texts[usize::from(place) % FLIGHT].get_mut(place_of(number)..) {
                    xor(text, load(&block.0));
                }
            }
        }
    }

    /// Of the packets in the `two`th two groups of eight.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn tags(&mut self, flight: &Flight<'_>, two: usize) -> [[[u8; TAG_LEN]; PACKETS]; 2] {
        let eights = [flight.eight(2 * two), flight.eight(2 * two + 1)];
        let keys = [&self.keys[2 * two % EIGHTS], &self.keys[(2 * two + 1) % EIGHTS]];
        if poly::alike(&eights) {
            return poly::tags_of_two(&eights, keys);
        }
        let mut tags = [[[0; TAG_LEN]; PACKETS]; 2];
        for ((eight, keys), tags) in eights.iter().zip(keys).zip(&mut tags) {
            if eight.count > 0 {
                *tags = poly::tags(eight, keys, poly::way(eight), &mut self.powers);
            }
        }
        tags
    }
}

/// Copies eight of `from` to one half of `to`.
#[inline]
fn copy_eight<T: Copy>(to: &mut [T; LANES], half: usize, from: &[T; FLIGHT], first: usize) {
    if let (Some(to), Some(from)) =
        (to.as_chunks_mut::<PACKETS>().0.get_mut(half), from[first % FLIGHT..].first_chunk())
    {
        *to = *from;
    }
}

/// Onto what the blocks of an item go, if it is a straight one without blocks 0.
#[inline]
fn onto_texts(item: &Item) -> Onto {
    let halves = item.halves()?;
    if halves.iter().any(|(_, number)| *number == 0) {
        return None;
    }
    Some(halves.map(|(first, number)| Half { eight: first / PACKETS, at: place_of(number) }))
}

/// Where in a text a block belongs: behind every text for block 0 and that of an idle lane.
#[inline]
fn place_of(number: u32) -> usize {
    64 * number.wrapping_sub(1) as usize
}

/// Puts blocks of the same number on the texts of neighbours.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn put_straight(texts: &mut [&mut [u8]], number: u32, blocks: &[Block]) {
    if number == 0 {
        return;
    }
    let at = place_of(number);
    for (text, block) in texts.iter_mut().zip(blocks) {
        if let Some(text) = text.get_mut(at..) {
            xor(text, load(&block.0));
        }
    }
}
