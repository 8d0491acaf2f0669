//! The same gateway with a thread each, as it runs.

use crate::client::Client;
use crate::harness::{Gateway, Guard};
use culvert::control::change::{ChangeSet, PeerChange};
use culvert::control::interface::{Interface, Writer};
use culvert::datapath::Stop;
use culvert::frame::Frame;
use culvert::frame::heap::{HeapPool, HeapWire};
use culvert::queue::sync::Arc;
use culvert::shared::{Account, Counters, Shared};
use std::thread::{JoinHandle, sleep, spawn, yield_now};
use std::time::{Duration, Instant};

/// What no step of a test takes: beyond it something stands still for ever.
const FOREVER: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    pub(crate) pool: HeapPool,
    pub(crate) shared: Arc<Shared<HeapPool>>,
    pub(crate) interface: Arc<Interface<HeapPool>>,
    writer: Arc<Writer<HeapPool>>,
    pub(crate) wan_rx: Vec<HeapWire>,
    pub(crate) lan_rx: Vec<HeapWire>,
    pub(crate) wan_tx: HeapWire,
    pub(crate) lan_tx: HeapWire,
    data: Vec<Arc<crossbeam_utils::CachePadded<Counters>>>,
    control: Vec<Arc<crossbeam_utils::CachePadded<Counters>>>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
    guard: Guard,
}

impl Running {
    /// Starts a thread for each core, for the handshakes and for the control thread.
    pub(crate) fn start(gateway: Gateway) -> Self {
        let Gateway { pool, shared, interface, writer, cores, mut handshake, mut service, .. } = gateway;
        let Gateway { wan_rx, lan_rx, wan_tx, lan_tx, data, control, guard, .. } = gateway;
        let stop = Arc::new(Stop::default());
        let mut threads = Vec::new();
        for core in cores {
            let stop = Arc::clone(&stop);
            threads.push(spawn(move || core.run(&stop)));
        }
        let until = Arc::clone(&stop);
        threads.push(spawn(move || {
            while !until.is_exit() {
                if !handshake.turn() {
                    handshake.offline(|| sleep(Duration::from_micros(200)));
                }
            }
        }));
        let until = Arc::clone(&stop);
        threads.push(spawn(move || {
            while !until.is_exit() {
                let worked = service.turn();
                if !until.is_running() {
                    service.flush();
                }
                if !worked {
                    service.offline(|| sleep(Duration::from_micros(200)));
                }
            }
        }));
        Self { pool, shared, interface, writer, wan_rx, lan_rx, wan_tx, lan_tx, data, control, stop, threads, guard }
    }

    /// Waits until `done`.
    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < FOREVER, "it never comes: {what}: {:?}", self.account());
            yield_now();
        }
    }

    /// A frame comes by a wire, as soon as the pool has a packet for it.
    pub(crate) fn send(&self, wire: &HeapWire, frame: &[u8]) {
        self.wait("an empty packet", || self.pool.available() > 64);
        wire.push(self.pool.alloc_with(frame).unwrap());
    }

    pub(crate) fn change(&self, peer: PeerChange) {
        self.interface.apply(ChangeSet { peers: vec![peer], ..ChangeSet::default() }).unwrap();
    }

    /// A client's handshake, confirmed by whatever it sends next. Takes what else went out by the outer port.
    pub(crate) fn handshake(&self, client: &mut Client) {
        let initiation = client.initiation();
        self.send(&self.wan_rx[0], &client.frame(&initiation));
        self.wait("a response", || {
            take(&self.wan_tx).iter().any(|frame| {
                let payload = &frame[42..];
                payload.len() == 92 && payload[0] == 2 && client.take_response(payload)
            })
        });
    }

    pub(crate) fn account(&self) -> Account {
        Account::sum(self.data.iter().map(|c| &***c), self.control.iter().map(|c| &***c))
    }

    /// How many were dropped for the reason of this name.
    pub(crate) fn dropped(&self, name: &str) -> u64 {
        let account = self.account();
        account.drops.iter().chain(&account.control_drops).filter(|(r, _)| r.name() == name).map(|(_, n)| n).sum()
    }

    /// Takes it down as `Gateway::stop` does, and checks the two laws.
    pub(crate) fn finish(mut self) {
        self.stop.drain();
        self.interface.clear();
        let mut quiet = 0;
        self.wait("the end of all flows", || {
            let account = self.account();
            let still = self.writer.poll() == 0 && account.queued() == 0 && account.control_queued() == 0;
            quiet = if still { quiet + 1 } else { 0 };
            sleep(Duration::from_millis(1));
            quiet == 5
        });
        self.stop.exit();
        for thread in std::mem::take(&mut self.threads) {
            thread.join().unwrap();
        }
        let account = self.account();
        assert_eq!((account.queued(), account.control_queued()), (0, 0), "{account:?}");
        assert_eq!(self.shared.staged.held(), 0);
        let pool = self.pool.clone();
        self.guard.finished = true;
        drop(self);
        assert_eq!(pool.outstanding(), 0, "packets leaked");
    }
}

/// All that is on a wire.
pub(crate) fn take(wire: &HeapWire) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| wire.pop()).map(|packet| packet.data().to_vec()).collect()
}
