//! Files that change under a running gateway: SIGHUP, `culvert reload`, and `wg` beside them.

use crate::bench::{Bench, bench, eventually, no_pings, peers, pings, programs};
use crate::control::{conf, undisturbed};
use culvert::cli::lab::{Gateway, HOST_V4, KeyPair, Lab, Options, Peer, Programs};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

fn hang_up(gateway: &Gateway) {
    let process = Pid::from_raw(gateway.id().cast_signed()).unwrap();
    kill_process(process, Signal::HUP).unwrap();
}

/// Writes the peers file.
fn file(lab: &Lab, sections: &[Peer]) {
    let text: String = sections.iter().map(ToString::to_string).collect();
    lab.write("peers.conf", &text).unwrap();
}

fn stranger(allowed_ips: &str) -> Peer {
    Peer { public: KeyPair::new().unwrap().public, allowed_ips: allowed_ips.into(), ..Peer::default() }
}

/// How often the log says so.
fn said(bench: &Bench, words: &str) -> usize {
    bench.gateway.said().matches(words).count()
}

#[test]
fn a_hang_up_reloads_and_leaves_the_others_alone() {
    let bench = bench(3);
    let (one, two, three) = (bench.client(1), bench.client(2), bench.client(3));
    pings(one.namespace(), HOST_V4);
    pings(three.namespace(), HOST_V4);
    let added = stranger("10.88.0.0/16");
    undisturbed(&bench, || {
        // Client 3 goes, a new one comes.
        file(&bench.lab, &[one.peer(), two.peer(), added.clone()]);
        hang_up(&bench.gateway);
        eventually("a reload", || {
            said(&bench, "reload: peers: 1 added, 0 changed, 1 removed, 0 kept, 2 as they were") == 1
        });
        no_pings(three.namespace(), HOST_V4);
        pings(one.namespace(), HOST_V4);
    });
    let all = bench.gateway.wg(&["show", bench.gateway.interface(), "allowed-ips"]).unwrap();
    assert!(all.contains(&format!("{}\t10.88.0.0/16", added.public)) && !all.contains(&three.keys().public), "{all}");

    // A file with an error: its line is in the log, and nothing changes.
    bench.lab.write("peers.conf", "[Peer]\nPublicKey = x\n").unwrap();
    undisturbed(&bench, || {
        hang_up(&bench.gateway);
        eventually("an error", || said(&bench, "reload: nothing has changed") == 1);
        let why = bench.gateway.culvert(&["reload"]).unwrap_err().to_string();
        assert!(why.contains("peers.conf:2: [Peer]: PublicKey"), "{why}");
    });
    assert_eq!(bench.gateway.wg(&["show", bench.gateway.interface(), "allowed-ips"]).unwrap(), all);
    pings(one.namespace(), HOST_V4);
    bench.finish();
}

/// `wg set` and `wg syncconf`, `peer add`, `peer remove`, `reload` and `peers save` see what the others did.
#[test]
fn wg_and_culvert_change_the_same_peers() {
    let bench = bench(2);
    let (one, two) = (bench.client(1), bench.client(2));
    let (interface, culvert) =
        (bench.gateway.interface(), |line: &str| bench.gateway.culvert(&line.split(' ').collect::<Vec<_>>()).unwrap());
    pings(one.namespace(), HOST_V4);
    let (by_wg, by_culvert) = (stranger("10.81.0.0/16"), stranger("10.82.0.0/16"));
    undisturbed(&bench, || {
        bench.gateway.wg(&["set", interface, "peer", &by_wg.public, "allowed-ips", &by_wg.allowed_ips]).unwrap();
        culvert(&format!("peer add {} name tower allowed-ips {}", by_culvert.public, by_culvert.allowed_ips));
        let shown = bench.gateway.wg(&["show", interface, "allowed-ips"]).unwrap();
        assert!(shown.contains(&format!("{}\t10.82.0.0/16", by_culvert.public)), "{shown}");
        assert!(culvert("show lookup 10.81.1.1").contains(&by_wg.public));
        let diff = culvert("config diff");
        assert!(diff.contains(&by_wg.public) && diff.contains("tower") && diff.contains("came by a socket"), "{diff}");

        // What is saved is no difference, and a reload leaves it.
        culvert("peers save");
        assert!(culvert("reload").contains("No peer differs."));
        let saved = std::fs::read_to_string(bench.lab.file("peers.conf")).unwrap();
        assert!(
            saved.contains("# friendly_name = tower\n") && saved.contains(&two.peer().preshared.unwrap()),
            "{saved}"
        );
        bench.gateway.wg(&["set", interface, "peer", &by_culvert.public, "remove"]).unwrap();
        assert!(culvert("config diff").contains("added"), "the file has it");
        culvert("reload");
        assert!(culvert("show peer tower").contains(&by_culvert.public));

        // wg's whole new set, and ours again.
        conf(&bench, "syncconf", &[one.peer(), two.peer()]);
        assert!(!culvert("show peers").contains("tower"));
        culvert("reload");
        culvert("peer remove tower");
        let shown = bench.gateway.wg(&["show", interface, "peers"]).unwrap();
        assert!(shown.contains(&by_wg.public) && !shown.contains(&by_culvert.public), "{shown}");
        pings(one.namespace(), HOST_V4);
    });
    bench.finish();
}

/// systemd's `Type=notify-reload` waits for these.
#[test]
fn systemd_is_told_of_a_reload() {
    let lab = Lab::new(1).unwrap();
    let socket = UnixDatagram::bind(lab.file("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let Programs { culvertd, culvert } = programs();
    let script = format!(
        "#!/bin/sh\nexport NOTIFY_SOCKET='{}'\nexec '{}' \"$@\"\n",
        lab.file("notify").display(),
        culvertd.display()
    );
    let wrapper = lab.write("culvertd", &script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o700)).unwrap();
    let known = peers(&lab);
    let gateway = Gateway::start(&lab, &Programs { culvertd: wrapper, culvert }, &Options::default(), &known).unwrap();
    // Before that it says what the start is at.
    assert!((0..20).any(|_| told().contains("READY=1")));
    hang_up(&gateway);
    let reloading = told();
    let mut lines = reloading.lines();
    assert_eq!(lines.next(), Some("RELOADING=1"));
    assert!(lines.next().unwrap().strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
    assert!(told().contains("READY=1"));
    assert!(gateway.said().contains("1 as they were"), "{}", gateway.said());
    gateway.stop().unwrap();
    assert!(told().contains("STOPPING=1"));
}
