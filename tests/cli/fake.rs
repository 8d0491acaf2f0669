//! What is said of a gateway's answers, held against one that answers as a test likes.

use crate::culvert;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A gateway that says what `answer` says to each question, on a thread that ends with the process.
pub(crate) fn gateway(folder: &Path, mut answer: impl FnMut(Value) -> String + Send + 'static) -> PathBuf {
    let path = folder.join("culvert.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = String::new();
            BufReader::new(&stream).read_line(&mut question).unwrap();
            // Whoever asked may be gone.
            let _broken_pipe = stream.write_all(answer(serde_json::from_str(&question).unwrap()).as_bytes());
        }
    });
    path
}

/// Who closes the connection without a word is no gateway of another version.
#[test]
fn an_answer_that_breaks_off_is_told_as_such() {
    for said in ["", "{\"account\""] {
        let folder = tempfile::tempdir().unwrap();
        let path = gateway(folder.path(), move |_| said.to_owned());
        let output = culvert(&["--socket", path.to_str().unwrap(), "show", "account"], b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("broke off its answer"), "{said}");
        assert!(said.contains("Does culvertd still run?"), "{said}");
    }
}

/// Events 1 to 6 were gone before they were asked for; after the 8th there is no gateway.
fn slow(question: Value) -> String {
    let event = |number: u64| {
        let text = format!("from 192.0.2.{number}:7");
        json!({ "number": number, "at_ms": number * 1000, "event": "connected", "who": "wg0 laptop", "text": text })
    };
    let answer = match (&question["after"], &question["limit"]) {
        (Value::Null, limit) if *limit == 0 => json!({ "events": [], "count": { "last": 2, "lost": 0 } }),
        (after, _) if *after == 2 => json!({ "events": [event(7)], "count": { "last": 7, "lost": 4 } }),
        (after, _) if *after == 7 => json!({ "events": [event(8)], "count": { "last": 8, "lost": 0 } }),
        _ => json!({ "error": "enough" }),
    };
    format!("{answer}\n")
}

#[test]
fn a_slow_reader_of_events_is_told_what_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = gateway(folder.path(), slow);
    let monitor = |more: &[&str]| {
        let output = culvert(&[&["--socket", path.to_str().unwrap(), "monitor"][..], more].concat(), b"");
        assert!(String::from_utf8(output.stderr).unwrap().contains("enough"));
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        monitor(&[]),
        "(4 events were gone before they could be read)\n\
         1970-01-01T00:00:07.000Z  connected   wg0 laptop: from 192.0.2.7:7\n\
         1970-01-01T00:00:08.000Z  connected   wg0 laptop: from 192.0.2.8:7\n"
    );
    let rows = monitor(&["--json"]);
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rows[0], &rows[1]["number"], rows.len()), (&json!({ "lost": 4 }), &json!(7), 3));
    assert_eq!(monitor(&["|", "exclude", "gone", "|", "count"]), "2\n");
}

/// Events 1 to 5, then another gateway with one of its own.
#[test]
fn another_gateways_events_are_followed_from_its_first() {
    let event = |number: u64| json!({ "number": number, "at_ms": 0, "event": "link", "who": "wan", "text": "up" });
    let mut asked = 0;
    let folder = tempfile::tempdir().unwrap();
    let path = gateway(folder.path(), move |question: Value| {
        asked += 1;
        let answer = match (asked, &question["after"]) {
            (1, Value::Null) => json!({ "events": [], "count": { "last": 5, "lost": 0 } }),
            (2, after) if *after == 5 => json!({ "events": [], "count": { "last": 1, "lost": 0 } }),
            (3, after) if *after == 0 => json!({ "events": [event(1)], "count": { "last": 1, "lost": 0 } }),
            _ => json!({ "error": "enough" }),
        };
        format!("{answer}\n")
    });
    let output = culvert(&["--socket", path.to_str().unwrap(), "monitor"], b"");
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["(the gateway began anew)", "1970-01-01T00:00:00.000Z  link        wan: up"]);
}
