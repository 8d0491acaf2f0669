//! What Prometheus is told while packets flow, against the account and what the far ends counted.

use crate::client::Client;
use crate::full::{leave_lan_unread, sealed};
use crate::rig::{Options, Rig, Source, uapi};
use culvert::shared::DropReason;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Series and values.
type Page = BTreeMap<String, u64>;

/// Head and body of the answer.
pub(crate) fn answer(address: SocketAddr) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    (head.to_owned(), body.to_owned())
}

fn scrape(address: SocketAddr) -> Page {
    let (_, body) = answer(address);
    let samples = body.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// A page that is not older than this call: the one that is kept goes within a second.
fn scrape_anew(address: SocketAddr) -> Page {
    std::thread::sleep(Duration::from_secs(1));
    scrape(address)
}

fn of_peer(page: &Page, name: &str, key: &str) -> Option<u64> {
    let mut found = page.iter().filter(|(series, _)| series.starts_with(&format!("{name}{{")) && series.contains(key));
    let value = found.next().map(|(_, value)| *value);
    assert_eq!(found.next(), None);
    value
}

/// Everything at rest: page and account are of the same packets.
fn assert_is_the_account(rig: &Rig, page: &Page) {
    let account = rig.account();
    let sum =
        |start: &str| page.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum::<u64>();
    assert_eq!(sum("culvert_port_rx_packets_total"), account.rx);
    assert_eq!(sum("culvert_port_tx_packets_total"), account.tx);
    assert_eq!(page["culvert_generated_packets_total"], account.generated);
    assert_eq!(page["culvert_control_packets_total"], account.to_control);
    assert_eq!((page["culvert_queued_packets"], page["culvert_control_queued_packets"]), (0, 0));
    for reason in DropReason::ALL {
        for (side, drops) in [("data", &account.drops), ("control", &account.control_drops)] {
            let due: u64 = drops.iter().filter(|(r, _)| r == reason).map(|(_, n)| n).sum();
            let series = format!("culvert_drops_total{{reason=\"{}\",where=\"{side}\"}}", reason.name());
            assert_eq!(page[&series], due, "{series}");
        }
    }
}

#[test]
fn a_scrape_says_what_the_account_says_and_costs_no_packet() {
    let mut rig = Rig::new(&Options::default());
    let address = rig.gateway.as_ref().unwrap().metrics_address().unwrap();
    let mut client = Client::new(1);
    rig.add(&client);
    let before = scrape(address);
    assert_eq!(
        (before["wireguard_peers{interface=\"wg0\"}"], before["wireguard_peers_connected{interface=\"wg0\"}"]),
        (1, 0)
    );
    rig.connect(&mut client, 0);

    // Somebody who asks again and again, while packets go both ways.
    let sent = rig.traffic_during(&mut client, || (0..200).for_each(|_| drop(scrape(address))));

    // Garbage, so that something was dropped.
    let bad: Vec<_> = (0..7).map(|_| client.frame(&[9; 64])).collect();
    rig.blast(vec![Source::outer(0, bad)], |_, _, _| ());
    rig.settle(|_, _, _| ());
    let page = scrape_anew(address);
    assert_is_the_account(&rig, &page);
    assert_eq!(page["culvert_drops_total{reason=\"bad_message\",where=\"data\"}"], 7);
    assert_eq!(page["culvert_handshakes_total{role=\"responder\"}"], 1);
    assert_eq!(page["culvert_handshakes_total{role=\"initiator\"}"], 0);
    assert_eq!(page["wireguard_peers_connected{interface=\"wg0\"}"], 1);
    assert!(page["culvert_curve_operations_total"] > 0 && page["culvert_mempool_mbufs"] == 16_383);
    // As `wg` counts: each data message is 96 bytes padded, and 32.
    let key = culvert::config::keys::to_base64(&client.key()).to_string();
    let least = u64::from(sent) * 128;
    for name in ["wireguard_sent_bytes_total", "wireguard_received_bytes_total"] {
        let bytes = of_peer(&page, name, &key).unwrap();
        assert!((least..least + 2048).contains(&bytes), "{name}: {bytes}, {least} at least");
    }

    // What nobody fetches is out of the pool.
    let frames = sealed(&mut client, 200);
    leave_lan_unread(&mut rig, frames);
    let (held, in_use) = (rig.lan.wire.in_flight() as u64, scrape_anew(address)["culvert_mempool_mbufs_in_use"]);
    assert!(held >= 200 && (held..held + 1024).contains(&in_use), "{in_use} in use, {held} on the wire");
    rig.settle(|_, _, _| ());
    rig.finish();
}

#[test]
fn peers_beyond_the_most_are_counted_and_removed_ones_go() {
    let rig = Rig::new(&Options::default());
    let address = rig.gateway.as_ref().unwrap().metrics_address().unwrap();
    let clients: Vec<_> = (1..=5).map(Client::new).collect();
    clients.iter().for_each(|client| rig.add(client));
    let key = |client: &Client| culvert::config::keys::to_base64(&client.key()).to_string();
    let page = scrape(address);
    assert_eq!((page["wireguard_peers{interface=\"wg0\"}"], page["culvert_peers_left_out"]), (5, 3));
    let shown = |page: &Page| {
        let is_shown = |client: &&Client| of_peer(page, "wireguard_latest_handshake_seconds", &key(client)).is_some();
        clients.iter().filter(is_shown).count()
    };
    assert_eq!(shown(&page), 2);
    for client in &clients[1..] {
        uapi(rig.folder.path(), &format!("public_key={}\nremove=true\n", crate::rig::hex(&client.key())));
    }
    let page = scrape_anew(address);
    assert_eq!((page["wireguard_peers{interface=\"wg0\"}"], page["culvert_peers_left_out"], shown(&page)), (1, 0, 1));
    rig.finish();
}

/// TESTING A26, with many peers to look at; `CULVERT_PEERS=500000` by hand.
#[test]
fn scrapes_every_10_ms_with_many_peers_cost_no_packet() {
    let many: u32 = std::env::var("CULVERT_PEERS").map_or(20_000, |many| many.parse().unwrap());
    let peer = |n: u32| {
        let mut key = [1; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + n);
        format!("[Peer]\nPublicKey = {}\nAllowedIPs = {address}/32\n", culvert::config::keys::to_base64(&key).as_str())
    };
    let mut rig =
        Rig::new(&Options { max_peers: many + 1, peers: (0..many).map(peer).collect(), ..Options::default() });
    let address = rig.gateway.as_ref().unwrap().metrics_address().unwrap();
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let mut slowest = Duration::ZERO;
    let sent = rig.traffic_during(&mut client, || {
        for _ in 0..200 {
            let began = Instant::now();
            drop(scrape(address));
            slowest = slowest.max(began.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    eprintln!("{many} peers: {sent} packets each way, none lost; the slowest of 200 answers took {slowest:?}");
    let page = scrape_anew(address);
    assert_eq!(page["wireguard_peers{interface=\"wg0\"}"], u64::from(many) + 1);
    assert_eq!(page["culvert_peers_left_out"], u64::from(many) - 1);
    rig.finish();
}
