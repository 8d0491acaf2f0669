//! The settings as texts, and in which two configurations differ.

use super::layer::title;
use super::schema::{SECTIONS, Section};
use super::types::Config;
use ::config::{Map, Value, ValueKind};
use std::collections::BTreeMap;

/// Each setting of a configuration, in the words of its file: `[cores] io` → `[1, 2]`. Paths are joined with their folders.
pub(super) type Settings = BTreeMap<String, String>;

/// A setting in which two configurations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// As `[cores] io`, `[[port]] wan mtu`, or `[[port]] wan` for one that only one of them has.
    pub setting: String,
    /// What it is; `None`: it is not set.
    pub was: Option<String>,
    /// What it is to be.
    pub now: Option<String>,
    /// A running gateway can change it.
    pub live: bool,
}

impl Config {
    /// In what `new` differs from this one; nothing of files that they name.
    pub fn differences(&self, new: &Self) -> Vec<SettingChange> {
        let (old, new) = (&self.settings, &new.settings);
        let all = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
        let changed = all.filter(|key| old.get(*key) != new.get(*key));
        let mut changes: Vec<_> = changed.map(|key| change(key, old.get(key), new.get(key))).collect();
        // A whole section that comes or goes is one change: the text of its own line is empty.
        let whole: Vec<String> = changes.iter().filter(|c| c.is_whole()).map(|c| format!("{} ", c.setting)).collect();
        changes.retain(|change| !whole.iter().any(|section| change.setting.starts_with(section)));
        changes
    }
}

impl Config {
    /// Takes those settings of `new` over that a running gateway can change.
    pub fn adopt(&mut self, new: &Self) {
        let live: Vec<_> = self.differences(new).into_iter().filter(|change| change.live).collect();
        for SettingChange { setting, now, .. } in live {
            match now {
                Some(now) => self.settings.insert(setting, now),
                None => self.settings.remove(&setting),
            };
        }
        for interface in &mut self.interfaces {
            if let Some(new) = new.interfaces.iter().find(|new| new.name == interface.name) {
                interface.private_key_file.clone_from(&new.private_key_file);
                interface.peers_file.clone_from(&new.peers_file);
            }
        }
    }
}

impl SettingChange {
    /// It is a whole section, that only one of them has.
    pub fn is_whole(&self) -> bool {
        [&self.was, &self.now].into_iter().flatten().all(String::is_empty)
    }
}

fn change(setting: &str, was: Option<&String>, now: Option<&String>) -> SettingChange {
    let key = setting.rsplit(' ').next().unwrap_or_default();
    // Of an interface that is new, or gone, nothing is live: its section is one change.
    let live = setting.starts_with("[[interface]] ")
        && match key {
            "private_key_file" => was.is_some() && now.is_some(),
            "peers_file" => true,
            // The first port moves, as wg moves it; the others are of the start.
            "listen_ports" => rest(was).is_some() && rest(was) == rest(now),
            _ => false,
        };
    SettingChange { setting: setting.to_owned(), was: was.cloned(), now: now.cloned(), live }
}

/// What stands behind the first element of a list.
fn rest(list: Option<&String>) -> Option<&str> {
    let list = list?.strip_prefix('[')?.strip_suffix(']')?;
    Some(list.split_once(',').map_or("", |(_, rest)| rest))
}

/// The settings of a merged tree with these items.
pub(super) fn settings(merged: &Value, items: &[(&'static str, String)]) -> Settings {
    let mut all = Settings::new();
    let inside = |value: &Value, name: &str| table(value).and_then(|table| table.get(name).cloned());
    for section in SECTIONS {
        let Some(value) = inside(merged, section.name) else { continue };
        if section.many.is_none() {
            note(&mut all, section, None, &value);
        }
        for (_, item) in items.iter().filter(|(of, _)| *of == section.name && section.many.is_some()) {
            all.insert(title(section, Some(item)), String::new());
            if let Some(value) = inside(&value, item) {
                note(&mut all, section, Some(item), &value);
            }
        }
    }
    all
}

fn note(all: &mut Settings, section: &Section, item: Option<&str>, value: &Value) {
    let title = title(section, item);
    for key in section.keys {
        if let Some(value) = table(value).and_then(|table| table.get(key.name)) {
            all.insert(format!("{title} {}", key.name), text(value));
        }
    }
}

fn table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    match &value.kind {
        ValueKind::Table(table) => {
            // In the order of their names: that of the table is another each time.
            let keys: BTreeMap<_, _> = table.iter().collect();
            let pairs: Vec<_> = keys.into_iter().map(|(key, value)| format!("{key} = {}", text(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        ValueKind::Array(values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
        _ => value.to_string(),
    }
}
