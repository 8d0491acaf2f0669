//! Peers as the text that [`super::parse`] reads.

use super::to_base64;
use crate::control::change::PeerChange;
use std::fmt::{self, Write};
use zeroize::Zeroizing;

/// Peers in `wg setconf` syntax, their names as comments. It may hold preshared keys.
pub fn to_text(peers: &[PeerChange]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(peers.iter().map(room).sum()));
    // A string takes all.
    let _ok = peers.iter().try_for_each(|peer| write_peer(&mut text, peer));
    text
}

/// Enough for a peer, so that no copy of its keys is left behind by growing.
fn room(peer: &PeerChange) -> usize {
    const FIXED: usize = 512;
    const PREFIX: usize = 48;
    FIXED + PREFIX * peer.allowed_ips.len() + peer.name.as_ref().map_or(0, String::len)
}

fn write_peer(text: &mut String, peer: &PeerChange) -> fmt::Result {
    writeln!(text, "[Peer]")?;
    if let Some(name) = &peer.name {
        writeln!(text, "# friendly_name = {name}")?;
    }
    writeln!(text, "PublicKey = {}", to_base64(&peer.public_key))?;
    if let Some(key) = peer.preshared_key.as_ref().filter(|key| !key.is_zero()) {
        writeln!(text, "PresharedKey = {}", *Zeroizing::new(to_base64(key.bytes())))?;
    }
    let mut prefixes = peer.allowed_ips.iter().map(|allowed| allowed.prefix);
    if let Some(first) = prefixes.next() {
        write!(text, "AllowedIPs = {first}")?;
        prefixes.try_for_each(|prefix| write!(text, ", {prefix}"))?;
        writeln!(text)?;
    }
    if let Some(endpoint) = peer.endpoint {
        writeln!(text, "Endpoint = {endpoint}")?;
    }
    if let Some(seconds) = peer.persistent_keepalive.filter(|seconds| *seconds != 0) {
        writeln!(text, "PersistentKeepalive = {seconds}")?;
    }
    writeln!(text)
}
