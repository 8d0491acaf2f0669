//! Assembles a gateway: configuration → EAL → ports → pool → tables → peers → threads; and takes it down in reverse.

mod error;
mod plan;
mod report;
mod socket;
mod tables;
mod threads;

pub use error::StartError;
pub use report::Report;

use crate::aead::Backend;
use crate::config::{self, Config, Interface as InterfaceConfig};
use crate::control::change::ChangeSet;
use crate::control::interface::{Interface, WgDevice};
use crate::control::uapi::UapiServer;
use crate::datapath::Stop;
use crate::dpdk::{Eal, Pool, Port};
use crate::queue::sync::Arc;
use plan::Plan;
use socket::ControlSocket;
use std::time::{Duration, Instant};
use tables::Tables;
use threads::{Starter, Threads};

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(5);

/// A gateway that runs. Call [`Gateway::stop`] to take it down.
#[derive(Debug)]
pub struct Gateway {
    uapi: UapiServer,
    socket: ControlSocket,
    interface: Arc<Interface<Pool>>,
    stop: Arc<Stop>,
    threads: Threads,
    report: Arc<Report>,
    /// Closed after the threads gave their queues back.
    ports: Vec<Port>,
    _eal: Eal,
}

impl Gateway {
    /// Builds and starts a gateway of a checked configuration; returns when packets flow. Main thread.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::build(config, None)
    }

    /// The same on an EAL that runs already, for harnesses whose ports are memory wires. Main thread.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn start_on(eal: &Eal, config: &Config) -> Result<Self, StartError> {
        Self::build(config, Some(eal.clone()))
    }

    fn build(config: &Config, eal: Option<Eal>) -> Result<Self, StartError> {
        let began = Instant::now();
        let interface = config.interfaces.first().ok_or(StartError::NoInterface)?;
        let name = interface.name.as_str();
        // All that can be wrong in files is found before anything is touched.
        let changes = changes(config, interface)?;
        let backend = backend(config)?;
        let plan = Plan::new(config)?;

        let eal = match eal {
            Some(eal) => eal,
            None => Eal::init(&plan.eal_options(config)?)?,
        };
        let mut ports = plan.open_ports(config, &eal)?;
        let pool = Pool::create(&eal, &plan.pool_options(config, &ports))?;
        let layout = plan.configure(config, &mut ports, &pool)?;

        let (tables, seats) = Tables::new(config, interface, &ports, &pool, &plan)?;
        tables
            .interface
            .apply(changes)
            .map_err(|error| StartError::Peers { file: interface.peers_file.clone().unwrap_or_default(), error })?;
        let device = Arc::new(WgDevice(Arc::clone(&tables.interface)));
        let uapi = UapiServer::bind(&config.control.uapi_dir, &interface.name, device)?;
        let stop = Arc::new(Stop::default());
        let report = Arc::new(Report::new(&tables, &pool));
        let starter =
            Starter { config, plan: &plan, eal: &eal, tables: &tables, stop: &stop, report: &report, backend };
        let socket = ControlSocket::bind(&config.control.socket, Arc::clone(&report))?;
        let queues = layout.lines(&plan, config);
        let threads = starter.start(seats, layout)?;
        let interface = Arc::clone(&tables.interface);
        report.facts(config, &eal, &ports, &queues);
        tracing::info!("cipher: {}, known answers checked", backend.name());
        let (port, peers) = (tables.shared.tunnel.listen_port(), interface.peers());
        tracing::info!("{name}: listens on UDP port {port}, {peers} peers");
        tracing::info!("started in {:.1} s", began.elapsed().as_secs_f64());
        Ok(Self { uapi, socket, interface, stop, threads, report, ports, _eal: eal })
    }

    /// What it counts.
    pub fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// Takes it down: no more packets are received, those inside are worked off or dropped by name, all is freed.
    /// Returns whether every packet is accounted for and the pool is full again.
    pub fn stop(self) -> bool {
        let Self { uapi, socket, interface, stop, threads, report, ports, _eal } = self;
        uapi.shutdown();
        drop((uapi, socket));
        stop.drain();
        interface.clear();
        let deadline = Instant::now() + DRAIN;
        let mut quiet = 0;
        while quiet < 3 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            let still = interface.poll() == 0 && report.is_drained();
            quiet = if still { quiet + 1 } else { 0 };
        }
        stop.exit();
        threads.join();
        drop(interface);
        drop(ports);
        report.farewell()
    }
}

/// The private key, the port and the peers of an interface, as one change.
fn changes(config: &Config, interface: &InterfaceConfig) -> Result<ChangeSet, StartError> {
    let key = config.private_key(interface)?;
    let mut changes = match &interface.peers_file {
        Some(file) => {
            let parsed = config::peers_file::load(file)?;
            parsed.warnings.iter().for_each(|w| tracing::warn!("{w}"));
            parsed.changes
        }
        None => ChangeSet::default(),
    };
    changes.private_key = Some(key);
    if changes.listen_port.is_none() {
        changes.listen_port = interface.listen_ports.first().copied();
    }
    Ok(changes)
}

/// The cipher backend.
fn backend(config: &Config) -> Result<Backend, StartError> {
    let name = match config.crypto.backend {
        config::Backend::Auto => "auto",
        config::Backend::Portable => "portable",
        config::Backend::IpsecMb => "ipsec-mb",
        config::Backend::Simd => "simd",
    };
    // It computes its known answers before it is chosen.
    Ok(Backend::choose(name)?)
}
