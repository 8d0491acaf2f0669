//! The parser: what it takes, what it refuses, and that nothing of a bad body comes out.

use super::device::{DeviceView, Errno, PeerView};
use super::parse::{Bounds, Operation, ParseError, Parser, Reason};
use super::write::GetReply;
use crate::control::change::{AllowedIpChange, ChangeSet, PeerChange, SecretKey};
use proptest::prelude::*;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const BOUNDS: Bounds = Bounds { peers: 1000, body_bytes: 1 << 20 };

type Outcome = Result<Operation, ParseError>;

/// All operations of `bytes`, fed in pieces of `step`.
fn operations(bytes: &[u8], step: usize) -> Vec<Outcome> {
    let mut parser = Parser::new(BOUNDS);
    let mut outcomes = Vec::new();
    for mut piece in bytes.chunks(step) {
        while !piece.is_empty() {
            let (used, outcome) = parser.feed(piece);
            assert!(used > 0 && (outcome.is_some() || used == piece.len()));
            piece = &piece[used..];
            outcomes.extend(outcome);
        }
    }
    outcomes
}

fn one(text: &str) -> Outcome {
    let mut outcomes = operations(text.as_bytes(), usize::MAX);
    assert_eq!(outcomes.len(), 1, "{text:?}");
    outcomes.remove(0)
}

fn set(body: &str) -> Result<ChangeSet, Reason> {
    match one(&format!("set=1\n{body}\n")) {
        Ok(Operation::Set(change)) => Ok(change),
        Ok(Operation::Get) => panic!("a set was read as a get"),
        Err(error) => Err(error.reason),
    }
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// A body with one peer, and this line.
fn peer_line(line: &str) -> Result<PeerChange, Reason> {
    set(&format!("public_key={}\n{line}\n", hex(1))).map(|mut change| change.peers.remove(0))
}

/// PROTOCOL A10.3: its keys.
#[test]
fn every_key_of_the_interface() {
    let body =
        format!("private_key={}\nlisten_port=65535\nfwmark=4294967295\nreplace_peers=true\n", hex(0xab).to_uppercase());
    let change = set(&body).unwrap();
    assert_eq!(change.private_key.unwrap().bytes(), &[0xab; 32]);
    assert_eq!(change.listen_port, Some(65535));
    assert_eq!(change.fwmark, Some(u32::MAX));
    assert!(change.replace_peers);
    assert!(change.peers.is_empty());

    let nothing = set("").unwrap();
    assert!(nothing.private_key.is_none() && nothing.listen_port.is_none());
    assert!(nothing.fwmark.is_none() && !nothing.replace_peers);
    assert!(set(&format!("private_key={}\n", hex(0))).unwrap().private_key.unwrap().is_zero());
}

/// PROTOCOL A10.4: its keys.
#[test]
fn every_key_of_a_peer() {
    let body = format!(
        "public_key={}\nupdate_only=true\npreshared_key={}\nendpoint=[2001:db8::1]:7\n\
         persistent_keepalive_interval=25\nallowed_ip=1.1.1.1/32\nreplace_allowed_ips=true\n\
         allowed_ip=10.9.8.7/8\nallowed_ip=-2001:db8::1/64\nprotocol_version=1\n\
         public_key={}\nremove=true\n",
        hex(1),
        hex(2),
        hex(3),
    );
    let change = set(&body).unwrap();
    let [first, second] = change.peers.as_slice() else { panic!("{change:?}") };
    assert_eq!(first.public_key, [1; 32]);
    assert!(first.update_only && first.replace_allowed_ips && !first.remove);
    assert_eq!(first.preshared_key.as_ref().unwrap().bytes(), &[2; 32]);
    assert_eq!(first.endpoint, Some("[2001:db8::1]:7".parse().unwrap()));
    assert_eq!(first.persistent_keepalive, Some(25));
    let prefix = |text: &str, remove| AllowedIpChange { prefix: text.parse().unwrap(), remove };
    // Host bits are cleared, and what came before replace_allowed_ips is gone.
    assert_eq!(first.allowed_ips, [prefix("10.0.0.0/8", false), prefix("2001:db8::/64", true)]);
    assert_eq!((first.line, second.line), (2, 12));
    assert_eq!(second.public_key, [3; 32]);
    assert!(second.remove && !second.update_only && !second.replace_allowed_ips);
    assert!(second.preshared_key.is_none() && second.endpoint.is_none());
}

/// PROTOCOL A10.5: unknown keys, booleans.
/// PROTOCOL A10.3: keys of the interface after a peer.
#[test]
fn bad_lines_are_refused_with_a_reason_and_a_number() {
    let short_key = format!("private_key={}", &hex(1)[1..]);
    let long_key = format!("private_key={}01", hex(1));
    let bad_digit = format!("private_key={}g", &hex(1)[1..]);
    let peer = format!("public_key={}\n", hex(1));
    let private_key = format!("{peer}private_key={}", hex(1));
    let cases: &[(&str, Reason)] = &[
        (&short_key, Reason::BadValue("private_key")),
        (&long_key, Reason::BadValue("private_key")),
        (&bad_digit, Reason::BadValue("private_key")),
        ("private_key=", Reason::BadValue("private_key")),
        ("public_key=AAAA", Reason::BadValue("public_key")),
        ("listen_port=65536", Reason::BadValue("listen_port")),
        ("listen_port=-1", Reason::BadValue("listen_port")),
        ("listen_port=", Reason::BadValue("listen_port")),
        ("listen_port=1 ", Reason::BadValue("listen_port")),
        ("listen_port=1\r", Reason::BadValue("listen_port")),
        ("fwmark=4294967296", Reason::BadValue("fwmark")),
        ("fwmark=0x1", Reason::BadValue("fwmark")),
        ("replace_peers=false", Reason::BadValue("replace_peers")),
        ("replace_peers=True", Reason::BadValue("replace_peers")),
        ("replace_peers=1", Reason::BadValue("replace_peers")),
        ("listen-port=1", Reason::UnknownKey),
        ("=1", Reason::UnknownKey),
        ("Listen_port=1", Reason::UnknownKey),
        // Keys of a peer before the first one, and of the interface after it.
        ("allowed_ip=10.0.0.0/8", Reason::UnknownKey),
        ("remove=true", Reason::UnknownKey),
        (&private_key, Reason::UnknownKey),
        ("get=1", Reason::UnknownKey),
        ("listen_port", Reason::NotKeyValue),
        (" ", Reason::NotKeyValue),
        ("\0", Reason::NotKeyValue),
    ];
    for (body, reason) in cases {
        assert_eq!(set(&format!("{body}\n")).unwrap_err(), *reason, "{body:?}");
    }
    for line in [
        "remove=false",
        "update_only=",
        "replace_allowed_ips=yes",
        "endpoint=192.0.2.1",
        "endpoint=host:1",
        "endpoint=",
        "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=off",
        "allowed_ip=10.0.0.0/33",
        "allowed_ip=10.0.0.0",
        "allowed_ip=--10.0.0.0/8",
        "allowed_ip=-",
        "preshared_key=0",
        "protocol_version=2",
    ] {
        let (key, _) = line.split_once('=').unwrap();
        let reason = peer_line(line).unwrap_err();
        assert!(matches!(reason, Reason::BadValue(named) if named == key), "{line}: {reason}");
    }
    for line in ["listen_port=1", "replace_peers=true", "rx_bytes=1", "last_handshake_time_sec=1"] {
        assert_eq!(peer_line(line).unwrap_err(), Reason::UnknownKey, "{line}");
    }
}

/// PROTOCOL A10.6: read to the blank line.
#[test]
fn the_body_is_read_to_its_end_after_an_error() {
    let text = format!("set=1\nlisten_port=bad\npublic_key={}\nlisten_port=9\n\nget=1\n\nset=1\nfwmark=3\n\n", hex(1));
    for step in [1, 2, 3, 7, 64, usize::MAX] {
        let outcomes = operations(text.as_bytes(), step);
        let [Err(error), Ok(Operation::Get), Ok(Operation::Set(change))] = outcomes.as_slice() else {
            panic!("{outcomes:?}")
        };
        assert_eq!(error.line, 2);
        assert_eq!(error.errno(), Errno::INVAL);
        assert!(!error.get);
        assert_eq!((change.listen_port, change.fwmark), (None, Some(3)));
        assert!(change.peers.is_empty());
    }
}

#[test]
fn other_operations_are_refused() {
    for text in ["\n", "get=2\n\n", "set=1 \n\n", "GET / HTTP/1.1\r\n\r\n\n", "set\nlisten_port=1\n\n"] {
        let error = one(text).unwrap_err();
        assert_eq!((error.reason, error.errno()), (Reason::UnknownOperation, Errno::PROTO), "{text:?}");
    }
    let error = one("get=1\nlisten_port=1\n\n").unwrap_err();
    assert_eq!(error.reason, Reason::UnknownKey);
    assert!(error.get, "wg reads only digits in the answer to a get");
}

#[test]
fn a_line_of_a_megabyte_is_refused_and_not_kept() {
    let long = "x".repeat(1 << 19);
    for body in [format!("{long}\n"), format!("private_key={long}\n"), format!("listen_port={}1\n", "0".repeat(1020))] {
        assert_eq!(set(&body).unwrap_err(), Reason::LineTooLong);
        let text = format!("set=1\n{body}\nget=1\n\n");
        for step in [1000, 65536] {
            let outcomes = operations(text.as_bytes(), step);
            assert!(matches!(outcomes.as_slice(), [Err(_), Ok(Operation::Get)]), "{outcomes:?}");
        }
    }
    // Just fits, in one piece or in two.
    let fits = format!("set=1\nlisten_port={}1\n\n", "0".repeat(1011));
    for step in [500, usize::MAX] {
        let outcomes = operations(fits.as_bytes(), step);
        assert!(matches!(outcomes.as_slice(), [Ok(Operation::Set(_))]), "{outcomes:?}");
    }
    assert!(matches!(one(&format!("{long}\n\n")), Err(ParseError { reason: Reason::UnknownOperation, .. })));
}

#[test]
fn peers_and_bytes_are_bounded() {
    let peer = format!("public_key={}\n", hex(7));
    assert_eq!(set(&peer.repeat(1000)).unwrap().peers.len(), 1000);
    assert_eq!(set(&peer.repeat(1001)).unwrap_err(), Reason::TooManyPeers);
    let line = "allowed_ip=10.0.0.0/8\n";
    let lines = line.repeat((1 << 20) / line.len() + 1);
    assert_eq!(peer_line(lines.trim_end()).unwrap_err(), Reason::BodyTooLarge);
    // The bound is for one body, not for the connection.
    let sets = format!("set=1\n{peer}\n").repeat(20_000);
    assert!(operations(sets.as_bytes(), 4096).iter().all(Result::is_ok));
}

#[test]
fn an_operation_can_be_given_up() {
    let mut parser = Parser::new(BOUNDS);
    assert!(parser.is_idle());
    let (_, none) = parser.feed(b"set=1\nlisten_port=7\nfwma");
    assert!(none.is_none() && !parser.is_idle());
    let error = parser.abandon(Reason::Truncated);
    assert_eq!((error.line, error.reason), (2, Reason::Truncated));
    assert!(parser.is_idle());
    let (_, outcome) = parser.feed(b"set=1\n\n");
    let Some(Ok(Operation::Set(change))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(change.listen_port, None, "left over from what was given up");

    // What was wrong first is what is said.
    let (_, none) = parser.feed(b"set=1\nbad\n");
    assert!(none.is_none());
    parser.reject(Reason::Busy);
    let (_, outcome) = parser.feed(b"\n");
    assert_eq!(outcome.unwrap().unwrap_err().reason, Reason::NotKeyValue);
}

#[test]
fn errors_and_debug_texts_hold_no_key() {
    let secret = hex(0x5a);
    let mut shown = String::new();
    let cut = &secret[1..];
    for body in [
        format!("private_key={cut}"),
        format!("{secret}=1"),
        secret.clone(),
        format!("public_key={secret}\npreshared_key={cut}"),
    ] {
        let error = one(&format!("set=1\n{body}\n\n")).unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
    }
    let mut parser = Parser::new(BOUNDS);
    let (_, none) = parser.feed(format!("set=1\nprivate_key={secret}\nlisten_port={cut}").as_bytes());
    assert!(none.is_none());
    write!(shown, "{parser:?} {:?}", set(&format!("private_key={secret}\n"))).unwrap();
    for text in [&secret[..8], "90, 90, 90"] {
        assert!(!shown.contains(text), "{shown}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000), step in 1..100_usize) {
        operations(&bytes, step);
    }

    #[test]
    fn cutting_changes_nothing(lines in proptest::collection::vec(line(), 0..40), step in 1..200_usize) {
        let text = lines.concat();
        let show = |step| format!("{:?}", operations(text.as_bytes(), step));
        prop_assert_eq!(show(step), show(usize::MAX));
    }

    #[test]
    fn a_bad_line_anywhere_means_no_change(
        mut lines in proptest::collection::vec(good_peer_line(), 0..40),
        bad in bad_line(),
        at in any::<prop::sample::Index>(),
    ) {
        lines.insert(0, format!("public_key={}\n", hex(1)));
        prop_assert!(set(&lines.concat()).is_ok());
        let at = at.index(lines.len() + 1);
        lines.insert(at, bad);
        prop_assert!(set(&lines.concat()).is_err());
    }

    #[test]
    fn what_is_written_reads_back(device in device_view(), peers in proptest::collection::vec(peer_view(), 0..8)) {
        let mut text = b"set=1\n".to_vec();
        let mut reply = GetReply::new(&mut text);
        reply.device(&device).unwrap();
        for peer in &peers {
            reply.peer(peer).unwrap();
        }
        reply.finish().unwrap();
        // What only `get` shows is no key of `set`.
        let counters = ["rx_bytes=", "tx_bytes=", "last_handshake_time_", "errno="];
        let body: String = String::from_utf8(text).unwrap().split_inclusive('\n')
            .filter(|line| !counters.iter().any(|key| line.starts_with(key)))
            .collect();
        let Ok(Operation::Set(change)) = one(&body) else { panic!("{body}") };
        let key = |key: Option<&SecretKey>| key.filter(|key| !key.is_zero()).map(|key| *key.bytes());
        prop_assert_eq!(key(change.private_key.as_ref()), key(device.private_key.as_ref()));
        prop_assert_eq!(change.listen_port.unwrap_or(0), device.listen_port);
        prop_assert_eq!(change.fwmark.unwrap_or(0), device.fwmark);
        prop_assert_eq!(change.peers.len(), peers.len());
        for (read, written) in change.peers.iter().zip(&peers) {
            prop_assert_eq!(read.public_key, written.public_key);
            prop_assert_eq!(key(read.preshared_key.as_ref()), key(written.preshared_key.as_ref()));
            prop_assert_eq!(read.endpoint, written.endpoint);
            prop_assert_eq!(read.persistent_keepalive, Some(written.persistent_keepalive));
            let prefixes: Vec<_> = read.allowed_ips.iter().map(|allowed| allowed.prefix).collect();
            prop_assert_eq!(&prefixes, &written.allowed_ips);
            prop_assert!(read.allowed_ips.iter().all(|allowed| !allowed.remove));
        }
    }
}

fn good_peer_line() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u8>().prop_map(|byte| format!("public_key={}\n", hex(byte))),
        any::<u8>().prop_map(|byte| format!("preshared_key={}\n", hex(byte))),
        any::<SocketAddr>().prop_map(|address| format!("endpoint={}\n", without_flow(address))),
        (any::<IpAddr>(), 0..=32_u8, any::<bool>()).prop_map(|(address, length, remove)| {
            format!("allowed_ip={}{address}/{length}\n", if remove { "-" } else { "" })
        }),
        any::<u16>().prop_map(|seconds| format!("persistent_keepalive_interval={seconds}\n")),
        Just("remove=true\n".to_owned()),
        Just("update_only=true\n".to_owned()),
        Just("replace_allowed_ips=true\n".to_owned()),
    ]
}

fn bad_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("allowed_ip=10.0.0.0/99\n".to_owned()),
        Just("remove=false\n".to_owned()),
        Just("nonsense\n".to_owned()),
        Just(format!("preshared_key={}0\n", hex(1))),
        // No known key holds a capital letter.
        "[A-Z]{1,20}=[a-z0-9]{0,20}\n",
        "x{1025,3000}\n",
    ]
}

/// Any line that may stand in a conversation, the ends of operations among them.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("set=1\n".to_owned()),
        1 => Just("get=1\n".to_owned()),
        2 => Just("\n".to_owned()),
        4 => good_peer_line(),
        1 => bad_line(),
    ]
}

/// UAPI has no flow label.
fn without_flow(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address {
        v6.set_flowinfo(0);
    }
    address
}

fn device_view() -> impl Strategy<Value = DeviceView> {
    (any::<Option<[u8; 32]>>(), any::<u16>(), any::<u32>()).prop_map(|(key, listen_port, fwmark)| DeviceView {
        private_key: key.map(|key| SecretKey::new(&key)),
        listen_port,
        fwmark,
    })
}

fn peer_view() -> impl Strategy<Value = PeerView> {
    let prefix =
        (any::<IpAddr>(), 0..=32_u8).prop_map(|(address, length)| ipnet::IpNet::new(address, length).unwrap().trunc());
    (
        any::<[u8; 32]>(),
        any::<Option<[u8; 32]>>(),
        any::<Option<SocketAddr>>(),
        any::<(u16, u64, u64, Option<Duration>)>(),
        proptest::collection::vec(prefix, 0..5),
    )
        .prop_map(|(public_key, preshared_key, endpoint, numbers, allowed_ips)| PeerView {
            public_key,
            preshared_key: preshared_key.map(|key| SecretKey::new(&key)),
            endpoint: endpoint.map(without_flow),
            persistent_keepalive: numbers.0,
            rx_bytes: numbers.1,
            tx_bytes: numbers.2,
            last_handshake: numbers.3,
            allowed_ips,
        })
}

/// A measurement, not a test: `cargo test -- --ignored --nocapture`, with optimisation.
#[test]
#[ignore = "prints how long 500,000 peers take"]
fn half_a_million_peers() {
    for peers in [125_000_u32, 250_000, 500_000] {
        let mut body = String::from("set=1\nreplace_peers=true\n");
        for number in 0..peers {
            let [_, a, b, c] = number.to_be_bytes();
            writeln!(
                body,
                "public_key={number:064x}\npreshared_key={number:064X}\nreplace_allowed_ips=true\n\
                 endpoint=198.51.{b}.{c}:{}\nallowed_ip=10.{a}.{b}.{c}/32\nallowed_ip=2001:db8::{a:x}:{b:x}{c:02x}/128",
                number % 65536
            )
            .unwrap();
        }
        body.push('\n');
        let start = std::time::Instant::now();
        let mut parser = Parser::new(Bounds::for_peers(500_000));
        let mut outcome = None;
        for piece in body.as_bytes().chunks(65536) {
            outcome = parser.feed(piece).1;
        }
        let took = start.elapsed();
        let Some(Ok(Operation::Set(change))) = outcome else { panic!("{outcome:?}") };
        assert_eq!(change.peers.len(), peers as usize);
        println!("{peers} peers, {} bytes: {took:?}", body.len());
    }
}
