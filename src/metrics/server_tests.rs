//! The server by itself, with clients of all sorts.

use super::server::CONNECTIONS;
use super::tests::{Fake, nothing_done};
use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

fn server() -> MetricsServer {
    let source = Arc::new(Fake { totals: Mutex::new(nothing_done()), ..Default::default() });
    MetricsServer::start("127.0.0.1:0".parse().unwrap(), 0, source, 0).unwrap()
}

/// Says this and takes what comes until the end.
fn say(server: &MetricsServer, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    // It closes once it has heard enough.
    let _broken_pipe = stream.write_all(request);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn scrape(server: &MetricsServer) -> String {
    say(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn assert_serves(server: &MetricsServer) {
    let answer = scrape(server);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\nculvert_build_info{"), "{answer}");
}

#[test]
fn the_format_is_the_one_that_was_asked_for() {
    let server = server();
    assert!(scrape(&server).contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let asked = b"GET /metrics?x=y HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let answer = say(&server, asked);
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(answer.ends_with("# EOF\n"));
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = server();
    for path in ["/", "/metrics/", "/../metrics", "//", "/metrics%00"] {
        let answer = say(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("the metrics are at /metrics\n"), "{answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let answer = say(&server, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
    let head = say(&server, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

/// TESTING A26: nonsense and floods on this socket.
#[test]
fn nonsense_is_refused_and_the_next_one_is_served() {
    let server = server();
    let megabyte = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 1 << 20]].concat();
    let path = [b"GET /".as_slice(), &vec![b'a'; 1 << 20]].concat();
    let headers = [b"GET /metrics HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(100), b"\r\n"].concat();
    let body = [b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n".as_slice(), &vec![0; 1 << 16]].concat();
    let nonsense: [&[u8]; 8] =
        [b"\r\n\r\n\r\n\0", b"\xff\xfe\0\x16\x03\x01", b"GET\r\n\r\n", b"show\n\n", &megabyte, &path, &headers, &body];
    for request in nonsense {
        let answer = say(&server, request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert_serves(&server);
    }
}

#[test]
fn who_is_slow_or_says_nothing_holds_nobody_up() {
    let server = server();
    let connect = |said: &[u8]| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(said).unwrap();
        stream
    };
    let few: Vec<_> = (0..CONNECTIONS + 8).map(|_| connect(b"")).collect();
    assert_serves(&server);
    // The first has lost its place to the last, long before its time is over.
    few[0].set_nonblocking(true).unwrap();
    assert!(few[0].peek(&mut [0]).is_ok_and(|bytes| bytes == 0), "it is still held");
    let idle: Vec<_> = (0..500).map(|_| connect(b"")).collect();
    let half: Vec<_> = (0..100).map(|_| connect(b"GET /metr")).collect();
    // They ask, and never read.
    let deaf: Vec<_> = (0..100).map(|_| connect(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    for _ in 0..20 {
        assert_serves(&server);
    }
    drop((few, idle, half, deaf));
    assert_serves(&server);
}

/// At boot an interface may get its address after culvertd has started.
#[test]
fn an_address_may_come_later_but_not_be_in_use() {
    let start = |address: SocketAddr| MetricsServer::start(address, 0, Arc::new(Fake::default()), 0);
    for address in ["127.0.0.1:0", "192.0.2.77:0", "[2001:db8::77]:0"] {
        let address: SocketAddr = address.parse().unwrap();
        let server = start(address).unwrap();
        assert_eq!(server.address().ip(), address.ip());
        assert_eq!(start(server.address()).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[test]
fn it_ends_when_it_is_dropped() {
    let server = server();
    let address = server.address();
    // Not even who is connected keeps it.
    let mut stream = TcpStream::connect(address).unwrap();
    assert_serves(&server);
    drop(server);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert!(TcpStream::connect(address).is_err());
}
