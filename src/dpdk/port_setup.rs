//! How a port is set up: limits checked, queues made, MTU set.

use super::port::{PortError, PortFailure, PortInner, PortOptions};
use super::port_info::PortInfo;
use core::ffi::c_uint;
use core::mem::MaybeUninit;
use core::ptr;
use dpdk_sys::{DPDK_ETH_RSS_IP, DPDK_ETH_RSS_TCP, DPDK_ETH_RSS_UDP, rte_eth_conf};
use std::fs;

/// What RSS hashes, as far as the device can: addresses and ports.
const RSS_WANTED: u64 = DPDK_ETH_RSS_IP | DPDK_ETH_RSS_UDP | DPDK_ETH_RSS_TCP;

/// Bytes of an 802.1Q tag. Not every driver reckons with one beside the MTU.
const VLAN_TAG: u16 = 4;

/// Whether the device can do what is asked.
pub(super) fn check(info: &PortInfo, options: &PortOptions) -> Result<(), PortFailure> {
    for (what, wanted, max) in
        [("RX", options.rx_queues, info.max_rx_queues), ("TX", options.tx_queues, info.max_tx_queues)]
    {
        if wanted > max {
            return Err(PortFailure::Queues { what, wanted, max });
        }
    }
    let (wanted, min, max) = (options.mtu, info.min_mtu, info.max_mtu);
    if !info.is_vdev && !(min..=max).contains(&wanted) {
        return Err(PortFailure::Mtu { wanted, min, max });
    }
    let (has, wants) = (options.pool.data_room(), info.smallest_data_room());
    if u32::from(has) < wants {
        return Err(PortFailure::DataRoom { pool: options.pool.name().to_owned(), has, wants });
    }
    Ok(())
}

/// Configures the port and its queues; it is stopped and no queue handle is out.
pub(super) fn set_up(inner: &PortInner, info: &PortInfo, options: &PortOptions) -> Result<(), PortError> {
    let conf = configuration(info, options);
    let (rx_queues, tx_queues) = (options.rx_queues, options.tx_queues);
    inner.step("rte_eth_dev_configure", |port| {
        // SAFETY: the port is open and stopped; `conf` is copied.
        unsafe { dpdk_sys::rte_eth_dev_configure(port, rx_queues, tx_queues, &raw const conf) }
    })?;
    let (mut rx_desc, mut tx_desc) = (options.rx_desc, options.tx_desc);
    inner.step("rte_eth_dev_adjust_nb_rx_tx_desc", |port| {
        // SAFETY: the port is open; two numbers to correct.
        unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(port, &raw mut rx_desc, &raw mut tx_desc) }
    })?;
    let socket = info.socket.unwrap_or(dpdk_sys::SOCKET_ID_ANY.cast_unsigned()) as c_uint;
    for queue in 0..rx_queues {
        inner.step("rte_eth_rx_queue_setup", |port| {
            let pool = options.pool.as_ptr();
            // SAFETY: the port is configured with this queue; `inner` keeps the pool until the port is closed.
            unsafe { dpdk_sys::rte_eth_rx_queue_setup(port, queue, rx_desc, socket, ptr::null(), pool) }
        })?;
    }
    for queue in 0..tx_queues {
        inner.step("rte_eth_tx_queue_setup", |port| {
            // SAFETY: the port is configured with this queue.
            unsafe { dpdk_sys::rte_eth_tx_queue_setup(port, queue, tx_desc, socket, ptr::null()) }
        })?;
    }
    if info.is_vdev {
        set_vdev_mtu(inner, options.mtu);
    }
    Ok(())
}

fn configuration(info: &PortInfo, options: &PortOptions) -> rte_eth_conf {
    // SAFETY: numbers, enums that have a 0, and pointers that may be null.
    let mut conf: rte_eth_conf = unsafe { MaybeUninit::zeroed().assume_init() };
    let tag = if options.tagged { VLAN_TAG } else { 0 };
    let mtu = options.mtu.saturating_add(tag);
    conf.rxmode.mtu = u32::from(mtu.clamp(info.min_mtu, info.max_mtu.max(info.min_mtu)));
    let room = u32::from(options.pool.data_room()).saturating_sub(dpdk_sys::RTE_PKTMBUF_HEADROOM);
    let mut wanted = dpdk_sys::DPDK_ETH_RX_OFFLOAD_IPV4_CKSUM | dpdk_sys::DPDK_ETH_RX_OFFLOAD_UDP_CKSUM;
    // A frame that does not fit into one mbuf comes as several, to be copied, rather than not at all.
    if u32::from(info.data_room_for(options.mtu)).saturating_sub(dpdk_sys::RTE_PKTMBUF_HEADROOM) > room {
        wanted |= dpdk_sys::DPDK_ETH_RX_OFFLOAD_SCATTER;
    }
    conf.rxmode.offloads = wanted & info.rx_offloads;
    let flows = RSS_WANTED & info.rss_flow_types;
    if options.rss && options.rx_queues > 1 {
        if flows == 0 {
            // AF_PACKET and others spread packets on their own, or not at all.
            tracing::info!(device = info.device, "the driver has no RSS");
        } else {
            conf.rxmode.mq_mode = dpdk_sys::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = flows;
        }
    }
    conf
}

/// Virtual devices stand on interfaces of the kernel, whose MTU may be the administrator's business: so this only warns.
fn set_vdev_mtu(inner: &PortInner, mtu: u16) {
    let interface = inner.device().kernel_interface();
    if interface.is_some_and(|interface| kernel_mtu(interface) == Some(u32::from(mtu))) {
        return;
    }
    // SAFETY: the port is open and configured.
    let result = inner.step("rte_eth_dev_set_mtu", |port| unsafe { dpdk_sys::rte_eth_dev_set_mtu(port, mtu) });
    match result {
        Ok(_) => {}
        // Rings and the like have none.
        Err(error) if error.is_unsupported() => tracing::debug!("{error}"),
        Err(error) => tracing::warn!(
            "{error}. Packets of up to {mtu} bytes may be lost below this port: set the MTU where it belongs (ip link set mtu)"
        ),
    }
}

fn kernel_mtu(interface: &str) -> Option<u32> {
    let path = format!("/sys/class/net/{interface}/mtu");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
