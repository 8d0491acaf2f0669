//! Interfaces and peers.

use super::{Action, Answer, Command, Section};
use crate::api::{PeerSort, Request};
use crate::cli::render::{Column, Unit, column, one, rows};

const PEERS: &[Column] = &[
    column("interface", "interface", Unit::Text),
    column("name", "name", Unit::Text),
    column("public_key", "public key", Unit::Text),
    column("endpoint", "endpoint", Unit::Text),
    column("last_handshake_ms", "last handshake", Unit::Ago),
    column("rx_bytes", "received", Unit::Bytes),
    column("tx_bytes", "sent", Unit::Bytes),
    column("rx_bps", "receives", Unit::Rate),
    column("tx_bps", "sends", Unit::Rate),
    column("allowed_ips", "allowed ips", Unit::List),
];

const SUMMARY: &[Column] = &[
    column("interface", "interface", Unit::Text),
    column("peers", "peers", Unit::Count),
    column("connected", "connected", Unit::Count),
    column("silent", "no longer", Unit::Count),
    column("never", "never yet", Unit::Count),
    column("without_endpoint", "no endpoint", Unit::Count),
];

/// The same without the interface.
const TOTAL: &[Column] = SUMMARY.split_at(1).1;

const PEER: &[Column] = &[
    column("interface", "interface", Unit::Text),
    column("name", "name", Unit::Text),
    column("public_key", "public key", Unit::Text),
    column("preshared_key", "preshared key", Unit::Flag),
    column("endpoint", "endpoint", Unit::Text),
    column("local", "talks to our", Unit::Text),
    column("allowed_ips", "allowed ips", Unit::List),
    column("last_handshake_ms", "last handshake", Unit::Ago),
    column("rx_bytes", "received", Unit::Bytes),
    column("tx_bytes", "sent", Unit::Bytes),
    column("persistent_keepalive", "keepalive, s", Unit::Text),
    column("state", "state", Unit::Text),
];

const DETAIL: &[Column] = &[
    column("handshake_pending", "an initiation of ours waits for its answer", Unit::Flag),
    column("last_sent_handshake_ms", "we last sent a handshake message", Unit::Ago),
    column("last_taken_initiation_ms", "we last took an initiation", Unit::Ago),
    column("last_received_ms", "we last heard it (session)", Unit::Ago),
    column("unanswered_ms", "data of ours is unanswered since", Unit::Ago),
    column("queued_out", "packets queued out", Unit::Count),
    column("queued_in", "packets queued in", Unit::Count),
];

const SESSIONS: &[Column] = &[
    column("slot", "session", Unit::Text),
    column("local_index", "our index", Unit::Text),
    column("remote_index", "its index", Unit::Text),
    column("initiator", "we began", Unit::Flag),
    column("age_ms", "made", Unit::Ago),
    column("sent", "packets sent", Unit::Count),
];

fn sort(given: &crate::cli::parse::Given) -> PeerSort {
    match () {
        () if given.has("tx") => PeerSort::Tx,
        () if given.has("rx") => PeerSort::Rx,
        () if given.has("rate") => PeerSort::Rate,
        () if given.has("name") => PeerSort::Name,
        () => PeerSort::Handshake,
    }
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "show interface [INTERFACE]",
        section: Section::Peers,
        help: "key, ports and peers of each WireGuard interface",
        more: "The private key is never shown.",
        action: Action::Ask(
            |given| Request::ShowInterface { interface: given.get("INTERFACE").map(str::to_owned) },
            Answer::Parts(
                &[rows(
                    "interfaces",
                    &[
                        column("interface", "interface", Unit::Text),
                        column("public_key", "public key", Unit::Text),
                        column("listen_ports", "UDP ports", Unit::List),
                        column("mtu", "MTU", Unit::Count),
                        column("mss_clamp", "MSS clamp", Unit::Flag),
                        column("peers", "peers", Unit::Count),
                        column("max_peers", "at most", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show peers [sort handshake|rx|tx|rate|name] [limit N] [match RE] [interface INTERFACE]",
        section: Section::Peers,
        help: "the first peers of an order: the latest handshake, most bytes, or the fastest",
        more: "20 of them unless `limit` says more, 10000 at most: `wg show INTERFACE dump` gives all. `match` looks at names, keys, \
               endpoints and allowed ips. `sort rate` adds bits a second, those since anybody last asked so: the first time, and 30 s \
               after the last, they are 0.",
        action: Action::Ask(
            |given| Request::ShowPeers {
                sort: sort(given),
                limit: given.after("limit").and_then(|n| n.parse().ok()),
                matching: given.after("match").map(str::to_owned),
                interface: given.after("interface").map(str::to_owned),
            },
            Answer::Parts(
                &[
                    rows("peers", PEERS).or("No such peer."),
                    one(
                        "count",
                        &[
                            column("shown", "shown", Unit::Count),
                            column("matching", "matching", Unit::Count),
                            column("peers", "peers", Unit::Count),
                        ],
                    ),
                ],
                &[],
            ),
        ),
    },
    Command {
        usage: "show peers summary",
        section: Section::Peers,
        help: "how many peers there are, and how many of them are connected",
        more: "Who completed a handshake within 180 s has a session: that is connected.",
        action: Action::Ask(
            |_| Request::ShowPeersSummary,
            Answer::Parts(&[rows("summary", SUMMARY), one("total", TOTAL).titled("all")], &[]),
        ),
    },
    Command {
        usage: "show peer PEER [detail]",
        section: Section::Peers,
        help: "one peer; with `detail` its sessions, and why it does not work",
        more: "By its public key or the beginning of that, by its name, by an address of its own that its allowed ips hold.",
        action: Action::Ask(
            |given| Request::ShowPeer {
                peer: given.get("PEER").unwrap_or_default().to_owned(),
                detail: given.has("detail"),
            },
            Answer::Parts(
                &[
                    one("peer", PEER),
                    one("detail", DETAIL).titled("detail"),
                    rows("sessions", SESSIONS).titled("sessions").or("none"),
                    rows("findings", &[column("finding", "what to look at", Unit::Text)]),
                ],
                &[],
            ),
        ),
    },
    Command {
        usage: "show lookup ADDRESS",
        section: Section::Peers,
        help: "where a packet to this address goes: peer, port, or nowhere",
        more: "In the data path's order: our own inner addresses, then the peers' allowed ips, then, for what comes out of a tunnel, the \
               inner routes.",
        action: Action::Ask(
            |given| Request::ShowLookup { address: given.get("ADDRESS").unwrap_or_default().to_owned() },
            Answer::Parts(
                &[one(
                    "lookup",
                    &[
                        column("address", "address", Unit::Text),
                        column("goes", "goes", Unit::Text),
                        column("peer", "peer", Unit::Text),
                        column("public_key", "public key", Unit::Text),
                        column("interface", "interface", Unit::Text),
                        column("prefix", "by its allowed ip", Unit::Text),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show handshakes",
        section: Section::Peers,
        help: "how many handshakes are under way, and what became of messages",
        more: "",
        action: Action::Ask(
            |_| Request::ShowHandshakes,
            Answer::Parts(
                &[one(
                    "handshakes",
                    &[
                        column("pending", "initiations of ours without an answer", Unit::Count),
                        column("sessions", "sessions (keypairs in use)", Unit::Count),
                        column("curve_operations", "Curve25519 multiplications", Unit::Count),
                        column("refused", "messages refused (key, timestamp, PSK)", Unit::Count),
                        column("bad_mac1", "not made for our public key", Unit::Count),
                        column("cookies", "cookies sent under load", Unit::Count),
                        column("under_load", "dropped under load", Unit::Count),
                        column("rate_limited", "dropped: a source too fast", Unit::Count),
                        column("queue_full", "dropped: threads behind", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
];
