//! Which of DPDK's drivers are there: each library says itself what devices it is for (`RTE_PMD_REGISTER_PCI_TABLE`).

use super::nic::Nic;
use serde::Deserialize;
use std::path::Path;

/// What stands before each description in a library.
const MARK: &[u8] = b"PMD_INFO_STRING= ";
/// Any subsystem; also any vendor or device.
const ANY: u16 = 0xffff;

/// A driver as its library describes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Driver {
    pub(super) name: String,
    /// What of the kernel it works with: `* igb_uio | vfio-pci`.
    #[serde(default)]
    pub(super) kmod: String,
    /// Vendor, device, and both of the subsystem.
    #[serde(default)]
    pci_ids: Vec<[u16; 4]>,
}

impl Driver {
    /// The installed driver for a device.
    pub(super) fn find(folder: &Path, nic: &Nic) -> Option<Self> {
        libraries(folder)
            .iter()
            .filter_map(|name| std::fs::read(folder.join(name)).ok())
            .find_map(|library| described(&library).into_iter().find(|driver| driver.is_for(nic)))
    }

    /// Whether it works through the kernel's driver, which keeps the device (`* ib_uverbs & mlx5_core & mlx5_ib`). One that
    /// names no module of the kernel's says nothing of the kind.
    pub(super) fn is_bifurcated(&self) -> bool {
        self.kmod.contains("ib_uverbs")
    }

    fn is_for(&self, nic: &Nic) -> bool {
        let fits = |id: u16, own: u16| id == own || id == ANY;
        self.pci_ids.iter().any(|[vendor, device, ..]| fits(*vendor, nic.vendor) && fits(*device, nic.device))
    }
}

/// The network drivers' libraries in a folder.
fn libraries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with("librte_net_") && name.ends_with(".so")).collect();
    names.sort();
    names
}

fn described(library: &[u8]) -> Vec<Driver> {
    let mut drivers = Vec::new();
    let mut rest = library;
    while let Some(at) = find(rest, MARK) {
        rest = rest.get(at + MARK.len()..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        drivers.extend(rest.get(..end).and_then(|text| serde_json::from_slice::<Driver>(text).ok()));
    }
    drivers
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    let first = mark.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| byte == first)?;
        if text.get(at..)?.starts_with(mark) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The library of a virtual device's driver, from the device's name: `net_af_packet0` → `librte_net_af_packet.so`.
pub(super) fn library_of_vdev(name: &str) -> String {
    // Older names of some drivers.
    let name = match name.strip_prefix("eth_") {
        Some(rest) => format!("net_{rest}"),
        None if name.starts_with("virtio_user") => "net_virtio".into(),
        None => name.into(),
    };
    format!("librte_{}.so", name.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Debian's package of a driver's library: `librte_net_mlx5.so` → `librte-net-mlx5-23`.
pub(super) fn package_of(library: &str, folder: &Path) -> String {
    let stem = library.trim_end_matches(".so").replace('_', "-");
    let dash = if stem.ends_with(|c: char| c.is_ascii_digit()) { "-" } else { "" };
    format!("{stem}{dash}{}", abi(folder))
}

/// The number of DPDK's binary interface, of the folder's name: `pmds-23.0` → `23`.
fn abi(folder: &Path) -> &str {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("pmds-").and_then(|rest| rest.split('.').next()).unwrap_or_default()
}

/// The driver's library that a NIC wants by what is known of it without one, if that is one.
pub(super) fn library_for(nic: &Nic) -> Option<&'static str> {
    let by_kernel = match nic.driver.as_deref()? {
        "e1000" | "e1000e" | "igb" | "igbvf" => "librte_net_e1000.so",
        "igc" => "librte_net_igc.so",
        "ixgbe" | "ixgbevf" => "librte_net_ixgbe.so",
        "i40e" => "librte_net_i40e.so",
        "iavf" => "librte_net_iavf.so",
        "ice" => "librte_net_ice.so",
        "mlx4_core" => "librte_net_mlx4.so",
        "mlx5_core" => "librte_net_mlx5.so",
        "virtio-pci" => "librte_net_virtio.so",
        "bnxt_en" => "librte_net_bnxt.so",
        "ena" => "librte_net_ena.so",
        "vmxnet3" => "librte_net_vmxnet3.so",
        "cxgb4" => "librte_net_cxgbe.so",
        "enic" => "librte_net_enic.so",
        "sfc" => "librte_net_sfc.so",
        "nfp" => "librte_net_nfp.so",
        _ => return None,
    };
    Some(by_kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_read_out_of_a_library() {
        let text = br#"PMD_INFO_STRING= {"name": "net_x", "kmod": "* igb_uio | vfio-pci", "pci_ids": [[32902, 5490, 65535, 65535]]}"#;
        let library = [
            b"\x7fELF PMD PMD_",
            &text[..],
            b"\0rest PMD_INFO_STRING= {\"name\": \"net_y\"}\0",
            b"PMD_INFO_STRING= {\"name\": \"net_z\", \"kmod\": \"* ib_uverbs & mlx5_core & mlx5_ib\"}\0",
        ]
        .concat();
        let drivers = described(&library);
        let names: Vec<&str> = drivers.iter().map(|driver| driver.name.as_str()).collect();
        assert_eq!(names, ["net_x", "net_y", "net_z"]);
        let bifurcated: Vec<bool> = drivers.iter().map(Driver::is_bifurcated).collect();
        assert_eq!(bifurcated, [false, false, true], "one that names no module may be with vfio-pci");
        assert!(described(b"PMD_INFO_STRING= {").is_empty());
    }

    #[test]
    fn names_of_libraries_and_packages() {
        for (vdev, library, package) in [
            ("net_af_packet0", "librte_net_af_packet.so", "librte-net-af-packet23"),
            ("eth_null1", "librte_net_null.so", "librte-net-null23"),
            ("virtio_user0", "librte_net_virtio.so", "librte-net-virtio23"),
        ] {
            assert_eq!(library_of_vdev(vdev), library);
            assert_eq!(package_of(library, Path::new("/usr/lib/dpdk/pmds-23.0")), package);
        }
        assert_eq!(package_of("librte_net_mlx5.so", Path::new("/x/pmds-23.0")), "librte-net-mlx5-23");
    }
}
