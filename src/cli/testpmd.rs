//! Answers about ports in testpmd's own words, for eyes and scripts that know them: byte for byte those of DPDK 22.11
//! (`tests/cli/testpmd.txt` is a transcript of it).

use serde_json::Value;
use std::fmt::Write;

fn number(row: &Value, key: &str) -> u64 {
    row.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn word<'v>(row: &'v Value, key: &str) -> &'v str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn rows<'v>(answer: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    answer.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// `show port stats`
pub(super) fn stats(answer: &Value) -> String {
    let mut out = String::new();
    for row in rows(answer, "port_stats") {
        let n = |key| number(row, key);
        let border = "#".repeat(24);
        let _ = write!(
            out,
            "\n  {border} NIC statistics for port {:<2} {border}\n  \
             RX-packets: {:<10} RX-missed: {:<10} RX-bytes:  {}\n  \
             RX-errors: {}\n  \
             RX-nombuf:  {:<10}\n  \
             TX-packets: {:<10} TX-errors: {:<10} TX-bytes:  {}\n\n  \
             Throughput (since last show)\n  \
             Rx-pps: {:>12}          Rx-bps: {:>12}\n  \
             Tx-pps: {:>12}          Tx-bps: {:>12}\n  \
             {}\n",
            n("port"),
            n("rx_packets"),
            n("rx_missed"),
            n("rx_bytes"),
            n("rx_errors"),
            n("rx_nombuf"),
            n("tx_packets"),
            n("tx_errors"),
            n("tx_bytes"),
            n("rx_pps"),
            n("rx_bps"),
            n("tx_pps"),
            n("tx_bps"),
            "#".repeat(76)
        );
    }
    out
}

/// `show port xstats`
pub(super) fn xstats(answer: &Value) -> String {
    let mut out = String::new();
    for row in rows(answer, "port_xstats") {
        let _ = writeln!(out, "###### NIC extended statistics for port {} ", number(row, "port"));
        for counter in rows(row, "counters") {
            let _ = writeln!(out, "{}: {}", word(counter, "name"), number(counter, "value"));
        }
    }
    out
}

/// `show port summary`
pub(super) fn summary(answer: &Value) -> String {
    let mut out = format!("Number of available ports: {}\n", number(answer, "ports"));
    out.push_str("Port MAC Address       Name         Driver         Status   Link\n");
    for row in rows(answer, "port_summary") {
        let state = if row.get("up").and_then(Value::as_bool) == Some(true) { "up" } else { "down" };
        let _ = writeln!(
            out,
            "{:<4} {} {:<12} {:<14} {state:<8} {}",
            number(row, "port"),
            word(row, "mac"),
            word(row, "device"),
            word(row, "driver"),
            speed(row)
        );
    }
    out
}

/// As `rte_eth_link_speed_to_str` has it.
fn speed(row: &Value) -> String {
    match row.get("speed_mbps").and_then(Value::as_u64) {
        None => "Unknown".to_owned(),
        Some(2500) => "2.5 Gbps".to_owned(),
        Some(mbps) if mbps >= 1000 => format!("{} Gbps", mbps / 1000),
        Some(mbps) => format!("{mbps} Mbps"),
    }
}

/// `show port info`: those of testpmd's lines that culvert knows.
pub(super) fn info(answer: &Value) -> String {
    let mut out = String::new();
    for row in rows(answer, "port_info") {
        let state = |key, yes, no| if row.get(key).and_then(Value::as_bool) == Some(true) { yes } else { no };
        let _ =
            writeln!(out, "\n********************* Infos for port {:<2} *********************", number(row, "port"));
        let socket =
            row.get("numa_node").and_then(Value::as_u64).map_or_else(|| "unknown".to_owned(), |node| node.to_string());
        for (name, value) in [
            ("MAC address", word(row, "mac").to_owned()),
            ("Device name", word(row, "device").to_owned()),
            ("Driver name", word(row, "driver").to_owned()),
            ("Connect to socket", socket),
            ("Link status", state("up", "up", "down").to_owned()),
            ("Link speed", speed(row)),
            ("Link duplex", state("full_duplex", "full-duplex", "half-duplex").to_owned()),
            ("MTU", number(row, "mtu").to_string()),
            ("Promiscuous mode", state("promiscuous", "enabled", "disabled").to_owned()),
            ("Allmulticast mode", state("allmulticast", "enabled", "disabled").to_owned()),
            ("Current number of RX queues", number(row, "rx_queues").to_string()),
            ("Max possible RX queues", number(row, "max_rx_queues").to_string()),
            ("Current number of TX queues", number(row, "tx_queues").to_string()),
            ("Max possible TX queues", number(row, "max_tx_queues").to_string()),
            ("Port in culvert", in_culvert(row)),
        ]
        .into_iter()
        .filter(|(name, value)| *name != "Port in culvert" || !value.is_empty())
        {
            let _ = writeln!(out, "{name}: {value}");
        }
    }
    out
}

/// Its name and role; nothing of a port without a gateway.
fn in_culvert(row: &Value) -> String {
    row.get("role").and_then(Value::as_str).map_or_else(String::new, |role| format!("{}, {role}", word(row, "name")))
}

/// `show fwd stats all`
pub(super) fn fwd_stats(answer: &Value) -> String {
    let mut out = String::new();
    let (dashes, pluses) = ("-".repeat(22), "+".repeat(15));
    for stream in rows(answer, "fwd_streams") {
        out.push_str(&streamed(stream));
    }
    for row in rows(answer, "fwd_stats") {
        let _ = writeln!(out, "\n  {dashes} Forward statistics for port {:<2} {dashes}", number(row, "port"));
        out.push_str(&forwarded(row));
        let _ = writeln!(out, "  {}", "-".repeat(76));
    }
    let _ = writeln!(out, "\n  {pluses} Accumulated forward statistics for all ports{pluses}");
    out.push_str(&forwarded(answer.get("fwd_total").unwrap_or(&Value::Null)));
    let _ = writeln!(out, "  {}", "+".repeat(76));
    if let Some(cycles) = answer.get("fwd_cycles") {
        out.push_str(&cycled(cycles));
    }
    if let Some(all) = answer.get("wireguard") {
        out.push_str(&tunnelled(all));
    }
    out
}

/// Only where streams are more than ports.
fn streamed(stream: &Value) -> String {
    let n = |key| number(stream, key);
    if n("rx_packets") + n("tx_packets") + n("tx_dropped") == 0 {
        return String::new();
    }
    format!(
        "\n  ------- Forward Stats for RX Port={:>2}/Queue={:>2} -> TX Port={:>2}/Queue={:>2} -------\n  \
         RX-packets: {:<14} TX-packets: {:<14} TX-dropped: {:<14}\n",
        n("rx_port"),
        n("rx_queue"),
        n("tx_port"),
        n("tx_queue"),
        n("rx_packets"),
        n("tx_packets"),
        n("tx_dropped")
    )
}

/// What `set record-core-cycles on` adds.
fn cycled(row: &Value) -> String {
    let (cycles, packets) = (number(row, "cycles"), number(row, "packets"));
    if packets == 0 {
        return String::new();
    }
    let mean = cycles as f64 / packets as f64;
    let (mode, mhz) = (word(row, "mode"), number(row, "mhz"));
    format!(
        "\n  CPU cycles/packet={mean:.2} (total cycles={cycles} / total {mode} packets={packets}) at {mhz} MHz Clock\n"
    )
}

/// What the mode `wireguard` adds, which testpmd does not have.
fn tunnelled(all: &Value) -> String {
    let n = |key| number(all, key);
    format!(
        "\n  {dashes} WireGuard: what came back of what was sealed {dashes}\n  \
         WG-sealed:  {:<14} WG-good:     {:<14} WG-missing:   {}\n  \
         WG-bad-tag: {:<14} WG-replayed: {:<14} WG-bad-inner: {}\n  \
         WG-stray:   {:<14} WG-handshakes: {}\n  {}\n",
        n("sealed"),
        n("good"),
        n("missing"),
        n("bad_tag"),
        n("replayed"),
        n("bad_inner"),
        n("stray"),
        n("handshakes"),
        "-".repeat(76),
        dashes = "-".repeat(13)
    )
}

fn forwarded(row: &Value) -> String {
    let line = |way: &str, packets: u64, dropped: u64| {
        format!(
            "  {way}-packets: {packets:<14} {way}-dropped: {dropped:<13} {way}-total: {}\n",
            packets.saturating_add(dropped)
        )
    };
    let n = |key| number(row, key);
    let mut out = line("RX", n("rx_packets"), n("rx_dropped"));
    if row.get("bad_ipcsum").is_some() {
        let (ip, l4) = (n("bad_ipcsum"), n("bad_l4csum"));
        // Of outer headers testpmd knows by NICs that take tunnels apart; here nobody does.
        let _ = writeln!(out, "  Bad-ipcsum: {ip:<14} Bad-l4csum: {l4:<14}Bad-outer-l4csum: {:<14}", 0);
        let _ = writeln!(out, "  Bad-outer-ipcsum: {:<14}", 0);
    }
    if n("rx_errors") + n("rx_nombuf") > 0 {
        if let Some(errors) = row.get("rx_errors") {
            let _ = writeln!(out, "  RX-error: {errors}");
        }
        let _ = writeln!(out, "  RX-nombufs: {:<14}", n("rx_nombuf"));
    }
    out + &line("TX", n("tx_packets"), n("tx_dropped"))
}

/// `clear port stats`
pub(super) fn cleared(answer: &Value) -> String {
    rows(answer, "cleared")
        .filter_map(Value::as_u64)
        .map(|port| format!("\n  NIC statistics for port {port} cleared\n"))
        .collect()
}

/// `show config cores`
pub(super) fn lcores(answer: &Value) -> String {
    let cores: Vec<String> = rows(answer, "forwarding").map(|core| format!(" {core}")).collect();
    format!("List of forwarding lcores: {}\n", cores.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;
    use serde_json::json;

    /// What `dpdk-testpmd` of Debian's DPDK 22.11.11 said to the commands of `testpmd.commands`, with
    /// `--no-huge -m 256 --no-pci --no-shconf --vdev=net_null0 --vdev=net_pcap0,rx_pcap=…,infinite_rx=1,tx_pcap=… -l 0,1 --
    /// --total-num-mbufs=8192 --cmdline-file=testpmd.commands -i`.
    const TRANSCRIPT: &str = include_str!("../../tests/cli/testpmd.txt");

    /// The parts of the transcript that `pattern` finds. Its prompt, which testpmd writes into the middle of an answer, is left out.
    fn blocks(pattern: &str) -> Vec<String> {
        let transcript = TRANSCRIPT.replace("testpmd> ", "");
        let all: Vec<_> =
            Regex::new(pattern).unwrap().find_iter(&transcript).map(|found| found.as_str().to_owned()).collect();
        assert!(!all.is_empty(), "{pattern}");
        all
    }

    /// The numbers behind these words.
    fn numbers(block: &str, names: &[(&str, &str)]) -> Value {
        let value = |word: &str| -> u64 {
            let found = Regex::new(&format!(r"{word}:? +(\d+)"))
                .unwrap()
                .captures(block)
                .unwrap_or_else(|| panic!("{word} in {block}"));
            found[1].parse().unwrap()
        };
        names.iter().map(|(key, word)| ((*key).to_owned(), json!(value(word)))).collect()
    }

    #[test]
    fn port_stats_are_those_of_testpmd() {
        let names = [
            ("port", "for port"),
            ("rx_packets", "RX-packets"),
            ("rx_missed", "RX-missed"),
            ("rx_bytes", "RX-bytes"),
            ("rx_errors", "RX-errors"),
            ("rx_nombuf", "RX-nombuf"),
            ("tx_packets", "TX-packets"),
            ("tx_errors", "TX-errors"),
            ("tx_bytes", "TX-bytes"),
            ("rx_pps", "Rx-pps"),
            ("rx_bps", "Rx-bps"),
            ("tx_pps", "Tx-pps"),
            ("tx_bps", "Tx-bps"),
        ];
        let blocks = blocks(r"\n  #{24} NIC statistics for port [^#]*#{24}\n[^#]*#{76}\n");
        assert!(blocks.len() >= 9 && blocks.iter().any(|block| block.contains("65264676184")), "no large numbers");
        for block in blocks {
            assert_eq!(stats(&json!({ "port_stats": [numbers(&block, &names)] })), block);
        }
    }

    #[test]
    fn forward_stats_are_those_of_testpmd() {
        let names = [
            ("rx_packets", "RX-packets"),
            ("rx_dropped", "RX-dropped"),
            ("tx_packets", "TX-packets"),
            ("tx_dropped", "TX-dropped"),
        ];
        let per_port = r"\n  -{22} Forward statistics for port \d+ +-{22}\n.*\n.*\n  -{76}\n";
        let pattern = format!(r"(?:{per_port})+\n  \++ Accumulated [^\n]*\n.*\n.*\n  \+{{76}}\n");
        for block in blocks(&pattern) {
            let (ports, total) = block.split_once("++").unwrap();
            let rows: Vec<Value> = Regex::new(per_port)
                .unwrap()
                .find_iter(ports)
                .map(|found| {
                    let mut row = numbers(found.as_str(), &names);
                    row["port"] = numbers(found.as_str(), &[("port", "for port")])["port"].clone();
                    row
                })
                .collect();
            assert_eq!(fwd_stats(&json!({ "fwd_stats": rows, "fwd_total": numbers(total, &names) })), block);
        }
    }

    #[test]
    fn summaries_are_those_of_testpmd() {
        let line = Regex::new(r"(?m)^(\d+) +(\S+) (\S+) +(\S+) +(up|down) +(\d+) Gbps$").unwrap();
        for block in blocks(r"Number of available ports: \d+\nPort MAC[^\n]*\n(\d[^\n]*\n)+") {
            let rows: Vec<Value> = line
                .captures_iter(&block)
                .map(|row| {
                    let (port, speed): (u64, u64) = (row[1].parse().unwrap(), row[6].parse().unwrap());
                    json!({
                        "port": port, "mac": row[2], "device": row[3], "driver": row[4], "up": &row[5] == "up",
                        "speed_mbps": speed * 1000,
                    })
                })
                .collect();
            assert!(!rows.is_empty());
            assert_eq!(summary(&json!({ "ports": 2, "port_summary": rows })), block);
        }
    }

    #[test]
    fn extended_stats_and_clears_are_those_of_testpmd() {
        for block in blocks(r"###### NIC extended statistics for port \d+ \n([a-z0-9_]+: \d+\n)+") {
            let counters: Vec<Value> = block
                .lines()
                .skip(1)
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| json!({ "name": name, "value": value.parse::<u64>().unwrap() }))
                .collect();
            let port = numbers(&block, &[("port", "for port")])["port"].clone();
            assert_eq!(xstats(&json!({ "port_xstats": [{ "port": port, "counters": counters }] })), block);
        }
        let said = cleared(&json!({ "cleared": [0, 1] }));
        assert!(TRANSCRIPT.contains(&said), "{said}");
    }

    #[test]
    fn speeds_are_written_as_dpdk_does() {
        for (mbps, text) in
            [(json!(null), "Unknown"), (json!(100), "100 Mbps"), (json!(2500), "2.5 Gbps"), (json!(25_000), "25 Gbps")]
        {
            assert_eq!(speed(&json!({ "speed_mbps": mbps })), text);
        }
    }
}
