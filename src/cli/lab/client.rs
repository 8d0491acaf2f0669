//! A client: somebody else's WireGuard in a namespace of its own.

use super::error::{Result, What};
use super::keys::{KeyPair, preshared_key};
use super::namespace::Namespace;
use super::process::Process;
use super::{GATEWAY_V4, GATEWAY_V6, LISTEN_PORT, Lab};
use std::fmt;
use std::path::{Path, PathBuf};
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

/// A WireGuard implementation that runs as a program of its own: `COMMAND INTERFACE` makes the interface, in the
/// foreground, with a `wg` socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implementation {
    /// How it is called.
    pub name: String,
    /// The command; the interface's name comes last.
    pub command: Vec<String>,
    /// What it says when its `wg` socket is there.
    pub ready: String,
}

impl Implementation {
    /// Debian's wireguard-go.
    pub fn wireguard_go() -> Self {
        Self::new("wireguard-go", &["env", "LOG_LEVEL=verbose", "wireguard-go", "-f"], "UAPI listener started")
    }

    /// boringtun-cli, by its path.
    pub fn boringtun(program: &Path) -> Self {
        let program = &program.to_string_lossy();
        let command = [program, "--foreground", "--disable-drop-privileges", "--verbosity", "info", "--threads", "2"];
        Self::new("boringtun-cli", &command, "BoringTun started successfully")
    }

    /// gotatun-cli, by its path.
    pub fn gotatun(program: &Path) -> Self {
        let command = [&*program.to_string_lossy(), "--foreground", "--disable-drop-privileges", "--verbosity", "info"];
        Self::new("gotatun-cli", &command, "GotaTun started successfully")
    }

    fn new(name: &str, command: &[&str], ready: &str) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { name: name.to_owned(), command, ready: ready.to_owned() }
    }

    /// Starts it in a namespace; it has its interface and its socket then.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, namespace: &Namespace, interface: &str, log: &Path) -> Result<Process> {
        let command: Vec<&str> = self.command.iter().map(String::as_str).chain([interface]).collect();
        let mut process = namespace.start(&format!("{} on {interface}", self.name), &command, log)?;
        process.wait_for(&self.ready, START)?;
        Ok(process)
    }
}

/// How a client is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// What it runs.
    pub implementation: Implementation,
    /// It comes over IPv6.
    pub outer_v6: bool,
    /// It has a preshared key.
    pub preshared: bool,
    /// It knows where the gateway is; otherwise the gateway has to speak first.
    pub knows_endpoint: bool,
}

impl ClientOptions {
    /// Client `number` of [`Lab::new`].
    pub(super) fn usual(number: u8) -> Self {
        let second = number == 2;
        let implementation = Implementation::wireguard_go();
        Self { implementation, outer_v6: second, preshared: second, knows_endpoint: true }
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
    options: ClientOptions,
    preshared: Option<String>,
    folder: PathBuf,
}

impl Client {
    /// Makes its namespace, joins it to the net, and starts its WireGuard, which knows the gateway.
    pub(super) fn new(lab: &Lab, number: u8, options: &ClientOptions) -> Result<Self> {
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
        let process = options.implementation.start(&namespace, &interface, &log)?;
        let preshared = if options.preshared { Some(preshared_key()?) } else { None };
        let (keys, options, folder) = (KeyPair::new()?, options.clone(), lab.folder().to_path_buf());
        let client = Self { process, namespace, number, interface, keys, options, preshared, folder };
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
    /// It refuses.
    pub fn configure(&self, gateway: &Peer) -> Result<()> {
        let port = if self.options.knows_endpoint { "" } else { "ListenPort = 51820\n" };
        let text = format!("[Interface]\nPrivateKey = {}\n{port}{gateway}", self.keys.private);
        let path = self.write("conf", &text)?;
        self.wg(&["setconf", &self.interface, &path]).map(drop)
    }

    /// Takes its peer away and gives it again: it has to make a new session before it can send.
    ///
    /// # Errors
    /// It refuses.
    pub fn forget_session(&self, gateway: &Peer) -> Result<()> {
        let path = self.write("peer", &gateway.to_string())?;
        self.wg(&["set", &self.interface, "peer", &gateway.public, "remove"])?;
        self.wg(&["addconf", &self.interface, &path]).map(drop)
    }

    /// A file of its own that only its owner may read. Returns the path.
    fn write(&self, kind: &str, text: &str) -> Result<String> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.folder.join(format!("client{}.{kind}", self.number));
        let open = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| file.write_all(text.as_bytes())).what(path.display())?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// The gateway as this client should see it.
    pub fn gateway_peer(&self, lab: &Lab) -> Peer {
        let gateway = if self.options.outer_v6 { format!("[{GATEWAY_V6}]") } else { GATEWAY_V4.to_owned() };
        let endpoint = self.options.knows_endpoint.then(|| format!("{gateway}:{LISTEN_PORT}"));
        Peer {
            public: lab.gateway_keys.public.clone(),
            preshared: self.preshared.clone(),
            allowed_ips: NETWORKS.join(", "),
            endpoint,
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
        let v6 = self.options.outer_v6;
        Ok(if v6 { format!("[2001:db8:{number}::2]:{port}") } else { format!("198.18.{number}.2:{port}") })
    }

    /// How it was made.
    pub fn options(&self) -> &ClientOptions {
        &self.options
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

    /// Whether its WireGuard still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }
}
