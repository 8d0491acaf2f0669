//! The mistakes that other implementations made (PROTOCOL.md), tried from outside: on culvertd, which makes none of them,
//! and on boringtun-cli 0.7.1, which makes those that are listed here. A suite that finds nothing there is broken. All of
//! the mistakes, these and those that do not show from outside, have a test in `tests/gateway`; `tests/mistakes.txt` lists them.

use crate::crafted::{Crafted, SOON, Wire};
use crate::device::Device;
use crate::tools;
use culvert::cli::lab::{LabError, Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A mistake, the trial (an error: it was made), and whether boringtun-cli 0.7.1 makes it.
struct Mistake(&'static str, fn(&mut Device) -> Result<()>, bool);

const MISTAKES: &[Mistake] = &[
    Mistake("roaming only on initiations", roaming_only_on_initiations, false),
    Mistake("endpoint moved by a cookie reply", moved_by_a_cookie_reply, true),
    Mistake("endpoint moved by a packet that failed authentication", moved_by_a_forged_packet, false),
    Mistake("cookies for everybody past a global 100 handshakes a second", cookies_for_everybody, true),
    Mistake("predictable receiver indexes", predictable_indexes, true),
    Mistake("persistent keepalive sent though traffic flows", keepalive_beside_traffic, true),
    Mistake("PSK change that does not reach the next handshake", psk_change_lost, true),
    Mistake("changing an existing peer through UAPI panics", changing_a_peer, true),
    Mistake("update_only ignored", update_only, true),
    Mistake("nonce limit wrong on receive", nonce_limit, true),
    Mistake("key confirmation before the packet is authenticated", confirmed_by_a_forgery, false),
    Mistake("padding missing", padding_missing, true),
    Mistake("data length not checked before subtracting the tag", data_lengths, false),
    Mistake("handshake lengths not checked", handshake_lengths, false),
    Mistake("oversized datagram kills the receive task", oversized_datagrams, false),
    Mistake("source checked against the peer's own list only", covering_prefix, true),
    Mistake("IPv6 source compared by its low 32 bits", low_32_bits, false),
    Mistake("replay window of 1,024", small_window, true),
    Mistake("private key not shown to wg", private_key_not_shown, true),
    Mistake("handshake time shown as an age", handshake_time_as_age, true),
];

#[test]
fn culvertd_makes_none_of_the_mistakes_of_others() {
    let made = tried(Device::culvertd().unwrap());
    println!("| mistakes of others that culvertd makes: {} of {}", made.len(), MISTAKES.len());
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn boringtun_makes_those_that_it_is_known_for() {
    let Some(boringtun) = tools::boringtun() else { return tools::skipped("boringtun-cli") };
    let made = tried(Device::other(&boringtun).unwrap());
    println!("| mistakes of others that boringtun-cli 0.7.1 makes: {} of {}:", made.len(), MISTAKES.len());
    made.iter().for_each(|name| println!("|     {name}"));
    let known: BTreeSet<_> = MISTAKES.iter().filter(|mistake| mistake.2).map(|mistake| mistake.0).collect();
    assert_eq!(made, known);
}

/// Tries all of them. Returns which were made.
fn tried(mut device: Device) -> BTreeSet<&'static str> {
    let mut made = BTreeSet::new();
    for Mistake(name, trial, _) in MISTAKES {
        let start = Instant::now();
        if let Err(error) = trial(&mut device).and_then(|()| device.alive()) {
            println!("{name}: {error}");
            made.insert(*name);
            device.restart().unwrap();
        }
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    device.finish().unwrap();
    made
}

/// The host's word reaches the peer there, and not where it was before.
fn reached_at(device: &Device, peer: &Crafted, wire: &Wire, word: &[u8]) -> Result<()> {
    device.host_sends(peer, word);
    ensure(device.comes_to(wire, peer, word).is_some(), "the host's word", "it does not come to where the peer is")
}

fn endpoint_is(device: &Device, peer: &Crafted, wire: &Wire) -> Result<()> {
    let shown = device.shown(peer, "endpoint")?;
    ensure(shown == wire.at().to_string(), "endpoint", format!("it is {shown}, not {}", wire.at()))
}

fn roaming_only_on_initiations(device: &mut Device) -> Result<()> {
    let (mut peer, elsewhere) = (device.connected()?, device.wire()?);
    device.passes(&mut peer, None, 1)?;
    reached_at(device, &peer, &peer.wire, b"home")?;
    device.passes(&mut peer, Some(&elsewhere), 2)?;
    endpoint_is(device, &peer, &elsewhere)?;
    reached_at(device, &peer, &elsewhere, b"away")
}

/// Who sees the device's initiation can make a reply that the device takes.
fn moved_by_a_cookie_reply(device: &mut Device) -> Result<()> {
    let elsewhere = device.wire()?;
    let peer = device.peer(|peer| format!("endpoint={}\n", peer.wire.at()))?;
    device.host_sends(&peer, b"hello");
    let initiation = peer.wire.receive_kind(1, SOON).ok_or_else(|| LabError::new("the device", "no initiation"))?;
    elsewhere.send(&peer.cookie_reply(&initiation));
    // The device works through what came before this is answered.
    device.connected()?;
    std::thread::sleep(Duration::from_millis(100));
    endpoint_is(device, &peer, &peer.wire)
}

fn moved_by_a_forged_packet(device: &mut Device) -> Result<()> {
    let (mut peer, elsewhere) = (device.connected()?, device.wire()?);
    device.passes(&mut peer, None, 1)?;
    let good = peer.session().seal(50, &Crafted::packet(&peer.v4(), device.host()[0], 2));
    peer.wire.send(&good);
    device.arrives(0, 2, SOON)?;
    let mut forged = peer.session().seal(51, &[]);
    forged[20] ^= 1;
    // A forgery, and a copy of what has arrived.
    for message in [forged, good] {
        elsewhere.send(&message);
    }
    device.connected()?;
    endpoint_is(device, &peer, &peer.wire)?;
    reached_at(device, &peer, &peer.wire, b"home")
}

fn cookies_for_everybody(device: &mut Device) -> Result<()> {
    let mut peer = device.peer(|_| String::new())?;
    let mut stranger = device.stranger()?;
    let flood = stranger.initiation();
    for _ in 0..250 {
        stranger.wire.send(&flood);
    }
    peer.handshake().map(drop)
}

fn predictable_indexes(device: &mut Device) -> Result<()> {
    let mut peer = device.peer(|_| String::new())?;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(peer.handshake()?);
    }
    // Of random indexes, the upper halves of two are alike once in 65,536 / 6 runs; of three in a row, never.
    let counted = all.windows(3).any(|three| three[0] >> 16 == three[1] >> 16 && three[1] >> 16 == three[2] >> 16);
    ensure(!counted, "receiver indexes", format!("they are counted: {all:x?}"))
}

fn keepalive_beside_traffic(device: &mut Device) -> Result<()> {
    let mut peer = device.peer(|_| "persistent_keepalive_interval=1\n".to_owned())?;
    peer.connect()?;
    device.passes(&mut peer, None, 1)?;
    let is_keepalive = |message: &[u8]| message.len() == 32 && message[0] == 4;
    while peer.wire.receive(Duration::from_millis(20), |_| true).is_some() {}
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2600) {
        device.passes(&mut peer, None, 2)?;
        device.host_sends(&peer, b"and back");
        let seen = peer.wire.receive(Duration::from_millis(100), is_keepalive);
        ensure(seen.is_none(), "a keepalive", "it comes though packets do")?;
    }
    Ok(())
}

fn psk_change_lost(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    device.passes(&mut peer, None, 1)?;
    peer.psk = [0x77; 32];
    device.set(&format!("public_key={}\npreshared_key={}\n", peer.key(), "77".repeat(32)))?;
    peer.connect()?;
    device.passes(&mut peer, None, 2)
}

fn changing_a_peer(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    device.passes(&mut peer, None, 1)?;
    let key = peer.key();
    device.set(&format!("public_key={key}\npersistent_keepalive_interval=0\nallowed_ip=10.9.77.0/24\n"))?;
    device.passes(&mut peer, None, 2)?;
    let moved = peer.data(&Crafted::packet("10.9.77.7", device.host()[0], 3));
    peer.wire.send(&moved);
    device.arrives(0, 3, SOON)
}

fn update_only(device: &mut Device) -> Result<()> {
    let key = device.stranger()?.key();
    device.set(&format!("public_key={key}\nupdate_only=true\nallowed_ip=10.9.78.0/24\n"))?;
    ensure(!device.get()?.contains(&key), "update_only", "it made a peer")
}

fn nonce_limit(device: &mut Device) -> Result<()> {
    let peer = device.connected()?;
    // REJECT_AFTER_MESSAGES, and the last counter of all; then one that is good.
    for (tag, counter) in [(1, u64::MAX - 8129), (2, u64::MAX), (3, 7)] {
        peer.wire.send(&peer.session().seal(counter, &Crafted::packet(&peer.v4(), device.host()[0], tag)));
    }
    not_delivered(device, 0, &[1, 2], 3)
}

/// The datagram with the tag `fence` arrives, and none of the others before it or soon after.
fn not_delivered(device: &Device, family: usize, others: &[u32], fence: u32) -> Result<()> {
    let arrived = device.arrives_of(family, fence);
    let wrong: Vec<_> = arrived.iter().filter(|tag| others.contains(tag)).collect();
    ensure(wrong.is_empty(), "packets that are to be dropped", format!("delivered: {wrong:?}"))?;
    ensure(arrived.contains(&fence), "a good packet after them", "it is not delivered")
}

fn confirmed_by_a_forgery(device: &mut Device) -> Result<()> {
    let mut peer = device.peer(|_| String::new())?;
    peer.handshake()?;
    let mut forged = peer.session().seal(0, &[]);
    forged[20] ^= 1;
    peer.wire.send(&forged);
    device.connected()?;
    device.host_sends(&peer, b"too early");
    let early = peer.wire.receive_kind(4, Duration::from_millis(300));
    ensure(early.is_none(), "a session that nobody confirmed", "data comes under it")?;
    let keepalive = peer.data(&[]);
    peer.wire.send(&keepalive);
    reached_at(device, &peer, &peer.wire, b"in time")
}

fn padding_missing(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    device.passes(&mut peer, None, 1)?;
    for len in [1, 16, 73, 500, 1391] {
        let word = vec![0x41; len];
        device.host_sends(&peer, &word);
        let message = device.comes_to(&peer.wire, &peer, &word);
        let message = message.ok_or_else(|| LabError::new("the host's word", "it does not come"))?;
        // 20 and 8 bytes of headers inside, 16 before and 16 behind; padded to 16, but not beyond the MTU.
        let padded = 32 + (28 + len).next_multiple_of(16).min(1420);
        ensure(message.len() == padded, "padding", format!("{len} bytes in {}, not {padded}", message.len()))?;
    }
    Ok(())
}

fn data_lengths(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    let message = peer.session().seal(9, &[0x45; 96]);
    peer.wire.send_all((0..message.len()).map(|len| &message[..len]));
    device.passes(&mut peer, None, 1)
}

fn handshake_lengths(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    let (initiation, index) = (peer.initiation(), peer.session().secrets.remote_index);
    for kind in [1, 2, 3] {
        let mut message = [initiation.clone(), vec![0; 100]].concat();
        message[0] = kind;
        if kind > 1 {
            message[4..8].copy_from_slice(&index.to_le_bytes());
        }
        let lengths = (0..message.len()).filter(|len| (kind, *len) != (1, 148));
        peer.wire.send_all(lengths.map(|len| &message[..len]));
    }
    device.passes(&mut peer, None, 1)
}

fn oversized_datagrams(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    let index = peer.session().secrets.remote_index.to_le_bytes();
    for len in [1472, 1473, 2048, 4096, 9000, 65_507] {
        for kind in 1..=4 {
            let mut message = vec![0; len];
            message[0] = kind;
            message[4..8].copy_from_slice(&index);
            peer.wire.send(&message);
        }
        peer.wire.send(&peer.session().seal(1000, &vec![0x45; len.min(65_000)]));
    }
    device.passes(&mut peer, None, 1)
}

fn covering_prefix(device: &mut Device) -> Result<()> {
    let mut one = device.peer(|_| "allowed_ip=10.9.128.0/17\n".to_owned())?;
    let _two = device.peer(|_| "allowed_ip=10.9.200.1/32\n".to_owned())?;
    one.connect()?;
    for (tag, source) in [(1, "10.9.200.1"), (2, "10.9.200.2")] {
        let message = one.data(&Crafted::packet(source, device.host()[0], tag));
        one.wire.send(&message);
    }
    not_delivered(device, 0, &[1], 2)
}

/// 10.9.0.N and fd00:9::a09:N are alike in their last 32 bits.
fn low_32_bits(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    let (low, host) = (format!("fd00:9::a09:{:x}", peer.number), device.host()[1]);
    for (tag, source) in [(1, low.as_str()), (2, &peer.v6())] {
        let message = peer.data(&Crafted::packet(source, host, tag));
        peer.wire.send(&message);
    }
    not_delivered(device, 1, &[1], 2)
}

fn small_window(device: &mut Device) -> Result<()> {
    let peer = device.connected()?;
    for (tag, counter) in [(1, 20_000), (2, 20_000 - 8128)] {
        peer.wire.send(&peer.session().seal(counter, &Crafted::packet(&peer.v4(), device.host()[0], tag)));
        device.arrives(0, tag, Duration::from_millis(500))?;
    }
    Ok(())
}

fn private_key_not_shown(device: &mut Device) -> Result<()> {
    ensure(device.get()?.lines().any(|line| line.starts_with("private_key=")), "get=1", "no private_key")
}

fn handshake_time_as_age(device: &mut Device) -> Result<()> {
    let mut peer = device.connected()?;
    device.passes(&mut peer, None, 1)?;
    let shown = device.shown(&peer, "last_handshake_time_sec")?;
    let since_1970 = shown.parse().unwrap_or(0_u64) > 1_700_000_000;
    ensure(since_1970, "last_handshake_time_sec", format!("{shown} is no time since 1970"))
}
