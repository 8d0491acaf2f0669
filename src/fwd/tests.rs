//! The modes over packets and wires on the heap.

use super::csum::{Mended, mend};
use super::packet::{Between, FRONT, front};
use super::rekey::Rekeying;
use super::statistics::Statistics;
use super::stream::{Counted, Counts, Ends, Forward, Orders, Queues, Stream, Way, run};
use super::tunnel::{Renewer, Tunnels};
use super::verbose::Viewer;
use super::{Mode, icmpecho, wireguard};
use crate::frame::heap::{HeapPacket, HeapPool, HeapWire};
use crate::frame::{BURST, Frame};
use crate::queue::Reader;
use crate::queue::sync::{Arc, AtomicU64, Ordering::Relaxed};
use crate::session::limits::REKEY_AFTER_MESSAGES;
use crate::wire::arp::ArpPacket;
use crate::wire::checksum::Sum;
use crate::wire::{EtherType, EthernetFrame, Ipv4Packet, Ipv6Header, MacAddr, ethernet, ipv4, ipv6, protocol};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

struct Heap;

impl Ends for Heap {
    type Packet = HeapPacket;
    type Rx = HeapWire;
    type Tx = HeapWire;
    type Pool = HeapPool;

    fn segments_and_hash(packet: &HeapPacket) -> (u16, Option<u32>) {
        (1, packet.data().last().filter(|last| **last == 0x77).map(|_| 0xdead_beef))
    }
}

const SOURCE: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 2, 2]);
const WAY: Way = Way { rx_port: 0, rx_queue: 0, tx_port: 1, tx_queue: 0, source: SOURCE, peer: PEER };
const BETWEEN: Between = Between {
    source: Ipv4Addr::new(10, 0, 0, 1),
    destination: Ipv4Addr::new(10, 0, 0, 2),
    source_port: 7,
    destination_port: 9,
};

/// A stream between two wires, or on one.
struct Bench {
    rx: HeapWire,
    tx: HeapWire,
    pool: HeapPool,
    stream: Stream<Heap>,
}

impl Bench {
    fn new(mode: Mode, rx: HeapWire, tx: HeapWire, limit: usize) -> Self {
        let tunnels = Arc::new(Tunnels::new(2, 0).unwrap());
        let pool = HeapPool::new(512);
        let queues = Queues::new(rx.clone(), tx.clone(), pool.clone(), WAY, limit);
        Self { rx, tx, pool, stream: Stream { queues, mode: mode.forward(0, &WAY, 100, &tunnels).unwrap() } }
    }

    fn between(mode: Mode) -> Self {
        Self::new(mode, HeapWire::default(), HeapWire::default(), BURST)
    }

    fn turn(&mut self) -> Counted {
        let Stream { queues, mode } = &mut self.stream;
        mode.turn(queues);
        assert!(queues.burst.is_empty());
        let counted = queues.counts.read();
        let Counted { received, made, sent, tx_dropped, ended, .. } = counted;
        assert_eq!(received + made, sent + tx_dropped + ended, "{counted:?}");
        counted
    }

    fn drain(&mut self) -> Counted {
        let Stream { queues, mode } = &mut self.stream;
        while mode.drain(queues) > 0 {}
        queues.counts.read()
    }

    fn put(&self, frame: &[u8]) {
        self.rx.push(self.pool.alloc_with(frame).unwrap());
    }
}

fn frame(n: u8) -> Vec<u8> {
    let mut frame = front(PEER, SOURCE, &BETWEEN, FRONT + 20).to_vec();
    frame.extend([n; 20]);
    frame
}

fn macs(frame: &[u8]) -> (MacAddr, MacAddr) {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    (frame.destination(), frame.source())
}

/// Whatever a mode does, nothing is lost or kept: also with a TX ring that takes five.
#[test]
fn every_packet_of_every_mode_is_sent_or_counted() {
    for mode in Mode::ALL {
        let mut bench = Bench::between(mode);
        for round in 0..4 {
            for n in 0..BURST + 5 {
                bench.put(&frame(u8::try_from(n).unwrap()));
            }
            bench.put(&[1, 2, 3]);
            bench.tx.set_bound(if round % 2 == 0 { 5 } else { usize::MAX });
            bench.turn();
            bench.turn();
            bench.turn();
        }
        let counted = bench.turn();
        let all = if mode == Mode::TxOnly { 0 } else { 4 * (BURST as u64 + 6) };
        assert_eq!(counted.received, all, "{mode:?}");
        while bench.tx.pop().is_some() {}
        // What `txonly` does not receive.
        while bench.rx.pop().is_some() {}
        assert_eq!(bench.pool.outstanding(), 0, "{mode:?}");
    }
}

#[test]
fn io_sends_what_came_in_its_order_and_drops_what_the_ring_refuses() {
    let mut bench = Bench::between(Mode::Io);
    (0..10).for_each(|n| bench.put(&frame(n)));
    bench.tx.set_bound(7);
    let counted = bench.turn();
    assert_eq!((counted.received, counted.sent, counted.tx_dropped), (10, 7, 3));
    for n in 0..7 {
        assert_eq!(bench.tx.pop().unwrap().data(), frame(n));
    }
}

#[test]
fn addresses_are_written_or_swapped() {
    for (mode, expected) in [(Mode::Mac, (PEER, SOURCE)), (Mode::MacSwap, (SOURCE, PEER)), (Mode::Csum, (PEER, SOURCE))]
    {
        let mut bench = Bench::between(mode);
        bench.put(&frame(1));
        bench.turn();
        assert_eq!(macs(bench.tx.pop().unwrap().data()), expected, "{mode:?}");
    }
}

#[test]
fn made_packets_are_whole_and_of_the_length_asked_for() {
    for mode in [Mode::TxOnly, Mode::FlowGen] {
        let mut bench = Bench::new(mode, HeapWire::default(), HeapWire::default(), 3);
        let counted = bench.turn();
        assert_eq!((counted.made, counted.sent), (3, 3));
        let mut destinations = Vec::new();
        while let Some(mut packet) = bench.tx.pop() {
            assert_eq!(packet.data().len(), 100);
            assert_eq!(mend(packet.data_mut()), Mended::default());
            let ip = Ipv4Packet::new_checked(&packet.data()[ethernet::HEADER_LEN..]).unwrap();
            assert_eq!(ip.total_len(), 100 - ethernet::HEADER_LEN);
            destinations.push(ip.destination());
        }
        destinations.dedup();
        assert_eq!(destinations.len(), if mode == Mode::FlowGen { 3 } else { 1 });
    }
}

#[test]
fn wrong_checksums_are_counted_and_put_right() {
    let mut bench = Bench::between(Mode::Csum);
    bench.put(&frame(1));
    let mut bad_ip = frame(2);
    bad_ip[ethernet::HEADER_LEN + 10] ^= 1;
    bench.put(&bad_ip);
    // A UDP checksum that is there, and wrong.
    let mut bad_l4 = frame(3);
    bad_l4[FRONT - 1] = 0x17;
    bench.put(&bad_l4);
    let counted = bench.turn();
    assert_eq!((counted.bad_ip, counted.bad_l4, counted.sent), (1, 1, 3));
    while let Some(mut packet) = bench.tx.pop() {
        assert_eq!(mend(packet.data_mut()), Mended::default());
    }
}

/// A frame of TCP or UDP, its checksum left at zero, and where that is.
fn datagram(kind: EtherType, protocol: u8) -> (Vec<u8>, usize) {
    let mut l4 = [0x5a; 33];
    let field = if protocol == protocol::TCP { 16 } else { 6 };
    l4[field..field + 2].fill(0);
    let mut bytes = vec![0; ethernet::HEADER_LEN];
    ethernet::write_header(bytes.first_chunk_mut().unwrap(), PEER, SOURCE, kind);
    if kind == EtherType::IPV4 {
        bytes.extend([0x45, 0, 0, 53, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        ipv4::write_checksum(&mut bytes[ethernet::HEADER_LEN..]);
    } else {
        let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::from([0xfd; 16]));
        let (traffic_class, flow_label, payload_len, next_header, hop_limit) = (0, 0, 33, protocol, 64);
        let mut header = [0; ipv6::HEADER_LEN];
        Ipv6Header { traffic_class, flow_label, payload_len, next_header, hop_limit, source, destination }
            .write(&mut header);
        bytes.extend(header);
    }
    let at = bytes.len() + field;
    bytes.extend(l4);
    (bytes, at)
}

#[test]
fn checksums_of_tcp_and_udp_over_both_ips_are_put_right() {
    for (kind, protocol) in [
        (EtherType::IPV4, protocol::TCP),
        (EtherType::IPV4, protocol::UDP),
        (EtherType::IPV6, protocol::TCP),
        (EtherType::IPV6, protocol::UDP),
    ] {
        let (zero, at) = datagram(kind, protocol);
        let l4 = &zero[zero.len() - 33..];
        let sum = if kind == EtherType::IPV4 {
            Sum::new().pseudo_v4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), protocol, 33)
        } else {
            Sum::new().pseudo_v6(Ipv6Addr::LOCALHOST, Ipv6Addr::from([0xfd; 16]), protocol, 33)
        };
        let mut right = zero.clone();
        right[at..at + 2].copy_from_slice(&sum.bytes(l4).checksum().to_be_bytes());
        let mut good = right.clone();
        assert_eq!((mend(&mut good), &good), (Mended::default(), &right), "{kind:?} {protocol}");
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        assert_eq!((mend(&mut wrong), &wrong), (Mended { ip: false, l4: true }, &right), "{kind:?} {protocol}");
        // Only UDP over IPv4 goes without.
        let mut none = zero.clone();
        let is_wrong = kind != EtherType::IPV4 || protocol != protocol::UDP;
        assert_eq!(mend(&mut none), Mended { ip: false, l4: is_wrong }, "{kind:?} {protocol}");
        assert_eq!(&none, if is_wrong { &right } else { &zero });
    }
}

#[test]
fn echoes_answer_pings_with_what_they_carried() {
    let ping = |from: [u8; 4], to: [u8; 4], kind: u8| {
        let mut bytes = vec![0; ethernet::HEADER_LEN];
        ethernet::write_header(bytes.first_chunk_mut().unwrap(), SOURCE, PEER, EtherType::IPV4);
        bytes.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, protocol::ICMP, 0, 0]);
        bytes.extend([from, to].concat());
        ipv4::write_checksum(&mut bytes[ethernet::HEADER_LEN..]);
        let mut icmp = [kind, 0, 0, 0, 0x12, 0x34, 0, 7, b'c', b'u', b'l', b'v', b'e', b'r', b't', b'!'];
        let sum = Sum::new().bytes(&icmp).checksum();
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(icmp);
        bytes
    };
    let mut bench = Bench::between(Mode::IcmpEcho);
    bench.put(&ping([10, 0, 0, 1], [10, 0, 0, 2], 8));
    // A reply is no question, and a broken question none either.
    bench.put(&ping([10, 0, 0, 1], [10, 0, 0, 2], 0));
    let mut broken = ping([10, 0, 0, 1], [10, 0, 0, 2], 8);
    broken[ethernet::HEADER_LEN + 28] ^= 1;
    bench.put(&broken);
    let counted = bench.turn();
    assert_eq!((counted.sent, counted.ended), (1, 2));
    let answer = bench.tx.pop().unwrap();
    let mut expected = ping([10, 0, 0, 2], [10, 0, 0, 1], 0);
    ethernet::write_header(expected.first_chunk_mut().unwrap(), PEER, SOURCE, EtherType::IPV4);
    assert_eq!(answer.data(), expected);
}

#[test]
fn echoes_answer_arp_and_nothing_else_is_touched() {
    let mut request = [0; 42];
    let asks = ArpPacket::request(PEER, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    ethernet::write_header(request.first_chunk_mut().unwrap(), MacAddr::BROADCAST, PEER, EtherType::ARP);
    asks.write(request[14..].first_chunk_mut().unwrap());
    let mut bench = Bench::between(Mode::IcmpEcho);
    bench.put(&request);
    bench.put(&frame(1));
    let counted = bench.turn();
    assert_eq!((counted.sent, counted.ended), (1, 1));
    let answer = bench.tx.pop().unwrap();
    assert_eq!(macs(answer.data()), (PEER, SOURCE));
    assert_eq!(ArpPacket::new_checked(&answer.data()[14..]).unwrap(), asks.reply(SOURCE));
    let mut other = frame(1);
    assert!(!icmpecho::answer(&mut other, SOURCE) && other == frame(1));
}

/// A cable from the TX queue to the RX queue.
fn looped() -> Bench {
    let wire = HeapWire::default();
    Bench::new(Mode::Wireguard, wire.clone(), wire, 8)
}

#[test]
fn what_is_sealed_comes_back_good() {
    let mut bench = looped();
    for _ in 0..20 {
        bench.turn();
    }
    let counted = bench.drain();
    assert_eq!((counted.sent, counted.good), (160, 160));
    assert_eq!(counted.bad_tag + counted.replayed + counted.bad_inner + counted.stray, 0);
    assert_eq!(bench.pool.outstanding(), 0);
}

#[test]
fn what_is_damaged_doubled_or_anothers_is_counted_as_such() {
    let mut bench = looped();
    bench.turn();
    let mut frames: Vec<Vec<u8>> = Vec::new();
    while let Some(packet) = bench.rx.pop() {
        frames.push(packet.data().to_vec());
    }
    assert_eq!(frames.len(), 8);
    // Every byte of a sealed packet counts: its tag, its text, its counter.
    let last = frames[0].len() - 1;
    frames[0][last] ^= 1;
    frames[1][FRONT + 16] ^= 0x80;
    frames[2][FRONT + 8] ^= 1;
    // No tunnel of ours, and no data message.
    frames[3][FRONT + 4] = 0xff;
    frames[4][FRONT] = 1;
    frames.push(frames[5].clone());
    frames.push(frame(9));
    frames.iter().for_each(|frame| bench.put(frame));
    let Stream { queues, mode } = &mut bench.stream;
    while mode.drain(queues) > 0 {}
    let counted = queues.counts.read();
    assert_eq!((counted.good, counted.bad_tag, counted.replayed, counted.stray), (3, 3, 1, 3), "{counted:?}");
    assert_eq!(bench.pool.outstanding(), 0);
}

/// Authentic, but not what was put in: the other side's packets are longer.
#[test]
fn what_was_not_put_in_is_counted_as_such() {
    let wire = HeapWire::default();
    let tunnels = Arc::new(Tunnels::new(1, 0).unwrap());
    let pool = HeapPool::new(64);
    let mut sends: Box<dyn Forward<Heap>> = Mode::Wireguard.forward(0, &WAY, 200, &tunnels).unwrap();
    let mut receives: Box<dyn Forward<Heap>> = Mode::Wireguard.forward(0, &WAY, 100, &tunnels).unwrap();
    let mut queues = Queues::<Heap>::new(wire.clone(), wire, pool, WAY, 4);
    sends.turn(&mut queues);
    assert_eq!(receives.drain(&mut queues), 4);
    let counted = queues.counts.read();
    assert_eq!((counted.good, counted.bad_inner), (0, 4));
}

#[test]
fn the_longest_sealed_frames_fill_the_mtu() {
    let longest = wireguard::longest(1500);
    for (len, sealed) in [(longest, 1514), (longest + 1, 1530), (64, 138)] {
        let wire = HeapWire::default();
        let tunnels = Arc::new(Tunnels::new(1, 0).unwrap());
        let mut queues = Queues::<Heap>::new(wire.clone(), wire.clone(), HeapPool::new(64), WAY, 1);
        Mode::Wireguard.forward::<Heap>(0, &WAY, len, &tunnels).unwrap().turn(&mut queues);
        assert_eq!(wire.pop().unwrap().data().len(), sealed, "{len}");
    }
}

#[test]
fn a_run_that_proved_nothing_or_lost_something_is_complained_of_whatever_is_cleared() {
    let complaint = |mode, count: fn(&Counts)| {
        let counts = Arc::new(Counts::default());
        let mut statistics = Statistics::new(mode, vec![(WAY, Arc::clone(&counts))]);
        count(&counts);
        statistics.clear();
        statistics.complaint().unwrap_or_default()
    };
    let unsent = |counts: &Counts| {
        counts.made.add(5);
        counts.tx_dropped.add(5);
    };
    assert!(complaint(Mode::Wireguard, unsent).contains("none of 5 packets could be sent"));
    assert_eq!(complaint(Mode::TxOnly, unsent), "");
    let damaged = |counts: &Counts| {
        [&counts.made, &counts.sent, &counts.good].into_iter().for_each(|tally| tally.add(5));
        counts.bad_tag.add(1);
    };
    assert!(complaint(Mode::Wireguard, damaged).contains("1 packets came back damaged"));
    let good = |counts: &Counts| [&counts.made, &counts.sent, &counts.good].into_iter().for_each(|tally| tally.add(5));
    assert_eq!(complaint(Mode::Wireguard, good), "");
}

#[test]
fn a_run_stops_drains_and_counts_its_cycles() {
    fn clock() -> u64 {
        use crate::queue::sync::{AtomicU64, Ordering};
        static NOW: AtomicU64 = AtomicU64::new(0);
        NOW.fetch_add(1, Ordering::Relaxed)
    }
    let Bench { mut stream, pool, .. } = looped();
    let counts = Arc::clone(&stream.queues.counts);
    let orders = Arc::new(Orders::new(true, clock, 1000));
    let for_thread = Arc::clone(&orders);
    let thread = std::thread::spawn(move || {
        run(core::slice::from_mut(&mut stream), &for_thread, true);
        stream
    });
    while counts.read().good < 100 {
        std::thread::yield_now();
    }
    orders.stop();
    drop(thread.join().unwrap());
    let counted = counts.read();
    assert!(counted.good == counted.sent && counted.cycles > 0, "{counted:?}");
    assert_eq!(pool.outstanding(), 0);
}

/// Of a tunnel whose packets come back at once; `now`: what the clock of its renewer shows.
struct Renewed {
    bench: Bench,
    renewer: Renewer,
    tunnels: Arc<Tunnels>,
}

impl Renewed {
    fn new() -> Self {
        let (wire, tunnels) = (HeapWire::default(), Arc::new(Tunnels::new(2, 0).unwrap()));
        let pool = HeapPool::new(512);
        let queues = Queues::new(wire.clone(), wire.clone(), pool.clone(), WAY, 8);
        let mode = Mode::Wireguard.forward(0, &WAY, 100, &tunnels).unwrap();
        let bench = Bench { rx: wire.clone(), tx: wire, pool, stream: Stream { queues, mode } };
        Self { renewer: Renewer::new(Arc::clone(&tunnels)).unwrap(), bench, tunnels }
    }

    /// What was counted after one turn, once the renewer has looked.
    fn turn(&mut self, now_ms: u64) -> Counted {
        self.renewer.look(now_ms).unwrap();
        self.bench.turn()
    }
}

#[test]
fn sessions_are_renewed_in_time_and_what_is_under_way_still_opens() {
    let mut it = Renewed::new();
    let mut turns = 0;
    // A day, looked at once a second: 120 s a session.
    for now_ms in (0..86_400_000).step_by(1000) {
        it.turn(now_ms);
        turns += 1;
    }
    assert_eq!(it.tunnels.handshakes().get(), 2 * 720, "two tunnels, one of which has nothing to send");
    let counted = it.bench.drain();
    assert_eq!((counted.sent, counted.good), (8 * turns, 8 * turns), "{counted:?}");
    assert_eq!(it.bench.pool.outstanding(), 0);
}

#[test]
fn sessions_are_renewed_before_their_counters_are_used_up() {
    let mut it = Renewed::new();
    it.turn(0);
    let reader = it.tunnels.reader().unwrap();
    let nonce = |reader: &Reader| it.tunnels.get(reader, 0).unwrap().now.sender.nonce();
    it.tunnels.get(&reader, 0).unwrap().now.sender.set_nonce_for_test(REKEY_AFTER_MESSAGES - 8);
    drop(reader);
    it.bench.turn();
    let reader = it.tunnels.reader().unwrap();
    assert_eq!(nonce(&reader), REKEY_AFTER_MESSAGES);
    drop(reader);
    it.renewer.look(1).unwrap();
    assert_eq!(it.tunnels.handshakes().get(), 2, "not yet");
    it.bench.turn();
    it.renewer.look(2).unwrap();
    assert_eq!(it.tunnels.handshakes().get(), 3, "the one tunnel alone");
    let counted = it.bench.turn();
    let reader = it.tunnels.reader().unwrap();
    assert_eq!(nonce(&reader), 8);
    drop(reader);
    assert_eq!((counted.sent, it.bench.drain().good), (32, 32));
}

/// Nobody renews it: at its end nothing is sealed any more, and nothing opened, instead of going on with old keys.
#[test]
fn a_session_that_is_too_old_is_used_no_more() {
    let mut it = Renewed::new();
    it.turn(0);
    let reader = it.tunnels.reader().unwrap();
    for at in 0..2 {
        let session = &it.tunnels.get(&reader, at).unwrap().now;
        assert!(session.sender.may_send(179_999) && !session.sender.may_send(180_000));
        assert!(!session.receiver.may_receive(180_000, 0));
    }
    drop(reader);
    let counted = it.bench.turn();
    assert_eq!((counted.sent, counted.tx_dropped, counted.good, counted.stray), (8, 8, 0, 8));
    // And whoever looks makes it well again.
    it.turn(180_000);
    assert_eq!(it.bench.drain().good, 8);
}

/// A thread of its own, by a clock that leaps a minute at each look.
#[test]
fn sessions_are_renewed_beside_those_that_forward() {
    static MINUTES: AtomicU64 = AtomicU64::new(0);
    let mut it = Renewed::new();
    let rekeying = Rekeying::start(&it.tunnels, || MINUTES.fetch_add(1, Relaxed) * 60_000).unwrap();
    let began = Instant::now();
    while it.tunnels.handshakes().get() < 8 && began.elapsed() < Duration::from_secs(20) {
        it.bench.turn();
    }
    drop(rekeying);
    let counted = it.bench.drain();
    assert!(it.tunnels.handshakes().get() >= 8, "{}", it.tunnels.handshakes().get());
    assert_eq!((counted.good, counted.bad_tag, counted.replayed, counted.bad_inner), (counted.sent, 0, 0, 0));
}

/// The lines are testpmd's (`tests/cli/verbose.txt`).
#[test]
fn packets_are_shown_as_far_as_is_wanted() {
    let mut bench = Bench::between(Mode::Mac);
    let viewer = Viewer::new("some");
    let stream = || std::iter::once((WAY, Arc::clone(&bench.stream.queues.shown)));
    viewer.watch(stream(), 0);
    bench.put(&frame(1));
    bench.turn();
    assert_eq!(viewer.take_all(), "");
    let of = |src, dst, len, more: &str, queue| {
        format!(
            "  src={src} - dst={dst} - pool=some - type=0x0800 - length={len} - nb_segs=1{more} - {queue} queue=0x0\n"
        )
    };
    let (here, there) = ("02:00:00:00:01:01", "02:00:00:00:02:02");
    let received = format!(
        "port 0/queue 0: received 3 packets\n{}{}{}",
        of(here, there, 62, "", "Receive"),
        of(here, there, 62, " - RSS hash=0xdeadbeef - RSS queue=0x0", "Receive"),
        "  src=00:00:00:00:00:00 - dst=01:02:03:00:00:00 - pool=some - type=0x0000 - length=3 - nb_segs=1 - Receive queue=0x0\n",
    );
    let sent = format!(
        "port 1/queue 0: sent 3 packets\n{}{}{}",
        of(here, there, 62, "", "Send"),
        of(here, there, 62, " - RSS hash=0xdeadbeef - RSS queue=0x0", "Send"),
        "  src=00:00:00:00:00:00 - dst=01:02:03:00:00:00 - pool=some - type=0x0000 - length=3 - nb_segs=1 - Send queue=0x0\n",
    );
    for (level, expected) in [(1, received.clone()), (2, sent.clone()), (3, received + &sent), (0, String::new())] {
        viewer.set(level);
        bench.put(&frame(1));
        bench.put(&frame(0x77));
        bench.put(&[1, 2, 3]);
        bench.turn();
        assert_eq!(viewer.take_all(), expected, "{level}");
    }
}

#[test]
fn what_comes_faster_than_it_is_printed_is_told_as_a_number() {
    let mut bench = Bench::between(Mode::RxOnly);
    let viewer = Viewer::new("some");
    viewer.watch(std::iter::once((WAY, Arc::clone(&bench.stream.queues.shown))), 3);
    let bursts = 2_000;
    for _ in 0..bursts {
        (0..32).for_each(|n| bench.put(&frame(n)));
        bench.turn();
    }
    let text = viewer.take_all();
    let shown = text.matches("  src=").count();
    let lost = text.lines().find_map(|line| line.strip_suffix(" packets more than could be shown"));
    let lost: usize = lost.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap();
    assert!(shown > 1000 && shown + lost == 32 * bursts, "{shown} {lost}");
    assert_eq!(viewer.take_all(), "");
}
