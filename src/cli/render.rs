//! The gateway's JSON as text for people, by the parts and columns that a command's entry in the table names.

use serde_json::Value;
use std::fmt::Write;

/// Where RFC 3339 ends.
const END_OF_9999_MS: u64 = 253_402_300_800_000;

/// A part of an answer: a list of rows is shown as a table, an object as a list of names and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Where it stands in the answer.
    pub(super) key: &'static str,
    /// Whether it has rows: for the paths of its keys.
    pub(super) rows: bool,
    /// What stands above it, if anything.
    pub(super) title: &'static str,
    /// What is shown of it.
    pub(super) columns: &'static [Column],
    /// What stands there if there are no rows.
    pub(super) empty: &'static str,
}

/// A column of a table, or a line of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Where it stands in the row.
    pub(super) key: &'static str,
    /// What people read.
    pub(super) title: &'static str,
    /// How the value is written.
    pub(super) unit: Unit,
}

/// How a value is written, and to which side it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Left.
    Text,
    /// A number as it is, right.
    Count,
    /// Bytes with a unit of 1024, right.
    Bytes,
    /// Milliseconds since, in words, left.
    Ago,
    /// Milliseconds since the Unix epoch, as RFC 3339 has it, left.
    Time,
    /// Bits a second with a unit of 1000, right; a column of these in which nothing stands is left out.
    Rate,
    /// A part of one as hundredths, right.
    Share,
    /// `yes` or `no`, left.
    Flag,
    /// A list with commas between, left.
    List,
    /// A list with blanks between, left.
    Words,
}

/// A table.
pub(super) const fn rows(key: &'static str, columns: &'static [Column]) -> Part {
    Part { key, rows: true, title: "", columns, empty: "" }
}

/// A list of names and values.
pub(super) const fn one(key: &'static str, columns: &'static [Column]) -> Part {
    Part { key, rows: false, title: "", columns, empty: "" }
}

impl Part {
    /// With a line above it.
    pub(super) const fn titled(self, title: &'static str) -> Self {
        Self { title, ..self }
    }

    /// With what stands there if there are no rows.
    pub(super) const fn or(self, empty: &'static str) -> Self {
        Self { empty, ..self }
    }
}

/// A column; a function, so that tables of them stay readable.
pub(super) const fn column(key: &'static str, title: &'static str, unit: Unit) -> Column {
    Column { key, title, unit }
}

/// Writes the parts of an answer. `bold`: headers stand out.
pub(super) fn render(answer: &Value, parts: &[Part], bold: bool) -> String {
    let mut out = String::new();
    for part in parts {
        let Some(value) = answer.get(part.key) else { continue };
        if !part.title.is_empty() {
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{}", emphasis(part.title, bold));
        }
        match value {
            Value::Array(rows) if rows.is_empty() && part.empty.is_empty() => {}
            Value::Array(rows) if rows.is_empty() => {
                let _ = writeln!(out, "{}", part.empty);
            }
            Value::Array(rows) => table(&mut out, rows, part.columns, bold),
            Value::Object(_) => list(&mut out, value, part.columns),
            _ => {}
        }
    }
    out
}

fn list(out: &mut String, value: &Value, columns: &[Column]) {
    let widest = columns.iter().map(|column| column.title.chars().count()).max().unwrap_or(0);
    let texts: Vec<String> = columns.iter().map(|column| column.unit.text(value.get(column.key))).collect();
    let numbers = columns.iter().zip(&texts).filter(|(column, _)| column.unit.is_right());
    let width = numbers.map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    for (column, text) in columns.iter().zip(&texts) {
        // What there is nothing of is left out: a peer without endpoint.
        if text.is_empty() {
            continue;
        }
        let width = if column.unit.is_right() { width } else { 0 };
        let _ = writeln!(out, "{:<widest$}  {text:>width$}", column.title);
    }
}

fn table(out: &mut String, rows: &[Value], columns: &[Column], bold: bool) {
    let is_shown = |column: &&Column| {
        column.unit != Unit::Rate || rows.iter().any(|row| row.get(column.key).is_some_and(|value| !value.is_null()))
    };
    let columns: Vec<&Column> = columns.iter().filter(is_shown).collect();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| column.unit.text(row.get(column.key))).collect()).collect();
    let width = |at: usize, title: &str| {
        let widest = cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).max(title.chars().count())
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(|(at, column)| width(at, column.title)).collect();
    let line = |texts: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for ((text, column), width) in texts.zip(&columns).zip(&widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let (left, right) = if column.unit.is_right() { (0, *width) } else { (*width, 0) };
            let _ = write!(line, "{:<left$}", format!("{text:>right$}"));
        }
        line.trim_end().to_owned()
    };
    let header = line(&mut columns.iter().map(|column| column.title));
    let _ = writeln!(out, "{}", emphasis(&header, bold));
    for row in &cells {
        let _ = writeln!(out, "{}", line(&mut row.iter().map(String::as_str)));
    }
}

/// The text in bold, if it may be.
pub(super) fn emphasis(text: &str, bold: bool) -> String {
    if bold { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

impl Unit {
    fn is_right(self) -> bool {
        matches!(self, Self::Count | Self::Bytes | Self::Rate | Self::Share)
    }

    /// The value in words; what is missing is blank.
    pub(super) fn text(self, value: Option<&Value>) -> String {
        let Some(value) = value.filter(|value| !value.is_null()) else { return String::new() };
        match self {
            Self::Bytes => value.as_u64().map_or_else(|| plain(value), bytes),
            Self::Rate => value.as_u64().map_or_else(|| plain(value), rate),
            Self::Ago => value.as_u64().map_or_else(|| plain(value), ago),
            Self::Time => value.as_u64().map_or_else(|| plain(value), time),
            Self::Share => value.as_f64().map_or_else(|| plain(value), |share| format!("{:.1} %", share * 100.0)),
            Self::Flag => value.as_bool().map_or_else(|| plain(value), |yes| if yes { "yes" } else { "no" }.to_owned()),
            Self::List | Self::Words => {
                let between = if self == Self::List { ", " } else { " " };
                value
                    .as_array()
                    .map_or_else(|| plain(value), |all| all.iter().map(plain).collect::<Vec<_>>().join(between))
            }
            Self::Text | Self::Count => plain(value),
        }
    }
}

/// What a terminal would take for an order is not written: names come from files that others wrote.
fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Bytes as `wg show` writes them.
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 || unit == "TiB" {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.2} {unit}") };
        }
        value /= 1024.0;
    }
    unreachable!("TiB ends the loop")
}

/// Bits a second, as they are sold: by thousands.
pub(super) fn rate(bits: u64) -> String {
    let mut value = bits as f64;
    for unit in ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"] {
        // What would be written as 1000.00 is 1.00 of the next.
        if value < 999.995 || unit == "Gbit/s" {
            return if unit == "bit/s" { format!("{bits} {unit}") } else { format!("{value:.2} {unit}") };
        }
        value /= 1000.0;
    }
    unreachable!("Gbit/s ends the loop")
}

/// A time of UTC; what lies beyond the year 9999 as it is.
fn time(ms: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(ms));
    match time.filter(|_| ms < END_OF_9999_MS) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => ms.to_string(),
    }
}

/// A time since in its two largest units, as `wg show` has it.
fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    let parts = [
        (seconds / 86400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .take(2)
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() { "now".to_owned() } else { words.join(", ") + " ago" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PARTS: &[Part] = &[
        rows(
            "rows",
            &[
                column("name", "name", Unit::Text),
                column("n", "packets", Unit::Count),
                column("hint", "hint", Unit::Text),
            ],
        )
        .titled("Rows")
        .or("none"),
        one("one", &[column("a", "A", Unit::Count), column("long", "Long", Unit::Text), column("c", "C", Unit::Count)]),
    ];

    #[test]
    fn numbers_stand_right_and_words_left() {
        let answer = json!({
            "rows": [{"name": "wan", "n": 5, "hint": "x"}, {"name": "a-long-name", "n": 123456789, "hint": null}],
            "one": {"a": 7, "long": "text", "c": 1234},
        });
        let expected = "\
Rows
name           packets  hint
wan                  5  x
a-long-name  123456789
A        7
Long  text
C     1234
";
        assert_eq!(render(&answer, PARTS, false), expected);
        assert_eq!(render(&json!({ "rows": [] }), PARTS, false), "Rows\nnone\n");
        assert!(render(&answer, PARTS, true).starts_with("\x1b[1mRows\x1b[0m\n"));
    }

    #[test]
    fn units() {
        for (unit, value, text) in [
            (Unit::Bytes, json!(1023), "1023 B"),
            (Unit::Bytes, json!(1536), "1.50 KiB"),
            (Unit::Bytes, json!(u64::MAX), "16777216.00 TiB"),
            (Unit::Ago, json!(63_999), "1 minute, 3 seconds ago"),
            (Unit::Ago, json!(90_000_000), "1 day, 1 hour ago"),
            (Unit::Ago, json!(3), "now"),
            (Unit::Rate, json!(999), "999 bit/s"),
            (Unit::Rate, json!(999_996), "1.00 Mbit/s"),
            (Unit::Rate, json!(123_456_789_000_u64), "123.46 Gbit/s"),
            (Unit::Time, json!(END_OF_9999_MS - 1), "9999-12-31T23:59:59.999Z"),
            (Unit::Time, json!(u64::MAX), "18446744073709551615"),
            (Unit::Share, json!(0.5), "50.0 %"),
            (Unit::Flag, json!(false), "no"),
            (Unit::List, json!(["10.0.0.0/8", "::/0"]), "10.0.0.0/8, ::/0"),
            (Unit::Text, json!("\x1b[31mred\n"), "\u{fffd}[31mred\u{fffd}"),
            (Unit::Count, json!(null), ""),
        ] {
            assert_eq!(unit.text(Some(&value)), text);
        }
    }
}
