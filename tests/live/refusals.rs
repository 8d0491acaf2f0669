//! Bad input: one clear sentence with the mend, exit code 2, and nothing left behind.

use crate::bench::{bench, pings, programs};
use culvert::cli::lab::{Gateway, HOST_V4, KeyPair, Lab};
use std::time::Duration;

/// What is done to a good configuration, by replacing text in it or in its peers; and what has to be said then.
struct Case {
    what: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
    said: &'static [&'static str],
}

const CASES: [Case; 12] = [
    case(
        "a key file that is missing",
        "private_key_file = \"gateway.key\"",
        "private_key_file = \"none.key\"",
        &["none.key", "no such file", "wg genkey"],
    ),
    case("a port that cannot be probed", "iface=wan0", "iface=wan7", &["wan7"]),
    case("a NIC that is not there", "net_af_packet0,iface=wan0,qpairs=1", "0000:ff:1f.7", &["0000:ff:1f.7"]),
    case("a driver that does not exist", "net_af_packet0", "net_nonsense0", &["net_nonsense0"]),
    case(
        "a core that does not exist",
        "[cores]",
        "[cores]\nio = [999]",
        &["[cores] io", "core 999 does not exist", "Name c"],
    ),
    case("too little memory", "[crypto]", "[memory]\nmbufs = 16777216\n[crypto]", &["MiB"]),
    case("a key that does not exist", "max_peers", "max_pears", &["max_pears", "Did you mean max_peers?"]),
    case("no interface", "[[interface]]", "[[port]]", &["[[port]]"]),
    case("an address that is none", "192.0.2.10/24", "192.0.2.300/24", &["192.0.2.300/24"]),
    case("a cipher that does not exist", "[crypto]", "[crypto]\nbackend = \"rot13\"", &["rot13", "portable"]),
    peers("a peer without a key", "AllowedIPs = 10.1.0.0/16", &["peers.conf:1", "PublicKey"]),
    peers("a key that is none", "PublicKey = abc", &["peers.conf:2", "PublicKey is not"]),
];

const fn case(what: &'static str, old: &'static str, new: &'static str, said: &'static [&'static str]) -> Case {
    Case { what, file: "culvert.toml", old, new, said }
}

const fn peers(what: &'static str, line: &'static str, said: &'static [&'static str]) -> Case {
    Case { what, file: "peers.conf", old: "", new: line, said }
}

#[test]
fn bad_configurations_are_refused_with_their_mend() {
    // A good one first, so that its files are there, and it is known to be good.
    let bench = bench(1);
    let good = std::fs::read_to_string(bench.lab.file("culvert.toml")).unwrap();
    pings(bench.client(1).namespace(), HOST_V4);
    let crate::bench::Bench { gateway, lab } = bench;
    gateway.stop().unwrap();
    let mut faults = Vec::new();
    for case in CASES {
        if let Err(fault) = refused(&lab, &good, &case) {
            faults.push(format!("{}: {fault}", case.what));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn refused(lab: &Lab, good: &str, case: &Case) -> Result<(), String> {
    let (mut config, mut sections) = (good.to_owned(), String::new());
    match case.file {
        "peers.conf" => sections = format!("[Peer]\n{}\n", case.new),
        _ => {
            assert!(good.contains(case.old), "{}: {} is not in {good}", case.what, case.old);
            config = good.replace(case.old, case.new);
        }
    }
    lab.write("peers.conf", &sections).unwrap();
    let file = lab.write("culvert.toml", &config).unwrap();
    let before = lab.sockets();
    let output = Gateway::refused(lab, &programs(), &file).map_err(|error| error.to_string())?;
    let mut lines = output.err.lines().filter(|line| line.starts_with("culvertd: "));
    let (line, more) = (lines.next().unwrap_or_default(), lines.next());
    if output.code != 2 || line.is_empty() || more.is_some() {
        return Err(format!("exit code {}, said {}{}", output.code, output.err, output.out));
    }
    if let Some(missing) = case.said.iter().find(|part| !line.contains(**part)) {
        return Err(format!("{missing:?} is not in {line:?}"));
    }
    // What DPDK's own log said may stand below.
    if !line.ends_with(['.', '?']) && !line.ends_with("DPDK said:") {
        return Err(format!("{line:?} is no sentence"));
    }
    if lab.sockets() != before || lab.file("culvert.sock").exists() {
        return Err(format!("left {:?}", lab.sockets()));
    }
    Ok(())
}

/// The address of culvertd's metrics or its sockets in someone else's hands, and files that are open to others.
#[test]
fn a_private_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new(0).unwrap();
    let key = lab.write("gateway.key", &KeyPair::new().unwrap().private).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = "[[port]]\nname = \"a\"\ndevice = \"net_null0\"\nrole = \"both\"\naddresses = [\"10.0.0.1/24\"]\n\
                [[interface]]\nname = \"NAME\"\nprivate_key_file = \"gateway.key\"\n"
        .replace("NAME", &lab.unique("gw"));
    let file = lab.write("culvert.toml", &text).unwrap();
    let output = Gateway::refused(&lab, &programs(), &file).unwrap();
    assert_eq!(output.code, 2, "{}", output.err);
    assert!(output.err.contains("chmod 600"), "{}", output.err);
}

#[test]
fn a_configuration_that_is_missing_is_refused() {
    let programs = programs();
    let program = programs.culvertd.to_string_lossy();
    let output =
        culvert::cli::lab::output(&[&program, "--config", "/nowhere/culvert.toml"], Duration::from_secs(10)).unwrap();
    assert_eq!(output.code, 2);
    assert!(output.err.contains("/nowhere/culvert.toml: there is no such file."), "{}", output.err);
}
