//! Which DPDK this is: what culvert was compiled against, and what the loader found. No EAL is needed.

use core::ffi::CStr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// DPDK's version at run time, as `DPDK 22.11.11`. Any thread.
pub fn version() -> String {
    // SAFETY: it returns a static C string, and looks at nothing that the EAL sets up.
    let version = unsafe { dpdk_sys::rte_version() };
    // SAFETY: as above.
    unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
}

/// The release that culvert was compiled against, as `22.11`, and [`version`]. Any thread.
pub fn versions() -> (String, String) {
    (format!("{}.{:02}", dpdk_sys::RTE_VER_YEAR, dpdk_sys::RTE_VER_MONTH), version())
}

/// Where the EAL looks for drivers (`RTE_EAL_PMD_PATH`). Any thread.
pub fn driver_folder() -> PathBuf {
    let path = dpdk_sys::RTE_EAL_PMD_PATH;
    let text = path.strip_suffix(b"\0").unwrap_or(path);
    OsStr::from_bytes(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_release_is_the_one_compiled_against() {
        let (built, found) = versions();
        assert!(found.starts_with(&format!("DPDK {built}.")), "{found}, built for {built}");
    }

    #[test]
    fn drivers_are_where_the_eal_looks() {
        assert!(driver_folder().join("librte_net_null.so").exists(), "{}", driver_folder().display());
    }
}
