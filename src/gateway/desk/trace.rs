//! Where traced packets went, in words.

use super::Desk;
use crate::control::context::Context;
use crate::dpdk::{Pool, tsc_hz};
use crate::gateway::trace::{Names, Row};
use crate::queue::{FlowId, sync::Arc};
use crate::shared::{MOST_TRACED, Step};
use serde_json::{Value, json};

impl Desk {
    /// Traces the next packets that come.
    pub(super) fn trace_add(&self, packets: u32, peer: Option<&str>) -> Result<Value, String> {
        if !(1..=MOST_TRACED).contains(&packets) {
            return Err(format!("1 to {MOST_TRACED} packets can be traced at a time"));
        }
        let peer = peer.map(|peer| self.one_peer(peer)).transpose()?;
        let (data, control) = self.report.counters();
        let context = Arc::downgrade(&self.context);
        let names = Names::by(move |flow| name_of(&*context.upgrade()?, flow));
        self.trace.add(packets, peer, names, data.into_iter().chain(control).collect(), tsc_hz(&self.eal))?;
        Ok(json!({ "tracing": packets }))
    }

    /// What became of them.
    pub(super) fn show_trace(&self) -> Value {
        let run = self.trace.look();
        let steps = run.ways().zip(1..).flat_map(|(way, packet): (_, u32)| {
            let run = &run;
            way.iter().map(move |row| {
                let (step, what, reason) = self.step(row);
                json!({
                    "packet": packet, "cycles": row.cycles, "thread": run.thread(row), "step": step, "what": what, "reason": reason,
                })
            })
        });
        let steps: Vec<Value> = steps.collect();
        json!({
            "trace": {
                "state": run.state(), "wanted": run.wanted(), "begun": run.ways().count(), "complete": run.complete(),
                "lost": run.lost(),
            },
            "steps": steps,
        })
    }

    pub(super) fn clear_trace(&self) -> Value {
        self.trace.clear();
        json!({ "cleared": "trace" })
    }

    /// A step's name, what there is to say of it, and why it was the last if it was a drop.
    fn step(&self, row: &Row) -> (&'static str, String, Option<&'static str>) {
        let peer = || row.peer.as_deref().unwrap_or("a peer that is gone");
        let port = |id: u16| self.shared.port(id).map_or_else(|| format!("{id}"), |port| port.name.clone());
        match row.step {
            Step::Rx { port: id, place, burst } => {
                ("rx", format!("port {}, {} of a burst of {burst}", port(id), u32::from(place) + 1), None)
            }
            Step::ToOpen { .. } => ("classify", format!("a message of {}, to be opened", peer()), None),
            Step::ToSeal { .. } => ("classify", format!("a packet for {}, to be sealed", peer()), None),
            Step::ToHandshake => ("classify", "a handshake message, for a handshake thread".to_owned(), None),
            Step::ToControl => ("hand over", "to the control thread".to_owned(), None),
            Step::Waits => ("wait", "for a session".to_owned(), None),
            Step::Drain { place, chunk, seal } => {
                let what = if seal { "to seal" } else { "to open" };
                ("drain", format!("{} of a chunk of {chunk} {what}", u32::from(place) + 1), None)
            }
            Step::Aead { reason: None, counter } => ("aead", format!("good, counter {counter}"), None),
            Step::Aead { reason: Some(reason), .. } => ("aead", format!("refused: {}", reason.name()), None),
            Step::Release => ("release", "its turn has come".to_owned(), None),
            Step::Tx { port: id } => ("tx", format!("port {}", port(id)), None),
            Step::Drop { reason } => ("drop", format!("{}: {}", reason.name(), reason.hint()), Some(reason.name())),
        }
    }
}

/// What the peer of a flow is called, or its key.
fn name_of(context: &Context<Pool>, flow: u32) -> Option<String> {
    let record = context.directory.by_flow(FlowId(flow))?;
    let name = record.lock().name.clone();
    Some(name.unwrap_or_else(|| crate::config::keys::to_base64(&record.public_key).to_string()))
}
