//! Commands of our own on DPDK's telemetry socket: their numbers are those of the gateway, and nobody who asks badly touches traffic.

use crate::answers::json;
use crate::client::Client;
use crate::packets::tagged;
use crate::rig::{HOST, Options, Rig, Source, lan_frame};
use culvert::dpdk::{Eal, EalOptions, HugePages};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket};
use serde_json::{Value, json as value};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// DPDK leaves its folder there.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A gateway on an EAL with a telemetry socket, that socket, and the name that DPDK goes by.
fn rig() -> (Rig, PathBuf, String, Folder) {
    let prefix = format!("culvert-test-{}", std::process::id());
    let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(256).telemetry(true).file_prefix(&prefix);
    let eal = Eal::init(&options).unwrap();
    let folders = [
        "/var/run/dpdk".to_owned(),
        "/tmp/dpdk".to_owned(),
        std::env::var("XDG_RUNTIME_DIR").unwrap_or_default() + "/dpdk",
    ];
    let places = folders.iter().map(|folder| Path::new(folder).join(&prefix).join("dpdk_telemetry.v2"));
    let path = places.into_iter().find(|path| path.exists()).expect("a telemetry socket");
    let folder = Folder(path.parent().unwrap().to_owned());
    (Rig::new_on(eal, &Options::default()), path, prefix, folder)
}

fn dial(path: &Path) -> OwnedFd {
    let fd = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&fd, &SocketAddrUnix::new(path).unwrap()).unwrap();
    // It begins by saying who it is.
    assert!(hear(&fd)["version"].as_str().unwrap().starts_with("DPDK "));
    fd
}

fn hear(fd: &OwnedFd) -> Value {
    let mut bytes = vec![0; 16_384];
    let (len, _) = recv(fd, &mut bytes[..], RecvFlags::empty()).unwrap();
    serde_json::from_slice(&bytes[..len]).unwrap()
}

fn ask(fd: &OwnedFd, command: &str) -> Value {
    send(fd, command.as_bytes(), SendFlags::empty()).unwrap();
    hear(fd)
}

fn blast(rig: &mut Rig, client: &mut Client, packets: u32) {
    let inner = client.inner();
    let inward: Vec<_> = (0..packets).map(|n| client.data(&tagged(&inner, HOST, n, 96))).collect();
    let outward: Vec<_> = (0..packets).map(|n| lan_frame(&tagged(HOST, &inner, n, 96))).collect();
    rig.blast(vec![Source::outer(0, inward), Source::inner(0, outward)], |_, _, _| ());
}

/// Debian's, installed or as `configs/setup.sh test` unpacks it.
fn script() -> Option<PathBuf> {
    let tools = std::env::var_os("CULVERT_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
    let places = [tools.join("bin/dpdk-telemetry.py"), PathBuf::from("/usr/bin/dpdk-telemetry.py")];
    let found = places.into_iter().find(|place| place.is_file());
    if found.is_none() {
        println!("!!! SKIPPED: dpdk-telemetry.py is not there: `configs/setup.sh test` gets it");
    }
    found
}

#[test]
fn telemetry_tells_what_the_gateway_counts() {
    culvert::gateway::logs::init(culvert::config::LogFormat::Text);
    let (mut rig, path, prefix, _folder) = rig();
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    blast(&mut rig, &mut client, 200);
    let nobodys: Vec<_> = (0..7).map(|n| lan_frame(&tagged(HOST, "10.99.0.1", n, 64))).collect();
    rig.blast(vec![Source::inner(0, nobodys)], |_, _, _| ());

    let fd = dial(&path);
    let listed = ask(&fd, "/")["/"].to_string();
    for command in ["/culvert/peers/summary", "/culvert/drops", "/culvert/ports", "/culvert/cores", "/culvert/core"] {
        assert!(listed.contains(command), "{listed}");
        assert!(ask(&fd, &format!("/help,{command}")).to_string().contains("arameters"), "{command}");
    }
    let peers = &ask(&fd, "/culvert/peers/summary")["/culvert/peers/summary"];
    assert_eq!(*peers, value!({ "peers": 1, "connected": 1, "wg0/peers": 1, "wg0/connected": 1 }));
    let ports = ask(&fd, "/culvert/ports")["/culvert/ports"].clone();
    for row in json(&rig, "show port stats all")["port_stats"].as_array().unwrap() {
        let of = |what: &str| &ports[format!("{}/{what}", row["name"].as_str().unwrap())];
        assert_eq!((of("rx_packets"), of("tx_packets")), (&row["rx_packets"], &row["tx_packets"]));
    }
    let drops = ask(&fd, "/culvert/drops")["/culvert/drops"].clone();
    for row in json(&rig, "show drops")["drops"].as_array().unwrap() {
        let side = if row["where"] == "control" { "control" } else { "data" };
        assert_eq!(drops[format!("{side}/{}", row["reason"].as_str().unwrap())], row["packets"], "{row} {drops}");
    }
    let cores = ask(&fd, "/culvert/cores")["/culvert/cores"].clone();
    let name = cores.as_object().unwrap().keys().next().unwrap().split('/').next().unwrap().to_owned();
    // DPDK takes no other marks in names.
    let number = name.strip_prefix("core_").unwrap();
    let core = &ask(&fd, &format!("/culvert/core,{number}"))["/culvert/core"];
    assert_eq!(core["name"], format!("core-{number}"));
    assert!(core["turns"].as_u64() > Some(0) && core["aead/packets"].is_u64(), "{core}");

    if let Some(script) = script() {
        let mut command = Command::new("python3");
        command.arg(script).args(["-f", &prefix]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"/culvert/peers/summary\n/culvert/core,999\nquit\n").unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(said.contains("\"connected\": 1") || said.contains("\"connected\":1"), "{said}");
    }
    rig.finish();
}

/// Ten callers hold all places and read nothing, one asks nonsense, and traffic passes in order meanwhile; when the gateway is gone
/// nobody is answered in its name.
#[test]
fn callers_of_telemetry_touch_no_traffic_and_outlive_the_gateway() {
    let (mut rig, path, _, _folder) = rig();
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let fd = dial(&path);
    for nonsense in
        ["/culvert/core", "/culvert/core,", "/culvert/core,nine", "/culvert/core,-1", "/culvert/core,\u{7f}"]
    {
        assert!(ask(&fd, nonsense)["/culvert/core"].is_null(), "{nonsense}");
    }
    let idle: Vec<OwnedFd> = (0..5).map(|_| dial(&path)).collect();
    let sent = rig.traffic_during(&mut client, || {
        for _ in 0..500 {
            // Nobody reads these answers, until the socket is full.
            let _full = send(&idle[0], b"/culvert/drops", SendFlags::DONTWAIT);
            assert!(ask(&fd, "/culvert/peers/summary")["/culvert/peers/summary"]["peers"] == 1);
        }
    });
    assert!(sent > 0);
    rig.finish();
    assert!(ask(&fd, "/culvert/peers/summary")["/culvert/peers/summary"].is_null(), "it is gone");
}
