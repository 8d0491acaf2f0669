//! What is seen of a run from outside, and what must hold of each packet in it. It knows the keys of none: types, indexes and counters
//! of messages, and the packets of the hosts, tell enough.

use crate::network::Flight;
use crate::packets::heads;
use culvert::control::load::AFTERMATH_MS;
use culvert::session::limits::{
    KEEPALIVE_TIMEOUT_MS, MAX_TIMER_HANDSHAKES, REJECT_AFTER_TIME_MS, REKEY_TIMEOUT_JITTER_MAX_MS, REKEY_TIMEOUT_MS,
};
use std::collections::{HashMap, HashSet};

/// What a tick of the timing wheel may add to a deadline, ms.
const TICK_MS: u64 = 17;
/// A round of a handshake: until it is tried again, at the latest.
pub(crate) const ROUND_MS: u64 = REKEY_TIMEOUT_MS + REKEY_TIMEOUT_JITTER_MAX_MS + TICK_MS;
/// Data without any answer asks for a handshake at the latest after this (T3).
pub(crate) const UNANSWERED_MS: u64 = KEEPALIVE_TIMEOUT_MS + ROUND_MS;
/// Initiations to one peer, one after another: the first, the retries, and the one that notices.
const TRIES: u64 = MAX_TIMER_HANDSHAKES + 2;
/// So long after the last reason (data for the peer, or anything from it) the last initiation may go: T3 fires once more, and not if
/// a response of ours went just before; then all tries.
const LAST_TRY_MS: u64 = REKEY_TIMEOUT_MS + UNANSWERED_MS + TRIES * ROUND_MS;
/// Tries before T3 starts the count anew, and after.
const MOST_TRIES: u64 = TRIES + (REKEY_TIMEOUT_MS + UNANSWERED_MS).div_ceil(REKEY_TIMEOUT_MS);

/// A packet that a host sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) packet: Vec<u8>,
    /// The simulation's time, ms.
    pub(crate) at: u64,
    pub(crate) spoofed: bool,
    pub(crate) delivered: Option<u64>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, at, spoofed, .. } = self;
        write!(f, "{from} to {to} at {at} ms{}", if *spoofed { ", spoofed" } else { "" })
    }
}

/// One gateway's side towards one peer. All times are that gateway's boottime, ms.
#[derive(Debug, Default)]
struct Side {
    last_initiation: Option<u64>,
    last_response: Option<u64>,
    /// When something last gave it a reason to initiate.
    reason: u64,
    tries: u64,
    /// A persistent keepalive is a reason for ever.
    persistent: bool,
    /// Data came, and something has to go before this time (T2).
    answer_before: Option<u64>,
}

/// A key at one gateway, by the index that its messages carry.
#[derive(Clone, Copy, Debug)]
struct Key {
    made: u64,
    /// The least counter that was not sent under it.
    next: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) sent: Vec<Sent>,
    sides: HashMap<(usize, usize), Side>,
    /// By gateway and remote index.
    seals: HashMap<(usize, u32), Key>,
    /// By gateway and local index.
    opens: HashMap<(usize, u32), u64>,
    /// Initiations that were answered, by gateway and the initiator's index.
    answered: HashSet<(usize, u32)>,
    /// When which gateway was last flooded.
    flooded: HashMap<usize, u64>,
    /// Answers to strangers that it may still give.
    owed: HashMap<usize, u64>,
    /// Datagrams that gateways sent.
    pub(crate) datagrams: u64,
    /// Cookies for strangers.
    pub(crate) cookies: u64,
    /// Handshakes that gateways answered.
    pub(crate) responses: u64,
}

impl Watch {
    fn side(&mut self, at: usize, of: usize) -> &mut Side {
        self.sides.entry((at, of)).or_default()
    }

    /// A gateway sends to `to`, `now` by its boottime.
    pub(crate) fn sends(&mut self, from: usize, to: usize, payload: &[u8], now: u64) {
        self.datagrams += 1;
        self.side(from, to).answer_before = None;
        match (payload[0], payload.len()) {
            (1, 148) => self.initiates(from, to, now),
            (2, 92) => {
                self.responses += 1;
                let fresh = self.answered.insert((from, word(payload, 8)));
                assert!(fresh, "{from} answers an initiation of {to} twice");
                self.seals.insert((from, word(payload, 8)), Key { made: now, next: 0 });
                self.opens.insert((from, word(payload, 4)), now);
                self.side(from, to).last_response = Some(now);
            }
            (3, 64) => {
                let since = self.flooded.get(&from).map_or(u64::MAX, |flooded| now - flooded);
                assert!(since <= AFTERMATH_MS, "{from} asks {to} for a cookie {since} ms after a flood");
            }
            (4, 32..) => self.seals_one(from, payload, now),
            _ => panic!("{from} sends what is no message: {payload:02x?}"),
        }
    }

    fn initiates(&mut self, from: usize, to: usize, now: u64) {
        let side = self.side(from, to);
        let last = side.last_initiation.max(side.last_response);
        let gap = last.map_or(u64::MAX, |last| now - last);
        assert!(gap >= REKEY_TIMEOUT_MS, "{from} initiates to {to} {gap} ms after its last handshake message");
        side.last_initiation = Some(now);
        side.tries += 1;
        if !side.persistent {
            let since = now - side.reason;
            assert!(side.tries <= MOST_TRIES, "{from} tries {to} {} times without a reason", side.tries);
            assert!(since <= LAST_TRY_MS, "{from} still tries {to} {since} ms after the last reason");
        }
    }

    fn seals_one(&mut self, from: usize, payload: &[u8], now: u64) {
        let (index, counter) = (word(payload, 4), u64::from_le_bytes(*payload[8..].first_chunk().unwrap()));
        let key = self.seals.get_mut(&(from, index)).expect("data under a session that was never made");
        let age = now - key.made;
        assert!(age < REJECT_AFTER_TIME_MS, "{from} sends under a session of {age} ms");
        assert!(counter >= key.next, "{from} uses counter {counter} again, or out of order");
        key.next = counter + 1;
    }

    /// A datagram comes to a gateway; before it works on it.
    pub(crate) fn arrives(&mut self, at: usize, flight: &Flight, now: u64) {
        self.reason(at, flight.maker, now);
        let payload = &flight.payload;
        if payload[0] == 2 && payload.len() == 92 && flight.intact {
            // Only the first can be accepted.
            self.seals.entry((at, word(payload, 4))).or_insert(Key { made: now, next: 0 });
            self.opens.entry((at, word(payload, 8))).or_insert(now);
        }
    }

    /// Something that lets `at` initiate to `of`.
    pub(crate) fn reason(&mut self, at: usize, of: usize, now: u64) {
        let side = self.side(at, of);
        side.reason = now;
        side.tries = 0;
    }

    /// `at` keeps the way to `of` open from now on, or no more.
    pub(crate) fn persists(&mut self, at: usize, of: usize, now: u64, persistent: bool) {
        self.reason(at, of, now);
        self.side(at, of).persistent = persistent;
    }

    /// `at` knows nothing of its handshakes with `of` any more: another key, or a restart.
    pub(crate) fn begins_anew(&mut self, at: usize, of: usize, now: u64) {
        let side = self.side(at, of);
        (side.last_initiation, side.last_response, side.answer_before) = (None, None, None);
        self.reason(at, of, now);
    }

    /// All sessions of a gateway are gone.
    pub(crate) fn restarts(&mut self, at: usize) {
        self.seals.retain(|(node, _), _| *node != at);
        self.opens.retain(|(node, _), _| *node != at);
        self.forgets_answers(at);
    }

    /// A gateway forgot a peer's timestamps: it may answer again what it answered.
    pub(crate) fn forgets_answers(&mut self, at: usize) {
        self.answered.retain(|(node, _)| *node != at);
    }

    /// A gateway gives a packet to its host because of the datagram that just came (`None`: none came).
    pub(crate) fn delivers(&mut self, at: usize, packet: &[u8], cause: Option<&Flight>, now: u64, clock: u64) -> usize {
        let cause = cause.expect("a packet is delivered though nothing came");
        assert!(cause.intact && cause.payload[0] == 4, "a packet is delivered for a datagram that is no data");
        let made = self.opens[&(at, word(&cause.payload, 4))];
        let age = clock - made;
        assert!(age < REJECT_AFTER_TIME_MS, "{at} takes data under a session of {age} ms");
        let tag = crate::packets::tag(packet) as usize;
        let sent = self.sent.get_mut(tag).expect("a packet that nobody sent");
        assert_eq!(sent.to, at, "delivered to the wrong gateway");
        assert!(!sent.spoofed, "{at} delivers what {} sent in another's name", sent.from);
        assert!(sent.delivered.is_none(), "delivered twice: {tag}");
        let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
        let (was, is) = (heads(&sent.packet), heads(packet));
        assert_eq!((was.0, was.1, was.2 - 2), is, "addresses, and two hops");
        assert_eq!(sent.packet[header..], packet[header..], "changed on its way");
        sent.delivered = Some(now);
        let from = sent.from;
        self.side(at, from).answer_before.get_or_insert(clock + KEEPALIVE_TIMEOUT_MS + TICK_MS);
        from
    }

    /// So many strangers initiate.
    pub(crate) fn flooded(&mut self, at: usize, strangers: u16, now: u64) {
        self.flooded.insert(at, now);
        self.owed.insert(at, u64::from(strangers));
    }

    /// A stranger is told to come back with a cookie, once a message at most, and nothing else.
    pub(crate) fn answers_a_stranger(&mut self, at: usize, payload: &[u8]) {
        assert_eq!((payload[0], payload.len()), (3, 64), "a stranger is answered");
        let owed = self.owed.get_mut(&at).unwrap();
        *owed = owed.checked_sub(1).expect("strangers are sent more than they sent");
        self.cookies += 1;
    }

    /// A gateway is at rest: nothing is overdue there.
    pub(crate) fn rests(&self, at: usize, clock: u64) {
        for ((_, of), side) in self.sides.iter().filter(|((node, _), _)| *node == at) {
            let late = side.answer_before.map_or(0, |before| clock.saturating_sub(before));
            assert!(late == 0, "{at} leaves data of {of} without an answer, {late} ms too long");
        }
    }
}

fn word(payload: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*payload[at..].first_chunk().unwrap())
}
