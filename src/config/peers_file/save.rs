//! Peers written back into their file: what did not change stays as it stands, comments and order included.

use super::line::{Split, split};
use super::stamp::Stamp;
use super::write::{room, to_text, write_peer};
use super::{ConfigError, Place, parse};
use crate::control::change::PeerChange;
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use zeroize::Zeroizing;

/// The file `old` with `peers` in place of its own. Sections that say what a peer is already stay as they are, those of others change or go,
/// new ones come last; `[Interface]` and comments stay. A file that cannot be read so, or that would not say the same, is written anew.
pub fn rewrite(old: &str, peers: &[PeerChange]) -> Zeroizing<String> {
    match rewritten(old, peers) {
        Some(text) if says(&text, peers) => text,
        _ => to_text(peers),
    }
}

/// Whether a file's text asks for exactly these peers.
fn says(text: &str, peers: &[PeerChange]) -> bool {
    let Ok(parsed) = parse(text, "") else { return false };
    let there: HashMap<_, _> = parsed.changes.peers.iter().map(|peer| (peer.public_key, peer)).collect();
    // None twice: then the number says it.
    parsed.changes.peers.len() == peers.len()
        && there.len() == peers.len()
        && peers.iter().all(|peer| there.get(&peer.public_key).is_some_and(|there| is_as(there, peer)))
}

/// Whether a section of a file says of a peer what it is.
fn is_as(section: &PeerChange, peer: &PeerChange) -> bool {
    let prefixes = |peer: &PeerChange| peer.allowed_ips.iter().map(|allowed| allowed.prefix).collect::<HashSet<_>>();
    let key = |peer: &PeerChange| peer.preshared_key.clone().unwrap_or_default();
    key(section).same(&key(peer))
        && section.name == peer.name
        && section.endpoint == peer.endpoint
        && section.persistent_keepalive.unwrap_or(0) == peer.persistent_keepalive.unwrap_or(0)
        && prefixes(section) == prefixes(peer)
}

/// A part of a file: a section with the comments right above it, or what stands before the first.
struct Chunk<'t> {
    text: &'t str,
    is_peer: bool,
}

fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut starts = vec![(0, false)];
    // Where the comments began that stand right above this line.
    let (mut comments, mut at) = (None, 0);
    for line in text.split_inclusive('\n') {
        match split(line) {
            Split::Header(name) => starts.push((comments.take().unwrap_or(at), name.eq_ignore_ascii_case("peer"))),
            Split::Comment | Split::Name(_) => comments = comments.or(Some(at)),
            _ => comments = None,
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
    let chunk = |((start, is_peer), end): (&(usize, bool), usize)| Chunk {
        text: text.get(*start..end).unwrap_or_default(),
        is_peer: *is_peer,
    };
    starts.iter().zip(ends).map(chunk).collect()
}

fn rewritten(old: &str, peers: &[PeerChange]) -> Option<Zeroizing<String>> {
    let old = old.strip_prefix('\u{feff}').unwrap_or(old);
    let sections = parse(old, "").ok()?.changes.peers;
    let mut left: HashMap<_, _> = peers.iter().map(|peer| (peer.public_key, peer)).collect();
    let last: HashMap<_, _> = sections.iter().enumerate().map(|(at, section)| (section.public_key, at)).collect();
    // Growing would leave a copy of the keys behind.
    let longest = old.len() + peers.iter().map(room).sum::<usize>() + chunks(old).len();
    let mut text = Zeroizing::new(String::with_capacity(longest));
    let mut numbered = sections.iter().enumerate();
    for chunk in chunks(old) {
        if !chunk.is_peer {
            push(&mut text, chunk.text);
            continue;
        }
        let (at, section) = numbered.next()?;
        // The last of several sections holds.
        let holds = last.get(&section.public_key) == Some(&at);
        match left.get(&section.public_key).filter(|_| holds).copied() {
            Some(peer) if is_as(section, peer) => push(&mut text, chunk.text),
            Some(peer) => {
                let comments = chunk.text.lines().filter(|line| split(line) == Split::Comment);
                comments.for_each(|line| push(&mut text, line));
                write_peer(&mut text, peer).ok()?;
            }
            None => continue,
        }
        left.remove(&section.public_key);
    }
    for peer in peers.iter().filter(|peer| left.contains_key(&peer.public_key)) {
        write_peer(&mut text, peer).ok()?;
    }
    Some(text)
}

/// Lines, of which the last is whole.
fn push(text: &mut String, lines: &str) {
    text.push_str(lines);
    if !lines.is_empty() && !lines.ends_with('\n') {
        text.push('\n');
    }
}

/// Puts a file in the place of `path` (of what it leads to, if it is a link) at once: who reads it has the old one or the new one, whole. It
/// keeps its owner, but that root's becomes this user's where only root may give files away; others may not read it. Blocks.
///
/// # Errors
/// What failed; the old file is there as it was.
pub fn replace(path: &Path, text: &str) -> Result<Stamp, ConfigError> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    put(&target, text).map_err(|error| {
        let folder = target.parent().unwrap_or_else(|| Path::new("/")).display();
        let mend = match error.kind() {
            // It is somebody else's, who could not read it any more.
            _ if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                format!("Give it to culvert's user and group: chown culvert: {}", target.display())
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                format!("Let culvertd's user write in {folder} (systemd: ReadWritePaths=)")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("Make room in {folder}"),
            _ => format!("Look after {folder}"),
        };
        ConfigError::new(Place::File(path.into()), "", format!("it cannot be written ({error})"), mend)
    })
}

fn put(target: &Path, text: &str) -> std::io::Result<Stamp> {
    let before = match std::fs::metadata(target) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    // What a run that was killed left.
    let _none = std::fs::remove_file(&temporary);
    let file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let put = fill(&file, text, before.as_ref()).and_then(|()| {
        let stamp = Stamp::of(&file.metadata()?);
        std::fs::rename(&temporary, target)?;
        Ok(stamp)
    });
    if put.is_err() {
        let _renamed = std::fs::remove_file(&temporary);
        return put;
    }
    // The name is to be on the disk, too; the new file is there in any case.
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        let (target, folder) = (target.display(), folder.display());
        tracing::warn!("{target} is written, but a power cut may bring the old one back: {folder}: {error}");
    }
    put
}

/// Writes it, with the owner of the file before and, if others could not read that, its mode.
fn fill(mut file: &File, text: &str, before: Option<&std::fs::Metadata>) -> std::io::Result<()> {
    if let Some(before) = before {
        let now = file.metadata()?;
        if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
            let given = fchown(file, Some(before.uid()), Some(before.gid()));
            match given.as_ref().err().and_then(std::io::Error::raw_os_error) {
                // Root reads it whoever has it; the group is what the others read it by.
                Some(code) if code == Errno::PERM.raw_os_error() && before.uid() == 0 => {
                    if before.gid() != now.gid() {
                        fchown(file, None, Some(before.gid()))?;
                    }
                }
                _ => given?,
            }
        }
        let mode = before.mode() & 0o777;
        if mode & 0o137 == 0 {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
