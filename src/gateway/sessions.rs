//! Whether a peer is connected: one answer for all who tell people.

use crate::dpdk::{Mbuf, Pool};
use crate::queue::Reader;
use crate::shared::{PeerFlow, Shared};

/// Whether `flow` has a session that may be sent by now: a handshake within 180 s (PROTOCOL A1, `session::limits`) that both sides
/// completed. Any thread but data cores; by loads.
pub(super) fn is_connected(shared: &Shared<Pool>, reader: &Reader, flow: &PeerFlow<Mbuf>) -> bool {
    let keypair = flow.keys.current().and_then(|slot| shared.index.keypair(reader, slot));
    keypair.is_some_and(|keypair| keypair.may_send(shared.clock.now_ms()))
}
