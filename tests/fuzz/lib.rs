//! The bodies, for the fuzzers in `bin`.

// The harness is shared with the ordinary tests, which use more of it.
#[expect(dead_code, reason = "shared with the tests of the gateway")]
#[path = "../gateway/client.rs"]
mod client;
#[expect(dead_code, reason = "shared with the tests of the gateway")]
#[path = "../gateway/harness.rs"]
mod harness;
#[expect(dead_code, reason = "shared with the tests of the gateway")]
#[path = "../gateway/packets.rs"]
mod packets;
#[path = "../gateway/ports.rs"]
mod ports;
mod targets;

/// Runs the body of this name.
///
/// # Panics
/// If a property does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = targets::ALL.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(data);
}
