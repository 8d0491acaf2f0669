//! Nothing is allocated for a packet that is not authenticated: counted on the thread that runs the whole gateway, by a global allocator.
//!
//! A heap packet takes storage where an mbuf takes a place of its pool. So what the gateway sends by itself is allowed exactly what
//! such packets cost, and nothing else; what comes has its storage before the count begins.

use crate::client::Client;
use crate::cookies::press;
use crate::crowd::{Crowd, frame, spoofed, with_mac2};
use crate::forge::with_mac1;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options, ROUTER_MAC, WAN_MAC, server_identity};
use crate::packets::{self, tagged, whole, with_flags};
use crate::scenes::{asking, connected};
use allocation_counter::measure;
use culvert::frame::PacketPool;
use fastrand::Rng;

/// Frames of one flood: too few for load to begin by them. Of seven and of two there is a whole number.
const FRAMES: u32 = 420;

/// What the gateway answers to a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    /// Packets of the pool.
    Made,
    /// The frames themselves go back.
    Itself,
}

/// Lets these frames come, each by the port of its MAC address, and drops what goes out: how many those were, and that nothing else was
/// allocated than `answer` says.
fn pass(gw: &mut Gateway, what: &str, answer: Answer, frames: &[Vec<u8>]) -> u64 {
    let cost = measure(|| drop(gw.pool.alloc()));
    assert!(cost.count_total > 0, "the allocator does not count");
    gw.frames();
    for frame in frames {
        let packet = gw.packet(frame);
        let rx = if frame.starts_with(&LAN_MAC.0) { &gw.lan_rx[0] } else { &gw.wan_rx[0] };
        rx.push(packet);
    }
    let info = measure(|| gw.settle());
    let sent = (gw.wan_tx.len() + gw.lan_tx.len()) as u64;
    gw.frames();
    let made = if answer == Answer::Made { sent } else { 0 };
    let expected = (made * cost.count_total, made * cost.bytes_total);
    assert_eq!((info.count_total, info.bytes_total), expected, "{what}: (allocations, bytes) for {sent} packets");
    sent
}

/// A flood, of which each frame is dropped for the `reason`, or answered.
fn flood(gw: &mut Gateway, reason: &str, answer: Answer, mut make: impl FnMut(u32) -> Vec<u8>) {
    let frames: Vec<_> = (0..FRAMES).map(&mut make).collect();
    let before = gw.dropped(reason);
    let sent = pass(gw, reason, answer, &frames);
    let dropped = gw.dropped(reason) - before;
    let answered = if answer == Answer::None { 0 } else { u64::from(FRAMES) };
    assert_eq!((dropped, sent), (u64::from(FRAMES), answered), "{reason}: {:?}", gw.drops());
}

/// Uses what grows to a size of its own by the first time: the test's wires, above all.
fn warm(gw: &mut Gateway) {
    let ours = [gw.wan_tx.clone(), gw.lan_tx.clone(), gw.wan_rx[0].clone(), gw.lan_rx[0].clone()];
    for wire in ours {
        (0..2 * FRAMES).for_each(|_| wire.push(gw.packet(&[])));
        while wire.pop().is_some() {}
    }
}

fn silent(gw: &mut Gateway, reason: &str, make: impl FnMut(u32) -> Vec<u8>) {
    flood(gw, reason, Answer::None, make);
}

fn asked(gw: &mut Gateway, make: impl FnMut(u32) -> Vec<u8>) {
    flood(gw, "cookie_sent", Answer::Made, make);
}

/// A message with a bit wrong.
fn spoilt(mut message: Vec<u8>, at: usize) -> Vec<u8> {
    message[at] ^= 1;
    message
}

/// Or all these floods would show nothing: a session takes memory.
#[test]
#[should_panic(expected = "a session: (allocations, bytes)")]
fn a_handshake_that_is_authentic_is_counted() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    let initiation = client.initiation();
    pass(&mut gw, "a session", Answer::Made, &[client.frame(&initiation)]);
}

#[test]
fn handshake_messages_without_load() {
    let (mut gw, mut client) = connected(&Options::default());
    warm(&mut gw);
    let mut crowd = Crowd::new();
    silent(&mut gw, "bad_mac1", |n| frame(spoofed(n), &spoilt(crowd.initiation(), 4 + n as usize % 128)));
    silent(&mut gw, "bad_mac1", |n| frame(spoofed(n), &spoilt(crowd.response(), 4 + n as usize % 72)));
    // Their mac1 is good, so that curve operations are done for them.
    silent(&mut gw, "handshake_refused", |n| crowd.spoof(n));
    silent(&mut gw, "handshake_refused", |n| frame(spoofed(n), &crowd.response()));
    let mut stranger = Client::new(99);
    silent(&mut gw, "handshake_refused", |_| {
        let initiation = stranger.initiation();
        stranger.frame(&initiation)
    });
    let replayed = client.initiation_at(1);
    silent(&mut gw, "handshake_refused", |_| client.frame(&replayed));
    let key = *server_identity().public_key();
    let fresh = client.initiation();
    silent(&mut gw, "handshake_refused", |n| {
        client.frame(&with_mac1(spoilt(fresh.clone(), 8 + n as usize % 108), &key))
    });
    // Cookie replies that nobody asked for, to an index of ours and to others.
    let index = client.session().secrets.remote_index;
    silent(&mut gw, "handshake_refused", |n| {
        let mut reply = [0x5a; 64];
        reply[..4].copy_from_slice(&[3, 0, 0, 0]);
        reply[4..8].copy_from_slice(&(index + n % 2).to_le_bytes());
        client.frame(&reply)
    });
    gw.finish();
}

#[test]
fn handshake_messages_under_load() {
    let (mut gw, mut client) = connected(&Options::default());
    warm(&mut gw);
    let mut crowd = Crowd::new();
    press(&mut gw);
    silent(&mut gw, "bad_mac1", |n| frame(spoofed(n), &spoilt(crowd.initiation(), 4 + n as usize % 128)));
    asked(&mut gw, |n| crowd.spoof(n));
    asked(&mut gw, |n| frame(spoofed(n), &with_mac2(crowd.initiation(), &[7; 16])));
    asked(&mut gw, |_| {
        let initiation = client.initiation();
        client.frame(&initiation)
    });
    let at = spoofed(1);
    let message = crowd.initiation();
    gw.wan(&frame(at, &message));
    gw.settle();
    let cookie = crowd.cookie(&message, &gw.datagrams().remove(0).payload).unwrap();
    for _ in 0..5 {
        gw.wan(&frame(at, &with_mac2(crowd.initiation(), &cookie)));
    }
    gw.settle();
    silent(&mut gw, "rate_limited", |_| frame(at, &with_mac2(crowd.initiation(), &cookie)));
    gw.finish();
}

#[test]
fn responses_to_an_initiation_under_way() {
    let (mut gw, client, initiation) = asking(1, 5);
    warm(&mut gw);
    let mut crowd = Crowd::new();
    let mut response = |n: u32| {
        let response = crowd.response_to(&initiation.payload);
        frame(spoofed(n), &response)
    };
    silent(&mut gw, "handshake_refused", &mut response);
    press(&mut gw);
    asked(&mut gw, &mut response);
    assert_eq!(gw.shared.staged.held(), 1, "{}", client.number);
    gw.finish();
}

#[test]
fn data() {
    let (mut gw, mut client) = connected(&Options::default());
    warm(&mut gw);
    let good = client.session().seal(5, &tagged(&client.inner(), HOST, 1, 96));
    silent(&mut gw, "auth_failed", |n| {
        let mut forged = spoilt(good.clone(), 16 + n as usize % (good.len() - 16));
        forged[8..16].copy_from_slice(&u64::from(n).to_le_bytes());
        client.frame(&forged)
    });
    let index = client.session().secrets.remote_index;
    silent(&mut gw, "unknown_index", |n| {
        let mut stray = good.clone();
        stray[4..8].copy_from_slice(&(index ^ (n + 1)).to_le_bytes());
        client.frame(&stray)
    });
    let frame = client.data(&[]);
    gw.wan(&frame);
    gw.settle();
    silent(&mut gw, "replay", |_| frame.clone());
    silent(&mut gw, "bad_message", |n| client.frame(&vec![n as u8 | 8; 1 + n as usize]));
    gw.finish();
}

/// Their storage is the table's.
#[test]
fn fragments() {
    let (mut gw, client) = connected(&Options { pool: 32_768, ..Options::default() });
    warm(&mut gw);
    let mut given_up = |reason: &str, place: fn(u32) -> (u32, u16), len: usize| {
        let fragment = |n: u32| {
            let (datagram, word) = place(n);
            let packet = packets::udp(spoofed(datagram), client.to, 0, &vec![4; len]);
            packets::frame(WAN_MAC, ROUTER_MAC, &with_flags(packet, word))
        };
        let (before, frames): (_, Vec<_>) = (gw.dropped(reason), (0..FRAMES).map(fragment).collect());
        assert_eq!(pass(&mut gw, reason, Answer::None, &frames), 0);
        gw.leap_ms(1100);
        assert_eq!(gw.dropped(reason) - before, u64::from(FRAMES), "{reason}: {:?}", gw.drops());
    };
    // Lone ones, first and later; such as hide a header; twice the same; seven that are neither first nor last.
    given_up("fragment_timeout", |n| (n, if n % 2 == 0 { 0x2000 } else { 0x2020 }), 800);
    given_up("fragment_tiny", |n| (n, 0x2000), 8);
    given_up("fragment_overlap", |n| (n / 2, 0x2000), 800);
    given_up("fragment_bound", |n| (n / 7, 0x2000 + 20 + n as u16 % 7), 800);
    gw.finish();
}

/// Whatever comes, by either port.
#[test]
fn garbage() {
    let (mut gw, client) = connected(&Options::default());
    warm(&mut gw);
    let mut rng = Rng::with_seed(7);
    let mut noise = |len: u32| std::iter::repeat_with(|| rng.u8(..)).take(len as usize).collect::<Vec<_>>();
    let kinds = [(0x0800_u16, 0x45), (0x86dd, 0x60), (0x0806, 0), (0x88cc, 0)];
    let frames = (0..FRAMES).map(|n| {
        let mut frame = noise(n * 3 % 1500);
        let ((ether_type, first), mac) = (kinds[n as usize / 2 % 4], [WAN_MAC, LAN_MAC][n as usize % 2]);
        if frame.len() >= 15 {
            frame[..6].copy_from_slice(&mac.0);
            frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
            frame[14] = first;
        }
        frame
    });
    let frames: Vec<_> = frames.collect();
    assert_eq!(pass(&mut gw, "noise", Answer::None, &frames), 0);
    // Noise in datagrams to us, that begins as a message.
    let datagrams = (0..FRAMES).map(|n| {
        let mut payload = noise(n);
        payload.iter_mut().zip([n as u8 % 6, 0, 0, 0]).for_each(|(byte, value)| *byte = value);
        client.frame(&payload)
    });
    let datagrams: Vec<_> = datagrams.collect();
    assert_eq!(pass(&mut gw, "datagrams", Answer::None, &datagrams), 0);
    let echo = packets::frame(WAN_MAC, ROUTER_MAC, &packets::echo("198.51.100.7", "192.0.2.1"));
    let echoes = vec![echo; FRAMES as usize];
    assert_eq!(pass(&mut gw, "echo requests", Answer::Itself, &echoes), u64::from(FRAMES));
    gw.finish();
}

/// What hosts send that goes no further: errors to them go out at a bounded rate.
#[test]
fn inner_packets_that_go_nowhere() {
    let (mut gw, client) = connected(&Options::default());
    warm(&mut gw);
    let absent = Client::new(2);
    gw.add(&absent);
    for (reason, packet) in [
        ("no_peer", tagged(HOST, "10.77.0.1", 1, 96)),
        ("no_endpoint", tagged(HOST, &absent.inner(), 1, 96)),
        ("too_big", whole(tagged(HOST, &client.inner(), 1, 1500))),
    ] {
        gw.leap_ms(2000);
        let (before, frame) = (gw.dropped(reason), packets::frame(LAN_MAC, HOST_MAC, &packet));
        assert_eq!(pass(&mut gw, reason, Answer::Made, &vec![frame; FRAMES as usize]), 10);
        assert_eq!(gw.dropped(reason) - before, u64::from(FRAMES));
    }
    gw.finish();
}
