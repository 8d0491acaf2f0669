//! triage: which handshake messages are worth a curve operation, and in which order. A few hashes a message, nothing allocated.
//!
//! Those that proved that they receive at their source (by a cookie, or by answering an initiation of ours) and those that did not wait
//! apart, so that neither takes the other's time: a flood without cookies never stands before a peer with one, and who owns an
//! address and floods from it is held to a rate first. Under load only the former are worked on (PROTOCOL A3, 3).

use super::limiter::{Bucket, Limiter, Rate};
use super::load::Load;
use crate::frame::Packet;
use crate::noise::{COOKIE_REPLY_LEN, CookieChecker, Identity, Random, Source};
use crate::peer::unmap_address;
use crate::shared::DropReason;
use std::collections::VecDeque;

/// Handshake messages of one source whose address is proven (PROTOCOL A1, ratelimiter).
const HANDSHAKES: Rate = Rate { per_second: 20, burst: 5 };
/// Sources that are remembered for that.
const SOURCES: usize = 65_536;
/// Cookie replies of one thread. A bound for all together: one a source would let who forges a source keep its owner from a cookie.
const COOKIES: Rate = Rate { per_second: 100_000, burst: 10_000 };
/// Messages that wait in each of the two queues, at most. More unverified ones than [`super::load::BACKLOG`] are never let in.
const WAITING: usize = 1024;
/// Every so many messages, one without proof goes first.
const SHARE: u8 = 4;

/// The state of one handshake thread.
#[derive(Debug)]
pub(super) struct Triage<P> {
    load: Load,
    under_load: bool,
    checker: CookieChecker,
    handshakes: Limiter,
    cookies: Bucket,
    /// Their sources are proven.
    verified: VecDeque<P>,
    /// Nothing is known of them but that they know our public key.
    unverified: VecDeque<P>,
    served: u8,
    /// Messages with a good cookie, so far.
    returned: u64,
}

/// What is to be done with a message at once.
#[derive(Debug)]
pub(super) enum Sorted<P> {
    /// Nothing: it waits.
    Waits,
    /// It goes.
    Drop(P, DropReason),
    /// Its source is sent this, and it goes.
    Cookie(P, [u8; COOKIE_REPLY_LEN]),
}

impl<P: Packet> Triage<P> {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            load: Load::default(),
            under_load: false,
            checker: CookieChecker::new(),
            handshakes: Limiter::new(HANDSHAKES, SOURCES),
            cookies: Bucket::full(COOKIES, now_ms),
            verified: VecDeque::with_capacity(WAITING),
            unverified: VecDeque::with_capacity(WAITING),
            served: 0,
            returned: 0,
        }
    }

    /// Begins a turn: `inbox` messages were not looked at yet.
    pub(super) fn observe(&mut self, inbox: usize, now_ms: u64) {
        self.under_load = self.load.observe(inbox + self.unverified.len(), now_ms);
    }

    /// Whether it is under load, and how many messages came with a good cookie so far.
    pub(super) fn told(&self) -> (bool, u64) {
        (self.under_load, self.returned)
    }

    /// What was let in before there was load is sorted again under load, before all that came later.
    pub(super) fn again(&mut self) -> Option<P> {
        if self.under_load { self.unverified.pop_front() } else { None }
    }

    /// Sorts an initiation or a response whose mac1 is good. `answers`: it is a response that names the index of an initiation under
    /// way, which only who received that initiation knows.
    pub(super) fn sort(
        &mut self,
        packet: P,
        answers: bool,
        identity: &Identity,
        now_ms: u64,
        random: Random<'_>,
    ) -> Sorted<P> {
        let source = Source { address: packet.meta().source, port: packet.meta().source_port };
        let has_cookie = self.checker.check_mac2(packet.data(), source, now_ms, random);
        self.returned += u64::from(has_cookie);
        if self.under_load && !has_cookie {
            return self.ask(packet, source, identity, now_ms, random);
        }
        if (has_cookie || answers) && self.handshakes.allow(unmap_address(source.address), now_ms) {
            return wait(&mut self.verified, packet);
        }
        match self.under_load {
            true => Sorted::Drop(packet, DropReason::RateLimited),
            // Without load neither cookies nor rates count.
            false => wait(&mut self.unverified, packet),
        }
    }

    fn ask(&mut self, packet: P, source: Source, identity: &Identity, now_ms: u64, random: Random<'_>) -> Sorted<P> {
        if !self.cookies.allow(COOKIES, now_ms) {
            return Sorted::Drop(packet, DropReason::UnderLoad);
        }
        match self.checker.reply(identity, packet.data(), source, now_ms, random) {
            Some(reply) => Sorted::Cookie(packet, reply),
            None => Sorted::Drop(packet, DropReason::HandshakeRefused),
        }
    }

    /// The message that is next worth its curve operations.
    pub(super) fn next(&mut self) -> Option<P> {
        self.served = (self.served + 1) % SHARE;
        let (first, second) = match self.served {
            0 => (&mut self.unverified, &mut self.verified),
            _ => (&mut self.verified, &mut self.unverified),
        };
        first.pop_front().or_else(|| second.pop_front())
    }
}

/// Never more than the queue was made for: it does not grow.
fn wait<P>(queue: &mut VecDeque<P>, packet: P) -> Sorted<P> {
    if queue.len() >= WAITING {
        return Sorted::Drop(packet, DropReason::HandshakeFull);
    }
    queue.push_back(packet);
    Sorted::Waits
}

const _: () = assert!(super::load::BACKLOG < WAITING);
