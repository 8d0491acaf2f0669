//! What a run counted, as testpmd tells it.

use super::Mode;
use super::lab::LabPort;
use super::stream::{Counted, Counts, Way};
use crate::dpdk::PortError;
use crate::gateway::port_rows::less;
use crate::peer::Tally;
use crate::queue::sync::Arc;
use serde_json::{Value, json};

/// The counts of the run that is on, or of the last one.
#[derive(Default)]
pub(super) struct Statistics {
    mode: Mode,
    streams: Vec<Counting>,
    /// Of the tunnels of a `wireguard` run.
    handshakes: Arc<Tally>,
}

struct Counting {
    way: Way,
    counts: Arc<Counts>,
    /// Where what is shown begins.
    base: Counted,
}

impl Statistics {
    pub(super) fn new(mode: Mode, streams: Vec<(Way, Arc<Counts>)>) -> Self {
        let counting = |(way, counts)| Counting { way, counts, base: Counted::default() };
        Self { mode, streams: streams.into_iter().map(counting).collect(), handshakes: Arc::default() }
    }

    /// With the handshakes of its tunnels.
    pub(super) fn with_handshakes(self, handshakes: Arc<Tally>) -> Self {
        Self { handshakes, ..self }
    }

    /// What is shown begins now.
    pub(super) fn clear(&mut self) {
        for stream in &mut self.streams {
            stream.base = stream.counts.read();
        }
    }

    /// The sum over the streams that `of` takes, as it is shown.
    pub(super) fn sum(&self, of: impl Fn(&Way) -> bool) -> Counted {
        let all = self.streams.iter().filter(|stream| of(&stream.way));
        all.fold(Counted::default(), |sum, stream| sum.plus(&stream.counts.read().since(&stream.base)))
    }

    /// `show fwd stats all`, for these ports. What ports took and gave is the devices' count, as in testpmd.
    pub(super) fn json<'p>(
        &self,
        ports: impl Iterator<Item = &'p LabPort>,
        recorded_mhz: Option<u64>,
    ) -> Result<Value, PortError> {
        let mut rows = Vec::new();
        let mut total = [0; 5];
        for lab in ports {
            let id = lab.port.id().0;
            let device = less(&lab.port.stats()?, &lab.base);
            let (came, went) = (self.sum(|way| way.rx_port == id), self.sum(|way| way.tx_port == id));
            let numbers = [device.ipackets, device.imissed, device.opackets, went.tx_dropped, device.rx_nombuf];
            total.iter_mut().zip(numbers).for_each(|(sum, n)| *sum += n);
            let mut row = block(numbers);
            (row["port"], row["name"]) = (json!(id), json!(lab.port.name()));
            row["rx_errors"] = json!(device.ierrors);
            if self.mode == Mode::Csum {
                (row["bad_ipcsum"], row["bad_l4csum"]) = (json!(came.bad_ip), json!(came.bad_l4));
            }
            rows.push(row);
        }
        let mut answer = json!({ "fwd_stats": rows, "fwd_total": block(total) });
        if self.streams.len() > rows_of(&answer) {
            answer["fwd_streams"] = self.streams.iter().map(Counting::json).collect();
        }
        let all = self.sum(|_| true);
        if self.mode == Mode::Wireguard {
            answer["wireguard"] = wireguard(&all);
            answer["wireguard"]["handshakes"] = json!(self.handshakes.get());
        }
        if let Some(mhz) = recorded_mhz {
            let packets = if self.mode.counts_by_sent() { total[2] } else { total[0] };
            answer["fwd_cycles"] =
                json!({ "cycles": all.cycles, "packets": packets, "mode": self.mode.name(), "mhz": mhz });
        }
        Ok(answer)
    }

    /// What is wrong with the crypto of a `wireguard` run, if anything is: since its start, whatever was cleared.
    pub(super) fn complaint(&self) -> Option<String> {
        let all = self.streams.iter().fold(Counted::default(), |sum, stream| sum.plus(&stream.counts.read()));
        let bad = all.bad_tag + all.replayed + all.bad_inner;
        if self.mode != Mode::Wireguard || all.made == 0 {
            None
        } else if bad > 0 {
            Some(format!("wireguard: {bad} packets came back damaged, or twice"))
        } else if all.sent == 0 {
            Some(format!(
                "wireguard: none of {} packets could be sent: is the link up (`show port summary all`)?",
                all.made
            ))
        } else if all.good == 0 {
            Some("wireguard: none of the packets came back: is there a cable between the ports, or a loop?".to_owned())
        } else {
            None
        }
    }
}

fn rows_of(answer: &Value) -> usize {
    answer.get("fwd_stats").and_then(Value::as_array).map_or(0, Vec::len)
}

fn block([rx_packets, rx_dropped, tx_packets, tx_dropped, rx_nombuf]: [u64; 5]) -> Value {
    json!({
        "rx_packets": rx_packets, "rx_dropped": rx_dropped, "tx_packets": tx_packets, "tx_dropped": tx_dropped,
        "rx_nombuf": rx_nombuf,
    })
}

fn wireguard(all: &Counted) -> Value {
    let back = all.good + all.bad_tag + all.bad_inner;
    json!({
        "sealed": all.sent, "good": all.good, "missing": all.sent.saturating_sub(back), "bad_tag": all.bad_tag,
        "replayed": all.replayed, "bad_inner": all.bad_inner, "stray": all.stray,
    })
}

impl Counting {
    fn json(&self) -> Value {
        let counted = self.counts.read().since(&self.base);
        json!({
            "rx_port": self.way.rx_port, "rx_queue": self.way.rx_queue, "tx_port": self.way.tx_port,
            "tx_queue": self.way.tx_queue, "rx_packets": counted.received, "tx_packets": counted.sent,
            "tx_dropped": counted.tx_dropped,
        })
    }
}
