//! The manual pages culvertd(8), of its arguments, and culvert.toml(5), of the configuration's schema.

use super::arguments::GatewayArguments;
use super::front::Failure;
use crate::config::{KeyReference, reference};
use clap::CommandFactory;
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};
use std::io::Write;

const VERSION: &str = concat!("culvert ", env!("CARGO_PKG_VERSION"));

const RESTART: &[&str] = &[
    "systemctl restart, and so an upgrade of the package, ends no session: with keep_sessions = true in [control] the culvertd that ends \
     hands sessions, counters and the places of peers to the one that begins, and clients need no handshake. They are handed over in \
     memory alone, a sealed memory file in systemd's fd store (FileDescriptorStoreMax= in the unit), and can be taken once. Without them, after \
     systemctl stop, a crash or a reboot, clients make new sessions by themselves, which takes up to 15 seconds. So systemctl stop and \
     start is how to throw all sessions away.",
    "Dropped, and counted in one line of the log, are sessions of peers that are gone, of another private or preshared key, and those \
     older than 180 seconds. On a machine that swaps to a disk that is not encrypted no session is kept, since keys could be \
     written there.",
    "Any other supervisor can do the same. At $NOTIFY_SOCKET it gets a descriptor with FDSTORE=1 and FDNAME=culvert-sessions, keeps it, and \
     closes what comes with BARRIER=1 when all before that is done. It hands it to the next culvertd as descriptor 3, with LISTEN_PID, LISTEN_FDS=1 and \
     LISTEN_FDNAMES=culvert-sessions, and lets go of it at FDSTOREREMOVE=1 (sd_notify(3), sd_listen_fds(3)).",
];

const SYSTEMD: &[&str] = &[
    "The unit culvertd.service has Type=notify. While culvertd starts, systemctl status shows what it is at, and each step asks for two minutes more; \
     it is ready when the ports are up and the peers are loaded. For Type=notify-reload (systemd 253 and later) it says when a reload begins and ends.",
    "With WatchdogSec= it feeds the watchdog four times in that time, as long as every I/O core, every worker, every handshake thread and the control \
     thread turns. One that does not is named in the log and in systemctl status; if it stays so, systemd ends culvertd and starts it again.",
    "The unit hands the private key over by LoadCredential=: in the configuration private_key_file = \"$CREDENTIALS_DIRECTORY/private-key\" is \
     /etc/culvert/private.key, which root alone can read; without that file the \
     start fails with status 243/CREDENTIALS. Further keys need a line each in a drop-in (systemctl edit culvertd).",
    "What the unit does not give and some need is in /usr/share/doc/culvert/examples as drop-ins: CAP_NET_RAW for ports by net_af_packet and for NICs of NVIDIA, and what DPDK \
     needs without an IOMMU.",
];

const PRIVILEGES: &[&str] = &[
    "The unit runs culvertd as the user culvert, with CAP_IPC_LOCK, CAP_NET_ADMIN and CAP_SYS_NICE. Started as root without a unit, culvertd becomes \
     that user (or the one of --user) by itself once its ports are up, with the same capabilities in the threads that use them and none in the \
     others, and for good. If there is no such user it warns and stays root; --user root stays root without a warning. Anybody else than root \
     stays who it is.",
    "What it read as root it may not be able to read again: the log names each file that a reload would need, and what mends that. Its folders of \
     sockets become the user's if they are culvert's own (/run/culvert, /run/wireguard) or new; culvert peers save writes beside the peers file, whose \
     folder has to be the user's for that.",
    "A private key that others than its owner can read is refused. culvertd dumps no core (RLIMIT_CORE and PR_SET_DUMPABLE are 0), and other \
     processes of its user can neither trace it nor read its memory.",
];

/// culvertd(8), in troff.
pub(super) fn culvertd(out: &mut dyn Write) -> Result<(), Failure> {
    let man = Man::new(GatewayArguments::command()).title("CULVERTD").section("8").source(VERSION).manual("culvert");
    let mut head = Vec::new();
    man.render_title(&mut head)?;
    man.render_name_section(&mut head)?;
    man.render_synopsis_section(&mut head)?;
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    out.write_all(&head)?;
    let mut page = Roff::new();
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "culvertd takes the ports that its configuration names from the kernel, and is a WireGuard gateway between them: clients on the \
         outer ports, plain packets on the inner ones. It routes, and translates no addresses. It stays in the foreground.",
    )]);
    page.control("PP", []);
    page.text([roman("culvert(1) asks and orders it while it runs; so does wg(8). What keeps it from starting, culvert doctor finds.")]);
    write!(out, "{}", page.render())?;
    out.write_all(&options)?;
    Ok(write!(out, "{}", rest_of_culvertd().render())?)
}

fn rest_of_culvertd() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["SIGNALS"]);
    page.control("TP", []).text([bold("SIGTERM"), roman(", "), bold("SIGINT")]);
    page.text([roman("No more packets are taken; those inside are sent; then it ends.")]);
    page.control("TP", []).text([bold("SIGHUP")]);
    page.text([roman(
        "The files are read again, as culvert reload has them read: what differs is logged and done, without touching peers that are alike; what \
         needs a restart is named; with an error nothing changes.",
    )]);
    for (heading, paragraphs) in [("SYSTEMD", SYSTEMD), ("RESTART", RESTART), ("PRIVILEGES", PRIVILEGES)] {
        page.control("SH", [heading]);
        for paragraph in paragraphs {
            page.control("PP", []).text([roman(*paragraph)]);
        }
    }
    page.control("SH", ["EXIT STATUS"]).text([roman(
        "0: it was stopped, and every packet was accounted for. 1: some were not. 2: it could not start; the last line on the standard \
         error says what, where and what mends it.",
    )]);
    page.control("SH", ["ENVIRONMENT"]);
    for (name, what) in [
        (
            "CULVERT_LOG",
            "How much is logged: off, error, warn, info (if it is not set), debug or trace; or a level for a target, as info,dpdk=debug. \
          culvert set log changes it while culvertd runs.",
        ),
        (
            "CULVERT__SECTION__KEY",
            "A key of the configuration, over all files: CULVERT__CORES__IO=1,2, CULVERT__PORT__WAN__MTU=9000.",
        ),
        ("CREDENTIALS_DIRECTORY", "Where systemd put what LoadCredential= names."),
        ("NOTIFY_SOCKET", "Where systemd is told how it goes: sd_notify(3)."),
        ("WATCHDOG_USEC", "How often, in microseconds, systemd wants to hear that it goes on."),
        ("JOURNAL_STREAM", "By it [log] format = \"auto\" knows whether journald reads the standard error."),
    ] {
        page.control("TP", []).text([bold(name)]).text([roman(what)]);
    }
    page.control("SH", ["FILES"]);
    for (name, what) in [
        ("/etc/culvert/culvert.toml", "The configuration: culvert.toml(5)."),
        ("/etc/culvert/private.key", "What the unit hands over as private-key."),
        ("/run/culvert/culvert.sock", "Where culvert(1) asks."),
        ("/var/run/wireguard/INTERFACE.sock", "Where wg(8) asks."),
    ] {
        page.control("TP", []).text([italic(name)]).text([roman(what)]);
    }
    page.control("SH", ["SEE ALSO"]).text([roman("culvert(1), culvert.toml(5), wg(8)")]);
    page
}

/// culvert.toml(5), in troff.
pub(super) fn configuration(out: &mut dyn Write) -> Result<(), Failure> {
    let mut page = Roff::new();
    page.control("TH", ["CULVERT.TOML", "5", "", VERSION, "culvert"]);
    page.control("SH", ["NAME"]).text([roman("culvert.toml - the configuration of culvertd(8)")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "A TOML file. culvertd reads it, then conf.d/*.toml beside it in the order of their names, then variables such as \
         CULVERT__CORES__IO=1,2 or CULVERT__PORT__WAN__MTU=9000 (lists with commas). Later ones win; [[port]] and [[interface]] of \
         several files are put together by name. A key that does not exist is refused, and so is a value that does not fit.",
    )]);
    page.control("PP", []).text([roman(
        "culvert setup writes a first one, culvert config check FILE says what is wrong with one, and culvert doctor whether this machine \
         goes with it.",
    )]);
    for section in reference() {
        page.control("SH", [section.header.as_str()]).text([roman(section.help)]);
        for key in &section.keys {
            page.control("TP", []).text([bold(key.name), roman(" = "), italic(key.due.as_str())]);
            page.text([roman(about(key))]);
        }
    }
    page.control("SH", ["SEE ALSO"]).text([roman("culvertd(8), culvert(1), wg(8)")]);
    Ok(write!(out, "{}", page.render())?)
}

fn about(key: &KeyReference) -> String {
    match &key.default {
        Some(default) => format!("{} Default: {default}.", key.help),
        None => format!("{} Example: {}.", key.help, key.example),
    }
}
