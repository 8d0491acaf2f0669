use super::{Key, Lpm, LpmWriter, interleave};
use crate::queue::sync::{AtomicBool, Ordering};
use crate::queue::{Domain, Reader};
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// The oracle: a list, scanned.
#[derive(Default)]
struct Naive<K>(Vec<(K, u8, u32)>);

impl<K: Key> Naive<K> {
    fn insert(&mut self, addr: K, len: u8, value: u32) -> Option<u32> {
        let old = self.remove(addr, len);
        self.0.push((addr.masked(len), len, value));
        old
    }

    fn remove(&mut self, addr: K, len: u8) -> Option<u32> {
        let at = self.0.iter().position(|entry| (entry.0, entry.1) == (addr.masked(len), len))?;
        Some(self.0.swap_remove(at).2)
    }

    fn lookup(&self, addr: K) -> Option<u32> {
        let holds = |entry: &&(K, u8, u32)| addr.masked(entry.1) == entry.0;
        self.0.iter().filter(holds).max_by_key(|entry| entry.1).map(|entry| entry.2)
    }
}

#[derive(Clone, Debug)]
enum Op<K> {
    Insert(K, u8, u32),
    Remove(K, u8),
    Lookup(K),
}

/// Addresses that differ in few bits, at both ends, so that prefixes nest and meet again.
fn addrs<K: Key>(from_bits: fn(u8, u8) -> K) -> impl Strategy<Value = K> {
    (0_u8..16, 0_u8..8).prop_map(move |(high, low)| from_bits(high, low))
}

fn ops<K: Key>(from_bits: fn(u8, u8) -> K) -> impl Strategy<Value = Vec<Op<K>>> {
    let lens = move || prop_oneof![0..=K::BITS, 0_u8..5, K::BITS - 3..=K::BITS];
    let op = prop_oneof![
        3 => (addrs(from_bits), lens(), any::<u32>()).prop_map(|(a, l, v)| Op::Insert(a, l, v)),
        2 => (addrs(from_bits), lens()).prop_map(|(a, l)| Op::Remove(a, l)),
        3 => addrs(from_bits).prop_map(Op::Lookup),
    ];
    prop::collection::vec(op, 1..300)
}

fn check<K: Key>(ops: Vec<Op<K>>) {
    let domain = Domain::new(4);
    let reader = domain.register().unwrap();
    let (lpm, mut writer) = Lpm::<K>::new(&domain, 0);
    let mut naive = Naive::default();
    let mut asked = Vec::new();
    for op in ops {
        match op {
            Op::Insert(addr, len, value) => {
                assert_eq!(writer.insert(addr, len, value), naive.insert(addr, len, value));
                assert_eq!(lpm.get_exact(&reader, addr, len), Some(value));
            }
            Op::Remove(addr, len) => {
                assert_eq!(writer.remove(addr, len), naive.remove(addr, len));
                assert_eq!(writer.get_exact(addr, len), None);
            }
            Op::Lookup(addr) => {
                assert_eq!(lpm.lookup(&reader, addr), naive.lookup(addr));
                assert_eq!(writer.lookup(addr), naive.lookup(addr));
                asked.push(addr);
            }
        }
        assert_eq!(writer.len(), naive.0.len());
        writer.check();
    }
    let mut values = vec![Some(1); asked.len()];
    lpm.lookup_burst(&reader, &asked, &mut values);
    assert!(asked.iter().map(|addr| naive.lookup(*addr)).eq(values));
    let mut all: Vec<_> = writer.iter().collect();
    all.sort_unstable_by_key(|entry| format!("{entry:?}"));
    naive.0.sort_unstable_by_key(|entry| format!("{entry:?}"));
    assert_eq!(all, naive.0);
}

proptest! {
    #[test]
    fn ipv4_is_as_a_scanned_list(ops in ops(|high, low| u32::from(high) << 28 | u32::from(low))) {
        check(ops);
    }

    #[test]
    fn ipv6_is_as_a_scanned_list(ops in ops(|high, low| {
        u128::from(high) << 124 | u128::from(high) << 62 | u128::from(low)
    })) {
        check(ops);
    }
}

#[test]
fn prefixes_of_any_length_are_refused_beyond_the_address() {
    let domain = Domain::new(4);
    let (lpm, mut writer) = Lpm::<u32>::new(&domain, 1);
    assert_eq!(writer.remove(0, 33), None);
    assert_eq!(writer.get_exact(0, 255), None);
    assert_eq!(lpm.get_exact(&domain.register().unwrap(), 0, 33), None);
}

#[test]
fn a_table_of_the_asked_size_never_grows() {
    let domain = Domain::new(4);
    for prefixes in [0_u32, 10, 1000, 5_000] {
        let (_, mut writer) = Lpm::<u32>::new(&domain, prefixes as usize);
        let before = writer.growths;
        for i in 0..prefixes {
            writer.insert(i << 8, 24, i);
        }
        assert_eq!(writer.growths, before, "{prefixes}");
    }
    // The gateway's own size; see DESIGN, Memory: 16 MiB and 32 MiB.
    assert_eq!(super::slots_for(500_000), 1 << 20);
}

#[test]
fn prefixes_that_come_and_go_do_not_silt_the_table_up() {
    // As full as the gateway's with 500,000 peers, scaled down; every prefix is replaced a hundred times.
    let domain = Domain::new(4);
    let live = 500_000_usize * 8192 / (1 << 20);
    let (_, mut writer) = Lpm::<u32>::new(&domain, 5_000);
    assert_eq!(writer.table.capacity(), 8192);
    let mut state = 1_u64;
    let mut held: Vec<u32> = Vec::new();
    for _ in 0..400_000 {
        state = next_random(state);
        let addr = (state >> 32) as u32;
        if held.len() == live {
            let at = addr as usize % live;
            writer.remove(core::mem::replace(&mut held[at], addr), 32);
        } else {
            held.push(addr);
        }
        writer.insert(addr, 32, 7);
    }
    // A random function into 8,192 slots, filled once, needs 1.5 reads a prefix (Knuth 6.4, linear probing).
    let reads = writer.check();
    assert!(reads * 10 < writer.len() * 25, "{reads} reads for {} prefixes", writer.len());
    assert_eq!((writer.len(), writer.growths), (live, 0));
}

/// A few /28s of one /24, hosts in them, and one value for each prefix.
fn small(i: u8) -> (u32, u8, u32) {
    let len = if i.is_multiple_of(4) { 28 } else { 32 };
    (0xc000_0200 + u32::from(i) * 4, len, u32::from(i) + 100)
}

/// Changes one prefix: in if it was out, out if it was in.
fn flip(writer: &mut LpmWriter<u32>, naive: &mut Naive<u32>, i: u8) {
    let (addr, len, value) = small(i);
    if naive.remove(addr, len).is_none() {
        naive.insert(addr, len, value);
        writer.insert(addr, len, value);
    } else {
        writer.remove(addr, len);
    }
}

proptest! {
    /// The writer works between any two loads of a reader.
    #[test]
    fn a_reader_that_is_interrupted_finds_what_stays_and_nothing_wrong(
        before in prop::collection::vec(0_u8..64, 0..40),
        during in prop::collection::vec((0_u8..64, prop::collection::vec((0_u8..64, any::<bool>()), 0..6)), 1..40),
    ) {
        let domain = Domain::new(1);
        let reader = domain.register().unwrap();
        let (lpm, mut writer) = Lpm::<u32>::new(&domain, 0);
        let mut naive = Naive::default();
        before.into_iter().for_each(|i| flip(&mut writer, &mut naive, i));
        let shared = Rc::new(RefCell::new((writer, naive)));
        for (own, mut flips) in during {
            let addr = small(own).0;
            // What held the address at any time, and what held it all the time.
            let holding = move |naive: &Naive<u32>| naive.0.iter().copied()
                .filter(|entry| addr.masked(entry.1) == entry.0).collect::<Vec<_>>();
            let ever = Rc::new(RefCell::new(holding(&shared.borrow().1)));
            let always = Rc::new(RefCell::new(ever.borrow().clone()));
            let (changed, seen, stayed) = (shared.clone(), ever.clone(), always.clone());
            interleave::set(move || {
                // Often the prefix that is looked for, and then another, which may get its slot.
                let (i, with_own) = flips.pop().unwrap_or((own, false));
                for i in [own, i].into_iter().skip(usize::from(!with_own)) {
                    let (writer, naive) = &mut *changed.borrow_mut();
                    flip(writer, naive, i);
                    let now = holding(naive);
                    stayed.borrow_mut().retain(|entry| now.contains(entry));
                    seen.borrow_mut().extend(now);
                }
            });
            let found = lpm.lookup(&reader, addr);
            interleave::clear();
            let least = always.borrow().iter().map(|entry| entry.1).max();
            match found {
                None => assert_eq!(least, None, "a prefix that stayed was missed"),
                Some(value) => {
                    let ever = ever.borrow();
                    let entry = ever.iter().find(|entry| entry.2 == value).expect("a prefix that never held it");
                    assert!(Some(entry.1) >= least, "a shorter prefix than one that stayed");
                }
            }
        }
        shared.borrow().0.check();
    }

    /// A reader works between any two stores of the writer: it finds the state before or behind the change.
    #[test]
    fn a_writer_that_is_interrupted_shows_no_third_state(
        flips in prop::collection::vec(0_u8..64, 1..80),
    ) {
        let domain = Domain::new(1);
        let reader = Rc::new(domain.register().unwrap());
        let (lpm, mut writer) = Lpm::<u32>::new(&domain, 0);
        let mut naive = Naive::default();
        for i in flips {
            let states = |naive: &Naive<u32>| (0..64).map(|i| naive.lookup(small(i).0)).collect::<Vec<_>>();
            let before = states(&naive);
            let mut after = Naive(naive.0.clone());
            let (addr, len, value) = small(i);
            if after.remove(addr, len).is_none() {
                after.insert(addr, len, value);
            }
            let after = states(&after);
            let (lpm, reader, points) = (lpm.clone(), reader.clone(), Rc::new(Cell::new(0)));
            let counted = points.clone();
            interleave::set(move || {
                counted.set(counted.get() + 1);
                for (i, states) in (0..64).zip(before.iter().zip(&after)) {
                    let found = lpm.lookup(&reader, small(i).0);
                    assert!(found == *states.0 || found == *states.1, "{found:?}, not {states:?}");
                }
            });
            flip(&mut writer, &mut naive, i);
            interleave::clear();
            assert!(points.get() > 0);
        }
    }
}

const OWNERS: u32 = 16;
const NETS: u32 = 64;
/// 10.0.i.0/24 of these stay for ever.
const STABLE: u32 = 4;

/// 10.0.i.0
fn net(i: u32) -> u32 {
    u32::from(Ipv4Addr::new(10, 0, 0, 0)) | i << 8
}

/// A value that says which prefix it is of, and which owner.
fn value_of(i: u32, len: u8, owner: u32) -> u32 {
    i << 16 | u32::from(len) << 8 | owner
}

/// Looks up until told to stop; every hit must name a prefix that holds the address.
fn read_until(stop: &AtomicBool, lpm: &Lpm<u32>, reader: &mut Reader) {
    let addrs: Vec<u32> = (0..NETS).map(|i| net(i) | 9).collect();
    let mut values = vec![None; addrs.len()];
    let mut host_hits = 0_u64;
    // Relaxed: only a flag. It comes when the writer has met a reader's hit, so this ends.
    while !stop.load(Ordering::Relaxed) || host_hits == 0 {
        lpm.lookup_burst(reader, &addrs, &mut values);
        let single = addrs.iter().map(|addr| lpm.lookup(reader, *addr));
        for (i, value) in (0..).zip(values.iter().copied()).chain((0..).zip(single)) {
            assert!(value.is_some() || i >= STABLE, "a prefix that stays was missed");
            if let Some(value) = value {
                assert_eq!(value >> 16, i, "{value:#x} is another prefix's");
                host_hits += u64::from(value >> 8 & 0xff == 32);
            }
        }
        reader.quiescent();
    }
}

#[test]
fn a_hit_never_names_a_prefix_that_does_not_hold_the_address() {
    // Few slots and many prefixes: slots are reused at once, and by others.
    let domain = Domain::new(4);
    let (lpm, mut writer) = Lpm::<u32>::new(&domain, 0);
    for i in 0..STABLE {
        writer.insert(net(i), 24, value_of(i, 24, 0));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (lpm, stop, mut reader) = (&lpm, &stop, domain.register().unwrap());
            scope.spawn(move || read_until(stop, lpm, &mut reader));
        }
        let mut state = 1_u64;
        let mut held = VecDeque::new();
        for step in 0..if cfg!(miri) { 300 } else { 100_000 } {
            state = next_random(state);
            let (i, owner) = ((state >> 33) as u32 % NETS, (state >> 40) as u32 % OWNERS);
            // Now and then many at once, so that the table grows.
            if held.len() > if step % 10_000 > 9_000 { 60 } else { 12 } {
                writer.remove(held.pop_front().unwrap_or(0), 32);
            }
            if writer.insert(net(i) | 9, 32, value_of(i, 32, owner)).is_none() {
                held.push_back(net(i) | 9);
            }
        }
        writer.check();
        assert!(writer.growths > 0);
        // One of them stays, so that the readers meet a host's prefix for sure.
        writer.insert(net(0) | 9, 32, value_of(0, 32, 0));
        stop.store(true, Ordering::Relaxed);
    });
}

fn next_random(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}
