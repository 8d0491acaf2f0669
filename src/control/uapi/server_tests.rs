//! The socket under clients that speak well, badly, slowly, or not at all (TESTING A26).

use super::device::PeerView;
use super::server::{Limits, UapiServer};
use super::socket::UapiError;
use super::test_device::TestDevice;
use crate::control::change::SecretKey;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// None of the tests that use it waits for any of these.
const NEVER: Duration = Duration::from_secs(3600);
const PATIENT: Limits = Limits {
    threads: 2,
    connections: 64,
    large_bodies: 1,
    idle: NEVER,
    stall: NEVER,
    operation: NEVER,
    tick: Duration::from_millis(10),
};

struct Fixture {
    device: Arc<TestDevice>,
    server: UapiServer,
    _folder: TempDir,
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = Arc::new(TestDevice::new(100_000));
        let server = UapiServer::bind_with(folder.path(), "wg0", device.clone(), limits).unwrap();
        Self { device, server, _folder: folder }
    }

    fn client(&self) -> Client {
        Client(UnixStream::connect(self.server.path()).unwrap())
    }
}

struct Client(UnixStream);

impl Client {
    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Up to the blank line.
    fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n\n") {
            let mut byte = [0];
            assert_eq!(self.0.read(&mut byte).unwrap(), 1, "closed after {answer:?}");
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    }

    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.answer()
    }

    /// All that comes until the server closes.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

fn key(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// PROTOCOL A10.2: many operations a connection.
#[test]
fn one_connection_may_do_many_operations() {
    let fixture = Fixture::new(PATIENT);
    let mut client = fixture.client();
    assert_eq!(client.ask("get=1\n\n"), "errno=0\n\n");
    assert_eq!(client.ask("set=1\nlisten_port=7\n\n"), "errno=0\n\n");
    assert_eq!(client.ask("get=1\n\n"), "listen_port=7\nerrno=0\n\n");
    // Several in one piece are answered in order.
    client.say("set=1\nfwmark=9\n\nget=1\n\nset=1\nx=1\n\nget=1\nx=1\n\n");
    assert_eq!(client.answer(), "errno=0\n\n");
    assert_eq!(client.answer(), "listen_port=7\nfwmark=9\nerrno=0\n\n");
    assert_eq!(client.answer(), "errno=-22\n\n");
    assert_eq!(client.answer(), "errno=22\n\n");
}

/// PROTOCOL A10.5: all or nothing.
/// PROTOCOL A10.6: negative for set.
/// TESTING A26: bad keys, long lines.
#[test]
fn an_error_changes_nothing_and_leaves_the_connection_usable() {
    let fixture = Fixture::new(PATIENT);
    let mut client = fixture.client();
    client.ask("set=1\nlisten_port=7\n\n");
    let peer = format!("public_key={}\n", key(1));
    let long_line = "x".repeat(1 << 20);
    for (body, errno) in [
        (format!("replace_peers=true\n{peer}allowed_ip=10.0.0.0/99\n"), 22),
        (format!("listen_port=8\n{peer}preshared_key={}00\n", key(1)), 22),
        (format!("listen_port=8\nprivate_key={}00\n{peer}", key(1)), 22),
        (format!("listen_port=8\n{long_line}\n{peer}"), 90),
        ("fwmark=8\nlisten_port=1\n".to_owned(), 98),
        ("fwmark=8\nwhat\n".to_owned(), 71),
    ] {
        assert_eq!(client.ask(&format!("set=1\n{body}\n")), format!("errno=-{errno}\n\n"));
        assert_eq!(client.ask("get=1\n\n"), "listen_port=7\nerrno=0\n\n");
    }
    assert_eq!(fixture.device.state().changes, 1);
}

/// TESTING A26: 100,000 peers in one set.
/// PROTOCOL A10.9: read and shown.
#[test]
fn a_hundred_thousand_peers_in_one_set_come_back() {
    let fixture = Fixture::new(PATIENT);
    let mut body = String::from("set=1\nreplace_peers=true\n");
    for number in 0..100_000 {
        let (high, low) = (number >> 16, number & 0xffff);
        writeln!(body, "public_key={number:064x}\nallowed_ip=2001:db8::{high:x}:{low:x}/128").unwrap();
    }
    let mut client = fixture.client();
    assert_eq!(client.ask(&format!("{body}\n")), "errno=0\n\n");
    client.say("get=1\n\n");
    client.0.shutdown(Shutdown::Write).unwrap();
    let answer = client.rest();
    assert!(answer.ends_with("allowed_ip=2001:db8::1:869f/128\nerrno=0\n\n"));
    assert_eq!(answer.matches("public_key=").count(), 100_000);
    // One more than the interface takes: refused by it, and nothing is changed.
    let one_more = format!("set=1\npublic_key={}\n\n", key(0xff));
    assert_eq!(fixture.client().ask(&one_more), "errno=-28\n\n");
    assert_eq!(fixture.device.state().peers.len(), 100_000);
}

/// PROTOCOL A10.2: `wg` opens and closes first.
#[test]
fn a_probe_for_life_is_harmless() {
    let fixture = Fixture::new(PATIENT);
    for _ in 0..200 {
        fixture.client();
    }
    let mut half_closed = fixture.client();
    half_closed.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(half_closed.rest(), "");
    assert_eq!(fixture.client().ask("get=1\n\n"), "errno=0\n\n");
}

#[test]
fn a_body_that_is_cut_off_does_nothing() {
    let fixture = Fixture::new(PATIENT);
    let mut client = fixture.client();
    client.say("set=1\nlisten_port=7\nreplace_peers=true\n");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "errno=-71\n\n");
    assert_eq!(fixture.device.state().changes, 0);
}

#[test]
fn what_is_not_the_protocol_is_answered_once_and_closed() {
    let fixture = Fixture::new(PATIENT);
    let mut client = fixture.client();
    client.say("GET / HTTP/1.1\r\nHost: x\n\nget=1\n\n");
    assert_eq!(client.answer(), "errno=-71\n\n");
    let mut rest = Vec::new();
    // Reset if the server had not read the second request.
    let _reset = client.0.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

/// TESTING A26: half a line, then nothing.
#[test]
fn two_hundred_idle_and_stalled_clients_keep_nobody() {
    let fixture = Fixture::new(Limits { connections: 256, ..PATIENT });
    let mut idle: Vec<Client> = (0..100).map(|_| fixture.client()).collect();
    let mut stalled: Vec<Client> = (0..100).map(|_| fixture.client()).collect();
    for client in &mut stalled {
        client.say("set=1\nlisten_port=4");
    }
    assert_eq!(fixture.client().ask("set=1\nfwmark=3\n\n"), "errno=0\n\n");
    assert_eq!(fixture.client().ask("get=1\n\n"), "fwmark=3\nerrno=0\n\n");
    // And none of them was lost.
    for client in &mut idle {
        assert_eq!(client.ask("get=1\n\n"), "fwmark=3\nerrno=0\n\n");
    }
    for client in &mut stalled {
        assert_eq!(client.ask("2\n\n"), "errno=0\n\n");
    }
    assert_eq!(fixture.device.state().device.listen_port, 42);
}

/// TESTING A26: 1,000 idle clients.
#[test]
fn the_longest_idle_client_makes_room() {
    let fixture = Fixture::new(Limits { connections: 8, ..PATIENT });
    let mut busy = fixture.client();
    busy.say("set=1\nlisten_port=4");
    let mut idle: Vec<Client> = (0..1000).map(|_| fixture.client()).collect();
    assert_eq!(fixture.client().ask("get=1\n\n"), "errno=0\n\n");
    assert_eq!(idle[0].rest(), "", "closed without a word");
    assert_eq!(busy.ask("2\n\n"), "errno=0\n\n", "one that has begun is no idle one");
}

#[test]
fn a_full_house_sends_nobody_away_while_nobody_knocks() {
    let fixture = Fixture::new(Limits { connections: 4, ..PATIENT });
    let mut idle: Vec<Client> = (0..4).map(|_| fixture.client()).collect();
    for _ in 0..2 {
        for client in &mut idle {
            assert_eq!(client.ask("get=1\n\n"), "errno=0\n\n");
        }
        // Several ticks.
        std::thread::sleep(PATIENT.tick * 5);
    }
}

#[test]
fn a_full_house_lets_others_wait() {
    let fixture = Fixture::new(Limits { connections: 4, ..PATIENT });
    let mut busy: Vec<Client> = (0..4).map(|_| fixture.client()).collect();
    for client in &mut busy {
        client.say("get=1\n");
        // Seen by the server: it answers the operation before the one that stays open.
        client.say("\nget=1\n");
        client.answer();
    }
    let mut waits = fixture.client();
    waits.say("get=1\n\n");
    drop(busy);
    assert_eq!(waits.answer(), "errno=0\n\n");
}

#[test]
fn idle_clients_are_closed_in_silence_and_stalled_ones_told() {
    let short = Duration::from_millis(20);
    let fixture = Fixture::new(Limits { idle: short, stall: short, ..PATIENT });
    let mut idle = fixture.client();
    let mut stalled = fixture.client();
    stalled.say("set=1\nlisten_port=4");
    let mut stalled_get = fixture.client();
    stalled_get.say("get=1\n");
    assert_eq!(idle.rest(), "");
    assert_eq!(stalled.rest(), "errno=-110\n\n");
    assert_eq!(stalled_get.rest(), "errno=110\n\n");
    assert_eq!(fixture.device.state().changes, 0);
}

#[test]
fn a_client_that_drips_is_cut_off() {
    let fixture = Fixture::new(Limits { operation: Duration::from_millis(100), ..PATIENT });
    let mut client = fixture.client();
    client.say("set=1\n");
    let mut drips = 0_u64;
    while client.0.write_all(b"fwmark=1\n").is_ok() {
        drips += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(drips > 0);
    assert_eq!(fixture.device.state().changes, 0);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let fixture = Fixture::new(Limits { stall: Duration::from_millis(50), threads: 1, ..PATIENT });
    fill(&fixture);
    let mut deaf = fixture.client();
    deaf.say("get=1\n\n");
    // The only thread is free again, or this would never be answered.
    assert_eq!(fixture.client().ask("set=1\nfwmark=1\n\n"), "errno=0\n\n");
    let mut cut = Vec::new();
    deaf.0.read_to_end(&mut cut).unwrap();
    assert!(!cut.is_empty() && !cut.ends_with(b"errno=0\n\n"));
}

/// An answer that no socket buffer holds.
fn fill(fixture: &Fixture) {
    let mut state = fixture.device.state();
    for number in 0..50_000_u32 {
        let mut public_key = [0; 32];
        public_key[..4].copy_from_slice(&number.to_be_bytes());
        state.peers.insert(public_key, PeerView { public_key, ..PeerView::default() });
    }
    state.device.private_key = Some(SecretKey::new(&[1; 32]));
}

#[test]
fn large_bodies_are_bounded() {
    let fixture = Fixture::new(PATIENT);
    let peer = format!("public_key={}\n", key(1));
    let large = peer.repeat((4 << 20) / peer.len());
    let mut first = fixture.client();
    // Much more than the sockets buffer: it is counted by the time that all is sent.
    first.say(&format!("set=1\n{large}"));
    let mut second = fixture.client();
    assert_eq!(second.ask(&format!("set=1\n{large}\n")), "errno=-16\n\n");
    assert_eq!(second.ask(&format!("set=1\n{peer}\n")), "errno=0\n\n", "small ones are always taken");
    assert_eq!(first.ask("\n"), "errno=0\n\n");
    assert_eq!(second.ask(&format!("set=1\n{large}\n")), "errno=0\n\n", "given back");
}

#[test]
fn shutdown_wakes_everybody_and_removes_the_socket() {
    let fixture = Fixture::new(PATIENT);
    fill(&fixture);
    let mut idle = fixture.client();
    let mut stalled = fixture.client();
    stalled.say("set=1\n");
    let mut deaf = fixture.client();
    deaf.say("get=1\n\n");
    let mut first = [0; 1];
    deaf.0.read_exact(&mut first).unwrap();
    let path = fixture.server.path().to_owned();
    fixture.server.shutdown();
    assert!(!path.exists());
    assert_eq!(idle.0.read(&mut first).unwrap(), 0);
    // A second one finds nothing to do, and a new server can follow.
    fixture.server.shutdown();
    let folder = path.parent().unwrap();
    let next = UapiServer::bind(folder, "wg0", fixture.device.clone()).unwrap();
    drop(fixture.server);
    UnixStream::connect(next.path()).unwrap();
}

#[test]
fn a_second_server_of_the_same_name_is_refused() {
    let fixture = Fixture::new(PATIENT);
    let folder = fixture.server.path().parent().unwrap();
    let error = UapiServer::bind(folder, "wg0", fixture.device.clone()).unwrap_err();
    assert!(matches!(error, UapiError::InUse(_)), "{error}");
    assert_eq!(fixture.client().ask("get=1\n\n"), "errno=0\n\n");
}
