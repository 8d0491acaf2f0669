//! The gateway: arguments, signals and exit codes only. 0 stopped cleanly, 1 packets unaccounted for, 2 it cannot start.

use clap::Parser;
use culvert::cli::GatewayArguments;
use culvert::config::{self, Config, ConfigError, Machine};
use culvert::dpdk::HugePageHeap;
use culvert::gateway::{Gateway, StartError, logs};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static HEAP: HugePageHeap = HugePageHeap::new();

fn main() -> ExitCode {
    let arguments = GatewayArguments::parse();
    match run(&arguments.config, arguments.key_log.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("culvertd: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the gateway until a signal ends it. Returns whether every packet was accounted for.
fn run(file: &Path, key_log: Option<&Path>) -> Result<bool, StartError> {
    let config = load(file)?;
    // Caught from here on, so that a signal during the start ends it cleanly.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(StartError::Signals)?;
    let gateway = Gateway::start(&config, key_log)?;
    let _without_systemd = sd_notify::notify(&[NotifyState::Ready]);
    tracing::info!("READY");
    for signal in signals.forever() {
        if signal != SIGHUP {
            tracing::info!("signal {signal}: draining");
            break;
        }
        reload(&gateway);
    }
    let _without_systemd = sd_notify::notify(&[NotifyState::Stopping]);
    Ok(gateway.stop())
}

/// Tells systemd (`Type=notify-reload`) when it begins and when it is over.
fn reload(gateway: &Gateway) {
    let now = NotifyState::monotonic_usec_now();
    let _without_systemd = now.and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]));
    gateway.reload();
    let _without_systemd = sd_notify::notify(&[NotifyState::Ready]);
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
