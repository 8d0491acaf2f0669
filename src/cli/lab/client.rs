//! A client: wireguard-go in a namespace of its own.

use super::error::{Result, What};
use super::keys::{KeyPair, preshared_key};
use super::namespace::Namespace;
use super::process::Process;
use super::{GATEWAY_V4, GATEWAY_V6, LISTEN_PORT, Lab};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What clients send into the tunnel.
const NETWORKS: [&str; 5] = ["10.9.0.0/16", "10.10.0.0/24", "10.20.0.0/16", "fd00:9::/32", "fd00:10::/64"];
const START: Duration = Duration::from_secs(15);

/// A `[Peer]` section of `wg setconf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its public key, in base64.
    pub public: String,
    /// The preshared key, in base64.
    pub preshared: Option<String>,
    /// With commas.
    pub allowed_ips: String,
    /// `ADDRESS:PORT`
    pub endpoint: Option<String>,
    /// Seconds.
    pub keepalive: Option<u16>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[Peer]\nPublicKey = {}\nAllowedIPs = {}", self.public, self.allowed_ips)?;
        if let Some(key) = &self.preshared {
            writeln!(f, "PresharedKey = {key}")?;
        }
        if let Some(endpoint) = &self.endpoint {
            writeln!(f, "Endpoint = {endpoint}")?;
        }
        match self.keepalive {
            Some(seconds) => writeln!(f, "PersistentKeepalive = {seconds}"),
            None => Ok(()),
        }
    }
}

/// A client of the gateway.
#[derive(Debug)]
pub struct Client {
    process: Process,
    namespace: Namespace,
    number: u8,
    interface: String,
    keys: KeyPair,
    preshared: Option<String>,
    folder: PathBuf,
}

impl Client {
    /// Makes its namespace, joins it to the net, and starts wireguard-go, which knows the gateway.
    pub(super) fn new(lab: &Lab, number: u8) -> Result<Self> {
        let interface = lab.unique(&format!("c{number}"));
        let namespace = Namespace::new(interface.clone())?;
        lab.net.join(&format!("c{number}"), &namespace, "wan0")?;
        lab.net.ip(&format!(
            "addr add 198.18.{number}.1/24 dev c{number}\naddr add 2001:db8:{number}::1/64 dev c{number}"
        ))?;
        namespace.ip(&format!(
            "addr add 198.18.{number}.2/24 dev wan0\naddr add 2001:db8:{number}::2/64 dev wan0\n\
             route add default via 198.18.{number}.1\nroute add default via 2001:db8:{number}::1"
        ))?;
        let log = lab.file(&format!("client{number}.log"));
        let command = ["env", "LOG_LEVEL=verbose", "wireguard-go", "-f", &interface];
        let mut process = namespace.start(&format!("wireguard-go of client {number}"), &command, &log)?;
        process.wait_for("UAPI listener started", START)?;
        let preshared = if number == 2 { Some(preshared_key()?) } else { None };
        let folder = lab.folder().to_path_buf();
        let client = Self { process, namespace, number, interface, keys: KeyPair::new()?, preshared, folder };
        client.configure(&client.gateway_peer(lab))?;
        let mut lines = format!(
            "addr add {}/32 dev {i}\naddr add {}/128 dev {i}\nlink set {i} up mtu 1420\n",
            client.v4(),
            client.v6(),
            i = client.interface
        );
        for network in NETWORKS {
            lines += &format!("route add {network} dev {}\n", client.interface);
        }
        client.namespace.ip(&lines)?;
        Ok(client)
    }

    /// Its private key and this one peer, instead of what it had.
    ///
    /// # Errors
    /// wireguard-go refuses.
    pub fn configure(&self, gateway: &Peer) -> Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.join(format!("client{}.conf", self.number));
        let text = format!("[Interface]\nPrivateKey = {}\n{gateway}", self.keys.private);
        let open = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| file.write_all(text.as_bytes())).what(path.display())?;
        self.wg(&["setconf", &self.interface, &path.to_string_lossy()]).map(drop)
    }

    /// The gateway as this client should see it.
    pub fn gateway_peer(&self, lab: &Lab) -> Peer {
        let endpoint = match self.number {
            2 => format!("[{GATEWAY_V6}]:{LISTEN_PORT}"),
            _ => format!("{GATEWAY_V4}:{LISTEN_PORT}"),
        };
        Peer {
            public: lab.gateway_keys.public.clone(),
            preshared: self.preshared.clone(),
            allowed_ips: NETWORKS.join(", "),
            endpoint: Some(endpoint),
            keepalive: None,
        }
    }

    /// This client as the gateway should see it; its endpoint is for it to tell.
    pub fn peer(&self) -> Peer {
        Peer {
            public: self.keys.public.clone(),
            preshared: self.preshared.clone(),
            allowed_ips: format!("{}/32, {}/128", self.v4(), self.v6()),
            ..Peer::default()
        }
    }

    /// Runs `wg` with these arguments.
    ///
    /// # Errors
    /// `wg` fails.
    pub fn wg(&self, arguments: &[&str]) -> Result<String> {
        let command: Vec<&str> = ["wg"].into_iter().chain(arguments.iter().copied()).collect();
        self.namespace.run(&command)
    }

    /// The UDP port that it sends from.
    ///
    /// # Errors
    /// `wg` fails, or says no number.
    pub fn port(&self) -> Result<u16> {
        let said = self.wg(&["show", &self.interface, "listen-port"])?;
        said.trim().parse().what(format!("listen port of client {}: {said}", self.number))
    }

    /// Its address in the net, with the port: what the gateway should learn.
    ///
    /// # Errors
    /// As [`Client::port`].
    pub fn endpoint(&self) -> Result<String> {
        let port = self.port()?;
        let number = self.number;
        Ok(if number == 2 { format!("[2001:db8:{number}::2]:{port}") } else { format!("198.18.{number}.2:{port}") })
    }

    /// Where it lives.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The name of its tunnel interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Its keys.
    pub fn keys(&self) -> &KeyPair {
        &self.keys
    }

    /// Its IPv4 address in the tunnel.
    pub fn v4(&self) -> String {
        format!("10.9.0.{}", self.number)
    }

    /// Its IPv6 address in the tunnel.
    pub fn v6(&self) -> String {
        format!("fd00:9::{:x}", self.number)
    }

    /// Whether wireguard-go still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }
}
