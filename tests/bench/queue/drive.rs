//! Two pinned threads, or one, that drive packets through a way, and what of their time goes into pushes and pops.

use super::shapes::{BURST, Consume, PEERS, PLACES, Produce, Way};
use arrayvec::ArrayVec;
use culvert::queue::sync::{
    AtomicBool, Mutex,
    Ordering::{Acquire, Release, SeqCst},
    fence, spin_loop,
};
use std::time::{Duration, Instant};

/// Which cores do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One pushes, another pops.
    TwoCores,
    /// One does both, in turn: all is in its caches.
    OneCore,
    /// Both push, and the second pops as well, as two cores do that are I/O core and worker each.
    Contended,
}

/// Nanoseconds a packet.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub push: f64,
    pub pop: f64,
}

impl Cost {
    pub fn both(self) -> f64 {
        self.push + self.pop
    }
}

/// The cores to use.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub first: core_affinity::CoreId,
    pub second: core_affinity::CoreId,
    /// What a look at the clock costs.
    pub look: Duration,
}

impl Cores {
    pub fn new() -> Self {
        let all = core_affinity::get_core_ids().unwrap();
        let mut looks: Vec<_> = (0..10_001).map(|_| Instant::now().elapsed()).collect();
        looks.sort();
        Self { first: all[0], second: all[all.len() - 1], look: looks[looks.len() / 2] }
    }
}

/// Where packets wait for the producers after they have been popped; none of this is measured.
type Home<P> = Mutex<Vec<P>>;

/// One producer's state.
struct Pusher<'a, I: Produce> {
    end: &'a mut I,
    home: &'a Home<I::Packet>,
    stock: Vec<I::Packet>,
    chain: usize,
    peer: usize,
    note: u64,
    sum: u64,
    left: usize,
    spent: Duration,
    look: Duration,
}

impl<I: Produce> Pusher<'_, I> {
    /// Pushes one burst, if there are the packets for it.
    fn burst(&mut self) -> bool {
        if self.stock.len() < BURST {
            self.stock.append(&mut self.home.lock().unwrap());
        }
        if self.stock.len() < BURST {
            return false;
        }
        let mut burst: ArrayVec<I::Packet, BURST> = self.stock.drain(self.stock.len() - BURST..).collect();
        for packet in &mut burst {
            self.note += 1;
            self.sum = self.sum.wrapping_add(self.note);
            self.end.note(packet, self.note);
        }
        // The notes are in this core's cache, as they are when a packet has been classified.
        fence(SeqCst);
        let began = Instant::now();
        self.end.push(self.peer, burst.drain(..), self.chain);
        self.spent += began.elapsed().saturating_sub(self.look);
        self.end.rest();
        self.peer = (self.peer + BURST / self.chain) % PEERS;
        self.left -= BURST;
        true
    }
}

/// The consumer's state.
struct Popper<'a, O: Consume> {
    end: &'a mut O,
    home: &'a Home<O::Packet>,
    back: Vec<O::Packet>,
    sum: u64,
    left: usize,
    spent: Duration,
    look: Duration,
}

/// Packets that go home together.
const HOMEWARD: usize = 8 * BURST;

impl<O: Consume> Popper<'_, O> {
    /// One turn: gathers a burst from as many peers as it takes, and reads the notes. Whether there was something.
    fn turn(&mut self) -> bool {
        let mut out = ArrayVec::<O::Packet, PLACES>::new();
        let began = Instant::now();
        while out.len() < BURST && self.end.pop(&mut out) {}
        let sum = out.iter().fold(0, |sum: u64, packet| sum.wrapping_add(self.end.noted(packet)));
        let spent = began.elapsed();
        self.end.rest();
        if out.is_empty() {
            return false;
        }
        self.spent += spent.saturating_sub(self.look);
        self.sum = self.sum.wrapping_add(sum);
        self.left -= out.len();
        self.back.extend(out);
        if self.back.len() >= HOMEWARD || self.left == 0 {
            self.home.lock().unwrap().append(&mut self.back);
        }
        true
    }
}

/// Pushes and pops so many packets (a multiple of 64) in chains of `chain`.
pub fn drive<I, O>(way: &mut Way<I, O>, form: Form, chain: usize, packets: usize, cores: Cores) -> Cost
where
    I: Produce,
    O: Consume<Packet = I::Packet>,
{
    let home = Home::new(std::mem::take(&mut way.packets));
    let both = form == Form::Contended;
    let [first, second] = &mut way.producers;
    let pusher = |end, packets| Pusher {
        end,
        home: &home,
        stock: Vec::with_capacity(1 << 14),
        chain,
        peer: 0,
        note: 0,
        sum: 0,
        left: packets,
        spent: Duration::ZERO,
        look: cores.look,
    };
    let share = if both { packets / 2 } else { packets };
    let (mut one, mut other) = (pusher(first, share), pusher(second, packets - share));
    let mut popper = Popper {
        end: &mut way.consumer,
        home: &home,
        back: Vec::with_capacity(1 << 14),
        sum: 0,
        left: packets,
        spent: Duration::ZERO,
        look: cores.look,
    };
    assert!(core_affinity::set_for_current(cores.first));
    if form == Form::OneCore {
        while popper.left > 0 {
            if one.left > 0 {
                one.burst();
            }
            while popper.left > 0 && popper.turn() {}
        }
    } else {
        together(&mut one, &mut other, &mut popper, cores);
    }
    assert_eq!(one.sum.wrapping_add(other.sum), popper.sum, "what was pushed is what was popped");
    let per_packet = |spent: Duration| spent.as_secs_f64() * 1e9 / packets as f64;
    let cost = Cost { push: per_packet(one.spent + other.spent), pop: per_packet(popper.spent) };
    let left = [one.stock, other.stock, popper.back];
    way.packets = home.into_inner().unwrap();
    way.packets.extend(left.into_iter().flatten());
    cost
}

/// The first pushes here; the other and the popper run on the second core.
fn together<I, O>(one: &mut Pusher<'_, I>, other: &mut Pusher<'_, I>, popper: &mut Popper<'_, O>, cores: Cores)
where
    I: Produce,
    O: Consume<Packet = I::Packet>,
{
    let ready = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(core_affinity::set_for_current(cores.second));
            // Release and Acquire: nothing hangs on it but the start.
            ready.store(true, Release);
            while popper.left > 0 {
                if other.left > 0 {
                    other.burst();
                }
                if !popper.turn() {
                    spin_loop();
                }
            }
        });
        while !ready.load(Acquire) {
            spin_loop();
        }
        while one.left > 0 {
            if !one.burst() {
                spin_loop();
            }
        }
    });
}
