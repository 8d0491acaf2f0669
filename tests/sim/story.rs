//! The acts of a run: a storm; then the network is well and everybody talks; then nobody talks; then the end.

use crate::network::Weather;
use crate::plan::{Act, Plan, pairs};
use crate::watch::{ROUND_MS, UNANSWERED_MS};
use crate::world::World;
use culvert::session::limits::{KEEPALIVE_TIMEOUT_MS, REKEY_TIMEOUT_MS, ZERO_KEYS_AFTER_MS};
use fastrand::Rng;

/// No datagram is longer on its way, ms.
const LONGEST_WAY_MS: u64 = 2_500;
/// How often each host sends to each other when all is well, ms.
const GAP_MS: u64 = 1_000;
/// Clocks are wrong by a hundredth at most: deadlines by their time are so much later by the true one.
const DRIFT: u64 = 99;

/// What a run showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of all that gateways sent, and hosts received, in its order.
    pub(crate) hash: u64,
    /// So long after the network was well the last packet was lost, ms.
    pub(crate) healed_ms: u64,
    pub(crate) datagrams: u64,
    pub(crate) handshakes: u64,
}

/// When the network is well and both sides have data, sessions work both ways after this, ms.
///
/// A side that has a session which the other has lost (or lost the way to) learns of it by silence alone: T3, 15 s after its first data
/// without an answer. That firing comes to nothing if a handshake message of its own went in the 5 s before, and if that was a response,
/// no retry follows it: then the next T3 counts, from the next data on. Its initiation, or the retry of one that is under way, is answered
/// at once; if both began at once, or the answer belongs to an initiation that was replaced meanwhile, one more round is needed, so there
/// are two. The rest is the way: two round trips, and the gap between two packets of a host.
pub(crate) fn heals_within_ms(fair: Weather) -> u64 {
    let way = 4 * (fair.delay + fair.jitter);
    (REKEY_TIMEOUT_MS + UNANSWERED_MS + 2 * ROUND_MS) * 100 / DRIFT + way + GAP_MS
}

/// Plays the run of a seed.
pub(crate) fn play(seed: u64, loud: bool) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::of(&mut rng);
    let mut world = World::new(&plan, rng, loud);
    storm(&mut world, &plan);
    let healed_ms = fair(&mut world, &plan);
    silence(&mut world, &plan);
    let (hash, datagrams, handshakes) = (world.hash(), world.watch.datagrams, world.watch.responses);
    for node in world.nodes {
        node.gateway.finish();
    }
    Outcome { hash, healed_ms, datagrams, handshakes }
}

/// All that the plan has in store; whoever was ever ahead of the true time, and then forgot it, is noted.
fn storm(world: &mut World, plan: &Plan) {
    for (at, act) in &plan.acts {
        world.at(*at, act.clone());
    }
    world.run_until(plan.storm);
}

/// Everybody talks to everybody. Returns how long that did not work.
fn fair(world: &mut World, plan: &Plan) -> u64 {
    agree(world, plan);
    world.clear_up(plan.fair);
    world.run_until(world.now + LONGEST_WAY_MS);
    let start = world.now;
    let bound = heals_within_ms(plan.fair);
    let end = start + bound + 8_000;
    for at in (start..end).step_by(GAP_MS as usize) {
        for (from, to) in pairs(plan.nodes) {
            world.at(at, Act::Data { from, to, ipv6: at % 2 == 0, len: 100, spoofed: false });
        }
    }
    world.run_until(end + LONGEST_WAY_MS);
    let lost = world.watch.sent.iter().filter(|sent| sent.at >= start && sent.delivered.is_none());
    let last = lost.max_by_key(|sent| sent.at);
    let healed = last.map_or(0, |sent| sent.at - start);
    assert!(
        healed < bound,
        "{healed} ms after the network is well a packet is lost, where {bound} is the most: {last:?}"
    );
    healed
}

/// The operators put right what no protocol can: keys, clocks, and where nobody can find anybody.
fn agree(world: &mut World, plan: &Plan) {
    for node in 0..plan.nodes {
        world.act(&Act::Stop { node, stopped: false });
        world.act(&Act::Wall { node, offset: 0 });
    }
    for (at, of) in pairs(plan.nodes) {
        let known = |world: &World, at: usize, of: usize| {
            world.nodes[at].peers.iter().find(|peer| peer.number == of).unwrap().clone()
        };
        if known(world, at, of).key != world.nodes[of].key {
            world.act(&Act::PeerKey { at, of });
        }
        let psk = known(world, of, at).psk;
        if at < of && known(world, at, of).psk != psk {
            world.act(&Act::Psk { at, of, psk });
        }
    }
    // Who was ahead of the true time and has restarted since sends timestamps that its peers refuse (PROTOCOL A3, 6; as with the
    // kernel): its peers have to begin. Two of that kind refuse each other for as long as they were ahead: they have to forget.
    let refused: Vec<_> = (0..plan.nodes).filter(|node| world.nodes[*node].is_refused(world.now)).collect();
    if refused.len() > 1 {
        (0..plan.nodes).for_each(|node| world.restart(node));
    }
    // Who restarted takes an initiation of before, and its sender to be where it came from now: the attacker's, for one. And one moves.
    // A pair that lost each other finds itself no more, nor if the one that could begin does not know where.
    for (at, of) in pairs(plan.nodes) {
        let begins = |node| refused.len() > 1 || !refused.contains(&node);
        let found = |at: usize, of: usize| world.knows(at, of) && begins(at);
        if !found(at, of) && !found(of, at) && begins(at) {
            world.act(&Act::Endpoint { at, of, ipv6: false });
        }
    }
}

/// Nobody talks: what was asked is answered, and then there is nothing; in the end nobody knows a key.
fn silence(world: &mut World, plan: &Plan) {
    for (at, of) in pairs(plan.nodes) {
        world.act(&Act::Persistent { at, of, seconds: 0 });
    }
    let before = world.watch.datagrams;
    world.run_until(world.now + (KEEPALIVE_TIMEOUT_MS + ROUND_MS) * 100 / DRIFT + LONGEST_WAY_MS);
    let sent = world.watch.datagrams - before;
    // One keepalive each way, and no more than one handshake: a session may have grown old on that very keepalive.
    let most = pairs(plan.nodes).count() as u64 * 4;
    assert!(sent <= most, "{sent} datagrams answer data");
    let before = world.watch.datagrams;
    let (live, _) = census(world);
    assert!(live > 0, "sessions outlive their use");
    world.run_until(world.now + ZERO_KEYS_AFTER_MS * 100 / DRIFT);
    assert_eq!(world.watch.datagrams, before, "a quiet network is not silent");
    assert_eq!(census(world), (0, 0), "keys outlive 540 s of silence");
}

/// Keypairs and handshakes under way in all tables; there are never more than three and one a peer.
pub(crate) fn census(world: &World) -> (usize, usize) {
    let mut sum = (0, 0);
    for node in &world.nodes {
        let (index, reader) = (&node.gateway.shared.index, &node.gateway.cores[0].reader);
        let (keypairs, pending) = (index.occupied(reader), index.reserved());
        let peers = node.peers.len();
        assert!(
            keypairs <= 3 * peers && pending <= peers,
            "{keypairs} keypairs, {pending} handshakes of {peers} peers"
        );
        sum = (sum.0 + keypairs, sum.1 + pending);
    }
    sum
}
