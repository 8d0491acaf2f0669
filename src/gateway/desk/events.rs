//! What happened, in words.

use super::Desk;
use crate::api::Request;
use crate::config::keys::to_base64;
use crate::control::events::{Event, KEPT, Page, Peer, Silence, What};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;

/// Events shown without a `limit`.
const LIMIT: u32 = 20;

impl Desk {
    /// The latest, or with `after` those behind that number.
    pub(super) fn events(&self, after: Option<u64>, limit: Option<u32>) -> Value {
        let most = usize::try_from(limit.unwrap_or(LIMIT)).unwrap_or(KEPT);
        let events = &self.context.events;
        let Page { events, last, lost } = match after {
            Some(after) => events.after(after, most),
            None => events.latest(most),
        };
        json!({
            "events": events.iter().map(|event| self.event(event)).collect::<Vec<_>>(),
            "count": { "last": last, "lost": lost },
        })
    }

    /// The answer to a process of user `uid`, which handed over `file`; if it changed something, that is told.
    pub(in crate::gateway) fn serve(
        &self,
        request: &Request,
        file: Option<OwnedFd>,
        uid: u32,
    ) -> Result<Value, String> {
        let answer = self.answer(request, file)?;
        let looks = request.only_shows() || matches!(request, Request::ConfigDiff { .. });
        if !looks {
            // Arguments may be secret.
            let what = What::Order { request: request.name(), uid };
            self.context.events.push(self.context.environment.wall_clock(), what);
        }
        Ok(answer)
    }

    fn event(&self, event: &Event) -> Value {
        let (kind, who, text) = match &event.what {
            What::Connected { peer, endpoint } => ("connected", self.who(peer), format!("from {endpoint}")),
            What::Roamed { peer, from, to } => ("roamed", self.who(peer), format!("from {from} to {to}")),
            What::Silent { peer, silence } => {
                let how = match silence {
                    Silence::NoAnswer => "it answered none of 90 s of initiations",
                    Silence::Idle => "no handshake for 540 s",
                };
                ("silent", self.who(peer), how.to_owned())
            }
            What::Link { port, up } => ("link", port.clone(), if *up { "up" } else { "down" }.to_owned()),
            What::Handshakes { reason, messages } => {
                ("handshakes", (*reason).to_owned(), format!("{messages} messages came to nothing"))
            }
            What::Order { request, uid } => ("order", format!("user {uid}"), request.clone()),
            What::Reload { text } => ("reload", "SIGHUP".to_owned(), text.clone()),
            What::Warning { text } => ("warning", "culvertd".to_owned(), text.clone()),
        };
        let mut row = json!({
            "number": event.number,
            "at_ms": u64::try_from(event.at.as_millis()).unwrap_or(u64::MAX),
            "event": kind,
            "who": who,
            "text": text,
            "interface": null,
            "public_key": null,
            "endpoint": null,
        });
        if let What::Connected { peer, .. } | What::Roamed { peer, .. } | What::Silent { peer, .. } = &event.what {
            row["interface"] = json!(self.interface_of(peer));
            row["public_key"] = json!(to_base64(&peer.public_key));
        }
        if let What::Connected { endpoint, .. } | What::Roamed { to: endpoint, .. } = &event.what {
            row["endpoint"] = json!(endpoint.to_string());
        }
        row
    }

    fn who(&self, peer: &Peer) -> String {
        let name = peer.name.clone().unwrap_or_else(|| to_base64(&peer.public_key).to_string());
        format!("{} {name}", self.interface_of(peer))
    }

    fn interface_of(&self, peer: &Peer) -> &str {
        self.shared.tunnel(peer.tunnel).map_or("?", |tunnel| tunnel.name.as_str())
    }
}
