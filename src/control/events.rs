//! What happens to a gateway that people want to hear of, kept for a while: the last [`KEPT`] events, whoever reads them or not. Written
//! by threads that may lock, a few words each; the data path has no part in it.

use super::context::Context;
use super::record::{PeerRecord, PeerState};
use crate::frame::PacketPool;
use crate::shared::PeerFlow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Events that are kept, at most: who reads slower loses the oldest, and is told how many.
pub const KEPT: usize = 1024;
/// Bytes of an event's text, at most.
pub const LONGEST_TEXT: usize = 500;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The first of a gateway is 1; none is left out.
    pub number: u64,
    /// Since the Unix epoch, by the wall clock, which may jump.
    pub at: Duration,
    /// What it was.
    pub what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A peer has a session that had none.
    Connected {
        /// Which.
        peer: Peer,
        /// Where it is.
        endpoint: SocketAddr,
    },
    /// A peer with a session talks from elsewhere.
    Roamed {
        /// Which.
        peer: Peer,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// A peer that had a session has none.
    Silent {
        /// Which.
        peer: Peer,
        /// How that is known.
        silence: Silence,
    },
    /// A port's link came up, or went down.
    Link {
        /// The port's name.
        port: String,
        /// It is up.
        up: bool,
    },
    /// Handshake messages that came to nothing, of whomever.
    Handshakes {
        /// Why, as the drops are named.
        reason: &'static str,
        /// How many since this was last told.
        messages: u64,
    },
    /// Somebody changed something by the control socket.
    Order {
        /// The name of the request, as `set-log`.
        request: String,
        /// Whose process it was.
        uid: u32,
    },
    /// The files were read again because a signal said so.
    Reload {
        /// What became of it.
        text: String,
    },
    /// A line of the log.
    Warning {
        /// The line.
        text: String,
    },
}

/// How it is known that a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It answered none of 90 s of initiations.
    NoAnswer,
    /// There was no handshake for 540 s (PROTOCOL A7, T4), and nobody asked for one.
    Idle,
}

/// Which peer, as it was called then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its interface's number.
    pub tunnel: u8,
    /// Its public key.
    pub public_key: [u8; 32],
    /// Its name for people.
    pub name: Option<String>,
}

/// The last events of a gateway. Any thread but data cores, which never wait.
#[derive(Debug, Default)]
pub struct Events(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    kept: VecDeque<Event>,
}

/// Some events, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// These.
    pub events: Vec<Event>,
    /// The number of the last one that there is.
    pub last: u64,
    /// How many were gone before they were asked for.
    pub lost: u64,
}

impl Events {
    /// Keeps an event, and lets the oldest go where there are too many.
    pub fn push(&self, at: Duration, what: What) {
        let mut ring = self.lock();
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.last += 1;
        let number = ring.last;
        ring.kept.push_back(Event { number, at, what });
    }

    /// A line of the log, as far as there is room for it.
    pub fn warn(&self, at: Duration, text: &str) {
        let end = text.floor_char_boundary(LONGEST_TEXT);
        self.push(at, What::Warning { text: text.get(..end).unwrap_or_default().to_owned() });
    }

    /// Those behind number `after`, `most` of them, the oldest first.
    pub fn after(&self, after: u64, most: usize) -> Page {
        let ring = self.lock();
        let first = ring.kept.front().map_or(ring.last + 1, |event| event.number);
        let events = ring.kept.iter().filter(|event| event.number > after).take(most).cloned().collect();
        Page { events, last: ring.last, lost: first.saturating_sub(after.saturating_add(1)) }
    }

    /// The `most` latest, the oldest of them first.
    pub fn latest(&self, most: usize) -> Page {
        let ring = self.lock();
        let events = ring.kept.iter().skip(ring.kept.len().saturating_sub(most)).cloned().collect();
        Page { events, last: ring.last, lost: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: PacketPool> Context<A> {
    /// A peer is looked at, or has just `completed` a handshake: tells if it is there, or elsewhere, since that was last told.
    pub(super) fn tell_where(
        &self,
        record: &PeerRecord,
        state: &mut PeerState,
        flow: &PeerFlow<A::Packet>,
        completed: bool,
    ) {
        if !completed && state.told.is_none() {
            return;
        }
        let Some(endpoint) = flow.endpoint().map(|endpoint| endpoint.remote) else { return };
        let peer = || Peer::of(record, state);
        let what = match state.told {
            None => What::Connected { peer: peer(), endpoint },
            Some(from) if from != endpoint => What::Roamed { peer: peer(), from, to: endpoint },
            Some(_) => return,
        };
        state.told = Some(endpoint);
        self.events.push(self.environment.wall_clock(), what);
    }

    /// A peer has no session any more: tells if it was there.
    pub(super) fn tell_silent(&self, record: &PeerRecord, state: &mut PeerState, silence: Silence) {
        if state.told.take().is_some() {
            let what = What::Silent { peer: Peer::of(record, state), silence };
            self.events.push(self.environment.wall_clock(), what);
        }
    }
}

impl Peer {
    fn of(record: &PeerRecord, state: &PeerState) -> Self {
        Self { tunnel: record.tunnel, public_key: record.public_key, name: state.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(page: &Page) -> Vec<u64> {
        page.events.iter().map(|event| event.number).collect()
    }

    #[test]
    fn the_oldest_go_and_are_counted() {
        let events = Events::default();
        assert_eq!(events.after(0, 10), Page::default());
        let total = KEPT as u64 + 10;
        for n in 1..=total {
            events.push(Duration::from_secs(n), What::Link { port: "wan".into(), up: n % 2 == 0 });
        }
        let page = events.after(0, 3);
        assert_eq!((numbers(&page), page.last, page.lost), (vec![11, 12, 13], total, 10));
        let page = events.after(total - 2, usize::MAX);
        assert_eq!((numbers(&page), page.lost), (vec![total - 1, total], 0));
        assert_eq!(events.after(10, usize::MAX).events.len(), KEPT);
        for late in [total, total + 5, u64::MAX] {
            assert_eq!(events.after(late, 9), Page { events: Vec::new(), last: total, lost: 0 });
        }
        assert_eq!(numbers(&events.latest(2)), [total - 1, total]);
        assert_eq!(events.latest(usize::MAX).events.len(), KEPT);
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        let events = Events::default();
        events.warn(Duration::ZERO, &"€".repeat(LONGEST_TEXT));
        let What::Warning { text } = &events.latest(1).events[0].what else { unreachable!("it is one") };
        assert_eq!(text, &"€".repeat(LONGEST_TEXT / 3));
    }
}
