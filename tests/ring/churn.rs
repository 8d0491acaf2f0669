//! Peers that come and go while others are busy.

use crate::client::{Client, counter};
use crate::far::Seen;
use crate::order::Order;
use crate::packets::{tag, tagged};
use crate::rig::{HOST, Options, Rig, Source, add, assert_laws, assert_no_sockets, hex, lan_frame, uapi};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Changes by the `wg` socket.
const ROUNDS: u32 = 300;
/// The peers that stay are below.
const FIRST_GUEST: u8 = 100;
const GUESTS: u8 = 8;

/// The lines that add a guest which is somewhere, and the lines that remove it.
fn guest(number: u8) -> [String; 2] {
    let guest = Client::new(number);
    let key = hex(&guest.key());
    [
        format!("{}endpoint={}\npersistent_keepalive_interval=1\n", add(&guest), guest.at),
        format!("public_key={key}\nremove=true\n"),
    ]
}

#[test]
fn peers_come_and_go_under_load() {
    let mut rig = Rig::new(&Options::default());
    let mut clients: Vec<Client> = (1..=2).map(Client::new).collect();
    for client in &mut clients {
        rig.add(client);
        rig.connect(client, 0);
    }
    let done = AtomicBool::new(false);
    let rounds = AtomicU32::new(0);
    let folder = rig.folder.path().to_owned();
    let [mut inward, mut nonces] = [(); 2].map(|()| [(); 2].map(|()| Order::new(2)));
    let (mut initiations, mut unreachable) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Also when it panics: the other thread must not wait for it.
            let _done = OnDrop(|| done.store(true, Ordering::Relaxed));
            let guests: Vec<_> = (FIRST_GUEST..FIRST_GUEST + GUESTS).map(guest).collect();
            for round in 0..ROUNDS {
                let [add, remove] = &guests[round as usize % guests.len()];
                // One comes; one goes; or both in one change.
                uapi(&folder, add);
                match round % 3 {
                    0 => uapi(&folder, remove),
                    1 => uapi(&folder, &format!("{remove}{add}")),
                    _ => {}
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            guests.iter().for_each(|[_, remove]| uapi(&folder, remove));
        });
        let mut sources = Vec::new();
        for (n, client) in clients.iter_mut().enumerate() {
            let inner = client.inner();
            let out = inner.clone();
            let seal = move |tag| client.data(&tagged(&inner, HOST, tag, 96));
            sources.push(Source::outer(n, (0..).map(seal)));
            // Guests have no session: what is for them waits, overflows, and goes with them.
            let plain = move |tag: u32| match tag % 4 {
                0 => lan_frame(&tagged(HOST, &format!("10.1.0.{}", FIRST_GUEST + (tag / 4 % 8) as u8), tag, 96)),
                _ => lan_frame(&tagged(HOST, &out, tag, 96)),
            };
            sources.push(Source::inner(n, (0..).map(plain)));
        }
        let mut see = |outer: bool, queue: usize, seen: Seen<'_>| match (outer, seen) {
            (true, Seen::Empty) => nonces.iter_mut().for_each(|order| order.empty(queue)),
            (false, Seen::Empty) => inward.iter_mut().for_each(|order| order.empty(queue)),
            (true, Seen::Frame(frame)) => match frame[33] {
                peer @ 1..=2 => nonces[usize::from(peer) - 1].saw(queue, counter(&frame[42..])),
                peer => {
                    assert!((FIRST_GUEST..FIRST_GUEST + GUESTS).contains(&peer) && frame[42] == 1, "{peer}");
                    initiations += 1;
                }
            },
            // The host hears that a guest is gone.
            (false, Seen::Frame(frame)) if frame[23] == 1 => unreachable += 1,
            (false, Seen::Frame(frame)) => {
                inward[usize::from(frame[29]) - 1].saw(queue, u64::from(tag(&frame[14..])));
            }
        };
        rig.blast_while(sources, || !done.load(Ordering::Relaxed), &mut see);
        rig.drain(&mut see);
    });
    assert_eq!(rounds.load(Ordering::Relaxed), ROUNDS);
    assert!(initiations > 0 && unreachable > 0, "{initiations} initiations, {unreachable} errors");
    for peer in 0..2 {
        assert!(inward[peer].count > 1000 && nonces[peer].count > 1000, "{:?}", rig.account());
    }
    rig.finish();
}

#[test]
fn stops_under_full_load() {
    let mut rig = Rig::new(&Options::default());
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let gateway = rig.gateway.take().unwrap();
    let report = Arc::clone(gateway.report());
    let stopped = AtomicBool::new(false);
    let (inner, out) = (client.inner(), client.inner());
    let plain = move |tag| lan_frame(&tagged(HOST, &out, tag, 96));
    let mut sealed = (0..).map(|tag| client.data(&tagged(&inner, HOST, tag, 96)));
    let mut plain = (0..).map(plain);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stopped = OnDrop(|| stopped.store(true, Ordering::Relaxed));
            while report.account().rx < 20_000 {
                std::thread::yield_now();
            }
            // Whether the pool is full depends on what this test has not read yet: see below.
            let _depends = gateway.stop();
        });
        while !stopped.load(Ordering::Relaxed) {
            rig.wan.offer(0, &mut sealed);
            rig.lan.offer(0, &mut plain);
            rig.drain(|_, _, _| ());
        }
    });
    rig.drain(|_, _, _| ());
    assert_laws(&report);
    let account = report.account();
    assert_eq!(account.tx, rig.wan.collected + rig.lan.collected);
    let left = (rig.wan.wire.in_flight() + rig.lan.wire.in_flight()) as u64;
    assert_eq!(account.rx, rig.wan.injected + rig.lan.injected - left);
    assert_no_sockets(rig.folder.path());
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
