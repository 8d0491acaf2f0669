//! Starts the threads: each pinned to its core, then known to DPDK (in this order: it reads the core's node there).

use super::plan::{CoreQueues, Layout, Plan, WayOut};
use super::report::SharedCounters;
use super::tables::{Seats, Tables};
use super::{Pool, Report, StartError};
use crate::aead::Backend;
use crate::config::{self, Config};
use crate::control::handshake::HandshakeThread;
use crate::control::output::Output;
use crate::control::service::{Service, ServiceParts};
use crate::datapath::{Core, CryptoWorker, ErrorBudget, Idle, Io, RxPort, Stop, Tx, TxPath};
use crate::dpdk::{Eal, FragmentTable, register_thread};
use crate::frame::PacketPool;
use crate::queue::{Reader, sync::Arc};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// How long a control thread sleeps when there is nothing to do: the latency of an echo reply or a handshake.
const CONTROL_NAP: Duration = Duration::from_micros(200);

type Mbuf = <Pool as PacketPool>::Packet;

/// All threads of a gateway.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<JoinHandle<()>>);

/// What the start of every thread needs.
pub(super) struct Starter<'a> {
    pub(super) config: &'a Config,
    pub(super) plan: &'a Plan,
    pub(super) eal: &'a Eal,
    pub(super) tables: &'a Tables,
    pub(super) stop: &'a Arc<Stop>,
    pub(super) report: &'a Report,
    pub(super) backend: Backend,
}

impl Starter<'_> {
    /// Starts all threads. If one cannot be, those that run are stopped again.
    pub(super) fn start(&self, seats: Seats, layout: Layout) -> Result<Threads, StartError> {
        let mut threads = Threads::default();
        let result = self.start_into(&mut threads.0, seats, layout);
        match result {
            Ok(()) => Ok(threads),
            Err(error) => {
                self.stop.exit();
                threads.join();
                Err(error)
            }
        }
    }

    fn start_into(&self, threads: &mut Vec<JoinHandle<()>>, seats: Seats, layout: Layout) -> Result<(), StartError> {
        let Seats { workers, posts, io, control, handshakes, inner, outer } = seats;
        let tables = self.tables;
        let owners = layout.port_owner.iter().filter_map(|core| tables.io.get(*core).cloned());
        let output = Output::new(owners.collect());

        let counters = self.report.control("control");
        let parts = ServiceParts {
            context: Arc::clone(&tables.context),
            writer: Arc::clone(&tables.writer),
            output: output.clone(),
            counters: Arc::clone(&counters),
            reader: self.reader("control")?,
            inbox: control,
            posts,
            fragments: Box::new(FragmentTable::new(self.eal, tables.fragments)?),
            inner,
            outer,
        };
        threads.push(self.service(parts, counters)?);
        for ((number, (inbox, requests)), core) in (0..).zip(handshakes).zip(&self.config.cores.handshake) {
            let name = format!("handshake-{number}");
            let counters = self.report.control(&name);
            let thread = HandshakeThread::new(
                Arc::clone(&tables.context),
                output.clone(),
                Arc::clone(&counters),
                self.reader(&name)?,
                inbox,
                requests,
            );
            threads.push(self.handshake(*core, thread, counters)?);
        }
        let mut workers: Vec<_> = workers.into_iter().map(Some).collect();
        let mut io = io.into_iter();
        for (place, queues) in layout.cores.into_iter().enumerate() {
            let CoreQueues { rx, tx } = queues;
            let number = self.plan.cores.get(place).copied().unwrap_or(0);
            let name = format!("core-{number}");
            let worker = self.plan.workers.get(place).copied().flatten();
            let seat = worker.and_then(|w| workers.get_mut(w)?.take());
            let rx = rx.into_iter().map(|(port, queue)| RxPort { port, queue: Box::new(queue) });
            let core = Core {
                shared: Arc::clone(&tables.shared),
                counters: self.report.data(&name),
                reader: self.reader(&name)?,
                tx: Tx::new(tx.into_iter().map(|way| self.way_out(way)).collect(), &tables.shared.ports),
                // The I/O cores come first.
                io: io.next().map(|inbox| Io::new(rx.collect(), inbox)),
                worker: seat.map(|seat| CryptoWorker::new(seat, self.plan.worker_count(), self.backend.cipher())),
                errors: ErrorBudget::default(),
                idle: match self.config.cores.idle {
                    config::Idle::Busy => Idle::Busy,
                    config::Idle::Adaptive => Idle::Adaptive,
                },
            };
            let stop = Arc::clone(self.stop);
            threads.push(self.spawn(&name, number, move || core.run(&stop))?);
        }
        Ok(())
    }

    fn way_out(&self, way: WayOut) -> TxPath<Mbuf> {
        let inbox = |core: usize| match self.tables.io.get(core) {
            Some(inbox) => inbox.clone(),
            // Layout deals only cores that exist.
            None => unreachable!("I/O core {core} does not exist"),
        };
        match way {
            WayOut::Own(queue) => TxPath::Queue(Box::new(queue)),
            WayOut::Shared(queue, core) => TxPath::Shared(Box::new(queue), inbox(core)),
            WayOut::Of(core) => TxPath::Core(inbox(core)),
        }
    }

    fn service(&self, parts: ServiceParts<Pool>, counters: SharedCounters) -> Result<JoinHandle<()>, StartError> {
        let mut service = Service::new(parts);
        let stop = Arc::clone(self.stop);
        self.spawn("control", self.config.cores.control, move || {
            while !stop.is_exit() {
                let worked = service.turn();
                counters.turns.add(1);
                if !stop.is_running() {
                    service.flush();
                }
                if !worked {
                    service.offline(|| sleep(CONTROL_NAP));
                }
            }
        })
    }

    fn handshake(
        &self,
        core: usize,
        mut thread: HandshakeThread<Pool>,
        counters: SharedCounters,
    ) -> Result<JoinHandle<()>, StartError> {
        let stop = Arc::clone(self.stop);
        self.spawn(&counters.name.clone(), core, move || {
            while !stop.is_exit() {
                let worked = thread.turn();
                counters.turns.add(1);
                if !worked {
                    thread.offline(|| sleep(CONTROL_NAP));
                }
            }
        })
    }

    fn reader(&self, name: &str) -> Result<Reader, StartError> {
        let full = || StartError::Thread {
            name: name.to_owned(),
            error: std::io::Error::other("no seat left in the grace-period count"),
        };
        self.tables.domain.register().ok_or_else(full)
    }

    /// Starts a pinned thread and waits until DPDK has taken it.
    fn spawn(
        &self,
        name: &str,
        core: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let eal = self.eal.clone();
        let (ready, outcome) = mpsc::sync_channel(1);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
                tracing::warn!("core {core}: the thread could not be pinned to it");
            }
            // Naps of 50 µs are to last 50 µs, not 100.
            let _default_slack = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
            match register_thread(&eal) {
                Ok(_registered) => {
                    let _ = ready.send(Ok(()));
                    body();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
        let thread = thread.map_err(|error| StartError::Thread { name: name.to_owned(), error })?;
        match outcome.recv() {
            Ok(Err(error)) => Err(StartError::Lcore { name: name.to_owned(), error }),
            _ => Ok(thread),
        }
    }
}

impl Threads {
    /// Waits for all threads; the caller has said exit.
    pub(super) fn join(self) {
        for thread in self.0 {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
