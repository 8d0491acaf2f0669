//! Devices come and go: attached by name, found by name, closed and removed.

use super::port_info::raw_info;
use super::{Device, Eal, Errno, PortFailure, eal_log};
use core::ffi::{CStr, c_char};
use std::ffi::CString;

/// The devices that the EAL has made ports of, by the ports' numbers: those that its arguments name.
pub fn probed_devices(_eal: &Eal) -> Vec<Device> {
    let ports = 0..u16::try_from(dpdk_sys::RTE_MAX_ETHPORTS).unwrap_or(u16::MAX);
    // SAFETY: takes any number.
    let is_there = |port: &u16| unsafe { dpdk_sys::rte_eth_dev_is_valid_port(*port) } == 1;
    ports.filter(is_there).filter_map(name_of).map(|name| Device::of_port(&name)).collect()
}

fn name_of(port: u16) -> Option<String> {
    let mut name: [c_char; dpdk_sys::RTE_ETH_NAME_MAX_LEN as usize] = [0; _];
    // SAFETY: takes any number; `name` has the room that the function asks for.
    let result = unsafe { dpdk_sys::rte_eth_dev_get_name_by_port(port, name.as_mut_ptr()) };
    // SAFETY: a C string: it was zeroed, and DPDK ends what it writes.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    (result == 0).then(|| name.to_string_lossy().into_owned())
}

/// Attaches a device (`rte_dev_probe`): its bus finds the driver.
pub(super) fn probe(device: &Device) -> Result<(), PortFailure> {
    let mark = eal_log::mark();
    let error = |errno| PortFailure::Attach { errno, mend: mend(device), log: eal_log::since(mark) };
    let devargs = CString::new(device.to_string()).map_err(|_| error(Errno::EINVAL))?;
    // SAFETY: the EAL runs (the callers hold it); a C string, which DPDK copies.
    let result = unsafe { dpdk_sys::rte_dev_probe(devargs.as_ptr()) };
    Errno::check(result).map(drop).map_err(error)
}

/// The port that DPDK made of a device, by the device's name.
pub(super) fn port_by_name(device: &Device) -> Option<u16> {
    let name = CString::new(device.name()).ok()?;
    let mut port = 0;
    // SAFETY: the EAL runs (the callers hold it); a C string, and room for the answer.
    let result = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut port) };
    (result == 0).then_some(port)
}

/// Closes a stopped port of which no handle is left, and takes a virtual device off its bus, so that its name is free again.
pub(super) fn close(port: u16, is_vdev: bool) {
    let device = raw_info(port).map(|info| info.device);
    // SAFETY: takes any number; the caller is the last that knows the port.
    let result = unsafe { dpdk_sys::rte_eth_dev_close(port) };
    if let Err(errno) = Errno::check(result) {
        tracing::warn!("rte_eth_dev_close of port {port}: {errno}");
    }
    if let (true, Ok(device)) = (is_vdev, device)
        && !device.is_null()
    {
        // SAFETY: the device was the port's, has no other port (it is virtual), and is not used after this.
        let result = unsafe { dpdk_sys::rte_dev_remove(device) };
        if let Err(errno) = Errno::check(result) {
            tracing::warn!("rte_dev_remove of port {port}: {errno}");
        }
    }
}

/// What a user can look at when a device does not come up.
pub(super) fn mend(device: &Device) -> &'static str {
    match device {
        Device::Pci { .. } => {
            "Check that the device is there and bound to vfio-pci (dpdk-devbind.py --status; mlx5 stays with the kernel's \
             driver), and that its driver's package (librte-net-…) is installed"
        }
        Device::Vdev { .. } if device.kernel_interface().is_some() => {
            "Check that the interface exists (ip link) and that culvert may open packet sockets (CAP_NET_RAW)"
        }
        Device::Vdev { .. } => {
            "Check the driver's name and arguments, and that its package (librte-net-…) is installed"
        }
    }
}
