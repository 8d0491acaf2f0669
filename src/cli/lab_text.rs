//! What a lab (`culvert pmd`) answers, in the words of DPDK 22.11's testpmd.

use super::testpmd::fwd_stats;
use serde_json::Value;
use std::fmt::Write;

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn rows<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The text of an answer that only labs give; `None`: a gateway gives the same.
pub(super) fn of(answer: &Value) -> Option<String> {
    if let Some(forwarding) = answer.get("started") {
        let mut text = started(forwarding) + "\n";
        if answer.get("rxtx").is_some() {
            text += &rxtx(answer);
        }
        return Some(text);
    }
    if answer.get("settings").is_some() {
        return Some(rxtx(answer));
    }
    if let Some(stats) = answer.get("stopped") {
        let text = fwd_stats(stats);
        return Some(format!("Telling cores to stop...\nWaiting for lcores to finish...\n{text}\nDone.\n"));
    }
    if let Some(set) = answer.get("set") {
        return Some(was_set(set));
    }
    if let Some(port) = answer.get("attached") {
        let ports = number(answer, "ports");
        return Some(format!("Attaching a new port...\nPort {port} is attached. Now total ports is {ports}\nDone\n"));
    }
    match answer.get("action").and_then(Value::as_str)? {
        "start" | "reset" => Some("Checking link statuses...\nDone\n".to_owned()),
        "stop" => Some("Stopping ports...\nChecking link statuses...\nDone\n".to_owned()),
        "close" => {
            let closed = rows(answer, "ports").map(|port| format!("Port {port} is closed\n"));
            Some(format!("Closing ports...\n{}Done\n", closed.collect::<String>()))
        }
        _ => Some("Removing a device...\nDone\n".to_owned()),
    }
}

/// Who forwards what.
fn started(forwarding: &Value) -> String {
    let cores: Vec<&Value> = rows(forwarding, "cores").collect();
    let streams: usize = cores.iter().map(|core| rows(core, "streams").count()).sum();
    let mut text = format!(
        "{} packet forwarding - ports={} - cores={} - streams={streams} - NUMA support enabled, MP allocation mode: native\n",
        word(forwarding, "mode"),
        number(forwarding, "ports"),
        cores.len(),
    );
    for core in cores {
        let (id, socket) = (number(core, "core"), number(core, "socket"));
        let count = rows(core, "streams").count();
        let _ = writeln!(text, "Logical Core {id} (socket {socket}) forwards packets on {count} streams:");
        for stream in rows(core, "streams") {
            let n = |key| number(stream, key);
            let _ = writeln!(
                text,
                "  RX P={}/Q={} (socket {}) -> TX P={}/Q={} (socket {}) peer={}",
                n("rx_port"),
                n("rx_queue"),
                n("rx_socket"),
                n("tx_port"),
                n("tx_queue"),
                n("tx_socket"),
                word(stream, "peer")
            );
        }
    }
    text
}

/// Queues and descriptors: of testpmd's lines those that culvert knows.
fn rxtx(answer: &Value) -> String {
    let Some(settings) = answer.get("settings") else { return String::new() };
    let mut text =
        format!("  {} packet forwarding packets/burst={}\n", word(settings, "mode"), number(settings, "burst"));
    if let Some(len) = settings.get("txpkts").and_then(Value::as_u64) {
        let _ = writeln!(text, "  packet len={len} - nb packet segments=1");
    }
    let (cores, ports) = (number(settings, "cores"), number(settings, "ports"));
    let _ = writeln!(text, "  nb forwarding cores={cores} - nb forwarding ports={ports}");
    for row in rows(answer, "rxtx") {
        let n = |key| number(row, key);
        let (rx, tx) = (n("rx_queues"), n("tx_queues"));
        let _ = writeln!(text, "  port {}: RX queue number: {rx} Tx queue number: {tx}", n("port"));
        for (way, desc) in [("RX", n("rx_descriptors")), ("TX", n("tx_descriptors"))] {
            let _ = writeln!(text, "    {way} queue: 0\n      {way} desc={desc}");
        }
    }
    text
}

fn was_set(set: &Value) -> String {
    if let Some(mode) = set.get("mode").and_then(Value::as_str) {
        return format!("Set {mode} packet forwarding mode\n");
    }
    if let Some(burst) = set.get("burst") {
        return format!("Number of packets per burst set to {burst}\n");
    }
    if let Some(cores) = set.get("nbcore") {
        return format!("Number of forwarding cores set to {cores}\n");
    }
    if set.get("verbose").is_some() {
        return format!("Change verbose level from {} to {}\n", number(set, "was"), number(set, "verbose"));
    }
    if let Some(cores) = set.get("corelist").and_then(Value::as_array)
        && number(set, "was") != cores.len() as u64
    {
        return format!(
            "previous number of forwarding cores {} - changed to number of configured cores {}\n",
            number(set, "was"),
            cores.len()
        );
    }
    String::new()
}
