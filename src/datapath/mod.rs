//! The data path: what the pinned cores do. It never allocates, locks, logs, panics or calls the kernel (but for the idle sleep).
//!
//! Files stand in packet order: rx → classify (classify_burst) → handoff → crypto_worker (encap | decap) → release → forward → tx. What is too large
//! goes through `fragment`, what goes no further and is answered through `errors`. `tap_point` is where people can watch them.
//! [`core_loop`] runs them on a core, as I/O core, as worker, or as both in one loop.

mod classify;
mod classify_burst;
mod confirms;
mod core_loop;
mod crypto_worker;
mod decap;
mod encap;
mod errors;
mod forward;
mod fragment;
mod handoff;
mod io;
mod places;
mod release;
mod rx;
mod tap_point;
mod tx;
mod vlan;

pub use classify::{Way, classify};
pub use classify_burst::classify_burst;
pub use core_loop::{Core, Idle, Stop};
pub use crypto_worker::CryptoWorker;
pub use errors::ErrorBudget;
pub use io::Io;
pub use rx::RxPort;
pub use tx::{Tx, TxPath};

use crate::frame::{Kind, Packet, PacketPool};
use crate::shared::{Counters, DropReason, PeerFlow, Port, Shared};
use crypto_worker::Turn;
use errors::undeliverable;
use forward::Forward;

/// Hands a packet to the control thread, or drops it when that is behind.
fn hand_to_control<A: PacketPool>(packet: A::Packet, kind: Kind, port: u16, turn: &Turn<'_, A>) {
    offer_to_control(packet, kind, port, turn);
}

/// The same; whether it was taken.
fn offer_to_control<A: PacketPool>(mut packet: A::Packet, kind: Kind, port: u16, turn: &Turn<'_, A>) -> bool {
    tap_point::handed(&packet, turn);
    let meta = packet.meta_mut();
    meta.kind = kind;
    meta.port = port;
    match turn.shared.control.send(packet) {
        Ok(()) => {
            turn.counters.to_control.add(1);
            true
        }
        Err(packet) => {
            turn.counters.drop_packet(DropReason::ControlFull, packet);
            false
        }
    }
}
