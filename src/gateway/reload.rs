//! What the files say against what runs: `config diff`, `reload` and SIGHUP. It works on the thread that asks; what waits for it is another
//! reload alone. Files are read and compared first, peers that are alike are left alone, and the rest is one change.

use super::Reading;
use crate::config::keys::to_base64;
use crate::config::peers_file::Stamp;
use crate::config::{self, Config, SettingChange, Warning};
use crate::control::context::Context;
use crate::control::events::What;
use crate::control::interface::{Becomes, ChangeError, Difference, Interface, PeerDifference};
use crate::dpdk::Pool;
use crate::queue::sync::Arc;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

/// Peers that are listed, at most: all are counted.
const SHOWN: usize = 1000;
/// And in the log.
const LOGGED: usize = 50;

/// Who knows what the gateway runs by.
#[derive(Debug)]
pub(super) struct Reloader {
    interfaces: Vec<Arc<Interface<Pool>>>,
    context: Arc<Context<Pool>>,
    running: Mutex<Running>,
}

/// What it runs by.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// As it was at the start, with what reloads changed since.
    pub(super) config: Config,
    /// A place an interface: its peers file when it was last read or written.
    pub(super) stamps: Vec<Option<Stamp>>,
}

/// The files, read and compared.
struct Plan {
    config: Config,
    settings: Vec<SettingChange>,
    warnings: Vec<Warning>,
    interfaces: Vec<Planned>,
}

/// One interface that runs and that the files name.
struct Planned {
    /// Its place.
    at: usize,
    name: String,
    peers_file: Option<PathBuf>,
    stamp: Option<Stamp>,
    difference: Difference,
}

impl Reloader {
    /// Of a gateway that starts; a stamp an interface.
    pub(super) fn new(
        interfaces: Vec<Arc<Interface<Pool>>>,
        context: Arc<Context<Pool>>,
        config: Config,
        stamps: Vec<Option<Stamp>>,
    ) -> Self {
        Self { interfaces, context, running: Mutex::new(Running { config, stamps }) }
    }

    /// What a reload would change; by another file, what a gateway of that file would have.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(super) fn difference(&self, file: Option<&Path>) -> Result<Value, String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(self.plan(&running, file, false)?.json())
    }

    /// Makes the running gateway what its files say, as far as that goes without a restart. `keep`: peers that came by a socket stay.
    ///
    /// # Errors
    /// What is wrong with the files, or another reload is under way; nothing has changed then.
    pub(super) fn reload(&self, keep: bool) -> Result<Value, String> {
        self.reload_alone(self.alone()?, keep)
    }

    /// The same for a signal, once nobody else is at it; no peer is kept. What it did is an event; why it did nothing is for the log, and so too.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(super) fn reload_in_turn(&self) -> Result<Value, String> {
        let answer = self.reload_alone(self.running.lock().unwrap_or_else(PoisonError::into_inner), false)?;
        let peers = |what: &str| answer["difference"][what].as_u64().unwrap_or(0);
        let [added, changed, removed] = ["added", "changed", "removed"].map(peers);
        let text = format!("reload: peers: {added} added, {changed} changed, {removed} removed");
        self.context.events.push(self.context.environment.wall_clock(), What::Reload { text });
        Ok(answer)
    }

    fn reload_alone(&self, mut running: MutexGuard<'_, Running>, keep: bool) -> Result<Value, String> {
        let began = Instant::now();
        let mut plan = self.plan(&running, None, keep)?;
        let mut answer = plan.json();
        let changes = plan.interfaces.iter_mut().filter_map(|planned| {
            Some((&**self.interfaces.get(planned.at)?, std::mem::take(&mut planned.difference.change)))
        });
        Interface::apply_together(changes.collect()).map_err(|(at, error)| plan.refusal(at, &error))?;
        // Moving a change leaves its keys there.
        crate::noise::wipe_stack();
        plan.log();
        running.config.adopt(&plan.config);
        for planned in plan.interfaces {
            if let Some(stamp) = running.stamps.get_mut(planned.at) {
                *stamp = planned.stamp;
            }
        }
        answer["reload"] = json!({ "done": true, "took_ms": began.elapsed().as_millis() });
        Ok(answer)
    }

    /// What it runs by, for this thread alone.
    ///
    /// # Errors
    /// Somebody else is at it.
    pub(super) fn alone(&self) -> Result<MutexGuard<'_, Running>, String> {
        match self.running.try_lock() {
            Ok(running) => Ok(running),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err("another reload or save is under way: ask again after it".to_owned()),
        }
    }

    /// The running interfaces, in the order of their numbers.
    pub(super) fn interfaces(&self) -> &[Arc<Interface<Pool>>] {
        &self.interfaces
    }

    fn plan(&self, running: &Running, file: Option<&Path>, keep: bool) -> Result<Plan, String> {
        let machine = &running.config.machine;
        let file = file.unwrap_or(&running.config.file);
        let config = config::load_for(file, config::environment(), machine).map_err(|error| error.to_string())?;
        let mut warnings = config.check(machine).map_err(|error| error.to_string())?;
        let settings = running.config.differences(&config);
        // All files are read before anything is compared.
        let mut read = Vec::new();
        for (at, interface) in self.interfaces.iter().enumerate() {
            // One that is new, or gone, is among the settings: it needs a restart.
            if let Some(named) = config.interfaces.iter().find(|named| named.name == interface.name()) {
                let reading = Reading::of(&config, named).map_err(|error| error.to_string())?;
                read.push((at, interface, named, reading));
            }
        }
        let planned = read.into_iter().map(|(at, interface, named, reading)| {
            warnings.extend(reading.warnings);
            Planned {
                at,
                name: named.name.clone(),
                peers_file: named.peers_file.clone(),
                stamp: reading.stamp,
                difference: interface.difference(reading.changes, keep),
            }
        });
        let interfaces = planned.collect();
        // Reading and moving the private keys left copies there.
        crate::noise::wipe_stack();
        Ok(Plan { settings, warnings, interfaces, config })
    }
}

impl Plan {
    fn peers(&self) -> impl Iterator<Item = (&Planned, &PeerDifference)> {
        self.interfaces.iter().flat_map(|planned| planned.difference.peers.iter().map(move |peer| (planned, peer)))
    }

    fn count(&self, which: impl Fn(&PeerDifference) -> bool) -> usize {
        self.peers().filter(|(_, peer)| which(peer)).count()
    }

    /// Setting, as it is, as it is to be, and when.
    fn settings(&self) -> impl Iterator<Item = (String, String, String, &'static str)> {
        let shown = |setting: &SettingChange, text: &Option<String>| match text {
            None => "-".to_owned(),
            Some(_) if setting.is_whole() => "(a section)".to_owned(),
            Some(text) => text.clone(),
        };
        let of_files = self.settings.iter().map(move |setting| {
            let when = if setting.live { "at a reload" } else { "restart culvertd" };
            (setting.setting.clone(), shown(setting, &setting.was), shown(setting, &setting.now), when)
        });
        let of_interfaces = self.interfaces.iter().flat_map(|planned| {
            planned.difference.settings.iter().map(move |(what, was, now)| {
                (format!("{} {what}", planned.name), was.clone(), now.clone(), "at a reload")
            })
        });
        of_files.chain(of_interfaces)
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.peers().take(SHOWN).map(|(planned, peer)| row(&planned.name, peer)).collect();
        let settings = self
            .settings()
            .map(|(setting, was, now, when)| json!({ "setting": setting, "was": was, "now": now, "when": when }));
        json!({
            "difference": {
                "added": self.count(|peer| peer.becomes == Becomes::Added),
                "changed": self.count(|peer| peer.becomes == Becomes::Changed),
                "removed": self.count(|peer| peer.becomes == Becomes::Removed),
                "removed_by_socket": self.count(|peer| peer.becomes == Becomes::Removed && peer.by_socket),
                "kept": self.count(|peer| peer.becomes == Becomes::Kept),
                "unchanged": self.interfaces.iter().map(|planned| planned.difference.unchanged).sum::<usize>(),
                "shown": rows.len(),
            },
            "peers": rows,
            "settings": settings.collect::<Vec<_>>(),
            "warnings": self.warnings.iter().map(|warning| json!({ "warning": warning.to_string() })).collect::<Vec<_>>(),
        })
    }

    /// Why the change of the interface at this place was refused.
    fn refusal(&self, at: usize, error: &ChangeError) -> String {
        let file = self.interfaces.get(at).and_then(|planned| planned.peers_file.as_deref());
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        // Each change is held against what runs, not against what the others leave of it.
        let moving = "to move it here, take it out, reload, add it again and reload";
        match error {
            ChangeError::PrefixTaken { line, .. } if *line > 0 => format!("{file}:{line}: {error}; {moving}"),
            ChangeError::PrefixTaken { .. } | ChangeError::PortTaken { .. } => format!("{file}: {error}; {moving}"),
            ChangeError::TooManyPeers { .. } => {
                format!("{file}: {error} ([[interface]] max_peers), and restart culvertd")
            }
            _ => format!("{file}: {error}"),
        }
    }

    fn log(&self) {
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for (setting, was, now, when) in self.settings() {
            match when {
                "at a reload" => tracing::info!("reload: {setting}: {was} → {now}"),
                _ => tracing::warn!("reload: {setting}: {was} → {now}: {when}"),
            }
        }
        for (planned, peer) in self.peers().take(LOGGED) {
            let name = peer.name.as_deref().unwrap_or_default();
            let (what, key) = (words(peer).join(", "), to_base64(&peer.public_key));
            tracing::info!("reload: {}: {} {key} {name:?} {what}", planned.name, becomes(peer));
        }
        let [added, changed, removed, kept] = [Becomes::Added, Becomes::Changed, Becomes::Removed, Becomes::Kept]
            .map(|becomes| self.count(|peer| peer.becomes == becomes));
        let unchanged = self.interfaces.iter().map(|planned| planned.difference.unchanged).sum::<usize>();
        tracing::info!(
            "reload: peers: {added} added, {changed} changed, {removed} removed, {kept} kept, {unchanged} as they were"
        );
    }
}

fn row(interface: &str, peer: &PeerDifference) -> Value {
    json!({
        "becomes": becomes(peer),
        "interface": interface,
        "name": peer.name,
        "public_key": to_base64(&peer.public_key),
        "what": words(peer),
    })
}

fn becomes(peer: &PeerDifference) -> &'static str {
    match peer.becomes {
        Becomes::Removed => "removed",
        Becomes::Kept => "kept",
        Becomes::Changed => "changed",
        Becomes::Added => "added",
    }
}

fn words(peer: &PeerDifference) -> Vec<&'static str> {
    let mut words = peer.what.clone();
    if peer.by_socket && peer.becomes != Becomes::Changed {
        words.push("it came by a socket");
    }
    words
}
