//! A tree of files that looks like a healthy machine: 8 cores on two NUMA nodes, an Intel NIC with vfio-pci, one of
//! Mellanox's with its kernel driver, and a third that carries the login session.

use super::super::{Dpdk, System};
use crate::config::Config;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// The key of RFC 7748's Alice; what is shown anywhere of it is a fault.
pub(crate) const KEY: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
pub(crate) const FLAGS: &str = "fpu sse4_2 aes pclmulqdq bmi2 avx512f avx512bw avx512dq avx512vl avx512ifma \
    avx512_vbmi2 constant_tsc nonstop_tsc";
pub(crate) const CONFIG: &str = r#"
[cores]
control = 0
io = [2, 3]
workers = [4]
handshake = [0]
[[port]]
name = "wan"
device = "0000:3b:00.0"
role = "outer"
addresses = ["203.0.113.10/24"]
[[port]]
name = "lan"
device = "0000:3c:00.0"
role = "inner"
addresses = ["10.0.0.1/16"]
[[interface]]
name = "wg0"
private_key_file = "wg0.key"
peers_file = "wg0.conf"
"#;
const PEERS: &str = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = 10.9.0.2/32\n";

#[derive(Debug)]
pub(crate) struct Tree {
    folder: tempfile::TempDir,
    pub(crate) ssh: Option<&'static str>,
    pub(crate) dpdk: Option<Dpdk>,
    /// The control socket of a gateway that runs.
    gateway: Option<UnixListener>,
}

/// What the packet memory of [`CONFIG`] comes to in these tests.
fn need_mib(_config: &Config, huge: bool) -> u64 {
    if huge { 300 } else { 500 }
}

impl Tree {
    pub(crate) fn bare() -> Self {
        let dpdk = Dpdk {
            built: "22.11".into(),
            found: "DPDK 22.11.11".into(),
            drivers: "/usr/lib/dpdk/pmds-23.0".into(),
            need_mib,
        };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, ssh: Some("198.51.100.7 5000 192.0.2.5 22"), dpdk: Some(dpdk), gateway: None }
    }

    pub(crate) fn healthy() -> Self {
        let tree = Self::bare();
        tree.cpu();
        tree.memory();
        tree.network();
        tree.process();
        tree.link("sys/bus/pci/drivers/vfio-pci/module", "../vfio");
        tree.nic("0000:3b:00.0", ["8086", "1572"], "vfio-pci", Some("12"), None);
        tree.nic("0000:3c:00.0", ["15b3", "1017"], "mlx5_core", None, Some("eth2"));
        tree.nic("0000:01:00.0", ["8086", "1533"], "igb", Some("3"), Some("eth0"));
        tree.driver("librte_net_i40e.so", "* igb_uio | uio_pci_generic | vfio-pci", 0x8086, 0x1572);
        tree.driver("librte_net_mlx5.so", "* ib_uverbs & mlx5_core & mlx5_ib", 0x15b3, 0x1017);
        tree.file("usr/lib/dpdk/pmds-23.0/librte_net_af_packet.so", "\x7fELF");
        tree.file("etc/culvert/culvert.toml", CONFIG);
        tree.file("etc/culvert/wg0.key", KEY).mode("etc/culvert/wg0.key", 0o600);
        tree.file("etc/culvert/wg0.conf", PEERS);
        for folder in ["run/culvert", "var/run/wireguard"] {
            fs::create_dir_all(tree.at(folder)).unwrap();
            tree.mode(folder, 0o755);
        }
        tree
    }

    fn cpu(&self) {
        let cpuinfo = format!("processor : 0\nvendor_id\t: GenuineIntel\nflags\t\t: {FLAGS}\n\nprocessor : 1\n");
        self.file("proc/cpuinfo", &cpuinfo);
        self.file("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/vda1 rcu_nocbs=2-7 iommu=pt");
        self.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
        self.file("sys/devices/system/cpu/online", "0-7\n");
        self.file("sys/devices/system/cpu/isolated", "2-7\n").file("sys/devices/system/cpu/nohz_full", "2-7\n");
        for core in 0..8 {
            let cpu = format!("sys/devices/system/cpu/cpu{core}");
            self.file(&format!("{cpu}/cpufreq/scaling_governor"), "performance\n");
            self.file(&format!("{cpu}/topology/thread_siblings_list"), &format!("{core}\n"));
            self.file(&format!("sys/devices/system/node/node{}/cpu{core}/online", core / 6), "1");
        }
        self.file("sys/devices/system/node/node0/cpulist", "0-5\n");
    }

    fn memory(&self) {
        for (node, free) in [(0, "200\n"), (1, "0\n")] {
            let pages = format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB");
            self.file(&format!("{pages}/nr_hugepages"), free).file(&format!("{pages}/free_hugepages"), free);
        }
        self.file("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        self.file("proc/meminfo", "MemTotal:  16000000 kB\nMemAvailable:   8192000 kB\n");
    }

    fn network(&self) {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n";
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let route = |to, mask| format!("eth0\t{}\t00000000\t0003\t0\t0\t0\t{}\n", word(to), word(mask));
        let routes = [route([0; 4], [0; 4]), route([192, 0, 2, 0], [255, 255, 255, 0])].concat();
        self.file("proc/net/route", &format!("{head}{routes}"));
        self.file("proc/net/udp", "  sl  local_address rem_address\n");
    }

    fn process(&self) {
        self.file("proc/self/limits", "Limit  Soft Limit\nMax locked memory         unlimited  unlimited  bytes\n");
        self.file("proc/self/status", "Name:\tculvert\nCapEff:\t0000000000000000\n");
        self.file("proc/self/cgroup", "0::/user.slice/a.scope\n");
        self.file("sys/fs/cgroup/user.slice/a.scope/memory.max", "max\n");
        self.file("sys/fs/cgroup/user.slice/cpuset.cpus.effective", "0-7\n");
        self.file("proc/1/comm", "systemd\n");
        self.file("proc/sys/kernel/osrelease", "6.1.0\n");
        self.file(
            "lib/modules/6.1.0/modules.dep",
            "kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/vfio.ko\n",
        );
    }

    /// A NIC on node 0.
    pub(crate) fn nic(&self, address: &str, id: [&str; 2], driver: &str, group: Option<&str>, interface: Option<&str>) {
        let real = format!("sys/devices/pci0000:00/{address}");
        let bus = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{real}/class"), "0x020000\n").file(&format!("{real}/numa_node"), "0\n");
        self.file(&format!("{real}/vendor"), &format!("0x{}\n", id[0]));
        self.file(&format!("{real}/device"), &format!("0x{}\n", id[1]));
        self.link(&bus, &format!("../../../devices/pci0000:00/{address}"));
        self.bind(address, driver);
        if let Some(group) = group {
            self.link(&format!("{real}/iommu_group"), &format!("../../../kernel/iommu_groups/{group}"));
            self.file(&format!("sys/kernel/iommu_groups/{group}/devices/{address}"), "");
        }
        if let Some(interface) = interface {
            self.file(&format!("{real}/net/{interface}/carrier"), "1\n");
            let target = format!("../../devices/pci0000:00/{address}/net/{interface}");
            self.link(&format!("sys/class/net/{interface}"), &target);
        }
    }

    /// Gives a NIC another driver.
    pub(crate) fn bind(&self, address: &str, driver: &str) {
        let link = format!("sys/devices/pci0000:00/{address}/driver");
        self.remove(&link);
        self.link(&link, &format!("../../../bus/pci/drivers/{driver}"));
    }

    pub(crate) fn driver(&self, library: &str, kmod: &str, vendor: u16, device: u16) {
        let text = format!(
            "\x7fELF PMD_INFO_STRING= {{\"name\": \"{}\", \"kmod\": \"{kmod}\", \"pci_ids\": [[{vendor}, {device}, 65535, 65535]]}}\0",
            library.trim_start_matches("librte_").trim_end_matches(".so")
        );
        self.file(&format!("usr/lib/dpdk/pmds-23.0/{library}"), &text);
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Has a gateway run.
    pub(crate) fn run_gateway(&mut self) {
        self.gateway = Some(UnixListener::bind(self.at("run/culvert/culvert.sock")).unwrap());
    }

    /// Replaces text in a file.
    pub(crate) fn edit(&self, path: &str, old: &str, new: &str) -> &Self {
        let text = self.read(path);
        assert!(text.contains(old), "{path} is without {old}");
        self.file(path, &text.replace(old, new))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path = self.at(path);
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => fs::remove_dir_all(path).unwrap(),
            Ok(_) => fs::remove_file(path).unwrap(),
            Err(_) => {}
        }
        self
    }

    pub(crate) fn system(&self) -> System {
        let system = System::below(self.folder.path(), (0..8).collect());
        let system = self.ssh.into_iter().fold(system, System::with_ssh_connection);
        self.dpdk.clone().into_iter().fold(system, System::with_dpdk)
    }
}
