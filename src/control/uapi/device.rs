//! What the server asks of the interface behind it, and what it is told.

use crate::control::change::{ChangeSet, SecretKey};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::time::Duration;

/// An error number of the operating system, as the protocol carries it.
pub use rustix::io::Errno;

/// One WireGuard interface, as its socket sees it. All calls come from the server's own threads, several
/// at a time; none of them may touch what a packet path waits for.
pub trait Device: Send + Sync {
    /// Does all that `change` asks, or nothing; may block. What it leaves out stays as it is. A peer with
    /// `remove` goes, whatever else is said of it; one whose key is our own is passed over in silence.
    ///
    /// # Errors
    /// The number that the user is shown: `EADDRINUSE` for a port that is taken, `ENOSPC` if there would
    /// be more peers than [`Device::max_peers`], and so on. The reason is the device's to log.
    fn set(&self, change: ChangeSet) -> Result<(), Errno>;

    /// The interface as it is now, and its peers. `wg syncconf` computes what it removes from this
    /// answer: a peer that is there all the while must be shown exactly once.
    ///
    /// # Errors
    /// The number that the user is shown.
    fn get(&self) -> Result<(DeviceView, Box<dyn PeerCursor>), Errno>;

    /// How many peers it takes at most; bounds what the server reads of one `set`.
    fn max_peers(&self) -> u32;
}

/// A walk over the peers of one [`Device::get`]. It lives as long as the client takes to read, so it owns
/// what it walks over (a snapshot), and holds no lock between two calls.
pub trait PeerCursor: Send {
    /// Fills `peer` with the next one and says true, or says false after the last. `peer` is the one of
    /// the call before (so `allowed_ips` keeps its allocation); every field is to be set.
    fn next(&mut self, peer: &mut PeerView) -> bool;
}

/// What `get` shows of the interface.
#[derive(Clone, Debug, Default)]
pub struct DeviceView {
    /// Shown in clear to whoever may open the socket: `wg` derives the public key from it.
    pub private_key: Option<SecretKey>,
    /// 0: not bound to a port.
    pub listen_port: u16,
    /// 0: none.
    pub fwmark: u32,
}

/// What `get` shows of one peer.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    /// Which.
    pub public_key: [u8; 32],
    /// `None` is shown as zeros, like wireguard-go does.
    pub preshared_key: Option<SecretKey>,
    /// Where it was heard last, or is configured to be.
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0: off.
    pub persistent_keepalive: u16,
    /// Bytes of UDP payload received and authenticated.
    pub rx_bytes: u64,
    /// Bytes of UDP payload sent.
    pub tx_bytes: u64,
    /// Of the newest completed handshake, since the Unix epoch.
    pub last_handshake: Option<Duration>,
    /// In any order; `wg` prints them in this one.
    pub allowed_ips: Vec<IpNet>,
}
