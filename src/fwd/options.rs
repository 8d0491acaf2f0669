//! What stands behind `--`: testpmd's own arguments.

use super::Mode;
use super::packet::FRONT;
use crate::frame::BURST;
use crate::wire::MacAddr;
use std::time::Duration;

/// The largest frame that is made: an MTU of 1,500 with its Ethernet header.
const LARGEST: usize = 1514;

/// How TX ports are found (`--port-topology`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Topology {
    /// 0 and 1, 2 and 3, …; an odd one by itself.
    #[default]
    Paired,
    /// Each to the next one, the last to the first.
    Chained,
    /// Each to itself.
    Loop,
}

/// How a lab is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabOptions {
    /// A prompt.
    pub interactive: bool,
    /// Forwarding begins before it.
    pub auto_start: bool,
    /// It begins with a burst of made packets.
    pub tx_first: bool,
    /// Statistics come again and again.
    pub stats_period: Option<Duration>,
    /// Commands that come first.
    pub cmdline_file: Option<String>,
    /// Help is wanted.
    pub help: bool,
    pub(super) mode: Mode,
    pub(super) cores: usize,
    /// Those that forward, if they were named.
    pub(super) core_list: Option<Vec<u32>>,
    /// What is shown of packets: 1 those received, 2 those sent.
    pub(super) verbose: u8,
    /// A bit a port; 0: all.
    pub(super) ports: u64,
    pub(super) rx_queues: u16,
    pub(super) tx_queues: u16,
    pub(super) rx_desc: u16,
    pub(super) tx_desc: u16,
    pub(super) burst: usize,
    pub(super) packet_len: usize,
    pub(super) cache: u32,
    pub(super) mbufs: Option<u32>,
    pub(super) data_room: Option<u16>,
    pub(super) record: bool,
    pub(super) rss: bool,
    /// What waits in RX queues at a start is given back.
    pub(super) flush: bool,
    pub(super) topology: Topology,
    pub(super) peers: Vec<(u16, MacAddr)>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            interactive: false,
            auto_start: false,
            tx_first: false,
            stats_period: None,
            cmdline_file: None,
            help: false,
            mode: Mode::default(),
            cores: 1,
            core_list: None,
            verbose: 0,
            ports: 0,
            rx_queues: 1,
            tx_queues: 1,
            rx_desc: 1024,
            tx_desc: 1024,
            burst: BURST,
            packet_len: 64,
            cache: 250,
            mbufs: None,
            data_room: None,
            record: false,
            rss: true,
            flush: true,
            topology: Topology::default(),
            peers: Vec::new(),
        }
    }
}

/// One argument: as `--rxq`, as `-i` or empty, what it takes or empty, and what it does.
#[derive(Debug)]
pub struct Opt {
    /// With its dashes.
    pub long: &'static str,
    /// With its dash; may be empty.
    pub short: &'static str,
    /// What it takes; empty: nothing.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
}

const fn opt(long: &'static str, short: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { long, short, value, help }
}

/// All of them.
pub static OPTIONS: &[Opt] = &[
    opt("--interactive", "-i", "", "a prompt; else forwarding starts, until Enter or Ctrl-C"),
    opt("--auto-start", "-a", "", "forwarding starts before the prompt comes"),
    opt("--tx-first", "", "", "forwarding starts with a burst of made packets; with -i, only beside -a"),
    opt("--stats-period", "", "SECONDS", "without a prompt: ports' statistics, again and again"),
    opt("--cmdline-file", "", "FILE", "does the commands of FILE first; the first that fails ends it all, by its line"),
    opt("--forward-mode", "", "MODE", "what is done with packets, as the command `set fwd`"),
    opt("--nb-cores", "", "N", "cores that forward, at most as many as -l names beside the main one; 1"),
    opt("--portmask", "", "MASK", "ports that are used, a bit each, hexadecimal; all"),
    opt("--port-topology", "", "paired|chained|loop", "by which port packets leave; paired"),
    opt("--eth-peer", "", "PORT,MAC", "to whom a port sends; 02:00:00:00:00 and the port's number"),
    opt("--rxq", "", "N", "RX queues a port; 1"),
    opt("--txq", "", "N", "TX queues a port; 1"),
    opt("--rxd", "", "N", "descriptors an RX queue, within the driver's limits; 1024"),
    opt("--txd", "", "N", "descriptors a TX queue, within the driver's limits; 1024"),
    opt("--burst", "", "N", "packets a burst, 1 to 32; 32"),
    opt("--txpkts", "", "BYTES", "length of the frames that are made, 42 to 1514 (mode wireguard: 1454); 64"),
    opt("--mbcache", "", "N", "mbufs that each core keeps to itself; 250"),
    opt("--total-num-mbufs", "", "N", "mbufs of the pool; as many as queues and cores can hold"),
    opt("--mbuf-size", "", "BYTES", "bytes of each, the headroom of 128 included; what the ports' MTU wants"),
    opt("--disable-rss", "", "", "packets are not spread over RX queues"),
    opt("--no-flush-rx", "", "", "what waits in RX queues at a start is forwarded too: for net_pcap"),
    opt("--record-core-cycles", "", "", "counts the cycles a packet, as `set record-core-cycles on`"),
    opt("--no-mlockall", "", "", "taken for testpmd's sake: memory is not locked anyway"),
    opt("--help", "-h", "", "lists these"),
];

/// What is wrong with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; `culvert pmd -- --help` lists what may stand behind --")]
pub struct OptionError(String);

impl LabOptions {
    /// Takes the words behind `--` apart. As testpmd, it takes long ones cut short while they stay clear.
    ///
    /// # Errors
    /// [`OptionError`].
    pub fn parse(words: &[String]) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if word.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let found = find(name)?;
            let value = match (found.value, value) {
                ("", None) => String::new(),
                ("", Some(_)) => return Err(OptionError(format!("{} takes no value", found.long))),
                (_, Some(value)) => value,
                (what, None) => {
                    words.next().cloned().ok_or_else(|| OptionError(format!("{} wants {what}", found.long)))?
                }
            };
            options.set(found.long, &value).map_err(|why| OptionError(format!("{}={value}: {why}", found.long)))?;
        }
        options.must_agree().map_err(|why| OptionError(why.to_owned()))?;
        Ok(options)
    }

    /// Refuses what would do nothing beside the others.
    fn must_agree(&self) -> Result<(), &'static str> {
        if self.interactive && self.tx_first && !self.auto_start {
            return Err("--tx-first with -i wants -a too, or say `start tx_first` at the prompt");
        }
        if self.interactive && self.stats_period.is_some() {
            return Err("--stats-period is for a run without -i; say `show port stats all --watch=1` at the prompt");
        }
        Ok(())
    }

    fn set(&mut self, long: &str, value: &str) -> Result<(), String> {
        match long {
            "--interactive" => self.interactive = true,
            "--auto-start" => self.auto_start = true,
            "--tx-first" => self.tx_first = true,
            "--stats-period" => self.stats_period = Some(Duration::from_secs(number(value, 1, 86_400)?)),
            "--cmdline-file" => self.cmdline_file = Some(value.to_owned()),
            "--forward-mode" => self.mode = mode(value)?,
            "--nb-cores" => self.cores = number(value, 1, 128)?,
            "--portmask" => self.ports = mask(value)?,
            "--port-topology" => self.topology = topology(value)?,
            "--eth-peer" => self.peers.push(peer(value)?),
            "--rxq" => self.rx_queues = number(value, 1, 1024)?,
            "--txq" => self.tx_queues = number(value, 1, 1024)?,
            "--rxd" => self.rx_desc = number(value, 1, 32_768)?,
            "--txd" => self.tx_desc = number(value, 1, 32_768)?,
            "--burst" => self.burst = burst(value)?,
            "--txpkts" => self.packet_len = packet_len(value)?,
            "--mbcache" => self.cache = number(value, 0, 512)?,
            "--total-num-mbufs" => self.mbufs = Some(number(value, 64, 1 << 28)?),
            "--mbuf-size" => self.data_room = Some(number(value, 256, u64::from(u16::MAX))?),
            "--disable-rss" => self.rss = false,
            "--no-flush-rx" => self.flush = false,
            "--record-core-cycles" => self.record = true,
            "--help" => self.help = true,
            _ => {}
        }
        Ok(())
    }
}

fn find(name: &str) -> Result<&'static Opt, OptionError> {
    let exact = OPTIONS.iter().find(|opt| opt.long == name || !opt.short.is_empty() && opt.short == name);
    if let Some(opt) = exact {
        return Ok(opt);
    }
    let mut begun = OPTIONS.iter().filter(|opt| name.len() > 2 && opt.long.starts_with(name));
    match (begun.next(), begun.next()) {
        (Some(opt), None) => Ok(opt),
        (Some(one), Some(other)) => {
            Err(OptionError(format!("{name} is short for several: {}, {}", one.long, other.long)))
        }
        _ => Err(OptionError(format!("there is no argument {name:?}{}", guess(name, OPTIONS.iter().map(|o| o.long))))),
    }
}

/// What was probably meant, to be put behind what is wrong.
pub(super) fn guess<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> String {
    let near = known.map(|known| (strsim::damerau_levenshtein(known, word), known));
    let nearest = near.filter(|(distance, known)| *distance <= 3.min(known.len() / 2)).min();
    nearest.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

fn number<N: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<N, String> {
    let parsed = text.parse::<u64>().ok().filter(|n| (least..=most).contains(n)).and_then(|n| N::try_from(n).ok());
    parsed.ok_or_else(|| format!("a number from {least} to {most} is wanted"))
}

/// A mode by its name.
pub(super) fn mode(text: &str) -> Result<Mode, String> {
    let names = Mode::ALL.map(Mode::name);
    Mode::of(text).ok_or_else(|| {
        format!("there is no such mode{}; there are {}", guess(text, names.into_iter()), names.join(", "))
    })
}

/// Packets a burst.
pub(super) fn burst(text: &str) -> Result<usize, String> {
    number(text, 1, BURST as u64)
}

/// Bytes of a frame that is made.
pub(super) fn packet_len(text: &str) -> Result<usize, String> {
    number(text, FRONT as u64, LARGEST as u64)
}

fn mask(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mask = u64::from_str_radix(digits, 16).ok().filter(|mask| *mask != 0);
    mask.ok_or_else(|| "a hexadecimal number but 0 is wanted, as 0x3 for the ports 0 and 1".to_owned())
}

fn topology(text: &str) -> Result<Topology, String> {
    match text {
        "paired" => Ok(Topology::Paired),
        "chained" => Ok(Topology::Chained),
        "loop" => Ok(Topology::Loop),
        _ => Err("there are paired, chained and loop".to_owned()),
    }
}

/// A port and whom it sends to.
pub(super) fn peer(text: &str) -> Result<(u16, MacAddr), String> {
    let (port, mac) = text.split_once(',').ok_or("a port's number, a comma and a MAC address are wanted")?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port's number"))?;
    Ok((port, mac.parse().map_err(|_| format!("{mac:?} is no MAC address"))?))
}

impl Topology {
    /// By which of `count` ports leaves what comes by the one of this place.
    pub(super) fn tx_of(self, at: usize, count: usize) -> usize {
        match self {
            Self::Paired if at ^ 1 < count => at ^ 1,
            Self::Chained => (at + 1) % count.max(1),
            Self::Paired | Self::Loop => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<LabOptions, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        LabOptions::parse(&words).map_err(|error| error.0)
    }

    #[test]
    fn testpmds_arguments_are_taken() {
        let options =
            parsed("-i -a --rxq=2 --txq 2 --forward-mode=rxonly --portmask=0x5 --eth-peer=1,02:00:00:00:00:99 --tx-f")
                .unwrap();
        assert!(options.interactive && options.tx_first && options.auto_start);
        assert_eq!((options.rx_queues, options.tx_queues, options.mode, options.ports), (2, 2, Mode::RxOnly, 5));
        assert_eq!(options.peers, [(1, MacAddr([2, 0, 0, 0, 0, 0x99]))]);
        assert_eq!(parsed("--stats-period 3").unwrap().stats_period, Some(Duration::from_secs(3)));
    }

    #[test]
    fn every_argument_does_something() {
        let still = LabOptions::default();
        for opt in OPTIONS.iter().filter(|opt| opt.long != "--no-mlockall") {
            let value = match opt.value {
                "" => "",
                "MODE" => "=mac",
                "PORT,MAC" => "=0,02:00:00:00:00:07",
                "paired|chained|loop" => "=loop",
                "BYTES" => "=512",
                "N" if opt.long == "--total-num-mbufs" => "=77",
                _ => "=7",
            };
            assert_ne!(parsed(&format!("{}{value}", opt.long)).unwrap(), still, "{}", opt.long);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("--forward-mode=mca", "--forward-mode=mca: there is no such mode; did you mean mac?"),
            ("--rxqs=1", "there is no argument \"--rxqs\"; did you mean --rxq?"),
            ("--port=1", "--port is short for several: --portmask, --port-topology"),
            ("--rxq", "--rxq wants N"),
            ("--rxq=0", "--rxq=0: a number from 1 to 1024 is wanted"),
            ("--burst=64", "--burst=64: a number from 1 to 32 is wanted"),
            ("-i=1", "there is no argument \"-i=1\""),
            ("--interactive=1", "--interactive takes no value"),
            ("--portmask=0", "--portmask=0: a hexadecimal number but 0"),
            ("x", "there is no argument \"x\""),
            ("--tx-first -i", "--tx-first with -i wants -a too"),
            ("-i -a --stats-period=1", "--stats-period is for a run without -i"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.starts_with(said), "{line}: {error}");
        }
    }

    #[test]
    fn topologies() {
        let all = |topology: Topology, count| (0..count).map(|at| topology.tx_of(at, count)).collect::<Vec<_>>();
        assert_eq!(all(Topology::Paired, 4), [1, 0, 3, 2]);
        assert_eq!(all(Topology::Paired, 3), [1, 0, 2]);
        assert_eq!(all(Topology::Chained, 3), [1, 2, 0]);
        assert_eq!(all(Topology::Loop, 2), [0, 1]);
    }
}
