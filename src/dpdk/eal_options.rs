//! What the EAL is started with, typed: nobody outside writes EAL arguments.

use super::{Device, EalError, PciAddress};
use std::{fs, path::Path};

/// Where the kernel lists its pools of huge pages.
const SYSFS_HUGE_PAGES: &str = "/sys/kernel/mm/hugepages";

/// Where packet memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Huge pages if enough of them are free, else none.
    #[default]
    Auto,
    /// Huge pages; the start fails without.
    Required,
    /// Ordinary pages: for tests, the demo and small machines.
    None,
}

/// What [`super::Eal::init`] is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalOptions {
    huge_pages: HugePages,
    memory_mib: u32,
    main_core: usize,
    file_prefix: Option<String>,
    telemetry: bool,
    pci: Vec<PciAddress>,
    extra: Vec<String>,
}

impl Default for EalOptions {
    fn default() -> Self {
        Self {
            huge_pages: HugePages::Auto,
            memory_mib: 512,
            main_core: 0,
            file_prefix: None,
            telemetry: false,
            pci: Vec::new(),
            extra: Vec::new(),
        }
    }
}

impl EalOptions {
    /// Huge pages if there are any, 512 MiB, core 0, no PCI device, no telemetry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which pages.
    #[must_use]
    pub fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Memory for pools, rings and ports, in MiB. Without huge pages it cannot grow later.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// The core of the thread that calls [`super::Eal::init`], as the kernel counts.
    #[must_use]
    pub fn main_core(mut self, core: usize) -> Self {
        self.main_core = core;
        self
    }

    /// Name of the EAL's runtime folder, to tell several processes apart.
    #[must_use]
    pub fn file_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.file_prefix = Some(prefix.into());
        self
    }

    /// The prefix of the folder for the telemetry socket; `None`: there is to be no socket, or none of a known name.
    pub(super) fn telemetry_prefix(&self) -> Option<&str> {
        self.file_prefix.as_deref().filter(|_| self.telemetry)
    }

    /// Whether DPDK's telemetry socket is opened.
    #[must_use]
    pub fn telemetry(mut self, telemetry: bool) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// Lets the EAL probe the device of a port, if it is a PCI device. All others are left alone: without any, the
    /// PCI bus is not even scanned (PLATFORM 0.6: else the machine's own NIC is taken).
    #[must_use]
    pub fn allow_device(mut self, device: &Device) -> Self {
        if let Device::Pci { address, .. } = device
            && !self.pci.contains(address)
        {
            self.pci.push(*address);
        }
        self
    }

    /// Arguments that are handed on as they are, last: the way out for what has no option here.
    #[must_use]
    pub fn extra_args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.extra.extend(args.into_iter().map(Into::into));
        self
    }

    /// The arguments of `rte_eal_init`, the program's name first (`show eal` prints them).
    ///
    /// # Errors
    /// [`EalError::HugePages`] when they are required and too few are free.
    pub fn args(&self) -> Result<Vec<String>, EalError> {
        self.args_with(free_huge_pages_mib())
    }

    pub(super) fn core(&self) -> usize {
        self.main_core
    }

    fn args_with(&self, free_mib: u64) -> Result<Vec<String>, EalError> {
        let wanted_mib = u64::from(self.memory_mib);
        let enough = free_mib >= wanted_mib && free_mib > 0;
        let mut args = vec!["culvert".to_owned()];
        let huge = match self.huge_pages {
            HugePages::Required if !enough => {
                return Err(EalError::HugePages { wanted_mib, free_mib });
            }
            HugePages::Required => true,
            HugePages::Auto => enough,
            HugePages::None => false,
        };
        if huge {
            args.push("--in-memory".into());
        } else {
            args.extend(["--no-huge", "--no-shconf"].map(str::to_owned));
        }
        args.extend(["-m".into(), self.memory_mib.to_string()]);
        // One lcore, number 0, whatever core it runs on: cores beyond RTE_MAX_LCORE work too.
        args.push(format!("--lcores=0@{}", self.main_core));
        if let Some(prefix) = &self.file_prefix {
            args.push(format!("--file-prefix={prefix}"));
        }
        if !self.telemetry {
            args.push("--no-telemetry".into());
        }
        if self.pci.is_empty() {
            args.push("--no-pci".into());
        }
        for address in &self.pci {
            args.extend(["-a".into(), address.to_string()]);
        }
        args.extend(self.extra.iter().cloned());
        Ok(args)
    }
}

/// Free huge pages of all sizes together, in MiB.
pub fn free_huge_pages_mib() -> u64 {
    free_huge_pages_below(Path::new(SYSFS_HUGE_PAGES))
}

fn free_huge_pages_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let free_kib = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let page_kib: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free: u64 = fs::read_to_string(entry.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
        page_kib.checked_mul(free)
    });
    free_kib.sum::<u64>() / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_huge_pages() {
        let args = EalOptions::new().memory_mib(256).main_core(3).args_with(0);
        let expected =
            ["culvert", "--no-huge", "--no-shconf", "-m", "256", "--lcores=0@3", "--no-telemetry", "--no-pci"];
        assert_eq!(args.unwrap(), expected);
    }

    #[test]
    fn with_huge_pages_and_a_pci_device() {
        let device: Device = "0000:3b:00.0".parse().unwrap();
        let options = EalOptions::new().allow_device(&device).allow_device(&device).telemetry(true).file_prefix("x");
        let expected = ["culvert", "--in-memory", "-m", "512", "--lcores=0@0", "--file-prefix=x", "-a", "0000:3b:00.0"];
        assert_eq!(options.args_with(512).unwrap(), expected);
    }

    #[test]
    fn too_few_huge_pages() {
        let options = EalOptions::new().huge_pages(HugePages::Required).extra_args(["--iova-mode=va"]);
        let error = options.args_with(511).unwrap_err();
        assert!(matches!(error, EalError::HugePages { wanted_mib: 512, free_mib: 511 }));
        assert_eq!(options.args_with(600).unwrap().last().map(String::as_str), Some("--iova-mode=va"));
        let auto = options.huge_pages(HugePages::Auto).args_with(511).unwrap();
        assert!(auto.contains(&"--no-huge".to_owned()));
    }

    #[test]
    fn huge_pages_are_counted_over_all_sizes() {
        let folder = tempfile::tempdir().unwrap();
        for (name, free) in [("hugepages-2048kB", "5\n"), ("hugepages-1048576kB", "2\n"), ("other", "9")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(free_huge_pages_below(folder.path()), 10 + 2048);
        assert_eq!(free_huge_pages_below(&folder.path().join("absent")), 0);
    }
}
