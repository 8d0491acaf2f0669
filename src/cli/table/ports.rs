//! Ports and forwarding, in testpmd's words.

use super::{Action, Answer, Command, Section};
use crate::api::Request;
use crate::cli::parse::Given;
use crate::cli::render::{Unit, column, rows};
use crate::cli::testpmd;

fn port(given: &Given) -> String {
    given.get("PORT").unwrap_or("all").to_owned()
}

const CLEAR: &str = "What is shown begins anew, for everybody; the device's own counters and those that culvert keeps its laws by go on.";

const CLEAR_PORT: &str = "`show port stats` and `show port xstats` both begin anew: they are the same counters, seen twice. So for everybody; \
                          the device's own counters and those that culvert keeps its laws by go on.";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        usage: "show port summary PORT|all",
        section: Section::Ports,
        help: "a line a port: MAC address, device, driver, link",
        more: "",
        action: Action::Ask(
            |given| Request::ShowPortSummary { port: port(given) },
            Answer::Text(
                testpmd::summary,
                &[
                    "ports",
                    "port_summary[].port",
                    "port_summary[].name",
                    "port_summary[].mac",
                    "port_summary[].device",
                    "port_summary[].driver",
                    "port_summary[].up",
                    "port_summary[].speed_mbps",
                ],
            ),
        ),
    },
    Command {
        usage: "show port info PORT|all",
        section: Section::Ports,
        help: "what a port is, and how it is set",
        more: "",
        action: Action::Ask(
            |given| Request::ShowPortInfo { port: port(given) },
            Answer::Text(
                testpmd::info,
                &[
                    "port_info[].port",
                    "port_info[].name",
                    "port_info[].role",
                    "port_info[].mac",
                    "port_info[].device",
                    "port_info[].driver",
                    "port_info[].numa_node",
                    "port_info[].up",
                    "port_info[].speed_mbps",
                    "port_info[].full_duplex",
                    "port_info[].mtu",
                    "port_info[].vlan",
                    "port_info[].addresses",
                    "port_info[].promiscuous",
                    "port_info[].allmulticast",
                    "port_info[].rx_queues",
                    "port_info[].tx_queues",
                    "port_info[].max_rx_queues",
                    "port_info[].max_tx_queues",
                ],
            ),
        ),
    },
    Command {
        usage: "show port stats PORT|all",
        section: Section::Ports,
        help: "what the device counted, and how fast it is",
        more: "The speed is that since the last time that anybody asked for it; the first time, and after a clear, it is 0.",
        action: Action::Ask(
            |given| Request::ShowPortStats { port: port(given) },
            Answer::Text(
                testpmd::stats,
                &[
                    "port_stats[].port",
                    "port_stats[].name",
                    "port_stats[].rx_packets",
                    "port_stats[].rx_bytes",
                    "port_stats[].rx_missed",
                    "port_stats[].rx_errors",
                    "port_stats[].rx_nombuf",
                    "port_stats[].tx_packets",
                    "port_stats[].tx_bytes",
                    "port_stats[].tx_errors",
                    "port_stats[].rx_pps",
                    "port_stats[].rx_bps",
                    "port_stats[].tx_pps",
                    "port_stats[].tx_bps",
                ],
            ),
        ),
    },
    Command {
        usage: "show port xstats PORT|all",
        section: Section::Ports,
        help: "the driver's own counters by name",
        more: "",
        action: Action::Ask(
            |given| Request::ShowPortXstats { port: port(given) },
            Answer::Text(
                testpmd::xstats,
                &[
                    "port_xstats[].port",
                    "port_xstats[].name",
                    "port_xstats[].counters[].name",
                    "port_xstats[].counters[].value",
                ],
            ),
        ),
    },
    Command {
        usage: "clear port stats PORT|all",
        section: Section::Ports,
        help: "shows the device's counters from 0 on",
        more: CLEAR_PORT,
        action: Action::Ask(
            |given| Request::ClearPortStats { port: port(given) },
            Answer::Text(testpmd::cleared, &["cleared"]),
        ),
    },
    Command {
        usage: "clear port xstats PORT|all",
        section: Section::Ports,
        help: "shows the driver's own counters from 0 on",
        more: CLEAR_PORT,
        action: Action::Ask(|given| Request::ClearPortXstats { port: port(given) }, Answer::Silent(&["cleared"])),
    },
    Command {
        usage: "set promisc PORT|all on|off",
        section: Section::Ports,
        help: "whether a port takes packets for other MAC addresses too",
        more: "They are dropped as `not_our_mac`, but are seen. Until the gateway ends.",
        action: Action::Ask(
            |given| Request::SetPromisc { port: port(given), on: given.has("on") },
            Answer::Silent(&["promiscuous", "ports"]),
        ),
    },
    Command {
        usage: "set link-up|link-down port PORT|all",
        section: Section::Ports,
        help: "takes a port's link up or down, as far as its driver can",
        more: "A port without link is off the network; the gateway goes on. Until somebody else says, or the gateway ends.",
        action: Action::Ask(
            |given| Request::SetLink { port: port(given), up: given.has("link-up") },
            Answer::Silent(&["link", "ports"]),
        ),
    },
    Command {
        usage: "show config rxtx",
        section: Section::Ports,
        help: "queues and descriptors of each port",
        more: "",
        action: Action::Ask(
            |_| Request::ShowConfigRxtx,
            Answer::Parts(
                &[rows(
                    "rxtx",
                    &[
                        column("port", "port", Unit::Count),
                        column("name", "name", Unit::Text),
                        column("rx_queues", "RX queues", Unit::Count),
                        column("tx_queues", "TX queues", Unit::Count),
                        column("rx_descriptors", "RX descriptors", Unit::Count),
                        column("tx_descriptors", "TX descriptors", Unit::Count),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show config cores",
        section: Section::Ports,
        help: "which core does what",
        more: "",
        action: Action::Ask(
            |_| Request::ShowConfigCores,
            Answer::Text(testpmd::lcores, &["forwarding", "io", "workers", "handshake", "control", "idle"]),
        ),
    },
    Command {
        usage: "show config fwd",
        section: Section::Ports,
        help: "which core polls and sends by which queues",
        more: "",
        action: Action::Ask(
            |_| Request::ShowConfigFwd,
            Answer::Parts(
                &[rows(
                    "fwd",
                    &[
                        column("core", "core", Unit::Count),
                        column("rx", "polls", Unit::List),
                        column("tx", "sends by", Unit::List),
                    ],
                )],
                &[],
            ),
        ),
    },
    Command {
        usage: "show fwd stats all",
        section: Section::Ports,
        help: "what culvert took from its ports and gave to them",
        more: "RX-dropped is what the device dropped because nobody fetched it in time, TX-dropped what it could not send and \
               what its full TX queues refused (`tx_full`).",
        action: Action::Ask(
            |_| Request::ShowFwdStats,
            Answer::Text(
                testpmd::fwd_stats,
                &[
                    "fwd_stats[].port",
                    "fwd_stats[].name",
                    "fwd_stats[].rx_packets",
                    "fwd_stats[].rx_dropped",
                    "fwd_stats[].tx_packets",
                    "fwd_stats[].tx_dropped",
                    "fwd_total.rx_packets",
                    "fwd_total.rx_dropped",
                    "fwd_total.tx_packets",
                    "fwd_total.tx_dropped",
                ],
            ),
        ),
    },
    Command {
        usage: "clear fwd stats all",
        section: Section::Ports,
        help: "shows what culvert forwarded from 0 on",
        more: CLEAR,
        action: Action::Ask(|_| Request::ClearFwdStats, Answer::Silent(&["cleared"])),
    },
];
