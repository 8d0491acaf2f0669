//! What cores, queues and pools do, and why packets were dropped.

use super::{Action, Answer, Command, Section};
use crate::api::Request;
use crate::cli::render::{Column, Unit, column, one, rows};
use crate::cli::{monitor, top};

const DROPS: &[Column] = &[
    column("reason", "reason", Unit::Text),
    column("packets", "packets", Unit::Count),
    column("where", "where", Unit::Text),
    column("hint", "hint", Unit::Text),
];

const CYCLES: &[Column] = &[
    column("core", "core", Unit::Text),
    column("stage", "stage", Unit::Text),
    column("cycles", "cycles", Unit::Count),
    column("packets", "packets", Unit::Count),
    column("units", "units", Unit::Count),
    column("a_packet", "cycles/packet", Unit::Count),
    column("a_unit", "packets/unit", Unit::Count),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "show account",
        section: Section::Health,
        help: "every packet by the door it left by",
        more: "rx + generated = tx + dropped + to control + queued, always; queued is what is under way.",
        action: Action::Ask(
            |_| Request::ShowAccount,
            Answer::Parts(
                &[one(
                    "account",
                    &[
                        column("rx", "rx", Unit::Count),
                        column("generated", "generated", Unit::Count),
                        column("tx", "tx", Unit::Count),
                        column("dropped", "dropped", Unit::Count),
                        column("to_control", "to control", Unit::Count),
                        column("queued", "queued", Unit::Count),
                        column("control_queued", "queued for control threads", Unit::Count),
                        column("staged", "waiting for a session or neighbour", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show drops [all]",
        section: Section::Health,
        help: "packets that went no further, by reason, and what mends it",
        more: "With `all` the reasons that dropped nothing too.",
        action: Action::Ask(
            |given| Request::ShowDrops { all: given.has("all") },
            Answer::Parts(&[rows("drops", DROPS).or("No packet was dropped.")], &[]),
        ),
    },
    Command {
        usage: "show cores",
        section: Section::Health,
        help: "what each data core does: turns, work, packets a burst",
        more: "`set record-core-cycles on` adds what the columns after `busy turns` need: the share of cycles that did work, packets a \
               received burst, and cycles a packet.",
        action: Action::Ask(
            |_| Request::ShowCores,
            Answer::Parts(
                &[rows(
                    "cores",
                    &[
                        column("core", "core", Unit::Text),
                        column("turns", "turns", Unit::Count),
                        column("busy", "busy turns", Unit::Count),
                        column("busy_share", "busy", Unit::Share),
                        column("a_burst", "packets/burst", Unit::Count),
                        column("a_packet", "cycles/packet", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show cycles",
        section: Section::Health,
        help: "cycles of each core by stage, while `set record-core-cycles on` holds",
        more: "A unit is a burst, a chain, a chunk or a batch: see the stages in src/ARCHITECTURE.md.",
        action: Action::Ask(|_| Request::ShowCycles, Answer::Parts(&[rows("cycles", CYCLES)], &[])),
    },
    Command {
        usage: "show mempool",
        section: Section::Health,
        help: "the packet pool",
        more: "What is neither free nor in a queue of the NIC is under way. An empty pool drops what comes.",
        action: Action::Ask(
            |_| Request::ShowMempool,
            Answer::Parts(
                &[one(
                    "pool",
                    &[
                        column("name", "name", Unit::Text),
                        column("size", "mbufs", Unit::Count),
                        column("available", "free", Unit::Count),
                        column("data_room", "bytes of an mbuf's data room", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show memory",
        section: Section::Health,
        help: "what memory culvert takes",
        more: "",
        action: Action::Ask(
            |_| Request::ShowMemory,
            Answer::Parts(
                &[one(
                    "memory",
                    &[
                        column("huge_pages", "packets lie in huge pages", Unit::Flag),
                        column("pool_bytes", "packet pool", Unit::Bytes),
                        column("resident_bytes", "resident, without huge pages", Unit::Bytes),
                        column("resident_peak_bytes", "the most it was", Unit::Bytes),
                        column("locked_bytes", "locked", Unit::Bytes),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show crypto",
        section: Section::Health,
        help: "which cipher backend seals and opens packets, and why no faster one",
        more: "The fastest stands first. The one in use computed its known answers at the start.",
        action: Action::Ask(
            |_| Request::ShowCrypto,
            Answer::Parts(
                &[rows(
                    "crypto",
                    &[
                        column("backend", "backend", Unit::Text),
                        column("in_use", "in use", Unit::Flag),
                        column("runs_here", "runs here", Unit::Flag),
                        column("lacks", "what is missing", Unit::Text),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show eal",
        section: Section::Health,
        help: "the version of DPDK, and the arguments that it was started with",
        more: "culvert makes them from the configuration; `memory.extra_eal_args` adds some.",
        action: Action::Ask(
            |_| Request::ShowEal,
            Answer::Parts(
                &[one(
                    "eal",
                    &[
                        column("version", "version", Unit::Text),
                        column("huge_pages", "huge pages", Unit::Flag),
                        column("arguments", "arguments", Unit::Words),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show events [limit N]",
        section: Section::Health,
        help: "the latest that happened: peers that came, moved or went, links, orders, warnings",
        more: "20 of them unless `limit` says more; the gateway keeps 1024. `event` is connected, roamed, silent, link, handshakes (those \
               that came to nothing, by reason, every 10 s at most), order (what somebody changed by the control socket), reload (by SIGHUP) or warning.",
        action: Action::Ask(
            |given| Request::ShowEvents { after: None, limit: given.after("limit").and_then(|n| n.parse().ok()) },
            Answer::Parts(
                &[rows("events", monitor::COLUMNS).or("Nothing happened yet.")],
                &[
                    "events[].number",
                    "events[].interface",
                    "events[].public_key",
                    "events[].endpoint",
                    "count.last",
                    "count.lost",
                ],
            ),
        ),
    },
    Command {
        usage: "monitor",
        section: Section::Health,
        help: "follows what happens from now on, a line each, until Ctrl-C",
        more: "The events of `show events`, with `--json` an object a line. A peer that moved is seen within 10 s. Who reads too slowly \
               is told how many events it lost ({\"lost\":N}), and that the gateway began anew ({\"anew\":true}).",
        action: Action::Follow(monitor::monitor),
    },
    Command {
        usage: "top",
        section: Section::Health,
        help: "cores, ports, drops and the fastest peers on a screen, anew every second",
        more: "q ends it; b, r and s sort the peers by what goes both ways, what is received of them, and what is sent to them. \
               `--watch=SECONDS` looks more or less often. With very many peers it asks the gateway less often by itself.",
        action: Action::Follow(|settings, _| top::top(settings)),
    },
    Command {
        usage: "show cookies",
        section: Section::Health,
        help: "handshake threads under load, and the cookies that they told",
        more: "A thread is under load while 512 messages of unproven sources wait, and for a second after; it serves all interfaces. Then who \
               has no cookie is told one, and who comes back with it is served.",
        action: Action::Ask(
            |_| Request::ShowCookies,
            Answer::Parts(
                &[rows(
                    "cookies",
                    &[
                        column("thread", "thread", Unit::Text),
                        column("under_load", "under load", Unit::Flag),
                        column("told", "cookies told", Unit::Count),
                        column("returned", "came back good", Unit::Count),
                        column("dropped", "dropped under load", Unit::Count),
                        column("rate_limited", "too fast with a cookie", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show replay [limit N]",
        section: Section::Health,
        help: "peers whose messages came twice or too late, by how many",
        more: "Of the sessions that live: how far behind the greatest counter the last of them was, and how far it may be (the window). \
               Some are usual where a network reorders or doubles. 20 peers unless `limit` says more.",
        action: Action::Ask(
            |given| Request::ShowReplay { limit: given.after("limit").and_then(|n| n.parse().ok()) },
            Answer::Parts(
                &[
                    rows(
                        "replay",
                        &[
                            column("interface", "interface", Unit::Text),
                            column("name", "name", Unit::Text),
                            column("public_key", "public key", Unit::Text),
                            column("session", "session", Unit::Text),
                            column("refused", "refused", Unit::Count),
                            column("greatest", "greatest counter", Unit::Count),
                            column("last", "last refused", Unit::Count),
                            column("behind", "behind", Unit::Count),
                            column("window", "window", Unit::Count),
                        ],
                    )
                    .or("No session that lives has refused anything."),
                    one(
                        "count",
                        &[
                            column("dropped", "dropped as replay since the start", Unit::Count),
                            column("sessions", "sessions with some", Unit::Count),
                            column("shown", "shown", Unit::Count),
                        ],
                    ),
                ],
                &[],
            ),
        ),
    },
    Command {
        usage: "show report",
        section: Section::Health,
        help: "all that is counted, as JSON: for a bug report",
        more: "`account`, `drops` (of the data path) and `control` (of the control threads) by reason, `ports`, `cores`, `cycles`, \
               `handshakes`, `pool`.",
        action: Action::Ask(
            |_| Request::ShowReport,
            Answer::Text(
                |answer| serde_json::to_string_pretty(answer).unwrap_or_default() + "\n",
                &["account", "drops", "control", "ports", "cores", "cycles", "handshakes", "pool"],
            ),
        ),
    },
];
