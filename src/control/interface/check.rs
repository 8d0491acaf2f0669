//! Whether a change can be done: before anything of it is.

use super::{Handles, Interface};
use crate::control::change::{ChangeSet, PeerChange};
use crate::frame::PacketPool;
use crate::queue::FlowId;
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};

/// Why a change was refused; nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// More peers than the configuration allows.
    #[error("{wanted} peers, but max_peers is {max_peers}: raise it in the configuration")]
    TooManyPeers {
        /// How many there would be.
        wanted: usize,
        /// How many there may be.
        max_peers: u32,
    },
    /// The listen port is another interface's.
    #[error("{interface} listens on UDP port {port}: take another one")]
    PortTaken {
        /// Which.
        port: u16,
        /// Whose it is.
        interface: String,
    },
    /// An allowed IP is another interface's: it would have to leave a peer that this change has no say over.
    #[error("{prefix} is an allowed IP of a peer of {interface}: give each prefix to one interface")]
    PrefixTaken {
        /// Which.
        prefix: IpNet,
        /// Whose it is.
        interface: String,
        /// The line of the peers file that the peer begins at; 0: there is none.
        line: u32,
    },
    /// Too many threads read the tables at once, or too many peers are still on their way out.
    #[error("too many changes at once: try again")]
    Busy,
}

/// Of more prefixes than so many nobody is told whose they were.
pub const MOST_MOVED: usize = 100;

/// A prefix that a change took from another peer of the same interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub prefix: IpNet,
    /// The public key of the peer that had it.
    pub from: [u8; 32],
}

/// What a check found.
struct Checked {
    /// The keys that a whole new set names.
    named: HashSet<[u8; 32]>,
    /// Peers to be made.
    fresh: usize,
}

impl<A: PacketPool> Interface<A> {
    /// Whether all of these changes can be done, one after the other: for each [`Interface::check`] says so, no two want the same port or the
    /// same prefix, and there is room for the flows to be made beside those that are on their way out. Returns the keys that each whole new set names; or
    /// which change cannot be done, and why.
    pub(super) fn check_together(
        handles: &mut Handles<A>,
        changes: &[(&Self, ChangeSet)],
    ) -> Result<Vec<HashSet<[u8; 32]>>, (usize, ChangeError)> {
        let Some((first, _)) = changes.first() else { return Ok(Vec::new()) };
        let (mut all, mut fresh) = (Vec::new(), 0);
        let (mut ports, mut prefixes): (HashMap<u16, &Self>, HashMap<IpNet, &Self>) = Default::default();
        for (at, (interface, change)) in changes.iter().enumerate() {
            if let Some(port) = change.listen_port.filter(|port| *port != 0)
                && let Some(other) = ports.insert(port, interface)
            {
                return Err((at, ChangeError::PortTaken { port, interface: other.name().to_owned() }));
            }
            let several = changes.len() > 1;
            for (peer, prefix) in change.peers.iter().filter(|_| several).flat_map(wanted) {
                let other = *prefixes.entry(prefix).or_insert(interface);
                if other.tunnel != interface.tunnel {
                    let (interface, line) = (other.name().to_owned(), peer.line);
                    return Err((at, ChangeError::PrefixTaken { prefix, interface, line }));
                }
            }
            let checked = interface.check(handles, change).map_err(|error| (at, error))?;
            fresh += checked.fresh;
            all.push(checked.named);
        }
        let occupied = first.context.directory.len() + handles.flows.poll();
        if fresh + occupied > handles.flows.flows().capacity() {
            return Err((0, ChangeError::Busy));
        }
        Ok(all)
    }

    /// Whether all of `change` can be done as things are: the port and the prefixes are no other interface's, and there are no more peers
    /// than there may be.
    fn check(&self, handles: &Handles<A>, change: &ChangeSet) -> Result<Checked, ChangeError> {
        if let Some(port) = change.listen_port
            && let Some(holder) = self.context.shared.listen.tunnel_of(port).filter(|holder| *holder != self.tunnel)
        {
            return Err(ChangeError::PortTaken { port, interface: self.name_of(holder) });
        }
        let directory = &self.context.directory;
        let named = named(change);
        let stays = |key: &[u8; 32]| {
            (!change.replace_peers || named.contains(key)) && directory.by_key(self.tunnel, key).is_some()
        };
        let mut peers = match change.replace_peers {
            true => named.iter().filter(|key| stays(key)).count(),
            false => directory.len_of(self.tunnel),
        };
        let (mut fresh, mut now) = (0, HashMap::with_capacity(change.peers.len()));
        for peer in &change.peers {
            let exists = now.entry(peer.public_key).or_insert_with_key(stays);
            if *exists && peer.remove {
                peers -= 1;
                *exists = false;
            } else if !*exists && !peer.remove && !peer.update_only {
                (peers, fresh) = (peers + 1, fresh + 1);
                *exists = true;
            }
            if *exists {
                self.check_prefixes(handles, peer)?;
            }
        }
        if peers > self.max_peers as usize {
            return Err(ChangeError::TooManyPeers { wanted: peers, max_peers: self.max_peers });
        }
        Ok(Checked { named, fresh })
    }

    fn check_prefixes(&self, handles: &Handles<A>, peer: &PeerChange) -> Result<(), ChangeError> {
        if self.context.shared.tunnels.len() < 2 {
            return Ok(());
        }
        for (_, prefix) in wanted(peer) {
            let owner = handles.allowed.owner(prefix).and_then(|flow| self.context.directory.by_flow(FlowId(flow)));
            if let Some(owner) = owner.filter(|owner| owner.tunnel != self.tunnel) {
                let interface = self.name_of(owner.tunnel);
                return Err(ChangeError::PrefixTaken { prefix, interface, line: peer.line });
            }
        }
        Ok(())
    }

    fn name_of(&self, tunnel: u8) -> String {
        self.context.shared.tunnel(tunnel).map_or_else(String::new, |tunnel| tunnel.name.clone())
    }
}

/// The prefixes that a peer is to have.
fn wanted(peer: &PeerChange) -> impl Iterator<Item = (&PeerChange, IpNet)> {
    peer.allowed_ips.iter().filter(|allowed| !allowed.remove).map(move |allowed| (peer, allowed.prefix))
}

/// The keys that a change names to be there in the end.
fn named(change: &ChangeSet) -> HashSet<[u8; 32]> {
    let mut named = HashSet::with_capacity(change.peers.len());
    for peer in &change.peers {
        if peer.remove {
            named.remove(&peer.public_key);
        } else if !peer.update_only {
            named.insert(peer.public_key);
        }
    }
    named
}
