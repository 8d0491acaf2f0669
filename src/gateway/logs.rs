//! The log of culvertd: text or JSON on the standard error, or journald; and a level that a running gateway can be told.
//!
//! DPDK's own lines come by the same way (`dpdk/eal_log.rs`), with the target `dpdk`. What a line is about stands in fields: `peer`,
//! `port`, `interface`. In text, the sentence names it already.

use super::warnings::Warnings;
use crate::config::LogFormat;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Fields that a sentence names by itself.
pub(super) const NAMED: [&str; 3] = ["peer", "port", "interface"];

/// Sets the log up in this form; how much is said, `CULVERT_LOG` tells (`info` without). Once, at the start of the process; a
/// second call does nothing. Main thread.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env("CULVERT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let (form, lost) = match form(format, std::env::var("JOURNAL_STREAM").ok().as_deref(), stderr_file()) {
        Form::Journald => match journald() {
            Ok(layer) => (layer.boxed(), None),
            Err(error) => (text(io::stderr, false).boxed(), Some(error)),
        },
        Form::Json => (json(io::stderr).boxed(), None),
        Form::Text => (text(io::stderr, io::stderr().is_terminal()).boxed(), None),
    };
    if tracing_subscriber::registry().with(filter).with(form).with(Warnings).try_init().is_ok() {
        let _first = FILTER.set(handle);
    }
    if let Some(error) = lost {
        tracing::warn!("journald does not take the log ({error}): it goes to the standard error");
    }
}

/// What is logged from now on: `off`, `error`, `warn`, `info`, `debug`, `trace`, or what `CULVERT_LOG` takes. Any thread but data cores.
///
/// # Errors
/// It is no such word, or the log is not culvert's.
pub(super) fn set(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("{level:?} is no log level: {error}"))?;
    let handle = FILTER.get().ok_or("the log of this process was set up by another program")?;
    handle.reload(filter).map_err(|error| error.to_string())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Journald,
}

/// What `auto` comes to. systemd says in `$JOURNAL_STREAM` (`device:inode`) which file it connected to journald; whoever
/// redirects the standard error elsewhere has the variable all the same (systemd.exec(5)).
fn form(format: LogFormat, journal_stream: Option<&str>, stderr: Option<(u64, u64)>) -> Form {
    match format {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
        LogFormat::Journald => Form::Journald,
        LogFormat::Auto => {
            let of_systemd = journal_stream
                .and_then(|stream| stream.split_once(':'))
                .and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
            if of_systemd.is_some() && of_systemd == stderr { Form::Journald } else { Form::Text }
        }
    }
}

/// Device and inode of the standard error.
fn stderr_file() -> Option<(u64, u64)> {
    let metadata = std::fs::metadata("/proc/self/fd/2").ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn text<S, W>(writer: W, colours: bool) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    let fields = debug_fn(|out: &mut Writer<'_>, field, value| match field.name() {
        "message" => write!(out, "{}", harmless(&format!("{value:?}"))),
        name if NAMED.contains(&name) => Ok(()),
        name => write!(out, " {name}={}", harmless(&format!("{value:?}"))),
    });
    fmt::layer().with_writer(writer).with_target(false).with_ansi(colours).fmt_fields(fields)
}

fn json<S, W>(writer: W) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(writer)
}

/// Fields go as they are called: `PEER=`, `PORT=`, `INTERFACE=`, `TARGET=`.
fn journald() -> io::Result<tracing_journald::Layer> {
    let priorities =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    let layer = tracing_journald::layer()?.with_field_prefix(None).with_priority_mappings(priorities);
    Ok(layer.with_syslog_identifier("culvertd".into()))
}

/// Text that does nothing to the terminal that shows it, and whose further lines are not taken for some of the log's: they stand to the right.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\n    "),
            _ if letter.is_control() => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn journald_has_the_log_only_where_it_has_the_standard_error() {
        let stderr = Some((8, 4711));
        for (stream, stderr, due) in [
            (Some("8:4711"), stderr, Form::Journald),
            (Some("8:4712"), stderr, Form::Text),
            (Some("9:4711"), stderr, Form::Text),
            (Some("8"), stderr, Form::Text),
            (Some(""), None, Form::Text),
            (Some("8:4711"), None, Form::Text),
            (None, stderr, Form::Text),
            (None, None, Form::Text),
        ] {
            assert_eq!(form(LogFormat::Auto, stream, stderr), due, "{stream:?} {stderr:?}");
        }
        for (format, due) in
            [(LogFormat::Text, Form::Text), (LogFormat::Json, Form::Json), (LogFormat::Journald, Form::Journald)]
        {
            assert_eq!(form(format, Some("8:4711"), stderr), due);
        }
        assert!(stderr_file().is_some());
    }

    /// What is written while `say` runs.
    fn written<L: Layer<Registry> + Send + Sync>(
        layer: impl FnOnce(Box<dyn Fn() -> Sink + Send + Sync>) -> L,
        say: impl FnOnce(),
    ) -> String {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink(Arc::clone(&bytes));
        let subscriber = tracing_subscriber::registry().with(layer(Box::new(move || sink.clone())));
        tracing::subscriber::with_default(subscriber, say);
        let bytes = bytes.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[derive(Clone)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say() {
        tracing::warn!(port = "wan", peer = %"laptop", queues = 4, "port wan: a line\u{1b}[2J");
        tracing::error!(target: "dpdk", "EAL: \"quoted\"");
    }

    #[test]
    fn nobody_makes_a_line_of_the_log() {
        let text =
            written(|writer| text(writer, false), || tracing::warn!("file a\n1970-01-01T00:00:00Z  WARN forged"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(" WARN file a") && lines[1] == "    1970-01-01T00:00:00Z  WARN forged", "{text:?}");
    }

    #[test]
    fn text_is_a_sentence_and_harmless() {
        let text = written(|writer| text(writer, false), say);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("  WARN port wan: a line\\u{1b}[2J queues=4"), "{text:?}");
        assert!(lines[1].ends_with(" ERROR EAL: \"quoted\"") && lines.len() == 2, "{text:?}");
    }

    #[test]
    fn json_is_an_object_a_line_with_fields_of_its_own() {
        let text = written(json, say);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&lines[0]["level"], &lines[0]["port"], &lines[0]["peer"]),
            (&"WARN".into(), &"wan".into(), &"laptop".into())
        );
        assert_eq!((&lines[0]["message"], &lines[0]["queues"]), (&"port wan: a line\u{1b}[2J".into(), &4.into()));
        assert!(lines[0]["timestamp"].is_string());
        assert_eq!((&lines[1]["target"], &lines[1]["message"]), (&"dpdk".into(), &"EAL: \"quoted\"".into()));
        assert_eq!(lines.len(), 2);
    }
}
