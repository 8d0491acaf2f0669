//! The tunnels of `wireguard`: two ends in this process, which shake hands as any two would.

use super::error::LabError;
use crate::aead::{Backend, Cipher};
use crate::noise::{
    HandshakeError, HandshakeState, Identity, OpenedInitiation, PeerStatic, Tai64N, os_random, wipe_stack,
};
use crate::session::Keypair;
use zeroize::Zeroizing;

/// The receiver indexes of the ends that receive, from here on: tunnel by tunnel.
const FIRST_INDEX: u32 = 0x6375_0000;

/// One tunnel: who made the handshake seals, who answered opens.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) sender: Keypair,
    pub(super) receiver: Keypair,
}

/// All tunnels of a run, a stream each. Made before it starts, and read by all its threads.
#[derive(Debug)]
pub(super) struct Tunnels {
    all: Vec<Tunnel>,
    /// What seals and opens: the fastest that runs here, as in the gateway.
    backend: Backend,
}

impl Tunnels {
    /// Makes as many, with a handshake each. Control thread.
    ///
    /// # Errors
    /// A cipher that fails its self-test. The handshake's are handed on too, though chance makes none.
    pub(super) fn new(count: usize, now_ms: u64) -> Result<Self, LabError> {
        let backend = Backend::choose("auto")?;
        let (initiator, responder) = (identity(), identity());
        let indexes = (FIRST_INDEX..).zip(1..).take(count);
        let tunnels = indexes.map(|(index, other)| shake_hands(&initiator, &responder, other, index, now_ms));
        Ok(Self { all: tunnels.collect::<Result<_, _>>()?, backend })
    }

    /// A cipher of a thread's own.
    pub(super) fn cipher(&self) -> Cipher {
        self.backend.cipher()
    }

    /// The tunnel of a stream.
    pub(super) fn get(&self, at: usize) -> Option<&Tunnel> {
        self.all.get(at)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whose index it is, which came from the wire.
    #[inline]
    pub(super) fn of_index(&self, receiver: u32) -> Option<usize> {
        let at = usize::try_from(receiver.checked_sub(FIRST_INDEX)?).ok()?;
        (at < self.all.len()).then_some(at)
    }
}

fn identity() -> Identity {
    let mut private = Zeroizing::new([0; 32]);
    os_random(private.as_mut());
    Identity::new(&private)
}

/// WireGuard paper, section 5.4: initiation, response, and the keys of both sides. Without a preshared key.
fn shake_hands(
    initiator: &Identity,
    responder: &Identity,
    initiator_index: u32,
    responder_index: u32,
    now_ms: u64,
) -> Result<Tunnel, HandshakeError> {
    let psk = [0; 32];
    let (to_responder, to_initiator) =
        (PeerStatic::new(initiator, responder.public_key())?, PeerStatic::new(responder, initiator.public_key())?);
    let (mut ours, mut theirs) = (HandshakeState::new(), HandshakeState::new());
    let initiation = ours.create_initiation(
        initiator,
        &to_responder,
        initiator_index,
        Tai64N::from_bytes([1; 12]),
        now_ms,
        &mut os_random,
    )?;
    let opened = OpenedInitiation::open(responder, &initiation)?;
    let accepted = opened.accept(&to_initiator, Tai64N::default(), None, now_ms)?;
    let (response, answered) =
        theirs.respond(&to_initiator, accepted, &psk, responder_index, now_ms, &mut os_random)?;
    let asked = ours.consume_response(initiator, &psk, &response)?;
    let tunnel = Tunnel { sender: Keypair::new(asked, 0, 0, now_ms), receiver: Keypair::new(answered, 0, 0, now_ms) };
    wipe_stack();
    Ok(tunnel)
}
