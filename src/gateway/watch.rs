//! What nobody tells of by itself is looked at once a second, on the control socket's thread: links, and handshakes that fail.

use super::desk::Desk;
use crate::control::events::What;
use crate::shared::DropReason;
use std::time::{Duration, Instant};

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(1);
/// How often each reason is told of, at most: a flood is an event now and then.
const HANDSHAKES_PERIOD: Duration = Duration::from_secs(10);
/// What handshake messages come to nothing of.
const REASONS: [DropReason; 5] = [
    DropReason::HandshakeRefused,
    DropReason::BadMac1,
    DropReason::UnderLoad,
    DropReason::RateLimited,
    DropReason::HandshakeFull,
];

/// What was seen last.
#[derive(Debug)]
pub(super) struct Watch {
    next: Instant,
    /// Of each port; `None`: its driver did not say.
    links: Vec<Option<bool>>,
    /// Messages told of, and when more are at the earliest.
    failures: [(u64, Instant); REASONS.len()],
}

impl Watch {
    /// What is the case now is no news.
    pub(super) fn new(desk: &Desk) -> Self {
        let now = Instant::now();
        let failures = REASONS.map(|reason| (desk.report.dropped(reason), now));
        Self { next: now + PERIOD, links: links(desk), failures }
    }

    /// Looks, if it is time.
    pub(super) fn tick(&mut self, desk: &Desk) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + PERIOD;
        desk.rates.forget(now);
        let tell = |what| desk.context.events.push(desk.context.environment.wall_clock(), what);
        let links = links(desk);
        for ((port, was), is) in desk.ports.iter().zip(&self.links).zip(&links) {
            if let Some(up) = is.filter(|_| was != is) {
                tell(What::Link { port: port.name().to_owned(), up });
            }
        }
        self.links = links;
        for (reason, (told, next)) in REASONS.into_iter().zip(&mut self.failures) {
            let messages = desk.report.dropped(reason).saturating_sub(*told);
            if messages > 0 && now >= *next {
                tell(What::Handshakes { reason: reason.name(), messages });
                (*told, *next) = (*told + messages, now + HANDSHAKES_PERIOD);
            }
        }
    }
}

fn links(desk: &Desk) -> Vec<Option<bool>> {
    desk.ports.iter().map(|port| port.link().ok().map(|link| link.up)).collect()
}
