use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::VecDeque;

const DATA_ROOM: usize = 2048;

#[derive(Clone, Debug)]
enum Op {
    Prepend(usize),
    Append(usize),
    TrimFront(usize),
    Truncate(usize),
    Write(usize, u8),
}

fn op() -> impl Strategy<Value = Op> {
    // Sizes near the edges are as likely as all others together.
    let size = || prop_oneof![0..200_usize, Just(128), Just(129), 0..2300_usize, Just(65_536), Just(usize::MAX)];
    prop_oneof![
        size().prop_map(Op::Prepend),
        size().prop_map(Op::Append),
        size().prop_map(Op::TrimFront),
        size().prop_map(Op::Truncate),
        (0..2300_usize, any::<u8>()).prop_map(|(at, byte)| Op::Write(at, byte)),
    ]
}

/// The oracle: all bytes of the buffer, and where the data is.
struct Model {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

fn apply(mbuf: &mut Mbuf, model: &mut Model, op: &Op) {
    let len = model.end - model.start;
    match *op {
        Op::Prepend(n) => {
            let fits = n <= model.start;
            assert_eq!(mbuf.prepend(n).map(|front| front.fill(1)), fits.then_some(()));
            if fits {
                model.start -= n;
                model.bytes[model.start..model.start + n].fill(1);
            }
        }
        Op::Append(n) => {
            let fits = n <= model.bytes.len() - model.end;
            assert_eq!(mbuf.append(n).map(|back| back.fill(2)), fits.then_some(()));
            if fits {
                model.bytes[model.end..model.end + n].fill(2);
                model.end += n;
            }
        }
        Op::TrimFront(n) => {
            assert_eq!(mbuf.trim_front(n), (n <= len).then_some(()));
            model.start += if n <= len { n } else { 0 };
        }
        Op::Truncate(n) => {
            mbuf.truncate(n);
            model.end = model.start + n.min(len);
        }
        Op::Write(at, byte) => {
            if at < len {
                mbuf.data_mut()[at] = byte;
                model.bytes[model.start + at] = byte;
            }
        }
    }
    assert_eq!(mbuf.data(), &model.bytes[model.start..model.end]);
    assert_eq!(mbuf.total_len(), model.end - model.start);
    assert_eq!(mbuf.headroom(), model.start);
    assert_eq!(mbuf.tailroom(), model.bytes.len() - model.end);
    assert!(mbuf.is_plain());
}

#[test]
fn does_what_a_vec_does() {
    let eal = eal();
    let pool = pool(&eal, "p", 3);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let ops = prop::collection::vec(op(), 0..60);
    let result = runner.run(&ops, |ops| {
        // The neighbours in memory must not change.
        let neighbours = [packet(&pool, &[0xaa; DATA_ROOM]), packet(&pool, &[0xbb; DATA_ROOM])];
        let mut mbuf = pool.alloc().unwrap();
        let note = Meta { counter: 42, ..Meta::default() };
        *mbuf.meta_mut() = note;
        let bytes = vec![0; HEADROOM + DATA_ROOM];
        let mut model = Model { bytes, start: HEADROOM, end: HEADROOM };
        for op in &ops {
            apply(&mut mbuf, &mut model, op);
        }
        prop_assert_eq!(mbuf.meta(), &note);
        prop_assert_eq!(neighbours[0].data(), &[0xaa; DATA_ROOM]);
        prop_assert_eq!(neighbours[1].data(), &[0xbb; DATA_ROOM]);
        Ok(())
    });
    result.unwrap();
    assert_eq!(pool.available(), 3);
}

#[test]
fn parts_are_notes_and_bytes() {
    let eal = eal();
    let mut mbuf = packet(&pool(&eal, "p", 2), b"abc");
    let (meta, data) = mbuf.parts_mut();
    meta.receiver = 9;
    data[0] = b'x';
    assert_eq!((mbuf.meta().receiver, mbuf.data()), (9, &b"xbc"[..]));
    assert!(!format!("{mbuf:?}").contains("xbc"), "no bytes in Debug");
}

#[test]
fn goes_through_its_link_and_comes_back() {
    let eal = eal();
    let pool = pool(&eal, "p", 64);
    let links: Vec<_> = (0..64_u32)
        .map(|n| {
            let mut mbuf = packet(&pool, &n.to_be_bytes());
            mbuf.meta_mut().receiver = n;
            mbuf.into_link()
        })
        .collect();
    assert_eq!(pool.available(), 0, "a link is an owner too");
    let addresses: std::collections::BTreeSet<_> = links.iter().map(|link| link.addr()).collect();
    assert_eq!(addresses.len(), 64);
    for (n, link) in (0_u32..).zip(links) {
        // SAFETY: each link came from `into_link` and is used once.
        #[expect(unsafe_code, reason = "the trait's contract is what is tested")]
        let mbuf = unsafe { Mbuf::from_link(link) };
        assert_eq!((mbuf.meta().receiver, mbuf.data()), (n, &n.to_be_bytes()[..]));
        assert!(pool.owns(&mbuf));
    }
    assert_eq!(pool.available(), 64);
}

/// A packet of as many segments as there are slices.
fn chained(pool: &Pool, pieces: &[Vec<u8>]) -> Mbuf {
    let mut segments: VecDeque<_> = pieces.iter().map(|piece| packet(pool, piece)).collect();
    let head = segments.pop_front().unwrap();
    segments.into_iter().fold(head, |head, tail| head.chain(tail).unwrap())
}

#[test]
fn chains_are_copied_into_one() {
    let eal = eal();
    let (pool, target) = (pool(&eal, "p", 16), pool(&eal, "target", 1));
    for count in [2_u8, 5] {
        let pieces: Vec<Vec<u8>> = (0..count).map(|n| vec![n; 100 + usize::from(n)]).collect();
        let mut chain = chained(&pool, &pieces);
        chain.meta_mut().port = 3;
        let all = pieces.concat();
        assert_eq!((chain.total_len(), chain.segment_count()), (all.len(), u16::from(count)));
        assert_eq!(chain.data(), &pieces[0][..]);
        assert!(!chain.is_plain());
        assert!(chain.append(1).is_none(), "the end is in another segment");

        let copy = chain.copy_into(&target).unwrap();
        assert_eq!((copy.data(), copy.meta().port, copy.headroom()), (&all[..], 3, HEADROOM));
        assert!(copy.is_plain() && target.owns(&copy));
        assert!(chain.copy_into(&target).is_none(), "the pool is empty");
        drop((chain, copy));
        assert_eq!((pool.available(), target.available()), (16, 1));
    }
}

#[test]
fn the_front_of_a_chain_can_be_cut_and_grown() {
    let eal = eal();
    let pool = pool(&eal, "p", 4);
    let mut chain = chained(&pool, &[vec![1; 60], vec![2; 40]]);
    chain.trim_front(20).unwrap();
    chain.prepend(4).unwrap().fill(9);
    chain.truncate(30);
    let expected = [vec![9; 4], vec![1; 26], vec![2; 40]].concat();
    assert_eq!(chain.total_len(), expected.len());
    assert_eq!(chain.copy_into(&pool).unwrap().data(), expected);
}

#[test]
fn what_does_not_fit_is_not_copied() {
    let eal = eal();
    let pool = pool(&eal, "p", 8);
    let exact = chained(&pool, &[vec![1; 2000], vec![2; 48]]);
    assert_eq!(exact.copy_into(&pool).unwrap().total_len(), 2048);
    let more = chained(&pool, &[vec![1; 2000], vec![2; 49]]);
    assert!(more.copy_into(&pool).is_none());
    drop((exact, more));
    assert_eq!(pool.available(), 8, "nothing was taken for the refused copy");
}
