//! What Prometheus is told: `http://127.0.0.1:9586/metrics`, in OpenMetrics' or Prometheus' own text, whichever is asked for.
//!
//! The counters are read when somebody asks, and by loads alone: no worker does anything for it. All work is one
//! thread's, on the control threads' core, and an answer is kept (`cache.rs`), so that whoever asks every 10 ms costs no more than
//! whoever asks twice a second.

mod cache;
mod peers;
mod server;
mod source;
mod totals;

#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;

pub use server::MetricsServer;
pub use source::{CoreTotals, DeviceTotals, InterfaceTotals, PeerSample, PeerSamples, PortTotals, Source, Totals};

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;

/// Labels of a sample.
type Labels<'a> = [(&'static str, &'a str)];

/// Writes one family after the other.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    /// A family of counters; OpenMetrics puts `_total` behind the name.
    fn counters(&mut self, name: &str, help: &str, write: impl FnOnce(&mut Samples<'_>) -> fmt::Result) -> fmt::Result {
        self.family(name, help, MetricType::Counter, write)
    }

    fn gauges(&mut self, name: &str, help: &str, write: impl FnOnce(&mut Samples<'_>) -> fmt::Result) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, write)
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, kind)?;
        write(&mut Samples { encoder, is_counter: matches!(kind, MetricType::Counter) })
    }
}

/// The samples of one family.
struct Samples<'e> {
    encoder: MetricEncoder<'e>,
    is_counter: bool,
}

impl Samples<'_> {
    fn add(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        if labels.is_empty() {
            return Self::encode(&mut self.encoder, self.is_counter, value);
        }
        Self::encode(&mut self.encoder.encode_family(&labels)?, self.is_counter, value)
    }

    fn encode(encoder: &mut MetricEncoder<'_>, is_counter: bool, value: u64) -> fmt::Result {
        if is_counter {
            return encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None);
        }
        // The encoder's own gauges are signed.
        encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }
}
