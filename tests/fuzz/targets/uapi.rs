//! The `wg` socket: the same bytes in any pieces mean the same; what is taken comes back when it is written as a `set`;
//! an interface takes all of it, or is as before. The first byte is the length of the pieces.

use crate::harness::{Gateway, Options};
use culvert::control::change::{ChangeSet, SecretKey};
use culvert::control::interface::WgDevice;
use culvert::control::uapi::{Bounds, Device, GetReply, Operation, ParseError, Parser, PeerView};
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

/// So few that an input can be too much.
const MAX_PEERS: u32 = 4;

thread_local! {
    static GATEWAY: RefCell<Option<Gateway>> = const { RefCell::new(None) };
}

pub(crate) fn run(data: &[u8]) {
    let Some((piece, body)) = data.split_first() else { return };
    let (operations, idle) = parsed(body, body.len().max(1));
    let shown: Vec<_> = operations.iter().map(show).collect();
    let (in_pieces, idle_too) = parsed(body, usize::from(*piece).max(1));
    assert_eq!(shown, in_pieces.iter().map(show).collect::<Vec<_>>());
    assert_eq!(idle, idle_too);
    // A blank line ends an operation, and nothing else does.
    let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let rest = lines.pop().unwrap_or_default();
    assert_eq!(operations.len(), lines.iter().filter(|line| line.is_empty()).count());
    assert_eq!(idle, rest.is_empty() && lines.last().is_none_or(|line| line.is_empty()));

    for operation in operations {
        let Ok(Operation::Set(change)) = operation else { continue };
        let written = written(&change);
        let (again, _) = parsed(written.as_bytes(), written.len());
        assert_eq!(again.iter().map(show).collect::<Vec<_>>(), [Ok(Some(written))]);
        GATEWAY.with_borrow_mut(|gateway| all_or_nothing(gateway.get_or_insert_with(fresh_gateway), change));
    }
}

type Outcome = Result<Operation, ParseError>;

fn parsed(mut body: &[u8], piece: usize) -> (Vec<Outcome>, bool) {
    let mut parser = Parser::new(Bounds { peers: 8, body_bytes: 4096 });
    let mut outcomes = Vec::new();
    while !body.is_empty() {
        let now = &body[..piece.min(body.len())];
        let (used, outcome) = parser.feed(now);
        assert!(used == now.len() || outcome.is_some());
        outcomes.extend(outcome);
        body = &body[used..];
    }
    (outcomes, parser.is_idle())
}

/// What it says: a change by its text.
fn show(outcome: &Outcome) -> Result<Option<String>, ParseError> {
    match outcome {
        Ok(Operation::Get) => Ok(None),
        Ok(Operation::Set(change)) => Ok(Some(written(change))),
        Err(error) => Err(*error),
    }
}

/// The change as one `set`.
fn written(change: &ChangeSet) -> String {
    let mut text = String::from("set=1\n");
    let hex = |bytes: &[u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").unwrap();
    let key = |key: &SecretKey| hex(key.bytes());
    change.private_key.iter().for_each(|k| line(format_args!("private_key={}", key(k))));
    change.listen_port.iter().for_each(|port| line(format_args!("listen_port={port}")));
    change.fwmark.iter().for_each(|mark| line(format_args!("fwmark={mark}")));
    if change.replace_peers {
        line(format_args!("replace_peers=true"));
    }
    for peer in &change.peers {
        line(format_args!("public_key={}", hex(&peer.public_key)));
        let flags = [
            ("remove", peer.remove),
            ("update_only", peer.update_only),
            ("replace_allowed_ips", peer.replace_allowed_ips),
        ];
        flags.iter().filter(|flag| flag.1).for_each(|flag| line(format_args!("{}=true", flag.0)));
        peer.preshared_key.iter().for_each(|psk| line(format_args!("preshared_key={}", key(psk))));
        peer.endpoint.iter().for_each(|endpoint| line(format_args!("endpoint={endpoint}")));
        let keepalive = peer.persistent_keepalive.iter();
        keepalive.for_each(|seconds| line(format_args!("persistent_keepalive_interval={seconds}")));
        for allowed in &peer.allowed_ips {
            assert_eq!(allowed.prefix, allowed.prefix.trunc());
            line(format_args!("allowed_ip={}{}", if allowed.remove { "-" } else { "" }, allowed.prefix));
        }
    }
    text + "\n"
}

fn fresh_gateway() -> Gateway {
    let mut gateway = Gateway::with(&Options { max_peers: MAX_PEERS, ..Options::default() });
    // It lives as long as the thread, and is never taken down.
    gateway.guard.finished = true;
    gateway
}

/// A `set` that is refused changes nothing; one that is taken leaves what `get` can show, each peer once.
fn all_or_nothing(gateway: &mut Gateway, change: ChangeSet) {
    let before = got(gateway);
    let named: Vec<_> = change.peers.iter().map(|peer| (peer.public_key, peer.remove)).collect();
    match gateway.apply(change) {
        Err(_) => assert_eq!(got(gateway), before),
        Ok(()) => {
            let shown = got(gateway);
            let keys: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("public_key=")).collect();
            assert!(keys.len() <= MAX_PEERS as usize);
            let mut unique = keys.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), keys.len());
            // The last word on a peer holds.
            for (at, (key, removed)) in named.iter().enumerate() {
                if *removed && !named[at + 1..].iter().any(|(later, _)| later == key) {
                    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                    assert!(!keys.contains(&hex.as_str()));
                }
            }
            // As it was at first, but for the port.
            let private_key = Some(SecretKey::new(&[0xaa; 32]));
            gateway.apply(ChangeSet { replace_peers: true, private_key, ..ChangeSet::default() }).unwrap();
            gateway.settle();
            gateway.frames();
        }
    }
}

/// What `get` answers.
fn got(gateway: &Gateway) -> String {
    let (view, mut peers) = WgDevice(Arc::clone(&gateway.interface)).get().unwrap();
    let mut out = Vec::new();
    let mut reply = GetReply::new(&mut out);
    reply.device(&view).unwrap();
    let mut peer = PeerView::default();
    while peers.next(&mut peer) {
        reply.peer(&peer).unwrap();
    }
    reply.finish().unwrap();
    String::from_utf8(out).unwrap()
}
