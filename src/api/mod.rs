//! What may be asked of a running gateway: the requests that go over its control socket, a line of JSON each. The gateway's
//! `desk` answers every one of them, the CLI's command table says what words ask it.
//!
//! ```text
//! {"do":"show-port-stats","port":"all"}    →    {"port_stats":[{"port":0,"name":"wan","rx_packets":…}]}
//! ```
//!
//! An answer is one object. `{"error": "…"}` is the answer to what cannot be done.

mod lab;
mod secret;

pub use lab::{LabRequest, PortAction};
pub use secret::Secret;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Bytes of a request, its newline included, at most.
pub const LONGEST_REQUEST: usize = 4096;

macro_rules! requests {
    ($($(#[$doc:meta])* $kind:ident $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })?,)*) => {
        /// One question or order.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
        pub enum Request {
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: $type,)* })?,)*
        }

        impl Request {
            /// Whether it only looks: then it changes nothing but since when others are shown rates.
            pub fn only_shows(&self) -> bool {
                match self {
                    $(Self::$variant { .. } => requests!(@ $kind),)*
                }
            }

            /// What it is called in JSON, without anything of what it says.
            pub fn name(&self) -> String {
                match self {
                    $(Self::$variant { .. } => kebab(stringify!($variant)),)*
                }
            }
        }
    };
    (@ show) => { true };
    (@ change) => { false };
}

impl Request {
    /// Whether it may take seconds: it reads and writes files of half a million peers. The gateway does one of these at a time, beside
    /// the others.
    pub fn takes_long(&self) -> bool {
        matches!(self, Self::ConfigDiff { .. } | Self::Reload { .. } | Self::PeersSave { .. } | Self::CaptureStop)
    }
}

requests! {
    /// All that is counted, in one answer.
    show ShowReport,
    /// Every packet by the door it left by.
    show ShowAccount,
    /// Drops by reason.
    show ShowDrops {
        /// Those of which there are none too.
        all: bool,
    },
    /// What each core does.
    show ShowCores,
    /// Cycles by core and stage.
    show ShowCycles,
    /// The packet pool.
    show ShowMempool,
    /// What memory is taken.
    show ShowMemory,
    /// The cipher backends.
    show ShowCrypto,
    /// How DPDK was started.
    show ShowEal,
    /// A line a port.
    show ShowPortSummary {
        /// A number, a name, or `all`.
        port: String,
    },
    /// All about ports.
    show ShowPortInfo {
        /// As above.
        port: String,
    },
    /// Ports' counters.
    show ShowPortStats {
        /// As above.
        port: String,
    },
    /// Drivers' own counters.
    show ShowPortXstats {
        /// As above.
        port: String,
    },
    /// Ports' counters are shown from 0 on.
    change ClearPortStats {
        /// As above.
        port: String,
    },
    /// The same of drivers' own.
    change ClearPortXstats {
        /// As above.
        port: String,
    },
    /// Whether packets for other MAC addresses are taken.
    change SetPromisc {
        /// As above.
        port: String,
        /// They are.
        on: bool,
    },
    /// A port's link is taken up or down.
    change SetLink {
        /// As above.
        port: String,
        /// Up.
        up: bool,
    },
    /// Queues and descriptors.
    show ShowConfigRxtx,
    /// Which core does what.
    show ShowConfigCores,
    /// Which core polls what.
    show ShowConfigFwd,
    /// What culvert received and sent.
    show ShowFwdStats,
    /// That is shown from 0 on.
    change ClearFwdStats,
    /// Interfaces.
    show ShowInterface {
        /// Only this one.
        interface: Option<String>,
    },
    /// Some peers.
    show ShowPeers {
        /// Which first.
        sort: PeerSort,
        /// How many.
        limit: Option<u32>,
        /// Only those whose name, key, endpoint or allowed ips this regular expression fits.
        matching: Option<String>,
        /// Only those of this interface.
        interface: Option<String>,
    },
    /// How many peers there are.
    show ShowPeersSummary,
    /// One peer.
    show ShowPeer {
        /// Its key or the beginning of that, its name, or an address behind it.
        peer: String,
        /// With sessions and findings.
        detail: bool,
    },
    /// Where a packet would go.
    show ShowLookup {
        /// To this address.
        address: String,
    },
    /// Handshakes in sum.
    show ShowHandshakes,
    /// Cookies, by handshake thread.
    show ShowCookies,
    /// Peers whose messages were refused as replayed.
    show ShowReplay {
        /// How many.
        limit: Option<u32>,
    },
    /// A new peer.
    change PeerAdd {
        /// Its public key, in base64.
        public_key: String,
        /// Whose it is to be; needless where there is one interface.
        interface: Option<String>,
        /// All else.
        settings: PeerSettings,
    },
    /// What is named of a peer changes.
    change PeerSet {
        /// Its public key or its name, in full.
        peer: String,
        /// Only of this interface.
        interface: Option<String>,
        /// What changes.
        settings: PeerSettings,
    },
    /// A peer goes.
    change PeerRemove {
        /// As above.
        peer: String,
        /// As above.
        interface: Option<String>,
    },
    /// In what the running gateway differs from its files. They are read by the gateway's rights, so not everybody may ask.
    change ConfigDiff {
        /// Another main file, from the root on; or its own.
        file: Option<PathBuf>,
    },
    /// The running peers are written into their files.
    change PeersSave {
        /// Another file, from the root on.
        file: Option<PathBuf>,
        /// Only of this interface.
        interface: Option<String>,
        /// What somebody else has written there since is lost.
        force: bool,
    },
    /// The running gateway becomes what its files say.
    change Reload {
        /// Peers that came by a socket stay.
        keep: bool,
    },
    /// Packets are copied into a file: a new one, which is handed over with the request (SCM_RIGHTS).
    change CaptureStart {
        /// Its name, for people.
        file: String,
        /// Only these.
        of: Option<CaptureOf>,
        /// Only frames of this port: a number, a name, or `all`.
        port: Option<String>,
        /// Only packets of this peer, named as in `show-peer`.
        peer: Option<String>,
        /// How many, at most.
        limit: Option<u32>,
        /// Bytes of each, at most.
        snap: Option<u32>,
    },
    /// That ends.
    change CaptureStop,
    /// How it stands.
    show ShowCapture,
    /// The next packets that come are followed on their way.
    change TraceAdd {
        /// How many.
        packets: u32,
        /// Only of this peer, named as in `show-peer`.
        peer: Option<String>,
    },
    /// Which ways they went.
    show ShowTrace,
    /// That is forgotten, and nothing is followed any more.
    change ClearTrace,
    /// What happened.
    show ShowEvents {
        /// Only what came behind this number, the oldest first; without it the latest.
        after: Option<u64>,
        /// How many.
        limit: Option<u32>,
    },
    /// What is logged from now on.
    change SetLog {
        /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
        level: String,
    },
    /// Whether data cores count their cycles.
    change SetRecordCoreCycles {
        /// They do.
        on: bool,
    },
}

/// What of a peer is to be; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerSettings {
    /// Its name for people.
    pub name: Option<String>,
    /// Prefixes with commas between: all that it has then; or each with `+` or `-` before it, and the others stay.
    pub allowed_ips: Option<String>,
    /// An address and a UDP port.
    pub endpoint: Option<String>,
    /// A preshared key, in base64; all zero: none.
    pub preshared_key: Option<Secret>,
    /// Seconds; 0 switches it off.
    pub keepalive: Option<u16>,
}

impl Request {
    /// The file that who asks has to make, and to hand over with the request.
    pub fn file_to_make(&self) -> Option<&Path> {
        match self {
            Self::CaptureStart { file, .. } => Some(Path::new(file)),
            _ => None,
        }
    }
}

/// Which packets are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureOf {
    /// IP packets that come out of tunnels or go into them.
    Inner,
    /// Frames of outer ports.
    Outer,
    /// What goes no further.
    Drops,
}

/// `SetLog` as `set-log`.
fn kebab(name: &str) -> String {
    let small = name.chars().flat_map(|c| [c.is_ascii_uppercase().then_some('-'), Some(c.to_ascii_lowercase())]);
    small.flatten().skip(1).collect()
}

/// By what peers are sorted; the most comes first, and names from a to z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerSort {
    /// The latest handshake.
    Handshake,
    /// Bytes received.
    Rx,
    /// Bytes sent.
    Tx,
    /// Bits a second, both ways, since anybody last asked so.
    Rate,
    /// Their names.
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_line_of_json_and_back() {
        let request = Request::SetRecordCoreCycles { on: true };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"do":"set-record-core-cycles","on":true}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        assert_eq!(request.name(), "set-record-core-cycles");
        assert!(!request.only_shows() && Request::ShowDrops { all: true }.only_shows());
        for wrong in ["", "show", "{}", r#"{"do":"fly"}"#, r#"{"do":"set-record-core-cycles"}"#] {
            assert!(serde_json::from_str::<Request>(wrong).is_err(), "{wrong}");
        }
    }
}
