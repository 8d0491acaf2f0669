//! Every form that is taken, every refusal word for word, and a round trip.

use super::*;
use proptest::prelude::*;
use std::fmt::Write;
use std::net::SocketAddr;

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const OTHER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

fn parsed(text: &str) -> ParsedPeers {
    parse(text, "wg0.conf").unwrap()
}

fn warned(parsed: &ParsedPeers) -> Vec<String> {
    parsed.warnings.iter().map(Warning::to_string).collect()
}

fn key(text: &str) -> [u8; 32] {
    *crate::config::keys::from_base64(text).unwrap()
}

#[test]
fn reads_what_wg_reads() {
    let read = parsed(&format!(
        "\u{feff}# a file\r
[interface] # any case\r
privatekey={KEY}\r
LISTENPORT = 51821\r
  FwMark\t=  0xca6c # its mark\r
[Peer]\r
PublicKey = {KEY}\r
PresharedKey = {OTHER}\r
AllowedIPs = 10.0.0.2 , 10.1.2.3/16,, fd00::1/64,\r
allowedips = ::1\r
Endpoint = [2001:db8::1]:7\r
PersistentKeepalive = 25\r

[PEER]
AllowedIPs =
PersistentKeepalive = OFF
PublicKey = {OTHER}"
    ));
    assert_eq!(warned(&read), [""; 0]);
    let changes = read.changes;
    assert!(changes.replace_peers);
    assert_eq!(changes.private_key.unwrap().bytes(), &key(KEY));
    assert_eq!(changes.listen_port, Some(51821));
    assert_eq!(changes.fwmark, Some(0xca6c));
    let [one, two] = changes.peers.as_slice() else {
        panic!("{} peers", changes.peers.len());
    };
    assert_eq!((one.public_key, one.line), (key(KEY), 6));
    assert_eq!(one.preshared_key.as_ref().unwrap().bytes(), &key(OTHER));
    assert_eq!(one.endpoint, Some("[2001:db8::1]:7".parse().unwrap()));
    assert_eq!(one.persistent_keepalive, Some(25));
    let prefixes: Vec<String> = one.allowed_ips.iter().map(|ip| ip.prefix.to_string()).collect();
    assert_eq!(prefixes, ["10.0.0.2/32", "10.1.0.0/16", "fd00::/64", "::1/128"]);
    assert!(one.allowed_ips.iter().all(|ip| !ip.remove));
    assert!(one.replace_allowed_ips && !one.remove && !one.update_only);
    // What the second does not have is as in a fresh interface.
    assert_eq!((two.public_key, two.line), (key(OTHER), 14));
    assert!(two.preshared_key.as_ref().unwrap().is_zero());
    assert_eq!(two.persistent_keepalive, Some(0));
    assert_eq!((two.endpoint, two.allowed_ips.len()), (None, 0));
}

#[test]
fn an_empty_file_is_no_peers() {
    for text in ["", "\n", "# nothing", "[Interface]"] {
        let changes = parsed(text).changes;
        assert!(changes.peers.is_empty() && changes.replace_peers);
        assert!(changes.private_key.is_none() && changes.listen_port.is_none());
    }
}

#[test]
fn names_find_their_peers() {
    let peer = |before: &str, inside: &str| format!("{before}[Peer]\n{inside}PublicKey = {KEY}\n");
    for (text, expected) in [
        (peer("", "# friendly_name = Ann B.\n"), &[Some("Ann B.")][..]),
        (peer("", "#Name=Ann\n"), &[Some("Ann")]),
        (peer("", "") + "# NAME = Ann", &[Some("Ann")]),
        (peer("", "") + "# name = Ann\n# and more", &[Some("Ann")]),
        (peer("# Name = Ann\n", ""), &[Some("Ann")]),
        (peer("# Name = Ann\n\n", ""), &[None]),
        (peer("# Name =\n", "# surname = Ann\n"), &[None]),
        (peer("", "") + &peer("# Name = Bo\n", ""), &[None, Some("Bo")]),
        (peer("", "") + "# Name = Ann\n\n" + &peer("", ""), &[Some("Ann"), None]),
        (peer("", "# Name = Ann\n") + &peer("# Name = Bo\n", ""), &[Some("Ann"), Some("Bo")]),
        (peer("# Name = x\n", "# Name = Ann\n"), &[Some("Ann")]),
    ] {
        let changes = parsed(&text).changes;
        let names: Vec<Option<&str>> = changes.peers.iter().map(|p| p.name.as_deref()).collect();
        assert_eq!(names, expected, "{text}");
    }
    let bad = "# Name = \u{1b}[2J";
    let read = parsed(&peer("", &format!("{bad}\n")));
    assert_eq!(read.changes.peers[0].name, None);
    assert_eq!(
        warned(&read),
        ["wg0.conf:2: [Peer]: the name is longer than 64 characters, or not plain text. The peer goes without it."]
    );
}

/// PROTOCOL A10.10: keys that are wg-quick's.
#[test]
fn warns_of_wg_quick_and_of_what_stands_twice() {
    let read = parsed(&format!(
        "[Interface]
Address = 10.0.0.1/24
postup = iptables -A FORWARD # x
[Peer]
PublicKey = {KEY}
AllowedIPs = 10.0.0.2/32
[Peer]
PublicKey = {OTHER}
AllowedIPs = fd00::/64, 10.0.0.2
[Peer]
PublicKey = {KEY}"
    ));
    assert_eq!(
        warned(&read),
        [
            "wg0.conf:2: [Interface]: Address is wg-quick's and is ignored. What culvertd needs of it goes into culvert.toml.",
            "wg0.conf:3: [Interface]: PostUp is wg-quick's and is ignored. What culvertd needs of it goes into culvert.toml.",
            "wg0.conf:9: [Peer]: 10.0.0.2/32 stands in AllowedIPs of line 6 already. The later one has it; take one of them out.",
            &format!(
                "wg0.conf:10: [Peer]: the peer {KEY} stands at line 4 already. The later one holds; take one of them out."
            ),
        ]
    );
    assert_eq!(read.changes.peers.len(), 3);
}

#[test]
fn counts_what_it_does_not_keep() {
    let mut text = format!("[Peer]\nPublicKey = {KEY}\n");
    text += &"AllowedIPs = ::1\n".repeat(WARNINGS + 6);
    let warnings = parsed(&text).warnings;
    assert_eq!(warnings.len(), WARNINGS + 1);
    assert_eq!(warnings.last().unwrap().to_string(), "wg0.conf: there are 5 more warnings like these.");
}

#[test]
fn says_what_is_wrong() {
    for (text, expected) in [
        ("[Peer]\n", "1: [Peer]: PublicKey is missing. Add a line PublicKey = … below it, or take the section out."),
        (
            "\n[Peer]\nAllowedIPs =\n[Peer]\nPublicKey = K",
            "2: [Peer]: PublicKey is missing. Add a line PublicKey = … below it, or take the section out.",
        ),
        (
            "[Peer]\nPublicKey = K\nPublicKey = K",
            "3: [Peer]: this peer has a PublicKey already. Write [Peer] above every peer.",
        ),
        ("[Peers]", "1: there is no section \"Peers\". The sections are [Interface] and [Peer]."),
        ("PublicKey = K", "1: \"PublicKey\" stands above the first section. Write [Interface] or [Peer] above it."),
        ("[Peer]\nPublicKey", "2: \"PublicKey\" is neither a [section] nor a key. Write key = value."),
        ("[Peer]\nPublickKey = K", "2: [Peer]: there is no key \"PublickKey\". Did you mean PublicKey?"),
        ("[Peer]\nPrivateKey = K", "2: [Peer]: there is no key \"PrivateKey\". PrivateKey belongs into [Interface]."),
        (
            "[Peer]\nfoo = 1",
            "2: [Peer]: there is no key \"foo\". The keys here are PublicKey, PresharedKey, AllowedIPs, Endpoint, PersistentKeepalive.",
        ),
        ("[Interface]\nEndpoint = 1", "2: [Interface]: there is no key \"Endpoint\". Endpoint belongs into [Peer]."),
        (
            "[Interface]\nListenPort = 65536",
            "2: [Interface]: ListenPort \"65536\" is not a port. Write a number from 1 to 65535.",
        ),
        (
            "[Interface]\nListenPort = +1",
            "2: [Interface]: ListenPort \"+1\" is not a port. Write a number from 1 to 65535.",
        ),
        (
            "[Interface]\nListenPort = 0",
            "2: [Interface]: ListenPort \"0\" is not a port. Write a number from 1 to 65535.",
        ),
        (
            "[Interface]\nFwMark = x",
            "2: [Interface]: FwMark \"x\" is not a mark. Write a number, 0x and a number, or off.",
        ),
        (
            "[Interface]\nPrivateKey = secret",
            "2: [Interface]: PrivateKey is not the base64 of 32 bytes (44 characters). Make one with wg genkey.",
        ),
        (
            "[Peer]\nPresharedKey = secret",
            "2: [Peer]: PresharedKey is not the base64 of 32 bytes (44 characters). Make one with wg genpsk.",
        ),
        (
            "[Peer]\nPublicKey = secret",
            "2: [Peer]: PublicKey is not the base64 of 32 bytes (44 characters). Copy it from the peer (wg show, or wg pubkey).",
        ),
        (
            "[Peer]\nPublicKey = K\nAllowedIPs = ::1, 10.0.0.0/33",
            "3: [Peer]: AllowedIPs \"10.0.0.0/33\" is not a prefix. Write it like 10.0.0.2/32 or 2001:db8::2/128, with commas between them.",
        ),
        (
            "[Peer]\nAllowedIPs = -::1",
            "2: [Peer]: AllowedIPs \"-::1\" is not a prefix. Write it like 10.0.0.2/32 or 2001:db8::2/128, with commas between them.",
        ),
        (
            "[Peer]\nEndpoint = vpn.example.org:51820",
            "2: [Peer]: Endpoint \"vpn.example.org:51820\" is not a numeric endpoint. Write the address that `getent ahosts vpn.example.org` prints; culvertd resolves no names.",
        ),
        (
            "[Peer]\nEndpoint = 192.0.2.1",
            "2: [Peer]: Endpoint \"192.0.2.1\" is not an endpoint. Write it like 192.0.2.1:51820 or [2001:db8::1]:51820.",
        ),
        (
            "[Peer]\nEndpoint = 2001:db8::1:51820",
            "2: [Peer]: Endpoint \"2001:db8::1:51820\" is not an endpoint. Write it like 192.0.2.1:51820 or [2001:db8::1]:51820.",
        ),
        (
            "[Peer]\nEndpoint = 192.0.2.1:0",
            "2: [Peer]: Endpoint \"192.0.2.1:0\" is not an endpoint. Port 0 cannot be sent to.",
        ),
        (
            "[Peer]\nEndpoint = [fe80::1%2]:1",
            "2: [Peer]: Endpoint \"[fe80::1%2]:1\" is not an endpoint. Take a global address: a zone is of one machine's own.",
        ),
        (
            "[Peer]\nPersistentKeepalive = 65536",
            "2: [Peer]: PersistentKeepalive \"65536\" is not a number of seconds. Write a number from 0 to 65535, or off.",
        ),
        (
            "[Peer]\nPersistentKeepalive =",
            "2: [Peer]: PersistentKeepalive \"\" is not a number of seconds. Write a number from 0 to 65535, or off.",
        ),
    ] {
        let text = text.replace("= K", &format!("= {KEY}"));
        let error = parse(&text, "wg0.conf").unwrap_err();
        assert_eq!(error.to_string(), format!("wg0.conf:{expected}"), "{text}");
    }
}

#[test]
fn loads_from_a_file() {
    use std::fs::{Permissions, set_permissions, write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wg0.conf");
    let shown = path.display();
    assert_eq!(
        load(&path).unwrap_err().to_string(),
        format!(
            "{shown}: there is no such file. Write it in wg setconf syntax (wg showconf does), or take the key peers_file out."
        )
    );
    write(&path, b"\xff").unwrap();
    let error = load(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("{shown}: this is not UTF-8. Save the file as UTF-8."));
    write(&path, "[Peer]\nPublicKey = x").unwrap();
    assert_eq!(load(&path).unwrap_err().place(), &Place::Line(path.clone(), 2));
    let public = format!("[Peer]\nPublicKey = {KEY}\n");
    for (text, mode, warnings) in [
        (public.clone(), 0o644, 0),
        (format!("{public}PresharedKey = {OTHER}"), 0o644, 1),
        (format!("{public}PresharedKey = {OTHER}"), 0o640, 0),
        (format!("[Interface]\nPrivateKey = {OTHER}"), 0o604, 1),
    ] {
        write(&path, &text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let read = load(&path).unwrap();
        assert_eq!(read.warnings.len(), warnings, "{text} {mode:o}");
        for warning in warned(&read) {
            assert_eq!(
                warning,
                format!(
                    "{shown}: everyone may read the keys in this file (mode {mode:04o}). Close it with: chmod o= {shown}."
                )
            );
        }
    }
}

/// A peer of the round trip: what a file can say of it.
#[derive(Clone, Debug)]
struct Peer {
    public_key: [u8; 32],
    preshared_key: [u8; 32],
    endpoint: Option<SocketAddr>,
    keepalive: u16,
    prefixes: Vec<IpNet>,
    name: Option<String>,
}

/// The round trip's other half.
fn write(peers: &[Peer]) -> String {
    let mut text = "[Interface]\nListenPort = 51820\n".to_string();
    for peer in peers {
        let _ = writeln!(text, "\n[Peer]\nPublicKey = {}", to_base64(&peer.public_key));
        if let Some(name) = &peer.name {
            let _ = writeln!(text, "# friendly_name = {name}");
        }
        let _ = writeln!(text, "PresharedKey = {}", to_base64(&peer.preshared_key));
        if let Some(endpoint) = peer.endpoint {
            let _ = writeln!(text, "Endpoint = {endpoint}");
        }
        let prefixes: Vec<String> = peer.prefixes.iter().map(IpNet::to_string).collect();
        let _ = writeln!(text, "AllowedIPs = {}", prefixes.join(", "));
        let _ = writeln!(text, "PersistentKeepalive = {}", peer.keepalive);
    }
    text
}

fn prefix() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 0u8..=32);
    let v6 = (any::<[u8; 16]>(), 0u8..=128);
    prop_oneof![
        v4.prop_map(|(ip, len)| IpNet::new(ip.into(), len).unwrap().trunc()),
        v6.prop_map(|(ip, len)| IpNet::new(ip.into(), len).unwrap().trunc()),
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
    ];
    let endpoint = (ip, 1u16..).prop_map(SocketAddr::from);
    (
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        proptest::option::of(endpoint),
        any::<u16>(),
        proptest::collection::vec(prefix(), 0..5),
        proptest::option::of("[a-zA-Zäß=,\\[\\]][a-zA-Z0-9 =äß]{0,20}[a-z]"),
    )
        .prop_map(|(public_key, preshared_key, endpoint, keepalive, prefixes, name)| Peer {
            public_key,
            preshared_key,
            endpoint,
            keepalive,
            prefixes,
            name,
        })
}

proptest! {
    #[test]
    fn round_trip(peers in proptest::collection::vec(peer(), 0..8)) {
        let changes = parsed(&write(&peers)).changes;
        prop_assert_eq!(changes.listen_port, Some(51820));
        prop_assert_eq!(changes.peers.len(), peers.len());
        for (read, written) in changes.peers.iter().zip(&peers) {
            prop_assert_eq!(read.public_key, written.public_key);
            prop_assert_eq!(read.preshared_key.as_ref().unwrap().bytes(), &written.preshared_key);
            prop_assert_eq!(read.endpoint, written.endpoint);
            prop_assert_eq!(read.persistent_keepalive, Some(written.keepalive));
            let prefixes: Vec<IpNet> = read.allowed_ips.iter().map(|ip| ip.prefix).collect();
            prop_assert_eq!(&prefixes, &written.prefixes);
            prop_assert_eq!(&read.name, &written.name);
        }
    }

    #[test]
    fn no_text_panics(
        lines in proptest::collection::vec(
            prop_oneof![
                ".*",
                "\\[.{0,4}(Peer|Interface)?.{0,2}\\]",
                "# ?(Name|friendly_name) ?= ?.{0,4}",
                "(PublicKey|AllowedIPs|Endpoint|FwMark|DNS|PresharedKey) ?= ?.{0,45}",
                Just(format!("PublicKey = {KEY}")),
                Just("[Peer]".to_string()),
            ],
            0..12,
        ),
    ) {
        let text = lines.join("\n");
        if let Err(error) = parse(&text, "wg0.conf") {
            prop_assert!(error.to_string().starts_with("wg0.conf:"));
        }
    }
}

/// Not timed, but a quadratic parser would not come back within the test runner's patience.
#[test]
fn many_peers() {
    let peers: u32 = if cfg!(debug_assertions) { 20_000 } else { 500_000 };
    let mut text = String::new();
    for n in 0..peers {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        let _ = writeln!(
            text,
            "[Peer]\nPublicKey = {}\nAllowedIPs = {ip}/32, fd00::{:x}:{:x}/128\nEndpoint = 192.0.2.1:{}\n",
            to_base64(&key),
            n >> 16,
            n & 0xffff,
            1 + n % 65_000,
        );
    }
    let read = parsed(&text);
    assert_eq!(read.changes.peers.len(), peers as usize);
    assert_eq!(warned(&read), [""; 0]);
    // All of them name one prefix: every line warns.
    let read = parsed(&text.replace("AllowedIPs", "AllowedIPs = ::/0,").replace(", = ", ", "));
    assert_eq!(read.warnings.len(), WARNINGS + 1);
    assert_eq!(read.changes.peers.last().unwrap().allowed_ips.len(), 3);
}

/// Nor where it was pasted into the wrong line.
#[test]
fn no_message_shows_a_key_wherever_it_stands() {
    let interface =
        ["ListenPort = @", "FwMark = @", "PrivatKey = @", "PrivateKey: @", "PrivateKey @", "@", "@ = 1", "[@]"];
    let peer = ["Endpoint = @", "Endpoint = @:51820", "AllowedIPs = @", "PersistentKeepalive = @", "PresharedKey @"];
    let lines = interface.map(|line| ("Interface", line)).into_iter().chain(peer.map(|line| ("Peer", line)));
    for (section, line) in lines {
        for secret in [KEY, &"5a".repeat(32), &KEY[..41]] {
            let text = format!("[{section}]\n{}\n", line.replace('@', secret));
            let said = parse(&text, "wg0.conf").unwrap_err().to_string();
            assert!(!said.contains(&secret[..20]), "{said}");
        }
    }
}
