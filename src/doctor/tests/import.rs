//! wg-quick files in: what is written, what is said, what is refused, and that nothing secret is shown.

use super::super::{ImportOptions, import};
use super::tree::KEY;
use crate::config::keys::to_base64;
use crate::config::peers_file::{load, parse};
use crate::config::{self, Machine};
use proptest::prelude::*;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const PSK: &str = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";

/// Imports a text as `wg7.conf`; what was said, or the refusal, with the folder's name cut off.
fn imported(folder: &TempDir, text: &str, change: impl FnOnce(&mut ImportOptions)) -> Result<String, String> {
    let file = folder.path().join("wg7.conf");
    std::fs::write(&file, text).unwrap();
    let mut options = ImportOptions { file, output: Some(folder.path().join("out")), ..ImportOptions::default() };
    change(&mut options);
    let mut out = Vec::new();
    let result = import(&options, &mut out);
    let cut = |text: String| text.replace(folder.path().to_str().unwrap(), "D");
    result.map(|()| cut(String::from_utf8(out).unwrap())).map_err(|error| cut(error.to_string()))
}

fn read(folder: &TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join("out").join(name)).unwrap()
}

#[test]
fn a_file_with_all_that_wg_quick_knows() {
    let folder = tempfile::tempdir().unwrap();
    let said = imported(
        &folder,
        &format!(
            "[Interface]\nAddress = 10.9.0.1/24, fd00:9::1/64\nDNS = 1.1.1.1\nPrivateKey = {KEY}\nListenPort = 443\nMTU = 1380\n\
             Table = off\nFwMark = 0x7\nPreUp = echo hunter2\nPostUp = iptables -t nat -A POSTROUTING -j MASQUERADE\nSaveConfig = true\n\n\
             [Peer]\n# friendly_name = ann # smith\nPublicKey = {PEER}\nPresharedKey = {PSK}\nAllowedIPs = 10.9.0.2/32\n\
             Endpoint = vpn.example.org:51820\nPersistentKeepalive = 25\n"
        ),
        |_| {},
    )
    .unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "D/wg7.conf:2: Address is ignored: culvert has no address of its own inside a tunnel: give an inner [[port]] one that clients may ask for",
            "D/wg7.conf:3: DNS is ignored: it is for clients",
            "D/wg7.conf:7: Table is ignored: culvert routes by AllowedIPs and its ports' routes, not by the kernel's tables",
            "D/wg7.conf:8: FwMark is ignored: no packet of culvert's passes the kernel, which alone would read the mark",
            "D/wg7.conf:9: PreUp is ignored: culvert runs no commands",
            "D/wg7.conf:10: PostUp is ignored: culvert runs no commands, and translates no addresses: the network behind it needs a route to the clients",
            "D/wg7.conf:11: SaveConfig is ignored: culvertd never writes its files",
            "D/wg7.conf:18: Endpoint vpn.example.org:51820 is left out: culvertd looks up no names. The peer has to speak first; --resolve writes the address that the name has now",
            "wg7: 1 peers; written: D/out/wg7.toml, D/out/wg7.conf, D/out/wg7.key",
            "Next: put them into conf.d beside culvert.toml (relative names go with the file), and restart culvertd",
        ]
    );
    let fragment = read(&folder, "wg7.toml");
    assert!(fragment.ends_with(
        "[[interface]]\nname = \"wg7\"\nprivate_key_file = \"wg7.key\"\npeers_file = \"wg7.conf\"\nlisten_ports = [443]\nmtu = 1380\n"
    ));
    assert_eq!(read(&folder, "wg7.key"), format!("{KEY}\n"));
    assert_eq!(
        read(&folder, "wg7.conf"),
        format!(
            "[Peer]\n# friendly_name = ann # smith\nPublicKey = {PEER}\nPresharedKey = {PSK}\nAllowedIPs = 10.9.0.2/32\nPersistentKeepalive = 25\n\n"
        )
    );
    let mode =
        |name: &str| std::fs::metadata(folder.path().join("out").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("wg7.key"), mode("wg7.conf"), mode("wg7.toml") & 0o600), (0o600, 0o600, 0o600));
    for secret in [KEY, PSK, "hunter2"] {
        assert!(!said.contains(secret));
    }
}

/// What is written is what culvertd reads: the fragment in `conf.d` beside a file of ports.
#[test]
fn culvertd_takes_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("conf.d");
    imported(&folder, &format!("[Interface]\nPrivateKey = {KEY}\n[Peer]\nPublicKey = {PEER}\n"), |options| {
        options.output = Some(parts.clone());
        options.name = Some("branch".into());
    })
    .unwrap();
    let main = folder.path().join("culvert.toml");
    let ports = "[[port]]\nname = \"p\"\ndevice = \"net_null0\"\nrole = \"both\"\naddresses = [\"192.0.2.1/24\"]\n";
    std::fs::write(&main, ports).unwrap();
    let machine = Machine { cores: vec![0] };
    let config = config::load_for(&main, std::iter::empty(), &machine).unwrap();
    assert_eq!(config.check(&machine).unwrap(), []);
    let [branch] = config.interfaces.as_slice() else { panic!("{:?}", config.interfaces) };
    assert_eq!((branch.name.as_str(), branch.listen_ports.as_slice()), ("branch", &[51820][..]));
    assert_eq!(to_base64(config.private_key(branch).unwrap().bytes()), KEY);
    assert_eq!(load(branch.peers_file.as_ref().unwrap()).unwrap().changes.peers.len(), 1);
}

#[test]
fn names_are_looked_up_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let peers = format!(
        "[Peer]\nPublicKey = {PEER}\nEndpoint = localhost:7\nEndpoint = ip6-nowhere.invalid:8\nEndpoint = localhost:9\n"
    );
    let said = imported(&folder, &peers, |options| options.resolve = true).unwrap();
    let written = load(&folder.path().join("out/wg7.conf")).unwrap().changes.peers[0].endpoint.unwrap();
    assert!(written.ip().is_loopback() && written.port() == 9, "{written}");
    assert!(said.contains(&format!(":5: Endpoint localhost:9 is {written} now")), "{said}");
    assert!(!said.contains(":3:") && !said.contains(":4:"), "the last one holds: {said}");
    let numeric = peers.replace("Endpoint = localhost:9", "Endpoint = 192.0.2.7:9");
    let again = tempfile::tempdir().unwrap();
    let said = imported(&again, &numeric, |options| options.resolve = true).unwrap();
    assert!(!said.contains("Endpoint"), "{said}");
}

#[test]
fn refusals_name_file_and_line_and_leave_nothing() {
    for (text, name, said) in [
        (
            "[Interface]\nPrivateKey = abc\n",
            None,
            "D/wg7.conf:2: [Interface]: PrivateKey is not the base64 of 32 bytes (44 characters). Make one with wg genkey.",
        ),
        (
            "[Interface]\nMTU = many\n",
            None,
            "D/wg7.conf:2: [Interface]: MTU is not a number of bytes. Write a number such as 1420.",
        ),
        (
            "[Interface]\nAdress = x\n",
            None,
            "D/wg7.conf:2: [Interface]: there is no key \"Adress\". Did you mean Address?",
        ),
        ("[Peer]\nAllowedIPs = 10.0.0.1/32\n", None, "D/wg7.conf:1: [Peer]: PublicKey is missing."),
        (
            "",
            Some("../evil"),
            "D/wg7.conf: the interface \"../evil\" cannot be: \"../evil\" is not a name. Take 1 to 15 letters",
        ),
        (
            "[Interface]\nMTU = 40\n",
            None,
            "D/wg7.conf: the interface \"wg7\" cannot be: 40 is not a number from 68 to 9216",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = imported(&folder, text, |options| options.name = name.map(str::to_owned)).unwrap_err();
        assert!(error.starts_with(said), "{error}");
        assert!(!folder.path().join("out").exists(), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = imported(&folder, "", |options| options.file = folder.path().join("none.conf")).unwrap_err();
    assert!(error.starts_with("D/none.conf: there is no such file. Name a wg-quick file"), "{error}");
    std::fs::write(folder.path().join("bytes.conf"), b"\xff").unwrap();
    let error = imported(&folder, "", |options| options.file = folder.path().join("bytes.conf")).unwrap_err();
    assert_eq!(error, "D/bytes.conf: this is not UTF-8. Save the file as UTF-8.");
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[Interface]\nPrivateKey = {KEY}\n");
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("out/wg7.key"), "mine").unwrap();
    let error = imported(&folder, &text, |_| {}).unwrap_err();
    assert!(error.starts_with("D/out/wg7.key is there already"), "{error}");
    assert_eq!(read(&folder, "wg7.key"), "mine");
    assert!(!folder.path().join("out/wg7.toml").exists());
}

#[test]
fn a_file_without_a_key_says_where_to_put_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = imported(&folder, "[Interface]\nListenPort = 7\n", |_| {}).unwrap();
    assert!(said.contains("there is no PrivateKey: put the key into D/out/wg7.key (chmod 600)"), "{said}");
    assert!(!folder.path().join("out/wg7.key").exists());
}

/// A file of peers with whatever `wg-quick` knows around them.
fn quick_file() -> impl Strategy<Value = String> {
    let endpoint = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| SocketAddr::from((ip, 7))),
        any::<[u16; 8]>().prop_map(|ip| SocketAddr::from((ip, 65_535)))
    ];
    let name = "[a-zA-Zäß=,\\[\\]#][a-zA-Z0-9 =äß#]{0,20}[a-z]";
    let prefix = prop_oneof![
        (any::<[u8; 4]>(), 0u8..=32).prop_map(|(ip, len)| format!("{}/{len}", std::net::Ipv4Addr::from(ip))),
        (any::<[u16; 8]>(), 0u8..=128).prop_map(|(ip, len)| format!("{}/{len}", std::net::Ipv6Addr::from(ip))),
    ];
    let peer = (
        any::<[u8; 32]>(),
        proptest::option::of(any::<[u8; 32]>()),
        proptest::option::of(endpoint),
        proptest::option::of(any::<u16>()),
        proptest::collection::vec(prefix, 0..4),
        proptest::option::of(name),
    );
    let peer = peer.prop_map(|(key, psk, endpoint, keepalive, prefixes, name)| {
        let mut text = format!("[Peer]\nPublicKey = {}\n", to_base64(&key));
        name.iter().for_each(|name| writeln!(text, "# Name = {name}").unwrap());
        psk.iter().for_each(|psk| writeln!(text, "PresharedKey = {}", to_base64(psk)).unwrap());
        endpoint.iter().for_each(|endpoint| writeln!(text, "Endpoint = {endpoint}").unwrap());
        keepalive.iter().for_each(|seconds| writeln!(text, "PersistentKeepalive = {seconds}").unwrap());
        prefixes.iter().for_each(|prefix| writeln!(text, "AllowedIPs = {prefix}").unwrap());
        text
    });
    let head = proptest::sample::select(vec![
        "",
        "[Interface]\nPostUp = x\nMTU = 1400\nFwMark = 9\n",
        "[Interface]\nDNS = 1.1.1.1\nListenPort = 9\n",
    ]);
    (head, proptest::collection::vec(peer, 0..6)).prop_map(|(head, peers)| format!("{head}\n{}", peers.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_imported_reads_as_the_same_peers(text in quick_file()) {
        let folder = tempfile::tempdir().unwrap();
        imported(&folder, &text, |_| {}).unwrap();
        let read = load(&folder.path().join("out/wg7.conf")).unwrap().changes.peers;
        let meant = parse(&text, "wg7.conf").unwrap().changes.peers;
        prop_assert_eq!(read.len(), meant.len());
        for (read, meant) in read.iter().zip(&meant) {
            prop_assert_eq!(read.public_key, meant.public_key);
            prop_assert_eq!(read.preshared_key.as_ref().unwrap().bytes(), meant.preshared_key.as_ref().unwrap().bytes());
            prop_assert_eq!(read.endpoint, meant.endpoint);
            prop_assert_eq!(read.persistent_keepalive, meant.persistent_keepalive);
            prop_assert_eq!(&read.allowed_ips, &meant.allowed_ips);
            prop_assert_eq!(&read.name, &meant.name);
        }
    }
}
