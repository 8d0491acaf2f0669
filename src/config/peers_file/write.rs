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
pub(super) fn room(peer: &PeerChange) -> usize {
    // All lines with the longest values: an IPv6 endpoint, a keepalive of five digits.
    const FIXED: usize = 288;
    const PREFIX: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128, ".len();
    FIXED + PREFIX * peer.allowed_ips.len() + peer.name.as_ref().map_or(0, String::len)
}

pub(super) fn write_peer(text: &mut String, peer: &PeerChange) -> fmt::Result {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::change::{AllowedIpChange, SecretKey};

    /// Growing would leave a copy of the preshared keys behind.
    #[test]
    fn there_is_room_for_the_longest_peer() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let peer = PeerChange {
            public_key: [0xff; 32],
            preshared_key: Some(SecretKey::new(&[0xff; 32])),
            endpoint: Some(format!("[{longest}]:65535").parse().unwrap()),
            persistent_keepalive: Some(65_535),
            allowed_ips: (0..3)
                .map(|_| AllowedIpChange { prefix: format!("{longest}/128").parse().unwrap(), remove: false })
                .collect(),
            name: Some("é".repeat(64)),
            ..PeerChange::default()
        };
        let len = to_text(std::slice::from_ref(&peer)).len();
        assert!(len <= room(&peer), "{len} bytes in {}", room(&peer));
        assert!(len + 64 > room(&peer), "and not much more than that");
    }
}
