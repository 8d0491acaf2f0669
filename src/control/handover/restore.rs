//! What a gateway that begins takes over.

use super::format::{Frame, Head, InterfaceFrame, KeypairFrame, PeerFrame};
use super::stream::{FormatError, FrameReader};
use super::{NONCE_MARGIN, tag};
use crate::control::context::Context;
use crate::control::handshake::next_serial;
use crate::control::record::{PeerRecord, PeerState};
use crate::frame::PacketPool;
use crate::noise::{SessionSecrets, Tai64N, wipe_stack};
use crate::peer::Endpoint;
use crate::queue::Reader;
use crate::session::Keypair;
use crate::session::limits::REJECT_AFTER_TIME_MS;
use crate::shared::{PeerFlow, Shared};
use std::fmt;
use std::io::{Read, Seek};
use std::net::SocketAddr;
use subtle::ConstantTimeEq;

/// Why nothing is taken over.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What was handed over is not whole.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The machine was started anew since.
    #[error("they are of another boot of this machine")]
    Boot,
    /// They were written later than it is now.
    #[error("they were written later than it is now")]
    Future,
}

/// Why a peer or a keypair is not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// There is no such interface any more.
    Interface,
    /// The interface has another private key.
    InterfaceKey,
    /// The peer is not configured any more, or not yet again.
    Peer,
    /// The peer has another preshared key.
    PresharedKey,
    /// The keypair is older than keypairs may become.
    Age,
    /// The keypair has no counters left.
    Counters,
    /// Its index is somebody else's: there is memory for fewer peers than before.
    Index,
}

impl Lost {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Interface, Self::InterfaceKey, Self::Peer, Self::PresharedKey, Self::Age, Self::Counters, Self::Index];

    /// What it means.
    fn words(self) -> &'static str {
        match self {
            Self::Interface => "peers of interfaces that are gone",
            Self::InterfaceKey => "peers of interfaces with another private key",
            Self::Peer => "peers that are not configured any more",
            Self::PresharedKey => "peers with another preshared key",
            Self::Age => "keypairs that grew too old",
            Self::Counters => "keypairs without counters left",
            Self::Index => "keypairs whose index is taken",
        }
    }
}

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Peers that go on, counters at least.
    pub peers: u64,
    /// Peers that can be sent to without a handshake.
    pub sessions: u64,
    lost: [u64; Lost::ALL.len()],
}

impl Restored {
    /// How much was lost so.
    pub fn lost(&self, lost: Lost) -> u64 {
        self.lost.get(lost as usize).copied().unwrap_or(0)
    }

    fn lose(&mut self, lost: Lost) {
        if let Some(count) = self.lost.get_mut(lost as usize) {
            *count += 1;
        }
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} peers go on without a handshake", self.sessions, self.peers)?;
        let lost = Lost::ALL.into_iter().filter(|lost| self.lost(*lost) > 0);
        for (place, lost) in lost.enumerate() {
            write!(f, "{}{} {}", if place == 0 { "; dropped: " } else { ", " }, self.lost(lost), lost.words())?;
        }
        Ok(())
    }
}

/// Gives the peers of a gateway whose threads do not run yet what [`super::capture`] wrote. All of it is checked first. Who calls sees to it that
/// nobody restores the same stream twice. Main thread.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub fn restore<A: PacketPool, R: Read + Seek>(
    context: &Context<A>,
    mut reader: Reader,
    boot: u128,
    mut input: R,
) -> Result<Restored, Refused> {
    let now_ms = context.environment.now_ms();
    let (head, interfaces) = check(&mut input)?;
    if head.boot != boot {
        return Err(Refused::Boot);
    }
    if head.taken_ms > now_ms {
        return Err(Refused::Future);
    }
    input.rewind().map_err(FormatError::from)?;
    let tunnels: Vec<_> = interfaces.iter().map(|interface| tunnel_of(context, interface)).collect();
    let mut restored = Restored::default();
    let mut frames = FrameReader::new(input)?;
    while let Some(frame) = frames.next()? {
        let Frame::Peer(frame) = frame else { continue };
        let tunnel = tunnels.get(usize::from(frame.tunnel)).copied().unwrap_or(Err(Lost::Interface));
        let outcome = tunnel.and_then(|tunnel| {
            let record = context.directory.by_key(tunnel, &frame.public_key).ok_or(Lost::Peer)?;
            let flow = context.shared.flows.get(&reader, record.flow).ok_or(Lost::Peer)?;
            let peer = Peer { context, record: &record, flow, salt: &head.salt, now_ms };
            peer.restore(&frame, &mut restored);
            flow.post(&reader, &context.shared.flows);
            Ok(())
        });
        match outcome {
            Ok(()) => restored.peers += 1,
            Err(lost) => restored.lose(lost),
        }
        reader.quiescent();
    }
    // Keys passed over it on their way.
    wipe_stack();
    Ok(restored)
}

/// Reads all of a stream once: whether it is whole, and each field can be. Any thread.
///
/// # Errors
/// [`FormatError`].
pub fn check(input: &mut impl Read) -> Result<(Head, Vec<InterfaceFrame>), FormatError> {
    let mut frames = FrameReader::new(input)?;
    let Some(Frame::Head(head)) = frames.next()? else {
        return Err(FormatError::Frame("no head before it"));
    };
    let (mut interfaces, mut peers) = (Vec::new(), false);
    while let Some(frame) = frames.next()? {
        match frame {
            Frame::Interface(interface) if !peers && interfaces.len() < usize::from(u8::MAX) => {
                interfaces.push(interface);
            }
            Frame::Peer(peer) => {
                peers = true;
                peer.check(interfaces.len(), head.taken_ms)?;
            }
            _ => return Err(FormatError::Frame("a place that is not its own")),
        }
    }
    Ok((head, interfaces))
}

/// The interface of that name, if it has the same key.
fn tunnel_of<A: PacketPool>(context: &Context<A>, interface: &InterfaceFrame) -> Result<u8, Lost> {
    let mut tunnels = context.shared.tunnels.iter();
    let tunnel = tunnels.find(|tunnel| tunnel.name == interface.name).ok_or(Lost::Interface)?.id;
    let public_key = context.identity(tunnel).map(|identity| *identity.public_key());
    let is_same = public_key.is_some() && public_key == interface.public_key;
    if is_same { Ok(tunnel) } else { Err(Lost::InterfaceKey) }
}

/// One peer that takes over.
struct Peer<'a, A: PacketPool> {
    context: &'a Context<A>,
    record: &'a PeerRecord,
    flow: &'a PeerFlow<A::Packet>,
    salt: &'a [u8; 32],
    now_ms: u64,
}

impl<A: PacketPool> Peer<'_, A> {
    fn restore(&self, frame: &PeerFrame, restored: &mut Restored) {
        let Self { flow, .. } = *self;
        let state = &mut *self.record.lock();
        flow.resume_counts(frame.bytes);
        state.last_timestamp = frame.last_timestamp.map(Tai64N::from_bytes);
        state.last_timestamp_sent = frame.last_timestamp_sent.map(Tai64N::from_bytes);
        state.last_consumed_ms = frame.last_consumed_ms;
        state.last_handshake_sent_ms = frame.last_handshake_sent_ms;
        state.last_handshake = frame.last_handshake;
        self.locate(state, frame);
        if !self.has_same_preshared_key(state, frame) {
            return restored.lose(Lost::PresharedKey);
        }
        flow.stamps.resume(frame.stamps);
        state.timers.resume(frame.wiped_at_ms);
        let slots = frame.keypairs.each_ref().map(|keypair| {
            let slot = self.keypair(keypair.as_ref()?).map_err(|lost| restored.lose(lost)).ok()?;
            state.keypairs.try_push(slot).ok().map(|()| slot)
        });
        let [_, current, _] = slots;
        if flow.keys.resume(slots.map(|slot| slot.unwrap_or(0))) && current.is_some() {
            state.told = frame.told;
            restored.sessions += 1;
        }
    }

    /// Where the peer was, unless it was given another endpoint since. Our own end is kept where it is still ours.
    fn locate(&self, state: &PeerState, frame: &PeerFrame) {
        let Some((remote, local)) = frame.endpoint else { return };
        let configured = state.configured_endpoint.as_deref();
        if configured.is_none() || configured == frame.configured.as_ref() {
            let local = local.filter(|local| is_ours(&self.context.shared, self.record.tunnel, *local));
            self.flow.set_endpoint(Some(&Endpoint { remote, local }));
        }
    }

    fn has_same_preshared_key(&self, state: &PeerState, frame: &PeerFrame) -> bool {
        let (key, before) = (&state.preshared_key, frame.preshared);
        match (before, tag(self.salt, key.bytes())) {
            (None, _) => key.is_zero(),
            (Some(before), Some(now)) => !key.is_zero() && bool::from(before.ct_eq(&now)),
            (Some(_), None) => false,
        }
    }

    /// Puts a keypair into the table.
    fn keypair(&self, frame: &KeypairFrame) -> Result<u32, Lost> {
        if self.now_ms.saturating_sub(frame.created_ms) >= REJECT_AFTER_TIME_MS {
            return Err(Lost::Age);
        }
        let secrets = SessionSecrets {
            send: frame.send.key(),
            receive: frame.receive.key(),
            local_index: frame.local_index,
            remote_index: frame.remote_index,
            initiator: frame.initiator,
        };
        let fresh = Keypair::new(secrets, next_serial(), self.flow.id().0, frame.created_ms);
        let window = frame.window.window().ok_or(Lost::Counters)?;
        let nonce = frame.nonce.saturating_add(NONCE_MARGIN);
        let keypair = fresh.with_precedence(frame.precedes).resumed(nonce, frame.asked, window);
        self.context.shared.index.resume(Box::new(keypair.ok_or(Lost::Counters)?)).ok_or(Lost::Index)
    }
}

/// Whether `local` is an address of ours, or any, with a UDP port of that interface.
fn is_ours<A: PacketPool>(shared: &Shared<A>, tunnel: u8, local: SocketAddr) -> bool {
    let outer = shared.ports.iter().filter(|port| port.roles.outer);
    let mut addresses = outer.flat_map(|port| port.addresses.iter().map(ipnet::IpNet::addr));
    shared.listen.tunnel_of(local.port()) == Some(tunnel)
        && (local.ip().is_unspecified() || addresses.any(|address| address == local.ip()))
}
