//! `culvert show …`: the gateway's JSON as tables for people.

use serde_json::Value;
use std::io::{self, Write};

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Every packet by the door it left by: rx + generated = tx + dropped + to control + queued.
    Account,
    /// Drops by reason, with what mends them.
    Drops,
    /// Packets and bytes of each port.
    Ports,
    /// Turns of each core's loop, and how many found work.
    Cores,
    /// Cycles of each core by stage, while `culvert set record-core-cycles on` holds. A unit is a burst, a chain, a chunk or a batch.
    Cycles,
    /// The packet pool.
    Pool,
}

impl Table {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["account"],
            Self::Drops => &["drops", "control"],
            Self::Ports => &["ports"],
            Self::Cores => &["cores"],
            Self::Cycles => &["cycles"],
            Self::Pool => &["pool"],
        }
    }
}

/// Prints one table of a gateway's answer; `as_json`: the whole answer, for programs.
///
/// # Errors
/// Those of `out`.
pub fn print(answer: &Value, table: Table, as_json: bool, out: &mut impl Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{answer}");
    }
    for key in table.keys() {
        match answer.get(key) {
            Some(Value::Object(fields)) if table == Table::Drops => {
                let side = if *key == "drops" { "data path" } else { "control threads" };
                writeln!(out, "{:<20} {:>12}  {side}", "reason", "packets")?;
                for (reason, entry) in fields {
                    let (packets, hint) = (text(&entry["packets"]), text(&entry["hint"]));
                    writeln!(out, "{reason:<20} {packets:>12}  {hint}")?;
                }
            }
            Some(Value::Object(fields)) => {
                for (name, value) in fields {
                    writeln!(out, "{name:<20} {:>16}", text(value))?;
                }
            }
            Some(Value::Array(rows)) => print_rows(rows, out)?,
            _ => {}
        }
    }
    Ok(())
}

fn print_rows(rows: &[Value], out: &mut impl Write) -> io::Result<()> {
    let columns: Vec<&String> = rows.first().and_then(Value::as_object).into_iter().flat_map(|r| r.keys()).collect();
    for column in &columns {
        write!(out, "{column:>16}")?;
    }
    writeln!(out)?;
    for row in rows {
        for column in &columns {
            // What a row has nothing of stays blank.
            write!(out, "{:>16}", row.get(column.as_str()).map(text).unwrap_or_default())?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(table: Table) -> String {
        let answer = json!({
            "account": { "rx": 5, "tx": 4 },
            "drops": { "no_peer": { "packets": 3, "hint": "nobody" } },
            "control": {},
            "ports": [{ "port": "wan", "rx_packets": 5 }],
        });
        let mut out = Vec::new();
        print(&answer, table, false, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tables_name_their_numbers() {
        assert!(shown(Table::Account).contains("rx                                  5"));
        let drops = shown(Table::Drops);
        assert!(drops.contains("no_peer") && drops.contains("nobody") && drops.contains(" 3 "));
        let ports = shown(Table::Ports);
        assert!(ports.contains("rx_packets") && ports.contains("wan"));
    }
}
