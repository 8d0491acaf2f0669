//! What the kernel says of memory in `/proc`.

/// The bytes that the line `name` (`VmRSS`) of `file` tells in kB; `None` where it does not.
pub(super) fn memory_bytes(file: &str, name: &str) -> Option<u64> {
    bytes_of(&std::fs::read_to_string(file).ok()?, name)
}

fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "MemTotal:       16384 kB\nMemAvailable:    2048 kB\nHugePages_Total:       7\n";
        assert_eq!(bytes_of(text, "MemAvailable"), Some(2 << 20));
        for none in ["Mem", "HugePages_Total", "VmRSS"] {
            assert_eq!(bytes_of(text, none), None, "{none}");
        }
        assert!(memory_bytes("/proc/self/status", "VmRSS").is_some_and(|bytes| bytes > 4096));
    }
}
