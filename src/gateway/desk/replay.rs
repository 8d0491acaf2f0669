//! Whose messages the replay windows refused.

use super::Desk;
use super::peers::STRETCH;
use crate::config::keys::to_base64;
use crate::session::limits::REPLAY_WINDOW_USABLE;
use crate::shared::DropReason;
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Sessions shown without a `limit`.
const LIMIT: u32 = 20;
/// And at most.
const MOST: u32 = 10_000;

impl Desk {
    /// The sessions that live and have refused something, the most first.
    pub(super) fn replay(&self, limit: Option<u32>) -> Result<Value, String> {
        let limit = limit.unwrap_or(LIMIT);
        if limit > MOST {
            return Err(format!("limit is {MOST} at most"));
        }
        let mut reader = self.reader()?;
        let mut found = Vec::new();
        for tunnel in &self.shared.tunnels {
            for (at, record) in self.context.directory.all_of(tunnel.id).into_iter().enumerate() {
                if at % STRETCH == 0 {
                    reader.quiescent();
                }
                let Some(flow) = self.flow_of(&reader, &record) else { continue };
                let slots =
                    [("next", flow.keys.next()), ("current", flow.keys.current()), ("previous", flow.keys.previous())];
                for (slot, index) in slots {
                    let keypair = index.and_then(|index| self.shared.index.keypair(&reader, index));
                    let window = keypair.map(crate::session::Keypair::replay);
                    if let Some((window, refused)) = window.and_then(|window| Some((window, window.refused()?))) {
                        let greatest = window.greatest().unwrap_or(0);
                        found.push((
                            Reverse(refused.messages),
                            record.flow.0,
                            slot,
                            greatest,
                            refused.last,
                            record.clone(),
                        ));
                    }
                }
            }
        }
        found.sort_unstable_by_key(|(messages, flow, slot, ..)| (*messages, *flow, *slot));
        let sessions = found.len();
        found.truncate(limit as usize);
        let rows = found.into_iter().map(|(Reverse(refused), _, slot, greatest, last, record)| {
            json!({
                "interface": self.shared.tunnel(record.tunnel).map(|tunnel| &tunnel.name),
                "name": record.lock().name,
                "public_key": to_base64(&record.public_key),
                "session": slot,
                "refused": refused,
                "greatest": greatest,
                "last": last,
                "behind": greatest.saturating_sub(last),
                "window": REPLAY_WINDOW_USABLE,
            })
        });
        let rows: Vec<Value> = rows.collect();
        let dropped = self.report.dropped(DropReason::Replay);
        Ok(json!({ "count": { "dropped": dropped, "sessions": sessions, "shown": rows.len() }, "replay": rows }))
    }
}
