//! Ports on interfaces of the kernel. They need root: `cargo nextest run --test dpdk --run-ignored all`.
//!
//! They take turns: the AF_PACKET driver makes its fan-out group's number of the process's and the interface's, and those
//! of two processes may meet.
//! ```text
//! near: net_af_packet on cvA<pid> ═══ veth ═══ cvB<pid> net_af_packet: far
//! ```

use super::*;
use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Removed when dropped; the other tests here wait until then.
struct Veth(String, String, #[expect(dead_code, reason = "holds the lock")] File);

impl Veth {
    fn create(mtu: u16) -> Self {
        let id = std::process::id();
        let lock = File::create(std::env::temp_dir().join("culvert-test-kernel.lock")).unwrap();
        lock.lock().unwrap();
        let veth = Self(format!("cvA{id}"), format!("cvB{id}"), lock);
        ip(&format!("link add {} mtu {mtu} type veth peer name {} mtu {mtu}", veth.0, veth.1));
        ip(&format!("link set {} up", veth.0));
        ip(&format!("link set {} up", veth.1));
        veth
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        ip(&format!("link del {}", self.0));
    }
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status().unwrap();
    assert!(status.success(), "ip {args}");
}

/// A frame for everybody, of an experimental Ethernet type.
fn frame(len: usize, n: u8) -> Vec<u8> {
    let mut frame = vec![n; len];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

fn is_ours(mbuf: &Mbuf) -> bool {
    mbuf.data().get(12..14) == Some(&[0x88, 0xb5])
}

fn passes(mtu: u16, count: u8) {
    let veth = Veth::create(mtu);
    let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(256);
    let eal = Eal::init(&options).unwrap();
    let open = |name: &str, interface: &str| {
        let device = device(&format!("net_af_packet,iface={interface}"));
        Port::open(&eal, name, &device, 1, mtu).unwrap()
    };
    let (mut near, mut far) = (open("near", &veth.0), open("far", &veth.1));
    let data_room = near.info().data_room_for(mtu);
    let pool = Pool::create(&eal, &PoolOptions { data_room, ..PoolOptions::new("p", 4095) }).unwrap();
    let options = PortOptions { mtu, ..PortOptions::new(pool.clone()) };
    let mut near_queues = near.configure(&options).unwrap();
    let mut far_queues = far.configure(&options).unwrap();
    assert!(near.link_up() && near.mac() != [0; 6]);

    let len = usize::from(mtu) + 14;
    let mut burst = Burst::new();
    for n in 0..count {
        burst.push(packet(&pool, &frame(len, n)));
        assert_eq!(near_queues.tx[0].tx_burst(&mut burst), 1);
    }
    let mut next = 0;
    let give_up = Instant::now() + Duration::from_secs(20);
    while next < count && Instant::now() < give_up {
        let mut burst = Burst::new();
        far_queues.rx[0].rx_burst(&mut burst);
        for mbuf in burst.iter().filter(|mbuf| is_ours(mbuf)) {
            assert_eq!((mbuf.data().len(), mbuf.data()[14]), (len, next), "whole and in order");
            assert!(mbuf.data() == frame(len, next), "unchanged");
            assert!(mbuf.is_plain());
            next += 1;
        }
    }
    assert_eq!(next, count);
    drop((near_queues, far_queues, near, far));
    assert_eq!(pool.available(), pool.size());
}

#[test]
#[ignore = "needs root"]
fn af_packet_passes_full_packets() {
    passes(1500, 200);
}

#[test]
#[ignore = "needs root"]
fn af_packet_passes_jumbo_packets() {
    passes(9000, 50);
}

/// The driver's sockets hear all interfaces until they are bound.
#[test]
#[ignore = "needs root"]
fn what_other_interfaces_received_before_the_start_is_not_delivered() {
    let veth = Veth::create(1500);
    let eal = eal();
    let pool = pool(&eal, "p", 8191);
    let other = device(&format!("net_af_packet,iface={}", veth.0));
    let (_noise, _rx, mut tx) = start(&eal, "noise", &other, &pool);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut burst = Burst::new();
                if let Some(mut mbuf) = pool.alloc() {
                    mbuf.append(60).unwrap().copy_from_slice(&frame(60, 1));
                    burst.push(mbuf);
                }
                tx.tx_burst(&mut burst);
            }
        });
        let mut strangers = 0;
        for _ in 0..20 {
            // Nothing is sent on this one.
            let (_lo, mut rx, _tx) = start(&eal, "lo", &device("net_af_packet,iface=lo"), &pool);
            let mut burst = Burst::new();
            rx.rx_burst(&mut burst);
            strangers += burst.iter().filter(|mbuf| is_ours(mbuf)).count();
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(strangers, 0);
    });
}

#[test]
#[ignore = "needs root"]
fn a_small_pool_for_a_large_frame_is_refused() {
    let veth = Veth::create(9000);
    let eal = eal();
    let device = device(&format!("net_af_packet,iface={}", veth.0));
    let mut port = Port::open(&eal, "wan", &device, 1, 9000).unwrap();
    let options = PortOptions { mtu: 9000, ..PortOptions::new(pool(&eal, "p", 63)) };
    let error = port.configure(&options).unwrap_err();
    assert!(matches!(error.failure, PortFailure::DataRoom { has: 2176, wants: 10_336, .. }), "{error}");
}

#[test]
#[ignore = "needs root"]
fn a_tap_follows_its_interface_and_gives_its_mbufs_back() {
    let eal = eal();
    let pool = pool(&eal, "p", 2047);
    let interface = format!("cvT{}", std::process::id());
    let device = device(&format!("net_tap,iface={interface}"));
    let (port, rx, tx) = start(&eal, "tap", &device, &pool);
    assert!(pool.available() < pool.size(), "it keeps some");
    assert_eq!(port.mtu().unwrap(), 1500);
    let follows = |state: &str, up: bool| {
        ip(&format!("link set {interface} {state}"));
        let give_up = Instant::now() + Duration::from_secs(20);
        while port.link_up() != up {
            assert!(Instant::now() < give_up, "link {state}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    follows("down", false);
    follows("up", true);
    drop((rx, tx, port));
    assert_eq!(pool.available(), pool.size());
}

/// The kernel takes a tag off and says so beside the frame; the driver puts it back, or says so too ([`Meta::vlan`]).
#[test]
#[ignore = "needs root"]
fn af_packet_hands_vlan_tags_over() {
    let veth = Veth::create(1500);
    let eal = eal();
    let pool = pool(&eal, "p", 8191);
    let open =
        |name: &str, interface: &str| start(&eal, name, &device(&format!("net_af_packet,iface={interface}")), &pool);
    let (_near, _near_rx, mut tx) = open("near", &veth.0);
    let (_far, mut rx, _far_tx) = open("far", &veth.1);
    let sent = [&frame(60, 1)[..12], &[0x81, 0, 0x60, 7], &frame(60, 1)[12..]].concat();
    let mut burst = Burst::new();
    burst.push(packet(&pool, &sent));
    assert_eq!(tx.tx_burst(&mut burst), 1);
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < give_up, "it does not come");
        let mut burst = Burst::new();
        rx.rx_burst(&mut burst);
        let is_it = |mbuf: &&Mbuf| is_ours(mbuf) || mbuf.data().get(16..18) == Some(&[0x88, 0xb5]);
        if let Some(mbuf) = burst.iter().find(is_it) {
            let vlan = mbuf.meta().vlan();
            assert_eq!(if vlan == 0 { sent.clone() } else { frame(60, 1) }, mbuf.data(), "{vlan}");
            assert!(vlan == 0 || vlan == Meta::VLAN_STRIPPED | 7);
            break;
        }
    }
}
