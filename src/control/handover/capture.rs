//! What a gateway that ends writes.

use super::format::{Frame, Head, InterfaceFrame, KeypairFrame, PeerFrame, Secret, Window};
use super::stream::FrameWriter;
use super::tag;
use crate::control::context::Context;
use crate::control::record::{PeerRecord, PeerState};
use crate::frame::PacketPool;
use crate::noise::wipe_stack;
use crate::queue::Reader;
use crate::session::Keypair;
use crate::session::limits::REJECT_AFTER_TIME_MS;
use crate::shared::PeerFlow;
use std::io::{self, Write};
use std::sync::Arc;

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Peers of which something was written.
    pub peers: u64,
    /// Those with a session that can be sent under.
    pub sessions: u64,
}

/// Ends all sessions, and writes them to `out`, whole. `boot`: the kernel's boot id. The data path still turns, but receives no more, and
/// has worked off what came: what it would open or seal after this call begins is dropped, since its keypair is dead. Main thread; it
/// waits for a grace period of `reader`'s domain.
///
/// # Errors
/// `out`'s; the sessions are ended nevertheless.
pub fn capture<A: PacketPool, W: Write>(
    context: &Context<A>,
    mut reader: Reader,
    boot: u128,
    out: W,
) -> io::Result<(W, Captured)> {
    let tunnels = || (0..).take(context.shared.tunnels.len());
    let records: Vec<_> = tunnels().flat_map(|tunnel| context.directory.all_of(tunnel)).collect();
    end_sessions(context, &mut reader, &records);
    // Whoever used one of them is done with it after this: their counters and windows are final.
    let domain = Arc::clone(reader.domain());
    reader.offline(|| domain.synchronize());

    let mut salt = [0; 32];
    context.environment.random(&mut salt);
    let taken_ms = context.environment.now_ms();
    let mut writer = FrameWriter::new(out, Head { boot, taken_ms, salt })?;
    for tunnel in tunnels() {
        let name = context.shared.tunnel(tunnel).map_or_else(String::new, |tunnel| tunnel.name.clone());
        let public_key = context.identity(tunnel).map(|identity| *identity.public_key());
        writer.write(&Frame::Interface(InterfaceFrame { name, public_key }))?;
    }
    let mut captured = Captured::default();
    for record in &records {
        if let Some(flow) = context.shared.flows.get(&reader, record.flow)
            && let Some(frame) = frame(context, &reader, record, flow, &salt, taken_ms)
        {
            captured.peers += 1;
            let [_, current, _] = &frame.keypairs;
            captured.sessions += u64::from(current.is_some());
            writer.write(&Frame::Peer(Box::new(frame)))?;
        }
        reader.quiescent();
    }
    let out = writer.finish()?;
    // Keys passed over it on their way.
    wipe_stack();
    Ok((out, captured))
}

/// Kills all keypairs that are in use.
fn end_sessions<A: PacketPool>(context: &Context<A>, reader: &mut Reader, records: &[Arc<PeerRecord>]) {
    let index = &context.shared.index;
    for record in records {
        if let Some(flow) = context.shared.flows.get(reader, record.flow) {
            // With the lock held no handshake thread installs another meanwhile.
            let _state = record.lock();
            let keypairs = slots(flow).into_iter().flatten().filter_map(|slot| index.keypair(reader, slot));
            keypairs.for_each(Keypair::kill);
        }
        reader.quiescent();
    }
}

/// Next, current, previous.
fn slots<P: crate::frame::Packet>(flow: &PeerFlow<P>) -> [Option<u32>; 3] {
    [flow.keys.next(), flow.keys.current(), flow.keys.previous()]
}

/// What there is to say of a peer; `None`: nothing that a new one would not have.
fn frame<A: PacketPool>(
    context: &Context<A>,
    reader: &Reader,
    record: &PeerRecord,
    flow: &PeerFlow<A::Packet>,
    salt: &[u8; 32],
    taken_ms: u64,
) -> Option<PeerFrame> {
    let state = &*record.lock();
    let keypair = |slot: Option<u32>| {
        let keypair = context.shared.index.killed(reader, slot?)?;
        let is_young = taken_ms.saturating_sub(keypair.created_ms()) < REJECT_AFTER_TIME_MS;
        (is_young && !keypair.has_stopped_sending()).then(|| keypair_frame(keypair))
    };
    let keypairs = slots(flow).map(keypair);
    let endpoint = flow.endpoint().map(|endpoint| (endpoint.remote, endpoint.local));
    let bytes = flow.byte_counts();
    let is_new = endpoint.is_none() && bytes == [0; 4] && keypairs.iter().all(Option::is_none);
    (!is_new && !state.removed).then(|| {
        let PeerState { last_timestamp, last_timestamp_sent, last_consumed_ms, last_handshake_sent_ms, .. } = *state;
        let preshared = &state.preshared_key;
        PeerFrame {
            tunnel: record.tunnel,
            public_key: record.public_key,
            preshared: if preshared.is_zero() { None } else { tag(salt, preshared.bytes()) },
            endpoint,
            configured: state.configured_endpoint.as_deref().copied(),
            told: state.told,
            stamps: flow.stamps.times(),
            bytes,
            last_timestamp: last_timestamp.map(|time| *time.bytes()),
            last_timestamp_sent: last_timestamp_sent.map(|time| *time.bytes()),
            last_consumed_ms,
            last_handshake_sent_ms,
            last_handshake: state.last_handshake,
            wiped_at_ms: state.timers.wiped_at_ms(),
            keypairs,
        }
    })
}

/// A keypair that nobody uses any more.
fn keypair_frame(keypair: &Keypair) -> KeypairFrame {
    KeypairFrame {
        local_index: keypair.local_index(),
        remote_index: keypair.remote_index(),
        created_ms: keypair.created_ms(),
        nonce: keypair.nonce(),
        initiator: keypair.initiator(),
        precedes: keypair.precedes(),
        asked: keypair.has_asked(),
        send: Secret::of(keypair.send_key()),
        receive: Secret::of(keypair.receive_key()),
        window: Window::of(keypair.replay()),
    }
}
