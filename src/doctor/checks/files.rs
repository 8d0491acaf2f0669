//! Folders of sockets, and the files that the configuration names.

use super::{Check, Finding, Fix, Mend, Subject, without_configuration};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(super) static CONTROL_SOCKET: Check = Check {
    id: "control-socket",
    looks_at: "the folder of culvert's control socket and its rights",
    why: "whoever may write there can put a socket of his own in its place; without the folder there is none",
    run: control_socket,
};

pub(super) static WG_SOCKETS: Check = Check {
    id: "wg-sockets",
    looks_at: "the folder of the wg sockets and its rights",
    why: "`wg` asks for private keys there: culvertd refuses a folder that others may write",
    run: wg_sockets,
};

pub(super) static KEY_FILE: Check = Check {
    id: "key-file",
    looks_at: "each interface's private key: that it is there, is a key, and is its owner's alone",
    why: "who reads it is the gateway to all its peers; culvertd refuses one that others may use",
    run: key_file,
};

pub(super) static PEERS_FILE: Check = Check {
    id: "peers-file",
    looks_at: "each interface's file of peers",
    why: "culvertd takes it whole or not at all",
    run: peers_file,
};

const DEFAULT_FOLDER: &str = "/run/culvert";
const DEFAULT_WG: &str = "/var/run/wireguard";

fn control_socket(subject: &Subject<'_>) -> Vec<Finding> {
    let socket = subject.config.map(|config| config.control.socket.as_path());
    let path = socket.map_or_else(|| Path::new(DEFAULT_FOLDER), |socket| socket.parent().unwrap_or(socket));
    vec![folder(subject, path, 0o750)]
}

fn wg_sockets(subject: &Subject<'_>) -> Vec<Finding> {
    let path = subject.config.map_or_else(|| Path::new(DEFAULT_WG), |config| config.control.uapi_dir.as_path());
    vec![folder(subject, path, 0o755)]
}

fn folder(subject: &Subject<'_>, path: &Path, mode: u32) -> Finding {
    let shown = subject.system.shown(path);
    // What is below /run is gone after a boot: the mend for good is a line for systemd.
    let for_good = Mend::line("/etc/tmpfiles.d/culvert.conf", format!("d {shown} {mode:04o} culvert culvert -"));
    match subject.system.metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Finding::fail(format!("{shown} is no folder"))
            .mend(Mend::advice("Move it away, or name another folder in [control]")),
        Ok(metadata) if metadata.permissions().mode() & 0o022 != 0 => {
            let found = format!(
                "{shown} may be written by others than its owner (mode {:04o})",
                metadata.permissions().mode() & 0o7777
            );
            // /tmp and its like belong to all of the machine.
            match metadata.permissions().mode() & 0o1000 {
                0 => Finding::fail(found).mend(Mend::fix(Fix::Mode { path: shown, mode })),
                _ => Finding::fail(found).mend(Mend::advice("Name a folder of its own in [control]")),
            }
        }
        Ok(_) => Finding::ok(format!("{shown} is its owner's alone to write")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && runs_as_root(subject) => {
            Finding::ok(format!("{shown} is not there yet: culvertd, as root, makes it"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::warning(format!("{shown} is not there, and only root may make it"))
                .mend(Mend::fix(Fix::Folder { path: shown.clone(), mode }))
                .mend(for_good)
        }
        Err(error) => Finding::warning(format!("{shown}: {error}")).mend(Mend::advice("Run doctor as root")),
    }
}

/// Whether this is root, and nobody has made a user for culvertd to run as.
fn runs_as_root(subject: &Subject<'_>) -> bool {
    let uid = subject.system.field("/proc/self/status", "Uid").unwrap_or_default();
    let users = subject.system.text("/etc/passwd").unwrap_or_default();
    uid.split_whitespace().nth(1) == Some("0") && !users.lines().any(|line| line.starts_with("culvert:"))
}

fn key_file(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(config) = subject.config else { return without_configuration() };
    let finding = |interface: &crate::config::Interface| {
        let path = &interface.private_key_file;
        let shown = subject.system.shown(path);
        let finding = match config.private_key(interface) {
            Ok(_) => Finding::ok(format!("{shown} is its owner's alone")),
            Err(error) => {
                let mode = subject.system.metadata(path).map(|metadata| metadata.permissions().mode());
                // Rights are taken away only: nothing is lost by that.
                let open = mode.is_ok_and(|mode| mode & 0o077 != 0 && mode & 0o040_000 == 0);
                let finding = Finding::fail(subject.system.shown_text(&error.sentence()));
                match open {
                    true => finding
                        .mend(Mend::fix(Fix::Mode { path: shown, mode: 0o600 }))
                        .mend(Mend::advice("If others were about, make a new key")),
                    false => finding.mend(Mend::advice(subject.system.shown_text(error.mend()))),
                }
            }
        };
        finding.about(format!("interface {}", interface.name))
    };
    config.interfaces.iter().map(finding).collect()
}

fn peers_file(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(config) = subject.config else { return without_configuration() };
    let system = subject.system;
    let finding = |interface: &crate::config::Interface| {
        let finding = match interface.peers_file.as_deref().map(crate::config::peers_file::load) {
            None => Finding::not_applicable("it has none: peers come by `wg set`"),
            Some(Err(error)) => {
                Finding::fail(system.shown_text(&error.sentence())).mend(Mend::advice(system.shown_text(error.mend())))
            }
            Some(Ok(parsed)) => match parsed.warnings.first() {
                None => Finding::ok(format!("{} peers", parsed.changes.peers.len())),
                Some(first) => {
                    let more = parsed.warnings.len() - 1;
                    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                    let found = format!("{} peers; {}{more}", parsed.changes.peers.len(), first.sentence());
                    Finding::warning(system.shown_text(&found)).mend(Mend::advice(system.shown_text(first.mend())))
                }
            },
        };
        finding.about(format!("interface {}", interface.name))
    };
    config.interfaces.iter().map(finding).collect()
}
