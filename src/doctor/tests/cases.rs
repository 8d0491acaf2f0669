//! The table: what is changed on a healthy machine, and what has to be said then.

use super::Verdict::{self, Fail, NotApplicable, Ok, Warning};
use super::tree::{FLAGS, Tree};

pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    pub(super) change: fn(&mut Tree),
    pub(super) verdict: Verdict,
    /// Part of what is found.
    pub(super) found: &'static str,
    /// Whole mends, as people read them.
    pub(super) mends: &'static [&'static str],
}

const fn case(
    id: &'static str,
    about: &'static str,
    change: fn(&mut Tree),
    verdict: Verdict,
    found: &'static str,
    mends: &'static [&'static str],
) -> Case {
    Case { id, about, change, verdict, found, mends }
}

const TOML: &str = "etc/culvert/culvert.toml";
const CLOCK: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";
const FREE: &str = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages";
const LIMITS: &str = "proc/self/limits";

/// The ports on kernel interfaces: wan on eth2, lan on eth3.
fn on_af_packet(tree: &mut Tree) {
    tree.edit(TOML, "0000:3b:00.0", "net_af_packet0,iface=eth2").edit(
        TOML,
        "0000:3c:00.0",
        "net_af_packet1,iface=eth3",
    );
    tree.file("sys/devices/virtual/net/eth3/carrier", "1").link("sys/class/net/eth3", "../../devices/virtual/net/eth3");
}

/// A control group with less memory of each kind than is needed.
fn group_limits(tree: &mut Tree) {
    tree.file("sys/fs/cgroup/user.slice/memory.max", "104857600").file("sys/fs/cgroup/user.slice/hugetlb.2MB.max", "0");
}

/// The user culvert, with the numbers of whom the tree belongs to.
fn own_user(tree: &mut Tree) {
    let there = std::fs::metadata(tree.at("run/culvert")).unwrap();
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&there), std::os::unix::fs::MetadataExt::gid(&there));
    tree.file("etc/passwd", &format!("root:x:0:0::/:/bin/sh\nculvert:x:{uid}:{gid}::/:/sbin/nologin\n"));
}

/// The user culvert, whom nothing in the tree belongs to.
fn other_user(tree: &mut Tree) {
    tree.file("etc/passwd", "culvert:x:7777:7778::/:/sbin/nologin\n");
}

fn no_iommu(tree: &mut Tree) {
    tree.remove("sys/kernel/iommu_groups");
}

#[rustfmt::skip]
pub(super) static CASES: &[Case] = &[
    case("configuration", "", |_| {}, Ok, "2 ports, 1 interface", &[]),
    case("configuration", "", |t| { t.edit(TOML, "control = 0", "control = 9"); }, Fail,
        "/etc/culvert/culvert.toml:3: [cores] control: core 9 does not exist; this machine has cores 0-7", &["Name cores out of those"]),
    case("configuration", "", |t| { t.edit(TOML, "role = \"outer\"", "roll = \"outer\""); }, Fail,
        "/etc/culvert/culvert.toml:10: [[port]] wan roll: there is no such key", &["Did you mean role?"]),
    case("configuration", "", |t| { t.edit(TOML, "peers_file", "mtu = 1500\npeers_file"); }, Warning,
        "packets of 1500 bytes and WireGuard's 80 do not fit the 1500 of port wan", &["Write mtu = 1420, or raise the port's"]),

    case("dpdk-version", "", |_| {}, Ok, "DPDK 22.11.11, built for 22.11", &[]),
    case("dpdk-version", "", |t| t.dpdk.as_mut().unwrap().found = "DPDK 23.11.0".into(), Fail, "DPDK 23.11.0, but culvert was built for 22.11",
        &["Install DPDK 22.11, or build culvert on this machine: cargo build --release"]),
    case("dpdk-version", "", |t| t.dpdk.as_mut().unwrap().found = "DPDK 22.110.0".into(), Fail, "22.110", &[]),
    case("dpdk-version", "", |t| t.dpdk = None, NotApplicable, "without DPDK", &[]),

    case("cipher", "", |_| {}, Ok, "culvertd takes simd, the fastest", &[]),
    case("cipher", "", |t| { t.edit("proc/cpuinfo", "avx512ifma", "avx2"); }, Warning, "not simd: this CPU has no AVX-512 with IFMA and VBMI2",
        &["Take a CPU with AVX-512 IFMA and VBMI2 (Ice Lake, Zen 4 or later) for full speed"]),
    case("cipher", "", |t| { t.edit("proc/cpuinfo", FLAGS, "fpu hypervisor"); }, Warning, "culvertd takes portable",
        &["Give the virtual machine the host's CPU flags (QEMU: -cpu host)"]),
    case("cipher", "", |t| { t.edit(TOML, "[cores]", "[crypto]\nbackend = \"portable\"\n[cores]"); }, Warning, "simd would run and is faster",
        &["in /etc/culvert/culvert.toml: backend = \"auto\""]),
    case("cipher", "", |t| { t.edit("proc/cpuinfo", FLAGS, "fpu").edit(TOML, "[cores]", "[crypto]\nbackend = \"simd\"\n[cores]"); }, Fail,
        "[crypto] backend `simd`: this CPU has no AVX-512", &["in /etc/culvert/culvert.toml: backend = \"auto\""]),

    case("tsc", "", |_| {}, Ok, "it is constant and does not stop", &[]),
    case("tsc", "", |t| { t.edit("proc/cpuinfo", "nonstop_tsc", ""); }, Warning, "the CPU has no nonstop_tsc",
        &["Take a CPU whose TSC is invariant; figures in cycles are guesses on this one"]),
    case("tsc", "", |t| { t.edit("proc/cpuinfo", "constant_tsc nonstop_tsc", "hypervisor"); }, Warning, "the CPU has no constant_tsc, no nonstop_tsc",
        &["Let the hypervisor show the TSC as invariant (QEMU: -cpu host,+invtsc)"]),

    case("clock-source", "", |_| {}, Ok, "tsc", &[]),
    case("clock-source", "", |t| { t.file(CLOCK, "hpet").file(&CLOCK.replace("current", "available"), "tsc hpet acpi_pm"); }, Warning,
        "hpet (there are: tsc hpet acpi_pm)",
        &["echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource   (--fix does it)"]),
    case("clock-source", "", |t| { t.file(CLOCK, "hpet"); }, Warning, "hpet",
        &["in /etc/default/grub.d/culvert.cfg: GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT tsc=reliable\"   (then update-grub, reboot)"]),
    case("clock-source", "", |t| { t.remove(CLOCK); }, NotApplicable, "the kernel shows none", &[]),

    case("huge-pages", "node 0", |_| {}, Ok, "400 MiB free, 300 MiB are needed", &[]),
    case("huge-pages", "node 1", |_| {}, Ok, "0 MiB free", &[]),
    case("huge-pages", "node 0", |t| { t.file(FREE, "100"); }, Warning, "200 MiB free, where 300 MiB are needed", &[
        "echo 250 > /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages   (--fix does it)",
        "in /etc/tmpfiles.d/culvert.conf: w /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages - - - - 250",
        "in /etc/default/grub.d/culvert.cfg: GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT default_hugepagesz=2048K \
            hugepagesz=2048K hugepages=0:250,1:0\"   (then update-grub, reboot)"]),
    case("huge-pages", "node 0", |t| { t.file(FREE, "0").edit(TOML, "[cores]", "[memory]\nhuge_pages = \"required\"\n[cores]"); }, Fail,
        "0 MiB free", &["in /etc/tmpfiles.d/culvert.conf: w /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages - - - - 350"]),
    case("huge-pages", "node 1", |t| { t.edit(TOML, "control = 0", "control = 7"); }, Warning, "0 MiB free, where 300 MiB are needed",
        &["echo 150 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages   (--fix does it)"]),
    case("huge-pages", "node 0", |t| { t.file(FREE, "0").remove("etc/culvert"); }, Warning, "0 MiB free",
        &["echo 456 > /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages   (--fix does it)"]),
    case("huge-pages", "node 0", |t| { t.file(FREE, "0").remove("sys/devices/system/node/node1"); }, Warning, "0 MiB free", &[
        "in /etc/tmpfiles.d/culvert.conf: w /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages - - - - 350",
        "in /etc/default/grub.d/culvert.cfg: GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT default_hugepagesz=2048K \
            hugepagesz=2048K hugepages=350\"   (then update-grub, reboot)"]),
    case("huge-pages", "", |t| { t.edit(TOML, "[cores]", "[memory]\nhuge_pages = \"none\"\n[cores]"); }, NotApplicable, "wants none", &[]),
    case("huge-pages", "", |t| { t.remove("sys/devices/system/node"); }, Warning, "this kernel has none",
        &["Boot a kernel with CONFIG_HUGETLBFS, as Debian's is"]),

    case("huge-pages", "node 0", |t| { t.file(FREE, "0"); t.run_gateway(); }, Ok, "0 MiB free beside what the running gateway has", &[]),

    case("memory", "", |t| { t.file(FREE, "0"); t.run_gateway(); }, NotApplicable, "the running gateway has its own", &[]),
    case("memory", "", |_| {}, NotApplicable, "packets are in huge pages", &[]),
    case("memory", "", |t| { t.file(FREE, "0"); }, Ok, "8000 MiB available, 500 MiB are needed", &[]),
    case("memory", "", |t| { t.file(FREE, "0").edit("proc/meminfo", "8192000", "409600"); }, Fail, "400 MiB available, 500 MiB are needed",
        &["Write fewer mbufs in [memory], or fewer queues or cores, or give the machine more memory"]),
    case("memory", "", |t| { t.remove("etc/culvert"); }, NotApplicable, "nobody knows the need", &[]),

    case("transparent-huge-pages", "", |_| {}, Ok, "madvise", &[]),
    case("transparent-huge-pages", "", |t| { t.file("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"); }, Warning, "always",
        &["echo madvise > /sys/kernel/mm/transparent_hugepage/enabled   (--fix does it)"]),
    case("transparent-huge-pages", "", |t| { t.file("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]"); }, Warning, "never",
        &["echo madvise > /sys/kernel/mm/transparent_hugepage/enabled   (--fix does it)",
          "in /etc/default/grub.d/culvert.cfg: GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT transparent_hugepage=madvise\"   (then update-grub, reboot)"]),
    case("transparent-huge-pages", "", |t| { t.remove("sys/kernel/mm"); }, NotApplicable, "this kernel has none", &[]),

    case("memlock", "", |_| {}, Ok, "unlimited", &[]),
    case("memlock", "", |t| { t.edit(LIMITS, "unlimited", "8388608"); }, Fail, "8 MiB, where 300 MiB are needed",
        &["in culvertd's unit, [Service]: LimitMEMLOCK=infinity", "in /etc/security/limits.d/culvert.conf (for logins): culvert - memlock unlimited"]),
    case("memlock", "", |t| { t.edit(LIMITS, "unlimited", "536870912"); }, Ok, "512 MiB, 300 MiB are needed", &[]),
    case("memlock", "", |t| { t.edit(LIMITS, "unlimited", "8388608").edit("proc/self/status", "0000000000000000", "0000000000004000"); }, Ok,
        "CAP_IPC_LOCK", &[]),
    case("memlock", "", |t| { t.edit(LIMITS, "unlimited", "8388608"); on_af_packet(t); }, NotApplicable, "no configured port is a NIC's", &[]),

    case("iommu", "", |_| {}, Ok, "it is on, 2 groups", &[]),
    case("iommu", "", no_iommu, Fail, "it is off, or there is none", &[
        "in /etc/default/grub.d/culvert.cfg: GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT intel_iommu=on iommu=pt\"   (then update-grub, reboot)",
        "Switch VT-d on in the firmware's setup   (then reboot)"]),
    case("iommu", "", |t| { no_iommu(t); t.edit("proc/cpuinfo", "GenuineIntel", "AuthenticAMD").edit("proc/cpuinfo", "fpu", "fpu hypervisor"); }, Fail,
        "it is off", &["Switch AMD-Vi (IOMMU) on in the firmware's setup   (then reboot)",
          "modprobe vfio && echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode"]),
    case("iommu", "", |t| { no_iommu(t); t.remove("etc/culvert"); }, Warning, "it is off", &[]),
    case("iommu", "", |t| { no_iommu(t); t.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y"); }, Warning, "vfio works without",
        &["Any mistake of a NIC's driver can write all memory: use it for trials"]),
    case("iommu", "", |t| { no_iommu(t); t.file("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n"); }, Fail, "it is off, or there is none", &[]),
    case("iommu", "", |t| { no_iommu(t); t.file("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n").file("sys/kernel/iommu_groups/1/type", "DMA\n"); }, Ok,
        "it is on, 1 groups", &[]),
    case("iommu", "", |t| { no_iommu(t); on_af_packet(t); }, NotApplicable, "no configured port is reached by vfio-pci", &[]),

    case("vfio", "", |_| {}, Ok, "vfio-pci is loaded", &[]),
    case("vfio", "", |t| { t.remove("sys/bus/pci/drivers"); }, Fail, "vfio-pci is not loaded",
        &["modprobe vfio-pci   (--fix does it)", "in /etc/modules-load.d/culvert.conf: vfio-pci"]),
    case("vfio", "", |t| { t.remove("sys/bus/pci/drivers").remove("lib/modules"); }, Fail, "the kernel 6.1.0 has no module vfio-pci",
        &["apt install linux-image-amd64   (then reboot)"]),
    case("vfio", "", |t| { t.remove("sys/bus/pci/drivers"); on_af_packet(t); }, NotApplicable, "no configured port", &[]),

    case("nics", "0000:3b:00.0", |_| {}, Ok, "0000:3b:00.0 (8086:1572) with vfio-pci", &[]),
    case("nics", "0000:01:00.0", |_| {}, Ok, "0000:01:00.0 (8086:1533, eth0) with igb, carries the login session", &[]),
    case("nics", "", |t| { t.remove("sys/bus/pci/devices/0000:3b:00.0").remove("sys/bus/pci/devices/0000:3c:00.0"); }, Warning, "there is no NIC for a gateway",
        &["Put NICs in that DPDK has drivers for (or, to try things out, use net_af_packet on interfaces of the kernel's)"]),
    case("nics", "", |t| { t.remove("sys/bus/pci/devices"); on_af_packet(t); }, NotApplicable, "there is none, and no configured port wants one", &[]),

    case("port-device", "port wan", |_| {}, Ok, "0000:3b:00.0 (8086:1572) is with vfio-pci", &[]),
    case("port-device", "port lan", |_| {}, Ok, "0000:3c:00.0 (15b3:1017, eth2) is with mlx5_core, and stays there", &[]),
    case("port-device", "port wan", |t| t.bind("0000:3b:00.0", "i40e"), Fail, "is with i40e, where DPDK wants vfio-pci",
        &["driverctl set-override 0000:3b:00.0 vfio-pci"]),
    case("port-device", "port wan", |t| { t.remove("sys/devices/pci0000:00/0000:3b:00.0/driver"); }, Fail, "is with no driver",
        &["driverctl set-override 0000:3b:00.0 vfio-pci"]),
    case("port-device", "port lan", |t| t.bind("0000:3c:00.0", "vfio-pci"), Fail, "but DPDK wants it with the kernel's mlx5_core",
        &["driverctl unset-override 0000:3c:00.0"]),
    case("port-device", "port lan", |t| { t.file("sys/devices/pci0000:00/0000:3c:00.0/device", "0x1003"); t.bind("0000:3c:00.0", "vfio-pci"); }, Fail,
        "but DPDK wants it with the kernel's mlx4_core", &["driverctl unset-override 0000:3c:00.0"]),
    case("port-device", "port wan", |t| { t.edit(TOML, "0000:3b:00.0", "0000:01:00.0"); }, Fail, "is with igb",
        &["Name another NIC: this one carries the login session, and must never be bound"]),
    case("port-device", "port wan", |t| { t.edit(TOML, "0000:3b:00.0", "0000:ff:00.0"); }, Fail, "there is no device at that PCI address",
        &["dpdk-devbind.py --status-dev net   (lists the NICs with their addresses)"]),
    case("port-device", "port wan", |t| { t.file("sys/bus/pci/devices/0000:3b:00.0/class", "0x010802"); }, Fail,
        "0000:3b:00.0 (8086:1572) is no network device", &["dpdk-devbind.py --status-dev net   (lists the NICs with their addresses)"]),
    case("port-device", "port wan", on_af_packet, Ok, "the kernel's interface eth2 is there", &[]),
    case("port-device", "port wan", |t| { t.edit(TOML, "0000:3b:00.0", "net_null0"); }, Ok, "net_null0, a virtual device", &[]),
    case("port-device", "port wan", |t| { t.edit(TOML, "0000:3b:00.0", "net_af_packet0,iface=eth9"); }, Fail, "the kernel has no interface eth9",
        &["ip -brief link   (lists them)"]),

    case("port-driver", "port wan", |_| {}, Ok, "net_i40e", &[]),
    case("port-driver", "port wan", |t| { t.remove("usr/lib/dpdk/pmds-23.0/librte_net_i40e.so"); }, Fail, "no installed driver is for 0000:3b:00.0 (8086:1572)",
        &["apt install librte-meta-net   (all of DPDK's drivers)"]),
    case("port-driver", "port lan", |t| { t.remove("usr/lib/dpdk/pmds-23.0/librte_net_mlx5.so"); }, Fail, "no installed driver is for 0000:3c:00.0",
        &["apt install librte-net-mlx5-23"]),
    case("port-driver", "port lan", |t| t.bind("0000:3c:00.0", "vfio-pci"), Fail, "net_mlx5 does not work with vfio-pci",
        &["driverctl unset-override 0000:3c:00.0"]),
    case("port-driver", "port lan", |t| t.bind("0000:3c:00.0", "uio_pci_generic"), Fail, "net_mlx5 does not work with uio_pci_generic",
        &["driverctl unset-override 0000:3c:00.0"]),
    case("port-driver", "port wan", |t| t.driver("librte_net_i40e.so", "", 0x8086, 0x1572), Ok, "net_i40e", &[]),
    case("port-driver", "port wan", on_af_packet, Ok, "librte_net_af_packet.so", &[]),
    case("port-driver", "port wan", |t| { t.edit(TOML, "0000:3b:00.0", "net_null0"); }, Fail, "librte_net_null.so is not installed",
        &["apt install librte-net-null23"]),
    case("port-driver", "", |t| t.dpdk = None, NotApplicable, "without DPDK", &[]),

    case("port-group", "port wan", |_| {}, Ok, "group 12, 1 devices, none with another driver", &[]),
    case("port-group", "port wan", |t| t.nic("0000:3b:00.1", ["8086", "1572"], "i40e", Some("12"), None), Fail,
        "group 12 holds 0000:3b:00.1 (8086:1572) with i40e", &["driverctl set-override 0000:3b:00.1 vfio-pci"]),
    case("port-group", "port wan", |t| t.nic("0000:3b:00.1", ["8086", "1572"], "vfio-pci", Some("12"), None), Ok, "group 12, 2 devices", &[]),
    case("port-group", "port wan", |t| { t.nic("0000:3a:00.0", ["8086", "2030"], "pcieport", Some("12"), None);
        t.file("sys/devices/pci0000:00/0000:3a:00.0/class", "0x060400"); }, Ok, "group 12, 2 devices", &[]),
    case("port-group", "port wan", |t| { t.file("sys/kernel/iommu_groups/12/devices/0000:01:00.0", ""); }, Fail, "0000:01:00.0 (8086:1533, eth0) with igb",
        &["Move the NIC to another slot: 0000:01:00.0 carries the login session"]),
    case("port-group", "", on_af_packet, NotApplicable, "no configured port is reached by vfio-pci", &[]),

    case("port-rights", "", |_| {}, NotApplicable, "there is no group culvert", &[]),
    case("port-rights", "port wan", |t| { t.file("etc/group", "root:x:0:\nculvert:x:7777:\n").file("dev/vfio/12", "").mode("dev/vfio/12", 0o600); }, Warning,
        "the group culvert may not use /dev/vfio/12 (mode 0600)",
        &["chgrp culvert /dev/vfio/12 && chmod 660 /dev/vfio/12",
          "in /etc/udev/rules.d/60-culvert.rules: SUBSYSTEM==\"vfio\", OWNER=\"root\", GROUP=\"culvert\", MODE=\"0660\""]),
    case("port-rights", "port wan", |t| { t.file("dev/vfio/12", "").mode("dev/vfio/12", 0o660);
        let gid = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(t.at("dev/vfio/12")).unwrap());
        t.file("etc/group", &format!("culvert:x:{gid}:\n")); }, Ok, "the group culvert may use /dev/vfio/12", &[]),
    case("port-rights", "port wan", |t| { t.file("etc/group", "culvert:x:7777:\n"); }, Fail, "/dev/vfio/12 is not there", &["modprobe vfio-pci"]),
    case("port-rights", "port wan", |t| { t.file("etc/group", "culvert:x:7777:\n").file("sys/kernel/iommu_groups/12/name", "vfio-noiommu\n"); }, Fail,
        "/dev/vfio/noiommu-12 is not there", &[]),

    case("port-numa", "port wan", |_| {}, Ok, "node 0, as its cores and packet memory", &[]),
    case("port-numa", "port wan", |t| { t.edit(TOML, "workers = [4]", "workers = [4, 6]").edit(TOML, "control = 0", "control = 7"); }, Warning,
        "it is on node 0; data cores 6 are on others; packet memory is on node 1, that of [cores] control",
        &["Name cores of node 0 in [cores]: 0-5; or put the NIC into a slot of the other node"]),
    case("port-numa", "port wan", |t| { t.file("sys/devices/pci0000:00/0000:3b:00.0/numa_node", "-1"); }, NotApplicable, "the firmware does not say", &[]),
    case("port-numa", "", |t| { t.remove("sys/devices/system/node/node1"); }, NotApplicable, "this machine has one node", &[]),

    case("port-link", "port lan", |_| {}, Ok, "eth2 has a link", &[]),
    case("port-link", "port lan", |t| { t.file("sys/class/net/eth2/carrier", "0"); }, Warning, "eth2 is up, and has no link",
        &["Plug its cable in, or switch its other end on"]),
    case("port-link", "port lan", |t| { t.remove("sys/class/net/eth2/carrier"); }, Warning, "eth2 is down", &["ip link set eth2 up"]),
    case("port-link", "port lan", |t| { on_af_packet(t); t.remove("sys/class/net/eth3/carrier"); }, Warning, "eth3 is down", &["ip link set eth3 up"]),

    case("port-addresses", "port lan", |_| {}, Ok, "the kernel has none on eth2", &[]),
    case("port-addresses", "port lan", |t| { t.file("proc/net/if_inet6", "20010db8000000000000000000000005 02 40 00 80     eth2\n"); }, Warning,
        "the kernel has addresses on eth2", &["ip address flush dev eth2"]),
    case("port-addresses", "port lan", |t| { t.file("proc/net/if_inet6", "fe800000000000000000000000000005 02 40 20 80     eth2\n"); }, Ok, "none on eth2", &[]),
    case("port-addresses", "port wan", |t| { t.edit(TOML, "0000:3b:00.0", "net_af_packet0,iface=eth0"); }, Warning, "the kernel has addresses on eth0",
        &["Name another device: eth0 carries the login session"]),

    case("login", "eth0", |_| {}, Ok, "the SSH session from 198.51.100.7 is by eth0 (0000:01:00.0), no configured port's: never bind it to vfio-pci", &[]),
    case("login", "eth0", |t| t.ssh = None, Ok, "the default route is by eth0", &[]),
    case("login", "eth0", |t| { t.edit(TOML, "0000:3b:00.0", "0000:01:00.0"); }, Fail, "is by eth0, the NIC of port wan",
        &["Take another NIC than 0000:01:00.0; or log in by another way, and remove that route"]),
    case("login", "eth0", |t| { t.edit(TOML, "0000:3b:00.0", "net_af_packet0,iface=eth0"); }, Warning,
        "the SSH session from 198.51.100.7 is by eth0, on which port wan stands", &["Name another interface than eth0; its packets are people's as well"]),
    case("login", "", |t| { t.ssh = None; t.remove("proc/net"); }, NotApplicable, "there is no SSH session", &[]),

    case("isolation", "", |_| {}, Ok, "cores 2-4 are culvert's alone", &[]),
    case("isolation", "", |t| { t.file("sys/devices/system/cpu/isolated", "3-7").file("sys/devices/system/cpu/nohz_full", "(null)")
        .file("proc/cmdline", "quiet"); }, Warning, "data cores 2-4: isolcpus is without 2, nohz_full is without 2-4, rcu_nocbs is without 2-4",
        &["in /etc/default/grub.d/culvert.cfg: GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT isolcpus=managed_irq,domain,2-4 \
            nohz_full=2-4 rcu_nocbs=2-4\"   (then update-grub, reboot)"]),
    case("isolation", "", |t| { t.file("proc/cmdline", "quiet"); }, Ok, "cores 2-4", &[]),
    case("isolation", "", |t| { t.file("sys/devices/system/cpu/online", "0-1"); }, NotApplicable, "with 2 cores, none is left", &[]),

    case("governor", "", |_| {}, Ok, "performance", &[]),
    case("governor", "", |t| { t.file("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave"); }, Warning, "powersave, on cores 3",
        &["echo performance > /sys/devices/system/cpu/cpu3/cpufreq/scaling_governor   (--fix does it)",
          "in /etc/default/cpufrequtils (package cpufrequtils): GOVERNOR=\"performance\""]),
    case("governor", "", |t| for core in 2..5 { t.remove(&format!("sys/devices/system/cpu/cpu{core}/cpufreq")); }, NotApplicable,
        "the kernel sets no frequency here", &[]),

    case("siblings", "", |_| {}, Ok, "cores 2-4 are of different physical cores", &[]),
    case("siblings", "", |t| { t.file("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,4"); }, Warning, "threads of one physical core: 2 and 4",
        &["Name one thread of each physical core in [cores] io and workers (`lscpu -e` shows the pairs)"]),

    case("irqbalance", "", |_| {}, Ok, "it does not run", &[]),
    case("irqbalance", "", |t| { t.file("proc/77/comm", "irqbalance\n"); }, Ok, "leaves the isolated data cores alone", &[]),
    case("irqbalance", "", |t| { t.file("proc/77/comm", "irqbalance\n").file("sys/devices/system/cpu/isolated", "3"); }, Warning, "interrupts on cores 2,4",
        &["in /etc/default/irqbalance: IRQBALANCE_BANNED_CPULIST=2,4", "systemctl restart irqbalance"]),

    case("cgroup", "", |_| {}, Ok, "/user.slice/a.scope leaves enough", &[]),
    case("cgroup", "", |t| { t.file("sys/fs/cgroup/user.slice/cpuset.cpus.effective", "0-3"); }, Warning, "cores 4 are not in it",
        &["in culvertd's unit, [Service]: MemoryMax=infinity, and no AllowedCPUs=", "Or start it outside of this container or slice"]),
    case("cgroup", "", |t| { group_limits(t); t.file(FREE, "0"); }, Warning, "a.scope: its memory.max is 100 MiB, 500 MiB are needed without huge pages", &[]),
    case("cgroup", "", group_limits, Warning, "a.scope: its hugetlb.2MB.max is 0 MiB, 300 MiB are needed in huge pages", &[]),
    case("cgroup", "", |t| { group_limits(t); t.remove("sys/fs/cgroup/user.slice/hugetlb.2MB.max"); }, Ok, "leaves enough", &[]),
    case("cgroup", "", |t| { group_limits(t); t.run_gateway(); }, Ok, "leaves enough", &[]),
    case("cgroup", "", |t| { t.file("proc/self/cgroup", "3:cpu:/x"); }, NotApplicable, "no control groups of version 2", &[]),

    case("control-socket", "", |_| {}, Ok, "/run/culvert is its owner's alone to write", &[]),
    case("control-socket", "", |t| { t.remove("run/culvert").edit("proc/self/status", "Name:", "Uid:\t0\t0\t0\t0\nName:"); }, Ok,
        "/run/culvert is not there yet: culvertd, as root, makes it", &[]),
    case("control-socket", "", |t| { t.remove("run/culvert"); }, Warning, "/run/culvert is not there",
        &["install -d -m 750 /run/culvert   (--fix does it)", "in /etc/tmpfiles.d/culvert.conf: d /run/culvert 0750 root root -"]),
    case("control-socket", "", |t| { other_user(t); t.remove("run/culvert").edit("proc/self/status", "Name:", "Uid:\t0\t0\t0\t0\nName:"); }, Warning,
        "/run/culvert is not there", &["install -d -m 750 -o culvert -g culvert /run/culvert   (--fix does it)",
        "in /etc/tmpfiles.d/culvert.conf: d /run/culvert 0750 culvert culvert -"]),
    case("control-socket", "", own_user, Ok, "/run/culvert is its owner's alone to write", &[]),
    case("control-socket", "", other_user, Warning, "/run/culvert is not the user culvert's", &["chown culvert: /run/culvert   (--fix does it)"]),
    case("control-socket", "", |t| { other_user(t); t.mode("run/culvert", 0o770); }, Warning,
        "may be written by others than its owner (mode 0770), and is not the user culvert's",
        &["chown culvert: /run/culvert   (--fix does it)", "chmod 750 /run/culvert   (--fix does it)"]),
    case("control-socket", "", |t| { t.mode("run/culvert", 0o777); }, Warning, "may be written by others than its owner (mode 0777)",
        &["chmod 755 /run/culvert   (--fix does it)"]),
    case("wg-sockets", "", |_| {}, Ok, "/var/run/wireguard is its owner's alone to write", &[]),
    case("wg-sockets", "", other_user, Warning, "/var/run/wireguard is not the user culvert's",
        &["Name a folder of culvert's own in [control]; or, if nobody else uses it: chown culvert: /var/run/wireguard"]),
    case("wg-sockets", "", |t| { t.mode("var/run/wireguard", 0o720); }, Warning, "(mode 0720)", &["chmod 700 /var/run/wireguard   (--fix does it)"]),
    case("wg-sockets", "", |t| { t.mode("var/run/wireguard", 0o1777); }, Warning, "(mode 1777)", &["Name a folder of its own in [control]"]),
    case("wg-sockets", "", |t| { t.remove("var/run/wireguard").file("var/run/wireguard", ""); }, Fail, "/var/run/wireguard is no folder",
        &["Move it away, or name another folder in [control]"]),

    case("key-file", "interface wg0", |_| {}, Ok, "/etc/culvert/wg0.key is its owner's alone", &[]),
    case("key-file", "interface wg0", |t| { t.mode("etc/culvert/wg0.key", 0o644); }, Fail, "others than its owner may use this private key (mode 0644)",
        &["chmod 600 /etc/culvert/wg0.key   (--fix does it)", "If others were about, make a new key"]),
    case("key-file", "interface wg0", |t| { t.remove("etc/culvert/wg0.key"); }, Fail, "/etc/culvert/wg0.key: there is no such file",
        &["Make a key with: (umask 077; wg genkey > /etc/culvert/wg0.key)"]),
    case("key-file", "interface wg0", |t| { t.file("etc/culvert/wg0.key", &super::tree::KEY[..40]); }, Fail, "this is not a private key: 40 characters", &[]),

    case("peers-file", "interface wg0", |_| {}, Ok, "1 peers", &[]),
    case("peers-file", "interface wg0", |t| { t.file("etc/culvert/wg0.conf", "[Peer]\nPublicKey = x\n"); }, Fail,
        "/etc/culvert/wg0.conf:2: [Peer]: PublicKey is not the base64 of 32 bytes (44 characters)", &["Copy it from the peer (wg show, or wg pubkey)"]),
    case("peers-file", "interface wg0", |t| { t.edit("etc/culvert/wg0.conf", "[Peer]", "[Interface]\nDNS = 1.1.1.1\nTable = off\n[Peer]"); }, Warning,
        "1 peers; /etc/culvert/wg0.conf:2: [Interface]: DNS is wg-quick's and is ignored (and 1 more)", &["What culvertd needs of it goes into culvert.toml"]),
    case("peers-file", "interface wg0", |t| { t.edit(TOML, "peers_file = \"wg0.conf\"", ""); }, NotApplicable, "peers come by `wg set`", &[]),

    case("listen-port", "UDP 51820", |_| {}, Ok, "nobody else listens there", &[]),
    case("listen-port", "UDP 51820", |t| { on_af_packet(t); t.file("proc/net/udp6", "head\n 7: 00000000000000000000000000000000:CA6C 0:0 07 0:0 0:0 0 0 0 0 2\n"); }, Fail,
        "the kernel's WireGuard (or another of its tunnels) listens there", &["wg show all listen-port   (tells which)", "wg-quick down INTERFACE"]),
    case("listen-port", "UDP 51820", |t| { on_af_packet(t); t.file("proc/net/udp", "head\n 7: 00000000:CA6C 00000000:0000 07 0:0 0:0 0 0 0 4711 2\n"); }, Fail,
        "a program listens there", &["ss -lunp sport = :51820   (tells which; end it)"]),
    case("listen-port", "UDP 51820", |t| { t.file("proc/net/udp", "head\n 7: 00000000:CA6C 00000000:0000 07 0:0 0:0 0 0 0 4711 2\n"); }, Ok,
        "sees none of culvert's packets", &[]),

    case("kernel-wireguard", "interface wg0", |_| {}, Ok, "the kernel has no WireGuard interface wg0", &[]),
    case("kernel-wireguard", "interface wg0", |t| { t.file("sys/class/net/wg0/uevent", "DEVTYPE=wireguard\nINTERFACE=wg0\n"); }, Fail,
        "the kernel has a WireGuard interface wg0", &["wg-quick down wg0 || ip link delete wg0"]),
];
