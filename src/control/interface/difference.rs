//! In what an interface differs from what its files say, and the least change that makes them equal: peers that are in both alike are not
//! touched.

use super::Interface;
use crate::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use crate::control::record::{PeerRecord, PeerState};
use crate::frame::PacketPool;
use crate::noise::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use std::collections::HashSet;

/// What becomes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Becomes {
    /// It goes.
    Removed,
    /// No file names it, and it stays.
    Kept,
    /// Something of it changes.
    Changed,
    /// It comes.
    Added,
}

/// One peer that is not as the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDifference {
    /// What becomes of it.
    pub becomes: Becomes,
    /// Which.
    pub public_key: [u8; 32],
    /// Its name, the new one where it has two.
    pub name: Option<String>,
    /// What changes of it.
    pub what: Vec<&'static str>,
    /// No peers file has named it yet: it came by a socket.
    pub by_socket: bool,
}

/// In what an interface differs from what its files say.
#[derive(Debug, Default)]
pub struct Difference {
    /// Its own settings: what, as it is, as it is to be.
    pub settings: Vec<(&'static str, String, String)>,
    /// Its peers, those that go first.
    pub peers: Vec<PeerDifference>,
    /// Peers that stay as they are, and are in the files.
    pub unchanged: usize,
    /// What makes it equal.
    pub change: ChangeSet,
}

impl<A: PacketPool> Interface<A> {
    /// The difference to `wanted`, which names all peers, as a peers file does; what it leaves out of the interface's own settings stays.
    /// `keep`: peers that came by a socket stay. Each record is locked for a moment; nobody waits for the whole. Control threads; blocks.
    pub fn difference(&self, wanted: ChangeSet, keep: bool) -> Difference {
        let mut difference = Difference::default();
        let change = &mut difference.change;
        (change.private_key, change.listen_port, change.fwmark) =
            (wanted.private_key, wanted.listen_port, wanted.fwmark);
        self.settings_that_differ(&mut difference);
        let own = match &difference.change.private_key {
            Some(key) => (!key.is_zero()).then(|| *Identity::new(key.bytes()).public_key()),
            None => self.context.identity(self.tunnel).map(|identity| *identity.public_key()),
        };
        let (peers, named) = effective(wanted.peers, own);
        for record in self.context.directory.all_of(self.tunnel) {
            if !named.contains(&record.public_key) {
                surplus(&record, keep, &mut difference);
            }
        }
        for peer in peers {
            match self.context.directory.by_key(self.tunnel, &peer.public_key) {
                None => {
                    difference.peers.push(PeerDifference::of(Becomes::Added, &peer, Vec::new(), false));
                    difference.change.peers.push(peer);
                }
                Some(record) => differing(&record.lock(), peer, &mut difference),
            }
        }
        difference.peers.sort_by_key(|peer| (peer.becomes, !peer.by_socket));
        difference
    }

    /// Leaves those settings in the change that are not so already.
    fn settings_that_differ(&self, difference: &mut Difference) {
        let Difference { settings, change, .. } = difference;
        let running = self.settings();
        let none = SecretKey::default();
        let key = running.private_key.as_ref().unwrap_or(&none);
        change.private_key = change.private_key.take().filter(|new| !new.same(key));
        if let Some(new) = &change.private_key {
            settings.push(("public key", public(key), public(new)));
        }
        let port = self.context.shared.tunnel(self.tunnel).map_or(0, crate::shared::Tunnel::listen_port);
        change.listen_port = change.listen_port.filter(|new| *new != port && *new != 0);
        if let Some(new) = change.listen_port {
            settings.push(("listen port", port.to_string(), new.to_string()));
        }
        change.fwmark = change.fwmark.filter(|new| *new != running.fwmark);
        if let Some(new) = change.fwmark {
            settings.push(("fwmark", format!("{:#x}", running.fwmark), format!("{new:#x}")));
        }
    }
}

impl PeerDifference {
    fn of(becomes: Becomes, peer: &PeerChange, what: Vec<&'static str>, by_socket: bool) -> Self {
        let name = peer.name.clone().filter(|name| !name.is_empty());
        Self { becomes, public_key: peer.public_key, name, what, by_socket }
    }
}

/// The public key as the change of a setting shows it.
fn public(key: &SecretKey) -> String {
    if key.is_zero() {
        return "(none)".to_owned();
    }
    STANDARD.encode(Identity::new(key.bytes()).public_key())
}

/// What a peers file comes to: of several sections of a peer, and of several peers with a prefix, the last holds; and a peer with our own key
/// is none.
fn effective(mut peers: Vec<PeerChange>, own: Option<[u8; 32]>) -> (Vec<PeerChange>, HashSet<[u8; 32]>) {
    let (mut named, mut prefixes) = (HashSet::with_capacity(peers.len()), HashSet::with_capacity(peers.len()));
    peers.reverse();
    peers.retain(|peer| Some(peer.public_key) != own && named.insert(peer.public_key));
    for peer in &mut peers {
        peer.allowed_ips.reverse();
        peer.allowed_ips.retain(|allowed| prefixes.insert(allowed.prefix));
        peer.allowed_ips.reverse();
    }
    peers.reverse();
    (peers, named)
}

/// A peer that no file names.
fn surplus(record: &PeerRecord, keep: bool, difference: &mut Difference) {
    let state = record.lock();
    let by_socket = !state.listed;
    let becomes = if keep && by_socket { Becomes::Kept } else { Becomes::Removed };
    let (public_key, name) = (record.public_key, state.name.clone());
    if becomes == Becomes::Removed {
        difference.change.peers.push(PeerChange { public_key, remove: true, ..PeerChange::default() });
    }
    difference.peers.push(PeerDifference { becomes, public_key, name, what: Vec::new(), by_socket });
}

/// A peer that is there, and is to be `wanted`: the change that makes it so, if any. Where a peer has roamed to is no difference: only an
/// endpoint that the file did not name before is one.
fn differing(state: &PeerState, mut wanted: PeerChange, difference: &mut Difference) {
    let mut what = Vec::new();
    let mut differs = |differs: bool, name: &'static str| {
        if differs {
            what.push(name);
        }
        differs
    };
    let name = wanted.name.take().unwrap_or_default();
    if differs(name != state.name.as_deref().unwrap_or_default(), "name") {
        wanted.name = Some(name.clone());
    }
    wanted.preshared_key = wanted.preshared_key.filter(|key| differs(!key.same(&state.preshared_key), "preshared key"));
    let configured = state.configured_endpoint.as_deref().copied();
    wanted.endpoint = wanted.endpoint.filter(|endpoint| differs(configured != Some(*endpoint), "endpoint"));
    wanted.persistent_keepalive =
        wanted.persistent_keepalive.filter(|seconds| differs(*seconds != state.persistent_keepalive, "keepalive"));
    if !differs(are_others(&wanted.allowed_ips, &state.allowed_ips), "allowed ips") {
        wanted.allowed_ips = Vec::new();
    }
    wanted.replace_allowed_ips = what.contains(&"allowed ips");
    wanted.update_only = true;
    if !what.is_empty() {
        let shown = PeerDifference {
            name: (!name.is_empty()).then_some(name),
            ..PeerDifference::of(Becomes::Changed, &wanted, what, !state.listed)
        };
        difference.peers.push(shown);
        difference.change.peers.push(wanted);
        return;
    }
    difference.unchanged += 1;
    // It stands in the file from now on.
    if !state.listed {
        difference.change.peers.push(wanted);
    }
}

/// Whether these are other prefixes, in whatever order.
fn are_others(wanted: &[AllowedIpChange], there: &[IpNet]) -> bool {
    if wanted.len() != there.len() {
        return true;
    }
    let in_order = wanted.iter().zip(there).all(|(wanted, there)| wanted.prefix == *there);
    !in_order && {
        let there: HashSet<_> = there.iter().collect();
        wanted.iter().any(|wanted| !there.contains(&wanted.prefix))
    }
}
