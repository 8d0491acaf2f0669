//! What people are told: the fact lines of the start, the account while it runs, and the farewell.

use super::plan::QueueRow;
use super::tables::Tables;
use crate::config::Config;
use crate::dpdk::{self, Eal, Pool, Port};
use crate::peer::Tally;
use crate::queue::sync::Arc;
use crate::shared::{Account, Counters, DropReason, Shared, Stage};
use crossbeam_utils::CachePadded;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) type SharedCounters = Arc<CachePadded<Counters>>;

/// All counters of a gateway.
#[derive(Debug)]
pub struct Report {
    shared: Arc<Shared<Pool>>,
    pool: Pool,
    data: Mutex<Vec<SharedCounters>>,
    control: Mutex<Vec<SharedCounters>>,
}

/// What came in and went out by a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct PortSums {
    pub(super) rx_packets: u64,
    pub(super) rx_bytes: u64,
    pub(super) tx_packets: u64,
    pub(super) tx_bytes: u64,
    /// Packets that its full TX queues refused.
    pub(super) tx_full: u64,
}

impl Report {
    pub(super) fn new(tables: &Tables, pool: &Pool) -> Self {
        Self {
            shared: Arc::clone(&tables.shared),
            pool: pool.clone(),
            data: Mutex::default(),
            control: Mutex::default(),
        }
    }

    /// The counters of a data core that starts.
    pub(super) fn data(&self, name: &str) -> SharedCounters {
        register(&self.data, Counters::timed(name, dpdk::tsc))
    }

    /// The counters of a control thread that starts.
    pub(super) fn control(&self, name: &str) -> SharedCounters {
        register(&self.control, Counters::timed(name, dpdk::tsc))
    }

    /// All counters: those of data cores, and those of control threads.
    pub(super) fn counters(&self) -> (Vec<SharedCounters>, Vec<SharedCounters>) {
        (lock(&self.data).clone(), lock(&self.control).clone())
    }

    /// The same as one list.
    pub(super) fn all_counters(&self) -> Vec<SharedCounters> {
        let (mut all, control) = self.counters();
        all.extend(control);
        all
    }

    /// The sums, now.
    pub fn account(&self) -> Account {
        let (data, control) = (lock(&self.data), lock(&self.control));
        Account::sum(data.iter().map(|c| &***c), control.iter().map(|c| &***c))
    }

    /// Whether every packet has left by one of its doors.
    pub(super) fn is_drained(&self) -> bool {
        let account = self.account();
        account.queued() == 0 && account.control_queued() == 0
    }

    /// The same, but for what waits for a session or a neighbour.
    pub(super) fn is_worked_off(&self) -> bool {
        let account = self.account();
        account.queued() == i128::from(self.shared.staged.held()) && account.control_queued() == 0
    }

    /// How many were dropped for a reason, on all threads.
    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        let (data, control) = (lock(&self.data), lock(&self.control));
        data.iter().chain(control.iter()).map(|c| c.dropped(reason)).sum()
    }

    /// What culvert counted of a port, on all threads.
    pub(super) fn port_sums(&self, port: usize) -> PortSums {
        let (data, control) = (lock(&self.data), lock(&self.control));
        let sum = |of: fn(&Counters) -> &[Tally]| -> u64 {
            data.iter().chain(control.iter()).filter_map(|c| of(c).get(port)).map(Tally::get).sum()
        };
        PortSums {
            rx_packets: sum(|c| &c.rx),
            rx_bytes: sum(|c| &c.rx_bytes),
            tx_packets: sum(|c| &c.tx),
            tx_bytes: sum(|c| &c.tx_bytes),
            tx_full: sum(|c| &c.tx_full),
        }
    }

    /// Diffie-Hellman calculations of all handshake threads.
    pub(super) fn curve_operations(&self) -> u64 {
        lock(&self.control).iter().map(|c| c.curve_operations.get()).sum()
    }

    /// A row a handshake thread: its load, and what became of cookies.
    pub(super) fn cookies(&self) -> Value {
        let control = lock(&self.control);
        let threads = control.iter().filter(|c| c.name.starts_with("handshake-"));
        let row = |c: &SharedCounters| {
            json!({
                "thread": c.name, "under_load": c.under_load.get() > 0, "told": c.dropped(DropReason::CookieSent),
                "returned": c.cookies_returned.get(), "dropped": c.dropped(DropReason::UnderLoad),
                "rate_limited": c.dropped(DropReason::RateLimited),
            })
        };
        threads.map(row).collect()
    }

    /// The packet pool itself.
    pub(super) fn pool_handle(&self) -> &Pool {
        &self.pool
    }

    /// Everything that is counted, for `culvert show report`.
    pub fn json(&self) -> Value {
        let account = self.account();
        let reasons = |drops: &[(DropReason, u64)]| -> Value {
            drops.iter().map(|(r, n)| (r.name().to_owned(), json!({ "packets": n, "hint": r.hint() }))).collect()
        };
        json!({
            "account": self.account_json(),
            "drops": reasons(&account.drops),
            "control": reasons(&account.control_drops),
            "ports": self.ports(),
            "cores": self.cores(),
            "cycles": self.cycles(),
            "handshakes": { "curve_operations": self.curve_operations() },
            "pool": self.pool(),
        })
    }

    /// Every packet by its door.
    pub(super) fn account_json(&self) -> Value {
        let account = self.account();
        json!({
            "rx": account.rx,
            "generated": account.generated,
            "tx": account.tx,
            "dropped": account.dropped(),
            "to_control": account.to_control,
            "queued": i64::try_from(account.queued()).unwrap_or(i64::MAX),
            "control_queued": i64::try_from(account.control_queued()).unwrap_or(i64::MAX),
            "staged": self.shared.staged.held(),
        })
    }

    /// A row a reason and side; `all`: those without packets too.
    pub(super) fn drops(&self, all: bool) -> Value {
        let row = |side: &str, list: &[SharedCounters], reason: DropReason| {
            let packets: u64 = list.iter().map(|c| c.dropped(reason)).sum();
            (packets > 0)
                .then(|| json!({ "reason": reason.name(), "packets": packets, "where": side, "hint": reason.hint() }))
        };
        let (data, control) = (lock(&self.data), lock(&self.control));
        let rows = DropReason::ALL.iter().flat_map(|reason| {
            let there: Vec<Value> =
                [row("data path", &data, *reason), row("control", &control, *reason)].into_iter().flatten().collect();
            let none = json!({ "reason": reason.name(), "packets": 0, "where": null, "hint": reason.hint() });
            if there.is_empty() && all { vec![none] } else { there }
        });
        rows.collect()
    }

    /// The packet pool.
    pub(super) fn pool(&self) -> Value {
        let pool = &self.pool;
        json!({ "name": pool.name(), "size": pool.size(), "available": pool.available(), "data_room": pool.data_room() })
    }

    fn ports(&self) -> Value {
        let port = |port: &crate::shared::Port| {
            let sums = self.port_sums(usize::from(port.id));
            json!({
                "port": port.name,
                "rx_packets": sums.rx_packets,
                "rx_bytes": sums.rx_bytes,
                "tx_packets": sums.tx_packets,
                "tx_bytes": sums.tx_bytes,
                "tx_full": sums.tx_full,
            })
        };
        self.shared.ports.iter().map(port).collect()
    }

    /// A row a data core. What needs its cycles is `null` unless they are recorded.
    pub(super) fn cores(&self) -> Value {
        let core = |c: &SharedCounters| {
            let spent = Stage::ALL.map(|stage| c.cycles.spent(stage));
            let (work, idle) = (spent.iter().map(|s| s.cycles).sum::<u64>(), c.cycles.idle());
            let [rx, ..] = &spent;
            json!({
                "core": c.name,
                "turns": c.turns.get(),
                "busy": c.turns_busy.get(),
                "busy_share": ratio(work, work + idle, 1000.0),
                "a_burst": ratio(rx.packets, rx.units, 10.0),
                "a_packet": ratio(work, rx.packets, 1.0),
            })
        };
        lock(&self.data).iter().map(core).collect()
    }

    /// Whether data cores record where their cycles go, from their next turn on (`record-core-cycles`).
    pub fn record_core_cycles(&self, on: bool) {
        lock(&self.data).iter().for_each(|core| core.cycles.record(on));
    }

    /// What was recorded: a row a core and stage.
    pub(super) fn cycles(&self) -> Value {
        let rows = |core: &SharedCounters| {
            let row = |stage: Stage| {
                let spent = core.cycles.spent(stage);
                json!({
                    "core": core.name,
                    "stage": stage.name(),
                    "cycles": spent.cycles,
                    "packets": spent.packets,
                    "units": spent.units,
                    "a_packet": ratio(spent.cycles, spent.packets, 10.0),
                    "a_unit": ratio(spent.packets, spent.units, 10.0),
                })
            };
            let idle = json!({ "core": core.name, "stage": "idle", "cycles": core.cycles.idle() });
            Stage::ALL.map(row).into_iter().chain([idle]).collect::<Vec<_>>()
        };
        lock(&self.data).iter().flat_map(rows).collect()
    }

    /// The fact lines of the start.
    pub(super) fn facts(&self, config: &Config, eal: &Eal, ports: &[Port], queues: &[QueueRow]) {
        let pages = if eal.has_huge_pages() { "huge pages" } else { "ordinary pages (slower: reserve huge pages)" };
        tracing::info!("{}, {pages}, {} mbufs", eal.version(), self.pool.size());
        for (port, c) in ports.iter().zip(&config.ports) {
            let addresses: Vec<_> = c.addresses.iter().map(ToString::to_string).collect();
            let info = port.info();
            let vlan = if c.vlan == 0 { String::new() } else { format!(" VLAN {},", c.vlan) };
            tracing::info!(
                port = c.name,
                "port {}: {} ({}), {:?}, MTU {},{vlan} {}",
                c.name,
                info.driver,
                crate::wire::MacAddr(info.mac),
                c.role,
                c.mtu,
                addresses.join(" ")
            );
        }
        let cores = &config.cores;
        tracing::info!(
            "cores: I/O {:?}, workers {:?}, handshakes {:?}, control {}, {:?} when idle",
            cores.io,
            cores.workers,
            cores.handshake,
            cores.control,
            cores.idle
        );
        queues.iter().for_each(|line| tracing::info!("{line}"));
    }

    /// The last account. Returns whether everything is accounted for and back in the pool.
    pub(super) fn farewell(&self) -> bool {
        let account = self.account();
        let (size, available) = (self.pool.size(), self.pool.available());
        let mut drops = String::new();
        for (reason, packets) in &account.drops {
            let _ = write!(drops, " {}={packets}", reason.name());
        }
        tracing::info!(
            "account: rx {} + generated {} = tx {} + dropped {} + control {}; queued {}; pool {available} of {size}",
            account.rx,
            account.generated,
            account.tx,
            account.dropped(),
            account.to_control,
            account.queued()
        );
        tracing::info!("drops:{}", if drops.is_empty() { " none" } else { &drops });
        let good = account.queued() == 0 && account.control_queued() == 0 && available == size;
        if !good {
            tracing::error!(
                "{} packets are not accounted for, {} mbufs are missing",
                account.queued(),
                size - available
            );
        }
        good
    }
}

/// A quotient in steps of 1/`steps`; `None` of nothing.
fn ratio(all: u64, of: u64, steps: f64) -> Option<f64> {
    (of > 0).then(|| (all as f64 / of as f64 * steps).round() / steps)
}

fn register(list: &Mutex<Vec<SharedCounters>>, counters: SharedCounters) -> SharedCounters {
    lock(list).push(Arc::clone(&counters));
    counters
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
