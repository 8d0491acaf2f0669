//! What a thread shows of its packets to those who watch them: copies for `culvert capture`, steps for `culvert trace`.
//!
//! While nobody watches, a stage pays a load and a branch a burst. While somebody does, the thread copies packets into a ring of its own;
//! what finds no room there is counted as lost, and nobody waits.

use super::DropReason;
use super::shown::{Form, form, is_whole_message};
use super::trace::{Step, Tracer};
use crate::frame::{Frame, Packet};
use crate::peer::Tally;
use crate::queue::{
    Records,
    sync::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::sync::OnceLock;

/// Words of a thread's ring: a megabyte, taken when somebody watches for the first time.
const ROOM: usize = 1 << 17;
/// Bytes of it.
pub const RING_BYTES: usize = ROOM * size_of::<u64>();
/// Words before a record's bytes.
const HEAD: usize = 3;
/// In [`Tap::wanted`], beside the points: somebody traces.
const TRACE: u64 = 1 << 31;
/// In the place of a peer: none is known.
const NOBODY: u32 = u32::MAX;

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// A frame that came by a port, without its VLAN tag.
    Received,
    /// A frame that is given to a port, without its VLAN tag.
    Sent,
    /// An IP packet that came out of a tunnel: its tag was good, its source is not checked yet.
    Opened,
    /// An IP packet that goes into a tunnel.
    ToSeal,
    /// A whole frame of tunnel packets as it leaves for a port.
    Sealed,
    /// A frame that goes no further.
    DroppedFrame,
    /// An IP packet that goes no further.
    DroppedInner,
    /// Something else that goes no further: a message that does not stand in its frame any more, or what was in one.
    DroppedOther,
}

impl Point {
    const ALL: [Self; 8] = [
        Self::Received,
        Self::Sent,
        Self::Opened,
        Self::ToSeal,
        Self::Sealed,
        Self::DroppedFrame,
        Self::DroppedInner,
        Self::DroppedOther,
    ];

    const fn bit(self) -> u32 {
        1 << self as u8
    }

    fn dropped(form: Form) -> Self {
        match form {
            Form::Frame => Self::DroppedFrame,
            Form::Inner => Self::DroppedInner,
            Form::Other => Self::DroppedOther,
        }
    }
}

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    points: u32,
    ports: u32,
    peer: Option<u32>,
    snap: u32,
}

impl Watch {
    /// The first `snap` bytes of each packet at these points.
    pub fn new(points: &[Point], snap: u32) -> Self {
        Self { points: points.iter().fold(0, |all, point| all | point.bit()), ports: u32::MAX, peer: None, snap }
    }

    /// Frames of these ports only.
    #[must_use]
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().fold(0, |all, port| all | 1u32.checked_shl(port.into()).unwrap_or(0));
        self
    }

    /// Packets of this peer only.
    #[must_use]
    pub fn peer(mut self, peer: u32) -> Self {
        self.peer = Some(peer);
        self
    }
}

/// The notes of a packet that was seen; its bytes stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For whom: the number that [`Tap::watch`] was given.
    pub run: u32,
    /// Where.
    pub point: Point,
    /// Why it was dropped, if it was.
    pub reason: Option<DropReason>,
    /// The port of a frame, the interface of an inner packet.
    pub place: u16,
    /// When: ticks of the thread's clock.
    pub ticks: u64,
    /// Bytes that it had.
    pub len: u32,
    /// Whose it is, where that is known.
    pub peer: Option<u32>,
}

impl Seen {
    /// Bytes that it took of its thread's ring ([`RING_BYTES`]), `bytes` of its packet among them.
    pub fn room(&self, bytes: usize) -> usize {
        (1 + HEAD) * size_of::<u64>() + bytes.next_multiple_of(size_of::<u64>())
    }
}

/// One thread's. That thread alone calls what has no other word about it.
#[derive(Debug)]
pub struct Tap {
    clock: fn() -> u64,
    /// The run's number, and [`Watch::points`] and [`TRACE`] below it; 0: nobody watches. watchers: rw, owner: r
    wanted: AtomicU64,
    /// watcher: w, owner: r
    ports: AtomicU32,
    /// watcher: w, owner: r
    peer: AtomicU32,
    /// watcher: w, owner: r
    snap: AtomicU32,
    /// Records that found no room. owner: w, watcher: r
    lost: Tally,
    /// Made by the watcher. owner: pushes, watcher: pops
    records: OnceLock<Records>,
    /// The steps of traced packets.
    pub tracer: Tracer,
}

impl Tap {
    /// A tap by `clock` that nobody watches.
    pub fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            wanted: AtomicU64::new(0),
            ports: AtomicU32::new(0),
            peer: AtomicU32::new(NOBODY),
            snap: AtomicU32::new(0),
            lost: Tally::default(),
            records: OnceLock::new(),
            tracer: Tracer::new(clock),
        }
    }

    /// Shows from now on what `watch` asks for, as `run`. The watcher, of which there is one at a time.
    pub fn watch(&self, run: u32, watch: &Watch) {
        self.unwatch();
        // What came behind the former watcher's back.
        self.records.get_or_init(|| Records::new(ROOM)).clear();
        // Relaxed: published by `wanted`.
        self.ports.store(watch.ports, Relaxed);
        self.peer.store(watch.peer.unwrap_or(NOBODY), Relaxed);
        self.snap.store(watch.snap, Relaxed);
        // Release: pairs with the Acquire of `copy`.
        self.wanted.fetch_or(u64::from(run) << 32 | u64::from(watch.points), Release);
    }

    /// Shows nothing any more. A packet that is being copied may still come. The watcher.
    pub fn unwatch(&self) {
        // Relaxed: a wish, no memory hangs on it.
        self.wanted.fetch_and(TRACE, Relaxed);
    }

    /// Marks the next `packets` packets (of this peer) that come, as `run`, which is not 0. The watcher of traces, of which there is one.
    pub fn trace(&self, run: u32, packets: u32, peer: Option<u32>) {
        self.tracer.trace(run, packets, peer);
        // Relaxed: a wish, what it stands for is published by the tracer.
        self.wanted.fetch_or(TRACE, Relaxed);
    }

    /// Traces nothing any more. The watcher of traces.
    pub fn trace_no_more(&self) {
        // Relaxed: as above.
        self.wanted.fetch_and(!TRACE, Relaxed);
        self.tracer.end();
    }

    /// Packets that were not shown for want of room, so far. Any thread.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// The oldest that was shown, its bytes in `bytes`. The watcher.
    pub fn next(&self, bytes: &mut Vec<u8>) -> Option<Seen> {
        let [what, ticks, lengths] = self.records.get()?.pop::<HEAD>(bytes)?;
        let [place_low, place_high, verdict, point, run @ ..] = what.to_le_bytes();
        let peer = low(lengths);
        Some(Seen {
            run: u32::from_le_bytes(run),
            point: Point::ALL.get(usize::from(point)).copied().unwrap_or(Point::DroppedOther),
            reason: DropReason::from_verdict(verdict),
            place: u16::from_le_bytes([place_low, place_high]),
            ticks,
            len: low(lengths >> 32),
            peer: (peer != NOBODY).then_some(peer),
        })
    }

    /// Whether somebody wants to see anything.
    #[inline]
    pub fn is_on(&self) -> bool {
        // Relaxed: a wish; who shows something looks again.
        self.wanted.load(Relaxed) != 0
    }

    /// Whether somebody wants to see packets at `point`.
    #[inline]
    pub fn wants(&self, point: Point) -> bool {
        // Relaxed: a wish; `copy` looks again.
        self.wanted.load(Relaxed) & u64::from(point.bit()) != 0
    }

    /// The one peer whose packets are wanted, if it is one only.
    pub fn only_peer(&self) -> Option<u32> {
        // Relaxed: `copy` looks again.
        Some(self.peer.load(Relaxed)).filter(|peer| *peer != NOBODY)
    }

    /// Shows a packet, of a port or an interface, of a peer if that is known.
    #[cold]
    pub fn copy<P: Frame>(&self, point: Point, place: u16, peer: Option<u32>, packet: &P) {
        self.copy_with(point, 0, place, peer, packet);
    }

    /// Shows a message that came, to who watches this peer alone: the core that received its frame could not tell whose it is. It gets its
    /// headers back for that.
    #[inline]
    pub fn message<P: Packet>(&self, peer: u32, packet: &mut P) {
        if self.wants(Point::Received) && self.only_peer() == Some(peer) && is_whole_message(packet) {
            self.copy(Point::Received, packet.meta().port, Some(peer), packet);
        }
    }

    /// Shows a packet that is dropped.
    #[cold]
    pub fn dropped<P: Packet>(&self, reason: DropReason, packet: &mut P) {
        self.tracer.step(packet.meta(), Step::Drop { reason });
        if !self.wants(Point::DroppedFrame) {
            return;
        }
        let form = form(reason, packet);
        self.copy_with(Point::dropped(form), reason.verdict(), packet.meta().port, None, packet);
    }

    fn copy_with<P: Frame>(&self, point: Point, verdict: u8, place: u16, peer: Option<u32>, packet: &P) {
        // Acquire: pairs with the Release of `watch`: what stands below is this run's.
        let wanted = self.wanted.load(Acquire);
        let [_, _, _, _, run @ ..] = wanted.to_le_bytes();
        let only = self.only_peer();
        let of_port = !matches!(point, Point::Received | Point::Sent)
            || self.ports.load(Relaxed) & 1u32.checked_shl(place.into()).unwrap_or(0) != 0;
        if wanted & u64::from(point.bit()) == 0 || only.is_some() && peer != only || !of_port {
            return;
        }
        let Some(records) = self.records.get() else { return };
        let data = packet.data();
        let snap = usize::try_from(self.snap.load(Relaxed)).unwrap_or(usize::MAX);
        let [low, high] = place.to_le_bytes();
        let [a, b, c, d] = run;
        let what = u64::from_le_bytes([low, high, verdict, point as u8, a, b, c, d]);
        let lengths = (packet.total_len() as u64) << 32 | u64::from(peer.unwrap_or(NOBODY));
        if !records.push(&[what, (self.clock)(), lengths], data.get(..snap).unwrap_or(data)) {
            self.lost.add(1);
        }
    }
}

fn low(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PacketPool;
    use crate::frame::heap::{HeapPacket, HeapPool};

    fn packet(pool: &HeapPool, bytes: &[u8]) -> HeapPacket {
        let mut packet = pool.alloc().unwrap();
        packet.append(bytes.len()).unwrap().copy_from_slice(bytes);
        packet
    }

    fn all(tap: &Tap) -> Vec<(Seen, Vec<u8>)> {
        let mut bytes = Vec::new();
        std::iter::from_fn(|| tap.next(&mut bytes).map(|seen| (seen, bytes.clone()))).collect()
    }

    #[test]
    fn shows_what_is_watched_and_nothing_else() {
        let (tap, pool) = (Tap::new(|| 77), HeapPool::new(4));
        let packet = packet(&pool, b"0123456789");
        tap.copy(Point::Received, 1, None, &packet);
        assert!(!tap.wants(Point::Received) && all(&tap).is_empty(), "nobody watches");
        tap.watch(9, &Watch::new(&[Point::Received, Point::Sent], 4).ports([1]));
        assert!(tap.wants(Point::Sent) && !tap.wants(Point::Opened));
        for (point, port) in [(Point::Received, 1), (Point::Received, 0), (Point::Opened, 1), (Point::Sent, 1)] {
            tap.copy(point, port, None, &packet);
        }
        let seen = |point| Seen { run: 9, point, reason: None, place: 1, ticks: 77, len: 10, peer: None };
        assert_eq!(all(&tap), [(seen(Point::Received), b"0123".to_vec()), (seen(Point::Sent), b"0123".to_vec())]);
        tap.copy(Point::Received, 1, None, &packet);
        tap.watch(10, &Watch::new(&[Point::Opened], 99).peer(5));
        assert!(all(&tap).is_empty(), "what the former watcher left is gone");
        for peer in [None, Some(4), Some(5)] {
            tap.copy(Point::Opened, 0, peer, &packet);
        }
        let seen = all(&tap);
        assert_eq!(
            seen.iter().map(|(seen, bytes)| (seen.peer, &bytes[..])).collect::<Vec<_>>(),
            [(Some(5), &b"0123456789"[..])]
        );
        tap.unwatch();
        tap.copy(Point::Opened, 0, Some(5), &packet);
        assert!(all(&tap).is_empty());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (tap, pool) = (Tap::new(|| 0), HeapPool::new(4));
        let packet = packet(&pool, &[7; 1000]);
        tap.watch(1, &Watch::new(&[Point::Sent], u32::MAX));
        let fit = ROOM / (1 + HEAD + 125);
        for _ in 0..fit + 5 {
            tap.copy(Point::Sent, 0, None, &packet);
        }
        assert_eq!((all(&tap).len(), tap.lost()), (fit, 5));
        tap.copy(Point::Sent, 0, None, &packet);
        let seen = all(&tap);
        assert_eq!((seen.len(), tap.lost()), (1, 5), "there is room again");
        assert_eq!(RING_BYTES / seen[0].0.room(1000), fit);
    }
}
