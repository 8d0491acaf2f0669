//! From the merged tree to the typed configuration.

use super::error::ConfigError;
use super::layer::{path_of, title, unfit};
use super::leaf::{Address, EalArgument, FilePath, Leaf, Listen, Set};
use super::places::Places;
use super::schema::{self, Core, Mbufs, Mtu, PeerSeries, Peers, Queues, Section, Socket, SocketFolder, UdpPort, Vlan};
use super::settings::settings;
use super::types::{Config, Control, Cores, Crypto, Interface, Log, Machine, Memory, Metrics, Port};
use ::config::{Map, Value, ValueKind};
use std::path::{Path, PathBuf};

/// One section, or one item of one.
struct Keys<'a> {
    section: &'static Section,
    item: Option<&'a str>,
    table: Option<&'a Map<String, Value>>,
    places: &'a Places,
}

impl Keys<'_> {
    /// The value of a key, if there is one.
    fn get<T: Leaf>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.table.and_then(|table| table.get(name)) else {
            return Ok(None);
        };
        T::read(value).map(Some).map_err(|fault| {
            let place = self.places.of(&format!("{}.{name}", path_of(self.section, self.item)));
            let title = title(self.section, self.item);
            match self.section.key(name) {
                Some(key) => unfit(key, &title, place, fault),
                None => ConfigError::new(place, title, fault.what, fault.mend.unwrap_or_default()),
            }
        })
    }

    /// The value of a key that has a default, or must be set.
    fn need<T: Leaf>(&self, name: &str) -> Result<T, ConfigError> {
        self.get(name)?.ok_or_else(|| {
            let place = self.places.of(&path_of(self.section, self.item));
            let example = self.section.key(name).map_or("", |key| key.example);
            ConfigError::new(
                place,
                title(self.section, self.item),
                format!("{name} is missing"),
                format!("Add a line such as {name} = {example}"),
            )
        })
    }
}

/// The merged tree and what belongs to it.
pub(super) struct Typed<'a> {
    pub(super) merged: &'a Value,
    pub(super) places: &'a Places,
    pub(super) items: &'a [(&'static str, String)],
}

impl<'a> Typed<'a> {
    /// The whole.
    pub(super) fn config(
        &self,
        file: &Path,
        machine: &Machine,
        credentials_directory: Option<PathBuf>,
    ) -> Result<Config, ConfigError> {
        Ok(Config {
            file: file.into(),
            machine: machine.clone(),
            settings: settings(self.merged, self.items),
            cores: self.cores()?,
            memory: self.memory()?,
            ports: self.ports()?,
            interfaces: self.interfaces()?,
            crypto: self.crypto()?,
            control: self.control()?,
            metrics: self.metrics()?,
            log: Log { format: self.keys(&schema::LOG, None).need("format")? },
            credentials_directory,
            places: self.places.clone(),
        })
    }

    fn keys(&self, section: &'static Section, item: Option<&'a str>) -> Keys<'a> {
        let inside = |value: &'a Value, name: &str| match &value.kind {
            ValueKind::Table(table) => table.get(name),
            _ => None,
        };
        let mut value = inside(self.merged, section.name);
        if let Some(item) = item {
            value = value.and_then(|value| inside(value, item));
        }
        let table = value.and_then(|value| match &value.kind {
            ValueKind::Table(table) => Some(table),
            _ => None,
        });
        Keys { section, item, table, places: self.places }
    }

    /// All items of that section, in order.
    fn items(&self, section: &'static Section) -> impl Iterator<Item = (&'a str, Keys<'a>)> {
        let items = self.items.iter().filter(move |(of, _)| *of == section.name);
        items.map(move |(_, item)| (item.as_str(), self.keys(section, Some(item))))
    }

    fn cores(&self) -> Result<Cores, ConfigError> {
        let keys = self.keys(&schema::CORES, None);
        let list = |name| {
            let Set(cores) = keys.need::<Set<Core>>(name)?;
            Ok(cores.iter().map(|core| core.0 as usize).collect())
        };
        Ok(Cores {
            control: keys.need::<Core>("control")?.0 as usize,
            io: list("io")?,
            workers: list("workers")?,
            handshake: list("handshake")?,
            idle: keys.need("idle")?,
        })
    }

    fn memory(&self) -> Result<Memory, ConfigError> {
        let keys = self.keys(&schema::MEMORY, None);
        let arguments: Vec<EalArgument> = keys.need("extra_eal_args")?;
        Ok(Memory {
            huge_pages: keys.need("huge_pages")?,
            mbufs: keys.need::<Mbufs>("mbufs")?.0,
            extra_eal_args: arguments.into_iter().map(|argument| argument.0).collect(),
        })
    }

    fn ports(&self) -> Result<Vec<Port>, ConfigError> {
        let ports = self.items(&schema::PORT).map(|(name, keys)| {
            let addresses: Vec<Address> = keys.need("addresses")?;
            Ok(Port {
                name: name.into(),
                device: keys.need("device")?,
                role: keys.need("role")?,
                mtu: keys.need::<Mtu>("mtu")?.u16(),
                queues: keys.need::<Queues>("queues")?.0,
                vlan: keys.need::<Vlan>("vlan")?.u16(),
                addresses: addresses.into_iter().map(|address| address.0).collect(),
                routes: keys.need("routes")?,
            })
        });
        ports.collect()
    }

    fn interfaces(&self) -> Result<Vec<Interface>, ConfigError> {
        let interfaces = self.items(&schema::INTERFACE).map(|(name, keys)| {
            let Set(listen_ports) = keys.need::<Set<UdpPort>>("listen_ports")?;
            Ok(Interface {
                name: name.into(),
                private_key_file: keys.need::<FilePath>("private_key_file")?.0,
                listen_ports: listen_ports.into_iter().map(UdpPort::u16).collect(),
                peers_file: keys.get::<FilePath>("peers_file")?.map(|file| file.0),
                mtu: keys.need::<Mtu>("mtu")?.u16(),
                max_peers: keys.need::<Peers>("max_peers")?.0,
                mss_clamp: keys.need("mss_clamp")?,
            })
        });
        interfaces.collect()
    }

    fn crypto(&self) -> Result<Crypto, ConfigError> {
        let keys = self.keys(&schema::CRYPTO, None);
        Ok(Crypto { backend: keys.need("backend")? })
    }

    fn control(&self) -> Result<Control, ConfigError> {
        let keys = self.keys(&schema::CONTROL, None);
        Ok(Control {
            socket: keys.need::<Socket>("socket")?.0,
            uapi_dir: keys.need::<SocketFolder>("uapi_dir")?.0,
            keep_sessions: keys.need("keep_sessions")?,
        })
    }

    fn metrics(&self) -> Result<Metrics, ConfigError> {
        let keys = self.keys(&schema::METRICS, None);
        Ok(Metrics {
            listen: keys.need::<Listen>("listen")?.0,
            per_peer_max: keys.need::<PeerSeries>("per_peer_max")?.0,
        })
    }
}
