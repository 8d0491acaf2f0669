//! `culvert import`: a `wg-quick` file becomes an `[[interface]]` for `conf.d`, a file of peers and a key file.

use super::new_files::{NewFile, WriteError, write_all};
use crate::config::keys::to_base64;
use crate::config::peers_file::{EndpointName, QuickFile, QuickLine, parse_quick, to_text};
use crate::config::{self, ConfigError, DEFAULT_MAX_PEERS, MOST_PEERS, Machine, Place};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How `culvert import` is called.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The `wg-quick` file.
    pub file: PathBuf,
    /// The interface's name; `None`: the file's, without `.conf`.
    pub name: Option<String>,
    /// The folder that is written to; `None`: this one.
    pub output: Option<PathBuf>,
    /// Look endpoints' names up, once.
    pub resolve: bool,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file, a line of it, or the interface's name.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// What is written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is said.
    #[error("the output: {0}")]
    Output(#[from] io::Error),
}

/// Imports, and says line by line what of the file has no place in culvert. No key is ever shown. May ask the system's resolver.
///
/// # Errors
/// [`ImportError`]; nothing is written then.
pub fn import(options: &ImportOptions, out: &mut impl Write) -> Result<(), ImportError> {
    let source = &options.file;
    let text = read(source)?;
    let mut file = parse_quick(&text, &source.to_string_lossy())?;
    let stem = source.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = options.name.clone().unwrap_or(stem);
    let folder = options.output.as_deref().unwrap_or_else(|| Path::new("."));

    let mut said: Vec<(u32, String)> = file.lines.iter().filter_map(|line| Some((line.line, fate(line)?))).collect();
    for name in std::mem::take(&mut file.names) {
        let (line, endpoint) = (name.line, if options.resolve { look_up(&name.name) } else { None });
        said.push((line, fate_of_name(&name, endpoint, options.resolve)));
        if let Some(peer) = file.parsed.changes.peers.get_mut(name.peer) {
            peer.endpoint = endpoint;
        }
    }
    said.sort();
    let fragment = fragment(&file, &name, source)?;
    check(&fragment, &name, source)?;

    let key = file.parsed.changes.private_key.as_ref().filter(|key| !key.is_zero());
    let key = key.map(|key| Zeroizing::new(format!("{}\n", *Zeroizing::new(to_base64(key.bytes())))));
    let peers = to_text(&file.parsed.changes.peers);
    let path = |end: &str| folder.join(format!("{name}.{end}"));
    let mut files = vec![
        NewFile { path: path("toml"), mode: 0o644, text: &fragment },
        // It may hold preshared keys.
        NewFile { path: path("conf"), mode: 0o600, text: &peers },
    ];
    files.extend(key.as_deref().map(|text| NewFile { path: path("key"), mode: 0o600, text }));
    std::fs::create_dir_all(folder).map_err(|error| WriteError::Io { path: folder.into(), error })?;
    write_all(&files)?;

    for warning in &file.parsed.warnings {
        writeln!(out, "{warning}")?;
    }
    for (line, what) in said {
        writeln!(out, "{}:{line}: {what}", source.display())?;
    }
    let peers = file.parsed.changes.peers.len();
    let list: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    writeln!(out, "{name}: {peers} peers; written: {}", list.join(", "))?;
    if key.is_none() {
        writeln!(
            out,
            "{}: there is no PrivateKey: put the key into {} (chmod 600)",
            source.display(),
            path("key").display()
        )?;
    }
    writeln!(
        out,
        "Next: put them into conf.d beside culvert.toml (relative names go with the file), and restart culvertd"
    )?;
    Ok(())
}

fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let refuse = |what: String, mend: &str| ConfigError::new(Place::File(path.into()), "", what, mend);
    let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".into(),
            _ => format!("it cannot be read ({error})"),
        };
        refuse(what, "Name a wg-quick file; it takes root to read those in /etc/wireguard")
    })?);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(refuse("this is not UTF-8".into(), "Save the file as UTF-8")),
    }
}

/// The `[[interface]]`.
fn fragment(file: &QuickFile, name: &str, source: &Path) -> Result<String, ConfigError> {
    let changes = &file.parsed.changes;
    let shown = source.display().to_string().escape_debug().to_string();
    let mut text = format!("# From {shown}, by `culvert import`.\n[[interface]]\nname = \"{}\"\n", name.escape_debug());
    text += &format!("private_key_file = \"{0}.key\"\npeers_file = \"{0}.conf\"\n", name.escape_debug());
    let mut add = |line: String| {
        // A string takes all.
        let _ok = writeln!(text, "{line}");
    };
    add(match changes.listen_port {
        Some(port) => format!("listen_ports = [{port}]"),
        None => "listen_ports = [51820]    # the file names none".into(),
    });
    if let Some(line) = file.lines.iter().rfind(|line| line.key == "MTU") {
        let mtu: u16 = line.value.parse().map_err(|_| {
            let place = Place::Line(source.into(), line.line);
            ConfigError::new(place, "[Interface]", "MTU is not a number of bytes", "Write a number such as 1420")
        })?;
        add(format!("mtu = {mtu}"));
    }
    let peers = u32::try_from(changes.peers.len()).unwrap_or(u32::MAX);
    if peers > DEFAULT_MAX_PEERS / 2 {
        add(format!("max_peers = {}", peers.saturating_mul(2).min(MOST_PEERS)));
    }
    Ok(text)
}

/// Whether culvertd would take the fragment.
fn check(fragment: &str, name: &str, source: &Path) -> Result<(), ConfigError> {
    let path = Path::new("culvert import");
    match config::from_text(fragment, path, std::iter::empty(), &Machine { cores: vec![0] }) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = format!("the interface {name:?} cannot be: {}", error.what());
            Err(ConfigError::new(
                Place::File(source.into()),
                "",
                what,
                format!("{}; --name gives another name", error.mend()),
            ))
        }
    }
}

/// What becomes of one of wg-quick's own lines; `None`: it is taken over. Of commands nothing is shown.
fn fate(line: &QuickLine) -> Option<String> {
    let QuickLine { key, value, .. } = line;
    let why = match *key {
        "MTU" => return None,
        "Address" => {
            "culvert has no address of its own inside a tunnel: give an inner [[port]] one that clients may ask for"
        }
        "DNS" => "it is for clients",
        "Table" => "culvert routes by AllowedIPs and its ports' routes, not by the kernel's tables",
        "SaveConfig" => "culvertd never writes its files",
        "FwMark" => "no packet of culvert's passes the kernel, which alone would read the mark",
        _ if ["MASQUERADE", "SNAT", "masquerade", "snat"].iter().any(|word| value.contains(word)) => {
            "culvert runs no commands, and translates no addresses: the network behind it needs a route to the clients"
        }
        _ => "culvert runs no commands",
    };
    Some(format!("{key} is ignored: {why}"))
}

fn fate_of_name(name: &EndpointName, endpoint: Option<SocketAddr>, asked: bool) -> String {
    let host = &name.name;
    match endpoint {
        Some(endpoint) => format!("Endpoint {host} is {endpoint} now, and is written so: culvertd looks up no names"),
        None if asked => format!("Endpoint {host} is left out: its name is not known. The peer has to speak first"),
        None => format!(
            "Endpoint {host} is left out: culvertd looks up no names. The peer has to speak first; --resolve writes the address that the name has now"
        ),
    }
}

fn look_up(name: &str) -> Option<SocketAddr> {
    name.to_socket_addrs().ok()?.next()
}
