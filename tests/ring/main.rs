//! The real gateway, its threads and all, on ports made of memory: what only shows when cores run at once.
//!
//! There is one EAL a process, and each test starts its own: run these by `cargo nextest run --test ring`.
//! Each test ends with [`rig::Rig::finish`], which checks the two laws by numbers that the far ends counted themselves.

#![expect(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

#[path = "../gateway/client.rs"]
#[expect(dead_code, reason = "shared with the tests over heap packets")]
mod client;
#[path = "../gateway/crowd.rs"]
#[expect(dead_code, reason = "shared with the tests over heap packets")]
mod crowd;
mod far;
#[path = "../gateway/packets.rs"]
#[expect(dead_code, reason = "shared with the tests over heap packets")]
mod packets;
mod rig;
#[path = "../cli/terminal.rs"]
#[expect(dead_code, reason = "shared with the tests without a gateway")]
mod terminal;

mod answers;
mod capture;
mod changes;
mod churn;
mod cycles;
mod dos;
mod events;
mod fragments;
mod full;
mod garbage;
mod handshakes;
mod metrics;
mod order;
mod promtool;
mod reload;
mod saves;
mod sockets;
mod starts;
mod telemetry;
mod top;
mod trace;

/// What the shared client asks of its surroundings.
mod harness {
    use culvert::noise::Identity;
    use culvert::wire::MacAddr;

    pub const LISTEN_PORT: u16 = 51820;
    /// net_ring has no address of its own.
    pub const WAN_MAC: MacAddr = MacAddr::ZERO;
    pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
    pub const SERVER_KEY: [u8; 32] = [0xaa; 32];

    /// The gateway's key.
    pub fn server_identity() -> Identity {
        Identity::new(&SERVER_KEY)
    }
}
