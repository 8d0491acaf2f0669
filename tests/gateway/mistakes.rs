//! Mistakes that other implementations made (PROTOCOL.md) and that no other test here names. `tests/mistakes.txt` lists them
//! all, and `tests/rules.sh` sees to it that each has its one test.

use crate::client::Client;
use crate::cookies::press;
use crate::crowd::Crowd;
use crate::harness::{Gateway, HOST, HOST6, Options, allow, peer};
use crate::mss::{SYN, segment};
use crate::packets::{self, tag, tagged};
use crate::running::Running;
use crate::scenes::connected;
use culvert::control::change::{ChangeSet, PeerChange, SecretKey};
use culvert::control::interface::WgDevice;
use culvert::control::uapi::UapiServer;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// So many peers that nobody ever hears of.
fn quiet_peers(count: u32) -> Vec<PeerChange> {
    let quiet = (0..count).map(|number| {
        let mut public_key = [9; 32];
        public_key[..4].copy_from_slice(&number.to_le_bytes());
        PeerChange { public_key, ..PeerChange::default() }
    });
    quiet.collect()
}

fn with_peers(max_peers: u32, count: u32) -> Gateway {
    let mut gw = Gateway::with(&Options { max_peers, ..Options::default() });
    gw.apply(ChangeSet { peers: quiet_peers(count), ..ChangeSet::default() }).unwrap();
    gw.settle();
    gw
}

/// [`Gateway::finish`], when there are more peers than it has patience for.
fn finish(mut gw: Gateway) {
    gw.apply(ChangeSet { replace_peers: true, ..ChangeSet::default() }).unwrap();
    // The worker lets go of some each turn; the owner looks at all that are left each time.
    while gw.writer.poll() > 0 {
        for _ in 0..500 {
            gw.turn(0);
        }
        gw.step();
    }
    gw.finish();
}

/// Mistake: cookies for everybody past a global 100 handshakes a second.
#[test]
fn a_thousand_handshakes_a_second_that_are_worked_off_ask_nobody_for_a_cookie() {
    let mut gw = Gateway::new();
    let (mut client, mut crowd) = (Client::new(1), Crowd::new());
    gw.add(&client);
    for number in 0..1000 {
        gw.wan(&crowd.spoof(number));
        if number % 100 == 99 {
            gw.settle();
        }
    }
    gw.connect(&mut client);
    assert_eq!((gw.dropped("cookie_sent"), client.sessions.len()), (0, 1));
    gw.finish();
}

/// Mistake: load threshold that grows with the number of peers.
#[test]
fn the_load_of_ten_thousand_peers_begins_where_that_of_one_does() {
    for peers in [1, 10_000] {
        let mut gw = with_peers(10_000, peers);
        press(&mut gw);
        finish(gw);
    }
}

/// Mistake: endpoint moved by a cookie reply.
#[test]
fn a_good_cookie_reply_from_elsewhere_moves_no_endpoint() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 1, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0).payload;
    let home = std::mem::replace(&mut client.at, "203.0.113.66:6666".parse().unwrap());
    gw.wan(&client.frame(&packets::cookie_reply(&client.key(), &initiation)));
    gw.settle();
    assert!(gw.frames().0.is_empty(), "nor does it make anybody send");
    assert_eq!(gw.endpoint(&client).unwrap().remote, home);
    // It was good: the next initiation carries its cookie's mac2.
    gw.pass_ms(6_000);
    let again = gw.datagrams().remove(0);
    assert_eq!((again.to, again.payload[132..] == [0; 16]), (home, false));
    gw.finish();
}

/// Mistake: predictable receiver indexes.
#[test]
fn receiver_indexes_follow_no_rule() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut indexes: Vec<u32> = Vec::new();
    for _ in 0..60 {
        gw.handshake_of(&mut client);
        indexes.push(client.session().secrets.remote_index);
    }
    let pairs = || indexes.windows(2).map(|pair| (pair[0], pair[1]));
    let steps: HashSet<u32> = pairs().map(|(one, two)| two.wrapping_sub(one)).collect();
    assert!(steps.len() > 57, "a counter: {indexes:x?}");
    // A shift register's next word is the last one but for a bit or a few taps.
    let shifted = |(one, two): (u32, u32)| (two ^ (one >> 1)).count_ones().min((two ^ (one << 1)).count_ones()) < 5;
    assert!(pairs().filter(|pair| shifted(*pair)).count() < 3, "a shift register: {indexes:x?}");
    // Of x' = a·x + c, three steps give a away, and with it the next step.
    let congruential = |four: &&[u32]| {
        let step = |n: usize| four[n + 1].wrapping_sub(four[n]);
        step(0) % 2 == 1 && step(1).wrapping_mul(step(1)) == step(0).wrapping_mul(step(2))
    };
    assert_eq!(indexes.windows(4).filter(congruential).count(), 0, "a congruential generator: {indexes:x?}");
    for bit in 0..32 {
        let set = indexes.iter().filter(|index| *index >> bit & 1 == 1).count();
        assert!((5..=55).contains(&set), "bit {bit} is set {set} times of 60: {indexes:x?}");
    }
    gw.finish();
}

/// Mistake: key confirmation before the packet is authenticated.
#[test]
fn a_forged_packet_confirms_no_session() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.handshake_of(&mut client);
    let mut forged = client.session().seal(0, &tagged(&client.inner(), HOST, 1, 96));
    *forged.last_mut().unwrap() ^= 1;
    gw.silent(&[client.frame(&forged)], "auth_failed");
    gw.lan(&tagged(HOST, &client.inner(), 2, 96));
    gw.settle();
    assert!(gw.datagrams().iter().all(|d| d.kind() == 1) && gw.record(&client).lock().last_handshake.is_none());
    let keepalive = client.data(&[]);
    gw.wan(&keepalive);
    gw.settle();
    assert_eq!(gw.received_by(&client).iter().map(|p| tag(p)).collect::<Vec<_>>(), [2]);
    gw.finish();
}

/// Mistake: changing an existing peer through UAPI panics.
#[test]
fn every_line_about_a_peer_changes_it_while_it_talks() {
    let (mut gw, mut client) = connected(&Options::default());
    let changes = [
        PeerChange { preshared_key: Some(SecretKey::new(&[0; 32])), ..PeerChange::default() },
        PeerChange { endpoint: Some(client.at), ..PeerChange::default() },
        PeerChange { persistent_keepalive: Some(0), ..PeerChange::default() },
        PeerChange { allowed_ips: vec![allow("10.70.0.0/16")], ..PeerChange::default() },
        PeerChange { replace_allowed_ips: true, allowed_ips: peer(&client).allowed_ips, ..PeerChange::default() },
        PeerChange { update_only: true, ..PeerChange::default() },
    ];
    for (number, change) in (0..).zip(changes) {
        gw.change_peer(PeerChange { public_key: client.key(), ..change });
        let frame = client.data(&tagged(&client.inner(), HOST, number, 96));
        gw.wan(&frame);
        gw.lan(&tagged(HOST, &client.inner(), number, 96));
        gw.settle();
        assert_eq!((gw.delivered().len(), gw.received_by(&client).len()), (1, 1), "change {number}");
    }
    assert_eq!(gw.interface.peers(), 1);
    gw.finish();
}

/// Mistake: MTU extremes panic.
#[test]
fn the_smallest_and_the_largest_mtu() {
    for mtu in [0, 1, 68, 576, 1280, 1500, u16::MAX] {
        let (mut gw, mut client) = connected(&Options { mtu, mss_clamp: true, ..Options::default() });
        let mut fitting = 0;
        for len in [28, 68, 69, 576, 577, 1280, 1281, 1500, 1700] {
            let frame = client.data(&tagged(&client.inner(), HOST, 1, len.max(32)));
            gw.wan(&frame);
            gw.lan(&tagged(HOST, &client.inner(), 1, len.max(32)));
            gw.lan(&segment(HOST, &client.inner(), SYN, 1460));
            gw.settle();
            fitting += gw.received_by(&client).len();
            gw.frames();
        }
        assert_eq!(fitting == 0, mtu < 32, "mtu {mtu}");
        // A keepalive has nothing to fit, nor to pad: it goes whatever the MTU is.
        let frame = client.data(&tagged(&client.inner(), HOST, 1, 32));
        gw.wan(&frame);
        gw.settle();
        gw.frames();
        gw.pass_ms(10_100);
        assert_eq!(
            gw.datagrams().iter().map(|d| (d.kind(), d.payload.len())).collect::<Vec<_>>(),
            [(4, 32)],
            "mtu {mtu}"
        );
        gw.finish();
    }
}

/// Mistake: IPv6 source compared by its low 32 bits.
#[test]
fn the_last_words_of_an_ipv6_source_are_no_ipv4_address() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { allowed_ips: vec![allow("10.1.0.1/32"), allow("10.2.0.0/16")], ..peer(&client) });
    gw.connect(&mut client);
    gw.frames();
    let sources =
        ["::10.1.0.1", "::ffff:10.1.0.1", "fd01::a01:1", "64:ff9b::a02:303", "a01:1::", "a01:1:a01:1:a01:1:a01:1"];
    let frames: Vec<_> = sources.iter().map(|source| client.data(&tagged(source, HOST6, 1, 96))).collect();
    gw.silent(&frames, "allowedips_src");
    gw.finish();
}

/// Mistake: rekeys stop the data cores.
#[test]
fn data_flows_while_others_rekey_and_their_locks_are_held() {
    let (mut gw, mut client) = connected(&Options::default());
    let mut others: Vec<_> = (10..60).map(Client::new).collect();
    for other in &mut others {
        gw.add(other);
        let initiation = other.initiation();
        gw.wan(&other.frame(&initiation));
    }
    // All 50 wait for the handshake thread, which does not come; who holds these locks works on one of them for ever.
    let (record, busy) = (gw.record(&client), gw.record(&others[0]));
    let locks = (record.lock(), busy.lock());
    for number in 0..100 {
        let frame = client.data(&tagged(&client.inner(), HOST, number, 96));
        gw.wan(&frame);
        gw.lan(&tagged(HOST, &client.inner(), number, 96));
        (0..4).for_each(|_| _ = gw.turn(0));
    }
    let tags = |packets: &[Vec<u8>]| packets.iter().map(|p| tag(p)).collect::<Vec<_>>();
    let expected: Vec<u32> = (0..100).collect();
    assert_eq!((tags(&gw.delivered()), tags(&gw.received_by(&client))), (expected.clone(), expected));
    drop(locks);
    gw.settle();
    assert_eq!(gw.datagrams().iter().filter(|d| d.kind() == 2).count(), 50);
    gw.finish();
}

/// The processor's time for it, by the best of a few tries: what else the machine does counts little.
fn cost(mut f: impl FnMut()) -> Duration {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
    };
    let try_once = || {
        let start = now();
        f();
        now() - start
    };
    std::iter::repeat_with(try_once).take(5).min().unwrap()
}

/// What `get=1` says, in reads as small as a slow client's.
fn dump(socket: &std::path::Path, read: usize) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"get=1\n\n").unwrap();
    let (mut said, mut chunk) = (Vec::new(), vec![0; read]);
    while !said.ends_with(b"\n\n") {
        let count = stream.read(&mut chunk).unwrap();
        assert_ne!(count, 0, "cut off after {} bytes", said.len());
        said.extend(&chunk[..count]);
    }
    String::from_utf8(said).unwrap()
}

/// Mistake: a dump of 20,000 peers takes seconds, overflows a stack, or is cut into pieces.
#[test]
fn twenty_thousand_peers_are_dumped_whole_and_in_linear_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut took = Vec::new();
    for count in [2_000, 20_000] {
        let gw = with_peers(20_000, count);
        let device = Arc::new(WgDevice(Arc::clone(&gw.interface)));
        let server = UapiServer::bind(folder.path(), "dump", device).unwrap();
        let said = dump(server.path(), 777);
        let keys: HashSet<_> = said.lines().filter(|line| line.starts_with("public_key=")).collect();
        assert_eq!(keys.len(), count as usize);
        assert!(said.ends_with("errno=0\n\n") && said.lines().all(|line| line.is_empty() || line.contains('=')));
        took.push(cost(|| drop(dump(server.path(), 65_536))));
        drop(server);
        finish(gw);
    }
    assert!(took[1] < took[0] * 40, "ten times the peers: {took:?}");
}

/// Mistake: more than 65,536 peers refused.
#[test]
fn seventy_thousand_peers_are_taken_and_the_last_one_talks() {
    let mut gw = with_peers(70_001, 70_000);
    let mut last = Client::new(1);
    gw.add(&last);
    assert_eq!(gw.interface.peers(), 70_001);
    gw.connect(&mut last);
    let frame = last.data(&tagged(&last.inner(), HOST, 1, 96));
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.delivered().len(), 1);
    finish(gw);
}

/// A number of `/proc/self/status`.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Mistake: threads for each peer.
#[test]
fn a_peer_brings_no_thread() {
    let gw = Running::start(with_peers(6_000, 0));
    let before = status("Threads:");
    gw.interface.apply(ChangeSet { peers: quiet_peers(5_000), ..ChangeSet::default() }).unwrap();
    assert_eq!((status("Threads:"), gw.interface.peers()), (before, 5_000));
    gw.finish();
}

/// Mistake: 10 kB a peer.
#[test]
fn a_peer_takes_far_less_than_10_kb() {
    const PEERS: u32 = 20_000;
    // Tables that grow with the number of peers are there before; touched when peers come.
    let mut gw = with_peers(PEERS, 0);
    let before = status("VmRSS:");
    gw.apply(ChangeSet { peers: quiet_peers(PEERS), ..ChangeSet::default() }).unwrap();
    let bytes = status("VmRSS:").saturating_sub(before) * 1024 / u64::from(PEERS);
    println!("{bytes} bytes a peer, without sessions");
    assert!(bytes < 4_000, "{bytes} bytes a peer");
    finish(gw);
}

/// Mistake: a scan of all peers four times a second.
#[test]
fn idle_peers_cost_no_time() {
    let mut few = with_peers(30_000, 1);
    let mut many = with_peers(30_000, 30_000);
    let second = |gw: &mut Gateway| cost(|| gw.pass_ms(1_000));
    let (few_took, many_took) = (second(&mut few), second(&mut many));
    assert!(many_took < few_took * 5, "a second with 1 peer {few_took:?}, with 30,000 {many_took:?}");
    finish(few);
    finish(many);
}
