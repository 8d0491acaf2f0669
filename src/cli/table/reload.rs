//! What runs against what its files say.

use super::{Action, Answer, Command, Section};
use crate::api::Request;
use crate::cli::render::{Part, Unit, column, one, rows};
use std::path::PathBuf;

const DIFFERENCE: Part = one(
    "difference",
    &[
        column("added", "peers added", Unit::Count),
        column("changed", "changed", Unit::Count),
        column("removed", "removed", Unit::Count),
        column("removed_by_socket", "of these came by a socket", Unit::Count),
        column("kept", "kept, in no file", Unit::Count),
        column("unchanged", "as they were", Unit::Count),
        column("shown", "shown", Unit::Count),
    ],
);

const PEERS: Part = rows(
    "peers",
    &[
        column("becomes", "peer", Unit::Text),
        column("interface", "interface", Unit::Text),
        column("name", "name", Unit::Text),
        column("public_key", "public key", Unit::Text),
        column("what", "what", Unit::List),
    ],
)
.titled("peers")
.or("No peer differs.");

const SETTINGS: Part = rows(
    "settings",
    &[
        column("setting", "setting", Unit::Text),
        column("was", "is", Unit::Text),
        column("now", "is to be", Unit::Text),
        column("when", "when", Unit::Text),
    ],
)
.titled("settings")
.or("No setting differs.");

const WARNINGS: Part = rows("warnings", &[column("warning", "warnings", Unit::Text)]);

/// From the root on: the gateway has another working directory.
fn from_root(file: &str) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file))
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "peers save [FILE] [interface INTERFACE] [--force]",
        section: Section::Peers,
        help: "writes the running peers back into their peers file, at once and whole",
        more: "What stands there of peers that are so stays as it is, comments included; endpoints are those of now. A file that somebody has \
               written since it was read is only overwritten with --force. FILE lies beside the gateway's own files, and is \
               called FILE.conf or as they are.",
        action: Action::Ask(
            |given| Request::PeersSave {
                file: given.get("FILE").map(from_root),
                interface: given.after("interface").map(str::to_owned),
                force: given.has("--force"),
            },
            Answer::Parts(
                &[rows(
                    "saved",
                    &[
                        column("interface", "interface", Unit::Text),
                        column("file", "file", Unit::Text),
                        column("peers", "peers", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "config diff [FILE]",
        section: Section::Control,
        help: "what a reload would change: peers and settings of the files against those that run",
        more: "By culvertd's own configuration, or FILE as it would read it. 1000 peers are listed at most, those that would go first. Nothing \
               is changed.",
        action: Action::Ask(
            |given| Request::ConfigDiff { file: given.get("FILE").map(from_root) },
            Answer::Parts(&[PEERS, SETTINGS, WARNINGS, DIFFERENCE], &[]),
        ),
    },
    Command {
        usage: "reload [--keep]",
        section: Section::Control,
        help: "makes the running gateway what its files say: peers, keys, first listen ports",
        more: "As SIGHUP does. It says what differed. Peers that are alike keep their sessions and lose no packet; where a peer has roamed to is no \
               difference. Peers that came by a socket go, and are named; --keep keeps them. Settings that need a restart are named, and stay. With \
               an error in any file nothing changes. A prefix or a port moves from one interface to another by two reloads: one without it, one with it.",
        action: Action::Ask(
            |given| Request::Reload { keep: given.has("--keep") },
            Answer::Parts(
                &[
                    PEERS,
                    SETTINGS,
                    WARNINGS,
                    DIFFERENCE,
                    one(
                        "reload",
                        &[column("done", "reloaded", Unit::Flag), column("took_ms", "took, ms", Unit::Count)],
                    ),
                ],
                &[],
            ),
        ),
    },
];
