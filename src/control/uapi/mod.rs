//! The cross-platform userspace interface of WireGuard, by which an unmodified `wg` configures a gateway
//! (`/var/run/wireguard/NAME.sock`; <https://www.wireguard.com/xplatform/#configuration-protocol>).
//!
//! ```text
//! wg ─ socket ─ server (accepts, hands out) ─ connection ─ parse ─▶ ChangeSet ─▶ Device::set
//!                                                 └──────── write ◀─ PeerCursor ◀─ Device::get
//! ```
//!
//! Where the text of the protocol leaves room, the tool decides: `set` answers with a negative errno
//! (`wg` prints it right), `get` with a positive one (`wg` reads digits only); a body is read to its
//! blank line even after an error, since `wg` would die of SIGPIPE; and what a body asks for is done
//! whole or not at all.

mod connection;
mod device;
mod parse;
mod server;
mod socket;
mod value;
mod write;

#[cfg(test)]
mod parse_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod test_device;
#[cfg(test)]
mod wg_tests;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod wiping_tests;

pub use device::{Device, DeviceView, Errno, PeerCursor, PeerView};
pub use parse::{Bounds, Operation, ParseError, Parser, Reason};
pub use server::{Limits, UapiServer};
pub use socket::UapiError;
pub use write::GetReply;
