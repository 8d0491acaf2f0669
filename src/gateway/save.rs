//! `peers save`: the running peers go back into their file.

use super::reload::{Reloader, Running};
use crate::config::peers_file;
use crate::control::interface::Interface;
use crate::dpdk::Pool;
use crate::queue::sync::Arc;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What is to be saved, and where.
struct Errand {
    /// The interface's place.
    at: usize,
    path: PathBuf,
    /// It is the interface's own peers file.
    own: bool,
}

impl Reloader {
    /// Writes the peers of an interface into `file`, or of all into the files that they come from. `force`: what somebody else has written
    /// there since is lost.
    ///
    /// # Errors
    /// Why a file is not, or cannot be, written; those before it are.
    pub(super) fn save(&self, file: Option<&Path>, interface: Option<&str>, force: bool) -> Result<Value, String> {
        let mut running = self.alone()?;
        let mut rows = Vec::new();
        for errand in self.errands(&running, file, interface)? {
            let Some(interface) = self.interfaces().get(errand.at) else { continue };
            let old = errand.old(&running, force)?;
            let saved = interface.snapshot().ok_or("too many look at once; ask again")?;
            let text = peers_file::rewrite(&old, &saved.peers);
            let stamp = peers_file::replace(&errand.path, &text).map_err(|error| error.to_string())?;
            if errand.own {
                interface.note_saved(&saved);
                if let Some(place) = running.stamps.get_mut(errand.at) {
                    *place = Some(stamp);
                }
            }
            rows.push(json!({ "interface": interface.name(), "file": errand.path, "peers": saved.peers.len() }));
        }
        // Copies of preshared keys.
        crate::noise::wipe_stack();
        Ok(json!({ "saved": rows }))
    }

    fn errands(&self, running: &Running, file: Option<&Path>, interface: Option<&str>) -> Result<Vec<Errand>, String> {
        let is_meant = |one: &Arc<Interface<Pool>>| interface.is_none_or(|name| one.name() == name);
        let meant: Vec<usize> =
            (0..).zip(self.interfaces()).filter(|(_, one)| is_meant(one)).map(|(at, _)| at).collect();
        let names = || self.interfaces().iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
        if meant.is_empty() {
            return Err(format!("there is no interface {:?}; there are: {}", interface.unwrap_or_default(), names()));
        }
        if file.is_some() && meant.len() > 1 {
            return Err(format!("one file is of one interface: say interface INTERFACE; there are {}", names()));
        }
        let errand = |at: usize| {
            let name = self.interfaces().get(at).map(|one| one.name()).unwrap_or_default();
            let of = running.config.interfaces.iter().find(|interface| interface.name == name);
            let own = of.and_then(|interface| interface.peers_file.as_deref());
            let none = || format!("{name} has no peers_file: say peers save FILE, and name that in culvert.toml");
            let path = file.or(own).ok_or_else(none)?;
            let own = own.is_some_and(|own| real(own) == real(path));
            Ok(Errand { at, path: path.to_owned(), own })
        };
        meant.into_iter().map(errand).collect()
    }
}

impl Errand {
    /// The text that is there now; it may be overwritten.
    fn old(&self, running: &Running, force: bool) -> Result<Zeroizing<String>, String> {
        let path = self.path.display();
        if !self.own {
            self.check_folder(running)?;
            self.check_name(running)?;
        }
        let (there, mut bytes) = match peers_file::read(&self.path) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Zeroizing::default()),
            Err(error) => return Err(format!("{path}: {error}")),
        };
        let read = running.stamps.get(self.at).copied().flatten();
        if self.own && read != Some(there) && !force {
            return Err(format!(
                "{path} has changed since it was read: config diff shows how, reload takes it, peers save --force overwrites it"
            ));
        }
        if !self.own && !force {
            return Err(format!("{path} is there already: say another file, or --force"));
        }
        let text = String::from_utf8(std::mem::take(&mut bytes)).map(Zeroizing::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            format!("{path} is no peers file: it is not UTF-8")
        })?;
        if !self.own {
            // Nothing but peers is ever overwritten.
            let parsed =
                peers_file::parse(&text, "").map_err(|_| format!("{path} is no peers file: say another one"))?;
            // What somebody has only written remarks into, or an interface's settings, may be anything.
            if parsed.changes.peers.is_empty() && !text.trim().is_empty() {
                return Err(format!(
                    "{path} holds no peers, and may be something else: say another file, or remove it"
                ));
            }
        }
        Ok(text)
    }

    /// It is written by the gateway's rights, for whoever may ask: beside its own files only.
    fn check_folder(&self, running: &Running) -> Result<(), String> {
        let config = &running.config;
        let files = config.interfaces.iter().filter_map(|interface| interface.peers_file.as_ref());
        let folder = |path: &Path| real(path).parent().map(Path::to_owned);
        let folders: Vec<_> = files.chain([&config.file]).filter_map(|file| folder(file)).collect();
        if folder(&self.path).is_some_and(|folder| folders.contains(&folder)) {
            return Ok(());
        }
        let names: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let (path, names) = (self.path.display(), names.join(" or "));
        Err(format!("{path}: the gateway writes beside its own files only: name one in {names}"))
    }

    /// Others read what lies beside its files (in `/etc`, for one), and some do so by its name alone: it has to be a peers file's.
    fn check_name(&self, running: &Running) -> Result<(), String> {
        let interfaces = running.config.interfaces.iter();
        let peers_files = interfaces.filter_map(|interface| interface.peers_file.as_deref());
        let mut endings = peers_files.filter_map(Path::extension).chain([OsStr::new("conf")]);
        let (real, path) = (real(&self.path), self.path.display());
        if !real.extension().is_some_and(|ending| endings.any(|own| own == ending)) {
            return Err(format!("{path}: peers are saved under a name like their own file's: say FILE.conf"));
        }
        if real.parent().and_then(Path::file_name) == Some(OsStr::new("conf.d")) {
            return Err(format!("{path}: conf.d holds settings: name a file in another folder"));
        }
        Ok(())
    }
}

/// Where it really is: of a file that is yet to be, its folder counts.
fn real(path: &Path) -> PathBuf {
    let below = |path: &Path| Some(std::fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(|| below(path)).unwrap_or_else(|| path.to_owned())
}
