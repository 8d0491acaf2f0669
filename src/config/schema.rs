//! The sections and keys that there are.

use super::leaf::{Address, AmountIn, EalArgument, Fault, FilePath, Leaf, Listen, Name, Ranged, Set, SocketPath};
use super::types::{Backend, Device, HugePages, Idle, LogFormat, MOST_PEERS, Role, Route};
use ::config::{Value, ValueKind};

/// Cores as the kernel numbers them.
pub(super) type Core = Ranged<0, 65_535>;
/// Bytes of an IP packet.
pub(super) type Mtu = Ranged<68, 9_216>;
/// A UDP port.
pub(super) type UdpPort = Ranged<1, 65_535>;
/// How many packet buffers.
pub(super) type Mbufs = AmountIn<1_024, 16_777_216>;
/// How many RX queues.
pub(super) type Queues = AmountIn<1, 1_024>;
/// An 802.1Q id, 0 without.
pub(super) type Vlan = Ranged<0, 4_094>;
/// How many peers.
pub(super) type Peers = Ranged<1, MOST_PEERS>;
/// How many peers have series of their own: each is three, with long labels, in Prometheus' memory.
pub(super) type PeerSeries = Ranged<0, 10_000>;
/// The name of an interface.
pub(super) type InterfaceName = Name<15>;
/// The name of a port.
pub(super) type PortName = Name<31>;
/// A Unix socket: its address holds 107 bytes.
pub(super) type Socket = SocketPath<107>;
/// A folder of sockets called `NAME.sock`.
pub(super) type SocketFolder = SocketPath<86>;

/// How the name of an item is read.
pub(super) type ReadName = fn(&Value) -> Result<String, Fault>;

/// A section of the file.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// Of the `[[many]]` kind: how the items' names are read.
    pub(super) many: Option<ReadName>,
    /// What it is about, for the manual page.
    pub(super) help: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of a section, `name` apart.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// As TOML.
    pub(super) example: &'static str,
    /// What it does, for the manual page.
    pub(super) help: &'static str,
    /// What its values are.
    pub(super) due: fn() -> String,
    pub(super) from_text: fn(&str) -> ValueKind,
    pub(super) check: fn(&Value) -> Result<(), Fault>,
    /// A path, relative to the folder of the file that names it.
    pub(super) is_file: bool,
}

const fn key<T: Leaf>(name: &'static str, example: &'static str, help: &'static str) -> Key {
    let check = |value: &Value| T::read(value).map(drop);
    Key { name, example, help, due: T::due, from_text: T::from_text, check, is_file: false }
}

const fn file(name: &'static str, example: &'static str, help: &'static str) -> Key {
    let mut key = key::<FilePath>(name, example, help);
    key.is_file = true;
    key
}

/// `[cores]`
pub(super) static CORES: Section = Section {
    name: "cores",
    many: None,
    help: "Which core does what, as lscpu -e numbers them. Data cores are best isolated from all else.",
    keys: &[
        key::<Core>(
            "control",
            "0",
            "The core of the main, control and metrics threads: the machine's first if nobody says.",
        ),
        key::<Set<Core>>("io", "[1]", "The cores that poll the ports: the machine's last if nobody says."),
        key::<Set<Core>>(
            "workers",
            "[2, 3]",
            "The cores that encrypt and decrypt: the machine's last if nobody says. A core in both lists does both in one loop.",
        ),
        key::<Set<Core>>(
            "handshake",
            "[0]",
            "The core of each handshake thread: the machine's first if nobody says. One thread for each that is named.",
        ),
        key::<Idle>(
            "idle",
            "\"adaptive\"",
            "What a data core does when nothing comes: busy polls for ever; adaptive pauses, then sleeps for 50 microseconds at a time.",
        ),
    ],
};

/// `[memory]`
pub(super) static MEMORY: Section = Section {
    name: "memory",
    many: None,
    help: "Where packets lie.",
    keys: &[
        key::<HugePages>(
            "huge_pages",
            "\"auto\"",
            "auto: huge pages, if there are enough free ones; required: no start without them; none: ordinary pages.",
        ),
        key::<Mbufs>("mbufs", "\"auto\"", "Packet buffers in all."),
        key::<Vec<EalArgument>>(
            "extra_eal_args",
            "[\"--log-level=lib.eal:debug\"]",
            "Handed to DPDK as they are, behind culvert's own. culvert show eal prints what DPDK was given.",
        ),
    ],
};

/// `[[port]]`
pub(super) static PORT: Section = Section {
    name: "port",
    many: Some(|value| PortName::read(value).map(|name| name.0)),
    help: "A port: one table each. At least one is outer, or both.",
    keys: &[
        key::<Device>(
            "device",
            "\"0000:3b:00.0\"",
            "What the port is made of: a NIC, which vfio-pci holds (Mellanox's stay with the kernel), or a virtual device with its arguments.",
        ),
        key::<Role>("role", "\"outer\"", "outer: WireGuard's packets; inner: plain ones; both: both of them."),
        key::<Mtu>("mtu", "1500", "The largest IP packet that the port carries, in bytes."),
        key::<Queues>(
            "queues",
            "\"auto\"",
            "Receive queues. By itself culvert takes one for each I/O core, as far as the device has them.",
        ),
        key::<Vlan>("vlan", "0", "The 802.1Q id of all its frames; 0: they are untagged."),
        key::<Vec<Address>>(
            "addresses",
            "[\"203.0.113.10/24\"]",
            "The gateway's own addresses there. The kernel must have none of them.",
        ),
        key::<Vec<Route>>(
            "routes",
            "[{ to = \"0.0.0.0/0\", via = \"203.0.113.1\" }]",
            "Networks that are reached by a router on this port.",
        ),
    ],
};

/// `[[interface]]`
pub(super) static INTERFACE: Section = Section {
    name: "interface",
    many: Some(|value| InterfaceName::read(value).map(|name| name.0)),
    help: "A WireGuard interface: one table each, 64 at most, with a key, peers and UDP ports of its own.",
    keys: &[
        file(
            "private_key_file",
            "\"wg0.key\"",
            "The interface's private key, its owner's alone to read. Relative names go with the file that they stand in; $CREDENTIALS_DIRECTORY/NAME is what systemd's LoadCredential= hands over.",
        ),
        key::<Set<UdpPort>>(
            "listen_ports",
            "[51820]",
            "The UDP ports that it listens on. wg shows and changes the first. No two interfaces share one.",
        ),
        file(
            "peers_file",
            "\"wg0.conf\"",
            "Its peers, as wg setconf takes them; a comment friendly_name = ... above a peer names it. Without the key peers come by wg set alone.",
        ),
        key::<Mtu>("mtu", "1420", "The largest packet inside the tunnel, in bytes."),
        key::<Peers>(
            "max_peers",
            "500000",
            "How many peers there is memory for; 524288 are the most of all interfaces together.",
        ),
        key::<bool>("mss_clamp", "false", "Whether the MSS of TCP connections is lowered to what the tunnel carries."),
    ],
};

/// `[crypto]`
pub(super) static CRYPTO: Section = Section {
    name: "crypto",
    many: None,
    help: "ChaCha20-Poly1305.",
    keys: &[key::<Backend>("backend", "\"auto\"", "Which cipher code runs; auto: the fastest that this CPU has.")],
};

/// `[control]`
pub(super) static CONTROL: Section = Section {
    name: "control",
    many: None,
    help: "Where people and programs ask the gateway.",
    keys: &[
        key::<Socket>("socket", "\"/run/culvert/culvert.sock\"", "The socket that culvert(1) asks by."),
        key::<SocketFolder>("uapi_dir", "\"/var/run/wireguard\"", "The folder of the sockets that wg(8) asks by."),
        key::<bool>(
            "keep_sessions",
            "true",
            "Whether a restart keeps sessions, where the service manager has a place for them: see culvertd(8), RESTART.",
        ),
    ],
};

/// `[metrics]`
pub(super) static METRICS: Section = Section {
    name: "metrics",
    many: None,
    help: "What Prometheus is told.",
    keys: &[
        key::<Listen>(
            "listen",
            "\"127.0.0.1:9586\"",
            "Where Prometheus asks for http://ADDRESS:PORT/metrics; an empty text: nowhere.",
        ),
        key::<PeerSeries>("per_peer_max", "100", "So many peers, the first ones first, have series of their own."),
    ],
};

/// `[log]`
pub(super) static LOG: Section = Section {
    name: "log",
    many: None,
    help: "What culvertd says. How much, CULVERT_LOG (see culvertd(8)) and culvert set log decide.",
    keys: &[key::<LogFormat>(
        "format",
        "\"auto\"",
        "text: lines on the standard error; json: a line of JSON each, there; journald: its native protocol, with fields such as PEER= and PORT=; auto: journald where systemd connected the standard error to it, else text.",
    )],
};

/// All of them, in the order of the documentation.
pub(super) static SECTIONS: [&Section; 8] = [&CORES, &MEMORY, &PORT, &INTERFACE, &CRYPTO, &CONTROL, &METRICS, &LOG];

impl Section {
    /// The section of that name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        SECTIONS.into_iter().find(|section| section.name == name)
    }

    /// Its key of that name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Its header: `[cores]`, `[[port]]`.
    pub(super) fn header(&self) -> String {
        match self.many {
            Some(_) => format!("[[{}]]", self.name),
            None => format!("[{}]", self.name),
        }
    }

    /// What to do about a key that is not there.
    pub(super) fn instead_of(&self, key: &str) -> String {
        let name = self.many.map(|_| "name");
        let keys = || name.into_iter().chain(self.keys.iter().map(|key| key.name));
        if let Some(near) = suggest(key, keys()) {
            return format!("Did you mean {near}?");
        }
        let homes = SECTIONS.into_iter().filter(|section| section.key(key).is_some());
        let homes: Vec<String> = homes.map(Self::header).collect();
        if !homes.is_empty() {
            return format!("{key} is a key of {}", homes.join(" and "));
        }
        format!("Its keys are {}", keys().collect::<Vec<_>>().join(", "))
    }
}

/// What to do about a section that is not there.
pub(super) fn instead_of_section(name: &str) -> String {
    if let Some(near) = suggest(name, SECTIONS.into_iter().map(|section| section.name)) {
        let header = Section::find(near).map(Section::header).unwrap_or_default();
        return format!("Did you mean {header}?");
    }
    let homes = SECTIONS.into_iter().filter(|section| section.key(name).is_some());
    let homes: Vec<String> = homes.map(Section::header).collect();
    if !homes.is_empty() {
        return format!("{name} is a key of {}", homes.join(" and "));
    }
    let headers: Vec<String> = SECTIONS.into_iter().map(Section::header).collect();
    format!("The sections are {}", headers.join(", "))
}

/// The candidate that `word` may have been meant for: a third of its letters may differ.
pub(super) fn suggest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    if word.len() > 64 {
        return None; // the distance is quadratic
    }
    let near = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= near && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_only() {
        for (word, meant) in [
            ("wrokers", Some("workers")),
            ("worker", Some("workers")),
            ("IO", Some("io")),
            ("ip", Some("io")),
            ("cores", None),
            ("", None),
        ] {
            assert_eq!(suggest(word, ["io", "workers"].into_iter()), meant, "{word}");
        }
        assert_eq!(suggest(&"workers".repeat(100_000), ["workers"].into_iter()), None);
    }

    #[test]
    fn every_example_fits_its_key() {
        for section in SECTIONS {
            for key in section.keys {
                let text = format!("x = {}", key.example);
                let format = ::config::FileFormat::Toml;
                let source = ::config::File::from_str(&text, format);
                let config = ::config::Config::builder().add_source(source).build().unwrap();
                let value: Value = config.get("x").unwrap();
                assert!((key.check)(&value).is_ok(), "{}.{}", section.name, key.name);
            }
        }
    }
}
