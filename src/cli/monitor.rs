//! `monitor`: what happens, a line each, as it happens.

use super::ask::ask_desk;
use super::front::{Failure, Settings, TICK};
use super::render::{Column, Unit, column, emphasis};
use crate::api::Request;
use serde_json::{Value, json};
use std::io::Write;

/// Events that are asked for at once.
const AT_ONCE: u32 = 256;
/// Ticks between two questions.
const TICKS: u32 = 4;

/// What is shown of an event.
pub(super) const COLUMNS: &[Column] = &[
    column("at_ms", "time", Unit::Time),
    column("event", "event", Unit::Text),
    column("who", "who", Unit::Text),
    column("text", "what", Unit::Text),
];

/// Follows the events from now on until Ctrl-C, or until the gateway is gone. The gateway keeps them for all who ask: who reads too slowly
/// is told how many it lost, and that another gateway answers, whose events are counted anew.
pub(super) fn monitor(settings: &Settings, out: &mut dyn Write) -> Result<(), Failure> {
    let page = |after, limit| ask_desk(settings, &Request::ShowEvents { after, limit: Some(limit) });
    let mut last = number(&page(None, 0)?, "last");
    while !settings.is_interrupted() {
        let answer = page(Some(last), AT_ONCE)?;
        if number(&answer, "last") < last {
            let anew = "(the gateway began anew)".to_owned();
            writeln!(out, "{}", if settings.json { json!({ "anew": true }).to_string() } else { anew })?;
            last = 0;
            continue;
        }
        let lost = number(&answer, "lost");
        if lost > 0 {
            writeln!(out, "{}", if settings.json { json!({ "lost": lost }).to_string() } else { lines_lost(lost) })?;
            last += lost;
        }
        let events = answer.get("events").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for event in events {
            let line = if settings.json { event.to_string() } else { line(event, settings.bold) };
            writeln!(out, "{line}")?;
            last = event.get("number").and_then(Value::as_u64).unwrap_or(last);
        }
        out.flush()?;
        // There may be more at once.
        let ticks = if events.len() < AT_ONCE as usize { TICKS } else { 0 };
        (0..ticks).take_while(|_| !settings.is_interrupted()).for_each(|_| std::thread::sleep(TICK));
    }
    Ok(())
}

fn number(answer: &Value, key: &str) -> u64 {
    answer.get("count").and_then(|count| count.get(key)).and_then(Value::as_u64).unwrap_or(0)
}

fn lines_lost(lost: u64) -> String {
    format!("({lost} events were gone before they could be read)")
}

fn line(event: &Value, bold: bool) -> String {
    let text = |column: &Column| column.unit.text(event.get(column.key));
    let texts: Vec<String> = COLUMNS.iter().map(text).collect();
    match &texts[..] {
        [time, kind, who, what] => format!("{time}  {}  {who}: {what}", emphasis(&format!("{kind:<10}"), bold)),
        _ => texts.join("  "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event = json!({
            "number": 7, "at_ms": 1_700_000_000_123_u64, "event": "connected", "who": "wg0 lap\ntop", "text": "from 192.0.2.7:4",
        });
        assert_eq!(line(&event, false), "2023-11-14T22:13:20.123Z  connected   wg0 lap\u{fffd}top: from 192.0.2.7:4");
        assert!(line(&json!({}), false).ends_with(": "), "nothing that an answer lacks ends it");
    }
}
