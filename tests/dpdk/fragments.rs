//! The library's gathering of fragments, against the simple one of the tests over heap packets.

use super::*;
use culvert::dpdk::FragmentTable;
use culvert::frame::fragments::{Fragment, Gather, GivenUp, MOST_DATAGRAMS};
use culvert::frame::heap::{HeapFragments, HeapPool};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;

const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

/// A fragment and the frame that it is.
fn fragment(is_ipv6: bool, id: u8, offset: usize, len: usize, more: bool) -> (Fragment, Vec<u8>) {
    let place = u16::try_from(offset).unwrap();
    let length = u16::try_from(len).unwrap();
    let bytes: Vec<u8> = (offset..offset + len).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let header = if is_ipv6 {
        let mut header = [0; 48];
        header[0] = 0x60;
        header[4..6].copy_from_slice(&(length + 8).to_be_bytes());
        (header[6], header[7]) = (44, 64);
        header[8..40].fill(id);
        header[40] = 17;
        header[42..44].copy_from_slice(&(place | u16::from(more)).to_be_bytes());
        header[47] = id;
        header.to_vec()
    } else {
        let mut header = [0; 20];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&(length + 20).to_be_bytes());
        header[5] = id;
        header[6..8].copy_from_slice(&(if more { 0x6000 } else { 0x4000 } + place / 8).to_be_bytes());
        (header[8], header[9]) = (64, 17);
        header[12..20].fill(id);
        header.to_vec()
    };
    let fragment = Fragment {
        is_ipv6,
        addresses: [[id; 16]; 2],
        identification: id.into(),
        header_len: header.len(),
        offset,
        len,
        more,
    };
    (fragment, [&ETHERNET[..], &header, &bytes].concat())
}

#[derive(Clone, Debug)]
enum Op {
    Add { is_ipv6: bool, id: u8, unit: usize, units: usize, more: bool },
    Pass { ms: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    // Few names and places, so that they meet: whole packets, overlaps and repetitions are all common.
    let add =
        (any::<bool>(), 0..2_u8, 0..10_usize, 1..4_usize, 0..5_u8).prop_map(|(is_ipv6, id, unit, units, last)| {
            let more = unit == 0 || last > 0;
            Op::Add { is_ipv6, id, unit, units, more }
        });
    // Three parts that fit together.
    let part = (any::<bool>(), 0..2_u8, 0..3_usize).prop_map(|(is_ipv6, id, place)| {
        let more = place < 2;
        Op::Add { is_ipv6, id, unit: place * 3, units: 3, more }
    });
    prop_oneof![20 => part, 3 => add, 1 => (0..1500_u64).prop_map(|ms| Op::Pass { ms })]
}

/// Bytes of all segments.
fn bytes_of(mbuf: &Mbuf) -> Vec<u8> {
    mbuf.segments().collect::<Vec<_>>().concat()
}

#[test]
fn gathers_as_the_simple_one_does() {
    let eal = eal();
    let pool = pool(&eal, "p", 255);
    let heap = HeapPool::new(255);
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 2000, ..Config::default() });
    let wholes = Cell::new(0);
    let result = runner.run(&prop::collection::vec(op(), 0..80), |ops| {
        let mut real = FragmentTable::new(&eal, 24).unwrap();
        let mut simple = HeapFragments::new(24);
        let mut now_ms = 5000;
        for op in ops {
            match op {
                Op::Pass { ms } => now_ms += ms,
                Op::Add { is_ipv6, id, unit, units, more } => {
                    let (fragment, frame) = fragment(is_ipv6, id, unit * 8, units * 8, more);
                    let real = real.add(packet(&pool, &frame), &fragment, now_ms);
                    let simple = simple.add(heap.alloc_with(&frame).unwrap(), &fragment, now_ms);
                    prop_assert_eq!(real.given_up, simple.given_up);
                    let real = real.whole.map(|(mbuf, n)| (bytes_of(&mbuf), n, mbuf.total_len()));
                    let simple = simple.whole.map(|(packet, n)| (packet.data().to_vec(), n, packet.total_len()));
                    prop_assert_eq!(&real, &simple);
                    wholes.set(wholes.get() + u32::from(real.is_some()));
                }
            }
        }
        prop_assert_eq!(real.expire(now_ms), simple.expire(now_ms));
        prop_assert_eq!(real.expire(u64::MAX), simple.expire(u64::MAX));
        prop_assert_eq!((pool.available(), heap.outstanding()), (255, 0));
        Ok(())
    });
    result.unwrap();
    assert!(wholes.get() > 1000, "{wholes:?}");
}

#[test]
fn whole_packets_are_copied_into_one_mbuf() {
    let eal = eal();
    let pool = pool(&eal, "p", 15);
    let mut table = FragmentTable::new(&eal, 100).unwrap();
    for is_ipv6 in [false, true] {
        let (first, frame) = fragment(is_ipv6, 1, 0, 1000, true);
        let mut mbuf = packet(&pool, &frame);
        mbuf.meta_mut().port = 3;
        assert!(table.add(mbuf, &first, 0).whole.is_none());
        let (last, frame) = fragment(is_ipv6, 1, 1000, 500, false);
        let (whole, fragments) = table.add(packet(&pool, &frame), &last, 1000).whole.unwrap();
        assert_eq!((fragments, whole.segment_count(), whole.meta().port), (2, 2, 3));
        let copy = pool.copy_of(&whole).unwrap();
        assert!(copy.is_plain());
        let header = if is_ipv6 { 40 } else { 20 };
        assert_eq!((copy.data().len(), copy.headroom()), (14 + header + 1500, HEADROOM));
        let expected: Vec<u8> = (0..1500_usize).map(|n| u8::try_from(n % 251).unwrap()).collect();
        assert_eq!(copy.data()[14 + header..], expected);
    }
    assert_eq!(pool.available(), 15);
}

#[test]
fn a_full_table_refuses_the_newest_and_gives_all_back() {
    let eal = eal();
    let pool = pool(&eal, "p", 2047);
    let mut table = FragmentTable::new(&eal, 2000).unwrap();
    let mut refused = 0;
    for n in 0..MOST_DATAGRAMS + 10 {
        let (mut first, mut frame) = fragment(false, 1, 0, 24, true);
        first.identification = n;
        let [.., high, low] = n.to_be_bytes();
        (frame[14 + 4], frame[14 + 5]) = (high, low);
        let GivenUp { timeout, overlap, bound } = table.add(packet(&pool, &frame), &first, 0).given_up;
        assert_eq!((timeout, overlap), (0, 0));
        refused += bound;
    }
    assert_eq!(refused, 10);
    assert_eq!(table.expire(1000), 0);
    assert_eq!(table.expire(1001), u64::from(MOST_DATAGRAMS));
    assert_eq!(pool.available(), 2047);
    // What is in when it goes is given back, too.
    let (first, frame) = fragment(true, 1, 0, 24, true);
    assert!(table.add(packet(&pool, &frame), &first, 2000).whole.is_none());
    drop(table);
    assert_eq!(pool.available(), 2047);
}

#[test]
fn headers_that_are_not_there_are_refused() {
    let eal = eal();
    let pool = pool(&eal, "p", 15);
    let mut table = FragmentTable::new(&eal, 100).unwrap();
    let (good, frame) = fragment(false, 1, 0, 24, true);
    for (header_len, len) in [(19, frame.len()), (61, frame.len()), (20, 34), (20, 0), (60, frame.len())] {
        let lie = Fragment { header_len, ..good };
        assert_eq!(table.add(packet(&pool, &frame[..len]), &lie, 0).given_up.bound, 1, "{header_len} {len}");
    }
    let lie = Fragment { is_ipv6: true, ..good };
    assert_eq!(table.add(packet(&pool, &frame), &lie, 0).given_up.bound, 1);
    assert_eq!((table.expire(u64::MAX), pool.available()), (0, 15));
}
