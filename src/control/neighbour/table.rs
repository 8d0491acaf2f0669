//! The entries, found by address, by the time when something is due, and by how long they lie unused.

use crate::wire::MacAddr;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

/// Port and address of a neighbour.
pub(super) type Key = (u16, IpAddr);

/// How well a neighbour is known. What is resolved can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Asked so many times; packets wait.
    Incomplete { tries: u8 },
    /// It did not answer; not asked again for a while.
    Failed,
    /// It answered not long ago.
    Reachable { mac: MacAddr },
    /// It answered long ago, or only told us itself; asked again when used.
    Stale { mac: MacAddr },
    /// Used, and asked so many times whether it is still there.
    Probing { mac: MacAddr, tries: u8 },
}

impl State {
    pub(super) fn mac(self) -> Option<MacAddr> {
        match self {
            Self::Incomplete { .. } | Self::Failed => None,
            Self::Reachable { mac } | Self::Stale { mac } | Self::Probing { mac, .. } => Some(mac),
        }
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asked(self) -> bool {
        matches!(self, Self::Incomplete { .. } | Self::Probing { .. })
    }
}

/// One neighbour.
#[derive(Debug)]
pub(super) struct Entry<P> {
    pub(super) state: State,
    /// Packets for it, oldest first; only while it is incomplete.
    pub(super) waiting: VecDeque<P>,
    /// When something must be done, in ms.
    pub(super) due_ms: u64,
    /// When it was last known to be used, in ms.
    pub(super) used_ms: u64,
}

impl<P> Entry<P> {
    fn order(&self, (port, addr): Key) -> (Due, Use) {
        let is_resolved = self.state.mac().is_some();
        ((self.due_ms, port, addr), (port, is_resolved, self.used_ms, addr))
    }
}

type Due = (u64, u16, IpAddr);
/// Port, resolved or not, when last used, address.
type Use = (u16, bool, u64, IpAddr);

/// All entries of all ports.
///
/// # Invariants
/// Every entry stands in `by_due` and `by_use` once, and is counted once, under its present values.
#[derive(Debug)]
pub(super) struct Table<P> {
    entries: HashMap<Key, Entry<P>>,
    by_due: BTreeSet<Due>,
    by_use: BTreeSet<Use>,
    counts: HashMap<(u16, bool), usize>,
}

impl<P> Table<P> {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), by_due: BTreeSet::new(), by_use: BTreeSet::new(), counts: HashMap::new() }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry<P>> {
        self.entries.get(&key)
    }

    pub(super) fn state(&self, key: Key) -> Option<State> {
        self.get(key).map(|entry| entry.state)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Entry<P>)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }

    /// Puts an entry in, in place of the one that was there.
    pub(super) fn insert(&mut self, key: Key, entry: Entry<P>) -> Option<Entry<P>> {
        let old = self.remove(key);
        self.index(entry.order(key));
        self.entries.insert(key, entry);
        old
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry<P>> {
        let entry = self.entries.remove(&key)?;
        self.unindex(entry.order(key));
        Some(entry)
    }

    /// Changes an entry; all changes pass here.
    pub(super) fn update<R>(&mut self, key: Key, change: impl FnOnce(&mut Entry<P>) -> R) -> Option<R> {
        let entry = self.entries.get_mut(&key)?;
        let before = entry.order(key);
        let result = change(entry);
        let after = entry.order(key);
        if before != after {
            self.unindex(before);
            self.index(after);
        }
        Some(result)
    }

    /// The time of the earliest thing to do, and whose.
    pub(super) fn first_due(&self) -> Option<(u64, Key)> {
        self.by_due.first().map(|(due_ms, port, addr)| (*due_ms, (*port, *addr)))
    }

    /// How many entries of a port are resolved, or are not.
    pub(super) fn count(&self, port: u16, is_resolved: bool) -> usize {
        self.counts.get(&(port, is_resolved)).copied().unwrap_or(0)
    }

    /// The entry of a port that lies unused longest.
    pub(super) fn least_used(&self, port: u16, is_resolved: bool) -> Option<Key> {
        let first = IpAddr::from([0_u8; 4]);
        let (found_port, found_resolved, _, addr) = *self.by_use.range((port, is_resolved, 0, first)..).next()?;
        ((found_port, found_resolved) == (port, is_resolved)).then_some((port, addr))
    }

    fn index(&mut self, (due, used): (Due, Use)) {
        self.by_due.insert(due);
        self.by_use.insert(used);
        *self.counts.entry((used.0, used.1)).or_insert(0) += 1;
    }

    fn unindex(&mut self, (due, used): (Due, Use)) {
        self.by_due.remove(&due);
        self.by_use.remove(&used);
        if let Some(count) = self.counts.get_mut(&(used.0, used.1)) {
            *count -= 1;
        }
    }

    /// Checks the invariants.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.by_due.len(), self.entries.len());
        assert_eq!(self.by_use.len(), self.entries.len());
        assert_eq!(self.counts.values().sum::<usize>(), self.entries.len());
        for (key, entry) in self.iter() {
            let (due, used) = entry.order(key);
            assert!(self.by_due.contains(&due) && self.by_use.contains(&used));
            assert!(entry.waiting.is_empty() || matches!(entry.state, State::Incomplete { .. }));
        }
    }
}
