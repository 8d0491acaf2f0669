//! What there is to tell, as the gateway hands it over.

use crate::shared::{Account, Spent, Stage};
use std::fmt::{Debug, Display, Write};
use std::time::Duration;

/// Who knows the numbers. Asked by the metrics thread, which may take its time; it must never make a data core wait, and a
/// control thread for one peer's record at most.
pub trait Source: Debug + Send + Sync + 'static {
    /// All numbers that are not one peer's.
    fn totals(&self) -> Totals;

    /// `most` peers, always the same ones first, and how many more there are. `None`: they cannot be looked at now.
    fn peers(&self, most: usize) -> Option<PeerSamples>;
}

/// All numbers that are not one peer's, since the start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// culvert's version.
    pub version: String,
    /// DPDK's, at run time.
    pub dpdk: String,
    /// The cipher backend.
    pub backend: String,
    /// When the gateway started, since the Unix epoch.
    pub started: Duration,
    /// Every packet by its door.
    pub account: Account,
    /// Packets that wait for a session or a next hop.
    pub staged: u64,
    /// Ports.
    pub ports: Vec<PortTotals>,
    /// Data cores.
    pub cores: Vec<CoreTotals>,
    /// Interfaces.
    pub interfaces: Vec<InterfaceTotals>,
    /// Handshake initiations sent.
    pub initiations: u64,
    /// Sessions that came of these.
    pub sessions_initiated: u64,
    /// Sessions that peers asked for.
    pub sessions_answered: u64,
    /// Diffie-Hellman calculations.
    pub curve_operations: u64,
    /// Mbufs of the pool.
    pub pool_size: u64,
    /// Of these, those that are in it now.
    pub pool_available: u64,
}

/// One port.
#[derive(Clone, Debug, Default)]
pub struct PortTotals {
    /// Its name in the configuration.
    pub name: String,
    /// Packets that culvert took from it.
    pub rx_packets: u64,
    /// Bytes of these.
    pub rx_bytes: u64,
    /// Packets that it took from culvert.
    pub tx_packets: u64,
    /// Bytes of these.
    pub tx_bytes: u64,
    /// Packets that its full TX queues refused.
    pub tx_full: u64,
    /// What its device counts; `None` if it cannot say.
    pub device: Option<DeviceTotals>,
}

/// What a port's device counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceTotals {
    /// Packets that nobody fetched in time.
    pub rx_missed: u64,
    /// Packets received with errors.
    pub rx_errors: u64,
    /// Times that a packet found no mbuf.
    pub rx_nombuf: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
}

/// One data core.
#[derive(Clone, Debug, Default)]
pub struct CoreTotals {
    /// Its name.
    pub name: String,
    /// Turns of its loop.
    pub turns: u64,
    /// Of these, those that found work.
    pub turns_busy: u64,
    /// Whether cycles are counted now.
    pub recording: bool,
    /// What each stage took while they were.
    pub stages: Vec<(Stage, Spent)>,
    /// Cycles without work, likewise.
    pub idle_cycles: u64,
}

/// One interface.
#[derive(Clone, Debug, Default)]
pub struct InterfaceTotals {
    /// Its name.
    pub name: String,
    /// Its peers.
    pub peers: u64,
    /// Of these, those with a session that can be sent under; `None`: they cannot be looked at now.
    pub connected: Option<u64>,
}

/// Some peers.
#[derive(Clone, Debug, Default)]
pub struct PeerSamples {
    /// Those that were asked for.
    pub peers: Vec<PeerSample>,
    /// How many more there are.
    pub left_out: u64,
}

/// One peer.
#[derive(Clone, Debug, Default)]
pub struct PeerSample {
    /// The name of its interface.
    pub interface: String,
    /// Its public key, base64.
    pub public_key: String,
    /// Its prefixes, as [`PeerSample::allowed_ips_of`] writes them.
    pub allowed_ips: String,
    /// Its name (64 letters at most), or nothing.
    pub friendly_name: String,
    /// Bytes sent to it, as `wg` shows them.
    pub sent_bytes: u64,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// When its last handshake was complete, since the Unix epoch; zero: never.
    pub latest_handshake: Duration,
}

/// Bytes of an `allowed_ips` label, about: Prometheus keeps it in memory for each series.
const LONGEST_ALLOWED_IPS: usize = 1024;

impl PeerSample {
    /// The prefixes in one label; of very many the first ones, and `...`. So it takes a bounded time, however many there are.
    pub fn allowed_ips_of<T: Display>(prefixes: &[T]) -> String {
        let mut label = String::new();
        for prefix in prefixes {
            if !label.is_empty() {
                label.push(',');
            }
            if label.len() > LONGEST_ALLOWED_IPS {
                label.push_str("...");
                break;
            }
            // A string takes all.
            let _ok = write!(label, "{prefix}");
        }
        label
    }
}
