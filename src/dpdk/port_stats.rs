//! A port's counters, in testpmd's words.

use super::port::{PortError, PortInner};
use core::ffi::c_char;
use core::ptr;
use dpdk_sys::{rte_eth_xstat, rte_eth_xstat_name};

/// `rte_eth_stats`: since the start or the last clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub ipackets: u64,
    /// Packets sent.
    pub opackets: u64,
    /// Bytes received.
    pub ibytes: u64,
    /// Bytes sent.
    pub obytes: u64,
    /// Packets that the device dropped because nobody fetched them in time.
    pub imissed: u64,
    /// Packets received with errors.
    pub ierrors: u64,
    /// Packets that could not be sent.
    pub oerrors: u64,
    /// Times that a packet found no mbuf.
    pub rx_nombuf: u64,
}

impl From<&dpdk_sys::rte_eth_stats> for PortStats {
    fn from(stats: &dpdk_sys::rte_eth_stats) -> Self {
        Self {
            ipackets: stats.ipackets,
            opackets: stats.opackets,
            ibytes: stats.ibytes,
            obytes: stats.obytes,
            imissed: stats.imissed,
            ierrors: stats.ierrors,
            oerrors: stats.oerrors,
            rx_nombuf: stats.rx_nombuf,
        }
    }
}

/// The driver's own counters by name (`rte_eth_xstats_get_names`, `rte_eth_xstats_get`).
pub(super) fn extended(inner: &PortInner) -> Result<Vec<(String, u64)>, PortError> {
    let step = "rte_eth_xstats_get_names";
    // SAFETY: the port is open; without a table it returns how many there are.
    let count = inner.step(step, |port| unsafe { dpdk_sys::rte_eth_xstats_get_names(port, ptr::null_mut(), 0) })?;
    let (count, length) = (count.unsigned_abs(), usize::try_from(count).unwrap_or(0));

    let mut names = vec![rte_eth_xstat_name { name: [0; _] }; length];
    let table = names.as_mut_ptr();
    // SAFETY: the port is open; `table` has `count` places.
    inner.step(step, |port| unsafe { dpdk_sys::rte_eth_xstats_get_names(port, table, count) })?;
    let mut values = vec![rte_eth_xstat { id: 0, value: 0 }; length];
    let table = values.as_mut_ptr();
    // SAFETY: the port is open; `table` has `count` places.
    inner.step("rte_eth_xstats_get", |port| unsafe { dpdk_sys::rte_eth_xstats_get(port, table, count) })?;

    // An id is an index into the names.
    let named = values.iter().filter_map(|stat| {
        let name = names.get(usize::try_from(stat.id).ok()?)?;
        Some((text(&name.name), stat.value))
    });
    Ok(named.collect())
}

fn text(name: &[c_char]) -> String {
    let bytes: Vec<u8> = name.iter().take_while(|&&c| c != 0).map(|c| c.cast_unsigned()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
