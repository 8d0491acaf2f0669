//! TCP from a host behind somebody else's client, through the tunnel, to a host behind the gateway: with culvert, wireguard-go and
//! boringtun as the gateway, each in an internet of its own (`culvert::cli::lab`).

use crate::figures::{Figures, median};
use culvert::cli::lab::{Client, Gateway, HOST_V4, Implementation, Lab, LabError, Options, Process, Programs, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rounds, each over all gateways.
const ROUNDS: usize = 9;
const SECONDS: &str = "1";
const PORT: &str = "5201";

/// A gateway and the internet around it. What is dropped first ends first.
struct Contender {
    name: &'static str,
    gateway: Running,
    _server: Process,
    lab: Lab,
    gbps: Vec<f64>,
}

enum Running {
    Culvert(Gateway),
    Other(#[expect(dead_code, reason = "it runs as long as this lives")] Process),
}

pub fn measure(figures: &mut Figures) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("!!! end_to_end: left out, only root makes network namespaces: use sudo");
        return;
    }
    let mut others = vec![("wireguard_go", Implementation::wireguard_go())];
    match boringtun() {
        Some(program) => others.push(("boringtun", Implementation::boringtun(&program))),
        None => eprintln!(
            "!!! end_to_end.tcp_gbps.boringtun: left out, there is no boringtun-cli: tests/tools.sh builds it"
        ),
    }
    let mut all = vec![culvert().unwrap()];
    all.extend(others.into_iter().map(|(name, implementation)| other(name, &implementation).unwrap()));
    for round in 0..=ROUNDS {
        for contender in &mut all {
            let gbps = contender.run().unwrap();
            // The first one makes the session.
            if round > 0 {
                contender.gbps.push(gbps);
            }
        }
    }
    for contender in all {
        let gbps = median(contender.gbps.clone());
        figures.add(
            format!("end_to_end.tcp_gbps.{}", contender.name),
            gbps,
            format!(
                "one TCP stream of iperf3 for {SECONDS} s from a wireguard-go client, which is the same in all three, to a host behind the \
                 gateway, 1,420 bytes inside; median of {ROUNDS} rounds in turn. All programs share this machine's cores, and all packets \
                 go by the kernel's veth without offloads: that and the client bound it, not the gateway"
            ),
        );
        contender.end().unwrap();
    }
}

/// Where `tests/tools.sh` installs, or `CULVERT_TOOLS`.
fn boringtun() -> Option<PathBuf> {
    let folder = std::env::var_os("CULVERT_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
    Some(folder.join("bin/boringtun-cli")).filter(|program| program.is_file())
}

fn culvert() -> Result<Contender> {
    let lab = Lab::new(1)?;
    let programs = Programs {
        culvertd: PathBuf::from(env!("CARGO_BIN_EXE_culvertd")),
        culvert: PathBuf::from(env!("CARGO_BIN_EXE_culvert")),
    };
    let peers: Vec<_> = lab.clients().iter().map(Client::peer).collect();
    let gateway = Gateway::start(&lab, &programs, &Options::default(), &peers)?;
    Contender::new("culvert", Running::Culvert(gateway), lab)
}

/// The same internet with a gateway that is a program with a tunnel interface, and the kernel's routes around it.
fn other(name: &'static str, implementation: &Implementation) -> Result<Contender> {
    let lab = Lab::new(1)?;
    let (interface, gateway) = (lab.unique("gw"), lab.gateway());
    gateway.sysctl(&[("ipv4/ip_forward", "1")])?;
    gateway.ip("addr add 192.0.2.10/24 dev wan0\naddr add 10.10.0.1/24 dev lan0\nroute add default via 192.0.2.1")?;
    let process = implementation.start(gateway, &interface, &lab.file("gateway.log"))?;
    let peers: String = lab.clients().iter().map(|client| client.peer().to_string()).collect();
    let text = format!("[Interface]\nPrivateKey = {}\nListenPort = 51820\n{peers}", lab.gateway_keys().private);
    let file = lab.write("gateway.conf", &text)?;
    gateway.run(&["wg", "setconf", &interface, &file.to_string_lossy()])?;
    gateway.ip(&format!("link set {interface} up mtu 1420\nroute add 10.9.0.0/16 dev {interface}"))?;
    Contender::new(name, Running::Other(process), lab)
}

impl Contender {
    fn new(name: &'static str, gateway: Running, lab: Lab) -> Result<Self> {
        let command = ["iperf3", "-s", "-B", HOST_V4, "-p", PORT, "--forceflush"];
        let mut server = lab.host().start("iperf3 -s", &command, &lab.file("iperf3.log"))?;
        server.wait_for("Server listening", Duration::from_secs(10))?;
        let contender = Self { name, gateway, _server: server, lab, gbps: Vec::new() };
        contender.pause(true)?;
        Ok(contender)
    }

    /// Gbit/s of one run.
    fn run(&self) -> Result<f64> {
        self.pause(false)?;
        let command = ["iperf3", "-c", HOST_V4, "-p", PORT, "-t", SECONDS, "-J", "--connect-timeout", "10000"];
        let output = self.lab.client(1)?.namespace().output(&command, Duration::from_secs(30))?;
        self.pause(true)?;
        let failed = || LabError::new(format!("iperf3 with {}", self.name), output.out.clone());
        let report: Value = serde_json::from_str(&output.out).map_err(|_| failed())?;
        let rate = report.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64);
        rate.filter(|rate| *rate > 0.0).map(|rate| rate / 1e9).ok_or_else(failed)
    }

    /// culvertd polls its ports also when nothing comes, which would be taken from the others: it stands still while they run.
    fn pause(&self, pause: bool) -> Result<()> {
        let Running::Culvert(gateway) = &self.gateway else { return Ok(()) };
        let signal = if pause { Signal::STOP } else { Signal::CONT };
        let id = i32::try_from(gateway.id()).ok().and_then(Pid::from_raw);
        let sent = id.map(|id| kill_process(id, signal));
        sent.and_then(std::result::Result::ok).ok_or_else(|| LabError::new("culvertd", "it takes no signal"))
    }

    fn end(self) -> Result<()> {
        self.pause(false)?;
        match self.gateway {
            Running::Culvert(gateway) => gateway.stop().map(drop),
            Running::Other(_) => Ok(()),
        }
    }
}
