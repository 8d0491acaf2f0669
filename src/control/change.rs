//! What someone wants changed: the one form that the `wg` socket and the peers file are parsed into.

use ipnet::IpNet;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// 32 secret bytes, zeroed on drop; it has no `Debug` of its own bytes. They have one place on the heap: a key that moved by value would
/// leave a copy wherever it was, and nobody wipes those. All zero ("no key") takes none.
#[derive(Clone, Default)]
pub struct SecretKey(Option<Box<Zeroizing<[u8; 32]>>>);

impl SecretKey {
    /// A key of these bytes; the caller wipes his own.
    pub fn new(bytes: &[u8; 32]) -> Self {
        use subtle::ConstantTimeEq;
        if bytes.ct_eq(&[0; 32]).into() {
            return Self(None);
        }
        let mut key = Box::new(Zeroizing::new([0; 32]));
        key.copy_from_slice(bytes);
        Self(Some(key))
    }

    /// The bytes, for the code that uses the key.
    pub fn bytes(&self) -> &[u8; 32] {
        self.0.as_ref().map_or(&[0; 32], |key| key)
    }

    /// Whether both are the same key, in constant time.
    pub fn same(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.bytes().ct_eq(other.bytes()).into()
    }

    /// All zero: "no key" in UAPI.
    pub fn is_zero(&self) -> bool {
        self.0.is_none()
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Everything that one `set=1` body or one peers file asks of an interface; applied whole or not at all.
#[derive(Debug, Default)]
pub struct ChangeSet {
    /// A new private key; all zero unsets it.
    pub private_key: Option<SecretKey>,
    /// A new listen port.
    pub listen_port: Option<u16>,
    /// A firewall mark; 0 unsets it.
    pub fwmark: Option<u32>,
    /// All peers that are not named go.
    pub replace_peers: bool,
    /// In the order given; the same key may come more than once.
    pub peers: Vec<PeerChange>,
}

/// What is asked of one peer.
#[derive(Debug, Default)]
pub struct PeerChange {
    /// Which.
    pub public_key: [u8; 32],
    /// It goes.
    pub remove: bool,
    /// Only if it exists already.
    pub update_only: bool,
    /// A new preshared key; all zero unsets it.
    pub preshared_key: Option<SecretKey>,
    /// A new endpoint.
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0 switches it off.
    pub persistent_keepalive: Option<u16>,
    /// Its allowed IPs go before those below come.
    pub replace_allowed_ips: bool,
    /// Prefixes (host bits cleared), in order.
    pub allowed_ips: Vec<AllowedIpChange>,
    /// A name for people (`# friendly_name = …` in a peers file); empty takes it away.
    pub name: Option<String>,
    /// The line that it began at, 1 the first; 0 where there is none.
    pub line: u32,
    /// A peers file names it.
    pub in_file: bool,
}

/// One prefix to add, or to remove again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedIpChange {
    /// The prefix, host bits cleared.
    pub prefix: IpNet,
    /// `-` before it: it goes.
    pub remove: bool,
}
