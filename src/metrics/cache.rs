//! The answer, kept for a while: whoever asks more often gets the same one again.

use super::peers::Peers;
use super::source::Source;
use super::totals::Aggregates;
use hyper::body::Bytes;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer is at least so long as good as a new one.
const KEEP: Duration = Duration::from_millis(250);
/// And this many times as long as it took to make: so however many peers there are to look at, the thread is at it a tenth of the time.
const REST: u32 = 9;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which `promtool` and people with `curl` get.
    Prometheus,
}

impl Format {
    /// What an `Accept` header asks for.
    pub(super) fn asked(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The last answer, and where the next comes from.
#[derive(Debug)]
pub(super) struct Cache {
    registry: Registry,
    good_until: Option<Instant>,
    open_metrics: Bytes,
    prometheus: Bytes,
}

impl Cache {
    /// Nothing yet; `per_peer_max` peers will have series of their own.
    pub(super) fn new(source: Arc<dyn Source>, per_peer_max: usize) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Aggregates(Arc::clone(&source))));
        registry.register_collector(Box::new(Peers { source, most: per_peer_max }));
        Self { registry, good_until: None, open_metrics: Bytes::new(), prometheus: Bytes::new() }
    }

    /// The answer at `now`; `clock` tells how long it takes if it is made anew.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) fn answer(&mut self, format: Format, clock: impl Fn() -> Instant) -> Result<Bytes, std::fmt::Error> {
        let began = clock();
        if self.good_until.is_none_or(|until| began >= until) {
            let mut page = String::with_capacity(self.open_metrics.len());
            text::encode(&mut page, &self.registry)?;
            self.prometheus = prometheus_text(&page).into();
            self.open_metrics = page.into();
            let ended = clock();
            self.good_until = Some(ended + KEEP.max(ended.duration_since(began) * REST));
        }
        Ok(match format {
            Format::OpenMetrics => self.open_metrics.clone(),
            Format::Prometheus => self.prometheus.clone(),
        })
    }
}

/// The same in Prometheus' older text format: there a counter's family is called as its samples are, and nothing ends the page.
pub(super) fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            // Written with the type, which follows: only that says what the family is called.
            ["#", "HELP", _, words] => help = Some(words),
            ["#", "TYPE", name, kind] => {
                let total = if kind == "counter" { "_total" } else { "" };
                if let Some(help) = help.take() {
                    text.extend(["# HELP ", name, total, " ", help, "\n"]);
                }
                text.extend(["# TYPE ", name, total, " ", kind, "\n"]);
            }
            ["#", ..] => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text
}
