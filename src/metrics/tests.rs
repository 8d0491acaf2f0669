//! Each number ends in its own sample, in both formats, and an answer is kept for its time.

use super::cache::{Cache, Format, prometheus_text};
use super::*;
use crate::shared::{DropReason, Spent, Stage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Numbers that a test sets.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) totals: Mutex<Totals>,
    /// `None`: they cannot be looked at.
    pub(super) peers: Mutex<Option<PeerSamples>>,
    /// How often it was asked.
    pub(super) asked: AtomicUsize,
}

impl Source for Fake {
    fn totals(&self) -> Totals {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.totals.lock().unwrap().clone()
    }

    fn peers(&self, most: usize) -> Option<PeerSamples> {
        let PeerSamples { mut peers, left_out } = self.peers.lock().unwrap().clone()?;
        let more = peers.len().saturating_sub(most) as u64;
        peers.truncate(most);
        Some(PeerSamples { peers, left_out: left_out + more })
    }
}

/// A gateway of one port, one core, one interface, which has done nothing.
pub(super) fn nothing_done() -> Totals {
    Totals {
        version: "1".into(),
        ports: vec![PortTotals { name: "wan".into(), device: Some(DeviceTotals::default()), ..Default::default() }],
        cores: vec![CoreTotals {
            name: "core-1".into(),
            stages: Stage::ALL.map(|stage| (stage, Spent::default())).to_vec(),
            ..Default::default()
        }],
        interfaces: vec![InterfaceTotals { name: "wg0".into(), peers: 0, connected: Some(0) }],
        ..Default::default()
    }
}

fn page(totals: Totals, format: Format) -> String {
    let source = Arc::new(Fake { totals: Mutex::new(totals), ..Default::default() });
    let answer = Cache::new(source, 0).answer(format, Instant::now).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

/// Series and their values.
fn samples(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<_> = lines.map(|line| line.rsplit_once(' ').unwrap()).collect();
    let map: BTreeMap<_, _> = samples.iter().map(|(series, value)| ((*series).into(), (*value).into())).collect();
    assert_eq!(map.len(), samples.len(), "a series is there twice");
    map
}

/// What is counted, and the series that alone shows it.
type Case = (fn(&mut Totals), &'static str);

const CASES: [Case; 32] = [
    (|t| t.ports[0].rx_packets = 7, "culvert_port_rx_packets_total{port=\"wan\"}"),
    (|t| t.ports[0].rx_bytes = 7, "culvert_port_rx_bytes_total{port=\"wan\"}"),
    (|t| t.ports[0].tx_packets = 7, "culvert_port_tx_packets_total{port=\"wan\"}"),
    (|t| t.ports[0].tx_bytes = 7, "culvert_port_tx_bytes_total{port=\"wan\"}"),
    (|t| t.ports[0].tx_full = 7, "culvert_port_tx_full_total{port=\"wan\"}"),
    (|t| t.ports[0].device.as_mut().unwrap().rx_missed = 7, "culvert_port_rx_missed_total{port=\"wan\"}"),
    (|t| t.ports[0].device.as_mut().unwrap().rx_errors = 7, "culvert_port_rx_errors_total{port=\"wan\"}"),
    (|t| t.ports[0].device.as_mut().unwrap().rx_nombuf = 7, "culvert_port_rx_nombuf_total{port=\"wan\"}"),
    (|t| t.ports[0].device.as_mut().unwrap().tx_errors = 7, "culvert_port_tx_errors_total{port=\"wan\"}"),
    (|t| (t.account.generated, t.account.tx) = (7, 7), "culvert_generated_packets_total"),
    (|t| (t.account.to_control, t.account.rx, t.account.control_returned) = (7, 7, 7), "culvert_control_packets_total"),
    (|t| t.account.rx = 7, "culvert_queued_packets"),
    (
        |t| t.account.control_drops = vec![(DropReason::BadMac1, 7)],
        "culvert_drops_total{reason=\"bad_mac1\",where=\"control\"}",
    ),
    (
        |t| (t.account.drops, t.account.rx) = (vec![(DropReason::Replay, 7)], 7),
        "culvert_drops_total{reason=\"replay\",where=\"data\"}",
    ),
    (|t| t.staged = 7, "culvert_staged_packets"),
    (|t| (t.pool_size, t.pool_available) = (7, 7), "culvert_mempool_mbufs"),
    (|t| t.initiations = 7, "culvert_handshake_initiations_sent_total"),
    (|t| t.sessions_initiated = 7, "culvert_handshakes_total{role=\"initiator\"}"),
    (|t| t.sessions_answered = 7, "culvert_handshakes_total{role=\"responder\"}"),
    (|t| t.curve_operations = 7, "culvert_curve_operations_total"),
    (|t| t.interfaces[0].peers = 7, "wireguard_peers{interface=\"wg0\"}"),
    (|t| t.interfaces[0].connected = Some(7), "wireguard_peers_connected{interface=\"wg0\"}"),
    (|t| t.cores[0].turns = 7, "culvert_core_turns_total{core=\"core-1\"}"),
    (|t| t.cores[0].turns_busy = 7, "culvert_core_busy_turns_total{core=\"core-1\"}"),
    (|t| t.cores[0].recording = true, "culvert_core_cycles_recording{core=\"core-1\"}"),
    (|t| t.cores[0].stages[4].1.cycles = 7, "culvert_core_cycles_total{core=\"core-1\",stage=\"aead\"}"),
    (|t| t.cores[0].stages[0].1.packets = 7, "culvert_core_packets_total{core=\"core-1\",stage=\"rx\"}"),
    (|t| t.cores[0].idle_cycles = 7, "culvert_core_cycles_total{core=\"core-1\",stage=\"idle\"}"),
    (|t| t.started = Duration::from_secs(7), "culvert_start_time_seconds"),
    (|t| t.version = "2".into(), "culvert_build_info{version=\"2\",dpdk=\"\",backend=\"\"}"),
    (|t| t.dpdk = "2".into(), "culvert_build_info{version=\"1\",dpdk=\"2\",backend=\"\"}"),
    (|t| t.backend = "2".into(), "culvert_build_info{version=\"1\",dpdk=\"\",backend=\"2\"}"),
];

#[test]
fn each_number_has_one_sample_of_its_own() {
    let before = samples(&page(nothing_done(), Format::Prometheus));
    for (change, series) in CASES {
        let mut totals = nothing_done();
        change(&mut totals);
        let after = samples(&page(totals, Format::Prometheus));
        let changed: Vec<_> = after.iter().filter(|(name, value)| before.get(*name) != Some(*value)).collect();
        let expected = if series.contains("build_info") || series.contains("recording") { "1" } else { "7" };
        assert_eq!(changed, [(&series.to_owned(), &expected.to_owned())]);
    }
}

#[test]
fn packets_under_way_are_what_has_come_and_not_gone() {
    let mut totals = nothing_done();
    (totals.pool_size, totals.pool_available) = (10, 4);
    (totals.account.rx, totals.account.to_control) = (9, 3);
    totals.account.control_drops = vec![(DropReason::BadMac1, 1)];
    let found = samples(&page(totals.clone(), Format::Prometheus));
    assert_eq!(found["culvert_mempool_mbufs_in_use"], "6");
    assert_eq!(found["culvert_queued_packets"], "6");
    assert_eq!(found["culvert_control_queued_packets"], "2");
    // Counters of many threads, read one after the other.
    (totals.account.tx, totals.pool_available, totals.pool_size) = (10, 11, u64::MAX);
    totals.account.control_returned = 4;
    let found = samples(&page(totals, Format::Prometheus));
    assert_eq!((&*found["culvert_queued_packets"], &*found["culvert_control_queued_packets"]), ("0", "0"));
    assert_eq!(found["culvert_mempool_mbufs"], i64::MAX.to_string());
}

#[test]
fn every_reason_is_there_before_anything_was_dropped() {
    let found = samples(&page(nothing_done(), Format::Prometheus));
    for reason in DropReason::ALL {
        for side in ["data", "control"] {
            let series = format!("culvert_drops_total{{reason=\"{}\",where=\"{side}\"}}", reason.name());
            assert_eq!(found[&series], "0");
        }
    }
}

#[test]
fn both_formats_say_the_same() {
    let (new, old) = (page(nothing_done(), Format::OpenMetrics), page(nothing_done(), Format::Prometheus));
    assert_eq!(samples(&new), samples(&old));
    assert!(new.ends_with("\n# EOF\n") && new.contains("\n# TYPE culvert_drops counter\n"));
    assert!(!old.contains("# EOF") && old.contains("\n# TYPE culvert_drops_total counter\n"));
    assert!(old.contains("\n# HELP culvert_drops_total Packets that went no further"));
    assert!(old.contains("\n# TYPE wireguard_peers gauge\n"));
    assert_eq!(prometheus_text("# UNIT a b\na 1\n# EOF\n"), "a 1\n");
    let asked =
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1";
    assert_eq!(Format::asked(asked), Format::OpenMetrics);
    assert_eq!((Format::asked("*/*"), Format::asked("")), (Format::Prometheus, Format::Prometheus));
}

fn peer(number: u64) -> PeerSample {
    PeerSample {
        interface: "wg0".into(),
        public_key: format!("key{number}="),
        allowed_ips: PeerSample::allowed_ips_of(&["10.1.0.0/16", "fd00::/64"]),
        friendly_name: "a \"name\" with \\ and\na line".into(),
        sent_bytes: number,
        received_bytes: number + 10,
        latest_handshake: Duration::new(number + 20, 999_999_999),
    }
}

fn page_of_peers(most: usize) -> String {
    let peers = PeerSamples { peers: (0..3).map(peer).collect(), left_out: 5 };
    let source = Arc::new(Fake { peers: Mutex::new(Some(peers)), ..Default::default() });
    let answer = Cache::new(source, most).answer(Format::Prometheus, Instant::now).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn peers_have_series_up_to_the_most_and_the_rest_is_counted() {
    let found = samples(&page_of_peers(2));
    for number in 0..2 {
        let labels = format!(
            "{{interface=\"wg0\",public_key=\"key{number}=\",allowed_ips=\"10.1.0.0/16,fd00::/64\",\
             friendly_name=\"a \\\"name\\\" with \\\\ and\\na line\"}}"
        );
        assert_eq!(found[&format!("wireguard_sent_bytes_total{labels}")], number.to_string());
        assert_eq!(found[&format!("wireguard_received_bytes_total{labels}")], (number + 10).to_string());
        assert_eq!(found[&format!("wireguard_latest_handshake_seconds{labels}")], (number + 20).to_string());
    }
    assert_eq!(found["culvert_peers_left_out"], "6");
    assert!(!page_of_peers(2).contains("key2"));
    let none = page_of_peers(0);
    assert!(!none.contains("wireguard_sent_bytes") && !none.contains("left_out"), "not asked for");
}

#[test]
fn peers_that_cannot_be_looked_at_are_left_out_and_not_told_as_none() {
    let mut totals = nothing_done();
    totals.interfaces[0].connected = None;
    let source = Arc::new(Fake { totals: Mutex::new(totals), ..Default::default() });
    let answer = Cache::new(source, 5).answer(Format::Prometheus, Instant::now).unwrap();
    let page = String::from_utf8(answer.to_vec()).unwrap();
    assert_eq!(samples(&page)["wireguard_peers{interface=\"wg0\"}"], "0");
    for family in ["wireguard_peers_connected", "wireguard_sent_bytes", "culvert_peers_left_out"] {
        assert!(!page.contains(family), "{family}");
    }
}

#[test]
fn a_peer_with_very_many_prefixes_has_a_label_of_bounded_length() {
    let prefixes: Vec<_> = (0..100_000).map(|n| format!("10.{}.{}.0/24", n / 256 % 256, n % 256)).collect();
    let label = PeerSample::allowed_ips_of(&prefixes);
    assert!(label.len() < 1100 && label.starts_with("10.0.0.0/24,10.0.1.0/24,") && label.ends_with(",..."), "{label}");
    assert_eq!(PeerSample::allowed_ips_of(&prefixes[..2]), "10.0.0.0/24,10.0.1.0/24");
}

/// TESTING A26: who asks more often costs no more.
#[test]
fn an_answer_is_kept_for_its_time_and_a_tenth_of_the_time_is_spent_at_most() {
    let source = Arc::new(Fake::default());
    let mut cache = Cache::new(Arc::clone(&source) as Arc<dyn Source>, 0);
    let start = Instant::now();
    let ask = |cache: &mut Cache, ms: u64, takes: u64| {
        let ticks = AtomicUsize::new(0);
        let clock = || start + Duration::from_millis(ms + takes * ticks.fetch_add(1, Ordering::Relaxed) as u64);
        cache.answer(Format::Prometheus, clock).unwrap();
        source.asked.load(Ordering::Relaxed)
    };
    assert_eq!(ask(&mut cache, 0, 1), 1);
    for ms in 1..=250 {
        assert_eq!(ask(&mut cache, ms, 1), 1, "{ms} ms");
    }
    // This one takes a second: it is good for nine.
    assert_eq!(ask(&mut cache, 251, 1000), 2);
    assert_eq!(ask(&mut cache, 10_250, 1), 2);
    assert_eq!(ask(&mut cache, 10_251, 1), 3);
}
