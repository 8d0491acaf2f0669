/* What culvert uses of libdpdk: read by bindgen, and by cc for the static inline functions. */
#ifndef CULVERT_DPDK_WRAPPER_H
#define CULVERT_DPDK_WRAPPER_H

#define _GNU_SOURCE 1
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip_frag.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_telemetry.h>
#include <rte_version.h>

/* rte_errno is a macro over a thread-local variable, which bindgen cannot declare. */
static inline int dpdk_errno(void) { return rte_errno; }

/* It is called rte_tel_data_add_dict_uint from 23.03 on. */
static inline int dpdk_tel_data_add_dict_u64(struct rte_tel_data *data, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
    return rte_tel_data_add_dict_uint(data, name, value);
#else
    return rte_tel_data_add_dict_u64(data, name, value);
#endif
}

/* Bit fields, which lie elsewhere in later releases. */
static inline void dpdk_mbuf_set_header_lengths(struct rte_mbuf *mbuf, uint8_t l2_len, uint16_t l3_len)
{
    mbuf->tx_offload = 0;
    mbuf->l2_len = l2_len;
    mbuf->l3_len = l3_len;
}

static inline uint32_t dpdk_mbuf_rss_hash(const struct rte_mbuf *mbuf)
{
    return mbuf->hash.rss;
}

/* Macros that bindgen cannot read, as constants under the same names. */
static const uint64_t DPDK_MBUF_F_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t DPDK_MBUF_F_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t DPDK_MBUF_F_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t DPDK_MBUF_F_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t DPDK_MBUF_F_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t DPDK_MBUF_F_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t DPDK_MBUF_F_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t DPDK_MBUF_F_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t DPDK_MBUF_F_INDIRECT = RTE_MBUF_F_INDIRECT;
static const uint64_t DPDK_MBUF_F_EXTERNAL = RTE_MBUF_F_EXTERNAL;
static const uint64_t DPDK_ETH_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_ETH_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_ETH_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_ETH_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint32_t DPDK_MEMPOOL_NAMESIZE = RTE_MEMPOOL_NAMESIZE;
static const uint32_t DPDK_RING_NAMESIZE = RTE_RING_NAMESIZE;
static const uint64_t DPDK_ETH_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t DPDK_ETH_RSS_UDP = RTE_ETH_RSS_UDP;
static const uint64_t DPDK_ETH_RSS_TCP = RTE_ETH_RSS_TCP;

#endif
