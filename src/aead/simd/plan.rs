//! Which block of which packet goes into which lane.
//!
//! Packets are sorted by length. 16 neighbours, or 8 with two blocks each, make a *bunch*: the same lanes for the same packets
//! from column to column, so that their keys are set up once. What has no place in a bunch, few packets and the ends of those
//! that are longer than their neighbours, goes into any lane. The blocks 0, which make the Poly1305 keys, come first.

use super::lanes::LANES;
use super::vector::Words;
use crate::aead::TAG_LEN;
use core::array;

/// Most packets that are worked on together.
pub(super) const FLIGHT: usize = 32;

/// Most items that hold blocks 0: of two bunches and of what is in none.
pub(super) const FIRST_ITEMS: usize = 3;

/// A lane of a packet whose block lies behind every text has nothing to do.
const IDLE: u32 = u32::MAX;

/// 16 lanes' work.
#[derive(Clone, Copy)]
pub(super) struct Item {
    /// By place: the longest packet has 0.
    pub(super) packets: [u8; LANES],
    /// Number of the block: 0 for the Poly1305 key, n for the text from byte 64 (n − 1) on.
    pub(super) blocks: Words,
    /// Lanes 0 to 7 are neighbours with the same number, and so are lanes 8 to 15.
    pub(super) straight: bool,
}

impl Item {
    /// The first packet, and the number of its block, of each half of a straight item.
    #[inline]
    pub(super) fn halves(&self) -> Option<[(usize, u32); 2]> {
        let half = |lane: usize| (usize::from(self.packets[lane]), self.blocks.0[lane]);
        self.straight.then(|| [half(0), half(LANES / 2)])
    }
}

/// 16 lanes whose packets stay the same.
#[derive(Clone, Copy)]
struct Bunch {
    start: usize,
    /// Packets: 16, 8, or 0 for no bunch.
    width: usize,
    /// The columns that come next.
    item: Item,
    /// No more columns come: the rest goes into any lane.
    over: bool,
}

impl Bunch {
    #[expect(clippy::cast_possible_truncation, reason = "packets are numbered up to FLIGHT")]
    #[inline]
    fn new(start: usize, width: usize) -> Self {
        let two_columns = u32::from(width < LANES);
        let packets = array::from_fn(|lane| (start + (lane & (LANES / 2 * (width / LANES) + LANES / 2 - 1))) as u8);
        let blocks = Words(array::from_fn(|lane| if lane < LANES / 2 { 0 } else { two_columns }));
        Self { start, width, item: Item { packets, blocks, straight: true }, over: width == 0 }
    }

    fn last_column(&self) -> u32 {
        self.item.blocks.0[LANES - 1]
    }

    /// The next columns.
    #[inline]
    fn next(&mut self) -> Item {
        let item = self.item;
        let columns = 1 + u32::from(self.width < LANES);
        for block in &mut self.item.blocks.0 {
            *block = block.wrapping_add(columns);
        }
        item
    }
}

/// What is left to do in a flight.
pub(super) struct Plan {
    /// How many there are.
    packets: usize,
    /// Of each packet, the longest first: blocks in all, and those that were given out.
    blocks: [u32; FLIGHT],
    given: [u32; FLIGHT],
    bunches: [Bunch; 2],
    begun: usize,
}

/// Bytes of the text, and blocks with that of the Poly1305 key, if there is room for a tag behind it and the 32-bit block
/// counter can number them.
#[inline]
pub(super) fn text_of(buffer: &[u8]) -> Option<(usize, u32)> {
    let length = buffer.len().checked_sub(TAG_LEN)?;
    let blocks = u32::try_from(length.div_ceil(64)).ok()?.checked_add(1)?;
    Some((length, blocks))
}

impl Plan {
    /// For so many packets with these blocks, the longest first, as `text_of` counts them.
    pub(super) fn new(packets: usize, blocks: [u32; FLIGHT]) -> Self {
        let packets = packets.min(FLIGHT);
        let width = |start| match packets - start {
            16.. => 16,
            8.. => 8,
            _ => 0,
        };
        let first = Bunch::new(0, width(0));
        let second = Bunch::new(first.width, width(first.width));
        Self { packets, blocks, given: [0; FLIGHT], bunches: [first, second], begun: 0 }
    }

    /// Gives out nothing more of a packet.
    pub(super) fn drop_packet(&mut self, place: usize) {
        if let Some(blocks) = self.blocks.get_mut(place) {
            *blocks = 0;
        }
    }

    /// Whether items with blocks 0 are left.
    pub(super) fn has_first_items(&self) -> bool {
        self.begun < FIRST_ITEMS
    }

    /// The next 16 lanes. Items without work are left out.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Item> {
        while self.begun < FIRST_ITEMS {
            self.begun += 1;
            match self.bunches.get_mut(self.begun - 1) {
                Some(bunch) if bunch.width > 0 => return Some(bunch.next()),
                Some(_) => {}
                None => {
                    if let Some(item) = self.any(true) {
                        return Some(item);
                    }
                }
            }
        }
        for bunch in &mut self.bunches {
            // Worth while while an eighth of its lanes is idle at most.
            if !bunch.over && self.blocks[bunch.start + bunch.width - 1 - bunch.width / 8] > bunch.last_column() {
                return Some(bunch.next());
            }
        }
        self.any(false)
    }

    /// Blocks of packets that are in no bunch, or longer than their bunch. `keys`: the blocks 0 first.
    #[expect(clippy::cast_possible_truncation, reason = "packets are numbered up to FLIGHT")]
    fn any(&mut self, keys: bool) -> Option<Item> {
        let bunched = self.bunches[0].width + self.bunches[1].width;
        // Most often nothing is left.
        let done = |bunch: &Bunch| {
            let blocks = &self.blocks[bunch.start..bunch.start + bunch.width];
            !bunch.over && blocks.iter().all(|blocks| *blocks <= bunch.item.blocks.0[0])
        };
        if bunched == self.packets && (keys || self.bunches.iter().all(|bunch| bunch.width == 0 || done(bunch))) {
            return None;
        }
        for bunch in &mut self.bunches {
            let columns = bunch.item.blocks.0[0];
            if !bunch.over {
                self.given[bunch.start..bunch.start + bunch.width].fill(columns);
                bunch.over = !keys;
            }
        }
        let first = if keys { bunched } else { 0 };
        let left = self.given[first..self.packets].iter().zip(&self.blocks[first..self.packets]);
        // Most often nothing is left: nothing is written then.
        let first = first + left.take_while(|(given, blocks)| given >= blocks).count();
        if first == self.packets {
            return None;
        }
        let mut item = Item { packets: [0; LANES], blocks: Words([IDLE; LANES]), straight: false };
        let mut lane = 0;
        if keys {
            for place in bunched..self.packets {
                item.packets[lane] = place as u8;
                item.blocks.0[lane] = 0;
                self.given[place] = 1;
                lane += 1;
            }
        }
        for place in first..self.packets {
            while lane < LANES && self.given[place] < self.blocks[place] {
                item.packets[lane] = place as u8;
                item.blocks.0[lane] = self.given[place];
                self.given[place] += 1;
                lane += 1;
            }
        }
        (lane > 0).then_some(item)
    }
}
