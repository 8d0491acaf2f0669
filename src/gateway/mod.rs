//! Assembles a gateway: configuration → EAL → ports → pool → tables → peers → threads; and takes it down in reverse.

mod capture;
mod desk;
mod error;
mod handover;
pub mod logs;
mod metrics;
mod one_peer;
mod plan;
mod privileges;
mod proc;
mod reload;
mod report;
mod save;
mod sessions;
mod socket;
pub mod systemd;
mod tables;
mod telemetry;
mod threads;
mod trace;
mod warnings;
mod watch;
mod watchdog;

pub(crate) use crate::control::context::boottime_ms;
pub(crate) use desk::port_rows;
pub use error::StartError;
pub use plan::memory_mib;
pub use privileges::{PrivilegesError, RunAs, forbid_dumps};
pub use report::Report;

use crate::aead::{Backend, CpuFeatures};
use crate::config::peers_file::{ParsedPeers, Stamp};
use crate::config::{self, Config, ConfigError, Interface as InterfaceConfig, Warning};
use crate::control::change::ChangeSet;
use crate::control::interface::{ChangeError, Interface, WgDevice, Writer};
use crate::control::key_log::KeyLog;
use crate::control::uapi::UapiServer;
use crate::datapath::Stop;
use crate::dpdk::{Eal, Pool, Port, Telemetry};
use crate::metrics::MetricsServer;
use crate::queue::sync::Arc;
use capture::Capture;
use desk::{Baselines, Desk, Rates};
use handover::Handover;
use metrics::Numbers;
use plan::Plan;
use privileges::Identity;
use reload::Reloader;
use socket::ControlSocket;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tables::Tables;
use threads::{Starter, Threads};
use trace::Trace;
use watchdog::Watchdog;

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(5);
/// While peers are loaded systemd hears of it so often at most...
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// ...and the clock is looked at after so many.
const PEERS_BETWEEN: usize = 1024;

/// How a gateway is started, beside its configuration.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The keys of all sessions go there.
    pub key_log: Option<&'a Path>,
    /// Whom it becomes once its ports are up, if root has started it.
    pub run_as: &'a RunAs,
}

/// A gateway that runs. Call [`Gateway::stop`] to take it down.
#[derive(Debug)]
pub struct Gateway {
    /// A `wg` socket an interface.
    uapi: Vec<UapiServer>,
    socket: ControlSocket,
    metrics: Option<MetricsServer>,
    telemetry: Telemetry,
    interfaces: Vec<Arc<Interface<Pool>>>,
    writer: Arc<Writer<Pool>>,
    stop: Arc<Stop>,
    threads: Threads,
    /// If systemd has one.
    watchdog: Option<Watchdog>,
    report: Arc<Report>,
    reloader: Arc<Reloader>,
    /// `None`: sessions end with it.
    handover: Option<Handover>,
    /// Closed after the threads gave their queues back.
    ports: Arc<Vec<Port>>,
    _eal: Eal,
}

impl Gateway {
    /// Builds and starts a gateway of a checked configuration; returns when packets flow. Main thread, and the process's only one: it may change
    /// the user of all ([`RunAs`]).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(config: &Config, launch: Launch<'_>) -> Result<Self, StartError> {
        Self::build(config, launch, None)
    }

    /// The same on an EAL that runs already, for harnesses whose ports are memory wires. Main thread.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn start_on(eal: &Eal, config: &Config) -> Result<Self, StartError> {
        Self::build(config, Launch { key_log: None, run_as: &RunAs::Unchanged }, Some(eal.clone()))
    }

    fn build(config: &Config, launch: Launch<'_>, eal: Option<Eal>) -> Result<Self, StartError> {
        let began = Instant::now();
        // All that can be wrong in files is found before anything is touched.
        let identity = Identity::of(launch.run_as)?;
        let read = config.interfaces.iter().map(|interface| {
            systemd::starting(&format!("reads the peers of {}", interface.name));
            Reading::of(config, interface)
        });
        let read = read.collect::<Result<Vec<_>, _>>()?;
        read.iter().flat_map(|reading| &reading.warnings).for_each(|warning| tracing::warn!("{warning}"));
        let (changes, stamps) = read.into_iter().map(|reading| (reading.changes, reading.stamp)).unzip();
        let backend = backend(config)?;
        let plan = Plan::new(config)?;
        let key_log = launch.key_log.map(open_key_log).transpose()?;

        let eal = match eal {
            Some(eal) => eal,
            None => {
                systemd::starting("starts DPDK");
                Eal::init(&plan.eal_options(config)?)?
            }
        };
        let mut ports = plan.open_ports(config, &eal)?;
        let pool = Pool::create(&eal, &plan.pool_options(config, &ports))?;
        let layout = plan.configure(config, &mut ports, &pool)?;

        let (tables, seats) = Tables::new(config, &ports, &pool, &plan)?;
        if let Some(key_log) = key_log {
            // It is set once; no thread runs yet.
            let _first = tables.context.key_log.set(key_log);
        }
        apply(config, &tables, changes)?;
        handover::take_over(&tables, config.control.keep_sessions);
        // Reading and moving the private keys left copies there.
        crate::noise::wipe_stack();
        if let Some(identity) = identity {
            identity.assume(config)?;
        }
        let uapi = bind(config, &tables)?;
        warnings::tell(Arc::clone(&tables.context.events));
        let stop = Arc::new(Stop::default());
        let report = Arc::new(Report::new(&tables, &pool));
        let starter =
            Starter { config, plan: &plan, eal: &eal, tables: &tables, stop: &stop, report: &report, backend };
        let queues = layout.rows(&plan, config);
        let ports = Arc::new(ports);
        let reloader =
            Arc::new(Reloader::new(tables.interfaces.clone(), Arc::clone(&tables.context), config.clone(), stamps));
        let desk = Desk {
            reloader: Arc::clone(&reloader),
            report: Arc::clone(&report),
            ports: Arc::clone(&ports),
            shared: Arc::clone(&tables.shared),
            context: Arc::clone(&tables.context),
            interfaces: tables.interfaces.clone(),
            domain: Arc::clone(&tables.domain),
            cores: config.cores.clone(),
            queues: queues.clone(),
            backend,
            eal: eal.clone(),
            baselines: Baselines::default(),
            capture: Capture::default(),
            trace: Trace::default(),
            rates: Rates::default(),
        };
        let socket = ControlSocket::bind(&config.control.socket, desk)?;
        let numbers = numbers(&tables, &report, &ports, backend);
        let metrics = serve_metrics(config, &numbers)?;
        let telemetry = telemetry::serve(&eal, numbers)?;
        let threads = starter.start(seats, layout)?;
        report.facts(config, &eal, &ports, &queues);
        tracing::info!("{}", cipher_fact(backend));
        for (interface, tunnel) in tables.interfaces.iter().zip(&tables.shared.tunnels) {
            let ports = tunnel.listen_ports();
            let (s, ports) = (if ports.len() > 1 { "s" } else { "" }, ports.iter().map(ToString::to_string));
            let (ports, peers) = (ports.collect::<Vec<_>>().join(", "), interface.peers());
            tracing::info!(interface = tunnel.name, "{}: listens on UDP port{s} {ports}, {peers} peers", tunnel.name);
        }
        if let Some(server) = &metrics {
            tracing::info!("metrics: http://{}/metrics", server.address());
        }
        tracing::info!("started in {:.1} s", began.elapsed().as_secs_f64());
        let watchdog = watch(config, &report, &tables)?;
        let handover = config.control.keep_sessions.then(|| Handover::new(&tables));
        let Tables { interfaces, writer, .. } = tables;
        Ok(Self {
            uapi,
            socket,
            metrics,
            telemetry,
            interfaces,
            writer,
            stop,
            threads,
            watchdog,
            report,
            reloader,
            handover,
            ports,
            _eal: eal,
        })
    }

    /// Makes it what its files say, as `culvert reload` does, and logs what changed or why nothing did. Peers that came by a socket go. May
    /// block; main thread.
    pub fn reload(&self) {
        if let Err(error) = self.reloader.reload_in_turn() {
            tracing::error!("reload: nothing has changed: {error}");
        }
    }

    /// What it does, in a few words: `forwarding: 2 ports, 1000 peers`.
    pub fn status(&self) -> String {
        status(self.ports.len(), &self.interfaces)
    }

    /// What it counts.
    pub fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// Where Prometheus may ask, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// Takes it down: no more packets are received, those inside are worked off or dropped by name, all is freed.
    /// Returns whether every packet is accounted for and the pool is full again.
    pub fn stop(self) -> bool {
        let Self {
            uapi,
            socket,
            metrics,
            telemetry,
            interfaces,
            writer,
            stop,
            threads,
            watchdog,
            report,
            reloader,
            handover,
            ports,
            _eal,
        } = self;
        uapi.iter().for_each(UapiServer::shutdown);
        drop((uapi, socket, metrics, telemetry, reloader));
        stop.drain();
        if let Some(handover) = handover {
            handover.keep(|| report.is_worked_off());
        }
        interfaces.iter().for_each(|interface| interface.clear());
        let deadline = Instant::now() + DRAIN;
        let mut quiet = 0;
        while quiet < 3 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            let still = writer.poll() == 0 && report.is_drained();
            quiet = if still { quiet + 1 } else { 0 };
        }
        drop(watchdog);
        stop.exit();
        threads.join();
        drop((interfaces, writer));
        drop(ports);
        report.farewell()
    }
}

fn open_key_log(path: &Path) -> Result<KeyLog, StartError> {
    let log = KeyLog::open(path).map_err(|error| StartError::KeyLog { path: path.into(), error })?;
    tracing::warn!("the key log is on: whoever reads {} reads all that the tunnels carry", path.display());
    Ok(log)
}

/// What the files of an interface say.
#[derive(Debug)]
struct Reading {
    /// The private key, the port and the peers, as one change.
    changes: ChangeSet,
    warnings: Vec<Warning>,
    /// The peers file as it was read.
    stamp: Option<Stamp>,
}

impl Reading {
    fn of(config: &Config, interface: &InterfaceConfig) -> Result<Self, ConfigError> {
        let key = config.private_key(interface)?;
        let ParsedPeers { mut changes, warnings, stamp } = match &interface.peers_file {
            Some(file) => config::peers_file::load(file)?,
            None => ParsedPeers::default(),
        };
        changes.private_key = Some(key);
        if changes.listen_port.is_none() {
            changes.listen_port = interface.listen_ports.first().copied();
        }
        Ok(Self { changes, warnings, stamp })
    }
}

/// Gives each interface its key and its peers.
fn apply(config: &Config, tables: &Tables, changes: Vec<ChangeSet>) -> Result<(), StartError> {
    let all: usize = changes.iter().map(|change| change.peers.len()).sum();
    let (mut done, mut told) = (0_usize, Instant::now());
    let tell = |done: usize| systemd::starting(&format!("loading peers {done}/{all}"));
    tell(0);
    for ((interface, c), change) in tables.interfaces.iter().zip(&config.interfaces).zip(changes) {
        let applied = interface.apply_counting(change, &mut || {
            done += 1;
            if done.is_multiple_of(PEERS_BETWEEN) && told.elapsed() >= TOLD_EVERY {
                tell(done);
                told = Instant::now();
            }
        });
        applied.map_err(|error| {
            let line = if let ChangeError::PrefixTaken { line, .. } = error { line } else { 0 };
            StartError::Peers { file: c.peers_file.clone().unwrap_or_default(), line, error }
        })?;
    }
    Ok(())
}

fn status(ports: usize, interfaces: &[Arc<Interface<Pool>>]) -> String {
    let peers: usize = interfaces.iter().map(|interface| interface.peers()).sum();
    let s = |n: usize| if n == 1 { "" } else { "s" };
    format!("forwarding: {ports} port{}, {peers} peer{}", s(ports), s(peers))
}

/// The watchdog, if systemd has one for us. All threads run.
fn watch(config: &Config, report: &Report, tables: &Tables) -> Result<Option<Watchdog>, StartError> {
    let Some(period) = systemd::watchdog() else { return Ok(None) };
    let (ports, interfaces) = (config.ports.len(), tables.interfaces.clone());
    let tell = move |alive: Result<(), &str>| match alive {
        Ok(()) => systemd::status(true, &status(ports, &interfaces)),
        Err(what) => systemd::status(false, what),
    };
    let watchdog = Watchdog::start(period, config.cores.control, report.all_counters(), tell);
    watchdog.map(Some).map_err(|error| StartError::Thread { name: "watchdog".to_owned(), error })
}

/// The `wg` sockets.
fn bind(config: &Config, tables: &Tables) -> Result<Vec<UapiServer>, StartError> {
    let bind = |(interface, c): (&Arc<Interface<Pool>>, &InterfaceConfig)| {
        let device = Arc::new(WgDevice(Arc::clone(interface)));
        Ok(UapiServer::bind(&config.control.uapi_dir, &c.name, device)?)
    };
    tables.interfaces.iter().zip(&config.interfaces).map(bind).collect()
}

/// What metrics and telemetry read.
fn numbers(tables: &Tables, report: &Arc<Report>, ports: &Arc<Vec<Port>>, backend: Backend) -> Arc<Numbers> {
    Arc::new(Numbers {
        report: Arc::clone(report),
        shared: Arc::clone(&tables.shared),
        context: Arc::clone(&tables.context),
        domain: Arc::clone(&tables.domain),
        ports: Arc::clone(ports),
        backend: backend.name(),
        dpdk: crate::dpdk::version(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    })
}

/// The metrics, unless they are off.
fn serve_metrics(config: &Config, numbers: &Arc<Numbers>) -> Result<Option<MetricsServer>, StartError> {
    let Some(listen) = config.metrics.listen else { return Ok(None) };
    let most = config.metrics.per_peer_max as usize;
    let server = MetricsServer::start(listen, config.cores.control, Arc::clone(numbers) as _, most);
    server.map(Some).map_err(|error| StartError::Metrics { listen, error })
}

/// The cipher backend.
fn backend(config: &Config) -> Result<Backend, StartError> {
    // It computes its known answers before it is chosen.
    Ok(Backend::choose(config.crypto.backend.word())?)
}

/// The line about the cipher: which, and why no faster one where the machine is the reason.
fn cipher_fact(backend: Backend) -> String {
    let cpu = CpuFeatures::detect();
    let faster = Backend::ALL.into_iter().take_while(|faster| *faster != backend);
    let lacks = faster.filter_map(|faster| faster.lack_on(cpu).map(|lack| format!("; not {}: {lack}", faster.name())));
    format!("cipher: {}, known answers checked{}", backend.name(), lacks.collect::<String>())
}
