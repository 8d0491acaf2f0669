//! The outer port in a VLAN. Where the kernel has no VLANs of its own, a relay stands in for the switch:
//!
//! ```text
//!   NET: gw2 192.0.2.1 ── veth ── relay0 ─(this test: a tag on, a tag off)─ gw ── veth ── wan0: GATEWAY, vlan = 7
//! ```

use crate::bench::{no_pings, peers, pings, start};
use culvert::cli::lab::{GATEWAY_V4, GATEWAY_V6, HOST_V4, HOST_V6, Lab, Options};
use culvert::dpdk::{Eal, EalOptions, HugePages, Mbuf, Pool, PoolOptions, Port, PortOptions, RxQueue, TxQueue};
use culvert::frame::{Burst, Frame, Packet, RxBurst, TxBurst};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

const VLAN: u8 = 7;

/// Makes the relay's way in the NET namespace: what had been on `gw` is on `gw2`.
fn rewire(lab: &Lab) {
    let net = lab.net();
    net.join("gw2", net, "relay0").unwrap();
    net.ip("addr del 192.0.2.1/24 dev gw\naddr del 2001:db8::1/64 dev gw\n\
         addr add 192.0.2.1/24 dev gw2\naddr add 2001:db8::1/64 dev gw2")
        .unwrap();
}

fn open(lab: &Lab, eal: &Eal, pool: &Pool, interface: &str) -> (RxQueue, TxQueue) {
    let device = format!("net_af_packet,iface={interface}").parse().unwrap();
    // The driver's control calls go by sockets, too.
    let open = || {
        let mut port = Port::open(eal, interface, &device, 1, 1500).map_err(std::io::Error::other)?;
        port.configure(&PortOptions::new(pool.clone())).map_err(std::io::Error::other)
    };
    let mut queues = lab.net().enter(open).unwrap();
    (queues.rx.remove(0), queues.tx.remove(0))
}

/// What the relay has seen of the tagged side.
#[derive(Default)]
struct Seen {
    tagged: AtomicU64,
    untagged: AtomicU64,
}

/// Puts a tag of `vlan` into a frame.
fn tag(mbuf: &mut Mbuf, vlan: u8) {
    mbuf.prepend(4).unwrap();
    mbuf.data_mut().copy_within(4..16, 0);
    mbuf.data_mut()[12..16].copy_from_slice(&[0x81, 0, 0, vlan]);
}

/// Takes the tag off; whether there was one, and the right one.
fn untag(mbuf: &mut Mbuf) -> bool {
    assert_eq!(mbuf.meta().vlan(), 0, "the driver puts back what the kernel took off");
    if mbuf.data().get(12..16) != Some(&[0x81, 0, 0, VLAN]) {
        return false;
    }
    mbuf.data_mut().copy_within(0..12, 4);
    mbuf.trim_front(4).unwrap();
    true
}

fn relay(plain: &mut (RxQueue, TxQueue), tagged: &mut (RxQueue, TxQueue), vlan: u8, seen: &Seen) {
    let mut burst: Burst<Mbuf> = Burst::new();
    plain.0.rx_burst(&mut burst);
    burst.iter_mut().for_each(|mbuf| tag(mbuf, vlan));
    while !burst.is_empty() {
        tagged.1.tx_burst(&mut burst);
    }
    tagged.0.rx_burst(&mut burst);
    for mut mbuf in burst.take() {
        // Of what the socket hears, the kernel's own words on this interface go out untagged.
        if untag(&mut mbuf) {
            seen.tagged.fetch_add(1, Ordering::Relaxed);
            burst.push(mbuf);
        } else {
            seen.untagged.fetch_add(1, Ordering::Relaxed);
        }
    }
    while !burst.is_empty() {
        plain.1.tx_burst(&mut burst);
    }
}

/// Ends the relay, however the test ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn clients_behind_a_vlan() {
    let lab = Lab::new(2).unwrap();
    rewire(&lab);
    let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(128);
    let eal = Eal::init(&options).unwrap();
    let pool = Pool::create(&eal, &PoolOptions::new("relay", 8191)).unwrap();
    let mut plain = open(&lab, &eal, &pool, "relay0");
    let mut tagged = open(&lab, &eal, &pool, "gw");
    let (stop, vlan, seen) = (AtomicBool::new(false), AtomicU8::new(VLAN), Seen::default());
    std::thread::scope(|scope| {
        let end = End(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                relay(&mut plain, &mut tagged, vlan.load(Ordering::Relaxed), &seen);
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        });
        let peers = peers(&lab);
        let bench = start(lab, &Options { vlan: VLAN.into(), ..Options::default() }, &peers);
        for number in [1, 2] {
            let client = bench.client(number);
            for to in [GATEWAY_V4, GATEWAY_V6, HOST_V4, HOST_V6] {
                pings(client.namespace(), to);
            }
            pings(bench.lab.host(), &client.v4());
        }
        // The same clients, by another VLAN.
        let before = bench.settled().drop_of("vlan");
        vlan.store(VLAN + 1, Ordering::Relaxed);
        no_pings(bench.client(1).namespace(), HOST_V4);
        vlan.store(VLAN, Ordering::Relaxed);
        pings(bench.client(1).namespace(), HOST_V4);
        let account = bench.finish();
        assert!(account.drop_of("vlan") >= before + 3, "{account}");
        drop(end);
    });
    assert!(seen.tagged.load(Ordering::Relaxed) > 50);
}
