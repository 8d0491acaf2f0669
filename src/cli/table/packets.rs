//! Packets themselves, for those who want to look into them.

use super::{Action, Answer, Command, Section};
use crate::api::{CaptureOf, Request};
use crate::cli::parse::Given;
use crate::cli::render::{Part, Unit, column, one, rows};

const CAPTURE: &[Part] = &[one(
    "capture",
    &[
        column("state", "state", Unit::Text),
        column("what", "what", Unit::Text),
        column("file", "file", Unit::Text),
        column("packets", "packets", Unit::Count),
        column("bytes", "bytes of these", Unit::Count),
        column("lost", "lost for want of room", Unit::Count),
        column("limit", "packets, at most", Unit::Count),
        column("snap", "bytes of each, at most", Unit::Count),
        column("error", "error", Unit::Text),
    ],
)];

const TRACE: &[Part] = &[
    one(
        "trace",
        &[
            column("state", "state", Unit::Text),
            column("wanted", "packets wanted", Unit::Count),
            column("begun", "have come", Unit::Count),
            column("complete", "of which all is known", Unit::Count),
            column("lost", "steps lost for want of room", Unit::Count),
        ],
    ),
    rows(
        "steps",
        &[
            column("packet", "packet", Unit::Count),
            column("cycles", "cycles", Unit::Count),
            column("thread", "thread", Unit::Text),
            column("step", "step", Unit::Text),
            column("what", "what", Unit::Text),
        ],
    ),
];

fn number(given: &Given, word: &'static str) -> Option<u32> {
    given.after(word).and_then(|n| n.parse().ok())
}

fn start(given: &Given) -> Request {
    let of = [("inner", CaptureOf::Inner), ("outer", CaptureOf::Outer), ("drops", CaptureOf::Drops)];
    let file = given.get("FILE").unwrap_or_default();
    Request::CaptureStart {
        // It is told to others, who are somewhere else.
        file: std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.to_string_lossy().into_owned()),
        of: of.into_iter().find(|(word, _)| given.has(word)).map(|(_, of)| of),
        port: given.after("port").map(str::to_owned),
        peer: given.after("peer").map(str::to_owned),
        limit: number(given, "limit"),
        snap: number(given, "snap"),
    }
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "capture start FILE [inner|outer|drops] [port PORT] [peer PEER] [limit N] [snap N]",
        section: Section::Packets,
        help: "copies packets into a new pcapng file, for Wireshark or tshark",
        more: "`outer` are the frames of outer ports, as they come and go but without VLAN tags; `inner` the IP packets of tunnels, in the clear; \
               without either both. `drops` are packets that go no further, each with its reason as a comment. `port` is any port's frames. \
               `peer` is one peer's inner packets, its data messages and its handshakes: initiations and responses both ways, and the cookies that it \
               tells us; not those that it is told, since nobody knows yet whose initiation it was (`outer` has them). `limit` packets (10000), the first `snap` bytes of each (all). \
               Only root, culvertd's user and the socket's group may do so; the file belongs to who asks, and nobody else may read it. \
               Traffic never waits: what the writer is too slow for is counted as lost.",
        action: Action::Ask(start, Answer::Parts(CAPTURE, &[])),
    },
    Command {
        usage: "show capture",
        section: Section::Packets,
        help: "how far the capture is, or how the last one ended",
        more: "`none`, `running`, `done` (its limit is reached), `stopped`, `the peer is gone` or `failed`, with the error.",
        action: Action::Ask(|_| Request::ShowCapture, Answer::Parts(CAPTURE, &[])),
    },
    Command {
        usage: "capture stop",
        section: Section::Packets,
        help: "ends the capture; its file is complete then",
        more: "",
        action: Action::Ask(|_| Request::CaptureStop, Answer::Parts(CAPTURE, &[])),
    },
    Command {
        usage: "trace add N [peer PEER]",
        section: Section::Packets,
        help: "follows the next packets that come, through every stage",
        more: "Up to 1000, of all peers or of one; what was traced before is forgotten. It costs other packets a look each while it runs.",
        action: Action::Ask(
            |given| Request::TraceAdd {
                packets: given.get("N").and_then(|n| n.parse().ok()).unwrap_or(0),
                peer: given.after("peer").map(str::to_owned),
            },
            Answer::Silent(&["tracing"]),
        ),
    },
    Command {
        usage: "show trace",
        section: Section::Packets,
        help: "each traced packet's way: stages, verdicts, cycles since it came",
        more: "`state` is `none`, `running`, `done` or `the peer is gone`. A packet that is cut or told of goes on as another, which is not traced. Peers \
               are named as they were called when the packet came.",
        action: Action::Ask(|_| Request::ShowTrace, Answer::Parts(TRACE, &["steps[].reason"])),
    },
    Command {
        usage: "clear trace",
        section: Section::Packets,
        help: "forgets what was traced, and follows no packet any more",
        more: "",
        action: Action::Ask(|_| Request::ClearTrace, Answer::Silent(&["cleared"])),
    },
];
