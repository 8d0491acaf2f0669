//! A small internet on one machine, in network namespaces: for `culvert demo` and the live tests.
//!
//! ```text
//!   CLIENT 1 (wireguard-go)          NET (the kernel forwards)          GATEWAY                      HOST (the kernel)
//!   tunnel 10.9.0.1 fd00:9::1                                           culvertd on net_af_packet
//!   wan0 198.18.1.2 ─── veth ─── c1 198.18.1.1 ┐                        wan: 192.0.2.10
//!                                              ├ gw 192.0.2.1 ── veth ── wan0 2001:db8::10
//!   CLIENT 2 (wireguard-go)                    │    2001:db8::1                    lan: 10.10.0.1
//!   tunnel 10.9.0.2 fd00:9::2                  │                                   lan0 fd00:10::1 ── veth ── lan0 10.10.0.2
//!   wan0 198.18.2.2 ─── veth ─── c2 198.18.2.1 ┘                                                              fd00:10::2
//!        2001:db8:2::2              2001:db8:2::1                                                        lo   10.20.0.1
//! ```
//! Each word in capitals is a namespace. `wan0` and `lan0` of GATEWAY have no addresses: culvertd has them, and so
//! the kernel answers neither ARP nor NDP there. `10.20.0.0/16` is a network behind HOST, reached by a route.
//! Client 2 comes over IPv6 and has a preshared key; all others come over IPv4 and have none ([`Lab::with`] takes any).
//!
//! All names begin with the run's prefix; what a run made is removed in its `Drop`, and what a killed run left is
//! removed by the next. Root only.

mod client;
mod error;
mod gateway;
mod keys;
mod namespace;
mod probe;
mod process;
mod run;
mod stream;
mod transfer;
mod uapi;

pub use client::{Client, ClientOptions, Implementation, Peer};
pub use error::{LabError, Result, ensure};
pub use gateway::{Account, Gateway, Options, Programs, Second};
pub use keys::{KeyPair, preshared_key};
pub use namespace::Namespace;
pub use probe::{Ping, Throughput, fetch, iperf3, ping};
pub use process::{Output, Process, output, run};
pub use stream::{Stream, udp_stream};
pub use transfer::tcp_both_ways;
pub use uapi::{uapi, uapi_peers};

use error::What;
use run::Run;
use std::path::{Path, PathBuf};

/// The UDP port that the gateway listens on.
pub const LISTEN_PORT: u16 = 51820;
/// The gateway's outer IPv4 address.
pub const GATEWAY_V4: &str = "192.0.2.10";
/// The gateway's outer IPv6 address.
pub const GATEWAY_V6: &str = "2001:db8::10";
/// The gateway's inner IPv4 address.
pub const INNER_V4: &str = "10.10.0.1";
/// The gateway's inner IPv6 address.
pub const INNER_V6: &str = "fd00:10::1";
/// The inner host's IPv4 address.
pub const HOST_V4: &str = "10.10.0.2";
/// The inner host's IPv6 address.
pub const HOST_V6: &str = "fd00:10::2";
/// An address behind the inner host, in 10.20.0.0/16.
pub const BEHIND_V4: &str = "10.20.0.1";

/// The namespaces, the wires and the clients. The gateway is started apart ([`Gateway::start`]).
#[derive(Debug)]
pub struct Lab {
    clients: Vec<Client>,
    host: Namespace,
    gateway: Namespace,
    net: Namespace,
    gateway_keys: KeyPair,
    second_keys: KeyPair,
    /// Last: the names are ours until all of the above is gone.
    run: Run,
}

impl Lab {
    /// Makes all but the gateway, with so many clients (1 to 200). The clients run and know the gateway.
    ///
    /// # Errors
    /// As [`Lab::with`].
    pub fn new(clients: u8) -> Result<Self> {
        Self::with(&(1..=clients).map(ClientOptions::usual).collect::<Vec<_>>())
    }

    /// Makes all but the gateway, with these clients (200 at most), which run.
    ///
    /// # Errors
    /// A program is missing, the kernel refuses, or who calls is not root. Nothing is left then.
    pub fn with(clients: &[ClientOptions]) -> Result<Self> {
        ensure(rustix::process::geteuid().is_root(), "network namespaces", "only root makes them: use sudo")?;
        let run = Run::new()?;
        let namespace = |role: &str| Namespace::new(format!("{}-{role}", run.prefix()));
        let net = namespace("net")?;
        let gateway = namespace("gw")?;
        let host = namespace("host")?;
        net.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        gateway.sysctl(&[("ipv6/conf/default/disable_ipv6", "1")])?;
        net.join("gw", &gateway, "wan0")?;
        net.ip("addr add 192.0.2.1/24 dev gw\naddr add 2001:db8::1/64 dev gw")?;
        host.join("lan0", &gateway, "lan0")?;
        host.ip(&format!(
            "addr add {HOST_V4}/24 dev lan0\naddr add {HOST_V6}/64 dev lan0\naddr add {BEHIND_V4}/32 dev lo\n\
             route add 10.9.0.0/16 via {INNER_V4}\nroute add fd00:9::/32 via {INNER_V6}"
        ))?;
        let (gateway_keys, second_keys) = (KeyPair::new()?, KeyPair::new()?);
        let mut lab = Self { clients: Vec::new(), host, gateway, net, gateway_keys, second_keys, run };
        for (number, options) in (1..).zip(clients) {
            let client = Client::new(&lab, number, options)?;
            lab.clients.push(client);
        }
        Ok(lab)
    }

    /// Client 1, 2, …
    ///
    /// # Errors
    /// There is none of that number.
    pub fn client(&self, number: usize) -> Result<&Client> {
        let client = number.checked_sub(1).and_then(|index| self.clients.get(index));
        client.ok_or_else(|| LabError::new("the lab", format!("has no client {number}")))
    }

    /// All clients.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Where the inner host lives.
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// Where the gateway lives.
    pub fn gateway(&self) -> &Namespace {
        &self.gateway
    }

    /// The router between clients and gateway.
    pub fn net(&self) -> &Namespace {
        &self.net
    }

    /// The gateway's key pair: the same however often it is started.
    pub fn gateway_keys(&self) -> &KeyPair {
        &self.gateway_keys
    }

    /// The key pair of the gateway's second interface, where it has one.
    pub fn second_keys(&self) -> &KeyPair {
        &self.second_keys
    }

    /// A name for an interface or a socket, unique on this machine.
    pub fn unique(&self, role: &str) -> String {
        format!("{}-{role}", self.run.prefix())
    }

    /// A file in the lab's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.run.folder().join(name)
    }

    /// The lab's folder: logs, keys, configurations.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// Writes a file that only its owner may read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.file(name);
        let open = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| file.write_all(content.as_bytes())).what(path.display())?;
        Ok(path)
    }

    /// WireGuard sockets that this run's programs have open or left.
    pub fn sockets(&self) -> Vec<PathBuf> {
        run::sockets(self.run.prefix())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.clients.clear();
        run::remove_sockets(self.run.prefix());
        let folder = self.run.folder();
        if std::thread::panicking() || std::env::var_os("CULVERT_LAB_KEEP").is_some() {
            eprintln!("the logs of this lab: {}", folder.display());
        } else {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
