//! `peers save`: what runs is written down, what was written is what runs.

use crate::answers::{json, refusal, text};
use crate::client::Client;
use crate::rig::{Options, Rig};
use culvert::config::keys::to_base64;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[test]
fn peers_are_saved_and_a_file_of_others_is_not_overwritten() {
    let mut client = Client::new(1);
    let laptop = format!(
        "# head\n\n# the first\n[Peer]\n# friendly_name = laptop\nPublicKey = {}\nAllowedIPs = {}/32\n",
        to_base64(&client.key()),
        client.inner()
    );
    let mut rig = Rig::new(&Options { peers: laptop.clone(), ..Options::default() });
    rig.connect(&mut client, 0);
    let (folder, file) = (rig.folder.path().to_owned(), rig.folder.path().join("wg0.conf"));
    let differences = |rig: &Rig| json(rig, "config diff")["peers"].as_array().unwrap().len();

    // An unchanged file, to which a peer came by the socket; the client's endpoint is known by now.
    let psk = folder.join("psk");
    std::fs::write(&psk, to_base64(&[0x5a; 32])).unwrap();
    std::fs::set_permissions(&psk, std::fs::Permissions::from_mode(0o600)).unwrap();
    let new = to_base64(&[9; 32]);
    text(
        &rig,
        &format!("peer add {new} name guest allowed-ips 10.60.0.0/16 keepalive 7 preshared-key-file {}", psk.display()),
    );
    assert_eq!(differences(&rig), 1);
    let saved = json(&rig, "peers save");
    assert_eq!(saved["saved"], json!([{ "interface": "wg0", "file": file, "peers": 2 }]));
    let written = std::fs::read_to_string(&file).unwrap();
    let expected = format!(
        "# head\n\n# the first\n[Peer]\n# friendly_name = laptop\nPublicKey = {}\nAllowedIPs = {}/32\nEndpoint = {}\n\n\
         [Peer]\n# friendly_name = guest\nPublicKey = {new}\nPresharedKey = {}\nAllowedIPs = 10.60.0.0/16\nPersistentKeepalive = 7\n\n",
        to_base64(&client.key()),
        client.inner(),
        client.at,
        to_base64(&[0x5a; 32]),
    );
    assert_eq!(written, expected);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(differences(&rig), 0);
    assert_eq!(json(&rig, "reload")["difference"]["unchanged"], 2, "the guest is the file's now");
    text(&rig, "peers save");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected, "again: the same");

    // Somebody writes it meanwhile.
    std::fs::write(&file, format!("{expected}# mine\n")).unwrap();
    let refused = refusal(&rig, "peers save");
    assert!(refused.contains("has changed since it was read") && refused.contains("--force"), "{refused}");
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("# mine\n"));
    text(&rig, "reload");
    text(&rig, "peers save");
    std::fs::write(&file, "broken").unwrap();
    refusal(&rig, "peers save");
    text(&rig, "peers save --force");
    let whole = std::fs::read_to_string(&file).unwrap();
    assert!(whole.contains(&new) && whole.contains("laptop"), "{whole}");
    assert_eq!(differences(&rig), 0);

    // Another file: beside the others, and never over what is no peers file.
    let copy = folder.join("copy.conf");
    text(&rig, &format!("peers save {}", copy.display()));
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), whole);
    std::fs::write(folder.join("other.conf"), "key = 1\n").unwrap();
    std::fs::write(folder.join("latin.conf"), b"# \xff\n").unwrap();
    std::fs::write(folder.join("notes.conf"), "# to do: everything\n").unwrap();
    std::fs::write(folder.join("empty.conf"), "").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(folder.join("fifo.conf")).status().unwrap().success());
    for (line, said) in [
        (format!("peers save {}", copy.display()), "is there already"),
        (format!("peers save {}/other.conf --force", folder.display()), "is no peers file"),
        (format!("peers save {}/latin.conf --force", folder.display()), "is no peers file"),
        (format!("peers save {}/notes.conf --force", folder.display()), "holds no peers"),
        (format!("peers save {}/culvert.toml --force", folder.display()), "a name like"),
        (format!("peers save {}/wg0.key --force", folder.display()), "a name like"),
        (format!("peers save {}/ld.so.preload", folder.display()), "a name like"),
        (format!("peers save {}/fifo.conf --force", folder.display()), "has to be a regular file"),
        (format!("config diff {}/fifo.conf", folder.display()), "has to be a regular file"),
        (format!("peers save {}/below/copy.conf", folder.display()), "beside its own files only"),
        ("peers save /etc/passwd --force".to_owned(), "beside its own files only"),
        ("peers save interface wg7".to_owned(), "there are: wg0"),
    ] {
        let refused = refusal(&rig, &line);
        assert!(refused.contains(said), "{line}: {refused}");
    }
    text(&rig, &format!("peers save {} --force", copy.display()));
    text(&rig, &format!("peers save {}/empty.conf --force", folder.display()));
    assert_eq!(std::fs::read_to_string(folder.join("notes.conf")).unwrap(), "# to do: everything\n");
    let left = std::fs::read_dir(&folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(left.count(), 0);
    rig.finish();
}
