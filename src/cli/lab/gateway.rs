//! culvertd in the lab's gateway namespace.

use super::error::{LabError, Result, What, ensure};
use super::process::{Output, Process};
use super::{GATEWAY_V4, GATEWAY_V6, HOST_V4, INNER_V4, INNER_V6, KeyPair, LISTEN_PORT, Lab, Peer};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a start may take, reservation of memory included.
const START: Duration = Duration::from_secs(60);
/// How long an end may take, the drain of 5 s included.
const STOP: Duration = Duration::from_secs(20);
/// How long what is under way may take to come to its end.
const SETTLE: Duration = Duration::from_secs(10);

/// The two programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The gateway.
    pub culvertd: PathBuf,
    /// Its command line.
    pub culvert: PathBuf,
}

impl Programs {
    /// Those beside the program that runs.
    ///
    /// # Errors
    /// culvertd is not there.
    pub fn beside_this() -> Result<Self> {
        let culvert = std::env::current_exe().what("this program's own path")?;
        let folder = culvert.parent().unwrap_or_else(|| Path::new(""));
        Self::in_folder(folder)
    }

    /// Those in a folder.
    ///
    /// # Errors
    /// culvertd is not there.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let programs = Self { culvertd: folder.join("culvertd"), culvert: folder.join("culvert") };
        for program in [&programs.culvertd, &programs.culvert] {
            ensure(program.is_file(), program.display(), "there is no such program: build it (make build)")?;
        }
        Ok(programs)
    }
}

/// How culvertd is configured, beyond what the lab's topology says.
#[derive(Clone, Debug)]
pub struct Options {
    /// The lines of `[cores]`; empty: culvertd's own choice.
    pub cores: String,
    /// RX queues of each port.
    pub queues: u16,
    /// Lines of `[crypto]`.
    pub crypto: String,
    /// The UDP ports of the interface.
    pub listen_ports: Vec<u16>,
    /// Further lines of the interface.
    pub interface: String,
    /// A second interface.
    pub second: Option<Second>,
    /// The outer port's VLAN.
    pub vlan: u16,
    /// Where the keys of sessions are written to; `None`: nowhere.
    pub key_log: Option<PathBuf>,
    /// Words before culvertd's own: a command that starts it. Empty: it is started as it is.
    pub starter: Vec<String>,
}

/// A second interface beside the first, with a key of its own ([`Lab::second_keys`]).
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Its UDP ports.
    pub listen_ports: Vec<u16>,
    /// Its peers.
    pub peers: Vec<Peer>,
}

impl Default for Options {
    fn default() -> Self {
        let listen_ports = vec![LISTEN_PORT];
        Self {
            cores: String::new(),
            queues: 1,
            crypto: String::new(),
            listen_ports,
            interface: String::new(),
            second: None,
            vlan: 0,
            key_log: None,
            starter: Vec::new(),
        }
    }
}

/// A running culvertd. It is killed when this is dropped; [`Gateway::stop`] is the proper end.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    programs: Programs,
    interface: String,
    second: String,
    socket: PathBuf,
    /// Mbufs that were in the pool at the start: less than there can be where packets came at once.
    pool_at_start: u64,
}

/// The gateway's counters, as `culvert show report --json` gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Packets that came in by the ports.
    pub rx: u64,
    /// Packets that the gateway made itself.
    pub generated: u64,
    /// Packets that went out by the ports.
    pub tx: u64,
    /// The sum of all drops.
    pub dropped: u64,
    /// Packets that the control threads took over.
    pub to_control: u64,
    /// rx + generated − tx − dropped − to_control: what is under way inside.
    pub queued: i64,
    /// The same of the control threads.
    pub control_queued: i64,
    /// Packets that wait for a session or a neighbour.
    pub staged: u64,
    /// Mbufs that the pool has.
    pub pool_size: u64,
    /// Mbufs that are in it.
    pub pool_available: u64,
    /// Reason, packets, what it means; data path and control threads.
    pub drops: Vec<(String, u64, String)>,
}

impl Account {
    /// Reads the report of `culvert show report --json`.
    ///
    /// # Errors
    /// A number is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let what = "culvert show report --json";
        let report: Value = serde_json::from_str(text).what(what)?;
        let number = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_i64);
            value.ok_or_else(|| LabError::new(what, format!("no number at {pointer}: {text}")))
        };
        let count = |pointer: &str| number(pointer).map(i64::unsigned_abs);
        let mut drops = Vec::new();
        for list in ["drops", "control"] {
            for (reason, entry) in report.get(list).and_then(Value::as_object).into_iter().flatten() {
                let packets = entry.get("packets").and_then(Value::as_u64).unwrap_or(0);
                let hint = entry.get("hint").and_then(Value::as_str).unwrap_or_default();
                drops.push((reason.clone(), packets, hint.to_owned()));
            }
        }
        Ok(Self {
            rx: count("/account/rx")?,
            generated: count("/account/generated")?,
            tx: count("/account/tx")?,
            dropped: count("/account/dropped")?,
            to_control: count("/account/to_control")?,
            queued: number("/account/queued")?,
            control_queued: number("/account/control_queued")?,
            staged: count("/account/staged")?,
            pool_size: count("/pool/size")?,
            pool_available: count("/pool/available")?,
            drops,
        })
    }

    /// How many packets were dropped for this reason.
    pub fn drop_of(&self, reason: &str) -> u64 {
        self.drops.iter().filter(|(name, ..)| name == reason).map(|(_, packets, _)| packets).sum()
    }

    /// Law 1: every packet that came in or was made went out, was dropped by name, or went to the control threads.
    fn is_settled(&self) -> bool {
        let out = [self.tx, self.dropped, self.to_control].into_iter().fold(0_u64, u64::saturating_add);
        self.rx.saturating_add(self.generated) == out
            && self.queued == 0
            && self.control_queued == 0
            && self.staged == 0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "rx {} + generated {} = tx {} + dropped {} + control {}; queued {} (control {}), staged {}; pool {} of {}",
            self.rx,
            self.generated,
            self.tx,
            self.dropped,
            self.to_control,
            self.queued,
            self.control_queued,
            self.staged,
            self.pool_available,
            self.pool_size
        )?;
        for (reason, packets, hint) in self.drops.iter().filter(|(_, packets, _)| *packets > 0) {
            writeln!(f, "{packets:>10} {reason:<18} {hint}")?;
        }
        Ok(())
    }
}

impl Gateway {
    /// Starts culvertd with these peers; returns when it says that packets flow.
    ///
    /// # Errors
    /// It does not start; its last words are in the error.
    pub fn start(lab: &Lab, programs: &Programs, options: &Options, peers: &[Peer]) -> Result<Self> {
        let (interface, second) = (lab.unique("gw"), lab.unique("g2"));
        let config = configuration(lab, options, peers)?;
        let log = lab.file("culvertd.log");
        let _ = std::fs::remove_file(&log);
        let (program, file) = (programs.culvertd.to_string_lossy(), config.to_string_lossy());
        let mut command: Vec<&str> = options.starter.iter().map(String::as_str).collect();
        // A user culvert, if there is one, could not reach the lab's files.
        command.extend([&*program, "--user", "root", "--config", &*file]);
        let key_log = options.key_log.as_ref().map(|path| path.to_string_lossy());
        key_log.iter().for_each(|path| command.extend(["--key-log", &**path]));
        let process = lab.gateway.start("culvertd", &command, &log)?;
        let socket = lab.file("culvert.sock");
        let mut gateway = Self { process, programs: programs.clone(), interface, second, socket, pool_at_start: 0 };
        gateway.process.wait_for("started in", START)?;
        gateway.pool_at_start = gateway.account()?.pool_available;
        Ok(gateway)
    }

    /// Runs the command line against it; it has to succeed.
    ///
    /// # Errors
    /// It fails.
    pub fn culvert(&self, arguments: &[&str]) -> Result<String> {
        let (program, socket) = (self.programs.culvert.to_string_lossy(), self.socket.to_string_lossy());
        let fixed = [&*program, "--socket", &*socket];
        let command: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        super::run(&command)
    }

    /// Its counters, now.
    ///
    /// # Errors
    /// It does not answer.
    pub fn account(&self) -> Result<Account> {
        Account::parse(&self.culvert(&["show", "report", "--json"])?)
    }

    /// Waits until nothing is under way inside: then both laws hold. Returns the counters.
    ///
    /// # Errors
    /// They do not hold within the time.
    pub fn settled(&self) -> Result<Account> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let account = self.account()?;
            if account.is_settled() && account.pool_available >= self.pool_at_start {
                return Ok(account);
            }
            let why = format!("packets or mbufs are missing (pool at the start: {}): {account}", self.pool_at_start);
            ensure(Instant::now() < deadline, "culvertd's account", why)?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Checks both laws, ends it, and checks that it says so itself: exit code 0.
    ///
    /// # Errors
    /// Packets or mbufs are missing, or it does not end well.
    pub fn stop(self) -> Result<Account> {
        let settled = self.settled();
        let Self { process, .. } = self;
        let log = process.said();
        let code = process.stop(STOP)?;
        let account = settled?;
        let words = log.lines().rev().take(6).collect::<Vec<_>>().join(" / ");
        ensure(code == 0, "culvertd", format!("exit code {code}: {words}"))?;
        Ok(account)
    }

    /// Ends it while packets come, and checks that it says itself that none is missing: exit code 0.
    ///
    /// # Errors
    /// It does not end well.
    pub fn stop_under_load(self) -> Result<()> {
        let code = self.process.stop(STOP)?;
        ensure(code == 0, "culvertd", format!("exit code {code}"))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Runs `wg` with these arguments; it has to succeed.
    ///
    /// # Errors
    /// `wg` fails.
    pub fn wg(&self, arguments: &[&str]) -> Result<String> {
        let command: Vec<&str> = ["wg"].into_iter().chain(arguments.iter().copied()).collect();
        super::run(&command)
    }

    /// Gives it another private key, and its own again: it has to make new sessions before it can send.
    ///
    /// # Errors
    /// `wg` fails.
    pub fn forget_sessions(&self, lab: &Lab) -> Result<()> {
        for (name, key) in [("other.key", &KeyPair::new()?), ("gateway.key", &lab.gateway_keys)] {
            let path = lab.write(name, &format!("{}\n", key.private))?;
            self.wg(&["set", &self.interface, "private-key", &path.to_string_lossy()])?;
        }
        Ok(())
    }

    /// The name that `wg` calls it by.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The same of the second interface ([`Options::second`]).
    pub fn second(&self) -> &str {
        &self.second
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Starts culvertd with a configuration that it should refuse, and waits for its end.
    ///
    /// # Errors
    /// It does not end within the time.
    pub fn refused(lab: &Lab, programs: &Programs, config: &Path) -> Result<Output> {
        let (program, file) = (programs.culvertd.to_string_lossy(), config.to_string_lossy());
        lab.gateway.output(&[&program, "--config", &file], START)
    }
}

/// Writes the configuration, the key and the peers. Returns the configuration's path.
///
/// # Errors
/// A file cannot be written.
pub(super) fn configuration(lab: &Lab, options: &Options, peers: &[Peer]) -> Result<PathBuf> {
    let sections: String = peers.iter().map(ToString::to_string).collect();
    lab.write("peers.conf", &sections)?;
    lab.write("gateway.key", &format!("{}\n", lab.gateway_keys.private))?;
    let mut text = text(lab, options);
    if let Some(Second { listen_ports, peers }) = &options.second {
        let sections: String = peers.iter().map(ToString::to_string).collect();
        lab.write("second.conf", &sections)?;
        lab.write("second.key", &format!("{}\n", lab.second_keys.private))?;
        text += &interface(&lab.unique("g2"), "second", listen_ports, "second.conf");
    }
    lab.write("culvert.toml", &text)
}

/// An `[[interface]]` whose key is in `key.key`.
fn interface(name: &str, key: &str, listen_ports: &[u16], peers: &str) -> String {
    format!(
        r#"
[[interface]]
name = "{name}"
private_key_file = "{key}.key"
listen_ports = {listen_ports:?}
peers_file = "{peers}"
max_peers = 64
"#
    )
}

fn text(lab: &Lab, options: &Options) -> String {
    let Options { cores, queues, crypto, listen_ports, interface: more, vlan, .. } = options;
    let device = |number: u8, interface: &str| format!("net_af_packet{number},iface={interface},qpairs={queues}");
    format!(
        r#"[cores]
{cores}
[[port]]
name = "wan"
device = "{wan}"
role = "outer"
vlan = {vlan}
queues = {queues}
addresses = ["{GATEWAY_V4}/24", "{GATEWAY_V6}/64"]
routes = [{{ to = "0.0.0.0/0", via = "192.0.2.1" }}, {{ to = "::/0", via = "2001:db8::1" }}]

[[port]]
name = "lan"
device = "{lan}"
role = "inner"
queues = {queues}
addresses = ["{INNER_V4}/24", "{INNER_V6}/64"]
routes = [{{ to = "10.20.0.0/16", via = "{HOST_V4}" }}]
{interface}{more}
[crypto]
{crypto}
[control]
socket = "{socket}"
"#,
        wan = device(0, "wan0"),
        lan = device(1, "lan0"),
        interface = interface(&lab.unique("gw"), "gateway", listen_ports, "peers.conf"),
        socket = lab.file("culvert.sock").display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"account":{"rx":10,"generated":2,"tx":7,"dropped":3,"to_control":2,"queued":0,
        "control_queued":0,"staged":0},"drops":{"keepalive":{"packets":3,"hint":"h"}},
        "control":{"control_done":{"packets":2,"hint":"d"}},"ports":[],"cores":[],
        "pool":{"size":100,"available":100}}"#;

    #[test]
    fn reads_the_account() {
        let account = Account::parse(REPORT).unwrap();
        assert_eq!((account.rx, account.generated, account.tx, account.to_control), (10, 2, 7, 2));
        assert_eq!(
            (account.drop_of("keepalive"), account.drop_of("control_done"), account.drop_of("replay")),
            (3, 2, 0)
        );
        assert!(account.is_settled());
        assert!(Account::parse(&REPORT.replace("\"tx\"", "\"TX\"")).is_err());
    }

    #[test]
    fn a_packet_that_is_missing_shows() {
        for (good, bad) in
            [("\"rx\":10", "\"rx\":11"), ("\"staged\":0", "\"staged\":1"), ("\"queued\":0", "\"queued\":1")]
        {
            assert!(!Account::parse(&REPORT.replacen(good, bad, 1)).unwrap().is_settled(), "{bad}");
        }
    }
}
