//! The typed configuration. Every optional key has its default by the time it stands here.

use super::places::Places;
use super::settings::Settings;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// One whole configuration: files, defaults and variables in one. Made by [`super::load`].
#[derive(Clone, Debug)]
pub struct Config {
    /// `[cores]`
    pub cores: Cores,
    /// `[memory]`
    pub memory: Memory,
    /// `[[port]]`, in the order of their first appearance.
    pub ports: Vec<Port>,
    /// `[[interface]]`, in the order of their first appearance.
    pub interfaces: Vec<Interface>,
    /// `[crypto]`
    pub crypto: Crypto,
    /// `[control]`
    pub control: Control,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[log]`
    pub log: Log,
    /// What `$CREDENTIALS_DIRECTORY` was.
    pub credentials_directory: Option<PathBuf>,
    /// The main file: it is read again for a reload.
    pub file: PathBuf,
    /// What it was made for.
    pub machine: Machine,
    pub(super) settings: Settings,
    pub(super) places: Places,
}

/// `[cores]`: core numbers as the kernel counts them. No list is empty, none has a core twice;
/// whether the cores exist is for [`Config::check`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The main thread's. Default: the machine's first core.
    pub control: usize,
    /// The cores that poll ports. Default: the last core.
    pub io: Vec<usize>,
    /// The cores for crypto; a core in both lists runs both in one loop. Default: the last core.
    pub workers: Vec<usize>,
    /// The handshake threads'. Default: the first core.
    pub handshake: Vec<usize>,
    /// What an I/O core or worker does without work.
    pub idle: Idle,
}

/// What a data core does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// `"busy"`: it polls for ever.
    Busy,
    /// `"adaptive"` (the default): it pauses, then sleeps for short times.
    Adaptive,
}

/// `[memory]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whether huge pages are used.
    pub huge_pages: HugePages,
    /// Packet buffers in all.
    pub mbufs: Amount,
    /// Arguments handed to EAL as they are, after culvert's own.
    pub extra_eal_args: Vec<String>,
}

/// Whether huge pages are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// `"auto"` (the default): if there are enough.
    Auto,
    /// `"required"`: no start without them.
    Required,
    /// `"none"`
    None,
}

/// A number that culvert may choose by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// `"auto"`, the default.
    Auto,
    /// This many.
    Number(u32),
}

impl Amount {
    /// The number, or what `auto` comes to.
    pub fn or_else(self, auto: impl FnOnce() -> u32) -> u32 {
        match self {
            Self::Auto => auto(),
            Self::Number(number) => number,
        }
    }
}

/// `[[port]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// 1 to 31 of `a-zA-Z0-9_=+.-`, unique.
    pub name: String,
    /// The NIC.
    pub device: Device,
    /// What it carries.
    pub role: Role,
    /// Bytes of an IP packet, 68 to 9216. Default: 1500.
    pub mtu: u16,
    /// RX queues.
    pub queues: Amount,
    /// 802.1Q id; 0 (the default): untagged, and all that this version does.
    pub vlan: u16,
    /// The gateway's own addresses with their subnets' lengths (host bits kept).
    pub addresses: Vec<IpNet>,
    /// Routes over this port.
    pub routes: Vec<Route>,
}

/// What a port is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A PCI address in full: `0000:3b:00.0`.
    Pci(String),
    /// An EAL virtual device with its arguments: `net_af_packet0,iface=wan0`.
    Vdev(String),
}

/// What a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// WireGuard's UDP packets.
    Outer,
    /// The plain packets.
    Inner,
    /// Both of them.
    Both,
}

impl Role {
    /// Whether WireGuard's UDP packets pass here.
    pub fn is_outer(self) -> bool {
        matches!(self, Self::Outer | Self::Both)
    }

    /// Whether plain packets pass here.
    pub fn is_inner(self) -> bool {
        matches!(self, Self::Inner | Self::Both)
    }
}

/// One of a port's `routes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations (host bits clear).
    pub to: IpNet,
    /// The router, of the same family.
    pub via: IpAddr,
}

/// `[[interface]]`s of a gateway, at most.
pub const MOST_INTERFACES: usize = 64;
/// Peers of all interfaces: as many as have receiver indexes.
pub const MOST_PEERS: u32 = 524_288;
/// What `max_peers` is if nobody says.
pub const DEFAULT_MAX_PEERS: u32 = 65_536;

/// `[[interface]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// 1 to 15 of `a-zA-Z0-9_=+.-`, unique: names the `wg` socket.
    pub name: String,
    /// Read it by [`Config::private_key`]. Relative paths are already joined with the folder of the file that
    /// names them (variables: of the main file). `$CREDENTIALS_DIRECTORY/…` stays as it is where that is not set.
    pub private_key_file: PathBuf,
    /// UDP ports, not empty, none twice, none 0. Default: 51820.
    pub listen_ports: Vec<u16>,
    /// A file in `wg setconf` syntax ([`super::peers_file::load`]); joined as the key file is.
    pub peers_file: Option<PathBuf>,
    /// Bytes of an inner packet, 68 to 9216. Default: 1420.
    pub mtu: u16,
    /// How many peers there is memory for, 1 to 524288. Default: 65536.
    pub max_peers: u32,
    /// Lower the MSS of TCP connections through the tunnel to what its MTU carries. Default: false.
    pub mss_clamp: bool,
}

/// `[crypto]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Which AEAD code the data path runs.
    pub backend: Backend,
}

/// Which AEAD code the data path runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `"auto"` (the default): the fastest that the CPU has.
    Auto,
    /// `"portable"`
    Portable,
    /// `"ipsec-mb"`
    IpsecMb,
    /// `"simd"`
    Simd,
}

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The `culvert` CLI's socket, an absolute path. Default: `/run/culvert/culvert.sock`.
    pub socket: PathBuf,
    /// Where the `wg` sockets are, an absolute path. Default: `/var/run/wireguard`.
    pub uapi_dir: PathBuf,
    /// Whether sessions are handed over to the culvertd that comes next. Default: true.
    pub keep_sessions: bool,
}

/// `[metrics]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus asks. Default: `127.0.0.1:9586`; `None` (`""`): nowhere.
    pub listen: Option<SocketAddr>,
    /// How many peers have series of their own. Default: 0.
    pub per_peer_max: u32,
}

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where the log goes, and how it is written.
    pub format: LogFormat,
}

/// Where the log goes, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `"auto"` (the default): to journald where systemd connected the standard error to it, else as text.
    Auto,
    /// `"text"`: lines on the standard error.
    Text,
    /// `"json"`: a line of JSON each, there too.
    Json,
    /// `"journald"`: by its native protocol, with fields.
    Journald,
}

/// Numbers as the kernel writes them: `0-3,8`.
pub fn list_of(numbers: &[usize]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |(low, high): &(usize, usize)| if low == high { low.to_string() } else { format!("{low}-{high}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

/// What a configuration is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The cores that this process may run on, ascending, not empty.
    pub cores: Vec<usize>,
}

impl Machine {
    /// The cores that the calling thread may run on now. Call it before `rte_eal_init`, which cuts them to one.
    pub fn read() -> Self {
        let mut cores: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        cores.sort_unstable();
        cores.dedup();
        if cores.is_empty() {
            cores.push(0);
        }
        Self { cores }
    }
}
