//! What needs no gateway: this machine and its files.

use super::{Action, Command, Section};
use crate::cli::config_check;
use crate::cli::front::{Failure, Outcome, Settings};
use crate::cli::parse::Given;
use crate::doctor::{self, ImportOptions, Options, SetupOptions, System};
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

/// What was said already.
fn failed() -> Failure {
    Failure(Outcome::Failed, String::new())
}

fn told(error: &impl Display) -> Failure {
    Failure(Outcome::Failed, error.to_string())
}

fn doctor(given: &Given, settings: &Settings, mut out: &mut dyn Write) -> Result<(), Failure> {
    let options = Options {
        // Its findings name other files by it, too.
        config: given.after("--config").map(|file| std::path::absolute(file).unwrap_or_else(|_| file.into())),
        json: settings.json,
        fix: given.has("--fix"),
        quiet: given.has("--quiet"),
        fatal_only: given.has("--fatal-only"),
    };
    let well = doctor::run(&System::live(), &options, &mut out)?;
    if well { Ok(()) } else { Err(failed()) }
}

fn setup(given: &Given, _: &Settings, mut out: &mut dyn Write) -> Result<(), Failure> {
    // The pattern has held them against their kind.
    let subnets = |word| given.all_after(word).filter_map(|text| text.parse().ok()).collect();
    let options = SetupOptions {
        output: given.after("--output").map(PathBuf::from),
        outer: given.after("--outer").map(str::to_owned),
        inner: given.after("--inner").map(str::to_owned),
        outer_addresses: subnets("--outer-address"),
        inner_addresses: subnets("--inner-address"),
        routers: given.all_after("--router").filter_map(|text| text.parse().ok()).collect(),
        make_key: given.has("--make-key"),
    };
    doctor::setup(&System::live(), &options, &mut out).map_err(|error| told(&error))
}

fn import(given: &Given, _: &Settings, mut out: &mut dyn Write) -> Result<(), Failure> {
    let options = ImportOptions {
        file: PathBuf::from(given.get("FILE").unwrap_or_default()),
        name: given.after("--name").map(str::to_owned),
        output: given.after("--output").map(PathBuf::from),
        resolve: given.has("--resolve"),
    };
    doctor::import(&options, &mut out).map_err(|error| told(&error))
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "doctor [--config FILE] [--fix] [--quiet] [--fatal-only]",
        section: Section::Machine,
        help: "what of this machine helps or hinders a gateway, and what mends it",
        more: "By /etc/culvert/culvert.toml, if it is there and no other is named. --fix takes the steps that are safe without a reboot, and \
               checks again; --quiet lists only what is not well, --fatal-only what keeps a gateway from running: nothing where nothing does, \
               for systemd's ExecStartPre= or ExecCondition=. Exit code 0: nothing fails; 1: something does.",
        action: Action::Local(doctor),
    },
    Command {
        usage: "setup [--output FILE] [--outer DEVICE] [--inner DEVICE] [--outer-address SUBNET]... [--inner-address SUBNET]... \
                [--router ADDRESS]... [--make-key]",
        section: Section::Machine,
        help: "writes a first configuration from what it finds, and binds nothing",
        more: "FILL-IN marks what is for you to say. Without --output it is printed; nothing is overwritten. Outer is where tunnels come \
               in by, inner where plain packets are. --make-key makes the private key too, beside the file.",
        action: Action::Local(setup),
    },
    Command {
        usage: "import FILE [--name INTERFACE] [--output FOLDER] [--resolve]",
        section: Section::Machine,
        help: "makes an interface, a peers file and a key file of a wg-quick file",
        more: "It says what has no place here. --resolve looks the names of endpoints up, once: culvertd never does.",
        action: Action::Local(import),
    },
    Command {
        usage: "config check FILE",
        section: Section::Machine,
        help: "whether culvertd would take this configuration, its peers files and keys",
        more: "With `conf.d` beside it and CULVERT__SECTION__KEY variables, as culvertd reads it; nothing is started.",
        action: Action::Local(|given, settings, out| {
            config_check::check(given.get("FILE").unwrap_or_default(), settings, out)
        }),
    },
    Command {
        usage: "demo",
        section: Section::Machine,
        help: "a gateway at work, with clients, on this machine alone",
        more: "In network namespaces, which are removed at the end. Root only.",
        // What failed stands in its last line.
        action: Action::Local(|_, _, mut out| if crate::cli::demo(&mut out) { Ok(()) } else { Err(failed()) }),
    },
];
