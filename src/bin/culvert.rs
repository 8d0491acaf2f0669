//! The CLI: arguments and exit codes only. 0 done, 1 failed, 2 usage, 3 no gateway.

use clap::{Parser, Subcommand};
use culvert::cli::{self, AskError, Table};
use culvert::doctor;
use std::path::PathBuf;
use std::process::ExitCode;

/// Asks a running culvertd.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// The gateway's [control] socket.
    #[arg(long, default_value = "/run/culvert/culvert.sock", global = true)]
    socket: PathBuf,
    /// The whole answer as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows one table.
    Show {
        /// Which.
        table: Table,
    },
    /// Changes a running gateway until it ends.
    #[command(subcommand)]
    Set(Setting),
    /// Shows a gateway at work, with clients, on this machine alone: network namespaces, removed at the end. Root only.
    Demo,
    /// Says what of this machine helps or hinders a gateway, and what mends it.
    Doctor {
        /// Check by this configuration [default: /etc/culvert/culvert.toml, if it is there].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Take the steps that are safe without a reboot, and check again.
        #[arg(long)]
        fix: bool,
        /// Only what is not well.
        #[arg(long)]
        quiet: bool,
    },
    /// Writes a first configuration from what it finds, and binds nothing. FILL-IN marks what is for you to say.
    Setup(Setup),
    /// Makes an [[interface]], a peers file and a key file of a wg-quick file, and says what has no place here.
    Import {
        /// The file, such as /etc/wireguard/wg0.conf.
        file: PathBuf,
        /// The interface's name, if not the file's.
        #[arg(long)]
        name: Option<String>,
        /// The folder to write to, if not this one.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Look the names of endpoints up, once: culvertd never does.
        #[arg(long)]
        resolve: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Setup {
    /// The file to write, if it is not to be printed. Nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The device that tunnels come in by: a PCI address, an interface of the kernel's, or a vdev.
    #[arg(long, value_name = "DEVICE")]
    outer: Option<String>,
    /// The device of the plain packets.
    #[arg(long, value_name = "DEVICE")]
    inner: Option<String>,
    /// The gateway's address on the outer side, with its subnet's length; may come twice.
    #[arg(long, value_name = "ADDRESS/LEN")]
    outer_address: Vec<ipnet::IpNet>,
    /// The same on the inner side.
    #[arg(long, value_name = "ADDRESS/LEN")]
    inner_address: Vec<ipnet::IpNet>,
    /// The router on the outer side; may come once a family.
    #[arg(long, value_name = "ADDRESS")]
    router: Vec<std::net::IpAddr>,
    /// Make the private key too, beside the file.
    #[arg(long)]
    make_key: bool,
}

impl From<Setup> for doctor::SetupOptions {
    fn from(given: Setup) -> Self {
        let Setup { output, outer, inner, outer_address, inner_address, router, make_key } = given;
        Self {
            output,
            outer,
            inner,
            outer_addresses: outer_address,
            inner_addresses: inner_address,
            routers: router,
            make_key,
        }
    }
}

/// The exit code of what failed with a sentence, or did not.
fn told<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("culvert: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Subcommand)]
enum Setting {
    /// Whether data cores count their cycles by stage, for `culvert show cycles`.
    RecordCoreCycles {
        /// On or off.
        switch: Switch,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout();
    let (request, table) = match arguments.command {
        Command::Show { table } => ("show", Some(table)),
        Command::Set(Setting::RecordCoreCycles { switch: Switch::On }) => ("set record-core-cycles on", None),
        Command::Set(Setting::RecordCoreCycles { switch: Switch::Off }) => ("set record-core-cycles off", None),
        Command::Demo if cli::demo(&mut std::io::stdout()) => return ExitCode::SUCCESS,
        Command::Demo => return ExitCode::FAILURE,
        Command::Doctor { config, fix, quiet } => {
            let options = doctor::Options { config, json: arguments.json, fix, quiet };
            let well = doctor::run(&doctor::System::live(), &options, &mut out);
            // Who reads no more has had enough.
            return if matches!(well, Ok(true)) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Command::Setup(given) => return told(doctor::setup(&doctor::System::live(), &given.into(), &mut out)),
        Command::Import { file, name, output, resolve } => {
            return told(doctor::import(&doctor::ImportOptions { file, name, output, resolve }, &mut out));
        }
    };
    let answer = match cli::ask(&arguments.socket, request) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("culvert: {error}");
            return ExitCode::from(if matches!(error, AskError::NoGateway { .. }) { 3 } else { 1 });
        }
    };
    let Some(table) = table else { return ExitCode::SUCCESS };
    match cli::print(&answer, table, arguments.json, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("culvert: {error}");
            ExitCode::FAILURE
        }
    }
}
