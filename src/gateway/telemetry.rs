//! What DPDK's telemetry socket is asked about culvert: the numbers of [`super::metrics`], for those who have `dpdk-telemetry.py` at hand.

use super::StartError;
use super::metrics::Numbers;
use crate::dpdk::{Eal, Telemetry, TelemetryAnswer, TelemetryValue};
use crate::metrics::{CoreTotals, InterfaceTotals, Source, Totals};
use crate::queue::sync::Arc;
use crate::shared::DropReason;
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// The commands and their help.
const COMMANDS: [(&CStr, &CStr); 5] = [
    (c"/culvert/peers/summary", c"Peers, and those with a session, in all and by interface. No parameters"),
    (c"/culvert/drops", c"Packets dropped by reason, on the data path and by control threads. No parameters"),
    (c"/culvert/ports", c"Packets and bytes by port. No parameters"),
    (c"/culvert/cores", c"What each data core does, in short. No parameters"),
    (c"/culvert/core", c"What a data core does, by stage. Parameters: its number"),
];

/// An answer is at least so long as good as a new one.
const KEEP: Duration = Duration::from_millis(250);
/// And this many times as long as it took to count: however often somebody asks, the peers are walked over a tenth of the time.
const REST: u32 = 9;

/// Has the commands answered while the result lives. Main thread.
pub(super) fn serve(eal: &Eal, numbers: Arc<Numbers>) -> Result<Telemetry, StartError> {
    let mut kept = Kept::default();
    let answer =
        move |command: &str, parameters: &str| answer(kept.totals(&*numbers, Instant::now), command, parameters);
    Telemetry::serve(eal, &COMMANDS, answer).map_err(StartError::Telemetry)
}

/// The last count.
#[derive(Debug, Default)]
struct Kept {
    totals: Option<Totals>,
    good_until: Option<Instant>,
}

impl Kept {
    fn totals(&mut self, source: &dyn Source, clock: impl Fn() -> Instant) -> &Totals {
        let began = clock();
        if self.good_until.is_none_or(|until| began >= until) {
            self.totals = None;
        }
        self.totals.get_or_insert_with(|| {
            let totals = source.totals();
            let ended = clock();
            self.good_until = Some(ended + KEEP.max(ended.duration_since(began) * REST));
            totals
        })
    }
}

/// The answer to one of [`COMMANDS`]; `None`: there is no such core, or no such command.
fn answer(totals: &Totals, command: &str, parameters: &str) -> Option<TelemetryAnswer> {
    match command {
        "/culvert/peers/summary" => Some(peers(totals)),
        "/culvert/drops" => Some(drops(totals)),
        "/culvert/ports" => Some(ports(totals)),
        "/culvert/cores" => Some(cores(totals)),
        "/culvert/core" => totals.cores.iter().find(|core| core.name == format!("core-{parameters}")).map(core),
        _ => None,
    }
}

fn number(name: impl Into<String>, value: u64) -> (String, TelemetryValue) {
    (name.into(), TelemetryValue::Number(value))
}

fn peers(totals: &Totals) -> TelemetryAnswer {
    let all = &totals.interfaces;
    let mut answer = vec![number("peers", all.iter().map(|i| i.peers).sum())];
    answer.extend(all.iter().map(|i| i.connected).sum::<Option<u64>>().map(|connected| number("connected", connected)));
    for InterfaceTotals { name, peers, connected, .. } in all {
        answer.push(number(format!("{name}/peers"), *peers));
        answer.extend(connected.map(|connected| number(format!("{name}/connected"), connected)));
    }
    answer
}

/// Those of which there are some: all of both sides would be more than an answer holds.
fn drops(totals: &Totals) -> TelemetryAnswer {
    let sides = [("data", &totals.account.drops), ("control", &totals.account.control_drops)];
    let of = |(side, drops): (&'static str, &Vec<(DropReason, u64)>)| {
        let row = |(reason, packets): &(DropReason, u64)| number(format!("{side}/{}", reason.name()), *packets);
        drops.iter().map(row).collect::<Vec<_>>()
    };
    sides.into_iter().flat_map(of).collect()
}

fn ports(totals: &Totals) -> TelemetryAnswer {
    let port = |port: &crate::metrics::PortTotals| {
        let of = |what: &str, value| number(format!("{}/{what}", port.name), value);
        [
            of("rx_packets", port.rx_packets),
            of("rx_bytes", port.rx_bytes),
            of("tx_packets", port.tx_packets),
            of("tx_bytes", port.tx_bytes),
        ]
    };
    totals.ports.iter().flat_map(port).collect()
}

fn cores(totals: &Totals) -> TelemetryAnswer {
    let of = |core: &CoreTotals| {
        let name = &core.name;
        [number(format!("{name}/turns"), core.turns), number(format!("{name}/busy_turns"), core.turns_busy)]
    };
    totals.cores.iter().flat_map(of).collect()
}

fn core(core: &CoreTotals) -> TelemetryAnswer {
    let mut answer = vec![
        ("name".to_owned(), TelemetryValue::Text(core.name.clone())),
        number("turns", core.turns),
        number("busy_turns", core.turns_busy),
        number("cycles_recording", u64::from(core.recording)),
        number("idle/cycles", core.idle_cycles),
    ];
    for (stage, spent) in &core.stages {
        let name = stage.name();
        answer.push(number(format!("{name}/cycles"), spent.cycles));
        answer.push(number(format!("{name}/packets"), spent.packets));
        answer.push(number(format!("{name}/units"), spent.units));
    }
    answer
}
