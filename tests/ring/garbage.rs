//! Frames that mean nothing, by ports that make or read them.

use crate::client::Client;
use crate::fragments::in_two;
use crate::harness::LISTEN_PORT;
use crate::packets::{self, Ip, addr, echo, frame, tagged, udp};
use crate::rig::{Options, assert_laws, assert_no_sockets, configuration, dropped, eal, ports};
use culvert::gateway::Gateway;
use culvert::shared::Account;
use culvert::wire::MacAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the driver net_pcap calls its first and its second port.
const PCAP_MACS: [MacAddr; 2] = [MacAddr([2, 0x70, 0x63, 0x61, 0x70, 0]), MacAddr([2, 0x70, 0x63, 0x61, 0x70, 1])];
const SOME_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x77]);
/// Larger frames do not fit into an mbuf.
const LARGEST: usize = 2048;

/// Runs a gateway on these devices until `enough` of what it counts, and stops it.
fn run(folder: &Path, wan: &str, lan: &str, enough: impl Fn(&Account) -> bool) -> Account {
    let options = Options { mbufs: 8191, ..Options::default() };
    let config = configuration(folder, &options, &ports(wan, lan, 1));
    let gateway = Gateway::start_on(&eal(), &config).unwrap();
    let report = Arc::clone(gateway.report());
    let began = Instant::now();
    while !enough(&report.account()) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", report.account());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(gateway.stop(), "{:?} {}", report.account(), report.json());
    assert_laws(&report);
    assert_no_sockets(folder);
    report.account()
}

#[test]
fn null_port() {
    let folder = tempfile::tempdir().unwrap();
    let account = run(folder.path(), "net_null0", "net_null1", |account| account.rx > 100_000);
    // 64 bytes of nothing, for nobody; what the gateway announces of itself leaves its bytes behind in the pool.
    assert!(dropped(&account, "not_our_mac") > 90_000, "{account:?}");
    assert_eq!(account.rx, account.dropped() + account.to_control + account.tx - account.generated);
}

/// Bytes that look random and are the same each time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Whole frames to a port of this MAC address, good ones for nobody.
fn whole(mac: MacAddr) -> Vec<Vec<u8>> {
    let to = |port| std::net::SocketAddr::new(addr("192.0.2.1"), port);
    let from = "198.51.100.7:4000".parse().unwrap();
    let message = |kind: u8, len: usize| [vec![kind, 0, 0, 0], vec![0x33; len - 4]].concat();
    let tunnel = |payload: &[u8]| udp(from, to(LISTEN_PORT), 0, payload);
    let mut client = Client::new(7);
    let large = frame(mac, SOME_MAC, &tunnel(&message(4, 1000)));
    let [first, last] = in_two(&large, 9, 480);
    let mut vlan = first.clone();
    vlan.splice(12..12, [0x81, 0, 0, 7]);
    vec![
        first,
        last,
        vlan,
        frame(mac, SOME_MAC, &tunnel(&client.initiation())),
        frame(mac, SOME_MAC, &tunnel(&message(1, 148))),
        frame(mac, SOME_MAC, &tunnel(&message(2, 92))),
        frame(mac, SOME_MAC, &tunnel(&message(3, 64))),
        frame(mac, SOME_MAC, &tunnel(&message(4, 112))),
        frame(mac, SOME_MAC, &tunnel(&message(9, 112))),
        frame(mac, SOME_MAC, &udp(from, to(53), 0, b"?")),
        frame(mac, SOME_MAC, &tagged("10.0.0.9", "10.1.0.200", 1, 96)),
        frame(mac, SOME_MAC, &tagged("fd00::9", "fd01::200", 1, 96)),
        frame(mac, SOME_MAC, &echo("198.51.100.7", "192.0.2.1")),
        frame(mac, SOME_MAC, &echo("10.0.0.9", "10.0.0.1")),
        frame(
            mac,
            SOME_MAC,
            &packets::ip(addr("10.0.0.9"), addr("10.1.0.2"), Ip { tos: 0, ttl: 1, protocol: 6 }, b"x"),
        ),
        frame(MacAddr([0xff; 6]), SOME_MAC, &tagged("10.0.0.9", "10.0.0.255", 1, 96)),
        // ARP: who has 192.0.2.1? And cut.
        [&[0xff; 6][..], &SOME_MAC.0, b"\x08\x06\0\x01\x08\0\x06\x04\0\x01", &SOME_MAC.0, &[192, 0, 2, 9], &[0; 6]]
            .into_iter()
            .chain([&[192, 0, 2, 1][..]])
            .collect::<Vec<_>>()
            .concat(),
    ]
}

/// All that is wrong with `whole`: cut everywhere, one byte turned, noise in and behind it; and frames of every odd size.
fn malformed(mac: MacAddr, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let whole = whole(mac);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for good in &whole {
        frames.extend((0..good.len()).map(|len| good[..len].to_vec()));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << random.below(8);
            frames.push(bad);
        }
        for _ in 0..40 {
            let mut bad = good.clone();
            for _ in 0..random.below(6) + 2 {
                let at = random.below(bad.len());
                bad[at] = random.next() as u8;
            }
            let more = random.below(64);
            bad.extend(random.bytes(more));
            frames.push(bad);
        }
        // Too long for an mbuf: it comes in pieces.
        for len in [LARGEST, LARGEST + 1, 4000, 9000] {
            let mut long = good.clone();
            long.resize(len, 0);
            frames.push(long);
        }
    }
    for len in (0..200).chain([1513, 1514, 1515, 2047, 2048, 2049, 4000, 9000]) {
        frames.push(random.bytes(len));
        // Ours, and then noise.
        frames.push([&mac.0[..], &SOME_MAC.0, &[8, 0], &random.bytes(len)].concat());
        frames.push([&mac.0[..], &SOME_MAC.0, &[0x86, 0xdd], &random.bytes(len)].concat());
    }
    frames.extend(whole);
    frames
}

/// A classic pcap file of Ethernet frames.
fn write_capture(path: &Path, frames: &[Vec<u8>]) {
    let mut file = Vec::new();
    let header = [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 1];
    file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    for frame in frames {
        let len = frame.len() as u32;
        file.extend([0, 0, len, len].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

#[test]
fn pcap_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let (mut all, mut large) = (0, 0);
    let devices: Vec<String> = (0..2)
        .map(|port| {
            let frames = malformed(PCAP_MACS[port], 0x5eed + port as u64);
            all += frames.len() as u64;
            large += frames.iter().filter(|frame| frame.len() > LARGEST).count() as u64;
            let path = folder.path().join(format!("{port}.pcap"));
            write_capture(&path, &frames);
            format!("net_pcap{port},rx_pcap={}", path.display())
        })
        .collect();
    let settled = |account: &Account| account.rx == all && account.queued() == 0 && account.control_queued() == 0;
    let account = run(folder.path(), &devices[0], &devices[1], settled);
    assert_eq!(account.rx, all);
    assert_eq!(dropped(&account, "not_plain"), large, "{account:?}");
    for reason in [
        "runt",
        "not_our_mac",
        "ether_type",
        "bad_ip_header",
        "bad_ip_checksum",
        "bad_udp_checksum",
        "not_for_us",
        "multicast",
        "bad_message",
        "unknown_index",
        "no_peer",
        "vlan",
        "fragment_overlap",
        "bad_mac1",
        "handshake_refused",
        "control_done",
    ] {
        assert!(dropped(&account, reason) > 0, "{reason}: {account:?}");
    }
    // Nothing passes: what goes out are the gateway's own words. A datagram made of two fragments is dropped later, and no host is
    // there whose MAC address an ICMP error could find.
    let gathered = dropped(&account, "fragment_joined") / 2;
    let unheard = dropped(&account, "neighbour_failed") + dropped(&account, "neighbour_queue");
    assert_eq!(account.tx, account.generated - gathered - unheard);
}
