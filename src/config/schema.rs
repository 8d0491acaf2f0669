//! The sections and keys that there are.

use super::leaf::{Address, AmountIn, EalArgument, Fault, FilePath, Leaf, Listen, Name, Ranged, Set, SocketPath};
use super::types::{Backend, Device, HugePages, Idle, MOST_PEERS, Role, Route};
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
    pub(super) keys: &'static [Key],
}

/// A key of a section, `name` apart.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// As TOML.
    pub(super) example: &'static str,
    pub(super) from_text: fn(&str) -> ValueKind,
    pub(super) check: fn(&Value) -> Result<(), Fault>,
    /// A path, relative to the folder of the file that names it.
    pub(super) is_file: bool,
}

const fn key<T: Leaf>(name: &'static str, example: &'static str) -> Key {
    Key { name, example, from_text: T::from_text, check: |value| T::read(value).map(drop), is_file: false }
}

const fn file(name: &'static str, example: &'static str) -> Key {
    let mut key = key::<FilePath>(name, example);
    key.is_file = true;
    key
}

/// `[cores]`
pub(super) static CORES: Section = Section {
    name: "cores",
    many: None,
    keys: &[
        key::<Core>("control", "0"),
        key::<Set<Core>>("io", "[1]"),
        key::<Set<Core>>("workers", "[2, 3]"),
        key::<Set<Core>>("handshake", "[0]"),
        key::<Idle>("idle", "\"adaptive\""),
    ],
};

/// `[memory]`
pub(super) static MEMORY: Section = Section {
    name: "memory",
    many: None,
    keys: &[
        key::<HugePages>("huge_pages", "\"auto\""),
        key::<Mbufs>("mbufs", "\"auto\""),
        key::<Vec<EalArgument>>("extra_eal_args", "[\"--log-level=lib.eal:debug\"]"),
    ],
};

/// `[[port]]`
pub(super) static PORT: Section = Section {
    name: "port",
    many: Some(|value| PortName::read(value).map(|name| name.0)),
    keys: &[
        key::<Device>("device", "\"0000:3b:00.0\""),
        key::<Role>("role", "\"outer\""),
        key::<Mtu>("mtu", "1500"),
        key::<Queues>("queues", "\"auto\""),
        key::<Vlan>("vlan", "0"),
        key::<Vec<Address>>("addresses", "[\"203.0.113.10/24\"]"),
        key::<Vec<Route>>("routes", "[{ to = \"0.0.0.0/0\", via = \"203.0.113.1\" }]"),
    ],
};

/// `[[interface]]`
pub(super) static INTERFACE: Section = Section {
    name: "interface",
    many: Some(|value| InterfaceName::read(value).map(|name| name.0)),
    keys: &[
        file("private_key_file", "\"wg0.key\""),
        key::<Set<UdpPort>>("listen_ports", "[51820]"),
        file("peers_file", "\"wg0.conf\""),
        key::<Mtu>("mtu", "1420"),
        key::<Peers>("max_peers", "500000"),
        key::<bool>("mss_clamp", "false"),
    ],
};

/// `[crypto]`
pub(super) static CRYPTO: Section =
    Section { name: "crypto", many: None, keys: &[key::<Backend>("backend", "\"auto\"")] };

/// `[control]`
pub(super) static CONTROL: Section = Section {
    name: "control",
    many: None,
    keys: &[
        key::<Socket>("socket", "\"/run/culvert/culvert.sock\""),
        key::<SocketFolder>("uapi_dir", "\"/var/run/wireguard\""),
    ],
};

/// `[metrics]`
pub(super) static METRICS: Section = Section {
    name: "metrics",
    many: None,
    keys: &[key::<Listen>("listen", "\"127.0.0.1:9586\""), key::<PeerSeries>("per_peer_max", "100")],
};

/// All of them, in the order of the documentation.
pub(super) static SECTIONS: [&Section; 7] = [&CORES, &MEMORY, &PORT, &INTERFACE, &CRYPTO, &CONTROL, &METRICS];

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
