//! Settings of a running gateway, the shell, and help.

use super::{Action, Answer, Command, Section};
use crate::api::Request;
use crate::cli::front::{Failure, Outcome};
use crate::cli::{batch, complete, docs, help, manual};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "set record-core-cycles on|off",
        section: Section::Control,
        help: "whether data cores count their cycles by stage, for `show cycles` and `show cores`",
        more: "It costs a few cycles a burst. Until the gateway ends.",
        action: Action::Ask(
            |given| Request::SetRecordCoreCycles { on: given.has("on") },
            Answer::Silent(&["record-core-cycles"]),
        ),
    },
    Command {
        usage: "set log off|error|warn|info|debug|trace",
        section: Section::Control,
        help: "what a running gateway logs from now on",
        more: "Until the gateway ends; CULVERT_LOG says what it starts with.",
        action: Action::Ask(
            |given| {
                let level = ["off", "error", "warn", "debug", "trace"].into_iter().find(|level| given.has(level));
                Request::SetLog { level: level.unwrap_or("info").to_owned() }
            },
            Answer::Silent(&["log"]),
        ),
    },
    Command {
        usage: "help [SECTION]...",
        section: Section::Control,
        help: "the sections; the commands of one; or all about a command",
        more: "In the shell `?` after any beginning lists what may come next, and Tab completes it.",
        action: Action::Local(|given, _, out| help::help(given, out)),
    },
    Command {
        usage: "load FILE",
        section: Section::Control,
        help: "does the commands of a file, a line each",
        more: "Ends at the first that fails. `culvert -f FILE` does the same, and goes on unless `-e` is there.",
        action: Action::Local(|given, settings, out| batch::load(given.get("FILE").unwrap_or_default(), settings, out)),
    },
    Command {
        usage: "quit",
        section: Section::Control,
        help: "leaves the shell; the gateway goes on",
        more: "",
        action: Action::Local(|_, _, _| Err(Failure(Outcome::Quit, String::new()))),
    },
    Command {
        usage: "completions SHELL",
        section: Section::Control,
        help: "what a shell has to read to complete culvert's commands",
        more: "bash: eval \"$(culvert completions bash)\"; zsh the same; fish: culvert completions fish | source",
        action: Action::Local(|given, _, out| docs::completions(given.get("SHELL").unwrap_or_default(), out)),
    },
    Command {
        usage: "man [culvertd|culvert.toml]",
        section: Section::Control,
        help: "a manual page, in troff: culvert man | man -l -",
        more: "Its own, culvertd(8) or culvert.toml(5).",
        action: Action::Local(|given, _, out| match (given.has("culvertd"), given.has("culvert.toml")) {
            (true, _) => manual::culvertd(out),
            (_, true) => manual::configuration(out),
            _ => docs::man(out),
        }),
    },
    Command {
        usage: "complete [WORD]...",
        section: Section::Control,
        help: "what may stand in place of the last word, a line each: for shells",
        more: "What it says of a candidate stands behind a tab.",
        action: Action::Local(|given, settings, out| complete::print(given, settings, out)),
    },
];
