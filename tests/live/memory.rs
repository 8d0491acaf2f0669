//! Keys are gone when they should be (TESTING, row A25 and section 4.3): culvertd's memory, all of it, is searched for
//! the second half of each key, since `free` alone overwrites the first. The keys are known to a client of our own, and
//! from the key log.

use crate::bench::{Bench, bench_with, eventually};
use culvert::aead::{Backend, Job, TAG_LEN};
use culvert::cli::lab::{GATEWAY_V4, LISTEN_PORT, Options};
use culvert::config::keys::{from_base64, to_base64};
use culvert::noise::{HandshakeState, Identity, PeerStatic, SessionSecrets, Tai64N, os_random};
use std::fs::File;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long keys may be found after they should be gone.
const WIPED: Duration = Duration::from_secs(20);
/// Read at a time.
const CHUNK: usize = 1 << 20;

/// Bytes that are looked at together: those that are all zero hold no key.
const PAGE: usize = 4096;

/// Where the second half of each key stands in the memory of a process. Needs root.
fn hits<const N: usize>(process: u32, keys: &[[u8; 32]; N]) -> [Vec<String>; N] {
    let halves: [[u8; 16]; N] = keys.map(|key| *key.last_chunk().unwrap());
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let (mut hits, mut searched) = ([const { Vec::new() }; N], 0);
    let mut buffer = vec![0; CHUNK + 15];
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        // The kernel's own pages cannot be read that way.
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let mut at = start;
        while at < end {
            let wanted = buffer.len().min(usize::try_from(end - at).unwrap());
            // Pages beyond a file's end are not readable.
            let Ok(len) = memory.read_at(&mut buffer[..wanted], at) else { break };
            searched += len;
            for (page, from) in (0..len).step_by(PAGE).map(|from| (&buffer[from..len.min(from + PAGE + 15)], from)) {
                if page.iter().all(|byte| *byte == 0) {
                    continue;
                }
                for (half, hits) in halves.iter().zip(&mut hits) {
                    let found = (0..PAGE.min(page.len())).filter(|place| page[*place..].starts_with(half));
                    hits.extend(found.map(|place| format!("{:x} {rest}", at + (from + place) as u64)));
                }
            }
            // What lies across two chunks is whole in one of them.
            at += if len == buffer.len() { CHUNK } else { len.max(1) } as u64;
        }
    }
    assert!(searched > 1 << 20, "only {searched} bytes could be read");
    hits
}

/// A client that knows its keys.
struct Known {
    identity: Identity,
    psk: [u8; 32],
    socket: UdpSocket,
}

impl Known {
    fn new(bench: &Bench, private: &[u8; 32], psk: [u8; 32]) -> Self {
        // Its packets leave by client 1's uplink.
        let socket = bench.client(1).namespace().enter(|| UdpSocket::bind("198.18.1.2:0")).unwrap();
        socket.connect((GATEWAY_V4, LISTEN_PORT)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { identity: Identity::new(private), psk, socket }
    }

    /// A handshake, and a first message that confirms it.
    fn connect(&self, gateway: &[u8; 32]) -> SessionSecrets {
        let server = PeerStatic::new(&self.identity, gateway).unwrap();
        let mut state = HandshakeState::new();
        let time = Tai64N::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let initiation = state.create_initiation(&self.identity, &server, 77, time, 0, &mut os_random).unwrap();
        self.socket.send(&initiation).unwrap();
        let mut buffer = [0; 2048];
        let len = self.socket.recv(&mut buffer).unwrap();
        let response = buffer[..len].try_into().unwrap();
        let secrets = state.consume_response(&self.identity, &self.psk, response).unwrap();
        let mut tag = [0; TAG_LEN];
        let mut jobs = [Job::new(&secrets.send, 0, &mut tag)];
        Backend::Portable.cipher().seal(&mut jobs);
        let header = [&[4, 0, 0, 0], &secrets.remote_index.to_le_bytes()[..], &[0; 8]].concat();
        self.socket.send(&[header, tag.to_vec()].concat()).unwrap();
        secrets
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    os_random(&mut bytes);
    bytes
}

#[test]
fn keys_are_gone_from_memory() {
    let (private, psk) = (random(), random());
    let public = to_base64(Identity::new(&private).public_key());
    let bench = bench_with(1, |lab| Options { key_log: Some(lab.file("keys")), ..Options::default() });
    let file = bench.lab.write("psk", &to_base64(&psk)).unwrap();
    let (interface, file) = (bench.gateway.interface().to_owned(), file.to_string_lossy().into_owned());
    let wg = |words: &[&str]| bench.gateway.wg(&[&["set", &interface], words].concat()).unwrap();
    wg(&["peer", &public, "preshared-key", &file, "allowed-ips", "10.9.0.77/32"]);

    let own = *from_base64(&bench.lab.gateway_keys().private).unwrap();
    let known = Known::new(&bench, &private, psk);
    let secrets = known.connect(Identity::new(&own).public_key());
    let handshakes = || bench.gateway.wg(&["show", &interface, "latest-handshakes"]).unwrap();
    eventually("the session is confirmed", || {
        handshakes().lines().any(|line| line.starts_with(&public) && !line.ends_with("\t0"))
    });
    let log = std::fs::read_to_string(bench.lab.file("keys")).unwrap();
    let ephemeral = log.lines().find_map(|line| line.strip_prefix("LOCAL_EPHEMERAL_PRIVATE_KEY = ")).unwrap();
    let ephemeral = *from_base64(ephemeral).unwrap();

    let keys = [*secrets.send.bytes(), *secrets.receive.bytes(), psk, own, ephemeral];
    let search = || hits(bench.gateway.id(), &keys);
    // What is in use is found: the search can find.
    let [send, receive, preshared, private_key, gone] = search();
    assert!([&send, &receive, &preshared, &private_key].iter().all(|places| !places.is_empty()));
    assert!(gone.is_empty(), "the ephemeral key after the handshake: {gone:?}");

    // The data cores' grace period comes first, and the answer to `wg` before that.
    wg(&["peer", &public, "remove"]);
    wg(&["private-key", "/dev/null"]);
    let (names, deadline) = (["send", "receive", "preshared", "private", "ephemeral"], Instant::now() + WIPED);
    let left = loop {
        let left: Vec<_> = names.into_iter().zip(search()).filter(|(_, places)| !places.is_empty()).collect();
        if left.is_empty() || Instant::now() > deadline {
            break left;
        }
    };
    assert_eq!(left, [], "after the peer's removal, and our key's");
    bench.finish();
}

/// By `peer add`, `peers save` and `reload`: the text of a preshared key is wiped at once, and the key with its peer.
#[test]
fn a_preshared_key_of_the_control_socket_is_gone_from_memory() {
    let (private, psk) = (random(), random());
    let public = to_base64(Identity::new(&private).public_key());
    let text = to_base64(&psk);
    let bench = bench_with(1, |_| Options::default());
    let file = bench.lab.write("psk", &text).unwrap();
    let culvert = |words: &[&str]| bench.gateway.culvert(words).unwrap();
    let file = file.to_string_lossy();
    // The last 32 characters of the text: of these the second half is looked for.
    let keys = [psk, *text.trim_end_matches('=').as_bytes().last_chunk().unwrap()];
    let search = || hits(bench.gateway.id(), &keys);
    let text_goes = |what: &str| {
        let deadline = Instant::now() + WIPED;
        while let [_, text] = search()
            && !text.is_empty()
        {
            assert!(Instant::now() < deadline, "the text after {what}: {text:?}");
        }
    };
    culvert(&["peer", "add", &public, "name", "kept", "allowed-ips", "10.9.0.77/32", "preshared-key-file", &file]);
    let [key, _] = search();
    assert!(!key.is_empty(), "what is in use is found: the search can find");
    text_goes("peer add");
    culvert(&["peers", "save"]);
    text_goes("peers save");
    culvert(&["reload"]);
    text_goes("reload");
    culvert(&["peer", "remove", "kept"]);
    let deadline = Instant::now() + WIPED;
    while let [key, _] = search()
        && !key.is_empty()
    {
        assert!(Instant::now() < deadline, "after the peer's removal: {key:?}");
    }
    bench.finish();
}
