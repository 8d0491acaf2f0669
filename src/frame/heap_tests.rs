use super::*;
use proptest::prelude::*;

#[test]
fn pool_bounds_and_counts() {
    let pool = HeapPool::new(2);
    let a = pool.alloc().unwrap();
    let b = pool.clone().alloc_with(b"hello").unwrap();
    assert!(pool.alloc().is_none());
    assert_eq!((pool.outstanding(), pool.available()), (2, 0));
    assert!(pool.owns(&a) && pool.owns(&b));
    assert!(!HeapPool::new(2).owns(&a));
    assert!(!pool.owns(&HeapPacket::from_bytes(b"hello")));
    assert_eq!(b.data(), b"hello");
    drop(a);
    assert_eq!(pool.outstanding(), 1);
    drop(b);
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn pool_refuses_what_does_not_fit_and_keeps_its_count() {
    let pool = HeapPool::with_room(1, 0, 4);
    assert!(pool.alloc_with(b"12345").is_none());
    assert_eq!(pool.outstanding(), 0);
    let packet = pool.alloc_with(b"1234").unwrap();
    assert_eq!((packet.headroom(), packet.tailroom()), (0, 0));
}

#[test]
fn burst_is_freed_to_its_pool() {
    let pool = HeapPool::new(8);
    let mut burst: Burst<HeapPacket> = (0..8).filter_map(|_| pool.alloc()).collect();
    assert_eq!(pool.outstanding(), 8);
    HeapPacket::free_burst(&mut burst);
    assert_eq!((burst.len(), pool.outstanding()), (0, 0));
}

#[test]
fn flags_for_tests() {
    let mut packet = HeapPacket::from_bytes(b"abc");
    assert!(packet.is_plain());
    packet.set_chained_len(10);
    assert!(!packet.is_plain());
    assert_eq!((packet.data().len(), packet.total_len()), (3, 13));
    packet.set_chained_len(0);
    packet.set_shared(true);
    assert!(!packet.is_plain());
    assert!(packet.set_headroom(0).is_none());
    packet.truncate(0);
    assert!(packet.set_headroom(3).is_some());
    assert_eq!(packet.headroom(), 3);
}

#[test]
fn wire_keeps_order_and_its_bound() {
    let mut wire = HeapWire::new(3);
    let mut far = wire.clone();
    let mut burst: Burst<HeapPacket> = (0..5_u8).map(|i| HeapPacket::from_bytes(&[i])).collect();
    assert_eq!(wire.tx_burst(&mut burst), 3);
    // What was refused stays, in order.
    assert_eq!(burst.iter().map(|p| p.data()[0]).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(wire.tx_burst(&mut burst), 0);

    let mut received = Burst::new();
    assert_eq!(far.rx_burst(&mut received), 3);
    assert_eq!(received.iter().map(|p| p.data()[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(far.rx_burst(&mut received), 0);

    wire.set_bound(0);
    assert_eq!(wire.tx_burst(&mut burst), 0);
    assert_eq!(burst.len(), 2);
    assert!(wire.is_empty());
}

#[test]
fn rx_fills_only_the_free_places() {
    let mut wire = HeapWire::default();
    for i in 0..40_u8 {
        wire.push(HeapPacket::from_bytes(&[i]));
    }
    let mut burst = Burst::new();
    burst.push(HeapPacket::from_bytes(&[255]));
    assert_eq!(wire.rx_burst(&mut burst), 31);
    assert_eq!((burst.len(), wire.len()), (32, 9));
    assert_eq!(wire.pop().unwrap().data(), [31]);
}

/// What a test does to a packet.
#[derive(Clone, Debug)]
enum Op {
    Prepend(usize),
    Append(usize),
    TrimFront(usize),
    Truncate(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..40_usize).prop_map(Op::Prepend),
        (0..40_usize).prop_map(Op::Append),
        (0..40_usize).prop_map(Op::TrimFront),
        prop_oneof![0..80_usize, Just(usize::MAX)].prop_map(Op::Truncate),
    ]
}

proptest! {
    /// The packet against an oracle: a plain vector of bytes and two rooms.
    #[test]
    fn grows_and_shrinks_like_the_oracle(ops in prop::collection::vec(op(), 0..60)) {
        let pool = HeapPool::with_room(1, 32, 64);
        let mut packet = pool.alloc().unwrap();
        let (mut head, mut data, mut tail) = (32_usize, Vec::<u8>::new(), 64_usize);
        for (stamp, op) in (0_u8..).zip(ops) {
            match op {
                Op::Prepend(n) => {
                    let grown = packet.prepend(n);
                    prop_assert_eq!(grown.is_some(), n <= head);
                    if let Some(new) = grown {
                        new.fill(stamp);
                        head -= n;
                        data.splice(0..0, std::iter::repeat_n(stamp, n));
                    }
                }
                Op::Append(n) => {
                    let grown = packet.append(n);
                    prop_assert_eq!(grown.is_some(), n <= tail);
                    if let Some(new) = grown {
                        new.fill(stamp);
                        tail -= n;
                        data.extend(std::iter::repeat_n(stamp, n));
                    }
                }
                Op::TrimFront(n) => {
                    prop_assert_eq!(packet.trim_front(n).is_some(), n <= data.len());
                    if n <= data.len() {
                        data.drain(..n);
                        head += n;
                    }
                }
                Op::Truncate(n) => {
                    packet.truncate(n);
                    tail += data.len() - n.min(data.len());
                    data.truncate(n);
                }
            }
            prop_assert_eq!(packet.data(), &data[..]);
            prop_assert_eq!((packet.headroom(), packet.tailroom()), (head, tail));
        }
    }
}
