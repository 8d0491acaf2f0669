//! The tunnels of `wireguard`: two ends in this process, which shake hands as any two would, and again before a session is too old.

use super::error::LabError;
use crate::aead::{Backend, Cipher};
use crate::noise::{
    HandshakeError, HandshakeState, Identity, OpenedInitiation, PeerStatic, Tai64N, os_random, wipe_stack,
};
use crate::peer::Tally;
use crate::queue::sync::Arc;
use crate::queue::{Domain, Graveyard, Published, Reader};
use crate::session::Keypair;
use zeroize::Zeroizing;

/// The receiver indexes of the ends that receive, from here on: tunnel by tunnel, and again with each generation of sessions.
const FIRST_INDEX: u32 = 0x6375_0000;

/// One session of a tunnel: who made the handshake seals, who answered opens.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sender: Keypair,
    pub(super) receiver: Keypair,
    /// How many the tunnel had before.
    pub(super) generation: u32,
}

/// What a tunnel has: the session that it sends by, and the one before, whose packets may still be under way.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pub(super) now: Arc<Session>,
    pub(super) before: Option<Arc<Session>>,
}

/// All tunnels of a run, a stream each. Read by all its threads, while [`Renewer`] gives them new sessions.
pub(super) struct Tunnels {
    all: Vec<Published<Sessions>>,
    domain: Arc<Domain>,
    initiator: Identity,
    responder: Identity,
    /// What seals and opens: the fastest that runs here, as in the gateway.
    backend: Backend,
    /// main: w until the run begins, then the renewer. anyone: r
    handshakes: Arc<Tally>,
}

impl Tunnels {
    /// Makes as many, with a handshake each. Control thread.
    ///
    /// # Errors
    /// A cipher that fails its self-test. The handshake's are handed on too, though chance makes none.
    pub(super) fn new(count: usize, now_ms: u64) -> Result<Self, LabError> {
        let backend = Backend::choose("auto")?;
        // A seat a stream, and one for whoever looks in passing.
        let domain = Domain::new(count + 1);
        let (all, handshakes) = (Vec::with_capacity(count), Arc::default());
        let (initiator, responder) = (identity(), identity());
        let mut tunnels = Self { all, domain, initiator, responder, backend, handshakes };
        for at in 0..count {
            let now = Arc::new(tunnels.shake_hands(at, count, 0, now_ms)?);
            tunnels.all.push(Published::new(Arc::clone(&tunnels.domain), Sessions { now, before: None }));
        }
        Ok(tunnels)
    }

    /// A cipher of a thread's own.
    pub(super) fn cipher(&self) -> Cipher {
        self.backend.cipher()
    }

    /// A stream's seat. It says after each turn that it holds nothing any more.
    ///
    /// # Errors
    /// There are more streams than tunnels.
    pub(super) fn reader(&self) -> Result<Reader, LabError> {
        self.domain.register().ok_or_else(|| LabError::Refused("more streams than tunnels; report this".to_owned()))
    }

    /// The sessions of a stream's tunnel.
    #[inline]
    pub(super) fn get<'r>(&self, reader: &'r Reader, at: usize) -> Option<&'r Sessions> {
        Some(self.all.get(at)?.load(reader))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many handshakes there were.
    pub(super) fn handshakes(&self) -> &Arc<Tally> {
        &self.handshakes
    }

    /// Whose index it is, which came from the wire: the tunnel's place, and the session that opens the packet, if it still lives.
    #[inline]
    pub(super) fn of_index<'r>(&self, reader: &'r Reader, receiver: u32) -> Option<(usize, &'r Session)> {
        let offset = usize::try_from(receiver.wrapping_sub(FIRST_INDEX)).ok()?;
        let at = offset.checked_rem(self.all.len())?;
        let Sessions { now, before } = self.get(reader, at)?;
        let session = if now.receiver.local_index() == receiver { Some(now) } else { before.as_ref() };
        let session = session.filter(|session| session.receiver.local_index() == receiver)?;
        (!session.receiver.is_dead()).then_some((at, &**session))
    }

    /// A session of the tunnel at this place, of `count`. WireGuard paper, section 5.4: initiation, response, and the keys of both sides.
    /// Without a preshared key.
    fn shake_hands(&self, at: usize, count: usize, generation: u32, now_ms: u64) -> Result<Session, HandshakeError> {
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        let (count, psk) = (u32::try_from(count).unwrap_or(u32::MAX), [0; 32]);
        let responder_index = FIRST_INDEX.wrapping_add(place).wrapping_add(generation.wrapping_mul(count));
        let (initiator, responder) = (&self.initiator, &self.responder);
        let to_responder = PeerStatic::new(initiator, responder.public_key())?;
        let to_initiator = PeerStatic::new(responder, initiator.public_key())?;
        let (mut ours, mut theirs) = (HandshakeState::new(), HandshakeState::new());
        let stamp = Tai64N::from_bytes([1; 12]);
        let initiation = ours.create_initiation(initiator, &to_responder, place + 1, stamp, now_ms, &mut os_random)?;
        let opened = OpenedInitiation::open(responder, &initiation)?;
        let accepted = opened.accept(&to_initiator, Tai64N::default(), None, now_ms)?;
        let (response, answered) =
            theirs.respond(&to_initiator, accepted, &psk, responder_index, now_ms, &mut os_random)?;
        let asked = ours.consume_response(initiator, &psk, &response)?;
        let (sender, receiver) = (Keypair::new(asked, 0, 0, now_ms), Keypair::new(answered, 0, 0, now_ms));
        wipe_stack();
        self.handshakes.add(1);
        Ok(Session { sender, receiver, generation })
    }
}

/// Gives tunnels new sessions as the protocol asks for them, and lets old ones die. One thread's, beside those that forward.
pub(super) struct Renewer {
    tunnels: Arc<Tunnels>,
    /// What is published.
    sessions: Vec<Sessions>,
    graveyard: Graveyard,
}

impl Renewer {
    /// # Errors
    /// As [`Tunnels::reader`]'s.
    pub(super) fn new(tunnels: Arc<Tunnels>) -> Result<Self, LabError> {
        let reader = tunnels.reader()?;
        let sessions = (0..tunnels.len()).filter_map(|at| tunnels.get(&reader, at).cloned()).collect();
        drop(reader);
        Ok(Self { sessions, graveyard: Graveyard::new(Arc::clone(&tunnels.domain)), tunnels })
    }

    /// Looks after each tunnel, a few times a second.
    ///
    /// # Errors
    /// A handshake's, which chance makes none. The session before goes on until it is too old.
    pub(super) fn look(&mut self, now_ms: u64) -> Result<(), HandshakeError> {
        let count = self.sessions.len();
        let mut result = Ok(());
        for (at, sessions) in self.sessions.iter_mut().enumerate() {
            let Sessions { now, before } = sessions;
            let was_there = before.is_some();
            before.take_if(|before| !before.receiver.may_receive(now_ms, 0));
            // Whoever is asked so dies of age.
            let _lives = (now.sender.may_send(now_ms), now.receiver.may_receive(now_ms, 0));
            let mut changed = was_there && before.is_none();
            if now.sender.wants_rekey_on_send(now_ms) {
                match self.tunnels.shake_hands(at, count, now.generation.wrapping_add(1), now_ms) {
                    Ok(session) => {
                        *before = Some(std::mem::replace(now, Arc::new(session)));
                        changed = true;
                    }
                    Err(error) => result = Err(error),
                }
            }
            if changed && let Some(cell) = self.tunnels.all.get(at) {
                self.graveyard.bury(cell.replace(Box::new(sessions.clone())));
            }
        }
        self.graveyard.sweep();
        result
    }
}

fn identity() -> Identity {
    let mut private = Zeroizing::new([0; 32]);
    os_random(private.as_mut());
    Identity::new(&private)
}
