//! Rings that nobody reads, pools that run dry, and packets that are not of the gateway's own pool.

use crate::client::Client;
use crate::far::Seen;
use crate::packets::{tag, tagged};
use crate::rig::{HOST, HOST_MAC, Options, Rig, Source, lan_frame};
use culvert::dpdk::Mbuf;
use culvert::frame::{Frame, PacketPool};
use culvert::wire::MacAddr;
use std::time::{Duration, Instant};

/// Reads the wan side alone until the gateway has nothing left to do.
pub(crate) fn leave_lan_unread(rig: &mut Rig, frames: Vec<Vec<u8>>) {
    let mut frames = frames.into_iter();
    let began = Instant::now();
    let (mut all_in, mut quiet) = (false, 0);
    while quiet < 3 {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", rig.account());
        all_in = all_in || rig.wan.offer(0, &mut frames);
        rig.wan.drain(|_, _| ());
        let account = rig.account();
        let still = all_in && rig.wan.is_still() && account.queued() == 0 && account.control_queued() == 0;
        let still = still && account.rx == rig.wan.injected + rig.lan.injected;
        quiet = if still { quiet + 1 } else { 0 };
        if still {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(crate) fn sealed(client: &mut Client, count: u32) -> Vec<Vec<u8>> {
    let inner = client.inner();
    (0..count).map(|tag| client.data(&tagged(&inner, HOST, tag, 96))).collect()
}

/// Sends in small portions, so that nothing is lost but by a fault.
fn passes(rig: &mut Rig, client: &mut Client) {
    let mut tags = Vec::new();
    for portion in sealed(client, 512).chunks(32) {
        rig.blast(vec![Source::outer(0, portion.to_vec())], |outer, _, seen| {
            if let (false, Seen::Frame(frame)) = (outer, seen) {
                tags.push(tag(&frame[14..]));
            }
        });
    }
    // Each portion comes by both TX queues.
    tags.sort_unstable();
    assert_eq!(tags, (0..512).collect::<Vec<_>>());
}

#[test]
fn tx_full_is_counted_and_nothing_leaks() {
    let mut rig = Rig::new(&Options { ring: 512, ..Options::default() });
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let frames = sealed(&mut client, 20_000);
    leave_lan_unread(&mut rig, frames);
    let (tx_full, queue_full) = (rig.dropped("tx_full"), rig.dropped("queue_full"));
    // Two rings of 511 places at most are full.
    assert!(tx_full > 0 && tx_full + queue_full >= 20_000 - 2 * 511, "{:?}", rig.account());
    let json = rig.report().json();
    let of = |port: usize| json["ports"][port]["tx_full"].as_u64().unwrap();
    assert_eq!((of(0), of(1)), (0, tx_full), "{json}");
    let mut arrived = 0;
    rig.settle(|outer, _, seen| arrived += u64::from(!outer && matches!(seen, Seen::Frame(_))));
    // Among what was lost may be some of the gateway's own packets.
    let all = arrived + tx_full + queue_full;
    assert!((20_000..=20_000 + rig.account().generated).contains(&all), "{arrived}: {:?}", rig.account());
    passes(&mut rig, &mut client);
    rig.finish();
}

#[test]
fn pool_exhausted_recovers() {
    let mut rig = Rig::new(&Options { ring: 4096, mbufs: 2047, ..Options::default() });
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    for round in 0..3 {
        let before = rig.dropped("foreign_mbuf");
        let frames = sealed(&mut client, 10_000);
        leave_lan_unread(&mut rig, frames);
        let json = rig.report().json();
        assert!(rig.dropped("foreign_mbuf") > before, "round {round}: {json}");
        // All but what the caches of the threads keep to themselves.
        assert!(rig.lan.wire.in_flight() > 1000, "round {round}: {json}");
        rig.settle(|_, _, _| ());
        passes(&mut rig, &mut client);
    }
    assert_eq!(rig.dropped("auth_failed") + rig.dropped("not_plain"), 0);
    rig.finish();
}

#[test]
fn the_gateways_own_mbufs_are_taken_without_a_copy() {
    let mut rig = Rig::new(&Options { ring: 4096, mbufs: 2047, ..Options::default() });
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let frames = sealed(&mut client, 10_000);
    leave_lan_unread(&mut rig, frames);
    // The wan port's queue 0 and the lan port's queue 1 are one core's, and its pool is dry.
    let frames = sealed(&mut client, 1);
    let before = rig.dropped("foreign_mbuf");
    leave_lan_unread(&mut rig, frames);
    assert_eq!(rig.dropped("foreign_mbuf"), before + 1);

    // The inner host returns what it was sent, in the very same mbufs.
    let mut hoard: Vec<Mbuf> = Vec::new();
    while hoard.len() < 64 {
        hoard.extend(rig.lan.take(0));
        hoard.extend(rig.lan.take(1));
    }
    let rest = hoard.split_off(64);
    for mut mbuf in hoard {
        let frame = mbuf.data_mut();
        frame[..6].copy_from_slice(&MacAddr::ZERO.0);
        frame[6..12].copy_from_slice(&HOST_MAC.0);
        frame[26..34].rotate_left(4);
        rig.lan.inject(1, mbuf);
    }
    let mut returned = 0;
    let began = Instant::now();
    while returned < 64 {
        assert!(began.elapsed() < Duration::from_secs(30), "{returned}: {:?}", rig.account());
        rig.wan.drain(|_, seen| {
            if let Seen::Frame(frame) = seen {
                let plain = client.open(&frame[42..]).expect("a message that opens");
                assert_eq!(plain[16..20], [10, 1, 0, 1]);
                returned += 1;
            }
        });
    }
    assert_eq!(rig.dropped("foreign_mbuf"), before + 1);
    drop(rest);
    rig.settle(|_, _, _| ());
    passes(&mut rig, &mut client);
    rig.finish();
}

/// TESTING A19: mbufs of two and of five segments, headers split.
#[test]
fn chained_frames_are_joined() {
    let mut rig = Rig::new(&Options::default());
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let inner = client.inner();
    let mut arrived = Vec::new();
    let mut sent = Vec::new();
    // Cut in each header, at their borders and in the payload; and in five pieces.
    let in_two = [0, 1, 13, 14, 20, 33, 34, 41, 42, 50, 57, 58, 90].map(|cut| vec![cut]);
    let in_five = [[1, 2, 3, 4], [7, 14, 34, 42], [14, 34, 42, 58], [20, 38, 50, 60], [0, 0, 100, 100]];
    for (tag, cuts) in (1..).zip(in_two.into_iter().chain(in_five.map(Vec::from))) {
        let frame = client.data(&tagged(&inner, HOST, tag, 96));
        let packet = |bytes: &[u8]| {
            let mut mbuf = rig.pool.alloc().unwrap();
            mbuf.append(bytes.len()).unwrap().copy_from_slice(bytes);
            mbuf
        };
        let ends: Vec<_> = cuts.iter().copied().chain([frame.len()]).collect();
        let pieces = [0].into_iter().chain(cuts).zip(ends).map(|(from, to)| packet(&frame[from..to]));
        let chain = pieces.reduce(|head, tail| head.chain(tail).unwrap()).unwrap();
        rig.wan.inject(0, chain);
        sent.push(tag);
        rig.settle(|outer, _, seen| {
            if let (false, Seen::Frame(frame)) = (outer, seen) {
                arrived.push(crate::packets::tag(&frame[14..]));
            }
        });
    }
    assert_eq!(arrived, sent);
    // And one out.
    let frame = lan_frame(&tagged(HOST, &inner, 77, 96));
    let mut out = 0;
    rig.blast(vec![Source::inner(0, [frame])], |outer, _, seen| {
        out += u64::from(outer && matches!(seen, Seen::Frame(_)));
    });
    assert_eq!(out, 1);
    rig.finish();
}
