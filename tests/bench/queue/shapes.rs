//! Three ways for the packets of many peers from one core to another: culvert's queues, queues of the kernel's shape, and a ring a
//! peer. All bound a peer to 1,024 packets.
//!
//! The packets of the latter two are numbers of nodes in an array, since their code may hold nothing `unsafe`; each node is as large
//! as one of ours and lies as far from the next.

use arrayvec::{ArrayVec, Drain};
use crossbeam_utils::CachePadded;
use culvert::queue::sync::{
    Arc, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    spin_loop,
};
use culvert::queue::{Boxed, Chain, Dir, Domain, FlowId, Flows, FlowsOwner, Pushes, Reader, WorkerSeat};

/// Peers that are served in turn.
pub const PEERS: usize = 64;
/// Packets of a peer that wait, at most.
const BOUND: u32 = culvert::queue::QUEUE_BOUND;
/// Packets that a producer has at once, as an I/O core has after `rx_burst`.
pub const BURST: usize = 32;
/// The peers that a burst's chains go to.
fn peers(first: usize, chain: usize) -> impl Iterator<Item = usize> {
    (first..first + BURST / chain).map(|peer| peer % PEERS)
}
/// Packets that a consumer takes from one peer at once, as a worker does.
const CHUNK: usize = 64;
/// Places of a consumer: it goes on to the next peer while it has less than [`BURST`].
pub const PLACES: usize = BURST + CHUNK;

/// What a core that pushes has.
pub trait Produce: Send {
    type Packet: Send;
    /// Pushes a burst in chains of `chain` to as many peers, from `peer` on; there is room.
    fn push(&mut self, peer: usize, burst: Drain<'_, Self::Packet, BURST>, chain: usize);
    /// Writes a packet's notes, which lie beside its link, as the stages before the queue do.
    fn note(&self, packet: &mut Self::Packet, note: u64);
    /// Between two bursts.
    fn rest(&mut self) {}
}

/// What the core that pops has.
pub trait Consume: Send {
    type Packet: Send;
    /// Takes what there is of the next peer that has something, 64 at most, and is done with that peer. `false`: there is nothing.
    fn pop(&mut self, out: &mut ArrayVec<Self::Packet, PLACES>) -> bool;
    /// Reads a packet's notes, as the stage behind the queue does at once.
    fn noted(&self, packet: &Self::Packet) -> u64;
    /// Visits of a peer that had something, and how many of them met a packet that could not be taken yet.
    fn partial(&self) -> (u64, u64);
    /// Between two turns.
    fn rest(&mut self) {}
}

/// Both ends and the packets.
pub struct Way<I, O: Consume> {
    pub producers: [I; 2],
    pub consumer: O,
    pub packets: Vec<O::Packet>,
}

/// The notes of one of our packets. A cache line with the link.
pub type Notes = [u64; 6];

pub struct OurProducer {
    flows: Arc<Flows<Boxed<Notes>, ()>>,
    reader: Reader,
}

pub struct OurConsumer {
    seat: WorkerSeat<Boxed<Notes>, ()>,
    reader: Reader,
    visits: u64,
    partial: u64,
    /// Flows live as long as it does.
    _owner: FlowsOwner<Boxed<Notes>, ()>,
}

/// culvert's own, as the gateway drives it: a burst's flows, chains, and wake-ups together; claim, ticket and the way back to idle.
pub fn ours(packets: u32) -> Way<OurProducer, OurConsumer> {
    let domain = Domain::new(3);
    let (flows, mut seats, _, mut owner) = Flows::new(PEERS as u32, 1, std::sync::Arc::clone(&domain));
    (0..PEERS).for_each(|_| assert!(owner.insert_with(|_| ()).is_some()));
    let producer = || OurProducer { flows: Arc::clone(&flows), reader: domain.register().unwrap() };
    let producers = [producer(), producer()];
    let (seat, reader) = (seats.remove(0), domain.register().unwrap());
    let consumer = OurConsumer { seat, reader, visits: 0, partial: 0, _owner: owner };
    let mut packets: Vec<_> = (0..packets).map(|_| Boxed::new([0; 6])).collect();
    fastrand::Rng::with_seed(4).shuffle(&mut packets);
    Way { producers, consumer, packets }
}

impl Produce for OurProducer {
    type Packet = Boxed<Notes>;

    fn push(&mut self, peer: usize, mut burst: Drain<'_, Self::Packet, BURST>, chain: usize) {
        let to = || peers(peer, chain).map(|peer| FlowId(peer as u32));
        let mut pushes = Pushes::new(&self.reader, &self.flows);
        to().for_each(|id| self.flows.prefetch(id));
        let found: ArrayVec<_, BURST> = to().map(|id| pushes.find(id, Dir::Egress).unwrap()).collect();
        for flow in &found {
            let mut packets = Chain::new();
            burst.by_ref().take(chain).for_each(|packet| packets.push_back(packet));
            assert!(pushes.push(flow, Dir::Egress, packets).is_empty());
        }
    }

    fn note(&self, packet: &mut Self::Packet, note: u64) {
        packet[0] = note;
    }

    fn rest(&mut self) {
        self.reader.quiescent();
    }
}

impl Consume for OurConsumer {
    type Packet = Boxed<Notes>;

    fn pop(&mut self, out: &mut ArrayVec<Self::Packet, PLACES>) -> bool {
        let Some(claim) = self.seat.next() else { return false };
        let before = out.len();
        let mut ticket = None;
        let left = claim.serve(out, |mut claim, packets| {
            ticket = (packets.len() > before).then(|| claim.take_ticket());
        });
        if let Some(claim) = left {
            claim.again(self.seat.flows(), 0);
        }
        self.visits += 1;
        self.partial += u64::from(out.len() == before && !out.is_full());
        if let Some(ticket) = ticket {
            assert!(ticket.is_turn());
            ticket.pass();
        }
        true
    }

    fn noted(&self, packet: &Self::Packet) -> u64 {
        packet[0]
    }

    fn partial(&self) -> (u64, u64) {
        (self.visits, self.partial)
    }

    fn rest(&mut self) {
        self.reader.quiescent();
    }
}

/// A packet of the others.
#[derive(Default)]
#[repr(align(128))]
pub struct Node {
    next: AtomicU32,
    note: AtomicU64,
}

/// No node.
const NONE: u32 = u32::MAX;
/// A queue's own stub.
const STUB: u32 = u32::MAX - 1;

/// Where peers' packets are, and a place for each peer.
pub struct Table<Q> {
    nodes: Box<[Node]>,
    peers: Box<[Q]>,
}

/// An end of it: a producer, or the consumer, which waits for something from the peer whose turn it is. That is in the others' favour:
/// nothing of what they would need to tell who has something is in their numbers.
pub struct End<Q> {
    table: std::sync::Arc<Table<Q>>,
    peer: usize,
    /// Looks at the peer that found nothing.
    vain: u32,
    visits: u64,
    partial: u64,
}

/// So many looks are in vain before the next peer is looked at.
const PATIENCE: u32 = 32;

fn way<Q: Default>(packets: u32) -> Way<End<Q>, End<Q>>
where
    End<Q>: Consume<Packet = u32>,
{
    let table = std::sync::Arc::new(Table {
        nodes: (0..packets).map(|_| Node::default()).collect(),
        peers: (0..PEERS).map(|_| Q::default()).collect(),
    });
    let end = || End { table: std::sync::Arc::clone(&table), peer: 0, vain: 0, visits: 0, partial: 0 };
    let mut packets: Vec<_> = (0..packets).collect();
    fastrand::Rng::with_seed(4).shuffle(&mut packets);
    Way { producers: [end(), end()], consumer: end(), packets }
}

impl<Q> End<Q> {
    fn node(&self, packet: u32) -> &Node {
        &self.table.nodes[packet as usize]
    }

    /// Relaxed, here and below: the queue hands the node over.
    fn write(&self, packet: u32, note: u64) {
        self.node(packet).note.store(note, Relaxed);
    }

    fn read(&self, packet: u32) -> u64 {
        self.node(packet).note.load(Relaxed)
    }

    /// After a look at the peer whose turn it is.
    fn looked(&mut self, something: bool) -> bool {
        self.visits += u64::from(something);
        self.vain = if something { 0 } else { self.vain + 1 };
        if something || self.vain == PATIENCE {
            self.vain = 0;
            self.peer = (self.peer + 1) % PEERS;
        }
        something
    }
}

/// A queue of the kernel's shape (Linux 8b5553ace8, by its description, and Dmitry Vyukov's "Intrusive MPSC node-based queue"): each
/// packet is counted up to the bound, exchanged with the newest one and linked; each one that is taken is counted down. One cache line.
#[repr(align(64))]
pub struct KernelQueue {
    newest: AtomicU32,
    oldest: AtomicU32,
    stub: AtomicU32,
    count: AtomicU32,
}

impl Default for KernelQueue {
    fn default() -> Self {
        let [newest, oldest] = [STUB; 2].map(AtomicU32::new);
        Self { newest, oldest, stub: AtomicU32::new(NONE), count: AtomicU32::new(0) }
    }
}

enum Popped {
    Packet(u32),
    Empty,
    Partial,
}

impl Table<KernelQueue> {
    fn next(&self, queue: &KernelQueue, of: u32) -> u32 {
        // Acquire: the packet, from the Release in `link`.
        if of == STUB { queue.stub.load(Acquire) } else { self.nodes[of as usize].next.load(Acquire) }
    }

    fn link(&self, queue: &KernelQueue, packet: u32) {
        let next = |of: u32| if of == STUB { &queue.stub } else { &self.nodes[of as usize].next };
        next(packet).store(NONE, Relaxed);
        // Release: the NONE above, to the next producer's store. Acquire: its other end.
        let before = queue.newest.swap(packet, AcqRel);
        // Release: the packet, to the Acquire in `next`.
        next(before).store(packet, Release);
    }

    fn push(&self, queue: &KernelQueue, packet: u32) -> bool {
        // Relaxed: it counts, and guards nothing.
        let counted = queue.count.fetch_update(Relaxed, Relaxed, |count| (count < BOUND).then_some(count + 1)).is_ok();
        if counted {
            self.link(queue, packet);
        }
        counted
    }

    fn pop(&self, queue: &KernelQueue) -> Popped {
        let mut oldest = queue.oldest.load(Relaxed);
        let mut next = self.next(queue, oldest);
        if oldest == STUB {
            if next == NONE {
                return if queue.newest.load(Relaxed) == STUB { Popped::Empty } else { Popped::Partial };
            }
            queue.oldest.store(next, Relaxed);
            oldest = next;
            next = self.next(queue, oldest);
        }
        if next == NONE {
            if queue.newest.load(Relaxed) != oldest {
                return Popped::Partial;
            }
            self.link(queue, STUB);
            next = self.next(queue, oldest);
            if next == NONE {
                return Popped::Partial;
            }
        }
        queue.oldest.store(next, Relaxed);
        queue.count.fetch_sub(1, Relaxed);
        Popped::Packet(oldest)
    }
}

/// Queues of the kernel's shape.
pub fn kernel(packets: u32) -> Way<End<KernelQueue>, End<KernelQueue>> {
    way(packets)
}

impl Produce for End<KernelQueue> {
    type Packet = u32;

    fn push(&mut self, peer: usize, mut burst: Drain<'_, u32, BURST>, chain: usize) {
        for peer in peers(peer, chain) {
            let queue = &self.table.peers[peer];
            for packet in burst.by_ref().take(chain) {
                assert!(self.table.push(queue, packet));
            }
        }
    }

    fn note(&self, packet: &mut u32, note: u64) {
        self.write(*packet, note);
    }
}

impl Consume for End<KernelQueue> {
    type Packet = u32;

    fn pop(&mut self, out: &mut ArrayVec<u32, PLACES>) -> bool {
        let (queue, before) = (&self.table.peers[self.peer], out.len());
        while out.len() < before + CHUNK {
            match self.table.pop(queue) {
                Popped::Packet(packet) => out.push(packet),
                Popped::Empty => break,
                Popped::Partial => {
                    self.partial += 1;
                    break;
                }
            }
        }
        self.looked(out.len() > before)
    }

    fn noted(&self, packet: &u32) -> u64 {
        self.read(*packet)
    }

    fn partial(&self) -> (u64, u64) {
        (self.visits, self.partial)
    }
}

/// A ring of 1,024 slots with the steps of `rte_ring` in its default mode for several producers, and for one consumer: places are
/// reserved for a burst by one compare-exchange, filled, and published in the order of their reservation.
pub struct Ring {
    producers: CachePadded<Ends>,
    consumer: CachePadded<Ends>,
    slots: Box<[AtomicU64]>,
}

/// Places that were reserved, and those of them that are done.
#[derive(Default)]
struct Ends {
    head: AtomicU32,
    tail: AtomicU32,
}

impl Default for Ring {
    fn default() -> Self {
        let slots = (0..BOUND).map(|_| AtomicU64::new(0)).collect();
        Self { producers: CachePadded::default(), consumer: CachePadded::default(), slots }
    }
}

impl Ring {
    /// Bytes of one.
    pub const BYTES: usize =
        size_of::<Self>() - size_of::<Box<[AtomicU64]>>() + BOUND as usize * size_of::<AtomicU64>();

    fn slot(&self, at: u32) -> &AtomicU64 {
        &self.slots[(at % BOUND) as usize]
    }

    fn push(&self, packets: impl ExactSizeIterator<Item = u32>) -> bool {
        let count = packets.len() as u32;
        // Acquire on both: the places are free, from the Release in `pop`.
        let reserve = |head: u32| {
            let free = BOUND - 1 - head.wrapping_sub(self.consumer.tail.load(Acquire));
            (count <= free).then(|| head.wrapping_add(count))
        };
        let Ok(head) = self.producers.head.fetch_update(Relaxed, Acquire, reserve) else { return false };
        for (at, packet) in packets.enumerate() {
            self.slot(head.wrapping_add(at as u32)).store(packet.into(), Relaxed);
        }
        // Relaxed: a wait; what other producers did is published by themselves, in a chain of Release stores.
        while self.producers.tail.load(Acquire) != head {
            spin_loop();
        }
        // Release: the slots and the packets, to the Acquire in `pop`.
        self.producers.tail.store(head.wrapping_add(count), Release);
        true
    }

    fn pop(&self, out: &mut ArrayVec<u32, PLACES>, most: usize) {
        let head = self.consumer.tail.load(Relaxed);
        // Acquire: what the producers published.
        let there = self.producers.tail.load(Acquire).wrapping_sub(head);
        let count = there.min(most as u32);
        out.extend((0..count).map(|at| self.slot(head.wrapping_add(at)).load(Relaxed) as u32));
        if count > 0 {
            // Release: the slots are read, to the Acquire in `push`.
            self.consumer.tail.store(head.wrapping_add(count), Release);
        }
    }
}

/// A ring a peer.
pub fn rings(packets: u32) -> Way<End<Ring>, End<Ring>> {
    way(packets)
}

impl Produce for End<Ring> {
    type Packet = u32;

    fn push(&mut self, peer: usize, mut burst: Drain<'_, u32, BURST>, chain: usize) {
        for peer in peers(peer, chain) {
            assert!(self.table.peers[peer].push(burst.by_ref().take(chain)));
        }
    }

    fn note(&self, packet: &mut u32, note: u64) {
        self.write(*packet, note);
    }
}

impl Consume for End<Ring> {
    type Packet = u32;

    fn pop(&mut self, out: &mut ArrayVec<u32, PLACES>) -> bool {
        let before = out.len();
        self.table.peers[self.peer].pop(out, CHUNK);
        self.looked(out.len() > before)
    }

    fn noted(&self, packet: &u32) -> u64 {
        self.read(*packet)
    }

    fn partial(&self) -> (u64, u64) {
        (self.visits, 0)
    }
}
