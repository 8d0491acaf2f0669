//! A lab with a running gateway, and what every test checks at its end.

use culvert::cli::lab::{Account, Client, Gateway, Lab, Namespace, Options, Peer, Ping, Programs, output, ping};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two pings.
pub(crate) const EVERY: Duration = Duration::from_millis(50);
/// How long clients may take to find out by themselves that something has changed.
pub(crate) const RECOVERY: Duration = Duration::from_secs(30);

/// The programs under test: those of this build, or of `CULVERT_BIN_DIR`.
pub(crate) fn programs() -> Programs {
    match std::env::var_os("CULVERT_BIN_DIR") {
        Some(folder) => Programs::in_folder(Path::new(&folder)).unwrap(),
        None => Programs {
            culvertd: PathBuf::from(env!("CARGO_BIN_EXE_culvertd")),
            culvert: PathBuf::from(env!("CARGO_BIN_EXE_culvert")),
        },
    }
}

/// A lab and its gateway.
pub(crate) struct Bench {
    /// Ends before the lab that it lives in.
    pub(crate) gateway: Gateway,
    pub(crate) lab: Lab,
}

/// A lab with so many clients, all of which the gateway knows.
pub(crate) fn bench(clients: u8) -> Bench {
    let lab = Lab::new(clients).unwrap();
    let peers = peers(&lab);
    start(lab, &Options::default(), &peers)
}

/// The same, with a gateway of other options.
pub(crate) fn bench_with(clients: u8, options: impl FnOnce(&Lab) -> Options) -> Bench {
    let lab = Lab::new(clients).unwrap();
    let (peers, options) = (peers(&lab), options(&lab));
    start(lab, &options, &peers)
}

/// A lab with a gateway that knows these peers.
pub(crate) fn start(lab: Lab, options: &Options, peers: &[Peer]) -> Bench {
    let gateway = Gateway::start(&lab, &programs(), options, peers).unwrap();
    let (program, socket) = (programs().culvert, lab.file("culvert.sock"));
    let words = [program.to_string_lossy(), "--socket".into(), socket.to_string_lossy()].map(String::from);
    *WITNESS.lock().unwrap() = words.into_iter().chain(["show", "report", "--json"].map(String::from)).collect();
    Bench { gateway, lab }
}

/// All clients as the gateway should see them.
pub(crate) fn peers(lab: &Lab) -> Vec<Peer> {
    lab.clients().iter().map(Client::peer).collect()
}

impl Bench {
    pub(crate) fn client(&self, number: usize) -> &Client {
        self.lab.client(number).unwrap()
    }

    /// The two laws; a clean end; and no socket left. Returns the last account.
    pub(crate) fn finish(self) -> Account {
        let Self { gateway, lab } = self;
        let socket = format!("{}.sock", gateway.interface());
        let account = gateway.stop().unwrap();
        let left: Vec<_> = lab.sockets().into_iter().filter(|path| path.ends_with(&socket)).collect();
        assert!(left.is_empty(), "culvertd left {left:?}");
        assert!(!lab.file("culvert.sock").exists(), "culvertd left its control socket");
        account
    }

    /// Pings until one is answered. Returns how long that took.
    pub(crate) fn comes_back(&self, from: &Namespace, to: &str, within: Duration) -> Duration {
        let start = Instant::now();
        while ping(from, to, 1, EVERY, &["-W", "1"]).unwrap().received == 0 {
            if start.elapsed() >= within {
                let (name, seconds) = (from.name(), within.as_secs());
                let shown = self.gateway.wg(&["show", self.gateway.interface()]);
                panic!("{name} → {to}: silent for {seconds} s; {:?} {shown:?}", self.gateway.account());
            }
        }
        start.elapsed()
    }

    /// The account once nothing is under way.
    pub(crate) fn settled(&self) -> Account {
        self.gateway.settled().unwrap()
    }

    /// What `wg show GATEWAY WHAT` says of a client.
    pub(crate) fn shown(&self, what: &str, client: &Client) -> String {
        let said = self.gateway.wg(&["show", self.gateway.interface(), what]).unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix(client.keys().public.as_str()));
        line.unwrap_or_else(|| panic!("no {what} of {}: {said}", client.interface())).trim().to_owned()
    }
}

/// Some pings that all have to be answered.
pub(crate) fn pings(from: &Namespace, to: &str) {
    counted(from, to, 5, &[]).all().unwrap_or_else(|error| panic!("{} → {to}: {error}; {}", from.name(), witness()));
}

/// The gateway to ask when something fails: its command line.
static WITNESS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What the gateway counted so far.
pub(crate) fn witness() -> String {
    let words = WITNESS.lock().unwrap();
    let command: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = output(&command, Duration::from_secs(10)).map(|output| output.out);
    said.and_then(|out| Account::parse(&out)).map_or_else(|error| error.to_string(), |account| account.to_string())
}

/// Some pings that none may answer.
pub(crate) fn no_pings(from: &Namespace, to: &str) {
    counted(from, to, 3, &["-W", "1"]).none().unwrap_or_else(|error| panic!("{} → {to}: {error}", from.name()));
}

/// So many pings, with further arguments.
pub(crate) fn counted(from: &Namespace, to: &str, count: u32, more: &[&str]) -> Ping {
    ping(from, to, count, EVERY, more).unwrap()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
