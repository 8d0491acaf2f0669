//! What is written back is what was there, and as little of the file changes as may be.

use super::*;
use crate::control::change::{AllowedIpChange, SecretKey};
use proptest::prelude::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A peer of a byte, with one prefix.
fn peer(byte: u8, name: Option<&str>) -> PeerChange {
    let prefix = format!("10.{byte}.0.0/16").parse().unwrap();
    PeerChange {
        public_key: [byte; 32],
        allowed_ips: vec![AllowedIpChange { prefix, remove: false }],
        name: name.map(str::to_owned),
        ..PeerChange::default()
    }
}

/// The same as a section, in somebody's own hand.
fn section(byte: u8, more: &str) -> String {
    format!("[peer]\npublickey={}   # of {byte}\n  AllowedIPs = 10.{byte}.7.7/16\n{more}", to_base64(&[byte; 32]))
}

#[test]
fn what_did_not_change_stays_as_it_stands() {
    let head = "# who wrote this\n\n[Interface]\nListenPort = 51821\n# the office\n";
    let (one, two, three) = (section(1, "# friendly_name = one\n\n"), section(2, "# a note\n"), section(3, ""));
    let file = format!("{head}{one}# above two\n{two}\n# friendly_name = three\n{three}");
    let same = [peer(1, Some("one")), peer(2, None), peer(3, Some("three"))];
    assert_eq!(*rewrite(&file, &same), file);
    // Two has another name and loses none of its comments, three goes with what stands above it, four comes.
    let changed = [peer(4, Some("four")), peer(2, Some("zwei")), peer(1, Some("one"))];
    let (two, four) = (to_text(&[peer(2, Some("zwei"))]), to_text(&[peer(4, Some("four"))]));
    assert_eq!(*rewrite(&file, &changed), format!("{head}{one}# above two\n# a note\n{}{}", *two, *four));
    // Of a peer that stands there twice the last section stays.
    let twice = format!("{}{}", section(1, "PersistentKeepalive = 5\n"), section(1, "# the last\n"));
    assert_eq!(*rewrite(&twice, &[peer(1, None)]), section(1, "# the last\n"));
    // What is no peers file is none afterwards either.
    assert_eq!(*rewrite("nonsense", &same), *to_text(&same));
    assert_eq!(*rewrite("", &[]), "");
}

fn any_peer() -> impl Strategy<Value = PeerChange> {
    let name = prop::option::of("[a-zA-Zé#=\\[][a-zA-Z0-9 #=é\\[\\]]{0,20}[a-z\\]]");
    let endpoint = prop::option::of((any::<bool>(), 1..=u16::MAX).prop_map(|(v6, port)| {
        if v6 { ([0x2001_u16, 0xdb8, 0, 0, 0, 0, 0, 1], port).into() } else { SocketAddr::from(([192, 0, 2, 1], port)) }
    }));
    (1..30_u8, name, any::<bool>(), prop::option::of(0..3_u16), endpoint, prop::collection::btree_set(0..200_u8, 0..4))
        .prop_map(|(byte, name, secret, persistent_keepalive, endpoint, prefixes)| {
            let prefix = |n| IpNet::new([10, byte, n, 0].into(), 24).unwrap();
            PeerChange {
                public_key: [byte; 32],
                preshared_key: Some(SecretKey::new(&[if secret { byte } else { 0 }; 32])),
                allowed_ips: prefixes
                    .into_iter()
                    .map(|n| AllowedIpChange { prefix: prefix(n), remove: false })
                    .collect(),
                name,
                persistent_keepalive,
                endpoint,
                ..PeerChange::default()
            }
        })
}

fn any_peers() -> impl Strategy<Value = Vec<PeerChange>> {
    prop::collection::vec(any_peer(), 0..8).prop_map(|mut peers| {
        peers.sort_by_key(|peer| peer.public_key);
        peers.dedup_by_key(|peer| peer.public_key);
        peers
    })
}

/// All that a peers file can say of peers, in the order of their keys.
fn shown(peers: &[PeerChange]) -> Vec<String> {
    let peer = |peer: &PeerChange| {
        let mut prefixes: Vec<_> = peer.allowed_ips.iter().map(|allowed| allowed.prefix.to_string()).collect();
        prefixes.sort();
        let secret = peer.preshared_key.clone().unwrap_or_default();
        let (keepalive, secret) = (peer.persistent_keepalive.unwrap_or(0), to_base64(secret.bytes()));
        format!("{:?} {:?} {secret} {keepalive} {:?} {prefixes:?}", peer.public_key, peer.name, peer.endpoint)
    };
    let mut all: Vec<_> = peers.iter().map(peer).collect();
    all.sort();
    all
}

proptest! {
    /// Whatever stood in the file: what is written is read back as the peers that there are, and written again it stays.
    #[test]
    fn what_is_saved_is_loaded(before in any_peers(), peers in any_peers(), noise in "[#\\[\\]a-zA-Z=\n ]{0,40}", comment in "# [a-z=\\[\\]]{0,12}") {
        let commented: String = to_text(&before).replace("[Peer]", &format!("{comment}\n[Peer]\n{comment}"));
        for old in [commented, noise, String::new()] {
            let saved = rewrite(&old, &peers);
            let loaded = parse(&saved, "saved").unwrap();
            prop_assert_eq!(shown(&loaded.changes.peers), shown(&peers), "{}", *saved);
            prop_assert!(loaded.warnings.is_empty());
            prop_assert_eq!(&*rewrite(&saved, &peers), &*saved);
        }
    }
}

#[test]
fn a_file_is_replaced_whole_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("wg0.conf"), folder.path().join("link.conf"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let stamp = replace(&path, "one\n").unwrap();
    assert_eq!((mode(&path), stamp), (0o600, Stamp::of(&std::fs::metadata(&path).unwrap())));
    // A mode that keeps others out stays, any other is closed.
    for (before, after) in [(0o640, 0o640), (0o644, 0o600), (0o660, 0o600), (0o400, 0o400)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(before)).unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(mode(&path), after, "{before:o}");
    }
    std::os::unix::fs::symlink("wg0.conf", &link).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    assert_ne!(replace(&link, "three\n").unwrap(), stamp);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    assert_ne!(std::fs::metadata(&path).unwrap().ino(), inode, "who has it open has the old one");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
        replace(&path, "four\n").unwrap();
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.uid(), there.gid()), (1234, 4321));
    }
    for wrong in [folder.path().join("no/such/wg0.conf"), path.join("below"), folder.path().to_owned()] {
        let error = replace(&wrong, "five\n").unwrap_err().to_string();
        assert!(error.contains("it cannot be written"), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// A file as it is recommended: root's, and the group culvert reads it; the gateway runs as the user culvert and may write in the folder.
#[test]
fn a_file_of_root_is_replaced_by_another_user() {
    use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wg0.conf");
    let owned = |path: &Path, uid, gid, mode| {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Of this thread alone, which ends with it.
    let replace_as_culvert = |text: &'static str| {
        let path = path.clone();
        let run = move || {
            set_thread_groups(&[rustix::fs::Gid::from_raw(4321)]).unwrap();
            set_thread_gid(rustix::fs::Gid::from_raw(1234)).unwrap();
            set_thread_uid(rustix::fs::Uid::from_raw(1234)).unwrap();
            replace(&path, text).map_err(|error| error.to_string())
        };
        std::thread::spawn(run).join().unwrap()
    };
    std::fs::write(&path, "old").unwrap();
    // It may not list the folder, and so cannot sync it either: the new file is there all the same.
    owned(folder.path(), 1234, 1234, 0o300);
    for gid in [1234, 4321] {
        owned(&path, 0, gid, 0o640);
        let stamp = replace_as_culvert("new").unwrap();
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.uid(), there.gid(), there.mode() & 0o777), (1234, gid, 0o640));
        assert_eq!((stamp, std::fs::read_to_string(&path).unwrap()), (Stamp::of(&there), "new".to_owned()));
    }
    // Another's could not be read by him any more, nor one of a group that the gateway is not in.
    for (uid, gid) in [(1235, 1234), (0, 1235)] {
        owned(&path, uid, gid, 0o640);
        let said = replace_as_culvert("newer").unwrap_err();
        assert!(said.contains(&format!("chown culvert: {}", path.display())), "{said}");
        assert_eq!(
            (std::fs::read_to_string(&path).unwrap(), std::fs::read_dir(folder.path()).unwrap().count()),
            ("new".to_owned(), 1)
        );
    }
}
