//! The gateway: arguments, signals and exit codes only. 0 stopped cleanly, 1 packets unaccounted for, 2 it cannot start.

use clap::Parser;
use culvert::cli::GatewayArguments;
use culvert::config::{self, Config, ConfigError, Machine};
use culvert::dpdk::HugePageHeap;
use culvert::gateway::{Gateway, Launch, RunAs, StartError, forbid_dumps, logs, systemd};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static HEAP: HugePageHeap = HugePageHeap::new();

fn main() -> ExitCode {
    let arguments = GatewayArguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("culvertd: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the gateway until a signal ends it. Returns whether every packet was accounted for.
fn run(arguments: &GatewayArguments) -> Result<bool, StartError> {
    let config = load(&arguments.config)?;
    forbid_dumps();
    // Caught from here on, so that a signal during the start ends it cleanly.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(StartError::Signals)?;
    let run_as = arguments.user.clone().map_or(RunAs::Usual, RunAs::Named);
    let gateway = Gateway::start(&config, Launch { key_log: arguments.key_log.as_deref(), run_as: &run_as })?;
    systemd::ready(&gateway.status());
    tracing::info!("READY");
    for signal in signals.forever() {
        if signal != SIGHUP {
            tracing::info!("signal {signal}: draining");
            break;
        }
        reload(&gateway);
    }
    systemd::stopping();
    Ok(gateway.stop())
}

/// Tells systemd (`Type=notify-reload`) when it begins and when it is over.
fn reload(gateway: &Gateway) {
    systemd::reloading();
    gateway.reload();
    systemd::ready(&gateway.status());
}

/// Reads and checks the configuration, and sets the log up by it; warnings are logged.
fn load(file: &Path) -> Result<Config, ConfigError> {
    let config = config::load(file, config::environment())?;
    logs::init(config.log.format);
    // Before the EAL, which cuts the cores that this thread may run on to one.
    let warnings = config.check(&Machine::read())?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(config)
}
