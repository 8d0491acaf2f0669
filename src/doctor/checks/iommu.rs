//! How programs reach NICs: the IOMMU, and vfio's modules.

use super::{Check, Finding, Fix, Mend, Subject, System, nic};

pub(super) static IOMMU: Check = Check {
    id: "iommu",
    looks_at: "whether an IOMMU is there and on",
    why: "vfio-pci gives a NIC to a program only behind one, so that the NIC reaches that program's memory alone",
    run: iommu,
};

pub(super) static VFIO: Check = Check {
    id: "vfio",
    looks_at: "whether the kernel's module vfio-pci is loaded",
    why: "DPDK's drivers reach a NIC through it",
    run: vfio,
};

const NO_IOMMU: &str = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

fn iommu(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    if subject.is_without_vfio() {
        return vec![Finding::not_applicable("no configured port is reached by vfio-pci")];
    }
    // Those that vfio makes up where there is no IOMMU are no groups of one.
    let groups = system.names("/sys/kernel/iommu_groups");
    let groups = groups.iter().filter(|group| !nic::is_without_iommu(system, group)).count();
    if groups > 0 {
        return vec![Finding::ok(format!("it is on, {groups} groups"))];
    }
    if system.text(NO_IOMMU).as_deref() == Some("Y") {
        let finding = Finding::warning("there is none, and vfio works without (enable_unsafe_noiommu_mode)");
        return vec![
            finding.mend(Mend::advice("Any mistake of a NIC's driver can write all memory: use it for trials")),
        ];
    }
    let vendor = system.field("/proc/cpuinfo", "vendor_id").unwrap_or_default();
    let (words, firmware) = match vendor.as_str() {
        "GenuineIntel" => ("intel_iommu=on iommu=pt", "VT-d"),
        "AuthenticAMD" => ("amd_iommu=on iommu=pt", "AMD-Vi (IOMMU)"),
        _ => ("iommu=pt", "the IOMMU (SMMU)"),
    };
    let flags = system.field("/proc/cpuinfo", "flags").unwrap_or_default();
    let finding =
        Finding::fail_if(subject.wants_vfio(), "it is off, or there is none (no groups in /sys/kernel/iommu_groups)")
            .mend(Mend::boot(words))
            .mend(Mend::advice(format!("Switch {firmware} on in the firmware's setup")).after_reboot());
    vec![match flags.split_whitespace().any(|flag| flag == "hypervisor") {
        true => finding
            .mend(Mend::command(format!("modprobe vfio && echo 1 > {NO_IOMMU}")))
            .mend(Mend::advice("That line is for a virtual machine without an IOMMU: it takes all protection away")),
        false => finding,
    }]
}

fn vfio(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    if subject.is_without_vfio() {
        return vec![Finding::not_applicable("no configured port is reached by vfio-pci")];
    }
    if system.exists("/sys/bus/pci/drivers/vfio-pci") {
        return vec![Finding::ok("vfio-pci is loaded")];
    }
    let needed = subject.wants_vfio();
    vec![match has_module(system) {
        true => Finding::fail_if(needed, "vfio-pci is not loaded")
            .mend(Mend::fix(Fix::Load("vfio-pci")))
            .mend(Mend::line("/etc/modules-load.d/culvert.conf", "vfio-pci")),
        false => {
            let release = system.text("/proc/sys/kernel/osrelease").unwrap_or_default();
            Finding::fail_if(needed, format!("the kernel {release} has no module vfio-pci"))
                .mend(Mend::command("apt install linux-image-amd64").after_reboot())
        }
    }]
}

/// Whether modprobe would find vfio-pci.
fn has_module(system: &System) -> bool {
    let Some(release) = system.text("/proc/sys/kernel/osrelease") else { return false };
    ["modules.dep", "modules.builtin"].iter().any(|list| {
        let list = system.text(format!("/lib/modules/{release}/{list}")).unwrap_or_default();
        list.contains("/vfio-pci.ko") || list.contains("/vfio_pci.ko")
    })
}
