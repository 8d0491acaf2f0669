//! The control side under a simulated network: gateways of `tests/gateway` (the real code, stepped) that are joined by links which
//! delay, lose, reorder, double, damage and replay, and that restart, move, change keys and lose their clocks.
//!
//! ```text
//!   host ── gateway 0 ──┐                ┌── gateway 1 ── host      All is drawn from one seed, in one thread, and time leaps from
//!   10.0.0.9   NAT 198.51.100.0:… ── network ── NAT     10.0.1.9   event to event; so a seed is a run, and plays again.
//! ```
//!
//! What has to hold is in `watch.rs` (at every packet), `story.rs` (in the end), and in the harness (the two laws).
//! That it bites was tried by taking out of culvert, one at a time: the check for a newer timestamp ("answers an initiation twice"), the
//! 5 s between initiations, T3 ("a packet is lost"), confirming, the replay window ("delivered twice"), the age of sessions, T2 ("without
//! an answer"), giving up ("still tries"), the source check ("in another's name"), T4 ("keys outlive"), making way for the other session
//! ("lost"), timestamps that grow, keepalives that are no data ("not silent"), sweeping ("4 keypairs"), roaming by data. Each is found.
//! A run that fails says how to see it again: `CULVERT_SIM_SEED=… cargo nextest run --test sim -E 'test(replay)' --no-capture`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

#[path = "../gateway/client.rs"]
#[expect(dead_code, reason = "shared with tests/gateway")]
mod client;
#[path = "../gateway/harness.rs"]
#[expect(dead_code, reason = "shared with tests/gateway")]
mod harness;
#[path = "../gateway/packets.rs"]
#[expect(dead_code, reason = "shared with tests/gateway")]
mod packets;
#[path = "../gateway/ports.rs"]
mod ports;

mod network;
mod node;
mod plan;
mod story;
mod watch;
mod world;

mod fair;
mod seeds;
