//! The command table: all that culvert understands, as data. Parser, completion, help, man page and reference come from it.

mod changes;
mod control;
mod health;
mod machine;
mod packets;
mod peers;
mod pmd;
mod ports;
mod reload;

use super::front::{Failure, Settings};
use super::parse::{Given, Grammar};
use super::render::Part;
use crate::api::{LabRequest, Request};
use serde_json::Value;
use std::io::Write;
use std::sync::OnceLock;

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    /// Its words and arguments (see `pattern`).
    pub(super) usage: &'static str,
    /// Where the help lists it.
    pub(super) section: Section,
    /// What it does, in one line.
    pub(super) help: &'static str,
    /// What else there is to know; may be empty.
    pub(super) more: &'static str,
    /// Who does it.
    pub(super) action: Action,
}

/// Who does a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// The gateway, which is asked this and whose answer is shown so.
    Ask(fn(&Given) -> Request, Answer),
    /// The same, if the request can be made: it may need a file.
    Send(fn(&Given) -> Result<Request, Failure>, Answer),
    /// The lab of this process (`culvert pmd`), in the same way; without one it says so.
    Order(fn(&Given) -> LabRequest, Answer),
    /// This process, without any gateway.
    Local(fn(&Given, &Settings, &mut dyn Write) -> Result<(), Failure>),
    /// The same, and it goes on by itself until it is ended: `--watch` says how often it looks.
    Follow(fn(&Settings, &mut dyn Write) -> Result<(), Failure>),
}

/// How an answer is shown. Either way its JSON has these keys: `rows[].name` is `name` in each of the list `rows`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// By parts and columns; then the keys that only JSON has.
    Parts(&'static [Part], &'static [&'static str]),
    /// By words of its own.
    Text(fn(&Value) -> String, &'static [&'static str]),
    /// It says nothing, but is done.
    Silent(&'static [&'static str]),
}

/// Where the help lists a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Ports and forwarding.
    Ports,
    /// Interfaces and peers.
    Peers,
    /// What each core, queue and pool does, and why packets were dropped.
    Health,
    /// Forwarding without a gateway.
    Pmd,
    /// Packets themselves.
    Packets,
    /// What needs no gateway.
    Machine,
    /// Changes to a running gateway, and the shell.
    Control,
}

impl Section {
    /// All, in the order of the help.
    pub(super) const ALL: [Self; 7] =
        [Self::Ports, Self::Pmd, Self::Peers, Self::Health, Self::Packets, Self::Machine, Self::Control];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Pmd => "pmd",
            Self::Peers => "peers",
            Self::Health => "health",
            Self::Packets => "packets",
            Self::Machine => "machine",
            Self::Control => "control",
        }
    }

    /// What stands there.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Ports => "Ports and forwarding, in testpmd's words",
            Self::Pmd => "Ports brought up and proven without a gateway, as with DPDK's testpmd: culvert pmd",
            Self::Peers => "WireGuard interfaces, peers, handshakes and lookups",
            Self::Health => "What cores, queues and pools do, and why packets were dropped",
            Self::Packets => "Packets themselves: which way they went, and what was in them",
            Self::Machine => "What needs no gateway: this machine and its files",
            Self::Control => "Settings of a running gateway, this shell, and help",
        }
    }
}

/// All commands, by section.
pub(super) static COMMANDS: &[&[Command]] = &[
    ports::COMMANDS,
    pmd::COMMANDS,
    peers::COMMANDS,
    changes::COMMANDS,
    health::COMMANDS,
    packets::COMMANDS,
    machine::COMMANDS,
    reload::COMMANDS,
    control::COMMANDS,
];

/// The table, ready to parse.
pub(super) fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(|| Grammar::of(COMMANDS))
}

impl Answer {
    /// The paths of its JSON's keys.
    pub(super) fn keys(self) -> Vec<String> {
        let (parts, more): (&[Part], _) = match self {
            Self::Parts(parts, more) => (parts, more),
            Self::Text(_, keys) | Self::Silent(keys) => (&[], keys),
        };
        let of_part = |part: &Part| {
            let key = part.key;
            let rows = if part.rows { "[]" } else { "" };
            part.columns.iter().map(|column| format!("{key}{rows}.{}", column.key)).collect::<Vec<_>>()
        };
        parts.iter().flat_map(of_part).chain(more.iter().map(|key| (*key).to_owned())).collect()
    }
}

#[cfg(test)]
mod tests;
