//! A set of places in a worker's array of chunks.

/// Places 0 to 63, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(pub(super) u64);

impl Places {
    pub(super) fn insert(&mut self, place: usize) {
        self.0 |= bit(place);
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.0 &= !bit(place);
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The first one; beyond all places if there is none.
    pub(super) fn first(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Those that are not in it.
    pub(super) fn others(self) -> Self {
        Self(!self.0)
    }

    /// The elements at these places.
    pub(super) fn of<T>(self, all: &mut [T]) -> impl Iterator<Item = &mut T> {
        all.iter_mut().enumerate().filter(move |(place, _)| self.0 & bit(*place) != 0).map(|(_, element)| element)
    }
}

/// None for a place that is too great.
fn bit(place: usize) -> u64 {
    u32::try_from(place).ok().and_then(|place| 1u64.checked_shl(place)).unwrap_or(0)
}

impl Iterator for Places {
    type Item = usize;

    /// Takes the first one out.
    fn next(&mut self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let place = self.first();
        self.0 &= self.0 - 1;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_and_go() {
        let mut places = Places(0);
        for place in [63, 0, 7, 7, 64, usize::MAX] {
            places.insert(place);
        }
        assert_eq!((places.len(), places.first(), places.others().len()), (3, 0, 61));
        assert_eq!(places.collect::<Vec<_>>(), [0, 7, 63]);
        let mut all: Vec<usize> = (0..64).collect();
        assert_eq!(places.of(&mut all).map(|n| *n).collect::<Vec<_>>(), [0, 7, 63]);
        places.remove(0);
        places.remove(64);
        assert_eq!(places, Places(1 << 63 | 1 << 7));
        assert_eq!((Places(0).first(), Places(0).is_empty()), (64, true));
    }
}
