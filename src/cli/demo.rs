//! `culvert demo`: a gateway, two clients and a host on one machine, and everything that they do with each other.

use super::lab::{
    self, Account, BEHIND_V4, Client, GATEWAY_V4, Gateway, HOST_V4, HOST_V6, INNER_V4, INNER_V6, Lab, LabError,
    Namespace, Options, Programs, Result, ensure, fetch, iperf3, ping, udp_stream,
};
use blake2::{Blake2s256, Digest};
use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Seconds that TCP runs.
const TCP_SECONDS: u32 = 5;
/// Bytes of the file.
const FILE: usize = 16 << 20;
const PINGS: u32 = 5;
const EVERY: Duration = Duration::from_millis(50);

/// Runs the demo with the programs beside this one, and says each step as it passes; the last line is `demo: ok` or
/// `demo: FAILED: what`. Whatever it made is gone when it returns. Returns whether all went well. Main thread; root.
pub fn demo(out: &mut impl Write) -> bool {
    // Only so that Ctrl-C does not end us before the namespaces are removed. The children get it as well.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
    }
    let done = Programs::beside_this().and_then(|programs| {
        let mut demo = Demo { out, interrupted: &interrupted, programs };
        demo.run()
    });
    let last = match &done {
        Ok(()) => "demo: ok".to_owned(),
        // Orders nothing: a signal's time is anyone's guess.
        Err(_) if interrupted.load(Ordering::Relaxed) => "demo: FAILED: interrupted".to_owned(),
        Err(error) => format!("demo: FAILED: {error}"),
    };
    writeln!(out, "{last}").is_ok() && done.is_ok()
}

struct Demo<'a, W> {
    out: &'a mut W,
    interrupted: &'a AtomicBool,
    programs: Programs,
}

impl<W: Write> Demo<'_, W> {
    fn run(&mut self) -> Result<()> {
        let lab = self.step("5 namespaces, 4 wires, 2 clients with wireguard-go", || Lab::new(2))?;
        let programs = self.programs.clone();
        let peers: Vec<_> = lab.clients().iter().map(Client::peer).collect();
        let gateway =
            self.step("culvertd on net_af_packet", || Gateway::start(&lab, &programs, &Options::default(), &peers))?;
        self.pings(&lab)?;
        self.streams(&lab)?;
        self.tcp(&lab)?;
        self.file(&lab)?;

        let shown = gateway.wg(&["show", gateway.interface()])?;
        self.say(&shown)?;
        for table in ["account", "drops", "fwd stats all", "mempool"] {
            let shown = gateway.culvert(&[&format!("show {table}")])?;
            self.say(&format!("{table}\n{shown}"))?;
        }
        let account = self.step("all packets accounted for, all pools full again", || gateway.settled())?;
        self.step("culvertd ends and agrees", || gateway.stop())?;
        // Anything else in the table than what belongs to a healthy run is a fault.
        self.step("no packet lost its way", || healthy(&account))?;
        self.step("everything removed", || {
            let prefix = lab.unique("");
            drop(lab);
            let left = lab::run(&["ip", "netns", "list"])?;
            ensure(!left.contains(&prefix), "namespaces", format!("left behind: {left}"))
        })
    }

    fn pings(&mut self, lab: &Lab) -> Result<()> {
        let (one, two) = (lab.client(1)?, lab.client(2)?);
        let (a, b, host) = (one.namespace(), two.namespace(), lab.host());
        let wan = |ns: &Namespace| ping(ns, GATEWAY_V4, PINGS, EVERY, &[])?.all();
        self.step("client 1 pings the gateway's outer address", || wan(a))?;
        let cases: [(&str, &Namespace, &str); 10] = [
            ("client 1 → host, IPv4 (the first one waits for the handshake)", a, HOST_V4),
            ("client 1 → host, IPv6", a, HOST_V6),
            ("client 2 → host, IPv4 (PSK, over IPv6)", b, HOST_V4),
            ("client 2 → host, IPv6", b, HOST_V6),
            ("client 1 → the gateway's inner address, IPv4", a, INNER_V4),
            ("client 2 → the gateway's inner address, IPv6", b, INNER_V6),
            ("client 1 → a network behind the host", a, BEHIND_V4),
            ("client 1 → client 2 through the gateway", a, &two.v4()),
            ("client 2 → client 1, IPv6", b, &one.v6()),
            ("host → the gateway", host, INNER_V4),
        ];
        for (what, from, to) in cases {
            self.step(&format!("ping {what}"), || ping(from, to, PINGS, EVERY, &[])?.all())?;
        }
        for client in [one, two] {
            for to in [client.v4(), client.v6()] {
                self.step(&format!("ping host → {to}"), || ping(host, &to, PINGS, EVERY, &[])?.all())?;
            }
        }
        self.step("ping client 1 → host with packets as large as the tunnel's MTU", || {
            ping(a, HOST_V4, PINGS, EVERY, &["-M", "do", "-s", "1392"])?.all()
        })
    }

    fn streams(&mut self, lab: &Lab) -> Result<()> {
        let (one, host) = (lab.client(1)?, lab.host());
        for (what, from, to, address) in [
            ("client 1 → host", one.namespace(), host, HOST_V4.to_owned()),
            ("host → client 1", host, one.namespace(), one.v4()),
        ] {
            let address = socket_address(&address, 7000)?;
            self.step(&format!("UDP {what}: 4,000 datagrams, in order, none twice, 1 of 100 lost at most"), || {
                udp_stream(from, to, address, 2_000, 4_000)?.ordered()
            })?;
        }
        Ok(())
    }

    fn tcp(&mut self, lab: &Lab) -> Result<()> {
        let (one, two, host) = (lab.client(1)?, lab.client(2)?, lab.host());
        let began = Instant::now();
        let run = |client: &Client, to: &str, port: u16| {
            let log = lab.file(&format!("iperf3-{port}.log"));
            iperf3(client.namespace(), host, to, port, TCP_SECONDS, &log)
        };
        let results = std::thread::scope(|scope| {
            let other = scope.spawn(|| run(two, HOST_V6, 5202));
            let first = run(one, HOST_V4, 5201);
            (first, other.join().unwrap_or_else(|_| Err(LabError::new("iperf3", "its thread panicked"))))
        });
        for (client, result) in [("client 1, IPv4", results.0), ("client 2, IPv6", results.1)] {
            let rates = result?;
            let megabits = |rate: f64| format!("{:.0} Mbit/s", rate / 1e6);
            let what =
                format!("TCP both ways at once, {client}: {} up, {} down", megabits(rates.up), megabits(rates.down));
            self.passed(&what, began)?;
        }
        Ok(())
    }

    fn file(&mut self, lab: &Lab) -> Result<()> {
        let bytes = noise(FILE);
        let sent = Blake2s256::digest(&bytes);
        let path = lab.file("fetched");
        let (one, host) = (lab.client(1)?, lab.host());
        let at = socket_address(HOST_V4, 8080)?;
        self.step("a file of 16 MiB fetched by client 1 has the host's checksum (BLAKE2s)", || {
            fetch(one.namespace(), host, at, &bytes, &path)?;
            let fetched = std::fs::read(&path).map_err(|error| LabError::new(path.display(), error))?;
            ensure(Blake2s256::digest(&fetched) == sent, "the file", "its checksum differs")
        })
    }

    fn step<T>(&mut self, what: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let done = f().map_err(|error| LabError::new(what, error))?;
        self.passed(what, began)?;
        // Orders nothing: a signal's time is anyone's guess.
        ensure(!self.interrupted.load(Ordering::Relaxed), what, "interrupted")?;
        Ok(done)
    }

    fn passed(&mut self, what: &str, began: Instant) -> Result<()> {
        self.say(&format!("  ok  {what} ({:.1} s)", began.elapsed().as_secs_f32()))
    }

    fn say(&mut self, text: &impl Display) -> Result<()> {
        let said = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        said.map_err(|error| LabError::new("the output", error))
    }
}

/// An error if a packet was dropped for a reason that this run gives none for.
fn healthy(account: &Account) -> Result<()> {
    for reason in [
        "auth_failed",
        "bad_inner",
        "bad_ip_checksum",
        "bad_ip_header",
        "bad_mac1",
        "bad_message",
        "bad_udp_checksum",
        "allowedips_src",
        "no_room",
        "not_plain",
        "replay",
        "unknown_index",
    ] {
        let packets = account.drop_of(reason);
        ensure(packets == 0, "the drops", format!("{packets} packets for {reason}"))?;
    }
    Ok(())
}

fn socket_address(ip: &str, port: u16) -> Result<SocketAddr> {
    let ip: IpAddr = ip.parse().map_err(|error| LabError::new(ip, error))?;
    Ok((ip, port).into())
}

/// Bytes that no compression and no repetition would bring through by chance.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_long_enough_and_varied() {
        let bytes = noise(10_001);
        assert_eq!(bytes.len(), 10_001);
        let mut counts = [0_u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(counts.iter().all(|count| *count > 5));
    }

    #[test]
    fn a_drop_that_has_no_business_here_is_a_fault() {
        let drops = |reason: &str, packets| vec![(reason.to_owned(), packets, String::new())];
        assert!(healthy(&Account { drops: drops("keepalive", 3), ..Account::default() }).is_ok());
        assert!(healthy(&Account { drops: drops("auth_failed", 0), ..Account::default() }).is_ok());
        assert!(healthy(&Account { drops: drops("auth_failed", 1), ..Account::default() }).is_err());
    }
}
