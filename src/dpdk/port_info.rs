//! What a port's device and driver can do.

use super::mbuf_priv::HEADROOM;
use super::{Device, Errno};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use dpdk_sys::{rte_eth_dev_info, rte_eth_link, rte_ether_addr};

/// What ethdev takes for Ethernet's overhead where the driver does not say: header and FCS.
const OVERHEAD: u32 = 14 + 4;

/// Two VLAN tags.
const VLAN_TAGS: u32 = 2 * 4;

/// Many NICs take buffers in steps of this many bytes, and cut what is over.
const BUFFER_STEP: u32 = 1024;

/// What the device can do. Read once, when the port is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The driver's name, as `net_ice`.
    pub driver: String,
    /// The device's name in DPDK, as `0000:3b:00.0`.
    pub device: String,
    /// NUMA node, if it has one.
    pub socket: Option<u32>,
    /// RX queues, at most.
    pub max_rx_queues: u16,
    /// TX queues, at most.
    pub max_tx_queues: u16,
    /// Smallest MTU, in bytes.
    pub min_mtu: u16,
    /// Largest MTU that the driver admits, in bytes. Virtual devices may pass more than they say.
    pub max_mtu: u16,
    /// What RSS can hash (`RTE_ETH_RSS_*` bits); 0 without RSS.
    pub rss_flow_types: u64,
    /// Whether it checks IPv4 and UDP checksums of what it receives.
    pub rx_checksum: bool,
    /// Whether it can fill in IPv4 and UDP checksums of what it sends.
    pub tx_checksum: bool,
    /// The MAC address.
    pub mac: [u8; 6],
    /// Whether it is a virtual device.
    pub is_vdev: bool,
    /// Whether packets come out as the very mbufs that others put in (net_ring).
    pub passes_pointers: bool,
    smallest_room: u32,
    pub(super) rx_offloads: u64,
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// In Mbit/s; `None` if unknown.
    pub speed_mbps: Option<u32>,
    /// Whether it is full duplex.
    pub full_duplex: bool,
}

impl From<&rte_eth_link> for Link {
    fn from(link: &rte_eth_link) -> Self {
        let known = link.link_speed != dpdk_sys::RTE_ETH_SPEED_NUM_UNKNOWN && link.link_speed != 0;
        Self {
            up: link.link_status() != 0,
            speed_mbps: known.then_some(link.link_speed),
            full_duplex: link.link_duplex() != 0,
        }
    }
}

impl PortInfo {
    /// Reads it from DPDK.
    pub(super) fn read(port: u16, device: &Device) -> Result<Self, Errno> {
        let raw = raw_info(port)?;
        let driver = text(raw.driver_name);
        let max_mtu = largest_mtu(&raw);
        let checksums = dpdk_sys::DPDK_ETH_RX_OFFLOAD_IPV4_CKSUM | dpdk_sys::DPDK_ETH_RX_OFFLOAD_UDP_CKSUM;
        let tx_checksums = dpdk_sys::DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM | dpdk_sys::DPDK_ETH_TX_OFFLOAD_UDP_CKSUM;
        // SAFETY: the port exists, as `raw_info` found.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(port) };
        Ok(Self {
            passes_pointers: driver == "net_ring",
            driver,
            device: device.name(),
            socket: u32::try_from(socket).ok(),
            max_rx_queues: raw.max_rx_queues,
            max_tx_queues: raw.max_tx_queues,
            min_mtu: raw.min_mtu.min(max_mtu),
            max_mtu,
            rss_flow_types: raw.flow_type_rss_offloads,
            rx_checksum: raw.rx_offload_capa & checksums == checksums,
            tx_checksum: raw.tx_offload_capa & tx_checksums == tx_checksums,
            mac: mac(port)?,
            is_vdev: device.is_vdev(),
            smallest_room: device.smallest_room().unwrap_or(0).max(raw.min_rx_bufsize),
            rx_offloads: raw.rx_offload_capa,
        })
    }

    /// The data room, headroom included, that the mbufs of this port's RX queues should have so that a packet of `mtu`
    /// bytes fits into one of them; 65,535 at most.
    pub fn data_room_for(&self, mtu: u16) -> u16 {
        let frame = (u32::from(mtu) + OVERHEAD + VLAN_TAGS).next_multiple_of(BUFFER_STEP);
        let room = frame.max(self.smallest_room).saturating_add(HEADROOM_U32);
        u16::try_from(room).unwrap_or(u16::MAX)
    }

    /// The data room, headroom included, below which the driver refuses a pool.
    pub(super) fn smallest_data_room(&self) -> u32 {
        self.smallest_room.saturating_add(HEADROOM_U32)
    }
}

const HEADROOM_U32: u32 = dpdk_sys::RTE_PKTMBUF_HEADROOM;
const _: () = assert!(HEADROOM == HEADROOM_U32 as usize);

pub(super) fn raw_info(port: u16) -> Result<rte_eth_dev_info, Errno> {
    let mut info = MaybeUninit::<rte_eth_dev_info>::zeroed();
    // SAFETY: takes any port number; `info` has room for the answer.
    let result = unsafe { dpdk_sys::rte_eth_dev_info_get(port, info.as_mut_ptr()) };
    Errno::check(result)?;
    // SAFETY: plain numbers and pointers, zeroed and then filled in.
    Ok(unsafe { info.assume_init() })
}

fn mac(port: u16) -> Result<[u8; 6], Errno> {
    let mut address = rte_ether_addr { addr_bytes: [0; 6] };
    // SAFETY: takes any port number; `address` has room for the answer.
    let result = unsafe { dpdk_sys::rte_eth_macaddr_get(port, &raw mut address) };
    Errno::check(result)?;
    Ok(address.addr_bytes)
}

/// As `eth_dev_validate_mtu` reckons: by the largest MTU, and by the largest frame less the driver's overhead.
fn largest_mtu(raw: &rte_eth_dev_info) -> u16 {
    let overhead = if raw.max_mtu != u16::MAX && raw.max_rx_pktlen > u32::from(raw.max_mtu) {
        raw.max_rx_pktlen - u32::from(raw.max_mtu)
    } else {
        OVERHEAD
    };
    let by_frame = u16::try_from(raw.max_rx_pktlen.saturating_sub(overhead)).unwrap_or(u16::MAX);
    raw.max_mtu.min(by_frame)
}

fn text(c_string: *const core::ffi::c_char) -> String {
    if c_string.is_null() {
        return String::new();
    }
    // SAFETY: a C string of the driver, which lives as long as the driver's library.
    unsafe { CStr::from_ptr(c_string) }.to_string_lossy().into_owned()
}
