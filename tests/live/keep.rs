//! A restart that keeps sessions, as systemd does it; and what happens to sessions that somebody damaged, kept or replaced meanwhile.

use crate::bench::{Bench, RECOVERY, bench_with, eventually, peers, pings, programs, start};
use crate::crafted::{Crafted, SOON, Wire};
use crate::manager::Manager;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use culvert::cli::lab::{Client, GATEWAY_V4, Gateway, HOST_V4, HOST_V6, Lab, Namespace, Options, Peer};
use culvert::noise::{Identity, os_random};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Datagrams a second, each way.
const RATE: u32 = 500;
/// After so long without a packet a client asks for a new session by itself.
const CLIENTS_OWN: Duration = Duration::from_secs(15);

/// A lab whose gateway was started by a manager.
fn managed(clients: u8) -> (Bench, Manager) {
    let lab = Lab::new(clients).unwrap();
    let manager = Manager::new(&lab);
    let known = peers(&lab);
    (started(lab, &manager, &known), manager)
}

/// A gateway with what the manager has for it.
fn started(lab: Lab, manager: &Manager, known: &[Peer]) -> Bench {
    let with = manager.start();
    start(lab, &Options { starter: with.words.clone(), ..Options::default() }, known)
}

/// When the clients' sessions were made, as they see it.
fn handshakes(bench: &Bench) -> Vec<String> {
    let said = |client: &Client| client.wg(&["show", client.interface(), "latest-handshakes"]).unwrap();
    bench.lab.clients().iter().map(said).collect()
}

/// What became of a stream.
#[derive(Debug, Default)]
struct Flow {
    sent: AtomicU64,
    received: AtomicU64,
    /// The longest time without a packet, us.
    silence_us: AtomicU64,
}

/// Sends numbers at [`RATE`] from one namespace to another until it is over, and notes what arrives.
fn flow(from: &Namespace, receiver: &Namespace, to: SocketAddr, over: &AtomicBool, flow: &Flow) {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let inbound = receiver.enter(|| UdpSocket::bind(to)).unwrap();
    let outbound = from.enter(|| UdpSocket::bind(any)).unwrap();
    inbound.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            for number in 0_u64.. {
                let due = began + Duration::from_secs(number) / RATE;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // A route that is gone for a moment is a loss like any other.
                let _ = outbound.send_to(&[7; 200], to);
                flow.sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut last: Option<Instant> = None;
        while !over.load(Ordering::Relaxed) {
            if inbound.recv(&mut [0; 256]).is_ok() {
                let now = Instant::now();
                let silence = last.replace(now).map_or(0, |last| now.duration_since(last).as_micros());
                flow.silence_us.fetch_max(u64::try_from(silence).unwrap(), Ordering::Relaxed);
                flow.received.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

/// Restarts a gateway under streams in both directions of both clients. Prints what it cost, and returns the gateway and the longest silence.
fn restart_under_load(bench: Bench, manager: Option<&Manager>) -> (Bench, Duration) {
    let known = peers(&bench.lab);
    let (over, flows) = (AtomicBool::new(false), [(); 4].map(|()| Flow::default()));
    let Bench { gateway, lab } = bench;
    let mut down = Duration::ZERO;
    let gateway = std::thread::scope(|scope| {
        let (one, two) = (lab.client(1).unwrap(), lab.client(2).unwrap());
        let to = |text: &str| -> SocketAddr { (text.parse::<IpAddr>().unwrap(), 7100).into() };
        let ends = [
            (one.namespace(), lab.host(), to(HOST_V4)),
            (lab.host(), one.namespace(), to(&one.v4())),
            (two.namespace(), lab.host(), to(HOST_V6)),
            (lab.host(), two.namespace(), to(&two.v6())),
        ];
        for ((from, receiver, to), counts) in ends.into_iter().zip(&flows) {
            let over = &over;
            scope.spawn(move || flow(from, receiver, to, over, counts));
        }
        std::thread::sleep(Duration::from_secs(1));
        let began = Instant::now();
        gateway.stop_under_load().unwrap();
        let stopped = began.elapsed();
        let words = manager.map(Manager::start);
        let options = Options {
            starter: words.as_ref().map(|start| start.words.clone()).unwrap_or_default(),
            ..Options::default()
        };
        let gateway = Gateway::start(&lab, &programs(), &options, &known).unwrap();
        down = began.elapsed();
        eprintln!("| stop {:.2} s, start {:.2} s", stopped.as_secs_f64(), (down - stopped).as_secs_f64());
        // Until all four flow again, and a second more.
        let before: Vec<u64> = flows.iter().map(|flow| flow.received.load(Ordering::Relaxed)).collect();
        let again =
            || flows.iter().zip(&before).all(|(flow, before)| flow.received.load(Ordering::Relaxed) > before + 5);
        while !again() {
            assert!(began.elapsed() < RECOVERY, "{flows:?}: {}", gateway.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(1));
        over.store(true, Ordering::Relaxed);
        gateway
    });
    let silence = flows.iter().map(|flow| flow.silence_us.load(Ordering::Relaxed)).max().unwrap();
    for (name, flow) in ["client 1 up", "client 1 down", "client 2 up", "client 2 down"].into_iter().zip(&flows) {
        let [sent, received, silence] =
            [&flow.sent, &flow.received, &flow.silence_us].map(|count| count.load(Ordering::Relaxed));
        eprintln!("| {name}: {} of {sent} packets lost, silent for {:.2} s", sent - received, silence as f64 / 1e6);
    }
    eprintln!("| SIGTERM to READY {:.2} s", down.as_secs_f64());
    (Bench { gateway, lab }, Duration::from_micros(silence))
}

/// No client notices, but for the packets that came while nobody was there; `wg` counts on; nothing is left with the manager.
#[test]
fn a_restart_that_keeps_sessions_needs_no_handshake() {
    let (bench, manager) = managed(2);
    pings(bench.client(1).namespace(), HOST_V4);
    pings(bench.client(2).namespace(), HOST_V6);
    // A restart would show in the seconds of the handshakes.
    std::thread::sleep(Duration::from_secs(2));
    let (sessions, shown) = (handshakes(&bench), |bench: &Bench| bench.shown("latest-handshakes", bench.client(1)));
    let seen = shown(&bench);
    let counted = |bench: &Bench| -> u64 {
        bench.shown("transfer", bench.client(1)).split_whitespace().next().unwrap().parse().unwrap()
    };
    let before = counted(&bench);

    eprintln!("| with keeping:");
    let (bench, silence) = restart_under_load(bench, Some(&manager));
    assert!(bench.gateway.said().contains("2 of 2 peers go on without a handshake"), "{}", bench.gateway.said());
    assert!(silence < CLIENTS_OWN, "{silence:?}");
    assert_eq!(handshakes(&bench), sessions);
    assert_eq!(shown(&bench), seen);
    assert!(counted(&bench) > before);
    assert!(manager.state().store.is_empty(), "the next one would take them again");
    // Both ways at once, and once more.
    pings(bench.lab.host(), &bench.client(1).v4());
    let known = peers(&bench.lab);
    let Bench { gateway, lab } = bench;
    gateway.stop().unwrap();
    let bench = started(lab, &manager, &known);
    pings(bench.lab.host(), &bench.client(1).v4());
    assert_eq!(handshakes(&bench), sessions);
    bench.finish();
    let said = manager.state().said.clone();
    let at = |line: &str| said.iter().rposition(|other| other == line).unwrap_or_else(|| panic!("{line}: {said:?}"));
    assert!(at("FDPOLL=0") < at("BARRIER=1"));
}

/// What it costs without: the clients' own timers.
#[test]
fn a_restart_without_a_manager_is_mended_by_the_clients() {
    let bench = bench_with(2, |_| Options::default());
    pings(bench.client(1).namespace(), HOST_V4);
    pings(bench.client(2).namespace(), HOST_V6);
    std::thread::sleep(Duration::from_secs(2));
    let sessions = handshakes(&bench);
    eprintln!("| without keeping:");
    let (bench, _) = restart_under_load(bench, None);
    assert!(handshakes(&bench).iter().zip(&sessions).all(|(now, before)| now != before));
    bench.finish();
}

/// Whatever the manager hands over that is not one fresh, sealed, whole set of sessions: none of it is used, the log says why, and
/// clients come back by a handshake.
#[test]
fn sessions_that_were_tampered_with_are_thrown_away() {
    let (bench, manager) = managed(1);
    pings(bench.client(1).namespace(), HOST_V4);
    let (known, sessions) = (peers(&bench.lab), handshakes(&bench));
    let Bench { gateway, mut lab } = bench;
    gateway.stop().unwrap();
    let kept = || -> OwnedFd { manager.state().store[0].try_clone().unwrap() };
    let forged = |seal: bool| -> OwnedFd {
        let file = memfd_create("forged", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        rustix::io::write(&file, &[7; 100]).unwrap();
        if seal {
            fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
        }
        file
    };
    let taken = kept();
    let cases = [
        (vec![forged(false)], "it is not sealed"),
        (vec![forged(true)], "something else than sessions"),
        // Two sets, of which one may be old. The one that is there is marked, so it is of no use afterwards.
        (vec![kept(), forged(true)], "2 sets of them"),
        (vec![taken], "it was taken before"),
    ];
    for (handed, why) in cases {
        let with = manager.start_with(handed);
        let options = Options { starter: with.words.clone(), ..Options::default() };
        let gateway = Gateway::start(&lab, &programs(), &options, &known).unwrap();
        let said = gateway.said();
        assert!(said.contains("thrown away") && said.contains(why), "{why}: {said}");
        assert!(manager.state().store.is_empty());
        // As a crash would end it: nothing is left for the next one.
        gateway.kill();
        assert!(manager.state().store.is_empty());
    }
    // The clients of the last one find back.
    let bench = started(std::mem::replace(&mut lab, Lab::new(0).unwrap()), &manager, &known);
    bench.comes_back(bench.client(1).namespace(), HOST_V4, RECOVERY);
    assert_ne!(handshakes(&bench), sessions);
    bench.finish();
}

/// A configuration that a start refuses leaves the sessions where they are, for the start after that.
#[test]
fn a_start_that_fails_early_takes_nothing() {
    let (bench, manager) = managed(1);
    pings(bench.client(1).namespace(), HOST_V4);
    let (known, sessions) = (peers(&bench.lab), handshakes(&bench));
    let Bench { gateway, lab } = bench;
    gateway.stop().unwrap();
    let with = manager.start();
    let options = Options { starter: with.words.clone(), crypto: "backend = \"rot13\"".into(), ..Options::default() };
    assert!(Gateway::start(&lab, &programs(), &options, &known).is_err());
    drop(with);
    assert_eq!(manager.state().store.len(), 1);
    let bench = started(lab, &manager, &known);
    pings(bench.lab.host(), &bench.client(1).v4());
    assert_eq!(handshakes(&bench), sessions);
    eventually("the store is empty", || manager.state().store.is_empty());
    bench.finish();
}

/// What was sent before the restart is refused after it, and what the gateway seals after it has greater counters than all before.
#[test]
fn no_message_is_taken_and_no_counter_used_twice() {
    let lab = Lab::new(0).unwrap();
    let manager = Manager::new(&lab);
    let mut private = [0; 32];
    os_random(&mut private);
    let device: [u8; 32] = BASE64_STANDARD.decode(&lab.gateway_keys().public).unwrap().try_into().unwrap();
    let wire = Wire::new(lab.net(), "192.0.2.1", GATEWAY_V4).unwrap();
    let mut peer = Crafted::new(1, private, &device, wire);
    let public = BASE64_STANDARD.encode(Identity::new(&private).public_key());
    let known = [Peer { public, allowed_ips: format!("{}/32", peer.v4()), ..Peer::default() }];
    let at: SocketAddr = (HOST_V4.parse::<IpAddr>().unwrap(), 7000).into();
    let host = lab.host().enter(|| UdpSocket::bind(at)).unwrap();
    host.set_read_timeout(Some(SOON)).unwrap();
    // The counters of five messages that the host has the gateway send.
    let counters = |peer: &Crafted| -> Vec<u64> {
        let to: SocketAddr = (peer.v4().parse::<IpAddr>().unwrap(), 7000).into();
        let counter = || {
            host.send_to(b"host", to).unwrap();
            let message = peer.wire.receive_kind(4, SOON).unwrap();
            assert!(peer.open(&message).is_some());
            u64::from_le_bytes(*message[8..].first_chunk().unwrap())
        };
        (0..5).map(|_| counter()).collect()
    };
    let bench = started(lab, &manager, &known);
    peer.connect().unwrap();
    let message = peer.data(&Crafted::packet(&peer.v4(), at, 1));
    peer.wire.send(&message);
    host.recv(&mut [0; 64]).unwrap();
    let before = counters(&peer);
    let Bench { gateway, lab } = bench;
    gateway.stop().unwrap();
    let bench = started(lab, &manager, &known);

    peer.wire.send(&message);
    eventually("it is dropped as a replay", || bench.gateway.account().unwrap().drop_of("replay") == 1);
    let after = counters(&peer);
    assert!(after.iter().min() > before.iter().max(), "{before:?} {after:?}");
    let message = peer.data(&Crafted::packet(&peer.v4(), at, 2));
    peer.wire.send(&message);
    // The first that comes: the one that came again is not there.
    let mut room = [0; 64];
    let count = host.recv(&mut room).unwrap();
    assert_eq!(room[..count], 2_u32.to_be_bytes());
    bench.finish();
}
