//! The CLI: arguments and exit codes only. 0 done, 1 failed, 2 usage, 3 no gateway.

use clap::{Parser, Subcommand};
use culvert::cli::{self, AskError, Table};
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
    let (request, table) = match arguments.command {
        Command::Show { table } => ("show", Some(table)),
        Command::Set(Setting::RecordCoreCycles { switch: Switch::On }) => ("set record-core-cycles on", None),
        Command::Set(Setting::RecordCoreCycles { switch: Switch::Off }) => ("set record-core-cycles off", None),
        Command::Demo if cli::demo(&mut std::io::stdout()) => return ExitCode::SUCCESS,
        Command::Demo => return ExitCode::FAILURE,
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
