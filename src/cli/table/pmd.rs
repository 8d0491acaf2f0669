//! Ports without a gateway, in testpmd's words.

use super::{Action, Answer, Command, Section};
use crate::api::{LabRequest, PortAction};
use crate::cli::front::{Failure, Outcome};
use crate::cli::lab_text;
use crate::cli::parse::Given;
use serde_json::Value;

/// The lab's text; its answers have one each.
fn text(answer: &Value) -> String {
    lab_text::of(answer).unwrap_or_default()
}

fn number(given: &Given) -> u32 {
    given.get("N").and_then(|n| n.parse().ok()).unwrap_or(u32::MAX)
}

fn mode(given: &Given) -> String {
    given.last().unwrap_or_default().to_owned()
}

fn action(given: &Given) -> PortAction {
    let actions = [
        ("start", PortAction::Start),
        ("stop", PortAction::Stop),
        ("close", PortAction::Close),
        ("reset", PortAction::Reset),
    ];
    actions.into_iter().find(|(word, _)| given.has(word)).map_or(PortAction::Detach, |(_, action)| action)
}

const STARTED: Answer = Answer::Text(
    text,
    &[
        "started.mode",
        "started.ports",
        "started.cores[].core",
        "started.cores[].socket",
        "started.cores[].streams[]",
        "rxtx[]",
        "settings.mode",
        "settings.burst",
        "settings.cores",
        "settings.ports",
        "settings.txpkts",
    ],
);

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "pmd [WORD]...",
        section: Section::Pmd,
        help: "culvert pmd EAL-ARGUMENTS -- ARGUMENTS: forwards without a gateway",
        more: "As `dpdk-testpmd`: before the -- stands what DPDK takes (-l 0-1 -a 0000:3b:00.0 --vdev=net_null0 --no-huge -m 256), behind it what \
               `culvert pmd -- --help` lists, as -i --forward-mode=mac. One core is enough. With -i it takes the commands of this section and \
               those about ports, by a prompt or from the standard input; Ctrl-C prints the statistics and ends it. The mode wireguard seals \
               what it makes, and proves what comes back: exit code 1 if anything is damaged, or nothing came.",
        action: Action::Local(|_, _, _| {
            let why = "pmd stands first: culvert pmd -l 0-1 --vdev=net_null0 -- -i, from the command line";
            Err(Failure(Outcome::Usage, why.to_owned()))
        }),
    },
    Command {
        usage: "start",
        section: Section::Pmd,
        help: "begins to forward",
        more: "",
        action: Action::Order(|_| LabRequest::Start { bursts_first: 0 }, STARTED),
    },
    Command {
        usage: "start tx_first [N]",
        section: Section::Pmd,
        help: "begins to forward, with a burst of made packets a stream, or N of them, 10000 at most",
        more: "Modes that make packets do so anyway.",
        action: Action::Order(
            |given| LabRequest::Start { bursts_first: given.get("N").map_or(1, |_| number(given)) },
            STARTED,
        ),
    },
    Command {
        usage: "stop",
        section: Section::Pmd,
        help: "ends forwarding, and prints what was forwarded",
        more: "",
        action: Action::Order(
            |_| LabRequest::Stop,
            Answer::Text(
                text,
                &[
                    "stopped.fwd_stats[]",
                    "stopped.fwd_total",
                    "stopped.fwd_streams[]",
                    "stopped.fwd_cycles",
                    "stopped.wireguard.sealed",
                    "stopped.wireguard.good",
                    "stopped.wireguard.missing",
                    "stopped.wireguard.bad_tag",
                    "stopped.wireguard.replayed",
                    "stopped.wireguard.bad_inner",
                    "stopped.wireguard.stray",
                    "stopped.wireguard.handshakes",
                ],
            ),
        ),
    },
    Command {
        usage: "set fwd io|mac|macswap|rxonly|txonly|csum|flowgen|icmpecho|wireguard",
        section: Section::Pmd,
        help: "what is done with packets from the next start on",
        more: "io: they leave as they came. mac, macswap: with other addresses. rxonly: they end. txonly, flowgen: they are made. csum: with right \
               checksums. icmpecho: ARP and pings are answered. wireguard: they are made and sealed; what comes back is opened and compared.",
        action: Action::Order(|given| LabRequest::SetFwd { mode: mode(given) }, Answer::Text(text, &["set.mode"])),
    },
    Command {
        usage: "set burst N",
        section: Section::Pmd,
        help: "packets a burst at most, 1 to 32",
        more: "",
        action: Action::Order(
            |given| LabRequest::SetBurst { packets: number(given) },
            Answer::Text(text, &["set.burst"]),
        ),
    },
    Command {
        usage: "set txpkts N",
        section: Section::Pmd,
        help: "bytes of the frames that are made, 42 to 1514",
        more: "In the mode wireguard it is what they would have without the tunnel, at most 1454.",
        action: Action::Order(
            |given| LabRequest::SetTxpkts { bytes: number(given) },
            Answer::Text(text, &["set.txpkts"]),
        ),
    },
    Command {
        usage: "set nbcore N",
        section: Section::Pmd,
        help: "how many cores forward: of those that -l names, but the main one where there are others",
        more: "No more than there are: with `set corelist` of those. A core without a stream does nothing.",
        action: Action::Order(
            |given| LabRequest::SetNbcore { cores: number(given) },
            Answer::Text(text, &["set.nbcore"]),
        ),
    },
    Command {
        usage: "set corelist WORD",
        section: Section::Pmd,
        help: "which cores forward, by their numbers with commas between: set corelist 2,3",
        more: "Those that -l names, but the main one where there are others; and nbcore is their number then.",
        action: Action::Order(
            |given| LabRequest::SetCorelist { cores: given.get("WORD").unwrap_or_default().to_owned() },
            Answer::Text(text, &["set.corelist[]", "set.was"]),
        ),
    },
    Command {
        usage: "set verbose N",
        section: Section::Pmd,
        help: "prints a line a packet: 1 of those received, 2 of those sent, 3 of both, 0 of none",
        more: "Addresses, pool, type, length, segments, RSS hash where the NIC tells one, and queue; of those sent what is handed to the NIC, \
               which may take less. It can be set while packets are forwarded, which waits for no line: what comes faster than it is printed is \
               told as a number.",
        action: Action::Order(
            |given| LabRequest::SetVerbose { level: number(given) },
            Answer::Text(text, &["set.verbose", "set.was"]),
        ),
    },
    Command {
        usage: "set eth-peer N WORD",
        section: Section::Pmd,
        help: "the MAC address to which a port sends: its number, the address",
        more: "",
        action: Action::Order(
            |given| LabRequest::SetEthPeer {
                port: number(given),
                mac: given.get("WORD").unwrap_or_default().to_owned(),
            },
            Answer::Text(text, &["set.peer"]),
        ),
    },
    Command {
        usage: "port start|stop|close|reset|detach PORT|all",
        section: Section::Pmd,
        help: "starts or stops ports, closes stopped ones, or stops and starts them",
        more: "A virtual device is gone with its port, whichever word takes it away.",
        action: Action::Order(
            |given| LabRequest::Port { action: action(given), port: given.get("PORT").unwrap_or("all").to_owned() },
            Answer::Text(text, &["action", "ports[]"]),
        ),
    },
    Command {
        usage: "port attach DEVICE",
        section: Section::Pmd,
        help: "makes a port of a device, as -a and --vdev do, and starts it",
        more: "",
        action: Action::Order(
            |given| LabRequest::PortAttach { device: given.get("DEVICE").unwrap_or_default().to_owned() },
            Answer::Text(text, &["attached", "ports"]),
        ),
    },
];
