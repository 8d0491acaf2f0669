//! `peer add`, `peer set` and `peer remove`: one change each, by the way that the `wg` socket's take.

use super::Desk;
use crate::api::{PeerSettings, Secret};
use crate::config::keys::{from_base64, to_base64};
use crate::config::peers_file::{is_name, read_allowed_ip, read_endpoint};
use crate::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use crate::control::interface::{ChangeError, Interface, Moved};
use crate::control::record::PeerRecord;
use crate::dpdk::Pool;
use crate::queue::sync::Arc;
use serde_json::{Value, json};

/// A name or key with no more wrong letters than these may have been meant.
const NEAR: usize = 2;
/// Names that are guessed, at most.
const GUESSES: usize = 3;

impl Desk {
    pub(super) fn peer_add(&self, key: &str, interface: Option<&str>, asked: &PeerSettings) -> Result<Value, String> {
        let public_key = *from_base64(key).ok_or("the public key is not the base64 of 32 bytes: wg pubkey makes it")?;
        let interface = self.one_interface(interface)?;
        if self.context.identity(interface.tunnel()).is_some_and(|own| *own.public_key() == public_key) {
            return Err(format!("{key} is the key of {} itself: name the peer's", interface.name()));
        }
        if self.context.directory.by_key(interface.tunnel(), &public_key).is_some() {
            return Err(format!("{} has the peer {key} already: peer set changes it", interface.name()));
        }
        if asked.allowed_ips.is_none() {
            return Err("a peer without allowed ips gets no packets: say allowed-ips PREFIXES".to_owned());
        }
        self.change(&interface, PeerChange { public_key, ..PeerChange::default() }, asked, "added")
    }

    pub(super) fn peer_set(&self, peer: &str, interface: Option<&str>, asked: &PeerSettings) -> Result<Value, String> {
        if *asked == PeerSettings::default() {
            return Err("nothing is said to change: name, allowed-ips, endpoint, …".to_owned());
        }
        let (interface, record) = self.whole(peer, interface)?;
        let change = PeerChange { public_key: record.public_key, update_only: true, ..PeerChange::default() };
        self.change(&interface, change, asked, "changed")
    }

    pub(super) fn peer_remove(&self, peer: &str, interface: Option<&str>) -> Result<Value, String> {
        let (interface, record) = self.whole(peer, interface)?;
        let change = PeerChange { public_key: record.public_key, remove: true, ..PeerChange::default() };
        let name = record.lock().name.clone();
        interface.apply(ChangeSet { peers: vec![change], ..ChangeSet::default() }).map_err(|error| mend(&error))?;
        let key = to_base64(&record.public_key);
        Ok(json!({ "change": { "done": "removed", "interface": interface.name(), "name": name, "public_key": key } }))
    }

    fn change(
        &self,
        interface: &Interface<Pool>,
        mut change: PeerChange,
        asked: &PeerSettings,
        done: &str,
    ) -> Result<Value, String> {
        fill(&mut change, asked)?;
        if let Some(name) = &change.name
            && let Some(other) = self.called(name).into_iter().find(|other| other.public_key != change.public_key)
        {
            return Err(format!("{} is called {name:?} already: take another name", to_base64(&other.public_key)));
        }
        let public_key = change.public_key;
        let peers = vec![change];
        let moved =
            interface.apply_telling(ChangeSet { peers, ..ChangeSet::default() }).map_err(|error| mend(&error))?;
        // Moving a change leaves its preshared key there.
        crate::noise::wipe_stack();
        let key = to_base64(&public_key);
        let gone = || format!("{key} was removed just now");
        let record = self.context.directory.by_key(interface.tunnel(), &public_key).ok_or_else(gone)?;
        let moved: Vec<Value> = moved.iter().map(|moved| self.moved_row(interface, moved)).collect();
        // It is done: without a seat among the readers, its endpoint is not shown.
        let endpoint = self.reader().ok().and_then(|reader| self.shared.flows.get(&reader, record.flow)?.endpoint());
        let state = record.lock();
        let keepalive = match state.persistent_keepalive {
            0 => "off".to_owned(),
            seconds => seconds.to_string(),
        };
        let row = json!({
            "done": done,
            "interface": interface.name(),
            "name": state.name,
            "public_key": key,
            "preshared_key": !state.preshared_key.is_zero(),
            "endpoint": endpoint.map(|endpoint| endpoint.remote.to_string()),
            "allowed_ips": state.allowed_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "persistent_keepalive": keepalive,
        });
        Ok(json!({ "change": row, "moved": moved }))
    }

    fn moved_row(&self, interface: &Interface<Pool>, moved: &Moved) -> Value {
        let record = self.context.directory.by_key(interface.tunnel(), &moved.from);
        let name = record.and_then(|record| record.lock().name.clone());
        json!({ "prefix": moved.prefix.to_string(), "name": name, "public_key": to_base64(&moved.from) })
    }

    fn one_interface(&self, name: Option<&str>) -> Result<Arc<Interface<Pool>>, String> {
        let named: Vec<_> = self.tunnels(name)?;
        match named[..] {
            [tunnel] => self.interfaces.get(usize::from(tunnel.id)).cloned().ok_or_else(|| "no interface".to_owned()),
            _ => {
                let names: Vec<_> = named.iter().map(|tunnel| tunnel.name.as_str()).collect();
                Err(format!("say interface INTERFACE: there are {}", names.join(", ")))
            }
        }
    }

    /// All peers of a name.
    fn called(&self, name: &str) -> Vec<Arc<PeerRecord>> {
        let tunnels = self.shared.tunnels.iter();
        let all = tunnels.flat_map(|tunnel| self.context.directory.all_of(tunnel.id));
        all.filter(|record| record.lock().name.as_deref() == Some(name)).collect()
    }

    /// The one peer of this whole key or name: nobody wants to remove another by a slip.
    fn whole(&self, asked: &str, interface: Option<&str>) -> Result<(Arc<Interface<Pool>>, Arc<PeerRecord>), String> {
        let tunnels = self.tunnels(interface)?;
        let here = |record: &Arc<PeerRecord>| tunnels.iter().any(|tunnel| tunnel.id == record.tunnel);
        let found: Vec<_> = match from_base64(asked) {
            Some(key) => tunnels.iter().filter_map(|t| self.context.directory.by_key(t.id, &key)).collect(),
            None => self.called(asked).into_iter().filter(here).collect(),
        };
        match &found[..] {
            [record] => {
                let interface = self.interfaces.get(usize::from(record.tunnel)).ok_or("its interface is gone")?;
                Ok((Arc::clone(interface), Arc::clone(record)))
            }
            [] => Err(format!("no peer has the key or the name {asked:?}{}", self.guesses(asked))),
            [first, ..] if found.iter().all(|record| record.public_key == first.public_key) => {
                Err(format!("{asked} is a peer of several interfaces: say interface INTERFACE"))
            }
            [..] => {
                Err(format!("{} peers are called {asked:?}: say the key of one (show peers match RE)", found.len()))
            }
        }
    }

    /// What was probably meant: names alike, and peers whose key begins so.
    fn guesses(&self, asked: &str) -> String {
        let mut near = Vec::new();
        let asked_len = asked.chars().count();
        for tunnel in &self.shared.tunnels {
            for record in self.context.directory.all_of(tunnel.id) {
                let name = record.lock().name.clone();
                // Of the same length, about: to compare all of half a million names would hold other callers up.
                let alike = name.as_deref().filter(|name| name.chars().count().abs_diff(asked_len) <= NEAR);
                let distance = alike.map(|name| strsim::damerau_levenshtein(name, asked));
                let begun = asked.len() >= 4 && to_base64(&record.public_key).starts_with(asked);
                if let Some(distance) = distance.filter(|distance| *distance <= NEAR) {
                    near.push((distance, name.unwrap_or_default()));
                } else if begun {
                    near.push((0, to_base64(&record.public_key)));
                }
            }
        }
        near.sort_unstable();
        let names: Vec<_> = near.into_iter().take(GUESSES).map(|(_, name)| name).collect();
        if names.is_empty() {
            return "; show peers match RE searches".to_owned();
        }
        format!("; did you mean {}?", names.join(" or "))
    }
}

/// A refusal, and what to do about it.
fn mend(error: &ChangeError) -> String {
    match error {
        ChangeError::TooManyPeers { .. } => format!("{error} ([[interface]] max_peers), and restart culvertd"),
        _ => error.to_string(),
    }
}

/// What is asked, as a change.
fn fill(change: &mut PeerChange, asked: &PeerSettings) -> Result<(), String> {
    if let Some(name) = asked.name.as_deref().map(str::trim) {
        if !is_name(name) {
            return Err("a name has 64 characters at most, in plain text".to_owned());
        }
        change.name = Some(name.to_owned());
    }
    if let Some(list) = &asked.allowed_ips {
        (change.replace_allowed_ips, change.allowed_ips) = allowed_ips(list)?;
    }
    change.endpoint = asked.endpoint.as_deref().map(read_endpoint).transpose()?;
    change.persistent_keepalive = asked.keepalive;
    change.preshared_key = asked.preshared_key.as_ref().map(secret).transpose()?;
    Ok(())
}

fn secret(text: &Secret) -> Result<SecretKey, String> {
    let key =
        from_base64(text.expose()).ok_or("the preshared key is not the base64 of 32 bytes: wg genpsk makes one")?;
    Ok(SecretKey::new(&key))
}

/// A list of prefixes; whether it is the whole: without signs.
fn allowed_ips(list: &str) -> Result<(bool, Vec<AllowedIpChange>), String> {
    let (mut whole, mut signed, mut all) = (false, false, Vec::new());
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let (remove, prefix) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => (false, text),
        };
        if prefix.len() == text.len() {
            whole = true
        } else {
            signed = true
        }
        all.push(AllowedIpChange { prefix: read_allowed_ip(prefix)?, remove });
    }
    if whole && signed {
        return Err("allowed-ips: put + or - before each prefix, or before none".to_owned());
    }
    Ok((!signed, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_whole_or_each_has_its_sign() {
        let shown = |list: &str| {
            let (whole, all) = allowed_ips(list)?;
            let sign = |allowed: &AllowedIpChange| if allowed.remove { "-" } else { "" };
            let all: Vec<_> = all.iter().map(|allowed| format!("{}{}", sign(allowed), allowed.prefix)).collect();
            Ok::<_, String>(format!("{whole} {}", all.join(" ")))
        };
        assert_eq!(shown("10.0.0.7/8, fd00::1").unwrap(), "true 10.0.0.0/8 fd00::1/128");
        assert_eq!(shown("").unwrap(), "true ");
        assert_eq!(shown("+10.0.0.0/8,-10.1.0.0/16").unwrap(), "false 10.0.0.0/8 -10.1.0.0/16");
        assert!(shown("+10.0.0.0/8,10.1.0.0/16").unwrap_err().contains("before each"));
        assert!(shown("10.0.0.0/33").unwrap_err().contains("\"10.0.0.0/33\" is not a prefix"));
    }
}
