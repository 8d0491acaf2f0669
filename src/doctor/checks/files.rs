//! Folders of sockets, and the files that the configuration names.

use super::system::USER;
use super::{Check, Finding, Fix, Mend, Subject, without_configuration};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
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
    why: "`wg` asks for private keys there: whoever may write there can put a socket of his own in culvert's place",
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
    match subject.system.metadata(path) {
        Ok(metadata) if metadata.is_dir() => rights(subject, shown, &metadata),
        Ok(_) => Finding::fail(format!("{shown} is no folder"))
            .mend(Mend::advice("Move it away, or name another folder in [control]")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing(subject, shown, mode),
        Err(error) => Finding::warning(format!("{shown}: {error}")).mend(Mend::advice("Run doctor as root")),
    }
}

/// Whose the folder is, and who else may write there. culvertd starts all the same where others may, and warns.
fn rights(subject: &Subject<'_>, shown: String, metadata: &Metadata) -> Finding {
    let mode = metadata.mode() & 0o7777;
    let (open, sticky) = (mode & 0o022 != 0, mode & 0o1000 != 0);
    let alien = subject.system.account().filter(|account| account.uid != metadata.uid());
    let mut faults = Vec::new();
    if open {
        faults.push(format!("may be written by others than its owner (mode {mode:04o})"));
    }
    if alien.is_some() {
        faults.push(format!("is not the user {USER}'s (but of uid {})", metadata.uid()));
    }
    if faults.is_empty() {
        return Finding::ok(format!("{shown} is its owner's alone to write"));
    }
    let finding = Finding::warning(format!("{shown} {}", faults.join(", and ")));
    // /tmp and its like belong to all of the machine.
    if open && sticky {
        return finding.mend(Mend::advice("Name a folder of its own in [control]"));
    }
    // What has another's name may be another's, as /run is: that is for people to say.
    let ours = shown.split('/').any(|part| part == USER);
    let owner = alien.map(|owner| match ours {
        true => Mend::fix(Fix::Owner { path: shown.clone(), owner }),
        false => Mend::advice(format!(
            "Name a folder of culvert's own in [control]; or, if nobody else uses it: chown {USER}: {shown}"
        )),
    });
    // Rights are taken away only.
    let rights = open.then(|| Mend::fix(Fix::Mode { path: shown, mode: mode & !0o022 }));
    owner.into_iter().chain(rights).fold(finding, Finding::mend)
}

fn missing(subject: &Subject<'_>, shown: String, mode: u32) -> Finding {
    let owner = subject.system.account();
    let uid = subject.system.field("/proc/self/status", "Uid").unwrap_or_default();
    if owner.is_none() && uid.split_whitespace().nth(1) == Some("0") {
        return Finding::ok(format!("{shown} is not there yet: culvertd, as root, makes it"));
    }
    let user = if owner.is_some() { USER } else { "root" };
    // What is below /run is gone after a boot: the mend for good is a line for systemd.
    let line = format!("d {shown} {mode:04o} {user} {user} -");
    Finding::warning(format!("{shown} is not there, and only root may make it"))
        .mend(Mend::fix(Fix::Folder { path: shown, mode, owner }))
        .mend(Mend::line("/etc/tmpfiles.d/culvert.conf", line))
}

fn key_file(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(config) = subject.config else { return without_configuration() };
    let finding = |interface: &crate::config::Interface| {
        let path = &interface.private_key_file;
        let shown = subject.system.shown(path);
        let finding = match config.private_key(interface) {
            Ok(_) => Finding::ok(format!("{shown} is its owner's alone")),
            Err(error) => {
                let metadata = subject.system.metadata(path);
                // Rights are taken away only: nothing is lost by that.
                let open = metadata.is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o077 != 0);
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
