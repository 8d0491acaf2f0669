//! Layers and values: what comes out of files and variables.

mod check;
mod refusals;
mod settings;

use super::*;
use ipnet::IpNet;
use std::fs;
use std::path::Path;

/// The least that a configuration needs; 9 lines.
const LEAST: &str = r#"[[port]]
name = "wan"
device = "net_ring0"
role = "both"
addresses = ["192.0.2.1/24"]
[[interface]]
name = "wg0"
private_key_file = "wg0.key"

"#;

fn machine(cores: usize) -> Machine {
    Machine { cores: (0..cores).collect() }
}

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| ((*name).into(), (*value).into()))
}

fn text(text: &str) -> Result<Config, ConfigError> {
    with(text, &[])
}

fn with(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    from_text(text, Path::new("culvert.toml"), variables(pairs), &machine(4))
}

fn said(result: Result<Config, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

/// PROTOCOL A1.25: an MTU of 1,420.
#[test]
fn defaults_fit_any_machine() {
    for cores in [1, 2, 64] {
        let path = Path::new("etc/culvert.toml");
        let config = from_text(LEAST, path, variables(&[]), &machine(cores)).unwrap();
        let last = cores - 1;
        let expected =
            Cores { control: 0, io: vec![last], workers: vec![last], handshake: vec![0], idle: Idle::Adaptive };
        assert_eq!(config.cores, expected);
        assert_eq!(config.check(&machine(cores)), Ok(vec![]));
        let memory = Memory { huge_pages: HugePages::Auto, mbufs: Amount::Auto, extra_eal_args: vec![] };
        assert_eq!(config.memory, memory);
        let port = Port {
            name: "wan".into(),
            device: Device::Vdev("net_ring0".into()),
            role: Role::Both,
            mtu: 1500,
            queues: Amount::Auto,
            vlan: 0,
            addresses: vec!["192.0.2.1/24".parse::<IpNet>().unwrap()],
            routes: vec![],
        };
        assert_eq!(config.ports, [port]);
        let interface = Interface {
            name: "wg0".into(),
            private_key_file: "etc/wg0.key".into(),
            listen_ports: vec![51820],
            peers_file: None,
            mtu: 1420,
            max_peers: 65_536,
            mss_clamp: false,
        };
        assert_eq!(config.interfaces, [interface]);
        assert_eq!(config.crypto.backend, Backend::Auto);
        assert_eq!(config.control.socket, Path::new("/run/culvert/culvert.sock"));
        assert_eq!(config.control.uapi_dir, Path::new("/var/run/wireguard"));
        assert!(config.control.keep_sessions);
        assert_eq!(config.metrics, Metrics { listen: Some("127.0.0.1:9586".parse().unwrap()), per_peer_max: 0 });
    }
}

/// DESIGN's own text, key for key.
#[test]
fn reads_every_key() {
    let config = text(
        r#"
[cores]
control = 0
io = [1]
workers = [2, 3]
handshake = [0]
idle = "busy"
[memory]
huge_pages = "required"
mbufs = 65_536
extra_eal_args = ["--force-max-simd-bitwidth=512"]
[[port]]
name = "wan"
device = "0000:3B:00.0"
role = "outer"
mtu = 9000
queues = 4
vlan = 7
addresses = ["203.0.113.10/24", "2001:db8::10/64"]
routes = [{ to = "0.0.0.0/0", via = "203.0.113.1" }]
[[interface]]
name = "wg0"
private_key_file = "/etc/k"
listen_ports = [51820, 443]
peers_file = "wg0.conf"
mtu = 1380
max_peers = 500000
mss_clamp = true
[crypto]
backend = "ipsec-mb"
[control]
socket = "/s"
uapi_dir = "/u"
keep_sessions = false
[metrics]
listen = "[::1]:9"
per_peer_max = 10000
"#,
    )
    .unwrap();
    assert_eq!(config.cores.workers, [2, 3]);
    assert_eq!(config.cores.idle, Idle::Busy);
    assert_eq!(config.memory.huge_pages, HugePages::Required);
    assert_eq!(config.memory.mbufs, Amount::Number(65_536));
    assert_eq!(config.memory.extra_eal_args, ["--force-max-simd-bitwidth=512"]);
    let port = &config.ports[0];
    assert_eq!(port.device, Device::Pci("0000:3b:00.0".into()));
    assert_eq!((port.role, port.mtu, port.vlan), (Role::Outer, 9000, 7));
    assert_eq!(port.queues, Amount::Number(4));
    assert_eq!(port.addresses.len(), 2);
    assert_eq!(port.routes, [Route { to: "0.0.0.0/0".parse().unwrap(), via: "203.0.113.1".parse().unwrap() }]);
    let interface = &config.interfaces[0];
    assert_eq!(interface.private_key_file, Path::new("/etc/k"));
    assert_eq!(interface.peers_file.as_deref(), Some(Path::new("wg0.conf")));
    assert_eq!(interface.listen_ports, [51820, 443]);
    assert_eq!((interface.mtu, interface.max_peers), (1380, 500_000));
    assert!(interface.mss_clamp);
    assert_eq!(config.crypto.backend, Backend::IpsecMb);
    assert_eq!(config.control.socket, Path::new("/s"));
    assert_eq!(config.control.uapi_dir, Path::new("/u"));
    assert!(!config.control.keep_sessions);
    assert_eq!(config.metrics, Metrics { listen: Some("[::1]:9".parse().unwrap()), per_peer_max: 10_000 });
}

#[test]
fn metrics_can_be_off() {
    let config = text(&format!("{LEAST}\n[metrics]\nlisten = \"\"\n"));
    assert_eq!(config.unwrap().metrics.listen, None);
}

#[test]
fn the_example_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/culvert.toml");
    let config = load_for(&path, variables(&[]), &machine(2)).unwrap();
    assert_eq!(config.check(&machine(2)), Ok(vec![]));
    // With all that is commented out put in, it says the same.
    let full: String = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let full = from_text(&full, &path, variables(&[]), &machine(2)).unwrap();
    assert_eq!(full.cores, config.cores);
    assert_eq!(full.memory, config.memory);
    assert_eq!(full.ports, config.ports);
    assert!(full.interfaces[0].peers_file.is_some());
    assert_eq!(full.interfaces[0].max_peers, config.interfaces[0].max_peers);
    assert_eq!(full.interfaces[0].mtu, config.interfaces[0].mtu);
    assert_eq!(full.crypto, config.crypto);
    assert_eq!(full.control, config.control);
    assert_eq!(full.metrics, config.metrics);
    assert_eq!(full.check(&machine(2)), Ok(vec![]));
}

#[test]
fn files_merge_by_name_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("culvert.toml");
    let parts = folder.path().join("conf.d");
    fs::create_dir(&parts).unwrap();
    fs::write(&main, LEAST).unwrap();
    let part = |name: &str, text: &str| fs::write(parts.join(name), text).unwrap();
    part("20.toml", "[[port]]\nname = \"wan\"\nmtu = 3000\n[cores]\nio = [1]");
    part(
        "10.toml",
        "[[port]]\nname = \"wan\"\nmtu = 2000\nqueues = 2\n[[port]]\nname = \"lan\"\n\
         device = \"net_ring1\"\nrole = \"inner\"\n[cores]\nio = [0, 1]\nworkers = [0]",
    );
    part("30.toml", "[[interface]]\nname = \"wg0\"\npeers_file = \"peers\"");
    part(".40.toml", "not read");
    part("40.toml~", "not read");
    let config = load_for(&main, variables(&[]), &machine(2)).unwrap();
    let names: Vec<&str> = config.ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["wan", "lan"]);
    assert_eq!(config.ports[0].mtu, 3000);
    assert_eq!(config.ports[0].queues, Amount::Number(2));
    assert_eq!(config.ports[0].addresses.len(), 1);
    assert_eq!((config.cores.io, config.cores.workers), (vec![1], vec![0]));
    // Each path is relative to the file that has it.
    let interface = &config.interfaces[0];
    assert_eq!(interface.private_key_file, folder.path().join("wg0.key"));
    assert_eq!(interface.peers_file, Some(parts.join("peers")));

    // The place of an error is the layer that won; one below it is refused as well.
    part("20.toml", "[cores]\n\nio = [9]");
    let config = load_for(&main, variables(&[]), &machine(2)).unwrap();
    let error = config.check(&machine(2)).unwrap_err();
    assert_eq!(error.place(), &Place::Line(parts.join("20.toml"), 3));
    part("10.toml", "\n[cores]\nio = [true]");
    let error = load_for(&main, variables(&[]), &machine(2)).unwrap_err();
    assert_eq!(error.place(), &Place::Line(parts.join("10.toml"), 3));
}

#[test]
fn missing_and_unreadable_files() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("culvert.toml");
    let load = || said(load(&main, variables(&[])));
    let shown = main.display();
    assert_eq!(load(), format!("{shown}: there is no such file. Name the file with --config FILE."));
    fs::write(&main, b"[cores]\n# \xff\n").unwrap();
    assert_eq!(load(), format!("{shown}:2: this is not UTF-8. Save the file as UTF-8."));
    fs::write(&main, LEAST).unwrap();
    fs::create_dir_all(folder.path().join("conf.d/x.toml")).unwrap();
    let part = folder.path().join("conf.d/x.toml");
    assert_eq!(load(), format!("{}: it is a directory. Name another file with --config FILE.", part.display()));
}

#[test]
fn variables_win_and_are_typed_by_their_key() {
    let config = with(
        &format!("{LEAST}[cores]\nio = [3]\n[[port]]\nname = \"lan-1.x\"\ndevice = \"net_tap0\"\nrole = \"inner\""),
        &[
            ("CULVERT__CORES__IO", "0, 1"),
            ("CULVERT__CORES__CONTROL", "2"),
            ("CULVERT__MEMORY__MBUFS", "auto"),
            ("CULVERT__MEMORY__EXTRA_EAL_ARGS", ""),
            ("CULVERT__PORT__WAN__MTU", "9000"),
            ("CULVERT__PORT__WAN__QUEUES", "2"),
            ("CULVERT__PORT__LAN_1_X__ADDRESSES", "10.0.0.1/8,fd00::1/64"),
            ("CULVERT__INTERFACE__wg0__MSS_CLAMP", "true"),
            ("CULVERT__INTERFACE__WG0__PRIVATE_KEY_FILE", "$CREDENTIALS_DIRECTORY/k"),
            ("CULVERT__CRYPTO__BACKEND", "simd"),
            ("CREDENTIALS_DIRECTORY", "/run/credentials/culvert"),
            ("CULVERT_LOG", "not one of these"),
        ],
    )
    .unwrap();
    assert_eq!(config.cores.io, [0, 1]);
    assert_eq!(config.cores.control, 2);
    assert_eq!(config.memory.mbufs, Amount::Auto);
    assert_eq!(config.memory.extra_eal_args, [""; 0]);
    assert_eq!(config.ports[0].mtu, 9000);
    assert_eq!(config.ports[0].queues, Amount::Number(2));
    assert_eq!(config.ports[1].addresses.len(), 2);
    let interface = &config.interfaces[0];
    assert!(interface.mss_clamp);
    let key = Path::new("/run/credentials/culvert/k");
    assert_eq!(interface.private_key_file, key);
    assert_eq!(config.crypto.backend, Backend::Simd);
    assert_eq!(config.credentials_directory, key.parent().map(Into::into));
}

#[test]
fn credentials_wait_for_their_folder() {
    let config = text(&LEAST.replace("wg0.key", "$CREDENTIALS_DIRECTORY/k")).unwrap();
    let error = config.private_key(&config.interfaces[0]).unwrap_err();
    assert_eq!(error.what(), "$CREDENTIALS_DIRECTORY is not set");
}

#[test]
fn names_may_have_dots() {
    let config = text(&LEAST.replace("\"wan\"", "\"a.b=c+d_e-f\"")).unwrap();
    assert_eq!(config.ports[0].name, "a.b=c+d_e-f");
    assert_eq!(config.ports[0].device, Device::Vdev("net_ring0".into()));
    for bad in [".", "..", ""] {
        assert!(text(&LEAST.replace("\"wg0\"", &format!("{bad:?}"))).is_err(), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(
        lines in proptest::collection::vec(
            proptest::prop_oneof![
                ".*",
                "(name|io|mtu|device|routes|addresses|listen_ports) = .{0,12}",
                "\\[{1,2}(port|cores|interface|metrics)\\]{1,2}",
                "(name|io|addresses|routes) = (\"[a-c.]{0,3}\"|[0-9]{0,30}|\\[[0-9, \"{}]*\\])",
            ],
            0..8,
        ),
    ) {
        if let Err(error) = text(&lines.join("\n")) {
            proptest::prop_assert!(error.to_string().starts_with("culvert.toml"));
        }
    }
}
