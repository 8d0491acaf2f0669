//! Whether memory may be written to a disk: pages of a memory file are swapped as all others are, and stay on the disk.

use std::path::Path;

/// The device that this machine swaps to and that keeps what it gets; `None`: there is no swap, or it is compressed memory (zram) or
/// encrypted (dm-crypt).
pub(super) fn disk() -> Option<String> {
    if rustix::system::sysinfo().totalswap == 0 {
        return None;
    }
    match std::fs::read_to_string("/proc/swaps") {
        Ok(swaps) => plain(&swaps, |name| std::fs::read_to_string(format!("/sys/block/{name}/dm/uuid")).ok()),
        Err(_) => Some("a disk (/proc/swaps cannot be read)".to_owned()),
    }
}

/// The first line of `/proc/swaps` that is neither. `uuid`: of a device mapper's device.
fn plain(swaps: &str, uuid: impl Fn(&str) -> Option<String>) -> Option<String> {
    let devices = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let is_safe = |device: &str| {
        let name = Path::new(device).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_device = Path::new(device).parent() == Some(Path::new("/dev"));
        let is_crypt = || uuid(name).is_some_and(|uuid| uuid.starts_with("CRYPT-"));
        is_device && (name.starts_with("zram") || name.starts_with("dm-") && is_crypt())
    };
    devices.filter(|device| !is_safe(device)).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_forgets_is_no_disk() {
        let uuid = |name: &str| match name {
            "dm-0" => Some("CRYPT-PLAIN-swap".to_owned()),
            "dm-1" => Some("LVM-x".to_owned()),
            _ => None,
        };
        let swaps = |devices: &[&str]| {
            let lines = devices.iter().map(|device| format!("{device}   partition 1048572 0 -2\n"));
            format!("Filename\tType\tSize\tUsed\tPriority\n{}", lines.collect::<String>())
        };
        for (devices, found) in [
            (&[][..], None),
            (&["/dev/zram0", "/dev/dm-0"], None),
            (&["/dev/zram0", "/dev/sda2"], Some("/dev/sda2")),
            (&["/dev/dm-1"], Some("/dev/dm-1")),
            (&["/dev/dm-7"], Some("/dev/dm-7")),
            (&["/swapfile"], Some("/swapfile")),
            (&["/mnt/zram0"], Some("/mnt/zram0")),
        ] {
            assert_eq!(plain(&swaps(devices), uuid).as_deref(), found);
        }
    }
}
