//! What is sent through the tunnels, and what came of it: ping, iperf3, a file.

use super::error::{LabError, Result, What, ensure};
use super::namespace::Namespace;
use super::process::Process;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What `ping` counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Requests.
    pub sent: u32,
    /// Answers.
    pub received: u32,
}

impl Ping {
    /// An error unless all were answered.
    ///
    /// # Errors
    /// Some were not.
    pub fn all(self) -> Result<()> {
        let Self { sent, received } = self;
        ensure(sent == received && sent > 0, "ping", format!("{received} of {sent} answered"))
    }

    /// An error if any was answered.
    ///
    /// # Errors
    /// One was, or none was sent.
    pub fn none(self) -> Result<()> {
        let Self { sent, received } = self;
        ensure(received == 0 && sent > 0, "ping", format!("{received} of {sent} answered, where none should be"))
    }
}

/// Sends so many pings from a namespace, one each `every`, and waits 5 s for an answer; `more` are further arguments of
/// `ping` (`-W 1`: waits 1 s).
///
/// # Errors
/// `ping` fails otherwise than by silence.
pub fn ping(from: &Namespace, to: &str, count: u32, every: Duration, more: &[&str]) -> Result<Ping> {
    let (count_text, every_text) = (count.to_string(), format!("{:.3}", every.as_secs_f64()));
    let fixed = ["ping", "-n", "-q", "-W", "5", "-c", &count_text, "-i", &every_text];
    let command: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).chain([to]).collect();
    let output = from.output(&command, every * count + Duration::from_secs(20))?;
    parse_ping(&output.out).ok_or_else(|| LabError::new(command.join(" "), format!("{}{}", output.err, output.out)))
}

/// `5 packets transmitted, 4 received, …`
fn parse_ping(text: &str) -> Option<Ping> {
    let line = text.lines().find(|line| line.contains("packets transmitted"))?;
    let mut numbers = line.split(", ").filter_map(|part| part.split_whitespace().next()?.parse().ok());
    Some(Ping { sent: numbers.next()?, received: numbers.next()? })
}

/// What iperf3 measured, in bits a second that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// From the client to the server.
    pub up: f64,
    /// From the server to the client.
    pub down: f64,
}

/// TCP both ways at once between two namespaces for some seconds; the server at `to` ends with it.
///
/// # Errors
/// iperf3 fails, or one direction carried nothing.
pub fn iperf3(
    from: &Namespace,
    server: &Namespace,
    to: &str,
    port: u16,
    seconds: u32,
    log: &Path,
) -> Result<Throughput> {
    let port = port.to_string();
    let mut listener = server_of(server, to, &port, log)?;
    let seconds_text = seconds.to_string();
    let command = ["iperf3", "-c", to, "-p", &port, "-t", &seconds_text, "--bidir", "-J", "--connect-timeout", "10000"];
    let output = from.output(&command, Duration::from_secs(u64::from(seconds) + 30))?;
    listener.kill();
    let what = format!("iperf3 to {to}");
    let report: Value = serde_json::from_str(&output.out).what(&what)?;
    if let Some(error) = report.get("error") {
        return Err(LabError::new(what, error));
    }
    let rate =
        |key: &str| report.pointer(&format!("/end/{key}/bits_per_second")).and_then(Value::as_f64).unwrap_or(0.0);
    let throughput = Throughput { up: rate("sum_received"), down: rate("sum_received_bidir_reverse") };
    ensure(throughput.up > 0.0 && throughput.down > 0.0, what, format!("a direction carried nothing: {throughput:?}"))?;
    Ok(throughput)
}

fn server_of(namespace: &Namespace, address: &str, port: &str, log: &Path) -> Result<Process> {
    let command = ["iperf3", "-s", "-1", "-B", address, "-p", port, "--forceflush"];
    let _ = std::fs::remove_file(log);
    let mut server = namespace.start("iperf3 -s", &command, log)?;
    server.wait_for("Server listening", Duration::from_secs(10))?;
    Ok(server)
}

/// Serves `bytes` once in the one namespace by HTTP, and has curl fetch it from the other into `file`.
/// Whether it is the same is for the caller to see.
///
/// # Errors
/// curl fails.
pub fn fetch(from: &Namespace, server: &Namespace, at: SocketAddr, bytes: &[u8], file: &Path) -> Result<()> {
    let listener = server.enter(|| TcpListener::bind(at))?;
    let url = format!("http://{at}/file");
    let command = ["curl", "-sS", "--globoff", "--max-time", "60", "-o", &file.to_string_lossy(), &url];
    std::thread::scope(|scope| {
        let served = scope.spawn(|| serve(&listener, bytes));
        let fetched = from.output(&command, Duration::from_secs(70));
        // A server that nobody came to waits no more.
        let _ = server.enter(|| TcpStream::connect_timeout(&at, Duration::from_secs(1)));
        let served = served.join().map_err(|_| LabError::new("the file's server", "it panicked"))?;
        let fetched = fetched?;
        ensure(fetched.code == 0, command.join(" "), fetched.err)?;
        served.what("the file's server")
    })
}

fn serve(listener: &TcpListener, bytes: &[u8]) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.extend(byte);
    }
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
    stream.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ping_says() {
        let text = "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n\n--- 10.0.0.1 ping statistics ---\n\
                    5 packets transmitted, 4 received, +1 errors, 20% packet loss, time 4005ms\n";
        assert_eq!(parse_ping(text), Some(Ping { sent: 5, received: 4 }));
        assert_eq!(parse_ping("ping: connect: Network is unreachable\n"), None);
    }

    #[test]
    fn silence_is_no_answer() {
        assert!(Ping { sent: 3, received: 3 }.all().is_ok());
        assert!(Ping { sent: 3, received: 2 }.all().is_err());
        assert!(Ping { sent: 0, received: 0 }.all().is_err());
        assert!(Ping { sent: 3, received: 0 }.none().is_ok());
        assert!(Ping { sent: 0, received: 0 }.none().is_err());
    }
}
